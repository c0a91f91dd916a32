-- Messages: sending them, pages of them, the history document; times and time zones.

SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob']) AS name;
SET chatrel.user_id = 1;
SELECT id FROM chatrel.create_group('g', true);
SELECT id FROM chatrel.create_group('h', true);
SELECT chatrel.join_group(1, as_user => 2);

---------------------------------------------------------------------------
-- send_group_message
---------------------------------------------------------------------------

BEGIN;
SELECT id, datetime = now() AS now, group_id, sender_id, message FROM chatrel.send_group_message(1, 'first');
-- the time of the transaction, not of the call
SELECT datetime = now() AS now FROM chatrel.send_group_message(1, 'second', NULL);
-- the transaction that sends, known to the row and not to the caller
SELECT DISTINCT xid = pg_current_xact_id() AS xid FROM chatrel.groups_messages;
COMMIT;
SELECT id, datetime, group_id, sender_id, message FROM chatrel.send_group_message(message => 'third', group_id => 1, as_user => 2, datetime => '2024-02-29 12:34:56.789012+00');
SELECT pg_typeof(chatrel.send_group_message(2, 'typed'));
-- what it may say
SELECT message FROM chatrel.send_group_message(2, ' ');
SELECT message FROM chatrel.send_group_message(2, E'two\nlines\tand a tab');
SELECT message FROM chatrel.send_group_message(2, '☃ 👋 "quoted" ''single'' \backslash {"json": true} %s $1');
SELECT message = E'\x01\x1f\x7f' AS control FROM chatrel.send_group_message(2, E'\x01\x1f\x7f');
-- the time may be any of the calendar
SELECT datetime FROM chatrel.send_group_message(2, 'm', '2024-01-01 00:00:00+05:30');
-- the years 1 to 9999, in UTC
SELECT datetime FROM chatrel.send_group_message(2, 'm', '0001-01-01 00:00:00+00');
SELECT datetime FROM chatrel.send_group_message(2, 'm', '9999-12-31 23:59:59.999999+00');
SELECT chatrel.send_group_message(2, 'm', '0001-12-31 23:59:59.999999+00 BC');
SELECT chatrel.send_group_message(2, 'm', '10000-01-01 00:00:00+00');
SELECT chatrel.send_group_message(2, 'm', '4713-01-01 00:00:00+00 BC');
SELECT chatrel.send_group_message(2, 'm', '294276-12-31 23:59:59.999999+00');
SELECT chatrel.send_group_message(2, 'm', 'infinity');
SELECT chatrel.send_group_message(2, 'm', '-infinity');
-- many in one statement
SELECT count((chatrel.send_group_message(2, 'm' || i)).id) FROM generate_series(1, 3) i;

---------------------------------------------------------------------------
-- group_messages: newest first, a page ends where the next begins
---------------------------------------------------------------------------

TRUNCATE chatrel.groups_messages, chatrel.events CASCADE; ALTER SEQUENCE chatrel.event_ids RESTART;
SELECT count(*) FROM generate_series(1, 130) i, chatrel.send_group_message(i % 2 + 1, 'm' || i, timestamptz '2024-01-01 00:00+00' + i * interval '1 min');
SELECT id, datetime, group_id, sender_id, message FROM chatrel.group_messages(1, message_limit => 2);
SELECT count(*) AS default_limit, max(id), min(id) FROM chatrel.group_messages(1);
SELECT count(*), max(id), min(id) FROM chatrel.group_messages(1, before_id => 32);
SELECT count(*), max(id), min(id) FROM chatrel.group_messages(1, before_id => 30, message_limit => 5);
-- every page, one after the other: all of them once, in order
WITH RECURSIVE pages AS (
	SELECT 1 AS page, ARRAY(SELECT id FROM chatrel.group_messages(1, message_limit => 7)) AS ids
	UNION ALL
	SELECT page + 1, ARRAY(SELECT id FROM chatrel.group_messages(1, ids[cardinality(ids)], 7)) FROM pages WHERE cardinality(ids) > 0 AND page < 50)
SELECT count(*) AS pages, sum(cardinality(ids)) AS messages,
	(SELECT array_agg(id ORDER BY page, ord) FROM pages p, unnest(p.ids) WITH ORDINALITY AS u (id, ord))
	= (SELECT array_agg(id ORDER BY id DESC) FROM chatrel.groups_messages WHERE group_id = 1) AS all_in_order
	FROM pages;
-- edges
SELECT count(*) FROM chatrel.group_messages(1, message_limit => 1);
SELECT count(*) FROM chatrel.group_messages(1, message_limit => 65);
SELECT count(*) FROM chatrel.group_messages(1, message_limit => 2147483647);
SELECT id FROM chatrel.group_messages(1, before_id => 3);
SELECT id FROM chatrel.group_messages(1, before_id => 2);
SELECT id FROM chatrel.group_messages(1, before_id => 1);
SELECT id FROM chatrel.group_messages(1, before_id => 0);
SELECT id FROM chatrel.group_messages(1, before_id => -1);
SELECT max(id) FROM chatrel.group_messages(1, before_id => 9223372036854775807);
SELECT id FROM chatrel.group_messages(1, before_id => -9223372036854775808);
-- an id of another group's, or of none, is a place all the same
SELECT max(id) FROM chatrel.group_messages(1, before_id => 51);
-- the times do not matter for the order
SELECT id FROM chatrel.send_group_message(1, 'of the past', '1999-01-01 00:00+00');
SELECT id, message FROM chatrel.group_messages(1, message_limit => 1);
-- in other places than a FROM clause, and not read to the end
SELECT (chatrel.group_messages(1, message_limit => 2)).message;
SELECT message FROM chatrel.group_messages(1) LIMIT 1;
-- an empty group
SELECT id FROM chatrel.create_group('empty', true);
SELECT count(*) FROM chatrel.group_messages(3);
SELECT chatrel.get_group_with_chat_history(3) - 'cursor' AS history;

---------------------------------------------------------------------------
-- get_group_with_chat_history: oldest first
---------------------------------------------------------------------------

SELECT jsonb_pretty(chatrel.get_group_with_chat_history(1, message_limit => 2) - 'cursor') AS history;
SELECT jsonb_array_length(chatrel.get_group_with_chat_history(1) -> 'messages') AS default_limit;
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1, before_id => 10, message_limit => 3), '$.messages[*].id') AS ids;
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1, before_id => 4), '$.messages[*].id') AS ids;
SELECT chatrel.get_group_with_chat_history(1, before_id => 1) -> 'messages' AS messages;
SELECT jsonb_array_length(chatrel.get_group_with_chat_history(1, message_limit => 2147483647) -> 'messages') AS all_of_them;

-- key for key
SELECT k FROM jsonb_object_keys(chatrel.get_group(1)) k ORDER BY k COLLATE "C";
SELECT k, jsonb_typeof(v) FROM jsonb_each(chatrel.get_group_with_chat_history(1)) AS e (k, v) ORDER BY k COLLATE "C";
SELECT k, jsonb_typeof(v) FROM jsonb_each(chatrel.get_group_with_chat_history(1) -> 'messages' -> 0) AS e (k, v) ORDER BY k COLLATE "C";
SELECT k, jsonb_typeof(v) FROM jsonb_each(chatrel.get_group_with_chat_history(1) -> 'members' -> 0) AS e (k, v) ORDER BY k COLLATE "C";
SELECT k, jsonb_typeof(v) FROM jsonb_each(chatrel.me()) AS e (k, v) ORDER BY k COLLATE "C";

-- the reader's time zone
TRUNCATE chatrel.groups_messages, chatrel.events CASCADE; ALTER SEQUENCE chatrel.event_ids RESTART;
SELECT id FROM chatrel.send_group_message(1, 'm', '2024-07-01 12:00:00.5+00');
SELECT id FROM chatrel.send_group_message(1, 'm', '9999-12-31 23:59:59.999999+00');
SELECT id FROM chatrel.send_group_message(1, 'm', '0001-01-01 00:00:00+00');
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1), '$.messages[*].datetime') AS utc;
SET TimeZone = 'Asia/Tokyo';
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1), '$.messages[0 to 1].datetime') AS tokyo;
SELECT datetime FROM chatrel.group_messages(1, 2);
SET TimeZone = 'America/St_Johns';
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1), '$.messages[0].datetime') AS newfoundland;
-- and not the reader's style
SET DateStyle = 'German';
SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1), '$.messages[0].datetime') AS newfoundland;
SET TimeZone = 'Europe/Berlin';
SELECT datetime FROM chatrel.send_group_message(1, 'm', '01.08.2024 12:00');
RESET DateStyle;
SET TimeZone = 'UTC';
SELECT datetime FROM chatrel.group_messages(1, message_limit => 1);

-- a deleted sender's messages stay
SELECT id FROM chatrel.send_group_message(1, 'from bob', as_user => 2);
SELECT chatrel.delete_user(2);
SELECT sender_id, message FROM chatrel.group_messages(1, message_limit => 1);

-- triggers of all kinds see what is sent, and constraints hold, though no statement adds it
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN NEW.message := upper(NEW.message); RETURN NEW; END';
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% % %', TG_WHEN, TG_LEVEL, CASE TG_LEVEL WHEN 'ROW' THEN NEW.message END;
	RETURN NULL;
END $$;
CREATE FUNCTION tell_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'all: %', (SELECT string_agg(message, ' ') FROM added);
	RETURN NULL;
END $$;
CREATE TRIGGER aa_shout BEFORE INSERT ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER tell_before BEFORE INSERT ON chatrel.groups_messages EXECUTE FUNCTION tell();
CREATE TRIGGER tell_row AFTER INSERT ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER tell_all AFTER INSERT ON chatrel.groups_messages REFERENCING NEW TABLE AS added EXECUTE FUNCTION tell_all();
ALTER TABLE chatrel.groups_messages ADD CONSTRAINT polite CHECK (message <> 'DAMN');
SELECT message FROM chatrel.send_group_message(1, 'hello');
\set VERBOSITY terse
SELECT message FROM chatrel.send_group_message(1, 'damn');
\set VERBOSITY default
SELECT message FROM chatrel.group_messages(1, message_limit => 1);

-- and so do keys, where a trigger puts in others than those that the send has locked
DROP TRIGGER tell_before ON chatrel.groups_messages;
DROP TRIGGER tell_row ON chatrel.groups_messages;
DROP TRIGGER tell_all ON chatrel.groups_messages;
CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.group_id := coalesce((NEW.metadata ->> 'group')::bigint, NEW.group_id);
	NEW.sender_id := coalesce((NEW.metadata ->> 'sender')::bigint, NEW.sender_id);
	RETURN NEW;
END $$;
CREATE TRIGGER forge BEFORE INSERT ON chatrel.groups_messages FOR EACH ROW EXECUTE FUNCTION forge();
SELECT message FROM chatrel.send_group_message(1, 'to nowhere', metadata => '{"group": 99}');
SELECT message FROM chatrel.send_group_message(1, 'by nobody', metadata => '{"sender": 99}');
SELECT message FROM chatrel.send_group_message(1, 'by nobody', metadata => '{"sender": 99}', client_key => 'k');
SELECT sender_id, message FROM chatrel.send_group_message(1, 'by another', metadata => '{"sender": 2}');

DROP EXTENSION chatrel;
DROP FUNCTION shout, tell, tell_all, forge;
