-- Who is calling, as a user reads the contract: as_user, then chatrel.user_id, then
-- the user of the current role, then nobody.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
CREATE ROLE tap_backend;
CREATE ROLE tap_ann;
GRANT USAGE ON SCHEMA chatrel TO tap_backend, tap_ann;
GRANT SET ON PARAMETER chatrel.user_id TO tap_backend;

SELECT plan(36);

-- users
SELECT results_eq($$ SELECT id, username, role_name::text COLLATE "default", created_at, deleted_at FROM chatrel.create_user('ann', 'tap_ann') $$,
	$$ VALUES (1::bigint, 'ann', 'tap_ann', now(), NULL::timestamptz) $$, 'create_user returns the user');
SELECT results_eq($$ SELECT id, username, role_name::text COLLATE "default" FROM chatrel.create_user('bob') $$,
	$$ VALUES (2::bigint, 'bob', NULL) $$, 'which need not have a role');
SELECT throws_ok($$ SELECT chatrel.create_user('bob') $$, '23505', 'user "bob" already exists', 'a name is taken once');
SELECT throws_ok($$ SELECT chatrel.create_user('x', 'tap_ann') $$, '23505', NULL, 'and so is a role');
SELECT throws_ok($$ SELECT chatrel.create_user('x', 'tap_nobody') $$, '42704', NULL, 'which must exist');

-- nobody
SELECT is(chatrel.current_user_id(), NULL, 'nobody to begin with');
SELECT throws_ok($$ SELECT chatrel.me() $$, '28000', 'current role has no chatrel user', 'which is an error where somebody is needed');

-- the parameter
SET LOCAL chatrel.user_id = 2;
SELECT is(chatrel.current_user_id(), 2::bigint, 'the parameter says who');
SELECT is(chatrel.me() ->> 'username', 'bob', 'and functions act as it');
SELECT lives_ok($$ SELECT set_config('chatrel.user_id', '9223372036854775807', true) $$, 'it has 64 bits');
SELECT is(chatrel.current_user_id(), 9223372036854775807, 'all of them');
SELECT throws_ok(format('SET LOCAL chatrel.user_id = %L', value), '22023', NULL, format('%L is no id', value))
	FROM unnest(ARRAY['0', '-1', 'ann', '1.5', '9223372036854775808', ' ']) AS value;
SELECT is(chatrel.current_user_id(), 9223372036854775807, 'what is refused changes nothing');
SET LOCAL chatrel.user_id = '';
SELECT is(chatrel.current_user_id(), NULL, 'empty is nobody');

-- the role
SET LOCAL ROLE tap_ann;
SELECT is(chatrel.current_user_id(), 1::bigint, 'the role says who');
SELECT is(chatrel.me() ->> 'username', 'ann', 'and functions act as it');
SELECT is(chatrel.me(as_user => 1) ->> 'username', 'ann', 'its own id it may pass');
SELECT throws_ok($$ SELECT chatrel.me(as_user => 2) $$, '42501', 'permission denied to act as user 2', 'another one it may not');
SELECT throws_ok($$ SET LOCAL chatrel.user_id = 2 $$, '42501', NULL, 'nor set the parameter');
SELECT throws_ok($$ SELECT set_config('chatrel.user_id', '2', true) $$, '42501', NULL, 'in any way');
SELECT is(chatrel.current_user_id(), 1::bigint, 'it is who it was');

-- the backend, one statement or one transaction at a time
SET LOCAL ROLE tap_backend;
SELECT is(chatrel.current_user_id(), NULL, 'a backend is nobody');
SELECT is(chatrel.me(as_user => 1) ->> 'username', 'ann', 'it may act as one user');
SELECT is(chatrel.me(as_user => 2) ->> 'username', 'bob', 'and as another');
SET LOCAL chatrel.user_id = 1;
SELECT is(chatrel.me() ->> 'username', 'ann', 'or say who for the transaction');
SELECT is(chatrel.me(as_user => 2) ->> 'username', 'bob', 'which as_user goes before');
RESET ROLE;
SET LOCAL chatrel.user_id = '';

-- delete_user
SELECT (chatrel.create_group('g', true, as_user => 2)).id;
SELECT (chatrel.send_group_message(1, 'hello', as_user => 2)).id;
SELECT lives_ok($$ SELECT chatrel.delete_user(2) $$, 'a user is deleted');
SELECT is_empty($$ SELECT FROM chatrel.groups_members WHERE user_id = 2 $$, 'and in no group');
SELECT isnt_empty($$ SELECT FROM chatrel.groups_messages WHERE sender_id = 2 $$, 'its messages stay');
SELECT throws_ok($$ SELECT chatrel.me(as_user => 2) $$, 'P0002', 'user 2 does not exist', 'it acts no more');
SELECT throws_ok($$ SELECT chatrel.delete_user(2) $$, 'P0002', 'user 2 does not exist', 'nor is deleted again');

SELECT * FROM finish();
ROLLBACK;
