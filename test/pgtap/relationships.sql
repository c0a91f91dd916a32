-- The follow graph as a user reads its contract.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(70);

-- objects: one table serves both directions
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
SELECT col_type_is('chatrel', 'relationships', 'follow_type', 'text', 'a type is what the application calls so');
SELECT col_default_is('chatrel', 'relationships', 'follow_type', 'posts', 'and posts by default');
SELECT col_has_check('chatrel', 'relationships', 'follow_type', 'within bounds');
SELECT col_has_check('chatrel', 'relationships', ARRAY['follower_id', 'followed_id'], 'no relationship with oneself');
SELECT policies_are('chatrel', 'relationships', ARRAY['relationships_read']);
SELECT policy_cmd_is('chatrel', 'relationships', 'relationships_read'::name, 'SELECT', 'for reading');
SELECT triggers_are('chatrel', 'relationships', ARRAY['count_follows_insert', 'count_follows_update', 'count_follows_delete', 'count_follows_truncate']);
SELECT table_privs_are('chatrel', 'follow_counters', 'pg_read_all_stats', ARRAY[]::text[], 'counters are private');
SELECT table_privs_are('chatrel', 'relationships', 'pg_read_all_stats', ARRAY['SELECT'], 'relationships are read only');
SELECT function_privs_are('chatrel', 'verify_follow_counts', ARRAY['boolean'], 'pg_read_all_stats', ARRAY[]::text[], 'verifying is administrative');
SELECT function_privs_are('chatrel', 'count_follows', ARRAY[]::text[], 'pg_read_all_stats', ARRAY[]::text[], 'the trigger is nobody''s');
SELECT bag_eq($$SELECT p.proname::text FROM pg_proc p WHERE pronamespace = 'chatrel'::regnamespace AND prosecdef$$, ARRAY[]::text[], 'no function takes rights before it looks at the caller''s');
SELECT function_returns('chatrel', 'follow', ARRAY['bigint', 'text', 'bigint'], 'boolean');
SELECT function_returns('chatrel', 'unfollow', ARRAY['bigint', 'bigint'], 'boolean');
SELECT function_returns('chatrel', 'follow_counts', ARRAY['bigint', 'bigint'], 'chatrel.follow_totals');
SELECT set_has($$SELECT c.relname::text FROM pg_extension e, unnest(e.extconfig) t JOIN pg_class c ON c.oid = t WHERE extname = 'chatrel'$$,
	$$VALUES ('relationships'), ('relationships_id_seq')$$, 'pg_dump keeps relationships');
SELECT set_hasnt($$SELECT c.relname::text FROM pg_extension e, unnest(e.extconfig) t JOIN pg_class c ON c.oid = t WHERE extname = 'chatrel'$$,
	$$VALUES ('follow_counters')$$, 'but not what is made of it');

INSERT INTO chatrel.users (id, username) SELECT 10000 + n, 'follow' || n FROM generate_series(1, 600) n;
SET LOCAL chatrel.user_id = 10001;

-- idempotent
SELECT results_eq('SELECT chatrel.follow(10002) FROM generate_series(1, 3)', 'VALUES (true), (false), (false)', 'follow tells whether it changed anything');
SELECT results_eq($$SELECT chatrel.follow(10002, 'name_only') FROM generate_series(1, 2)$$, 'VALUES (true), (false)', 'so it does when it changes the type');
SELECT results_eq('SELECT chatrel.unfollow(10002) FROM generate_series(1, 2)', 'VALUES (true), (false)', 'and unfollow');

-- even a hand-made row cannot follow twice, follow oneself, or follow nobody
SELECT chatrel.follow(10002);
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (10001, 10002)', '23505', NULL, 'twice');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (10001, 10001)', '23514', NULL, 'oneself');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (10001, 42)', '23503', NULL, 'nobody');
SELECT throws_ok('INSERT INTO chatrel.relationships (follower_id) VALUES (10001)', '23502', NULL, 'null');

-- types: what the application says
SELECT ok(chatrel.follow(10002, 'close friends') AND chatrel.follow(10003, repeat('x', 63)) AND chatrel.follow(10004, U&'\2603') AND chatrel.follow(10005), 'any label up to 63 bytes');
SELECT results_eq($$SELECT id, follow_type FROM unnest(ARRAY['close friends', repeat('x', 63), U&'\2603', 'posts', 'x', 'Posts', 'close friends ']) WITH ORDINALITY AS l (label, n), chatrel.following(follow_type => label) ORDER BY n$$,
	$$VALUES (10002::bigint, 'close friends'), (10003, repeat('x', 63)), (10004, U&'\2603'), (10005, 'posts')$$, 'is what lists are asked by, and nothing else');
SELECT results_eq($$SELECT id, follow_type FROM chatrel.followers(10002, follow_type => 'close friends')$$, $$VALUES (10001::bigint, 'close friends')$$, 'on either side');
SELECT results_eq($$SELECT follow_type FROM chatrel.relationship_to('{10002,10004,10005,10006}')$$, $$VALUES ('close friends'), (U&'\2603'), ('posts'), (NULL)$$, 'and what is told of whom one follows');
SELECT is(chatrel.follow_many('{10002,10003,10004,10005}', 'muted'), 0::bigint, 'nobody is new');
SELECT results_eq('SELECT DISTINCT follow_type FROM chatrel.following()', $$VALUES ('muted')$$, 'but all are followed so');
SELECT throws_ok(format('INSERT INTO chatrel.relationships (follower_id, followed_id, follow_type) VALUES (10001, 10006, %L)', label), '23514', NULL, 'nor is one stored that ' || what)
	FROM (VALUES ('', 'is empty'), (repeat(U&'\2603', 22), 'has 66 bytes')) v (label, what);
SELECT is((SELECT count(chatrel.unfollow(id)) FROM chatrel.following()), 4::bigint, 'as before');

-- pages
SELECT is(chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 10002 AND 10500)), 499::bigint, 'follow_many returns how many are new');
SELECT is(chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 10002 AND 10600)), 100::bigint, 'and not those that are not');
CREATE FUNCTION pg_temp.pages() RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE last bigint; seen bigint[]; positions bigint[];
BEGIN
	LOOP
		SELECT array_agg(f.id), array_agg(f.position) INTO seen, positions FROM chatrel.following(before => last, row_limit => 97) f;
		EXIT WHEN seen IS NULL;
		RETURN QUERY SELECT unnest(seen);
		last := positions[cardinality(positions)];
	END LOOP;
END $$;
SELECT results_eq('SELECT * FROM pg_temp.pages()', 'SELECT followed_id FROM chatrel.relationships WHERE follower_id = 10001 ORDER BY id DESC', 'pages give everybody once, newest first');
SELECT is((SELECT count(*) FROM chatrel.following()), 50::bigint, 'a page is 50');
SELECT is((SELECT count(*) FROM chatrel.followers(10600)), 1::bigint, 'followers of another');

-- friends and mutual followers, from either side
SELECT chatrel.follow(10001, as_user => 10002), chatrel.follow(10003, as_user => 10002), chatrel.follow(10001, as_user => 10003);
SELECT chatrel.follow(10001, as_user => id), chatrel.follow(10003, as_user => id) FROM chatrel.users WHERE id BETWEEN 10010 AND 10013;
SELECT chatrel.follow(10001, as_user => id) FROM chatrel.users WHERE id BETWEEN 10020 AND 10025;
SELECT set_eq('SELECT id FROM chatrel.friends()', 'SELECT followed_id FROM chatrel.relationships a WHERE follower_id = 10001 AND EXISTS (SELECT FROM chatrel.relationships b WHERE b.follower_id = a.followed_id AND b.followed_id = 10001)', 'friends follow each other');
SELECT set_eq('SELECT id FROM chatrel.mutual_followers(10003)', ARRAY[10002, 10010, 10011, 10012, 10013], 'mutual followers, of who has fewer');
SELECT set_eq('SELECT id FROM chatrel.mutual_followers(10001, as_user => 10003)', ARRAY[10002, 10010, 10011, 10012, 10013], 'mutual followers, of who has more');
SELECT set_eq($$SELECT (f ->> 'id')::bigint FROM jsonb_array_elements(chatrel.me() -> 'friends') f$$, 'SELECT id FROM chatrel.friends()', 'me() has the friends');

-- suggestions: not oneself, not whom one follows, not the deleted, and bounded
SELECT chatrel.unfollow(id) FROM chatrel.users WHERE id BETWEEN 10100 AND 10600;
SELECT chatrel.follow(id, as_user => 10002) FROM chatrel.users WHERE id BETWEEN 10100 AND 10103;
SELECT chatrel.follow(id, as_user => 10003) FROM chatrel.users WHERE id BETWEEN 10102 AND 10104;
SELECT chatrel.delete_user(10102);
SELECT results_eq('SELECT id, followed_by_count FROM chatrel.suggest_follows()', 'VALUES (10103::bigint, 2::bigint), (10100, 1), (10101, 1), (10104, 1)', 'suggestions are ranked');
SELECT chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 10300 AND 10599), as_user => 10003);
SELECT is((SELECT count(*) FROM chatrel.suggest_follows(1000)), 203::bigint, 'the newest 200 of each are looked at');
SELECT chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 10300 AND 10599));
SELECT is_empty('SELECT * FROM chatrel.suggest_follows()', 'and of the newest 200 whom one follows');

-- counters
SELECT results_eq('SELECT following, followers FROM chatrel.follow_counts(10003)', 'SELECT (SELECT count(*) FROM chatrel.relationships WHERE follower_id = 10003), (SELECT count(*) FROM chatrel.relationships WHERE followed_id = 10003)', 'counts are right');
SELECT is_empty('SELECT * FROM chatrel.verify_follow_counts()', 'for everybody');
SET LOCAL session_replication_role = replica;
DELETE FROM chatrel.relationships WHERE followed_id = 10010;
SET LOCAL session_replication_role = origin;
SELECT is((SELECT count(*) FROM chatrel.verify_follow_counts(true)), 2::bigint, 'a replica''s changes do not count: it receives the counters as well');
SELECT is_empty('SELECT * FROM chatrel.verify_follow_counts()', 'repaired');

-- lists in one query
INSERT INTO chatrel.users (id, username) SELECT 20000 + n, 'reader' || n FROM generate_series(1, 300) n;
SET LOCAL chatrel.user_id = 20001;
SELECT chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id BETWEEN 20010 AND 20300));
SELECT chatrel.follow_many('{20002,20003,20010}', 'name_only');
SELECT chatrel.follow(20001, as_user => id) FROM chatrel.users WHERE id BETWEEN 20100 AND 20300;
SELECT chatrel.follow(20001, 'name_only', as_user => 20005);

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

-- and composable with further conditions, in one query, as the role of a user
/* The lines of a plan. */
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query; END $$;
ANALYZE chatrel.relationships, chatrel.users;
CREATE ROLE follow_reader;
GRANT USAGE ON SCHEMA chatrel TO follow_reader;
UPDATE chatrel.users SET role_name = 'follow_reader' WHERE id = 20001;
RESET chatrel.user_id;
-- the tables are small here
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL ROLE follow_reader;
PREPARE name_only AS
	SELECT u.id, u.username FROM chatrel.relationships r JOIN chatrel.users u ON u.id = r.followed_id
	WHERE r.follower_id = 20001 AND r.follow_type = 'name_only' AND u.username <> 'reader3' ORDER BY r.id DESC;
SELECT results_eq('name_only', $$VALUES (20002::bigint, 'reader2'), (20010, 'reader10')$$, 'a list with a condition of one''s own');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Scan.* on relationships r$'), 1::bigint, 'EXPLAIN: relationships once');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Scan.* on users u$'), 1::bigint, 'EXPLAIN: users once, joined');
SELECT ok(EXISTS (SELECT FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ 'Index.* Scan.* using relationships_follower_id_type_idx'), 'EXPLAIN: by the index for types other than the default');
SELECT is((SELECT count(*) FROM pg_temp.plan_of('EXECUTE name_only') l WHERE l ~ '^ *InitPlan'), 2::bigint, 'EXPLAIN: who asks is found once for each table, not for each row');
RESET ROLE;

-- deleting a user deletes the relationships on both sides, and so does a row deleted for good
SELECT chatrel.delete_user(20001);
SELECT is_empty('SELECT * FROM chatrel.relationships WHERE 20001 IN (follower_id, followed_id)', 'the rows of a deleted user are gone');
SELECT chatrel.follow(20003, as_user => 20002), chatrel.follow(20002, as_user => 20003);
DELETE FROM chatrel.users WHERE id = 20002;
SELECT is_empty('SELECT * FROM chatrel.relationships WHERE 20002 IN (follower_id, followed_id)', 'and those of a row deleted for good');
SELECT results_eq('SELECT * FROM chatrel.follow_counts(20003, as_user => 20003)', 'VALUES (0::bigint, 0::bigint)', 'which count no more');

SELECT * FROM finish();
ROLLBACK;
