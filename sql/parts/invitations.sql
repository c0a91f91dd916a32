/* Invitations to groups, requests to join them, and links that let in */

CREATE TABLE chatrel.groups_invitations (
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	invited_by bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (group_id, user_id, invited_by)
);
CREATE INDEX groups_invitations_user_id_idx ON chatrel.groups_invitations (user_id, group_id);
COMMENT ON TABLE chatrel.groups_invitations IS
	'private: who is invited to which group; read by invitations() and group_invitations()';
COMMENT ON COLUMN chatrel.groups_invitations.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_invitations.user_id IS 'the user that may join it';
COMMENT ON COLUMN chatrel.groups_invitations.invited_by IS 'the member that has invited the user';
COMMENT ON COLUMN chatrel.groups_invitations.created_at IS 'when the user was invited';
COMMENT ON INDEX chatrel.groups_invitations_user_id_idx IS 'the invitations of a user';

/*
 * Without any policy: that an invitation is void for a block must not be found out by
 * either side (src/groups/invitations.c), and EXPLAIN counts the rows that a policy
 * hides.
 */
ALTER TABLE chatrel.groups_invitations ENABLE ROW LEVEL SECURITY;

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_invitations', '');

/*
 * The policy's condition goes into each index together with those of a query, for the
 * reason that people.sql gives.
 */
CREATE TABLE chatrel.groups_join_requests (
	id bigint GENERATED ALWAYS AS IDENTITY,
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, group_id)
);
CREATE INDEX groups_join_requests_group_id_idx
	ON chatrel.groups_join_requests (group_id, id, user_id);
COMMENT ON TABLE chatrel.groups_join_requests IS
	'who asks to join which group; a role sees the requests of its user';
COMMENT ON COLUMN chatrel.groups_join_requests.id IS
	'the order of asking, and the position in lists';
COMMENT ON COLUMN chatrel.groups_join_requests.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_join_requests.user_id IS 'the user that asks';
COMMENT ON COLUMN chatrel.groups_join_requests.created_at IS 'when the user asked';
COMMENT ON INDEX chatrel.groups_join_requests_group_id_idx IS
	'what the moderators of a group have to decide, in order';

ALTER TABLE chatrel.groups_join_requests
	ALTER COLUMN id SET STATISTICS 0,
	ALTER COLUMN group_id SET STATISTICS 0,
	ALTER COLUMN user_id SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;
ALTER TABLE chatrel.groups_join_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY groups_join_requests_read ON chatrel.groups_join_requests FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY groups_join_requests_read ON chatrel.groups_join_requests IS
	'a user sees its requests; moderators read those to their groups by join_requests()';

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_join_requests', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_join_requests_id_seq', '');

CREATE TABLE chatrel.groups_links (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	token_hash bytea NOT NULL UNIQUE,
	created_by bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz,
	max_uses integer CHECK (max_uses > 0),
	uses bigint NOT NULL DEFAULT 0
);
CREATE INDEX groups_links_group_id_idx ON chatrel.groups_links (group_id, id);
COMMENT ON TABLE chatrel.groups_links IS
	'private: links by which whoever has their token joins a group';
COMMENT ON COLUMN chatrel.groups_links.id IS 'identifies the link';
COMMENT ON COLUMN chatrel.groups_links.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_links.token_hash IS
	'the SHA-256 of its token, which is stored nowhere';
COMMENT ON COLUMN chatrel.groups_links.created_by IS 'the moderator that has made it';
COMMENT ON COLUMN chatrel.groups_links.created_at IS 'when it was made';
COMMENT ON COLUMN chatrel.groups_links.expires_at IS 'until when it is valid; null for ever';
COMMENT ON COLUMN chatrel.groups_links.max_uses IS 'how many users it lets in; null for any number';
COMMENT ON COLUMN chatrel.groups_links.uses IS 'how many it has let in';
COMMENT ON INDEX chatrel.groups_links_group_id_idx IS 'the links of a group';

-- Without any policy, as it is private.
ALTER TABLE chatrel.groups_links ENABLE ROW LEVEL SECURITY;

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_links', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_links_id_seq', '');

CREATE FUNCTION chatrel.invite(group_id bigint, user_ids bigint[], as_user bigint DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_invite'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 10000;
COMMENT ON FUNCTION chatrel.invite(bigint, bigint[], bigint) IS
	'lets these users, 1000 at most, join the group; returns how many were neither members nor '
	'invited; by members of an open group, and by moderators and owners';

CREATE FUNCTION chatrel.invitations(after bigint DEFAULT NULL, row_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL)
	RETURNS TABLE (group_id bigint, name text, description text, member_count bigint,
		invited_by bigint, created_at timestamptz)
	AS 'MODULE_PATHNAME', 'chatrel_invitations'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000 ROWS 10;
COMMENT ON FUNCTION chatrel.invitations(bigint, integer, bigint) IS
	'the groups that the user is invited to, in the order of their ids; after is the last group_id '
	'of the page before';

CREATE FUNCTION chatrel.group_invitations(group_id bigint, after bigint DEFAULT NULL,
		row_limit integer DEFAULT 50, as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, username text, invited_by bigint[], created_at timestamptz)
	AS 'MODULE_PATHNAME', 'chatrel_group_invitations'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.group_invitations(bigint, bigint, integer, bigint) IS
	'who is invited to a group of the user''s, and by whom, in the order of their ids; after is '
	'the last user_id of the page before';

CREATE FUNCTION chatrel.decline_invitation(group_id bigint, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_decline_invitation'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.decline_invitation(bigint, bigint) IS
	'ends the invitations of the user to the group; false if it is not invited';

CREATE FUNCTION chatrel.withdraw_invitation(group_id bigint, user_id bigint,
		as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_withdraw_invitation'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.withdraw_invitation(bigint, bigint, bigint) IS
	'takes back the invitation of a user: members their own, moderators and owners all; false if '
	'there is none';

CREATE FUNCTION chatrel.create_invite_link(group_id bigint, expires timestamptz DEFAULT NULL,
		max_uses integer DEFAULT NULL, as_user bigint DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'chatrel_create_invite_link'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.create_invite_link(bigint, timestamptz, integer, bigint) IS
	'for moderators and owners: returns a secret by which join_by_link() lets in whoever has it, '
	'until it expires, and max_uses users at most; it is shown only now';

CREATE FUNCTION chatrel.join_by_link(token text, as_user bigint DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_join_by_link'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.join_by_link(text, bigint) IS
	'makes the user a member of the group whose invite link has this token, unless it is one, and '
	'returns the group';

CREATE FUNCTION chatrel.revoke_invite_links(group_id bigint, as_user bigint DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_revoke_invite_links'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.revoke_invite_links(bigint, bigint) IS
	'for moderators and owners: ends all invite links of the group; returns how many there were';

CREATE FUNCTION chatrel.request_to_join(group_id bigint, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_request_to_join'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.request_to_join(bigint, bigint) IS
	'asks the moderators of a public group to let the user in; false if it is a member, or has '
	'asked already';

CREATE FUNCTION chatrel.withdraw_join_request(group_id bigint, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_withdraw_join_request'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.withdraw_join_request(bigint, bigint) IS
	'takes back the user''s request; false if there was none';

CREATE FUNCTION chatrel.join_requests(group_id bigint, after bigint DEFAULT NULL,
		row_limit integer DEFAULT 50, as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, username text, requested_at timestamptz, id bigint)
	AS 'MODULE_PATHNAME', 'chatrel_join_requests'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.join_requests(bigint, bigint, integer, bigint) IS
	'for moderators and owners: who asks to join the group, oldest first; after is the last id of '
	'the page before';

CREATE FUNCTION chatrel.decide_join_request(group_id bigint, user_id bigint, accept boolean,
		as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_decide_join_request'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.decide_join_request(bigint, bigint, boolean, bigint) IS
	'for moderators and owners: lets in a user that has asked, or rejects the request; false if '
	'there is none';

-- privileges

GRANT SELECT ON chatrel.groups_join_requests TO PUBLIC;
