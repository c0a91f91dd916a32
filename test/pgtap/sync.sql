-- sync, as a user reads the contract.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SET LOCAL chatrel.user_id = 1;
SET LOCAL TimeZone = 'UTC';
SELECT (chatrel.create_group('one', true)).id, (chatrel.create_group('two', true)).id;
SELECT chatrel.join_group(1, as_user => 2);

-- A client: where it is, and what it has: the texts of messages, the kinds of other events.
CREATE TEMP TABLE client (cursor text, have text[] DEFAULT '{}');
INSERT INTO client DEFAULT VALUES;
CREATE FUNCTION pg_temp.catch_up(how_many int DEFAULT 100) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := chatrel.sync((SELECT cursor FROM client), event_limit => how_many);
	texts text[] := ARRAY(SELECT coalesce(e -> 'group_message' ->> 'message', k)
		FROM jsonb_array_elements(answer -> 'events') WITH ORDINALITY AS j (e, n), jsonb_object_keys(e) AS k ORDER BY n);
BEGIN
	UPDATE client SET cursor = answer ->> 'cursor', have = have || texts;
	RETURN texts;
END $$;

SELECT plan(29);

-- the function
SELECT has_function('chatrel', 'sync', ARRAY['text', 'bigint', 'integer', 'interval', 'bigint'], 'cursor, group_id, event_limit, wait, as_user');
SELECT function_returns('chatrel', 'sync', ARRAY['text', 'bigint', 'integer', 'interval', 'bigint'], 'jsonb', 'a document');
SELECT isnt_definer('chatrel', 'sync', ARRAY['text', 'bigint', 'integer', 'interval', 'bigint'], 'with the rights of the caller');
SELECT volatility_is('chatrel', 'sync', ARRAY['text', 'bigint', 'integer', 'interval', 'bigint'], 'volatile', 'it looks anew each time');
SELECT results_eq($$ SELECT k FROM jsonb_object_keys(chatrel.sync()) AS k ORDER BY k $$, ARRAY['cursor', 'events', 'more'], 'of three keys');

-- everything, then what is new
SELECT is(pg_temp.catch_up(), ARRAY['member_joined', 'added_to_group', 'member_joined', 'added_to_group', 'member_joined'], 'what has led here: who has joined, and that the user was added');
SELECT is(pg_temp.catch_up(), '{}', 'nothing has been sent');
SELECT (chatrel.send_group_message(1, 'a')).id AS a \gset
SELECT chatrel.send_group_message(2, 'b'), chatrel.send_group_message(1, 'c', as_user => 2);
SELECT is(pg_temp.catch_up(), ARRAY['a', 'b', 'c'], 'messages of all groups, by everybody, in the order of sending');
SELECT is(pg_temp.catch_up(), '{}', 'once');
SELECT chatrel.send_group_message(2, i::text) FROM generate_series(1, 5) AS i;
SELECT is(pg_temp.catch_up(2), ARRAY['1', '2'], 'page by page');
SELECT chatrel.send_group_message(1, 'd');
SELECT is(pg_temp.catch_up(2), ARRAY['3', '4'], 'where the last ended');
SELECT is(pg_temp.catch_up(2), ARRAY['5', 'd'], 'up to what was sent meanwhile');
SELECT is((SELECT have FROM client), ARRAY(SELECT text FROM (SELECT id, message FROM chatrel.groups_messages
	UNION ALL SELECT id, kind FROM chatrel.events WHERE recipient_id IS NULL OR recipient_id = 1) happened (id, text) ORDER BY id), 'that is all');

-- more
SELECT is(chatrel.sync(event_limit => 13) -> 'more', 'true', 'more: there is another');
SELECT is(chatrel.sync(event_limit => 14) -> 'more', 'false', 'there is not');

-- one group
SELECT is(jsonb_path_query_array(chatrel.sync(group_id => 1), '$.events[*].group_message.message'), '["a", "c", "d"]', 'messages of one group');
SELECT is(jsonb_path_query_array(chatrel.sync(group_id => 1), '$.events[*].member_joined.username'), '["ann", "bob"]', 'and its other events');
SELECT is(jsonb_path_query_array(chatrel.sync(group_id => 1), '$.events[*].added_to_group'), '[]', 'not those that are for the user');
SELECT is(jsonb_path_query_first(chatrel.sync(group_id => 1), '$.events[*].group_message'),
	jsonb_build_object('id', :a, 'datetime', now(), 'group_id', 1, 'sender_id', 1, 'message', 'a'), 'key for key');
SELECT is(jsonb_path_query_first(chatrel.sync(as_user => 2), '$.events[*].added_to_group'),
	jsonb_build_object('id', :a - 1, 'datetime', now(), 'group_id', 1, 'recipient_id', 2, 'actor_id', 2), 'whatever the event');

-- the history goes on with sync
SELECT is(jsonb_path_query_array(chatrel.sync(chatrel.get_group_with_chat_history(1) ->> 'cursor', 1), '$.events[*].group_message.message'), '[]', 'nothing after the history');
SELECT chatrel.get_group_with_chat_history(1) ->> 'cursor' AS cursor \gset
SELECT chatrel.send_group_message(1, 'e');
SELECT is(jsonb_path_query_array(chatrel.sync(:'cursor', 1), '$.events[*].group_message.message'), '["e"]', 'but what comes after it');

-- who may
SELECT is(chatrel.sync(as_user => 3) -> 'events', '[]', 'who is in no group gets nothing');
SELECT throws_ok($$ SELECT chatrel.sync(group_id => 1, as_user => 3) $$, 'P0002', 'group 1 does not exist', 'and does not see one');
SELECT throws_ok($$ SELECT chatrel.sync(as_user => 4) $$, 'P0002', 'user 4 does not exist', 'nobody gets an error');
SELECT throws_ok(format($$ SELECT chatrel.sync(%L, as_user => 2) $$, (SELECT cursor FROM client)), '22023', 'cursor belongs to another user or group', 'a cursor is its user''s');
SELECT throws_ok($$ SELECT chatrel.sync('1.2.3') $$, '22023', 'invalid cursor', 'and not made up');

-- wait
SELECT is(chatrel.sync('now', wait => '10 ms') -> 'events', '[]', 'nothing came');
SELECT throws_ok($$ SELECT chatrel.sync(wait => '-1 s') $$, '22023', 'wait must not be negative', 'nor can it come before');

SELECT * FROM finish();
ROLLBACK;
