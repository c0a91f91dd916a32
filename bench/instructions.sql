-- 20,000 users; of the first 64 everybody is in the same 64 groups, with some messages. What bare
-- INSERTs write to is as small as it can be: the keys, and an index for each way to look up.

INSERT INTO chatrel.users (id, username)
	SELECT n, 'user ' || n FROM generate_series(65, 20000) n;
SELECT count(chatrel.send_group_message(g,
	'message ' || n || ' of about the length that a person writes', as_user => 1 + n % 64))
	FROM generate_series(1, 155) n, generate_series(1, 64) g \g /dev/null

CREATE SCHEMA bare;
CREATE TABLE bare.groups_messages (
	id bigserial PRIMARY KEY,
	datetime timestamptz NOT NULL,
	group_id bigint NOT NULL REFERENCES chatrel.groups,
	sender_id bigint NOT NULL REFERENCES chatrel.users,
	message varchar(512) NOT NULL
);
CREATE TABLE bare.relationships (LIKE chatrel.relationships INCLUDING ALL);
ALTER TABLE bare.relationships
	ADD FOREIGN KEY (follower_id) REFERENCES chatrel.users ON DELETE CASCADE,
	ADD FOREIGN KEY (followed_id) REFERENCES chatrel.users ON DELETE CASCADE;

VACUUM ANALYZE;
