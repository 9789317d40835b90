// What client.js and browser.js share: obeys commands with socket.io-client, reports events. See README.md.
"use strict";

const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// Returns the function that runs a command; `say` is called with each event, `parserOf` with the name of each parser, `binary` with
// bytes to be sent.
function makeDriver({ Manager, say, parserOf, binary = (bytes) => bytes }) {
  const sockets = new Map(); // namespace -> socket
  const managers = new Map(); // what a connection is made of -> Manager, so that namespaces share one
  const waitingAcks = new Map(); // number -> function that answers the server
  let nextAck = 1;

  function toWire(value) {
    if (value instanceof ArrayBuffer) return { $bin: toBase64(new Uint8Array(value)) };
    if (value instanceof Uint8Array) return { $bin: toBase64(value) };
    if (Array.isArray(value)) return value.map(toWire);
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toWire(inner)]));
    }
    return value === undefined ? null : value;
  }

  function fromWire(value) {
    if (Array.isArray(value)) return value.map(fromWire);
    if (value !== null && typeof value === "object") {
      if (typeof value.$bin === "string") return binary(fromBase64(value.$bin));
      if (typeof value.$date === "number") return new Date(value.$date);
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fromWire(inner)]));
    }
    return value;
  }

  function managerFor({ namespace = "/", url, transports, path, headers, reconnect, parser, query, with_credentials }) {
    const key = JSON.stringify([url, transports, path, headers, parser, query, with_credentials]);
    if (!managers.has(key)) {
      const manager = new Manager(url, {
        autoConnect: false,
        path: path ?? "/socket.io/",
        transports: transports ?? ["polling", "websocket"],
        extraHeaders: headers ?? undefined,
        parser: parser ? parserOf(parser) : undefined,
        query: query ?? undefined,
        withCredentials: with_credentials === true,
        reconnection: reconnect === true,
        reconnectionDelay: 50,
        reconnectionDelayMax: 200,
      });
      manager.on("open", () =>
        manager.engine.once("upgrade", (transport) => say({ event: "transport", namespace, name: transport.name })),
      );
      managers.set(key, manager);
    }
    return managers.get(key);
  }

  function received(namespace, name, args) {
    let ack = null;
    if (typeof args.at(-1) === "function") {
      ack = nextAck++;
      waitingAcks.set(ack, args.pop());
    }
    say({ event: "message", namespace, name, args: args.map(toWire), ack });
  }

  function connect(command) {
    for (const namespace of [command.namespace ?? "/", ...(command.namespaces ?? [])]) join({ ...command, namespace });
  }

  function join(command) {
    const { namespace } = command;
    const socket = managerFor(command).socket(namespace, { auth: command.auth ?? undefined });
    if (sockets.get(namespace) !== socket) {
      sockets.set(namespace, socket);
      socket.on("connect", () => say({ event: "connect", namespace, sid: socket.id }));
      socket.on("connect_error", (error) =>
        say({ event: "connect_error", namespace, message: error.message, data: toWire(error.data ?? null) }),
      );
      socket.on("disconnect", (reason) => say({ event: "disconnect", namespace, reason }));
      socket.onAny((name, ...args) => received(namespace, name, args));
    }
    socket.auth = command.auth ?? undefined;
    socket.connect();
  }

  // A manager with no socket opens its connection, and sends nothing over it.
  function open(command) {
    const manager = managerFor(command);
    manager.on("close", (reason) => say({ event: "disconnect", namespace: command.namespace, reason }));
    manager.open();
  }

  // `emit` refuses the names that the library keeps for itself.
  function forge(socket, { name, args = [] }) {
    socket.packet({ type: 2, data: [name, ...args], options: {} });
  }

  function emit(socket, { namespace = "/", name, args = [], ack, timeout }) {
    const values = args.map(fromWire);
    if (ack === undefined || ack === null) {
      socket.emit(name, ...values);
      return;
    }
    socket.timeout(timeout ?? 10_000).emit(name, ...values, (error, ...answer) => {
      if (error) say({ event: "ack", namespace, id: ack, error: "timeout" });
      else say({ event: "ack", namespace, id: ack, args: answer.map(toWire) });
    });
  }

  function answer({ id, args = [] }) {
    const respond = waitingAcks.get(id);
    if (!respond) throw new Error(`answer ${id} is not awaited`);
    waitingAcks.delete(id);
    respond(...args.map(fromWire));
  }

  function lose(socket) {
    const { transport } = socket.io.engine;
    if (transport.ws?.terminate) transport.ws.terminate();
    else transport.onError("torn down on request");
  }

  function run(command) {
    if (command.cmd === "connect") return connect(command);
    if (command.cmd === "open") return open(command);
    if (command.cmd === "ack") return answer(command);
    const namespace = command.namespace ?? "/";
    const socket = sockets.get(namespace);
    if (!socket) throw new Error(`${command.cmd}: not connected to ${namespace}`);
    switch (command.cmd) {
      case "emit":
        return emit(socket, command);
      case "forge":
        return forge(socket, command);
      case "transport":
        return say({ event: "transport", namespace, name: socket.io.engine.transport.name });
      case "break":
        return lose(socket);
      case "disconnect":
        return socket.disconnect();
      default:
        throw new Error(`unknown command ${command.cmd}`);
    }
  }

  return (command) => {
    try {
      run(command);
    } catch (error) {
      say({ event: "failure", error: String(error) });
    }
  };
}

globalThis.makeDriver = makeDriver;
