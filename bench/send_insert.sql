\set group_id random(1, :groups)
\set user_id :client_id + 1
INSERT INTO service.groups_messages (datetime, group_id, sender_id, message)
	VALUES (now(), :group_id, :user_id, 'a message of about the length that a person writes');
