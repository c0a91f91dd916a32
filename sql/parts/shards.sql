/* Shards: one database of several */

CREATE FUNCTION chatrel.become_shard(n integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_become_shard'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 10000;
COMMENT ON FUNCTION chatrel.become_shard(integer) IS
	'administrative: makes ids of groups, and of all that is in them, begin above n << 48, where '
	'there is nothing yet; 0 is home; false if they do';

CREATE FUNCTION chatrel.become_home() RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_become_home'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 10000;
COMMENT ON FUNCTION chatrel.become_home() IS
	'administrative: makes ids begin at 1, as those of a database that is not a shard; false if '
	'they do';

CREATE FUNCTION chatrel.replicated_user() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_replicated_user'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.replicated_user() IS
	'the trigger of users that, on a shard, ends memberships of a user that was deleted at home, '
	'and tells groups of another name';

CREATE TRIGGER replicated_user AFTER UPDATE OF username, deleted_at ON chatrel.users
	FOR EACH ROW WHEN (OLD.deleted_at IS NULL
		AND (NEW.deleted_at IS NOT NULL OR OLD.username <> NEW.username))
	EXECUTE FUNCTION chatrel.replicated_user();
ALTER TABLE chatrel.users ENABLE REPLICA TRIGGER replicated_user;
COMMENT ON TRIGGER replicated_user ON chatrel.users IS
	'what follows in the groups of a shard from what home says of a user';

-- privileges

-- They say what ids are given next; the trigger's function is for the trigger.
REVOKE ALL ON FUNCTION chatrel.become_shard(integer), chatrel.become_home(),
	chatrel.replicated_user() FROM PUBLIC;
