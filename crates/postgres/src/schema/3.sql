-- Certificates are handed out of two lines, so that a flood of one keeps nothing of the other waiting: those that
-- have a certificate, and those that have none yet. Every write of a record says which; here it is read out of the
-- record's text, where no text from outside can look like it, since that would have its quotation marks escaped.
-- The column is not generated: the record is json, whose operators
-- refuse U+0000.
ALTER TABLE perennial_records ADD COLUMN has_certificate boolean NOT NULL DEFAULT true;
UPDATE perennial_records SET has_certificate = false WHERE record::text !~ '"current"\s*:\s*\{';
CREATE INDEX perennial_lines ON perennial_records (has_certificate, next_at, id);
DROP INDEX perennial_due;
