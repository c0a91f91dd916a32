// Kysely, with pg.

import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';

import { check, checkClub, checkErrors } from './recipe.mjs';

const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ max: 1 }) }) });

// A transaction in which a user acts
const as = (user, work) => db.transaction().execute(async (tx) => {
  await sql`SELECT set_config('chatrel.user_id', ${String(user ?? '')}, true)`.execute(tx);
  return work(tx);
});

const sent = await as(1, async (tx) => (await sql`
  SELECT * FROM chatrel.send_group_message(${1}, ${'Hello'})`.execute(tx)).rows[0]);
check('a message is sent', [sent.sender_id, sent.message], ['1', 'Hello']);
const messages = (tx) => tx.selectFrom('chatrel.groups_messages')
  .select(['sender_id', 'message']).where('group_id', '=', '1').execute();
check('a table has what the user may see', await as(2, messages), [{ sender_id: '1', message: 'Hello' }]);
check('of which nobody sees any', await messages(db), []);
check('by withSchema, too', (await as(1, (tx) => tx.withSchema('chatrel').selectFrom('groups')
  .select('name').orderBy('id').execute())).map((group) => group.name), ['ours', 'hers', 'slow']);
const { document } = (await sql`
  SELECT chatrel.get_message(1, ${sent.id}, as_user => ${2}) AS document`.execute(db)).rows[0];
check('a document is an object', document.sender_id, 1);

await checkClub((user, { text, values }) => as(user, async (tx) =>
  (await tx.executeQuery(CompiledQuery.raw(text, values))).rows[0]));

// sql.lit and sql.raw put what they get into the text; ${} makes a parameter of it.
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await sql`SET TRANSACTION READ ONLY`.execute(tx);
  await sql.raw(text).execute(tx);
}), (error) => [error.code, error.table, error.column, error.constraint]);
await db.destroy();
