// An emitter for socket.io's Redis adapters: node emit.js redis://host:port COUNT [classic|streams], 256 events on their way at a time.
import { createClient } from "redis";
import { stamped } from "./stamp.js";

const IN_FLIGHT = 256;
const [url, count, adapter = "classic"] = process.argv.slice(2);
const client = createClient({ url });
await client.connect();

// The emitters do not hand out the promise of the command; it is counted here.
const inFlight = new Set();
function counted(accepted) {
  const seen = accepted.finally(() => inFlight.delete(seen));
  inFlight.add(seen);
  return seen;
}

const EMITTERS = {
  async classic() {
    const { Emitter } = await import("@socket.io/redis-emitter");
    return new Emitter({ publish: (channel, message) => counted(client.publish(channel, message)) });
  },
  async streams() {
    const { Emitter } = await import("@socket.io/redis-streams-emitter");
    // By `sSubscribe` it knows a client of node-redis.
    return new Emitter({ sSubscribe() {}, xAdd: (...entry) => counted(client.xAdd(...entry)) });
  },
};
const emitter = await EMITTERS[adapter]();
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
