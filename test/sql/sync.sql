-- sync: its answer, its arguments, its cursors and their errors.  What commits
-- late is in specs/iso_sync, histories of servers are in t/051_sync_history.pl.

SET TimeZone = 'UTC';
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SET chatrel.user_id = 1;
SELECT (chatrel.create_group(name, true)).id FROM unnest(ARRAY['g', 'h']) AS name;
SELECT chatrel.join_group(1, as_user => 2);

-- The texts of messages, and the kinds of other events.  Cursors are kept in variables of psql: they differ with every run.
CREATE FUNCTION texts(answer jsonb, OUT events text, OUT more text) LANGUAGE sql AS $$
	SELECT coalesce((SELECT string_agg(coalesce(e -> 'group_message' ->> 'message', k), ', ' ORDER BY n)
		FROM jsonb_array_elements(answer -> 'events') WITH ORDINALITY AS j (e, n), jsonb_object_keys(e) AS k), '-'), answer ->> 'more'
$$;

---------------------------------------------------------------------------
-- the answer
---------------------------------------------------------------------------

-- nothing yet but what led here
SELECT jsonb_path_query_array(answer, '$.events[*].keyvalue().key') AS events, answer -> 'more' AS more, answer ->> 'cursor' <> '' AS cursor,
	(SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(answer) AS k) AS keys
FROM chatrel.sync() AS answer;
SELECT chatrel.sync() ->> 'cursor' AS empty \gset

SELECT FROM chatrel.send_group_message(1, 'one', '2024-02-29 12:00:00.5+00');
SELECT FROM chatrel.send_group_message(2, '☃ "two" \ {}', '9999-12-31 23:59:59.999999+00');
SELECT FROM chatrel.send_group_message(1, E'thr\nee', '2024-02-29 12:00:00+00', as_user => 2);
SELECT jsonb_pretty(chatrel.sync(:'empty') -> 'events');
-- the same documents as those of the history
SELECT jsonb_path_query_array(chatrel.sync(NULL, 1), '$.events[*].group_message') = chatrel.get_group_with_chat_history(1) -> 'messages' AS same;
SET TimeZone = 'Asia/Tokyo';
-- as they are heard: in UTC, whatever the session's time zone
SELECT jsonb_path_query_array(chatrel.sync(NULL, 1), '$.events[*].group_message.datetime') AS datetimes;
SET TimeZone = 'UTC';

-- from a cursor
SELECT chatrel.sync() ->> 'cursor' AS three \gset
SELECT * FROM texts(chatrel.sync(:'empty'));
SELECT * FROM texts(chatrel.sync(:'three'));
SELECT FROM chatrel.send_group_message(1, 'four');
SELECT * FROM texts(chatrel.sync(:'three'));
-- as often as one likes
SELECT * FROM texts(chatrel.sync(:'three'));
-- 'now': from now on
SELECT chatrel.sync('now') -> 'events' AS events;
SELECT chatrel.sync('now') ->> 'cursor' AS four \gset
SELECT FROM chatrel.send_group_message(2, 'five');
SELECT * FROM texts(chatrel.sync(:'four'));
-- where the history ends
SELECT chatrel.get_group_with_chat_history(1, message_limit => 1) ->> 'cursor' AS history \gset
SELECT FROM chatrel.send_group_message(1, 'six');
SELECT * FROM texts(chatrel.sync(:'history', 1));
-- also that of an older page
SELECT * FROM texts(chatrel.sync(chatrel.get_group_with_chat_history(1, before_id => 8) ->> 'cursor', 1));

---------------------------------------------------------------------------
-- pages
---------------------------------------------------------------------------

SELECT * FROM texts(chatrel.sync(event_limit => 4));
SELECT chatrel.sync(event_limit => 4) ->> 'cursor' AS page \gset
-- messages and other events are of one order
SELECT * FROM texts(chatrel.sync(:'page', event_limit => 3));
SELECT chatrel.sync(:'page', event_limit => 3) ->> 'cursor' AS page \gset
SELECT * FROM texts(chatrel.sync(:'page', event_limit => 3));
SELECT chatrel.sync(:'page', event_limit => 3) ->> 'cursor' AS page \gset
SELECT * FROM texts(chatrel.sync(:'page', event_limit => 1));
SELECT chatrel.sync(:'page', event_limit => 1) ->> 'cursor' AS page \gset
SELECT * FROM texts(chatrel.sync(:'page', event_limit => 1));
-- exactly as many as there are, and one less
SELECT * FROM texts(chatrel.sync(event_limit => 11));
SELECT * FROM texts(chatrel.sync(event_limit => 10));
SELECT * FROM texts(chatrel.sync(event_limit => 2147483647));
-- a hundred unless asked otherwise
BEGIN;
SELECT count(chatrel.send_group_message(2, i::text)) FROM generate_series(1, 200) AS i;
SELECT jsonb_array_length(answer -> 'events'), answer -> 'more' AS more FROM chatrel.sync(group_id => 2) AS answer;
ROLLBACK;

---------------------------------------------------------------------------
-- whose events
---------------------------------------------------------------------------

SELECT * FROM texts(chatrel.sync(as_user => 2));
SELECT * FROM texts(chatrel.sync(as_user => 3));
SELECT * FROM texts(chatrel.sync(group_id => 2));
-- who has left gets no more, but that it has left
SELECT chatrel.sync(as_user => 2) ->> 'cursor' AS of_bob \gset
SELECT FROM chatrel.send_group_message(1, 'seven');
SELECT chatrel.leave_group(1, as_user => 2);
SELECT * FROM texts(chatrel.sync(:'of_bob', as_user => 2));
-- and, when it is back, what was sent meanwhile
SELECT chatrel.join_group(1, as_user => 2);
SELECT * FROM texts(chatrel.sync(:'of_bob', as_user => 2));

-- a cursor is of one user, and of one group or all
SELECT chatrel.sync(:'of_bob');
SELECT chatrel.sync(:'of_bob', 1, as_user => 2);
SELECT chatrel.sync(:'history', 2);
SELECT chatrel.sync(:'history');

---------------------------------------------------------------------------
-- errors
---------------------------------------------------------------------------

SELECT chatrel.sync(as_user => 99);
SELECT chatrel.sync(group_id => 99);
SELECT chatrel.sync(group_id => 2, as_user => 2);
SELECT chatrel.sync(group_id => 0);
SELECT chatrel.sync(group_id => -1);
SELECT chatrel.sync(event_limit => 0);
SELECT chatrel.sync(event_limit => -1);
SELECT chatrel.sync(event_limit => NULL);
SELECT chatrel.sync(wait => '-1 second');
SELECT chatrel.sync(wait => '-178000000 years');
RESET chatrel.user_id;
SELECT chatrel.sync();
SET chatrel.user_id = 1;

-- a cursor that is none of chatrel's
CREATE FUNCTION sqlstate_of_cursor(cursor text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM chatrel.sync(cursor);
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT chatrel.sync('nonsense');
SELECT DISTINCT sqlstate_of_cursor(c) FROM unnest(ARRAY['', ' ', '1', '1.', '1.1.1.1.1.1.1.1.1.1.1.1.1.', 'NOW', '2..............',
	'2.1.1.1.1.1.1.1.1.0.1.1.1.zz', '2.1.1.1.1.1.1.1.1.0.1.1.1.1-2:3', '2.1.1.1.1.1.1.1.1.0.1.1.1.2-1:3;', '2.1.1.1.1.1.1.1.1.0.1.1.1.2-2:3;',
	'2.1.1.1.1.1.1.1.1.0.1.1.1.5-6:0;3-4:0;', '2.11111111111111111.1.1.1.1.1.1.1.0.1.1.1.', '2.1.1.1.1.1.1.1.1.0.ffffffffffffffff.1.1.',
	'2.1.111111111.1.1.1.1.1.1.0.1.1.1.', '2.-1.1.1.1.1.1.1.1.0.1.1.1.', '2.1.1.1.1.1.1.111111111.1.0.1.1.1.']) AS c;
-- every text that is shorter, or a little longer
SELECT sqlstate_of_cursor(left(:'three', n)) AS result, count(*) > 0 AS some
FROM generate_series(0, length(:'three') - 1) AS n WHERE left(:'three', n) !~ '[.;]$' GROUP BY 1 ORDER BY 1;
SELECT DISTINCT sqlstate_of_cursor(replace(:'three', '~', c || '~')) FROM unnest(ARRAY['x', ' ', '.', ';', '1', '1-', '1-2', '1-2:']) AS c;
-- of another server, or another timeline
SELECT sqlstate_of_cursor(regexp_replace(:'three', '^2\.[0-9a-f]', '2.e'));
SELECT sqlstate_of_cursor(regexp_replace(:'three', '^(2\.[0-9a-f]*\.)[0-9a-f]*', '\17fffffff'));
-- more transactions than there can be
SELECT sqlstate_of_cursor(replace(:'empty', '~', (SELECT string_agg(format('%s-%s:0;', to_hex(2 * i), to_hex(2 * i + 1)), '' ORDER BY i) FROM generate_series(1, 100001) AS i) || '~'));
-- one that chatrel has not made
SELECT sqlstate_of_cursor(replace(:'three', '~', '1-2:0;~'));
SELECT sqlstate_of_cursor(split_part(:'three', '~', 1));

---------------------------------------------------------------------------
-- where it may be called
---------------------------------------------------------------------------

BEGIN READ ONLY;
SELECT * FROM texts(chatrel.sync(:'three', group_id => NULL, event_limit => 1));
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM texts(chatrel.sync(:'three', event_limit => 1));
COMMIT;
-- many in one statement
SELECT u, t.* FROM generate_series(1, 3) AS u, texts(chatrel.sync(as_user => u, event_limit => 2)) AS t ORDER BY u;
-- with a wait there is none where something is new, and an end
SELECT * FROM texts(chatrel.sync(:'three', event_limit => 1, wait => '1 hour'));
SELECT * FROM texts(chatrel.sync(:'three', event_limit => 1, wait => '178000000 years'));
SELECT * FROM texts(chatrel.sync(:'three', event_limit => 1, wait => '2147483647 days'));
SELECT * FROM texts(chatrel.sync(chatrel.sync('now') ->> 'cursor', wait => '0'));
SELECT * FROM texts(chatrel.sync(chatrel.sync('now') ->> 'cursor', wait => '100 ms'));
SET statement_timeout = '100ms';
SELECT * FROM texts(chatrel.sync(chatrel.sync('now') ->> 'cursor', wait => '1 hour'));
RESET statement_timeout;

-- made again, or restored: the same ids are given again, and the cursor is of another history
SELECT chatrel.sync('now') ->> 'cursor' AS before \gset
DROP EXTENSION chatrel;
CREATE EXTENSION chatrel;
SET client_min_messages = warning;
SELECT count(chatrel.create_user('user ' || i)) FROM generate_series(1, 3) i;
RESET client_min_messages;
SELECT sqlstate_of_cursor(:'before');

DROP FUNCTION texts, sqlstate_of_cursor;
DROP EXTENSION chatrel;
