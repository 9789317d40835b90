"""python-socketio's Server on threads, scaled over a broker, driven by lines of JSON: see README.md."""
import json
import logging
import sys
import threading

import socketio
from werkzeug.serving import make_server

from commands import act
from lines import say, to_wire
from managers import SYNC


class Server:
    def __init__(self, kind, url, channel):
        self.subscribed = threading.Event()
        self.manager = SYNC[kind](url, channel=channel, listening=self.subscribed.set)
        self.sio = socketio.Server(client_manager=self.manager, async_mode="threading", namespaces="*",
                                   cors_allowed_origins="*")
        self.sio.on("connect", self.connected, namespace="*")
        self.sio.on("disconnect", self.disconnected, namespace="*")
        self.sio.on("*", self.received, namespace="*")

    def connected(self, namespace, sid, environ, auth=None):
        say("connect", namespace=namespace, sid=sid, auth=to_wire(auth))

    def disconnected(self, namespace, sid, reason):
        say("disconnect", namespace=namespace, sid=sid, reason=reason)

    def received(self, name, namespace, sid, *args):
        say("message", namespace=namespace, sid=sid, name=name, args=to_wire(args))
        if name == "join":
            self.sio.enter_room(sid, args[0], namespace=namespace)
            return True
        if name == "leave":
            self.sio.leave_room(sid, args[0], namespace=namespace)
            return True
        if name == "ask":
            threading.Event().wait()
        return tuple(args) if name == "echo" else None

    def listen(self):
        try:
            server = make_server("127.0.0.1", 0, socketio.WSGIApp(self.sio), threaded=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.sio.manager_initialized = True  # the library does this on its first client, after which it is too late to ask
            self.manager.initialize()
            self.subscribed.wait()
            say("listening", port=server.port)
        except Exception as error:
            say("failure", error=repr(error))

    def run(self, command):
        say("done", id=command.get("id"), result=act(self.sio, command))


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    server = Server(*sys.argv[1:])
    # Beside the commands, whose end must end the script also while the broker does not answer.
    threading.Thread(target=server.listen, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            server.run(command)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")


main()
