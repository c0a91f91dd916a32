-- What a user may rely on: blocks, mutes, protection, settings, and what the
-- administration may do to a person.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(79);

INSERT INTO chatrel.users (id, username) VALUES (9001, 'ann'), (9002, 'bob'), (9003, 'cy'), (9004, 'dee');
SET LOCAL chatrel.user_id = 9001;

-- the tables
SELECT columns_are('chatrel', 'blocks', ARRAY['blocker_id', 'blocked_id', 'created_at']);
SELECT columns_are('chatrel', 'user_mutes', ARRAY['user_id', 'muted_id', 'until', 'created_at']);
SELECT columns_are('chatrel', 'follow_requests', ARRAY['id', 'follower_id', 'followed_id', 'follow_type', 'created_at']);
SELECT columns_are('chatrel', 'user_settings', ARRAY['user_id', 'protected', 'direct_messages']);
SELECT col_is_pk('chatrel', 'blocks', ARRAY['blocker_id', 'blocked_id'], 'one block of one by the other');
SELECT col_is_pk('chatrel', 'user_mutes', ARRAY['user_id', 'muted_id'], 'one mute of one by the other');
SELECT col_is_pk('chatrel', 'follow_requests', ARRAY['follower_id', 'followed_id'], 'one request of one to the other');
SELECT col_is_pk('chatrel', 'user_settings', 'user_id', 'one row of settings for a user');
SELECT indexes_are('chatrel', 'blocks', ARRAY['blocks_pkey', 'blocks_blocked_id_idx']);
SELECT indexes_are('chatrel', 'user_mutes', ARRAY['user_mutes_pkey', 'user_mutes_muted_id_idx']);
SELECT indexes_are('chatrel', 'follow_requests', ARRAY['follow_requests_pkey', 'follow_requests_followed_id_idx']);
SELECT fk_ok('chatrel', t, c, 'chatrel', 'users', 'id')
	FROM (VALUES ('blocks', 'blocker_id'), ('blocks', 'blocked_id'), ('user_mutes', 'user_id'), ('user_mutes', 'muted_id'),
		('follow_requests', 'follower_id'), ('follow_requests', 'followed_id'), ('user_settings', 'user_id')) k (t, c);
SELECT policies_are('chatrel', t::name, ARRAY[(t || '_read')::name], t || ' has one policy')
	FROM unnest(ARRAY['blocks', 'user_mutes', 'follow_requests', 'user_settings']) t;
-- even a hand-made row is none of somebody with itself
SELECT throws_ok('INSERT INTO chatrel.blocks VALUES (9001, 9001)', '23514', NULL, 'nobody blocks itself');
SELECT throws_ok('INSERT INTO chatrel.user_mutes VALUES (9001, 9001)', '23514', NULL, 'nor mutes itself');
SELECT throws_ok('INSERT INTO chatrel.follow_requests (follower_id, followed_id, follow_type) VALUES (9001, 9001, $$posts$$)', '23514', NULL, 'nor asks itself');
SELECT throws_ok('INSERT INTO chatrel.user_settings (user_id, direct_messages) VALUES (9001, $$enemies$$)', '23514', NULL, 'nor invents an audience');

-- a block ends what there is, on both sides, and prevents more of it
SELECT chatrel.follow(9002), chatrel.follow(9001, as_user => 9002);
SELECT ok(chatrel.block(9002), 'ann blocks bob');
SELECT ok(NOT chatrel.block(9002), 'which is new only once');
SELECT results_eq('SELECT following, followed_by, blocked FROM chatrel.relationship_to(''{9002}'')', 'VALUES (false, false, true)', 'and the follows have ended');
SELECT results_eq('SELECT user_id, username FROM chatrel.blocked()', $$VALUES (9002::bigint, 'bob')$$, 'ann has a list of those whom she has blocked');
SELECT throws_ok('SELECT chatrel.follow(9002)', '42501', 'user 9001 may not follow user 9002', 'ann may not follow him');
SELECT throws_ok('SELECT chatrel.follow(9001, as_user => 9002)', '42501', 'user 9002 may not follow user 9001', 'nor he her');
SELECT throws_ok('SELECT chatrel.follow_many(''{9003,9001}'', as_user => 9002)', '42501', 'user 9002 may not follow user 9001', 'not among others either');
SELECT ok(NOT chatrel.is_following(9003, 9002), 'of whom he then follows none');
SELECT is_empty('SELECT * FROM chatrel.blocked(as_user => 9002)', 'he has no list');
SELECT results_eq('SELECT blocked FROM chatrel.relationship_to(''{9001}'', as_user => 9002)', 'VALUES (false)', 'and is not told');
SELECT ok(chatrel.unblock(9002), 'ann takes it back');
SELECT ok(NOT chatrel.is_following(9002) AND NOT chatrel.is_following(9001, 9002), 'and what has ended does not come back');
SELECT ok(chatrel.follow(9001, as_user => 9002), 'but may begin again');
SELECT chatrel.unfollow(9001, as_user => 9002);

-- a protected user is asked
SELECT ok(chatrel.follow(9001, as_user => 9004), 'dee follows ann');
SELECT ok(chatrel.set_protected(true), 'ann protects herself');
SELECT is(chatrel.user_settings(), '{"protected": true, "direct_messages": "everybody"}', 'as her settings say');
SELECT ok(chatrel.is_following(9001, 9004), 'who followed before, still does');
SELECT is(chatrel.follow(9001, as_user => 9002), NULL, 'bob asks, and null says so');
SELECT ok(NOT chatrel.is_following(9001, 9002), 'he does not follow yet');
SELECT results_eq('SELECT requested FROM chatrel.relationship_to(''{9001}'', as_user => 9002)', 'VALUES (true)', 'he sees that he has asked');
SELECT results_eq('SELECT follower_id, username, follow_type FROM chatrel.follow_requests()', $$VALUES (9002::bigint, 'bob', 'posts')$$, 'and ann that he has');
SELECT ok(chatrel.accept_follow(9002), 'she accepts');
SELECT ok(chatrel.is_following(9001, 9002), 'now he follows');
SELECT is(chatrel.follow(9001, 'family', as_user => 9002), NULL, 'another label is asked for, too');
SELECT is((SELECT follow_type FROM chatrel.relationship_to('{9001}', as_user => 9002)), 'posts', 'and he keeps the one that was accepted');
SELECT ok(chatrel.reject_follow(9002), 'she rejects that');
SELECT ok(chatrel.is_following(9001, 9002), 'and he follows as before');
SELECT ok(chatrel.remove_follower(9002), 'she removes him');
SELECT ok(NOT chatrel.is_following(9001, 9002), 'and he does not follow any more');
SELECT is(chatrel.follow_many('{9001,9003}', as_user => 9002), 1::bigint, 'of many, one is followed');
SELECT ok(chatrel.unfollow(9001, as_user => 9002), 'a request is withdrawn as a follow is ended');
SELECT ok(NOT chatrel.accept_follow(9002), 'so that there is nothing to accept');

-- who may see posts
SELECT results_eq('SELECT chatrel.may_view_posts(id) FROM (VALUES (9001), (9002), (9003), (NULL), (1)) v (id)',
	'VALUES (true), (false), (false), (false), (false)', 'nobody''s but her own');
SELECT chatrel.follow(9002), chatrel.follow(9003, 'name_only');
SELECT results_eq('SELECT chatrel.may_view_posts(id) FROM (VALUES (9002), (9003)) v (id)', 'VALUES (true), (false)', 'of whom one follows for posts');
SELECT ok(chatrel.may_view_posts(9001, as_user => 9004), 'dee may see those of ann');
SELECT chatrel.block(9004);
SELECT ok(NOT chatrel.may_view_posts(9001, as_user => 9004), 'and not when ann has blocked her');
RESET chatrel.user_id;
SELECT ok(NOT chatrel.may_view_posts(9001), 'where nobody acts, nothing is seen, and nothing fails');
SET LOCAL chatrel.user_id = 9001;

-- a timeline by the table of relationships: those of the newest posts that one may see
CREATE TABLE posts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author_id bigint NOT NULL REFERENCES chatrel.users, body text NOT NULL);
INSERT INTO posts (author_id, body) SELECT a, 'post ' || n FROM generate_series(1, 1000) n, unnest('{9002,9003,9004}'::bigint[]) a;
ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
CREATE POLICY posts_read ON posts FOR SELECT USING (chatrel.may_view_posts(author_id));
CREATE ROLE timeline_reader;
GRANT USAGE ON SCHEMA chatrel TO timeline_reader;
GRANT SET ON PARAMETER chatrel.user_id TO timeline_reader;
GRANT SELECT ON posts TO timeline_reader;
SET LOCAL ROLE timeline_reader;
SELECT results_eq($$ SELECT p.author_id, p.body FROM chatrel.relationships r CROSS JOIN LATERAL
	(SELECT * FROM posts WHERE author_id = r.followed_id ORDER BY id DESC LIMIT 10) p
	WHERE r.follower_id = 9001 AND r.follow_type = 'posts' ORDER BY p.id DESC LIMIT 50 $$,
	$$ SELECT 9002::bigint, 'post ' || n FROM generate_series(1000, 991, -1) n $$, 'ann reads a timeline');
RESET ROLE;

-- mutes
SELECT ok(chatrel.mute_user(9003), 'ann mutes cy');
SELECT ok(NOT chatrel.mute_user(9003), 'once');
SELECT ok(chatrel.mute_user(9003, now() + interval '1 day'), 'and then for a day only');
SELECT results_eq('SELECT user_id, until = now() + interval ''1 day'' FROM chatrel.muted_users()', 'VALUES (9003::bigint, true)', 'as her list says');
SELECT ok(chatrel.unmute_user(9003), 'and then not any more');

-- a name: for who logs in, and to be changed
RESET chatrel.user_id;
SELECT is((chatrel.find_user('bob')).id, 9002::bigint, 'an application finds a user by name, with nobody acting');
SELECT is((chatrel.find_user('nobody')).id, NULL, 'or none');
SELECT ok(chatrel.rename_user(9002, 'robert'), 'bob is called robert from now on');
SELECT throws_ok('SELECT chatrel.rename_user(9002, ''ann'')', '23505', 'user "ann" already exists', 'but not ann');
SELECT is((chatrel.find_user('bob')).id, NULL, 'bob is free');

-- a person's data, out and gone
SELECT chatrel.join_group((chatrel.create_group('talk', true, as_user => 9001)).id, as_user => 9002);
SELECT chatrel.send_group_message(id, 'what robert said', as_user => 9002) FROM chatrel.groups;
SELECT results_eq('SELECT kind, document ->> ''message'' FROM chatrel.export_user(9002) WHERE kind = ''message''', $$VALUES ('message', 'what robert said')$$, 'robert gets what he has said');
SELECT lives_ok('SELECT chatrel.erase_user(9002)', 'he is forgotten');
SELECT is((SELECT username FROM chatrel.users WHERE id = 9002), 'deleted user 9002', 'by name');
SELECT results_eq('SELECT sender_id, message FROM chatrel.group_messages((SELECT id FROM chatrel.groups), as_user => 9001)', 'VALUES (9002::bigint, NULL::text)', 'and word, but not by place');
SELECT lives_ok('SELECT chatrel.erase_user(9002)', 'twice is no mistake');

SELECT * FROM finish();
ROLLBACK;
