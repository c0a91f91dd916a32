-- The scenario of the group chat article, statement by statement: users log in,
-- create groups with and without joining them, join, send, are refused, read
-- the history, and get their login document.

\ir scenario.psql
SET TimeZone = 'UTC';

SELECT plan(46);

-- the users exist already, and an id is nobody's
SELECT (chatrel.create_user('ann')).id AS ann, (chatrel.create_user('bob')).id AS bob, (chatrel.create_user('cyd')).id AS cyd \gset
SELECT :cyd + 1 AS nobody \gset

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

SET chatrel.user_id = :ann;
SELECT is(chatrel.me(), format('{"id": %s, "username": "ann", "friends": [], "groups": []}', :ann)::jsonb,
	'the login document of a new user: no friends, no groups');

---------------------------------------------------------------------------
-- create group
---------------------------------------------------------------------------

SELECT * FROM chatrel.create_group('readers') \gset readers_
SELECT is(ARRAY[:'readers_name', :'readers_creator_id'], ARRAY['readers', :'ann'], 'create group, without joining it');
SELECT is_empty($$ SELECT FROM chatrel.my_groups() $$, 'the creator is no member then');
SELECT throws_ok(format('SELECT chatrel.get_group(%s)', :readers_id), 'P0002', format('group %s does not exist', :readers_id),
	'and the group looks to the creator as if it did not exist');

SELECT * FROM chatrel.create_group('writers', join_this_group => true) \gset writers_
SELECT is(ARRAY[:'writers_name', :'writers_creator_id'], ARRAY['writers', :'ann'], 'create group, joining it');
SELECT is(chatrel.get_group(:writers_id), format('{"id": %s, "name": "writers", "members": [{"id": %s, "username": "ann"}]}', :writers_id, :ann)::jsonb,
	'the creator is a member now');
SELECT throws_ok($$ SELECT chatrel.create_group('writers', true) $$, '23505', 'group "writers" already exists',
	'a group of the same name is refused');
SELECT throws_ok(format('SELECT chatrel.create_group(%L)', repeat('x', 257)), '22001', 'name is too long',
	'a name of 257 characters is refused');
SELECT * FROM chatrel.create_group(repeat('ü', 256), true) \gset long_
SELECT is(:'long_name', repeat('ü', 256), 'a name of 256 characters is not');

-- an id of a group that there is not, where this one is
SELECT :long_id + 1000 AS nowhere \gset

---------------------------------------------------------------------------
-- join group
---------------------------------------------------------------------------

SET chatrel.user_id = :bob;
SELECT ok(chatrel.join_group(:writers_id), 'bob joins');
SELECT ok(NOT chatrel.join_group(:writers_id), 'bob joins again: nothing changes');
SELECT throws_ok(format('SELECT chatrel.join_group(%s)', :nowhere), 'P0002', format('group %s does not exist', :nowhere),
	'404: joining a group that does not exist');
SET chatrel.user_id = :nobody;
SELECT throws_ok(format('SELECT chatrel.join_group(%s)', :writers_id), 'P0002', format('user %s does not exist', :nobody),
	'404: joining as a user that does not exist');
SET chatrel.user_id = :bob;
SELECT is(chatrel.get_group(:writers_id),
	format('{"id": %s, "name": "writers", "members": [{"id": %s, "username": "ann"}, {"id": %s, "username": "bob"}]}', :writers_id, :ann, :bob)::jsonb,
	'the group has two members, in the order of joining');

---------------------------------------------------------------------------
-- send group message
---------------------------------------------------------------------------

SELECT * FROM chatrel.send_group_message(group_id => :writers_id, datetime => '2024-05-06 07:08:09+00', message => 'hello from bob') \gset hello_
SELECT is(ARRAY[:'hello_datetime', :'hello_group_id', :'hello_sender_id', :'hello_message'],
	ARRAY['2024-05-06 07:08:09+00', :'writers_id', :'bob', 'hello from bob'], 'bob sends, and gets the message back');
SELECT clock_timestamp() AS before \gset
SELECT * FROM chatrel.send_group_message(:writers_id, 'and a second one') \gset second_
SELECT ok(:'second_datetime'::timestamptz BETWEEN :'before' AND clock_timestamp(), 'without a datetime it is now');
SELECT ok(:second_id > :hello_id, 'what is sent later has a higher id');

SET chatrel.user_id = :ann;
SELECT * FROM chatrel.send_group_message(:writers_id, 'hello from ann', '2024-05-06 09:08:10.5+02') \gset third_
SELECT is(ARRAY[:'third_sender_id', :'third_message'], ARRAY[:'ann', 'hello from ann'], 'ann sends');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''x'')', :nowhere), 'P0002', format('group %s does not exist', :nowhere),
	'404: sending to a group that does not exist');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''x'')', :readers_id), '42501', format('user %s is not a member of group %s', :ann, :readers_id),
	'403: the creator is no member, and may not send');
SET chatrel.user_id = :cyd;
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''x'')', :writers_id), '42501', format('user %s is not a member of group %s', :cyd, :writers_id),
	'403: who is not a member may not send');
SET chatrel.user_id = :nobody;
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''x'')', :writers_id), 'P0002', format('user %s does not exist', :nobody),
	'404: sending as a user that does not exist');
SET chatrel.user_id = :ann;
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, %L)', :writers_id, repeat('ü', 513)), '22001', 'message is too long',
	'a message of 513 characters is refused');
SELECT is(length((chatrel.send_group_message(:long_id, repeat('ü', 512))).message), 512, 'a message of 512 characters is not');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, '''')', :writers_id), '22023', 'message must not be empty',
	'an empty message is refused');
SELECT results_eq(format('SELECT count(*) FROM unnest(ARRAY[%s, %s]::bigint[]) g, chatrel.group_messages(g) GROUP BY g ORDER BY 1', :writers_id, :long_id),
	ARRAY[1, 3]::bigint[], 'only what was accepted is there');

---------------------------------------------------------------------------
-- group with chat history
---------------------------------------------------------------------------

SELECT is(chatrel.get_group_with_chat_history(:writers_id) - 'cursor', format(
	'{"id": %1$s, "name": "writers",
	  "members": [{"id": %2$s, "username": "ann"}, {"id": %3$s, "username": "bob"}],
	  "messages": [
		{"id": %4$s, "datetime": "2024-05-06T07:08:09+00:00", "group_id": %1$s, "sender_id": %3$s, "message": "hello from bob"},
		{"id": %5$s, "datetime": %7$s, "group_id": %1$s, "sender_id": %3$s, "message": "and a second one"},
		{"id": %6$s, "datetime": "2024-05-06T07:08:10.5+00:00", "group_id": %1$s, "sender_id": %2$s, "message": "hello from ann"}]}',
		:writers_id, :ann, :bob, :hello_id, :second_id, :third_id, to_json(:'second_datetime'::timestamptz))::jsonb,
	'the group with its history, oldest first');
SELECT is(chatrel.get_group_with_chat_history(:writers_id, as_user => :bob) - 'cursor', chatrel.get_group_with_chat_history(:writers_id) - 'cursor',
	'bob reads the same');

-- one answer for both, so that nobody learns which groups there are
SET chatrel.user_id = :cyd;
SELECT throws_ok(format('SELECT chatrel.get_group_with_chat_history(%s)', :writers_id), 'P0002', format('group %s does not exist', :writers_id),
	'404: the history of a group one is not in');
SELECT throws_ok(format('SELECT chatrel.get_group_with_chat_history(%s)', :nowhere), 'P0002', format('group %s does not exist', :nowhere),
	'404: the history of a group that does not exist');
SELECT throws_ok(format('SELECT * FROM chatrel.group_messages(%s)', :writers_id), 'P0002', format('group %s does not exist', :writers_id),
	'404: the same for a page of it');

---------------------------------------------------------------------------
-- a late member reads everything
---------------------------------------------------------------------------

SELECT ok(chatrel.join_group(:writers_id), 'cyd joins later');
SELECT is(jsonb_array_length(chatrel.get_group_with_chat_history(:writers_id) -> 'messages'), 3,
	'and reads what was written before');
SELECT ok(chatrel.join_group(:readers_id), 'and joins the other group, which is empty');
SELECT is(chatrel.get_group_with_chat_history(:readers_id) -> 'messages', '[]'::jsonb, 'whose history is an empty list');

---------------------------------------------------------------------------
-- login, of a member
---------------------------------------------------------------------------

-- the groups of one database are in the order of joining (groups.sql), those of several are not
SELECT is((SELECT me - 'groups' || jsonb_build_object('groups', jsonb_agg(g ORDER BY g ->> 'name' DESC))
		FROM chatrel.me() me, jsonb_array_elements(me -> 'groups') g GROUP BY me),
	format('{"id": %3$s, "username": "cyd", "friends": [],
	  "groups": [
		{"id": %4$s, "name": "writers",
		 "members": [{"id": %1$s, "username": "ann"}, {"id": %2$s, "username": "bob"}, {"id": %3$s, "username": "cyd"}]},
		{"id": %5$s, "name": "readers", "members": [{"id": %3$s, "username": "cyd"}]}]}', :ann, :bob, :cyd, :writers_id, :readers_id)::jsonb,
	'the login document, with the groups');
SET chatrel.user_id = :nobody;
SELECT throws_ok($$ SELECT chatrel.me() $$, 'P0002', format('user %s does not exist', :nobody), 'no login document for who does not exist');

---------------------------------------------------------------------------
-- who has left is out
---------------------------------------------------------------------------

SET chatrel.user_id = :bob;
SELECT ok(chatrel.leave_group(:writers_id), 'bob leaves');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''x'')', :writers_id), '42501', format('user %s is not a member of group %s', :bob, :writers_id),
	'and may not send');
SELECT throws_ok(format('SELECT chatrel.get_group_with_chat_history(%s)', :writers_id), 'P0002', format('group %s does not exist', :writers_id),
	'and may not read');
SELECT results_eq(
	format('SELECT message FROM chatrel.group_messages(%s, as_user => %s) WHERE sender_id = %s ORDER BY id', :writers_id, :ann, :bob),
	ARRAY['hello from bob', 'and a second one'],
	'what bob wrote stays');

SELECT * FROM finish();
