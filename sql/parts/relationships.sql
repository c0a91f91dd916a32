/* Relationships: who follows whom, and how many they are */

CREATE TABLE chatrel.relationships (
	id bigint GENERATED ALWAYS AS IDENTITY,
	follower_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	followed_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	follow_type text NOT NULL DEFAULT 'posts' CHECK (octet_length(follow_type) BETWEEN 1 AND 63),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (follower_id, followed_id),
	CHECK (follower_id <> followed_id)
);
CREATE INDEX relationships_follower_id_idx ON chatrel.relationships (follower_id, id);
CREATE INDEX relationships_followed_id_idx ON chatrel.relationships (followed_id, id);
-- src/relationships/follow_lists.c has the figures for these two.
CREATE INDEX relationships_follower_id_type_idx ON chatrel.relationships (follower_id, follow_type, id) WHERE follow_type <> 'posts';
CREATE INDEX relationships_followed_id_type_idx ON chatrel.relationships (followed_id, follow_type, id) WHERE follow_type <> 'posts';

COMMENT ON TABLE chatrel.relationships IS 'who follows whom; who is a chatrel user sees them all';
COMMENT ON COLUMN chatrel.relationships.id IS 'the order of following, and the position in lists';
COMMENT ON COLUMN chatrel.relationships.follower_id IS 'the user that follows';
COMMENT ON COLUMN chatrel.relationships.followed_id IS 'the user that is followed';
COMMENT ON COLUMN chatrel.relationships.follow_type IS 'what the user follows for: a label that the application chooses, 1 to 63 bytes long';
COMMENT ON COLUMN chatrel.relationships.created_at IS 'when the user began to follow';
COMMENT ON COLUMN chatrel.relationships.updated_at IS 'when follow_type was changed last';
COMMENT ON INDEX chatrel.relationships_follower_id_idx IS 'whom a user follows, in order';
COMMENT ON INDEX chatrel.relationships_followed_id_idx IS 'who follows a user, in order';
COMMENT ON INDEX chatrel.relationships_follower_id_type_idx IS 'whom a user follows with another type than the default, in order';
COMMENT ON INDEX chatrel.relationships_followed_id_type_idx IS 'who follows a user with another type than the default, in order';

ALTER TABLE chatrel.relationships ENABLE ROW LEVEL SECURITY;
CREATE POLICY relationships_read ON chatrel.relationships FOR SELECT
	USING ((SELECT chatrel.current_user_id()) IS NOT NULL);
COMMENT ON POLICY relationships_read ON chatrel.relationships IS
	'who is a chatrel user sees who follows whom';

SELECT pg_catalog.pg_extension_config_dump('chatrel.relationships', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.relationships_id_seq', '');

/*
 * How many a user follows, and is followed by, is the sum of the user's rows.
 * src/core/counters.c says why there may be several.  No foreign key: the
 * rows are made of relationships, which has them, and they must outlast the
 * user while a cascade takes its relationships away.
 */
CREATE TABLE chatrel.follow_counters (
	user_id bigint NOT NULL,
	slot integer NOT NULL,
	following bigint NOT NULL,
	followers bigint NOT NULL,
	PRIMARY KEY (user_id, slot)
) WITH (fillfactor = 70);

COMMENT ON TABLE chatrel.follow_counters IS
	'private: the counters that follow_counts() adds up, kept by triggers on relationships';
COMMENT ON COLUMN chatrel.follow_counters.user_id IS 'the user that is counted for';
COMMENT ON COLUMN chatrel.follow_counters.slot IS
	'0: shared by all sessions; otherwise the number of the backend that it is private to';
COMMENT ON COLUMN chatrel.follow_counters.following IS
	'this row''s part of how many the user follows; may be negative';
COMMENT ON COLUMN chatrel.follow_counters.followers IS
	'this row''s part of how many follow the user; may be negative';

-- Without any policy, as it is private; not dumped, as restoring relationships fires the triggers
-- that make it.
ALTER TABLE chatrel.follow_counters ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION chatrel.count_follows() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_count_follows'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.count_follows() IS
	'the trigger of relationships that keeps follow_counters';

CREATE TRIGGER count_follows_insert AFTER INSERT ON chatrel.relationships
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION chatrel.count_follows();
CREATE TRIGGER count_follows_update AFTER UPDATE ON chatrel.relationships
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION chatrel.count_follows();
CREATE TRIGGER count_follows_delete AFTER DELETE ON chatrel.relationships
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION chatrel.count_follows();
CREATE TRIGGER count_follows_truncate AFTER TRUNCATE ON chatrel.relationships
	FOR EACH STATEMENT EXECUTE FUNCTION chatrel.count_follows();
COMMENT ON TRIGGER count_follows_insert ON chatrel.relationships IS 'counts new rows';
COMMENT ON TRIGGER count_follows_update ON chatrel.relationships IS
	'counts rows whose users change';
COMMENT ON TRIGGER count_follows_delete ON chatrel.relationships IS 'counts rows that go';
COMMENT ON TRIGGER count_follows_truncate ON chatrel.relationships IS 'begins from nothing';

CREATE TYPE chatrel.follow_totals AS (
	following bigint,
	followers bigint
);
COMMENT ON TYPE chatrel.follow_totals IS 'how many a user follows, and how many follow the user';

CREATE FUNCTION chatrel.follow(user_id bigint, follow_type text DEFAULT 'posts', as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_follow'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.follow(bigint, text, bigint) IS
	'follows a user, or changes how; null if a protected user is only asked; false if there was '
	'nothing to change';

CREATE FUNCTION chatrel.unfollow(user_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_unfollow'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.unfollow(bigint, bigint) IS
	'no longer follows a user, or no longer asks to; false if it did neither';

CREATE FUNCTION chatrel.follow_many(user_ids bigint[], follow_type text DEFAULT 'posts', as_user bigint DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_follow_many'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 20000;
COMMENT ON FUNCTION chatrel.follow_many(bigint[], text, bigint) IS
	'follows each of the users, or changes how, all or none, and asks those who are protected; '
	'returns how many it follows now that it did not before';

CREATE FUNCTION chatrel.is_following(followed_id bigint, follower_id bigint DEFAULT NULL,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_is_following'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 200;
COMMENT ON FUNCTION chatrel.is_following(bigint, bigint, bigint) IS
	'does follower_id, by default the user, follow followed_id?';

CREATE FUNCTION chatrel.following(user_id bigint DEFAULT NULL, follow_type text DEFAULT NULL, before bigint DEFAULT NULL, row_limit integer DEFAULT 50, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, username text, follow_type text, followed_at timestamptz, "position" bigint)
	AS 'MODULE_PATHNAME', 'chatrel_following'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.following(bigint, text, bigint, integer, bigint) IS
	'whom a user follows, newest first; before is the last position of the page before';

CREATE FUNCTION chatrel.followers(user_id bigint DEFAULT NULL, follow_type text DEFAULT NULL, before bigint DEFAULT NULL, row_limit integer DEFAULT 50, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, username text, follow_type text, followed_at timestamptz, "position" bigint)
	AS 'MODULE_PATHNAME', 'chatrel_followers'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.followers(bigint, text, bigint, integer, bigint) IS
	'who follows a user, newest first; before is the last position of the page before';

CREATE FUNCTION chatrel.friends(user_id bigint DEFAULT NULL, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, username text, follow_type text, followed_at timestamptz, "position" bigint)
	AS 'MODULE_PATHNAME', 'chatrel_friends'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000 ROWS 50;
COMMENT ON FUNCTION chatrel.friends(bigint, bigint) IS
	'those whom a user follows and who follow the user back, as they are followed, newest first';

CREATE FUNCTION chatrel.mutual_followers(user_id bigint, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, username text, follow_type text, followed_at timestamptz, "position" bigint)
	AS 'MODULE_PATHNAME', 'chatrel_mutual_followers'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000 ROWS 50;
COMMENT ON FUNCTION chatrel.mutual_followers(bigint, bigint) IS
	'those who follow both the given user and oneself, as they follow the given user, newest first';

CREATE FUNCTION chatrel.suggest_follows(row_limit integer DEFAULT 10, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, username text, followed_by_count bigint)
	AS 'MODULE_PATHNAME', 'chatrel_suggest_follows'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 50000 ROWS 10;
COMMENT ON FUNCTION chatrel.suggest_follows(integer, bigint) IS
	'users that those whom the user follows follow, by how many of them do; looks at the newest '
	'200 follows of the user, and at the newest 200 of each of those';

CREATE FUNCTION chatrel.relationship_to(user_ids bigint[], as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, following boolean, followed_by boolean, follow_type text,
		requested boolean, blocked boolean, muted boolean)
	AS 'MODULE_PATHNAME', 'chatrel_relationship_to'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000 ROWS 20;
COMMENT ON FUNCTION chatrel.relationship_to(bigint[], bigint) IS
	'a row for each id, in their order: does the user follow it, is the user followed by it, how '
	'does the user follow it, has it asked to, and has the user blocked or muted it';

CREATE FUNCTION chatrel.follow_counts(user_id bigint DEFAULT NULL, as_user bigint DEFAULT NULL)
	RETURNS chatrel.follow_totals
	AS 'MODULE_PATHNAME', 'chatrel_follow_counts'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.follow_counts(bigint, bigint) IS
	'how many a user follows, and how many follow the user: exact, at a cost that does not depend '
	'on how many they are';

CREATE FUNCTION chatrel.verify_follow_counts(repair boolean DEFAULT false)
	RETURNS TABLE (user_id bigint, following bigint, followers bigint,
		true_following bigint, true_followers bigint)
	AS 'MODULE_PATHNAME', 'chatrel_verify_follow_counts'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 100000 ROWS 1;
COMMENT ON FUNCTION chatrel.verify_follow_counts(boolean) IS
	'administrative: the users whose counters are not what counting gives, and, if repair, puts '
	'them right while nobody may follow';

-- privileges

GRANT SELECT ON chatrel.relationships TO PUBLIC;
GRANT USAGE ON TYPE chatrel.follow_totals TO PUBLIC;

-- They write chatrel's tables, or tell of every user: granted by name.
REVOKE ALL ON FUNCTION chatrel.count_follows(), chatrel.verify_follow_counts(boolean) FROM PUBLIC;
