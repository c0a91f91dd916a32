-- link_users with a condition: which rows of the application's table are users.

SET client_min_messages = warning;
\set SHOW_CONTEXT errors
CREATE EXTENSION chatrel;
CREATE FUNCTION users() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s%s', id, quote_literal(username), CASE WHEN deleted_at IS NOT NULL THEN ' deleted' END) FROM chatrel.users ORDER BY id
$$;

---------------------------------------------------------------------------
-- soft deletion
---------------------------------------------------------------------------

CREATE TABLE accounts (id int PRIMARY KEY, username text, deleted_at timestamptz, note text);
INSERT INTO accounts VALUES (1, 'ann', NULL), (2, 'bob', NULL), (3, 'cyd', now()), (4, NULL, now()), (-5, '', now());
SELECT chatrel.link_users('accounts', condition => 'deleted_at IS NULL');
SELECT users();
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'accounts'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT id FROM chatrel.create_group('g', true, as_user => 1);
SELECT chatrel.join_group(1, as_user => 2);
SELECT id FROM chatrel.send_group_message(1, 'hello', as_user => 2);
-- gone: as with delete_user()
UPDATE accounts SET deleted_at = now() WHERE id = 2;
SELECT users();
SELECT chatrel.get_group(1, as_user => 1);
SELECT chatrel.me(as_user => 2);
-- the name is free
INSERT INTO accounts VALUES (6, 'bob', NULL);
-- what is no user may be written in any way: renamed, renumbered, deleted
UPDATE accounts SET username = 'ann' WHERE id = 2;
UPDATE accounts SET username = repeat('x', 1000), note = 'x' WHERE id = 3;
UPDATE accounts SET id = -6 WHERE id = -5;
UPDATE accounts SET note = 'y';
DELETE FROM accounts WHERE id = 4;
SELECT users();
-- it is back, with its id, under its name of now, and in no group
UPDATE accounts SET deleted_at = NULL WHERE id = 2;
UPDATE accounts SET deleted_at = NULL, username = 'robert' WHERE id = 2;
SELECT users();
SELECT chatrel.me(as_user => 2);
SELECT sender_id, message FROM chatrel.group_messages(1, as_user => 1);
-- others, and what makes no user, cannot come
UPDATE accounts SET deleted_at = NULL WHERE id = -6;
UPDATE accounts SET deleted_at = NULL WHERE id = 3;
UPDATE accounts SET id = 20 WHERE id = 2;
-- at once: ann goes, bob takes her name, and a third takes his
UPDATE accounts SET deleted_at = CASE WHEN id = 1 THEN now() END, username = CASE id WHEN 6 THEN 'ann' WHEN 2 THEN 'bob' ELSE username END WHERE id IN (1, 2, 6);
SELECT users();
-- gone, and deleted then: once
UPDATE accounts SET deleted_at = now() WHERE id = 6;
DELETE FROM accounts WHERE id = 6;
SELECT users();
-- inserted as no user, by all ways, and merged
INSERT INTO accounts VALUES (7, 'dan', now()) ON CONFLICT (id) DO UPDATE SET deleted_at = NULL;
INSERT INTO accounts VALUES (7, 'dan', now()) ON CONFLICT (id) DO UPDATE SET deleted_at = NULL;
INSERT INTO accounts VALUES (7, 'dan', now()) ON CONFLICT (id) DO UPDATE SET deleted_at = EXCLUDED.deleted_at;
COPY accounts (id, username, deleted_at) FROM STDIN (NULL '-');
8	eve	-
9	fay	2020-01-01
\.
MERGE INTO accounts a USING (VALUES (8), (9), (10)) v (id) ON a.id = v.id
	WHEN MATCHED AND a.id = 9 THEN UPDATE SET deleted_at = NULL
	WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED THEN INSERT (id, username) VALUES (v.id, 'gil');
SELECT users();
-- in savepoints
BEGIN;
SAVEPOINT s;
UPDATE accounts SET deleted_at = now();
SELECT count(*) FROM chatrel.users WHERE deleted_at IS NULL;
ROLLBACK TO s;
SELECT count(*) FROM chatrel.users WHERE deleted_at IS NULL;
UPDATE accounts SET deleted_at = now() WHERE id = 10;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE accounts SET deleted_at = NULL WHERE id = 10;
UPDATE accounts SET deleted_at = now() WHERE id = 9;
COMMIT;
SELECT users();
-- nothing is written where nothing changed
CREATE FUNCTION xmins() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(id || ':' || xmin || ctid, ' ' ORDER BY id) FROM chatrel.users $$;
SELECT xmins() AS before \gset
UPDATE accounts SET note = 'z', username = username, deleted_at = deleted_at;
UPDATE accounts SET deleted_at = deleted_at + interval '1 day';
SELECT xmins() = :'before' AS untouched;
-- a renamed column is the same column, and another type or its end is refused
ALTER TABLE accounts RENAME deleted_at TO "gone at";
UPDATE accounts SET "gone at" = now() WHERE id = 10;
INSERT INTO accounts VALUES (11, 'hal');
SELECT users();
SELECT * FROM chatrel.verify_users();
\set VERBOSITY terse
ALTER TABLE accounts ALTER "gone at" TYPE date;
\set VERBOSITY default
ALTER TABLE accounts DROP "gone at";
-- ended, and begun again without it
SELECT chatrel.unlink_users();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'accounts'::regclass AND NOT tgisinternal;
SELECT username FROM chatrel.create_user('own');
SELECT chatrel.link_users('accounts');
DROP TABLE accounts;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- null is not true; any type, and what stands in the way of names
---------------------------------------------------------------------------

CREATE SCHEMA "My Schema";
CREATE TYPE "My Schema"."State" AS ENUM ('new', 'active', 'gone');
CREATE FUNCTION "My Schema"."is it"("My Schema"."State") RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 = 'active' $$;
CREATE TABLE t (old int PRIMARY KEY, new text, "state" "My Schema"."State", score int);
INSERT INTO t VALUES (1, 'ann', 'active', 1), (2, 'bob', 'new', 1), (3, 'cyd', NULL, 1), (4, 'dan', 'active', NULL);
SELECT chatrel.link_users('t', 'old', 'new', $$"My Schema"."is it"(state) AND t.score > 0 -- a comment$$);
SELECT users();
UPDATE t SET score = NULL WHERE old = 1;
UPDATE t SET score = 5, state = 'active' WHERE old > 1;
SELECT users();
SELECT * FROM chatrel.verify_users();
DROP FUNCTION "My Schema"."is it";
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- partitions: the condition moves the row, in partitions with columns of other numbers
---------------------------------------------------------------------------

CREATE TABLE t (id int, username text, active boolean, PRIMARY KEY (id, active)) PARTITION BY LIST (active);
CREATE TABLE t_yes PARTITION OF t FOR VALUES IN (true);
CREATE TABLE t_no (dropped int, active boolean NOT NULL, username text, id int NOT NULL);
ALTER TABLE t_no DROP dropped;
ALTER TABLE t ATTACH PARTITION t_no FOR VALUES IN (false);
INSERT INTO t VALUES (1, 'ann', true), (2, 'bob', false);
SELECT chatrel.link_users('t', condition => 'active');
SELECT users();
UPDATE t SET active = false WHERE id = 1;
UPDATE t SET active = true WHERE id = 2;
SELECT users();
UPDATE t SET active = true, username = 'anna' WHERE id = 1;
INSERT INTO t_no VALUES (false, 'cyd', 3);
UPDATE t_no SET username = 'cyn' WHERE id = 3;
DELETE FROM t WHERE id IN (2, 3);
INSERT INTO t_yes VALUES (4, 'dan', true);
SELECT users();
SELECT * FROM chatrel.verify_users();
DROP TABLE t;
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

-- the partitions are by something else
CREATE TABLE t (id int, username text, region text, deleted boolean, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('north');
CREATE TABLE t2 (deleted boolean, region text NOT NULL, username text, id int NOT NULL);
ALTER TABLE t ATTACH PARTITION t2 FOR VALUES IN ('south');
INSERT INTO t VALUES (1, 'ann', 'north', false), (2, 'bob', 'north', true);
SELECT chatrel.link_users('t', condition => 'NOT deleted');
SELECT id FROM chatrel.create_group('moving', true, as_user => 1);
UPDATE t SET region = 'south';
SELECT users();
SELECT chatrel.me(as_user => 1) -> 'groups' -> 0 ->> 'name' AS still_in;
UPDATE t SET region = 'north', deleted = NOT deleted;
SELECT users();
-- a row that goes by the way, in a trigger of the application's
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER nothing BEFORE INSERT ON t2 FOR EACH ROW EXECUTE FUNCTION nothing();
UPDATE t SET region = 'south' WHERE id = 2;
SELECT users();
DROP TABLE t;
DROP FUNCTION nothing();
TRUNCATE chatrel.users RESTART IDENTITY CASCADE;

---------------------------------------------------------------------------
-- what is no condition
---------------------------------------------------------------------------

CREATE TABLE t (id int PRIMARY KEY, username text, flag boolean, tags text[], deleted_at timestamptz);
INSERT INTO t VALUES (1, 'ann', true);
SELECT chatrel.link_users('t', condition => '');
SELECT chatrel.link_users('t', condition => 'no_such_column');
SELECT chatrel.link_users('t', condition => 'deleted_at IS');
SELECT chatrel.link_users('t', condition => 'id');
SELECT chatrel.link_users('t', condition => 'flag, flag');
SELECT chatrel.link_users('t', condition => 'flag AS f');
SELECT chatrel.link_users('t', condition => 'flag FROM t');
SELECT chatrel.link_users('t', condition => 'flag LIMIT 1');
SELECT chatrel.link_users('t', condition => 'flag) OR (true');
SELECT chatrel.link_users('t', condition => 'flag; DROP TABLE t');
SELECT chatrel.link_users('t', condition => '*');
SELECT chatrel.link_users('t', condition => '$1');
SELECT chatrel.link_users('t', condition => 'EXISTS (SELECT FROM t)');
SELECT chatrel.link_users('t', condition => 'count(*) > 0');
SELECT chatrel.link_users('t', condition => 'rank() OVER () > 0');
SELECT chatrel.link_users('t', condition => 'unnest(tags) = ''x''');
SELECT chatrel.link_users('t', condition => 'other.flag');
SELECT chatrel.link_users('t', condition => 'new.flag');
SELECT chatrel.link_users('t', condition => 't IS NULL');
SELECT chatrel.link_users('t', condition => 'xmin IS NULL');
SELECT chatrel.link_users('t', condition => 'tableoid = 1');
SELECT chatrel.link_users('t', condition => 'deleted_at < now()');
SELECT chatrel.link_users('t', condition => 'random() < 0.5');
SELECT chatrel.link_users('t', condition => 'username = current_user');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal;
SELECT users();
-- what always is, or never
SELECT chatrel.link_users('t', condition => 'true');
SELECT users();
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('t', condition => 'NULL');
SELECT chatrel.delete_user(1);
SELECT chatrel.link_users('t', condition => 'NULL');
INSERT INTO t VALUES (2, 'bob');
SELECT users();
-- an error of the condition is the writer's
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('t', condition => '1 / (id - 3) >= 0');
INSERT INTO t VALUES (3, 'cyd');
DROP TABLE t;

---------------------------------------------------------------------------
-- a condition is code of the table's owner, and has the rights of who writes the table
---------------------------------------------------------------------------

TRUNCATE chatrel.users RESTART IDENTITY CASCADE;
CREATE ROLE regress_chatrel_eve;
CREATE ROLE regress_chatrel_writer;
SELECT current_database() AS db \gset
GRANT CREATE ON DATABASE :"db" TO regress_chatrel_eve;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_eve;
GRANT EXECUTE ON FUNCTION chatrel.link_users, chatrel.unlink_users, chatrel.verify_users TO regress_chatrel_eve;
SET ROLE regress_chatrel_eve;
CREATE SCHEMA hers;
GRANT USAGE ON SCHEMA hers TO regress_chatrel_writer;
CREATE TABLE hers.ran_as (who name, what text);
GRANT INSERT ON hers.ran_as TO PUBLIC;
CREATE FUNCTION hers.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hers.ran_as VALUES (current_user, what); RETURN true; END $$;
CREATE FUNCTION hers.planted(x int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN hers.note('condition'); END $$;
CREATE FUNCTION hers.folded() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN hers.note('constant'); END $$;
CREATE DOMAIN hers.checked AS int CHECK (hers.note('domain'));
CREATE TYPE hers.pair AS (a hers.checked, b int);
CREATE FUNCTION hers.first(hers.pair) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION hers.eq(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN hers.note('operator'); END $$;
CREATE OPERATOR hers.= (LEFTARG = int, RIGHTARG = int, FUNCTION = hers.eq);
CREATE TABLE hers.accounts (id int PRIMARY KEY, username text);
GRANT INSERT, UPDATE, DELETE, SELECT ON hers.accounts TO regress_chatrel_writer;
INSERT INTO hers.accounts VALUES (1, 'ann');
SET search_path = hers, public, pg_catalog;
SELECT chatrel.link_users('accounts', condition => $$ planted(id) AND folded() AND first('(1,2)'::pair) = 1 AND id = 1 OR id > 1 $$);
RESET search_path;
RESET ROLE;
-- by her, by another, and by the superuser, who also verifies
INSERT INTO hers.accounts VALUES (2, 'bob');
SET ROLE regress_chatrel_writer;
INSERT INTO hers.accounts VALUES (3, 'cyd');
UPDATE hers.accounts SET username = 'cyn' WHERE id = 3;
DELETE FROM hers.accounts WHERE id = 2;
RESET ROLE;
SELECT * FROM chatrel.verify_users();
SELECT * FROM chatrel.verify_users(true);
-- the rights of the owner of chatrel, who is the superuser, were never lent: what ran as the superuser was the superuser's own statement
SET ROLE regress_chatrel_eve;
TRUNCATE hers.ran_as;
SELECT * FROM chatrel.verify_users(true);
INSERT INTO hers.accounts VALUES (4, 'dan');
UPDATE hers.accounts SET username = 'daniel' WHERE id = 4;
DELETE FROM hers.accounts WHERE id = 4;
SELECT chatrel.unlink_users();
SELECT chatrel.link_users('hers.accounts', condition => $$ hers.planted(id) AND hers.folded() AND hers.first('(1,2)'::hers.pair) = 1 $$);
SELECT who, what FROM hers.ran_as GROUP BY 1, 2 ORDER BY 2;
RESET ROLE;
-- nor are the superuser's lent to what she has put in the table, when the superuser links, verifies or unlinks it
SELECT chatrel.unlink_users();
TRUNCATE hers.ran_as;
SET search_path = hers, public, pg_catalog;
SELECT chatrel.link_users('accounts', condition => $$ planted(id) AND folded() AND first('(1,2)'::pair) = 1 $$);
SELECT * FROM chatrel.verify_users(true);
SELECT chatrel.unlink_users();
RESET search_path;
SELECT who, what FROM hers.ran_as GROUP BY 1, 2 ORDER BY 2;
-- she links her own table only, and unlinks nobody else's
CREATE TABLE public.accounts (id int PRIMARY KEY, username text);
INSERT INTO public.accounts SELECT * FROM hers.accounts;
GRANT ALL ON public.accounts TO regress_chatrel_eve;
SELECT chatrel.link_users('public.accounts');
SET ROLE regress_chatrel_eve;
SELECT chatrel.unlink_users();
RESET ROLE;
SELECT chatrel.unlink_users();
SELECT chatrel.unlink_users();
SELECT * FROM chatrel.verify_users();

DROP TABLE public.accounts;
SET client_min_messages = error;
DROP SCHEMA hers CASCADE;
DROP SCHEMA "My Schema" CASCADE;
REVOKE CREATE ON DATABASE :"db" FROM regress_chatrel_eve;
DROP FUNCTION users(), xmins();
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_eve, regress_chatrel_writer;
