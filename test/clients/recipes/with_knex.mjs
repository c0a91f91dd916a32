// Knex, with pg.

import knex from 'knex';

import { ANN, BOB, OURS, check, checkClub, checkErrors, checkUndone, has } from './recipe.mjs';

const db = knex({ client: 'pg', connection: {}, pool: { min: 1, max: 1 } });

// A transaction in which a user acts
const as = (user, work) => db.transaction(async (tx) => {
  await tx.raw("SELECT set_config('chatrel.user_id', ?, true)", [String(user ?? '')]);
  return work(tx);
});

const [sent] = await as(ANN, (tx) => tx.select('*').from(
  tx.raw('chatrel.send_group_message(?, ?)', [OURS, 'Hello'])));
check('a message is sent', [sent.sender_id, sent.message], [String(ANN), 'Hello']);
check('after a transaction nobody acts',
  (await db.raw('SELECT chatrel.current_user_id() AS id')).rows[0].id, null);
if (has('tables')) {
  check('a table has what the user may see',
    await as(BOB, (tx) => tx.withSchema('chatrel').from('groups_messages').where({ group_id: OURS }).pluck('message')), ['Hello']);
  check('of which nobody sees any', await db.withSchema('chatrel').from('groups_messages'), []);
  check('a name with a schema in one text', (await as(ANN, (tx) => tx('chatrel.groups').select('name')
    .orderBy('id'))).map((group) => group.name), ['ours', 'hers', 'slow']);
}

// A question mark in the text is a placeholder, and so is a name after a colon.
check('named arguments', (await db.raw('SELECT chatrel.send_group_message(:group, :text, as_user => :user)',
  { group: OURS, text: 'named?', user: ANN })).rowCount, 1);

const run = (user, { text, values }) => as(user, async (tx) =>
  (await tx.raw(text.replace(/\$\d+/g, '?'), values)).rows[0]);
await checkClub(run);

await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await tx.raw('SET TRANSACTION READ ONLY');
  await tx.raw(text);
}), (error) => [error.code, error.table, error.column, error.constraint]);
await checkUndone(run);
await db.destroy();
