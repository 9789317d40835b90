// node reports.js

const { UnrecoverableError, Worker } = require("bullmq");

// Resolves once the broker has accepted the event; rejects otherwise, and BullMQ runs the job again.
async function emit(key, room, event, data) {
  const response = await fetch(`${process.env.SIO_API}/api/emit`, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.SIO_API_KEY}`, "idempotency-key": key },
    body: JSON.stringify({ event, rooms: [room], data }),
    signal: AbortSignal.timeout(20_000),
  });
  if (response.ok) return;
  const why = `not accepted: ${response.status} ${await response.text()}`;
  throw response.status === 400 ? new UnrecoverableError(why) : new Error(why);
}

async function report(job) {
  const { user, month } = job.data;
  const url = `/reports/${user}/${month}`; // the work
  await emit(`${job.queueName}-${job.timestamp}-${job.id}-ready`, `user:${user}`, "report ready", { url });
}

// queue.add("report", { user, month }, { attempts: 10, backoff: { type: "exponential", delay: 1_000 } })
new Worker("reports", report, { connection: { url: process.env.REDIS_URL } });
