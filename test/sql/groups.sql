-- Groups: creating, joining, leaving, and reading them.

SET TimeZone = 'UTC';
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;

---------------------------------------------------------------------------
-- create_group
---------------------------------------------------------------------------

SET chatrel.user_id = 1;
BEGIN;
SELECT id, name, creator_id, created_at = now() AS now FROM chatrel.create_group('one');
SELECT id, name, creator_id FROM chatrel.create_group(name => 'two', join_this_group => true);
SELECT id, name, creator_id FROM chatrel.create_group('three', as_user => 2, join_this_group => true);
COMMIT;
SELECT pg_typeof(chatrel.create_group('typed'));
SELECT group_id, user_id FROM chatrel.groups_members ORDER BY id;
-- names are as they are written
SELECT chatrel.create_group('one');
SELECT name FROM chatrel.create_group('One');
SELECT name FROM chatrel.create_group(' one ');
SELECT name FROM chatrel.create_group('☃ "x" ''y'' \');
-- a name is free again when its creation was rolled back
BEGIN;
SELECT name FROM chatrel.create_group('rolled back', true);
ROLLBACK;
SELECT count(*) FROM chatrel.groups WHERE name = 'rolled back';
SELECT name FROM chatrel.create_group('rolled back');
-- an existing name in one transaction with others
BEGIN;
SELECT name FROM chatrel.create_group('kept');
SAVEPOINT a;
SELECT chatrel.create_group('one');
ROLLBACK TO a;
COMMIT;
SELECT count(*) FROM chatrel.groups WHERE name = 'kept';

---------------------------------------------------------------------------
-- join_group, leave_group
---------------------------------------------------------------------------

SELECT chatrel.join_group(1);
SELECT chatrel.join_group(1);
SELECT chatrel.join_group(1, as_user => 2);
SELECT chatrel.join_group(group_id => 1, as_user => 3);
SELECT user_id FROM chatrel.groups_members WHERE group_id = 1 ORDER BY id;
SELECT chatrel.leave_group(1, as_user => 2);
SELECT chatrel.leave_group(1, as_user => 2);
SELECT chatrel.leave_group(group_id => 3);
SELECT user_id FROM chatrel.groups_members WHERE group_id = 1 ORDER BY id;
-- who comes back comes last
SELECT chatrel.join_group(1, as_user => 2);
SELECT user_id FROM chatrel.groups_members WHERE group_id = 1 ORDER BY id;
-- who listens is told the channel: each has its own
SELECT count(*) AS channels, count(DISTINCT channel) AS distinct_channels FROM chatrel.listen();
SELECT count(*) AS channels FROM chatrel.groups_channels WHERE group_id = 2;
UNLISTEN *;
-- leaving replaces it, and nothing else does
CREATE TEMP TABLE channels AS SELECT * FROM chatrel.groups_channels;
SELECT chatrel.join_group(2, as_user => 2);
SELECT id FROM chatrel.send_group_message(2, 'm', '2021-01-01 00:00+00', as_user => 2);
SELECT chatrel.leave_group(2, as_user => 3);
SELECT count(*) AS replaced FROM chatrel.groups_channels c JOIN channels USING (group_id) WHERE c.channel <> channels.channel;
SELECT chatrel.leave_group(2, as_user => 2);
SELECT group_id AS replaced FROM chatrel.groups_channels c JOIN channels USING (group_id) WHERE c.channel <> channels.channel;
-- the last member may leave, and somebody may join again
SELECT chatrel.leave_group(2);
SELECT count(*) FROM chatrel.groups_members WHERE group_id = 2;
SELECT chatrel.join_group(2);
-- rolled back
BEGIN;
SELECT chatrel.leave_group(2);
ROLLBACK;
SELECT count(*) FROM chatrel.groups_members WHERE group_id = 2;
-- within one transaction
BEGIN;
SELECT chatrel.leave_group(2), chatrel.join_group(2), chatrel.leave_group(2);
SELECT count(*) FROM chatrel.groups_members WHERE group_id = 2;
SELECT chatrel.join_group(2), chatrel.join_group(2);
COMMIT;
SELECT count(*) FROM chatrel.groups_members WHERE group_id = 2;

---------------------------------------------------------------------------
-- get_group, my_groups, me
---------------------------------------------------------------------------

SELECT chatrel.get_group(1);
SELECT chatrel.get_group(3, as_user => 2);
SELECT id, name FROM chatrel.groups g WHERE EXISTS (SELECT FROM chatrel.groups_members WHERE group_id = g.id AND user_id = 1) ORDER BY id;
-- the last message of each, the one written to last first, those without any at the end
SELECT * FROM chatrel.my_groups() LIMIT 0;
SELECT id, name, creator_id, last_message_id, last_message_sender_id, last_message FROM chatrel.my_groups();
SELECT id FROM chatrel.send_group_message(1, 'first', '2024-01-01 00:00+00');
SELECT id, name, last_message_id, last_message_datetime, last_message_sender_id, last_message FROM chatrel.my_groups();
SELECT id FROM chatrel.send_group_message(2, 'second', '2023-01-01 00:00+00');
SELECT id FROM chatrel.send_group_message(2, 'third', '2022-01-01 00:00+00');
SELECT id, last_message_id, last_message_datetime, last_message FROM chatrel.my_groups();
SELECT id, last_message FROM chatrel.my_groups(as_user => 2);
SELECT count(*) FROM chatrel.my_groups(as_user => 3);
SELECT id FROM chatrel.create_user('dan');
SELECT count(*) FROM chatrel.my_groups(as_user => 4);
SELECT chatrel.me();
SELECT chatrel.me(as_user => 4);
-- in other places than a FROM clause
SELECT (chatrel.my_groups()).name;
SELECT u.username, g.name FROM chatrel.users u, LATERAL chatrel.my_groups(u.id) g ORDER BY 1, 2;

---------------------------------------------------------------------------
-- group_members, and the first page of members in documents
---------------------------------------------------------------------------

SELECT id AS crowd FROM chatrel.create_group('crowd', true) \gset
SELECT count(chatrel.join_group(:crowd, as_user => (chatrel.create_user('m' || i)).id)) FROM generate_series(1, 60) i;
SELECT count(*), min(position) = max(position) - 49 AS in_order, bool_and(joined_at <= now()) AS past FROM chatrel.group_members(:crowd);
SELECT array_agg(username) AS first_page, max(position) AS last FROM chatrel.group_members(:crowd, row_limit => 3) \gset
SELECT :'first_page' AS first_page;
SELECT username FROM chatrel.group_members(:crowd, :last, 2);
SELECT count(*) FROM chatrel.group_members(:crowd, after => :last, row_limit => 2147483647);
SELECT count(*) FROM chatrel.group_members(:crowd, after => 9223372036854775807);
SELECT count(*) FROM chatrel.group_members(:crowd, after => -1);
-- for members only, and as if there were no such group to others
SELECT * FROM chatrel.group_members(:crowd, as_user => 2);
SELECT * FROM chatrel.group_members(99);
-- documents have the first 50, and say when there are others
CREATE FUNCTION pages(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s shown, more: %s, count: %s', jsonb_array_length(document -> 'members'), document -> 'more_members', document -> 'member_count')
$$;
SELECT pages(chatrel.get_group(:crowd)), pages(chatrel.get_group_with_chat_history(:crowd)) AS history,
	pages(jsonb_path_query_first(chatrel.me(), '$.groups[*] ? (@.name == "crowd")')) AS me;
SELECT pages(chatrel.get_group(:crowd, 60)), pages(chatrel.get_group_with_chat_history(:crowd, member_limit => 60)) AS history,
	pages(jsonb_path_query_first(chatrel.me(60), '$.groups[*] ? (@.name == "crowd")')) AS me;
SELECT pages(chatrel.get_group(:crowd, 61)), pages(chatrel.get_group(:crowd, 2147483647)) AS all_of_them;
SELECT pages(chatrel.get_group(:crowd, 0)), pages(chatrel.get_group_with_chat_history(:crowd, member_limit => 0)) AS history,
	pages(jsonb_path_query_first(chatrel.me(0), '$.groups[*] ? (@.name == "crowd")')) AS me;
SELECT pages(chatrel.get_group(:crowd, 2)), chatrel.get_group(:crowd, 2) #>> '{members, 1, username}' AS second;
SELECT jsonb_path_query_array(chatrel.me(1), '$.groups[*].members.size()') AS of_each;
DROP FUNCTION pages(jsonb);

---------------------------------------------------------------------------
-- a group that is removed takes its own with it
---------------------------------------------------------------------------

DELETE FROM chatrel.groups WHERE id = 1;
SELECT count(*) FROM chatrel.groups_members WHERE group_id = 1;
SELECT count(*) FROM chatrel.groups_messages WHERE group_id = 1;
SELECT count(*) FROM chatrel.groups_channels WHERE group_id = 1;
SELECT chatrel.get_group(1);
-- also in the transaction that has sent to it
SELECT id FROM chatrel.create_group('short-lived', true) \gset
BEGIN;
SELECT message FROM chatrel.send_group_message(:id, 'm');
DELETE FROM chatrel.groups WHERE id = :id;
COMMIT;
SELECT count(*) FROM chatrel.groups WHERE id = :id;
-- groups that were imported have a channel like all others
INSERT INTO chatrel.groups (id, name, creator_id) OVERRIDING SYSTEM VALUE VALUES (100, 'imported', 1), (101, 'imported too', 1), (102, 'and this', 1);
INSERT INTO chatrel.groups_members (group_id, user_id) VALUES (100, 1), (101, 1), (102, 1);
SELECT group_id FROM chatrel.groups_channels WHERE group_id >= 100 ORDER BY 1;
-- so have users
INSERT INTO chatrel.users (id, username) VALUES (100, 'imported');
SELECT count(*) FROM chatrel.users_channels WHERE user_id = 100;
-- rows without one, as logical replication may leave them, get it from who listens, sends or leaves
DELETE FROM chatrel.groups_channels WHERE group_id >= 100;
DELETE FROM chatrel.users_channels;
SELECT message FROM chatrel.send_group_message(100, 'to a group without a channel');
SELECT chatrel.follow(100);
SELECT chatrel.leave_group(101);
SELECT group_id FROM chatrel.groups_channels WHERE group_id >= 100 ORDER BY 1;
SELECT user_id FROM chatrel.users_channels ORDER BY 1;
SELECT group_id FROM chatrel.listen() WHERE group_id >= 100 OR group_id IS NULL ORDER BY 1;
SELECT group_id FROM chatrel.groups_channels WHERE group_id >= 100 ORDER BY 1;
SELECT user_id FROM chatrel.users_channels ORDER BY 1;
UNLISTEN *;
DELETE FROM chatrel.groups_channels WHERE group_id = 102;
SELECT chatrel.listen_group(102) AS channel \gset
SELECT :'channel' = 'chatrel_' || channel AS told FROM chatrel.groups_channels WHERE group_id = 102;
UNLISTEN *;

---------------------------------------------------------------------------
-- the owner's triggers may suppress a change, and it is not taken for made
---------------------------------------------------------------------------

CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.groups_members FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT chatrel.join_group(100, as_user => 2);
SELECT chatrel.leave_group(100);
SELECT chatrel.create_group('suppressed', true);
-- where there is nothing to change, it is said as ever
SELECT chatrel.join_group(100), chatrel.leave_group(100, as_user => 2);
CREATE TRIGGER suppress BEFORE INSERT ON chatrel.groups FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT chatrel.create_group('suppressed');
SELECT chatrel.create_group('imported');
DROP TRIGGER suppress ON chatrel.groups;
DROP TRIGGER suppress ON chatrel.groups_members;
DROP FUNCTION suppress;

DROP TABLE channels;
DROP EXTENSION chatrel;
