// Knex, with pg.

import knex from 'knex';

import { check, raisedBy } from './recipe.mjs';

const db = knex({ client: 'pg', connection: {}, pool: { min: 1, max: 1 } });

// A transaction in which a user acts
const as = (user, work) => db.transaction(async (tx) => {
  await tx.raw("SELECT set_config('chatrel.user_id', ?, true)", [String(user)]);
  return work(tx);
});

const [sent] = await as(1, (tx) => tx.select('*').from(
  tx.raw('chatrel.send_group_message(?, ?)', [1, 'Hello'])));
check('a message is sent', [sent.sender_id, sent.message], ['1', 'Hello']);
check('a table has what the user may see',
  await as(2, (tx) => tx.withSchema('chatrel').from('groups_messages').pluck('message')), ['Hello']);
check('of which nobody sees any', await db.withSchema('chatrel').from('groups_messages'), []);
check('after a transaction nobody acts',
  (await db.raw('SELECT chatrel.current_user_id() AS id')).rows[0].id, null);
check('a name with a schema in one text', (await as(1, (tx) => tx('chatrel.groups').select('name')
  .orderBy('id'))).map((group) => group.name), ['ours', 'hers']);

// A question mark in the text is a placeholder, and so is a name after a colon.
check('named arguments', (await db.raw('SELECT chatrel.send_group_message(:group, :text, as_user => :user)',
  { group: 1, text: 'named?', user: 1 })).rowCount, 1);

const error = await raisedBy(as(2, (tx) => tx.raw('SELECT chatrel.send_group_message(?, ?)', [2, 'x'])));
check('not a member', [error.code, error.table], ['42501', 'groups_members']);
await db.destroy();
