-- The scenario of a private club: it is found by nobody, and its members decide who comes in, by
-- invitations, links and requests (doc/groups.md).

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(41);
SELECT count(*) FROM unnest(ARRAY['ann', 'bob', 'cyd', 'dan', 'eve']) n, chatrel.create_user(n);

---------------------------------------------------------------------------
-- the club
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 1;
SELECT results_eq($$ SELECT name, visibility, join_policy FROM chatrel.create_group('book club', visibility => 'private', join_policy => 'request', description => 'novels') $$,
	$$ VALUES ('book club', 'private', 'request') $$, 'ann founds a private club');
SELECT results_eq('SELECT user_id, role FROM chatrel.group_members(1)', $$ VALUES (1::bigint, 'owner') $$, 'and is in it, and owns it');
SET LOCAL chatrel.user_id = 5;
SELECT is_empty($$ SELECT FROM chatrel.find_groups('book') $$, 'eve does not find it');
SELECT throws_ok('SELECT chatrel.join_group(1)', 'P0002', 'group 1 does not exist', 'nor get in by guessing its id');
SELECT throws_ok('SELECT chatrel.request_to_join(1)', 'P0002', 'group 1 does not exist', 'nor ask');
SELECT lives_ok($$ SELECT chatrel.create_group('book club', true) $$, 'her own club may have the same name');

---------------------------------------------------------------------------
-- invitations
---------------------------------------------------------------------------

SET LOCAL chatrel.user_id = 1;
SELECT is(chatrel.invite(1, '{2,3}'), 2::bigint, 'ann invites bob and cyd');
SELECT is(chatrel.invite(1, '{2,3,4}'), 1::bigint, 'and dan: the others are invited already');
SELECT results_eq('SELECT username, invited_by FROM chatrel.group_invitations(1)', $$ VALUES ('bob', '{1}'::bigint[]), ('cyd', '{1}'), ('dan', '{1}') $$, 'she sees who is invited');
SET LOCAL chatrel.user_id = 2;
SELECT results_eq('SELECT group_id, name, description, member_count, invited_by FROM chatrel.invitations()', $$ VALUES (1::bigint, 'book club', 'novels', 1::bigint, 1::bigint) $$,
	'bob sees to what he is invited');
SELECT ok(jsonb_path_exists(chatrel.sync(), '$.events[*].invited ? (@.group_id == 1 && @.actor_id == 1 && @.name == "book club")'), 'he has been told');
SELECT throws_ok('SELECT chatrel.get_group(1)', 'P0002', 'group 1 does not exist', 'he sees no more of it');
SELECT ok(chatrel.join_group(1), 'he comes in');
SELECT is_empty('SELECT FROM chatrel.invitations()', 'and the invitation is settled');
SELECT throws_ok($$ SELECT chatrel.invite(1, '{5}') $$, '42501', 'group 1 does not let user 2 invite users', 'here only moderators invite');
SELECT ok(chatrel.decline_invitation(1, 3), 'cyd does not want to');
SELECT throws_ok('SELECT chatrel.join_group(1, 3)', 'P0002', 'group 1 does not exist', 'and then cannot');
SET LOCAL chatrel.user_id = 1;
SELECT ok(chatrel.withdraw_invitation(1, 4), 'ann takes back dan''s');
SELECT throws_ok('SELECT chatrel.join_group(1, 4)', 'P0002', 'group 1 does not exist', 'who cannot come then');

---------------------------------------------------------------------------
-- a link
---------------------------------------------------------------------------

SELECT ok(chatrel.set_role(1, 2, 'moderator'), 'bob helps ann');
SELECT chatrel.create_invite_link(1, now() + interval '1 week', 2, as_user => 2) AS token \gset
SELECT is(chatrel.join_by_link(:'token', 3), 1::bigint, 'cyd has a link to the club, and comes in');
SELECT is(chatrel.join_by_link(:'token', 3), 1::bigint, 'again: she is in it, and uses nothing up');
SELECT is(chatrel.join_by_link(:'token', 4), 1::bigint, 'dan comes too, who is the last');
SELECT throws_ok(format('SELECT chatrel.join_by_link(%L, 5)', :'token'), 'P0002', 'invite link does not exist', 'for eve it is used up');
SELECT is(chatrel.create_invite_link(1) = chatrel.create_invite_link(1), false, 'each link has a token of its own');
SELECT is(chatrel.revoke_invite_links(1), 3::bigint, 'links end when they are revoked');

---------------------------------------------------------------------------
-- who is thrown out
---------------------------------------------------------------------------

SELECT chatrel.create_invite_link(1) AS token \gset
SELECT ok(chatrel.ban_member(1, 4), 'dan is thrown out');
SELECT throws_ok(format('SELECT chatrel.join_by_link(%L, 4)', :'token'), '42501', 'user 4 is banned from group 1', 'no link lets him in');
SELECT throws_ok($$ SELECT chatrel.invite(1, '{4}') $$, '42501', 'user 4 is banned from group 1', 'nobody invites him');
SELECT ok(chatrel.unban_member(1, 4), 'until that ends');
SELECT is(chatrel.invite(1, '{4}'), 1::bigint, 'and he is invited');
SELECT ok(chatrel.join_group(1, 4), 'and back');

---------------------------------------------------------------------------
-- it opens its doors
---------------------------------------------------------------------------

SELECT throws_ok($$ SELECT chatrel.update_group(1, visibility => 'public') $$, '23505', 'group "book club" already exists', 'public, it cannot be called as eve''s');
SELECT lives_ok($$ SELECT chatrel.update_group(1, name => 'novel club', visibility => 'public') $$, 'under another name, it can be found');
SET LOCAL chatrel.user_id = 5;
SELECT results_eq($$ SELECT id, join_policy, member_count FROM chatrel.find_groups('novel') $$, $$ VALUES (1::bigint, 'request', 4::bigint) $$, 'eve finds it');
SELECT throws_ok('SELECT chatrel.join_group(1)', '42501', 'user 5 may not join group 1 without being let in', 'she cannot just join');
SELECT ok(chatrel.request_to_join(1), 'she asks');
SELECT results_eq($$ SELECT recipient_id FROM chatrel.events WHERE kind = 'join_requested' ORDER BY 1 $$, ARRAY[1, 2]::bigint[], 'the owner and the moderator are told');
SELECT results_eq('SELECT username FROM chatrel.join_requests(1, as_user => 2)', ARRAY['eve'], 'and find her in their list');
SELECT ok(chatrel.decide_join_request(1, 5, true, 2), 'bob lets her in');
SELECT ok(jsonb_path_exists(chatrel.sync(), '$.events[*].added_to_group ? (@.group_id == 1 && @.actor_id == 2)'), 'which she hears, and who has done it');

SELECT * FROM finish();
ROLLBACK;
