"""The test application on python-socketio and uvicorn: server.py PORT [redis://host:port]"""
import sys

import socketio
import uvicorn

from stamp import stamped

port, *url = sys.argv[1:]
manager = socketio.AsyncRedisManager(url[0]) if url else None
server = socketio.AsyncServer(async_mode="asgi", client_manager=manager)


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


uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=int(port), log_level="error", access_log=False,
            loop="uvloop", http="httptools", ws="websockets-sansio")
