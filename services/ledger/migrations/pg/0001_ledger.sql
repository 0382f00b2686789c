-- The ledger's own database. Times are microseconds UTC. Leaves and tiles say nothing about anyone; what is about a
-- request lies in `entry.body`, sealed under that request's evidence key.

-- The log itself: who it is, how large, and who may append. Every append is one UPDATE of this row under its fence.
CREATE TABLE log (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    origin TEXT NOT NULL,
    vkey TEXT NOT NULL,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    announced BIGINT NOT NULL,               -- every leaf below this was announced
    fence BIGINT NOT NULL,                   -- grows with every holder
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);

-- Entries that came and have no place yet, in the order in which they came.
-- A queue: what is deleted is more than what is there, so it is vacuumed by number and not by share.
CREATE TABLE pending (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    controller UUID NOT NULL,
    request UUID,
    type BIGINT NOT NULL,
    receipt UUID,
    at BIGINT NOT NULL,
    content BYTEA NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- What the log holds.
CREATE TABLE entry (
    leaf_index BIGINT PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    controller UUID NOT NULL,
    controller_seq BIGINT NOT NULL,
    request UUID,
    type BIGINT NOT NULL,
    receipt UUID,                            -- of a receipt's entry: its id
    at BIGINT NOT NULL,
    leaf BYTEA NOT NULL,
    body BYTEA,                              -- salt and bytes: sealed if about a request; NULL once shredded
    logged_at BIGINT NOT NULL,
    UNIQUE (controller, controller_seq)
);
CREATE INDEX entry_request ON entry (request, leaf_index) WHERE request IS NOT NULL;
CREATE INDEX entry_receipt ON entry (receipt) WHERE receipt IS NOT NULL;
CREATE INDEX entry_key_event ON entry (leaf_index) WHERE type = 11;

-- The last number given in each controller's sequence.
CREATE TABLE sequence (
    controller UUID PRIMARY KEY,
    last BIGINT NOT NULL
);

-- Each tile as wide as it is by now; a narrower one is its beginning.
CREATE TABLE tile (
    level BIGINT NOT NULL,
    tile_index BIGINT NOT NULL,
    width BIGINT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (level, tile_index)
);

-- Signed heads that were published.
CREATE TABLE checkpoint (
    size BIGINT PRIMARY KEY,
    note TEXT NOT NULL,
    signed_at BIGINT NOT NULL
);

-- Logged entries that came again, because their sender missed the announcement: to be announced again.
CREATE TABLE again (
    id UUID PRIMARY KEY
);

-- Auditors' tokens: only digests are kept.
CREATE TABLE auditor_token (
    digest BYTEA PRIMARY KEY,
    scope TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
