// The gateway of a chat in the browser: serves the page, passes what happens on to whom it
// concerns, and calls chatrel for whoever is logged in.  README.md says how it is run.
//
//   PORT=8080 PGDATABASE=app PGUSER=web node gateway.mjs
//
// It passes on what it hears of each of the databases that SHARDS names, if there are several.
//
// A browser says what to call, and never as whom: that is the user of its session.  Other sites
// are kept out by the check of Origin, at the log-in and at the WebSocket.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { describe, isCall, run } from './calls.mjs';
import { shards } from './databases.mjs';
import { feed } from './feed.mjs';
import { logIn, logOut, sessionOf } from './sessions.mjs';

const port = Number(process.env.PORT ?? 8080);
const host = process.env.HOST ?? '127.0.0.1';
// What browsers have in their address line; behind a proxy that speaks TLS, https://…
const origins = process.env.ORIGIN?.split(' ')
  ?? [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
const secure = origins[0].startsWith('https:');
const HEARTBEAT_MS = 25000;
const ONLINE_FOR = '30 s'; // if it is not said again: this gateway may have ended
const SAY_EVERY_MS = 10000;
const AWAY_AFTER_MS = 3000; // a page that is loaded again is back by then
const MAX_WAITING = 100; // calls of one browser; it is not listened to until there are fewer
const MAX_UNSENT = 4 * 1024 * 1024; // bytes that a browser is behind

// ---------------------------------------------------------------- who hears what

const sockets = new Map(); // user -> its WebSockets

function entry(map, key) {
  if (!map.has(key)) map.set(key, new Set());
  return map.get(key);
}

function sendTo(user, text) {
  for (const socket of sockets.get(user) ?? []) {
    if (socket.bufferedAmount > MAX_UNSENT) socket.terminate(); // it comes back, and syncs
    else socket.send(text);
  }
}

// A database tells of its own groups alone: so each is listened to by itself.
function listenTo(shard, database) {
  let members = null; // group -> its users
  let failure = null;

  function begin(rows) {
    const isAgain = members !== null;
    members = new Map();
    for (const [group, user] of rows) entry(members, group).add(user);
    if (!isAgain) return;
    // What their pages show may be from a history that is not there any more.
    for (const user of new Set(rows.map((row) => row[1]))) sendTo(user, '{"reload":true}');
  }

  function pass(kind, event) {
    const { group_id: group, recipient_id: recipient } = event;
    if (kind === 'member_joined') entry(members, group).add(event.user_id);
    if (kind === 'member_left') members.get(group)?.delete(event.user_id);
    if (kind === 'group_deleted') members.delete(group); // its former members are recipients
    const hearers = recipient !== undefined ? [recipient] : members.get(group) ?? [];
    const text = JSON.stringify({ event: { [kind]: event } });
    for (const user of hearers) sendTo(user, text);
  }

  // Pages that came meanwhile may have caught up without this database.
  function ready() {
    if (failure) console.log(`${nameOf(shard)} is there`);
    failure = null;
    report(shard, [...sockets.keys()]); // the server may have been restarted
    for (const user of sockets.keys()) sendTo(user, '{"sync":true}');
    open(shard);
  }

  function failed(error) {
    if (error.message !== failure) console.error(`${nameOf(shard)}: ${error.message}`);
    failure = error.message;
    if (shard !== HOME) open(shard);
  }

  return feed({ database, begin, pass, ready, failed });
}

const HOME = 0;
const nameOf = (shard) => (shard === HOME ? 'home' : `shard ${shard}`);
const feeds = shards.map((database, shard) => listenTo(shard, database));
const unknown = new Set(shards.keys()); // what cannot be said yet to be there, or not

// Nobody is let in before nothing can be missed; but for a shard that is down nobody waits.
function open(shard) {
  if (!unknown.delete(shard) || unknown.size > 0) return;
  server.listen(port, host, () => console.log(`listening on ${origins[0]}`));
}

let toldOff = false; // that the server does not know who is online

// Who has a page open is online.  A report that fails is made again, as all of them are.
function report(shard, users, ttl = ONLINE_FOR) {
  feeds[shard].query('SELECT chatrel.report_online($1, $2)', [users, ttl]).catch((error) => {
    if (error.code === '55000' && !toldOff) console.error(`nobody is online: ${error.message}`);
    toldOff ||= error.code === '55000';
  });
}

const reportAll = (users, ttl) => feeds.forEach((_, shard) => report(shard, users, ttl));

// ---------------------------------------------------------------- pages and log-in

const folder = new URL('public/', import.meta.url);
const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
const files = new Map(['index.html', 'chat.css', 'chat.js', 'connection.js', 'state.js', 'view.js',
  'dialogs.js', 'icon.svg'].map((name) => [
  name === 'index.html' ? '/' : `/${name}`,
  {
    type: `${types[name.split('.')[1]]}; charset=utf-8`,
    body: readFileSync(new URL(name, folder)),
  },
]));
const headers = {
  'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; "
    + "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    + "frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
};

const isOurs = (request) => origins.includes(request.headers.origin);

function answer(response, status, body = '', more = {}) {
  const isFile = Buffer.isBuffer(body);
  response.writeHead(status, {
    ...headers, 'Content-Type': 'application/json; charset=utf-8', ...more });
  response.end(isFile || body === '' ? body : JSON.stringify(body));
}

async function bodyOf(request) {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 1000) throw Object.assign(new Error('too long'), { status: 413 });
  }
  try {
    return JSON.parse(text);
  } catch {
    throw Object.assign(new Error('no JSON'), { status: 400 });
  }
}

async function logInBy(request, response) {
  const username = (await bodyOf(request))?.username;
  if (typeof username !== 'string') return answer(response, 400, { message: 'say a name' });
  const cookie = await logIn(username.trim(), secure);
  return answer(response, 204, '', { 'Set-Cookie': cookie });
}

async function logOutBy(request, response) {
  const session = await sessionOf(request);
  if (!session) return answer(response, 401);
  const cookie = await logOut(session);
  for (const socket of sockets.get(session.id) ?? []) {
    if (socket.session.key === session.key) socket.close(4401, 'logged out');
  }
  return answer(response, 204, '', { 'Set-Cookie': cookie });
}

async function respond(request, response) {
  const { method } = request;
  const path = request.url.split('?')[0];
  const file = files.get(path);
  if (method === 'GET' && file) {
    return answer(response, 200, file.body, { 'Content-Type': file.type });
  }
  if (method === 'GET' && path === '/session') {
    const session = await sessionOf(request);
    if (!session) return answer(response, 401);
    return answer(response, 200, (await run(session.id, 'names', [[session.id]]))[0]);
  }
  if (method === 'POST' && !isOurs(request)) return answer(response, 403);
  if (method === 'POST' && path === '/login') return logInBy(request, response);
  if (method === 'POST' && path === '/logout') return logOutBy(request, response);
  return answer(response, 404);
}

const server = createServer((request, response) => {
  respond(request, response).catch((error) => {
    const described = error.status ? { message: error.message } : describe(error);
    answer(response, error.status ?? (described.retry ? 503 : 400), described);
  });
});

// ---------------------------------------------------------------- WebSockets

const webSockets = new WebSocketServer({ noServer: true, maxPayload: 65536 });

function refuse(socket, status) {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

server.on('upgrade', async (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  if (request.url !== '/socket' || !isOurs(request)) return refuse(socket, '403 Forbidden');
  try {
    const session = await sessionOf(request);
    if (!session) return refuse(socket, '401 Unauthorized');
    return webSockets.handleUpgrade(request, socket, head, (ws) => welcome(ws, session));
  } catch {
    return refuse(socket, '503 Service Unavailable');
  }
});

// The calls of a browser are carried out one after the other, in their order.
function welcome(ws, session) {
  let last = Promise.resolve();
  let waiting = 0;
  ws.session = session;
  ws.alive = true;
  entry(sockets, session.id).add(ws);
  reportAll([session.id]);
  ws.on('pong', () => { ws.alive = true; });
  ws.on('error', () => ws.terminate());
  ws.on('close', () => {
    sockets.get(session.id)?.delete(ws);
    if (sockets.get(session.id)?.size !== 0) return;
    sockets.delete(session.id);
    setTimeout(() => {
      if (!sockets.has(session.id)) reportAll([session.id], '0');
    }, AWAY_AFTER_MS);
  });
  ws.on('message', (data) => {
    if (++waiting === MAX_WAITING) ws.pause();
    last = last.then(() => serve(ws, data)).finally(() => {
      if (waiting-- === MAX_WAITING) ws.resume();
    });
  });
}

async function serve(ws, data) {
  let call;
  try {
    call = JSON.parse(data);
  } catch {
    call = null;
  }
  if (!Number.isSafeInteger(call?.id) || !isCall(call.call, call.args)) {
    ws.close(1008, 'no such call');
    return;
  }
  if (ws.readyState !== ws.OPEN) return; // it asks again when it is back
  try {
    const value = await run(ws.session.id, call.call, call.args);
    ws.send(JSON.stringify({ id: call.id, value }));
  } catch (error) {
    ws.send(JSON.stringify({ id: call.id, error: describe(error) }));
  }
}

setInterval(() => reportAll([...sockets.keys()]), SAY_EVERY_MS);
setInterval(() => {
  for (const ws of webSockets.clients) {
    if (!ws.alive) ws.terminate();
    else if (ws.session.expires < new Date()) ws.close(4401, 'the session has expired');
    ws.alive = false;
    ws.ping();
  }
}, HEARTBEAT_MS);
