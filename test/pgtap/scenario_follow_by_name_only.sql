-- The scenario of following by name only.
\ir scenario.psql
SELECT plan(11);

CREATE TEMP TABLE people AS SELECT u.id, n FROM generate_series(1, 300) n, chatrel.create_user('follow' || n) u;
SELECT array_agg(id) FILTER (WHERE n >= 10) AS posts, array_agg(id) FILTER (WHERE n IN (2, 3, 10)) AS names,
	array_agg(id ORDER BY n) FILTER (WHERE n IN (1, 2, 11)) AS some, min(id) FILTER (WHERE n = 1) AS me FROM people \gset
SET chatrel.user_id = :me;
SELECT is(chatrel.follow_many(:'posts', 'posts'), 291::bigint, 'I follow many for their posts');
SELECT is(chatrel.follow_many(:'names', 'name_only'), 2::bigint, 'and some by name only, one of whom I followed before');
SELECT chatrel.follow(:me, as_user => id) FROM people WHERE n >= 100;
SELECT chatrel.follow(:me, 'name_only', as_user => id) FROM people WHERE n = 5;

-- 0 is name_only, 1 is posts, which is the default
SELECT results_eq(format('SELECT follow_type FROM people, chatrel.relationship_to(%L, as_user => people.id) WHERE n IN (5, 100) ORDER BY n', ARRAY[:me]), ARRAY['name_only', 'posts'], 'to follow is to follow the posts');
SELECT set_eq($$SELECT username FROM chatrel.following(follow_type => 'name_only')$$, ARRAY['follow2', 'follow3', 'follow10'], 'users I follow by name only');
SELECT is((SELECT count(*) FROM chatrel.following(follow_type => 'posts', row_limit => 1000)), 290::bigint, 'users whose posts I follow');
SELECT is((SELECT count(*) FROM chatrel.following(row_limit => 1000)), 293::bigint, 'users I follow');
SELECT set_eq($$SELECT username FROM chatrel.followers(follow_type => 'name_only')$$, ARRAY['follow5'], 'users that follow me by name only');
SELECT is((SELECT count(*) FROM chatrel.followers(row_limit => 1000)), 202::bigint, 'users that follow me');
SELECT results_eq(format('SELECT follow_type::text FROM chatrel.relationship_to(%L)', :'some'), $$VALUES (NULL), ('name_only'), ('posts')$$, 'what may be shown to me');

-- deleting a user deletes what it follows, and its followers
SELECT chatrel.delete_user(:me);
SELECT results_eq($$SELECT following, followers FROM people, chatrel.follow_counts(id, as_user => id) WHERE n IN (2, 5, 100, 300) ORDER BY n$$, 'SELECT 0::bigint, 0::bigint FROM generate_series(1, 4)', 'a deleted user is followed by nobody, and follows nobody');
SELECT is((SELECT count(*) FROM people, chatrel.following(as_user => id) WHERE n >= 100), 0::bigint, 'of all who followed it');

SELECT * FROM finish();
