"""The test application on python-socketio with a thread for each client: for brokers that python-socketio has no asyncio for."""
import socketio
from werkzeug.serving import run_simple

from managers import manager
from stamp import stamped


def run(port, url):
    server = socketio.Server(async_mode="threading", client_manager=manager(url))

    @server.event
    def echo(_sid, data):
        return data

    @server.event
    def join(sid, room):
        server.enter_room(sid, room)
        return "ok"

    @server.event
    def leave(sid, room):
        server.leave_room(sid, room)
        return "ok"

    @server.event
    def publish(_sid, room, length, count):
        for _ in range(count):
            server.emit("m", stamped(length), room=room)

    run_simple("127.0.0.1", port, socketio.WSGIApp(server), threaded=True)
