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
COMMENT ON COLUMN chatrel.message_reactions.reaction IS 'any text of 1 to 64 bytes, an emoji mostly';
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

-- privileges

GRANT SELECT ON chatrel.message_reactions TO PUBLIC;
