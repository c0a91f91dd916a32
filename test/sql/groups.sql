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

DROP TABLE channels;
DROP EXTENSION chatrel;
