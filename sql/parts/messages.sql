/* Messages of groups */

/*
 * There is no index on sender_id: users are marked deleted and not removed, so
 * that nothing ever looks for the messages of one sender, and every send would
 * pay for it.
 */
CREATE TABLE chatrel.groups_messages (
	id bigint GENERATED ALWAYS AS IDENTITY,
	datetime timestamptz NOT NULL DEFAULT now(),
	group_id bigint NOT NULL REFERENCES chatrel.groups ON DELETE CASCADE,
	sender_id bigint NOT NULL REFERENCES chatrel.users,
	message text NOT NULL CHECK (message <> ''),
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	PRIMARY KEY (group_id, id)
);

-- For catching up with transactions that committed late.
CREATE INDEX groups_messages_xid_idx ON chatrel.groups_messages (xid);

COMMENT ON INDEX chatrel.groups_messages_xid_idx IS 'the messages of a transaction';
COMMENT ON TABLE chatrel.groups_messages IS 'the messages of all groups; a role sees those of its user''s groups';
COMMENT ON COLUMN chatrel.groups_messages.id IS 'the order of sending; ids of concurrent transactions may become visible out of order';
COMMENT ON COLUMN chatrel.groups_messages.datetime IS 'when it was sent, as the sender or the server says';
COMMENT ON COLUMN chatrel.groups_messages.group_id IS 'the group it was sent to';
COMMENT ON COLUMN chatrel.groups_messages.sender_id IS 'the user that sent it';
COMMENT ON COLUMN chatrel.groups_messages.message IS 'the text; at most chatrel.max_message_length characters';
COMMENT ON COLUMN chatrel.groups_messages.xid IS 'the sending transaction, which send_group_message() assigns before it draws the id';

/*
 * Messages are read by group, newest first: the planner must not think that the
 * policy leaves few of them, as it does of an array, or it reads and sorts them
 * all.  Of a hashed subplan it does not.
 */
ALTER TABLE chatrel.groups_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY groups_messages_read ON chatrel.groups_messages FOR SELECT
	USING (group_id IN (SELECT group_id FROM chatrel.my_memberships));
COMMENT ON POLICY groups_messages_read ON chatrel.groups_messages IS 'a member sees the messages of the group';

SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_messages', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.groups_messages_id_seq', '');

CREATE TYPE chatrel.chat_message AS (
	id bigint,
	datetime timestamptz,
	group_id bigint,
	sender_id bigint,
	message text
);
COMMENT ON TYPE chatrel.chat_message IS 'a message as functions return it';

CREATE FUNCTION chatrel.send_group_message(group_id bigint, message text, datetime timestamptz DEFAULT NULL, as_user bigint DEFAULT NULL) RETURNS chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_send_group_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 2000;
COMMENT ON FUNCTION chatrel.send_group_message(bigint, text, timestamptz, bigint) IS
	'sends a message to a group the user is a member of, and returns it; datetime defaults to the transaction''s time';

CREATE FUNCTION chatrel.group_messages(group_id bigint, before_id bigint DEFAULT NULL, message_limit integer DEFAULT 50, as_user bigint DEFAULT NULL) RETURNS SETOF chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_group_messages'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 50;
COMMENT ON FUNCTION chatrel.group_messages(bigint, bigint, integer, bigint) IS
	'messages of a group of the user''s, newest first; before_id is the last id of the page before';

-- privileges

GRANT SELECT ON chatrel.groups_messages TO PUBLIC;
GRANT USAGE ON TYPE chatrel.chat_message TO PUBLIC;
