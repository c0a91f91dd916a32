-- Messages, as a user reads the contract.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob']) AS name;
SET LOCAL chatrel.user_id = 1;
SET LOCAL TimeZone = 'UTC';
SELECT (chatrel.create_group('one', true)).id, (chatrel.create_group('two', true)).id;
TRUNCATE chatrel.events; ALTER SEQUENCE chatrel.event_ids RESTART;

SELECT plan(30);

-- send_group_message
SELECT results_eq($$ SELECT id, datetime, group_id, sender_id, message FROM chatrel.send_group_message(1, 'hello') $$,
	$$ VALUES (1::bigint, now(), 1::bigint, 1::bigint, 'hello') $$, 'a message is sent, now');
SELECT results_eq($$ SELECT datetime FROM chatrel.send_group_message(1, 'earlier', '2020-02-29 12:00+02') $$,
	ARRAY['2020-02-29 10:00+00'::timestamptz], 'or when the sender says');
SELECT results_eq($$ SELECT datetime FROM chatrel.send_group_message(1, 'late', '9999-12-31 23:59:59.999999+00') $$,
	ARRAY['9999-12-31 23:59:59.999999+00'::timestamptz], 'which may be any time of the calendar');
SELECT results_eq($$ SELECT message FROM chatrel.group_messages(1) $$, ARRAY['late', 'earlier', 'hello'],
	'the order is that of sending');
SELECT results_eq($$ SELECT id, datetime, group_id, sender_id, message FROM chatrel.group_messages(1, message_limit => 1) $$,
	$$ VALUES (3::bigint, timestamptz '9999-12-31 23:59:59.999999+00', 1::bigint, 1::bigint, 'late') $$, 'a message is read as it was sent');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'x', as_user => 2) $$, '42501', 'user 2 is not a member of group 1', 'members send');
SELECT throws_ok($$ SELECT chatrel.send_group_message(3, 'x') $$, 'P0002', 'group 3 does not exist', 'to groups that exist');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, '') $$, '22023', 'message must not be empty', 'something');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, NULL) $$, '22023', 'message must not be null', 'that is not null');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, repeat('👋', 513)) $$, '22001', 'message is too long', 'nor too long');
SELECT is(length((chatrel.send_group_message(1, repeat('👋', 512))).message), 512, 'in characters');
SET LOCAL chatrel.max_message_length = 3;
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'four') $$, '22001', 'message is too long', 'the limit can be changed');
RESET chatrel.max_message_length;

-- pages
DELETE FROM chatrel.groups_messages;
SELECT setval('chatrel.event_ids', 1, false);
SELECT count(*) FROM generate_series(1, 200) AS i, chatrel.send_group_message(1 + i % 2, i::text);
SELECT is((SELECT count(*) FROM chatrel.group_messages(1)), 50::bigint, 'a page has 50');
SELECT results_eq($$ SELECT id FROM chatrel.group_messages(1, message_limit => 3) $$, ARRAY[200::bigint, 198, 196], 'or as many as asked for, newest first');
SELECT results_eq($$ SELECT id FROM chatrel.group_messages(1, before_id => 196, message_limit => 3) $$, ARRAY[194::bigint, 192, 190], 'the next begins where it ended');
SELECT results_eq($$ SELECT id FROM chatrel.group_messages(1, 5, 3) $$, ARRAY[4::bigint, 2], 'the last is shorter');
SELECT is_empty($$ SELECT id FROM chatrel.group_messages(1, 2) $$, 'or empty');
SELECT is((SELECT count(*) FROM chatrel.group_messages(1, message_limit => 1000)), 100::bigint, 'all at once');
SELECT is((SELECT count(*) FROM chatrel.group_messages(1) WHERE group_id <> 1), 0::bigint, 'of that group only');
SELECT throws_ok($$ SELECT * FROM chatrel.group_messages(1, message_limit => 0) $$, '22023', 'message_limit must be at least 1, not 0', 'a page is not empty');
SELECT throws_ok($$ SELECT * FROM chatrel.group_messages(1, message_limit => -1) $$, '22023', NULL, 'or less');
SELECT throws_ok($$ SELECT * FROM chatrel.group_messages(1, as_user => 2) $$, 'P0002', 'group 1 does not exist', 'members read');

-- the document: the same pages, oldest first
SELECT is(jsonb_path_query_array(chatrel.get_group_with_chat_history(1, message_limit => 3), '$.messages[*].id'), '[196, 198, 200]', 'the last messages, oldest first');
SELECT is(jsonb_path_query_array(chatrel.get_group_with_chat_history(1, 196, 3), '$.messages[*].id'), '[190, 192, 194]', 'and those before');
SELECT is(jsonb_array_length(chatrel.get_group_with_chat_history(1) -> 'messages'), 50, '50 of them');
SELECT is(chatrel.get_group_with_chat_history(1, message_limit => 1) -> 'messages' -> 0,
	jsonb_build_object('id', 200, 'datetime', now(), 'group_id', 1, 'sender_id', 1, 'message', '200'), 'key for key');
SELECT is(chatrel.get_group_with_chat_history(1, 1) -> 'messages', '[]', 'none left');
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(1, as_user => 2) $$, 'P0002', 'group 1 does not exist', 'members read it');

-- who joins later reads all, who has left reads nothing
SELECT chatrel.join_group(1, as_user => 2);
SELECT is(chatrel.get_group_with_chat_history(1, as_user => 2) - 'cursor', chatrel.get_group_with_chat_history(1) - 'cursor', 'a new member reads what was before');
SELECT chatrel.leave_group(1, as_user => 2);
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(1, as_user => 2) $$, 'P0002', 'group 1 does not exist', 'who has left reads nothing');

SELECT * FROM finish();
ROLLBACK;
