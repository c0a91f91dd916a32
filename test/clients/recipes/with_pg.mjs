// node-postgres (pg).

import pg from 'pg';

import { ANN, BOB, EVENTS_FROM, OURS, check, checkClub, checkErrors, checkUndone, raisedBy } from './recipe.mjs';

const pool = new pg.Pool({ max: 1 });
const sent = (await pool.query(
  'SELECT * FROM chatrel.send_group_message($1, $2, metadata => $3, mentions => $4, as_user => $5)',
  [OURS, 'Hello @bob', { kind: 'greeting' }, [BOB], ANN])).rows[0];
check('a message is sent, with metadata and mentions', [sent.message, sent.metadata],
  ['Hello @bob', { kind: 'greeting' }]);
check('an id in a column is a string', [typeof sent.id, sent.sender_id], ['string', String(ANN)]);
const get = async () => (await pool.query(
  'SELECT chatrel.get_message($1, $2, as_user => $3) AS document', [OURS, sent.id, BOB])).rows[0].document;
check('in a document it is a number', [typeof (await get()).id, (await get()).sender_id],
  ['number', ANN]);

// Both alike: as numbers, as long as they are below 2^53 ...
const types = { getTypeParser: (oid, format) => oid === 20 ? Number : pg.types.getTypeParser(oid, format) };
const numbers = new pg.Client({ types });
await numbers.connect();
const row = (await numbers.query('SELECT id FROM chatrel.group_messages($1, as_user => $2)', [OURS, BOB])).rows[0];
check('with a parser of one\'s own, a number', row.id, (await get()).id);
await numbers.end();

// ... or as strings, if chatrel.json_ids says so for the database, as it does for this one.
const strings = new pg.Client({ database: `${process.env.PGDATABASE}_ids` });
await strings.connect();
const document = (await strings.query(
  'SELECT chatrel.get_group($1, as_user => $2) AS document', [OURS, ANN])).rows[0].document;
check('with chatrel.json_ids, strings in documents too', document.id, String(OURS));
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
check('a user acts in a transaction', await actAs(BOB, whoActs), String(BOB));
check('and nobody after it', await whoActs(pool), null);
await pool.query(`SET chatrel.user_id = ${BOB}`);
check('caveat: a SET survives in the pool', await whoActs(pool), String(BOB));
await pool.query('RESET chatrel.user_id');

const run = (user, call) => actAs(user, async (client) => (await client.query(call)).rows[0]);
await checkClub(run);

// Errors
await checkErrors((user, text, readOnly) => actAs(user, async (client) => {
  if (readOnly) await client.query('SET TRANSACTION READ ONLY');
  await client.query(text);
}), (error) => [error.code, error.table, error.column, error.constraint, error instanceof pg.DatabaseError], () => [true]);
await checkUndone(run);
check('an array in jsonb is to be written as JSON',
  (await raisedBy(pool.query("SELECT chatrel.send_group_message($1, 'x', metadata => $2, as_user => $3)",
    [OURS, [1], ANN]))).code, '22P02');

// Events
const listener = new pg.Client({ connectionString: EVENTS_FROM });
await listener.connect();
const heard = new Promise((resolve) => { listener.on('notification', ({ payload }) => resolve(JSON.parse(payload))); });
await listener.query('SELECT chatrel.listen(as_user => $1)', [BOB]);
await pool.query("SELECT chatrel.send_group_message($1, 'heard', as_user => $2)", [OURS, ANN]);
check('events are heard', (await heard).group_message.message, 'heard');
await listener.end();
await pool.end();
