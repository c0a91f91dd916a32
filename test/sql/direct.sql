-- Direct conversations
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
-- one for each set of people
---------------------------------------------------------------------------

SELECT chatrel.direct_group('{2}');
SELECT name, creator_id, visibility, join_policy, direct_key FROM chatrel.groups;
SELECT user_id, role FROM chatrel.group_members(1);
-- whoever calls, in whatever order, and how often a user is named
SELECT g ->> 'id' AS id FROM unnest(ARRAY[chatrel.direct_group('{2}'), chatrel.direct_group('{2,1}'), chatrel.direct_group('{1,2,2}'), chatrel.direct_group('{1}', 2)]) g;
SELECT chatrel.direct_group('{3,2}'), chatrel.direct_group('{1,2,3}', 3) ->> 'id' AS id;
-- the others hear that they are in it, and the group that they have come
SELECT kind, group_id, recipient_id, actor_id, user_id, detail FROM chatrel.events WHERE group_id = 2 ORDER BY id;
SELECT id, name FROM chatrel.my_groups(2) ORDER BY 1;
SELECT chatrel.me(as_user => 3);
SELECT call, f.* FROM unnest(ARRAY['direct_group(''{}'')', 'direct_group(''{1}'')', 'direct_group(NULL)', 'direct_group(''{2,NULL}'')', 'direct_group(''{99,2,98}'')', 'direct_group(''{2}'', 99)',
	'direct_group(array(SELECT generate_series(2, 51)))']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT count(*) FROM generate_series(6, 50) i, chatrel.create_user('u' || i);
SELECT jsonb_array_length(chatrel.direct_group(array(SELECT generate_series(2, 50))) -> 'members') AS members;

---------------------------------------------------------------------------
-- nobody comes or goes, and all are equal
---------------------------------------------------------------------------

SELECT id AS message FROM chatrel.send_group_message(1, 'hello') \gset
SELECT call, f.* FROM unnest(ARRAY['leave_group(1)', 'join_group(1, 3)', 'get_group(1, as_user => 3)', 'send_group_message(1, ''x'', as_user => 3)', 'invite(1, ''{3}'')', 'create_invite_link(1)', 'request_to_join(1, 3)', 'join_requests(1)', 'decide_join_request(1, 3, true)',
	'revoke_invite_links(1)', 'remove_member(1, 2)', 'ban_member(1, 2)', 'mute_member(1, 2)', 'set_role(1, 2, ''owner'')', 'update_group(1, name => ''x'')', 'archive_group(1)', 'delete_group(1)', format('delete_message(1, %s, 2)', :message)]) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.withdraw_invitation(1, 3), chatrel.pin_message(1, :message, 2), chatrel.add_reaction(1, :message, 'x', 2), chatrel.mark_read(1, as_user => 2) = :message AS read;
SELECT count(*) FROM chatrel.find_groups();

---------------------------------------------------------------------------
-- who may begin one
---------------------------------------------------------------------------

-- dan hears those whom he follows, eve her friends, and cyd nobody
SELECT chatrel.set_direct_messages('followed', 4), chatrel.set_direct_messages('friends', 5), chatrel.set_direct_messages('nobody', 3);
SELECT call, f.* FROM unnest(ARRAY['direct_group(''{4}'')', 'direct_group(''{5}'')', 'direct_group(''{3}'')', 'direct_group(''{2,3}'', 4)', 'direct_group(''{2,5}'')']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.follow(4), chatrel.follow(5);
SELECT call, f.* FROM unnest(ARRAY['direct_group(''{4}'')', 'direct_group(''{5}'')']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.follow(1, as_user => 4), chatrel.follow(1, as_user => 5);
SELECT chatrel.direct_group('{4}') ->> 'id' AS id, chatrel.direct_group('{5}') ->> 'id' AS id;
SELECT chatrel.unfollow(5), chatrel.unfollow(1, 4);
-- one that there is, is found, and written to, whatever they have set since
SELECT chatrel.direct_group('{4}') ->> 'id' AS id, chatrel.direct_group('{5}') ->> 'id' AS id, chatrel.direct_group('{2,3}') ->> 'id' AS id;
SELECT message FROM chatrel.send_group_message(4, 'still here');
-- who refuses others may begin one
SELECT chatrel.direct_group('{2}', 3) ->> 'id' AS id;
-- a block looks as if cyd had set that
SELECT chatrel.set_direct_messages('everybody', 3), chatrel.block(1, 3);
SELECT call, f.* FROM unnest(ARRAY['direct_group(''{3}'')', 'direct_group(''{1}'', 3)', 'direct_group(''{3,4}'')']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.unblock(1, 3), chatrel.direct_group('{3}') ->> 'id' AS id;

---------------------------------------------------------------------------
-- a block ends the writing
---------------------------------------------------------------------------

SELECT chatrel.block(2);
SELECT call, f.* FROM unnest(ARRAY['send_group_message(1, ''x'')', 'send_group_message(1, ''x'', as_user => 2)', 'send_group_message(1, ''x'', metadata => ''{}'', as_user => 2)', 'edit_message(1, %s, ''x'')', 'add_reaction(1, %s, ''y'', 2)',
	'pin_message(1, %s, 2)', 'publish(1, ''x'', ''{}'', 2)', 'create_whiteboard(1, 2)', 'get_message(1, %s, 2)', 'mark_read(1, as_user => 2)', 'delete_message(1, %s)']) call, pg_temp.fails('SELECT chatrel.' || format(call, :message)) f;
SELECT chatrel.direct_group('{1}', 2) ->> 'id' AS id, chatrel.get_group(1, as_user => 2) ->> 'id' AS id;
-- not of three
SELECT message FROM chatrel.send_group_message(2, 'to all');
SELECT chatrel.unblock(2);
SELECT id AS keyed FROM chatrel.send_group_message(1, 'once', client_key => 'k', as_user => 2) \gset
SELECT chatrel.block(2);
-- a retry gives the message that there is
SELECT id = :keyed AS same FROM chatrel.send_group_message(1, 'once', client_key => 'k', as_user => 2);
SELECT (pg_temp.fails('SELECT chatrel.send_group_message(1, ''x'', client_key => ''l'', as_user => 2)')).*;
SELECT chatrel.unblock(2);
SELECT message FROM chatrel.send_group_message(1, 'again', as_user => 2);

---------------------------------------------------------------------------
-- one of them is deleted
---------------------------------------------------------------------------

SELECT chatrel.delete_user(2);
SELECT chatrel.get_group(1);
SELECT direct_key FROM chatrel.groups WHERE id = 1;
SELECT kind, actor_id, user_id, detail FROM chatrel.events WHERE group_id = 1 ORDER BY id DESC LIMIT 1;
SELECT message FROM chatrel.send_group_message(1, 'into the void');
SELECT (pg_temp.fails('SELECT chatrel.direct_group(''{2}'')')).*;
SELECT chatrel.direct_group('{3}', 1) ->> 'id' AS id;
-- who is back, as a user of a linked table may, is in it again when somebody calls for it, if that may be
UPDATE chatrel.users SET deleted_at = NULL WHERE id = 2;
SELECT chatrel.block(1, 2);
SELECT (pg_temp.fails('SELECT chatrel.direct_group(''{2}'')')).*;
SELECT chatrel.unblock(1, 2), chatrel.direct_group('{2}');

---------------------------------------------------------------------------
-- what the table keeps
---------------------------------------------------------------------------

SELECT f.* FROM unnest(ARRAY['INSERT INTO chatrel.groups (creator_id, visibility) VALUES (1, ''direct'')', 'INSERT INTO chatrel.groups (creator_id, name, direct_key) VALUES (1, ''x'', ''{1,2}'')',
	'INSERT INTO chatrel.groups (creator_id, visibility, direct_key) VALUES (1, ''direct'', ''{1,2}'')']) statement, pg_temp.fails(statement) f;
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON chatrel.groups FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
SELECT (pg_temp.fails('SELECT chatrel.direct_group(''{7}'', 6)')).*;

DROP EXTENSION chatrel;
