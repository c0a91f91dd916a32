-- What roles may do, as the contract says: nothing without USAGE on the schema;
-- with it, read what their user may see and call what is not administrative.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
CREATE ROLE tap_ann;
CREATE ROLE tap_eve;
CREATE ROLE tap_out;
CREATE ROLE tap_gateway;
GRANT USAGE ON SCHEMA chatrel TO tap_ann, tap_eve, tap_gateway;
GRANT EXECUTE ON FUNCTION chatrel.listen_all() TO tap_gateway;
SELECT (chatrel.create_user('ann', 'tap_ann')).id, (chatrel.create_user('eve', 'tap_eve')).id;
SELECT (chatrel.create_group('private', true, as_user => 1)).id, (chatrel.create_group('open', true, as_user => 2)).id;
SELECT (chatrel.send_group_message(1, 'secret', as_user => 1)).id, (chatrel.send_group_message(2, 'hello', as_user => 2)).id;

SELECT plan(63);

-- without USAGE: nothing
SET LOCAL ROLE tap_out;
SELECT throws_ok(statement, '42501', 'permission denied for schema chatrel', 'without USAGE: ' || statement)
	FROM unnest(ARRAY['SELECT chatrel.current_user_id()', 'SELECT chatrel.me()', 'SELECT chatrel.create_group(''x'')',
		'SELECT * FROM chatrel.users', 'SELECT * FROM chatrel.groups_messages', 'SELECT * FROM chatrel.groups_channels']) AS statement;

-- reading: one's own groups
SET LOCAL ROLE tap_eve;
SELECT results_eq($$ SELECT name FROM chatrel.groups $$, ARRAY['open'], 'groups of one''s own');
SELECT results_eq($$ SELECT group_id, user_id FROM chatrel.groups_members $$, $$ VALUES (2::bigint, 2::bigint) $$, 'members of those');
SELECT results_eq($$ SELECT message FROM chatrel.groups_messages $$, ARRAY['hello'], 'messages of those');
SELECT is_empty($$ SELECT FROM chatrel.groups_messages WHERE group_id = 1 $$, 'not those of another');
SELECT results_eq($$ SELECT username FROM chatrel.users ORDER BY id $$, ARRAY['ann', 'eve'], 'and all users');
SELECT throws_ok('SELECT * FROM chatrel.' || name, '42501', 'permission denied for table ' || name, 'not ' || name)
	FROM unnest(ARRAY['groups_channels', 'users_channels', 'all_channel']) AS name;
SELECT throws_ok(statement, 'P0002', 'group 1 does not exist', 'not by a function: ' || statement)
	FROM unnest(ARRAY['SELECT chatrel.get_group(1)', 'SELECT * FROM chatrel.group_messages(1)',
		'SELECT chatrel.get_group_with_chat_history(1)', 'SELECT chatrel.listen_group(1)']) AS statement;
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'x') $$, '42501', 'user 2 is not a member of group 1', 'nor send to it');

-- being somebody else
SELECT throws_ok(statement, '42501', 'permission denied to act as user 1', 'not as another: ' || statement)
	FROM unnest(ARRAY['SELECT chatrel.me(as_user => 1)', 'SELECT chatrel.create_group(''x'', as_user => 1)',
		'SELECT chatrel.join_group(2, as_user => 1)', 'SELECT chatrel.leave_group(1, as_user => 1)',
		'SELECT chatrel.get_group(1, as_user => 1)', 'SELECT * FROM chatrel.my_groups(as_user => 1)',
		'SELECT chatrel.send_group_message(1, ''x'', as_user => 1)', 'SELECT * FROM chatrel.group_messages(1, as_user => 1)',
		'SELECT chatrel.get_group_with_chat_history(1, as_user => 1)', 'SELECT * FROM chatrel.listen(as_user => 1)',
		'SELECT chatrel.listen_group(1, as_user => 1)']) AS statement;
SELECT throws_ok($$ SET LOCAL chatrel.user_id = 1 $$, '42501', NULL, 'nor by the parameter');
SELECT throws_ok($$ SET LOCAL chatrel.max_message_length = 1000 $$, '42501', NULL, 'limits are not to be changed either');

-- writing: by functions only
SELECT throws_ok(statement, '42501', NULL, 'not by hand: ' || statement)
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'groups_channels', 'users_channels', 'all_channel']) AS name,
		LATERAL unnest(ARRAY['DELETE FROM chatrel.' || name, 'INSERT INTO chatrel.' || name || ' DEFAULT VALUES', 'TRUNCATE chatrel.' || name || ' CASCADE']) AS statement;

-- administration: granted by name
SELECT throws_ok(statement, '42501', NULL, 'administrative: ' || statement)
	FROM unnest(ARRAY['SELECT chatrel.create_user(''x'')', 'SELECT chatrel.delete_user(1)',
		'SELECT chatrel.link_users(''pg_class'')', 'SELECT chatrel.listen_all()', 'SELECT chatrel.mirror_user()', 'SELECT chatrel.make_channel()']) AS statement;
SET LOCAL ROLE tap_gateway;
SELECT ok(chatrel.listen_all() LIKE 'chatrel\_%', 'a gateway was granted listen_all');
SELECT is_empty($$ SELECT FROM chatrel.groups_messages $$, 'which does not let it read');
RESET ROLE;

-- nothing has happened
SELECT results_eq($$ SELECT message FROM chatrel.groups_messages ORDER BY id $$, ARRAY['secret', 'hello'], 'the messages are what they were');
SELECT is((SELECT count(*) FROM chatrel.groups), 2::bigint, 'and so are the groups');

SELECT * FROM finish();
ROLLBACK;
