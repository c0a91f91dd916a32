\set group_id random(1, :groups)
\set user_id :client_id + 1
SELECT pgnotify.send_group_message(:group_id, :user_id,
	'a message of about the length that a person writes');
