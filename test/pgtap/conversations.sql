-- Conversations, as a user reads the contract: what is seen of edits and deletions.
-- Who may edit, delete and read what is in permissions.sql.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['sender', 'member', 'stranger', 'left', 'deleted']) AS name;
SET LOCAL TimeZone = 'UTC';
SELECT (chatrel.create_group('one', true, as_user => 1)).id;
SELECT chatrel.join_group(1, as_user => u) FROM unnest(ARRAY[2, 4, 5]) u;
TRUNCATE chatrel.events;
ALTER SEQUENCE chatrel.event_ids RESTART;

SELECT plan(23);

-- The messages: 1 of the sender, 2 of the one that leaves, 3 of the user that is deleted, 4 that is deleted, 5 in a group of another.
SELECT (chatrel.send_group_message(1, 'one', as_user => 1)).id, (chatrel.send_group_message(1, 'two', as_user => 4)).id,
	(chatrel.send_group_message(1, 'three', as_user => 5)).id, (chatrel.send_group_message(1, 'secret', as_user => 1)).id;
SELECT chatrel.edit_message(1, 4, 'secret, edited', as_user => 1);
SELECT chatrel.delete_message(1, 4, as_user => 1);
SELECT chatrel.leave_group(1, as_user => 4);
SELECT chatrel.delete_user(5);
SELECT id AS group_two FROM chatrel.create_group('two', true, as_user => 3) \gset
SELECT (chatrel.send_group_message(:group_two, 'elsewhere', as_user => 3)).id;

-- What a call ends with, and nothing stays of it: the SQLSTATE, or ok
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT chatrel.' || call;
	RAISE EXCEPTION 'ok' USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'OK000' THEN 'ok' ELSE SQLSTATE END;
END $$;

-- the table: members read it, and what is deleted is in no column of no table of theirs
CREATE ROLE regress_chatrel_reader;
GRANT SET ON PARAMETER chatrel.user_id TO regress_chatrel_reader;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_reader;
SET LOCAL chatrel.user_id = 2;
SET LOCAL ROLE regress_chatrel_reader;
SELECT results_eq($$ SELECT id, message FROM chatrel.groups_messages ORDER BY id $$, $$ VALUES (1::bigint, 'one'), (2, 'two'), (3, 'three'), (4, NULL) $$, 'a member reads the rows');
SELECT is_empty($$ SELECT FROM chatrel.groups_messages t WHERE t::text LIKE '%secret%' $$, 'not what was deleted');
SELECT is_empty($$ SELECT FROM chatrel.events t WHERE t::text LIKE '%secret%' $$, 'nor what it was before');
SELECT unalike(chatrel.sync()::text, '%secret%', 'nor by catching up');
SELECT throws_ok($$ UPDATE chatrel.groups_messages SET message = 'mine' WHERE id = 1 $$, '42501', NULL, 'and writes none');
SELECT throws_ok($$ DELETE FROM chatrel.groups_messages $$, '42501', NULL, 'nor deletes any');
SET LOCAL chatrel.user_id = 4;
SELECT is_empty($$ SELECT FROM chatrel.groups_messages $$, 'one who has left reads none, not even those sent then');
RESET ROLE;
SET LOCAL chatrel.user_id = 1;

-- the events are the changes, in order
SELECT is(jsonb_path_query_array(chatrel.sync(group_id => 1), '$.events[*] ? (exists(@.*.message_id)).keyvalue().key'), '["message_edited", "message_deleted"]', 'an edit and a deletion are caught up with');
SELECT is(jsonb_path_query_first(chatrel.sync(group_id => 1), '$.events[*].message_deleted') - 'id',
	jsonb_build_object('datetime', now(), 'group_id', 1, 'actor_id', 1, 'message_id', 4), 'key for key');
SELECT chatrel.edit_message(1, 1, 'new');
SELECT is(jsonb_path_query_first(chatrel.sync(group_id => 1), '$.events[last].message_edited') - 'id',
	jsonb_build_object('datetime', now(), 'group_id', 1, 'actor_id', 1, 'message_id', 1, 'message', 'new', 'edited_at', now()), 'an edit has the new text');
SELECT is(chatrel.get_message(1, 1), jsonb_build_object('id', 1, 'datetime', now(), 'group_id', 1, 'sender_id', 1, 'message', 'new', 'edited_at', now()), 'and so has the message');
SELECT is(chatrel.get_message(1, 4), jsonb_build_object('id', 4, 'datetime', now(), 'group_id', 1, 'sender_id', 1, 'message', NULL, 'edited_at', now(), 'deleted_at', now()), 'a deleted one has none');
SELECT is(jsonb_path_query_first(chatrel.sync(group_id => 1), '$.events[*].group_message ? (@.id == 1)'), chatrel.get_message(1, 1), 'who catches up reads the message as it is now');

-- mentions are heard by those who are mentioned
SELECT (chatrel.send_group_message(1, 'hi', reply_to_id => 1, mentions => '{2,2,1}', metadata => '{"colour": "red"}')).id AS hi \gset
SELECT is(jsonb_path_query_first(chatrel.sync(as_user => 2), '$.events[last].mentioned') - 'id',
	jsonb_build_object('datetime', now(), 'group_id', 1, 'recipient_id', 2, 'actor_id', 1, 'message_id', :hi), 'a mention is an event');
SELECT is(jsonb_path_query_array(chatrel.sync(), '$.events[*].mentioned'), '[]', 'for nobody else');
SELECT is(chatrel.get_message(1, :hi) - 'id', jsonb_build_object('datetime', now(), 'group_id', 1, 'sender_id', 1, 'message', 'hi',
	'reply_to_id', 1, 'mentions', '[2]'::jsonb, 'metadata', '{"colour": "red"}'::jsonb), 'a message says what it carries');
SELECT is((chatrel.send_group_message(1, 'again', client_key => 'k')).id, (chatrel.send_group_message(1, 'and again', client_key => 'k')).id, 'a key is one message');

-- the window of edits is the administrator's
SET LOCAL chatrel.edit_window = '1min';
SELECT is(pg_temp.outcome($$edit_message(1, 1, 'in time')$$), 'ok', 'a message is edited within the window');
UPDATE chatrel.groups_messages SET datetime = now() - interval '2 min' WHERE id = 1;
SELECT is(pg_temp.outcome($$edit_message(1, 1, 'too late')$$), '55000', 'not later');
SELECT is(pg_temp.outcome('delete_message(1, 1)'), 'ok', 'but deleted at any time');
SET LOCAL ROLE regress_chatrel_reader;
SELECT throws_ok('SET chatrel.edit_window = 0', '42501', NULL, 'users do not open it');
RESET ROLE;

-- pages
SELECT results_eq('SELECT id FROM chatrel.group_messages(1, after_id => 1, message_limit => 2)', ARRAY[3::bigint, 2], 'a page after, newest first');
SELECT results_eq('SELECT id FROM chatrel.group_messages(1, around_id => 2, message_limit => 3)', ARRAY[3::bigint, 2, 1], 'a page around');

SELECT * FROM finish();
ROLLBACK;
