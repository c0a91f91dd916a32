-- What the service needs in its database, once, as a superuser.

CREATE EXTENSION IF NOT EXISTS chatrel;

-- The application has its users already, with their passwords; chatrel mirrors ids and names.
CREATE SCHEMA app;
CREATE TABLE app.users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	username varchar(256) NOT NULL UNIQUE,
	password text NOT NULL -- a hash: sessions.py
);
SELECT chatrel.link_users('app.users');

-- Who is logged in.  Of the secret in the cookie there is only the hash.
CREATE TABLE app.sessions (
	token_hash bytea PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES app.users ON DELETE CASCADE,
	expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days'
);
CREATE INDEX ON app.sessions (user_id);
CREATE INDEX ON app.sessions (expires_at);

-- The service's role.  It hears everything, and acts as whoever has logged in.
CREATE ROLE service LOGIN;
GRANT USAGE ON SCHEMA chatrel, app TO service;
GRANT SET ON PARAMETER chatrel.user_id TO service;
GRANT EXECUTE ON FUNCTION chatrel.listen_all, chatrel.sync_all, chatrel.group_members_of TO service;
GRANT SELECT, INSERT ON app.users TO service;
GRANT SELECT, INSERT, DELETE ON app.sessions TO service;
