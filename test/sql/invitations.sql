-- Coming into a group: invitations, links, requests
CREATE EXTENSION chatrel;
SELECT count(*) FROM unnest(ARRAY['ann', 'bob', 'cyd', 'dan', 'eve', 'fay']) n, chatrel.create_user(n);
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

-- 1 is private, 2 public and by request, 3 open; ann owns them, bob is a member, cyd a moderator
SELECT id FROM chatrel.create_group('club', visibility => 'private', description => 'for few');
SELECT id FROM chatrel.create_group('guild', true, join_policy => 'request');
SELECT id FROM chatrel.create_group('square', true);

---------------------------------------------------------------------------
-- inviting
---------------------------------------------------------------------------

-- how many are new: nobody twice, no members, not oneself
SELECT chatrel.invite(1, ARRAY[3, 2, 2, 1]), chatrel.invite(1, ARRAY[2, 3, 4]), chatrel.invite(1, '{}');
SELECT u, group_id, name, description, member_count, invited_by, created_at IS NOT NULL AS at FROM generate_series(1, 5) u, chatrel.invitations(as_user => u) ORDER BY 1, 2;
SELECT kind, group_id, recipient_id, actor_id, user_id, detail FROM chatrel.events WHERE kind = 'invited' ORDER BY id;
-- the invitation lets in, once
SELECT chatrel.join_group(1, 2), chatrel.join_group(1, 2), chatrel.join_group(1, 3), chatrel.set_role(1, 3, 'moderator');
SELECT user_id, invited_by FROM chatrel.groups_invitations ORDER BY 1;
SELECT chatrel.leave_group(1, 2);
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 2)')).*;
SELECT chatrel.invite(1, '{2}'), chatrel.join_group(1, 2);
-- members of an open group invite, of another moderators; nobody else
SELECT chatrel.invite(1, '{5}', 2);
SELECT chatrel.join_group(3, 2), chatrel.invite(2, '{2,3}'), chatrel.join_group(2, 2), chatrel.join_group(2, 3), chatrel.set_role(2, 3, 'moderator');
SELECT call, f.* FROM unnest(ARRAY['invite(2, ''{4}'', 2)', 'invite(2, ''{4}'', 5)', 'invite(1, ''{4}'', 6)', 'invite(99, ''{4}'')', 'invite(1, ''{99,98}'')', 'invite(1, ''{99}'', 6)',
	'invite(1, NULL)', 'invite(NULL, ''{4}'')', 'invite(1, ''{4,NULL}'')', 'invite(1, array(SELECT generate_series(2, 1002)))', 'invite(1, ''{4}'', 99)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.mute_member(1, 2);
SELECT (pg_temp.fails('SELECT chatrel.invite(1, ''{4}'', 2)')).*;
SELECT chatrel.unmute_member(1, 2), chatrel.archive_group(1);
SELECT call, f.* FROM unnest(ARRAY['invite(1, ''{6}'')', 'join_group(1, 4)', 'create_invite_link(1)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT chatrel.archive_group(1, false);
-- who is banned, or gone
SELECT chatrel.ban_member(1, 6);
SELECT (pg_temp.fails('SELECT chatrel.invite(1, ''{4,6}'')')).*;
SELECT chatrel.unban_member(1, 6), chatrel.invite(1, '{6}'), chatrel.ban_member(1, 6);
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 6)')).*;
SELECT chatrel.unban_member(1, 6);
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 6)')).*;

---------------------------------------------------------------------------
-- declining, and taking back
---------------------------------------------------------------------------

SELECT chatrel.decline_invitation(1, 4), chatrel.decline_invitation(1, 4), chatrel.decline_invitation(99, 4);
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 4)')).*;
-- a member takes back its own, and moderators all
SELECT chatrel.invite(1, '{4,5}'), chatrel.invite(1, '{4,5}', 2);
SELECT user_id, invited_by FROM chatrel.groups_invitations WHERE group_id = 1 ORDER BY 1, 2;
SELECT chatrel.withdraw_invitation(1, 4, 2), chatrel.withdraw_invitation(1, 4, 2);
SELECT group_id, invited_by FROM chatrel.invitations(as_user => 4);
SELECT chatrel.withdraw_invitation(1, 5, 3), chatrel.withdraw_invitation(1, 5, 3);
SELECT call, f.* FROM unnest(ARRAY['withdraw_invitation(1, 4, 6)', 'withdraw_invitation(2, 4, 6)', 'withdraw_invitation(99, 4)', 'decline_invitation(NULL)', 'decline_invitation(1, 99)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
SELECT count(*) FROM chatrel.invitations(as_user => 5);
-- by pages
SELECT chatrel.invite(2, '{4}'), chatrel.invite(3, '{4}');
SELECT group_id FROM chatrel.invitations(row_limit => 2, as_user => 4);
SELECT group_id FROM chatrel.invitations(after => 2, as_user => 4);
SELECT user_id, username, invited_by, created_at IS NOT NULL AS at FROM chatrel.group_invitations(2, as_user => 2);
SELECT user_id, invited_by FROM chatrel.group_invitations(1, after => 4, row_limit => 1);
SELECT call, f.* FROM unnest(ARRAY['invitations(row_limit => 0)', 'invitations(as_user => 99)', 'group_invitations(1, as_user => 6)', 'group_invitations(2, as_user => 6)', 'group_invitations(1, row_limit => 0)', 'group_invitations(NULL)']) call, pg_temp.fails('SELECT chatrel.' || call) f;

---------------------------------------------------------------------------
-- blocks
---------------------------------------------------------------------------

-- eve blocks ann: what ann, and the club, sees is the same as with fay
SELECT chatrel.block(1, 5);
SELECT chatrel.invite(1, '{5,6}'), chatrel.invite(1, '{5}'), chatrel.invite(1, '{6}');
SELECT user_id, invited_by FROM chatrel.groups_invitations WHERE group_id = 1 AND user_id IN (5, 6) ORDER BY 1;
-- but eve is not invited
SELECT u, array(SELECT group_id FROM chatrel.invitations(as_user => u)) AS groups FROM generate_series(5, 6) u;
SELECT (pg_temp.fails('SELECT chatrel.join_group(1, 5)')).*, chatrel.decline_invitation(1, 5);
SELECT recipient_id, actor_id FROM chatrel.events WHERE kind = 'invited' AND group_id = 1 AND recipient_id IN (5, 6) ORDER BY id DESC LIMIT 1;
-- until another invites her, which nobody but her can tell from an invitation that is there already
SELECT chatrel.invite(1, '{5,6}', 2);
SELECT user_id, invited_by FROM chatrel.group_invitations(1) WHERE user_id IN (5, 6);
SELECT recipient_id, actor_id FROM chatrel.events WHERE kind = 'invited' AND group_id = 1 ORDER BY id DESC LIMIT 1;
SELECT group_id, invited_by FROM chatrel.invitations(as_user => 5);
-- the block may be the inviter's; what was invited before is void, too
SELECT chatrel.block(5, 2);
SELECT group_id, invited_by FROM chatrel.invitations(as_user => 5);
SELECT chatrel.unblock(5, 2);
SELECT group_id, invited_by FROM chatrel.invitations(as_user => 5);
-- who comes in leaves none behind
SELECT chatrel.join_group(1, 5);
SELECT count(*) FROM chatrel.groups_invitations WHERE user_id = 5;
SELECT chatrel.leave_group(1, 5), chatrel.unblock(1, 5);
-- who is muted invites, and is not heard
SELECT chatrel.mute_user(1, as_user => 5), chatrel.invite(1, '{5}');
SELECT count(*) FROM chatrel.events WHERE kind = 'invited' AND recipient_id = 5 AND actor_id = 1;
SELECT group_id, invited_by FROM chatrel.invitations(as_user => 5);
SELECT chatrel.unmute_user(1, 5), chatrel.decline_invitation(1, 5);

---------------------------------------------------------------------------
-- links
---------------------------------------------------------------------------

SELECT chatrel.create_invite_link(1) AS token, chatrel.create_invite_link(1, max_uses => 1) AS once, chatrel.create_invite_link(1, now() + interval '1 hour', as_user => 3) AS soon \gset
SELECT :'token' ~ '^[0-9a-f]{32}$' AS is_token, :'token' <> :'once' AS differs;
SELECT token_hash = sha256(convert_to(:'token', 'UTF8')) AS hashed, created_by, max_uses, uses, expires_at IS NOT NULL AS expires FROM chatrel.groups_links ORDER BY id;
-- a member does not use it up
SELECT chatrel.join_by_link(:'once', 2), uses FROM chatrel.groups_links WHERE max_uses = 1;
SELECT chatrel.join_by_link(:'once', 5);
SELECT (pg_temp.fails(format('SELECT chatrel.join_by_link(%L, 6)', :'once'))).*;
-- and comes by one that is used up
SELECT chatrel.join_by_link(:'once', 5), chatrel.join_by_link(:'token', 6), chatrel.join_by_link(:'token', 6);
SELECT max_uses, uses FROM chatrel.groups_links ORDER BY id;
SELECT kind, actor_id, user_id, detail FROM chatrel.events WHERE kind = 'member_joined' AND group_id = 1 ORDER BY id DESC LIMIT 1;
-- an invitation is settled by it
SELECT user_id FROM chatrel.groups_invitations WHERE group_id = 1 ORDER BY 1;
SELECT chatrel.remove_member(1, 6), chatrel.remove_member(1, 5);
-- whatever is wrong with a token, it is one error, which does not have it
UPDATE chatrel.groups_links SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL;
SELECT what, f.* FROM (VALUES ('expired', :'soon'), ('used up', :'once'), ('false', 'x'), ('empty', ''), ('long', repeat('x', 100000)), ('upper case', upper(:'token'))) v (what, token), pg_temp.fails(format('SELECT chatrel.join_by_link(%L, 6)', token)) f;
SELECT call, f.* FROM unnest(ARRAY['join_by_link(NULL)', 'join_by_link(''x'', 99)', 'create_invite_link(1, as_user => 2)', 'create_invite_link(1, as_user => 6)', 'create_invite_link(3, as_user => 6)', 'create_invite_link(99)',
	'create_invite_link(1, now())', 'create_invite_link(1, ''-infinity'')', 'create_invite_link(1, max_uses => 0)', 'create_invite_link(NULL)', 'revoke_invite_links(1, 2)', 'revoke_invite_links(1, 6)', 'revoke_invite_links(99)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
-- who is banned does not come in
SELECT chatrel.ban_member(1, 6);
SELECT (pg_temp.fails(format('SELECT chatrel.join_by_link(%L, 6)', :'token'))).*;
SELECT chatrel.unban_member(1, 6), uses FROM chatrel.groups_links ORDER BY id LIMIT 1;
SELECT chatrel.revoke_invite_links(1, 3), chatrel.revoke_invite_links(1);
SELECT (pg_temp.fails(format('SELECT chatrel.join_by_link(%L, 6)', :'token'))).*;
-- where nobody asks, it opens a public group that is by request
SELECT chatrel.join_by_link(chatrel.create_invite_link(2), 6), chatrel.leave_group(2, 6);
-- no event has a token
SELECT count(*) FROM chatrel.events e WHERE e::text LIKE ANY (ARRAY['%' || :'token' || '%', '%' || :'once' || '%', '%' || :'soon' || '%']);
SELECT chatrel.revoke_invite_links(2);

---------------------------------------------------------------------------
-- requests
---------------------------------------------------------------------------

SELECT chatrel.request_to_join(2, 6), chatrel.request_to_join(2, 6), chatrel.request_to_join(2, 2);
SELECT kind, group_id, recipient_id, actor_id, user_id, detail FROM chatrel.events WHERE kind = 'join_requested' ORDER BY id;
SELECT chatrel.request_to_join(2, 5);
SELECT user_id, username, requested_at IS NOT NULL AS at, id FROM chatrel.join_requests(2);
SELECT user_id FROM chatrel.join_requests(2, row_limit => 1, as_user => 3);
SELECT user_id FROM chatrel.join_requests(2, after => 1);
SELECT (pg_temp.fails('SELECT chatrel.join_group(2, 6)')).*;
SELECT call, f.* FROM unnest(ARRAY['request_to_join(1, 6)', 'request_to_join(3, 6)', 'request_to_join(99, 6)', 'request_to_join(2, 4)', 'request_to_join(2, 99)', 'request_to_join(NULL)',
	'join_requests(2, as_user => 2)', 'join_requests(2, as_user => 6)', 'join_requests(99)', 'join_requests(2, row_limit => 0)', 'decide_join_request(2, 6, true, 2)', 'decide_join_request(2, 6, true, 6)', 'decide_join_request(2, 99, true)',
	'decide_join_request(2, 6, NULL)', 'withdraw_join_request(2, 99)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
-- who decides is the actor
SELECT chatrel.decide_join_request(2, 6, true, 3), chatrel.decide_join_request(2, 6, true), chatrel.decide_join_request(2, 5, false), chatrel.decide_join_request(2, 5, false);
SELECT kind, recipient_id, actor_id, user_id FROM chatrel.events WHERE group_id = 2 AND (user_id = 6 OR recipient_id IN (5, 6)) ORDER BY id DESC LIMIT 2;
SELECT user_id FROM chatrel.group_members(2) ORDER BY 1;
SELECT chatrel.request_to_join(2, 5), chatrel.withdraw_join_request(2, 5), chatrel.withdraw_join_request(2, 5), chatrel.withdraw_join_request(99, 5);
-- who is let in otherwise asks no more
SELECT chatrel.request_to_join(2, 5), chatrel.invite(2, '{5}'), chatrel.join_group(2, 5);
SELECT count(*) FROM chatrel.groups_join_requests;
SELECT chatrel.leave_group(2, 5), chatrel.request_to_join(2, 5), chatrel.ban_member(2, 5);
SELECT count(*) FROM chatrel.groups_join_requests;
SELECT (pg_temp.fails('SELECT chatrel.request_to_join(2, 5)')).*;
-- moderators who have blocked, or muted, who asks do not hear of it
SELECT count(*) AS before FROM chatrel.events WHERE kind = 'join_requested' AND actor_id = 5 \gset
SELECT chatrel.unban_member(2, 5), chatrel.block(5), chatrel.mute_user(5, as_user => 3), chatrel.request_to_join(2, 5);
SELECT count(*) - :before AS told FROM chatrel.events WHERE kind = 'join_requested' AND actor_id = 5;
SELECT user_id FROM chatrel.join_requests(2);
-- what is deleted leaves nothing
SELECT chatrel.invite(1, '{4,5}');
SELECT chatrel.delete_user(5);
SELECT (SELECT count(*) FROM chatrel.groups_invitations WHERE user_id = 5) AS invitations, (SELECT count(*) FROM chatrel.groups_join_requests WHERE user_id = 5) AS requests;
SELECT (pg_temp.fails('SELECT chatrel.invite(1, ''{5}'')')).*;
SELECT length(chatrel.create_invite_link(1)), chatrel.delete_group(1);
SELECT (SELECT count(*) FROM chatrel.groups_invitations WHERE group_id = 1) AS invitations, (SELECT count(*) FROM chatrel.groups_links) AS links;

-- in a transaction that only reads
SELECT id FROM chatrel.create_group('reading', true);
BEGIN READ ONLY;
SELECT call, f.code, f.message FROM unnest(ARRAY['invite(4, ''{4}'')', 'decline_invitation(4)', 'withdraw_invitation(4, 4)', 'create_invite_link(4)', 'join_by_link(''x'')', 'revoke_invite_links(4)', 'request_to_join(2, 4)',
	'withdraw_join_request(2)', 'decide_join_request(2, 4, true)', 'direct_group(''{4}'')', 'invitations()', 'group_invitations(4)', 'join_requests(4)']) call, pg_temp.fails('SELECT chatrel.' || call) f;
COMMIT;

DROP EXTENSION chatrel;
