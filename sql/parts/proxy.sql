/* chatrel_proxy: the functions of chatrel, for groups that are spread over several databases */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chatrel_proxy" to load this file. \quit

/*
 * The schema chatrel has what applications call, as in a database with groups; what it
 * calls in turn is in the schema chatrel_proxy, and nobody's but the owner's: it goes
 * where its last argument says for whom, and believes it (src/shards/proxy.c).
 *
 * script/make-proxy writes most functions of both schemas after this part, from the
 * script of chatrel.  Here is what cannot be written by rule: what is put together of
 * the answers of all shards.
 */
CREATE SCHEMA chatrel;
COMMENT ON SCHEMA chatrel IS
	'group chat and a follow graph, on several databases (extension chatrel_proxy)';
CREATE SCHEMA chatrel_proxy;
COMMENT ON SCHEMA chatrel_proxy IS 'private: how the functions of chatrel reach the shards';

/* ---------- where things are ---------- */

CREATE TABLE chatrel_proxy.shards (
	shard integer PRIMARY KEY CHECK (shard BETWEEN 0 AND 32767),
	weight integer NOT NULL CHECK (weight >= 0)
);
COMMENT ON TABLE chatrel_proxy.shards IS 'the databases there are; 0 is home';
COMMENT ON COLUMN chatrel_proxy.shards.shard IS 'its number, which begins the ids of its groups';
COMMENT ON COLUMN chatrel_proxy.shards.weight IS
	'its part of the new groups, as against that of the others; 0: none';

/*
 * A direct conversation is looked for by its people, and has to be where it was: which
 * slot they are in never changes, nor where that is.
 */
CREATE TABLE chatrel_proxy.direct_slots (
	slot integer PRIMARY KEY CHECK (slot BETWEEN 0 AND 1023),
	shard integer NOT NULL REFERENCES chatrel_proxy.shards
);
COMMENT ON TABLE chatrel_proxy.direct_slots IS 'where direct conversations are';
COMMENT ON COLUMN chatrel_proxy.direct_slots.slot IS 'one of 1024, by the hash of their people';
COMMENT ON COLUMN chatrel_proxy.direct_slots.shard IS 'the shard that has them';

/* Replicated from home: which user a role acts as is decided here. */
CREATE TABLE chatrel.users (
	id bigint PRIMARY KEY,
	username text NOT NULL,
	role_name name,
	created_at timestamptz NOT NULL,
	deleted_at timestamptz
);
CREATE INDEX users_role_name_idx ON chatrel.users (role_name) WHERE deleted_at IS NULL;
COMMENT ON TABLE chatrel.users IS 'private: the users, as home has them';
COMMENT ON COLUMN chatrel.users.id IS 'identifies the user';
COMMENT ON COLUMN chatrel.users.username IS 'its name';
COMMENT ON COLUMN chatrel.users.role_name IS
	'the database role that acts as this user when chatrel.user_id is not set';
COMMENT ON COLUMN chatrel.users.created_at IS 'when the user was created';
COMMENT ON COLUMN chatrel.users.deleted_at IS 'when the user was deleted; null for one that exists';
COMMENT ON INDEX chatrel.users_role_name_idx IS 'the user of a role';
ALTER TABLE chatrel.users ENABLE ROW LEVEL SECURITY;

SELECT pg_catalog.pg_extension_config_dump('chatrel_proxy.shards', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel_proxy.direct_slots', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.users', '');

CREATE FUNCTION chatrel_proxy.set_shards(connections text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	n integer := cardinality(connections);
	options text;
BEGIN
	IF n IS NULL OR n = 0 OR array_position(connections, NULL) IS NOT NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'connections must have one of each shard';
	ELSIF EXISTS (SELECT FROM unnest(connections) AS c WHERE c ~* '\m(password|user)\s*=') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'connections must have neither user nor password',
			DETAIL = 'Every role can read the options of a server.',
			HINT = 'Put them into a user mapping of the server chatrel, or a password into '
				'the password file of the server''s system user.';
	ELSIF n < (SELECT count(*) FROM chatrel_proxy.shards) THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'a shard cannot be taken away',
			DETAIL = 'The ids of its groups say that it is there.';
	END IF;

	IF EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'chatrel') THEN
		SELECT string_agg(format('%s p%s %L', CASE WHEN s.shard IS NULL THEN 'ADD' ELSE 'SET' END,
			c.n - 1, c.connection), ', ' ORDER BY c.n) INTO options
		FROM unnest(connections) WITH ORDINALITY AS c (connection, n)
			LEFT JOIN chatrel_proxy.shards s ON s.shard = c.n - 1;
		EXECUTE 'ALTER SERVER chatrel OPTIONS (' || options || ')';
	ELSE
		SELECT string_agg(format('p%s %L', c.n - 1, c.connection), ', ' ORDER BY c.n) INTO options
		FROM unnest(connections) WITH ORDINALITY AS c (connection, n);
		EXECUTE 'CREATE SERVER chatrel FOREIGN DATA WRAPPER plproxy '
			'OPTIONS (modular_mapping ''1'', ' || options || ')';
	END IF;

	-- Home has enough to do, where there is any other.
	INSERT INTO chatrel_proxy.shards (shard, weight)
	SELECT s, CASE WHEN s = 0 AND n > 1 THEN 0 ELSE 1 END FROM generate_series(0, n - 1) AS s
	ON CONFLICT DO NOTHING;
	INSERT INTO chatrel_proxy.direct_slots (slot, shard)
	SELECT slot, CASE WHEN n = 1 THEN 0 ELSE 1 + slot % (n - 1) END
	FROM generate_series(0, 1023) AS slot
	ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION chatrel_proxy.set_shards(text[]) IS
	'administrative: says how each shard is reached, home first: libpq connection strings without '
	'user and password; more may be added at the end later, which moves nothing';

/* What has an id of a shard that there is not is looked for at home, which says so. */
CREATE FUNCTION chatrel_proxy.shard_of(id bigint) RETURNS integer
	LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN coalesce((SELECT s.shard FROM chatrel_proxy.shards s WHERE s.shard = id >> 48), 0);
END $$;
COMMENT ON FUNCTION chatrel_proxy.shard_of(bigint) IS
	'the shard of a group, a message or a whiteboard, by its id';

CREATE FUNCTION chatrel_proxy.all_shards() RETURNS integer[]
	LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$ BEGIN RETURN ARRAY(SELECT shard FROM chatrel_proxy.shards ORDER BY shard); END $$;
COMMENT ON FUNCTION chatrel_proxy.all_shards() IS 'the numbers of the shards, home first';

CREATE FUNCTION chatrel_proxy.place_direct(user_ids bigint[], as_user bigint) RETURNS integer
	LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN coalesce((SELECT s.shard FROM chatrel_proxy.direct_slots s
		WHERE s.slot = (SELECT pg_catalog.hash_array(array_agg(DISTINCT p ORDER BY p)) & 1023
			FROM unnest(user_ids || as_user) AS p)), 0);
END $$;
COMMENT ON FUNCTION chatrel_proxy.place_direct(bigint[], bigint) IS
	'the shard of the direct conversation of these people';

CREATE FUNCTION chatrel_proxy.start_clock(wait interval) RETURNS void
	AS 'MODULE_PATHNAME', 'chatrel_proxy_start_clock'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel_proxy.start_clock(interval) IS
	'from now on shards have chatrel_proxy.shard_timeout to answer, and so much more';

/*
 * Of a connection that cannot be made, or ends, PL/Proxy speaks with the SQLSTATE of an
 * internal error, and in its own name; 57P0x is said by a shard that ends, or has just
 * begun, and 08006 of one that has not answered in time (src/shards/shard_clock.c).
 */
CREATE FUNCTION chatrel_proxy.is_unreachable(code text, message text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN code LIKE '08%' OR code IN ('57P01', '57P02', '57P03')
		OR code = 'XX000' AND message LIKE 'PL/Proxy function %' AND message NOT LIKE '% REMOTE %';
END $$;
COMMENT ON FUNCTION chatrel_proxy.is_unreachable(text, text) IS
	'is this an error of the way to a shard, and not of what was asked?';

/* ---------- people: at home, and what of them is on shards ---------- */

CREATE FUNCTION chatrel_proxy.erase_at(shards integer[], user_id bigint) RETURNS SETOF void
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$ CLUSTER 'chatrel'; SPLIT shards; RUN ON shards; SELECT chatrel.erase_user(user_id); $$;
COMMENT ON FUNCTION chatrel_proxy.erase_at(integer[], bigint) IS 'erase_user() on these shards';

-- First at home, where it is refused, if it is: then once more on those where it is not done yet.
CREATE FUNCTION chatrel_proxy.erase_user(user_id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM chatrel_proxy.erase_at('{0}', user_id);
	PERFORM chatrel_proxy.erase_at(array_remove(chatrel_proxy.all_shards(), 0), user_id)
	WHERE cardinality(chatrel_proxy.all_shards()) > 1;
END $$;
COMMENT ON FUNCTION chatrel_proxy.erase_user(bigint) IS 'erase_user() everywhere';

CREATE FUNCTION chatrel_proxy.export_at(shards integer[], user_id bigint)
	RETURNS TABLE (shard integer, kind text, document jsonb)
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; SPLIT shards; RUN ON shards;
	SELECT ($1)[1] AS shard, x.kind, x.document FROM chatrel.export_user($2) AS x;
$$;
COMMENT ON FUNCTION chatrel_proxy.export_at(integer[], bigint) IS 'export_user() on these shards';

-- What is replicated to the shards is told once.
CREATE FUNCTION chatrel_proxy.export_user(user_id bigint) RETURNS TABLE (kind text, document jsonb)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT x.kind, x.document
	FROM chatrel_proxy.export_at(chatrel_proxy.all_shards(), $1) WITH ORDINALITY
		AS x (shard, kind, document, n)
	WHERE x.shard = 0
		OR x.kind IN ('membership', 'read_mark', 'message', 'edit', 'reaction', 'mention')
	ORDER BY x.n
$$;
COMMENT ON FUNCTION chatrel_proxy.export_user(bigint) IS 'export_user() of all shards';

CREATE FUNCTION chatrel_proxy.me_at(shards integer[], member_limit integer, as_user bigint)
	RETURNS TABLE (shard integer, document jsonb)
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; SPLIT shards; RUN ON shards;
	SELECT ($1)[1] AS shard, chatrel.me($2, $3) AS document;
$$;
COMMENT ON FUNCTION chatrel_proxy.me_at(integer[], integer, bigint) IS 'me() on these shards';

CREATE FUNCTION chatrel_proxy.me(member_limit integer, as_user bigint) RETURNS jsonb
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	WITH documents AS MATERIALIZED (
		SELECT * FROM chatrel_proxy.me_at(chatrel_proxy.all_shards(), $1, $2))
	SELECT d.document || jsonb_build_object('groups', (
		SELECT coalesce(jsonb_agg(g.document ORDER BY o.shard, g.n), '[]')
		FROM documents o, jsonb_array_elements(o.document -> 'groups')
			WITH ORDINALITY AS g (document, n)))
	FROM documents d WHERE d.shard = 0
$$;
COMMENT ON FUNCTION chatrel_proxy.me(integer, bigint) IS 'me(), with the groups of all shards';

/* ---------- groups ---------- */

CREATE FUNCTION chatrel_proxy.my_groups(as_user bigint)
	RETURNS TABLE (id bigint, name text, creator_id bigint, created_at timestamptz,
		last_message_id bigint, last_message_datetime timestamptz,
		last_message_sender_id bigint, last_message text,
		unread integer, unread_mentions integer)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT * FROM chatrel_proxy.all_my_groups($1) AS g
	ORDER BY g.last_message_datetime DESC NULLS LAST, g.id
$$;
COMMENT ON FUNCTION chatrel_proxy.my_groups(bigint) IS
	'my_groups() of all shards, by the times of the last messages: ids do not say which is later';

CREATE FUNCTION chatrel_proxy.unread_counts(as_user bigint)
	RETURNS TABLE (unread bigint, unread_mentions bigint, groups bigint)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT sum(c.unread)::bigint, sum(c.unread_mentions)::bigint, sum(c.groups)::bigint
	FROM chatrel_proxy.all_unread_counts($1) AS c
$$;
COMMENT ON FUNCTION chatrel_proxy.unread_counts(bigint) IS 'the sums of all shards';

CREATE FUNCTION chatrel_proxy.find_groups(query text, after bigint, row_limit integer,
		as_user bigint)
	RETURNS TABLE (id bigint, name text, description text, join_policy text,
		member_count bigint, created_at timestamptz)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT * FROM chatrel_proxy.all_find_groups($1, $2, $3, $4) AS g ORDER BY g.id LIMIT $3
$$;
COMMENT ON FUNCTION chatrel_proxy.find_groups(text, bigint, integer, bigint) IS
	'find_groups() of all shards';

CREATE FUNCTION chatrel_proxy.invitations(after bigint, row_limit integer, as_user bigint)
	RETURNS TABLE (group_id bigint, name text, description text, member_count bigint,
		invited_by bigint, created_at timestamptz)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT * FROM chatrel_proxy.all_invitations($1, $2, $3) AS i ORDER BY i.group_id LIMIT $2
$$;
COMMENT ON FUNCTION chatrel_proxy.invitations(bigint, integer, bigint) IS
	'invitations() of all shards';

/*
 * What is stored decides how many shards there are, so it is what a shard has to bear:
 * the files of its database, which whoever may connect to it may ask for, and always as
 * they are.  (pg_class.relpages would cost less, but is as old as the last VACUUM, and
 * so does not see what a shard that is new gets.)
 */
CREATE FUNCTION chatrel_proxy.sizes_at(shards integer[]) RETURNS TABLE (shard integer, size bigint)
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; SPLIT shards; RUN ON shards;
	SELECT ($1)[1] AS shard,
		pg_catalog.pg_database_size(pg_catalog.current_database()) AS size;
$$;
COMMENT ON FUNCTION chatrel_proxy.sizes_at(integer[]) IS 'the bytes that these shards have stored';

-- To ask both at once fails if one does not answer; then it is the first that answers alone.
CREATE FUNCTION chatrel_proxy.emptiest_of(drawn integer[]) RETURNS integer
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	BEGIN
		RETURN (SELECT z.shard FROM chatrel_proxy.sizes_at(drawn) AS z
			JOIN chatrel_proxy.shards AS s ON s.shard = z.shard
			ORDER BY z.size::float8 / s.weight, array_position(drawn, z.shard) LIMIT 1);
	EXCEPTION WHEN OTHERS THEN
		IF NOT chatrel_proxy.is_unreachable(SQLSTATE, SQLERRM) THEN
			RAISE;
		END IF;
	END;
	FOR i IN 1 .. cardinality(drawn) LOOP
		BEGIN
			PERFORM chatrel_proxy.start_clock(NULL);
			PERFORM chatrel_proxy.sizes_at(drawn[i:i]);
			RETURN drawn[i];
		EXCEPTION WHEN OTHERS THEN
			IF i = cardinality(drawn) OR NOT chatrel_proxy.is_unreachable(SQLSTATE, SQLERRM) THEN
				RAISE;
			END IF;
		END;
	END LOOP;
END $$;
COMMENT ON FUNCTION chatrel_proxy.emptiest_of(integer[]) IS
	'which of these shards has the least stored, by their weights, of those that answer';

/*
 * The one that is given, or the emptier of two that are drawn by their weights: a shard
 * that is new and empty is one of the two only so often, and does not get all groups.
 * (An exponentially distributed time of each, by its weight: the first two to come.)
 */
CREATE FUNCTION chatrel_proxy.place_group() RETURNS integer
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	given integer := current_setting('chatrel_proxy.shard');
	drawn integer[];
BEGIN
	IF given >= 0 THEN
		IF NOT EXISTS (SELECT FROM chatrel_proxy.shards AS s WHERE s.shard = given) THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('there is no shard %s', given),
				HINT = 'chatrel_proxy.shard is the number of one, or -1 for any.';
		END IF;
		RETURN given;
	END IF;
	drawn := ARRAY(SELECT s.shard FROM chatrel_proxy.shards AS s WHERE s.weight > 0
		ORDER BY -ln(1 - random()) / s.weight LIMIT 2);
	IF cardinality(drawn) < 2 THEN
		RETURN coalesce(drawn[1], 0);
	END IF;
	RETURN chatrel_proxy.emptiest_of(drawn);
END $$;
COMMENT ON FUNCTION chatrel_proxy.place_group() IS
	'the shard of a new group: that of chatrel_proxy.shard, or the emptier of two by chance';

CREATE FUNCTION chatrel_proxy.create_group_at(shard integer, name text, join_this_group boolean,
		visibility text, join_policy text, description text, metadata jsonb, as_user bigint)
	RETURNS chatrel.chat_group
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; RUN ON $1;
	SELECT * FROM chatrel.create_group($2, $3, $4, $5, $6, $7, $8);
$$;
COMMENT ON FUNCTION chatrel_proxy.create_group_at(integer, text, boolean, text, text, text, jsonb,
	bigint) IS 'create_group() on this shard';

-- Not RUN ON place_group(): PL/Proxy cannot ask shards while it decides which to ask.
CREATE FUNCTION chatrel_proxy.create_group(name text, join_this_group boolean, visibility text,
		join_policy text, description text, metadata jsonb, as_user bigint)
	RETURNS chatrel.chat_group
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	place integer;
BEGIN
	place := chatrel_proxy.place_group();
	PERFORM chatrel_proxy.start_clock(NULL);
	RETURN chatrel_proxy.create_group_at(place, $1, $2, $3, $4, $5, $6, $7);
END $$;
COMMENT ON FUNCTION chatrel_proxy.create_group(text, boolean, text, text, text, jsonb, bigint) IS
	'create_group(), where there is room';

CREATE FUNCTION chatrel_proxy.direct_group(user_ids bigint[], as_user bigint) RETURNS jsonb
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; RUN ON chatrel_proxy.place_direct($1, $2); TARGET chatrel.direct_group;
$$;
COMMENT ON FUNCTION chatrel_proxy.direct_group(bigint[], bigint) IS
	'direct_group(), where the people always meet';

/* A link of a proxy says its shard: number, dot, secret. */
CREATE FUNCTION chatrel_proxy.link_at(group_id bigint, expires timestamptz, max_uses integer,
		as_user bigint) RETURNS text
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; RUN ON chatrel_proxy.shard_of($1); TARGET chatrel.create_invite_link;
$$;
COMMENT ON FUNCTION chatrel_proxy.link_at(bigint, timestamptz, integer, bigint) IS
	'create_invite_link() of the shard';

CREATE FUNCTION chatrel_proxy.create_invite_link(group_id bigint, expires timestamptz,
		max_uses integer, as_user bigint) RETURNS text
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT chatrel_proxy.shard_of($1) || '.' || chatrel_proxy.link_at($1, $2, $3, $4) $$;
COMMENT ON FUNCTION chatrel_proxy.create_invite_link(bigint, timestamptz, integer, bigint) IS
	'create_invite_link(), with the shard before the secret';

CREATE FUNCTION chatrel_proxy.join_at(shard bigint, token text, as_user bigint) RETURNS bigint
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; RUN ON chatrel_proxy.shard_of($1); SELECT chatrel.join_by_link($2, $3);
$$;
COMMENT ON FUNCTION chatrel_proxy.join_at(bigint, text, bigint) IS
	'join_by_link() of the shard of this first id';

CREATE FUNCTION chatrel_proxy.join_by_link(token text, as_user bigint) RETURNS bigint
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE WHEN $1 ~ '^[0-9]{1,5}[.]'
		THEN chatrel_proxy.join_at(split_part($1, '.', 1)::bigint << 48,
			substr($1, strpos($1, '.') + 1), $2)
		ELSE chatrel_proxy.join_at(0, $1, $2) END
$$;
COMMENT ON FUNCTION chatrel_proxy.join_by_link(text, bigint) IS
	'join_by_link() of the shard that the token says';

/* ---------- messages ---------- */

/* By ids, as pages need: newest first of each shard. */
CREATE FUNCTION chatrel_proxy.search_messages(query text, group_id bigint, before_id bigint,
		message_limit integer, as_user bigint) RETURNS SETOF chatrel.chat_message
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF $2 IS NULL THEN
		RETURN QUERY SELECT * FROM chatrel_proxy.all_search_messages($1, $2, $3, $4, $5) AS m
			ORDER BY m.id DESC LIMIT $4;
	ELSE
		RETURN QUERY SELECT * FROM chatrel_proxy.group_search_messages($1, $2, $3, $4, $5);
	END IF;
END $$;
COMMENT ON FUNCTION chatrel_proxy.search_messages(text, bigint, bigint, integer, bigint) IS
	'search_messages() of the group''s shard, or of all';

CREATE FUNCTION chatrel_proxy.purge_messages(before timestamptz, group_id bigint, batch integer)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF $2 IS NULL THEN
		RETURN (SELECT sum(n) FROM chatrel_proxy.all_purge_messages($1, $2, $3) AS n);
	END IF;
	RETURN chatrel_proxy.group_purge_messages($1, $2, $3);
END $$;
COMMENT ON FUNCTION chatrel_proxy.purge_messages(timestamptz, bigint, integer) IS
	'purge_messages() of the group''s shard, or of all, and then batch rows of each';

/* ---------- who is online ---------- */

CREATE FUNCTION chatrel_proxy.presence(user_ids bigint[], as_user bigint)
	RETURNS TABLE (user_id bigint, online boolean)
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT u.id, bool_or(p.online)
	FROM unnest($1) WITH ORDINALITY AS u (id, n)
	JOIN chatrel_proxy.all_presence($1, $2) AS p ON p.user_id = u.id
	GROUP BY u.id, u.n ORDER BY u.n
$$;
COMMENT ON FUNCTION chatrel_proxy.presence(bigint[], bigint) IS
	'who is online on one of the shards, as far as the user may know there';

CREATE FUNCTION chatrel_proxy.report_online(user_ids bigint[], ttl interval) RETURNS integer
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT min(n) FROM chatrel_proxy.all_report_online($1, $2) AS n
$$;
COMMENT ON FUNCTION chatrel_proxy.report_online(bigint[], interval) IS
	'reports them on all shards, and returns the least of their answers';

/* ---------- catching up ---------- */

CREATE FUNCTION chatrel_proxy.sync_at(shards integer[], cursors text[], event_limit integer,
		wait interval, as_user bigint) RETURNS TABLE (shard integer, answer jsonb)
	LANGUAGE plproxy VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	AS $$
	CLUSTER 'chatrel'; SPLIT shards, cursors; RUN ON shards;
	SELECT ($1)[1] AS shard, CASE WHEN $5 = 0
		THEN chatrel.sync_all(nullif(($2)[1], ''), $3, $4)
		ELSE chatrel.sync(nullif(($2)[1], ''), NULL, $3, $4, $5) END AS answer;
$$;
COMMENT ON FUNCTION chatrel_proxy.sync_at(integer[], text[], integer, interval, bigint) IS
	'sync() on these shards, or sync_all() if as_user is 0, each with its cursor; '''' is none';

/*
 * A shard that does not answer is left out, and named.  To ask all at once fails if one
 * does; then they are asked one by one.
 */
CREATE FUNCTION chatrel_proxy.sync_reachable(shards integer[], cursors text[], event_limit integer,
		wait interval, as_user bigint) RETURNS TABLE (shard integer, answer jsonb)
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	BEGIN
		PERFORM chatrel_proxy.start_clock($4);
		RETURN QUERY SELECT * FROM chatrel_proxy.sync_at($1, $2, $3, $4, $5);
		RETURN;
	EXCEPTION WHEN OTHERS THEN
		IF NOT chatrel_proxy.is_unreachable(SQLSTATE, SQLERRM) THEN
			RAISE;
		END IF;
	END;
	FOR i IN 1 .. cardinality($1) LOOP
		BEGIN
			PERFORM chatrel_proxy.start_clock($4 / cardinality($1));
			RETURN QUERY SELECT * FROM chatrel_proxy.sync_at($1[i:i], $2[i:i], $3,
				$4 / cardinality($1), $5);
		EXCEPTION WHEN OTHERS THEN
			IF NOT chatrel_proxy.is_unreachable(SQLSTATE, SQLERRM) THEN
				RAISE;
			END IF;
			RETURN QUERY VALUES ($1[i], NULL::jsonb);
		END;
	END LOOP;
END $$;
COMMENT ON FUNCTION chatrel_proxy.sync_reachable(integer[], text[], integer, interval, bigint) IS
	'sync_at(), with a null answer of each shard that cannot be reached';

CREATE FUNCTION chatrel_proxy.cursors_of(cursor text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	cursors jsonb;
BEGIN
	IF cursor IS NULL THEN
		RETURN '{}';
	END IF;
	BEGIN
		cursors := cursor::jsonb;
	EXCEPTION WHEN OTHERS THEN
		RAISE invalid_parameter_value USING MESSAGE = 'invalid cursor';
	END;
	IF jsonb_typeof(cursors) <> 'object' OR cursors @? '$.* ? (@.type() != "string")' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'invalid cursor';
	END IF;
	RETURN cursors;
END $$;
COMMENT ON FUNCTION chatrel_proxy.cursors_of(text) IS
	'the cursor of each shard that a cursor of a proxy is made of: {"0": "...", "1": "..."}';

/*
 * In rounds: each shard that has more is asked for an equal part of what there is room
 * for.  A shard whose cursor is not there yet, as it is new, shows what there is.
 */
CREATE FUNCTION chatrel_proxy.sync_page(cursors jsonb, event_limit integer, wait interval,
		as_user bigint, OUT events jsonb, OUT next jsonb, OUT more boolean, OUT delayed integer[])
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	asked integer[] := chatrel_proxy.all_shards();
	room integer := event_limit;
	count integer;
	a record;
BEGIN
	events := '[]';
	next := cursors;
	more := false;
	delayed := '{}';
	WHILE room > 0 AND asked <> '{}' LOOP
		FOR a IN SELECT r.shard, r.answer FROM chatrel_proxy.sync_reachable(asked[1:room],
			ARRAY(SELECT coalesce(next ->> s::text, '') FROM unnest(asked[1:room]) AS s),
			room / least(room, cardinality(asked)),
			CASE WHEN events = '[]' THEN wait END, as_user) AS r
		LOOP
			count := coalesce(jsonb_array_length(a.answer -> 'events'), 0);
			IF a.answer IS NULL THEN
				delayed := delayed || a.shard;
			ELSE
				next := next || jsonb_build_object(a.shard::text, a.answer ->> 'cursor');
				events := events || (a.answer -> 'events');
				room := room - count;
			END IF;
			IF count = 0 OR NOT (a.answer ->> 'more')::boolean THEN
				asked := array_remove(asked, a.shard);
				more := more OR coalesce((a.answer ->> 'more')::boolean, false);
			END IF;
		END LOOP;
	END LOOP;
	more := more OR asked <> '{}';
END $$;
COMMENT ON FUNCTION chatrel_proxy.sync_page(jsonb, integer, interval, bigint) IS
	'the events of all shards after their cursors, up to a limit';

CREATE FUNCTION chatrel_proxy.sync_shards(cursor text, event_limit integer, wait interval,
		as_user bigint) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + wait;
	cursors jsonb;
	page record;
BEGIN
	-- Home says what is wrong.
	IF event_limit IS NULL OR event_limit < 1 OR wait < interval '0' THEN
		RETURN (SELECT answer
			FROM chatrel_proxy.sync_at('{0}', '{""}', event_limit, wait, as_user));
	END IF;
	IF cursor = 'now' THEN
		SELECT jsonb_object_agg(s, 'now') INTO cursors FROM unnest(chatrel_proxy.all_shards()) AS s;
	ELSE
		cursors := chatrel_proxy.cursors_of(cursor);
	END IF;
	LOOP
		page := chatrel_proxy.sync_page(cursors, event_limit,
			CASE WHEN deadline > clock_timestamp()
				THEN least(deadline - clock_timestamp(), interval '200 ms') END, as_user);
		IF page.delayed <> '{}'
			AND (cursor = 'now' OR page.delayed = chatrel_proxy.all_shards()) THEN
			RAISE connection_exception USING
				MESSAGE = format('shards that cannot be reached: %s', page.delayed);
		END IF;
		EXIT WHEN page.events <> '[]' OR wait IS NULL OR clock_timestamp() >= deadline;
		cursors := page.next;
	END LOOP;
	RETURN jsonb_build_object('events', page.events, 'cursor', page.next::text, 'more', page.more)
		|| CASE WHEN page.delayed = '{}' THEN '{}'
			ELSE jsonb_build_object('delayed', to_jsonb(page.delayed)) END;
END $$;
COMMENT ON FUNCTION chatrel_proxy.sync_shards(text, integer, interval, bigint) IS
	'sync() of all shards, or sync_all() if as_user is 0';

CREATE FUNCTION chatrel_proxy.sync(cursor text, group_id bigint, event_limit integer,
		wait interval, as_user bigint) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF $2 IS NULL THEN
		RETURN chatrel_proxy.sync_shards($1, $3, $4, $5);
	END IF;
	PERFORM chatrel_proxy.start_clock($4);
	RETURN chatrel_proxy.group_sync($1, $2, $3, $4, $5);
END $$;
COMMENT ON FUNCTION chatrel_proxy.sync(text, bigint, integer, interval, bigint) IS
	'sync() of the group''s shard, or of all';

CREATE FUNCTION chatrel_proxy.sync_all(cursor text, event_limit integer, wait interval)
	RETURNS jsonb
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER
	SET search_path = pg_catalog, pg_temp
	AS $$ BEGIN RETURN chatrel_proxy.sync_shards($1, $2, $3, 0); END $$;
COMMENT ON FUNCTION chatrel_proxy.sync_all(text, integer, interval) IS 'sync_all() of all shards';
