-- Views over the live scores that a store keeps. `{root}` is the store's folder.

-- One line a scored run.
CREATE OR REPLACE VIEW live_runs AS
SELECT * FROM read_parquet('{root}/live/*/run.parquet', union_by_name = true);

-- One line a trial of a case.
CREATE OR REPLACE VIEW live_trials AS
SELECT * FROM read_parquet('{root}/live/*/trials.parquet', union_by_name = true);

-- One line an answered call.
CREATE OR REPLACE VIEW live_calls AS
SELECT * FROM read_parquet('{root}/live/*/calls.parquet', union_by_name = true);
