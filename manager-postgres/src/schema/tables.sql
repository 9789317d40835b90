-- The log of messages, and what is known of those that were deleted from it.
--
-- `xid` is the transaction that wrote a message. A listener reads what has become visible since it read last, by
-- transactions instead of numbers: a number is drawn when a message is written, which may be an hour before its
-- transaction commits.

CREATE SCHEMA IF NOT EXISTS @schema@;
REVOKE ALL ON SCHEMA @schema@ FROM PUBLIC;

CREATE TABLE IF NOT EXISTS @schema@.state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version integer NOT NULL,
    -- Distinguishes this installation from an earlier one, with whose positions it has nothing in common.
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    -- How long a message is kept after its commit.
    retention interval NOT NULL,
    -- How many are kept at most, as far as they are older than half a minute.
    max_rows bigint NOT NULL,
    -- Each message that was deleted is visible in this snapshot.
    horizon pg_snapshot NOT NULL DEFAULT '1:1:',
    -- The schema of the functions that applications call.
    functions text NOT NULL
);

CREATE TABLE IF NOT EXISTS @schema@.message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    channel text NOT NULL,
    message bytea NOT NULL
) WITH (
    -- Rows come and go: they are vacuumed by their number, not by their share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
CREATE INDEX IF NOT EXISTS message_by_transaction ON @schema@.message (channel, xid, id);

-- What was committed at a time: the age of a message begins with its commit.
CREATE TABLE IF NOT EXISTS @schema@.epoch (
    at timestamptz PRIMARY KEY,
    seen pg_snapshot NOT NULL,
    last_id bigint NOT NULL
);

-- The latest transaction of a channel of which a message was deleted.
CREATE TABLE IF NOT EXISTS @schema@.trimmed (
    channel text PRIMARY KEY,
    xid xid8 NOT NULL
);
