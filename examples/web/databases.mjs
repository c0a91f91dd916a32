// The databases: one, which PGHOST, PGDATABASE and their like name; or several: a proxy, which they
// name then, and behind it home and the shards, which SHARDS names, home first, by URIs with spaces
// between them.

import pg from 'pg';

// Each of these is listened to; '' is what PGHOST and the others name.
export const shards = process.env.SHARDS?.trim().split(/\s+/) ?? [''];

// Ids fit into a number up to 2^53, which those of shard 31 do not pass.  doc/operations.md says
// what then.
const MOST_SHARDS = 32; // home is one of them
const ID = 20;
if (shards.length > MOST_SHARDS) throw new Error(`SHARDS names more than ${MOST_SHARDS}`);
pg.types.setTypeParser(ID, Number);
pg.types.setTypeParser(1016, (text) => text.slice(1, -1).split(',').filter(Boolean).map(Number));

function poolOf(connectionString) {
  const pool = new pg.Pool({
    connectionString, application_name: 'chatrel gateway', max: 10, keepAlive: true,
    connectionTimeoutMillis: 5000, query_timeout: 15000 });
  pool.on('error', (error) => console.error(`pool: ${error.message}`));
  return pool;
}

// Where chatrel's functions are called, and where the tables of users and sessions are, which a
// proxy has not
export const pool = poolOf('');
export const home = shards[0] === '' ? pool : poolOf(shards[0]);
