-- The functions that applications call, inside the transaction whose outcome decides: rolled back, nothing was emitted.

-- Publishes one complete message, as another process would.
CREATE OR REPLACE FUNCTION @functions@.sio_publish(channel text, message json) RETURNS void
LANGUAGE sql VOLATILE AS $sio$
    SELECT @schema@.publish(channel, ARRAY[convert_to(message::text, 'UTF8')])
$sio$;

-- Emits an event to the clients in a room of a namespace, or to all of them if the room is NULL.
CREATE OR REPLACE FUNCTION @functions@.sio_emit_in(namespace text, room text, event text, VARIADIC args jsonb[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql VOLATILE AS $sio$
DECLARE
    name text := coalesce(nullif(current_setting('sio.channel', true), ''), 'socketio');
    message jsonb;
BEGIN
    IF namespace IS NULL OR namespace NOT LIKE '/%' OR namespace LIKE '%,%' THEN
        RAISE EXCEPTION 'sio_emit: the namespace begins with a slash and has no comma' USING ERRCODE = 'invalid_parameter_value';
    ELSIF event IS NULL OR event = '' OR event IN ('connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener') THEN
        RAISE EXCEPTION 'sio_emit: the event has no name, or a reserved one' USING ERRCODE = 'invalid_parameter_value';
    ELSIF room = '' THEN
        RAISE EXCEPTION 'sio_emit: the name of the room is empty; NULL is all clients' USING ERRCODE = 'invalid_parameter_value';
    ELSIF args IS NULL OR array_position(args, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'sio_emit: an argument is NULL; JSON''s null is ''null''::jsonb' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    message := jsonb_build_object('method', 'emit', 'event', event, 'data', to_jsonb(args), 'binary', false,
        'namespace', namespace, 'room', room, 'skip_sid', NULL, 'callback', NULL);
    -- Without a mark a lone null is how python-socketio writes an event without arguments.
    IF args = ARRAY['null'::jsonb] THEN
        message := message || '{"sio": {"v": 1, "null": true}}';
    END IF;
    PERFORM @schema@.publish(name, ARRAY[convert_to(message::text, 'UTF8')]);
END
$sio$;

-- As sio_emit_in, in the namespace /.
CREATE OR REPLACE FUNCTION @functions@.sio_emit(room text, event text, VARIADIC args jsonb[] DEFAULT '{}')
RETURNS void LANGUAGE sql VOLATILE AS $sio$
    SELECT @functions@.sio_emit_in('/', room, event, VARIADIC args)
$sio$;
