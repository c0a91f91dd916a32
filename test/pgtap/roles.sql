-- Who may do what in a group: the matrix of doc/roles.md, tried in every cell (script/check-docs compares the two)
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT no_plan();

-- Of group 1, an open one: everybody is called as the role that it has there.  2 to 9 are there twice, to be the one who acts, or who is acted on.
CREATE TEMPORARY TABLE people (who text, id bigint);
INSERT INTO people SELECT who, (chatrel.create_user(who)).id FROM unnest(ARRAY['owner', 'moderator', 'member', 'muted', 'outsider', 'banned']) WITH ORDINALITY u (who, n) ORDER BY n;
SELECT (chatrel.create_user('other ' || who)).id FROM people ORDER BY id;
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM chatrel.users u WHERE u.username = $1 $$;
SELECT id FROM chatrel.create_group('group', true, as_user => pg_temp.id('owner'));
SELECT chatrel.join_group(1, u.id) FROM chatrel.users u WHERE u.username !~ 'outsider';
SELECT chatrel.set_role(1, u.id, replace(u.username, 'other ', ''), pg_temp.id('owner')) FROM chatrel.users u WHERE u.username ~ 'other (owner|moderator)|^moderator';
SELECT id AS said FROM chatrel.send_group_message(1, 'of another', as_user => pg_temp.id('other member')) \gset
SELECT chatrel.send_group_message(1, 'own', client_key => 'own', as_user => id) IS NULL FROM people WHERE who NOT IN ('outsider', 'banned');
SELECT chatrel.mute_member(1, u.id, as_user => pg_temp.id('owner')) FROM chatrel.users u WHERE u.username ~ 'muted';
SELECT chatrel.ban_member(1, u.id, as_user => pg_temp.id('owner')) FROM chatrel.users u WHERE u.username ~ 'banned';
SELECT chatrel.invite(1, ARRAY[pg_temp.id('other outsider')], pg_temp.id('owner'));

/* Whether somebody may: yes, or why not.  Nothing stays. */
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	of_table text;
	of_column text;
BEGIN
	EXECUTE call;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, of_table = TABLE_NAME, of_column = COLUMN_NAME;
	RETURN CASE code WHEN 'OK000' THEN 'yes' ELSE code || ' ' || concat_ws('.', nullif(of_table, ''), nullif(of_column, '')) END;
END $$;

-- What the answers are that are not yes.  {name} is the id of a user, {own} and {said} are messages.
CREATE TEMPORARY TABLE answers (answer text, outcome text);
INSERT INTO answers VALUES ('yes', 'yes'), ('role', '42501 groups_members.role'), ('muted', '42501 groups_members.muted_until'), ('no member', '42501 groups_members'),
	('banned', '42501 groups_bans'), ('no group', 'P0002 groups'), ('archived', '55000 groups.archived_at'), ('direct', '55000 groups.visibility'),
	('slow', '53400 groups.slow_mode'), ('own only', '42501 groups_messages');
CREATE TEMPORARY TABLE matrix (act text, call text, owner text, moderator text, member text, muted text, outsider text, banned text);
INSERT INTO matrix VALUES
	('read', 'get_group(1, as_user => %s)', 'yes', 'yes', 'yes', 'yes', 'no group', 'no group'),
	('mark as read', 'mark_read(1, as_user => %s)', 'yes', 'yes', 'yes', 'yes', 'no member', 'no member'),
	('join', 'join_group(1, %s)', 'yes', 'yes', 'yes', 'yes', 'yes', 'banned'),
	('leave', 'leave_group(1, %s)', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes'),
	('send messages', 'send_group_message(1, ''x'', as_user => %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('send where moderators post', 'send_group_message(posting(), ''x'', as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('send twice in slow mode', 'twice(slow(), %s)', 'yes', 'yes', 'slow', 'muted', 'no member', 'no member'),
	('edit a message of one''s own', 'edit_message(1, {own}, ''x'', %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('edit a message of another''s', 'edit_message(1, {said}, ''x'', %s)', 'own only', 'own only', 'own only', 'muted', 'no member', 'no member'),
	('delete a message of one''s own', 'delete_message(1, {own}, %s)', 'yes', 'yes', 'yes', 'yes', 'no member', 'no member'),
	('delete a message of another''s', 'delete_message(1, {said}, %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('react', 'add_reaction(1, {said}, ''x'', %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('draw on whiteboards', 'create_whiteboard(1, %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('publish events', 'publish(1, ''x'', ''{}'', %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('pin and unpin', 'pin_message(1, {said}, %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('invite', 'invite(1, ARRAY[{other outsider}]::bigint[], %s)', 'yes', 'yes', 'yes', 'muted', 'no member', 'no member'),
	('invite where moderators decide', 'invite(by_request(), ARRAY[{other outsider}]::bigint[], %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('make links that let in', 'create_invite_link(1, as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('see requests to join', 'join_requests(1, as_user => %s)', 'yes', 'yes', 'role', 'role', 'no group', 'no group'),
	('remove a member', 'remove_member(1, {other member}, %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('remove a moderator', 'remove_member(1, {other moderator}, %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('remove an owner', 'remove_member(1, {other owner}, %s)', 'role', 'role', 'role', 'role', 'no member', 'no member'),
	('ban a member', 'ban_member(1, {other member}, as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('ban a moderator', 'ban_member(1, {other moderator}, as_user => %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('ban an outsider', 'ban_member(1, {other outsider}, as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('lift a ban', 'unban_member(1, {other banned}, %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('see who is banned', 'banned_members(1, %s)', 'yes', 'yes', 'role', 'role', 'no group', 'no group'),
	('mute and unmute a member', 'mute_member(1, {other member}, as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('mute a moderator', 'mute_member(1, {other moderator}, as_user => %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('rename, describe, set posting and slow mode', 'update_group(1, ''x'', ''y'', posting => ''moderators'', as_user => %s)', 'yes', 'yes', 'role', 'role', 'no member', 'no member'),
	('set visibility and join policy', 'update_group(1, visibility => ''private'', as_user => %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('make a member moderator', 'set_role(1, {other member}, ''moderator'', %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('make a member owner', 'set_role(1, {other member}, ''owner'', %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('take an owner''s role', 'set_role(1, {other owner}, ''member'', %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('archive', 'archive_group(1, as_user => %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member'),
	('delete the group', 'delete_group(1, %s)', 'yes', 'role', 'role', 'role', 'no member', 'no member');

-- The group as it is in some of the acts
CREATE FUNCTION pg_temp.posting() RETURNS bigint LANGUAGE sql AS $$ SELECT (chatrel.update_group(1, posting => 'moderators', as_user => pg_temp.id('owner'))).id $$;
CREATE FUNCTION pg_temp.slow() RETURNS bigint LANGUAGE sql AS $$ SELECT (chatrel.update_group(1, slow_mode => '1 hour', as_user => pg_temp.id('owner'))).id $$;
CREATE FUNCTION pg_temp.by_request() RETURNS bigint LANGUAGE sql AS $$ SELECT (chatrel.update_group(1, join_policy => 'request', as_user => pg_temp.id('owner'))).id $$;
CREATE FUNCTION pg_temp.twice(group_id bigint, user_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM chatrel.send_group_message(group_id, 'first', as_user => user_id);
	PERFORM chatrel.send_group_message(group_id, 'second', as_user => user_id);
END $$;
CREATE FUNCTION pg_temp.filled(call text, who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	FOR found IN SELECT m[1] FROM regexp_matches(call, '\{([a-z ]+)\}', 'g') m LOOP
		call := replace(call, '{' || found || '}', CASE found
			WHEN 'own' THEN coalesce((SELECT t.id FROM chatrel.groups_messages t WHERE sender_id = pg_temp.id(who) AND client_key = 'own'), 1)
			WHEN 'said' THEN current_setting('roles.said')::bigint
			ELSE pg_temp.id(found) END::text);
	END LOOP;
	call := regexp_replace(call, '\m(posting|slow|by_request|twice)\(', 'pg_temp.\1(', 'g');
	RETURN format('SELECT ' || CASE WHEN call ~ '^pg_temp' THEN '' ELSE 'chatrel.' END || call, pg_temp.id(who));
END $$;
SELECT set_config('roles.said', :'said', true);

SELECT is(pg_temp.outcome(pg_temp.filled(call, who)), outcome, format('%s: %s', who, act))
	FROM matrix, LATERAL (VALUES ('owner', owner), ('moderator', moderator), ('member', member), ('muted', muted), ('outsider', outsider), ('banned', banned)) v (who, answer)
	JOIN answers USING (answer);

-- an archived group is read, and disposed of, and not written to; whatever the role
SELECT chatrel.archive_group(1, as_user => pg_temp.id('owner'));
SELECT is(pg_temp.outcome(pg_temp.filled(call, 'owner')), CASE WHEN act ~ 'read|leave|^join$|delete|remove|ban|lift|mute|make a member|take|archive' THEN matrix.owner ELSE '55000 groups.archived_at' END, 'archived: ' || act)
	FROM (SELECT m.act, m.call, a.outcome AS owner FROM matrix m JOIN answers a ON a.answer = m.owner WHERE m.call !~ 'posting\(|slow\(|by_request\(|{own}') matrix;
SELECT chatrel.archive_group(1, false, pg_temp.id('owner'));

-- of a private group, outsiders know nothing, whatever they try
SELECT id FROM chatrel.update_group(1, visibility => 'private', as_user => pg_temp.id('owner'));
SELECT is(pg_temp.outcome(pg_temp.filled(call, who)), 'P0002 groups', format('private, %s: %s', who, act))
	FROM matrix, unnest(ARRAY['outsider', 'banned']) who WHERE call !~ 'posting\(|slow\(|by_request\(' ;

SELECT * FROM finish();
ROLLBACK;
