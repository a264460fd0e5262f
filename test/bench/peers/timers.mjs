// Timers as job queues of Node do them, for the bench: a delayed job, and a handler
// that does nothing but note when it was called.
//	timers.mjs bullmq|pgboss|graphile spread	TIMERS over SPAN seconds while PENDING are far ahead
//	timers.mjs bullmq|pgboss|graphile burst	BURST due at one moment
// Prints "n=… p50=… p99=… max=… rate=…": milliseconds from due to the handler, and per
// second from that moment to the last one.
import { createRequire } from 'node:module';

const require = createRequire(process.env.NODE_PATH + '/');
const load = (name) => import(require.resolve(name));
const [peer, what] = process.argv.slice(2);
const number = (name) => Number(process.env[name]);
const FAR = 30 * 86400e3;
const QUEUE = 'timers';

async function bullmq() {
  const { Queue, Worker } = await load('bullmq');
  const connection = { path: process.env.REDIS_SOCKET, maxRetriesPerRequest: null };
  const queue = new Queue(QUEUE, { connection });
  return {
    add: (due) => queue.addBulk(due.map((at) => ({
      name: 'fire', data: { at }, opts: { delay: Math.max(0, at - Date.now()), removeOnComplete: true },
    }))),
    work: (fire) => new Worker(QUEUE, async (job) => fire(job.data.at), { connection, concurrency: 100 }),
  };
}

async function pgboss() {
  const { PgBoss } = await load('pg-boss');
  const boss = new PgBoss({ host: process.env.PGHOST, database: process.env.PGDATABASE, user: process.env.PGUSER, max: 20 });
  boss.on('error', (error) => console.error(error.message));
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    add: (due) => boss.insert(QUEUE, due.map((at) => ({ data: { at }, startAfter: new Date(at) }))),
    work: (fire) => boss.work(QUEUE,
      { batchSize: what === 'burst' ? 1000 : 100, localConcurrency: what === 'burst' ? 2 : 1, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
      async (jobs) => { for (const job of jobs) fire(job.data.at); }),
  };
}

async function graphile() {
  const { run, makeWorkerUtils, Logger } = await load('graphile-worker');
  const logger = new Logger(() => () => {});
  const pg = require('pg');
  const pool = () => {
    const made = new pg.Pool({ max: 26 });
    made.on('error', () => {}).on('connect', (client) => client.on('error', () => {}));
    return made;
  };
  const utils = await makeWorkerUtils({ pgPool: pool(), logger });
  await utils.migrate();
  return {
    add: (due) => utils.addJobs(due.map((at) => ({ identifier: QUEUE, payload: { at }, runAt: new Date(at) }))),
    work: (fire) => run({
      pgPool: pool(), logger, noHandleSignals: true, taskList: { [QUEUE]: async (payload) => fire(payload.at) },
      preset: { worker: {
        concurrentJobs: 24, pollInterval: what === 'burst' ? 200 : 1000,
        localQueue: { size: what === 'burst' ? 500 : 100, refetchDelay: { durationMs: 10 } }, completeJobBatchDelay: 0, failJobBatchDelay: 0,
      } },
    }),
  };
}

async function addAll(queue, due) {
  const parts = [];
  for (let i = 0; i < due.length; i += 1000) parts.push(due.slice(i, i + 1000));
  await Promise.all([1, 2, 3, 4].map(async () => { while (parts.length > 0) await queue.add(parts.pop()); }));
}

const queue = await { bullmq, pgboss, graphile }[peer]();
let due;
let first;
if (what === 'spread') {
  await addAll(queue, Array.from({ length: number('PENDING') }, (_, i) => Date.now() + FAR + i));
  first = Date.now() + 3000;
  due = Array.from({ length: number('TIMERS') }, (_, i) => Math.round(first + i * number('SPAN') * 1000 / number('TIMERS')));
} else {
  first = Date.now() + number('BURST') / 4 + 3000;
  due = Array(number('BURST')).fill(first);
}
await addAll(queue, due);
if (Date.now() > first) console.error(`${peer}: some were due before all were there`);

const late = [];
await new Promise((resolve) => {
  const giveUp = setTimeout(resolve, first - Date.now() + number('SPAN') * 1000 + 120000);
  queue.work((at) => {
    late.push(Date.now() - at);
    if (late.length === due.length) {
      clearTimeout(giveUp);
      resolve();
    }
  });
});
const end = Date.now();
late.sort((a, b) => a - b);
const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
console.log(`n=${late.length} p50=${at(0.5)} p99=${at(0.99)} max=${at(1)} rate=${Math.round(late.length / (end - first) * 1000)}`);
process.exit(0);
