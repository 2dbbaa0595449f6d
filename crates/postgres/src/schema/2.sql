-- What is due, and who works on it. While somebody holds a certificate, next_at is the end of the lease;
-- else it is due_at, as the record has it. So one column says whose turn it is, and no scan passes over what
-- is held. Whole seconds, as everywhere in the program; a record of an older schema is looked at at once.
ALTER TABLE perennial_records
    ADD COLUMN due_at timestamptz(0) NOT NULL DEFAULT '0001-01-01 00:00:00+00' CHECK (isfinite(due_at)),
    ADD COLUMN next_at timestamptz(0) NOT NULL DEFAULT '0001-01-01 00:00:00+00' CHECK (isfinite(next_at)),
    ADD COLUMN owner text COLLATE "C",
    ADD COLUMN fence bigint NOT NULL DEFAULT 0 CHECK (fence >= 0),
    -- Why the record could not be read, when somebody tried last; and its own schema, if that was the reason.
    ADD COLUMN damage text,
    ADD COLUMN newer bigint;
CREATE INDEX perennial_due ON perennial_records (next_at, id);
CREATE INDEX perennial_damaged ON perennial_records (id) WHERE damage IS NOT NULL;

-- Of all certificates together: one that is removed and made again gets no fence a second time.
CREATE SEQUENCE perennial_fences;

-- What is left of budgets. The key is the program's own JSON; the bucket is full at that moment, in
-- milliseconds since 1970.
CREATE TABLE perennial_buckets (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL CHECK (version > 0),
    full_at bigint NOT NULL
);
CREATE INDEX perennial_full ON perennial_buckets (full_at);
