-- Reactions, read marks and pins, as a user reads the contract.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd', 'eve']) AS name;
SET LOCAL chatrel.user_id = 1;
SELECT (chatrel.create_group('one', true)).id, chatrel.join_group(1, 2), chatrel.join_group(1, 3);
CREATE TEMPORARY TABLE sent AS
	SELECT m AS text, (chatrel.send_group_message(1, m)).id FROM unnest(ARRAY['a', 'b', 'c']) AS m;
GRANT SELECT ON sent TO PUBLIC;
CREATE FUNCTION pg_temp.id(text) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT id FROM sent WHERE text = $1';

SELECT plan(32);

-- reactions
SELECT ok(chatrel.add_reaction(1, pg_temp.id('a'), '👍'), 'a member reacts');
SELECT ok(NOT chatrel.add_reaction(1, pg_temp.id('a'), '👍'), 'once');
SELECT ok(chatrel.add_reaction(1, pg_temp.id('a'), '👍', 2), 'and so does another');
SELECT is(chatrel.get_group_with_chat_history(1, as_user => 3) -> 'messages' -> 0 -> 'reactions', '{"👍": 2}', 'a message has the counts');
SELECT ok(NOT chatrel.get_group_with_chat_history(1, as_user => 3) -> 'messages' -> 0 ? 'my_reactions', 'none of them one''s own');
SELECT is(chatrel.get_message(1, pg_temp.id('a'), 2) -> 'my_reactions', '["👍"]', 'or some');
SELECT ok(NOT chatrel.get_message(1, pg_temp.id('b')) ? 'reactions', 'a message without any says nothing of them');
SELECT ok(chatrel.remove_reaction(1, pg_temp.id('a'), '👍'), 'a member takes it back');
SELECT ok(NOT chatrel.remove_reaction(1, pg_temp.id('a'), '👍'), 'once');
SELECT is(chatrel.get_message(1, pg_temp.id('a')) -> 'reactions', '{"👍": 1}', 'it counts no more');
SELECT throws_ok($$ SELECT chatrel.add_reaction(1, pg_temp.id('a'), 'x', 4) $$, '42501', 'user 4 is not a member of group 1', 'members react');
SELECT throws_ok($$ SELECT chatrel.add_reaction(1, 0, 'x') $$, 'P0002', 'message 0 of group 1 does not exist', 'to messages that exist');
SELECT throws_ok($$ SELECT chatrel.add_reaction(1, pg_temp.id('a'), repeat('x', 65)) $$, '22001', 'reaction is too long', 'in 64 bytes');

-- what is caught up with
CREATE TEMPORARY TABLE began AS SELECT chatrel.sync(as_user => 3) ->> 'cursor' AS cursor;
SELECT chatrel.add_reaction(1, pg_temp.id('b'), '👍'), chatrel.pin_message(1, pg_temp.id('b')), chatrel.mark_read(1),
	chatrel.unpin_message(1, pg_temp.id('b')), chatrel.remove_reaction(1, pg_temp.id('b'), '👍');
SELECT results_eq($$ SELECT k, v ->> 'message_id' = pg_temp.id('b')::text, v ->> 'actor_id', v ->> 'reaction'
	FROM began, jsonb_array_elements(chatrel.sync(cursor, as_user => 3) -> 'events') WITH ORDINALITY AS e (event, n), jsonb_each(event) AS j (k, v) ORDER BY n $$,
	$$ VALUES ('reaction_added', true, '1', '👍'), ('message_pinned', true, '1', NULL), ('message_unpinned', true, '1', NULL), ('reaction_removed', true, '1', '👍') $$,
	'reactions and pins are events that are kept; that somebody has read is not');

-- read marks
SELECT results_eq($$ SELECT unread, unread_mentions FROM chatrel.my_groups(2) $$, $$ VALUES (3, 0) $$, 'all is unread since joining');
SELECT results_eq($$ SELECT unread FROM chatrel.my_groups() $$, ARRAY[0], 'but not to the sender');
SELECT is(chatrel.mark_read(1, pg_temp.id('b'), 2), pg_temp.id('b'), 'a member has read up to a message');
SELECT is(chatrel.mark_read(1, pg_temp.id('a'), 2), pg_temp.id('b'), 'which never goes back');
SELECT results_eq($$ SELECT unread FROM chatrel.my_groups(2) $$, ARRAY[1], 'what is above is unread');
SELECT is(chatrel.mark_read(1, as_user => 2), pg_temp.id('c'), 'or up to the last');
SELECT results_eq($$ SELECT * FROM chatrel.unread_counts(2) $$, $$ VALUES (0::bigint, 0::bigint, 0::bigint) $$, 'nothing is unread');
SELECT chatrel.send_group_message(1, '@bob', mentions => ARRAY[2]);
SELECT results_eq($$ SELECT * FROM chatrel.unread_counts(2) $$, $$ VALUES (1::bigint, 1::bigint, 1::bigint) $$, 'a mention is unread');
SELECT chatrel.join_group(1, 4);
SELECT results_eq($$ SELECT unread FROM chatrel.my_groups(4) $$, ARRAY[0], 'who joins has nothing unread');
SELECT throws_ok($$ SELECT chatrel.mark_read(99) $$, 'P0002', 'group 99 does not exist', 'groups that exist are read');

-- pins
SELECT chatrel.set_role(1, 2, 'moderator');
SELECT ok(chatrel.pin_message(1, pg_temp.id('a'), 2), 'a moderator pins a message');
SELECT ok(NOT chatrel.pin_message(1, pg_temp.id('a')), 'once');
SELECT chatrel.pin_message(1, pg_temp.id('b'));
SELECT results_eq($$ SELECT message, pinned_by FROM chatrel.pinned_messages(1) $$, $$ VALUES ('b', 1::bigint), ('a', 2) $$, 'the one that was pinned last first');
SELECT ok(chatrel.unpin_message(1, pg_temp.id('a')), 'another unpins it');

-- who sees the rows
CREATE ROLE pgtap_bob;
GRANT USAGE ON SCHEMA chatrel TO pgtap_bob;
CREATE FUNCTION pg_temp.rows_of(as_user text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	seen text;
BEGIN
	PERFORM set_config('chatrel.user_id', as_user, true);
	SET LOCAL ROLE pgtap_bob;
	seen := format('%s %s %s', (SELECT count(*) FROM chatrel.message_reactions), (SELECT count(*) FROM chatrel.pinned_messages),
		(SELECT string_agg(user_id::text, ',') FROM chatrel.read_marks));
	RESET ROLE;
	PERFORM set_config('chatrel.user_id', '1', true);
	RETURN seen;
END $$;
SELECT is(pg_temp.rows_of('2'), '1 1 2', 'a member sees reactions and pins, and the own mark alone');
SELECT is(pg_temp.rows_of('3'), '1 1 ', 'or none');
SELECT chatrel.leave_group(1, 2);
SELECT is(pg_temp.rows_of('2'), '0 0 ', 'who has left sees nothing');
SELECT is((SELECT count(*) FROM chatrel.read_marks WHERE user_id = 2), 0::bigint, 'and has no mark');

SELECT * FROM finish();
ROLLBACK;
