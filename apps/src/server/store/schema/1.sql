-- Times are milliseconds since 1970, JSON is text, identifiers are UUIDs of version 7.

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'waiting', 'taken', 'resolved')),
    customer TEXT,
    language TEXT,
    agent TEXT,
    waiting_since INTEGER,
    -- When a person was first asked for or took part; NULL if the assistant was alone.
    person_since INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_updated ON sessions (updated, id);
CREATE INDEX sessions_status ON sessions (status, updated, id);
CREATE INDEX sessions_customer ON sessions (customer) WHERE customer IS NOT NULL;

-- Long columns come last: SQLite reads a row from its beginning, and what is long lies in a chain of pages.
CREATE TABLE turns (
    id TEXT PRIMARY KEY NOT NULL,
    session TEXT REFERENCES sessions (id) ON DELETE CASCADE,
    customer TEXT,
    caller TEXT,
    endpoint TEXT NOT NULL,
    model TEXT,
    adapter TEXT,
    language TEXT,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'abandoned', 'failed')),
    created INTEGER NOT NULL,
    done INTEGER,
    -- Marks in milliseconds after `created`.
    queued_ms REAL,
    first_token_ms REAL,
    total_ms REAL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    outcome TEXT CHECK (outcome IN ('answered', 'no_answer', 'talk', 'handoff')),
    intent TEXT,
    handoff TEXT,
    error TEXT,
    question TEXT NOT NULL,
    described TEXT,
    answer_text TEXT,
    answer TEXT
) STRICT;
CREATE INDEX turns_created ON turns (created, id);
CREATE INDEX turns_session ON turns (session);
CREATE INDEX turns_customer ON turns (customer) WHERE customer IS NOT NULL;
CREATE INDEX turns_open ON turns (id) WHERE state = 'open';
-- All that the dashboard counts, so that it need not read the rows.
CREATE INDEX turns_figures ON turns (created, outcome, total_ms, session, id) WHERE outcome IS NOT NULL;

-- The documents that an answer cites.
CREATE TABLE citations (
    turn TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    title TEXT,
    PRIMARY KEY (turn, document)
) STRICT, WITHOUT ROWID;

-- What an agent said, or a customer in a conversation that is with a person.
CREATE TABLE messages (
    id TEXT PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('customer', 'agent')),
    agent TEXT,
    text TEXT NOT NULL,
    html TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_session ON messages (session, created);

CREATE TABLE feedback (
    turn TEXT PRIMARY KEY NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    rating INTEGER NOT NULL CHECK (rating IN (-1, 1)),
    correction TEXT,
    remark TEXT,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('client', 'agent', 'admin')),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created INTEGER NOT NULL,
    last_used INTEGER,
    revoked INTEGER,
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER
) STRICT, WITHOUT ROWID;
