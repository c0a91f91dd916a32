/* Receiving: to hear events as they come, and to catch up with those that were missed */

CREATE FUNCTION chatrel.listen(as_user bigint DEFAULT NULL)
	RETURNS TABLE (group_id bigint, channel text)
	AS 'MODULE_PATHNAME', 'chatrel_listen'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 20000 ROWS 50;
COMMENT ON FUNCTION chatrel.listen(bigint) IS
	'makes the session LISTEN to the user''s own channel (group_id null) and to those of its '
	'groups, and returns their names; never through a pooler in transaction mode, where another '
	'client would hear the user''s private messages';

CREATE FUNCTION chatrel.listen_group(group_id bigint, as_user bigint DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'chatrel_listen_group'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.listen_group(bigint, bigint) IS
	'makes the session LISTEN to the channel of a group of the user''s, and returns its name; '
	'never through a pooler in transaction mode';

CREATE FUNCTION chatrel.listen_all() RETURNS text
	AS 'MODULE_PATHNAME', 'chatrel_listen_all'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.listen_all() IS
	'administrative: makes the session LISTEN to the channel that carries every event, and returns '
	'its name; never through a pooler in transaction mode';

CREATE FUNCTION chatrel.unlisten() RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'chatrel_unlisten'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 100 ROWS 50;
COMMENT ON FUNCTION chatrel.unlisten() IS
	'makes the session stop listening to chatrel''s channels, and returns their names';

CREATE FUNCTION chatrel.sync(cursor text DEFAULT NULL, group_id bigint DEFAULT NULL,
		event_limit integer DEFAULT 100, wait interval DEFAULT NULL, as_user bigint DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'chatrel_sync'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 100000;
COMMENT ON FUNCTION chatrel.sync(text, bigint, integer, interval, bigint) IS
	'what has happened in the user''s groups (or one group) and to the user that the cursor has not '
	'seen, and the next cursor: {"events", "cursor", "more"}; waits for the first up to wait';

CREATE FUNCTION chatrel.sync_all(cursor text DEFAULT NULL, event_limit integer DEFAULT 100,
		wait interval DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'chatrel_sync_all'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 100000;
COMMENT ON FUNCTION chatrel.sync_all(text, integer, interval) IS
	'administrative: all that has happened, to everybody, that the cursor has not seen, as sync() '
	'answers: an event that has a recipient_id is for that user, another for the members of its '
	'group_id';

CREATE FUNCTION chatrel.get_group_with_chat_history(group_id bigint, before_id bigint DEFAULT NULL,
		message_limit integer DEFAULT 50, after_id bigint DEFAULT NULL,
		around_id bigint DEFAULT NULL, member_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'chatrel_get_group_with_chat_history'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 20000;
COMMENT ON FUNCTION chatrel.get_group_with_chat_history(bigint, bigint, integer, bigint, bigint,
	integer, bigint) IS
	'a group of the user''s, with its first member_limit members, and a page of its messages, as '
	'group_messages() finds it, oldest first, and where sync() goes on: {"id", "name", "members", '
	'"messages", "cursor"}';

-- privileges

-- They hear and read every group: granted by name.
REVOKE ALL ON FUNCTION chatrel.listen_all(), chatrel.sync_all(text, integer, interval) FROM PUBLIC;
