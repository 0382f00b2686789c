-- The ledger's own database. Times are microseconds UTC. Leaves and tiles say nothing about anyone; what is about a
-- request lies in `entry.body`, sealed under that request's evidence key.

-- The log itself: who it is, how large, and who may append. Every append is one UPDATE of this row under its fence.
CREATE TABLE log (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    origin TEXT NOT NULL,
    vkey TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    announced INTEGER NOT NULL,              -- every leaf below this was announced
    fence INTEGER NOT NULL,                  -- grows with every holder
    holder TEXT NOT NULL,
    held_until INTEGER NOT NULL
) STRICT;

-- Entries that came and have no place yet, in the order in which they came.
CREATE TABLE pending (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    controller BLOB NOT NULL,
    request BLOB,
    type INTEGER NOT NULL,
    receipt BLOB,
    at INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;

-- What the log holds.
CREATE TABLE entry (
    leaf_index INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    controller BLOB NOT NULL,
    controller_seq INTEGER NOT NULL,
    request BLOB,
    type INTEGER NOT NULL,
    receipt BLOB,                            -- of a receipt's entry: its id
    at INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    body BLOB,                               -- salt and bytes: sealed if about a request; NULL once shredded
    logged_at INTEGER NOT NULL,
    UNIQUE (controller, controller_seq)
) STRICT;
CREATE INDEX entry_request ON entry (request, leaf_index) WHERE request IS NOT NULL;
CREATE INDEX entry_receipt ON entry (receipt) WHERE receipt IS NOT NULL;
CREATE INDEX entry_key_event ON entry (leaf_index) WHERE type = 11;

-- The last number given in each controller's sequence.
CREATE TABLE sequence (
    controller BLOB PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

-- Each tile as wide as it is by now; a narrower one is its beginning.
CREATE TABLE tile (
    level INTEGER NOT NULL,
    tile_index INTEGER NOT NULL,
    width INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (level, tile_index)
) STRICT;

-- Signed heads that were published.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL,
    signed_at INTEGER NOT NULL
) STRICT;

-- Logged entries that came again, because their sender missed the announcement: to be announced again.
CREATE TABLE again (
    id BLOB PRIMARY KEY
) STRICT;

-- Auditors' tokens: only digests are kept.
CREATE TABLE auditor_token (
    digest BLOB PRIMARY KEY,
    scope TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
