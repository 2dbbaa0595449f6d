-- Ids are ordered by their bytes, as the program orders them, and not by the database's language.
-- The record is json and not jsonb: jsonb takes no U+0000, which an error message from outside may hold, and
-- a record that cannot be written down stops a renewal.
CREATE TABLE perennial_records (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL CHECK (version > 0),
    record json NOT NULL
);

-- Private keys, chains, and what issuers keep for themselves (generation 0).
CREATE TABLE perennial_slots (
    kind text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    generation bigint NOT NULL CHECK (generation >= 0),
    content bytea NOT NULL,
    PRIMARY KEY (owner, kind, generation)
);
