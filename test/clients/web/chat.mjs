// The chat of examples/web with two people and more, each in a page of a real browser.  It prints TAP
// lines, without a plan.  test/t/061_web.pl runs it, beside a server, or several, with the people and
// groups of examples/web/demo.sql.  The environment is that of the gateway.  RESTARTS has commands
// that restart a server at once, as a crash does, and what they are.  Where groups are on shards,
// STOP_SHARD and START_SHARD are commands for the shard of the group "on 2"; "on 1" is on another.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { request } from 'node:http';
import { pause, startBrowser, until } from './browser.mjs';
import { killGateway, startGateway } from './gateway.mjs';

const require = createRequire(new URL('../../../examples/web/', import.meta.url));
const { WebSocket } = require('ws');
const pg = require('pg');
const EACH = 60; // messages by each of two, over an interruption
const EVERY_MS = 60;

let gateway = await startGateway();
const { address } = gateway;

const ok = (isSo, name) => console.log(`${isSo ? 'ok' : 'not ok'} - ${name}`);
const is = (is_, expected, name) => {
  const [found, wanted] = [is_, expected].map((value) => JSON.stringify(value));
  ok(found === wanted, name);
  if (found !== wanted) console.log(`# found ${found}\n# expected ${wanted}`);
};

// Where groups and messages are; one database is the same that is called
const databases = process.env.SHARDS?.split(' ') ?? [''];
const run = (command) => execFileSync('sh', ['-c', command]);

async function connectAsAdmin(database) {
  const { ADMIN: user } = process.env;
  const client = new pg.Client({ user, connectionString: database.replace('//', `//${user}@`) });
  await client.connect();
  return client;
}

async function asAdmin(sql, values = [], database = '') {
  const client = await connectAsAdmin(database);
  try {
    return (await client.query({ text: sql, values, rowMode: 'array' })).rows;
  } finally {
    await client.end();
  }
}

// The rows of all databases
const everywhere = async (sql, values) =>
  (await Promise.all(databases.map((database) => asAdmin(sql, values, database)))).flat();

// ---------------------------------------------------------------- without a browser

function ask(method, path, headers = {}, ...parts) {
  return new Promise((resolve, reject) => {
    const asked = request(address + path, { method, headers }, (response) => {
      response.resume().on('end', () => resolve(response));
    }).on('error', reject);
    parts.forEach((part) => asked.write(part));
    asked.end();
  });
}

// The status that a WebSocket is refused with, or "open"; and what becomes of what it says
function tryWebSocket(headers, says = null) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${address.replace('http', 'ws')}/socket`, { headers });
    socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode));
    socket.on('error', () => {});
    socket.on('open', () => { if (says) socket.send(says); else { resolve('open'); socket.close(); } });
    socket.on('message', (data) => { resolve(JSON.parse(data)); socket.close(); });
    socket.on('close', (code) => resolve(`closed with ${code}`));
  });
}

// How many of so many calls at once are answered before the connection ends
function callsAtOnce(headers, number) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${address.replace('http', 'ws')}/socket`, { headers });
    let answered = 0;
    socket.on('open', () => {
      for (let id = 1; id <= number; id++) {
        socket.send(JSON.stringify({ id, call: 'names', args: [[id]] }));
      }
    });
    socket.on('message', () => { if (++answered === number) socket.close(); });
    socket.on('close', () => resolve(answered));
  });
}

async function refusesStrangers() {
  const login = JSON.stringify({ username: 'mallory' });
  is((await ask('POST', '/login', { Origin: 'https://evil.example' }, login)).statusCode, 403,
    'a log-in from another site is refused');
  is((await ask('POST', '/login', {}, login)).statusCode, 403, 'and one that says no origin');
  const { headers } = await ask('POST', '/login', { Origin: address }, login);
  const cookie = headers['set-cookie'][0];
  ok(/HttpOnly/.test(cookie) && /SameSite=Strict/.test(cookie), 'the cookie is HttpOnly, SameSite=Strict');
  const own = { Origin: address, Cookie: cookie.split(';')[0] };
  is(await tryWebSocket({ ...own, Origin: 'https://evil.example' }), 403,
    'a WebSocket from another site is refused, cookie or not');
  is(await tryWebSocket({ Origin: address }), 401, 'and one without a session');
  is(await tryWebSocket(own), 'open', 'one with both is let in');
  const call = (name, ...args) => JSON.stringify({ id: 1, call: name, args });
  is(await tryWebSocket(own, call('delete_user', 1)), 'closed with 1008', 'a call that is none is refused');
  is(await tryWebSocket(own, call('constructor')), 'closed with 1008', 'also one that every object has');
  is(await tryWebSocket(own, call('leave', 1, 2)), 'closed with 1008', 'nobody says for whom it calls');
  is(await tryWebSocket(own, call('find_groups', { toPostgres: 1 }, null)), 'closed with 1008',
    'arguments are plain values');
  is((await tryWebSocket(own, call('history', 1, null, null, null))).error?.code, 'P0002',
    'what mallory is no member of is not there');
  is(await tryWebSocket(own, call('find_groups', "x' OR true --", null)), { id: 1, value: [] },
    'an argument is no SQL');
  is(await callsAtOnce(own, 500), 500, 'many calls at once are answered all the same');
  const name = Buffer.from(JSON.stringify({ username: 'zoë' }));
  await ask('POST', '/login', { Origin: address }, ...[...name].map((byte) => Buffer.of(byte)));
  is(await asAdmin(`SELECT username FROM chatrel.users WHERE username LIKE 'zo%'`, [], databases[0]), [['zoë']],
    'a name is whole, in however many pieces it comes');
  const logout = await ask('POST', '/logout', own);
  is([logout.statusCode, await tryWebSocket(own)], [204, 401], 'after the log-out the cookie is of no use');
}

// ---------------------------------------------------------------- the play

async function chats(ann, ben, cleo) {
  await ann.logIn('ann');
  await ben.logIn('ben');
  await cleo.logIn('cleo');
  is(await ann.evaluate('document.cookie'), '', 'the page cannot read the cookie');

  // an invitation to a private group
  await ann.sees('#invitations', 'Surprise for Dora');
  await ann.click('#invitations button', 'Join');
  await ann.sees('#title', 'Surprise for Dora');
  await ben.open('Surprise for Dora');
  await ben.sees('#subtitle', '2 members');
  ok(true, 'an invitation is accepted, and both see two members');
  await cleo.click('#open-directory');
  await cleo.sees('#directory li', 'Walks');
  is(await cleo.evaluate(() => document.querySelector('#directory').textContent.includes('Dora')), false,
    'the private group is not in the directory');
  await cleo.press('Escape');

  // live, both ways
  await ann.say('What shall we give her?');
  await ben.sees('#messages .text', 'What shall we give her?');
  await ben.say('A kite!');
  await ann.sees('#messages .text', 'A kite!');
  ok(true, 'messages are seen at once, both ways');

  // what is HTML to others is text
  const nasty = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script> & "so"';
  await ann.say(nasty);
  await ben.sees('#messages .text', nasty);
  is(await ben.evaluate(() => [document.querySelectorAll('.text img, .text script').length, window.hacked]),
    [0, null], 'text is text, and never HTML');

  // a reply, with the keyboard alone: up to the message, Tab to what can be done
  await ben.evaluate(() => document.querySelector('#text').focus());
  for (const key of ['ArrowUp', 'ArrowUp', 'ArrowUp', 'Tab', 'Tab', 'Tab', 'Tab', 'Tab', 'Enter']) await ben.press(key);
  await ben.sees('#about', 'Reply to ann: What shall');
  await ben.type('A big one');
  await ben.press('Enter');
  await ann.sees('#messages .quote', 'What shall we give her?');
  ok(true, 'a reply is made with the keyboard, and quotes what it answers');

  // reactions
  const last = (name, label) => `#messages .message[data-id]:last-child [aria-label="${label}"]`;
  await ann.evaluate((button) => document.querySelector(button).click(), last('ben', 'React with 👍'));
  await ben.sees('.reactions button', '👍 1');
  await ben.click('.reactions button', '👍 1');
  await ann.sees('.reactions button', '👍 2');
  await ann.click('.reactions button', '👍 2');
  await ben.sees('.reactions button', '👍 1');
  ok(true, 'reactions are counted, and taken back');

  // edits and deletions
  await ben.evaluate((button) => document.querySelector(button).click(), last('ben', 'Edit'));
  await ben.evaluate(() => { document.querySelector('#text').value = ''; });
  await ben.say('A very big one');
  await ann.sees('#messages .text', 'A very big one');
  await ann.sees('#messages .edited');
  await ben.sees('.reactions button', '👍 1');
  await ben.evaluate((button) => document.querySelector(button).click(), last('ben', 'Delete'));
  await ann.gone('#messages .text', 'A very big one');
  await ann.sees('#messages .text', 'This message was deleted.');
  ok(true, 'an edit and a deletion are seen');
  is(await ann.evaluate(() => document.querySelector('#messages .message:last-child .actions').children.length), 0,
    'there is nothing to do with a deleted message');

  // a mention, completed with the keyboard, and the badge of who looks elsewhere
  await ann.open('Walks');
  await ben.evaluate(() => document.querySelector('#text').focus());
  await ben.type('@a');
  await ben.sees('#suggestions', 'ann');
  await ben.press('Enter');
  await ben.type('are you there?');
  await ben.press('Enter');
  await ann.sees('#conversations .badge.mention', '@ 1');
  await ann.open('Surprise for Dora');
  await ann.sees('#messages mark', '@ann');
  await ann.gone('#conversations .badge:not(:empty)');
  ok(true, 'a mention has a badge, until it is read');
}

async function people(ann, ben, cleo) {
  // a request to join
  await ben.click('#open-directory');
  await ben.click('#directory button', 'Ask to join');
  await ben.sees('#toast', 'asked to join');
  await ben.press('Escape');
  await cleo.open('Book club');
  await cleo.click('#requests button', 'Let in');
  await ben.open('Book club');
  await ben.sees('#messages .text', 'Tove Jansson');
  ok(true, 'a moderator lets somebody in');

  // follow, and a direct conversation
  await cleo.click('#open-people');
  await cleo.click('#people button[aria-label="Follow ann"]');
  await ann.sees('#toast', 'cleo follows you');
  await cleo.click('#people button[aria-label="Message ann"]');
  await cleo.sees('#title', 'ann');
  await cleo.say('A word between us');
  await ann.open('cleo');
  await ann.sees('#messages .text', 'A word between us');
  is(await ben.evaluate(() => document.body.textContent.includes('A word between us')), false,
    'a direct message is for the two alone');

  // a block
  await cleo.click('#open-people');
  await cleo.click('#people button[aria-label="Block ann"]');
  await cleo.sees('#people button[aria-label="Block ann"][aria-pressed="true"]');
  await cleo.press('Escape');
  await cleo.sees('#conversations .name', 'ann, offline');
  await ann.say('Are you there?');
  await ann.sees('#messages .failed', 'not sent');
  await ann.click('#messages .failed button', 'Remove');
  await ann.gone('#messages .failed');
  await cleo.click('#open-people');
  await cleo.click('#people button[aria-label="Block ann"]');
  await cleo.sees('#people button[aria-label="Block ann"][aria-pressed="false"]');
  await cleo.press('Escape');
  await ann.say('And now?');
  await cleo.sees('#messages .text', 'And now?');
  await cleo.sees('#conversations .name', 'ann, online');
  ok(true, 'a block ends what can be written and who is seen to be online, until it is lifted');

  // a new group, and who leaves it
  await cleo.click('#open-new-group');
  await cleo.type('Short-lived');
  await cleo.press('Enter');
  await cleo.sees('#title', 'Short-lived');
  await cleo.click('#leave');
  await cleo.gone('#conversations', 'Short-lived');
  await cleo.sees('#nothing-open');
  is(await cleo.evaluate(() => ['#back', '#leave', '#text'].filter((part) => {
    document.querySelector(part).focus();
    return document.activeElement.matches(part);
  })), [], 'where no conversation is open, the keyboard finds nothing to do');
  ok(true, 'a group is made with the keyboard, and left');
}

async function presence(ann, ben, cleo) {
  await ann.open('cleo');
  await ann.sees('#conversations .name', 'cleo, online');
  await ann.sees('#online', 'cleo is online');
  await cleo.open('ann');
  await ben.open('Walks');
  await ben.sees('#online', 'ann and cleo are online');
  ok(true, 'who is online is seen, and read aloud');

  await cleo.evaluate(() => document.querySelector('#text').focus());
  await cleo.type('I am');
  await cleo.typesUntilSeenBy(ann);
  is(await ann.evaluate(() => document.querySelector('#typing').textContent), 'cleo is typing …',
    'who is typing is seen');
  await cleo.press('Enter');
  await ann.sees('#messages .text', 'I am');
  await ann.gone('#typing', 'typing');
  is(await ben.evaluate(() => document.querySelector('#typing').textContent), '',
    'where it is typed alone, until the message is there');

  const dora = await browser.person(address);
  await dora.logIn('dora');
  await dora.click('#open-people');
  await dora.click('#people button[aria-label="Message ann"]');
  await dora.say('Hello');
  await ann.sees('#conversations .name', 'dora, online');
  await dora.send('Page.reload');
  await dora.sees('#chat:not([hidden])');
  await dora.open('ann');
  await ann.sees('#conversations .name', 'dora, online');
  await dora.send('Page.navigate', { url: 'about:blank' });
  await ann.sees('#conversations .name', 'dora, offline');
  ok(true, 'who closes the page is offline');
}

// ---------------------------------------------------------------- history

const shown = (person) => person.evaluate(() =>
  [...document.querySelectorAll('#messages .message[data-id]')].map((item) => Number(item.dataset.id)));

async function history(ann) {
  const [[group]] = await asAdmin(`
    SELECT (chatrel.create_group('Archive', true, as_user => 1)).id FROM chatrel.users WHERE id = 1`);
  const ids = (await asAdmin(`
    SELECT (chatrel.send_group_message($1, 'line ' || i, as_user => 1)).id FROM generate_series(1, 230) i`,
  [group])).map(([id]) => Number(id));
  await asAdmin(`SELECT chatrel.send_group_message($1, 'back to the roots', reply_to_id => $2, as_user => 1)`,
    [group, ids[9]]);
  await ann.open('Archive');
  await ann.sees('#messages .text', 'back to the roots');
  is((await shown(ann)).length, 50, 'a page of history');
  const place = await ann.evaluate(() => {
    const scroller = document.querySelector('#scroller');
    scroller.scrollTop = 150;
    return [...document.querySelectorAll('#messages .message')].find((item) =>
      item.getBoundingClientRect().bottom > scroller.getBoundingClientRect().top).dataset.id;
  });
  await until('older messages are there', async () => (await shown(ann)).length >= 100);
  is(await ann.evaluate((id) => {
    const top = document.querySelector('#scroller').getBoundingClientRect().top;
    const { top: at, bottom } = document.querySelector(`[data-id="${id}"]`).getBoundingClientRect();
    return at - top < 60 && bottom > top;
  }, place), true, 'older messages come, and what is looked at stays in its place');

  // a jump to what is far away, and back by pages
  await ann.evaluate(() => { document.querySelector('#scroller').scrollTop = 1e9; });
  await ann.click('#messages .quote', 'an earlier message');
  await ann.sees('#messages .text', 'line 10');
  await until('the message has the focus', () =>
    ann.evaluate((id) => document.activeElement.dataset.id === String(id), ids[9]));
  await ann.sees('#newest');
  await asAdmin(`SELECT chatrel.send_group_message($1, 'said meanwhile', as_user => 1)`, [group]);
  await until('the end is reached', async () => {
    await ann.evaluate(() => { document.querySelector('#scroller').scrollTop = 1e9; });
    return ann.evaluate(() => document.querySelector('#newest').hidden);
  });
  await ann.sees('#messages .text', 'said meanwhile');
  await until('the beginning is reached', async () => {
    await ann.evaluate(() => { document.querySelector('#scroller').scrollTop = 0; });
    return (await shown(ann)).length === 232;
  });
  is(await ann.texts(), [...ids.map((_, i) => `line ${i + 1}`), 'back to the roots', 'said meanwhile'],
    'all of it is there by pages, once and in order');
}

// ---------------------------------------------------------------- interruptions

// Writes by the page's own form, from within the page, so that it goes on whatever happens; and
// looks after every change whether something is shown twice, be it for a moment.
const keepWriting = (person, name) => person.evaluate((label, each, every) => {
  window.written = 0;
  window.twice = new Set();
  window.watch ??= new MutationObserver(() => {
    const texts = [...document.querySelectorAll('#messages .text')].map((text) => text.textContent)
      .filter((text) => / at the /.test(text));
    texts.filter((text, i) => texts.indexOf(text) !== i).forEach((text) => window.twice.add(text));
  });
  window.watch.observe(document.querySelector('#messages'), { childList: true });
  const timer = setInterval(() => {
    document.querySelector('#text').value = `${label} ${++window.written}`;
    document.querySelector('#composer').requestSubmit();
    if (window.written === each) clearInterval(timer);
  }, every);
}, name, EACH, EVERY_MS);

async function survives(what, ann, ben, interrupt) {
  await ann.open('Walks');
  await ben.open('Walks');
  const names = ['ann', 'ben'].map((name) => `${name} at ${what}`);
  await keepWriting(ann, names[0]);
  await keepWriting(ben, names[1]);
  await until('a third is written', () => ann.evaluate((each) => window.written > each / 3, EACH));
  await interrupt();
  const isOf = (text) => names.some((name) => text.startsWith(name));
  const sees = async (person) => (await person.texts()).filter(isOf);
  for (const person of [ann, ben]) {
    await until('all are sent', () => person.evaluate((each) =>
      window.written === each && document.querySelectorAll('#messages .pending').length === 0, EACH));
    await until('all are seen', async () => (await sees(person)).length >= 2 * EACH);
  }
  const stored = (await everywhere(`SELECT message FROM chatrel.groups_messages
    WHERE message LIKE '% at ' || $1 || ' %' ORDER BY id`, [what])).map(([text]) => text);
  for (const name of names) {
    is(stored.filter((text) => text.startsWith(name)),
      Array.from({ length: EACH }, (_, i) => `${name} ${i + 1}`), `${what}: each message of ${name} once, in order`);
  }
  is(await sees(ann), stored, `${what}: ann sees all of them, once and in the order of the database`);
  is(await sees(ben), stored, `${what}: and ben`);
  is(await Promise.all([ann, ben].map((person) => person.evaluate('[...window.twice]'))), [[], []],
    `${what}: nothing was shown twice meanwhile`);
}

// A group that is made, of which the answer is lost with the gateway, is not made again.
async function makesNoGroupTwice(cleo) {
  const admins = await Promise.all(databases.map(connectAsAdmin));
  await Promise.all(admins.map((admin) => admin.query('BEGIN; LOCK TABLE chatrel.groups IN SHARE MODE')));
  await cleo.click('#open-new-group');
  await cleo.type('Made once');
  await cleo.press('Enter');
  await until('the group is being made', async () => (await everywhere(`SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%create_group%'`)).length > 0);
  await killGateway(gateway);
  await Promise.all(admins.map((admin) => admin.query('ROLLBACK').then(() => admin.end())));
  gateway = await startGateway();
  await cleo.sees('#new-group .error', 'look whether it was done');
  await cleo.press('Escape');
  await cleo.sees('#conversations', 'Made once');
  is(await everywhere(`SELECT name FROM chatrel.groups WHERE name = 'Made once'`), [['Made once']],
    'a group is made once, though its answer was lost');
}

async function interruptions(ann, ben) {
  await survives('the end of the gateway', ann, ben, async () => {
    await killGateway(gateway);
    await ann.sees('#status', 'Not connected');
    await until('both have written on', () => ann.evaluate((each) => window.written > each / 2, EACH));
    gateway = await startGateway();
  });
  for (const [what, command] of Object.entries(JSON.parse(process.env.RESTARTS))) {
    await survives(what, ann, ben, async () => run(command));
    await ann.sees('#online', 'ben');
    await until('the same are online', async () =>
      (await everywhere('SELECT online FROM chatrel.presence_status()')).every(([online]) => online === 3));
    ok(true, `${what}: after it the same are online, though the server has forgotten them`);
  }
  await survives('the end of the connections', ann, ben, async () => {
    for (let i = 0; i < 5; i++) {
      const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'chatrel %'`;
      await Promise.all([asAdmin(sql), everywhere(sql)]);
      await pause(200);
    }
  });
}

// A shard that is down delays its groups, and nothing else; also a gateway that begins meanwhile.
async function withoutAShard(ann, ben) {
  await ann.open('on 1');
  await ben.open('on 2');
  run(process.env.STOP_SHARD);
  await killGateway(gateway);
  gateway = await startGateway();
  await until('the gateway says that it is down', () => /^shard 2: /m.test(gateway.said));
  ok(true, 'a gateway begins without a shard that is down, and says so');
  is((await ask('POST', '/login', { Origin: address }, '{"username":"eve"}')).statusCode, 503,
    'who comes new has to come again');
  await ben.say('Is anybody there?');
  await ben.sees('#messages .pending', 'Is anybody there?');
  await ann.open('on 2');
  await ann.gone('#messages .message');
  await ann.open('on 1');
  await ben.open('on 1');
  await ann.say('Here we are.');
  await ben.sees('#messages .text', 'Here we are.');
  await ben.say('So we are.');
  await ann.sees('#messages .text', 'So we are.');
  ok(true, 'meanwhile groups of another shard go on, though a message waits, and a history');
  await ann.open('on 2');
  run(process.env.START_SHARD);
  await ann.sees('#messages .text', 'Is anybody there?');
  await until('the gateway says that it is back', () => /^shard 2 is there$/m.test(gateway.said));
  ok(true, 'when it is back the message is sent and seen');
  await ben.open('on 2');
  await ben.gone('#messages .pending');
  await ann.say('Now we are.');
  await ben.sees('#messages .text', 'Now we are.');
  is([await ann.texts(), await ben.texts()], Array(2).fill(['Is anybody there?', 'Now we are.']),
    'once, and so are those after it');
}

// ---------------------------------------------------------------- a phone

async function fitsAPhone(ben) {
  const fits = () => ben.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
  const seen = () => ben.evaluate(() => ['#sidebar', '#conversation'].filter((part) =>
    document.querySelector(part).checkVisibility()));
  await ben.resize(360, 640, true);
  is([await fits(), await seen()], [true, ['#conversation']], 'on a phone there is the conversation alone');
  await ben.click('#back');
  is([await fits(), await seen()], [true, ['#sidebar']], 'or the list');
  await ben.evaluate(() => document.querySelector('#conversations button').focus());
  await ben.press('Enter');
  await until('the conversation is open', async () => (await seen())[0] === '#conversation');
  is(await fits(), true, 'nothing is wider than the screen');
  is(await ben.evaluate(() => [...document.querySelectorAll('button:not([hidden]), input, textarea')].filter((control) =>
    !(control.textContent.trim() || control.ariaLabel || control.labels?.length)).map((control) => control.outerHTML)),
  [], 'everything that can be used has a name');
}

const browser = await startBrowser();
try {
  await refusesStrangers();
  const [ann, ben, cleo] = await Promise.all([1, 2, 3].map(() => browser.person(address)));
  await chats(ann, ben, cleo);
  await people(ann, ben, cleo);
  await presence(ann, ben, cleo);
  await history(ann);
  await makesNoGroupTwice(cleo);
  await interruptions(ann, ben);
  if (process.env.STOP_SHARD) await withoutAShard(ann, ben);
  await fitsAPhone(ben);
  await ann.evaluate(() => document.querySelector('#logout').click());
  await ann.sees('#login-name');
  ok(true, 'ann has logged out');
} catch (error) {
  console.log(`not ok - the play goes on to its end\n# ${error.stack.replaceAll('\n', '\n# ')}`);
  for (const person of browser.people) {
    const text = await person.evaluate('document.body.innerText').catch((failure) => failure.message);
    console.log(`# a page shows:\n${text}`.replaceAll('\n', '\n#   '));
  }
} finally {
  await browser.end();
  await killGateway(gateway);
  if (gateway.said) console.log(gateway.said.replaceAll(/^/gm, '# the gateway: '));
}
