-- 1,000 groups of 155 messages each, by user 4. User 1 has read all of them, user 2 all but five
-- in each group, user 3 none: more than are counted.

CREATE EXTENSION chatrel;

INSERT INTO chatrel.users (username) SELECT 'user ' || i FROM generate_series(1, 4) i;
INSERT INTO chatrel.groups (name, creator_id)
	SELECT 'group ' || i, 1 FROM generate_series(1, 1000) i;
INSERT INTO chatrel.groups_members (group_id, user_id)
	SELECT g, u FROM generate_series(1, 1000) g, generate_series(1, 4) u;

SET session_replication_role = replica;
INSERT INTO chatrel.groups_messages (group_id, sender_id, message)
	SELECT g, 4, 'message ' || i || ' of about the length that a person writes'
	FROM generate_series(1, 155) i, generate_series(1, 1000) g;
RESET session_replication_role;

SELECT count(chatrel.mark_read(g, as_user => 1)) FROM generate_series(1, 1000) g \g /dev/null
SELECT count(chatrel.mark_read(group_id, id, as_user => 2))
	FROM (SELECT group_id, id, row_number() OVER (PARTITION BY group_id ORDER BY id DESC) AS n
		FROM chatrel.groups_messages) m WHERE n = 6 \g /dev/null

GRANT USAGE ON SCHEMA chatrel TO app;

VACUUM ANALYZE;
