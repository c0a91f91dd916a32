-- The scenario of a support desk: the staff has a group of its own, and customers talk to them in
-- direct conversations (doc/groups.md). Customers cannot write to each other.

\ir scenario.psql
SELECT plan(33);
-- sue and tom are the staff, ann and bob customers
SELECT (chatrel.create_user('sue')).id AS sue, (chatrel.create_user('tom')).id AS tom, (chatrel.create_user('ann')).id AS ann, (chatrel.create_user('bob')).id AS bob \gset

---------------------------------------------------------------------------
-- the desk
---------------------------------------------------------------------------

SET chatrel.user_id = :sue;
SELECT * FROM chatrel.create_group('staff', visibility => 'private') \gset staff_
SELECT is(ARRAY[:'staff_name', :'staff_visibility'], ARRAY['staff', 'private'], 'the staff has a room');
SELECT is(chatrel.invite(:staff_id, ARRAY[:tom]), 1::bigint, 'sue invites tom');
SELECT ok(chatrel.join_group(:staff_id, :tom), 'who comes');
-- the application sets for each customer whom it hears: those whom it follows, which is the staff
SELECT ok(chatrel.set_direct_messages('followed', u), 'customer ' || n || ' hears those it follows') FROM unnest(ARRAY[:ann, :bob]) WITH ORDINALITY c (u, n);
SELECT is(chatrel.follow_many(ARRAY[:sue, :tom], as_user => u), 2::bigint, 'customer ' || n || ' follows the staff') FROM unnest(ARRAY[:ann, :bob]) WITH ORDINALITY c (u, n);

---------------------------------------------------------------------------
-- a customer asks
---------------------------------------------------------------------------

SET chatrel.user_id = :ann;
SELECT chatrel.direct_group(ARRAY[:sue]) AS begun \gset
SELECT :'begun'::jsonb ->> 'id' AS talk \gset
SELECT is(:'begun', format('{"id": %s, "name": null, "visibility": "direct", "members": [{"id": %s, "username": "sue"}, {"id": %s, "username": "ann"}]}', :talk, :sue, :ann)::jsonb, 'ann begins a conversation with sue');
SELECT is(chatrel.direct_group(ARRAY[:sue]) ->> 'id', :'talk', 'she may ask for it as often as she likes');
SELECT is(chatrel.direct_group(ARRAY[:ann], :sue) ->> 'id', :'talk', 'sue finds the same');
SELECT is((chatrel.send_group_message(:talk, 'it does not work')).message, 'it does not work', 'ann writes');
SELECT ok(jsonb_path_exists(chatrel.sync(as_user => :sue), '$.events[*].added_to_group ? (@.group_id == $talk)', jsonb_build_object('talk', :talk)), 'sue is told of the conversation');
SELECT ok(jsonb_path_exists(chatrel.sync(as_user => :sue), '$.events[*].group_message ? (@.message == "it does not work")'), 'and of the message');
SELECT is((chatrel.send_group_message(:talk, 'try again', as_user => :sue)).message, 'try again', 'and answers');
SELECT results_eq(format('SELECT id, name FROM chatrel.my_groups(%s) ORDER BY name', :sue), format($$ VALUES (%s::bigint, 'staff'), (%s, NULL) $$, :staff_id, :talk), 'both are among her groups');

---------------------------------------------------------------------------
-- a colleague is needed
---------------------------------------------------------------------------

SELECT throws_ok(format('SELECT chatrel.invite(%s, ARRAY[%s], %s)', :talk, :tom, :sue), '55000', format('group %s is a direct conversation', :talk), 'nobody comes into a conversation: ann has told it to sue');
SELECT chatrel.direct_group(ARRAY[:tom, :ann], :sue) ->> 'id' AS three \gset
SELECT isnt(:three, :talk, 'the three have one of their own');
SELECT is(chatrel.direct_group(ARRAY[:ann, :sue], :tom) ->> 'id', :'three', 'which is the same for each of them');
SELECT is(jsonb_array_length(chatrel.get_group(:three) -> 'members'), 3, 'with all of them');
SELECT throws_ok(format('SELECT chatrel.leave_group(%s)', :three), '55000', format('group %s is a direct conversation', :three), 'and nobody leaves');

---------------------------------------------------------------------------
-- who may not
---------------------------------------------------------------------------

SELECT throws_ok(format('SELECT chatrel.direct_group(ARRAY[%s])', :bob), '42501', format('user %s may not begin a direct conversation with user %s', :ann, :bob), 'ann cannot write to bob, whom she does not know');
SELECT chatrel.direct_group(ARRAY[:bob], :sue) ->> 'id' AS other \gset
SELECT ok(:other NOT IN (:staff_id, :talk, :three), 'the staff can');
SELECT ok(chatrel.set_direct_messages('nobody', :bob), 'until bob wants to hear nobody');
SELECT throws_ok(format('SELECT chatrel.direct_group(ARRAY[%s], %s)', :bob, :tom), '42501', format('user %s may not begin a direct conversation with user %s', :tom, :bob), 'then tom cannot begin');
SELECT is(chatrel.direct_group(ARRAY[:bob], :sue) ->> 'id', :'other', 'but sue has already');

---------------------------------------------------------------------------
-- somebody is rude
---------------------------------------------------------------------------

SELECT ok(chatrel.block(:ann, :sue), 'sue blocks ann');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''answer!'')', :talk), '42501', format('user %s may not write to user %s', :ann, :sue), 'ann cannot write to her');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''sorry'', as_user => %s)', :talk, :sue), '42501', format('user %s may not write to user %s', :sue, :ann), 'nor she to ann');
SELECT is((SELECT count(*) FROM chatrel.group_messages(:talk)), 2::bigint, 'ann still reads what was said');
SELECT is((chatrel.send_group_message(:three, 'hello')).message, 'hello', 'with tom, they can talk');
SELECT throws_ok(format('SELECT chatrel.direct_group(ARRAY[%s, %s])', :sue, :bob), '42501', format('user %s may not begin a direct conversation with user %s', :ann, :sue), 'nothing new begins');

---------------------------------------------------------------------------
-- somebody leaves the firm
---------------------------------------------------------------------------

SELECT lives_ok(format('SELECT chatrel.delete_user(%s)', :tom), 'tom is gone');
SELECT is(jsonb_array_length(chatrel.get_group(:three) -> 'members'), 2, 'the conversation stays for the others');

SELECT * FROM finish();
