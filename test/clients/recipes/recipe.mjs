// What the recipes for Node share.  test/t/062_clients.pl reads what they print, and says by the
// environment: IDS, of users and groups; LACKS, what is not there, where the database is a proxy;
// SHARDS, URIs of the databases in which groups are, home first.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, inspect } from 'node:util';

const IDS = JSON.parse(process.env.IDS);
export const { ann: ANN, bob: BOB, ours: OURS } = IDS;
export const EVENTS_FROM = process.env.SHARDS.split(' ')[Math.floor(OURS / 2 ** 48)]; // the database of this group
const LACKS = process.env.LACKS.split(' ');
const ERRORS = JSON.parse(readFileSync(new URL('errors.json', import.meta.url), 'utf8'));

// Is there that, which a proxy has not? A line says what is left out.
export function has(what) {
  if (LACKS.includes(what)) console.log(`left out - ${what}`);
  return !LACKS.includes(what);
}

// A line that says whether it is so, as TAP has it.
export function check(name, got, expected) {
  console.log(isDeepStrictEqual(got, expected)
    ? `ok - ${name}` : `not ok - ${name}: ${inspect(got)}, not ${inspect(expected)}`);
}

// The error that a promise ends with, or null.
export function raisedBy(promise) {
  return promise.then(() => null, (error) => error);
}

// The call of a function of chatrel's that returns rows: { text, values }, with $1, $2 … in the text.
export function callOf(name, positional, named = {}) {
  const values = [...positional, ...Object.values(named)];
  const places = [...positional.map(() => ''), ...Object.keys(named).map((key) => `${key} => `)]
    .map((prefix, n) => `${prefix}$${n + 1}`);
  return { text: `SELECT * FROM chatrel.${name}(${places.join(', ')})`, values };
}

// Each error that errors.json expects.  run(user, text, readOnly) makes a query in a transaction in
// which the user acts; fieldsOf(error) is [SQLSTATE, TABLE NAME, COLUMN NAME, CONSTRAINT NAME],
// and more that is compared with what classOf(sqlstate) says.
export async function checkErrors(run, fieldsOf, classOf = () => []) {
  const fields = [];
  const expected = [];
  for (const { sqlstate, user, call, table, column, constraint, read_only: readOnly } of ERRORS) {
    const name = `${sqlstate} of ${call}`;
    const text = `SELECT * FROM ${call.replace(/\{(\w+)\}/g, (_, what) => IDS[what])}`;
    const [code, ...about] = fieldsOf(await raisedBy(run(IDS[user], text, readOnly)));
    fields.push([name, ...about.splice(0, 3)]);
    expected.push([name, table, column, constraint]);
    check(name, [code, ...about], [sqlstate, ...classOf(sqlstate)]);
  }
  if (has('error_fields')) check('errors say which table, column and constraint', fields, expected);
}

// A private club, a direct conversation, and what one of the two catches up with.  run(user, call)
// makes a call of callOf() as a user, and returns its first row.
export async function checkClub(run) {
  const call = async (user, ...about) => Object.values(await run(user, callOf(...about)))[0];
  const { cursor } = await call(BOB, 'sync', ['now']);
  const group = await call(ANN, 'create_group', ['club'], { visibility: 'private' });
  check('users are invited by an array of ids', Number(await call(ANN, 'invite', [group, [BOB]])), 1);
  await call(BOB, 'join_group', [group]);
  await call(ANN, 'set_role', [group, BOB, 'moderator']);
  const direct = (await call(ANN, 'direct_group', [[BOB]])).id;
  const send = () => call(ANN, 'send_group_message', [direct, 'between us'], { client_key: 'a key' });
  check('a send that is tried again with its key is there once', await send(), await send());
  const { events } = await call(BOB, 'sync', [cursor]);
  const kinds = (which) => events.flatMap((event) => Object.entries(event))
    .filter(([, body]) => body.group_id === Number(which)).map(([kind]) => kind);
  check('sync brings what has happened, in the order of each group', [kinds(group), kinds(direct)],
    [['member_joined', 'invited', 'member_joined', 'added_to_group', 'member_changed'],
      ['member_joined', 'member_joined', 'added_to_group', 'group_message']]);
  check('with what was sent', events.flatMap((event) => event.group_message?.message ?? []), ['between us']);
}

// After the errors: what became of the message that the last one came after.
export async function checkUndone(run) {
  const { messages } = Object.values(await run(ANN, callOf('get_group_with_chat_history', [OURS])))[0];
  const undone = !messages.some(({ message }) => message === 'undone');
  if (has('rollback')) check('a transaction that fails undoes what was sent in it', undone, true);
  else check('caveat: what was sent in a transaction that fails stays', undone, false);
}
