-- The key store: a database of its own, whose backups are kept for at most 7 days, so that a deleted key stays deleted.
-- Times are microseconds UTC. Every key in it is wrapped.

-- One per controller, calendar quarter and class; wrapped under the root key of its class.
CREATE TABLE wrapping_key (
    controller BLOB NOT NULL,
    quarter INTEGER NOT NULL,                -- year × 4 + 0 … 3, UTC
    class INTEGER NOT NULL,                  -- 1 subject, 2 evidence
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (controller, quarter, class)
) STRICT;

-- One per request and class; deleting it is what shredding means.
CREATE TABLE data_key (
    request BLOB NOT NULL,
    class INTEGER NOT NULL,
    controller BLOB NOT NULL,
    quarter INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (request, class),
    FOREIGN KEY (controller, quarter, class) REFERENCES wrapping_key (controller, quarter, class)
) STRICT;
CREATE INDEX data_key_wrapped_by ON data_key (controller, quarter, class);
CREATE INDEX data_key_created ON data_key (created_at, request) WHERE class = 2;

-- How far keys were looked at whose request may never have come.
CREATE TABLE swept (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    created_at INTEGER NOT NULL,
    request BLOB NOT NULL
) STRICT;
INSERT INTO swept (only_row, created_at, request) VALUES (1, 0, x'00000000000000000000000000000000');

-- The ledger's newest signed head, kept where a restore of the ledger's database doesn't reach.
CREATE TABLE log_head (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    note TEXT NOT NULL,
    written_at INTEGER NOT NULL
) STRICT;
