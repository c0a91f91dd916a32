-- Attempts to write, to change what chatrel's functions do, to run code with the
-- rights of their owner, and to make them fail.  eve is a database user with a
-- chatrel user of her own, a schema, and the right to make others.  What
-- PostgreSQL cannot prevent is tested too, and said in doc/security.md.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE ROLE tap_eve;
CREATE ROLE tap_ann;
SELECT current_database() AS db \gset
GRANT CREATE, TEMP ON DATABASE :"db" TO tap_eve;
GRANT CREATE ON SCHEMA public TO tap_eve;

SELECT plan(106);

---------------------------------------------------------------------------
-- before there is an extension
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
SELECT throws_ok('CREATE EXTENSION chatrel', '42501', NULL, 'she cannot create the extension: it is not trusted');
CREATE SCHEMA tap_hers;
-- what stands in the schemas that the superuser may have in the search_path
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION public.gen_random_uuid() RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION public.pg_current_xact_id() RETURNS xid8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION public.quote_ident(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION public.ne(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.ne);
CREATE FUNCTION public.cat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = public.cat);
CREATE DOMAIN public.timestamptz AS pg_catalog.text;
CREATE TABLE public.pg_default_acl (defaclrole int);
RESET ROLE;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO tap_ann;
SET LOCAL search_path = public, pg_catalog;
CREATE EXTENSION chatrel;
RESET search_path;
SELECT ok(EXISTS (SELECT FROM pg_extension WHERE extname = 'chatrel'), 'the superuser can, whatever she has put in public');
ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM tap_ann;
SELECT is_empty($$ SELECT FROM pg_depend d, pg_namespace n WHERE nspname IN ('public', 'tap_hers')
	AND (refclassid, refobjid) IN (SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = n.oid
		UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = n.oid UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprnamespace = n.oid)
	AND (SELECT relnamespace FROM pg_class WHERE oid = CASE classid WHEN 'pg_class'::regclass THEN objid
		WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint WHERE oid = objid)
		WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = objid) END) = 'chatrel'::regnamespace $$,
	'nothing of chatrel''s depends on it');
SELECT is_empty($$ SELECT FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relowner <> current_user::regrole $$, 'and all of it is the superuser''s');
DROP FUNCTION public.now(), public.gen_random_uuid(), public.pg_current_xact_id(), public.quote_ident(text);
DROP OPERATOR public.<> (text, text), public.|| (text, text);
DROP FUNCTION public.ne(text, text), public.cat(text, text);
DROP DOMAIN public.timestamptz;
DROP TABLE public.pg_default_acl;

GRANT USAGE ON SCHEMA chatrel TO tap_eve, tap_ann;
SELECT (chatrel.create_user('ann', 'tap_ann')).id, (chatrel.create_user('eve', 'tap_eve')).id;
SELECT (chatrel.create_group('private', true, as_user => 1)).id, (chatrel.create_group('open', true, as_user => 2)).id;
SELECT (chatrel.send_group_message(1, 'secret', as_user => 1)).id;

---------------------------------------------------------------------------
-- the extension and its objects
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
CREATE TABLE tap_hers.mine (id bigint PRIMARY KEY, group_id bigint);
CREATE FUNCTION tap_hers.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT throws_ok(statement, '42501', NULL, 'refused: ' || statement) FROM unnest(ARRAY[
	'ALTER EXTENSION chatrel UPDATE',
	'ALTER EXTENSION chatrel UPDATE TO ''9.9''',
	'ALTER EXTENSION chatrel ADD TABLE tap_hers.mine',
	'ALTER EXTENSION chatrel DROP TABLE chatrel.groups',
	'DROP EXTENSION chatrel CASCADE',
	'COMMENT ON EXTENSION chatrel IS ''x''',
	'ALTER SCHEMA chatrel RENAME TO x',
	'DROP SCHEMA chatrel CASCADE',
	'CREATE VIEW chatrel.users2 AS SELECT 1',
	'CREATE FUNCTION chatrel.me(text) RETURNS text LANGUAGE sql AS ''SELECT 1''',
	'CREATE OR REPLACE FUNCTION chatrel.current_user_id() RETURNS bigint LANGUAGE sql AS ''SELECT 1''',
	'ALTER FUNCTION chatrel.current_user_id() SECURITY DEFINER',
	'ALTER FUNCTION chatrel.me(integer, bigint) SET search_path = tap_hers',
	'ALTER FUNCTION chatrel.me(integer, bigint) OWNER TO tap_eve',
	'GRANT EXECUTE ON FUNCTION chatrel.listen_all() TO tap_eve',
	'DROP FUNCTION chatrel.me(integer, bigint)',
	'ALTER TYPE chatrel.follow_totals ADD ATTRIBUTE x int',
	'ALTER TYPE chatrel.chat_group ADD ATTRIBUTE x int',
	'CREATE TRIGGER t BEFORE INSERT ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION tap_hers.nothing()',
	'DROP TRIGGER count_follows_insert ON chatrel.relationships',
	'ALTER TABLE chatrel.relationships DISABLE TRIGGER ALL',
	'CREATE RULE r AS ON INSERT TO chatrel.groups_messages DO INSTEAD NOTHING',
	'CREATE POLICY p ON chatrel.groups_messages USING (true)',
	'ALTER POLICY groups_messages_read ON chatrel.groups_messages USING (true)',
	'DROP POLICY groups_messages_read ON chatrel.groups_messages',
	'ALTER TABLE chatrel.groups_messages NO FORCE ROW LEVEL SECURITY',
	'CREATE INDEX ON chatrel.groups_messages ((tap_hers.nothing()))',
	'CREATE STATISTICS s ON group_id, message FROM chatrel.groups_messages',
	'ALTER TABLE chatrel.users ADD COLUMN x int',
	'ALTER TABLE chatrel.users ALTER COLUMN role_name SET DEFAULT ''tap_eve''',
	'ALTER TABLE chatrel.groups_channels OWNER TO tap_eve',
	'ALTER TABLE chatrel.groups_messages SET (autovacuum_enabled = off)',
	'ALTER SEQUENCE chatrel.users_id_seq RESTART',
	'ALTER SEQUENCE chatrel.users_id_seq OWNED BY NONE',
	'CREATE TABLE tap_hers.child () INHERITS (chatrel.groups_messages)',
	'ALTER TABLE tap_hers.mine INHERIT chatrel.groups_messages',
	'ALTER TABLE tap_hers.mine ADD FOREIGN KEY (group_id) REFERENCES chatrel.groups',
	'ALTER TABLE tap_hers.mine ADD FOREIGN KEY (id) REFERENCES chatrel.users ON DELETE CASCADE',
	'TRUNCATE chatrel.groups_channels',
	'CLUSTER chatrel.groups USING groups_pkey',
	'REINDEX TABLE chatrel.groups',
	'COMMENT ON TABLE chatrel.users IS ''x''',
	'CREATE PUBLICATION p FOR TABLE chatrel.groups_messages',
	'CREATE OR REPLACE VIEW chatrel.my_memberships AS SELECT 1::bigint AS group_id, now() AS joined_at',
	'INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (1, 2)',
	'INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (1, 2) ON CONFLICT DO NOTHING',
	'INSERT INTO chatrel.follow_counters VALUES (1, 0, 0, 1000000)',
	'INSERT INTO chatrel.whiteboards (group_id) VALUES (1)',
	'UPDATE chatrel.stickers SET title = ''x''',
	'UPDATE chatrel.stickers SET position = 1',
	'DELETE FROM chatrel.stickers',
	'DELETE FROM chatrel.whiteboards',
	'MERGE INTO chatrel.groups g USING tap_hers.mine m ON g.id = m.id WHEN NOT MATCHED THEN INSERT (name, creator_id) VALUES (''x'', 2)',
	'SELECT setval(''chatrel.event_ids'', 1)',
	'SELECT nextval(''chatrel.groups_id_seq'')',
	'SELECT pg_reload_conf()',
	'LOAD ''chatrel''',
	'CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION tap_hers.nothing()']) AS statement;
---------------------------------------------------------------------------
-- names of chatrel's and of PostgreSQL's in front of them
---------------------------------------------------------------------------

CREATE FUNCTION tap_hers.hijack() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked by %', current_user; END $$;
CREATE TEMP TABLE users AS SELECT 1::bigint AS id, 'fake'::text AS username, NULL::timestamptz AS deleted_at, 'tap_eve'::name AS role_name;
CREATE TEMP TABLE groups AS SELECT 1::bigint AS id, 'fake'::text AS name;
CREATE TEMP VIEW groups_members AS SELECT 1::bigint AS group_id, 2::bigint AS user_id;
CREATE TEMP TABLE groups_messages AS SELECT 1::bigint AS id, 1::bigint AS group_id, 'fake'::text AS message;
CREATE TEMP VIEW my_memberships AS SELECT 1::bigint AS group_id;
CREATE TEMP TABLE groups_channels AS SELECT 2::bigint AS group_id, '00000000-0000-0000-0000-000000000000'::uuid AS channel;
CREATE TEMP TABLE pg_class AS SELECT 0::oid AS oid;
CREATE TEMP TABLE pg_trigger AS SELECT 0::oid AS oid;
CREATE TEMP TABLE pg_depend AS SELECT 0::oid AS objid;
CREATE DOMAIN pg_temp.int8 AS pg_catalog.int8 CHECK (tap_hers.hijack());
CREATE TYPE pg_temp.jsonb AS (x pg_catalog.int4);
DO $$
DECLARE
	t pg_catalog.text;
	op pg_catalog.text;
BEGIN
	FOREACH t IN ARRAY ARRAY['pg_catalog.int8', 'pg_catalog.text', 'pg_catalog.name', 'pg_catalog.uuid', 'pg_catalog.timestamptz', 'pg_catalog.int4', 'pg_catalog.xid8',
		'pg_catalog.oid', 'pg_catalog.bool', 'pg_catalog.int8[]'] LOOP
		EXECUTE format('CREATE FUNCTION tap_hers.op(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT tap_hers.hijack()''', t, t);
		FOREACH op IN ARRAY ARRAY['=', '<', '<>', '>', '<=', '>=', '||', '+', '-'] LOOP
			EXECUTE format('CREATE OPERATOR tap_hers.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = tap_hers.op)', op, t, t);
		END LOOP;
	END LOOP;
	FOREACH t IN ARRAY ARRAY['now()', 'gen_random_uuid()', 'count("any")', 'max(bigint)', 'sum(bigint)', 'unnest(bigint[])', 'jsonb_agg(anyelement)', 'jsonb_build_object()', 'jsonb_build_object("any")',
		'setval(regclass, bigint)', 'current_user_id()', 'pg_listening_channels()', 'starts_with(text, text)', 'to_regprocedure(text)', 'pg_current_xact_id()'] LOOP
		CONTINUE WHEN t LIKE '%any%';
		EXECUTE format('CREATE FUNCTION tap_hers.%s RETURNS boolean LANGUAGE sql AS ''SELECT tap_hers.hijack()''', t);
	END LOOP;
END $$;
-- a type of hers that turns into the types of the arguments, and back
CREATE TYPE tap_hers.num AS (n pg_catalog.int8);
CREATE TABLE tap_hers.ran_as (who pg_catalog.name);
CREATE FUNCTION tap_hers.to_bigint(tap_hers.num) RETURNS pg_catalog.int8 LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap_hers.ran_as VALUES (current_user); RETURN $1.n; END $$;
CREATE CAST (tap_hers.num AS pg_catalog.int8) WITH FUNCTION tap_hers.to_bigint AS IMPLICIT;
CREATE FUNCTION tap_hers.from_text(pg_catalog.text) RETURNS tap_hers.num LANGUAGE sql AS 'SELECT NULL::tap_hers.num WHERE tap_hers.hijack()';
CREATE CAST (pg_catalog.text AS tap_hers.num) WITH FUNCTION tap_hers.from_text AS IMPLICIT;
SELECT throws_ok('CREATE CAST (pg_catalog.text AS chatrel.follow_totals) WITH INOUT AS IMPLICIT', '42501', NULL, 'a cast of a type that is not hers');
DISCARD PLANS;
CREATE FUNCTION tap_hers.all_of_it() RETURNS pg_catalog.text LANGUAGE plpgsql SET search_path = pg_temp, tap_hers, pg_catalog AS $$
DECLARE
	cursor pg_catalog.text;
BEGIN
	PERFORM chatrel.current_user_id(), chatrel.me(), chatrel.join_group(2), chatrel.get_group(2), chatrel.send_group_message(2, 'm'), chatrel.get_group_with_chat_history(2);
	PERFORM chatrel.my_groups();
	PERFORM chatrel.group_messages(2);
	PERFORM chatrel.create_group('hostile', true);
	PERFORM chatrel.listen();
	PERFORM chatrel.listen_group(2);
	PERFORM chatrel.unlisten();
	cursor := chatrel.sync() OPERATOR(pg_catalog.->>) 'cursor';
	PERFORM chatrel.sync(cursor), chatrel.sync('now', 2);
	PERFORM chatrel.follow(1), chatrel.follow(1, 'name_only'), chatrel.follow_many('{1}'), chatrel.is_following(1), chatrel.follow_counts(1);
	PERFORM chatrel.following(), chatrel.followers(1, 'name_only'), chatrel.friends(), chatrel.mutual_followers(1), chatrel.suggest_follows(), chatrel.relationship_to('{1}');
	PERFORM chatrel.unfollow(1);
	PERFORM chatrel.create_whiteboard(2);
	PERFORM chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}, {"url": "v", "title": "t"}]}');
	PERFORM chatrel.change_whiteboard(1, '{"stickers": [{"id": 1, "url": "u", "title": "T"}, {"url": "w", "title": "t"}]}', 'nilify');
	PERFORM chatrel.change_whiteboard(1, '{"stickers": []}', 'delete');
	PERFORM chatrel.get_whiteboard(1);
	PERFORM chatrel.delete_sticker(2, 2), chatrel.delete_whiteboard(1);
	PERFORM chatrel.leave_group(2);
	PERFORM 1 FROM chatrel.users, chatrel.groups, chatrel.groups_members, chatrel.groups_messages, chatrel.relationships, chatrel.whiteboards, chatrel.stickers, chatrel.my_memberships;
	RETURN 'done';
END $$;
SELECT is(tap_hers.all_of_it(), 'done', 'every function means what it says with all of hers in front');
SELECT is(chatrel.is_following(ROW(1)::tap_hers.num), false, 'a type of hers is turned into a number');
SELECT results_eq('TABLE tap_hers.ran_as', ARRAY['tap_eve'::name], 'by her own code, and as her');
RESET ROLE;
-- the superuser's, with her names in front
CREATE FUNCTION pg_temp.administer() RETURNS pg_catalog.text LANGUAGE plpgsql SET search_path = tap_hers, pg_catalog AS $$
BEGIN
	PERFORM chatrel.create_user('dan'), chatrel.delete_user(3), chatrel.listen_all();
	PERFORM chatrel.verify_follow_counts(true);
	PERFORM chatrel.link_users('tap_hers.accounts');
	PERFORM chatrel.verify_users(), chatrel.verify_users(true);
	RETURN 'done';
END $$;
SET LOCAL ROLE tap_eve;
CREATE TABLE tap_hers.accounts (id pg_catalog.int8 PRIMARY KEY, username pg_catalog.text);
INSERT INTO tap_hers.accounts VALUES (1, 'ann'), (2, 'eve');
RESET ROLE;
SELECT is(pg_temp.administer(), 'done', 'the administrative ones too');

---------------------------------------------------------------------------
-- a table of hers that is linked
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
CREATE FUNCTION tap_hers.note(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap_hers.ran_as VALUES (current_user); RETURN true; END $$;
CREATE FUNCTION tap_hers.noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap_hers.ran_as VALUES (current_user); RETURN NEW; END $$;
CREATE FUNCTION tap_hers.noted_int(pg_catalog.int4) RETURNS pg_catalog.int8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM tap_hers.note(1); RETURN 1; END $$;
CREATE FUNCTION tap_hers.is_user(pg_catalog.int8) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN tap_hers.note(1); END $$;
CREATE DOMAIN tap_hers.login AS pg_catalog.text CHECK (tap_hers.note(VALUE));
CREATE INDEX ON tap_hers.accounts ((id OPERATOR(pg_catalog.+) tap_hers.noted_int(1)));
SELECT throws_ok('ALTER TABLE tap_hers.accounts ALTER username TYPE tap_hers.login', '0A000', NULL, 'the link holds on to the type of a column');
RESET ROLE;
SELECT chatrel.unlink_users();
SET LOCAL ROLE tap_eve;
ALTER TABLE tap_hers.accounts ADD CHECK (tap_hers.note(id)), ALTER username TYPE tap_hers.login;
RESET ROLE;
SELECT chatrel.link_users('tap_hers.accounts', condition => 'tap_hers.noted_int(0) > 0 AND tap_hers.is_user(tap_hers.accounts.id)');
SET LOCAL ROLE tap_eve;
CREATE TRIGGER a_first BEFORE INSERT OR UPDATE ON tap_hers.accounts FOR EACH ROW EXECUTE FUNCTION tap_hers.noted();
CREATE TRIGGER z_last AFTER INSERT OR UPDATE ON tap_hers.accounts FOR EACH ROW EXECUTE FUNCTION tap_hers.noted();
SELECT lives_ok($$ INSERT INTO tap_hers.accounts VALUES (3, 'cyd') $$, 'a linked table with code of hers wherever there may be some: insert');
SELECT lives_ok($$ UPDATE tap_hers.accounts SET username = 'cyn' WHERE id = 3 $$, 'update');
SELECT lives_ok($$ DELETE FROM tap_hers.accounts WHERE id = 3 $$, 'delete');
SELECT results_eq('SELECT DISTINCT who FROM tap_hers.ran_as', ARRAY['tap_eve'::name], 'none of it runs as anybody but her');
ALTER TABLE tap_hers.accounts RENAME username TO login;
SELECT lives_ok($$ INSERT INTO tap_hers.accounts (id, login) VALUES (4, 'dan') $$, 'a column that is renamed is the same');
SELECT throws_ok($$ CREATE TRIGGER again AFTER INSERT ON tap_hers.mine FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('insert', 'x') $$, '42501', NULL,
	'the trigger is not hers to put on another table');
RESET ROLE;
-- what the superuser asks for, reads her table as her
DELETE FROM tap_hers.ran_as;
SELECT is_empty('SELECT * FROM chatrel.verify_users()', 'chatrel''s users are hers');
SELECT is_empty('SELECT * FROM chatrel.verify_users(true)', 'and there is nothing to repair');
SELECT is(chatrel.unlink_users(), 'tap_hers.accounts'::regclass, 'the link ends');
SELECT results_eq('SELECT DISTINCT who FROM tap_hers.ran_as', ARRAY['tap_eve'::name], 'and none of her code ran as the superuser');
DROP TABLE tap_hers.accounts;

---------------------------------------------------------------------------
-- sizes, and texts that look like others
---------------------------------------------------------------------------

DROP TABLE pg_temp.users, pg_temp.groups, pg_temp.groups_messages, pg_temp.groups_channels, pg_temp.pg_class, pg_temp.pg_trigger, pg_temp.pg_depend;
DROP VIEW pg_temp.groups_members, pg_temp.my_memberships;
DROP DOMAIN pg_temp.int8;
DROP TYPE pg_temp.jsonb;
SET LOCAL ROLE tap_eve;
SELECT chatrel.join_group(2);
SELECT (chatrel.create_whiteboard(2) ->> 'id')::bigint AS w \gset
SELECT throws_ok(format('SELECT chatrel.%s', call), sqlstate, NULL, 'bounded: ' || left(call, 60)) FROM (VALUES
	('send_group_message(2, repeat(''x'', 10000000))', '22001'), ('create_group(repeat(''x'', 10000000))', '22001'),
	('change_whiteboard(2, ''{}'', repeat(''x'', 10000000))', '22023'), ('change_whiteboard(2, (repeat(''['', 100000) || repeat('']'', 100000))::jsonb)', '54001'),
	('change_whiteboard(2, jsonb_build_object(''stickers'', jsonb_build_array(jsonb_build_object(''url'', repeat(''x'', 10000000), ''title'', ''t''))))', '22001'),
	('change_whiteboard(2, ''{"stickers": [], "version": 1e130000}'')', '22023'), ('change_whiteboard(2, ''{"stickers": [{"id": 1e-16000, "url": "u", "title": "t"}]}'')', '22023'),
	('sync(wait => interval ''-1 s'')', '22023'), ('sync(event_limit => 0)', '22023'), ('sync(wait => ''-1 s'')', '22023'),
	('follow_many(array_append(array_fill(1::bigint, ARRAY[100000]), NULL))', '22023'), ('send_group_message(2, convert_from(''\xff'', ''UTF8''))', '22021'),
	('send_group_message(2, chr(0))', '54000')) v (call, sqlstate);
SELECT lives_ok(format('SELECT chatrel.change_whiteboard(%s, jsonb_build_object(''stickers'', jsonb_agg(jsonb_build_object(''url'', ''u'', ''title'', ''t'' || i)))) FROM generate_series(1, 20000) i', :'w'), '20,000 stickers in one request');
SELECT is((SELECT count(*) FROM chatrel.relationship_to(array_fill(1::bigint, ARRAY[100000]))), 100000::bigint, '100,000 times the same user');
SELECT is(chatrel.follow_many(array_fill(1::bigint, ARRAY[100000])), 1::bigint, 'is followed once');
RESET ROLE;
SELECT lives_ok(format('SELECT chatrel.create_user(%L)', name), 'a name is what it is, also where it looks like another: ' || what) FROM (VALUES
	(U&'\0430nn', 'a letter of another script'), (U&'ann\200B', 'a space without width'), (U&'\202Enna', 'written from right to left'),
	(U&'a\0301nn', 'an accent of its own'), (E'ann\n', 'a line end'), (E'\x01', 'a control character')) v (name, what);
SELECT is((SELECT count(*) FROM chatrel.users WHERE username = 'ann'), 1::bigint, 'one of them is ann');

---------------------------------------------------------------------------
-- a trigger that the superuser has put on a table of chatrel's
---------------------------------------------------------------------------

CREATE TABLE public.audit (who name);
CREATE FUNCTION public.careless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (current_user); RETURN NULL; END $$;
CREATE FUNCTION public.careful() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ BEGIN INSERT INTO public.audit VALUES (current_user); RETURN NULL; END $$;
CREATE TRIGGER careless AFTER INSERT ON chatrel.groups_messages EXECUTE FUNCTION public.careless();
SET LOCAL ROLE tap_eve;
CREATE TABLE tap_hers.audit (who name);
CREATE FUNCTION tap_hers.caught() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap_hers.ran_as VALUES (current_user); RETURN NULL; END $$;
CREATE TRIGGER caught AFTER INSERT ON tap_hers.audit EXECUTE FUNCTION tap_hers.caught();
CREATE FUNCTION tap_hers.send() RETURNS bigint LANGUAGE sql SET search_path = tap_hers, pg_catalog AS $$ SELECT id FROM chatrel.send_group_message(2, 'm') $$;
DELETE FROM tap_hers.ran_as;
SELECT tap_hers.send() IS NOT NULL AS sent;
SELECT results_eq('TABLE tap_hers.ran_as', 'SELECT session_user::name', 'caveat: it runs with the owner''s rights under the caller''s search_path');
RESET ROLE;
DROP TRIGGER careless ON chatrel.groups_messages;
CREATE TRIGGER careful AFTER INSERT ON chatrel.groups_messages EXECUTE FUNCTION public.careful();
SET LOCAL ROLE tap_eve;
DELETE FROM tap_hers.ran_as;
SELECT tap_hers.send() IS NOT NULL AS sent;
SELECT is_empty('TABLE tap_hers.ran_as', 'one whose function has a search_path of its own does what it says');
RESET ROLE;
DROP TRIGGER careful ON chatrel.groups_messages;

---------------------------------------------------------------------------
-- what stands in the way
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
CREATE VIEW tap_hers.followers AS SELECT follower_id FROM chatrel.relationships;
CREATE TABLE tap_hers.types (t chatrel.follow_totals);
RESET ROLE;
SET LOCAL client_min_messages = warning;
SELECT throws_ok('DROP EXTENSION chatrel', '2BP01', NULL, 'a view, or a column, of hers keeps the extension from being dropped: see the caveats');
SELECT lives_ok('DROP EXTENSION chatrel CASCADE', 'but for CASCADE');
SELECT has_table('tap_hers'::name, 'types'::name, 'which takes away no more than it must');

SELECT * FROM finish();
ROLLBACK;
