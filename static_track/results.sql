-- Views over all results of a store. A set of Parquet files is written once and never changed, so anything may read them at any
-- time. `{root}` is the store's folder.

-- One line a score: a router on a bank (or a part of it) under a protocol.
CREATE OR REPLACE VIEW scores AS
SELECT * EXCLUDE (detail) FROM read_parquet('{root}/scores/*/score.parquet', union_by_name = true);

-- One line a score and workload.
CREATE OR REPLACE VIEW workloads AS
SELECT * FROM read_parquet('{root}/scores/*/workloads.parquet', union_by_name = true);

-- One line a score and trajectory, costs in USD.
CREATE OR REPLACE VIEW trajectories AS
SELECT * FROM read_parquet('{root}/scores/*/trajectories.parquet', union_by_name = true);

-- One line a router and row.
CREATE OR REPLACE VIEW predictions AS
SELECT * FROM read_parquet('{root}/predictions/*/predictions.parquet', union_by_name = true);
