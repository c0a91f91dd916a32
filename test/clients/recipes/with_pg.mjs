// node-postgres (pg).

import pg from 'pg';

import { check, checkClub, checkErrors, raisedBy } from './recipe.mjs';

const pool = new pg.Pool({ max: 1 });
const sent = (await pool.query(
  'SELECT * FROM chatrel.send_group_message($1, $2, metadata => $3, mentions => $4, as_user => $5)',
  [1, 'Hello @bob', { kind: 'greeting' }, [2], 1])).rows[0];
check('a message is sent, with metadata and mentions', [sent.message, sent.metadata],
  ['Hello @bob', { kind: 'greeting' }]);
check('an id in a column is a string', [typeof sent.id, sent.sender_id], ['string', '1']);
const get = async () => (await pool.query(
  'SELECT chatrel.get_message($1, $2, as_user => 2) AS document', [1, sent.id])).rows[0].document;
check('in a document it is a number', [typeof (await get()).id, (await get()).sender_id],
  ['number', 1]);

// Both alike: as numbers, as long as they are below 2^53 ...
const types = { getTypeParser: (oid, format) => oid === 20 ? Number : pg.types.getTypeParser(oid, format) };
const numbers = new pg.Client({ types });
await numbers.connect();
const row = (await numbers.query('SELECT id FROM chatrel.group_messages(1, as_user => 2)')).rows[0];
check('with a parser of one\'s own, a number', row.id, (await get()).id);
await numbers.end();

// ... or as strings, if chatrel.json_ids says so for the database, as it does for this one.
const strings = new pg.Client({ database: `${process.env.PGDATABASE}_ids` });
await strings.connect();
const document = (await strings.query(
  'SELECT chatrel.get_group(1, as_user => 1) AS document')).rows[0].document;
check('with chatrel.json_ids, strings in documents too', document.id, '1');
await strings.end();

// Who acts, for a transaction of some statements
async function actAs(user, work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query("SELECT set_config('chatrel.user_id', $1, true)", [String(user ?? '')]);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}
const whoActs = async (client) => (await client.query('SELECT chatrel.current_user_id() AS id')).rows[0].id;
check('a user acts in a transaction', await actAs(2, whoActs), '2');
check('and nobody after it', await whoActs(pool), null);
await pool.query('SET chatrel.user_id = 2');
check('caveat: a SET survives in the pool', await whoActs(pool), '2');
await pool.query('RESET chatrel.user_id');

await checkClub((user, call) => actAs(user, async (client) => (await client.query(call)).rows[0]));

// Errors
await checkErrors((user, text, readOnly) => actAs(user, async (client) => {
  if (readOnly) await client.query('SET TRANSACTION READ ONLY');
  await client.query(text);
}), (error) => [error.code, error.table, error.column, error.constraint, error instanceof pg.DatabaseError], () => [true]);
check('an array in jsonb is to be written as JSON',
  (await raisedBy(pool.query("SELECT chatrel.send_group_message(1, 'x', metadata => $1, as_user => 1)",
    [[1]]))).code, '22P02');

// Events
const listener = new pg.Client();
await listener.connect();
const heard = new Promise((resolve) => { listener.on('notification', ({ payload }) => resolve(JSON.parse(payload))); });
await listener.query('SELECT chatrel.listen(as_user => 2)');
await pool.query("SELECT chatrel.send_group_message(1, 'heard', as_user => 1)");
check('events are heard', (await heard).group_message.message, 'heard');
await listener.end();
await pool.end();
