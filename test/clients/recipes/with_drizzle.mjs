// Drizzle, with pg.

import { desc, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, customType, jsonb, pgSchema, text, timestamp } from 'drizzle-orm/pg-core';
import pg from 'pg';

import { ANN, BOB, OURS, check, checkClub, checkErrors, checkUndone, has, raisedBy } from './recipe.mjs';

// Tables of chatrel are declared for reading alone.  Drizzle knows neither name nor xid8.
const name = customType({ dataType: () => 'name' });
const xid8 = customType({ dataType: () => 'xid8', fromDriver: BigInt });
const chatrel = pgSchema('chatrel');
const messages = chatrel.table('groups_messages', {
  group_id: bigint({ mode: 'number' }).notNull(), // or 'bigint'; there is no mode of strings
  id: bigint({ mode: 'bigint' }).notNull(),
  sender_id: bigint({ mode: 'number' }).notNull(),
  message: text(),
  metadata: jsonb(),
  datetime: timestamp({ withTimezone: true }).notNull(),
  xid: xid8(),
});
const users = chatrel.table('users', {
  id: bigint({ mode: 'number' }).notNull(),
  username: text().notNull(),
  role_name: name(),
});

const pool = new pg.Pool({ max: 1 });
const db = drizzle({ client: pool });

// A transaction in which a user acts
const as = (user, work) => db.transaction(async (tx) => {
  await tx.execute(sql`SELECT set_config('chatrel.user_id', ${String(user ?? '')}, true)`);
  return work(tx);
});

const sent = await as(ANN, async (tx) => (await tx.execute(sql`
  SELECT * FROM chatrel.send_group_message(${OURS}, ${'Hello'}, metadata => ${JSON.stringify({ kind: 'greeting' })})`)).rows[0]);
check('a message is sent, and ids of execute() are strings', [sent.sender_id, sent.message], [String(ANN), 'Hello']);
check('a time of execute() is a string', typeof sent.datetime, 'string');
if (has('tables')) {
  const [row] = await as(BOB, (tx) => tx.select().from(messages).orderBy(desc(messages.id)).limit(1));
  check('a row has what its declaration says', [row.id, row.sender_id, row.metadata, row.datetime instanceof Date, typeof row.xid],
    [BigInt(sent.id), ANN, { kind: 'greeting' }, true, 'bigint']);
  check('of which nobody sees any', await db.select().from(messages), []);
  check('a column of the type name', await as(ANN, (tx) => tx.select().from(users).orderBy(users.id)),
    [{ id: ANN, username: 'ann', role_name: null }, { id: BOB, username: 'bob', role_name: null }]);
}

// The trap: an array becomes a list of parameters.  sql.param() makes one of it.
const codeOf = async (ids) => (await raisedBy(as(ANN, (tx) => tx.execute(sql`SELECT chatrel.invite(${OURS}, ${ids})`))))?.cause.code;
check('caveat: an array is a list of parameters', [await codeOf([BOB]), await codeOf([ANN, BOB])], ['22P02', '42883']);
check('but not with sql.param()', (await as(ANN, (tx) => tx.execute(
  sql`SELECT chatrel.invite(${OURS}, ${sql.param([BOB])}) AS invited`))).rows[0].invited, '0');
const run = (user, { text, values }) => as(user, async (tx) => (await tx.execute(sql.join(
  text.split(/\$\d+/).flatMap((part, n) => n < values.length ? [sql.raw(part), sql.param(values[n])] : [sql.raw(part)])))).rows[0]);
await checkClub(run);

// The trap: the error of the driver is the cause.
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await tx.execute(sql`SET TRANSACTION READ ONLY`);
  await tx.execute(sql.raw(text));
}), ({ cause, constructor }) => [cause.code, cause.table, cause.column, cause.constraint, constructor.name], () => ['DrizzleQueryError']);
await checkUndone(run);
await pool.end();
