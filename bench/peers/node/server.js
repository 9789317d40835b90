// The test application on socket.io: node server.js PORT [redis://host:port]
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { stamped } from "./stamp.js";

const [port, url] = process.argv.slice(2);
const options = { serveClient: false };
if (url) {
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  options.adapter = createAdapter(publisher, subscriber);
}
const http = createServer();
const io = new Server(http, options);
io.on("connection", (socket) => {
  socket.on("echo", (data, acknowledge) => acknowledge(data));
  socket.on("join", (room, acknowledge) => {
    socket.join(room);
    acknowledge("ok");
  });
  socket.on("leave", (room, acknowledge) => {
    socket.leave(room);
    acknowledge("ok");
  });
  socket.on("publish", (room, len, count) => {
    for (let sent = 0; sent < count; sent++) io.to(room).emit("m", stamped(len));
  });
});
http.listen(Number(port), "127.0.0.1");
