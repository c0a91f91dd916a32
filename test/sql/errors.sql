-- Every error of the contract, one by one: its SQLSTATE, message, detail and
-- hint; and that nothing is written then and the session goes on.

SET client_min_messages = warning;
CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_nobody;
CREATE ROLE regress_chatrel_ann;
CREATE ROLE regress_chatrel_closed;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_nobody, regress_chatrel_ann;

-- What a statement fails with, in one line
CREATE FUNCTION fails(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n    ', SQLSTATE || ': ' || message, 'detail: ' || nullif(detail, ''), 'hint: ' || nullif(hint, ''));
END $$;

-- All that can be written, to be compared
CREATE FUNCTION written() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ',
		(SELECT count(*) || ' users, ' || count(deleted_at) || ' deleted' FROM chatrel.users),
		(SELECT count(*) || ' groups' FROM chatrel.groups),
		(SELECT count(*) || ' members' FROM chatrel.groups_members),
		(SELECT count(*) || ' messages' FROM chatrel.groups_messages),
		(SELECT count(*) || ' channels' FROM chatrel.groups_channels),
		(SELECT md5(string_agg(channel::text, ',' ORDER BY group_id)) = current_setting('regress.channels') FROM chatrel.groups_channels) || ': same channels',
		(SELECT count(*) || ' users channels' FROM chatrel.users_channels),
		(SELECT count(*) || ' all channel' FROM chatrel.all_channel))
$$;

-- 1 ann and 2 bob are members of group 1, 3 cyd is deleted, 4 dan is in no group; group 2 is empty
SELECT id FROM chatrel.create_user('ann', 'regress_chatrel_ann');
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['bob', 'cyd', 'dan']) AS name;
SELECT count(chatrel.create_group(name, as_user => 1)) FROM unnest(ARRAY['one', 'two']) AS name;
SELECT count(chatrel.join_group(1, u)) FROM generate_series(1, 3) AS u;
SELECT count(chatrel.send_group_message(1, 'm' || u, as_user => u)) FROM generate_series(1, 3) AS u;
SELECT chatrel.delete_user(3);
SELECT set_config('regress.channels', md5(string_agg(channel::text, ',' ORDER BY group_id)), false) IS NOT NULL AS noted FROM chatrel.groups_channels;
SELECT written();

\pset format unaligned
\pset tuples_only on

---------------------------------------------------------------------------
-- 28000: no chatrel user
---------------------------------------------------------------------------

SELECT fails('SELECT chatrel.me()');
SELECT fails('SELECT * FROM chatrel.my_groups()');
SELECT fails('SELECT chatrel.create_group(''x'')');
SELECT fails('SELECT chatrel.join_group(1)');
SELECT fails('SELECT chatrel.leave_group(1)');
SELECT fails('SELECT chatrel.get_group(1)');
SELECT fails('SELECT chatrel.send_group_message(1, ''x'')');
SELECT fails('SELECT * FROM chatrel.group_messages(1)');
SELECT fails('SELECT * FROM chatrel.group_members(1)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(1)');
SELECT fails('SELECT * FROM chatrel.listen()');
SELECT fails('SELECT chatrel.listen_group(1)');
SET ROLE regress_chatrel_nobody;
SELECT fails('SELECT chatrel.me()');
SELECT fails('SELECT chatrel.create_group(''x'')');
RESET ROLE;
SELECT chatrel.current_user_id() IS NULL AS "nobody";

---------------------------------------------------------------------------
-- 22023: null, empty, impossible
---------------------------------------------------------------------------

SET chatrel.user_id = 1;
SELECT fails('SELECT chatrel.create_user(null)');
SELECT fails('SELECT chatrel.create_user('''')');
SELECT fails('SELECT chatrel.delete_user(null)');
SELECT fails('SELECT chatrel.link_users(null)');
SELECT fails('SELECT chatrel.link_users(''pg_class'', null)');
SELECT fails('SELECT chatrel.link_users(''pg_class'', ''oid'', null)');
SELECT fails('SELECT chatrel.verify_users(null)');
SELECT fails('SELECT chatrel.create_group(null)');
SELECT fails('SELECT chatrel.create_group('''')');
SELECT fails('SELECT chatrel.create_group(''x'', null)');
SELECT fails('SELECT chatrel.join_group(null)');
SELECT fails('SELECT chatrel.leave_group(null)');
SELECT fails('SELECT chatrel.get_group(null)');
SELECT fails('SELECT chatrel.send_group_message(null, ''x'')');
SELECT fails('SELECT chatrel.send_group_message(1, null)');
SELECT fails('SELECT chatrel.send_group_message(1, '''')');
SELECT fails('SELECT * FROM chatrel.group_messages(null)');
SELECT fails('SELECT * FROM chatrel.group_messages(1, message_limit => null)');
SELECT fails('SELECT * FROM chatrel.group_messages(1, message_limit => 0)');
SELECT fails('SELECT * FROM chatrel.group_messages(1, message_limit => -2147483648)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(null)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(1, message_limit => null)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(1, message_limit => 0)');
SELECT fails('SELECT chatrel.listen_group(null)');
SELECT fails('SELECT * FROM chatrel.group_members(null)');
SELECT fails('SELECT * FROM chatrel.group_members(1, row_limit => null)');
SELECT fails('SELECT * FROM chatrel.group_members(1, row_limit => 0)');
SELECT fails('SELECT chatrel.get_group(1, member_limit => null)');
SELECT fails('SELECT chatrel.get_group(1, member_limit => -1)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(1, member_limit => -1)');
SELECT fails('SELECT chatrel.me(member_limit => -1)');
SELECT fails('SELECT chatrel.send_group_message(1, ''x'', ''infinity'')');
-- and of parameters
SELECT fails('SET chatrel.user_id = ''ann''');
SELECT fails('SET chatrel.user_id = 0');
SELECT fails('SET chatrel.user_id = -1');
SELECT fails('SET chatrel.user_id = 9223372036854775808');
SELECT fails('SET chatrel.max_name_length = 0');
SELECT fails('SET chatrel.max_name_length = 641');
SELECT fails('SET chatrel.max_message_length = 0');
SELECT fails('SET chatrel.max_message_length = 10485761');
SELECT fails('SET chatrel.json_ids = string');
SELECT fails('SET chatrel.json_ids = 7');
SELECT fails('SET chatrel.no_such_parameter = 1');

---------------------------------------------------------------------------
-- 22001: too long
---------------------------------------------------------------------------

SELECT fails(format('SELECT chatrel.create_user(%L)', repeat('x', 257)));
SELECT fails(format('SELECT chatrel.create_group(%L)', repeat('x', 257)));
SELECT fails(format('SELECT chatrel.send_group_message(1, %L)', repeat('x', 513)));

---------------------------------------------------------------------------
-- P0002: does not exist
---------------------------------------------------------------------------

-- groups
SELECT fails(format('SELECT chatrel.join_group(%s)', id)) FROM unnest(ARRAY[99, 0, -1, 9223372036854775807, -9223372036854775808]) AS id;
SELECT fails('SELECT chatrel.leave_group(99)');
SELECT fails('SELECT chatrel.leave_group(-1)');
SELECT fails('SELECT chatrel.send_group_message(99, ''x'')');
SELECT fails('SELECT chatrel.send_group_message(-1, ''x'')');
SELECT fails('SELECT chatrel.get_group(99)');
SELECT fails('SELECT chatrel.get_group(-1)');
SELECT fails('SELECT * FROM chatrel.group_messages(99)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(99)');
SELECT fails('SELECT chatrel.listen_group(99)');
-- the same for reading a group one is not in
SELECT fails('SELECT chatrel.get_group(2)');
SELECT fails('SELECT * FROM chatrel.group_messages(2)');
SELECT fails('SELECT chatrel.get_group_with_chat_history(2)');
SELECT fails('SELECT chatrel.listen_group(2)');
-- users: unknown, negative, deleted
SELECT fails('SELECT chatrel.delete_user(99)');
SELECT fails('SELECT chatrel.delete_user(-1)');
SELECT fails('SELECT chatrel.delete_user(3)');
SELECT u, fails(format('SELECT chatrel.me(as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3, 0]) AS u;
SELECT u, fails(format('SELECT * FROM chatrel.my_groups(as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.create_group(''x'', as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.create_group(''one'', as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.join_group(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.leave_group(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.send_group_message(1, ''x'', as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT * FROM chatrel.listen(as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
-- such a user reads a group as one that is not in it
SELECT u, fails(format('SELECT chatrel.get_group(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT * FROM chatrel.group_messages(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.get_group_with_chat_history(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;
SELECT u, fails(format('SELECT chatrel.listen_group(1, as_user => %s)', u)) FROM unnest(ARRAY[99, -1, 3]) AS u;

---------------------------------------------------------------------------
-- 42501: not a member, not allowed
---------------------------------------------------------------------------

SELECT fails('SELECT chatrel.send_group_message(2, ''x'')');
SELECT fails('SELECT chatrel.send_group_message(1, ''x'', as_user => 4)');
RESET chatrel.user_id;
SET ROLE regress_chatrel_ann;
SELECT fails('SELECT chatrel.send_group_message(1, ''x'', as_user => 2)');
SELECT fails('SELECT chatrel.me(as_user => 99)');
SELECT fails('SET chatrel.user_id = 2');
SELECT fails('SELECT chatrel.create_user(''x'')');
SELECT fails('SELECT chatrel.delete_user(2)');
SELECT fails('SELECT chatrel.link_users(''pg_class'')');
SELECT fails('SELECT chatrel.unlink_users()');
SELECT fails('SELECT chatrel.verify_users()');
SELECT fails('SELECT chatrel.listen_all()');
SELECT fails('SELECT * FROM chatrel.groups_channels');
SELECT fails('INSERT INTO chatrel.groups_messages (group_id, sender_id, message) VALUES (1, 1, ''x'')');
SET ROLE regress_chatrel_closed;
SELECT fails('SELECT chatrel.me()');
SELECT fails('SELECT * FROM chatrel.users');
RESET ROLE;
SET chatrel.user_id = 1;

---------------------------------------------------------------------------
-- 23505: taken
---------------------------------------------------------------------------

SELECT fails('SELECT chatrel.create_user(''ann'')');
SELECT fails('SELECT chatrel.create_user(''eve'', ''regress_chatrel_ann'')');
SELECT fails('SELECT chatrel.create_group(''one'')');
SELECT fails('SELECT chatrel.create_group(''one'', true)');

---------------------------------------------------------------------------
-- what PostgreSQL itself refuses
---------------------------------------------------------------------------

SELECT fails('SELECT chatrel.create_user(''eve'', ''regress_chatrel_no_such_role'')');
SELECT fails('SELECT chatrel.get_group(''x'')');
-- the rest of what it says differs between versions
SELECT split_part(fails('SELECT chatrel.get_group(9223372036854775808)'), E'\n', 1);
SELECT split_part(fails('SELECT chatrel.get_group()'), E'\n', 1);
SELECT fails('SELECT chatrel.send_group_message(1, ''x'', ''yesterday at noon'')');
SELECT fails('SELECT chatrel.send_group_message(1, convert_from(''\xff'', ''UTF8''))');
SELECT fails('SELECT chatrel.mirror_user()');
SELECT fails('SELECT chatrel.make_channel()');
SELECT fails('SELECT chatrel.restore_user()');
CREATE TABLE t (id int, username text);
CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('id', 'username');
SELECT fails('INSERT INTO t VALUES (1, ''x'')');
DROP TRIGGER t ON t;
CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user();
SELECT fails('INSERT INTO t VALUES (1, ''x'')');
DROP TRIGGER t ON t;
CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION chatrel.make_channel();
SELECT fails('INSERT INTO t VALUES (1, ''x'')');
-- as link_users() makes it, but not of its kind, or without the one that holds the columns
DROP TRIGGER t ON t;
CREATE TRIGGER t AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('insert', 't');
CREATE TRIGGER u AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION chatrel.mirror_user('update', 't');
CREATE CONSTRAINT TRIGGER v AFTER INSERT OR UPDATE OF id, username ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('insert', 't');
SELECT fails('INSERT INTO t VALUES (1, ''x'')');
DROP TRIGGER v ON t;
INSERT INTO t VALUES (1, 'x');
SELECT fails('UPDATE t SET id = 2');
SELECT fails('DELETE FROM t');
CREATE TRIGGER "!chatrel_mirror_insert" AFTER INSERT OR UPDATE OF id ON t FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('insert', 't');
SELECT fails('INSERT INTO t VALUES (1, ''x'')');
SELECT fails('SELECT chatrel.verify_users()');
-- on a table of other types
CREATE TABLE other (id text, username int[]);
CREATE TRIGGER "!chatrel_mirror_insert" AFTER INSERT OR UPDATE OF id, username ON other FOR EACH ROW EXECUTE FUNCTION chatrel.mirror_user('insert', 'x');
SELECT fails('INSERT INTO other VALUES (''x'', NULL)');
DROP TABLE other;
DROP TABLE t;

---------------------------------------------------------------------------
-- nothing was written
---------------------------------------------------------------------------

SELECT written();

---------------------------------------------------------------------------
-- 27000: a trigger of the owner's discards the row: an error, and no endless loop
---------------------------------------------------------------------------

CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION suppressed(of_table text, command text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TRIGGER zzz BEFORE %s ON chatrel.%I FOR EACH ROW EXECUTE FUNCTION discard()', command, of_table);
	SET CONSTRAINTS ALL IMMEDIATE;
	BEGIN
		EXECUTE statement;
		result := 'no error';
	EXCEPTION WHEN OTHERS THEN
		result := SQLSTATE || ' ' || SQLERRM;
	END;
	EXECUTE format('DROP TRIGGER zzz ON chatrel.%I', of_table);
	RETURN result;
END $$;
SELECT chatrel.create_whiteboard(1) ->> 'id' AS board \gset
SELECT chatrel.change_whiteboard(:board, '{"stickers": [{"url": "u", "title": "t"}]}') -> 'stickers' -> 0 ->> 'id' AS sticker \gset
SELECT of_table || ' ' || command || ': ' || suppressed(of_table, command, replace(replace(statement, ':board', :'board'), ':sticker', :'sticker')) FROM (VALUES
	('users', 'INSERT', 'SELECT chatrel.create_user(''new'')'),
	('users', 'UPDATE', 'SELECT chatrel.delete_user(2)'),
	('groups', 'INSERT', 'SELECT chatrel.create_group(''new'')'),
	('groups_members', 'INSERT', 'SELECT chatrel.join_group(2)'),
	('groups_members', 'DELETE', 'SELECT chatrel.leave_group(1, 2)'),
	('groups_members', 'DELETE', 'SELECT chatrel.delete_user(2)'),
	('groups_messages', 'INSERT', 'SELECT chatrel.send_group_message(1, ''x'')'),
	-- but who is no member is told so
	('groups_messages', 'INSERT', 'SELECT chatrel.send_group_message(1, ''x'', as_user => 4)'),
	('relationships', 'INSERT', 'SELECT chatrel.follow(2)'),
	('relationships', 'INSERT', 'SELECT chatrel.follow_many(ARRAY[2, 4])'),
	('whiteboards', 'INSERT', 'SELECT chatrel.create_whiteboard(1)'),
	('whiteboards', 'UPDATE', 'SELECT chatrel.change_whiteboard(:board, ''{"stickers": []}'', ''delete'')'),
	('whiteboards', 'DELETE', 'SELECT chatrel.delete_whiteboard(:board)'),
	('stickers', 'INSERT', 'SELECT chatrel.change_whiteboard(:board, ''{"stickers": [{"url": "u", "title": "t"}]}'', ''delete'')'),
	('stickers', 'UPDATE', 'SELECT chatrel.change_whiteboard(:board, ''{"stickers": [{"id": ":sticker", "url": "u", "title": "other"}]}'')'),
	('stickers', 'DELETE', 'SELECT chatrel.change_whiteboard(:board, ''{"stickers": []}'', ''delete'')'),
	('stickers', 'DELETE', 'SELECT chatrel.delete_sticker(1, :sticker)'),
	('all_channel', 'INSERT', 'SELECT chatrel.listen_all()')) AS v (of_table, command, statement);
SELECT chatrel.delete_whiteboard(:board);
DROP FUNCTION suppressed;
DROP FUNCTION discard();
SELECT written();

-- in a transaction that only reads, whatever writes or listens fails, and what reads works
BEGIN READ ONLY;
SELECT fails('SELECT chatrel.create_user(''x'')');
SELECT fails('SELECT chatrel.delete_user(2)');
SELECT fails('SELECT chatrel.create_group(''x'')');
SELECT fails('SELECT chatrel.join_group(2)');
SELECT fails('SELECT chatrel.leave_group(1)');
SELECT fails('SELECT chatrel.send_group_message(1, ''x'')');
SELECT chatrel.get_group(1);
SELECT count(*) FROM chatrel.group_messages(1);
COMMIT;

-- an error that nobody catches ends the transaction, and not the session
\set VERBOSITY sqlstate
BEGIN;
SELECT (chatrel.send_group_message(1, 'before the error')).message;
SELECT chatrel.send_group_message(1, NULL);
SELECT chatrel.send_group_message(1, 'after the error');
COMMIT;
SELECT chatrel.send_group_message(2, 'x');
SELECT chatrel.create_group('one');
SELECT written();
SELECT (chatrel.send_group_message(1, 'still here')).message;
-- after many errors in one session too
DO $$
BEGIN
	FOR i IN 1..1000 LOOP
		BEGIN
			PERFORM chatrel.send_group_message(1, '');
		EXCEPTION WHEN invalid_parameter_value THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT jsonb_array_length(chatrel.get_group_with_chat_history(1) -> 'messages') AS messages;

---------------------------------------------------------------------------
-- what programs tell errors apart by: the table of what does not exist, the
-- constraint of what is taken, and whether it is a membership that is missing
---------------------------------------------------------------------------

CREATE FUNCTION fields(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	schema_field text;
	table_field text;
	constraint_field text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS schema_field = SCHEMA_NAME, table_field = TABLE_NAME, constraint_field = CONSTRAINT_NAME;
	RETURN concat_ws(' ', SQLSTATE, nullif(concat_ws('.', nullif(schema_field, ''), nullif(table_field, '')), ''), nullif(constraint_field, ''));
END $$;

SET chatrel.user_id = 1;
SELECT s AS statement, fields(s) FROM unnest(ARRAY[
	'SELECT chatrel.join_group(99)', 'SELECT chatrel.leave_group(99)', 'SELECT chatrel.get_group(99)', 'SELECT chatrel.get_group(2)',
	'SELECT chatrel.group_members(99)', 'SELECT chatrel.group_messages(99)', 'SELECT chatrel.get_group_with_chat_history(99)',
	'SELECT chatrel.send_group_message(99, ''x'')', 'SELECT chatrel.listen_group(99)', 'SELECT chatrel.sync(group_id => 99)',
	'SELECT chatrel.create_whiteboard(99)',
	'SELECT chatrel.me(as_user => 99)', 'SELECT chatrel.my_groups(as_user => 99)', 'SELECT chatrel.create_group(''x'', as_user => 99)',
	'SELECT chatrel.join_group(1, as_user => 99)', 'SELECT chatrel.delete_user(99)', 'SELECT chatrel.follow(99)',
	'SELECT chatrel.unfollow(99)', 'SELECT chatrel.follow_many(''{2,99}'')',
	'SELECT chatrel.listen(as_user => 99)', 'SELECT chatrel.sync(as_user => 99)',
	'SELECT chatrel.get_whiteboard(99)', 'SELECT chatrel.change_whiteboard(99, ''{"stickers": []}'')',
	'SELECT chatrel.create_group(''one'')', 'SELECT chatrel.create_user(''ann'')',
	'SELECT chatrel.create_user(''eve'', ''regress_chatrel_ann'')',
	'SELECT chatrel.send_group_message(2, ''x'')', 'SELECT chatrel.create_whiteboard(2)',
	'SELECT chatrel.sync(''nonsense'')', 'SELECT chatrel.send_group_message(1, null)', 'SELECT chatrel.follow(1)']) AS s;
SELECT chatrel.create_whiteboard(1) ->> 'id' AS board \gset
SELECT fields(format('SELECT chatrel.change_whiteboard(%s, ''{"version": 7, "stickers": []}'')', :board)) AS changed_since;
-- a grant that the role lacks has no table: neither PostgreSQL's own error, nor chatrel's
RESET chatrel.user_id;
SET ROLE regress_chatrel_ann;
SELECT s AS statement, fields(s) FROM unnest(ARRAY['SELECT chatrel.send_group_message(1, ''x'', as_user => 2)',
	'SELECT chatrel.create_user(''x'')', 'SELECT chatrel.listen_all()', 'SELECT * FROM chatrel.groups_channels',
	'SELECT chatrel.send_group_message(2, ''x'')']) AS s;
SET ROLE regress_chatrel_nobody;
SELECT fields('SELECT chatrel.me()');
RESET ROLE;

\pset format aligned
\pset tuples_only off
DROP FUNCTION fields(text);
DROP FUNCTION fails(text), written();
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_nobody, regress_chatrel_ann, regress_chatrel_closed;
