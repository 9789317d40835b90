"""A write-only python-socketio manager, as a worker holds it, driven by lines of JSON: see README.md."""
import json
import sys

import socketio

from lines import payload, say


def act(manager, command):
    name = command["cmd"]
    namespace = command.get("namespace", "/")
    room = command.get("room")
    if name == "emit":
        manager.emit(command["name"], payload(command), room=room, skip_sid=command.get("skip_sid"), namespace=namespace)
    elif name == "enter_room":
        manager.enter_room(command["sid"], namespace, room)
    elif name == "leave_room":
        manager.leave_room(command["sid"], namespace, room)
    elif name == "close_room":
        manager.close_room(room, namespace)
    else:
        raise ValueError(f"unknown command {name}")


def main():
    manager = socketio.RedisManager(sys.argv[1], channel=sys.argv[2], write_only=True)
    say("ready")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            act(manager, command)
            say("done", id=command.get("id"), result=None)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")


main()
