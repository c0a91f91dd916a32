-- The scenario of following by name only, and lists in one query.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(17);

INSERT INTO chatrel.users (id, username) SELECT 9000 + n, 'follow' || n FROM generate_series(1, 300) n;
SET LOCAL chatrel.user_id = 9001;
SELECT chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 9010 AND 9300), 'posts');
SELECT chatrel.follow_many('{9002,9003,9010}', 'name_only');
SELECT chatrel.follow(9001, as_user => id) FROM chatrel.users WHERE id BETWEEN 9100 AND 9300;
SELECT chatrel.follow(9001, 'name_only', as_user => 9005);

-- 0 is name_only, 1 is posts, which is the default
SELECT col_default_is('chatrel', 'relationships', 'follow_type', 'posts', 'to follow is to follow the posts');
SELECT col_default_is('chatrel', 'relationships', 'follow_type', 'posts', 'posts by default');
SELECT set_eq($$SELECT id FROM chatrel.following(follow_type => 'name_only')$$, ARRAY[9002, 9003, 9010], 'users I follow by name only');
SELECT is((SELECT count(*) FROM chatrel.following(follow_type => 'posts', row_limit => 1000)), 290::bigint, 'users whose posts I follow');
SELECT is((SELECT count(*) FROM chatrel.following(row_limit => 1000)), 293::bigint, 'users I follow');
SELECT set_eq($$SELECT id FROM chatrel.followers(follow_type => 'name_only')$$, ARRAY[9005], 'users that follow me by name only');
SELECT results_eq($$SELECT follow_type::text FROM chatrel.relationship_to('{9002,9011,9001}')$$, $$VALUES ('name_only'), ('posts'), (NULL)$$, 'what may be shown to me');

/* The lines of a plan. */
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query; END $$;

/* How often a query has scanned a table of chatrel's. */
CREATE FUNCTION pg_temp.scans(tablename text) RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables
	WHERE schemaname = 'chatrel' AND relname = tablename $$;
CREATE TEMP TABLE before AS SELECT pg_temp.scans('relationships') AS n;
SELECT is((SELECT count(*) FROM chatrel.following(row_limit => 300)), 293::bigint);
SELECT is(pg_temp.scans('relationships') - (SELECT n FROM before), 1::bigint, 'a list of 293 is one scan of relationships');
UPDATE before SET n = pg_temp.scans('relationships');
SELECT is((SELECT count(*) FROM chatrel.followers(row_limit => 300)), 202::bigint);
SELECT is(pg_temp.scans('relationships') - (SELECT n FROM before), 1::bigint, 'so is one of 202 followers');

-- composable with further conditions, in one query, as the role of a user
ANALYZE chatrel.relationships, chatrel.users;
CREATE ROLE follow_reader;
GRANT USAGE ON SCHEMA chatrel TO follow_reader;
UPDATE chatrel.users SET role_name = 'follow_reader' WHERE id = 9001;
RESET chatrel.user_id;
-- the tables are small here
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL ROLE follow_reader;
PREPARE name_only AS
	SELECT u.id, u.username FROM chatrel.relationships r JOIN chatrel.users u ON u.id = r.followed_id
	WHERE r.follower_id = 9001 AND r.follow_type = 'name_only' AND u.username <> 'follow3' ORDER BY r.id DESC;
SELECT results_eq('name_only', $$VALUES (9002::bigint, 'follow2'), (9010, 'follow10')$$, 'a list with a condition of one''s own');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Scan.* on relationships r$'), 1::bigint, 'EXPLAIN: relationships once');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Scan.* on users u$'), 1::bigint, 'EXPLAIN: users once, joined');
SELECT ok(EXISTS (SELECT FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Index.* Scan.* using relationships_follower_id_type_idx'), 'EXPLAIN: by the index for types other than the default');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ '^ *InitPlan'), 2::bigint, 'EXPLAIN: who asks is found once for each table, not for each row');
RESET ROLE;

-- deleting a user deletes its rows in the join table
SELECT chatrel.delete_user(9001);
SELECT is_empty('SELECT * FROM chatrel.relationships WHERE 9001 IN (follower_id, followed_id)', 'the rows of a deleted user are gone');

SELECT * FROM finish();
ROLLBACK;
