-- The router's system of record. Times are microseconds UTC. What is about a person lies in `sealed` columns only.

-- Registry: facts as JSON in `body`, and the columns by which they are found.
-- Grows with every change, so that each process sees cheaply that its picture is old.
CREATE TABLE registry_version (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    version BIGINT NOT NULL
);
INSERT INTO registry_version (only_row, version) VALUES (1, 1);

CREATE TABLE controller (
    id UUID PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    operator BIGINT NOT NULL,               -- 1 for the operator itself
    body TEXT NOT NULL,
    secrets BYTEA,                          -- its `whsk_` keys, sealed under the key ring's `secrets` key
    changed_at BIGINT NOT NULL
);

CREATE TABLE contact (
    controller UUID NOT NULL,
    slug TEXT NOT NULL,
    sealed BYTEA NOT NULL,                  -- staff are persons too
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (controller, slug)
);

CREATE TABLE binding (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    body TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (channel, account)
);

CREATE TABLE system (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    slug TEXT NOT NULL,
    body TEXT NOT NULL,
    secrets BYTEA,                          -- sealed under the key ring's `secrets` key
    changed_at BIGINT NOT NULL,
    UNIQUE (controller, slug)
);

CREATE TABLE signing_key (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    issuer TEXT NOT NULL,
    kid TEXT NOT NULL,
    jwk TEXT NOT NULL,
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, retired, revoked
    entry UUID NOT NULL,                    -- the key_event that brought it into this state
    changed_at BIGINT NOT NULL,
    UNIQUE (issuer, kid)
);
CREATE INDEX signing_key_pending ON signing_key (entry) WHERE state = 'pending';

CREATE TABLE instruction (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, replaced
    entry UUID NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (controller, version)
);
CREATE INDEX instruction_pending ON instruction (entry) WHERE state = 'pending';

CREATE TABLE registry_snapshot (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    digest BYTEA NOT NULL,
    body TEXT NOT NULL,                     -- the systems in scope, as the entry holds them
    state TEXT NOT NULL,                    -- pending until its entry is logged, active, replaced
    entry UUID NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX registry_snapshot_of ON registry_snapshot (controller, state);
CREATE INDEX registry_snapshot_pending ON registry_snapshot (entry) WHERE state = 'pending';

-- Bearer tokens: the digest opens, the token itself is shown once and never stored.
CREATE TABLE token (
    digest BYTEA PRIMARY KEY,
    role TEXT NOT NULL,
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

-- Requests. Immutable after insert but for controller, stage, version, outcome, instruction and closed_at.
CREATE TABLE request (
    id UUID PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE,           -- HMAC of the caller's scope and its key, or of the provider's message id
    body_digest BYTEA NOT NULL,             -- HMAC of the body: the same key with another body is refused
    controller UUID NOT NULL,               -- the operator while unmatched
    stage TEXT NOT NULL,
    version BIGINT NOT NULL,
    outcome TEXT,
    exercised TEXT NOT NULL,                -- the right
    channel TEXT NOT NULL,
    product TEXT,
    binding UUID,
    door TEXT NOT NULL,
    assurance TEXT NOT NULL,
    assured_at BIGINT NOT NULL,
    assured_by BYTEA,                      -- SHA-256 of what showed it
    jurisdiction TEXT,
    locale TEXT,
    regime TEXT NOT NULL,
    regime_version TEXT NOT NULL,
    zone TEXT NOT NULL,
    received_at BIGINT NOT NULL,            -- starts the clock; never changes
    accepted_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    instruction UUID,
    status_digest BYTEA NOT NULL,           -- of the status page's link
    answer BYTEA NOT NULL,                  -- the first answer, sealed
    sealed BYTEA,                           -- identities and words, sealed; gone after shredding
    closed_at BIGINT,
    alarm BIGINT NOT NULL DEFAULT 0            -- what was told of its deadline: 0 nothing, 1 due soon, 2 overdue
);
CREATE INDEX request_open ON request (stage, accepted_at) WHERE stage <> 'closed';
-- Ids grow with time: one index serves both "whose" and "newest first".
CREATE INDEX request_of ON request (controller, id);
CREATE INDEX request_due ON request (due_at) WHERE stage <> 'closed';
CREATE INDEX request_status ON request (status_digest);

CREATE TABLE intake_counter (
    controller UUID PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE intake (
    controller UUID NOT NULL,
    seq BIGINT NOT NULL,                    -- dense from 1 per controller
    request UUID NOT NULL,
    PRIMARY KEY (controller, seq)
);
CREATE INDEX intake_request ON intake (request);

-- What goes out on the bus; a row goes when the bus has acknowledged it.
-- A queue: what is deleted is more than what is there, so it is vacuumed by number and not by share.
CREATE TABLE outbox (
    id UUID PRIMARY KEY,
    shard BIGINT NOT NULL,
    topic TEXT NOT NULL,
    key BYTEA NOT NULL,
    headers TEXT NOT NULL,                  -- JSON: message id, trace context, facts; no personal data
    value BYTEA NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX outbox_shard ON outbox (shard, id);

CREATE TABLE relay_lease (
    shard BIGINT PRIMARY KEY,
    worker UUID NOT NULL,
    until BIGINT NOT NULL
);

-- What the ledger must hold; a row goes when `dsr.logged.v1` names its index.
CREATE TABLE entry (
    id UUID PRIMARY KEY,
    controller UUID NOT NULL,
    request UUID,
    type BIGINT NOT NULL,
    message BYTEA NOT NULL,                 -- as it goes out on the bus, the entry's bytes within; the same on every sending
    created_at BIGINT NOT NULL,
    resend_at BIGINT NOT NULL,
    resent BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX entry_resend ON entry (resend_at);

CREATE TABLE plan (
    request UUID PRIMARY KEY,               -- unique: a redelivered message plans nothing twice
    controller UUID NOT NULL,
    snapshot UUID NOT NULL,
    instruction UUID,
    instruct TEXT NOT NULL,
    planned_at BIGINT NOT NULL
);

CREATE TABLE task (
    id UUID PRIMARY KEY,
    request UUID NOT NULL,
    controller UUID NOT NULL,
    system UUID NOT NULL,
    stage TEXT NOT NULL,
    demand TEXT NOT NULL,
    answer TEXT,                            -- the last word of done and stated
    park TEXT,
    due_at BIGINT,                          -- of a due one: the next attempt
    fence BIGINT,                           -- of the claim that it was last sent under
    started_at BIGINT,                      -- of a sending one: when
    leased_until BIGINT,                    -- of a sending one that its system fetched: when it is due again
    steps BIGINT NOT NULL,                  -- steps of the retry schedule that are used up
    rejections BIGINT NOT NULL,             -- 401, 403 and 404 in a row
    deadline_at BIGINT NOT NULL,            -- when the request's answer is due
    digest BYTEA NOT NULL,                  -- SHA-256 of the rendered body
    sealed BYTEA,                           -- the rendered body, sealed; the same on every attempt
    created_at BIGINT NOT NULL,
    dispatched_at BIGINT,                   -- the first 2xx
    remind_at BIGINT,                       -- when its owner is reminded next, while no receipt came
    proposed TEXT,                          -- what our statement about it says, signed and not approved yet
    last_word UUID,                       -- the receipt behind a done one's answer, the entry behind a stated one's
    UNIQUE (request, system)
);
CREATE INDEX task_due ON task (system, controller, due_at) WHERE stage = 'due';
CREATE INDEX task_sending ON task (started_at) WHERE stage = 'sending';
CREATE INDEX task_leased ON task (leased_until) WHERE stage = 'sending' AND leased_until IS NOT NULL;
CREATE INDEX task_remind ON task (remind_at) WHERE stage = 'awaiting_receipt' AND remind_at IS NOT NULL;
CREATE INDEX task_open ON task (stage, created_at) WHERE stage IN ('held', 'awaiting_receipt', 'parked');

-- Work on many tasks that somebody ordered: dispatch works it off batch by batch.
CREATE TABLE job (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    ordered TEXT NOT NULL,                    -- JSON: what is to be done, and to which tasks; no personal data
    who UUID NOT NULL,                      -- the person who ordered it
    state TEXT NOT NULL,                      -- open, done, failed
    reason TEXT,                             -- why a failed one was, in a word
    cursor_at BIGINT,                           -- up to which task it is worked off: when that one was made,
    cursor_task UUID,                       -- and its id
    total BIGINT NOT NULL,                      -- how many tasks there were when it was ordered
    done BIGINT NOT NULL,                       -- how many were changed
    passed BIGINT NOT NULL,                     -- how many were not what was ordered any more
    made_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX job_open ON job (id) WHERE state = 'open';

-- Whose tasks and messages are not handed over for now.
CREATE TABLE pause (
    controller UUID PRIMARY KEY,
    who UUID NOT NULL,
    since BIGINT NOT NULL
);

CREATE TABLE attempt (
    id UUID PRIMARY KEY,
    task UUID NOT NULL,
    fence BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    status BIGINT,                          -- HTTP status, where there was an answer
    result TEXT NOT NULL                    -- delivered, or the class of failure
);
CREATE INDEX attempt_task ON attempt (task);

CREATE TABLE worker (
    id UUID PRIMARY KEY,
    until BIGINT NOT NULL
);

-- Who sends for a system. The fence grows with each holder, so that a former one's writes can be told apart.
CREATE TABLE endpoint_lease (
    system UUID PRIMARY KEY,
    worker UUID,
    fence BIGINT NOT NULL,
    open_until BIGINT,                      -- while its breaker is open: when the next probe may go
    opened BIGINT NOT NULL DEFAULT 0        -- how often it opened in a row; written when it turns only
);

-- A controller's tasks, or messages, for a system, so that many controllers share one system's capacity evenly.
CREATE TABLE lane (
    system UUID NOT NULL,
    controller UUID NOT NULL,
    freight TEXT NOT NULL,                  -- task or message
    next_due BIGINT,                        -- of its earliest due one; NULL if none is due
    PRIMARY KEY (system, controller, freight)
);
CREATE INDEX lane_due ON lane (next_due) WHERE next_due IS NOT NULL;

-- What a client's system is told beside its tasks, with the exact bytes that it gets on every attempt.
CREATE TABLE message (
    id UUID PRIMARY KEY,
    system UUID NOT NULL,
    controller UUID NOT NULL,
    type TEXT NOT NULL,
    request UUID NOT NULL,                 -- the one that it is about, or the first of them
    task UUID,                             -- the task that it is about, where it is about one
    stage TEXT NOT NULL,                    -- due, sending, delivered, moot, given_up
    reason TEXT,                            -- why a given_up one was
    due_at BIGINT,                          -- of a due one: the next attempt
    fence BIGINT,                           -- of the claim that it was last sent under
    started_at BIGINT,                      -- of a sending one: when
    steps BIGINT NOT NULL,                  -- steps of the retry schedule that are used up
    rejections BIGINT NOT NULL,             -- 401, 403 and 404 in a row
    deadline_at BIGINT NOT NULL,            -- what it is about is settled by then; it is tried for some time longer
    digest BYTEA NOT NULL,                  -- SHA-256 of the rendered body
    sealed BYTEA NOT NULL,                  -- the rendered body, under that request's evidence key
    created_at BIGINT NOT NULL,
    ended_at BIGINT                         -- when it was delivered or given up, from when it is kept for some days
);
CREATE INDEX message_due ON message (system, controller, due_at) WHERE stage = 'due';
CREATE INDEX message_sending ON message (started_at) WHERE stage = 'sending';
CREATE INDEX message_ended ON message (stage, ended_at) WHERE ended_at IS NOT NULL;

-- What a system is to be told; a row goes when it stands in a message.
CREATE TABLE happening (
    id UUID PRIMARY KEY,
    system UUID NOT NULL,
    controller UUID NOT NULL,
    happened_at BIGINT NOT NULL,
    told TEXT NOT NULL                      -- JSON: ids and facts; no personal data
);

-- Up to which of its requests a controller with a notices system has acknowledgements.
CREATE TABLE notice_cursor (
    controller UUID PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE receipt (
    id UUID PRIMARY KEY,
    request UUID NOT NULL,
    task UUID NOT NULL,
    controller UUID NOT NULL,
    system UUID NOT NULL,
    issuer TEXT NOT NULL,
    kid TEXT NOT NULL,
    jti UUID NOT NULL,
    statement_digest BYTEA NOT NULL,        -- SHA-256 of txn and events: a re-signed receipt says the same
    signer TEXT NOT NULL,
    level TEXT NOT NULL,
    outcome TEXT NOT NULL,
    standing TEXT NOT NULL,                 -- counted, kept (conflict or below demand), superseded
    sealed BYTEA,                           -- the exact bytes, under the evidence key
    received_at BIGINT NOT NULL,
    entry UUID NOT NULL,
    log_index BIGINT,
    log_size BIGINT,
    UNIQUE (issuer, jti)
);
CREATE INDEX receipt_task ON receipt (task);
CREATE INDEX receipt_request ON receipt (request);
CREATE INDEX receipt_entry ON receipt (entry);

CREATE TABLE statement (
    id UUID PRIMARY KEY,                   -- its entry's too
    request UUID NOT NULL,
    task UUID,
    kind TEXT NOT NULL,
    approver TEXT,
    sealed BYTEA NOT NULL,                 -- the exact bytes, under the evidence key
    made_at BIGINT NOT NULL
);
CREATE INDEX statement_request ON statement (request);

-- What should not have happened and was survived, for somebody to look at.
CREATE TABLE anomaly (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    request UUID,
    task UUID,
    system UUID,
    sealed BYTEA,
    seen_at BIGINT NOT NULL
);
CREATE INDEX anomaly_task ON anomaly (task);
