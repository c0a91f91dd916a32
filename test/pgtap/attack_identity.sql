-- Attempts to be somebody else.  eve is a database user with a chatrel user of
-- her own; nob may use the schema and is nobody in it; app may act as any user.
-- What PostgreSQL cannot prevent is tested too, and said in doc/security.md.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
CREATE ROLE tap_ann;
CREATE ROLE tap_eve;
CREATE ROLE tap_nob;
CREATE ROLE tap_app;
GRANT USAGE ON SCHEMA chatrel TO tap_ann, tap_eve, tap_nob, tap_app;
GRANT SET ON PARAMETER chatrel.user_id TO tap_app;
SELECT (chatrel.create_user('ann', 'tap_ann')).id, (chatrel.create_user('eve', 'tap_eve')).id;
SELECT (chatrel.create_group('private', true, as_user => 1)).id, (chatrel.create_group('open', true, as_user => 2)).id;
SELECT (chatrel.send_group_message(1, 'secret', as_user => 1)).id, (chatrel.create_whiteboard(1, as_user => 1)) ->> 'id';
CREATE SCHEMA tap_eve AUTHORIZATION tap_eve;
GRANT USAGE ON SCHEMA tap_eve TO PUBLIC;
CREATE SCHEMA tap_app AUTHORIZATION tap_app;
GRANT USAGE ON SCHEMA tap_app TO PUBLIC;

SELECT no_plan();
SELECT throws_ok(format('INSERT INTO chatrel.users (id, username) VALUES (%s, ''x'')', id), '23514', NULL, 'no user ' || id) FROM unnest(ARRAY[0, -1]) AS id;

---------------------------------------------------------------------------
-- with as_user
---------------------------------------------------------------------------

CREATE TEMP TABLE calls (call text);
GRANT SELECT ON calls TO PUBLIC;
-- Calls of all functions that have as_user, with something for each argument that has no default.
INSERT INTO calls SELECT format('chatrel.%I(%s as_user => %%s)', proname, (
		SELECT string_agg(format('%s => %L,', name, CASE WHEN name = 'role' THEN 'member' WHEN name = 'audience' THEN 'nobody'
			WHEN type = 'text'::regtype THEN 'x' WHEN type = 'bigint'::regtype THEN '1' WHEN type = 'boolean'::regtype THEN 'true'
			WHEN type = 'bigint[]'::regtype THEN '{1}' WHEN type = 'jsonb'::regtype THEN '{"stickers": []}' END), ' ' ORDER BY n)
		FROM unnest(proargnames, proargtypes::oid[]) WITH ORDINALITY a (name, type, n) WHERE n <= pronargs - pronargdefaults))
	FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND 'as_user' = ANY (proargnames);
SELECT cmp_ok((SELECT count(*) FROM calls), '>=', 65::bigint, 'the functions that act as somebody');

SET LOCAL ROLE tap_nob;
SELECT throws_ok('SELECT ' || format(call, 0), '42501', 'permission denied to act as user 0', 'as user 0, who is not nobody: ' || call) FROM calls;
SELECT throws_ok('SELECT ' || format(call, 'NULL'), '28000', 'current role has no chatrel user', 'who is nobody: ' || call) FROM calls WHERE call !~ 'may_view_posts';
SELECT is(chatrel.may_view_posts(1), false, 'who is nobody may view nothing');
SET LOCAL ROLE tap_eve;
SELECT throws_ok('SELECT ' || format(call, 1), '42501', 'permission denied to act as user 1', 'as another: ' || call) FROM calls;
SELECT throws_ok('SELECT chatrel.me(as_user => -1)', '42501', NULL, 'as a user below 0');
SET LOCAL ROLE tap_app;
SELECT throws_ok('SELECT chatrel.me(as_user => 0)', 'P0002', 'user 0 does not exist', 'who may, finds no user 0');
SELECT throws_ok('SELECT chatrel.me(as_user => -1)', 'P0002', 'user -1 does not exist', 'nor below');
RESET ROLE;

---------------------------------------------------------------------------
-- with the parameter
---------------------------------------------------------------------------

SET SESSION AUTHORIZATION tap_eve;
SELECT throws_ok($$ DO 'BEGIN PERFORM set_config(''chatrel.user_id'', ''1'', true); EXCEPTION WHEN division_by_zero THEN END' $$,
	'42501', NULL, 'set_config in a subtransaction');
SELECT throws_ok($$ CREATE FUNCTION tap_eve.as_ann() RETURNS bigint LANGUAGE sql SET chatrel.user_id = 1 AS 'SELECT 1::bigint' $$, '42501', NULL, 'in the settings of a function');
SELECT throws_ok($$ ALTER ROLE tap_eve SET chatrel.user_id = 1 $$, '42501', NULL, 'in the settings of her role');
SELECT throws_ok($$ UPDATE pg_settings SET setting = 1 WHERE name = 'chatrel.user_id' $$, '42501', NULL, 'by the view pg_settings');
SELECT throws_ok(format('SET LOCAL %s = %s', name, value), CASE WHEN context = 'superuser' THEN '42501' ELSE '55P02' END, NULL, 'another parameter: ' || name)
	FROM (VALUES ('chatrel.max_name_length', 600), ('chatrel.max_message_length', 1000000), ('chatrel.relay', 0), ('chatrel.relay_idle_timeout', 100)) v (name, value)
	JOIN pg_settings USING (name);
RESET SESSION AUTHORIZATION;
-- the owner of the database is not the server's
SELECT current_database() AS db \gset
SELECT pg_catalog.pg_get_userbyid(datdba) AS dba FROM pg_database WHERE datname = current_database() \gset
ALTER DATABASE :"db" OWNER TO tap_eve;
SET SESSION AUTHORIZATION tap_eve;
SELECT throws_ok(format('ALTER DATABASE %I SET chatrel.user_id = 1', current_database()), '42501', NULL, 'in the settings of a database of hers');
RESET SESSION AUTHORIZATION;
ALTER DATABASE :"db" OWNER TO :"dba";
-- what an application has set is for whom it hands the session to
SET LOCAL chatrel.user_id = 1;
SET LOCAL ROLE tap_eve;
SELECT is(chatrel.current_user_id(), 1::bigint, 'a session that acts as ann does so when its role is eve: clear the parameter first');
SELECT throws_ok('RESET chatrel.user_id', '42501', NULL, 'she cannot change it');
RESET ALL;
SELECT is(chatrel.current_user_id(), 2::bigint, 'but be herself');
RESET ROLE;

---------------------------------------------------------------------------
-- with the role
---------------------------------------------------------------------------

SET SESSION AUTHORIZATION tap_eve;
SELECT throws_ok('SET ROLE tap_ann', '42501', NULL, 'SET ROLE');
SELECT throws_ok($$ SELECT set_config('role', 'tap_ann', true) $$, '42501', NULL, 'set_config of the role');
SELECT throws_ok('ALTER ROLE tap_nob RENAME TO tap_evelyn', '42501', NULL, 'another name for a role');
SELECT throws_ok('CREATE ROLE tap_other', '42501', NULL, 'another role');
SELECT throws_ok($$ UPDATE chatrel.users SET role_name = 'tap_eve' WHERE id = 1 $$, '42501', NULL, 'ann given her role');
CREATE FUNCTION tap_eve.definer() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN chatrel.current_user_id(); END $$;
CREATE FUNCTION tap_eve.definer_as(bigint) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN chatrel.me(as_user => $1) ->> 'username'; END $$;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION tap_nob;
SELECT is(tap_eve.definer(), NULL, 'a definer function lends its rights, not its user');
SELECT throws_ok('SELECT tap_eve.definer_as(2)', '42501', NULL, 'not even for its own user');
RESET SESSION AUTHORIZATION;
SET LOCAL ROLE tap_app;
SELECT throws_ok('SELECT tap_eve.definer_as(1)', '42501', NULL, 'nor does it take those of the application that calls it');
CREATE FUNCTION tap_app.my_name() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT chatrel.me(as_user => 1) ->> 'username' $$;
CREATE VIEW tap_app.names AS SELECT chatrel.me(as_user => 1) ->> 'username' AS name;
GRANT SELECT ON tap_app.names TO PUBLIC;
SET LOCAL ROLE tap_eve;
SELECT is(tap_app.my_name(), 'ann', 'a definer function of the application acts as whom the application says');
SELECT throws_ok('TABLE tap_app.names', '42501', 'permission denied to act as user 1', 'a view of the application does not');

-- a plan, and a cursor, that were made by another
RESET ROLE;
SET LOCAL ROLE tap_ann;
PREPARE secrets AS SELECT message FROM chatrel.groups_messages;
SELECT results_eq('EXECUTE secrets', ARRAY['secret'], 'ann reads hers with a prepared statement');
DECLARE secrets CURSOR FOR SELECT message FROM chatrel.groups_messages;
DECLARE names CURSOR FOR SELECT chatrel.me() ->> 'username';
SET LOCAL ROLE tap_eve;
SELECT is_empty('EXECUTE secrets', 'which gives eve nothing');
SELECT is_empty('FETCH ALL FROM secrets', 'nor does a cursor that ann has opened');
SELECT results_eq('FETCH ALL FROM names', ARRAY['eve'], 'whose functions act as who fetches');
CLOSE secrets;
RESET ROLE;
DEALLOCATE secrets;

-- a function said to be safe in a parallel worker
SET LOCAL ROLE tap_eve;
CREATE TABLE tap_eve.many AS SELECT i FROM generate_series(1, 1000) i;
ALTER TABLE tap_eve.many SET (parallel_workers = 2);
CREATE FUNCTION tap_eve.who() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN chatrel.current_user_id(); END $$;
CREATE FUNCTION tap_eve.hear() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN PERFORM chatrel.listen(); RETURN 1; END $$;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
SELECT results_eq('SELECT DISTINCT tap_eve.who() FROM tap_eve.many', ARRAY[2::bigint], 'a parallel worker acts as who has started it');
SELECT throws_ok('SELECT DISTINCT tap_eve.hear() FROM tap_eve.many', NULL, NULL, 'and hears nothing');
RESET ROLE;

---------------------------------------------------------------------------
-- with the arguments that an API passes on
---------------------------------------------------------------------------

-- A server that exposes functions as they are, such as PostGraphile and PostgREST, takes as_user from
-- its clients.  It logs in as a role that may set the parameter and nothing else, and takes for each
-- request a role that may use chatrel and not set the parameter.
CREATE ROLE tap_api NOINHERIT;
CREATE ROLE tap_client;
GRANT tap_client TO tap_api;
GRANT SET ON PARAMETER chatrel.user_id TO tap_api;
GRANT USAGE ON SCHEMA chatrel TO tap_client;

SET SESSION AUTHORIZATION tap_api;
SELECT throws_ok('SELECT chatrel.me(as_user => 1)', '42501', 'permission denied for schema chatrel', 'a request for which the server has taken no role gets nothing');
SELECT throws_ok('TABLE chatrel.users', '42501', 'permission denied for schema chatrel', 'of a table either');

-- as PostGraphile begins a request
SELECT set_config('chatrel.user_id', '2', true), set_config('role', 'tap_client', true);
SELECT is(chatrel.me() ->> 'username', 'eve', 'a request of eve''s acts as eve');
SELECT is(chatrel.me(as_user => 2) ->> 'username', 'eve', 'which it may say');
SELECT is((chatrel.send_group_message(2, 'mine', as_user => 2)).sender_id, 2::bigint, 'when it sends too');
SELECT throws_ok('SELECT ' || format(call, 1), '42501', 'permission denied to act as user 1', 'as another, by the role of a request: ' || call) FROM calls;
SELECT throws_ok('SELECT chatrel.me(as_user => 3)', '42501', 'permission denied to act as user 3', 'as nobody that there is');
SELECT results_eq('SELECT DISTINCT group_id FROM chatrel.groups_messages', ARRAY[2::bigint], 'tables show what is eve''s');
SELECT throws_ok('SET LOCAL chatrel.user_id = 1', '42501', NULL, 'a request cannot set the parameter');
SELECT throws_ok('RESET chatrel.user_id', '42501', NULL, 'or clear it');
RESET ROLE;
RESET chatrel.user_id;

SELECT set_config('role', 'tap_client', true);
SELECT throws_ok('SELECT ' || format(call, 1), '42501', 'permission denied to act as user 1', 'as another, where nobody is logged in: ' || call) FROM calls;
SELECT throws_ok($$ SELECT set_config('chatrel.user_id', '2', true) $$, '42501', NULL, 'the role of a request comes after the user, or there is an error');
RESET ROLE;

-- as PostgREST does: it has taken the role, and then calls a function of the application's
RESET SESSION AUTHORIZATION;
CREATE ROLE tap_identity;
GRANT SET ON PARAMETER chatrel.user_id TO tap_identity;
CREATE FUNCTION public.tap_request() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
	PERFORM set_config('chatrel.user_id', coalesce(current_setting('request.jwt.claims', true)::jsonb ->> 'chat_user_id', ''), true);
END $$;
ALTER FUNCTION public.tap_request() OWNER TO tap_identity;
SET SESSION AUTHORIZATION tap_api;
SELECT set_config('role', 'tap_client', true), set_config('request.jwt.claims', '{"chat_user_id": 2}', true);
SELECT public.tap_request();
SELECT is(chatrel.me() ->> 'username', 'eve', 'a request that a token says is eve''s acts as eve');
SELECT throws_ok(format($$ SELECT * FROM (SELECT '{"group_id": 1, "message": "forged", "as_user": %s}'::json AS body) p,
	LATERAL (SELECT * FROM json_to_record(p.body) AS _ (group_id bigint, message text, as_user bigint)) b,
	LATERAL chatrel.send_group_message(group_id := b.group_id, message := b.message, as_user := b.as_user) $$, id),
	'42501', 'permission denied to act as user ' || id, 'and not as ' || id) FROM unnest(ARRAY[0, 1, 3]) AS id;
SELECT throws_ok('SELECT ' || format(call, 1), '42501', 'permission denied to act as user 1', 'as another, with a token: ' || call) FROM calls;
RESET ROLE;
RESET chatrel.user_id;
SELECT set_config('role', 'tap_client', true), set_config('request.jwt.claims', '{"role": "tap_client"}', true);
SELECT public.tap_request();
SELECT throws_ok('SELECT chatrel.me()', '28000', 'current role has no chatrel user', 'a token that says nothing is nobody''s');
RESET SESSION AUTHORIZATION;

-- the other way is open: where the role of a request is the one that may set the parameter
SET LOCAL ROLE tap_app;
SET LOCAL chatrel.user_id = 2;
SELECT is(chatrel.me(as_user => 1) ->> 'username', 'ann', 'caveat: with one role for both, whoever writes the arguments is anybody');
RESET chatrel.user_id;
RESET ROLE;

---------------------------------------------------------------------------
-- with code that others run
---------------------------------------------------------------------------

-- in maintenance, as nobody (see test/sql/security.sql for indexes)
SET LOCAL ROLE tap_eve;
CREATE MATERIALIZED VIEW tap_eve.seen AS SELECT coalesce(chatrel.current_user_id()::text, 'nobody') AS who, (SELECT count(*) FROM chatrel.groups_messages) AS messages;
RESET ROLE;
SET LOCAL chatrel.user_id = 1;
REFRESH MATERIALIZED VIEW tap_eve.seen;
SELECT results_eq('TABLE tap_eve.seen', $$ VALUES ('nobody', 0::bigint) $$, 'a materialized view of hers is refreshed as nobody');

-- in a statement of theirs: whoever writes to a table of hers runs what is on it
CREATE TABLE tap_eve.did (what text, who bigint);
GRANT ALL ON tap_eve.did TO PUBLIC;
SET LOCAL ROLE tap_eve;
CREATE TABLE tap_eve.bait (a int DEFAULT 1);
CREATE FUNCTION tap_eve.act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap_eve.did VALUES ('trigger', chatrel.current_user_id()); RETURN NEW; END $$;
CREATE TRIGGER act BEFORE INSERT ON tap_eve.bait FOR EACH ROW EXECUTE FUNCTION tap_eve.act();
GRANT INSERT ON tap_eve.bait TO PUBLIC;
RESET ROLE;
SET LOCAL ROLE tap_app;
INSERT INTO tap_eve.bait DEFAULT VALUES;
RESET ROLE;
SELECT results_eq('TABLE tap_eve.did', $$ VALUES ('trigger', 1::bigint) $$, 'a trigger acts as whoever fires it: PostgreSQL''s own rule, see the caveats');
RESET chatrel.user_id;

-- as an operator, a cast or an aggregate
SET LOCAL ROLE tap_eve;
CREATE OPERATOR tap_eve.!<< (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = chatrel.leave_group);
CREATE AGGREGATE tap_eve.group_of(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0');
SELECT throws_ok('SELECT 1::bigint OPERATOR(tap_eve.!<<) 1::bigint', '42501', 'permission denied to act as user 1', 'a function as an operator checks the same');
SELECT throws_ok($$ CREATE CAST (bigint AS jsonb) WITH FUNCTION chatrel.get_group(bigint, integer, bigint) $$, NULL, NULL, 'not as a cast of types that are not hers');
SELECT throws_ok($$ CREATE FUNCTION tap_eve.f(bigint) RETURNS jsonb LANGUAGE c AS '$libdir/chatrel', 'chatrel_get_group' $$, '42501', NULL, 'not as a function of hers, which would run as her');
RESET ROLE;

SELECT is((SELECT count(*) FROM chatrel.groups_members WHERE group_id = 1), 1::bigint, 'nobody has come or gone');
SELECT is((SELECT string_agg(message, ', ' ORDER BY id) FROM chatrel.groups_messages), 'secret, mine', 'and nothing was sent but her own');

SELECT * FROM finish();
ROLLBACK;
