// Who is logged in: a random secret in a cookie, and its hash in the table web.sessions, so that
// sessions outlive the gateway.
//
// THE LOG-IN IS A DEMO: whoever says a name is that user, and a name that is new makes a user.
// An application puts its own log-in in the place of logIn(), and may keep the rest.

import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { home, pool } from './databases.mjs';

const COOKIE = 'chatrel_session';
const DAYS = 30;
const KNOWN_WITHIN_MS = 5000;

const hash = (token) => createHash('sha256').update(token).digest();

function tokenOf(request) {
  const form = new RegExp(`(?:^|; )${COOKIE}=([\\w-]{43})(?:;|$)`);
  return form.exec(request.headers.cookie ?? '')?.[1];
}

// { id, expires, key } of who has sent the request, or undefined
export async function sessionOf(request) {
  const token = tokenOf(request);
  if (!token) return undefined;
  const { rows } = await home.query(
    `SELECT user_id AS id, expires_at AS expires FROM web.sessions
     WHERE token_hash = $1 AND expires_at > now()`, [hash(token)]);
  return rows[0] && { ...rows[0], key: hash(token).toString('hex') };
}

// Shards hear of a new user a moment later than home.
async function untilKnown(user) {
  const deadline = Date.now() + KNOWN_WITHIN_MS;
  for (;;) {
    try {
      return await pool.query('SELECT FROM chatrel.unread_counts(as_user => $1)', [user]);
    } catch (error) {
      if (error.code !== 'P0002' || Date.now() > deadline) throw error;
      await pause(50);
    }
  }
}

// Returns the cookie.
export async function logIn(username, secure) {
  const { rows: [user] } = await pool.query(
    `SELECT coalesce((chatrel.find_user($1)).id, (chatrel.create_user($1)).id) AS id`, [username]);
  await untilKnown(user.id);
  const token = randomBytes(32).toString('base64url');
  await home.query('DELETE FROM web.sessions WHERE expires_at < now()');
  await home.query('INSERT INTO web.sessions (token_hash, user_id) VALUES ($1, $2)',
    [hash(token), user.id]);
  return `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${DAYS * 86400}`
    + (secure ? '; Secure' : '');
}

export async function logOut(session) {
  await home.query('DELETE FROM web.sessions WHERE token_hash = $1',
    [Buffer.from(session.key, 'hex')]);
  return `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`;
}
