// What docs/clients.md reads through the schema that drizzle-kit has pulled, with Drizzle over both of its clients: types
// that tsc checks, and rows.
//
//	node pulled.js URL TENANT LEAD
import assert from 'node:assert/strict';
import { drizzle as overPg } from 'drizzle-orm/node-postgres';
import { drizzle as overPostgres } from 'drizzle-orm/postgres-js';
import pg from 'pg';
import postgres from 'postgres';
import { leadsInOutreach as leads } from './outreach/schema';
import { lastEvents, sentByNumber, touchedLeads } from './reads';

type Database = Parameters<typeof touchedLeads>[0];

async function read(db: Database, tenant: string, lead: string): Promise<void> {
  const touched = (await touchedLeads(db, tenant)).find((row) => row.id === lead);
  assert.ok(touched);
  const state: typeof leads.$inferSelect.state = touched.state;
  const created: string = touched.createdAt;
  const due: string | null = touched.due;
  assert.equal(state, 'touched');
  for (const time of [created, due]) assert.ok(Number.isFinite(new Date(time ?? '').getTime()));
  assert.equal(typeof touched.attributes, 'object');
  const [event] = await lastEvents(db, tenant, lead);
  const version: number | null = event.leadVersion;
  assert.ok(version !== null && version > 1);
  const sent: number[] = (await sentByNumber(db, tenant)).map((row) => row.sent);
  assert.ok(sent.length > 0 && sent.every(Number.isSafeInteger));
  await assert.rejects(async () => await db.select().from(leads),
    (error: { cause?: { code?: string } }) => error.cause?.code === 'OR104');
}

async function main(url: string, tenant: string, lead: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url });
  await read(overPg(pool), tenant, lead).finally(() => pool.end());
  console.log('ok node-postgres');
  const client = postgres(url);
  await read(overPostgres(client), tenant, lead).finally(() => client.end());
  console.log('ok postgres.js');
}

const [url, tenant, lead] = process.argv.slice(2);
main(url, tenant, lead).catch((error) => { console.error(error); process.exitCode = 1; });
