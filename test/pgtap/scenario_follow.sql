-- The scenario of the follow model, active and passive relationships as two sides of one thing.
\ir scenario.psql
SELECT plan(19);

SELECT (chatrel.create_user('michael')).id AS michael, (chatrel.create_user('archer')).id AS archer, (chatrel.create_user('lana')).id AS lana \gset
SET chatrel.user_id = :michael;

-- the article's own test: should follow and unfollow a user
SELECT ok(NOT chatrel.is_following(:archer), 'michael does not follow archer');
SELECT ok(chatrel.follow(:archer), 'michael follows archer');
SELECT ok(chatrel.is_following(:archer), 'michael is following archer');
SELECT ok(EXISTS (SELECT FROM chatrel.followers(:archer) WHERE id = :michael), 'archer''s followers include michael');
SELECT ok(chatrel.unfollow(:archer), 'michael unfollows archer');
SELECT ok(NOT chatrel.is_following(:archer), 'michael does not follow archer any more');

-- not symmetric
SELECT chatrel.follow(:archer);
SELECT ok(NOT chatrel.is_following(:michael, :archer), 'archer does not follow michael for that');
SELECT is_empty('SELECT * FROM chatrel.friends()', 'so they are no friends');

-- nobody is followed twice, nor follows itself or nobody
SELECT ok(NOT chatrel.follow(:archer), 'twice');
SELECT results_eq('SELECT username FROM chatrel.following()', ARRAY['archer'], 'is once');
SELECT throws_ok(format('SELECT chatrel.follow(%s)', :michael), '22023', format('user %s cannot follow itself', :michael), 'oneself');
SELECT throws_ok(format('SELECT chatrel.follow(%s)', :lana + 1), 'P0002', format('user %s does not exist', :lana + 1), 'nobody');
SELECT throws_ok('SELECT chatrel.follow(NULL)', '22023', NULL, 'null');

-- "2 following, 1 follower" without loading the lists
SELECT chatrel.follow(:lana), chatrel.follow(:michael, as_user => :lana);
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (2::bigint, 1::bigint)', 'counts');
SELECT results_eq(format('SELECT * FROM chatrel.follow_counts(%s)', :lana), 'VALUES (1::bigint, 1::bigint)', 'counts of another');

-- deleting a user deletes the relationships on both sides
SELECT lives_ok(format('SELECT chatrel.delete_user(%s)', :lana));
SELECT results_eq('SELECT username FROM chatrel.following()', ARRAY['archer'], 'the deleted user is followed no more');
SELECT is_empty('SELECT * FROM chatrel.followers()', 'nor follows');
SELECT results_eq('SELECT * FROM chatrel.follow_counts()', 'VALUES (1::bigint, 0::bigint)', 'and no longer counts');

SELECT * FROM finish();
