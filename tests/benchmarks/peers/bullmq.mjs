// BullMQ: its worker (`worker`), and its enqueuing side with the words of client.py.
// The tally has the layout of tally.py; rows are written some milliseconds after the runs.
import { ftruncateSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const env = process.env;
const NAME = "bench";
const OPTIONS = { removeOnComplete: true };
const HEAD = 2;
const ROW = 3;
const FLUSH_MS = 5;
const CHUNK = 1000;

function connect() {
  const url = new URL(env.BENCH_REDIS_URL);
  const options = { maxRetriesPerRequest: null };
  return url.protocol === "unix:" ? new Redis(url.pathname, options) : new Redis(url.href, options);
}

// Seconds of the system's monotonic clock, as Python's time.monotonic().
function monotonic() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds / 1e9;
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

class Tally {
  constructor(directory, capacity) {
    this.file = openSync(`${directory}/${process.pid}.tally`, "w");
    ftruncateSync(this.file, (HEAD + capacity * ROW) * 8);
    this.head = new Float64Array(HEAD);
    this.rows = [];
    this.isDue = false;
  }

  setReady() {
    this.head[0] = 1;
    this.flush();
  }

  note(number, begun, ended) {
    this.rows.push(number, begun, ended);
    if (!this.isDue) {
      this.isDue = true;
      setTimeout(() => this.flush(), FLUSH_MS);
    }
  }

  flush() {
    this.isDue = false;
    const rows = Float64Array.from(this.rows);
    this.rows = [];
    writeSync(this.file, rows, 0, rows.byteLength, (HEAD + this.head[1] * ROW) * 8);
    this.head[1] += rows.length / ROW;
    writeSync(this.file, this.head, 0, this.head.byteLength, 0);
  }
}

async function serve() {
  const seconds = Number(env.BENCH_SECONDS);
  const tally = new Tally(env.BENCH_TALLIES, Number(env.BENCH_CAPACITY));
  const run = async (job) => {
    const begun = monotonic();
    if (seconds) await sleep(seconds);
    tally.note(job.data.number, begun, seconds ? monotonic() : begun);
  };
  const worker = new Worker(NAME, run, {
    connection: connect(),
    concurrency: Number(env.BENCH_SLOTS),
  });
  await worker.waitUntilReady();
  tally.setReady();
}

async function enqueueMany(queue, first, count) {
  for (let start = 0; start < count; start += CHUNK) {
    const length = Math.min(CHUNK, count - start);
    const one = (_, index) => ({
      name: "run_job",
      data: { number: first + start + index },
      opts: OPTIONS,
    });
    await queue.addBulk(Array.from({ length }, one));
  }
}

async function obey(queue, what, numbers) {
  const one = (number) => queue.add("run_job", { number }, OPTIONS);
  const sent = [];
  const began = monotonic();
  if (what === "fill") {
    await enqueueMany(queue, numbers[0], numbers[1]);
  } else if (what === "bulk") {
    await enqueueMany(queue, 0, numbers[0]);
  } else if (what === "one") {
    for (let number = 0; number < numbers[0]; number += 1) await one(number);
  } else if (what === "pace") {
    for (let number = 0; number < numbers[0]; number += 1) {
      await sleep(numbers[1] * (0.5 + Math.random()));
      sent.push(monotonic());
      await one(number);
    }
  } else {
    throw new Error(`there is no ${what}`);
  }
  return { seconds: monotonic() - began, sent };
}

async function serveOrders() {
  const queue = new Queue(NAME, { connection: connect() });
  await queue.waitUntilReady();
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, ...words] = line.split(" ");
    console.log(JSON.stringify(await obey(queue, what, words.map(Number))));
  }
  process.exit(0);
}

await (process.argv[2] === "worker" ? serve() : serveOrders());
