-- Conversations: what a message may carry, edits, deletions, pages both ways.

SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd', 'dan']) AS name;
SET chatrel.user_id = 1;
SELECT id FROM chatrel.create_group('g', true);
SELECT id FROM chatrel.create_group('h', true);
SELECT bool_and(chatrel.join_group(1, as_user => u)) FROM generate_series(2, 3) u;
TRUNCATE chatrel.events; ALTER SEQUENCE chatrel.event_ids RESTART;

-- A statement's error: SQLSTATE, message, detail, table.
CREATE FUNCTION pg_temp.fails(statement text, OUT code text, OUT message text, OUT detail text, OUT of_table text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, of_table = TABLE_NAME;
END $$;
-- What has happened to messages: kind, for whom, by whom, which message, detail without times.
CREATE FUNCTION pg_temp.happened() RETURNS TABLE (kind text, recipient_id bigint, actor_id bigint, message text, detail jsonb)
LANGUAGE sql AS $$
	SELECT e.kind, e.recipient_id, e.actor_id, (SELECT coalesce(m.message, '(deleted)') FROM chatrel.groups_messages m WHERE m.id = e.message_id),
		e.detail - 'edited_at'
	FROM chatrel.events e WHERE e.message_id IS NOT NULL ORDER BY e.id $$;

---------------------------------------------------------------------------
-- send_group_message: replies, mentions, metadata
---------------------------------------------------------------------------

SELECT id AS first FROM chatrel.send_group_message(1, 'first', '2024-01-01 00:00+00') \gset
SELECT id AS other FROM chatrel.send_group_message(2, 'elsewhere') \gset
-- nothing but the text has the keys of old
SELECT chatrel.get_message(1, :first) - 'id' AS plain;
SELECT reply_to_id = :first AS answers, mentions, metadata, edited_at, deleted_at
	FROM chatrel.send_group_message(1, 'all of it', '2024-01-02 00:00+00', :first, '{3,2,3,1}', '{"a": [1, {"b": null}], "c": "☃"}', 'k1');
SELECT jsonb_pretty(chatrel.get_message(1, max(id)) - 'id' - 'reply_to_id') AS message FROM chatrel.groups_messages;
SELECT * FROM pg_temp.happened();
-- of oneself alone, or of nobody, nothing is left
SELECT mentions, metadata FROM chatrel.send_group_message(1, 'of nobody', mentions => '{1,1}', metadata => '{}');
SELECT mentions FROM chatrel.send_group_message(1, 'of nobody', mentions => '{}');
SELECT mentions FROM chatrel.send_group_message(1, 'two dimensions', mentions => '{{2,3},{3,2}}');
SELECT count(*) FROM pg_temp.happened();
-- errors
SELECT (pg_temp.fails(s)).* FROM unnest(ARRAY[
	format('SELECT chatrel.send_group_message(1, ''x'', reply_to_id => %s)', :other),
	'SELECT chatrel.send_group_message(1, ''x'', reply_to_id => 0)',
	'SELECT chatrel.send_group_message(1, ''x'', reply_to_id => -1)',
	'SELECT chatrel.send_group_message(1, ''x'', reply_to_id => 99)',
	'SELECT chatrel.send_group_message(99, ''x'', reply_to_id => 1)',
	'SELECT chatrel.send_group_message(1, ''x'', reply_to_id => 1, as_user => 4)',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => ''{2,4}'')',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => ''{99}'')',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => ''{0}'')',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => ''{2,NULL}'')',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => array_fill(2::bigint, ARRAY[101]))',
	'SELECT chatrel.send_group_message(1, ''x'', mentions => array_fill(2::bigint, ARRAY[100]))',
	'SELECT chatrel.send_group_message(1, ''x'', metadata => ''[]'')',
	'SELECT chatrel.send_group_message(1, ''x'', metadata => ''null'')',
	'SELECT chatrel.send_group_message(1, ''x'', metadata => ''"text"'')',
	-- 13 bytes are the object's own, and the key's
	'SELECT chatrel.send_group_message(1, ''x'', metadata => jsonb_build_object(''k'', repeat(''x'', 8192 - 13)))',
	'SELECT chatrel.send_group_message(1, ''x'', metadata => jsonb_build_object(''k'', repeat(''x'', 8192 - 12)))',
	'SELECT chatrel.send_group_message(1, ''x'', client_key => '''')',
	'SELECT chatrel.send_group_message(1, ''x'', client_key => repeat(''ü'', 127) || ''x'')',
	'SELECT chatrel.send_group_message(1, ''x'', client_key => repeat(''ü'', 128))'
]) s;

---------------------------------------------------------------------------
-- client_key
---------------------------------------------------------------------------

SELECT count(*) AS messages, (SELECT count(*) FROM chatrel.events) AS events FROM chatrel.groups_messages \gset before_
-- a retry is the first message, whatever else it says, and no event
SELECT message, reply_to_id = :first AS answers, mentions FROM chatrel.send_group_message(1, 'retried', mentions => '{2}', client_key => 'k1');
SELECT message FROM chatrel.send_group_message(1, 'of one who is gone', reply_to_id => 99, mentions => '{4}', client_key => 'k1');
SELECT count(*) - :before_messages AS new_messages, (SELECT count(*) FROM chatrel.events) - :before_events AS new_events FROM chatrel.groups_messages;
-- of another sender, group or key it is another
SELECT message FROM chatrel.send_group_message(1, 'of bob', client_key => 'k1', as_user => 2);
SELECT message FROM chatrel.send_group_message(2, 'of h', client_key => 'k1');
SELECT message FROM chatrel.send_group_message(1, 'of k2', client_key => 'k2');
-- twice in one statement
SELECT count(DISTINCT m.id) FROM generate_series(1, 3) i, chatrel.send_group_message(1, 'n' || i, client_key => 'k3') m;
-- one that was rolled back was none
BEGIN;
SELECT message FROM chatrel.send_group_message(1, 'lost', client_key => 'k4');
ROLLBACK;
SELECT message FROM chatrel.send_group_message(1, 'kept', client_key => 'k4');
-- members send
SELECT (pg_temp.fails('SELECT chatrel.send_group_message(2, ''x'', client_key => ''k1'', as_user => 2)')).*;

---------------------------------------------------------------------------
-- edit_message, delete_message
---------------------------------------------------------------------------

TRUNCATE chatrel.events;
SELECT id AS mine FROM chatrel.send_group_message(1, 'to be edited', '2024-01-01 00:00+00', :first, '{2}', '{"a": 1}', 'edit') \gset
BEGIN;
SELECT id = :mine AS same, datetime, sender_id, message, reply_to_id = :first AS answers, mentions, metadata, edited_at = now() AS now, deleted_at FROM chatrel.edit_message(1, :mine, 'edited');
-- the same text is no edit
SELECT message FROM chatrel.edit_message(1, :mine, 'edited');
SELECT detail FROM chatrel.events WHERE kind = 'message_edited' AND detail ->> 'edited_at' <> to_jsonb(now() AT TIME ZONE 'UTC') #>> '{}' || '+00:00';
COMMIT;
SELECT * FROM pg_temp.happened();
SELECT message FROM chatrel.edit_message(1, :mine, 'edited again');
SELECT jsonb_path_query_array(chatrel.sync(), '$.events[*].message_edited.message') AS texts;
SELECT chatrel.get_message(1, :mine) ? 'edited_at' AS edited;
-- errors
SELECT (pg_temp.fails(format(s, :mine))).* FROM unnest(ARRAY[
	'SELECT chatrel.edit_message(1, %s, ''x'', as_user => 2)',
	'SELECT chatrel.edit_message(1, %s, ''x'', as_user => 4)',
	'SELECT chatrel.edit_message(2, %s, ''x'')',
	'SELECT chatrel.edit_message(1, %s, '''')',
	'SELECT chatrel.edit_message(1, %s, NULL)',
	'SELECT chatrel.edit_message(1, %s, repeat(''x'', 513))',
	'SELECT chatrel.edit_message(1, NULL, ''x'')',
	'SELECT chatrel.edit_message(1, 99999, ''x'')',
	'SELECT chatrel.edit_message(99, 1, ''x'')',
	'SELECT chatrel.delete_message(1, %s, as_user => 2)',
	'SELECT chatrel.delete_message(1, %s, as_user => 4)',
	'SELECT chatrel.delete_message(2, %s)',
	'SELECT chatrel.delete_message(1, 99999)',
	'SELECT chatrel.delete_message(1, NULL)',
	'SELECT chatrel.get_message(1, %s, as_user => 4)',
	'SELECT chatrel.get_message(2, %s)',
	'SELECT chatrel.get_message(1, 99999)',
	'SELECT chatrel.get_message(NULL, 1)']) s;
BEGIN READ ONLY;
SELECT chatrel.edit_message(1, :mine, 'x');
ROLLBACK;
BEGIN READ ONLY;
SELECT chatrel.delete_message(1, :mine);
ROLLBACK;
-- the window
SELECT id AS fresh FROM chatrel.send_group_message(1, 'fresh') \gset
SELECT id AS future FROM chatrel.send_group_message(1, 'of the future', '9999-01-01 00:00+00') \gset
SET chatrel.edit_window = '1h';
SELECT message FROM chatrel.edit_message(1, :fresh, 'in time');
SELECT (pg_temp.fails(format('SELECT chatrel.edit_message(1, %s, ''x'')', :mine))).*;
SELECT code FROM pg_temp.fails(format('SELECT chatrel.edit_message(1, %s, ''x'')', :future));
SELECT code FROM pg_temp.fails('SET chatrel.edit_window = -1');
RESET chatrel.edit_window;
SELECT message FROM chatrel.edit_message(1, :future, 'without a window');

-- a tombstone
BEGIN;
SELECT chatrel.delete_message(1, :mine);
SELECT datetime, message, reply_to_id = :first AS answers, mentions, metadata, client_key, edited_at IS NOT NULL AS edited, deleted_at = now() AS now FROM chatrel.groups_messages WHERE id = :mine;
COMMIT;
SELECT chatrel.delete_message(1, :mine) AS again;
SELECT kind, detail - 'edited_at' AS detail, detail ? 'edited_at' AS has_time FROM chatrel.events WHERE message_id = :mine ORDER BY id;
SELECT chatrel.get_message(1, :mine) - 'id' - 'deleted_at' - 'edited_at' - 'reply_to_id' AS tombstone, chatrel.get_message(1, :mine) ? 'deleted_at' AS deleted;
SELECT count(*) FROM jsonb_path_query(chatrel.sync(), '$.events[*] ? (exists(@.*.message ? (@ starts with "edited")))');
SELECT (pg_temp.fails(format('SELECT chatrel.edit_message(1, %s, ''x'')', :mine))).code;
-- it can be answered, and a retry of it is it
SELECT reply_to_id = :mine AS answers FROM chatrel.send_group_message(1, 'an answer', reply_to_id => :mine);
SELECT id = :mine AS same, message, deleted_at IS NOT NULL AS deleted FROM chatrel.send_group_message(1, 'x', client_key => 'edit');
-- the last message of a group
SELECT chatrel.delete_message(1, last_message_id) FROM chatrel.my_groups() WHERE id = 1;
SELECT last_message_sender_id, last_message FROM chatrel.my_groups() WHERE id = 1;
-- who has left neither edits nor deletes
SELECT id AS of_bob FROM chatrel.send_group_message(1, 'of bob', as_user => 2) \gset
SELECT chatrel.leave_group(1, as_user => 2);
SELECT (pg_temp.fails(format(s, :of_bob))).code FROM unnest(ARRAY['SELECT chatrel.edit_message(1, %s, ''x'', as_user => 2)', 'SELECT chatrel.delete_message(1, %s, as_user => 2)']) s;
-- the table takes no message without a text that is not deleted
SELECT code, message, of_table FROM unnest(ARRAY['INSERT INTO chatrel.groups_messages (group_id, sender_id) VALUES (1, 1)',
	'INSERT INTO chatrel.groups_messages (group_id, sender_id, message) VALUES (1, 1, '''')']) s, pg_temp.fails(s);
INSERT INTO chatrel.groups_messages (group_id, sender_id, deleted_at) VALUES (1, 1, now());
-- a trigger of the owner's that suppresses the change
CREATE FUNCTION pg_temp.discard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER discard BEFORE INSERT OR UPDATE ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION pg_temp.discard();
SELECT (pg_temp.fails(format(s, :first))).* FROM unnest(ARRAY['SELECT chatrel.edit_message(1, %s, ''x'')', 'SELECT chatrel.delete_message(1, %s)',
	'SELECT chatrel.send_group_message(1, ''x'', client_key => ''new'')']) s;
DROP TRIGGER discard ON chatrel.groups_messages;

---------------------------------------------------------------------------
-- pages
---------------------------------------------------------------------------

TRUNCATE chatrel.groups_messages, chatrel.events CASCADE; ALTER SEQUENCE chatrel.event_ids RESTART;
SELECT count(*) FROM generate_series(1, 40) i, chatrel.send_group_message(i % 2 + 1, 'm' || i);
CREATE FUNCTION pg_temp.page(VARIADIC ids bigint[], OUT rows bigint[], OUT document jsonb) LANGUAGE sql AS $$
	SELECT ARRAY(SELECT id FROM chatrel.group_messages(1, ids[1], ids[2]::int, ids[3], ids[4])),
		jsonb_path_query_array(chatrel.get_group_with_chat_history(1, ids[1], ids[2]::int, ids[3], ids[4]), '$.messages[*].id') $$;
SELECT p.* FROM (VALUES
	(1, NULL, 3, NULL, NULL), (2, 20, 3, NULL, NULL),
	(3, NULL, 3, 20, NULL), (4, NULL, 3, 21, NULL), (5, NULL, 3, 0, NULL), (6, NULL, 3, 36, NULL), (7, NULL, 3, 40, NULL),
	(8, NULL, 3, -9223372036854775808, NULL), (9, NULL, 3, 9223372036854775807, NULL),
	(10, NULL, 5, NULL, 20), (11, NULL, 4, NULL, 20), (12, NULL, 1, NULL, 20), (13, NULL, 4, NULL, 21),
	(14, NULL, 5, NULL, 2), (15, NULL, 5, NULL, 40), (16, NULL, 5, NULL, 9223372036854775807), (17, NULL, 5, NULL, -9223372036854775808)
	) AS v (n, before, page, after, around), pg_temp.page(before, page, after, around) AS p ORDER BY n;
SELECT (pg_temp.fails(s)).message FROM unnest(ARRAY[
	'SELECT chatrel.group_messages(1, 5, after_id => 5)', 'SELECT chatrel.group_messages(1, after_id => 5, around_id => 5)',
	'SELECT chatrel.get_group_with_chat_history(1, 5, around_id => 5)', 'SELECT chatrel.group_messages(1, 5, 0, 5, 5)',
	'SELECT chatrel.group_messages(1, message_limit => 0, around_id => 5)']) s;
-- forwards, page by page: all of them once, in order
WITH RECURSIVE pages AS (
	SELECT 1 AS page, ARRAY(SELECT id FROM chatrel.group_messages(1, after_id => 0, message_limit => 7)) AS ids
	UNION ALL
	SELECT page + 1, ARRAY(SELECT id FROM chatrel.group_messages(1, after_id => ids[1], message_limit => 7)) FROM pages WHERE cardinality(ids) > 0 AND page < 50)
SELECT count(*) AS pages, array_agg(id ORDER BY page, ord DESC) = (SELECT array_agg(id ORDER BY id) FROM chatrel.groups_messages WHERE group_id = 1) AS all_in_order
	FROM pages p, unnest(p.ids) WITH ORDINALITY AS u (id, ord);
-- a document that is full says so, and has what is next to the place
SET chatrel.max_message_length = 10000000;
TRUNCATE chatrel.groups_messages, chatrel.events CASCADE; ALTER SEQUENCE chatrel.event_ids RESTART;
SELECT count(*) FROM generate_series(1, 5) i, chatrel.send_group_message(1, repeat('x', 7000000) || i);
RESET chatrel.max_message_length;
SELECT d -> 'more' AS more, jsonb_path_query_array(d, '$.messages[*].id') AS ids
	FROM (VALUES (1, NULL, NULL), (2, 1, NULL), (3, NULL, 3)) AS v (n, after, around), chatrel.get_group_with_chat_history(1, after_id => after, around_id => around) d ORDER BY n;
-- metadata counts as text does
TRUNCATE chatrel.groups_messages, chatrel.events CASCADE; ALTER SEQUENCE chatrel.event_ids RESTART;
SELECT count(*) FROM generate_series(1, 2100) i, chatrel.send_group_message(1, 'm' || i, metadata => jsonb_build_object('k', repeat('x', 8000)));
SELECT jsonb_array_length(chatrel.sync('now'::text) -> 'events') AS none, jsonb_array_length(d -> 'messages') < 2100 AS cut, d -> 'more' AS more
	FROM chatrel.get_group_with_chat_history(1, message_limit => 2100) d;

DROP EXTENSION chatrel;
