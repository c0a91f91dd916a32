-- The scenario of a support desk: the staff has a group of its own, and customers talk to them in
-- direct conversations (doc/groups.md). Customers cannot write to each other.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(33);
-- sue 1 and tom 2 are the staff, ann 3 and bob 4 customers
SELECT count(*) FROM unnest(ARRAY['sue', 'tom', 'ann', 'bob']) n, chatrel.create_user(n);

---------------------------------------------------------------------------
-- the desk
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 1;
SELECT is((chatrel.create_group('staff', visibility => 'private')).id, 1::bigint, 'the staff has a room');
SELECT is(chatrel.invite(1, '{2}'), 1::bigint, 'sue invites tom');
SELECT ok(chatrel.join_group(1, 2), 'who comes');
-- the application sets for each customer whom it hears: those whom it follows, which is the staff
SELECT ok(chatrel.set_direct_messages('followed', u), 'customer ' || u || ' hears those it follows') FROM unnest(ARRAY[3, 4]) u;
SELECT is(chatrel.follow_many('{1,2}', as_user => u), 2::bigint, 'customer ' || u || ' follows the staff') FROM unnest(ARRAY[3, 4]) u;

---------------------------------------------------------------------------
-- a customer asks
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 3;
SELECT is(chatrel.direct_group('{1}'), '{"id": 2, "name": null, "visibility": "direct", "members": [{"id": 1, "username": "sue"}, {"id": 3, "username": "ann"}]}'::jsonb, 'ann begins a conversation with sue');
SELECT is(chatrel.direct_group('{1}') ->> 'id', '2', 'she may ask for it as often as she likes');
SELECT is(chatrel.direct_group('{3}', 1) ->> 'id', '2', 'sue finds the same');
SELECT is((chatrel.send_group_message(2, 'it does not work')).message, 'it does not work', 'ann writes');
SELECT ok(jsonb_path_exists(chatrel.sync(as_user => 1), '$.events[*].added_to_group ? (@.group_id == 2)'), 'sue is told of the conversation');
SELECT ok(jsonb_path_exists(chatrel.sync(as_user => 1), '$.events[*].group_message ? (@.message == "it does not work")'), 'and of the message');
SELECT is((chatrel.send_group_message(2, 'try again', as_user => 1)).message, 'try again', 'and answers');
SELECT results_eq('SELECT id, name FROM chatrel.my_groups(1) ORDER BY 1', $$ VALUES (1::bigint, 'staff'), (2, NULL) $$, 'both are among her groups');

---------------------------------------------------------------------------
-- a colleague is needed
---------------------------------------------------------------------------

SELECT throws_ok($$ SELECT chatrel.invite(2, '{2}', 1) $$, '55000', 'group 2 is a direct conversation', 'nobody comes into a conversation: ann has told it to sue');
SELECT is(chatrel.direct_group('{2,3}', 1) ->> 'id', '3', 'the three have one of their own');
SELECT is(chatrel.direct_group('{3,1}', 2) ->> 'id', '3', 'which is the same for each of them');
SELECT is(jsonb_array_length(chatrel.get_group(3) -> 'members'), 3, 'with all of them');
SELECT throws_ok('SELECT chatrel.leave_group(3)', '55000', 'group 3 is a direct conversation', 'and nobody leaves');

---------------------------------------------------------------------------
-- who may not
---------------------------------------------------------------------------

SELECT throws_ok($$ SELECT chatrel.direct_group('{4}') $$, '42501', 'user 3 may not begin a direct conversation with user 4', 'ann cannot write to bob, whom she does not know');
SELECT is(chatrel.direct_group('{4}', 1) ->> 'id', '4', 'the staff can');
SELECT ok(chatrel.set_direct_messages('nobody', 4), 'until bob wants to hear nobody');
SELECT throws_ok($$ SELECT chatrel.direct_group('{4}', 2) $$, '42501', 'user 2 may not begin a direct conversation with user 4', 'then tom cannot begin');
SELECT is(chatrel.direct_group('{4}', 1) ->> 'id', '4', 'but sue has already');

---------------------------------------------------------------------------
-- somebody is rude
---------------------------------------------------------------------------

SELECT ok(chatrel.block(3, 1), 'sue blocks ann');
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, 'answer!') $$, '42501', 'user 3 may not write to user 1', 'ann cannot write to her');
SELECT throws_ok($$ SELECT chatrel.send_group_message(2, 'sorry', as_user => 1) $$, '42501', 'user 1 may not write to user 3', 'nor she to ann');
SELECT is((SELECT count(*) FROM chatrel.group_messages(2)), 2::bigint, 'ann still reads what was said');
SELECT is((chatrel.send_group_message(3, 'hello')).message, 'hello', 'with tom, they can talk');
SELECT throws_ok($$ SELECT chatrel.direct_group('{1,4}') $$, '42501', 'user 3 may not begin a direct conversation with user 1', 'nothing new begins');

---------------------------------------------------------------------------
-- somebody leaves the firm
---------------------------------------------------------------------------

SELECT lives_ok('SELECT chatrel.delete_user(2)', 'tom is gone');
SELECT is(jsonb_array_length(chatrel.get_group(3) -> 'members'), 2, 'the conversation stays for the others');

SELECT * FROM finish();
ROLLBACK;
