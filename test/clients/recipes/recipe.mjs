// What the recipes for Node share: test/t/062_clients.pl reads what they print.

import { isDeepStrictEqual, inspect } from 'node:util';

// A line that says whether it is so, as TAP has it.
export function check(name, got, expected) {
  console.log(isDeepStrictEqual(got, expected)
    ? `ok - ${name}` : `not ok - ${name}: ${inspect(got)}, not ${inspect(expected)}`);
}

// The error that a promise ends with, or null.
export function raisedBy(promise) {
  return promise.then(() => null, (error) => error);
}
