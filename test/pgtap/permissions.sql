-- Who may do what with messages, and who sees which rows: a user by its own role
-- and through an application, who is nobody, a gateway, and the owner.  Of each
-- refusal the SQLSTATE and the table that it names, by which programs know why.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
CREATE ROLE tap_sender;
CREATE ROLE tap_member;
CREATE ROLE tap_former;
CREATE ROLE tap_stranger;
CREATE ROLE tap_nobody;
CREATE ROLE tap_gateway;
CREATE ROLE tap_app;
GRANT USAGE ON SCHEMA chatrel TO tap_sender, tap_member, tap_former, tap_stranger, tap_nobody, tap_gateway, tap_app;
GRANT SET ON PARAMETER chatrel.user_id TO tap_app;
GRANT EXECUTE ON FUNCTION chatrel.sync_all, chatrel.listen_all, chatrel.group_members_of, chatrel.purge_messages, chatrel.report_online TO tap_gateway;

-- Whoever has an id is a user: by the role, and through an application.
CREATE TEMPORARY TABLE people (who text, role name, id bigint);
INSERT INTO people VALUES ('the sender', 'tap_sender', 1), ('a member', 'tap_member', 2), ('a former member', 'tap_former', 3), ('a stranger', 'tap_stranger', 4),
	('a deleted user', NULL, 5), ('nobody', 'tap_nobody', NULL), ('a gateway', 'tap_gateway', NULL), ('the owner', current_user, NULL);
SELECT count(chatrel.create_user(who, role)) FROM people WHERE id IS NOT NULL;

-- All but the stranger were in group 1, and have sent, reacted, pinned and read there; the stranger is in group 2.
SELECT (chatrel.create_group('one', true, as_user => 1)).id, (chatrel.create_group('two', true, as_user => 4)).id;
SELECT chatrel.join_group(1, u) FROM unnest(ARRAY[2, 3, 5]) u;
SELECT FROM chatrel.send_group_message(1, 'purged', '1999-01-01', as_user => 1);
SELECT chatrel.purge_messages('2000-01-01');
CREATE TEMPORARY TABLE sent AS SELECT g AS group_id, u AS user_id, (chatrel.send_group_message(g, 'of ' || u, mentions => ARRAY[5, u], as_user => u)).id
	FROM (VALUES (1, 1), (1, 2), (1, 3), (1, 5)) v (g, u);
INSERT INTO sent SELECT 2, 4, (chatrel.send_group_message(2, 'of 4', as_user => 4)).id;
SELECT chatrel.add_reaction(group_id, id, 'x', user_id), chatrel.pin_message(group_id, id, CASE group_id WHEN 1 THEN 1 ELSE user_id END), chatrel.mark_read(group_id, id, user_id) FROM sent;
SELECT (chatrel.send_group_message(1, 'secret', as_user => 1)).id AS deleted \gset
SELECT chatrel.delete_message(1, :deleted, 1);
SELECT FROM chatrel.send_group_message(1, '@everybody', mentions => '{1,2,3}', as_user => 5);
SELECT chatrel.leave_group(1, 3), chatrel.delete_user(5);

-- What a query gives to somebody, of which nothing stays: its value, or why it is refused.
CREATE FUNCTION pg_temp.outcome(role name, user_id bigint, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	value text;
	code text;
	of_table text;
BEGIN
	PERFORM set_config('chatrel.user_id', user_id::text, true) WHERE user_id IS NOT NULL;
	PERFORM set_config('role', role, true);
	EXECUTE query INTO value;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, of_table = TABLE_NAME;
	RETURN CASE code WHEN 'OK000' THEN value ELSE trim(code || ' ' || of_table) END;
END $$;
CREATE TEMPORARY VIEW ways AS
	SELECT who, role, NULL::bigint AS user_id FROM people WHERE role IS NOT NULL
	UNION ALL SELECT who || ', through an application', 'tap_app', id FROM people WHERE id IS NOT NULL;

-- The matrix of calls.  Messages of group 1: {sender} is the sender's, {former} the former member's, {deleted} the sender's
-- that is deleted; {elsewhere} is of group 2.
CREATE TEMPORARY TABLE calls (call text, sender text, member text, former text, stranger text, deleted text, nobody text, gateway text, owner text);
INSERT INTO calls VALUES
-- reading: who is no member is told that there is no such group
	('get_message(1, {sender})', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('get_message(1, {deleted})', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('get_message(1, {former})', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('get_message(1, {elsewhere})', 'P0002 groups_messages', 'P0002 groups_messages', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('get_message(2, {elsewhere})', 'P0002 groups', 'P0002 groups', 'P0002 groups', 'ok', 'P0002 groups', '28000', '28000', '28000'),
	('get_message(99, 1)', 'P0002 groups', 'P0002 groups', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('group_messages(1)', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('get_group_with_chat_history(1)', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('pinned_messages(1)', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('sync(group_id => 1)', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
	('listen_group(1)', 'ok', 'ok', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
-- of oneself
	('sync()', 'ok', 'ok', 'ok', 'ok', 'P0002 users', '28000', '28000', '28000'),
	('my_groups()', 'ok', 'ok', 'ok', 'ok', 'P0002 users', '28000', '28000', '28000'),
	('unread_counts()', 'ok', 'ok', 'ok', 'ok', 'P0002 users', '28000', '28000', '28000'),
-- writing, as members
	('send_group_message(1, ''x'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('send_group_message(1, ''x'', reply_to_id => {elsewhere})', 'P0002 groups_messages', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('send_group_message(1, ''x'', mentions => ''{3}'')', 'P0002 groups_members', 'P0002 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('publish(1, ''app'', ''{}'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('mark_read(1)', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('add_reaction(1, {sender}, ''y'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('add_reaction(1, {former}, ''y'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('add_reaction(1, {deleted}, ''y'')', 'P0002 groups_messages', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('add_reaction(1, {elsewhere}, ''y'')', 'P0002 groups_messages', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('remove_reaction(1, {sender}, ''x'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('remove_reaction(1, {former}, ''x'')', 'ok', 'ok', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('pin_message(1, {sender})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('pin_message(1, {deleted})', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('pin_message(1, {elsewhere})', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('unpin_message(1, {sender})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('unpin_message(1, {former})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('publish(99, ''app'', ''{}'')', 'P0002 groups', 'P0002 groups', 'P0002 groups', 'P0002 groups', 'P0002 groups', '28000', '28000', '28000'),
-- and as who has sent it
	('edit_message(1, {sender}, ''new'')', 'ok', '42501 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('edit_message(1, {former}, ''new'')', '42501 groups_messages', '42501 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('edit_message(1, {deleted}, ''new'')', 'P0002 groups_messages', '42501 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('edit_message(1, {elsewhere}, ''new'')', 'P0002 groups_messages', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('delete_message(1, {sender})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('delete_message(1, {former})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('delete_message(1, {deleted})', 'ok', '42501 groups_members', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
	('delete_message(1, {elsewhere})', 'P0002 groups_messages', 'P0002 groups_messages', '42501 groups_members', '42501 groups_members', 'P0002 users', '28000', '28000', '28000'),
-- what is kept in memory, on a server that does not preload the library
	('presence(''{1}'')', '55000', '55000', '55000', '55000', '55000', '28000', '28000', '28000'),
	('typing(1)', '55000', '55000', '55000', '55000', '55000', '28000', '28000', '28000'),
-- administration: granted by name
	('sync_all()', '42501', '42501', '42501', '42501', '42501', '42501', 'ok', 'ok'),
	('listen_all()', '42501', '42501', '42501', '42501', '42501', '42501', 'ok', 'ok'),
	('group_members_of(NULL)', '42501', '42501', '42501', '42501', '42501', '42501', 'ok', 'ok'),
	('report_online(''{1}'', ''1 s'')', '42501', '42501', '42501', '42501', '42501', '42501', '55000', '55000'),
	('presence_status()', '42501', '42501', '42501', '42501', '42501', '42501', '42501', 'ok'),
	('purge_messages(now())', '42501', '42501', '42501', '42501', '42501', '42501', 'ok', 'ok');
CREATE FUNCTION pg_temp.id_of(user_id bigint) RETURNS text LANGUAGE sql AS $$ SELECT id::text FROM sent WHERE user_id = $1 $$;
ALTER TABLE calls ADD statement text;
UPDATE calls SET statement = replace(replace(replace(replace(call, '{sender}', pg_temp.id_of(1)), '{former}', pg_temp.id_of(3)), '{deleted}', :'deleted'), '{elsewhere}', pg_temp.id_of(4));

-- The matrix of rows: what is seen of each table, as "group:recipient" or "group:user".  What was for a deleted user is
-- shown to an application that says it is that user, and to no role.
CREATE TEMPORARY TABLE rows_seen (name name, seen_as text, sender text, member text, former text, stranger text, deleted text, nobody text, gateway text, owner text);
INSERT INTO rows_seen VALUES
	('groups_messages', 'group_id', '1', '1', '', '2', '', '', '', '1 2'),
	('events', 'concat_ws('':'', group_id, recipient_id)', '1 1:1', '1 1:2', '1:3', '2 2:4', '1:5', '', '', '1 1:1 1:2 1:3 1:5 2 2:4'),
	('message_reactions', 'group_id', '1', '1', '', '2', '', '', '', '1 2'),
	('pinned_messages', 'group_id', '1', '1', '', '2', '', '', '', '1 2'),
	('read_marks', 'group_id || '':'' || user_id', '1:1', '1:2', '', '2:4', '', '', '', '1:1 1:2 2:4'),
	('purges', 'group_id', '42501', '42501', '42501', '42501', '42501', '42501', '42501', '0'),
	('epochs', 'database_id = 0', '42501', '42501', '42501', '42501', '42501', '42501', '42501', 'false');

SELECT plan((SELECT count(*) FROM ways)::int * ((SELECT count(*) FROM calls) + (SELECT count(*) FROM rows_seen))::int
	+ (SELECT count(*) FROM ways WHERE role <> current_user)::int * (SELECT count(*) FROM rows_seen)::int * 5 + (SELECT count(*) FROM rows_seen)::int + 2);

-- One line for each of the people
CREATE FUNCTION pg_temp.of(matrix jsonb, who text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT matrix ->> (regexp_match(who, '(sender|member|former|stranger|deleted|nobody|gateway|owner)'))[1] $$;

SELECT is(pg_temp.outcome(role, user_id, format('SELECT CASE WHEN count(c) >= 0 THEN ''ok'' END FROM (SELECT chatrel.%s AS c) s', statement)), pg_temp.of(to_jsonb(calls), who), who || ': ' || call)
	FROM calls, ways;
SELECT is(pg_temp.outcome(role, user_id, format('SELECT coalesce(string_agg(DISTINCT (%s)::text, '' '' ORDER BY (%1$s)::text), '''') FROM chatrel.%I', seen_as, name)),
		pg_temp.of(to_jsonb(rows_seen), who), who || ': rows of ' || name)
	FROM rows_seen, ways;

-- nobody but the owner writes a table, whatever is seen of it
SELECT is(pg_temp.outcome(role, user_id, statement), '42501', who || ': ' || statement)
	FROM rows_seen, ways, unnest(ARRAY['INSERT INTO chatrel.%I DEFAULT VALUES', 'UPDATE chatrel.%I SET xid = xid', 'DELETE FROM chatrel.%I', 'TRUNCATE chatrel.%I CASCADE', 'SELECT 1 FROM chatrel.%I FOR KEY SHARE']) f,
		format(CASE WHEN name IN ('groups_messages', 'events', 'epochs') THEN f ELSE replace(f, 'xid = xid', 'group_id = group_id') END, name) AS statement
	WHERE role <> current_user;
SELECT ok(relrowsecurity, 'row-level security of ' || name) FROM rows_seen JOIN pg_class ON oid = format('chatrel.%I', name)::regclass;

-- what a member may remove is its own
SELECT chatrel.remove_reaction(1, id, 'x', 2) FROM sent WHERE user_id = 1;
SELECT is((SELECT string_agg(user_id::text, ',') FROM chatrel.message_reactions JOIN sent USING (user_id) WHERE message_id = id AND user_id = 1), '1', 'a member does not remove another''s reaction');
SELECT is((SELECT message FROM chatrel.groups_messages JOIN sent USING (id) WHERE user_id = 3), 'of 3', 'what a former member has sent stays');

SELECT * FROM finish();
ROLLBACK;
