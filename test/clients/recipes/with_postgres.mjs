// postgres.js (postgres).

import postgres from 'postgres';

import { ANN, BOB, EVENTS_FROM, OURS, check, checkClub, checkErrors, checkUndone } from './recipe.mjs';

const sql = postgres({ max: 1 });
const [sent] = await sql`
  SELECT * FROM chatrel.send_group_message(${OURS}, ${'Hello @bob'},
    metadata => ${sql.json({ kind: 'greeting' })}, mentions => ${[BOB]}, as_user => ${ANN})`;
check('a message is sent, with metadata and mentions', [sent.message, sent.metadata],
  ['Hello @bob', { kind: 'greeting' }]);
check('an id in a column is a string', sent.sender_id, String(ANN));
const [{ document }] = await sql`SELECT chatrel.get_message(${OURS}, ${sent.id}, as_user => ${BOB}) AS document`;
check('in a document it is a number', document.sender_id, ANN);

// Who acts, for a transaction
const as = (user, work) => sql.begin(async (tx) => {
  await tx`SELECT set_config('chatrel.user_id', ${String(user ?? '')}, true)`; // a text
  return work(tx);
});
const whoActs = async (tx) => (await tx`SELECT chatrel.current_user_id() AS id`)[0].id;
const acting = await as(BOB, whoActs);
check('a user acts in a transaction', acting, String(BOB));
check('and nobody after it', await whoActs(sql), null);
await sql.unsafe(`SET chatrel.user_id = ${BOB}`);
check('caveat: a SET survives in the pool', await whoActs(sql), String(BOB));
await sql`RESET chatrel.user_id`;

const run = (user, { text, values }) => as(user, async (tx) => (await tx.unsafe(text, values))[0]);
await checkClub(run);

// Errors
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await tx`SET TRANSACTION READ ONLY`;
  await tx.unsafe(text);
}), (error) => [error.code, error.table_name, error.column_name, error.constraint_name, error.name], () => ['PostgresError']);
await checkUndone(run);

// Events: sql.listen() connects once more, and makes LISTENs of its own there.  So chatrel's names
// are only asked for; that the session which asks listens too is undone.
const events = postgres(EVENTS_FROM, { max: 1 });
const asking = await events.reserve();
const names = (await asking`SELECT channel FROM chatrel.listen(as_user => ${BOB})`).map((row) => row.channel);
const undone = (await asking`SELECT chatrel.unlisten() AS channel`).map((row) => row.channel);
asking.release();
check('the session that has asked listens no more', undone.sort(), [...names].sort());
let resolve;
const heard = new Promise((fulfil) => { resolve = fulfil; });
for (const name of names) await events.listen(name, (payload) => resolve(JSON.parse(payload)));
await sql`SELECT chatrel.send_group_message(${OURS}, 'heard', as_user => ${ANN})`;
check('events are heard', (await heard).group_message.message, 'heard');
await events.end();
await sql.end();
