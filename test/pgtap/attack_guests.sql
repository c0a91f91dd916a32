-- Attempts to find out, or to enter, what is others': private groups, invitations, invite links,
-- requests, direct conversations, blocks and settings. eve is a database user with a chatrel user
-- of her own, who is in no group; ann has blocked her, and has invited her all the same.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE ROLE tap_eve;
CREATE ROLE tap_fay;
CREATE EXTENSION chatrel;
GRANT USAGE ON SCHEMA chatrel TO tap_eve, tap_fay;
CREATE SCHEMA tap_eve AUTHORIZATION tap_eve;

-- ann 1, eve 2, bob 3, fay 4, gus 5; 1 is ann's secret club, with bob; 2 her guild, which decides who joins
SELECT (chatrel.create_user(n, r)).id FROM (VALUES ('ann', NULL), ('eve', 'tap_eve'), ('bob', NULL), ('fay', 'tap_fay'), ('gus', NULL)) v (n, r);
SELECT (chatrel.create_group('secret club', visibility => 'private', description => 'conspiracy', as_user => 1)).id,
	(chatrel.create_group('guild', true, join_policy => 'request', as_user => 1)).id;
SELECT chatrel.block(2, 1), chatrel.invite(1, '{2,3,4}', 1), chatrel.join_group(1, 3), chatrel.request_to_join(2, 5), chatrel.block(5, 3), chatrel.set_direct_messages('nobody', 5);
SELECT chatrel.create_invite_link(1, as_user => 1) AS token \gset
-- 3 is the conversation of ann and bob
SELECT chatrel.direct_group('{3}', 1) ->> 'id' AS direct \gset
SELECT (chatrel.send_group_message(3, 'whisper', as_user => 1)).id AS whisper \gset

SELECT plan(95);

---------------------------------------------------------------------------
-- tables
---------------------------------------------------------------------------

SELECT is(has_table_privilege('tap_eve', 'chatrel.' || name, 'SELECT'), false, 'she may not read ' || name)
	FROM unnest(ARRAY['groups_links', 'groups_invitations', 'groups_bans', 'groups_counters']) AS name;
SET LOCAL ROLE tap_eve;
SELECT throws_ok('SELECT FROM chatrel.' || name, '42501', NULL, 'nor is she told that there is anything in ' || name)
	FROM unnest(ARRAY['groups_links', 'groups_invitations']) AS name;
SELECT is_empty('SELECT FROM chatrel.' || name, 'she sees no ' || name)
	FROM unnest(ARRAY['groups', 'groups_members', 'groups_messages', 'events', 'groups_join_requests', 'user_settings', 'blocks', 'my_memberships']) AS name;
SELECT throws_ok(statement, '42501', NULL, 'she cannot let herself in: ' || statement) FROM unnest(ARRAY[
	'INSERT INTO chatrel.groups_members (group_id, user_id) VALUES (1, 2)', 'INSERT INTO chatrel.groups_invitations (group_id, user_id, invited_by) VALUES (1, 2, 3)',
	'UPDATE chatrel.groups SET visibility = ''public''', 'DELETE FROM chatrel.blocks',
	'INSERT INTO chatrel.groups_links (group_id, token_hash, created_by) VALUES (1, sha256(''x''), 2)']) AS statement;

---------------------------------------------------------------------------
-- functions, and their errors
---------------------------------------------------------------------------

-- a private group, a direct conversation, and what is not there
SELECT throws_ok('SELECT ' || format(call, id), 'P0002', format('group %s does not exist', id), 'as if there were none: ' || format(call, id))
	FROM (VALUES (1), (3), (99999)) g (id), unnest(ARRAY['chatrel.join_group(%s)', 'chatrel.get_group(%s)', 'chatrel.request_to_join(%s)', 'chatrel.join_requests(%s)',
		'chatrel.group_invitations(%s)', 'chatrel.invite(%s, ''{4}'')', 'chatrel.withdraw_invitation(%s, 4)', 'chatrel.create_invite_link(%s)', 'chatrel.revoke_invite_links(%s)',
		'chatrel.decide_join_request(%s, 5, true)', 'chatrel.send_group_message(%s, ''x'')', 'chatrel.leave_group(%s)']) AS call;
SELECT is(format('%s %s', chatrel.decline_invitation(id), chatrel.withdraw_join_request(id)), 'f f', 'no invitation, and no request: ' || id)
	FROM (VALUES (1), (99999)) g (id);
SELECT is_empty('SELECT FROM chatrel.invitations()', 'that she was invited by who has blocked her, she does not find out');
SELECT results_eq('SELECT name FROM chatrel.find_groups()', ARRAY['guild'], 'the directory has no private group, and no conversation');
SELECT is_empty($$ SELECT FROM chatrel.find_groups('secret') $$, 'by no word of it');
-- its name is not taken
SELECT lives_ok($$ SELECT chatrel.create_group('secret club') $$, 'the name of a private group may be given again, so that no error tells of it');
SELECT throws_ok('SELECT chatrel.join_requests(2)', 'P0002', NULL, 'who asks to join a public group, she is not told');
SELECT throws_ok('SELECT chatrel.decide_join_request(2, 5, true)', '42501', 'user 2 is not a member of group 2', 'and does not decide');

---------------------------------------------------------------------------
-- tokens
---------------------------------------------------------------------------

SELECT throws_ok(format('SELECT chatrel.join_by_link(%L)', token), 'P0002', 'invite link does not exist', 'no token: ' || left(token, 8))
	FROM unnest(ARRAY['', '1', repeat('0', 32), encode(sha256(:'token'), 'hex'), upper(:'token'), left(:'token', 31), :'token' || ' ']) AS token;
RESET ROLE;
SELECT is_empty(format($$ SELECT FROM chatrel.groups_links l WHERE strpos(l::text, %L) > 0 $$, :'token'), 'the table does not have the token');
SELECT is_empty(format($$ SELECT FROM chatrel.events e WHERE strpos(e::text, %L) > 0 $$, :'token'), 'no event has it');

---------------------------------------------------------------------------
-- blocks, and settings
---------------------------------------------------------------------------

-- gus, who hears nobody, and bob has blocked; ann, who has blocked eve
SET LOCAL ROLE tap_eve;
SELECT throws_ok(format('SELECT chatrel.direct_group(array[%s])', id), '42501', format('user 2 may not begin a direct conversation with user %s', id), 'a block and a setting look alike: ' || id)
	FROM unnest(ARRAY[1, 5]) AS id;
SELECT is_empty('SELECT FROM chatrel.blocked()', 'she has blocked nobody, and is not told who has blocked her');
SELECT is(chatrel.user_settings(), '{"protected": false, "direct_messages": "everybody"}', 'settings are her own');
SELECT throws_ok('SELECT chatrel.user_settings(5)', '42501', NULL, 'and not another''s');
RESET ROLE;
-- who invites somebody does not find out whether it is blocked: fay has blocked gus, and bob nobody
SELECT chatrel.block(5, 4);
SELECT (chatrel.create_group('trap', visibility => 'private', as_user => 5)).id AS trap \gset
SELECT is(chatrel.invite(:trap, user_ids, 5), 1::bigint, 'an invitation counts, whether or not there is a block: ' || user_ids::text) FROM (VALUES ('{2}'::bigint[]), ('{4}')) v (user_ids);
SELECT is(chatrel.invite(:trap, '{2,4}', 5), 0::bigint, 'and counts once');
SELECT results_eq(format('SELECT user_id, invited_by FROM chatrel.group_invitations(%s, as_user => 5)', :trap), $$ VALUES (2::bigint, '{5}'::bigint[]), (4, '{5}') $$, 'and is seen');
SELECT results_eq($$ SELECT recipient_id FROM chatrel.events WHERE kind = 'invited' AND actor_id = 5 $$, ARRAY[2::bigint], 'but is told to who has not blocked');
SELECT ok(chatrel.withdraw_invitation(:trap, 2, 5) AND chatrel.withdraw_invitation(:trap, 4, 5), 'and is taken back');

---------------------------------------------------------------------------
-- what EXPLAIN tells
---------------------------------------------------------------------------

INSERT INTO chatrel.groups (name, creator_id, visibility) SELECT 'g' || i, 1, 'private' FROM generate_series(1, 500) i;
ANALYZE chatrel.groups, chatrel.groups_join_requests;
CREATE FUNCTION tap_eve.seen(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
		plan := concat_ws(E'\n', plan, line);
	END LOOP;
	-- the guess itself is in the plan
	RETURN regexp_replace(regexp_replace(plan, '''[^'']*''', '?', 'g'), '(user_id|group_id|id|[$]0|col1) = \d+', '\1 = ?', 'g');
END $$;
SET LOCAL ROLE tap_eve;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT is(tap_eve.seen(format(query, a)), tap_eve.seen(format(query, b)), 'a guess that is right is planned and run as one that is wrong: ' || format(query, a)) FROM (VALUES
	($$ SELECT FROM chatrel.groups WHERE name = '%s' $$, 'secret club', 'secret clubs'),
	($$ SELECT FROM chatrel.groups WHERE name LIKE '%s' $$, 'secret c%', 'secret x%'),
	($$ SELECT FROM chatrel.groups WHERE description = '%s' $$, 'conspiracy', 'fishing'),
	($$ SELECT FROM chatrel.groups WHERE direct_key = '%s' $$, '{1,3}', '{1,4}'),
	($$ SELECT FROM chatrel.groups WHERE to_tsvector('simple', name) @@ '%s'::tsquery $$, 'conspiracy', 'club'),
	($$ SELECT name FROM chatrel.groups WHERE id = %s $$, '1', '99999'),
	($$ SELECT name FROM chatrel.groups WHERE visibility = 'direct' AND id = %s $$, '3', '1'),
	($$ SELECT FROM chatrel.groups_join_requests WHERE group_id = 2 AND user_id = %s $$, '5', '4'),
	($$ SELECT FROM chatrel.groups_join_requests WHERE group_id = 2 AND id = %s $$, '1', '2'),
	($$ SELECT FROM chatrel.groups_join_requests WHERE user_id = %s $$, '5', '4'),
	($$ SELECT FROM chatrel.groups_join_requests WHERE group_id = %s $$, '2', '1'),
	($$ SELECT FROM chatrel.user_settings WHERE direct_messages = '%s' $$, 'nobody', 'friends')) v (query, a, b);
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
