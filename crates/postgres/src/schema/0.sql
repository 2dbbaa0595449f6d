-- One row: the number of the file that was applied last. Each statement here may be repeated.
CREATE TABLE IF NOT EXISTS perennial_schema (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version integer NOT NULL DEFAULT 0
);
INSERT INTO perennial_schema DEFAULT VALUES ON CONFLICT DO NOTHING;
