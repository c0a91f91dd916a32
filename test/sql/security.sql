-- What an unprivileged role cannot do: be somebody else, read or write what is
-- not its own, call what is not for it, or make chatrel's functions or a
-- superuser do it.  regress_chatrel_eve is the attacker: a database user with
-- USAGE on the schema and a chatrel user of her own.

\set VERBOSITY terse
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_ann;
CREATE ROLE regress_chatrel_eve;
CREATE ROLE regress_chatrel_app;
CREATE ROLE regress_chatrel_out;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_ann, regress_chatrel_eve, regress_chatrel_app;
GRANT SET ON PARAMETER chatrel.user_id TO regress_chatrel_app;

-- users 1 (ann), 2 (eve), 3 (cyd); ann and cyd have group 1, eve has group 2
SELECT id, username, role_name FROM chatrel.create_user('ann', 'regress_chatrel_ann');
SELECT id, username, role_name FROM chatrel.create_user('eve', 'regress_chatrel_eve');
SELECT id, username, role_name FROM chatrel.create_user('cyd');
SELECT id, name FROM chatrel.create_group('secret', true, as_user => 1);
SELECT chatrel.join_group(1, as_user => 3);
SELECT id, name FROM chatrel.create_group('open', true, as_user => 2);
SELECT id FROM chatrel.send_group_message(1, 'the password is swordfish', as_user => 1);
SELECT id FROM chatrel.send_group_message(2, 'hello, anybody', as_user => 2);

---------------------------------------------------------------------------
-- she cannot say that she is somebody else
---------------------------------------------------------------------------

SET ROLE regress_chatrel_eve;
SELECT chatrel.current_user_id();
SET chatrel.user_id = 1;
SELECT set_config('chatrel.user_id', '1', true);
ALTER ROLE regress_chatrel_eve SET chatrel.user_id = 1;
CREATE FUNCTION pg_temp.as_ann() RETURNS bigint LANGUAGE sql
	SET chatrel.user_id = 1 AS 'SELECT chatrel.current_user_id()';
SELECT chatrel.current_user_id();
-- nor what is allowed
SET chatrel.max_message_length = 1000000;
SET chatrel.max_name_length = 600;

SELECT chatrel.me(as_user => 1);
SELECT chatrel.create_group('forged', true, as_user => 1);
SELECT chatrel.join_group(1, as_user => 1);
SELECT chatrel.leave_group(1, as_user => 1);
SELECT chatrel.get_group(1, as_user => 1);
SELECT * FROM chatrel.my_groups(as_user => 1);
SELECT chatrel.send_group_message(1, 'forged', as_user => 1);
SELECT * FROM chatrel.group_messages(1, as_user => 1);
SELECT chatrel.get_group_with_chat_history(1, as_user => 1);
SELECT * FROM chatrel.listen(as_user => 1);
SELECT chatrel.listen_group(1, as_user => 1);
-- her own id is hers to pass
SELECT chatrel.me(as_user => 2) ->> 'username' AS me;
RESET ROLE;

-- nor before the library is loaded, when the name is anybody's to set
GRANT CREATE ON DATABASE :"DBNAME" TO regress_chatrel_eve;
\c -
SET client_min_messages = warning;
SET SESSION AUTHORIZATION regress_chatrel_eve;
SET chatrel.user_id = 1;
SHOW chatrel.user_id;
SELECT chatrel.current_user_id();
SHOW chatrel.user_id;
SELECT chatrel.get_group(1);
-- nor from her role's settings
\c -
SET client_min_messages = warning;
SET SESSION AUTHORIZATION regress_chatrel_eve;
ALTER ROLE regress_chatrel_eve SET chatrel.user_id = 1;
-- nor in a function's settings, made before it
CREATE SCHEMA regress_chatrel_eve;
CREATE FUNCTION regress_chatrel_eve.as_ann() RETURNS bigint LANGUAGE sql
	SET chatrel.user_id = 1 AS 'SELECT chatrel.current_user_id()';
SELECT regress_chatrel_eve.as_ann();
RESET SESSION AUTHORIZATION;

-- the application's role may, both ways; and so may whoever a superuser says
\c -
SET client_min_messages = warning;
SET SESSION AUTHORIZATION regress_chatrel_app;
SET chatrel.user_id = 1;
SELECT chatrel.current_user_id();
RESET chatrel.user_id;
SELECT chatrel.current_user_id();
SELECT chatrel.me(as_user => 3) ->> 'username' AS me;
RESET SESSION AUTHORIZATION;

-- a definer function of the application's lends its rights, not its user
CREATE FUNCTION public.definer_me() RETURNS text LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT chatrel.me() ->> 'username' $$;
ALTER FUNCTION public.definer_me() OWNER TO regress_chatrel_ann;
SET ROLE regress_chatrel_eve;
SELECT public.definer_me();
RESET ROLE;
DROP FUNCTION public.definer_me();

---------------------------------------------------------------------------
-- she cannot read
---------------------------------------------------------------------------

SET ROLE regress_chatrel_eve;
-- tables: her own groups only
SELECT id, name FROM chatrel.groups ORDER BY id;
SELECT group_id, user_id FROM chatrel.groups_members ORDER BY id;
SELECT group_id, sender_id, message FROM chatrel.groups_messages ORDER BY id;
SELECT * FROM chatrel.groups_messages WHERE group_id = 1;
SELECT count(*) FROM chatrel.groups_messages WHERE message LIKE '%swordfish%';
SELECT group_id FROM chatrel.my_memberships;
-- functions: as if it did not exist
SELECT chatrel.get_group(1);
SELECT * FROM chatrel.group_messages(1);
SELECT chatrel.get_group_with_chat_history(1);
SELECT chatrel.listen_group(1);
SELECT chatrel.send_group_message(1, 'intruding');
-- what her functions see of the rows: not those of others
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
	AS $$ BEGIN RAISE WARNING 'seen: %', $1; RETURN true; END $$;
SELECT count(*) FROM chatrel.groups_messages WHERE pg_temp.leak(message);
SELECT count(*) FROM chatrel.groups WHERE pg_temp.leak(name);
CREATE VIEW pg_temp.all_messages AS SELECT message FROM chatrel.groups_messages WHERE pg_temp.leak(message);
SELECT * FROM pg_temp.all_messages;
SELECT count(*) FROM chatrel.my_memberships WHERE pg_temp.leak(group_id::text);
-- secrets: not at all
SELECT * FROM chatrel.groups_channels;
SELECT channel FROM chatrel.groups_channels WHERE group_id = 2;
SELECT * FROM chatrel.users_channels;
SELECT * FROM chatrel.all_channel;
COPY chatrel.groups_channels TO STDOUT;
RESET ROLE;
-- a view of hers, read by others, does not see more
GRANT USAGE ON SCHEMA regress_chatrel_eve TO PUBLIC;
SET ROLE regress_chatrel_eve;
CREATE VIEW regress_chatrel_eve.v AS SELECT group_id FROM chatrel.groups_messages;
GRANT SELECT ON regress_chatrel_eve.v TO PUBLIC;
RESET ROLE;
SET ROLE regress_chatrel_out;
SELECT * FROM regress_chatrel_eve.v;
RESET ROLE;
-- who is nobody sees nobody
SET ROLE regress_chatrel_app;
SELECT count(*) FROM chatrel.users;
SELECT count(*) FROM chatrel.groups;
SET chatrel.user_id = 3;
SELECT count(*) FROM chatrel.users;
SELECT name FROM chatrel.groups;
SET chatrel.user_id = 2;
SELECT name FROM chatrel.groups;
RESET chatrel.user_id;
RESET ROLE;

---------------------------------------------------------------------------
-- she cannot write, or change what there is
---------------------------------------------------------------------------

SET ROLE regress_chatrel_eve;
INSERT INTO chatrel.users (username) VALUES ('x');
UPDATE chatrel.users SET role_name = 'regress_chatrel_eve';
DELETE FROM chatrel.users;
INSERT INTO chatrel.groups (name, creator_id) VALUES ('x', 2);
UPDATE chatrel.groups SET name = 'x';
DELETE FROM chatrel.groups;
INSERT INTO chatrel.groups_members (group_id, user_id) VALUES (1, 2);
UPDATE chatrel.groups_members SET group_id = 1;
DELETE FROM chatrel.groups_members;
INSERT INTO chatrel.groups_messages (group_id, sender_id, message) VALUES (2, 1, 'forged');
UPDATE chatrel.groups_messages SET message = 'x';
DELETE FROM chatrel.groups_messages;
TRUNCATE chatrel.groups_messages CASCADE;
INSERT INTO chatrel.groups_channels VALUES (2);
UPDATE chatrel.groups_channels SET channel = gen_random_uuid();
DELETE FROM chatrel.groups_channels;
INSERT INTO chatrel.users_channels VALUES (2);
DELETE FROM chatrel.users_channels;
INSERT INTO chatrel.all_channel DEFAULT VALUES;
DELETE FROM chatrel.all_channel;
UPDATE chatrel.my_memberships SET group_id = 1;
DELETE FROM chatrel.my_memberships;
SELECT * FROM chatrel.groups_messages FOR UPDATE;
SELECT nextval('chatrel.users_id_seq');
SELECT setval('chatrel.event_ids', 1);
SELECT last_value FROM chatrel.event_ids;
CREATE TABLE chatrel.mine (a int);
CREATE FUNCTION chatrel.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TRIGGER t AFTER INSERT ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('a', 'b');
CREATE POLICY all_of_it ON chatrel.groups_messages USING (true);
ALTER TABLE chatrel.groups_messages DISABLE ROW LEVEL SECURITY;
SET row_security = off;
SELECT count(*) FROM chatrel.groups_messages;
RESET row_security;
CREATE TABLE regress_chatrel_eve.refs (group_id bigint REFERENCES chatrel.groups);

-- administrative functions
SELECT chatrel.create_user('x');
SELECT chatrel.delete_user(1);
SELECT chatrel.listen_all();
CREATE TABLE regress_chatrel_eve.users (id int PRIMARY KEY, username text);
SELECT chatrel.link_users('regress_chatrel_eve.users');
SELECT chatrel.mirror_user();
CREATE TRIGGER t AFTER INSERT ON regress_chatrel_eve.users
	FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('id', 'username');
DROP TABLE regress_chatrel_eve.users;
-- and the application's role was granted none of them
RESET ROLE;
SET ROLE regress_chatrel_app;
SELECT chatrel.create_user('x');
SELECT chatrel.listen_all();
RESET ROLE;

---------------------------------------------------------------------------
-- a role without USAGE gets nothing at all
---------------------------------------------------------------------------

SET ROLE regress_chatrel_out;
SELECT chatrel.current_user_id();
SELECT chatrel.me();
SELECT chatrel.create_group('x');
SELECT count(*) FROM chatrel.users;
SELECT count(*) FROM chatrel.groups_messages;
SELECT count(*) FROM chatrel.groups_channels;
RESET ROLE;

---------------------------------------------------------------------------
-- names put before pg_catalog do not change what functions do
---------------------------------------------------------------------------

SET ROLE regress_chatrel_eve;
CREATE FUNCTION regress_chatrel_eve.bad() RETURNS boolean LANGUAGE plpgsql
	AS $$ BEGIN RAISE WARNING 'hijacked by %', current_user; RETURN true; END $$;
DO $$
DECLARE
	t text;
	op text;
BEGIN
	-- operators of the types that chatrel compares
	FOREACH t IN ARRAY ARRAY['bigint', 'text', 'name', 'uuid', 'timestamptz', 'integer', 'boolean', 'interval', 'jsonb', 'bytea', 'xid8', 'anyarray'] LOOP
		EXECUTE format('CREATE FUNCTION regress_chatrel_eve.op(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT regress_chatrel_eve.bad()''', t, t);
		FOREACH op IN ARRAY ARRAY['=', '<', '<>', '>', '<=', '>='] LOOP
			EXECUTE format('CREATE OPERATOR regress_chatrel_eve.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = regress_chatrel_eve.op)', op, t, t);
		END LOOP;
	END LOOP;
END $$;
-- functions
CREATE FUNCTION regress_chatrel_eve.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT ''-infinity''::timestamptz';
CREATE FUNCTION regress_chatrel_eve.gen_random_uuid() RETURNS uuid LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT ''00000000-0000-0000-0000-000000000000''::uuid';
CREATE FUNCTION regress_chatrel_eve.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT ''1''::xid8';
CREATE FUNCTION regress_chatrel_eve.jsonb_build_object() RETURNS jsonb LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT ''{}''::jsonb';
CREATE FUNCTION regress_chatrel_eve.pg_listening_channels() RETURNS SETOF text LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad()::text';
CREATE FUNCTION regress_chatrel_eve.starts_with(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad()';
-- types and tables
CREATE TYPE regress_chatrel_eve.jsonb AS (x int);
CREATE DOMAIN regress_chatrel_eve.int8 AS bigint CHECK (regress_chatrel_eve.bad());
CREATE DOMAIN regress_chatrel_eve.text AS pg_catalog.text CHECK (regress_chatrel_eve.bad());
CREATE TABLE regress_chatrel_eve.users AS SELECT 1::bigint AS id, 'fake'::pg_catalog.text AS username;
CREATE TABLE regress_chatrel_eve.groups AS SELECT 1::bigint AS id, 'fake'::pg_catalog.text AS name;
-- a call of each function that acts as somebody, and those that fail
CREATE TABLE regress_chatrel_eve.calls AS SELECT format('SELECT chatrel.%I(%s)', proname, (
		SELECT string_agg(format('%s => %L', name, CASE WHEN name = 'group_id' THEN '3' WHEN name = 'role' THEN 'member' WHEN name = 'audience' THEN 'nobody'
			WHEN type = 'text'::regtype THEN 'x' WHEN type = 'bigint'::regtype THEN '1' WHEN type = 'boolean'::regtype THEN 'true'
			WHEN type = 'bigint[]'::regtype THEN '{1}' WHEN type = 'jsonb'::regtype THEN '{"stickers": []}' END), ', ' ORDER BY n)
		FROM unnest(proargnames, proargtypes::oid[]) WITH ORDINALITY a (name, type, n) WHERE n <= pronargs - pronargdefaults)) AS call
	FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND 'as_user' = ANY (proargnames);
INSERT INTO regress_chatrel_eve.calls VALUES
	('SELECT chatrel.send_group_message(3, ''x'', reply_to_id => (SELECT pg_catalog.max(id) FROM chatrel.groups_messages), mentions => ''{2}'', metadata => ''{}'', client_key => ''k'')'),
	('SELECT chatrel.sync(chatrel.sync(''now'', group_id => 3) OPERATOR(pg_catalog.->>) ''cursor'', group_id => 3)'),
	('SELECT chatrel.update_group(3, ''x'', ''x'', ''{"a": 1}'', ''private'', ''request'', ''moderators'', ''1 s'')'),
	('SELECT chatrel.mute_user(1), chatrel.mute_user(1, ''9999-01-01''), chatrel.block(1), chatrel.unblock(1)'),
	('SELECT chatrel.mark_read(3), chatrel.my_groups(), chatrel.unread_counts() FROM chatrel.send_group_message(3, ''x'', mentions => ''{2}'')'),
	('SELECT chatrel.edit_message(3, m.id, ''y''), chatrel.add_reaction(3, m.id, ''x''), chatrel.pin_message(3, m.id), chatrel.delete_message(3, m.id) FROM chatrel.send_group_message(3, ''x'') m');
CREATE TABLE regress_chatrel_eve.failed (call text, error text);

SET search_path = regress_chatrel_eve, pg_catalog;
-- a new session, so that nothing is planned yet
\c -
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET SESSION AUTHORIZATION regress_chatrel_eve;
SET search_path = regress_chatrel_eve, pg_catalog;
SELECT chatrel.current_user_id();
SELECT chatrel.me();
SELECT id, name FROM chatrel.create_group('hostile', true);
SELECT chatrel.join_group(3);
SELECT id, group_id, sender_id, message, datetime OPERATOR(pg_catalog.=) pg_catalog.now() AS now
	FROM chatrel.send_group_message(3, 'm');
SELECT chatrel.get_group(3);
SELECT id, message FROM chatrel.group_messages(3);
SELECT jsonb_array_length(chatrel.get_group_with_chat_history(3) -> 'messages');
SELECT id, name, last_message FROM chatrel.my_groups();
SELECT count(*) FROM chatrel.listen();
SELECT pg_catalog.starts_with(chatrel.listen_group(3), 'chatrel_');
SELECT count(*) FROM chatrel.unlisten();
-- each, of which nothing stays; what is hijacked says so
DO $$
DECLARE
	one record;
BEGIN
	FOR one IN TABLE regress_chatrel_eve.calls LOOP
		BEGIN
			EXECUTE one.call;
			RAISE division_by_zero;
		EXCEPTION
			WHEN division_by_zero THEN NULL;
			WHEN OTHERS THEN INSERT INTO regress_chatrel_eve.failed VALUES (one.call, SQLERRM);
		END;
	END LOOP;
END $$;
SELECT chatrel.leave_group(3);
SELECT chatrel.get_group(1);
SELECT count(*) FROM chatrel.groups_messages;
RESET SESSION AUTHORIZATION;
-- and the same for the superuser's
SELECT id, username FROM chatrel.create_user('dan');
SELECT pg_catalog.starts_with(chatrel.listen_all(), 'chatrel_');
SELECT chatrel.delete_user(4);
RESET search_path;
UNLISTEN *;
-- those that failed, as they have to
SELECT * FROM regress_chatrel_eve.failed ORDER BY call COLLATE "C";

---------------------------------------------------------------------------
-- code that a superuser runs for her in maintenance acts as nobody
---------------------------------------------------------------------------

SET ROLE regress_chatrel_eve;
CREATE TABLE regress_chatrel_eve.trap (a int);
INSERT INTO regress_chatrel_eve.trap VALUES (1), (1);
CREATE FUNCTION regress_chatrel_eve.who(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('regress.armed', true) = 'yes' THEN
		RETURN coalesce(chatrel.current_user_id()::text, 'nobody') || CASE WHEN $1 = 2 THEN chatrel.me()::text ELSE '' END;
	END IF;
	RETURN '';
END $$;
CREATE FUNCTION regress_chatrel_eve.write(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('regress.armed', true) = 'yes' THEN
		PERFORM chatrel.send_group_message(1, 'planted', as_user => 1);
	END IF;
	RETURN $1;
END $$;
CREATE INDEX trap_who ON regress_chatrel_eve.trap (regress_chatrel_eve.who(a));
RESET ROLE;
SET chatrel.user_id = 1;
SET regress.armed = 'yes';
REINDEX INDEX regress_chatrel_eve.trap_who;
ANALYZE regress_chatrel_eve.trap;
SELECT regress_chatrel_eve.who(1) AS outside, most_common_vals AS inside FROM pg_stats WHERE tablename = 'trap_who';
UPDATE regress_chatrel_eve.trap SET a = 2;
REINDEX INDEX regress_chatrel_eve.trap_who;
RESET regress.armed;
DROP INDEX regress_chatrel_eve.trap_who;
CREATE INDEX trap_write ON regress_chatrel_eve.trap (regress_chatrel_eve.write(a));
SET regress.armed = 'yes';
REINDEX INDEX regress_chatrel_eve.trap_write;
ANALYZE regress_chatrel_eve.trap;
SELECT count(*) AS planted FROM chatrel.groups_messages WHERE message = 'planted';
RESET regress.armed;
RESET chatrel.user_id;

---------------------------------------------------------------------------
-- whoever may link a table runs nothing with the rights of chatrel's owner
---------------------------------------------------------------------------

SELECT chatrel.delete_user(id) FROM generate_series(1, 3) AS id;
GRANT EXECUTE ON FUNCTION chatrel.link_users TO regress_chatrel_eve;
SET ROLE regress_chatrel_eve;
CREATE TABLE regress_chatrel_eve.ran_as (who pg_catalog.text);
CREATE FUNCTION regress_chatrel_eve.note() RETURNS void LANGUAGE sql
	AS 'INSERT INTO regress_chatrel_eve.ran_as VALUES (current_user)';
CREATE FUNCTION regress_chatrel_eve.planted(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_chatrel_eve.note(); RETURN $1; END $$;
CREATE TABLE regress_chatrel_eve.accounts (id bigint PRIMARY KEY, username pg_catalog.text);
-- the planner evaluates what is constant in an index's expression
CREATE INDEX ON regress_chatrel_eve.accounts ((regress_chatrel_eve.planted(1) + id));
SELECT chatrel.link_users('regress_chatrel_eve.accounts');
INSERT INTO regress_chatrel_eve.accounts VALUES (10, 'x');
RESET ROLE;
SELECT who FROM regress_chatrel_eve.ran_as WHERE who <> 'regress_chatrel_eve' LIMIT 1;
DROP TABLE regress_chatrel_eve.accounts;

---------------------------------------------------------------------------
-- reading under row level security scans an index, and asks once per query
---------------------------------------------------------------------------

TRUNCATE chatrel.users RESTART IDENTITY CASCADE;
SELECT id FROM chatrel.create_user('eve', 'regress_chatrel_eve');
INSERT INTO chatrel.users (username) SELECT 'u' || i FROM generate_series(2, 500) i;
INSERT INTO chatrel.groups (name, creator_id) SELECT 'g' || i, 1 FROM generate_series(1, 2000) i;
INSERT INTO chatrel.groups_members (group_id, user_id)
	SELECT g, (g * 7 + i * 31) % 499 + 2 FROM generate_series(1, 2000) g, generate_series(1, 10) i;
INSERT INTO chatrel.groups_members (group_id, user_id) VALUES (7, 1), (8, 1);
INSERT INTO chatrel.groups_messages (group_id, sender_id, message)
	SELECT CASE WHEN i % 2 = 0 THEN 7 ELSE i / 2 % 2000 + 1 END, 1, 'message ' || i % 3 FROM generate_series(1, 100000) i;
VACUUM ANALYZE chatrel.users, chatrel.groups, chatrel.groups_members, chatrel.groups_messages;
ANALYZE chatrel.groups_channels;

-- a plan, however the version at hand names an InitPlan or a SubPlan and its result
CREATE FUNCTION public.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		line := regexp_replace(line, '(Init|Sub)Plan (any|array)_1', '\1Plan 1');
		line := regexp_replace(line, 'Filter: .*hashed SubPlan 1.*', 'Filter: (hashed SubPlan 1)');
		RETURN NEXT regexp_replace(replace(line, ' (returns $0)', ''), '\$0|\(InitPlan 1\)\.col1', 'groups', 'g');
	END LOOP;
END $$;

SET ROLE regress_chatrel_eve;
-- the last messages of a group with many: not sorted, not read to the end
SELECT public.plan_of('SELECT id, message FROM chatrel.groups_messages WHERE group_id = 7 ORDER BY id DESC LIMIT 50');
SELECT public.plan_of('SELECT name FROM chatrel.groups WHERE id = 7');
SELECT public.plan_of('SELECT user_id FROM chatrel.groups_members WHERE group_id = 7');
SELECT count(*) FROM chatrel.groups_messages;
SELECT count(*) FROM chatrel.groups_messages WHERE group_id = 7;
SELECT count(*) FROM chatrel.groups_messages WHERE group_id = 9;
SELECT name FROM chatrel.groups ORDER BY id;
SELECT group_id, count(*) FROM chatrel.groups_members GROUP BY group_id ORDER BY group_id;
-- the statistics tell nothing either
SELECT tablename, attname FROM pg_stats WHERE schemaname = 'chatrel';
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA regress_chatrel_eve CASCADE;
DROP FUNCTION public.plan_of(text);
DROP EXTENSION chatrel;
REVOKE CREATE ON DATABASE :"DBNAME" FROM regress_chatrel_eve;
REVOKE SET ON PARAMETER chatrel.user_id FROM regress_chatrel_app;
DROP ROLE regress_chatrel_ann, regress_chatrel_eve, regress_chatrel_app, regress_chatrel_out;
