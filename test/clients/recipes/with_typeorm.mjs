// TypeORM, with pg.

import 'reflect-metadata';
import { DataSource, EntitySchema } from 'typeorm';

import { ANN, BOB, OURS, check, checkClub, checkErrors, checkUndone, has } from './recipe.mjs';

// A table of chatrel's, for reading: synchronize: false keeps migrations away from it.
const Message = new EntitySchema({
  name: 'Message',
  schema: 'chatrel',
  tableName: 'groups_messages',
  synchronize: false,
  columns: {
    group_id: { type: 'bigint', primary: true },
    id: { type: 'bigint', primary: true },
    sender_id: { type: 'bigint' },
    message: { type: 'text', nullable: true },
  },
});
const Note = new EntitySchema({
  name: 'Note',
  tableName: 'notes',
  columns: { id: { type: 'bigint', primary: true, generated: true }, note: { type: 'text' } },
});

const connect = async (entities) => new DataSource({
  type: 'postgres', host: process.env.PGHOST, port: Number(process.env.PGPORT), username: process.env.PGUSER,
  database: process.env.PGDATABASE, entities, synchronize: false, extra: { max: 1 }, installExtensions: false,
}).initialize();
const db = await connect([Message, Note]);

// A transaction in which a user acts; whatever is to be part of it goes through its manager
const as = (user, work) => db.transaction(async (manager) => {
  await manager.query("SELECT set_config('chatrel.user_id', $1, true)", [String(user ?? '')]);
  return work(manager);
});

const [sent] = await as(ANN, (manager) => manager.query(
  'SELECT * FROM chatrel.send_group_message($1, $2)', [OURS, 'Hello']));
check('a message is sent, and ids are strings', [sent.sender_id, sent.message], [String(ANN), 'Hello']);
if (has('tables')) {
  check('a row is an object', (await as(BOB, (manager) => manager.findBy(Message, { group_id: OURS })))
    .map((message) => [message.id, message.message]), [[sent.id, 'Hello']]);
  check('of which nobody sees any', await db.getRepository(Message).count(), 0);
}

// What a migration would do: nothing to chatrel, if each of its entities says synchronize: false.
const queries = async (source) => (await source.driver.createSchemaBuilder().log()).upQueries
  .map(({ query }) => query);
check('a migration makes the tables of the application, and nothing else',
  (await queries(db)).map((query) => query.replace(/ \(.*/, '')), ['CREATE TABLE "notes"']);
if (has('tables')) {
  Message.options.synchronize = true;
  const careless = await connect([Message]);
  check('caveat: without synchronize: false, chatrel\'s tables would be altered',
    (await queries(careless)).some((query) => query.includes('DROP') && query.includes('"chatrel"."groups_messages"')), true);
  await careless.destroy();
}

const run = (user, { text, values }) => as(user, async (manager) => (await manager.query(text, values))[0]);
await checkClub(run);

// Errors
await checkErrors((user, text, readOnly) => as(user, async (manager) => {
  if (readOnly) await manager.query('SET TRANSACTION READ ONLY');
  await manager.query(text);
}), (error) => [error.code, error.table, error.column, error.constraint, error.name], () => ['QueryFailedError']);
await checkUndone(run);
await db.destroy();
