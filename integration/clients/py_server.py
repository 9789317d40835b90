"""A python-socketio server on aiohttp, scaled over Redis, driven by lines of JSON: see README.md."""
import asyncio
import sys

import socketio
from aiohttp import web

from lines import payload, say, serve, to_wire


class Manager(socketio.AsyncRedisManager):
    """The manager as it is, except that it tells when Redis has confirmed the subscription."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.subscribed = asyncio.Event()

    def _redis_connect(self):
        super()._redis_connect()
        self.pubsub.ignore_subscribe_messages = False

    async def _redis_listen_with_retries(self):
        async for message in super()._redis_listen_with_retries():
            if message["type"] == "subscribe":
                self.subscribed.set()
            else:
                yield message


class Server:
    def __init__(self, url, channel):
        self.manager = Manager(url, channel=channel)
        self.sio = socketio.AsyncServer(client_manager=self.manager, async_mode="aiohttp", namespaces="*",
                                        cors_allowed_origins="*")
        self.sio.on("connect", self.connected, namespace="*")
        self.sio.on("disconnect", self.disconnected, namespace="*")
        self.sio.on("*", self.received, namespace="*")

    async def connected(self, namespace, sid, environ, auth=None):
        say("connect", namespace=namespace, sid=sid, auth=to_wire(auth))

    async def disconnected(self, namespace, sid, reason):
        say("disconnect", namespace=namespace, sid=sid, reason=reason)

    async def received(self, name, namespace, sid, *args):
        say("message", namespace=namespace, sid=sid, name=name, args=to_wire(args))
        if name == "join":
            await self.sio.enter_room(sid, args[0], namespace=namespace)
            return True
        if name == "leave":
            await self.sio.leave_room(sid, args[0], namespace=namespace)
            return True
        if name == "ask":
            await asyncio.Event().wait()
        return tuple(args) if name == "echo" else None

    async def listen(self):
        app = web.Application()
        self.sio.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.sio.manager_initialized = True  # the library does this on its first client, after which it is too late to ask
        self.manager.initialize()
        await self.manager.subscribed.wait()
        say("listening", port=runner.addresses[0][1])

    async def run(self, command):
        say("done", id=command.get("id"), result=await self.act(command))

    async def act(self, command):
        name = command["cmd"]
        namespace = command.get("namespace", "/")
        room = command.get("room")
        if name == "emit":
            return await self.emit(command, namespace, room)
        if name == "close_room":
            return await self.sio.close_room(room, namespace=namespace)
        sid = command["sid"]
        if name == "enter_room":
            return await self.sio.enter_room(sid, room, namespace=namespace)
        if name == "leave_room":
            return await self.sio.leave_room(sid, room, namespace=namespace)
        if name == "disconnect":
            return await self.sio.disconnect(sid, namespace=namespace)
        if name == "rooms":
            return self.sio.rooms(sid, namespace=namespace)
        raise ValueError(f"unknown command {name}")

    async def emit(self, command, namespace, room):
        number = command.get("callback")

        def answered(*args):
            say("callback", id=number, args=to_wire(args))

        await self.sio.emit(
            command["name"],
            payload(command),
            room=room,
            skip_sid=command.get("skip_sid"),
            namespace=namespace,
            callback=None if number is None else answered,
        )


async def main():
    server = Server(sys.argv[1], sys.argv[2])
    # Beside the commands, whose end must end the script also while Redis does not answer.
    listening = asyncio.create_task(server.listen())
    listening.add_done_callback(lambda task: task.cancelled() or task.exception() and say("failure", error=repr(task.exception())))
    await serve(server.run)


asyncio.run(main())
