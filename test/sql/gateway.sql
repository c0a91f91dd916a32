-- An application's own events, and what a gateway asks for everybody.

SET client_min_messages = warning;
CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_app;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_app;
SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 3) AS i;
SELECT count(chatrel.create_group('g' || i, true, as_user => 1)) FROM generate_series(1, 2) AS i;

-- What a statement fails with
CREATE FUNCTION fails(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n    ', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

-- The events of an answer, without times
CREATE FUNCTION events(answer jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object(kind.key, kind.value - 'datetime')
	FROM jsonb_array_elements(answer -> 'events') WITH ORDINALITY AS e (event, n), jsonb_each(event) AS kind
	ORDER BY n
$$;

\pset format unaligned
\pset tuples_only on

---------------------------------------------------------------------------
-- publish
---------------------------------------------------------------------------

SET chatrel.user_id = 1;
SELECT chatrel.publish(1, 'poll_opened', '{"question": "Where?", "ids": [1, 2]}');
SELECT chatrel.publish(1, kind => 'x', payload => 'null');
SELECT count(*) FROM (VALUES ('1'), ('"text"'), ('[]'), ('true'), ('{"a": {"b": [1.50, null, "ü"]}}')) v (payload),
	chatrel.publish(1, 'a_1', payload::jsonb);
SELECT fails('SELECT chatrel.publish(NULL, ''a'', ''1'')');
SELECT fails('SELECT chatrel.publish(1, NULL, ''1'')');
SELECT fails('SELECT chatrel.publish(1, ''a'', NULL)');
SELECT fails('SELECT chatrel.publish(9, ''a'', ''1'')');
SELECT fails('SELECT chatrel.publish(1, ''a'', ''1'', as_user => 2)');
SELECT kind, fails(format('SELECT chatrel.publish(1, %L, ''1'')', kind)) FROM unnest(ARRAY['', 'A', '1a', '_a', 'a b', 'a-b', 'ä',
	'a"b', repeat('a', 64)]) AS kind;
SELECT fails(format('SELECT chatrel.publish(1, %L, ''1'')', repeat('a', 63)));
-- chatrel's own kinds, whether or not there are any yet
SELECT fails('SELECT chatrel.publish(1, ''group_message'', ''1'')');
SELECT kind FROM unnest(ARRAY['member_joined', 'relisten', 'typing', 'whiteboard_changed', 'user_changed', 'read']) AS kind
	WHERE fails(format('SELECT chatrel.publish(1, %L, ''1'')', kind)) NOT LIKE '22023: % is a kind of event of chatrel''s own%';
-- as much as a notification takes
SELECT fails(format('SELECT chatrel.publish(1, ''a'', to_jsonb(repeat(''x'', %s)))', n)) FROM unnest(ARRAY[7000, 7955, 8000, 1000000]) AS n;
BEGIN READ ONLY;
SELECT fails('SELECT chatrel.publish(1, ''a'', ''1'')');
COMMIT;
-- not kept
SELECT count(*) FROM events(chatrel.sync()) AS e WHERE e ? 'poll_opened' OR e ? 'a_1';

---------------------------------------------------------------------------
-- sync_all
---------------------------------------------------------------------------

SELECT chatrel.sync_all('now') ->> 'cursor' AS start \gset
SELECT chatrel.join_group(2, as_user => 2);
SELECT chatrel.follow(2, as_user => 3);
SELECT (chatrel.send_group_message(2, 'to two')).message;
SELECT (chatrel.send_group_message(1, 'to one')).message;
SELECT * FROM events(chatrel.sync_all(:'start'));
-- page by page the same
WITH RECURSIVE pages AS (
	SELECT chatrel.sync_all(:'start', 1) AS answer
	UNION ALL
	SELECT chatrel.sync_all(answer ->> 'cursor', 1) FROM pages WHERE (answer ->> 'more')::boolean)
SELECT (SELECT jsonb_agg(e) FROM pages, events(answer) AS e) = (SELECT jsonb_agg(e) FROM events(chatrel.sync_all(:'start')) AS e) AS same,
	(SELECT count(*) FROM pages) AS pages;
-- to each user what is for that user: what sync() shows to it
SELECT u, (SELECT jsonb_agg(e) FROM events(chatrel.sync((SELECT chatrel.sync(as_user => u) ->> 'cursor'), as_user => u)) AS e) AS nothing,
	(SELECT count(*) FROM events(chatrel.sync(as_user => u))) AS events
	FROM generate_series(1, 3) AS u;
SELECT count(*) FROM events(chatrel.sync_all(chatrel.sync_all() ->> 'cursor'));
SELECT jsonb_array_length(chatrel.sync_all(chatrel.sync_all() ->> 'cursor', wait => '50 ms') -> 'events') AS nothing;
-- its cursors are its own
SELECT fails(format('SELECT chatrel.sync_all(%L)', chatrel.sync() ->> 'cursor'));
SELECT fails(format('SELECT chatrel.sync(%L)', :'start'));
SELECT fails(format('SELECT chatrel.sync(%L, as_user => 0)', :'start'));
SELECT fails('SELECT chatrel.sync_all(''nonsense'')');
SELECT fails('SELECT chatrel.sync_all(event_limit => 0)');
-- it acts as nobody
RESET chatrel.user_id;
SELECT count(*) > 0 AS some FROM events(chatrel.sync_all());

---------------------------------------------------------------------------
-- group_members_of
---------------------------------------------------------------------------

SELECT * FROM chatrel.group_members_of(ARRAY[2, 1, 2, 99]);
SELECT * FROM chatrel.group_members_of(NULL);
SELECT * FROM chatrel.group_members_of('{}');
SELECT fails('SELECT chatrel.group_members_of(ARRAY[1, NULL])');

---------------------------------------------------------------------------
-- presence and typing, on a server that does not preload the library
---------------------------------------------------------------------------

SELECT fails('SELECT chatrel.presence(ARRAY[1], 1)');
SELECT fails('SELECT chatrel.presence(NULL)');
SELECT fails('SELECT chatrel.presence(ARRAY[1, NULL])');
SELECT fails('SELECT chatrel.typing(1, 1)');
SELECT fails('SELECT chatrel.typing(NULL)');
SELECT ttl, fails(format('SELECT chatrel.report_online(ARRAY[1], %L)', ttl))
	FROM unnest(ARRAY[NULL, '-1 s', '0.9 s', '0', '1 s', '1 day', '1 day 1 us', '1 month', '-178000000 years']) AS ttl;
SELECT fails('SELECT chatrel.report_online(NULL, ''1 s'')');
SELECT count(*) FROM chatrel.presence_status();

-- administrative
SET ROLE regress_chatrel_app;
SELECT fails('SELECT chatrel.sync_all()');
SELECT fails('SELECT chatrel.report_online(ARRAY[1], ''1 s'')');
SELECT fails('SELECT * FROM chatrel.presence_status()');
SELECT fails('SELECT chatrel.group_members_of(NULL)');
RESET ROLE;

\pset format aligned
\pset tuples_only off
DROP FUNCTION fails(text), events(jsonb);
DROP EXTENSION chatrel;
DROP ROLE regress_chatrel_app;
