-- One bank: an immutable DuckDB file. Rows are numbered from 0 in canonical order: by workload, instance, step.

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

CREATE TABLE trajectory (
    trajectory  INTEGER NOT NULL,   -- numbered from 0, in canonical order
    workload    VARCHAR NOT NULL,
    instance_id VARCHAR NOT NULL,
    heldout     BOOLEAN NOT NULL,   -- an instance of heldout100: never in a split for training
    group_name  VARCHAR             -- what its rows name as their group; NULL: nothing, it is a group by itself
);

-- What was imported, a message only once: under its exact form, with the number of its semantic form.
CREATE TABLE message (
    message_id  INTEGER NOT NULL,
    semantic_id INTEGER NOT NULL,
    json        VARCHAR NOT NULL USING COMPRESSION zstd
);

CREATE TABLE functions (functions_id INTEGER NOT NULL, json VARCHAR NOT NULL);

CREATE TABLE step (
    row_no       INTEGER NOT NULL,
    id           VARCHAR NOT NULL,
    trajectory   INTEGER NOT NULL,
    step_index   INTEGER NOT NULL,
    total_steps  INTEGER NOT NULL,
    messages     INTEGER[] NOT NULL, -- message_id of each
    functions_id INTEGER,            -- NULL: the row has no such field
    extra        VARCHAR NOT NULL    -- all further fields, a JSON object
);

-- All that scoring reads, as numbers. A list holds one count for each tier, low to high, under that tier's tokenizer.
-- A sidecar file for another tokenizer set holds this table alone.
CREATE TABLE base (
    row_no     INTEGER NOT NULL,
    trajectory INTEGER NOT NULL,
    step_index INTEGER NOT NULL,
    target     UTINYINT,            -- NULL, as output: the bank has no labels
    prompt     INTEGER[4] NOT NULL, -- tokens of the row's messages
    reusable   INTEGER[4],          -- those of the previous row, where it is a semantic prefix of this one; else NULL
    output     INTEGER,             -- billed output tokens, under the target tier's tokenizer
    visible    INTEGER[4]           -- the same text as each tier would count it; NULL on a trajectory's last row
);
