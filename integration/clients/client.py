"""Drives python-socketio's AsyncClient by lines of JSON: see README.md."""
import asyncio
import contextvars
import itertools

import engineio
import socketio

from lines import from_wire, say, serve, to_wire

wants_ack = contextvars.ContextVar("wants_ack", default=False)


class Client(socketio.AsyncClient):
    """The client as it is, except that handlers can see whether the server asked for an answer."""

    is_up = False

    async def _handle_event(self, namespace, id, data):
        wants_ack.set(id is not None)
        await super()._handle_event(namespace, id, data)


class Driver:
    def __init__(self):
        self.clients = {}  # namespace -> Client
        self.waiting = {}  # number -> future of the answer's arguments
        self.numbers = itertools.count(1)
        self.tasks = set()

    def make(self, namespaces, reconnect, parser):
        client = Client(
            serializer=parser or "default",
            reconnection=reconnect,
            reconnection_delay=0.05,
            reconnection_delay_max=0.2,
            handle_sigint=False,
        )
        for namespace in namespaces:
            self.register(client, namespace)
            self.clients[namespace] = client
        return client

    def register(self, client, namespace):
        async def on_connect():
            if client.is_up:
                say("connect", namespace=namespace, sid=client.get_sid(namespace))

        async def on_connect_error(*data):
            first = data[0] if data else None
            refusal = first if isinstance(first, dict) else {"message": first}
            say("connect_error", namespace=namespace, message=str(refusal.get("message")),
                data=to_wire(refusal.get("data")))

        async def on_disconnect(reason=None):
            say("disconnect", namespace=namespace, reason=reason)

        async def on_any(name, *args):
            return await self.received(namespace, name, args)

        client.on("connect", on_connect, namespace=namespace)
        client.on("connect_error", on_connect_error, namespace=namespace)
        client.on("disconnect", on_disconnect, namespace=namespace)
        client.on("*", on_any, namespace=namespace)

    async def received(self, namespace, name, args):
        if not wants_ack.get():
            say("message", namespace=namespace, name=name, args=to_wire(args), ack=None)
            return None
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        say("message", namespace=namespace, name=name, args=to_wire(args), ack=number)
        return tuple(await self.waiting[number])

    async def connect(self, command):
        namespace = command.get("namespace", "/")
        namespaces = [namespace, *command.get("namespaces", [])]
        client = self.make(namespaces, command.get("reconnect", False), command.get("parser"))
        try:
            await client.connect(
                command["url"],
                headers=command.get("headers") or {},
                auth=command.get("auth"),
                transports=command.get("transports"),
                namespaces=namespaces,
                socketio_path=command.get("path", "/socket.io/"),
                wait_timeout=10,
            )
        except socketio.exceptions.ConnectionError:
            return  # reported by on_connect_error already
        # Until now it would have said nothing of a disconnect.
        client.is_up = True
        for namespace in namespaces:
            say("connect", namespace=namespace, sid=client.get_sid(namespace))
        if client.transport() == "websocket" and command.get("transports") != ["websocket"]:
            say("transport", namespace=namespaces[0], name="websocket")

    async def open(self, command):
        # What the client stands on: by itself it joins nothing.
        self.bare = engineio.AsyncClient(handle_sigint=False)
        self.bare.on("disconnect", lambda reason: say("disconnect", namespace=command["namespace"], reason=reason))
        await self.bare.connect(command["url"], transports=command.get("transports"), engineio_path=command["path"])

    async def emit(self, client, command):
        namespace = command.get("namespace", "/")
        args = tuple(from_wire(command.get("args", [])))
        number = command.get("ack")
        if number is None:
            await client.emit(command["name"], args, namespace=namespace)
            return
        answered = asyncio.get_running_loop().create_future()
        await client.emit(command["name"], args, namespace=namespace,
                          callback=lambda *answer: answered.done() or answered.set_result(answer))
        await self.report(namespace, number, answered, command.get("timeout", 10_000))

    @staticmethod
    async def report(namespace, number, answered, milliseconds):
        try:
            answer = await asyncio.wait_for(answered, milliseconds / 1000)
            say("ack", namespace=namespace, id=number, args=to_wire(answer))
        except asyncio.TimeoutError:
            say("ack", namespace=namespace, id=number, error="timeout")

    async def act(self, command):
        name = command["cmd"]
        if name == "connect":
            return await self.connect(command)
        if name == "open":
            return await self.open(command)
        if name == "ack":
            self.waiting.pop(command["id"]).set_result(from_wire(command.get("args", [])))
            return None
        namespace = command.get("namespace", "/")
        client = self.clients[namespace]
        if name in ("emit", "forge"):  # this client lets every name pass
            return await self.emit(client, command)
        if name == "transport":
            return say("transport", namespace=namespace, name=client.transport())
        if name == "break":
            return await self.lose(client)
        if name == "disconnect":
            return await client.disconnect()
        raise ValueError(f"unknown command {name}")

    @staticmethod
    async def lose(client):
        if client.eio.ws is not None:
            client.eio.ws.get_extra_info("socket").shutdown(2)  # both directions, no closing frame
        else:
            await client.eio.http.close()

    async def run(self, command):
        """Starts a command without waiting for its end: an emit may wait for an answer that a later command brings."""
        task = asyncio.create_task(self.guarded(command))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def guarded(self, command):
        try:
            await self.act(command)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")


async def main():
    say("ready")
    await serve(Driver().run)


asyncio.run(main())
