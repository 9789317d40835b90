"""Events for the clients in a room, from any job in Python: by the command `sio`, whose broker SIO_URL names."""

import json
import subprocess


class NotAccepted(Exception):
    """The event was not accepted, as far as is known: try again later, with the same key."""


def emit(key, room, event, data):
    """Returns once the broker has accepted the event. With the same key it may be called again."""
    command = ["sio", "emit", "-q", "--idempotency-key", key, "--room", room, event, "@-"]
    try:
        done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
    except OSError as error:  # it cannot be started now: it is being replaced, or memory is short
        raise NotAccepted(str(error)) from error
    if done.returncode == 2:  # the key, the room, the event or the URL cannot be used: no retry helps
        raise ValueError(done.stderr.strip())
    if done.returncode != 0:
        raise NotAccepted(done.stderr.strip())
