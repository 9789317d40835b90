// The emitter for socket.io's Redis adapter: node emit.js redis://host:port COUNT, 256 events on their way at a time.
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { stamped } from "./stamp.js";

const IN_FLIGHT = 256;
const [url, count] = process.argv.slice(2);
const client = createClient({ url });
await client.connect();

// The emitter does not hand out the promise of PUBLISH; it is counted here.
const inFlight = new Set();
const emitter = new Emitter({
  publish(channel, message) {
    const published = client.publish(channel, message).finally(() => inFlight.delete(published));
    inFlight.add(published);
    return published;
  },
});
const began = performance.now();
const cpu = process.cpuUsage();
for (let sent = 0; sent < Number(count); sent++) {
  while (inFlight.size >= IN_FLIGHT) await Promise.race(inFlight);
  emitter.to("r").emit("m", stamped(128));
}
await Promise.all(inFlight);
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(
  JSON.stringify({ num_events: Number(count), per_second: count / seconds, cpu_per_event: (user + system) / count }),
);
await client.quit();
