-- A function that reads sees what functions of the same statement have written before it:
-- every pair of a writer and a reader; of others it sees what the statement sees.

SET client_min_messages = warning;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 4) AS i;
SET chatrel.user_id = 1;
SELECT id FROM chatrel.create_group('first', true, as_user => 2);

-- what a join is followed by
SELECT jsonb_path_query_array(chatrel.get_group(1), '$.members[*].id') AS members FROM chatrel.join_group(1);
BEGIN;
SELECT m.user_id FROM chatrel.join_group(1, as_user => 3), LATERAL chatrel.group_members(1, as_user => 3) AS m;
ROLLBACK;
BEGIN;
SELECT chatrel.join_group(1, as_user => 3), (SELECT count(*) FROM chatrel.my_groups(3)) AS groups;
ROLLBACK;
BEGIN;
SELECT jsonb_path_query_array(chatrel.me(as_user => 3), '$.groups[*].id') AS groups FROM chatrel.join_group(1, as_user => 3);
ROLLBACK;
BEGIN;
SELECT chatrel.get_group_with_chat_history(1, as_user => 3) -> 'messages' AS messages FROM chatrel.join_group(1, as_user => 3);
ROLLBACK;
BEGIN;
SELECT chatrel.get_group(1) FROM chatrel.leave_group(1);
ROLLBACK;

-- a group, a message, a whiteboard
SELECT chatrel.get_group(id) ->> 'name' AS created FROM chatrel.create_group('second', true);
SELECT message, m.text FROM chatrel.send_group_message(1, 'sent'), LATERAL (SELECT message AS text FROM chatrel.group_messages(1)) m;
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1), '$.messages[*].message') AS history FROM chatrel.send_group_message(1, 'sent too');
SELECT jsonb_path_query_array(chatrel.sync(), '$.events[*].group_message.message') AS synced FROM chatrel.send_group_message(1, 'and synced');
SELECT last_message FROM chatrel.send_group_message(1, 'the last'), LATERAL chatrel.my_groups() AS mine WHERE mine.id = group_id;
SELECT chatrel.get_whiteboard((board ->> 'id')::bigint) -> 'version' AS version FROM chatrel.create_whiteboard(1) AS board;
SELECT jsonb_path_query_array(chatrel.get_whiteboard(1), '$.stickers[*].title') AS titles
	FROM chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}]}');

-- follows
SELECT chatrel.follow(2), chatrel.is_following(2), (chatrel.follow_counts()).following;
SELECT chatrel.follow(3), (SELECT array_agg(id) FROM chatrel.following()) AS following;
SELECT chatrel.follow_many(ARRAY[4]), (SELECT array_agg(user_id) FROM chatrel.relationship_to(ARRAY[4]) WHERE following) AS following;
SELECT chatrel.follow(1, as_user => 2), (SELECT array_agg(id) FROM chatrel.friends()) AS friends,
	(SELECT array_agg(id) FROM chatrel.followers()) AS followers;
SELECT chatrel.follow(1, as_user => 3);
SELECT chatrel.follow(2, as_user => 3), (SELECT array_agg(id) FROM chatrel.mutual_followers(2)) AS mutual,
	(SELECT array_agg(id) FROM chatrel.suggest_follows(as_user => 3)) AS suggested;
SELECT chatrel.unfollow(2), chatrel.is_following(2), (chatrel.follow_counts()).following;

-- users that are created and deleted; and who acts, by the role
SELECT chatrel.me(as_user => id) ->> 'username' AS created FROM chatrel.create_user('new');
SELECT chatrel.delete_user(5), (SELECT count(*) FROM chatrel.my_groups(as_user => 5));
RESET chatrel.user_id;
CREATE ROLE regress_chatrel_new;
SELECT chatrel.me() ->> 'username' AS by_role FROM chatrel.create_user('by role', current_user);

-- within functions: a reader that is called after a writer, in one that says it is stable as well
CREATE FUNCTION sees() RETURNS bigint STABLE LANGUAGE sql AS $$ SELECT count(*) FROM chatrel.group_messages(1, as_user => 2) $$;
SELECT sees() AS before, (chatrel.send_group_message(1, 'counted', as_user => 2)).message, sees() AS after;

-- in any isolation level, in a subtransaction, and not after it was rolled back
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM chatrel.groups;
SELECT chatrel.get_group(id, as_user => 1) ->> 'name' AS created FROM chatrel.create_group('third', true, as_user => 1);
SAVEPOINT s;
SELECT jsonb_array_length(chatrel.get_group(1, as_user => 4) -> 'members') AS members FROM chatrel.join_group(1, as_user => 4);
ROLLBACK TO s;
SELECT jsonb_array_length(chatrel.get_group(1, as_user => 1) -> 'members') AS members;
COMMIT;

-- where the server works in parallel there is nothing of one's own to see
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE t AS SELECT i FROM generate_series(1, 10000) AS i;
ANALYZE t;
EXPLAIN (COSTS OFF) SELECT count(*), chatrel.get_group(1, as_user => 1) ->> 'name' FROM t;
BEGIN;
SELECT id FROM chatrel.create_group('fourth', true, as_user => 1);
SELECT count(*), chatrel.get_group(1, as_user => 1) ->> 'name' AS name FROM t;
CREATE TABLE made AS SELECT count(*), chatrel.get_group(1, as_user => 1) ->> 'name' AS name FROM t;
COMMIT;
TABLE made;

DROP TABLE t, made;
DROP FUNCTION sees();
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_new;
