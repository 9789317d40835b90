"""Many events a second: one `sio emit --lines` that stays open. Its methods may be called by several threads."""

import json
import subprocess
import threading
from concurrent.futures import Future

from rooms import NotAccepted


class OpenRooms:
    def __init__(self):
        command = ["sio", "emit", "-q", "--lines", "--keep-going", "--results"]
        self._sio = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self._num_lines = 0
        self._waiting = {}  # futures by the numbers of their lines
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def emit(self, key, room, event, data):
        """Returns a future, which is done once the broker has accepted the event."""
        line = json.dumps({"event": event, "room": room, "data": data, "key": key})
        future = Future()
        future.set_running_or_notify_cancel()  # who stops waiting for it does not cancel it
        with self._lock:
            self._num_lines += 1
            self._waiting[self._num_lines] = future
            try:
                self._sio.stdin.write(line + "\n")
                self._sio.stdin.flush()
            except OSError as error:  # it has ended: make another
                self._waiting.pop(self._num_lines, None)
                raise NotAccepted("sio has ended") from error
        return future

    def close(self):
        """Returns once what was emitted is accepted or refused."""
        self._sio.stdin.close()
        self._reader.join()
        self._sio.wait()

    def _read(self):  # without the lock: a thread that writes may hold it until results are read
        for text in self._sio.stdout:
            result = json.loads(text)
            future = self._waiting.pop(result["line"])
            if result["accepted"]:
                future.set_result(None)
            elif result["retryable"]:
                future.set_exception(NotAccepted(result["error"]))
            else:
                future.set_exception(ValueError(result["error"]))
        while self._waiting:  # it has ended without a result for them
            self._waiting.popitem()[1].set_exception(NotAccepted("sio has ended"))
