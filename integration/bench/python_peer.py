"""python-socketio as the other side of the figures: python_peer.py serve PORT URL | emit URL COUNT

`serve` is a server in whose room `r` the soak's client waits; `emit` does what the example `bench_emit` does. The broker
is the one of the URL: redis, amqp (`amqp+kombu` picks kombu rather than aio_pika), kafka.
"""
import json
import sys
import time

import socketio

PAD = "x" * 111  # behind 16 digits and a colon: 128 bytes


class Kafka(socketio.KafkaManager):
    """Its `_publish` hands text to a client library that takes bytes alone, so that every emit fails since 5.14."""

    def _publish(self, data):
        self.producer.send(self.channel, value=json.dumps(data).encode())
        self.producer.flush()


def sync_manager(url, write_only):
    if url.startswith("redis"):
        return socketio.RedisManager(url, write_only=write_only)
    if url.startswith("amqp"):
        return socketio.KombuManager(url.replace("amqp+kombu", "amqp"), write_only=write_only)
    return Kafka(url, write_only=write_only)


def emit(url, count):
    manager = sync_manager(url, write_only=True)
    manager.emit("warm", "up", room="nobody")
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(count):
        manager.emit("m", f"{time.monotonic_ns():016d}:{PAD}", room="r")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"emits": count, "seconds": seconds, "emits_per_s": count / seconds, "cpu_us_per_emit": cpu / count * 1e6}))


def serve_async(port, url):
    import uvicorn

    manager = socketio.AsyncRedisManager(url) if url.startswith("redis") else socketio.AsyncAioPikaManager(url)
    sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager)

    @sio.event
    async def join(sid, room):
        await sio.enter_room(sid, room)
        return "ok"

    uvicorn.run(socketio.ASGIApp(sio), host="127.0.0.1", port=port, log_level="error", loop="uvloop", access_log=False)


def serve_threads(port, url):
    from werkzeug.serving import run_simple

    sio = socketio.Server(async_mode="threading", client_manager=sync_manager(url, write_only=False))

    @sio.event
    def join(sid, room):
        sio.enter_room(sid, room)
        return "ok"

    run_simple("127.0.0.1", port, socketio.WSGIApp(sio), threaded=True)


def main():
    match sys.argv[1:]:
        case ["serve", port, url] if url.startswith("kafka") or url.startswith("amqp+kombu"):
            serve_threads(int(port), url)
        case ["serve", port, url]:
            serve_async(int(port), url)
        case ["emit", url, count]:
            emit(url, int(count))
        case _:
            sys.exit(__doc__)


main()
