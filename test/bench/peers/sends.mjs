// Messages as job queues of Node send them, for the bench: each job posts with undici
// and marks its row of the table outbox.
//	sends.mjs bullmq|pgboss|graphile	all rows of outbox, IN_FLIGHT requests at once
// Prints "n=… cpu=…": jobs done, and processor seconds of this process.
import { createRequire } from 'node:module';

const require = createRequire(process.env.NODE_PATH + '/');
const load = (name) => import(require.resolve(name));
const pg = require('pg');
const { Pool } = require('undici');
const [peer] = process.argv.slice(2);
const IN_FLIGHT = Number(process.env.IN_FLIGHT);
const QUEUE = 'sends';

function pool(max) {
  const made = new pg.Pool({ max });
  made.on('error', () => {}).on('connect', (client) => client.on('error', () => {}));
  return made;
}

// Runs so many at once over a batch.
async function each(jobs, task) {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, jobs.length) }, async () => {
    while (next < jobs.length) await task(jobs[next++]);
  }));
}

async function bullmq() {
  const { Queue, Worker } = await load('bullmq');
  const connection = { path: process.env.REDIS_SOCKET, maxRetriesPerRequest: null };
  const queue = new Queue(QUEUE, { connection });
  return {
    add: (rows) => queue.addBulk(rows.map((data) => ({ name: 'send', data, opts: { removeOnComplete: true } }))),
    work: (send) => new Worker(QUEUE, (job) => send(job.data), { connection, concurrency: IN_FLIGHT }),
  };
}

async function pgboss() {
  const { PgBoss } = await load('pg-boss');
  const boss = new PgBoss({ host: process.env.PGHOST, database: process.env.PGDATABASE, user: process.env.PGUSER, max: 20 });
  boss.on('error', (error) => console.error(error.message));
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    add: (rows) => boss.insert(QUEUE, rows.map((data) => ({ data }))),
    work: (send) => boss.work(QUEUE, { batchSize: 500, localConcurrency: 1, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
      (jobs) => each(jobs, (job) => send(job.data))),
  };
}

async function graphile() {
  const { run, makeWorkerUtils, Logger } = await load('graphile-worker');
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool: pool(20), logger });
  await utils.migrate();
  return {
    add: (rows) => utils.addJobs(rows.map((payload) => ({ identifier: QUEUE, payload }))),
    work: (send) => run({
      pgPool: pool(26), logger, noHandleSignals: true, taskList: { [QUEUE]: (payload) => send(payload) },
      preset: { worker: {
        concurrentJobs: IN_FLIGHT, pollInterval: 1000,
        localQueue: { size: 500, refetchDelay: { durationMs: 10 } }, completeJobBatchDelay: 0, failJobBatchDelay: 0,
      } },
    }),
  };
}

const db = pool(20);
const http = new Pool(`http://127.0.0.1:${process.env.PROVIDER_PORT}`, { connections: IN_FLIGHT, pipelining: 1 });
const headers = { authorization: `Bearer ${process.env.TOKEN}`, 'content-type': 'application/json', accept: 'application/json' };
const queue = await { bullmq, pgboss, graphile }[peer]();
const { rows } = await db.query('SELECT id, phone, body FROM outbox ORDER BY id');
for (let i = 0; i < rows.length; i += 1000) await queue.add(rows.slice(i, i + 1000));

let n = 0;
const before = process.cpuUsage();
await new Promise((resolve) => {
  queue.work(async (row) => {
    const answer = await http.request({
      path: '/message/sms', method: 'POST', headers,
      body: JSON.stringify({
        messageBody: row.body, enableShortlink: false, senderPhoneNumber: process.env.FROM, recipientPhoneNumber: [row.phone],
      }),
    });
    const said = await answer.body.json();
    if (answer.statusCode !== 201) throw new Error(`status ${answer.statusCode}`);
    await db.query({
      name: 'done', values: [row.id, said.insertedMessages[0]._id],
      text: 'UPDATE outbox SET state = 2, provider_id = $2, done_at = clock_timestamp() WHERE id = $1',
    });
    n += 1;
    if (n === rows.length) resolve();
  });
});
const { user, system } = process.cpuUsage(before);
console.log(`n=${n} cpu=${(user + system) / 1e6}`);
process.exit(0);
