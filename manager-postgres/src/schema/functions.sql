-- The functions behind publishing and trimming. They have the rights of their owner, so that callers need only USAGE on
-- the schema.

-- The version of these objects.
CREATE OR REPLACE FUNCTION @schema@.version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT @version@';

-- Writes messages and wakes the listeners of the channel, once this transaction commits.
CREATE OR REPLACE FUNCTION @schema@.publish(channel text, messages bytea[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $sio$
BEGIN
    -- What listeners have seen must survive a crash, after which numbers of lost transactions are used again.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true);
    END IF;
    INSERT INTO @schema@.message (channel, message)
        SELECT publish.channel, one.message FROM unnest(messages) WITH ORDINALITY AS one (message, number) ORDER BY number;
    PERFORM pg_notify(channel, @wake@);
END
$sio$;

-- Records in the transaction of a deletion what is gone, also if an operator deletes: a listener that had not read it finds out.
CREATE OR REPLACE FUNCTION @schema@.note_deleted() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $sio$
DECLARE
    seen pg_snapshot := coalesce(nullif(current_setting('sio.trimmed_by', true), '')::pg_snapshot, pg_current_snapshot());
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO @schema@.trimmed AS known (channel, xid)
            SELECT channel, max(xid) FROM @schema@.message GROUP BY channel ORDER BY channel
            ON CONFLICT (channel) DO UPDATE SET xid = greatest(known.xid, excluded.xid);
    ELSIF NOT EXISTS (SELECT FROM deleted) THEN
        RETURN NULL;
    ELSE
        INSERT INTO @schema@.trimmed AS known (channel, xid)
            SELECT channel, max(xid) FROM deleted GROUP BY channel ORDER BY channel
            ON CONFLICT (channel) DO UPDATE SET xid = greatest(known.xid, excluded.xid);
    END IF;
    UPDATE @schema@.state SET horizon = seen WHERE pg_snapshot_xmax(seen) >= pg_snapshot_xmax(horizon)
        AND pg_snapshot_xmin(seen) >= pg_snapshot_xmin(horizon) AND seen::text <> horizon::text;
    RETURN NULL;
END
$sio$;
CREATE OR REPLACE TRIGGER note_deleted AFTER DELETE ON @schema@.message
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION @schema@.note_deleted();
CREATE OR REPLACE TRIGGER note_truncated BEFORE TRUNCATE ON @schema@.message
    FOR EACH STATEMENT EXECUTE FUNCTION @schema@.note_deleted();

-- Deletes at most `most` messages that are older than the retention, or too many; returns how many. While one process
-- does so, others return at once. What is published on the same connection is behind it: it waits for no lock for long.
CREATE OR REPLACE FUNCTION @schema@.trim(most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $sio$
DECLARE
    own @schema@.state;
    epoch @schema@.epoch;
    last_id bigint;
    num_deleted bigint := 0;
BEGIN
    SELECT * INTO own FROM @schema@.state FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT coalesce(max(message.id), 0) INTO last_id FROM @schema@.message;
    IF NOT EXISTS (SELECT FROM @schema@.epoch known WHERE known.at > clock_timestamp() - least(own.retention / 16, interval '5 s')) THEN
        INSERT INTO @schema@.epoch VALUES (clock_timestamp(), pg_current_snapshot(), last_id) ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO epoch FROM @schema@.epoch known WHERE known.at <= clock_timestamp() - own.retention ORDER BY known.at DESC LIMIT 1;
    IF FOUND THEN
        DELETE FROM @schema@.epoch known WHERE known.at < epoch.at;
        num_deleted := @schema@.delete_seen(epoch.seen, epoch.last_id, most);
    END IF;
    IF num_deleted < most THEN
        SELECT * INTO epoch FROM @schema@.epoch known
            WHERE known.at <= clock_timestamp() - least(own.retention, interval '30 s') ORDER BY known.at DESC LIMIT 1;
        IF FOUND THEN
            num_deleted := num_deleted
                + @schema@.delete_seen(epoch.seen, least(epoch.last_id, last_id - own.max_rows), (most - num_deleted)::integer);
        END IF;
    END IF;
    RETURN num_deleted;
END
$sio$;

-- Deletes at most `most` messages up to a number, as far as they were committed in `seen`.
CREATE OR REPLACE FUNCTION @schema@.delete_seen(seen pg_snapshot, last_id bigint, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $sio$
DECLARE
    num_deleted bigint;
BEGIN
    PERFORM set_config('sio.trimmed_by', seen::text, true);
    DELETE FROM @schema@.message WHERE id IN (
        SELECT id FROM @schema@.message WHERE id <= last_id AND pg_visible_in_snapshot(xid, seen) ORDER BY id LIMIT most);
    GET DIAGNOSTICS num_deleted = ROW_COUNT;
    PERFORM set_config('sio.trimmed_by', '', true);
    RETURN num_deleted;
END
$sio$;
REVOKE ALL ON FUNCTION @schema@.delete_seen(pg_snapshot, bigint, integer), @schema@.note_deleted() FROM PUBLIC;
