-- The scenario of the follow model, active and passive relationships over one table.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(27);

-- one table serves both directions
SELECT has_table('chatrel', 'relationships', 'there are relationships');
SELECT columns_are('chatrel', 'relationships',
	ARRAY['id', 'follower_id', 'followed_id', 'follow_type', 'created_at', 'updated_at']);
SELECT col_not_null('chatrel', 'relationships', 'follower_id', 'a follower is required');
SELECT col_not_null('chatrel', 'relationships', 'followed_id', 'a followed user is required');
SELECT col_is_pk('chatrel', 'relationships', ARRAY['follower_id', 'followed_id'], 'the pair is unique');
SELECT fk_ok('chatrel', 'relationships', 'follower_id', 'chatrel', 'users', 'id');
SELECT fk_ok('chatrel', 'relationships', 'followed_id', 'chatrel', 'users', 'id');
SELECT has_index('chatrel', 'relationships', 'relationships_follower_id_idx', ARRAY['follower_id', 'id'], 'whom one follows is indexed');
SELECT has_index('chatrel', 'relationships', 'relationships_followed_id_idx', ARRAY['followed_id', 'id'], 'who follows one is indexed');

INSERT INTO chatrel.users (id, username) VALUES (9001, 'michael'), (9002, 'archer'), (9003, 'lana');
SET LOCAL chatrel.user_id = 9001;

-- the article's own test: should follow and unfollow a user
SELECT ok(NOT chatrel.is_following(9002), 'michael does not follow archer');
SELECT ok(chatrel.follow(9002), 'michael follows archer');
SELECT ok(chatrel.is_following(9002), 'michael is following archer');
SELECT ok(EXISTS (SELECT FROM chatrel.followers(9002) WHERE id = 9001), 'archer''s followers include michael');
SELECT ok(chatrel.unfollow(9002), 'michael unfollows archer');
SELECT ok(NOT chatrel.is_following(9002), 'michael does not follow archer any more');

-- not symmetric
SELECT chatrel.follow(9002);
SELECT ok(NOT chatrel.is_following(9001, 9002), 'archer does not follow michael for that');
SELECT is_empty('SELECT * FROM chatrel.friends()', 'so they are no friends');

-- even a hand-made row cannot follow twice, follow oneself, or follow nobody
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9001, 9002)', '23505', NULL, 'twice');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9001, 9001)', '23514', NULL, 'oneself');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9001, 42)', '23503', NULL, 'nobody');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id) VALUES (9001)', '23502', NULL, 'null');

-- "2 following, 1 follower" without loading the lists
SELECT chatrel.follow(9003), chatrel.follow(9001, as_user => 9003);
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (2::bigint, 1::bigint)', 'counts');
SELECT results_eq('SELECT * FROM chatrel.follow_counts(9003)', 'VALUES (1::bigint, 1::bigint)', 'counts of another');

-- deleting a user deletes the relationships on both sides
SELECT lives_ok('SELECT chatrel.delete_user(9003)');
SELECT is_empty('SELECT * FROM chatrel.relationships WHERE 9003 IN (follower_id, followed_id)', 'the relationships of a deleted user are gone');
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (1::bigint, 0::bigint)', 'and no longer count');
DELETE FROM chatrel.users WHERE id = 9002;
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (0::bigint, 0::bigint)', 'nor do those of a row deleted for good');

SELECT * FROM finish();
ROLLBACK;
