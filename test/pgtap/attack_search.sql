-- Attempts to find out by searching what is said in others' groups.  eve is a database
-- user with a chatrel user of her own.  Ann talks about a "secret" in groups that are
-- not eve's.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE ROLE tap_eve;
CREATE ROLE tap_default;
-- what the superuser gives to everything that it makes
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO tap_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO tap_default;
CREATE EXTENSION chatrel_search CASCADE;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM tap_default;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM tap_default;

GRANT USAGE ON SCHEMA chatrel TO tap_eve, tap_default;
SELECT (chatrel.create_user('ann')).id, (chatrel.create_user('eve', 'tap_eve')).id;
SELECT count(chatrel.create_group('group ' || g, true, as_user => 1)) FROM generate_series(1, 40) g;
SELECT count(chatrel.join_group(g, as_user => 2)) FROM generate_series(39, 40) g;
-- in pages of the table that eve's messages are in too
SELECT count(chatrel.send_group_message(1 + n % 40, CASE WHEN n % 40 < 38 THEN 'the secret is number' || n ELSE 'hello number' || n END
	|| repeat(' and so on', n % 30), as_user => 1)) FROM generate_series(1, 4000) n;
ANALYZE chatrel.groups_messages;

-- How many pages a search touches, as who runs it may ask
CREATE FUNCTION pg_temp.pages(search text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM ' || search INTO plan;
	RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int;
END $$;
GRANT EXECUTE ON FUNCTION pg_temp.pages(text) TO tap_eve;

SELECT plan(38);

---------------------------------------------------------------------------
-- what is granted
---------------------------------------------------------------------------

SELECT is((SELECT string_agg(o, ', ') FROM (
		SELECT relname || ' ' || privilege_type FROM pg_class, aclexplode(relacl) WHERE relname = 'search_settings' AND grantee = 'tap_default'::regrole
		UNION ALL SELECT proname || ' ' || privilege_type FROM pg_proc, aclexplode(proacl) WHERE pronamespace = 'chatrel'::regnamespace AND grantee = 'tap_default'::regrole) g (o)),
	NULL, 'default privileges give nothing of chatrel_search');
SELECT is((SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel_search') WHERE NOT has_function_privilege('public', pg_proc.oid, 'EXECUTE')),
	'rebuild_search, set_search_language', 'who has USAGE may search, and not change the language');

SET LOCAL ROLE tap_eve;
SELECT throws_ok($$ SELECT chatrel.set_search_language('english') $$, '42501', NULL, 'not by calling');
SELECT throws_ok($$ INSERT INTO chatrel.search_settings (language) VALUES ('pg_catalog.english') $$, '42501', NULL, 'nor by the row');
SELECT throws_ok('TABLE chatrel.search_settings', '42501', NULL, 'which is private');
SELECT throws_ok($$ SELECT * FROM chatrel.search_messages('secret', as_user => 1) $$, '42501', NULL, 'nobody searches as somebody else');
SELECT throws_ok('REINDEX INDEX chatrel.groups_messages_search_idx', '42501', NULL, 'nor rebuilds the index');
RESET ROLE;

---------------------------------------------------------------------------
-- what a search returns
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
SELECT is_empty(format('SELECT FROM chatrel.search_messages(%L)', q), 'nothing of others'': ' || q) FROM unnest(ARRAY[
	'secret', '"the secret"', 'secret or number1', 'secret number1', 'secret -hello', '-hello secret', 'secret or is', 'SECRET', '''secret''', 'secret:*']) AS q;
SELECT is((SELECT count(*) FROM chatrel.search_messages('hello or secret', message_limit => 1000)), 200::bigint, 'her own alone where both have what is asked for');
SELECT is((SELECT count(*) FROM chatrel.search_messages('number -secret or hello', message_limit => 1000)), 200::bigint, 'in every way to ask');
SELECT is((SELECT min(group_id) FROM chatrel.search_messages('hello or secret or number or so', message_limit => 1000)), 39::bigint, 'of her own groups');
SELECT is_empty($$ SELECT FROM chatrel.search_messages('secret', before_id => 9000000000000000000) $$, 'wherever a page begins');

---------------------------------------------------------------------------
-- errors are the same, whether there is such a group, or such a word in it
---------------------------------------------------------------------------

SELECT throws_ok(format('SELECT * FROM chatrel.search_messages(%L, %s)', q, g), 'P0002', format('group %s does not exist', g),
	format('%s in group %s', q, g)) FROM unnest(ARRAY['secret', 'nobody said that', '']) q, unnest(ARRAY[1, 99]) g;

---------------------------------------------------------------------------
-- nor does what it takes tell anything
---------------------------------------------------------------------------

-- the plans are made, and what is looked up in the catalogues
SELECT count(pg_temp.pages(format('chatrel.search_messages(%L)', q))) FROM unnest(ARRAY['hello number39', 'hello or so', 'secret', 'warm or up']) q;
SELECT count(pg_temp.pages(format('chatrel.search_messages(%L, 39)', q))) FROM unnest(ARRAY['hello number39', 'hello or so', 'secret', 'warm or up']) q;
SELECT cmp_ok(pg_temp.pages($$ chatrel.search_messages('hello') $$), '>', pg_temp.pages($$ chatrel.search_messages('nobody') $$), 'pages tell of a word in her own groups');
SELECT is(pg_temp.pages($$ chatrel.search_messages('secret') $$), pg_temp.pages($$ chatrel.search_messages('nobody') $$),
	'a word that others have said takes as many pages as one that nobody has');
SELECT is(pg_temp.pages($$ chatrel.search_messages('secret', 39) $$), pg_temp.pages($$ chatrel.search_messages('nobody', 39) $$), 'in one group too');
SELECT is(pg_temp.pages($$ chatrel.search_messages('secret the is') $$), pg_temp.pages($$ chatrel.search_messages('nobody so0 so1') $$), 'and more of them');
SELECT is(pg_temp.pages($$ chatrel.search_messages('"the secret" -hello') $$), pg_temp.pages($$ chatrel.search_messages('"the nobody" -hello') $$), 'and a phrase');
SELECT is(pg_temp.pages($$ chatrel.search_messages('hello secret') $$), pg_temp.pages($$ chatrel.search_messages('hello nobody') $$), 'beside a word of her own groups');
SELECT is(pg_temp.pages($$ chatrel.search_messages('secret or is', 39) $$), pg_temp.pages($$ chatrel.search_messages('nobody or so0', 39) $$), 'and one or the other');

-- by the index itself, under row-level security
CREATE FUNCTION pg_temp.asks_index() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXPLAIN (COSTS OFF) SELECT FROM chatrel.groups_messages WHERE message IS NOT NULL
		AND chatrel.message_keys(group_id, message) && chatrel.query_keys(1, '{secret}')
	LOOP
		IF line LIKE '%Index Cond%message_keys%' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT is_empty($$ SELECT FROM chatrel.groups_messages WHERE chatrel.message_keys(group_id, message) && chatrel.query_keys(1, '{secret}') $$, 'the index gives her no rows');
SET LOCAL enable_seqscan = off;
SELECT ok(NOT pg_temp.asks_index(), 'nor is it asked before the policy');
RESET ROLE;
SELECT ok(pg_temp.asks_index(), 'as it is for who has none');
RESET enable_seqscan;

-- by statistics, which who may read all data would see; test/sql/search.sql sees that there are none
SELECT is((SELECT attstattarget::int FROM pg_attribute WHERE attrelid = 'chatrel.groups_messages_search_idx'::regclass), 0, 'ANALYZE keeps no words of the index');

SELECT * FROM finish();
ROLLBACK;
