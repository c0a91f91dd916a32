-- The scenario of following in an application that had only its users table. Behind a proxy
-- that table is at home, and a foreign table on the proxy.
\ir scenario.psql
SELECT to_regclass('app_users') IS NULL AS unlinked \gset
\if :unlinked
\ir linked_users.psql
\endif
SELECT plan(15);

SELECT is((SELECT count(*) FROM app_users WHERE (chatrel.find_user(username)).id = id), 51::bigint, 'the application''s users are users');
SET chatrel.user_id = 51;

-- the console session
SELECT ok(chatrel.follow(1), 'user 51 follows user 1');
SELECT results_eq('SELECT f.id, g.id FROM chatrel.following() f, chatrel.followers(1) g', 'VALUES (1::bigint, 51::bigint)', 'the relationship is created');
SELECT ok(chatrel.is_following(1), 'and found');
SELECT ok(chatrel.unfollow(1), 'and destroyed');
SELECT is_empty('SELECT FROM chatrel.following() UNION ALL SELECT FROM chatrel.followers(1)', 'and is gone');

SELECT chatrel.follow(1), chatrel.follow(2), chatrel.follow(3);
SELECT results_eq('SELECT id, username FROM chatrel.following() ORDER BY id',
	$$VALUES (1::bigint, 'user1'), (2, 'user2'), (3, 'user3')$$, 'the followings of 51 are users 1, 2, 3, with their columns');
SELECT results_eq('SELECT id FROM chatrel.following()', 'VALUES (3::bigint), (2), (1)', 'newest first');
SELECT results_eq('SELECT id, username FROM chatrel.followers(1)', $$VALUES (51::bigint, 'user51')$$, 'the follower of 1 is 51');
SELECT results_eq('SELECT a.email FROM chatrel.following() f JOIN app_users a USING (id) ORDER BY id',
	$$VALUES ('user1@example.com'), ('user2@example.com'), ('user3@example.com')$$, 'the list joins with the application''s table');

-- other than oneself
SELECT throws_ok('SELECT chatrel.follow(51)', '22023', 'user 51 cannot follow itself');

-- deleting a user deletes both kinds
SELECT chatrel.follow(51, as_user => 2);
DELETE FROM app_users WHERE id = 2;
SELECT results_eq('SELECT id FROM chatrel.following() ORDER BY id', ARRAY[1, 3]::bigint[], 'deleting the application''s row deletes what followed the user');
SELECT is_empty('SELECT FROM chatrel.followers()', 'and whom it followed');
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (2::bigint, 0::bigint)', 'counts too');
SELECT throws_ok('SELECT chatrel.follow(2)', 'P0002', 'user 2 does not exist');

SELECT * FROM finish();
