-- link_users beside what an application does: its triggers, its constraints, what
-- goes past the triggers, and what verify_users() makes of that.

SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION chatrel;
CREATE FUNCTION users() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s%s', id, quote_literal(username), CASE WHEN deleted_at IS NOT NULL THEN ' deleted' END) FROM chatrel.users ORDER BY id
$$;

---------------------------------------------------------------------------
-- triggers of the application's: a new user is there, one that goes is there still
---------------------------------------------------------------------------

CREATE TABLE accounts (id serial PRIMARY KEY, username text UNIQUE, deleted_at timestamptz);
CREATE FUNCTION welcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' OR NEW.deleted_at IS NOT NULL THEN
		PERFORM chatrel.leave_group(1, as_user => OLD.id);
	ELSE
		PERFORM chatrel.join_group(1, as_user => NEW.id);
	END IF;
	RETURN NULL;
END $$;
INSERT INTO accounts (username) VALUES ('ann');
SELECT chatrel.link_users('accounts', condition => 'deleted_at IS NULL');
SELECT id FROM chatrel.create_group('lobby', as_user => 1);
SELECT format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OF deleted_at OR DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION welcome()', name)
	FROM unnest(ARRAY['00_a', 'A', '_a', 'a', 'chatrel', 'z', 'zz}']) AS name \gexec
INSERT INTO accounts (username) VALUES ('bob'), ('cyd');
INSERT INTO accounts (username) VALUES ('dan') ON CONFLICT (username) DO NOTHING;
INSERT INTO accounts (username) VALUES ('dan') ON CONFLICT (username) DO NOTHING;
COPY accounts (username) FROM STDIN;
eve
\.
SELECT array_agg(user_id ORDER BY user_id) FROM chatrel.groups_members;
UPDATE accounts SET deleted_at = now() WHERE username = 'bob';
DELETE FROM accounts WHERE username = 'cyd';
SELECT array_agg(user_id ORDER BY user_id) FROM chatrel.groups_members;
UPDATE accounts SET deleted_at = NULL WHERE username = 'bob';
SELECT array_agg(user_id ORDER BY user_id) FROM chatrel.groups_members;
SELECT format('DROP TRIGGER %I ON accounts', tgname) FROM pg_trigger WHERE tgfoid = 'welcome'::regproc AND tgrelid = 'accounts'::regclass ORDER BY 1 \gexec
SELECT users();

-- what a trigger changes before the row is written is what counts
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.username = 'nobody' THEN
		RETURN NULL;
	END IF;
	NEW.username := lower(NEW.username);
	IF TG_OP = 'INSERT' THEN
		NEW.id := NEW.id + 100;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION change();
INSERT INTO accounts (id, username) VALUES (50, 'GIL'), (51, 'nobody');
UPDATE accounts SET deleted_at = NULL, username = 'HAL' WHERE username = 'dan';
UPDATE accounts SET username = 'nobody' WHERE username = 'gil';
INSERT INTO accounts (id, username) VALUES (52, 'GIL') ON CONFLICT DO NOTHING;
INSERT INTO accounts (id, username) VALUES (50, 'x') ON CONFLICT (id) DO UPDATE SET username = 'GILLY';
SELECT users();
SELECT * FROM chatrel.verify_users();
-- a constraint that fails at the end takes all of it back
ALTER TABLE accounts ADD CONSTRAINT short CHECK (length(username) < 10);
INSERT INTO accounts (id, username) VALUES (60, 'much too long');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
INSERT INTO accounts (id, username) VALUES (61, 'ida');
SELECT count(*) FROM chatrel.users WHERE username = 'ida';
COMMIT;
SELECT count(*) FROM chatrel.users WHERE username = 'ida';
DROP TABLE accounts;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- names that are swapped
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text, CONSTRAINT t_username UNIQUE (username) DEFERRABLE);
INSERT INTO t VALUES (1, 'ann'), (2, 'bob'), (3, 'cyd');
SELECT chatrel.link_users('t');
-- in one statement: two, and three in a circle
UPDATE t SET username = CASE id WHEN 1 THEN 'bob' ELSE 'ann' END WHERE id < 3;
UPDATE t SET username = (ARRAY['cyd', 'bob', 'ann'])[id];
UPDATE t SET username = (ARRAY['bob', 'ann', 'cyd'])[id];
SELECT users();
-- one that goes leaves its name to one that comes
WITH gone AS (DELETE FROM t WHERE id = 3 RETURNING username) INSERT INTO t SELECT 4, username FROM gone;
SELECT users();
-- in two
BEGIN;
SET CONSTRAINTS t_username DEFERRED;
UPDATE t SET username = 'ann' WHERE id = 1;
SELECT users();
UPDATE t SET username = 'bob' WHERE id = 2;
INSERT INTO t VALUES (5, 'cyd');
DELETE FROM t WHERE id = 4;
COMMIT;
SELECT users();
-- what is not put right in the end is refused then, by the application's own constraint
BEGIN;
SET CONSTRAINTS t_username DEFERRED;
UPDATE t SET username = 'ann' WHERE id = 2;
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE t SET username = 'ann' WHERE id = 2;
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
UPDATE t SET username = 'ann' WHERE id = 2;
-- in a savepoint
BEGIN;
SAVEPOINT s;
SET CONSTRAINTS t_username DEFERRED;
UPDATE t SET username = 'ann' WHERE id = 2;
ROLLBACK TO s;
UPDATE t SET username = 'annabel' WHERE id = 1;
UPDATE t SET username = 'ann' WHERE id = 2;
COMMIT;
SELECT users();
SELECT * FROM chatrel.verify_users();
-- without a constraint of the application's, chatrel's own is checked with the statement
ALTER TABLE t DROP CONSTRAINT t_username;
BEGIN;
UPDATE t SET username = 'ann' WHERE id = 1;
ROLLBACK;
UPDATE t SET username = (ARRAY['ann', 'annabel'])[id] WHERE id < 3;
SELECT users();
-- upper and lower case, in a type that does not tell them apart
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT chatrel.unlink_users();
ALTER TABLE t ALTER username TYPE text COLLATE folded;
SELECT chatrel.link_users('t');
UPDATE t SET username = 'ANN' WHERE id = 1;
SELECT users();
DROP TABLE t;
DROP COLLATION folded;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- names and ids that are what they are
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text, note text);
INSERT INTO t VALUES (1, repeat('x', 200)), (2, 'bob');
SELECT chatrel.link_users('t');
ALTER SYSTEM SET chatrel.max_name_length = 100;
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SHOW chatrel.max_name_length;
-- a name that is longer than is allowed now, and stays
UPDATE t SET note = 'x';
UPDATE t SET note = 'y', username = username, id = id;
UPDATE t SET username = repeat('y', 101) WHERE id = 1;
SELECT * FROM chatrel.verify_users(true);
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('t');
ALTER SYSTEM RESET chatrel.max_name_length;
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;
\set SHOW_CONTEXT never
-- ids
INSERT INTO t VALUES (0, 'zero');
INSERT INTO t VALUES (-1, 'minus');
UPDATE t SET id = 0 WHERE id = 2;
SELECT chatrel.unlink_users();
INSERT INTO t VALUES (0, 'zero');
SELECT chatrel.link_users('t');
UPDATE t SET id = -9223 WHERE id = 0;
SELECT chatrel.link_users('t');
\set VERBOSITY terse
INSERT INTO chatrel.users (id, username) VALUES (0, 'zero');
\set VERBOSITY default
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;
-- tables that cannot be
CREATE UNLOGGED TABLE t (id int PRIMARY KEY, username text);
SELECT chatrel.link_users('t');
ALTER TABLE t SET LOGGED;
CREATE TABLE child () INHERITS (t);
SELECT chatrel.link_users('t');
SELECT chatrel.link_users('child');
SELECT chatrel.unlink_users();
DROP TABLE child;
DROP TABLE t;

---------------------------------------------------------------------------
-- what goes past the triggers
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text, active boolean DEFAULT true);
INSERT INTO t VALUES (1, 'ann'), (2, 'bob'), (3, 'cyd'), (4, 'dan');
SELECT chatrel.link_users('t', condition => 'active');
SELECT id FROM chatrel.create_group('g', true, as_user => 1);
SELECT chatrel.join_group(1, as_user => 2);
SELECT chatrel.follow(1, as_user => 2), chatrel.follow(2, as_user => 1);
SELECT * FROM chatrel.verify_users();
SELECT * FROM chatrel.verify_users(true);
SELECT * FROM chatrel.verify_users(NULL);
-- the replica role, as of a logical replication
SET session_replication_role = replica;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (5, 'bob', true), (6, 'eve', false);
UPDATE t SET username = 'cyn' WHERE id = 3;
UPDATE t SET active = NULL WHERE id = 4;
RESET session_replication_role;
SELECT * FROM chatrel.verify_users();
SELECT users();
SELECT * FROM chatrel.verify_users(true);
SELECT users();
SELECT * FROM chatrel.verify_users();
SELECT count(*) FROM chatrel.groups_members;
SELECT * FROM chatrel.verify_follow_counts();
-- names that go round, and one that comes back, repaired in the replica role itself
SET session_replication_role = replica;
UPDATE t SET username = (ARRAY['cyn', '', 'bob', '', 'ann'])[id] WHERE id IN (1, 3, 5);
INSERT INTO t VALUES (2, 'bobby');
SELECT * FROM chatrel.verify_users(true);
RESET session_replication_role;
SELECT users();
-- disabled triggers are named, and enabled
ALTER TABLE t DISABLE TRIGGER ALL;
INSERT INTO t VALUES (7, 'fay');
SELECT * FROM chatrel.verify_users();
SELECT * FROM chatrel.verify_users(true);
INSERT INTO t VALUES (8, 'gil');
SELECT * FROM chatrel.verify_users();
-- by hand
UPDATE chatrel.users SET username = 'x' WHERE id = 8;
UPDATE chatrel.users SET deleted_at = now() WHERE id = 7;
INSERT INTO chatrel.users (id, username) VALUES (9, 'hal');
SELECT * FROM chatrel.verify_users(true);
SELECT * FROM chatrel.verify_users();
-- rows that make no users
ALTER TABLE t DROP CONSTRAINT t_pkey;
ALTER TABLE t ALTER id DROP NOT NULL;
SET session_replication_role = replica;
INSERT INTO t VALUES (NULL, 'nil'), (-1, 'minus'), (11, NULL), (12, ''), (1, 'again');
RESET session_replication_role;
SELECT * FROM chatrel.verify_users() ORDER BY user_id, linked_username;
SELECT * FROM chatrel.verify_users(true);
-- they go, and become users, like others
DELETE FROM t WHERE id IS NULL;
UPDATE t SET id = 10 WHERE id = -1;
UPDATE t SET username = 'ivy' WHERE id = 11;
SELECT users();
DELETE FROM t WHERE id IN (10, 11);
SET session_replication_role = replica;
DELETE FROM t WHERE id = 12 OR username = 'again';
RESET session_replication_role;
-- a name that two have
SET session_replication_role = replica;
INSERT INTO t VALUES (13, 'gil');
RESET session_replication_role;
SELECT * FROM chatrel.verify_users();
SELECT * FROM chatrel.verify_users(true);
SET session_replication_role = replica;
SELECT * FROM chatrel.verify_users(true);
DELETE FROM t WHERE id = 13;
RESET session_replication_role;
-- a trigger that is gone, one that is not as it was, a child, an unlogged table
DROP TRIGGER "!chatrel_mirror_update" ON t;
ALTER TABLE t ENABLE REPLICA TRIGGER "~chatrel_mirror_truncate";
CREATE TABLE child () INHERITS (t);
SELECT * FROM chatrel.verify_users();
INSERT INTO child VALUES (14, 'no user');
SELECT count(*) FROM chatrel.verify_users() WHERE user_id IS NOT NULL;
DROP TABLE child;
ALTER TABLE t SET UNLOGGED;
SELECT * FROM chatrel.verify_users();
ALTER TABLE t SET LOGGED;
DROP TRIGGER "!chatrel_mirror_insert" ON t;
UPDATE t SET active = active;
DELETE FROM t WHERE id = 8;
SELECT * FROM chatrel.verify_users();
-- as the hint says
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('t', condition => 'active');
DELETE FROM t WHERE id = 8;
SELECT * FROM chatrel.verify_users();
-- the table is copied and takes the name: the triggers stay with the old one
CREATE TABLE t_new (LIKE t INCLUDING ALL);
INSERT INTO t_new SELECT * FROM t;
ALTER TABLE t RENAME TO t_old;
SELECT * FROM chatrel.verify_users();
ALTER TABLE t_new RENAME TO t;
INSERT INTO t VALUES (15, 'ida');
SELECT * FROM chatrel.verify_users();
BEGIN;
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('t', condition => 'active');
COMMIT;
SELECT * FROM chatrel.verify_users();
SELECT username FROM chatrel.users WHERE id = 15;
DROP TABLE t, t_old;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- partitions that come and go
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (10);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
INSERT INTO t VALUES (1, 'ann'), (11, 'bob');
SELECT chatrel.link_users('t');
CREATE TABLE t3 (username text, id int NOT NULL);
INSERT INTO t3 VALUES ('cyd', 21), ('dan', 22);
ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (20) TO (30);
SELECT * FROM chatrel.verify_users();
SELECT * FROM chatrel.verify_users(true);
UPDATE t SET username = 'dana' WHERE id = 22;
INSERT INTO t3 VALUES ('eve', 23);
SELECT users();
ALTER TABLE t DETACH PARTITION t3;
INSERT INTO t3 VALUES ('fay', 24);
TRUNCATE t2;
SELECT * FROM chatrel.verify_users(true);
DROP TABLE t1;
SELECT * FROM chatrel.verify_users(true);
SELECT users();
ALTER TABLE t2 DISABLE TRIGGER "!chatrel_mirror_insert";
SELECT * FROM chatrel.verify_users(true);
INSERT INTO t VALUES (12, 'gil');
SELECT * FROM chatrel.verify_users();
ALTER TABLE t2 SET UNLOGGED;
SELECT * FROM chatrel.verify_users();
DROP TABLE t, t3;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- more rows than are compared at a time
CREATE TABLE t (id bigint PRIMARY KEY, username text);
INSERT INTO t SELECT i * 3, 'u' || i FROM generate_series(1, 3000) i;
SELECT chatrel.link_users('t');
SET session_replication_role = replica;
UPDATE t SET username = 'u' || 3001 - id / 3;
DELETE FROM t WHERE id > 8000 OR id <= 12;
INSERT INTO t SELECT i * 3 + 1, 'v' || i FROM generate_series(1, 2000) i;
RESET session_replication_role;
SELECT problem, count(*), min(user_id), max(user_id) FROM chatrel.verify_users() GROUP BY 1 ORDER BY 1;
SELECT problem, count(*), min(user_id), max(user_id) FROM chatrel.verify_users(true) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM chatrel.verify_users();
SELECT count(*) FROM (SELECT id, username FROM chatrel.users WHERE deleted_at IS NULL EXCEPT TABLE t) x;
-- the cost is that of the rows: nothing reads all users, though there were none when it was planned
SELECT chatrel.unlink_users();
TRUNCATE chatrel.users CASCADE;
\c
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
SELECT chatrel.link_users('t') > 0 AS linked;
SELECT count(*) FROM chatrel.verify_users(true);
SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'chatrel.users'::regclass;
ROLLBACK;
BEGIN;
SELECT count(chatrel.create_user('u' || i, CASE WHEN i = 7 THEN current_user END)) FROM generate_series(1, 100) i;
SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'chatrel.users'::regclass;
ROLLBACK;
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- a trigger of the link that fires always: what follows from a row is counted all the same
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text);
INSERT INTO t VALUES (1, 'ann'), (2, 'bob'), (3, 'cyd');
SELECT chatrel.link_users('t');
SELECT format('ALTER TABLE t ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal ORDER BY 1 \gexec
SELECT chatrel.follow(2, as_user => 1), chatrel.follow(3, as_user => 1), chatrel.follow(1, as_user => 2);
SET session_replication_role = replica;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (4, 'dan');
SHOW session_replication_role;
INSERT INTO t VALUES (5, 'dan');
RESET session_replication_role;
SELECT users();
SELECT chatrel.follow_counts(as_user => 1);
SELECT * FROM chatrel.verify_follow_counts();
SELECT * FROM chatrel.verify_users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- create_user: what is in the way is said, and nothing goes on for ever
---------------------------------------------------------------------------

SET statement_timeout = '20s';
CREATE FUNCTION fields(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; schema text; tab text; con text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, schema = SCHEMA_NAME, tab = TABLE_NAME, con = CONSTRAINT_NAME;
	RETURN format('%s %s [%s.%s %s]', state, message, schema, tab, con);
END $$;
CREATE ROLE regress_chatrel_ann;
SELECT id FROM chatrel.create_user('Alice', 'regress_chatrel_ann');
CREATE UNIQUE INDEX users_lower ON chatrel.users (lower(username)) WHERE deleted_at IS NULL;
SELECT fields($$ SELECT chatrel.create_user('alice') $$);
SELECT fields($$ SELECT chatrel.create_user('Alice') $$);
SELECT fields($$ SELECT chatrel.create_user('Alice', 'regress_chatrel_ann') $$);
SELECT fields($$ SELECT chatrel.create_user('bob', 'regress_chatrel_ann') $$);
DROP INDEX chatrel.users_lower;
-- ids that are taken
INSERT INTO chatrel.users (id, username) SELECT i, 'u' || i FROM generate_series(2, 50) i;
SELECT id FROM chatrel.create_user('bob');
-- a name that was given up is free, as often as you like
SELECT chatrel.delete_user(id) FROM chatrel.users WHERE username = 'bob';
SELECT count(chatrel.delete_user((chatrel.create_user('bob')).id)) FROM generate_series(1, 3);
SELECT id, username FROM chatrel.create_user('bob');
-- a trigger of the owner's that keeps everybody out
CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep_out BEFORE INSERT ON chatrel.users FOR EACH ROW EXECUTE FUNCTION keep_out();
SELECT fields($$ SELECT chatrel.create_user('cyd') $$);
DROP TRIGGER keep_out ON chatrel.users;
-- what is taken in a linked table
CREATE TABLE t (id int, username text);
SELECT count(chatrel.delete_user(id)) FROM chatrel.users WHERE deleted_at IS NULL;
INSERT INTO t VALUES (1, 'ann');
SELECT chatrel.link_users('t');
SELECT fields($$ INSERT INTO t VALUES (1, 'bob') $$);
SELECT fields($$ INSERT INTO t VALUES (2, 'ann') $$);
SELECT fields($$ INSERT INTO t VALUES (NULL, 'x') $$);
SELECT fields($$ INSERT INTO t VALUES (0, 'x') $$);
-- a row of chatrel.users that a restore brings once more is the same user; another is a conflict
INSERT INTO chatrel.users (id, username, role_name, created_at) VALUES (1, 'ann', 'regress_chatrel_ann', '2020-01-01');
SELECT role_name, created_at = '2020-01-01' AS restored FROM chatrel.users WHERE id = 1;
SELECT fields($$ INSERT INTO chatrel.users (id, username) VALUES (1, 'bob') $$);
SELECT chatrel.unlink_users();
SELECT fields($$ INSERT INTO chatrel.users (id, username) VALUES (1, 'ann') $$);
SELECT fields($$ SELECT chatrel.restore_user() $$);
RESET statement_timeout;

DROP TABLE t;
DROP FUNCTION fields(text), keep_out(), users(), welcome(), change(), refuse();
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_ann;
