/* People: whom a user keeps away, who may follow, and what the user has set */

/*
 * What these tables hold is nobody else's to know, not even how much it is.  A
 * policy hides rows, but EXPLAIN ANALYZE tells how many it has hidden, where an
 * index finds them by another condition of the query's.  So each policy compares
 * one column, the first of the primary key, which goes into the index together with
 * the query's own.  And the planner has no statistics, since its estimates would
 * tell who is blocked by many; chatrel's own plans go by index whatever there is.
 */

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

ALTER TABLE chatrel.blocks
	ALTER COLUMN blocker_id SET STATISTICS 0,
	ALTER COLUMN blocked_id SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;
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
	'whom users do not want to hear of; a role sees those whom its user has muted';
COMMENT ON COLUMN chatrel.user_mutes.user_id IS 'the user that has muted';
COMMENT ON COLUMN chatrel.user_mutes.muted_id IS 'the user that is muted, and is not told';
COMMENT ON COLUMN chatrel.user_mutes.until IS 'when it ends by itself; null for never';
COMMENT ON COLUMN chatrel.user_mutes.created_at IS 'when the user was first muted';
COMMENT ON INDEX chatrel.user_mutes_muted_id_idx IS 'who has muted a user';

ALTER TABLE chatrel.user_mutes
	ALTER COLUMN user_id SET STATISTICS 0,
	ALTER COLUMN muted_id SET STATISTICS 0,
	ALTER COLUMN until SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;
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
-- With the follower, for the policy.
CREATE INDEX follow_requests_followed_id_idx
	ON chatrel.follow_requests (followed_id, id, follower_id);

COMMENT ON TABLE chatrel.follow_requests IS
	'who has asked to follow a protected user; a role sees what its user has asked, and by '
	'follow_requests() what it is asked';
COMMENT ON COLUMN chatrel.follow_requests.id IS 'the order of asking, and the position in lists';
COMMENT ON COLUMN chatrel.follow_requests.follower_id IS 'the user that wants to follow';
COMMENT ON COLUMN chatrel.follow_requests.followed_id IS 'the user that decides';
COMMENT ON COLUMN chatrel.follow_requests.follow_type IS 'as what the user wants to follow';
COMMENT ON COLUMN chatrel.follow_requests.created_at IS 'when the user first asked';
COMMENT ON INDEX chatrel.follow_requests_followed_id_idx IS 'what a user has to decide, in order';

ALTER TABLE chatrel.follow_requests
	ALTER COLUMN id SET STATISTICS 0,
	ALTER COLUMN follower_id SET STATISTICS 0,
	ALTER COLUMN followed_id SET STATISTICS 0,
	ALTER COLUMN follow_type SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;
ALTER TABLE chatrel.follow_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY follow_requests_read ON chatrel.follow_requests FOR SELECT
	USING (follower_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY follow_requests_read ON chatrel.follow_requests IS
	'a user sees what it has asked';

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
	'what users have set; a role sees its user''s own. A user without a row has the defaults';
COMMENT ON COLUMN chatrel.user_settings.user_id IS 'the user';
COMMENT ON COLUMN chatrel.user_settings.protected IS
	'must the user accept those who want to follow it?';
COMMENT ON COLUMN chatrel.user_settings.direct_messages IS
	'who may begin a direct conversation with the user: everybody; followed, those whom it '
	'follows; friends, those of them who follow it back; nobody';

ALTER TABLE chatrel.user_settings
	ALTER COLUMN user_id SET STATISTICS 0,
	ALTER COLUMN protected SET STATISTICS 0,
	ALTER COLUMN direct_messages SET STATISTICS 0;
ALTER TABLE chatrel.user_settings ENABLE ROW LEVEL SECURITY;
CREATE POLICY user_settings_read ON chatrel.user_settings FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY user_settings_read ON chatrel.user_settings IS 'a user sees its own settings';

SELECT pg_catalog.pg_extension_config_dump('chatrel.user_settings', '');

CREATE FUNCTION chatrel.block(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_block'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.block(bigint, bigint) IS
	'keeps a user away: ends follows and requests of both sides, and prevents them, direct '
	'conversations, invitations and notices of mentions from now on; the user is not told; '
	'false if it was blocked already';

CREATE FUNCTION chatrel.unblock(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_unblock'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.unblock(bigint, bigint) IS
	'ends a block of the user''s; what the block has ended does not come back; false if there '
	'was none';

CREATE FUNCTION chatrel.blocked(after bigint DEFAULT NULL, row_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, username text, blocked_at timestamptz)
	AS 'MODULE_PATHNAME', 'chatrel_blocked'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.blocked(bigint, integer, bigint) IS
	'whom the user has blocked, in the order of their ids; after is the last user_id of the '
	'page before';

CREATE FUNCTION chatrel.mute_user(user_id bigint, until timestamptz DEFAULT NULL,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_mute_user'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.mute_user(bigint, timestamptz, bigint) IS
	'tells the user no more of mentions, invitations and requests to join by another one, until a '
	'time or for good; the other is not told; false if nothing changes';

CREATE FUNCTION chatrel.unmute_user(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_unmute_user'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.unmute_user(bigint, bigint) IS
	'ends a mute of the user''s; false if there was none';

CREATE FUNCTION chatrel.muted_users(after bigint DEFAULT NULL, row_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, username text, until timestamptz, muted_at timestamptz)
	AS 'MODULE_PATHNAME', 'chatrel_muted_users'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.muted_users(bigint, integer, bigint) IS
	'whom the user has muted, in the order of their ids; after is the last user_id of the page '
	'before';

CREATE FUNCTION chatrel.set_protected(protected boolean, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_set_protected'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.set_protected(boolean, bigint) IS
	'says whether others must ask before they follow the user, or everybody may follow it; false '
	'if it was so already';

CREATE FUNCTION chatrel.set_direct_messages(audience text, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_set_direct_messages'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.set_direct_messages(text, bigint) IS
	'says who may begin a direct conversation with the user: everybody, followed, friends or '
	'nobody; false if it was so already';

CREATE FUNCTION chatrel.user_settings(as_user bigint DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'chatrel_user_settings'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.user_settings(bigint) IS
	'what the user has set: {"protected", "direct_messages"}';

CREATE FUNCTION chatrel.follow_requests(after bigint DEFAULT NULL, row_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL)
	RETURNS TABLE (follower_id bigint, username text, follow_type text, requested_at timestamptz,
		id bigint)
	AS 'MODULE_PATHNAME', 'chatrel_follow_requests'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.follow_requests(bigint, integer, bigint) IS
	'who wants to follow the user and waits for an answer, oldest first; after is the last id '
	'of the page before';

CREATE FUNCTION chatrel.accept_follow(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_accept_follow'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.accept_follow(bigint, bigint) IS
	'lets a user follow as it has asked to; false if it has not asked';

CREATE FUNCTION chatrel.reject_follow(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_reject_follow'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.reject_follow(bigint, bigint) IS
	'rejects the request of a user, who is not told; false if it has not asked';

CREATE FUNCTION chatrel.remove_follower(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_remove_follower'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.remove_follower(bigint, bigint) IS
	'takes a follower of the user away, who is not told; false if it did not follow';

CREATE FUNCTION chatrel.may_view_posts(author_id bigint, as_user bigint DEFAULT NULL)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_may_view_posts'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 200;
COMMENT ON FUNCTION chatrel.may_view_posts(bigint, bigint) IS
	'may the user see what author_id has posted: is it the author, or does it follow the author '
	'as ''posts''? For policies of an application''s tables: false, and no error, where nobody '
	'acts';

-- privileges

GRANT SELECT ON chatrel.blocks, chatrel.user_mutes, chatrel.follow_requests, chatrel.user_settings
	TO PUBLIC;
