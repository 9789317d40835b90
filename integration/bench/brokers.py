#!/usr/bin/env python3
"""What each broker costs: brokers.py soak | emit  [--runs N] [--only redis,amqp,kafka]

soak  1,000,000 messages through a broker to one server with one client; the same with python-socketio and fewer messages
emit  the emitter alone, beside the broker's own benchmark tool

Starts brokers of its own. Prints one line of JSON per run. Needs what `./test --prepare` gets, release builds of the
examples (`cargo build --release -p integration --examples`) in $CARGO_TARGET_DIR or target, and
  BENCH_PYTHON  an interpreter with python-socketio, redis, aio_pika, kombu, kafka-python, uvicorn, uvloop, werkzeug, simple-websocket
  PERF_TEST     a folder with the jars of com.rabbitmq:perf-test, for `emit`
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
PYTHON = os.environ.get("BENCH_PYTHON", sys.executable)
KAFKA = ROOT / ".test-env/kafka"
MESSAGES = 1_000_000
PYTHON_MESSAGES = {"redis": 100_000, "amqp": 100_000, "amqp+kombu": 30_000, "kafka": 10_000}
IN_FLIGHT = 512
PAYLOAD = 230  # bytes of a queue message around 128 bytes of text


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until_open(port, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen on {port}")


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis(folder):
    port = free_port()
    limits = ["--client-output-buffer-limit", "pubsub 0 0 0"]
    with running(["redis-server", "--port", port, "--save", "", *limits], cwd=folder, stdout=subprocess.DEVNULL) as server:
        until_open(port, server)
        yield f"redis://127.0.0.1:{port}", server.pid


@contextlib.contextmanager
def amqp(folder):
    port, names, own = free_port(), free_port(), free_port()
    (folder / "rabbit.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n")
    (folder / "plugins").write_text("[].")
    places = {"MNESIA_BASE": "db", "LOG_BASE": "logs", "CONFIG_FILE": "rabbit.conf", "ENABLED_PLUGINS_FILE": "plugins", "PID_FILE": "pid"}
    env = os.environ | {f"RABBITMQ_{name}": str(folder / file) for name, file in places.items()}
    env |= {"HOME": str(folder), "ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(own),
            "RABBITMQ_NODENAME": f"bench-{port}@localhost", "RABBITMQ_CONF_ENV_FILE": "/dev/null"}
    quiet = {"cwd": folder, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(["epmd"], **quiet), running(["/usr/lib/rabbitmq/bin/rabbitmq-server"], **quiet) as script:
        until_open(port, script)
        pid = int((folder / "pid").read_text())
        try:
            yield f"amqp://guest:guest@127.0.0.1:{port}//", pid
        finally:
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def kafka(folder):
    port, controller = free_port(), free_port()
    shutil.copytree(KAFKA / "formatted", folder / "data")
    own = f"listeners=PLAIN://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners=PLAIN://127.0.0.1:{port}\n" \
          f"controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={folder / 'data'}\n"
    properties = (ROOT / "integration/kafka/server.properties").read_text() + own
    (folder / "server.properties").write_text(properties.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true"))
    command = ["java", "-Xmx1g", "-cp", KAFKA / "libs/*", "kafka.Kafka", "server.properties"]
    with running(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        until_open(port, server)
        time.sleep(5)  # it accepts connections before it is up
        yield f"kafka://127.0.0.1:{port}", server.pid


BROKERS = {"redis": redis, "amqp": amqp, "kafka": kafka}


def soak(name, url, broker_pid, serve, emit, count):
    port = free_port()
    command = [port if word == "PORT" else word for word in serve]
    with running(command) as server:
        until_open(port, server)
        time.sleep(3)  # python-socketio's listener starts with its first client, or says nothing when it listens
        pids = f"server={server.pid},broker={broker_pid}"
        command = [EXAMPLES / "bench_soak", f"ws://127.0.0.1:{port}", count, pids, *emit]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    report(name, done)


def report(name, done):
    line = json.loads(done.stdout) if done.returncode == 0 and done.stdout.startswith("{") else {"failed": done.stderr[-500:]}
    print(json.dumps({"run": name, **line}), flush=True)


def soaks(backend, url, pid):
    serve, emit = [EXAMPLES / "bench_server", "PORT", url], ["sh", "-c", f'"{EXAMPLES}/bench_emit" "{url}" "$1" 0 {IN_FLIGHT}', "sh"]
    soak(f"{backend} ours", url, pid, serve, emit, MESSAGES)
    for kind in [backend] + (["amqp+kombu"] if backend == "amqp" else []):
        theirs = url.replace("amqp:", kind + ":")
        serve = [PYTHON, "-W", "ignore", HERE / "python_peer.py", "serve", "PORT", theirs]
        emit = [PYTHON, "-W", "ignore", HERE / "python_peer.py", "emit", theirs]
        soak(f"{kind} python-socketio", url, pid, serve, emit, PYTHON_MESSAGES[kind])


def children_cpu():
    times = os.times()
    return times.children_user + times.children_system


def tool(name, command, count, find_rate):
    before = children_cpu()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    cpu_us = (children_cpu() - before) / count * 1e6
    rate = find_rate(done.stdout)
    print(json.dumps({"run": name, "emits": count, "emits_per_s": rate, "cpu_us_per_emit": cpu_us}), flush=True)


def last_number(pattern):
    return lambda text: float(re.findall(pattern, text)[-1].replace(",", ""))


def emits(backend, url, _pid):
    host, port = "127.0.0.1", re.search(r":(\d+)/*$", url)[1]
    for in_flight in (1, IN_FLIGHT):
        count = MESSAGES if in_flight > 1 else 20_000
        command = [EXAMPLES / "bench_emit", url, count, 0, in_flight]
        report(f"{backend} ours, {in_flight} in flight", subprocess.run([str(word) for word in command], capture_output=True, text=True))
    text = "x" * PAYLOAD
    match backend:
        case "redis":
            command = ["redis-benchmark", "-h", host, "-p", port, "--csv", "-c", 1, "-P", 256, "-n", MESSAGES, "PUBLISH", "bench", text]
            tool("redis-benchmark PUBLISH, pipeline 256", command, MESSAGES, last_number(r'(?m)^"PUBLISH[^,]*","([0-9.]+)"'))
        case "amqp":
            jars = f"{os.environ['PERF_TEST']}/*"
            command = ["java", "-cp", jars, "com.rabbitmq.perf.PerfTest", "-h", url.rstrip("/") + "/%2f", "-x", 1, "-y", 0,
                       "-t", "fanout", "-e", "bench", "-c", IN_FLIGHT, "-s", PAYLOAD, "-C", MESSAGES]
            tool("PerfTest, 512 unconfirmed", command, MESSAGES, last_number(r"sending rate avg: ([0-9,]+)"))
        case "kafka":
            command = ["java", "-cp", KAFKA / "libs/*", "org.apache.kafka.tools.ProducerPerformance", "--topic", "bench", "--num-records", MESSAGES,
                       "--record-size", PAYLOAD, "--throughput", -1, "--producer-props", f"bootstrap.servers={host}:{port}", "acks=all", "linger.ms=5"]
            tool("ProducerPerformance, acks=all, linger 5 ms", command, MESSAGES, last_number(r"([0-9.]+) records/sec"))
    theirs = [PYTHON, "-W", "ignore", HERE / "python_peer.py", "emit", url, PYTHON_MESSAGES[backend]]
    report(f"{backend} python-socketio", subprocess.run([str(word) for word in theirs], capture_output=True, text=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["soak", "emit"])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", default=",".join(BROKERS))
    arguments = parser.parse_args()
    for _ in range(arguments.runs):
        for backend in arguments.only.split(","):
            with tempfile.TemporaryDirectory() as folder, BROKERS[backend](pathlib.Path(folder)) as (url, pid):
                {"soak": soaks, "emit": emits}[arguments.what](backend, url, pid)


main()
