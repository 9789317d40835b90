"""A write-only python-socketio manager, as a worker holds it, driven by lines of JSON: see README.md."""
import asyncio
import inspect
import sys

from lines import payload, say, serve
from managers import WRITERS


def act(manager, command):
    """Carries out a command; with an asynchronous manager this is a coroutine."""
    name = command["cmd"]
    namespace = command.get("namespace", "/")
    room = command.get("room")
    if name == "emit":
        return manager.emit(command["name"], payload(command), room=room, skip_sid=command.get("skip_sid"), namespace=namespace)
    if name == "enter_room":
        return manager.enter_room(command["sid"], namespace, room)
    if name == "leave_room":
        return manager.leave_room(command["sid"], namespace, room)
    if name == "close_room":
        return manager.close_room(room, namespace)
    raise ValueError(f"unknown command {name}")


async def main():
    kind, url, channel = sys.argv[1:]
    manager = WRITERS[kind](url, channel=channel, write_only=True)
    say("ready", host_id=manager.host_id)

    async def run(command):
        result = act(manager, command)
        say("done", id=command.get("id"), result=await result if inspect.isawaitable(result) else result)

    await serve(run)


asyncio.run(main())
