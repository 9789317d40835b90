"""The test application on python-socketio: server.py PORT [URL]. With uvicorn, but for URLs that want threads."""
import sys

import socketio

from managers import async_manager, wants_threads
from stamp import stamped


def run(port, url):
    import uvicorn

    server = socketio.AsyncServer(async_mode="asgi", client_manager=async_manager(url) if url else None)

    @server.event
    async def echo(_sid, data):
        return data

    @server.event
    async def join(sid, room):
        await server.enter_room(sid, room)
        return "ok"

    @server.event
    async def leave(sid, room):
        await server.leave_room(sid, room)
        return "ok"

    @server.event
    async def publish(_sid, room, length, count):
        for _ in range(count):
            await server.emit("m", stamped(length), room=room)

    uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=port, log_level="error", access_log=False,
                loop="uvloop", http="httptools", ws="websockets-sansio")


port, url = int(sys.argv[1]), (sys.argv[2:] or [None])[0]
if url and wants_threads(url):
    import threads

    threads.run(port, url)
else:
    run(port, url)
