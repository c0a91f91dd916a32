/* Invitations to groups, requests to join them, and links that let in */

CREATE TABLE chatrel.groups_invitations (
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	invited_by bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (group_id, user_id)
);
CREATE INDEX groups_invitations_user_id_idx ON chatrel.groups_invitations (user_id, group_id);
COMMENT ON TABLE chatrel.groups_invitations IS
	'who is invited to which group; a role sees the invitations of its user, and those to its '
	'user''s groups';
COMMENT ON COLUMN chatrel.groups_invitations.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_invitations.user_id IS 'the user that may join it';
COMMENT ON COLUMN chatrel.groups_invitations.invited_by IS 'the member that has invited the user';
COMMENT ON COLUMN chatrel.groups_invitations.created_at IS 'when the user was invited';
COMMENT ON INDEX chatrel.groups_invitations_user_id_idx IS 'the invitations of a user';

ALTER TABLE chatrel.groups_invitations ENABLE ROW LEVEL SECURITY;
CREATE POLICY groups_invitations_read ON chatrel.groups_invitations FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id())
		OR group_id = ANY (ARRAY(SELECT group_id FROM chatrel.my_memberships)));
COMMENT ON POLICY groups_invitations_read ON chatrel.groups_invitations IS
	'a user sees its invitations, and a member those to the group';

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_invitations', '');

CREATE TABLE chatrel.groups_join_requests (
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (group_id, user_id)
);
CREATE INDEX groups_join_requests_user_id_idx ON chatrel.groups_join_requests (user_id, group_id);
COMMENT ON TABLE chatrel.groups_join_requests IS
	'who asks to join which group; a role sees the requests of its user';
COMMENT ON COLUMN chatrel.groups_join_requests.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_join_requests.user_id IS 'the user that asks';
COMMENT ON COLUMN chatrel.groups_join_requests.created_at IS 'when the user asked';
COMMENT ON INDEX chatrel.groups_join_requests_user_id_idx IS 'the requests of a user';

ALTER TABLE chatrel.groups_join_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY groups_join_requests_read ON chatrel.groups_join_requests FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY groups_join_requests_read ON chatrel.groups_join_requests IS
	'a user sees its requests; moderators read those to their groups by join_requests()';

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_join_requests', '');

-- privileges

GRANT SELECT ON chatrel.groups_invitations, chatrel.groups_join_requests TO PUBLIC;
