-- The key store: a database of its own, whose backups are kept for at most 7 days, so that a deleted key stays deleted.
-- Times are microseconds UTC. Every key in it is wrapped.

-- One per controller, calendar quarter and class; wrapped under the root key of its class.
CREATE TABLE wrapping_key (
    controller UUID NOT NULL,
    quarter BIGINT NOT NULL,                -- year × 4 + 0 … 3, UTC
    class BIGINT NOT NULL,                  -- 1 subject, 2 evidence
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (controller, quarter, class)
);

-- One per request and class; deleting it is what shredding means.
CREATE TABLE data_key (
    request UUID NOT NULL,
    class BIGINT NOT NULL,
    controller UUID NOT NULL,
    quarter BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (request, class),
    FOREIGN KEY (controller, quarter, class) REFERENCES wrapping_key (controller, quarter, class)
);
CREATE INDEX data_key_wrapped_by ON data_key (controller, quarter, class);
CREATE INDEX data_key_created ON data_key (created_at, request) WHERE class = 2;

-- How far keys were looked at whose request may never have come.
CREATE TABLE swept (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    created_at BIGINT NOT NULL,
    request UUID NOT NULL
);
INSERT INTO swept (only_row, created_at, request) VALUES (1, 0, '00000000-0000-0000-0000-000000000000');

-- The ledger's newest signed head, kept where a restore of the ledger's database doesn't reach.
CREATE TABLE log_head (
    origin TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    written_at BIGINT NOT NULL
);
