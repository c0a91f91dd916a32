\set group_id random(1, :groups)
\set user_id :client_id + 1
SELECT chatrel.send_group_message(:group_id,
	'a message of about the length that a person writes', as_user => :user_id);
