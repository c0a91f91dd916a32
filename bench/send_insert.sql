\set group_id random(1, 64)
\set user_id :client_id + 1
INSERT INTO chatrel.groups_messages (group_id, sender_id, message)
	VALUES (:group_id, :user_id, 'a message of about the length that a person writes');
