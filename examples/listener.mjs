// Prints what happens in a chatrel user's groups as it comes, each event once, as a line of JSON.
//
//   npm install pg
//   PGDATABASE=app node listener.mjs 7
//
// The argument says which user to be; without it, the user of the role that connects.
// PGHOST, PGDATABASE, PGUSER … say how to connect.
//
// sync() gives every event once, also those of the time when nobody was connected: what it
// needs is the cursor of its last answer.  Who listens hears the same objects at once, but only
// while connected, so that does not move the cursor.  For every connection: sync, to catch up;
// LISTEN; sync again, for what came between the two; then take what is heard.  It comes with
// the next sync too: whichever is first counts, as the event's id tells.
//
// A connection may be gone without a word, where a cable, a router or a proxy has lost it.
// So sync is called now and then although nothing is heard, and if the answer does not come
// in time, the program connects again.
//
// The cursor is kept in memory here.  A program that is to go on after it was ended keeps it
// with what it does with the events, in one transaction.

import pg from 'pg';

const SYNC_AFTER = 1000; // events that were heard: then let the cursor follow
const REMEMBER = 10 * SYNC_AFTER; // events that were handled: more than can come twice
const SYNC_EVERY_MS = Number(process.env.SYNC_EVERY_MS ?? 30000); // if nothing is heard
const ANSWER_WITHIN_MS = Number(process.env.ANSWER_WITHIN_MS ?? 10000);
const RETRY_FIRST_MS = 500; // after a failure; then twice as long, and so on
const RETRY_LONGEST_MS = 30000;

const user = process.argv[2] ?? null;
let cursor = null; // all events there are
let handled = new Set(); // the ids of the last ones, oldest first
let heardSinceSync = 0;
let retryMs = RETRY_FIRST_MS;

// What is kept has an id, which no other event has, and a datetime.  What is only heard has not:
// read, changes of whiteboards, what an application publishes.
function isKept(event) {
  return 'datetime' in Object.values(event)[0];
}

// What is heard is left to sync, which has all of it and in its place, if it is cut short, or if
// something older may be on its way by another channel: the message that it is about, or what was
// done in the transaction in which a member left.
function isForSync(event) {
  const [[kind, details]] = Object.entries(event);
  return isKept(event) && (details.truncated || kind === 'member_left'
    || ('message_id' in details && !handled.has(details.message_id)));
}

// Every event comes here, heard or caught up with: an object of one key, which names its kind.
function handle(event) {
  if (isKept(event)) {
    const { id } = Object.values(event)[0];
    if (handled.has(id)) return;
    handled.add(id);
    if (handled.size > REMEMBER) handled.delete(handled.values().next().value);
  }
  console.log(JSON.stringify(event));
}

async function sync(client) {
  let answer;
  do {
    const { rows } = await client.query(
      'SELECT chatrel.sync($1, as_user => $2) AS answer', [cursor, user]);
    answer = rows[0].answer;
    answer.events.forEach(handle);
    cursor = answer.cursor;
  } while (answer.more);
  heardSinceSync = 0;
}

// An event that was heard.
async function hear(client, event) {
  if (event.relisten) {
    // The group has another channel now, or it is new to the user, or the user has left it.
    await client
      .query('SELECT chatrel.listen_group($1, as_user => $2)', [event.relisten.group_id, user])
      .catch((error) => { if (error.code !== 'P0002') throw error; });
    await sync(client);
  } else if (isForSync(event)) {
    await sync(client);
  } else {
    handle(event);
    if (++heardSinceSync >= SYNC_AFTER) await sync(client);
  }
}

// Until the connection is lost, or something fails.
async function goOn() {
  const client = new pg.Client({
    keepAlive: true,
    connectionTimeoutMillis: ANSWER_WITHIN_MS,
    query_timeout: ANSWER_WITHIN_MS,
  });
  const heard = []; // and not taken yet: one after the other
  let wake = () => {};
  let lost = null;

  client.on('notification', ({ payload }) => { heard.push(payload); wake(); });
  client.on('error', (error) => { lost = error; wake(); });
  client.on('end', () => { lost ??= new Error('the connection was closed'); wake(); });
  try {
    await client.connect();
    await sync(client);
    await client.query('SELECT chatrel.listen(as_user => $1)', [user]);
    await sync(client);
    retryMs = RETRY_FIRST_MS;
    while (!lost) {
      while (heard.length > 0) await hear(client, JSON.parse(heard.shift()));
      let timer;
      await new Promise((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, SYNC_EVERY_MS);
        if (heard.length > 0 || lost) resolve();
      });
      clearTimeout(timer);
      if (heard.length === 0 && !lost) await sync(client);
    }
    throw lost;
  } finally {
    client.end().catch(() => {}); // which may take long, if nobody is there
  }
}

for (;;) {
  try {
    await goOn();
  } catch (error) {
    console.error(error.message);
    if (error.code === '55000') {
      // The server was replaced by one that has lost something, or has purged what was not
      // seen.  Whoever shows messages loads them again now; this program prints them all again.
      cursor = null;
      handled = new Set();
    }
  }
  const pause = Math.round(retryMs * (0.5 + Math.random() / 2)); // not all clients at once
  console.error(`trying again in ${pause} ms`);
  await new Promise((resolve) => { setTimeout(resolve, pause); });
  retryMs = Math.min(2 * retryMs, RETRY_LONGEST_MS);
}
