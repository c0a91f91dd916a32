/* Events: what happens in a group or to a user, as it is heard and caught up with */

/*
 * One sequence gives the ids of all that sync() has to show, so that one number
 * says what was seen.  No identity column, which would have a sequence of its
 * own.  Its cache must be 1: src/receive/cursor.c says why.
 */
CREATE SEQUENCE chatrel.event_ids;
COMMENT ON SEQUENCE chatrel.event_ids IS
	'the ids of messages and events, in the order in which they happen';
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
COMMENT ON TABLE chatrel.epochs IS
	'private: the runs of the server in which ids were drawn, by which sync() knows whether ids '
	'have been given again';
COMMENT ON COLUMN chatrel.epochs.id IS 'the order of recording';
COMMENT ON COLUMN chatrel.epochs.started_at IS 'when the server was started';
COMMENT ON COLUMN chatrel.epochs.database_id IS
	'oid of the database: a copy made by CREATE DATABASE has another one';
COMMENT ON COLUMN chatrel.epochs.last_id IS 'the last id that was given before';
COMMENT ON COLUMN chatrel.epochs.xid IS
	'the transaction that recorded it, which draws an id next';
ALTER TABLE chatrel.epochs ENABLE ROW LEVEL SECURITY;

/*
 * What is no row of its own.  A message is one, and is not written here again.
 * Without foreign keys: that a user has joined stays true when the user is gone,
 * and to check them would lock the rows of groups and users that are written to
 * by many.
 */
CREATE TABLE chatrel.events (
	id bigint NOT NULL DEFAULT nextval('chatrel.event_ids') PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	kind text NOT NULL CHECK (kind <> ''),
	group_id bigint,
	recipient_id bigint,
	actor_id bigint,
	user_id bigint,
	message_id bigint,
	detail jsonb,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	CHECK (group_id IS NOT NULL OR recipient_id IS NOT NULL)
);
CREATE INDEX events_group_id_idx ON chatrel.events (group_id, id) WHERE recipient_id IS NULL;
CREATE INDEX events_recipient_id_idx ON chatrel.events (recipient_id, id)
	WHERE recipient_id IS NOT NULL;
CREATE INDEX events_xid_idx ON chatrel.events (xid);

COMMENT ON TABLE chatrel.events IS
	'what has happened, besides messages; a role sees the events of its user''s groups, and those '
	'for its user';
COMMENT ON COLUMN chatrel.events.id IS 'the order in which it happened, among messages too';
COMMENT ON COLUMN chatrel.events.created_at IS
	'when: the time of the transaction; "datetime" in the event';
COMMENT ON COLUMN chatrel.events.kind IS 'what has happened: the only key of the event';
COMMENT ON COLUMN chatrel.events.group_id IS
	'the group in which it happened, and whose members it is for if there is no recipient';
COMMENT ON COLUMN chatrel.events.recipient_id IS 'the user whom it is for';
COMMENT ON COLUMN chatrel.events.actor_id IS 'the user who did it; null for the administration';
COMMENT ON COLUMN chatrel.events.user_id IS 'the user whom it is about, if any';
COMMENT ON COLUMN chatrel.events.message_id IS 'the message that it is about, if any';
COMMENT ON COLUMN chatrel.events.detail IS 'further keys of the event and their values';
COMMENT ON COLUMN chatrel.events.xid IS 'the transaction in which it happened';
COMMENT ON INDEX chatrel.events_group_id_idx IS 'the events of a group, in order';
COMMENT ON INDEX chatrel.events_recipient_id_idx IS 'the events for a user, in order';
COMMENT ON INDEX chatrel.events_xid_idx IS 'the events of a transaction';

ALTER TABLE chatrel.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY events_read ON chatrel.events FOR SELECT
	USING (CASE WHEN recipient_id IS NULL
		THEN group_id IN (SELECT group_id FROM chatrel.my_memberships)
		ELSE recipient_id = (SELECT chatrel.current_user_id()) END);
COMMENT ON POLICY events_read ON chatrel.events IS
	'a member sees the events of the group, and a user those for the user';

SELECT pg_catalog.pg_extension_config_dump('chatrel.events', '');

-- privileges

GRANT SELECT ON chatrel.events TO PUBLIC;
