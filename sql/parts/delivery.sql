/* Delivery: the channels that events go to, and the relay that brings them there */

/*
 * PostgreSQL lets every role LISTEN to every channel, so the name of a channel
 * is the key to it.  These tables hold the keys: no role but the owner may read
 * them, and listen() and its sisters tell a name only to who may hear it.
 */
CREATE TABLE chatrel.groups_channels (
	group_id bigint PRIMARY KEY REFERENCES chatrel.groups ON DELETE CASCADE,
	channel uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE chatrel.groups_channels IS
	'secret: where a group''s events go; replaced when a member leaves';
COMMENT ON COLUMN chatrel.groups_channels.group_id IS 'the group';
COMMENT ON COLUMN chatrel.groups_channels.channel IS 'the channel is named chatrel_ and this';

CREATE TABLE chatrel.users_channels (
	user_id bigint PRIMARY KEY REFERENCES chatrel.users ON DELETE CASCADE,
	channel uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE chatrel.users_channels IS 'secret: where the events of one user go';
COMMENT ON COLUMN chatrel.users_channels.user_id IS 'the user';
COMMENT ON COLUMN chatrel.users_channels.channel IS 'the channel is named chatrel_ and this';

CREATE TABLE chatrel.all_channel (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	channel uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE chatrel.all_channel IS
	'secret: where every event goes too, once listen_all() was called';
COMMENT ON COLUMN chatrel.all_channel.only_row IS 'true: there is one row at most';
COMMENT ON COLUMN chatrel.all_channel.channel IS 'the channel is named chatrel_ and this';

-- Without any policy: not even for who may read every table (pg_read_all_data).
ALTER TABLE chatrel.groups_channels ENABLE ROW LEVEL SECURITY;
ALTER TABLE chatrel.users_channels ENABLE ROW LEVEL SECURITY;
ALTER TABLE chatrel.all_channel ENABLE ROW LEVEL SECURITY;

/*
 * Each group and each user has a channel, and one who was deleted and is back has
 * another.  A dump has no channels: these triggers make them when it is loaded,
 * and a dump is read by more people than the channels are for.
 */
CREATE FUNCTION chatrel.make_channel() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_make_channel'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.make_channel() IS
	'the trigger that makes the channel of a new group or user, and another for a user that was deleted and is back';

CREATE TRIGGER make_channel AFTER INSERT ON chatrel.groups
	FOR EACH ROW EXECUTE FUNCTION chatrel.make_channel();
COMMENT ON TRIGGER make_channel ON chatrel.groups IS 'a new group has a channel';

CREATE TRIGGER make_channel AFTER INSERT ON chatrel.users
	FOR EACH ROW EXECUTE FUNCTION chatrel.make_channel();
COMMENT ON TRIGGER make_channel ON chatrel.users IS 'a new user has a channel';

CREATE TRIGGER make_channel_again AFTER UPDATE OF deleted_at ON chatrel.users
	FOR EACH ROW WHEN (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL)
	EXECUTE FUNCTION chatrel.make_channel();
COMMENT ON TRIGGER make_channel_again ON chatrel.users IS 'a user that was deleted and is back has another channel';

CREATE FUNCTION chatrel.relay_status(OUT database_id oid, OUT worker_pid integer,
		OUT queued bigint, OUT delivered bigint, OUT batches bigint, OUT bytes_waiting bigint,
		OUT oldest_waiting timestamptz, OUT fallbacks_off bigint,
		OUT fallbacks_no_slot bigint, OUT fallbacks_no_worker bigint, OUT fallbacks_no_room bigint)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'chatrel_relay_status'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 50 ROWS 8;
COMMENT ON FUNCTION chatrel.relay_status() IS 'what the view chatrel.relay shows';

CREATE VIEW chatrel.relay AS
	SELECT d.datname AS database, s.database_id, s.worker_pid, s.queued, s.delivered, s.batches,
		s.bytes_waiting, s.oldest_waiting, s.fallbacks_off, s.fallbacks_no_slot,
		s.fallbacks_no_worker, s.fallbacks_no_room
	FROM chatrel.relay_status() s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.database_id;
COMMENT ON VIEW chatrel.relay IS
	'the relay''s queues, one for each database that has used it; empty unless the library is '
	'preloaded';
COMMENT ON COLUMN chatrel.relay.database IS 'name of the database; null when it was dropped';
COMMENT ON COLUMN chatrel.relay.database_id IS 'its oid';
COMMENT ON COLUMN chatrel.relay.worker_pid IS 'process id of the worker; null while there is none';
COMMENT ON COLUMN chatrel.relay.queued IS 'events queued so far';
COMMENT ON COLUMN chatrel.relay.delivered IS 'of these, events delivered';
COMMENT ON COLUMN chatrel.relay.batches IS 'transactions that delivered them';
COMMENT ON COLUMN chatrel.relay.bytes_waiting IS 'memory that waiting events take';
COMMENT ON COLUMN chatrel.relay.oldest_waiting IS
	'when the first waiting event was queued; null when none is waiting';
COMMENT ON COLUMN chatrel.relay.fallbacks_off IS
	'transactions that used NOTIFY themselves because chatrel.relay was off';
COMMENT ON COLUMN chatrel.relay.fallbacks_no_slot IS
	'because other databases had all queues; counted in one row, without a database, for all that '
	'had none';
COMMENT ON COLUMN chatrel.relay.fallbacks_no_worker IS
	'because the worker was not running, or not yet';
COMMENT ON COLUMN chatrel.relay.fallbacks_no_room IS 'because the queue was full';

-- privileges

-- It writes channels: granted by name.
REVOKE ALL ON FUNCTION chatrel.make_channel() FROM PUBLIC;

-- The relay's view is for monitoring.
REVOKE ALL ON FUNCTION chatrel.relay_status() FROM PUBLIC;
GRANT USAGE ON SCHEMA chatrel TO pg_monitor;
GRANT EXECUTE ON FUNCTION chatrel.relay_status() TO pg_monitor;
GRANT SELECT ON chatrel.relay TO pg_monitor;
