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

CREATE FUNCTION chatrel.presence(user_ids bigint[], as_user bigint DEFAULT NULL)
	RETURNS TABLE (user_id bigint, online boolean)
	AS 'MODULE_PATHNAME', 'chatrel_presence'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000 ROWS 50;
COMMENT ON FUNCTION chatrel.presence(bigint[], bigint) IS
	'which of these users are online, as far as the user may know: who share a group with it, and '
	'its friends, where there is no block; all others are said to be offline. Needs the library '
	'to be preloaded';

CREATE FUNCTION chatrel.report_online(user_ids bigint[], ttl interval) RETURNS integer
	AS 'MODULE_PATHNAME', 'chatrel_report_online'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.report_online(bigint[], interval) IS
	'administrative: these users are online for so long, from a second to a day; with 0 they are '
	'not, unless a session listens for them. Returns how many users that is, without those who do '
	'not exist or for whom there is no room. Needs the library to be preloaded';

CREATE FUNCTION chatrel.typing(group_id bigint, as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_typing'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.typing(bigint, bigint) IS
	'announces that the user is typing to a group that it may send to: heard, and not kept. False, '
	'and nothing is heard, within 3 s of the last time. Needs the library to be preloaded';

CREATE FUNCTION chatrel.presence_status(OUT online integer, OUT room integer,
		OUT turned_away bigint)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'chatrel_presence_status'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 50 ROWS 1;
COMMENT ON FUNCTION chatrel.presence_status() IS
	'of all databases: how many users are online, how many may be, and how often there was no room '
	'for one since the server was started; no row unless the library is preloaded';

-- privileges

-- They hear and read every group: granted by name.
REVOKE ALL ON FUNCTION chatrel.listen_all(), chatrel.sync_all(text, integer, interval) FROM PUBLIC;

-- It says who is online, whoever that is: granted by name.
REVOKE ALL ON FUNCTION chatrel.report_online(bigint[], interval) FROM PUBLIC;

-- It is for monitoring, as the relay's view is.
REVOKE ALL ON FUNCTION chatrel.presence_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION chatrel.presence_status() TO pg_monitor;
