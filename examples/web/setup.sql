-- What the chat needs in its database, once, as a superuser.

CREATE EXTENSION IF NOT EXISTS chatrel;

-- The gateway's role.  It hears everything and acts as whoever has logged in.
CREATE ROLE web LOGIN;
GRANT USAGE ON SCHEMA chatrel TO web;
GRANT SET ON PARAMETER chatrel.user_id TO web;
GRANT EXECUTE ON FUNCTION chatrel.listen_all, chatrel.sync_all, chatrel.group_members_of TO web;
GRANT EXECUTE ON FUNCTION chatrel.report_online TO web;
GRANT EXECUTE ON FUNCTION chatrel.find_user, chatrel.create_user TO web;

-- Who is logged in.  Of the secret in the cookie there is only the hash.
CREATE SCHEMA web;
CREATE TABLE web.sessions (
	token_hash bytea PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days'
);
CREATE INDEX ON web.sessions (user_id);
CREATE INDEX ON web.sessions (expires_at);
GRANT USAGE ON SCHEMA web TO web;
GRANT SELECT, INSERT, DELETE ON web.sessions TO web;
