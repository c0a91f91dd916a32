// The gateway of a chat in the browser: serves the page, passes what happens on to whom it
// concerns, and calls chatrel for whoever is logged in.  README.md says how it is run.
//
//   PORT=8080 PGDATABASE=app PGUSER=web node gateway.mjs
//
// A browser says what to call, and never as whom: that is the user of its session.  Other sites
// are kept out by the check of Origin, at the log-in and at the WebSocket.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import pg from 'pg';
import { WebSocketServer } from 'ws';
import { describe, isCall, run } from './calls.mjs';
import { feed } from './feed.mjs';
import { logIn, logOut, sessionOf } from './sessions.mjs';

const port = Number(process.env.PORT ?? 8080);
const host = process.env.HOST ?? '127.0.0.1';
// What browsers have in their address line; behind a proxy that speaks TLS, https://…
const origins = process.env.ORIGIN?.split(' ')
  ?? [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
const secure = origins[0].startsWith('https:');
const HEARTBEAT_MS = 25000;
const MAX_WAITING = 100; // calls of one browser; it is not listened to until there are fewer
const MAX_UNSENT = 4 * 1024 * 1024; // bytes that a browser is behind

// Ids fit into a number until there are 2^53 of them.  doc/operations.md says what then.
const ID = 20;
pg.types.setTypeParser(ID, Number);
pg.types.setTypeParser(1016, (text) => text.slice(1, -1).split(',').filter(Boolean).map(Number));
const pool = new pg.Pool({
  application_name: 'chatrel gateway', max: 10, keepAlive: true,
  connectionTimeoutMillis: 5000, query_timeout: 15000 });
pool.on('error', (error) => console.error(`pool: ${error.message}`));

// ---------------------------------------------------------------- who hears what

const sockets = new Map(); // user -> its WebSockets
let members = new Map(); // group -> its users

function entry(map, key) {
  if (!map.has(key)) map.set(key, new Set());
  return map.get(key);
}

function sendTo(socket, text) {
  if (socket.bufferedAmount > MAX_UNSENT) socket.terminate(); // it comes back, and syncs
  else socket.send(text);
}

function pass(kind, event) {
  const { group_id: group, recipient_id: recipient } = event;
  if (kind === 'member_joined') entry(members, group).add(event.user_id);
  if (kind === 'member_left') members.get(group)?.delete(event.user_id);
  if (kind === 'group_deleted') members.delete(group); // its former members are recipients
  const hearers = recipient !== undefined ? [recipient] : members.get(group) ?? [];
  const text = JSON.stringify({ event: { [kind]: event } });
  for (const user of hearers) for (const socket of sockets.get(user) ?? []) sendTo(socket, text);
}

let begun = false;

function begin(rows) {
  members = new Map();
  for (const [group, user] of rows) entry(members, group).add(user);
  // What the browsers show may be from a history that is not there any more.
  for (const user of sockets.values()) for (const socket of user) sendTo(socket, '{"reload":true}');
}

// Nobody is let in before nothing can be missed.
function ready() {
  if (begun) return;
  begun = true;
  server.listen(port, host, () => console.log(`listening on ${origins[0]}`));
}

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
  const cookie = await logIn(pool, username.trim(), secure);
  return answer(response, 204, '', { 'Set-Cookie': cookie });
}

async function logOutBy(request, response) {
  const session = await sessionOf(pool, request);
  if (!session) return answer(response, 401);
  const cookie = await logOut(pool, session);
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
    const session = await sessionOf(pool, request);
    if (!session) return answer(response, 401);
    return answer(response, 200, (await run(pool, session.id, 'names', [[session.id]]))[0]);
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
    const session = await sessionOf(pool, request);
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
  ws.on('pong', () => { ws.alive = true; });
  ws.on('error', () => ws.terminate());
  ws.on('close', () => {
    sockets.get(session.id)?.delete(ws);
    if (sockets.get(session.id)?.size === 0) sockets.delete(session.id);
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
    const value = await run(pool, ws.session.id, call.call, call.args);
    ws.send(JSON.stringify({ id: call.id, value }));
  } catch (error) {
    ws.send(JSON.stringify({ id: call.id, error: describe(error) }));
  }
}

setInterval(() => {
  for (const ws of webSockets.clients) {
    if (!ws.alive) ws.terminate();
    else if (ws.session.expires < new Date()) ws.close(4401, 'the session has expired');
    ws.alive = false;
    ws.ping();
  }
}, HEARTBEAT_MS);

feed({ begin, ready, pass });
