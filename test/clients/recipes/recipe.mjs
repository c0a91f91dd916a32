// What the recipes for Node share: test/t/062_clients.pl reads what they print.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, inspect } from 'node:util';

export const ERRORS = JSON.parse(readFileSync(new URL('errors.json', import.meta.url), 'utf8'));

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
  for (const { sqlstate, user, call, table, column, constraint, read_only: readOnly } of ERRORS) {
    const error = await raisedBy(run(user, `SELECT * FROM ${call}`, readOnly));
    check(`${sqlstate} of ${call}`, fieldsOf(error), [sqlstate, table, column, constraint, ...classOf(sqlstate)]);
  }
}

// A private club, a direct conversation, and what one of the two catches up with.  run(user, call)
// makes a call of callOf() as a user, and returns its first row.
export async function checkClub(run) {
  const call = async (user, ...about) => Object.values(await run(user, callOf(...about)))[0];
  const { cursor } = await call(2, 'sync', ['now']);
  const group = await call(1, 'create_group', ['club'], { visibility: 'private' });
  check('users are invited by an array of ids', Number(await call(1, 'invite', [group, [2]])), 1);
  await call(2, 'join_group', [group]);
  await call(1, 'set_role', [group, 2, 'moderator']);
  const direct = (await call(1, 'direct_group', [[2]])).id;
  await call(1, 'send_group_message', [direct, 'between us']);
  const { events } = await call(2, 'sync', [cursor]);
  check('sync brings what has happened', events.map((event) => Object.keys(event)[0]),
    ['member_joined', 'invited', 'member_joined', 'added_to_group', 'member_changed',
      'member_joined', 'member_joined', 'added_to_group', 'group_message']);
}
