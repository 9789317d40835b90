//! Examples and exit codes, as they stand under the options.

#[cfg(feature = "serve")]
macro_rules! serving {
    () => {
        "  sio demo                             see it work, with nothing installed
  sio serve                            in one terminal: a server, a page, an embedded broker
  sio emit --room lobby news '{\"a\":1}'  in another: an event for all in the room
"
    };
}

#[cfg(not(feature = "serve"))]
macro_rules! serving {
    () => {
        "  sio emit --room lobby news '{\"a\":1}'  an event for all in the room
"
    };
}

pub(super) const MAIN_EXAMPLES: &str = concat!(
    "Examples:\n",
    serving!(),
    "  sio doctor                           why do events not arrive?
  sio help emit                        more about a command

Exit code:
  0    done; also if the reader of standard output has had enough, and for `listen`, `serve`, `demo` and --watch if a signal ended them
  1    the broker, a client or the system refused, failed, took too long or was not there; fewer acknowledgements than --ack;
       no client in a --receipt; a server that did not respond to `servers`, `rooms`, `who` or `count`; a problem that `doctor` found;
       what `connect` or `listen --count` waited for did not come
  2    usage or input: the command line, a URL (also one that leads to something other than it says), data or a line that cannot be used
  129  SIGHUP ended it before its work was done: the terminal was closed
  130  SIGINT did
  143  SIGTERM did"
);

pub(super) const EMIT_EXAMPLES: &str = "\
Examples:
  sio emit news '{\"title\":\"hello\"}'               to all clients
  sio emit -r lobby -r hall news '\"hello\"' 2       to two rooms, with two arguments
  sio emit -r lobby --text news 'hello there'      text needs no quotes of JSON
  sio emit --text log -- -q                        text that begins with a hyphen
  sio emit temperature -3.5                        a negative number needs nothing
  sio emit -n /chat --binary photo.png photo       a file's bytes as an argument
  sio emit --ack 1 --timeout 5s -r ID question 1   print the client's acknowledgement
  sio emit --idempotency-key job-7 -r ID done 7    may be repeated: each client gets it once
  tail -f app.log | sio emit --lines --text log    an event for each line
  sio emit --lines < events.ndjson                 each line an object:
      {\"event\":\"news\",\"data\":1,\"room\":\"lobby\"}
      {\"event\":\"news\",\"args\":[1,2],\"room\":[\"a\",\"b\"],\"namespace\":\"/chat\",\"except\":\"ID\",\"volatile\":true}
    \"except_rooms\": names of rooms; \"key\": as --idempotency-key; \"attachments\": binary arguments in base64, in the order of their placeholders. What a line
    leaves out is taken from the options. The lines of `sio listen --json` can be emitted again; an unknown field is an error
  sio emit --lines --keep-going --results          for a worker that keeps it open; each line is told:
      {\"line\":1,\"key\":\"job-7\",\"accepted\":true}
      {\"line\":2,\"key\":null,\"accepted\":false,\"retryable\":true,\"may_have_been_published\":false,\"error\":\"…\"}

Exit code:
  0    all accepted, and all acknowledgements came that --ack waits for; with --receipt, a client was handed the event
  1    the broker refused or was out of reach; or the event was accepted, and fewer acknowledgements came than --ack waits for, or no
       client is known to --receipt
  2    usage or input; with --lines, lines before the bad one were sent
  130  SIGINT ended it; what --lines had read and not sent, or how many acknowledgements of --ack came,
       is said on standard error, also with -q
  143  SIGTERM did; 129: SIGHUP did

An error after which an event may have been published says so: sending it again may deliver it twice, unless it has a key. One with a
key is sent again by itself until --timeout. Servers of python-socketio do not know keys, and those of Node cannot be sent any.";

#[cfg(feature = "serve")]
pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  sio serve                                  page at http://127.0.0.1:3000/, broker at redis://127.0.0.1:7379
  sio serve --url redis://redis.internal     any number of servers on one broker
  sio serve --listen localhost:8080          a name; 8080 or :8080 alone is 127.0.0.1:8080
  sio serve --listen 0.0.0.0:8080 --open     reachable from outside: anybody may join any room
  sio serve --listen unix:/run/sio.sock      for a proxy on this machine
  sio serve --listen 0.0.0.0:443 --open --tls-cert chain.pem --tls-key key.pem
  sio serve -n /chat --origin https://app.example
  sio serve --config /etc/sio/sio.toml       flags outrank the environment, which outranks the file

Clients join and leave rooms with the events `join` and `leave` (acknowledged with \"ok\"), or when they connect, with
?room=a,b or ?room=a&room=b. The JavaScript client keeps only the last of several parameters of one name: there write
io(\"http://HOST/?room=a,b\") or io(url, {query: {room: [\"a\", \"b\"]}}). A name with a comma is joined by the event.

Paths: / is the page, /socket.io/ is Socket.IO, anything else is a file of --static, or 404.

SIGTERM drains: new clients get 503 with a Retry-After, the others are closed spread over --drain. SIGINT closes at once.
SIGHUP, with a configuration file, reads it again: allowed origins, the level of the log, the time of --drain and the
certificate are taken over; what else has changed is named in the log. Without a file SIGHUP ends the server.

A broker that refuses the server at its start (a login, a right) ends it. One that is away does not: it serves its own
clients, and the others' events when the broker is back. So it does when the broker refuses it later, which is logged
again and again. It serves on although standard output or standard error is closed or full.

Exit code: 0 ended by a signal, 1 the address is taken, the broker refused, or what was published could not be flushed,
2 usage, or a URL that leads to something other than it says.
A second signal ends it at once, with 129, 130 or 143.";

#[cfg(feature = "serve")]
pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  sio config defaults > sio.toml             a file to start with
  sio config check --config sio.toml         what `serve` would make of it, with this environment
  sio config doc                             every setting, with its flag, variable, type and default

Exit code: 0, or 2 where `check` finds that the configuration cannot be used.";

#[cfg(feature = "serve")]
pub(super) const DEMO_EXAMPLES: &str = "\
Examples:
  sio demo              one event a second until Ctrl-C; open the page it names
  sio demo --count 20   ends after 20 deliveries

Exit code: 0 all deliveries came, or without --count it was ended by a signal or by the reader of standard output; 1 one did not;
129, 130 or 143 if SIGHUP, SIGINT or SIGTERM ended it before its count.";

#[cfg(feature = "relay")]
pub(super) const RELAY_EXAMPLES: &str = "\
Examples:
  tail -f app.log | sio relay stdin --event log --body text
  sio relay redis-stream redis://localhost --stream orders --event order --room 'user:{/user}'
  sio relay kafka kafka://k1,k2 --topic orders --group rooms --event '{header:type}' --room '{/rooms}'
  sio relay amqp amqp://localhost --queue jobs --event 'job done' --arg '{/id}' --key 'job-{/id}'
  sio relay postgres postgres://localhost/shop --table outbox --event '{header:type}' --room 'order:{header:aggregateid}'
  sio relay --config /etc/sio/sio.toml --admin-listen 9101
  echo '{\"user\":7}' | sio relay stdin --event order --room 'user:{/user}' --check

Templates: {/a/b} is what a JSON pointer leads to in the body, {header:NAME} a header, a field or a column, {key} the record's own key, {source} the
name of topic, queue, stream or table, {id} the record's place, {body} the body; {{ is a brace. A room that is only a pointer may be a list.

Exit code:
  0    standard input ended; or SIGTERM or SIGINT ended it, and all that was read is acknowledged
  1    a broker refused at the start: a login, a right. While one is out of reach, or the queue is not there, the relay waits
  2    usage or input; with --strict, a record that cannot be mapped or sent, whose place is named
  130, 143  SIGINT or SIGTERM ended it, and records were under way after --drain: a source that keeps records hands them out again
";
