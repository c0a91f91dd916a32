-- link_users: the users of an application's own table, mirrored.

SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_app;

-- The users that chatrel has
CREATE FUNCTION users() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s%s', id, quote_literal(username), CASE WHEN deleted_at IS NOT NULL THEN ' deleted' END) FROM chatrel.users ORDER BY id
$$;

---------------------------------------------------------------------------
-- from the first row to the last
---------------------------------------------------------------------------

CREATE TABLE accounts (id serial PRIMARY KEY, username varchar(256) UNIQUE NOT NULL, password text);
INSERT INTO accounts (username) VALUES ('ann'), ('bob');
SELECT chatrel.link_users('accounts');
SELECT users();
-- they chat
SELECT id FROM chatrel.create_group('g', true, as_user => 1);
SELECT chatrel.join_group(1, as_user => 2);
SELECT id FROM chatrel.send_group_message(1, 'hello', as_user => 2);
-- inserted
INSERT INTO accounts (username) VALUES ('cyd'), ('dan');
SELECT users();
SELECT chatrel.join_group(1, as_user => 3);
-- renamed; another column does not matter
UPDATE accounts SET username = 'robert' WHERE id = 2;
UPDATE accounts SET password = 'x';
UPDATE accounts SET username = username;
SELECT users();
SELECT chatrel.get_group(1, as_user => 1);
-- upserted
INSERT INTO accounts VALUES (4, 'daniel') ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username;
INSERT INTO accounts VALUES (4, 'x') ON CONFLICT DO NOTHING;
SELECT users();
-- deleted
DELETE FROM accounts WHERE id = 2;
SELECT users();
SELECT chatrel.get_group(1, as_user => 1);
SELECT sender_id, message FROM chatrel.group_messages(1, as_user => 1);
SELECT chatrel.me(as_user => 2);
-- the same id again: the same user again, whatever the name is now, and in no group
INSERT INTO accounts VALUES (2, 'bobby');
SELECT users();
SELECT chatrel.me(as_user => 2);
-- a name that was deleted is free
DELETE FROM accounts WHERE username = 'cyd';
INSERT INTO accounts (username) VALUES ('cyd');
SELECT users();
-- rolled back
BEGIN;
INSERT INTO accounts (username) VALUES ('never');
UPDATE accounts SET username = 'anne' WHERE id = 1;
DELETE FROM accounts WHERE id = 4;
SELECT users();
ROLLBACK;
SELECT users();
-- by COPY, and many in one statement
COPY accounts (username) FROM STDIN;
eve
fay
\.
INSERT INTO accounts (username) SELECT 'u' || i FROM generate_series(1, 500) i;
DELETE FROM accounts WHERE username LIKE 'u%';
SELECT count(*), count(deleted_at) FROM chatrel.users;
SELECT count(*) FROM accounts a FULL JOIN (SELECT * FROM chatrel.users WHERE deleted_at IS NULL) u ON u.id = a.id AND u.username = a.username
	WHERE a.id IS NULL OR u.id IS NULL;
-- emptied
BEGIN;
TRUNCATE accounts;
SELECT count(*) FROM chatrel.users WHERE deleted_at IS NULL;
SELECT count(*) FROM chatrel.groups_members;
ROLLBACK;
SELECT count(*) FROM chatrel.users WHERE deleted_at IS NULL;

---------------------------------------------------------------------------
-- refused, with nothing changed
---------------------------------------------------------------------------

-- a linked table's rows must make users
CREATE TABLE loose (id bigint, username text);
UPDATE accounts SET id = 1000 WHERE id = 1;
INSERT INTO accounts (username) VALUES ('');
INSERT INTO accounts (username) VALUES (repeat('ü', 256));
-- the link holds on to its columns: to change their types, it has to be ended
\set VERBOSITY terse
ALTER TABLE accounts ALTER username TYPE text;
\set VERBOSITY default
ALTER TABLE accounts DROP username;
BEGIN;
SELECT chatrel.unlink_users();
ALTER TABLE accounts ALTER id TYPE bigint, ALTER username TYPE text, ALTER username DROP NOT NULL;
SELECT chatrel.link_users('accounts') = (SELECT count(*) FROM accounts) AS linked_again;
COMMIT;
INSERT INTO accounts (username) VALUES (repeat('ü', 257));
INSERT INTO accounts (username) VALUES (NULL);
UPDATE accounts SET username = NULL WHERE id = 1;
UPDATE accounts SET username = '' WHERE id = 1;
ALTER TABLE accounts DROP CONSTRAINT accounts_username_key;
INSERT INTO accounts (username) VALUES ('ann');
UPDATE accounts SET username = 'ann' WHERE id = 4;
SELECT users() LIMIT 4;
-- chatrel's own functions do not go with it
SELECT chatrel.create_user('own');
SELECT chatrel.delete_user(1);
-- nor does a second table, or the same one again
SELECT chatrel.link_users('loose');
SELECT chatrel.link_users('accounts');
DROP TABLE loose;
-- columns that are renamed are the same
ALTER TABLE accounts RENAME username TO name;
ALTER TABLE accounts RENAME id TO number;
ALTER TABLE accounts RENAME TO members;
INSERT INTO members (name) VALUES ('gil');
UPDATE members SET name = 'gilly' WHERE name = 'gil';
SELECT count(*) FROM chatrel.users u JOIN members m ON m.number = u.id AND m.name = u.username WHERE m.name = 'gilly';
DELETE FROM members WHERE name = 'gilly';
SELECT * FROM chatrel.verify_users();
SELECT chatrel.create_user('own');
ALTER TABLE members RENAME TO accounts;
ALTER TABLE accounts RENAME number TO id;
ALTER TABLE accounts RENAME name TO username;
-- the link ends with the triggers; chatrel's own functions work again
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'accounts'::regclass AND NOT tgisinternal ORDER BY 1;
DROP TABLE accounts;
SELECT username FROM chatrel.create_user('own');
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- keys that are no integers, names that are no texts, columns that are not there
CREATE TABLE t (id uuid PRIMARY KEY, username text, n int, b bytea, x text[]);
SELECT chatrel.link_users('t');
SELECT chatrel.link_users('t', 'username');
SELECT chatrel.link_users('t', 'n', 'b');
SELECT chatrel.link_users('t', 'n', 'x');
SELECT chatrel.link_users('t', 'n', 'n');
SELECT chatrel.link_users('t', 'no_such_column');
SELECT chatrel.link_users('t', 'n', 'no_such_column');
SELECT chatrel.link_users('t', 'ctid');
-- as the hint says
ALTER TABLE t ADD number bigint GENERATED ALWAYS AS IDENTITY UNIQUE;
INSERT INTO t (id, username) VALUES ('00000000-0000-0000-0000-000000000001', 'ann');
SELECT chatrel.link_users('t', 'number');
INSERT INTO t (id, username) VALUES ('00000000-0000-0000-0000-000000000002', 'bob');
SELECT users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- rows that make no users
CREATE TABLE t (id int, username text);
INSERT INTO t VALUES (1, 'ann'), (NULL, 'bob');
SELECT chatrel.link_users('t');
TRUNCATE t;
INSERT INTO t VALUES (1, 'ann'), (2, NULL);
SELECT chatrel.link_users('t');
TRUNCATE t;
INSERT INTO t VALUES (1, 'ann'), (2, '');
SELECT chatrel.link_users('t');
TRUNCATE t;
INSERT INTO t VALUES (1, 'ann'), (2, repeat('ü', 257));
SELECT chatrel.link_users('t');
TRUNCATE t;
INSERT INTO t VALUES (1, 'ann'), (2, 'ann');
SELECT chatrel.link_users('t');
TRUNCATE t;
INSERT INTO t VALUES (1, 'ann'), (1, 'bob');
SELECT chatrel.link_users('t');
SELECT users();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass;
DROP TABLE t;

-- what is no ordinary table
CREATE VIEW v AS SELECT 1 AS id, 'x'::text AS username;
CREATE MATERIALIZED VIEW m AS SELECT * FROM v;
CREATE TEMP TABLE temporary (id int, username text);
SELECT chatrel.link_users('v');
SELECT chatrel.link_users('m');
SELECT chatrel.link_users('temporary');
SELECT chatrel.link_users('chatrel.users');
SELECT chatrel.link_users('no_such_table');
SELECT chatrel.link_users('0');
DROP MATERIALIZED VIEW m;
DROP VIEW v;
DROP TABLE temporary;
-- nor somebody else's table
CREATE TABLE t (id int PRIMARY KEY, username text);
GRANT ALL ON t TO regress_chatrel_app;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_app;
SET ROLE regress_chatrel_app;
SELECT chatrel.link_users('t');
RESET ROLE;
GRANT EXECUTE ON FUNCTION chatrel.link_users(regclass, name, name, text) TO regress_chatrel_app;
SET ROLE regress_chatrel_app;
SELECT chatrel.link_users('t');
RESET ROLE;
-- one's own
ALTER TABLE t OWNER TO regress_chatrel_app;
SET ROLE regress_chatrel_app;
INSERT INTO t VALUES (1, 'ann');
SELECT chatrel.link_users('t');
INSERT INTO t VALUES (2, 'bob');
SELECT chatrel.create_user('x');
RESET ROLE;
SELECT users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- users that chatrel has already must be the table's
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SELECT chatrel.delete_user(3);
CREATE TABLE t (id int PRIMARY KEY, username text);
SELECT chatrel.link_users('t');
INSERT INTO t VALUES (1, 'ann');
SELECT chatrel.link_users('t');
INSERT INTO t VALUES (2, 'another');
SELECT chatrel.link_users('t');
UPDATE t SET username = 'bob' WHERE id = 2;
INSERT INTO t VALUES (4, 'dan');
SELECT chatrel.link_users('t');
SELECT users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- a link that is rolled back is none
CREATE TABLE t (id int PRIMARY KEY, username text);
INSERT INTO t VALUES (1, 'ann');
BEGIN;
SELECT chatrel.link_users('t');
SELECT users();
ROLLBACK;
SELECT users();
INSERT INTO t VALUES (2, 'bob');
SELECT users();
SELECT username FROM chatrel.create_user('own');
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- other types, other names
---------------------------------------------------------------------------

CREATE SCHEMA "My Schema";
CREATE DOMAIN user_number AS smallint CHECK (VALUE > 0);
CREATE DOMAIN user_name AS varchar(20) CHECK (VALUE ~ '^[a-z''" ]+$');
CREATE TABLE "My Schema"."Users of ""X""" ("The Id" user_number PRIMARY KEY, "user's ""name""" user_name NOT NULL);
INSERT INTO "My Schema"."Users of ""X""" VALUES (7, 'ann'), (32767, 'o''neill');
SELECT chatrel.link_users('"My Schema"."Users of ""X"""', 'The Id', 'user''s "name"');
INSERT INTO "My Schema"."Users of ""X""" VALUES (8, '"quoted"');
UPDATE "My Schema"."Users of ""X""" SET "user's ""name""" = 'anne' WHERE "The Id" = 7;
DELETE FROM "My Schema"."Users of ""X""" WHERE "The Id" = 32767;
SELECT users();
SELECT chatrel.create_user('x');
DROP TABLE "My Schema"."Users of ""X""";
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

CREATE TABLE t (id bigint PRIMARY KEY, username name);
INSERT INTO t VALUES (9223372036854775807, 'ann'), (4294967296, 'bob');
SELECT chatrel.link_users(users_table => 't');
INSERT INTO t VALUES (1, 'cyd');
SELECT users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- char(n): the name is the same whichever way the row came in
CREATE TABLE t (id int PRIMARY KEY, username char(5));
INSERT INTO t VALUES (1, 'ann'), (2, 'bob');
SELECT chatrel.link_users('t');
INSERT INTO t VALUES (3, 'cyd');
UPDATE t SET username = 'anne' WHERE id = 1;
UPDATE t SET username = 'bob  ' WHERE id = 2;
SELECT users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- a partitioned table
CREATE TABLE t (id int PRIMARY KEY, username text) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
INSERT INTO t VALUES (1, 'ann'), (11, 'bob');
SELECT chatrel.link_users('t1');
SELECT chatrel.link_users('t');
INSERT INTO t VALUES (2, 'cyd');
INSERT INTO t2 VALUES (12, 'dan');
UPDATE t SET username = 'anne' WHERE id = 1;
DELETE FROM t WHERE id = 11;
SELECT users();
UPDATE t SET id = 3 WHERE id = 1;
SELECT users();
-- which table it is, is said by its name
SELECT chatrel.create_user('x');
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- partitioned by something else: a row that moves is the same user, and stays in its groups
CREATE TABLE t (id int, username text, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('north');
CREATE TABLE t2 PARTITION OF t FOR VALUES IN ('south');
INSERT INTO t VALUES (1, 'ann', 'north');
SELECT chatrel.link_users('t');
SELECT id FROM chatrel.create_group('moving', true, as_user => 1);
UPDATE t SET region = 'south' WHERE id = 1;
SELECT users();
SELECT chatrel.me(as_user => 1) -> 'groups' -> 0 ->> 'name' AS still_in;
-- and may have another name there
UPDATE t SET region = 'north', username = 'anna' WHERE id = 1;
SELECT users();
SELECT chatrel.me(as_user => 1) -> 'groups' -> 0 ->> 'name' AS still_in;
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;
-- rows that are kept even from the owner of the table are an error, not nobody
CREATE TABLE t (id int PRIMARY KEY, username text);
INSERT INTO t VALUES (1, 'ann');
ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE t OWNER TO regress_chatrel_app;
SELECT chatrel.link_users('t');
ALTER TABLE t NO FORCE ROW LEVEL SECURITY;
SELECT chatrel.link_users('t');
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- the triggers act with chatrel's rights, and for whoever writes the table
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text);
GRANT ALL ON t TO regress_chatrel_app;
REVOKE USAGE ON SCHEMA chatrel FROM regress_chatrel_app;
SELECT chatrel.link_users('t');
SET ROLE regress_chatrel_app;
INSERT INTO t VALUES (1, 'ann');
UPDATE t SET username = 'anne';
DELETE FROM t;
RESET ROLE;
SELECT users();
-- also where nobody is anybody, and through a hostile search_path
SET search_path = pg_temp;
INSERT INTO public.t VALUES (1, 'ann');
RESET search_path;
SELECT users();
DROP TABLE t;

DROP DOMAIN user_number, user_name;
DROP SCHEMA "My Schema";
DROP FUNCTION users();
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_app;
