"""The emitter of python-socketio: emit.py URL COUNT, one event after the other. Prints what that took as one line of JSON."""
import json
import sys
import time

from managers import manager
from stamp import stamped

url, count = sys.argv[1], int(sys.argv[2])
emitter = manager(url, write_only=True)
# The first event connects; connecting is not what is measured.
emitter.emit("warm-up", "", room="warm-up")
cpu, began = time.process_time(), time.perf_counter()
for _ in range(count):
    emitter.emit("m", stamped(128), room="r")
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"num_events": count, "per_second": count / seconds, "cpu_per_event": cpu / count * 1e6}))
