// Who is logged in: a random secret in a cookie, and its hash in the table web.sessions, so that
// sessions outlive the gateway.
//
// THE LOG-IN IS A DEMO: whoever says a name is that user, and a name that is new makes a user.
// An application puts its own log-in in the place of logIn(), and may keep the rest.

import { createHash, randomBytes } from 'node:crypto';

const COOKIE = 'chatrel_session';
const DAYS = 30;

const hash = (token) => createHash('sha256').update(token).digest();

function tokenOf(request) {
  const form = new RegExp(`(?:^|; )${COOKIE}=([\\w-]{43})(?:;|$)`);
  return form.exec(request.headers.cookie ?? '')?.[1];
}

// { id, expires, key } of who has sent the request, or undefined
export async function sessionOf(pool, request) {
  const token = tokenOf(request);
  if (!token) return undefined;
  const { rows } = await pool.query(
    `SELECT user_id AS id, expires_at AS expires FROM web.sessions
     WHERE token_hash = $1 AND expires_at > now()`, [hash(token)]);
  return rows[0] && { ...rows[0], key: hash(token).toString('hex') };
}

// Returns the cookie.
export async function logIn(pool, username, secure) {
  const { rows: [user] } = await pool.query(
    `SELECT coalesce((chatrel.find_user($1)).id, (chatrel.create_user($1)).id) AS id`, [username]);
  const token = randomBytes(32).toString('base64url');
  await pool.query('DELETE FROM web.sessions WHERE expires_at < now()');
  await pool.query('INSERT INTO web.sessions (token_hash, user_id) VALUES ($1, $2)',
    [hash(token), user.id]);
  return `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${DAYS * 86400}`
    + (secure ? '; Secure' : '');
}

export async function logOut(pool, session) {
  await pool.query('DELETE FROM web.sessions WHERE token_hash = $1',
    [Buffer.from(session.key, 'hex')]);
  return `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`;
}
