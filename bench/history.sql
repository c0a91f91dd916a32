-- :messages messages of 64 users in 1,000 groups. A tenth of them is in group 1, the others
-- come in turn. All users are members of the first 50 groups. Bulk loading does without the
-- foreign keys' checks.

CREATE EXTENSION chatrel;

INSERT INTO chatrel.users (username) SELECT 'user ' || i FROM generate_series(1, 64) i;
INSERT INTO chatrel.groups (name, creator_id)
	SELECT 'group ' || i, 1 FROM generate_series(1, 1000) i;
INSERT INTO chatrel.groups_members (group_id, user_id)
	SELECT g, u FROM generate_series(1, 50) g, generate_series(1, 64) u;

SET session_replication_role = replica;
INSERT INTO chatrel.groups_messages (datetime, group_id, sender_id, message)
	SELECT now() - (:messages - i) * interval '1 s',
		CASE WHEN i % 10 = 0 THEN 1 ELSE 2 + i % 999 END,
		1 + i % 64,
		'message ' || i || ' of about the length that a person writes'
	FROM generate_series(1, :messages::bigint) i;
RESET session_replication_role;

GRANT USAGE ON SCHEMA chatrel TO app;

VACUUM ANALYZE;
