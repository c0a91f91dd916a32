// postgres.js (postgres).

import postgres from 'postgres';

import { check, checkClub, checkErrors } from './recipe.mjs';

const sql = postgres({ max: 1 });
const [sent] = await sql`
  SELECT * FROM chatrel.send_group_message(${1}, ${'Hello @bob'},
    metadata => ${sql.json({ kind: 'greeting' })}, mentions => ${[2]}, as_user => ${1})`;
check('a message is sent, with metadata and mentions', [sent.message, sent.metadata],
  ['Hello @bob', { kind: 'greeting' }]);
check('an id in a column is a string', sent.sender_id, '1');
const [{ document }] = await sql`SELECT chatrel.get_message(1, ${sent.id}, as_user => 2) AS document`;
check('in a document it is a number', document.sender_id, 1);

// Who acts, for a transaction
const as = (user, work) => sql.begin(async (tx) => {
  await tx`SELECT set_config('chatrel.user_id', ${String(user ?? '')}, true)`; // a text
  return work(tx);
});
const whoActs = async (tx) => (await tx`SELECT chatrel.current_user_id() AS id`)[0].id;
const acting = await as(2, whoActs);
check('a user acts in a transaction', acting, '2');
check('and nobody after it', await whoActs(sql), null);
await sql`SET chatrel.user_id = 2`;
check('caveat: a SET survives in the pool', await whoActs(sql), '2');
await sql`RESET chatrel.user_id`;

await checkClub((user, { text, values }) => as(user, async (tx) => (await tx.unsafe(text, values))[0]));

// Errors
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await tx`SET TRANSACTION READ ONLY`;
  await tx.unsafe(text);
}), (error) => [error.code, error.table_name, error.column_name, error.constraint_name, error.name], () => ['PostgresError']);

// Events: sql.listen() connects once more, and makes LISTENs of its own there.  So chatrel's names
// are only asked for; that the session which asks listens too is undone.
const asking = await sql.reserve();
const names = (await asking`SELECT channel FROM chatrel.listen(as_user => 2)`).map((row) => row.channel);
const undone = (await asking`SELECT chatrel.unlisten() AS channel`).map((row) => row.channel);
asking.release();
check('the session that has asked listens no more', undone.sort(), [...names].sort());
let resolve;
const heard = new Promise((fulfil) => { resolve = fulfil; });
for (const name of names) await sql.listen(name, (payload) => resolve(JSON.parse(payload)));
await sql`SELECT chatrel.send_group_message(1, 'heard', as_user => 1)`;
check('events are heard', (await heard).group_message.message, 'heard');
await sql.end();
