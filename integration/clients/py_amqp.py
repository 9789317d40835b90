"""python-socketio's managers for RabbitMQ, which listen and emit by lines of JSON: see README.md."""
import asyncio
import json
import sys
import threading

import socketio

from lines import from_wire, say


def heard(body):
    """Tells what the manager would be handed, decoded as it does that."""
    say("heard", body=json.loads(body))


class Kombu:
    def __init__(self, url, channel):
        self.manager = socketio.KombuManager(url, channel=channel, write_only=True)
        listener = socketio.KombuManager(url, channel=channel, write_only=True)
        threading.Thread(target=self.listen, args=(listener,), daemon=True).start()

    @staticmethod
    def listen(listener):
        for body in listener._listen():
            heard(body)

    async def emit(self, name, args, room):
        self.manager.emit(name, args, room=room, namespace="/")


class AioPika:
    def __init__(self, url, channel):
        self.manager = socketio.AsyncAioPikaManager(url, channel=channel, write_only=True)
        listener = socketio.AsyncAioPikaManager(url, channel=channel, write_only=True)
        self.task = asyncio.create_task(self.listen(listener))

    @staticmethod
    async def listen(listener):
        async for body in listener._listen():
            heard(body)

    async def emit(self, name, args, room):
        await self.manager.emit(name, args, room=room, namespace="/")


async def main():
    kind = {"kombu": Kombu, "aio_pika": AioPika}[sys.argv[1]]
    peer = kind(sys.argv[2], sys.argv[3])
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        try:
            await peer.emit(command["name"], tuple(from_wire(command.get("args", []))), command.get("room"))
            say("done", id=command.get("id"), result=None)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")


asyncio.run(main())
