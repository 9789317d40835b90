"""The rate of `sio relay` beside that of a plain consumer loop, on the same stream, in turns.

    python3 bench/relay/rates.py target/release/sio [--records 50000] [--rounds 5]

Needs redis-server 7, and Python with `redis` and `python-socketio`. The loop is what a service writes itself: it reads
100 entries of its consumer group, emits each by python-socketio's manager, and acknowledges them. Both publish to the same
Redis, which has no servers on the channel. A rate is that from the start of the process to the last acknowledgement, which
includes 0.1 to 0.5 s until the process is up. Only ratios mean something on a machine that does other work.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import time

import redis

GROUP = "g"
LOOP = "loop"


def consume(url, stream):
    """The plain loop, in a process of its own."""
    import json

    import socketio

    client = redis.Redis.from_url(url)
    emitter = socketio.RedisManager(url, channel="rates", write_only=True)
    while True:
        reply = client.xreadgroup(GROUP, "c", {stream: ">"}, count=100, block=1000)
        for _, entries in reply or []:
            for _, fields in entries:
                emitter.emit("record", json.loads(fields[b"body"])["n"], room="lobby")
            client.xack(stream, GROUP, *(entry for entry, _ in entries))


def fill(client, stream, records):
    for first in range(0, records, 1000):
        pipe = client.pipeline(transaction=False)
        for number in range(first, min(first + 1000, records)):
            pipe.xadd(stream, {"body": '{"n":%d}' % number})
        pipe.execute()
    client.xgroup_create(stream, GROUP, id="0")


def rate(client, stream, records, command):
    """Runs a consumer until all is acknowledged, and returns records for each second."""
    fill(client, stream, records)
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:
            (group,) = client.xinfo_groups(stream)
            if group["lag"] == 0 and group["pending"] == 0:
                return records / (time.monotonic() - began)
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended early")
            time.sleep(0.01)
    finally:
        process.terminate()
        process.wait()
        client.delete(stream)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def measure(sio, records, rounds):
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}"
    client = redis.Redis.from_url(url, decode_responses=True)
    relay = [sio, "-q", "relay", "redis-stream", url, "--group", GROUP, "--url", url, "--channel", "rates"]
    relay += ["--event", "record", "--arg", "{/n}", "--room", "lobby"]
    try:
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        ratios = []
        for number in range(rounds):
            stream = f"s{number}"
            loop = [sys.executable, __file__, LOOP, url, stream]
            pair = {"relay": [*relay, "--stream", stream], "loop": loop}
            # Which one is first changes, so that a drift of the machine favours neither.
            names = sorted(pair, reverse=number % 2 == 0)
            rates = {name: rate(client, stream, records, pair[name]) for name in names}
            ratios.append(rates["relay"] / rates["loop"])
            print(f"relay {rates['relay']:,.0f}/s, loop {rates['loop']:,.0f}/s, ratio {ratios[-1]:.1f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == [LOOP]:
        consume(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sio")
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    measure(given.sio, given.records, given.rounds)
