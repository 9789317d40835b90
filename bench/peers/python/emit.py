"""The emitter of python-socketio: emit.py redis://host:port COUNT, one event after the other."""
import sys

import socketio

from stamp import stamped

url, count = sys.argv[1:]
manager = socketio.RedisManager(url, write_only=True)
for _ in range(int(count)):
    manager.emit("m", stamped(128), room="r")
