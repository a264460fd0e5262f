// Many connections at once, through whatever URL leads to: node pooled.mjs URL ID
import assert from 'node:assert/strict';
import pg from 'pg';
import { check } from './check.mjs';

const [url, id] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 40 });
const count = (list) => list.reduce((all, one) => ({ ...all, [one]: (all[one] ?? 0) + 1 }), {});
const codeOf = (error) => error.code;

await check('40 connections each see the tenant that they entered, and nothing without one', async () => {
  for (const tenant of ['team_a', 'team_b'])
    await pool.query('SELECT * FROM outreach.create_lead($1, $2)', [tenant, id]);
  const seen = await Promise.all(Array.from({ length: 40 }, async (_, n) => {
    const tenant = n % 2 ? 'team_a' : 'team_b';
    const wrong = [];
    for (let i = 0; i < 25; i += 1) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query('SELECT outreach.enter_tenant($1)', [tenant]);
        const { rows } = await client.query('SELECT DISTINCT tenant_id FROM outreach.leads');
        await client.query('COMMIT');
        if (rows.length !== 1 || rows[0].tenant_id !== tenant) wrong.push(rows);
        const code = await client.query('SELECT lead_id FROM outreach.leads').then((r) => r.rowCount, codeOf);
        if (code !== 'OR104') wrong.push(code);
      } finally {
        client.release();
      }
    }
    return wrong;
  }));
  assert.deepEqual(seen.flat(), []);
});

// One statement that enters and reads either does both, or says that no tenant is entered
const forms = {
  'enter first, comma': "SELECT count(*)::int FROM outreach.enter_tenant('team_b') e, outreach.leads l",
  'leads first, comma': "SELECT count(*)::int FROM outreach.leads l, outreach.enter_tenant('team_b') e",
  'leads first, with a condition': "SELECT count(*)::int FROM outreach.leads l, outreach.enter_tenant('team_b') e WHERE l.state = 'new'",
  'CROSS JOIN': "SELECT count(*)::int FROM outreach.leads l CROSS JOIN outreach.enter_tenant('team_b') e",
  'a condition': "SELECT count(*)::int FROM outreach.leads WHERE outreach.enter_tenant('team_b') IS NOT NULL",
  'a condition, SELECT': "SELECT count(*)::int FROM outreach.leads WHERE (SELECT outreach.enter_tenant('team_b')) IS NOT NULL",
  'MATERIALIZED': "WITH e AS MATERIALIZED (SELECT outreach.enter_tenant('team_b')) SELECT count(*)::int FROM e, outreach.leads",
  'MATERIALIZED, leads first': "WITH e AS MATERIALIZED (SELECT outreach.enter_tenant('team_b')) SELECT count(*)::int FROM outreach.leads, e",
  'the list of columns': "SELECT (SELECT count(*)::int FROM outreach.leads), outreach.enter_tenant('team_b')",
  'a view': "SELECT count(DISTINCT lead_id)::int FROM outreach.enter_tenant('team_b') e, outreach.lead_history h",
};
await check('a statement that enters and reads is right or refused', async () => {
  for (const [name, statement] of Object.entries(forms)) {
    const is = await pool.query(statement).then(({ rows }) => rows[0].count, codeOf);
    assert.ok(is === 1 || is === 'OR104', `${name}: ${is}`);
  }
});

await check('40 at once under one key: one makes the message', async () => {
  await pool.query("SELECT * FROM outreach.create_lead('team_a', $1, '2125550188')", [id]);
  const sent = await Promise.all(Array.from({ length: 40 }, () => pool.query(
    "SELECT * FROM outreach.send_message('team_a', $1, 'Race', send_key => $2, send_at => now() + interval '1 hour')", [id, `${id} race`])
    .then(({ rows }) => rows[0].duplicate, codeOf)));
  assert.deepEqual(count(sent), { false: 1, true: 39 });
});

await check('20 at once make one lead', async () => {
  const made = await Promise.all(Array.from({ length: 20 }, () => pool.query(
    "SELECT * FROM outreach.create_lead('team_a', $1, '2125550189')", [`${id} raced`]).then(({ rows }) => rows[0].created, codeOf)));
  assert.deepEqual(count(made), { false: 19, true: 1 });
});
await pool.end();
