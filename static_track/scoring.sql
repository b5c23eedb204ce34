-- The static protocol as SQL (static.md; TwinRouterBench §3.4, §5.1, Tables A14, A15, A17).
--
-- Reads    base        numbers of each row: prompt and reusable tokens by tier, billed output tokens
--          trajectory  workload, instance and group of each trajectory
--          prediction  (router, row_no, pred): one line a row; pred is a tier id, NULL for an error
--          own_call    (router, row_no, spent): femtodollars of a router's own LLM calls, for the rows that it made some for
-- Settings ttl_steps, and rate_read, rate_write, rate_output: femtodollars per token, by tier
--
-- Money is a whole number of femtodollars until the last division, so no order of addition changes a score.

-- One row billed at one tier: what the cache gives is read, the rest is written; no prompt token is plain input.
CREATE OR REPLACE TEMP MACRO row_cost(tier, cached, prompt, output) AS
    cached * getvariable('rate_read')[tier + 1]
    + greatest(prompt - cached, 0) * getvariable('rate_write')[tier + 1]
    + output * getvariable('rate_output')[tier + 1];

-- A path's last billed row of this tier lies too far back; a tier that was never billed is not expired.
CREATE OR REPLACE TEMP MACRO expired(step_index, last_billed) AS
    coalesce(step_index - last_billed > getvariable('ttl_steps'), false);

CREATE OR REPLACE TEMP MACRO percent(part, whole) AS 100 * part::DOUBLE / nullif(whole, 0)::DOUBLE;
CREATE OR REPLACE TEMP MACRO usd(femtodollars) AS coalesce(femtodollars, 0)::DOUBLE / 1e15;

-- Each row: its tokens on the three paths, and what came before it in its trajectory.
CREATE OR REPLACE TEMP VIEW step AS
WITH counted AS (
    SELECT
        router, row_no, trajectory, step_index, target, pred,
        prompt[4]           AS prompt_high,     reusable[4]             AS reusable_high,
        prompt[target + 1]  AS prompt_target,   reusable[target + 1]    AS reusable_target,
        prompt[pred + 1]    AS prompt_pred,     reusable[pred + 1]      AS reusable_pred,
        -- an error row is billed on no path
        CASE WHEN pred IS NOT NULL THEN output END      AS output,
        CASE WHEN pred IS NOT NULL THEN step_index END  AS billed
    FROM prediction JOIN base USING (row_no)
)
SELECT
    *,
    lag(pred) OVER run                              AS previous_pred,
    lag(target) OVER run                            AS previous_target,
    last_value(billed IGNORE NULLS) OVER earlier    AS last_billed,
    -- where each tier was last billed on the target path; a window over (trajectory, target) would sort all rows again
    [
        last_value(CASE WHEN target = 0 THEN billed END IGNORE NULLS) OVER earlier,
        last_value(CASE WHEN target = 1 THEN billed END IGNORE NULLS) OVER earlier,
        last_value(CASE WHEN target = 2 THEN billed END IGNORE NULLS) OVER earlier,
        last_value(CASE WHEN target = 3 THEN billed END IGNORE NULLS) OVER earlier
    ][target + 1]                                   AS last_billed_at_target
FROM counted
WINDOW
    run     AS (PARTITION BY router, trajectory ORDER BY step_index),
    earlier AS (PARTITION BY router, trajectory ORDER BY step_index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING);

-- The three paths' costs of each row, NULL for an error row. As the next row's previous row it keeps its tier on the first two;
-- on the predicted path it has none, so the next row is cold.
CREATE OR REPLACE TEMP VIEW bill AS
WITH cached AS (
    SELECT
        *,
        pred IS NULL                        AS error,
        coalesce(pred >= target, false)     AS passes,
        coalesce(pred = target, false)      AS exact,
        -- all that is billed on the always-high path is billed at high
        reusable_high IS NOT NULL AND NOT expired(step_index, last_billed)          AS hit_high,
        reusable_target IS NOT NULL AND previous_target = target
            AND NOT expired(step_index, last_billed_at_target)                      AS hit_target,
        -- the previous row was billed at this very tier, so it is the last billed one
        reusable_pred IS NOT NULL AND previous_pred = pred
            AND NOT expired(step_index, last_billed)                                AS hit_pred
    FROM step
)
SELECT
    *,
    row_cost(3, CASE WHEN hit_high THEN reusable_high ELSE 0 END, prompt_high, output)              AS cost_high,
    row_cost(target, CASE WHEN hit_target THEN reusable_target ELSE 0 END, prompt_target, output)   AS cost_target,
    row_cost(pred, CASE WHEN hit_pred THEN reusable_pred ELSE 0 END, prompt_pred, output)           AS cost_pred
FROM cached;

-- A trajectory passes when every row of it does. All metrics are sums over these.
CREATE OR REPLACE TEMP VIEW trajectory_bill AS
SELECT
    router,
    trajectory,
    count(*)                                            AS rows,
    count(*) FILTER (error)                             AS errors,
    count(*) FILTER (passes)                            AS passing_rows,
    count(*) FILTER (exact)                             AS exact_rows,
    count(*) FILTER (target = 3)                        AS high_rows,
    count(*) FILTER (target = 3 AND pred = 3)           AS high_hits,
    bool_and(passes)                                    AS passes,
    bool_and(exact)                                     AS exact,
    coalesce(sum(cost_high), 0)                         AS high,
    coalesce(sum(cost_target), 0)                       AS target,
    coalesce(sum(cost_pred), 0)                         AS pred,
    -- for the ablation: passing rows with a target below high; rows with a target below high; failing rows
    coalesce(sum(cost_high - cost_target) FILTER (passes AND target <> 3), 0)       AS saveable_where_passing,
    coalesce(sum(cost_high - cost_pred) FILTER (passes AND target <> 3), 0)         AS saved_where_passing,
    coalesce(sum(cost_high - cost_target) FILTER (target <> 3), 0)                  AS saveable_below_high,
    coalesce(sum(CASE WHEN passes THEN cost_high - cost_pred ELSE -cost_pred END), 0) AS saved_by_row
FROM bill
GROUP BY router, trajectory;

-- What all metrics read: the trajectories of what was loaded last, billed once.
CREATE OR REPLACE TEMP TABLE scored AS FROM trajectory_bill WITH NO DATA;

-- A trajectory's part of each sum that the headline is made of: a function of their totals by workload, and of nothing else. So a
-- resample of trajectories is scored by adding these up.
CREATE OR REPLACE TEMP VIEW trajectory_part AS
SELECT
    router, workload, instance_id, group_name, rows, passing_rows, exact_rows,
    CASE WHEN passes THEN rows ELSE 0 END               AS rows_if_passing,
    high                                                AS d,
    CASE WHEN passes THEN high - pred ELSE -pred END    AS n
FROM scored JOIN trajectory USING (trajectory);

-- Per workload: D, what always-high costs; N, what was saved on passing trajectories minus what failing ones cost.
CREATE OR REPLACE TEMP VIEW workload_bill AS
SELECT
    router,
    workload,
    sum(rows)                                           AS rows,
    sum(errors)                                         AS errors,
    sum(passing_rows)                                   AS passing_rows,
    sum(exact_rows)                                     AS exact_rows,
    coalesce(sum(rows) FILTER (passes), 0)              AS rows_of_passing_trajectories,
    count(*)                                            AS trajectories,
    count(*) FILTER (passes)                            AS passing_trajectories,
    count(*) FILTER (exact)                             AS exact_trajectories,
    sum(high_rows)                                      AS high_rows,
    sum(high_hits)                                      AS high_hits,
    sum(high)                                           AS d,
    sum(CASE WHEN passes THEN high - pred ELSE -pred END) AS n,
    sum(pred)                                           AS cost,
    sum(high) FILTER (NOT passes)                       AS failed_high,
    sum(high - target)                                  AS d_b,
    sum(saveable_below_high)                            AS d_c,
    sum(saveable_where_passing)                         AS d_a,
    sum(saved_where_passing)                            AS n_a,
    sum(saved_by_row)                                   AS n_d
FROM scored JOIN trajectory USING (trajectory)
GROUP BY router, workload;

CREATE OR REPLACE TEMP VIEW workload_rated AS
SELECT
    *,
    rows / sum(rows) OVER (PARTITION BY router)         AS weight,
    percent(n, d)                                       AS cost_save,
    percent(high_hits, high_rows)                       AS high_tier_hit_rate
FROM workload_bill;

-- The same, computed once.
CREATE OR REPLACE TEMP TABLE workload_score AS FROM workload_rated WITH NO DATA;

-- The headline. A workload without D contributes nothing to CostSave; where none has a D, CostSave is undefined.
CREATE OR REPLACE TEMP VIEW score AS
WITH metrics AS (
    SELECT
        router,
        percent(sum(passing_rows), sum(rows))                   AS row_pass,
        percent(sum(exact_rows), sum(rows))                     AS row_exact,
        percent(sum(rows_of_passing_trajectories), sum(rows))   AS traj_pass,
        sum(weight * cost_save ORDER BY workload)               AS cost_save,
        usd(sum(cost))                                          AS cost_usd,
        sum(rows)                                               AS rows,
        sum(errors)                                             AS errors,
        sum(trajectories)                                       AS trajectories,
        sum(passing_trajectories)                               AS passed_trajectories
    FROM workload_score
    GROUP BY router
)
SELECT *, (row_pass + row_exact + traj_pass + cost_save) / 4 AS combined
FROM metrics;

-- What a router's own LLM calls cost, and CostSave with that taken from N of its workload. Nothing of it is in the headline; money
-- that was spent on an error row was spent.
CREATE OR REPLACE TEMP VIEW net AS
WITH own AS (
    SELECT router, workload, sum(spent) AS spent
    FROM own_call JOIN base USING (row_no) JOIN trajectory USING (trajectory)
    GROUP BY router, workload
)
SELECT
    router,
    usd(sum(spent))                                                                 AS router_usd,
    sum(weight * percent(n - coalesce(spent, 0), d) ORDER BY workload)              AS cost_save_net
FROM workload_score LEFT JOIN own USING (router, workload)
GROUP BY router
HAVING count(spent) > 0;

-- Accounting ablation (Table A17), each aggregated over workloads as CostSave.
CREATE OR REPLACE TEMP VIEW ablation AS
SELECT
    router,
    sum(weight * percent(n_a, d_a) ORDER BY workload)   AS a,
    sum(weight * percent(n, d_b) ORDER BY workload)     AS b,
    sum(weight * percent(n, d_c) ORDER BY workload)     AS c,
    sum(weight * percent(n_d, d) ORDER BY workload)     AS d,
    sum(weight * cost_save ORDER BY workload)           AS e
FROM workload_score
GROUP BY router;

-- Target by prediction, 4 for errors.
CREATE OR REPLACE TEMP VIEW target_by_prediction AS
SELECT router, target, coalesce(pred, 4) AS pred, count(*) AS rows
FROM prediction JOIN base USING (row_no)
GROUP BY ALL;

-- The same, computed once.
CREATE OR REPLACE TEMP TABLE confusion AS FROM target_by_prediction WITH NO DATA;

-- Error pattern (Table A14) over rows with a target below high: the first that applies.
CREATE OR REPLACE TEMP VIEW error_pattern AS
SELECT
    router,
    CASE
        WHEN pred = 4          THEN 'error'
        WHEN pred < target     THEN 'below_target'
        WHEN pred = target     THEN 'exact'
        WHEN pred = target + 1 THEN 'up_one'
        WHEN pred = 3          THEN 'jump_to_high'
        ELSE 'other'
    END         AS pattern,
    sum(rows)   AS rows
FROM confusion
WHERE target < 3
GROUP BY ALL;

-- Legacy blocks of the released scorer, without weights over workloads.
CREATE OR REPLACE TEMP VIEW legacy AS
WITH nominal AS ( -- a step at a nominal million output tokens
    SELECT
        router, target, pred, rows,
        1000000::HUGEINT * (getvariable('rate_output')[4] - getvariable('rate_output')[target + 1]) AS save_target,
        1000000::HUGEINT * (getvariable('rate_output')[4] - getvariable('rate_output')[pred + 1])   AS save_pred
    FROM confusion
    WHERE pred < 4 AND pred >= target
), section_11 AS (
    SELECT
        router,
        sum(rows)                                               AS passed,
        sum(rows) FILTER (save_target > 0)                      AS used,
        usd(sum(rows * save_target) FILTER (save_target > 0))   AS sum_save_gt_usd,
        usd(sum(rows * save_pred) FILTER (save_target > 0))     AS sum_save_test_usd
    FROM nominal
    GROUP BY router
), accounting AS (
    SELECT
        router,
        sum(rows)                   AS rows,
        sum(errors)                 AS errors,
        sum(trajectories)           AS trajectories,
        sum(passing_trajectories)   AS passed_trajectories,
        sum(exact_trajectories)     AS exact_trajectories,
        sum(d_b)                    AS d,
        sum(n)                      AS n
    FROM workload_score
    GROUP BY router
)
SELECT
    accounting.router,
    coalesce(passed, 0)                                         AS passed,
    coalesce(used, 0)                                           AS used,
    coalesce(sum_save_gt_usd, 0)                                AS sum_save_gt_usd,
    coalesce(sum_save_test_usd, 0)                              AS sum_save_test_usd,
    100 * sum_save_test_usd / nullif(sum_save_gt_usd, 0)        AS cost_savings_score,
    usd(1000000 * getvariable('rate_output')[4])                AS baseline_usd,
    usd(d)                                                      AS d_usd,
    usd(n)                                                      AS n_usd,
    exact_trajectories,
    percent(passed_trajectories, trajectories)                  AS pass_rate,
    percent(exact_trajectories, trajectories)                   AS exact_match_rate,
    CASE WHEN d > 0 THEN percent(n, d) END                      AS accounting_savings,
    (pass_rate + exact_match_rate + accounting_savings) / 3     AS overall
FROM accounting LEFT JOIN section_11 USING (router);
