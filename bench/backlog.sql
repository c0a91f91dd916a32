-- Two users who are members of 5,000 groups: one sends, and one has been away.

CREATE EXTENSION chatrel;

INSERT INTO chatrel.users (username) SELECT 'user ' || i FROM generate_series(1, 2) i;
INSERT INTO chatrel.groups (name, creator_id)
	SELECT 'group ' || i, 1 FROM generate_series(1, 5000) i;
INSERT INTO chatrel.groups_members (group_id, user_id)
	SELECT g, u FROM generate_series(1, 5000) g, generate_series(1, 2) u;

GRANT USAGE ON SCHEMA chatrel TO app;

VACUUM ANALYZE;
