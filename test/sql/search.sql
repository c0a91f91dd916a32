-- Searching messages, by the extension chatrel_search: what is found, in which order,
-- and what is not; the language; members of the extension, and how it goes away.

\set VERBOSITY terse
CREATE EXTENSION chatrel_search;
CREATE EXTENSION chatrel_search CASCADE;

---------------------------------------------------------------------------
-- what it is made of
---------------------------------------------------------------------------

SELECT extversion = (SELECT extversion FROM pg_extension WHERE extname = 'chatrel') AS "version of chatrel", extrelocatable AS relocatable
	FROM pg_extension WHERE extname = 'chatrel_search';
-- members, but for the types that come with the table
SELECT type, identity
	FROM pg_depend, pg_identify_object(classid, objid, objsubid)
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel_search')
		AND deptype IN ('e', 'x') AND type <> 'type'
	ORDER BY type COLLATE "C", identity COLLATE "C";
SELECT identity AS "has no comment"
	FROM pg_depend, pg_identify_object(classid, objid, objsubid)
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel_search')
		AND deptype IN ('e', 'x') AND type <> 'type' AND obj_description(objid, classid::regclass::text) IS NULL
UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'chatrel.search_settings'::regclass AND obj_description(oid, 'pg_trigger') IS NULL
UNION ALL SELECT attname FROM pg_attribute WHERE attrelid = 'chatrel.search_settings'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;
SELECT proname AS function, pg_get_function_arguments(p.oid) AS arguments, provolatile AS volatile, proparallel AS parallel, proisstrict AS strict,
	prosecdef AS definer, has_function_privilege('public', p.oid, 'EXECUTE') AS public
	FROM pg_proc p JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = p.oid
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel_search') AND deptype = 'e' ORDER BY 1;
SELECT relrowsecurity, relacl FROM pg_class WHERE oid = 'chatrel.search_settings'::regclass;
SELECT pg_get_indexdef('chatrel.groups_messages_search_idx'::regclass);

---------------------------------------------------------------------------
-- what is found
---------------------------------------------------------------------------

SELECT (chatrel.create_user(name)).id FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SELECT (chatrel.create_group('g' || g, true, as_user => g)).id FROM generate_series(1, 3) g;
SELECT chatrel.join_group(2, as_user => 1);
CREATE FUNCTION say(group_id bigint, message text) RETURNS bigint LANGUAGE sql AS $$ SELECT (chatrel.send_group_message($1, $2, as_user => $1)).id $$;
CREATE FUNCTION found(query text, group_id bigint DEFAULT NULL, as_user bigint DEFAULT 1) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(message, ' | ') FROM chatrel.search_messages($1, $2, as_user => $3) $$;
SELECT count(say(g, t)) FROM (VALUES (1, 'The quick brown fox'), (1, 'A brown bear, not quick'), (2, 'bears are brown'),
	(2, 'a quick lunch?'), (3, 'the secret fox'), (1, '🦊 🦊'), (1, 'Fuchs''s café, naïve Ünïcødé, привет мир')) m (g, t);

SELECT id > 0 AS id, datetime <= now() AS datetime, group_id, sender_id, message, reply_to_id, mentions, metadata, edited_at, deleted_at
	FROM chatrel.search_messages('fox', as_user => 1);
SELECT q AS query, found(q) FROM unnest(ARRAY['fox', 'FOX', 'brown', 'quick brown', 'brown quick', '"quick brown"', '"brown quick"', 'fox or bear', 'fox or bears or lunch',
	'brown -fox', 'brown -"brown fox"', 'quick brown or lunch', 'brown or -quick', 'quick -brown or bears', '-brown or fox', '-fox', '-fox -bear', 'secret', 'fox secret', 'fox or secret',
	'brow', 'bear,', 'lunch?', 'café', 'CAFÉ', 'cafe', 'ünïcødé', 'привет', 'ПРИВЕТ мир', '🦊', 'fo*', 'fox:*', 'fox & !brown', '''''', '\', '"', '(((', 'fox"', '<->', '%', '']) WITH ORDINALITY AS u (q, o) ORDER BY o;
SELECT q AS query, found(q, 1), found(q, 2) FROM unnest(ARRAY['brown', 'quick', 'fox or bears']) q;
-- pages, newest first
SELECT found('brown or quick');
SELECT array_agg(message) FROM chatrel.search_messages('brown or quick', message_limit => 2, as_user => 1);
SELECT message FROM chatrel.search_messages('brown or quick', message_limit => 2, as_user => 1,
	before_id => (SELECT min(id) FROM chatrel.search_messages('brown or quick', message_limit => 2, as_user => 1)));
SELECT message FROM chatrel.search_messages('brown', 1, before_id => 0, as_user => 1);
-- edited, deleted, of a group that was left
SELECT say(1, 'before') AS m \gset
SELECT message FROM chatrel.edit_message(1, :m, 'after', as_user => 1);
SELECT found('before'), found('after');
SELECT chatrel.delete_message(1, :m, as_user => 1);
SELECT found('before'), found('after');
SELECT found('lunch'), chatrel.leave_group(2, as_user => 1), found('lunch'), chatrel.join_group(2, as_user => 1);
SELECT found('lunch');
-- what the statement itself has sent, or what is rolled back
SELECT found('instant') FROM say(1, 'instant');
BEGIN;
SELECT say(1, 'never') > 0 AS sent, found('never');
ROLLBACK;
SELECT found('never');
DELETE FROM chatrel.groups_messages WHERE message = 'instant';
SELECT found('instant');
-- who is nobody, and who has no groups
SELECT found('fox', as_user => 99);
SELECT chatrel.leave_group(3, as_user => 3), found('fox', as_user => 3);
SELECT chatrel.join_group(3, as_user => 3), found('fox', as_user => 3);

---------------------------------------------------------------------------
-- errors and bounds
---------------------------------------------------------------------------

CREATE FUNCTION try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; t text;
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, t = TABLE_NAME;
	RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(d, ''), nullif(t, ''));
END $$;
SELECT s AS statement, try('SELECT * FROM chatrel.search_messages(' || s || ')') FROM unnest(ARRAY[
	'NULL, as_user => 1', '''fox'', 3, as_user => 1', '''fox'', 99, as_user => 1', '''secret'', 3, as_user => 1', '''fox'', message_limit => 0, as_user => 1', '''fox'', message_limit => NULL, as_user => 1',
	'''fox''', 'repeat(''x'', 1024), as_user => 1', 'repeat(''ü'', 1025), as_user => 1', 'repeat(''x'', 10000000), as_user => 1', '''fox'', 1, NULL, 2147483647, 1',
	'repeat(''a '', 512), as_user => 1', 'repeat(''-'', 1024), as_user => 1', 'repeat(''"'', 1024), as_user => 1', 'repeat(''a or '', 200), as_user => 1', 'repeat(''-"'', 500), as_user => 1', 'repeat(''- '', 500) || ''fox'', as_user => 1', 'repeat(''-—!'', 200), as_user => 1']) s;
SELECT found('brown ' || repeat('-', 100) || ' quick') IS NOT NULL AS dash, found('brown -- quick'), found('brown - quick');
-- long messages: the beginning is searched, and a word of over 2046 bytes is not indexed
SET chatrel.max_message_length = 300000;
SELECT say(1, 'start ' || repeat('ü', 65524) || ' one1 two2') > 0 AS sent;
SELECT found('one1') IS NOT NULL AS one, found('start one1') IS NOT NULL AS both, found('"start two2"') IS NOT NULL AS phrase, found('two2') IS NOT NULL AS two;
SELECT say(1, (SELECT string_agg('w' || i || '-v' || i || '-u' || i, ' ') FROM generate_series(1, 12000) i)) > 0 AS sent;
SELECT found('w1') IS NOT NULL AS first, found('w1 v2000') IS NOT NULL AS both, found('w1 -x1') IS NOT NULL AS "first, by its text", found('w12000') IS NOT NULL AS last;
DELETE FROM chatrel.groups_messages WHERE length(message) > 512;
RESET chatrel.max_message_length;

---------------------------------------------------------------------------
-- the language
---------------------------------------------------------------------------

SELECT found('bear'), found('the');
SELECT chatrel.set_search_language('english');
SELECT language FROM chatrel.search_settings;
SELECT found('bear'), found('running or lunches'), found('"bear are brown"');
SELECT found('the');
SELECT found('the fox'), found('');
-- the plan of another session, and of this one, goes by the new index; what is written now is in it
SELECT say(1, 'they were running') > 0 AS sent, found('run');
-- one of the application's: it cannot go while it is used
CREATE SCHEMA "my chat";
CREATE TEXT SEARCH CONFIGURATION "my chat"."Chat" (COPY = german);
SELECT chatrel.set_search_language('"my chat"."Chat"');
SELECT language FROM chatrel.search_settings;
SELECT found('bears'), found('Hund'), say(2, 'viele Hunde, über Nacht') > 0 AS sent, found('Hund', 2), found('uber', 2);
DROP TEXT SEARCH CONFIGURATION "my chat"."Chat";
-- after it has changed, once more
ALTER TEXT SEARCH CONFIGURATION "my chat"."Chat" ALTER MAPPING FOR word, asciiword WITH simple;
SELECT chatrel.set_search_language('"my chat"."Chat"');
SELECT found('Hund', 2), found('Hunde', 2);
-- in a transaction that is rolled back
BEGIN;
SELECT chatrel.set_search_language('english');
SELECT found('bear');
ROLLBACK;
SELECT found('bear'), found('bears');
-- by the row alone
DELETE FROM chatrel.search_settings;
SELECT found('bears'), found('bear');
DROP SCHEMA "my chat" CASCADE;
INSERT INTO chatrel.search_settings (language) VALUES ('pg_catalog.english');
SELECT found('bear');
INSERT INTO chatrel.search_settings (language) VALUES ('pg_catalog.german');
UPDATE chatrel.search_settings SET language = 'no_such';
UPDATE chatrel.search_settings SET language = NULL;
SELECT try('SELECT chatrel.set_search_language(' || s || ')') FROM unnest(ARRAY['NULL', '''no_such''', '1', '''english''']) s;
SELECT try($$SELECT chatrel.query_keys(1, '{a,NULL}')$$);
SELECT chatrel.rebuild_search();
SELECT found('bear');

---------------------------------------------------------------------------
-- the same as without an index, over many groups and words
---------------------------------------------------------------------------

CREATE FUNCTION differs(q text, as_user bigint) RETURNS text LANGUAGE sql AS $$
	WITH found AS MATERIALIZED (SELECT id FROM chatrel.search_messages(q, message_limit => 100000, as_user => as_user)),
		truth AS MATERIALIZED (SELECT id FROM chatrel.groups_messages WHERE to_tsvector('english', message) @@ websearch_to_tsquery('english', q)
			AND group_id IN (SELECT group_id FROM chatrel.groups_members WHERE user_id = as_user))
	SELECT CASE WHEN ARRAY(SELECT id FROM found) = ARRAY(SELECT id FROM truth ORDER BY id DESC)
		THEN 'the same' || CASE WHEN EXISTS (TABLE found) THEN '' ELSE ': none' END ELSE q END
$$;
-- by plans that were made while the table was small
ANALYZE chatrel.groups_messages;
SELECT count(found('bear brown' || n) IS NULL AND found('bear or brown' || n) IS NULL) FROM generate_series(1, 7) n;
SET statement_timeout = '5min';
SELECT count(chatrel.create_group('many ' || g, true, as_user => 1 + g % 3)) FROM generate_series(1, 100) g;
INSERT INTO chatrel.groups_members (group_id, user_id) SELECT g.id, 1 FROM chatrel.groups g WHERE id % 5 < 2 ON CONFLICT DO NOTHING;
INSERT INTO chatrel.groups_messages (group_id, sender_id, message)
	SELECT g.id, g.creator_id, 'word' || n % 7 || ' talk' || n % 11 || ' ' || CASE WHEN n % 3 = 0 THEN 'walking' ELSE 'dogs' END || ' word' || n % 5
	FROM generate_series(1, 5000) n JOIN chatrel.groups g ON g.id = 4 + n % 100 ORDER BY n;
SELECT differs(q, 1 + n % 3), count(*) FROM (
		SELECT n, array_to_string(ARRAY(SELECT (ARRAY['-', 'or ', '', ''])[1 + (n * 31 + i * 17 + n * n * i / 7) % 4] ||
			(ARRAY['word1', 'word3', 'talk2', 'dog', 'walks', '"walk word2"', 'talk10'])[1 + (n * i + n + i) % 7]
			FROM generate_series(1, 1 + n % 5) i), ' ')
		FROM generate_series(1, 500) n) queries (n, q)
	-- what only excludes finds nothing, and is above
	WHERE NOT ''::tsvector @@ websearch_to_tsquery('english', q) GROUP BY 1 ORDER BY 1;
RESET statement_timeout;
-- ANALYZE keeps no words of the index, which who may read statistics would see
ANALYZE chatrel.groups_messages;
SELECT starelid::regclass FROM pg_statistic WHERE starelid = 'chatrel.groups_messages_search_idx'::regclass;
-- a change of the planner's mind makes no difference
SET enable_bitmapscan = off;
SET enable_nestloop = off;
SELECT differs('dog word3', 1), differs('dog or word3', 2);
RESET enable_bitmapscan;
RESET enable_nestloop;

-- who drops the index with its configuration hears how to have it again
BEGIN;
CREATE TEXT SEARCH CONFIGURATION public.brief (COPY = simple);
SELECT chatrel.set_search_language('public.brief');
DROP TEXT SEARCH CONFIGURATION public.brief CASCADE;
\set VERBOSITY default
SELECT * FROM chatrel.search_messages('fox', as_user => 1);
\set VERBOSITY terse
ROLLBACK;
-- the library is for one version of both extensions
BEGIN;
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'chatrel_search';
ALTER FUNCTION chatrel.search_messages COST 50000;
\set VERBOSITY default
SELECT found('fox');
\set VERBOSITY terse
ROLLBACK;

---------------------------------------------------------------------------
-- it goes away, and chatrel stays
---------------------------------------------------------------------------

DROP EXTENSION chatrel;
DROP EXTENSION chatrel_search;
SELECT count(*) FROM pg_class WHERE relname LIKE '%search%' AND relnamespace = 'chatrel'::regnamespace;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND (proname LIKE '%search%' OR proname LIKE '%_keys');
SELECT found('fox');
SELECT say(1, 'unindexed fox') > 0 AS sent;
-- and comes back, with all that was said
CREATE EXTENSION chatrel_search;
SELECT found('fox');
BEGIN;
DROP EXTENSION chatrel CASCADE;
ROLLBACK;
SELECT found('fox');
DROP EXTENSION chatrel CASCADE;
DROP FUNCTION say, found, try, differs;
