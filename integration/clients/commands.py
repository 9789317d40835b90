"""What the servers are told to do, the one with coroutines and the one without. See README.md."""
from lines import payload, say, to_wire


def act(sio, command):
    """Carries out a command; of an asynchronous server this is a coroutine, but for `rooms`."""
    name = command["cmd"]
    namespace = command.get("namespace", "/")
    room = command.get("room")
    if name == "emit":
        return emit(sio, command, namespace, room)
    if name == "close_room":
        return sio.close_room(room, namespace=namespace)
    sid = command["sid"]
    if name == "enter_room":
        return sio.enter_room(sid, room, namespace=namespace)
    if name == "leave_room":
        return sio.leave_room(sid, room, namespace=namespace)
    if name == "disconnect":
        return sio.disconnect(sid, namespace=namespace)
    if name == "rooms":
        return sio.rooms(sid, namespace=namespace)
    raise ValueError(f"unknown command {name}")


def emit(sio, command, namespace, room):
    number = command.get("callback")

    def answered(*args):
        say("callback", id=number, args=to_wire(args))

    return sio.emit(
        command["name"],
        payload(command),
        room=room,
        skip_sid=command.get("skip_sid"),
        namespace=namespace,
        callback=None if number is None else answered,
    )
