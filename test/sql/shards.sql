-- A database that is one of several: where its ids begin.

CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_app;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_app;
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate

-- out of range, by whom it is not for, in a transaction that only reads
SELECT chatrel.become_shard(-1);
SELECT chatrel.become_shard(32768);
SELECT chatrel.become_shard(NULL);
BEGIN READ ONLY;
SELECT chatrel.become_shard(1);
COMMIT;
SET ROLE regress_chatrel_app;
SELECT chatrel.become_shard(1);
SELECT chatrel.become_home();
RESET ROLE;
\set VERBOSITY default

-- a database is home
SELECT chatrel.become_home();
SELECT chatrel.become_shard(0);

-- there and back, while there is nothing; users may be there
SELECT (chatrel.create_user('u' || i)).id FROM generate_series(1, 2) AS i;
SELECT chatrel.become_shard(32767), chatrel.become_shard(32767), chatrel.become_home();
SELECT (chatrel.create_group('home', true, as_user => 1)).id;
SELECT id > 0 AND id < 100 AS at_home FROM chatrel.send_group_message(1, 'x', as_user => 1);
SELECT chatrel.become_shard(3);
SELECT chatrel.delete_group(1, as_user => 1);
SELECT chatrel.purge_messages('infinity') > 0 AS purged;
SELECT chatrel.become_shard(3);
SELECT chatrel.become_shard(3);

-- the ids say it
SELECT (chatrel.create_group('g', true, as_user => 1)).id - (3::bigint << 48) AS "group";
SELECT (3::bigint << 48) + 1 AS g \gset
SELECT id >> 48 AS shard FROM chatrel.send_group_message(:g, 'hello', as_user => 1);
SELECT DISTINCT id >> 48 AS shard FROM chatrel.events;
SELECT (chatrel.create_whiteboard(:g, as_user => 1) ->> 'id')::bigint - (3::bigint << 48) AS whiteboard;
SELECT (stickers ->> 'id')::bigint - (3::bigint << 48) AS sticker
	FROM jsonb_array_elements(chatrel.change_whiteboard((3::bigint << 48) + 1, '{"stickers": [{"url": "u", "title": "t"}]}', as_user => 1) -> 'stickers') AS stickers;

-- and it is a database like others: what is unread, what is caught up with
SELECT chatrel.join_group(:g, as_user => 2);
SELECT unread FROM chatrel.my_groups(as_user => 2);
SELECT message FROM chatrel.send_group_message(:g, 'again', as_user => 1);
SELECT unread FROM chatrel.my_groups(as_user => 2);
SELECT chatrel.mark_read(:g, as_user => 2) >> 48 AS shard;
SELECT unread FROM chatrel.my_groups(as_user => 2);
SELECT chatrel.sync(as_user => 2) ->> 'cursor' AS cursor \gset
SELECT message FROM chatrel.send_group_message(:g, 'later', as_user => 1);
SELECT jsonb_path_query(chatrel.sync(:'cursor', as_user => 2), '$.events[*].group_message.message');

-- it stays that shard
SELECT chatrel.become_shard(3);
SELECT chatrel.become_shard(4);
SELECT chatrel.become_home();

DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_app;
