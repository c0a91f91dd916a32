/* What members do to messages: reactions, read marks and pins */

/*
 * The keys of users are not checked, as those of senders are not: who is in the
 * group is a user, and the membership is locked.  A check would lock the user after
 * it.  Users are marked deleted and not removed.
 */
CREATE TABLE chatrel.message_reactions (
	group_id bigint NOT NULL,
	message_id bigint NOT NULL,
	user_id bigint NOT NULL,
	reaction text COLLATE "C" NOT NULL CHECK (octet_length(reaction) BETWEEN 1 AND 64),
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (group_id, message_id, reaction, user_id),
	FOREIGN KEY (group_id, message_id) REFERENCES chatrel.groups_messages ON DELETE CASCADE
);
COMMENT ON TABLE chatrel.message_reactions IS
	'reactions to messages; a role sees those in its user''s groups';
COMMENT ON COLUMN chatrel.message_reactions.group_id IS 'the group of the message';
COMMENT ON COLUMN chatrel.message_reactions.message_id IS 'the message';
COMMENT ON COLUMN chatrel.message_reactions.user_id IS 'the user who reacts';
COMMENT ON COLUMN chatrel.message_reactions.reaction IS
	'any text of 1 to 64 bytes, an emoji mostly';
COMMENT ON COLUMN chatrel.message_reactions.created_at IS 'when it was added';

ALTER TABLE chatrel.message_reactions ENABLE ROW LEVEL SECURITY;
CREATE POLICY message_reactions_read ON chatrel.message_reactions FOR SELECT
	USING (group_id IN (SELECT group_id FROM chatrel.my_memberships));
COMMENT ON POLICY message_reactions_read ON chatrel.message_reactions IS
	'a member sees the reactions in the group';

SELECT pg_catalog.pg_extension_config_dump('chatrel.message_reactions', '');

CREATE FUNCTION chatrel.add_reaction(group_id bigint, message_id bigint, reaction text,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_add_reaction'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.add_reaction(bigint, bigint, text, bigint) IS
	'adds a reaction of the user, 1 to 64 bytes, to a message; false if it was there';

CREATE FUNCTION chatrel.remove_reaction(group_id bigint, message_id bigint, reaction text,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_remove_reaction'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.remove_reaction(bigint, bigint, text, bigint) IS
	'removes a reaction of the user from a message; false if it was not there';

/*
 * The last id that was given when the member joined: what was said before counts as
 * read.  It is here since groups_members is made before the sequence is.
 */
ALTER TABLE chatrel.groups_members ADD COLUMN joined_id bigint NOT NULL
	DEFAULT coalesce(pg_sequence_last_value('chatrel.event_ids'), 0);
COMMENT ON COLUMN chatrel.groups_members.joined_id IS
	'the last id of a message or event when the user joined: no message up to it is unread';

/*
 * By user first, as a user's marks are read together.  late_from and late_to are
 * ranges of transactions: src/messages/read_marks.c says which.  In a database that
 * was restored from a dump they still mean messages of the dump, since no new
 * message has an id up to the mark.
 */
CREATE TABLE chatrel.read_marks (
	group_id bigint NOT NULL,
	user_id bigint NOT NULL,
	message_id bigint NOT NULL,
	late_from xid8[] NOT NULL,
	late_to xid8[] NOT NULL,
	marked_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (user_id, group_id),
	FOREIGN KEY (group_id, user_id) REFERENCES chatrel.groups_members ON DELETE CASCADE
);
COMMENT ON TABLE chatrel.read_marks IS
	'how far members have read their groups; a role sees those of its user';
COMMENT ON COLUMN chatrel.read_marks.group_id IS 'the group';
COMMENT ON COLUMN chatrel.read_marks.user_id IS 'the member';
COMMENT ON COLUMN chatrel.read_marks.message_id IS 'the last message that was read';
COMMENT ON COLUMN chatrel.read_marks.late_from IS
	'the transactions that were in progress then, as ranges: their messages are not read';
COMMENT ON COLUMN chatrel.read_marks.late_to IS 'the ends of these ranges, not included';
COMMENT ON COLUMN chatrel.read_marks.marked_at IS 'when the mark was made';

ALTER TABLE chatrel.read_marks ENABLE ROW LEVEL SECURITY;
CREATE POLICY read_marks_read ON chatrel.read_marks FOR SELECT
	USING (user_id = (SELECT chatrel.current_user_id()));
COMMENT ON POLICY read_marks_read ON chatrel.read_marks IS 'a user sees its own marks';

SELECT pg_catalog.pg_extension_config_dump('chatrel.read_marks', '');

CREATE INDEX events_mentioned_idx ON chatrel.events (recipient_id, group_id, message_id)
	WHERE kind = 'mentioned';
COMMENT ON INDEX chatrel.events_mentioned_idx IS 'the mentions of a user in a group';

CREATE FUNCTION chatrel.mark_read(group_id bigint, message_id bigint DEFAULT NULL,
		as_user bigint DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'chatrel_mark_read'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.mark_read(bigint, bigint, bigint) IS
	'the user has read the group up to a message, by default the last; returns how far it is read, '
	'which never goes back';

CREATE FUNCTION chatrel.my_groups(as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, name text, creator_id bigint, created_at timestamptz,
		last_message_id bigint, last_message_datetime timestamptz,
		last_message_sender_id bigint, last_message text,
		unread integer, unread_mentions integer)
	AS 'MODULE_PATHNAME', 'chatrel_my_groups'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 20000 ROWS 50;
COMMENT ON FUNCTION chatrel.my_groups(bigint) IS
	'the groups of the user, each with its last message, the one written to last first, and with '
	'the unread messages and mentions, counted up to chatrel.unread_cap + 1';

CREATE FUNCTION chatrel.unread_counts(as_user bigint DEFAULT NULL)
	RETURNS TABLE (unread bigint, unread_mentions bigint, groups bigint)
	AS 'MODULE_PATHNAME', 'chatrel_unread_counts'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 20000 ROWS 1;
COMMENT ON FUNCTION chatrel.unread_counts(bigint) IS
	'the sums of unread and unread_mentions of my_groups(), and in how many groups something is '
	'unread';

/* src/messages/pins.c says what the places are for; id is the order of pinning. */
CREATE TABLE chatrel.pinned_messages (
	id bigint GENERATED ALWAYS AS IDENTITY,
	group_id bigint NOT NULL,
	message_id bigint NOT NULL,
	place smallint NOT NULL CHECK (place BETWEEN 1 AND 100),
	pinned_by bigint NOT NULL,
	pinned_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (group_id, message_id),
	UNIQUE (group_id, place),
	FOREIGN KEY (group_id, message_id) REFERENCES chatrel.groups_messages ON DELETE CASCADE
);
COMMENT ON TABLE chatrel.pinned_messages IS
	'messages that are pinned to their group; a role sees those of its user''s groups';
COMMENT ON COLUMN chatrel.pinned_messages.id IS 'the order of pinning';
COMMENT ON COLUMN chatrel.pinned_messages.group_id IS 'the group';
COMMENT ON COLUMN chatrel.pinned_messages.message_id IS 'the message';
COMMENT ON COLUMN chatrel.pinned_messages.place IS
	'private: one of the group''s hundred places, in no order';
COMMENT ON COLUMN chatrel.pinned_messages.pinned_by IS 'the member who pinned it';
COMMENT ON COLUMN chatrel.pinned_messages.pinned_at IS 'when it was pinned';

ALTER TABLE chatrel.pinned_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY pinned_messages_read ON chatrel.pinned_messages FOR SELECT
	USING (group_id IN (SELECT group_id FROM chatrel.my_memberships));
COMMENT ON POLICY pinned_messages_read ON chatrel.pinned_messages IS
	'a member sees what is pinned in the group';

SELECT pg_catalog.pg_extension_config_dump('chatrel.pinned_messages', '');
SELECT pg_catalog.pg_extension_config_dump('chatrel.pinned_messages_id_seq', '');

CREATE FUNCTION chatrel.pin_message(group_id bigint, message_id bigint,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_pin_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.pin_message(bigint, bigint, bigint) IS
	'for moderators and owners, and for everybody in a direct conversation: pins a message to its '
	'group, 100 at most; false if it was pinned';

CREATE FUNCTION chatrel.unpin_message(group_id bigint, message_id bigint,
		as_user bigint DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'chatrel_unpin_message'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 5000;
COMMENT ON FUNCTION chatrel.unpin_message(bigint, bigint, bigint) IS
	'for the same users as pin_message(): unpins a message; false if it was not pinned';

CREATE FUNCTION chatrel.pinned_messages(group_id bigint, as_user bigint DEFAULT NULL)
	RETURNS TABLE (id bigint, datetime timestamptz, group_id bigint, sender_id bigint,
		message text, reply_to_id bigint, mentions bigint[], metadata jsonb,
		edited_at timestamptz, deleted_at timestamptz, pinned_at timestamptz, pinned_by bigint)
	AS 'MODULE_PATHNAME', 'chatrel_pinned_messages'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 2000 ROWS 10;
COMMENT ON FUNCTION chatrel.pinned_messages(bigint, bigint) IS
	'the pinned messages of a group of the user''s, the one that was pinned last first';

-- privileges

GRANT SELECT ON chatrel.message_reactions, chatrel.read_marks, chatrel.pinned_messages TO PUBLIC;
