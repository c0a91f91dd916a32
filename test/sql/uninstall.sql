-- DROP EXTENSION takes everything away, and CREATE EXTENSION brings it back, in a
-- session that has used all of it.

CREATE EXTENSION chatrel;

-- everything is used, so that its plans are made
CREATE FUNCTION use_it() RETURNS TABLE (what text, result text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE $q$
		SELECT 'users', string_agg((chatrel.create_user(name)).id::text, ' ') FROM unnest(ARRAY['ann', 'bob']) AS name $q$;
	PERFORM set_config('chatrel.user_id', '1', false);
	RETURN QUERY EXECUTE $q$ SELECT 'group', (chatrel.create_group('g', true)).id::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'join', chatrel.join_group(1, as_user => 2)::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'send', (chatrel.send_group_message(1, 'hello')).id::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'get', chatrel.get_group(1)::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'messages', count(*)::text FROM chatrel.group_messages(1) $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'history', jsonb_array_length(chatrel.get_group_with_chat_history(1) -> 'messages')::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'my groups', count(*)::text FROM chatrel.my_groups() $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'me', chatrel.me() ->> 'username' $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'listen', count(*)::text FROM chatrel.listen() $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'listen_group', (chatrel.listen_group(1) LIKE 'chatrel\_%')::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'listen_all', (chatrel.listen_all() LIKE 'chatrel\_%')::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'all channel', count(*)::text FROM chatrel.all_channel $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'send again', (chatrel.send_group_message(1, 'hello again')).id::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'unlisten', count(*)::text FROM chatrel.unlisten() $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'delete', chatrel.delete_user(2)::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'leave', chatrel.leave_group(1)::text $q$;
	RETURN QUERY EXECUTE $q$ SELECT 'visible', count(*)::text FROM chatrel.groups_messages $q$;
	UNLISTEN *;
END $$;
SELECT * FROM use_it();

-- plans that a client keeps
PREPARE send AS SELECT (chatrel.send_group_message(1, 'prepared', as_user => 1)).message;
PREPARE join_it AS SELECT chatrel.join_group(1, as_user => 1);
EXECUTE join_it;
EXECUTE send;

DROP EXTENSION chatrel;

-- nothing is left
SELECT count(*) FROM pg_namespace WHERE nspname = 'chatrel';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%chatrel%';
SELECT count(*) FROM pg_class WHERE relname IN ('groups_messages', 'groups_members', 'my_memberships', 'groups_channels');
SELECT count(*) FROM pg_type WHERE typname IN ('chat_group', 'chat_message');
SELECT count(*) FROM pg_policies WHERE policyname LIKE 'groups%';
SELECT chatrel.me();
EXECUTE send;
-- but for the parameters of a library that is loaded, which do no harm
SHOW chatrel.max_name_length;

-- again, twice
CREATE EXTENSION chatrel;
SELECT * FROM use_it();
EXECUTE join_it;
EXECUTE send;
DROP EXTENSION chatrel;
CREATE EXTENSION chatrel;
SELECT * FROM use_it();
-- within a transaction that is rolled back
BEGIN;
DROP EXTENSION chatrel;
CREATE EXTENSION chatrel;
SELECT * FROM use_it();
ROLLBACK;
SELECT count(*) FROM chatrel.groups_messages;
EXECUTE join_it;
EXECUTE send;
SELECT count(*) FROM chatrel.groups_messages;
BEGIN;
SELECT chatrel.listen_all() LIKE 'chatrel\_%' AS listens;
DROP EXTENSION chatrel;
UNLISTEN *;
COMMIT;
RESET chatrel.user_id;

-- a transaction that owes events and drops what they come from
CREATE EXTENSION chatrel;
SELECT username FROM chatrel.create_user('ann');
BEGIN;
SELECT id FROM chatrel.create_group('g', true, as_user => 1);
SELECT id FROM chatrel.send_group_message(1, 'm', as_user => 1);
DROP EXTENSION chatrel;
COMMIT;

-- who depends on it is named
CREATE EXTENSION chatrel;
CREATE TABLE accounts (id int PRIMARY KEY, username text);
INSERT INTO accounts VALUES (1, 'ann');
SELECT chatrel.link_users('accounts');
DROP EXTENSION chatrel;
SELECT username FROM chatrel.users;
DROP EXTENSION chatrel CASCADE;
-- the application's table is there, and free
INSERT INTO accounts VALUES (2, 'bob');
SELECT count(*) FROM accounts;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'accounts'::regclass;
-- and can be linked anew
CREATE EXTENSION chatrel;
SELECT chatrel.link_users('accounts');
SELECT id, username FROM chatrel.users ORDER BY id;
DROP TABLE accounts;
DROP EXTENSION chatrel;

DEALLOCATE send;
DEALLOCATE join_it;
DROP FUNCTION use_it();
