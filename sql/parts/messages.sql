/* Messages of groups */

/*
 * One sequence gives the ids of all that sync() has to show, so that one number
 * says what was seen.  No identity column, which would have a sequence of its
 * own.  Its cache must be 1: src/receive/cursor.c says why.
 */
CREATE SEQUENCE chatrel.event_ids;
COMMENT ON SEQUENCE chatrel.event_ids IS 'the ids of messages, in the order in which they are sent';
SELECT pg_catalog.pg_extension_config_dump('chatrel.event_ids', '');

/*
 * What src/core/epoch.c says.  Not dumped: a database that is restored from a
 * dump has no history in common with the one that was dumped.
 */
CREATE TABLE chatrel.epochs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	started_at timestamptz NOT NULL,
	database_id oid NOT NULL,
	last_id bigint NOT NULL,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE chatrel.epochs IS 'private: the runs of the server in which ids were drawn, by which sync() knows whether ids have been given again';
COMMENT ON COLUMN chatrel.epochs.id IS 'the order of recording';
COMMENT ON COLUMN chatrel.epochs.started_at IS 'when the server was started';
COMMENT ON COLUMN chatrel.epochs.database_id IS 'oid of the database: a copy made by CREATE DATABASE has another one';
COMMENT ON COLUMN chatrel.epochs.last_id IS 'the last id that was given before';
COMMENT ON COLUMN chatrel.epochs.xid IS 'the transaction that recorded it, which draws an id next';
ALTER TABLE chatrel.epochs ENABLE ROW LEVEL SECURITY;

/*
 * There is no index on sender_id: users are marked deleted and not removed, so
 * that nothing ever looks for the messages of one sender, and every send would
 * pay for it.
 */
CREATE TABLE chatrel.groups_messages (
	id bigint NOT NULL DEFAULT nextval('chatrel.event_ids'),
	datetime timestamptz NOT NULL DEFAULT now(),
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	sender_id bigint NOT NULL,
	message text NOT NULL CHECK (message <> ''),
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	PRIMARY KEY (group_id, id)
);

/*
 * A new row's keys are checked by a trigger of our own, which leaves it out for a
 * send, and not by that of the constraint: src/messages/keys.c says why.  For the
 * sender there is no constraint at all, whose check would lock the user after the
 * membership; the triggers check both sides.
 */
DO $$
DECLARE
	check_of_key name;
BEGIN
	SELECT t.tgname INTO STRICT check_of_key FROM pg_catalog.pg_trigger t
	WHERE t.tgrelid = 'chatrel.groups_messages'::pg_catalog.regclass AND t.tgisinternal
		AND t.tgfoid = 'pg_catalog."RI_FKey_check_ins"'::pg_catalog.regproc;
	EXECUTE pg_catalog.format('ALTER TABLE chatrel.groups_messages DISABLE TRIGGER %I',
		check_of_key);
END $$;

CREATE FUNCTION chatrel.check_message_keys() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_check_message_keys'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.check_message_keys() IS
	'the trigger of groups_messages that checks the group and the sender of a row that no send '
	'has made';

-- The last of them all: others may change the row before.
CREATE TRIGGER zz_check_message_keys BEFORE INSERT ON chatrel.groups_messages
	FOR EACH ROW EXECUTE FUNCTION chatrel.check_message_keys();
COMMENT ON TRIGGER zz_check_message_keys ON chatrel.groups_messages IS
	'the group and the sender must exist';

CREATE FUNCTION chatrel.keep_sender() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_keep_sender'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.keep_sender() IS
	'the trigger of users that keeps a row whose user has sent messages';

CREATE TRIGGER keep_sender AFTER DELETE OR UPDATE OF id ON chatrel.users
	FOR EACH ROW EXECUTE FUNCTION chatrel.keep_sender();
COMMENT ON TRIGGER keep_sender ON chatrel.users IS
	'the senders of messages stay as rows, for the history';

/*
 * By the id alone: no id is given twice, and sync() can go by the order of all.
 * Of an expression, which nobody orders by but sync(): by an index on the column
 * itself the planner might well look for a page of one group among all messages.
 */
CREATE UNIQUE INDEX groups_messages_id_idx ON chatrel.groups_messages ((id + 0));

-- For catching up with transactions that committed late.
CREATE INDEX groups_messages_xid_idx ON chatrel.groups_messages (xid);

COMMENT ON INDEX chatrel.groups_messages_id_idx IS 'the messages of all groups, in order';
COMMENT ON INDEX chatrel.groups_messages_xid_idx IS 'the messages of a transaction';
COMMENT ON TABLE chatrel.groups_messages IS
	'the messages of all groups; a role sees those of its user''s groups';
COMMENT ON COLUMN chatrel.groups_messages.id IS
	'the order of sending; ids of concurrent transactions may become visible out of order';
COMMENT ON COLUMN chatrel.groups_messages.datetime IS
	'when it was sent, as the sender or the server says';
COMMENT ON COLUMN chatrel.groups_messages.group_id IS 'the group it was sent to';
COMMENT ON COLUMN chatrel.groups_messages.sender_id IS 'the user that sent it';
COMMENT ON COLUMN chatrel.groups_messages.message IS
	'the text; at most chatrel.max_message_length characters';
COMMENT ON COLUMN chatrel.groups_messages.xid IS
	'the sending transaction, which send_group_message() assigns before it draws the id';

/*
 * Messages are read by group, newest first: the planner must not think that the
 * policy leaves few of them, as it does of an array, or it reads and sorts them
 * all.  Of a hashed subplan it does not.
 */
ALTER TABLE chatrel.groups_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY groups_messages_read ON chatrel.groups_messages FOR SELECT
	USING (group_id IN (SELECT group_id FROM chatrel.my_memberships));
COMMENT ON POLICY groups_messages_read ON chatrel.groups_messages IS
	'a member sees the messages of the group';

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_messages', '');

CREATE TYPE chatrel.chat_message AS (
	id bigint,
	datetime timestamptz,
	group_id bigint,
	sender_id bigint,
	message text
);
COMMENT ON TYPE chatrel.chat_message IS 'a message as functions return it';

CREATE FUNCTION chatrel.send_group_message(group_id bigint, message text,
		datetime timestamptz DEFAULT NULL, as_user bigint DEFAULT NULL) RETURNS chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_send_group_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.send_group_message(bigint, text, timestamptz, bigint) IS
	'sends a message to a group the user is a member of, and returns it; datetime defaults to the '
	'transaction''s time';

CREATE FUNCTION chatrel.group_messages(group_id bigint, before_id bigint DEFAULT NULL,
		message_limit integer DEFAULT 50, as_user bigint DEFAULT NULL)
	RETURNS SETOF chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_group_messages'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.group_messages(bigint, bigint, integer, bigint) IS
	'messages of a group of the user''s, newest first; before_id is the last id of the page before';

-- privileges

GRANT SELECT ON chatrel.groups_messages TO PUBLIC;
GRANT USAGE ON TYPE chatrel.chat_message TO PUBLIC;

-- The triggers' functions are for the triggers.
REVOKE ALL ON FUNCTION chatrel.check_message_keys(), chatrel.keep_sender() FROM PUBLIC;
