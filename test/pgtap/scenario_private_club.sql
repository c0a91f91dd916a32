-- The scenario of a private club: it is found by nobody, and its members decide who comes in, by
-- invitations, links and requests (doc/groups.md).

\ir scenario.psql
SELECT plan(42);
SELECT (chatrel.create_user('ann')).id AS ann, (chatrel.create_user('bob')).id AS bob, (chatrel.create_user('cyd')).id AS cyd,
	(chatrel.create_user('dan')).id AS dan, (chatrel.create_user('eve')).id AS eve \gset

---------------------------------------------------------------------------
-- the club
---------------------------------------------------------------------------

SET chatrel.user_id = :ann;
SELECT id AS club, name, visibility, join_policy FROM chatrel.create_group('book club', visibility => 'private', join_policy => 'request', description => 'novels') \gset
SELECT is(ARRAY[:'name', :'visibility', :'join_policy'], ARRAY['book club', 'private', 'request'], 'ann founds a private club');
SELECT results_eq(format('SELECT user_id, role FROM chatrel.group_members(%s)', :club), format($$ VALUES (%s::bigint, 'owner') $$, :ann), 'and is in it, and owns it');
SELECT format('group %s does not exist', :club) AS no_club \gset
SET chatrel.user_id = :eve;
SELECT is_empty($$ SELECT FROM chatrel.find_groups('book') $$, 'eve does not find it');
SELECT throws_ok(format('SELECT chatrel.join_group(%s)', :club), 'P0002', :'no_club', 'nor get in by guessing its id');
SELECT throws_ok(format('SELECT chatrel.request_to_join(%s)', :club), 'P0002', :'no_club', 'nor ask');
SELECT lives_ok($$ SELECT chatrel.create_group('book club', true) $$, 'her own club may have the same name');

---------------------------------------------------------------------------
-- invitations
---------------------------------------------------------------------------

SET chatrel.user_id = :ann;
SELECT is(chatrel.invite(:club, ARRAY[:bob, :cyd]), 2::bigint, 'ann invites bob and cyd');
SELECT is(chatrel.invite(:club, ARRAY[:bob, :cyd, :dan]), 1::bigint, 'and dan: the others are invited already');
SELECT results_eq(format('SELECT username, invited_by FROM chatrel.group_invitations(%s)', :club), format($$ SELECT u, ARRAY[%s]::bigint[] FROM unnest('{bob,cyd,dan}'::text[]) u $$, :ann), 'she sees who is invited');
SET chatrel.user_id = :bob;
SELECT results_eq('SELECT group_id, name, description, member_count, invited_by FROM chatrel.invitations()', format($$ VALUES (%s::bigint, 'book club', 'novels', 1::bigint, %s::bigint) $$, :club, :ann),
	'bob sees to what he is invited');
SELECT ok(jsonb_path_exists(chatrel.sync(), '$.events[*].invited ? (@.group_id == $club && @.actor_id == $ann && @.name == "book club")', jsonb_build_object('club', :club, 'ann', :ann)), 'he has been told');
SELECT throws_ok(format('SELECT chatrel.get_group(%s)', :club), 'P0002', :'no_club', 'he sees no more of it');
SELECT ok(chatrel.join_group(:club), 'he comes in');
SELECT is_empty('SELECT FROM chatrel.invitations()', 'and the invitation is settled');
SELECT throws_ok(format('SELECT chatrel.invite(%s, ARRAY[%s])', :club, :eve), '42501', format('group %s does not let user %s invite users', :club, :bob), 'here only moderators invite');
SELECT ok(chatrel.decline_invitation(:club, :cyd), 'cyd does not want to');
SELECT throws_ok(format('SELECT chatrel.join_group(%s, %s)', :club, :cyd), 'P0002', :'no_club', 'and then cannot');
SET chatrel.user_id = :ann;
SELECT ok(chatrel.withdraw_invitation(:club, :dan), 'ann takes back dan''s');
SELECT throws_ok(format('SELECT chatrel.join_group(%s, %s)', :club, :dan), 'P0002', :'no_club', 'who cannot come then');

---------------------------------------------------------------------------
-- a link
---------------------------------------------------------------------------

SELECT ok(chatrel.set_role(:club, :bob, 'moderator'), 'bob helps ann');
SELECT chatrel.create_invite_link(:club, now() + interval '1 week', 2, as_user => :bob) AS token \gset
SELECT is(chatrel.join_by_link(:'token', :cyd), :club::bigint, 'cyd has a link to the club, and comes in');
SELECT is(chatrel.join_by_link(:'token', :cyd), :club::bigint, 'again: she is in it, and uses nothing up');
SELECT is(chatrel.join_by_link(:'token', :dan), :club::bigint, 'dan comes too, who is the last');
SELECT throws_ok(format('SELECT chatrel.join_by_link(%L, %s)', :'token', :eve), 'P0002', 'invite link does not exist', 'for eve it is used up');
SELECT is(chatrel.create_invite_link(:club) = chatrel.create_invite_link(:club), false, 'each link has a token of its own');
SELECT is(chatrel.revoke_invite_links(:club), 3::bigint, 'links end when they are revoked');

---------------------------------------------------------------------------
-- who is thrown out
---------------------------------------------------------------------------

SELECT chatrel.create_invite_link(:club) AS token \gset
SELECT ok(chatrel.ban_member(:club, :dan), 'dan is thrown out');
SELECT throws_ok(format('SELECT chatrel.join_by_link(%L, %s)', :'token', :dan), '42501', format('user %s is banned from group %s', :dan, :club), 'no link lets him in');
SELECT throws_ok(format('SELECT chatrel.invite(%s, ARRAY[%s])', :club, :dan), '42501', format('user %s is banned from group %s', :dan, :club), 'nobody invites him');
SELECT ok(chatrel.unban_member(:club, :dan), 'until that ends');
SELECT is(chatrel.invite(:club, ARRAY[:dan]), 1::bigint, 'and he is invited');
SELECT ok(chatrel.join_group(:club, :dan), 'and back');

---------------------------------------------------------------------------
-- it opens its doors
---------------------------------------------------------------------------

SELECT throws_ok(format('SELECT chatrel.update_group(%s, visibility => ''public'')', :club), '23505', 'group "book club" already exists', 'public, it cannot be called as eve''s');
SELECT lives_ok(format('SELECT chatrel.update_group(%s, name => ''novel club'', visibility => ''public'')', :club), 'under another name, it can be found');
SET chatrel.user_id = :eve;
SELECT results_eq($$ SELECT id, join_policy, member_count FROM chatrel.find_groups('novel') $$, format($$ VALUES (%s::bigint, 'request', 4::bigint) $$, :club), 'eve finds it');
SELECT throws_ok(format('SELECT chatrel.join_group(%s)', :club), '42501', format('user %s may not join group %s without being let in', :eve, :club), 'she cannot just join');
SELECT ok(chatrel.request_to_join(:club), 'she asks');
SELECT results_eq(format($$ SELECT u::bigint FROM unnest(ARRAY[%s]) u
	WHERE jsonb_path_exists(chatrel.sync(as_user => u), '$.events[*].join_requested ? (@.group_id == $club && @.recipient_id == $u)', jsonb_build_object('club', %s, 'u', u)) $$,
		concat_ws(', ', :ann, :bob, :cyd, :dan, :eve), :club),
	ARRAY[:ann, :bob]::bigint[], 'the owner and the moderator are told');
SELECT results_eq(format('SELECT username FROM chatrel.join_requests(%s, as_user => %s)', :club, :bob), ARRAY['eve'], 'and find her in their list');
SELECT ok(chatrel.decide_join_request(:club, :eve, true, :bob), 'bob lets her in');
SELECT ok(jsonb_path_exists(chatrel.sync(), '$.events[*].added_to_group ? (@.group_id == $club && @.actor_id == $bob)', jsonb_build_object('club', :club, 'bob', :bob)), 'which she hears, and who has done it');
SELECT ok(chatrel.get_group(:club) ? 'members', 'and is in');

SELECT * FROM finish();
