// The recipes of docs/clients.md with one client:
//
//	node client.mjs RECIPE OPTIONS URL URL-OF-AN-ADMINISTRATOR ID STATEMENTS
//
// OPTIONS are JSON, null for those of the recipe.  ID is what the leads of this run are called.  STATEMENTS is a file
// of SQL, which is sent as it stands.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as calls from './calls.mjs';
import { check } from './check.mjs';
import { again, serverError } from './errors.mjs';

const [recipe, options, url, adminUrl, id, statements] = process.argv.slice(2);
const { connect, touchedLeads } = await import(`./${recipe}.mjs`);
const open = (to) => connect(to, JSON.parse(options) ?? undefined);
const client = open(url);
const admin = open(adminUrl);
const tenant = 'team_a';
const odd = `${id} , "{}" \\ 'é'`;
// Prisma does not give back the connection of a transaction that failed at its COMMIT: see docs/clients.md
const losesConnections = recipe === 'prisma';
const inADay = new Date(Date.now() + 86_400_000);
const attributes = { city: 'New York', deep: { list: [1, null, 'x'], no: false } };

const raw = (using, text) => using.run(using.sql(Object.assign([text], { raw: [text] })));
const refused = (code) => (error) => {
  assert.equal(serverError(error).code, code);
  return true;
};
// What no client may be given: a time or number that it cannot hold, a row as one text
function readable(value, name) {
  if (Array.isArray(value)) return value.forEach((item) => readable(item, name));
  if (value instanceof Date) assert.ok(Number.isFinite(value.getTime()), `${name}: a time`);
  if (typeof value === 'number') assert.ok(Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER, `${name}: ${value}`);
  if (typeof value === 'bigint') assert.ok(value <= BigInt(Number.MAX_SAFE_INTEGER), `${name}: ${value}`);
  if (typeof value === 'string') assert.doesNotMatch(value, /^-?infinity$/, name);
  assert.notEqual(value, undefined, name);
}

await check('a lead is made, with an object', async () => {
  const lead = { id, phone: '(212) 555-0124', firstName: 'Sam', attributes };
  assert.deepEqual({ ...(await calls.createLead(client, tenant, lead))[0] }, { lead_id: id, state: 'new', created: true });
  assert.equal((await calls.createLead(client, tenant, lead))[0].created, false);
  assert.equal((await calls.createLead(client, tenant, { id: odd, phone: null }))[0].lead_id, odd);
});
await check('rows are read in a transaction that has entered the tenant', async () => {
  const rows = await calls.leadsIn(client, tenant, 'new');
  const row = rows.find((r) => r.lead_id === id);
  assert.deepEqual(row.attributes, attributes);
  assert.ok(Math.abs(new Date(row.created_at) - Date.now()) < 86_400_000);
});
await check('and in no other', async () => {
  await assert.rejects(async () => await raw(client, 'SELECT lead_id FROM outreach.leads'), refused('OR104'));
});
await check('another tenant has other rows', async () => {
  assert.deepEqual([...await calls.leadsIn(client, 'team_b', 'new')], []);
  await assert.rejects(async () => await calls.withTenant(client, 'team_b', (tx) => calls.leadHistory(tx, tenant, id)), refused('OR102'));
});
await check('what is thrown in a transaction takes it back', async () => {
  await assert.rejects(() => client.transaction(async (tx) => {
    await calls.createLead(tx, tenant, { id: `${id} gone`, phone: null });
    throw new Error('mine');
  }), /^Error: mine$/);
  await assert.rejects(async () => await calls.transitionLead(client, tenant, `${id} gone`, 'touched'), refused('OR002'));
});
await check('a time and an object, or neither', async () => {
  const [timer] = await calls.setTimer(client, tenant, id, 'CALLBACK', inADay, { agent: 'SABRINA' });
  assert.equal(new Date(timer.trigger_at).getTime(), inADay.getTime());
  const [row] = await calls.withTenant(client, tenant, ({ sql, run }) => run(
    sql`SELECT due_at, action_payload FROM outreach.timers_ahead WHERE lead_id = ${id}`));
  assert.deepEqual(row.action_payload, { agent: 'SABRINA' });
  assert.equal(new Date(row.due_at).getTime(), inADay.getTime());
  assert.equal((await calls.setTimer(client, tenant, id, 'TIMER_7D'))[0].timer_type, 'TIMER_7D');
});
await check('an array', async () => {
  const rows = await calls.sendMessages(client, tenant, [odd, id], 'Hello {{firstName | default: "there"}}', inADay);
  assert.deepEqual(rows.map((r) => [r.item, r.lead_id, r.duplicate]), [[1, odd, false], [2, id, false]]);
  assert.equal(rows[1].status, 'pending');
  assert.ok(Array.isArray(rows[1].verdicts));
});
await check('one key, one message', async () => {
  const message = { template: 'intro', key: `${id} key`, at: inADay, options: { variables: { firstName: 'Sammy' } } };
  const [first] = await calls.sendMessage(client, tenant, id, message);
  const [second] = await calls.sendMessage(client, tenant, id, message);
  assert.deepEqual([first.duplicate, second.duplicate], [false, true]);
  assert.equal(first.message_id, second.message_id);
  assert.equal((await calls.cancelMessage(client, tenant, first.message_id, 'not now'))[0].status, 'cancelled');
});
await check('an event comes back as it was written', async () => {
  const payload = { note: 'x', nested: [{ a: 1 }] };
  await calls.recordEvent(client, tenant, id, 'contact.updated', payload, `${id} note`);
  const [event] = (await calls.leadHistory(client, tenant, id)).filter((e) => e.event_type === 'contact.updated');
  assert.deepEqual(event.payload, payload);
  assert.equal(typeof event.lead_version, 'number');
  assert.match(event.event_id, /^[0-9a-f-]{36}$/);
  assert.equal((await calls.leadHistory(client, tenant, id, 1)).length, 1);
});
await check('an object that was encoded twice is refused', async () => {
  const twice = (payload) => calls.recordEvent(client, tenant, id, 'contact.updated', JSON.stringify(payload));
  await assert.rejects(async () => await twice({ note: 'x' }), refused('22023'));
  // as postgres.js does by itself without ::text
  const once = ({ sql, run }) => run(sql`
    SELECT * FROM outreach.record_event(${tenant}, ${id}, 'contact.updated', ${JSON.stringify({ note: 'y' })}::jsonb)`);
  if (recipe === 'postgres') await assert.rejects(async () => await once(client), refused('22023'));
  else await once(client);
});
await check('a list comes back as an array', async () => {
  assert.ok((await calls.allowedStates(client, tenant, id)).includes('touched'));
});
await check('an error has its code, message, detail and hint', async () => {
  const error = await calls.transitionLead(client, tenant, id, 'closed').then(() => assert.fail('no error'), serverError);
  assert.equal(error.code, 'OR001');
  assert.equal(error.message, 'a lead cannot go from "new" to "closed"');
  assert.match(error.detail, /^From "new" it can go to: touched/);
  const hinted = await raw(client, 'SELECT lead_id FROM outreach.leads').then(() => assert.fail('no error'), serverError);
  assert.match(hinted.hint, /enter_tenant/);
});
await check('a step comes back', async () => {
  const [step] = await calls.transitionLead(client, tenant, id, 'touched', 'first text was sent');
  assert.deepEqual([step.previous_state, step.new_state, step.changed], ['new', 'touched', true]);
});
await check('a transaction that failed for another is done again', async () => {
  let tries = 0;
  // at every other COMMIT a constraint trigger of the test's raises 40001
  await again(() => client.transaction(async (tx) => {
    tries += 1;
    for (const [n, code] of ['40001', '40P01'].entries())
      if (tries === n + 1) await raw(tx, `DO $$ BEGIN RAISE 'once more' USING ERRCODE = '${code}'; END $$`);
    if (!losesConnections) await raw(tx, 'INSERT INTO public.late VALUES (1)');
  }));
  assert.equal(tries, losesConnections ? 3 : 4);
});
await check('several at once: one makes the message', async () => {
  const sent = await Promise.all(Array.from({ length: 8 }, () => again(() => client.transaction(async (tx) => {
    if (!losesConnections) await raw(tx, 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
    return calls.sendMessage(tx, tenant, id, { body: 'Race', key: `${id} race`, at: inADay });
  }), 100)));
  assert.deepEqual(sent.map(([row]) => row.duplicate).sort(), [false, true, true, true, true, true, true, true]);
});
if (touchedLeads)
  await check('the query builder reads', async () => {
    const rows = await calls.withTenant(client, tenant, touchedLeads);
    assert.ok(rows.some((row) => row.lead_id === id && row.state === 'touched'));
  });
await check('what an application reads comes back well', async () => {
  await calls.withTenant(client, tenant, async (tx) => {
    // intervals, which Prisma does not read, are those of the configuration
    const names = await raw(tx, `SELECT c.relname::text AS name, string_agg(CASE WHEN a.atttypid IN ('interval'::regtype, 'interval[]'::regtype)
        THEN format('%I::text', a.attname) ELSE quote_ident(a.attname) END, ', ') AS columns
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege(c.oid, 'SELECT') GROUP BY 1`);
    assert.ok(names.length > 30);
    assert.equal((await raw(tx, 'SELECT FROM outreach.webhook_receipts')).length, 20);
    for (const { name, columns } of names)
      for (const row of await raw(tx, `SELECT ${columns} FROM outreach.${name} LIMIT 100`))
        for (const [column, value] of Object.entries(row)) readable(value, `${name}.${column}`);
  });
});
await check('what administrators call comes back too', async () => {
  const value = async (text) => Object.values((await raw(admin, `SELECT ${text}`))[0])[0];
  assert.equal(await value('outreach.wake_workers()'), true);
  assert.equal(await value("outreach.disarm('a test')"), false);
  assert.equal(await value('outreach.arm()'), true);
  await value("outreach.stop_sending('account', 'texts', 'a test', 'team_a')");
  assert.equal(typeof await value("outreach.resume_sending('account', 'texts', 'team_a')"), 'number');
  for (const row of [...await raw(admin, 'SELECT * FROM outreach.worker_status'), ...await raw(admin, 'SELECT * FROM outreach.arming')])
    for (const [column, value] of Object.entries(row)) readable(value, column);
});
await check('the statements of README.md, as they stand', async () => {
  const text = readFileSync(statements, 'utf8');
  const parts = text.split(/;/).map((part) => ({ code: /^\s*-- ERROR (\w{5})/m.exec(part)?.[1],
    statement: part.replace(/--.*$/gm, '').trim() }));
  // an announcement follows its statement
  const all = parts.map(({ statement }, n) => ({ statement, code: parts[n + 1]?.code })).filter(({ statement }) => statement);
  const begin = all.findIndex(({ statement }) => statement === 'BEGIN');
  const commit = all.findIndex(({ statement }) => statement === 'COMMIT');
  assert.ok(begin > 5 && commit > begin + 3 && all.length > commit + 1);
  const send = async (using, { statement, code }) => {
    if (code) await assert.rejects(async () => await raw(using, statement), refused(code), statement);
    else assert.ok((await raw(using, statement)).length > 0, `${statement}: a row`);
  };
  for (const one of all.slice(0, begin)) await send(client, one);
  await client.transaction(async (tx) => { for (const one of all.slice(begin + 1, commit)) await send(tx, one); });
  for (const one of all.slice(commit + 1)) await send(client, one);
});
await client.end();
await admin.end();
