// Webhook ingest as Node applications do it, for the bench.
// MODE=redis  SET NX in Redis, then a transaction of five statements
// MODE=call   one call of a plpgsql function
// MODE=batch  waiting requests put together into one call, two calls under way
// None of them checks the signature. Listens on 127.0.0.1:PORT.
import { createRequire } from 'node:module';

const require = createRequire(process.env.NODE_PATH + '/');
const fastify = require('fastify');
const pg = require('pg');
const Redis = require('ioredis');

const { MODE, PORT, REDIS_SOCKET } = process.env;
const pool = new pg.Pool({ max: 20 });
const redis = MODE === 'redis' ? new Redis({ path: REDIS_SOCKET }) : null;

async function persist(hook) {
  const m = hook.message;
  const c = await pool.connect();
  try {
    await c.query('BEGIN');
    const receipt = await c.query({ name: 's1', text: 'INSERT INTO receipt(id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id', values: [m.id] });
    if (receipt.rowCount === 0) {
      await c.query('COMMIT');
      return 'duplicate';
    }
    const lead = await c.query({ name: 's2', text: 'UPDATE lead SET version = version + 1, state = 2, last_in = now() WHERE phone = $1 RETURNING id', values: [m.from] });
    const leadId = lead.rows[0].id;
    const event = await c.query({ name: 's3', text: 'INSERT INTO event(lead_id, kind, data) VALUES ($1, 1, $2) RETURNING id', values: [leadId, JSON.stringify(hook)] });
    await c.query({ name: 's4', text: 'INSERT INTO inbox(lead_id, event_id, body) VALUES ($1, $2, $3)', values: [leadId, event.rows[0].id, m.body] });
    await c.query({ name: 's5', text: "UPDATE timer SET due_at = now() + interval '1 day', gen = gen + 1 WHERE lead_id = $1", values: [leadId] });
    await c.query('COMMIT');
    return 'accepted';
  } catch (error) {
    await c.query('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    c.release();
  }
}

async function viaRedis(hook) {
  if (await redis.set('webhook:' + hook.message.id, '1', 'EX', 86400, 'NX') === null) return 'duplicate';
  return persist(hook);
}

async function viaCall(hook) {
  const r = await pool.query({ name: 'one', text: 'SELECT ingest_one($1::jsonb) AS fresh', values: [JSON.stringify(hook)] });
  return r.rows[0].fresh === 1 ? 'accepted' : 'duplicate';
}

const waiting = [];
let underWay = 0;

function takeBatches() {
  while (waiting.length > 0 && underWay < 2) {
    const batch = waiting.splice(0, 128);
    underWay++;
    pool.query({ name: 'many', text: 'SELECT ingest_many($1::jsonb[]) AS fresh', values: [batch.map((x) => x.hook)] })
      .then((r) => batch.forEach((x, i) => x.resolve(r.rows[0].fresh[i] === 1 ? 'accepted' : 'duplicate')),
        (error) => batch.forEach((x) => x.reject(error)))
      .finally(() => { underWay--; takeBatches(); });
  }
}

function viaBatch(hook) {
  return new Promise((resolve, reject) => {
    waiting.push({ hook: JSON.stringify(hook), resolve, reject });
    if (waiting.length === 1) setImmediate(takeBatches);
  });
}

const handle = { redis: viaRedis, call: viaCall, batch: viaBatch }[MODE];
const app = fastify({ logger: false });
app.post('/w/bench', async (request) => ({ status: await handle(request.body) }));
await app.listen({ port: +PORT, host: '127.0.0.1' });
