-- Attempts to find out whom others have blocked or muted, what they have set and
-- what they are asked.  eve is a database user with a chatrel user of her own; mem
-- may use the schema and is nobody in it.  ann has blocked eve and bob; bob has
-- blocked nobody, and eve has asked dee, who is protected, and so has bob.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
CREATE ROLE tap_eve;
CREATE ROLE tap_mem;
GRANT USAGE ON SCHEMA chatrel TO tap_eve, tap_mem;
CREATE SCHEMA tap_eve AUTHORIZATION tap_eve;
INSERT INTO chatrel.users (id, username, role_name) VALUES (1, 'ann', NULL), (2, 'eve', 'tap_eve'), (3, 'bob', NULL), (4, 'cy', NULL), (5, 'dee', NULL), (6, 'flo', NULL);
SELECT chatrel.block(2, as_user => 1), chatrel.block(3, as_user => 1), chatrel.mute_user(2, as_user => 3), chatrel.mute_user(4, as_user => 3);
SELECT chatrel.set_protected(true, as_user => 5), chatrel.set_direct_messages('nobody', as_user => 4), chatrel.follow(5, as_user => 3), chatrel.follow(5, 'news', as_user => 2),
	chatrel.set_protected(true, as_user => 6), chatrel.follow(6, as_user => 3);
SELECT (chatrel.create_group('all', true, as_user => 2)).id AS room \gset
SELECT count(chatrel.join_group(:room, as_user => n)) FROM unnest(ARRAY[1, 2, 3, 4, 6]) n;

SELECT plan(110);

-- statistics and extended plans are what a table's owner may see
ANALYZE chatrel.blocks, chatrel.user_mutes, chatrel.follow_requests, chatrel.user_settings;

---------------------------------------------------------------------------
-- the tables
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
SELECT is_empty('SELECT * FROM chatrel.blocks', 'eve sees no block: she has made none');
SELECT is_empty('SELECT * FROM chatrel.user_mutes', 'and no mute');
SELECT results_eq('SELECT follower_id, followed_id FROM chatrel.follow_requests', 'VALUES (2::bigint, 5::bigint)', 'only the request that she has made');
SELECT is_empty('SELECT * FROM chatrel.user_settings', 'and no settings');
SELECT chatrel.block(4), chatrel.mute_user(1), chatrel.set_direct_messages('friends');
SELECT results_eq('SELECT blocker_id, blocked_id FROM chatrel.blocks', 'VALUES (2::bigint, 4::bigint)', 'her own block she sees');
SELECT results_eq('SELECT user_id, muted_id FROM chatrel.user_mutes', 'VALUES (2::bigint, 1::bigint)', 'and her own mute');
SELECT results_eq('SELECT user_id FROM chatrel.user_settings', 'VALUES (2::bigint)', 'and her own settings');

-- a function of hers, as cheap as can be, is not called with rows that she may not see
CREATE FUNCTION tap_eve.told(bigint, bigint) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
	$$BEGIN IF 2 NOT IN ($1, $2) THEN RAISE EXCEPTION 'told % %', $1, $2; END IF; RETURN true; END$$;
SELECT lives_ok('SELECT * FROM chatrel.blocks WHERE tap_eve.told(blocker_id, 2) AND tap_eve.told(2, blocked_id)', 'of blocks');
SELECT lives_ok('SELECT * FROM chatrel.user_mutes WHERE tap_eve.told(user_id, muted_id)', 'of mutes');
SELECT lives_ok('SELECT * FROM chatrel.follow_requests WHERE tap_eve.told(follower_id, followed_id)', 'of requests');
SELECT lives_ok('SELECT * FROM chatrel.user_settings WHERE tap_eve.told(user_id, user_id)', 'of settings');
-- nor does an error of an operator tell of one
SELECT lives_ok('SELECT * FROM chatrel.blocks WHERE 1 / (blocker_id - 1) > 5', 'no division by ann''s row');
SELECT lives_ok('SELECT * FROM chatrel.user_settings WHERE direct_messages::text::integer > 0 AND user_id = 4', 'no cast of cy''s');
SELECT is_empty($$SELECT * FROM pg_stats WHERE schemaname = 'chatrel' AND tablename IN ('blocks', 'user_mutes', 'follow_requests', 'user_settings')$$, 'no statistics');
SELECT throws_ok('SELECT last_value FROM chatrel.follow_requests_id_seq', '42501', NULL, 'not even how many have asked');

-- EXPLAIN ANALYZE, which tells how many rows were hidden, and the planner's estimates: the same for what
-- is there and for what is not
CREATE FUNCTION tap_eve.explained(query text, ids bigint[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, BUFFERS) ' || format(query, ids[1], ids[2]) LOOP
		lines := lines || regexp_replace(line, '''\d+''::bigint', 'N', 'g') || E'\n';
	END LOOP;
	RETURN lines;
END $$;
CREATE FUNCTION tap_eve.same(query text, there bigint[], not_there bigint[], setting text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('enable_seqscan', (setting <> 'by index')::text, true), set_config('enable_indexscan', (setting <> 'by bitmap')::text, true);
	-- once for the caches
	PERFORM tap_eve.explained(query, there), tap_eve.explained(query, not_there);
	RETURN is(tap_eve.explained(query, there), tap_eve.explained(query, not_there), query || ', ' || setting);
END $$;
SELECT tap_eve.same('SELECT * FROM chatrel.' || q, there, not_there, setting)
	FROM (VALUES ('blocks WHERE blocker_id = %L::bigint AND blocked_id = %L::bigint', '{1,3}'::bigint[], '{1,5}'::bigint[]),
		('blocks WHERE blocked_id = %L::bigint', '{3}', '{5}'),
		('blocks WHERE blocker_id = %L::bigint', '{1}', '{5}'),
		('user_mutes WHERE user_id = %L::bigint AND muted_id = %L::bigint', '{3,2}', '{3,5}'),
		('user_mutes WHERE muted_id = %L::bigint', '{2}', '{5}'),
		('follow_requests WHERE follower_id = %L::bigint AND followed_id = %L::bigint', '{3,5}', '{1,5}'),
		('follow_requests WHERE followed_id = %L::bigint', '{6}', '{1}'),
		('user_settings WHERE user_id = %L::bigint', '{5}', '{3}'),
		('user_settings WHERE user_id = %L::bigint AND protected', '{5}', '{4}')) t (q, there, not_there),
	unnest(ARRAY['as planned', 'by index', 'by bitmap']) setting;
SELECT set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'on', true);

-- nothing can be written, or locked
SELECT throws_ok(format(q, t), '42501', NULL, format(q, t)) FROM unnest(ARRAY['blocks', 'user_mutes', 'follow_requests', 'user_settings']) t,
	unnest(ARRAY['INSERT INTO chatrel.%s DEFAULT VALUES', 'DELETE FROM chatrel.%s', 'TRUNCATE chatrel.%s', 'LOCK chatrel.%s IN SHARE MODE', 'SELECT * FROM chatrel.%s FOR UPDATE']) q;
SELECT throws_ok('INSERT INTO chatrel.blocks (blocker_id, blocked_id) VALUES (1, 2) ON CONFLICT DO NOTHING', '42501', NULL, 'no probe by a key that is taken');
SELECT throws_ok('CREATE TABLE tap_eve.probe (a bigint, b bigint, FOREIGN KEY (a, b) REFERENCES chatrel.blocks)', '42501', NULL, 'nor by a foreign key');

---------------------------------------------------------------------------
-- the functions
---------------------------------------------------------------------------

-- as somebody else
SELECT throws_ok(format('SELECT * FROM chatrel.%s', call), '42501', 'permission denied to act as user 1', call || ' as ann')
	FROM unnest(ARRAY['block(4, 1)', 'unblock(2, 1)', 'blocked(as_user => 1)', 'mute_user(4, as_user => 1)', 'unmute_user(4, 1)', 'muted_users(as_user => 1)',
		'set_protected(true, 1)', 'set_direct_messages(''nobody'', 1)', 'user_settings(1)', 'follow_requests(as_user => 1)', 'accept_follow(2, 1)', 'reject_follow(2, 1)',
		'remove_follower(2, 1)', 'may_view_posts(2, 1)']) call;
-- what is administrative
SELECT throws_ok(format('SELECT * FROM chatrel.%s', call), '42501', NULL, call)
	FROM unnest(ARRAY['find_user(''ann'')', 'rename_user(2, ''ann2'')', 'export_user(2)', 'export_user(1)', 'erase_user(1)']) call;

-- ann, who has blocked eve, and cy, whom eve has blocked, look the same from here
CREATE FUNCTION tap_eve.answer(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; state text; message text; detail text; hint text; tbl text; con text; col text; ctx text;
BEGIN
	EXECUTE 'SELECT (' || call || ')::text' INTO answer;
	RETURN coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		tbl = TABLE_NAME, con = CONSTRAINT_NAME, col = COLUMN_NAME, ctx = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws('|', state, message, detail, hint, tbl, con, col, split_part(ctx, 'SQL statement', 1));
END $$;
SELECT is(replace(tap_eve.answer('chatrel.follow(1)'), 'user 1', 'user N'), replace(tap_eve.answer('chatrel.follow(4)'), 'user 4', 'user N'),
	'the error of a follow does not say whose the block is');
SELECT is(tap_eve.answer('chatrel.follow(1)'), '42501|user 2 may not follow user 1|||blocks|||', 'this is all that it says');
SELECT is(replace(tap_eve.answer('chatrel.follow_many(''{5,1}'')'), 'user 1', 'user N'), replace(tap_eve.answer('chatrel.follow_many(''{5,4}'')'), 'user 4', 'user N'),
	'nor that of many');
-- bob has muted eve, and cy has set who may write: neither shows
SELECT is(tap_eve.answer(format('chatrel.%s', replace(call, 'N', '3'))), tap_eve.answer(format('chatrel.%s', replace(call, 'N', '5'))), replace(call, 'N', 'who has muted') || ' or not')
	FROM unnest(ARRAY['unblock(N)', 'unmute_user(N)', 'accept_follow(N)', 'reject_follow(N)', 'remove_follower(N)', 'may_view_posts(N)', 'is_following(N)']) call;
SELECT results_eq('SELECT user_id, blocked, muted FROM chatrel.relationship_to(''{1,3,4,5}'')',
	'VALUES (1::bigint, false, true), (3, false, false), (4, true, false), (5, false, false)', 'a list says what is her own');
SELECT is_empty('SELECT * FROM chatrel.follow_requests()', 'what others are asked is not hers');
SELECT is(chatrel.user_settings() ->> 'direct_messages', 'friends', 'settings are her own');

-- who is mentioned by one whom it has blocked or muted looks mentioned to the sender
SELECT is((chatrel.send_group_message(:room, 'you', mentions => '{1,3,6}')).mentions, '{1,3,6}', 'the sender of a mention does not see whom it reaches');
SELECT is_empty($$SELECT * FROM chatrel.events WHERE kind = 'mentioned'$$, 'nor in the events');
SELECT is((SELECT count(*) FROM chatrel.events WHERE recipient_id = 2 AND kind NOT IN ('added_to_group', 'user_changed')), 0::bigint,
	'of her being blocked or muted she has heard nothing');
RESET ROLE;
SELECT results_eq($$SELECT recipient_id FROM chatrel.events WHERE kind = 'mentioned'$$, ARRAY[6::bigint], 'though it has reached flo alone');

---------------------------------------------------------------------------
-- nobody
---------------------------------------------------------------------------

SET LOCAL ROLE tap_mem;
SELECT is_empty('SELECT * FROM chatrel.' || t, 'nobody sees nothing of ' || t) FROM unnest(ARRAY['blocks', 'user_mutes', 'follow_requests', 'user_settings']) t;
SELECT throws_ok('SELECT * FROM chatrel.' || call, '28000', NULL, call || ' by nobody')
	FROM unnest(ARRAY['blocked()', 'muted_users()', 'follow_requests()', 'user_settings()', 'block(2)']) call;
SELECT ok(NOT chatrel.may_view_posts(1), 'and no posts');

SELECT * FROM finish();
ROLLBACK;
