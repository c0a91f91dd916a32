// Sequelize 6, with pg.

import { DataTypes, QueryTypes, Sequelize } from 'sequelize';

import { ANN, BOB, OURS, check, checkClub, checkErrors, checkUndone, has, raisedBy } from './recipe.mjs';

const db = new Sequelize(process.env.PGDATABASE, process.env.PGUSER, null, {
  dialect: 'postgres', host: process.env.PGHOST, port: process.env.PGPORT, logging: false,
  pool: { max: 2 },
});

// A transaction in which a user acts; whatever is to be part of it is given it
const as = (user, work) => db.transaction(async (transaction) => {
  await db.query("SELECT set_config('chatrel.user_id', $1, true)", { bind: [String(user ?? '')], transaction });
  return work(transaction);
});
const call = (text, bind, transaction) => db.query(text, { bind, transaction, type: QueryTypes.SELECT });

const [sent] = await as(ANN, (tx) => call('SELECT * FROM chatrel.send_group_message($1, $2)', [OURS, 'Hello'], tx));
check('a message is sent, and ids are strings', [sent.sender_id, sent.message], [String(ANN), 'Hello']);

// A table of chatrel's, for reading; never sync()
const Message = db.define('groups_messages', {
  id: { type: DataTypes.BIGINT, primaryKey: true },
  group_id: DataTypes.BIGINT,
  sender_id: DataTypes.BIGINT,
  message: DataTypes.TEXT,
}, { schema: 'chatrel', freezeTableName: true, timestamps: false });
if (has('tables')) {
  check('a row is an object', (await as(BOB, (transaction) => Message.findAll({ where: { group_id: OURS }, transaction })))
    .map((message) => [message.id, message.message]), [[sent.id, 'Hello']]);
  check('of which nobody sees any', await Message.count(), 0);
}

const run = (user, { text, values }) => as(user, async (tx) => (await call(text, values, tx))[0]);
await checkClub(run);

// Errors
await checkErrors((user, text, readOnly) => as(user, async (tx) => {
  if (readOnly) await call('SET TRANSACTION READ ONLY', [], tx);
  await call(text, [], tx);
}), ({ original, name }) => [original.code, original.table, original.column, original.constraint, name],
(sqlstate) => [sqlstate === '23505' ? 'SequelizeUniqueConstraintError' : 'SequelizeDatabaseError']);
await checkUndone(run);

// The trap: sync() makes tables, and with alter or force changes or drops them; it is kept from that only
// by not being their owner.
if (has('tables')) {
  const queries = [];
  const refused = await raisedBy(Message.sync({ alter: true, logging: (query) => queries.push(query) }));
  check('caveat: sync() would alter chatrel\'s tables', [queries.some((q) => /ALTER TABLE|CREATE TABLE/.test(q)), refused?.original.code], [true, '42501']);
}

// The trap: a query that is not given the transaction is on another connection.
check('caveat: without the transaction nobody acts',
  (await as(BOB, () => call('SELECT chatrel.current_user_id() AS id', [])))[0].id, null);
await db.close();
