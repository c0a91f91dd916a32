// Kysely, with pg.

import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';

import { ANN, BOB, OURS, check, checkClub, checkErrors, checkUndone, has } from './recipe.mjs';

const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ max: 1 }) }) });

// A transaction in which a user acts
const as = (user, work) => db.transaction().execute(async (tx) => {
  await sql`SELECT set_config('chatrel.user_id', ${String(user ?? '')}, true)`.execute(tx);
  return work(tx);
});

const sent = await as(ANN, async (tx) => (await sql`
  SELECT * FROM chatrel.send_group_message(${OURS}, ${'Hello'})`.execute(tx)).rows[0]);
check('a message is sent', [sent.sender_id, sent.message], [String(ANN), 'Hello']);
if (has('tables')) {
  const messages = (tx) => tx.selectFrom('chatrel.groups_messages')
    .select(['sender_id', 'message']).where('group_id', '=', OURS).execute();
  check('a table has what the user may see', await as(BOB, messages), [{ sender_id: String(ANN), message: 'Hello' }]);
  check('of which nobody sees any', await messages(db), []);
  check('by withSchema, too', (await as(ANN, (tx) => tx.withSchema('chatrel').selectFrom('groups')
    .select('name').orderBy('id').execute())).map((group) => group.name), ['ours', 'hers', 'slow']);
}
const { document } = (await sql`
  SELECT chatrel.get_message(${OURS}, ${sent.id}, as_user => ${BOB}) AS document`.execute(db)).rows[0];
check('a document is an object', document.sender_id, ANN);

const run = (user, { text, values }) => as(user, async (tx) =>
  (await tx.executeQuery(CompiledQuery.raw(text, values))).rows[0]);
await checkClub(run);

// sql.lit and sql.raw put what they get into the text; ${} makes a parameter of it.
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await sql`SET TRANSACTION READ ONLY`.execute(tx);
  await sql.raw(text).execute(tx);
}), (error) => [error.code, error.table, error.column, error.constraint]);
await checkUndone(run);
await db.destroy();
