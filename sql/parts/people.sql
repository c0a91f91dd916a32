/* People: whom a user keeps away, who may follow, and what the user has set */

CREATE TABLE chatrel.blocks (
	blocker_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	blocked_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (blocker_id, blocked_id),
	CHECK (blocker_id <> blocked_id)
);
CREATE INDEX blocks_blocked_id_idx ON chatrel.blocks (blocked_id, blocker_id);

COMMENT ON TABLE chatrel.blocks IS
	'who has blocked whom; a role sees the blocks that its user has made, and no others';
COMMENT ON COLUMN chatrel.blocks.blocker_id IS 'the user that has blocked';
COMMENT ON COLUMN chatrel.blocks.blocked_id IS 'the user that is blocked, and is not told';
COMMENT ON COLUMN chatrel.blocks.created_at IS 'when the user was blocked';
COMMENT ON INDEX chatrel.blocks_blocked_id_idx IS 'who has blocked a user';

ALTER TABLE chatrel.blocks ENABLE ROW LEVEL SECURITY;
CREATE POLICY blocks_read ON chatrel.blocks FOR SELECT
	USING (blocker_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY blocks_read ON chatrel.blocks IS 'a user sees whom it has blocked';

SELECT pg_catalog.pg_extension_config_dump('chatrel.blocks', '');

CREATE TABLE chatrel.user_mutes (
	user_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	muted_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	until timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, muted_id),
	CHECK (user_id <> muted_id)
);
CREATE INDEX user_mutes_muted_id_idx ON chatrel.user_mutes (muted_id, user_id);

COMMENT ON TABLE chatrel.user_mutes IS
	'of whom users want to hear nothing; a role sees those that its user has muted';
COMMENT ON COLUMN chatrel.user_mutes.user_id IS 'the user that has muted';
COMMENT ON COLUMN chatrel.user_mutes.muted_id IS 'the user that is muted, and is not told';
COMMENT ON COLUMN chatrel.user_mutes.until IS 'when it ends by itself; null for never';
COMMENT ON COLUMN chatrel.user_mutes.created_at IS 'when the user was first muted';
COMMENT ON INDEX chatrel.user_mutes_muted_id_idx IS 'who has muted a user';

ALTER TABLE chatrel.user_mutes ENABLE ROW LEVEL SECURITY;
CREATE POLICY user_mutes_read ON chatrel.user_mutes FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY user_mutes_read ON chatrel.user_mutes IS 'a user sees whom it has muted';

SELECT pg_catalog.pg_extension_config_dump('chatrel.user_mutes', '');

CREATE TABLE chatrel.follow_requests (
	id bigint GENERATED ALWAYS AS IDENTITY,
	follower_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	followed_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	follow_type text NOT NULL CHECK (octet_length(follow_type) BETWEEN 1 AND 63),
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (follower_id, followed_id),
	CHECK (follower_id <> followed_id)
);
CREATE INDEX follow_requests_followed_id_idx ON chatrel.follow_requests (followed_id, id);

COMMENT ON TABLE chatrel.follow_requests IS
	'who has asked to follow a protected user; a role sees those of its user''s on either side';
COMMENT ON COLUMN chatrel.follow_requests.id IS 'the order of asking, and the position in lists';
COMMENT ON COLUMN chatrel.follow_requests.follower_id IS 'the user that wants to follow';
COMMENT ON COLUMN chatrel.follow_requests.followed_id IS 'the user that decides';
COMMENT ON COLUMN chatrel.follow_requests.follow_type IS 'as what the user wants to follow';
COMMENT ON COLUMN chatrel.follow_requests.created_at IS 'when the user first asked';
COMMENT ON INDEX chatrel.follow_requests_followed_id_idx IS 'what a user has to decide, in order';

ALTER TABLE chatrel.follow_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY follow_requests_read ON chatrel.follow_requests FOR SELECT
	USING (follower_id = (SELECT chatrel.current_user_id())
		OR followed_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY follow_requests_read ON chatrel.follow_requests IS
	'a user sees what it has asked and what it is asked';

SELECT pg_catalog.pg_extension_config_dump('chatrel.follow_requests', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.follow_requests_id_seq', '');

-- A user that has set nothing has no row.
CREATE TABLE chatrel.user_settings (
	user_id bigint PRIMARY KEY REFERENCES chatrel.users ON DELETE CASCADE,
	protected boolean NOT NULL DEFAULT false,
	direct_messages text NOT NULL DEFAULT 'everybody'
		CHECK (direct_messages IN ('everybody', 'followed', 'friends', 'nobody'))
);

COMMENT ON TABLE chatrel.user_settings IS
	'what users have set; a role sees its user''s own. Who has no row has the defaults';
COMMENT ON COLUMN chatrel.user_settings.user_id IS 'the user';
COMMENT ON COLUMN chatrel.user_settings.protected IS 'must the user accept who wants to follow it?';
COMMENT ON COLUMN chatrel.user_settings.direct_messages IS
	'who may begin a direct conversation with the user: everybody; followed, those whom it '
	'follows; friends, those of them who follow it back; nobody';

ALTER TABLE chatrel.user_settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY user_settings_read ON chatrel.user_settings FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY user_settings_read ON chatrel.user_settings IS 'a user sees its own settings';

SELECT pg_catalog.pg_extension_config_dump('chatrel.user_settings', '');

-- privileges

GRANT SELECT ON chatrel.blocks, chatrel.user_mutes, chatrel.follow_requests, chatrel.user_settings
	TO PUBLIC;
