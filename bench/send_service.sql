-- What the ORM of a chat service sends for one message, each a round trip: it finds the
-- user who is logged in, the group, and the membership, inserts, commits, and reads the
-- row again for its answer.
\set group_id random(1, :groups)
\set user_id :client_id + 1
BEGIN;
SELECT id, username FROM service.users WHERE id = :user_id;
SELECT id, name FROM service.groups WHERE id = :group_id;
SELECT id, group_id, user_id FROM service.groups_members
	WHERE group_id = :group_id AND user_id = :user_id;
INSERT INTO service.groups_messages (datetime, group_id, sender_id, message)
	VALUES (now(), :group_id, :user_id, 'a message of about the length that a person writes')
	RETURNING id AS sent \gset
COMMIT;
SELECT id, datetime, group_id, sender_id, message FROM service.groups_messages WHERE id = :sent;
