// BullMQ on Node as a contestant: the same requests and answers as a Python one, one JSON object a line.
//
// Set up as its documentation advises: a connection that never gives up, auto-removal of all but the last 100 completed
// jobs (what jobqueue keeps by default), three attempts, locks and stall checks on with their defaults. A handler only
// notes that it ran. Completion: the finishing script takes a job off `active` and records it in one step, so the lengths
// of the unfinished structures are what is undone, and the sets `completed` and `failed` are what was recorded.
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { Queue, QueueEvents, Worker } from 'bullmq';
import IORedis from 'ioredis';

const NAME = 'bench';
const KEEP = 100;
const LEVELS = 4;
const PATIENCE = 15;
const SHORTEST = 0.001;
const LONGEST = 0.25;
const CAPACITY = 1 << 21;

const runs = new Uint8Array(CAPACITY);
const starts = new Float64Array(CAPACITY);

const monotonic = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const connect = (url) => new IORedis(url, { maxRetriesPerRequest: null });

function note(number) {
  const before = runs[number];
  if (!before) starts[number] = monotonic();
  runs[number] = Math.min(255, before + 1);
  return before;
}

async function handle(job) {
  const { number } = job.data;
  switch (job.name) {
    case 'noop':
      note(number);
      return number;
    case 'io':
      note(number);
      await sleep(0.01);
      return number;
    case 'flaky':
      if (note(number) === 0 && number % 2) throw new Error('failed on purpose');
      return number;
    default:
      note(number);
      throw new Error('failed on purpose');
  }
}

class Pool {
  // Worker processes of their own; what ran in them comes back when they stop.
  async start(processes, concurrency) {
    this.children = Array.from({ length: processes }, () => fork(process.argv[1], ['--work', String(concurrency)]));
    await Promise.all(this.children.map((child) => new Promise((ready) => child.once('message', ready))));
  }

  async stop() {
    await Promise.all(
      this.children.map(
        (child) =>
          new Promise((gone) => {
            child.on('message', (ran) => {
              for (const [number, count, at] of ran) {
                runs[number] += count;
                starts[number] = starts[number] ? Math.min(starts[number], at) : at;
              }
            });
            child.once('exit', gone);
            child.send('stop');
          }),
      ),
    );
  }
}

class Session {
  constructor(url, direct) {
    this.url = url;
    this.directUrl = direct;
    this.polls = 0;
  }

  async reopen() {
    await this.rest();
    this.connection = connect(this.url);
    this.direct = connect(this.directUrl);
    this.queue = new Queue(NAME, { connection: this.connection });
    await this.queue.waitUntilReady();
    return {};
  }

  async rest() {
    await this.events?.close();
    await this.queue?.close();
    this.connection?.disconnect();
    this.direct?.disconnect();
    this.events = this.queue = this.connection = this.direct = undefined;
    return {};
  }

  orders(params) {
    const { first, count, kind = 'noop', level, lead, window = 0, payload_bytes: size } = params;
    return Array.from({ length: count }, (_, place) => {
      const number = first + place;
      const opts = { attempts: kind === 'broken' ? 1 : 3, removeOnComplete: { count: KEEP } };
      if (level !== undefined && level !== null) opts.priority = (number % LEVELS) + 1;
      if (lead !== undefined && lead !== null) opts.delay = Math.round((lead + (window * place) / count) * 1000);
      return { name: kind, data: ticket(number, size), opts };
    });
  }

  add(order) {
    return this.queue.add(order.name, order.data, order.opts);
  }

  async describe() {
    const manifest = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
    return {
      versions: { node: process.version.slice(1), bullmq: manifest('bullmq'), ioredis: manifest('ioredis') },
      settings: {
        removeOnComplete: 'the last 100',
        attempts: '3',
        'locks, stall checks': 'on, with their defaults',
        maxRetriesPerRequest: 'null, as its documentation asks for workers',
      },
      lacks: {},
      notes: {},
    };
  }

  async enqueue(params) {
    const orders = this.orders(params);
    const samples = [];
    const begin = monotonic();
    if (params.mode === 'single' || params.mode === 'timed') {
      for (const order of orders) {
        const before = monotonic();
        await this.add(order);
        if (params.mode === 'timed') samples.push((monotonic() - before) * 1000);
      }
    } else if (params.mode === 'concurrent') {
      let next = 0;
      const caller = async () => {
        while (next < orders.length) await this.add(orders[next++]);
      };
      await Promise.all(Array.from({ length: params.callers }, caller));
    } else {
      const bulk = params.bulk ?? 1000;
      for (let at = 0; at < orders.length; at += bulk) await this.queue.addBulk(orders.slice(at, at + bulk));
    }
    return { seconds: monotonic() - begin, samples };
  }

  async fill(params) {
    const begin = monotonic();
    let done = 0;
    while (done < params.count && monotonic() - begin < (params.budget ?? 600)) {
      const step = Math.min(1000, params.count - done);
      await this.queue.addBulk(this.orders({ ...params, first: params.first + done, count: step }));
      done += step;
    }
    return { seconds: monotonic() - begin, count: done };
  }

  async start({ processes = 1, concurrency }) {
    if (processes > 1) {
      this.pool = new Pool();
      await this.pool.start(processes, concurrency);
      return {};
    }
    this.worker = makeWorker(this.url, concurrency);
    await this.worker.waitUntilReady();
    this.worker.run().catch((error) => console.error(error));
    return {};
  }

  async stop() {
    await this.pool?.stop();
    await this.worker?.close();
    this.pool = this.worker = undefined;
    return {};
  }

  async undone() {
    this.polls += 5;
    const key = (name) => this.queue.toKey(name);
    const replies = await this.direct
      .pipeline()
      .llen(key('wait'))
      .llen(key('active'))
      .llen(key('paused'))
      .zcard(key('prioritized'))
      .zcard(key('delayed'))
      .exec();
    return replies.reduce((sum, [, length]) => sum + length, 0);
  }

  async process(params) {
    const { first, count } = params;
    const total = params.total ?? count;
    const flaky = params.kind === 'flaky';
    const polled = this.polls;
    const before = await this.undone();
    const done = {};
    await this.start(params);
    try {
      if (total === count) {
        if (!this.pool) await until(() => unfinished(first, count, flaky));
        await until(() => this.undone(), this.pool ? undefined : SHORTEST);
        done.end = monotonic();
      } else {
        const warm = Math.floor(count / 10);
        await until(() => Math.max(0, warm + count - (total - unfinished(first, total, false))));
      }
    } finally {
      await this.stop();
    }
    if (total === count) {
      done.seconds = done.end - started(first, count)[0];
      done.wrong = wrong(first, count, flaky);
      delete done.end;
    } else {
      const warm = Math.floor(count / 10);
      const order = started(first, total);
      done.seconds = order[warm + count - 1] - order[warm ? warm - 1 : 0];
      done.ran = total - unfinished(first, total, false);
      done.recorded = before - (await this.undone());
      done.twice = runs.subarray(first, first + total).reduce((sum, times) => sum + (times > 1), 0);
    }
    done.jobs = count;
    if (params.level !== undefined && params.level !== null) done.ranks = meanRanks(first, count);
    return { ...done, polls: this.polls - polled };
  }

  async bare({ count, concurrency }) {
    let left = count;
    const begin = monotonic();
    const slot = async () => {
      while (left > 0) {
        left -= 1;
        await sleep(0.01);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, slot));
    return { seconds: monotonic() - begin };
  }

  async pickup(params) {
    return this.sampled(params, async (orders) => {
      if (params.rate) return this.pickupUnderLoad(orders, params.rate);
      const samples = [];
      for (const order of orders) {
        await sleep(0.005 + Math.random() * 0.02);
        const { number } = order.data;
        const before = monotonic();
        await this.add(order);
        await until(() => (runs[number] ? 0 : 1));
        samples.push((starts[number] - before) * 1000);
      }
      return samples;
    });
  }

  async pickupUnderLoad(orders, rate) {
    const called = [];
    const adding = [];
    let due = monotonic();
    for (const order of orders) {
      due += -Math.log(1 - Math.random()) / rate;
      const ahead = due - monotonic();
      if (ahead > 0) await sleep(ahead);
      called.push([order.data.number, monotonic()]);
      adding.push(this.add(order));
    }
    await Promise.all(adding);
    await until(() => unfinished(orders[0].data.number, orders.length, false));
    return called.map(([number, at]) => (starts[number] - at) * 1000);
  }

  async result(params) {
    this.events ??= new QueueEvents(NAME, { connection: connect(this.url) });
    await this.events.waitUntilReady();
    return this.sampled(params, async (orders) => {
      const samples = [];
      for (const order of orders) {
        const before = monotonic();
        const job = await this.add(order);
        const result = await job.waitUntilFinished(this.events, 10000);
        samples.push((monotonic() - before) * 1000);
        if (result !== order.data.number) throw new Error(`job ${order.data.number} came back with ${result}`);
        await sleep(0.005);
      }
      return samples;
    });
  }

  async lateness(params) {
    return this.sampled(params, async (orders) => {
      const due = [];
      const begin = monotonic();
      for (const order of orders) {
        const called = monotonic();
        const delay = Math.max(0, order.opts.delay / 1000 - (called - begin));
        due.push([order.data.number, called + delay]);
        await this.add({ ...order, opts: { ...order.opts, delay: Math.round(delay * 1000) } });
      }
      await until(() => unfinished(orders[0].data.number, orders.length, false));
      return due.map(([number, at]) => (starts[number] - at) * 1000);
    });
  }

  async sampled(params, take) {
    await this.start(params);
    try {
      await sleep(params.settle ?? 1);
      return { samples: await take(this.orders(params)) };
    } finally {
      await this.stop();
    }
  }

  async records() {
    const completed = await this.direct.zcard(this.queue.toKey('completed'));
    const failed = await this.direct.zcard(this.queue.toKey('failed'));
    return { undone: await this.undone(), completed, failed, keeps: KEEP };
  }
}

function makeWorker(url, concurrency) {
  return new Worker(NAME, handle, {
    connection: connect(url),
    concurrency,
    autorun: false,
    removeOnComplete: { count: KEEP },
  });
}

const emptyNoteSize = JSON.stringify(ticketOf(0, '')).length - 1;

function ticketOf(number, note) {
  const padded = (value, width) => String(value).padStart(width, '0');
  return {
    number,
    ticket_id: `ticket-${padded(number, 8)}`,
    landlord_id: `landlord-${padded(number % 97, 4)}`,
    tenant_id: `tenant-${padded(number % 9973, 6)}`,
    note,
  };
}

function ticket(number, size) {
  return ticketOf(number, 'x'.repeat(Math.max(0, size - emptyNoteSize - String(number).length)));
}

function unfinished(first, count, flaky) {
  let left = 0;
  for (let number = first; number < first + count; number += 1) {
    if (runs[number] < (flaky && number % 2 ? 2 : 1)) left += 1;
  }
  return left;
}

function wrong(first, count, flaky) {
  const found = [];
  for (let number = first; number < first + count && found.length < 10; number += 1) {
    if (runs[number] !== (flaky && number % 2 ? 2 : 1)) found.push(number);
  }
  return found;
}

const started = (first, count) => starts.subarray(first, first + count).filter((at) => at > 0).sort();

function meanRanks(first, count) {
  const order = Array.from({ length: count }, (_, place) => first + place).sort((a, b) => starts[a] - starts[b]);
  const sums = new Array(LEVELS).fill(0);
  const members = new Array(LEVELS).fill(0);
  order.forEach((number, place) => {
    sums[number % LEVELS] += place / count;
    members[number % LEVELS] += 1;
  });
  return sums.map((sum, level) => sum / Math.max(1, members[level]));
}

async function until(remaining, fixedNap) {
  // Looks ever more often as the end comes near, so that looking takes no time from those who work.
  const begin = monotonic();
  const start = await remaining();
  let last = start;
  let progressed = begin;
  let nap = SHORTEST;
  while (last) {
    await sleep(fixedNap ?? nap);
    const now = monotonic();
    const left = await remaining();
    if (left !== last) progressed = now;
    else if (now - progressed > PATIENCE) throw new Error(`${left} jobs are left and nothing moves`);
    last = left;
    const pace = (start - left) / (now - begin);
    nap = pace > 0 ? Math.min(LONGEST, Math.max(SHORTEST, left / pace / 2)) : Math.min(LONGEST, nap * 2);
  }
}

async function answer() {
  const session = new Session(process.env.BENCH_URL, process.env.BENCH_DIRECT_URL);
  await session.reopen();
  for await (const line of createInterface({ input: process.stdin })) {
    const { measure, params = {} } = JSON.parse(line);
    let reply;
    try {
      reply = { result: await session[measure](params) };
    } catch (error) {
      console.error(error);
      reply = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  await session.rest();
  process.exit(0);
}

async function work(concurrency) {
  const worker = makeWorker(process.env.BENCH_URL, concurrency);
  await worker.waitUntilReady();
  worker.run().catch((error) => console.error(error));
  process.send('ready');
  process.once('message', async () => {
    await worker.close();
    const ran = [];
    for (let number = 0; number < CAPACITY; number += 1) {
      if (runs[number]) ran.push([number, runs[number], starts[number]]);
    }
    process.send(ran, () => process.exit(0));
  });
}

if (process.argv[2] === '--work') await work(Number(process.argv[3]));
else await answer();
