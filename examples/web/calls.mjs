// What the page may ask for: names, each with its statement.
//
// Whoever calls is the user of the session, which the gateway knows and the browser cannot say.
// It is $1, for as_user, and the arguments of the call follow as $2, $3 … .  A statement that
// reads a table goes by row-level security instead: it says readsTables, is run at home in a
// transaction whose chatrel.user_id is that user, and its arguments begin with $1.

import { home, pool } from './databases.mjs';

const readsTables = true;

export const calls = {
  // Since when, and what has happened since
  sync: { sql: 'SELECT chatrel.sync($2, event_limit => 1000, as_user => $1) AS value', args: 1 },

  // Conversations
  conversations: {
    sql: `SELECT g.id, g.last_message_id, g.last_message_datetime, g.last_message_sender_id,
                 g.last_message, g.unread, g.unread_mentions, d.document
          FROM chatrel.my_groups(as_user => $1) g,
               LATERAL (SELECT chatrel.get_group(g.id, 50, as_user => $1) AS document) d`,
    args: 0,
  },
  history: {
    sql: `SELECT chatrel.get_group_with_chat_history($2, before_id => $3, after_id => $4,
                 around_id => $5, message_limit => 50, member_limit => 50, as_user => $1) AS value`,
    args: 4,
  },
  message: { sql: 'SELECT chatrel.get_message($2, $3, as_user => $1) AS value', args: 2 },
  mark_read: { sql: 'SELECT chatrel.mark_read($2, $3, as_user => $1) AS value', args: 2 },

  // Who is online, and that one is typing
  presence: { sql: 'SELECT * FROM chatrel.presence($2, as_user => $1)', args: 1 },
  typing: { sql: 'SELECT chatrel.typing($2, as_user => $1) AS value', args: 1 },

  // Messages.  A send that is tried again sends nothing: $6 is its client_key; and the page
  // knows by it, in metadata, which of its messages an event is about.
  send: {
    sql: `SELECT * FROM chatrel.send_group_message($2, $3, reply_to_id => $4, mentions => $5,
                 metadata => jsonb_build_object('key', $6::text), client_key => $6, as_user => $1)`,
    args: 5,
  },
  edit: { sql: 'SELECT * FROM chatrel.edit_message($2, $3, $4, as_user => $1)', args: 3 },
  delete: { sql: 'SELECT chatrel.delete_message($2, $3, as_user => $1) AS value', args: 2 },
  react: { sql: 'SELECT chatrel.add_reaction($2, $3, $4, as_user => $1) AS value', args: 3 },
  unreact: { sql: 'SELECT chatrel.remove_reaction($2, $3, $4, as_user => $1) AS value', args: 3 },

  // Groups
  create_group: {
    sql: `SELECT id FROM chatrel.create_group($2, join_this_group => true, visibility => $3,
                 join_policy => $4, description => $5, as_user => $1)`,
    args: 4,
  },
  find_groups: { sql: 'SELECT * FROM chatrel.find_groups($2, $3, 30, as_user => $1)', args: 2 },
  join: { sql: 'SELECT chatrel.join_group($2, as_user => $1) AS value', args: 1 },
  leave: { sql: 'SELECT chatrel.leave_group($2, as_user => $1) AS value', args: 1 },
  direct: { sql: 'SELECT chatrel.direct_group($2, as_user => $1) AS value', args: 1 },

  // Invitations, and requests to join
  invite: { sql: 'SELECT chatrel.invite($2, $3, as_user => $1) AS value', args: 2 },
  invitations: { sql: 'SELECT * FROM chatrel.invitations(as_user => $1)', args: 0 },
  decline: { sql: 'SELECT chatrel.decline_invitation($2, as_user => $1) AS value', args: 1 },
  request: { sql: 'SELECT chatrel.request_to_join($2, as_user => $1) AS value', args: 1 },
  requests: { sql: 'SELECT * FROM chatrel.join_requests($2, as_user => $1)', args: 1 },
  decide: {
    sql: 'SELECT chatrel.decide_join_request($2, $3, $4, as_user => $1) AS value',
    args: 3,
  },

  // People
  people: {
    sql: `SELECT u.id, u.username, r.following, r.followed_by, r.blocked
          FROM (SELECT id, username FROM chatrel.users
                WHERE deleted_at IS NULL AND id <> chatrel.current_user_id()
                  AND starts_with(lower(username), lower($1))
                ORDER BY username LIMIT 30) u,
               LATERAL chatrel.relationship_to(ARRAY[u.id]) r
          ORDER BY u.username`,
    args: 1,
    readsTables,
  },
  names: {
    sql: 'SELECT id, username FROM chatrel.users WHERE id = ANY ($1::bigint[])',
    args: 1,
    readsTables,
  },
  blocked: {
    sql: 'SELECT user_id FROM chatrel.blocked(row_limit => 1000, as_user => $1)',
    args: 0,
  },
  follow: { sql: 'SELECT chatrel.follow($2, as_user => $1) AS value', args: 1 },
  unfollow: { sql: 'SELECT chatrel.unfollow($2, as_user => $1) AS value', args: 1 },
  block: { sql: 'SELECT chatrel.block($2, as_user => $1) AS value', args: 1 },
  unblock: { sql: 'SELECT chatrel.unblock($2, as_user => $1) AS value', args: 1 },
};

// Plain values, or arrays of them: never an object, which node-postgres would serialize.
const isPlain = (value) => value === null || ['string', 'number', 'boolean'].includes(typeof value);

export function isCall(name, args) {
  return Object.hasOwn(calls, name) && Array.isArray(args) && args.length === calls[name].args
    && args.every((arg) => isPlain(arg) || (Array.isArray(arg) && arg.every(isPlain)));
}

async function readAtHome(user, sql, args) {
  const client = await home.connect();
  let failed;
  try {
    await client.query('BEGIN READ ONLY');
    await client.query("SELECT set_config('chatrel.user_id', $1, true)", [String(user)]);
    const result = await client.query(sql, args);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    failed = error;
    throw error;
  } finally {
    client.release(failed); // one that has failed is closed, not used again
  }
}

// The rows, or where the statement calls it "value", that.
export async function run(user, name, args) {
  const { sql, readsTables: isOfTables } = calls[name];
  const { rows } = isOfTables
    ? await readAtHome(user, sql, args)
    : await pool.query(sql, [user, ...args]);
  return rows.length === 1 && 'value' in rows[0] ? rows[0].value : rows;
}

// SQLSTATEs of chatrel that say something to the user: not allowed, not there, taken, too long …
const told = new Set(
  ['P0002', '42501', '22023', '22001', '22P02', '23505', '55000', '53400', '54000', '28000']);

// What a proxy says of a shard that is away, in its own name
const isOfProxy = ({ code, message }) =>
  code === 'XX000' && message.startsWith('PL/Proxy function ');

// What the page hears of an error.  "retry" is for what is no answer: the server is away.
export function describe(error) {
  if (told.has(error.code)) {
    const { code, message, table, column } = error;
    return { code, message, table, column };
  }
  const isLost = error.severity // of the server
    ? /^(08|57P|53|40|25006)/.test(error.code) || isOfProxy(error)
    : error.constructor === Error; // of the connection
  if (isLost) {
    return { retry: true, message: 'the database cannot be reached' };
  }
  console.error(error);
  return { message: 'this failed, and the gateway has noted why' };
}
