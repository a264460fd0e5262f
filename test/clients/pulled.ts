// What docs/clients.md reads through the schema that drizzle-kit has pulled: types that tsc checks, and rows.
import assert from 'node:assert/strict';
import { connect, lastEvents, sentByNumber, touchedLeads } from './reads';

async function main(url: string, tenant: string, lead: string): Promise<void> {
  const db = connect(url);
  const touched = (await touchedLeads(db, tenant)).find((row) => row.id === lead);
  assert.ok(touched);
  const state: 'new' | 'touched' | 'suppressed' | string = touched.state;
  const due: string | null = touched.due;
  assert.equal(state, 'touched');
  assert.ok(Number.isFinite(new Date(due ?? '').getTime()));
  assert.equal(typeof touched.attributes, 'object');
  const [event] = await lastEvents(db, tenant, lead);
  const version: number | null = event.leadVersion;
  assert.ok(version !== null && version > 1);
  const sent: number[] = (await sentByNumber(db, tenant)).map((row) => row.sent);
  assert.ok(sent.every(Number.isSafeInteger));
  await db.$client.end();
}

const [url, tenant, lead] = process.argv.slice(2);
main(url, tenant, lead).then(() => console.log('ok read'), (error) => { console.error(error); process.exitCode = 1; });
