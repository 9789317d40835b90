"""python-socketio's AsyncServer on aiohttp, scaled over a broker, driven by lines of JSON: see README.md."""
import asyncio
import inspect
import sys

import socketio
from aiohttp import web

from commands import act
from lines import say, serve, to_wire
from managers import ASYNC


class Server:
    def __init__(self, kind, url, channel):
        self.subscribed = asyncio.Event()
        self.manager = ASYNC[kind](url, channel=channel, listening=self.subscribed.set)
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
        await self.subscribed.wait()
        say("listening", port=runner.addresses[0][1])

    async def run(self, command):
        result = act(self.sio, command)
        say("done", id=command.get("id"), result=await result if inspect.isawaitable(result) else result)


async def main():
    server = Server(*sys.argv[1:])
    # Beside the commands, whose end must end the script also while the broker does not answer.
    listening = asyncio.create_task(server.listen())
    listening.add_done_callback(lambda task: task.cancelled() or task.exception() and say("failure", error=repr(task.exception())))
    await serve(server.run)


asyncio.run(main())
