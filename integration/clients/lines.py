"""What the Python scripts share: lines of JSON in and out, bytes as {"$bin": base64}. See README.md."""
import asyncio
import base64
import json
import sys
import threading

saying = threading.Lock()


def say(event, **fields):
    """Prints one event, at once."""
    line = json.dumps({"event": event, **fields}) + "\n"
    with saying:
        sys.stdout.write(line)
        sys.stdout.flush()


def to_wire(value):
    """Makes a received value printable."""
    if isinstance(value, (bytes, bytearray)):
        return {"$bin": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [to_wire(inner) for inner in value]
    if isinstance(value, dict):
        return {key: to_wire(inner) for key, inner in value.items()}
    return value


def from_wire(value):
    """Turns what a command holds into what the library is handed."""
    if isinstance(value, list):
        return [from_wire(inner) for inner in value]
    if isinstance(value, dict):
        if isinstance(value.get("$bin"), str):
            return base64.b64decode(value["$bin"])
        if isinstance(value.get("$float"), str):
            return float(value["$float"])
        return {key: from_wire(inner) for key, inner in value.items()}
    return value


def payload(command):
    """Returns what a command has emitted: several arguments from `args`, or the one value `data`, None included."""
    if "data" in command:
        return from_wire(command["data"])
    return tuple(from_wire(command.get("args", [])))


async def commands():
    """Yields the commands on standard input until it ends."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


async def serve(run):
    """Hands each command to the coroutine function `run`; what it raises becomes an event."""
    async for command in commands():
        try:
            await run(command)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")
