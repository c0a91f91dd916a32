-- The scenario of the group chat article, statement by statement: users log in,
-- create groups with and without joining them, join, send, are refused, read
-- the history, and get their login document.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SET LOCAL TimeZone = 'UTC';

SELECT plan(48);

-- the users exist already
SELECT is((chatrel.create_user('ann')).id, 1::bigint, 'ann is user 1');
SELECT is((chatrel.create_user('bob')).id, 2::bigint, 'bob is user 2');
SELECT is((chatrel.create_user('cyd')).id, 3::bigint, 'cyd is user 3');

---------------------------------------------------------------------------
-- nobody is logged in
---------------------------------------------------------------------------

SELECT throws_ok($$ SELECT chatrel.me() $$, '28000', 'current role has no chatrel user', 'without a login: no login document');
SELECT throws_ok($$ SELECT chatrel.create_group('nobody''s') $$, '28000', 'current role has no chatrel user', 'without a login: no group is created');
SELECT throws_ok($$ SELECT chatrel.join_group(1) $$, '28000', 'current role has no chatrel user', 'without a login: nothing is joined');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'hello') $$, '28000', 'current role has no chatrel user', 'without a login: nothing is sent');
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(1) $$, '28000', 'current role has no chatrel user', 'without a login: no history');

---------------------------------------------------------------------------
-- login, of somebody new
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 1;
SELECT is(chatrel.me(), '{"id": 1, "username": "ann", "friends": [], "groups": []}'::jsonb,
	'the login document of a new user: no friends, no groups');

---------------------------------------------------------------------------
-- create group
---------------------------------------------------------------------------

SELECT results_eq(
	$$ SELECT id, name, creator_id FROM chatrel.create_group('readers') $$,
	$$ VALUES (1::bigint, 'readers', 1::bigint) $$,
	'create group, without joining it');
SELECT is_empty($$ SELECT FROM chatrel.groups_members $$, 'the creator is no member then');
SELECT throws_ok($$ SELECT chatrel.get_group(1) $$, 'P0002', 'group 1 does not exist',
	'and the group looks to the creator as if it did not exist');

SELECT results_eq(
	$$ SELECT id, name, creator_id FROM chatrel.create_group('writers', join_this_group => true) $$,
	$$ VALUES (2::bigint, 'writers', 1::bigint) $$,
	'create group, joining it');
SELECT is(chatrel.get_group(2), '{"id": 2, "name": "writers", "members": [{"id": 1, "username": "ann"}]}'::jsonb,
	'the creator is a member now');
SELECT throws_ok($$ SELECT chatrel.create_group('writers', true) $$, '23505', 'group "writers" already exists',
	'a group of the same name is refused');
SELECT throws_ok(format('SELECT chatrel.create_group(%L)', repeat('x', 257)), '22001', 'name is too long',
	'a name of 257 characters is refused');
SELECT lives_ok(format('SELECT chatrel.create_group(%L)', repeat('ü', 256)), 'a name of 256 characters is not');

---------------------------------------------------------------------------
-- join group
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 2;
SELECT ok(chatrel.join_group(2), 'bob joins');
SELECT ok(NOT chatrel.join_group(2), 'bob joins again: nothing changes');
SELECT throws_ok($$ SELECT chatrel.join_group(99) $$, 'P0002', 'group 99 does not exist',
	'404: joining a group that does not exist');
SET LOCAL chatrel.user_id = 99;
SELECT throws_ok($$ SELECT chatrel.join_group(2) $$, 'P0002', 'user 99 does not exist',
	'404: joining as a user that does not exist');
SET LOCAL chatrel.user_id = 2;
SELECT is(chatrel.get_group(2),
	'{"id": 2, "name": "writers", "members": [{"id": 1, "username": "ann"}, {"id": 2, "username": "bob"}]}'::jsonb,
	'the group has two members, in the order of joining');

---------------------------------------------------------------------------
-- send group message
---------------------------------------------------------------------------

-- messages have their ids from the sequence of all that happens, in which the joins were before
SELECT last_value AS joins FROM chatrel.event_ids \gset
SELECT results_eq(
	$$ SELECT id, datetime, group_id, sender_id, message
		 FROM chatrel.send_group_message(group_id => 2, datetime => '2024-05-06 07:08:09+00', message => 'hello from bob') $$,
	format($$ VALUES (%s::bigint, '2024-05-06 07:08:09+00'::timestamptz, 2::bigint, 2::bigint, 'hello from bob') $$, :joins + 1),
	'bob sends, and gets the message back');
SELECT is((chatrel.send_group_message(2, 'and a second one')).datetime, now(), 'without a datetime it is now');

SET LOCAL chatrel.user_id = 1;
SELECT results_eq(
	$$ SELECT id, sender_id, message FROM chatrel.send_group_message(2, 'hello from ann', '2024-05-06 09:08:10.5+02') $$,
	format($$ VALUES (%s::bigint, 1::bigint, 'hello from ann') $$, :joins + 3),
	'ann sends');
SELECT throws_ok($$ SELECT chatrel.send_group_message(99, 'x') $$, 'P0002', 'group 99 does not exist',
	'404: sending to a group that does not exist');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'x') $$, '42501', 'user 1 is not a member of group 1',
	'403: the creator is no member, and may not send');
SET LOCAL chatrel.user_id = 3;
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, 'x') $$, '42501', 'user 3 is not a member of group 2',
	'403: who is not a member may not send');
SET LOCAL chatrel.user_id = 99;
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, 'x') $$, 'P0002', 'user 99 does not exist',
	'404: sending as a user that does not exist');
SET LOCAL chatrel.user_id = 1;
SELECT throws_ok(format('SELECT chatrel.send_group_message(2, %L)', repeat('ü', 513)), '22001', 'message is too long',
	'a message of 513 characters is refused');
SELECT is(length((chatrel.send_group_message(2, repeat('ü', 512))).message), 512, 'a message of 512 characters is not');
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, '') $$, '22023', 'message must not be empty',
	'an empty message is refused');
SELECT is((SELECT count(*) FROM chatrel.groups_messages), 4::bigint, 'only what was accepted is there');

---------------------------------------------------------------------------
-- group with chat history
---------------------------------------------------------------------------

DELETE FROM chatrel.groups_messages WHERE length(message) = 512;
UPDATE chatrel.groups_messages SET datetime = '2024-05-06 07:08:09.25+00' WHERE id = :joins + 2;

SELECT is(chatrel.get_group_with_chat_history(2) - 'cursor', format(
	'{"id": 2, "name": "writers",
	  "members": [{"id": 1, "username": "ann"}, {"id": 2, "username": "bob"}],
	  "messages": [
		{"id": %s, "datetime": "2024-05-06T07:08:09+00:00", "group_id": 2, "sender_id": 2, "message": "hello from bob"},
		{"id": %s, "datetime": "2024-05-06T07:08:09.25+00:00", "group_id": 2, "sender_id": 2, "message": "and a second one"},
		{"id": %s, "datetime": "2024-05-06T07:08:10.5+00:00", "group_id": 2, "sender_id": 1, "message": "hello from ann"}]}',
		:joins + 1, :joins + 2, :joins + 3)::jsonb,
	'the group with its history, oldest first');
SELECT is(chatrel.get_group_with_chat_history(2, as_user => 2) - 'cursor', chatrel.get_group_with_chat_history(2) - 'cursor',
	'bob reads the same');

-- one answer for both, so that nobody learns which groups there are
SET LOCAL chatrel.user_id = 3;
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(2) $$, 'P0002', 'group 2 does not exist',
	'404: the history of a group one is not in');
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(99) $$, 'P0002', 'group 99 does not exist',
	'404: the history of a group that does not exist');
SELECT throws_ok($$ SELECT * FROM chatrel.group_messages(2) $$, 'P0002', 'group 2 does not exist',
	'404: the same for a page of it');

---------------------------------------------------------------------------
-- a late member reads everything
---------------------------------------------------------------------------

SELECT ok(chatrel.join_group(2), 'cyd joins later');
SELECT is(jsonb_array_length(chatrel.get_group_with_chat_history(2) -> 'messages'), 3,
	'and reads what was written before');
SELECT ok(chatrel.join_group(1), 'and joins the other group, which is empty');
SELECT is(chatrel.get_group_with_chat_history(1) -> 'messages', '[]'::jsonb, 'whose history is an empty list');

---------------------------------------------------------------------------
-- login, of a member
---------------------------------------------------------------------------

SELECT is(chatrel.me(),
	'{"id": 3, "username": "cyd", "friends": [],
	  "groups": [
		{"id": 2, "name": "writers",
		 "members": [{"id": 1, "username": "ann"}, {"id": 2, "username": "bob"}, {"id": 3, "username": "cyd"}]},
		{"id": 1, "name": "readers", "members": [{"id": 3, "username": "cyd"}]}]}'::jsonb,
	'the login document, with the groups in the order of joining');
SET LOCAL chatrel.user_id = 99;
SELECT throws_ok($$ SELECT chatrel.me() $$, 'P0002', 'user 99 does not exist', 'no login document for who does not exist');

---------------------------------------------------------------------------
-- who has left is out
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 2;
SELECT ok(chatrel.leave_group(2), 'bob leaves');
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, 'x') $$, '42501', 'user 2 is not a member of group 2',
	'and may not send');
SELECT throws_ok($$ SELECT chatrel.get_group_with_chat_history(2) $$, 'P0002', 'group 2 does not exist',
	'and may not read');
SELECT results_eq(
	$$ SELECT message FROM chatrel.groups_messages WHERE sender_id = 2 ORDER BY id $$,
	ARRAY['hello from bob', 'and a second one'],
	'what bob wrote stays');

SELECT * FROM finish();
ROLLBACK;
