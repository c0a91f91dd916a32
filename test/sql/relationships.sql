-- The follow graph: its functions, their errors, and its counters, whatever
-- way the relationships are changed.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION chatrel;
RESET client_min_messages;

BEGIN;
-- ids that do not depend on what other tests have left
INSERT INTO chatrel.users (id, username)
	SELECT 9000 + n, 'follow' || n FROM generate_series(1, 12) n;
ALTER SEQUENCE chatrel.relationships_id_seq RESTART 1;
CREATE FUNCTION pg_temp.wrong() RETURNS SETOF record LANGUAGE sql AS
	'SELECT v FROM chatrel.verify_follow_counts() v';
SET LOCAL chatrel.user_id = 9001;

-- follow and unfollow say whether anything changed
SELECT chatrel.follow(9002);
SELECT chatrel.follow(9002);
SELECT chatrel.follow(9002, 'posts');
SELECT chatrel.follow(9002, 'name_only');
SELECT chatrel.follow(9002, 'name_only');
SELECT follower_id, followed_id, follow_type FROM chatrel.relationships;
UPDATE chatrel.relationships SET updated_at = '-infinity';
SELECT chatrel.follow(9002, 'name_only'), (SELECT updated_at FROM chatrel.relationships);
SELECT chatrel.follow(9002, 'posts');
SELECT updated_at = now() AS now FROM chatrel.relationships;
SELECT chatrel.is_following(9002), chatrel.is_following(9003), chatrel.is_following(9001, 9002), chatrel.is_following(9002, as_user => 9002);
SELECT * FROM chatrel.follow_counts();
SELECT chatrel.unfollow(9002);
SELECT chatrel.unfollow(9002);
SELECT chatrel.unfollow(9001);
SELECT chatrel.is_following(9002);
SELECT * FROM chatrel.follow_counts();

-- follow_many
SELECT chatrel.follow_many('{9004,9003,9003,9002}', 'name_only');
SELECT chatrel.follow_many('{9002,9003,9004,9005,9006}');
SELECT chatrel.follow_many('{{9007,9008},{9002,9003}}', as_user => 9010);
SELECT chatrel.follow_many('{}');
SELECT id, username, follow_type FROM chatrel.following() ORDER BY id;
SELECT id FROM chatrel.following(9010);
SELECT chatrel.follow_many((SELECT array_agg(id) FROM chatrel.users WHERE id > 9000 AND id <> 9011), as_user => 9011);
SELECT * FROM chatrel.follow_counts(9011);

-- lists: newest first, pages by position
SELECT chatrel.follow(9001, as_user => 9000 + n) FROM generate_series(5, 2, -1) n;
SELECT id, username, follow_type, followed_at = now() AS now FROM chatrel.followers();
SELECT id FROM chatrel.followers(row_limit => 2);
SELECT id FROM chatrel.followers(before => (SELECT min(position) FROM chatrel.followers(row_limit => 2)), row_limit => 2);
SELECT id FROM chatrel.followers(before => 0);
SELECT chatrel.follow(9001, 'name_only', as_user => 9004), chatrel.follow(9004, 'name_only');
SELECT id FROM chatrel.followers(follow_type => 'name_only');
SELECT id FROM chatrel.followers(follow_type => 'posts');
SELECT id FROM chatrel.following(follow_type => 'name_only');
SELECT id FROM chatrel.following(9002);
SELECT id FROM chatrel.following(9012);
SELECT id, follow_type FROM chatrel.friends() ORDER BY id;
SELECT id FROM chatrel.friends(9004);
SELECT chatrel.me() -> 'friends' AS friends;
SELECT id FROM chatrel.mutual_followers(9002);
SELECT * FROM chatrel.relationship_to('{9012,9004,9002,9001,9012,0}');
SELECT * FROM chatrel.relationship_to('{}');
SELECT chatrel.follow(9008, as_user => 9002), chatrel.follow(9009, as_user => 9002), chatrel.follow(9008, as_user => 9003);
SELECT * FROM chatrel.suggest_follows();
SELECT * FROM chatrel.suggest_follows(1);
SELECT * FROM chatrel.suggest_follows(as_user => 9012);
SELECT * FROM pg_temp.wrong() AS (wrong record);

-- errors
\set ON_ERROR_ROLLBACK on
\set VERBOSITY sqlstate
SELECT chatrel.follow(9001);
SELECT chatrel.follow(NULL);
SELECT chatrel.follow(9002, NULL);
SELECT chatrel.follow(9002, '');
SELECT chatrel.follow(9002, repeat('x', 64));
SELECT chatrel.follow_many('{9002}', '');
SELECT * FROM chatrel.following(follow_type => '');
SELECT * FROM chatrel.followers(follow_type => repeat('x', 64));
SELECT chatrel.follow(42);
SELECT chatrel.follow(9002, as_user => 42);
SELECT chatrel.unfollow(NULL);
SELECT chatrel.unfollow(42);
SELECT chatrel.follow_many(NULL);
SELECT chatrel.follow_many('{9002,NULL}');
SELECT chatrel.follow_many('{9002,9001}');
SELECT chatrel.follow_many('{9002}', NULL);
SELECT chatrel.is_following(NULL);
SELECT * FROM chatrel.following(42);
SELECT * FROM chatrel.followers(42);
SELECT * FROM chatrel.followers(row_limit => 0);
SELECT * FROM chatrel.followers(row_limit => NULL);
SELECT * FROM chatrel.friends(42);
SELECT * FROM chatrel.mutual_followers(NULL);
SELECT * FROM chatrel.mutual_followers(42);
SELECT * FROM chatrel.suggest_follows(0);
SELECT * FROM chatrel.suggest_follows(as_user => 42);
SELECT * FROM chatrel.relationship_to(NULL);
SELECT * FROM chatrel.relationship_to('{1,NULL}');
SELECT * FROM chatrel.follow_counts(42);
SELECT * FROM chatrel.verify_follow_counts(NULL);
SELECT chatrel.count_follows();
\set VERBOSITY terse
SELECT chatrel.follow(9001);
SELECT chatrel.follow_many('{9002,43,42}');
SELECT chatrel.follow_many('{9002}', as_user => 42);
SELECT chatrel.follow(42);
\set VERBOSITY default
SELECT chatrel.follow(9002, repeat(U&'\2603', 22));
SELECT chatrel.follow_many('{9002}', '');
\set VERBOSITY terse
-- an error in the middle of many leaves nothing
SELECT chatrel.follow_many('{9009,42}');
SELECT chatrel.is_following(9009);
RESET chatrel.user_id;
SELECT chatrel.follow(9002);
SELECT chatrel.is_following(9002, 9001);
SELECT * FROM chatrel.follow_counts(9001);
\set ON_ERROR_ROLLBACK off
SET LOCAL chatrel.user_id = 9001;

-- counters: savepoints
SELECT * FROM chatrel.follow_counts();
SAVEPOINT s;
SELECT chatrel.follow(9009), chatrel.follow(9012);
SELECT * FROM chatrel.follow_counts();
ROLLBACK TO s;
SELECT * FROM chatrel.follow_counts();
SELECT * FROM pg_temp.wrong() AS (wrong record);

-- counters: by hand
COPY chatrel.relationships (follower_id, followed_id) FROM stdin;
9012	9001
9012	9002
9012	9003
\.
SELECT * FROM chatrel.follow_counts(9012);
UPDATE chatrel.relationships SET followed_id = 9004 WHERE follower_id = 9012 AND followed_id = 9001;
UPDATE chatrel.relationships SET follow_type = 'name_only';
SELECT * FROM pg_temp.wrong() AS (wrong record);
DELETE FROM chatrel.relationships WHERE follower_id = 9012;
SELECT * FROM chatrel.follow_counts(9012);
INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9012, 9001), (9012, 9002)
	ON CONFLICT (follower_id, followed_id) DO UPDATE SET updated_at = now();
INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9012, 9001), (9012, 9003)
	ON CONFLICT (follower_id, followed_id) DO UPDATE SET updated_at = now();
SELECT * FROM chatrel.follow_counts(9012);
WITH moved AS (DELETE FROM chatrel.relationships WHERE follower_id = 9012 RETURNING *)
	INSERT INTO chatrel.relationships (follower_id, followed_id) SELECT 9005, followed_id FROM moved
	ON CONFLICT DO NOTHING;
SELECT * FROM pg_temp.wrong() AS (wrong record);

-- counters: a user that goes, marked or for good, and several at a time
SELECT chatrel.delete_user(9004);
SELECT count(*) FROM chatrel.relationships WHERE 9004 IN (follower_id, followed_id);
SELECT count(*) FROM chatrel.follow_counters WHERE user_id = 9004;
DELETE FROM chatrel.users WHERE id IN (9003, 9005, 9008);
SELECT * FROM pg_temp.wrong() AS (wrong record);
SELECT * FROM chatrel.follow_counts();
SAVEPOINT s;
SELECT chatrel.follow(9004);
ROLLBACK TO s;

-- what the transaction has not written yet counts, and savepoints take it back
SAVEPOINT s;
SELECT chatrel.follow(9006), chatrel.follow(9007), chatrel.follow(9009);
SAVEPOINT t;
SELECT chatrel.unfollow(9006), chatrel.unfollow(9007);
SAVEPOINT u;
SELECT chatrel.follow(9007);
RELEASE u;
SELECT * FROM chatrel.follow_counts();
ROLLBACK TO t;
SELECT * FROM chatrel.follow_counts();
SAVEPOINT v;
SELECT chatrel.delete_user(9009);
SELECT * FROM chatrel.follow_counts();
SELECT * FROM pg_temp.wrong() AS (wrong record);
ROLLBACK TO v;
SELECT * FROM chatrel.follow_counts(9009);
TRUNCATE chatrel.relationships;
SELECT * FROM chatrel.follow_counts();
SELECT chatrel.follow(9006);
SELECT * FROM chatrel.follow_counts();
ROLLBACK TO v;
SELECT * FROM chatrel.follow_counts();
SELECT * FROM pg_temp.wrong() AS (wrong record);
ROLLBACK TO s;
SELECT * FROM chatrel.follow_counts();

-- verify and repair
INSERT INTO chatrel.follow_counters VALUES (9002, 0, 0, 1), (9006, 3, 0, -2), (9012, 77, 5, 5);
SELECT * FROM chatrel.verify_follow_counts();
SELECT * FROM chatrel.verify_follow_counts(repair => true);
SELECT * FROM chatrel.verify_follow_counts();
SELECT * FROM chatrel.follow_counts(9012);

-- TRUNCATE
SAVEPOINT s;
TRUNCATE chatrel.relationships;
SELECT * FROM chatrel.follow_counts();
SELECT * FROM pg_temp.wrong() AS (wrong record);
ROLLBACK TO s;
SELECT * FROM chatrel.follow_counts();
SELECT * FROM pg_temp.wrong() AS (wrong record);
SET client_min_messages = warning;
TRUNCATE chatrel.users CASCADE;
RESET client_min_messages;
SELECT count(*) FROM chatrel.follow_counters;
ROLLBACK;

-- when a transaction commits it is written, whatever it did last
BEGIN;
INSERT INTO chatrel.users (id, username) SELECT n, 'follow' || n FROM generate_series(9001, 9040) n;
SELECT count(chatrel.follow(9001, as_user => n)) FROM generate_series(9002, 9040) n;
COMMIT;
SELECT sum(followers), sum(following), count(*) FROM chatrel.follow_counters;
BEGIN;
SELECT count(chatrel.unfollow(9001, as_user => n)) FROM generate_series(9011, 9040) n;
SAVEPOINT s;
SELECT count(chatrel.unfollow(9001, as_user => n)) FROM generate_series(9002, 9010) n;
ROLLBACK TO s;
SET TRANSACTION READ ONLY;
COMMIT;
SELECT * FROM chatrel.verify_follow_counts();
SELECT sum(followers), sum(following) FROM chatrel.follow_counters;
-- each of many in a subtransaction, every other one of which fails
DO $$
BEGIN
	FOR n IN 9011 .. 9040 LOOP
		BEGIN
			PERFORM chatrel.follow(9001, as_user => n);
			PERFORM 1 / (n % 2);
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END LOOP;
END $$;
SELECT followers FROM chatrel.follow_counts(9001, as_user => 9001);
SELECT * FROM chatrel.verify_follow_counts();
-- the extension goes, and comes again, in the same transaction
SET client_min_messages = warning;
BEGIN;
SELECT chatrel.unfollow(9001, as_user => 9011);
SAVEPOINT s;
DROP EXTENSION chatrel;
CREATE EXTENSION chatrel;
INSERT INTO chatrel.users (id, username) SELECT n, 'follow' || n FROM generate_series(9001, 9040) n;
SELECT chatrel.follow(9011, as_user => 9001);
SELECT * FROM chatrel.verify_follow_counts();
ROLLBACK TO s;
COMMIT;
SELECT followers FROM chatrel.follow_counts(9001, as_user => 9001);
SELECT * FROM chatrel.verify_follow_counts();
BEGIN;
SELECT chatrel.unfollow(9001, as_user => 9002);
DROP EXTENSION chatrel;
COMMIT;
CREATE EXTENSION chatrel;
RESET client_min_messages;

-- the owner's triggers may suppress a change, and it is not taken for made
BEGIN;
INSERT INTO chatrel.users (id, username) SELECT n, 'follow' || n FROM generate_series(9001, 9004) n;
SELECT chatrel.follow_many('{9001,9003}', as_user => 9002);
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT OR UPDATE OR DELETE ON chatrel.relationships FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
\set ON_ERROR_ROLLBACK on
\set VERBOSITY default
SELECT chatrel.follow(9002, as_user => 9001);
\set VERBOSITY sqlstate
SELECT chatrel.follow(9001, 'name_only', as_user => 9002);
SELECT chatrel.follow_many('{9002,9003}', as_user => 9001);
SELECT chatrel.follow_many('{9001,9003}', 'name_only', as_user => 9002);
SELECT chatrel.unfollow(9001, as_user => 9002);
SELECT chatrel.delete_user(9001);
-- where there is nothing to change, it is said as ever
SELECT chatrel.follow(9001, as_user => 9002), chatrel.follow_many('{9001,9003,9003}', as_user => 9002), chatrel.unfollow(9002, as_user => 9001);
\set VERBOSITY terse
\set ON_ERROR_ROLLBACK off
ROLLBACK;

-- nor may they put in whom there is not
BEGIN;
INSERT INTO chatrel.users (id, username) SELECT n, 'follow' || n FROM generate_series(9001, 9002) n;
CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.followed_id := 9999; RETURN NEW; END';
CREATE TRIGGER forge BEFORE INSERT ON chatrel.relationships FOR EACH ROW EXECUTE FUNCTION pg_temp.forge();
SELECT chatrel.follow(9002, as_user => 9001);
ROLLBACK;

-- a snapshot of its own
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM chatrel.verify_follow_counts(repair => true);
ROLLBACK;

-- who may what
BEGIN;
CREATE ROLE regress_follow_stranger;
GRANT USAGE ON SCHEMA chatrel TO regress_follow_stranger;
INSERT INTO chatrel.users (id, username, role_name) VALUES (9001, 'follow1', NULL), (9002, 'follow2', 'regress_follow_reader');
INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9001, 9002);
CREATE ROLE regress_follow_reader;
GRANT USAGE ON SCHEMA chatrel TO regress_follow_reader;
SET LOCAL ROLE regress_follow_stranger;
SELECT follower_id, followed_id FROM chatrel.relationships;
SET LOCAL ROLE regress_follow_reader;
SELECT follower_id, followed_id FROM chatrel.relationships WHERE 9001 IN (follower_id, followed_id);
SELECT chatrel.follow(9001);
SELECT * FROM chatrel.follow_counts(9001);
SELECT id FROM chatrel.friends();
SAVEPOINT s;
INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (9001, 9002);
ROLLBACK TO s;
DELETE FROM chatrel.relationships;
ROLLBACK TO s;
SELECT chatrel.follow(9002, as_user => 9001);
ROLLBACK TO s;
SELECT * FROM chatrel.follow_counters;
ROLLBACK TO s;
SELECT * FROM chatrel.verify_follow_counts();
ROLLBACK TO s;
CREATE TEMP TABLE forged (follower_id bigint, followed_id bigint);
CREATE TRIGGER forge AFTER INSERT ON forged REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION chatrel.count_follows();
ROLLBACK;
DROP EXTENSION chatrel;
