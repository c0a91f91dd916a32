-- Groups with rules: visibility, roles, moderation, slow mode, the directory
CREATE EXTENSION chatrel;
SELECT count(*) FROM unnest(ARRAY['ann', 'bob', 'cyd', 'dan', 'eve']) n, chatrel.create_user(n);
SET chatrel.user_id = 1;

/* What a call raises, with the fields for programs */
CREATE FUNCTION pg_temp.fails(call text, OUT code text, OUT message text, OUT of_column text) LANGUAGE plpgsql AS $$
DECLARE
	of_table text;
BEGIN
	EXECUTE call;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, of_table = TABLE_NAME, of_column = COLUMN_NAME;
	of_column := concat_ws('.', nullif(of_table, ''), nullif(of_column, ''));
END $$;

---------------------------------------------------------------------------
-- creating
---------------------------------------------------------------------------

SELECT name, creator_id, visibility, join_policy, posting, slow_mode, description, metadata, archived_at FROM chatrel.create_group('open', true);
SELECT name, visibility, join_policy, description, metadata FROM chatrel.create_group('club', visibility => 'private', join_policy => 'request', description => 'for few', metadata => '{"colour": "red"}');
-- two private groups may have one name, and one that a public group has
SELECT name, visibility FROM chatrel.create_group('club', visibility => 'private', as_user => 2);
SELECT name, visibility FROM chatrel.create_group('club', true, as_user => 3);
SELECT call, f.* FROM unnest(ARRAY[
	$$chatrel.create_group('club')$$, $$chatrel.create_group('x', visibility => 'secret')$$, $$chatrel.create_group('x', visibility => 'direct')$$,
	$$chatrel.create_group('x', visibility => NULL)$$, $$chatrel.create_group('x', join_policy => 'never')$$, $$chatrel.create_group('x', metadata => '[]')$$,
	$$chatrel.create_group('x', description => repeat('x', 4097))$$]) call, pg_temp.fails('SELECT ' || call) f;
-- the creator is owner, but of a public group only as a member
SELECT g.id, m.user_id, m.role FROM chatrel.groups g LEFT JOIN chatrel.groups_members m ON m.group_id = g.id ORDER BY 1, 2;
SELECT id AS later FROM chatrel.create_group('later') \gset
SELECT chatrel.join_group(:later, as_user => 2), chatrel.join_group(:later);
SELECT user_id, username, role, muted_until FROM chatrel.group_members(:later);
SELECT chatrel.get_group(2);
SELECT chatrel.get_group(1);

---------------------------------------------------------------------------
-- coming in
---------------------------------------------------------------------------

-- a private group does not exist for others
SELECT call, f.* FROM unnest(ARRAY['join_group(2, 4)', 'leave_group(2, 4)', 'get_group(2, as_user => 4)', 'send_group_message(2, ''x'', as_user => 4)', 'mark_read(2, as_user => 4)',
	'add_reaction(2, 1, ''x'', 4)', 'group_members(2, as_user => 4)', 'update_group(2, name => ''x'', as_user => 4)', 'delete_group(2, 4)', 'set_role(2, 4, ''owner'', 4)',
	'remove_member(2, 1, 4)', 'ban_member(2, 1, as_user => 4)', 'unban_member(2, 1, 4)', 'mute_member(2, 1, as_user => 4)', 'banned_members(2, 4)', 'join_group(99, 4)']) call,
	pg_temp.fails('SELECT chatrel.' || call) f;
-- of a public one, others are told that they are no members
SELECT call, f.* FROM unnest(ARRAY['send_group_message(1, ''x'', as_user => 4)', 'update_group(1, name => ''x'', as_user => 4)', 'delete_group(1, 4)',
	'set_role(1, 4, ''owner'', 4)', 'ban_member(1, 1, as_user => 4)', 'banned_members(1, 4)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT join_policy FROM chatrel.update_group(1, join_policy => 'request');
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 4)')).*;
SELECT join_policy FROM chatrel.update_group(1, join_policy => 'open');
SELECT chatrel.join_group(1, u), chatrel.join_group(1, u) FROM generate_series(2, 4) u;

---------------------------------------------------------------------------
-- roles
---------------------------------------------------------------------------

SELECT chatrel.set_role(1, 2, 'moderator'), chatrel.set_role(1, 2, 'moderator');
SELECT call, f.* FROM unnest(ARRAY['set_role(1, 3, ''moderator'', 2)', 'set_role(1, 3, ''king'')', 'set_role(1, 3, NULL)', 'set_role(1, 5, ''moderator'')', 'set_role(1, 1, ''member'')',
	'leave_group(1)', 'remove_member(1, 1, 2)', 'remove_member(1, 2, 2)', 'remove_member(1, 1)', 'ban_member(1, 1, as_user => 2)', 'ban_member(1, 99)', 'mute_member(1, 2, as_user => 3)',
	'mute_member(1, 5, as_user => 2)', 'mute_member(1, 3, ''2001-01-01'', 2)', 'ban_member(1, 3, ''-infinity'', 2)', 'archive_group(1, as_user => 2)', 'delete_group(1, 2)',
	'update_group(1, visibility => ''private'', as_user => 2)', 'update_group(1, name => ''x'', as_user => 3)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.remove_member(1, 3, 2), chatrel.remove_member(1, 3, 2), chatrel.join_group(1, 3);
SELECT chatrel.ban_member(1, 3, as_user => 2), chatrel.ban_member(1, 3, as_user => 2), chatrel.ban_member(1, 3, 'infinity', as_user => 2);
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 3)')).*;
SELECT user_id, username, banned_by, until FROM chatrel.banned_members(1);
SELECT chatrel.unban_member(1, 3, 2), chatrel.unban_member(1, 3, 2), chatrel.join_group(1, 3);
-- who is no member can be banned, too; a ban ends
SELECT chatrel.ban_member(1, 5, now() + interval '1 hour', 2);
UPDATE chatrel.groups_bans SET until = now() - interval '1 second';
SELECT count(*) FROM chatrel.banned_members(1);
SELECT chatrel.join_group(1, 5);
-- two owners, of whom one may go
SELECT chatrel.set_role(1, 2, 'owner'), chatrel.set_role(1, 1, 'member', 2);
SELECT (pg_temp.fails('SELECT chatrel.leave_group(1, 2)')).*;
SELECT chatrel.set_role(1, 1, 'owner', 2), chatrel.leave_group(1, 2), chatrel.join_group(1, 2);
-- the last one of all may go; the creator who comes back owns the group
SELECT chatrel.leave_group(:later, 2), chatrel.leave_group(:later), chatrel.join_group(:later, 2), chatrel.join_group(:later);
SELECT user_id, role FROM chatrel.group_members(:later);
-- a user that is deleted leaves an owner
SELECT chatrel.set_role(1, 3, 'moderator');
SELECT chatrel.delete_user(1);
SET chatrel.user_id = 3;
SELECT user_id, role FROM chatrel.group_members(1) ORDER BY 1;

---------------------------------------------------------------------------
-- what may be written
---------------------------------------------------------------------------

SELECT id AS first FROM chatrel.send_group_message(1, 'first', as_user => 4) \gset
SELECT chatrel.mute_member(1, 4), chatrel.mute_member(1, 4);
SELECT call, f.* FROM unnest(ARRAY['send_group_message(1, ''x'', as_user => 4)', 'send_group_message(1, ''x'', metadata => ''{}'', as_user => 4)', 'edit_message(1, %s, ''x'', 4)',
	'add_reaction(1, %s, ''x'', 4)', 'publish(1, ''x'', ''{}'', 4)', 'create_whiteboard(1, 4)', 'mark_read(1, as_user => 4)', 'group_messages(1, as_user => 4)']) call,
	pg_temp.fails('SELECT chatrel.' || format(call, :first)) f;
SELECT chatrel.unmute_member(1, 4), chatrel.unmute_member(1, 4);
SELECT chatrel.mute_member(1, 4, now() + interval '1 hour');
UPDATE chatrel.groups_members SET muted_until = now() WHERE user_id = 4;
SELECT message FROM chatrel.send_group_message(1, 'again', as_user => 4);
-- announcements
SELECT posting FROM chatrel.update_group(1, posting => 'moderators');
SELECT (pg_temp.fails('SELECT chatrel.send_group_message(1, ''x'', as_user => 4)')).*;
SELECT message FROM chatrel.send_group_message(1, 'from an owner');
SELECT chatrel.add_reaction(1, :first, 'x', 4);
-- slow mode
SELECT posting, slow_mode FROM chatrel.update_group(1, posting => 'everybody', slow_mode => '1 hour');
SELECT message FROM chatrel.send_group_message(1, 'slow', client_key => 'k', as_user => 4);
SELECT (pg_temp.fails('SELECT chatrel.send_group_message(1, ''x'', as_user => 4)')).*;
-- but for a retry, and for who is above members
SELECT message FROM chatrel.send_group_message(1, 'slow again', client_key => 'k', as_user => 4);
SELECT count(*) FROM generate_series(1, 3), chatrel.send_group_message(1, 'fast');
UPDATE chatrel.groups_members SET may_send_at = now() - interval '1 second' WHERE user_id = 4;
SELECT message FROM chatrel.send_group_message(1, 'next', as_user => 4);
SELECT call, f.* FROM unnest(ARRAY['''-1 s''', '''1 day 1 s''', '''1 month''', '''-1 month 1 day''']) v, format('update_group(1, slow_mode => %s)', v) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT slow_mode FROM chatrel.update_group(1, slow_mode => '0');
-- the archive
SELECT chatrel.archive_group(1), chatrel.archive_group(1);
SELECT call, f.* FROM unnest(ARRAY['send_group_message(1, ''x'')', 'edit_message(1, %s, ''x'', 4)', 'add_reaction(1, %s, ''x'', 4)', 'pin_message(1, %s)', 'create_whiteboard(1)', 'publish(1, ''x'', ''{}'')',
	'update_group(1, name => ''x'')', 'join_group(1, 1)', 'mark_read(1)', 'delete_message(1, %s)', 'remove_member(1, 5)', 'set_role(1, 4, ''moderator'')']) call,
	pg_temp.fails('SELECT chatrel.' || format(call, :first)) f;
SELECT chatrel.archive_group(1, false), chatrel.archive_group(1, false);
-- deleting, and pinning, is for moderators
SELECT chatrel.join_group(1, 5);
SELECT id AS own FROM chatrel.send_group_message(1, 'own', as_user => 5) \gset
SELECT call, f.* FROM unnest(ARRAY['delete_message(1, %s, 2)', 'pin_message(1, %s, 2)', 'pin_message(1, %s, 4)', 'edit_message(1, %s, ''x'', 4)', 'delete_message(1, %s, 4)']) call, pg_temp.fails('SELECT chatrel.' || format(call, :own)) f;

---------------------------------------------------------------------------
-- changing
---------------------------------------------------------------------------

SELECT id, name, visibility, join_policy, posting, slow_mode, description, metadata FROM chatrel.update_group(1, 'renamed', 'about', '{"a": 1}');
SELECT name, description, metadata FROM chatrel.update_group(1, description => '', metadata => '{}');
SELECT count(*) FROM chatrel.events WHERE kind = 'group_changed' AND group_id = 1;
SELECT name FROM chatrel.update_group(1);
SELECT count(*) FROM chatrel.events WHERE kind = 'group_changed' AND group_id = 1;
SELECT detail FROM chatrel.events WHERE kind = 'group_changed' AND group_id = 1 ORDER BY id DESC LIMIT 2;
SELECT (pg_temp.fails('SELECT chatrel.update_group(1, name => ''club'')')).*;
-- private, it may be called so; public again, it may not
SELECT name, visibility FROM chatrel.update_group(1, name => 'club', visibility => 'private');
SELECT (pg_temp.fails('SELECT chatrel.update_group(1, visibility => ''public'')')).*;
SELECT name, visibility FROM chatrel.update_group(1, name => 'clubs', visibility => 'public');

---------------------------------------------------------------------------
-- the directory
---------------------------------------------------------------------------

SELECT count(*) FROM unnest(ARRAY['The Chess Club', 'chess for children', 'Schach', 'Fußball Köln', 'a-b_c']) n, chatrel.create_group(n, true, as_user => 2);
SELECT id > 0 AS created FROM chatrel.create_group('chess masters', visibility => 'private');
SELECT q, array(SELECT name FROM chatrel.find_groups(q)) FROM unnest(ARRAY['chess', 'CHESS', 'club che', 'ches', 'ess', 'fußball', 'köl', 'chess masters', '''', ':*', 'a & b', '!!', 'clubs']) q;
SELECT name, member_count, join_policy FROM chatrel.find_groups();
SELECT name FROM chatrel.find_groups(after => 5, row_limit => 2);
SELECT (pg_temp.fails('SELECT chatrel.find_groups('''')')).*;
BEGIN;
SELECT chatrel.join_group(id, 4) FROM chatrel.groups WHERE name = 'Schach';
SELECT name, member_count FROM chatrel.find_groups('schach');
ROLLBACK;
SELECT name, member_count FROM chatrel.find_groups('schach');
SELECT g.id FROM chatrel.groups g WHERE (SELECT count(*) FROM chatrel.groups_members m WHERE m.group_id = g.id) <>
	(SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters c WHERE c.group_id = g.id);

---------------------------------------------------------------------------
-- deleting
---------------------------------------------------------------------------

SELECT chatrel.delete_group(1);
SELECT kind, group_id, recipient_id, actor_id, detail FROM chatrel.events WHERE group_id = 1 AND kind = 'group_deleted' ORDER BY id;
SELECT (SELECT count(*) FROM chatrel.groups_messages WHERE group_id = 1) AS messages, (SELECT count(*) FROM chatrel.groups_members WHERE group_id = 1) AS members,
	(SELECT count(*) FROM chatrel.groups_counters WHERE group_id = 1) AS counters, (SELECT count(*) FROM chatrel.events WHERE group_id = 1 AND recipient_id IS NULL) AS events;
SELECT (pg_temp.fails('SELECT chatrel.delete_group(1)')).*;

-- what is empty is not kept
SELECT description IS NULL AS no_description, metadata IS NULL AS no_metadata FROM chatrel.create_group('empty', description => '', metadata => '{}');

DROP EXTENSION chatrel;
