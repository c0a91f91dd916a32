// Everything that happens in a database, from one connection: what is heard, and after an
// interruption what was missed, each event once and in order.
//
// An interruption ends with listen_all and then sync_all from the last cursor, and what is heard
// meanwhile waits.  Only what sync_all returns moves the cursor.

import pg from 'pg';

const SYNC_AFTER = 1000; // events that were heard: then let the cursor follow
const REMEMBER = 20 * SYNC_AFTER; // events that were passed on: more than can come twice
const SYNC_EVERY_MS = 30000; // if nothing is heard: perhaps the connection is lost without a word
const ANSWER_WITHIN_MS = 10000;
const RETRY_FIRST_MS = 100; // after a failure; then twice as long, and so on
const RETRY_LONGEST_MS = 10000;

// begin(members): who is in which group, before the first event and whenever the cursor is of no
// use any more; ready(): from now on nothing is missed; pass(kind, event): one event;
// failed(error): there is no connection, and it is tried again.  query() of what is returned asks
// by the same connection.
export function feed({ database, begin, ready, pass, failed }) {
  let connected = null; // the client, while nothing is missed
  let cursor = null;
  let passed = new Set(); // ids, oldest first
  let heardSinceSync = 0;
  let retryMs = RETRY_FIRST_MS;

  function passOnce(object) {
    const [[kind, event]] = Object.entries(object);
    const key = `${event.id}`;
    if (event.datetime) { // it is kept, and so has an id of its own
      if (passed.has(key)) return;
      passed.add(key);
      if (passed.size > REMEMBER) passed.delete(passed.values().next().value);
    }
    pass(kind, event);
  }

  async function syncAll(client, from) {
    const { rows } = await client.query(
      'SELECT chatrel.sync_all($1, event_limit => 1000) AS answer', [from]);
    return rows[0].answer;
  }

  async function start(client) {
    const from = (await syncAll(client, 'now')).cursor;
    const { rows } = await client.query({
      text: 'SELECT group_id, user_id FROM chatrel.group_members_of(NULL)', rowMode: 'array' });
    begin(rows);
    cursor = from;
    passed = new Set();
  }

  async function catchUp(client) {
    let answer;
    do {
      answer = await syncAll(client, cursor);
      answer.events.forEach(passOnce);
      cursor = answer.cursor;
    } while (answer.more);
    heardSinceSync = 0;
  }

  async function heed(client, payload) {
    const object = JSON.parse(payload);
    if (Object.values(object)[0].truncated) await catchUp(client); // which has all of it
    else passOnce(object);
    if (++heardSinceSync >= SYNC_AFTER) await catchUp(client);
  }

  async function goOn() {
    const client = new pg.Client({
      connectionString: database, application_name: 'chatrel feed', keepAlive: true,
      connectionTimeoutMillis: ANSWER_WITHIN_MS, query_timeout: ANSWER_WITHIN_MS });
    const heard = [];
    let wake = () => {};
    let lost = null;
    client.on('notification', ({ payload }) => { heard.push(payload); wake(); });
    client.on('error', (error) => { lost = error; wake(); });
    client.on('end', () => { lost ??= new Error('the connection was closed'); wake(); });
    try {
      await client.connect();
      await client.query('SELECT chatrel.listen_all()');
      if (cursor === null) await start(client);
      await catchUp(client);
      retryMs = RETRY_FIRST_MS;
      connected = client;
      ready();
      while (!lost) {
        while (heard.length > 0) await heed(client, heard.shift());
        let timer;
        await new Promise((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, SYNC_EVERY_MS);
          if (heard.length > 0 || lost) resolve();
        });
        clearTimeout(timer);
        if (heard.length === 0 && !lost) await catchUp(client);
      }
      throw lost;
    } finally {
      connected = null;
      client.end().catch(() => {}); // which may take long, if nobody is there
    }
  }

  (async () => {
    for (;;) {
      try {
        await goOn();
      } catch (error) {
        failed(error);
        if (error.code === '55000') cursor = null; // the database has another history now
      }
      const pause = retryMs * (0.5 + Math.random() / 2); // not all gateways at once
      await new Promise((resolve) => { setTimeout(resolve, pause); });
      retryMs = Math.min(2 * retryMs, RETRY_LONGEST_MS);
    }
  })();

  return {
    async query(...args) {
      if (!connected) throw new Error('it is not connected');
      return connected.query(...args);
    },
  };
}
