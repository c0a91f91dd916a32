-- 64 users, all of them members of 64 groups, and a role that acts for them as a
-- backend would: with the grant, and the user as an argument of each call.  Of a shard,
-- :shard is the number.

CREATE EXTENSION chatrel;
\if :{?shard}
SELECT chatrel.become_shard(:shard) \g /dev/null
\endif

INSERT INTO chatrel.users (username) SELECT 'user ' || i FROM generate_series(1, 64) i;
INSERT INTO chatrel.groups (name, creator_id) SELECT 'group ' || i, 1 FROM generate_series(1, 64) i;
INSERT INTO chatrel.groups_members (group_id, user_id)
	SELECT g.id, u FROM chatrel.groups g, generate_series(1, 64) u;

-- Every group gets its channel, whether somebody will listen or not.
SELECT count(*) FROM chatrel.listen(as_user => 1) \g /dev/null

CREATE ROLE app LOGIN;
GRANT USAGE ON SCHEMA chatrel TO app;
GRANT SET ON PARAMETER chatrel.user_id TO app;
GRANT EXECUTE ON FUNCTION chatrel.listen_all TO app;

VACUUM ANALYZE;
