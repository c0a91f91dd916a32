-- Each JSON shape of the group chat article: its keys, all of them and no other,
-- and the types of their values.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;

SELECT plan(22);

CREATE FUNCTION pg_temp.shape(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(key || ' ' || jsonb_typeof(value), ', ' ORDER BY key COLLATE "C") FROM jsonb_each(document)
$$;

SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'a "b" \ ☃']) AS name;
SET LOCAL chatrel.user_id = 1;
SELECT (chatrel.create_group('g "h" \ ☃', true)).id;
SELECT chatrel.join_group(1, as_user => 2);
SELECT (chatrel.create_group('empty', true)).id;
SELECT (chatrel.send_group_message(1, E'quote " backslash \\ newline \n tab \t control \x01 snowman ☃ wave 👋', '2024-05-06 07:08:09.012345+00', as_user => 2)).id;

-- User {"id", "username"}
SELECT is(pg_temp.shape(chatrel.get_group(1) -> 'members' -> 0), 'id number, username string', 'a User');
SELECT is(chatrel.get_group(1) -> 'members' -> 1 ->> 'username', 'a "b" \ ☃', 'with its name as it is');
SELECT is(pg_temp.shape(chatrel.me() -> 'groups' -> 0 -> 'members' -> 1), 'id number, username string', 'a User in the login document');

-- Group {"id", "name", "members": [User]}
SELECT is(pg_temp.shape(chatrel.get_group(1)), 'id number, members array, name string', 'a Group');
SELECT is(chatrel.get_group(1) ->> 'name', 'g "h" \ ☃', 'with its name as it is');
SELECT is(chatrel.get_group(1) ->> 'id', '1', 'and its id');
SELECT is(jsonb_array_length(chatrel.get_group(1) -> 'members'), 2, 'and its members');
SELECT is(pg_temp.shape(chatrel.me() -> 'groups' -> 0), 'id number, members array, name string', 'a Group in the login document');

-- DetailedGroup = Group + "messages": [{"id", "datetime", "group_id", "sender_id", "message"}],
-- and chatrel's own cursor for sync()
SELECT is(pg_temp.shape(chatrel.get_group_with_chat_history(1)), 'cursor string, id number, members array, messages array, name string', 'a DetailedGroup');
SELECT is(chatrel.get_group_with_chat_history(1) - 'messages' - 'cursor', chatrel.get_group(1), 'is a Group, and messages');
SELECT is(pg_temp.shape(chatrel.get_group_with_chat_history(1) -> 'messages' -> 0),
	'datetime string, group_id number, id number, message string, sender_id number', 'a message of it');
SELECT is(chatrel.get_group_with_chat_history(1) -> 'messages' -> 0 ->> 'message',
	E'quote " backslash \\ newline \n tab \t control \x01 snowman ☃ wave 👋', 'with its text as it is');
SELECT is(chatrel.get_group_with_chat_history(1) -> 'messages' -> 0 -> 'sender_id', '2', 'with its sender');
SELECT is((chatrel.get_group_with_chat_history(1) -> 'messages' -> 0 ->> 'datetime')::timestamptz,
	'2024-05-06 07:08:09.012345+00', 'with its time, to the microsecond');
SELECT is(chatrel.get_group_with_chat_history(2) -> 'messages', '[]', 'no messages are an empty list, and not null');

-- LoginUser {"id", "username", "friends": [User], "groups": [Group]}
SELECT is(pg_temp.shape(chatrel.me()), 'friends array, groups array, id number, username string', 'a LoginUser');
SELECT is(chatrel.me() -> 'friends', '[]', 'no friends are an empty list');
SELECT is(chatrel.me() -> 'groups' -> 0, chatrel.get_group(1), 'its groups are Groups');
SELECT is(chatrel.me(as_user => 2) ->> 'username', 'a "b" \ ☃', 'with its name as it is');
SELECT (chatrel.create_user('new')).id;
SELECT is(chatrel.me(as_user => 3) -> 'groups', '[]', 'no groups are an empty list');

-- a document is JSON of PostgreSQL's, to ask on
SELECT is(pg_typeof(chatrel.me())::text, 'jsonb', 'a document is jsonb');
SELECT is(jsonb_path_query_array(chatrel.me(), '$.groups[*].members[*].username'), '["ann", "a \"b\" \\ ☃", "ann"]', 'to be asked for a part');

SELECT * FROM finish();
ROLLBACK;
