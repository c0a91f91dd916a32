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

-- privileges

-- They say what ids are given next.
REVOKE ALL ON FUNCTION chatrel.become_shard(integer), chatrel.become_home() FROM PUBLIC;
