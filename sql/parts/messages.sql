/* Messages of groups */

/*
 * There is no index on sender_id, for which every send would pay: users are marked
 * deleted and not removed, so that the messages of one sender are looked for only
 * when the user is exported or erased.
 */
CREATE TABLE chatrel.groups_messages (
	id bigint NOT NULL DEFAULT nextval('chatrel.event_ids'),
	datetime timestamptz NOT NULL DEFAULT now(),
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	sender_id bigint NOT NULL REFERENCES chatrel.users,
	message text,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	reply_to_id bigint,
	mentions bigint[],
	metadata jsonb,
	client_key text,
	edited_at timestamptz,
	deleted_at timestamptz,
	PRIMARY KEY (group_id, id)
);

/* A text that is not empty, unless it is deleted: a CHECK of that would cost a send a tenth. */
CREATE FUNCTION chatrel.check_message() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_check_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.check_message() IS
	'the trigger of groups_messages that checks the text of a row';

-- The last of them all: others may change the row before.
CREATE TRIGGER zz_check_message BEFORE INSERT OR UPDATE OF message, deleted_at
	ON chatrel.groups_messages
	FOR EACH ROW EXECUTE FUNCTION chatrel.check_message();
COMMENT ON TRIGGER zz_check_message ON chatrel.groups_messages IS
	'a message has a text that is not empty, unless it is deleted';

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

-- A send that is tried again finds the first one; who sends without a key pays nothing for it.
CREATE UNIQUE INDEX groups_messages_client_key_idx
	ON chatrel.groups_messages (group_id, sender_id, client_key) WHERE client_key IS NOT NULL;

-- What a deletion has to make forgotten.
CREATE INDEX events_edited_message_idx ON chatrel.events (message_id) WHERE kind = 'message_edited';

COMMENT ON INDEX chatrel.groups_messages_id_idx IS 'the messages of all groups, in order';
COMMENT ON INDEX chatrel.groups_messages_xid_idx IS 'the messages of a transaction';
COMMENT ON INDEX chatrel.groups_messages_client_key_idx IS
	'a sender''s key is for one message of a group';
COMMENT ON INDEX chatrel.events_edited_message_idx IS 'the edits of a message';
COMMENT ON TABLE chatrel.groups_messages IS
	'the messages of all groups; a role sees those of its user''s groups';
COMMENT ON COLUMN chatrel.groups_messages.id IS
	'the order of sending; ids of concurrent transactions may become visible out of order';
COMMENT ON COLUMN chatrel.groups_messages.datetime IS
	'when it was sent, as the sender or the server says';
COMMENT ON COLUMN chatrel.groups_messages.group_id IS 'the group it was sent to';
COMMENT ON COLUMN chatrel.groups_messages.sender_id IS 'the user that sent it';
COMMENT ON COLUMN chatrel.groups_messages.message IS
	'the text; at most chatrel.max_message_length characters; null if the message is deleted';
COMMENT ON COLUMN chatrel.groups_messages.xid IS
	'the sending transaction, which send_group_message() assigns before it draws the id';
COMMENT ON COLUMN chatrel.groups_messages.reply_to_id IS
	'the message of the group that it answers, which may be gone by now';
COMMENT ON COLUMN chatrel.groups_messages.mentions IS
	'the members that it mentions, each once; null for none';
COMMENT ON COLUMN chatrel.groups_messages.metadata IS
	'what the application keeps with it: a JSON object of at most 8192 bytes';
COMMENT ON COLUMN chatrel.groups_messages.client_key IS
	'the sender''s own name for it, by which a send that is tried again is known';
COMMENT ON COLUMN chatrel.groups_messages.edited_at IS 'when the text was last changed';
COMMENT ON COLUMN chatrel.groups_messages.deleted_at IS
	'when it was deleted: its text, mentions and metadata are gone';

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
	message text,
	reply_to_id bigint,
	mentions bigint[],
	metadata jsonb,
	edited_at timestamptz,
	deleted_at timestamptz
);
COMMENT ON TYPE chatrel.chat_message IS 'a message as functions return it';

CREATE FUNCTION chatrel.send_group_message(group_id bigint, message text,
		datetime timestamptz DEFAULT NULL, reply_to_id bigint DEFAULT NULL,
		mentions bigint[] DEFAULT NULL, metadata jsonb DEFAULT NULL, client_key text DEFAULT NULL,
		as_user bigint DEFAULT NULL) RETURNS chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_send_group_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.send_group_message(bigint, text, timestamptz, bigint, bigint[], jsonb,
	text, bigint) IS
	'sends a message to a group the user is a member of, and returns it; datetime defaults to the '
	'transaction''s time; a second call with the same client_key returns the first message';

CREATE FUNCTION chatrel.edit_message(group_id bigint, message_id bigint, message text,
		as_user bigint DEFAULT NULL) RETURNS chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_edit_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.edit_message(bigint, bigint, text, bigint) IS
	'changes the text of a message that the user has sent, within chatrel.edit_window, and returns '
	'the message';

CREATE FUNCTION chatrel.delete_message(group_id bigint, message_id bigint,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_delete_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.delete_message(bigint, bigint, bigint) IS
	'takes the text, mentions and metadata out of a message, which stays as deleted: the user''s '
	'own, or for moderators and owners any; false if it was deleted already';

CREATE FUNCTION chatrel.get_message(group_id bigint, message_id bigint,
		as_user bigint DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'chatrel_get_message'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.get_message(bigint, bigint, bigint) IS
	'a message of a group of the user''s: {"id", "datetime", "group_id", "sender_id", "message"}, '
	'and what else there is of "reply_to_id", "mentions", "metadata", "edited_at", "deleted_at", '
	'"reactions", "my_reactions"';

CREATE FUNCTION chatrel.group_messages(group_id bigint, before_id bigint DEFAULT NULL,
		message_limit integer DEFAULT 50, after_id bigint DEFAULT NULL,
		around_id bigint DEFAULT NULL, as_user bigint DEFAULT NULL)
	RETURNS SETOF chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_group_messages'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.group_messages(bigint, bigint, integer, bigint, bigint, bigint) IS
	'messages of a group of the user''s, newest first: the last, those before before_id, those '
	'after after_id, or around_id with half a page on each side';

/*
 * What src/messages/purge.c says.  Not dumped, as cursors are of no use to a
 * database that is restored.
 */
CREATE TABLE chatrel.purges (
	group_id bigint PRIMARY KEY,
	up_to_id bigint NOT NULL,
	up_to_xid xid8 NOT NULL,
	purged_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE chatrel.purges IS
	'private: what was purged, for cursors that have not seen it';
COMMENT ON COLUMN chatrel.purges.group_id IS
	'the group that was purged, or deleted; 0: all groups, and the events for users';
COMMENT ON COLUMN chatrel.purges.up_to_id IS 'nothing with a higher id was purged';
COMMENT ON COLUMN chatrel.purges.up_to_xid IS 'nothing of a later transaction was purged';
COMMENT ON COLUMN chatrel.purges.purged_at IS 'when it was done last';
ALTER TABLE chatrel.purges ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION chatrel.purge_messages(before timestamptz, group_id bigint DEFAULT NULL,
		batch integer DEFAULT 10000) RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_purge_messages'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 1000000;
COMMENT ON FUNCTION chatrel.purge_messages(timestamptz, bigint, integer) IS
	'administrative: deletes messages and events that are older, of one group or of all, at most '
	'batch of them; returns how many: 0 when there are no more';

CREATE FUNCTION chatrel.note_deleted_group() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_note_deleted_group'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.note_deleted_group() IS
	'the trigger of groups that notes in purges that a group is gone, and deletes its events';
CREATE TRIGGER note_deleted_group AFTER DELETE ON chatrel.groups
	FOR EACH ROW EXECUTE FUNCTION chatrel.note_deleted_group();
COMMENT ON TRIGGER note_deleted_group ON chatrel.groups IS
	'cursors that have seen messages of a deleted group go on';

-- privileges

GRANT SELECT ON chatrel.groups_messages TO PUBLIC;
GRANT USAGE ON TYPE chatrel.chat_message TO PUBLIC;

-- The triggers' functions are for the triggers.
REVOKE ALL ON FUNCTION chatrel.check_message(), chatrel.keep_sender(),
	chatrel.note_deleted_group() FROM PUBLIC;

-- It deletes what is everybody's.
REVOKE ALL ON FUNCTION chatrel.purge_messages(timestamptz, bigint, integer) FROM PUBLIC;
