-- The router's system of record. Times are microseconds UTC. What is about a person lies in `sealed` columns only.

-- Registry: facts as JSON in `body`, and the columns by which they are found.
-- Grows with every change, so that each process sees cheaply that its picture is old.
CREATE TABLE registry_version (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO registry_version (only_row, version) VALUES (1, 1);

CREATE TABLE controller (
    id BLOB PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    operator INTEGER NOT NULL,               -- 1 for the operator itself
    body TEXT NOT NULL,
    secrets BLOB,                          -- its `whsk_` keys, sealed under the key ring's `secrets` key
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE contact (
    controller BLOB NOT NULL,
    slug TEXT NOT NULL,
    sealed BLOB NOT NULL,                  -- staff are persons too
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (controller, slug)
) STRICT;

CREATE TABLE binding (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    body TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (channel, account)
) STRICT;

CREATE TABLE system (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    slug TEXT NOT NULL,
    body TEXT NOT NULL,
    secrets BLOB,                          -- sealed under the key ring's `secrets` key
    changed_at INTEGER NOT NULL,
    UNIQUE (controller, slug)
) STRICT;

CREATE TABLE signing_key (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    issuer TEXT NOT NULL,
    kid TEXT NOT NULL,
    jwk TEXT NOT NULL,
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, retired, revoked
    entry BLOB NOT NULL,                    -- the key_event that brought it into this state
    changed_at INTEGER NOT NULL,
    UNIQUE (issuer, kid)
) STRICT;
CREATE INDEX signing_key_pending ON signing_key (entry) WHERE state = 'pending';

CREATE TABLE instruction (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, replaced
    entry BLOB NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (controller, version)
) STRICT;
CREATE INDEX instruction_pending ON instruction (entry) WHERE state = 'pending';

CREATE TABLE registry_snapshot (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    digest BLOB NOT NULL,
    body TEXT NOT NULL,                     -- the systems in scope, as the entry holds them
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, replaced
    entry BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX registry_snapshot_of ON registry_snapshot (controller, state);
CREATE INDEX registry_snapshot_pending ON registry_snapshot (entry) WHERE state = 'pending';

-- Bearer tokens: the digest opens, the token itself is shown once and never stored.
CREATE TABLE token (
    digest BLOB PRIMARY KEY,
    role TEXT NOT NULL,
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- Requests. Immutable after insert but for controller, stage, version, outcome, instruction and closed_at.
CREATE TABLE request (
    id BLOB PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,           -- HMAC of the caller's scope and its key, or of the provider's message id
    body_digest BLOB NOT NULL,             -- HMAC of the body: the same key with another body is refused
    controller BLOB NOT NULL,               -- the operator while unmatched
    stage TEXT NOT NULL,
    version INTEGER NOT NULL,
    outcome TEXT,
    exercised TEXT NOT NULL,                -- the right
    channel TEXT NOT NULL,
    product TEXT,
    binding BLOB,
    door TEXT NOT NULL,
    assurance TEXT NOT NULL,
    assured_at INTEGER NOT NULL,
    assured_by BLOB,                      -- SHA-256 of what showed it
    jurisdiction TEXT,
    locale TEXT,
    regime TEXT NOT NULL,
    regime_version TEXT NOT NULL,
    zone TEXT NOT NULL,
    received_at INTEGER NOT NULL,            -- starts the clock; never changes
    accepted_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    instruction BLOB,
    status_digest BLOB NOT NULL,           -- of the status page's link
    answer BLOB NOT NULL,                  -- the first answer, sealed
    sealed BLOB,                           -- identities and words, sealed; gone after shredding
    closed_at INTEGER,
    alarm INTEGER NOT NULL DEFAULT 0            -- what was told of its deadline: 0 nothing, 1 due soon, 2 overdue
) STRICT;
CREATE INDEX request_open ON request (stage, accepted_at) WHERE stage <> 'closed';
-- Ids grow with time: one index serves both "whose" and "newest first".
CREATE INDEX request_of ON request (controller, id);
CREATE INDEX request_due ON request (due_at) WHERE stage <> 'closed';
CREATE INDEX request_status ON request (status_digest);

CREATE TABLE intake_counter (
    controller BLOB PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE intake (
    controller BLOB NOT NULL,
    seq INTEGER NOT NULL,                    -- dense from 1 per controller
    request BLOB NOT NULL,
    PRIMARY KEY (controller, seq)
) STRICT;
CREATE INDEX intake_request ON intake (request);

-- What goes out on the bus; a row goes when the bus has acknowledged it.
CREATE TABLE outbox (
    id BLOB PRIMARY KEY,
    shard INTEGER NOT NULL,
    topic TEXT NOT NULL,
    key BLOB NOT NULL,
    headers TEXT NOT NULL,                  -- JSON: message id, trace context, facts; no personal data
    value BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_shard ON outbox (shard, id);

CREATE TABLE relay_lease (
    shard INTEGER PRIMARY KEY,
    worker BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- What the ledger must hold; a row goes when `dsr.logged.v1` names its index.
CREATE TABLE entry (
    id BLOB PRIMARY KEY,
    controller BLOB NOT NULL,
    request BLOB,
    type INTEGER NOT NULL,
    message BLOB NOT NULL,                 -- as it goes out on the bus, the entry's bytes within; the same on every sending
    created_at INTEGER NOT NULL,
    resend_at INTEGER NOT NULL,
    resent INTEGER NOT NULL
) STRICT;
CREATE INDEX entry_resend ON entry (resend_at);

CREATE TABLE plan (
    request BLOB PRIMARY KEY,               -- unique: a redelivered message plans nothing twice
    controller BLOB NOT NULL,
    snapshot BLOB NOT NULL,
    instruction BLOB,
    instruct TEXT NOT NULL,
    planned_at INTEGER NOT NULL
) STRICT;

CREATE TABLE task (
    id BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    controller BLOB NOT NULL,
    system BLOB NOT NULL,
    stage TEXT NOT NULL,
    demand TEXT NOT NULL,
    answer TEXT,                            -- the last word of done and stated
    park TEXT,
    due_at INTEGER,                          -- of a due one: the next attempt
    fence INTEGER,                           -- of the claim that it was last sent under
    started_at INTEGER,                      -- of a sending one: when
    leased_until INTEGER,                   -- of a sending one that its system fetched: when it is due again
    steps INTEGER NOT NULL,                  -- steps of the retry schedule that are used up
    rejections INTEGER NOT NULL,             -- 401, 403 and 404 in a row
    deadline_at INTEGER NOT NULL,            -- when the request's answer is due
    digest BLOB NOT NULL,                  -- SHA-256 of the rendered body
    sealed BLOB,                           -- the rendered body, sealed; the same on every attempt
    created_at INTEGER NOT NULL,
    dispatched_at INTEGER,                   -- the first 2xx
    remind_at INTEGER,                       -- when its owner is reminded next, while no receipt came
    proposed TEXT,                          -- what our statement about it says, signed and not approved yet
    last_word BLOB,                       -- the receipt behind a done one's answer, the entry behind a stated one's
    UNIQUE (request, system)
) STRICT;
CREATE INDEX task_due ON task (system, controller, due_at) WHERE stage = 'due';
CREATE INDEX task_sending ON task (started_at) WHERE stage = 'sending';
CREATE INDEX task_leased ON task (leased_until) WHERE stage = 'sending' AND leased_until IS NOT NULL;
CREATE INDEX task_remind ON task (remind_at) WHERE stage = 'awaiting_receipt' AND remind_at IS NOT NULL;
CREATE INDEX task_open ON task (stage, created_at) WHERE stage IN ('held', 'awaiting_receipt', 'parked');

-- Work on many tasks that somebody ordered: dispatch works it off batch by batch.
CREATE TABLE job (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    ordered TEXT NOT NULL,                    -- JSON: what is to be done, and to which tasks; no personal data
    who BLOB NOT NULL,                      -- the person who ordered it
    state TEXT NOT NULL,                      -- open, done, failed
    reason TEXT,                             -- why a failed one was, in a word
    cursor_at INTEGER,                           -- up to which task it is worked off: when that one was made,
    cursor_task BLOB,                       -- and its id
    total INTEGER NOT NULL,                      -- how many tasks there were when it was ordered
    done INTEGER NOT NULL,                       -- how many were changed
    passed INTEGER NOT NULL,                     -- how many were not what was ordered any more
    made_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX job_open ON job (id) WHERE state = 'open';

-- Whose tasks and messages are not handed over for now.
CREATE TABLE pause (
    controller BLOB PRIMARY KEY,
    who BLOB NOT NULL,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE attempt (
    id BLOB PRIMARY KEY,
    task BLOB NOT NULL,
    fence INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    status INTEGER,                          -- HTTP status, where there was an answer
    result TEXT NOT NULL                    -- delivered, or the class of failure
) STRICT;
CREATE INDEX attempt_task ON attempt (task);

CREATE TABLE worker (
    id BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;

-- Who sends for a system. The fence grows with each holder, so that a former one's writes can be told apart.
CREATE TABLE endpoint_lease (
    system BLOB PRIMARY KEY,
    worker BLOB,
    fence INTEGER NOT NULL,
    open_until INTEGER,                     -- while its breaker is open: when the next probe may go
    opened INTEGER NOT NULL DEFAULT 0       -- how often it opened in a row; written when it turns only
) STRICT;

-- A controller's tasks, or messages, for a system, so that many controllers share one system's capacity evenly.
CREATE TABLE lane (
    system BLOB NOT NULL,
    controller BLOB NOT NULL,
    freight TEXT NOT NULL,                  -- task or message
    next_due INTEGER,                        -- of its earliest due one; NULL if none is due
    PRIMARY KEY (system, controller, freight)
) STRICT;
CREATE INDEX lane_due ON lane (next_due) WHERE next_due IS NOT NULL;

-- What a client's system is told beside its tasks, with the exact bytes that it gets on every attempt.
CREATE TABLE message (
    id BLOB PRIMARY KEY,
    system BLOB NOT NULL,
    controller BLOB NOT NULL,
    type TEXT NOT NULL,
    request BLOB NOT NULL,                 -- the one that it is about, or the first of them
    task BLOB,                             -- the task that it is about, where it is about one
    stage TEXT NOT NULL,                    -- due, sending, delivered, moot, given_up
    reason TEXT,                            -- why a given_up one was
    due_at INTEGER,                          -- of a due one: the next attempt
    fence INTEGER,                           -- of the claim that it was last sent under
    started_at INTEGER,                      -- of a sending one: when
    steps INTEGER NOT NULL,                  -- steps of the retry schedule that are used up
    rejections INTEGER NOT NULL,             -- 401, 403 and 404 in a row
    deadline_at INTEGER NOT NULL,            -- what it is about is settled by then; it is tried for some time longer
    digest BLOB NOT NULL,                  -- SHA-256 of the rendered body
    sealed BLOB NOT NULL,                  -- the rendered body, under that request's evidence key
    created_at INTEGER NOT NULL,
    ended_at INTEGER                         -- when it was delivered or given up, from when it is kept for some days
) STRICT;
CREATE INDEX message_due ON message (system, controller, due_at) WHERE stage = 'due';
CREATE INDEX message_sending ON message (started_at) WHERE stage = 'sending';
CREATE INDEX message_ended ON message (stage, ended_at) WHERE ended_at IS NOT NULL;

-- What a system is to be told; a row goes when it stands in a message.
CREATE TABLE happening (
    id BLOB PRIMARY KEY,
    system BLOB NOT NULL,
    controller BLOB NOT NULL,
    happened_at INTEGER NOT NULL,
    told TEXT NOT NULL                      -- JSON: ids and facts; no personal data
) STRICT;

-- Up to which of its requests a controller with a notices system has acknowledgements.
CREATE TABLE notice_cursor (
    controller BLOB PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE receipt (
    id BLOB PRIMARY KEY,
    request BLOB NOT NULL,
    task BLOB NOT NULL,
    controller BLOB NOT NULL,
    system BLOB NOT NULL,
    issuer TEXT NOT NULL,
    kid TEXT NOT NULL,
    jti BLOB NOT NULL,
    statement_digest BLOB NOT NULL,        -- SHA-256 of txn and events: a re-signed receipt says the same
    signer TEXT NOT NULL,
    level TEXT NOT NULL,
    outcome TEXT NOT NULL,
    standing TEXT NOT NULL,                 -- counted, kept (conflict or below demand), superseded
    sealed BLOB,                           -- the exact bytes, under the evidence key
    received_at INTEGER NOT NULL,
    entry BLOB NOT NULL,
    log_index INTEGER,
    log_size INTEGER,
    UNIQUE (issuer, jti)
) STRICT;
CREATE INDEX receipt_task ON receipt (task);
CREATE INDEX receipt_request ON receipt (request);
CREATE INDEX receipt_entry ON receipt (entry);

CREATE TABLE statement (
    id BLOB PRIMARY KEY,                   -- its entry's too
    request BLOB NOT NULL,
    task BLOB,
    kind TEXT NOT NULL,
    approver TEXT,
    sealed BLOB NOT NULL,                 -- the exact bytes, under the evidence key
    made_at INTEGER NOT NULL
) STRICT;
CREATE INDEX statement_request ON statement (request);

-- What should not have happened and was survived, for somebody to look at.
CREATE TABLE anomaly (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    request BLOB,
    task BLOB,
    system BLOB,
    sealed BLOB,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX anomaly_task ON anomaly (task);
