-- Whiteboards: documents, errors, and what a role may read.
SET client_min_messages = warning;
CREATE EXTENSION chatrel;
\set SHOW_CONTEXT never

CREATE ROLE regress_wb_ann;
CREATE ROLE regress_wb_bob;
GRANT USAGE ON SCHEMA chatrel TO regress_wb_ann, regress_wb_bob;
-- ids that no other test uses
ALTER TABLE chatrel.whiteboards ALTER COLUMN id RESTART WITH 5001;
ALTER TABLE chatrel.stickers ALTER COLUMN id RESTART WITH 5001;
INSERT INTO chatrel.users (id, username, role_name) VALUES
	(5001, 'wb_ann', 'regress_wb_ann'), (5002, 'wb_bob', 'regress_wb_bob');
INSERT INTO chatrel.groups (id, name, creator_id) VALUES
	(5001, 'wb room', 5001), (5002, 'wb other room', 5002);

-- What a statement raises, with its SQLSTATE and what else it says.
CREATE FUNCTION wb_error(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, NULLIF(detail, ''), NULLIF(hint, ''));
END $$;

-- A document without its timestamps.
CREATE FUNCTION wb_shape(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT jsonb_pretty((document - '{created_at,updated_at}'::text[]) || jsonb_build_object('stickers',
		(SELECT COALESCE(jsonb_agg(s - '{created_at,updated_at}'::text[] ORDER BY nr), '[]')
		 FROM jsonb_array_elements(document->'stickers') WITH ORDINALITY AS a (s, nr)))) $$;

SET ROLE regress_wb_ann;
SELECT chatrel.join_group(5001);
RESET ROLE;
SET ROLE regress_wb_bob;
SELECT chatrel.join_group(5002);
RESET ROLE;

-- nobody
SELECT wb_error('SELECT chatrel.create_whiteboard(5001)');
SELECT wb_error('SELECT chatrel.get_whiteboard(5001)');
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{}')$$);

SET ROLE regress_wb_ann;
SELECT wb_shape(chatrel.create_whiteboard(5001));
SELECT wb_shape(chatrel.change_whiteboard(5001, '{"stickers": [
	{"url": "https://example.com/1", "title": "first"},
	{"url": "https://example.com/2", "title": "second"},
	{"url": "https://example.com/3", "title": "third"}]}'));
SELECT wb_shape(chatrel.change_whiteboard(5001, '{"version": 2, "stickers": [
	{"url": "https://example.com/4", "title": "fourth"},
	{"id": 5003, "url": "https://example.com/3", "title": "the third"},
	{"id": 5001, "url": "https://example.com/1", "title": "first"}]}', 'nilify'));
SELECT chatrel.get_whiteboard(5001) = chatrel.change_whiteboard(5001, chatrel.get_whiteboard(5001)) AS same;

-- reading writes nothing
BEGIN READ ONLY;
SELECT chatrel.get_whiteboard(5001)->'version' AS version;
SELECT wb_error($$SELECT chatrel.create_whiteboard(5001)$$);
COMMIT;

-- the timestamps: of creation kept, of change only where there was one
SELECT (s->>'id')::bigint AS id, s->>'created_at' < s->>'updated_at' AS updated
FROM jsonb_array_elements(chatrel.get_whiteboard(5001)->'stickers') AS s ORDER BY id;
SELECT d->>'created_at' < d->>'updated_at' AS updated FROM chatrel.get_whiteboard(5001) AS d;
-- as the table has them
SELECT d->'stickers' = jsonb_agg(to_jsonb(s) - '{group_id,whiteboard_id,position}'::text[] ORDER BY s.position, s.id) AS same
FROM chatrel.get_whiteboard(5001) AS d, chatrel.stickers s
WHERE s.whiteboard_id = 5001 GROUP BY d;
SET TimeZone = 'Asia/Kathmandu';
SELECT d->'stickers' = jsonb_agg(to_jsonb(s) - '{group_id,whiteboard_id,position}'::text[] ORDER BY s.position, s.id) AS same
FROM chatrel.get_whiteboard(5001) AS d, chatrel.stickers s
WHERE s.whiteboard_id = 5001 GROUP BY d;
RESET TimeZone;

-- errors
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"stickers": []}')$$);
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"stickers": []}', 'update')$$);
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"stickers": []}', 'cascade')$$);
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"version": 2, "stickers": []}', 'delete')$$);
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"stickers": [{"url": "u", "title": "t", "color": "red"}]}', 'delete')$$);
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('url', 'u', 'title', repeat('x', 257)))))$$);
SELECT wb_error($$SELECT chatrel.create_whiteboard(5002)$$);
SELECT wb_error($$SELECT chatrel.get_whiteboard(5001, 5002)$$);
SELECT jsonb_pretty(chatrel.change_whiteboard(5001, '{"stickers": [{"id": 5003, "url": ""}, {"id": 5003}, "x"], "size": 3}', 'mark_as_invalid'));

-- SQL in what is sent is text
SELECT wb_shape(chatrel.change_whiteboard(5001, $${"stickers": [{"url": "'); DROP TABLE chatrel.stickers; --", "title": "{\"a\": \"\\\"\"}"}]}$$, 'delete'));

-- another group's member sees nothing, in the tables or by function
SELECT id, group_id, version FROM chatrel.whiteboards ORDER BY id;
SELECT id, whiteboard_id, title FROM chatrel.stickers ORDER BY id;
RESET ROLE;
SET ROLE regress_wb_bob;
SELECT count(*) FROM chatrel.whiteboards;
SELECT count(*) FROM chatrel.stickers;
SELECT wb_error('SELECT chatrel.get_whiteboard(5001)');
SELECT wb_error($$SELECT chatrel.change_whiteboard(5001, '{"stickers": []}', 'delete')$$);
-- an id of another's sticker is only an id that is not known
SELECT wb_shape(chatrel.create_whiteboard(5002));
SELECT wb_shape(chatrel.change_whiteboard(5002, '{"stickers": [{"id": 5005, "url": "u", "title": "mine"}, {"id": 5002, "url": "u", "title": "mine too"}]}', 'delete'));
SELECT id, whiteboard_id, title FROM chatrel.stickers ORDER BY id;
RESET ROLE;
SELECT id, group_id, whiteboard_id, title FROM chatrel.stickers WHERE group_id IN (5001, 5002) ORDER BY id;

-- nobody but the owner writes the tables
SET ROLE regress_wb_ann;
SELECT wb_error('INSERT INTO chatrel.whiteboards (group_id) VALUES (5001)');
SELECT wb_error($$INSERT INTO chatrel.stickers (group_id, whiteboard_id, url, title) VALUES (5001, 5001, 'u', 't')$$);
SELECT wb_error($$UPDATE chatrel.stickers SET title = 'x'$$);
SELECT wb_error('DELETE FROM chatrel.stickers');
SELECT wb_error('UPDATE chatrel.whiteboards SET version = 1');

-- a hostile search_path changes nothing
RESET ROLE;
CREATE SCHEMA wb_evil;
GRANT ALL ON SCHEMA wb_evil TO regress_wb_ann;
SET ROLE regress_wb_ann;
CREATE FUNCTION wb_evil.hijack(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE OPERATOR wb_evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = wb_evil.hijack);
CREATE FUNCTION wb_evil.add(bigint, int) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE OPERATOR wb_evil.+ (LEFTARG = bigint, RIGHTARG = int, FUNCTION = wb_evil.add);
CREATE FUNCTION wb_evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION wb_evil.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'hijacked'; END $$;
CREATE FUNCTION wb_evil.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'hijacked'; END $$;
\c -
SET client_min_messages = warning;
SET ROLE regress_wb_ann;
SET search_path = wb_evil, pg_catalog, public;
SELECT public.wb_shape(chatrel.create_whiteboard(5001));
SELECT public.wb_shape(chatrel.change_whiteboard(5003, '{"stickers": [{"url": "u", "title": "1"}, {"url": "u", "title": "2"}]}'));
SELECT public.wb_shape(chatrel.change_whiteboard(5003, '{"stickers": [{"id": 5008, "url": "u", "title": "one"}, {"url": "u", "title": "3"}]}', 'delete'));
SELECT public.wb_shape(chatrel.change_whiteboard(5003, '{"stickers": [{"id": 5010, "url": "u", "title": "3"}, {"id": 5008, "url": "u", "title": "one"}]}'));
SELECT chatrel.delete_sticker(5001, 5010);
SELECT public.wb_shape(chatrel.change_whiteboard(5003, '{"stickers": []}', 'nilify'));
SELECT chatrel.delete_whiteboard((chatrel.create_whiteboard(5001)->>'id')::bigint);
RESET search_path;
RESET ROLE;

-- stickers are in the order in which they were sent; one that the owner has made comes first
INSERT INTO chatrel.stickers (id, group_id, whiteboard_id, url, title) VALUES (9001, 5001, 5003, 'u', 'of the owner');
SET ROLE regress_wb_ann;
SELECT jsonb_path_query_array(d, '$.stickers[*].id') AS ids
FROM chatrel.change_whiteboard(5003, '{"stickers": [{"url": "u", "title": "new"}, {"id": 9001, "url": "u", "title": "of the owner"}]}') AS d;
SELECT jsonb_path_query_array(chatrel.get_whiteboard(5003), '$.stickers[*].id') AS ids;
RESET ROLE;
INSERT INTO chatrel.stickers (id, group_id, whiteboard_id, url, title) VALUES (9002, 5001, 5003, 'u', 'of the owner');
SET ROLE regress_wb_ann;
SELECT jsonb_path_query_array(chatrel.get_whiteboard(5003), '$.stickers[*].id') AS ids;

-- another order is a change of the whiteboard, but not of its stickers
SELECT chatrel.get_whiteboard(5003) AS seen \gset
SELECT chatrel.change_whiteboard(5003, jsonb_set(:'seen', '{stickers}', jsonb_build_array(
	:'seen'::jsonb #> '{stickers,1}', :'seen'::jsonb #> '{stickers,2}', :'seen'::jsonb #> '{stickers,0}'))) AS turned \gset
SELECT jsonb_path_query_array(:'turned', '$.stickers[*].id') AS ids,
	(:'turned'::jsonb->>'version')::int - (:'seen'::jsonb->>'version')::int AS versions,
	:'turned'::jsonb->'updated_at' > :'seen'::jsonb->'updated_at' AS updated,
	:'turned'::jsonb #> '{stickers,2}' = :'seen'::jsonb #> '{stickers,0}' AS same_sticker;
SELECT chatrel.get_whiteboard(5003) = :'turned' AS same;
-- of strings, as some clients have bigints
SELECT chatrel.change_whiteboard(5003, regexp_replace(:'turned', '("(?:id|group_id|version)": )([0-9]+)', '\1"\2"', 'g')::jsonb) = :'turned' AS same;
SELECT wb_error($$SELECT chatrel.change_whiteboard(5003, '{"stickers": [{"id": "0x7", "url": "u", "title": "t"}]}')$$);
RESET ROLE;

-- deleting; what nilify took off is found in the table
SET ROLE regress_wb_bob;
SELECT wb_error('SELECT chatrel.delete_whiteboard(5003)');
SELECT wb_error('SELECT chatrel.delete_sticker(5001, 9002)');
RESET ROLE;
SET ROLE regress_wb_ann;
SELECT id, title FROM chatrel.stickers WHERE group_id = 5001 AND whiteboard_id IS NULL ORDER BY id;
SELECT chatrel.delete_sticker(5001, 5002), chatrel.delete_sticker(5001, 9002), chatrel.delete_sticker(5001, 5007);
SELECT id, whiteboard_id, title FROM chatrel.stickers WHERE group_id = 5001 ORDER BY id;
SELECT (:'turned'::jsonb->>'version')::int - version AS versions FROM chatrel.whiteboards WHERE id = 5003;
SELECT chatrel.delete_whiteboard(5003), chatrel.delete_whiteboard(987654321);
SELECT id, whiteboard_id, title FROM chatrel.stickers WHERE group_id = 5001 ORDER BY id;
SELECT wb_error('SELECT chatrel.get_whiteboard(5003)');
-- what does not exist, for programs
DO $$
DECLARE
	named_schema text;
	named_table text;
BEGIN
	PERFORM chatrel.change_whiteboard(5003, '{"stickers": []}');
EXCEPTION WHEN no_data_found THEN
	GET STACKED DIAGNOSTICS named_schema = SCHEMA_NAME, named_table = TABLE_NAME;
	RAISE WARNING 'does not exist: %.%', named_schema, named_table;
END $$;
RESET ROLE;

-- who leaves the group loses its whiteboards
SET ROLE regress_wb_ann;
SELECT chatrel.leave_group(5001);
SELECT count(*) FROM chatrel.whiteboards;
SELECT wb_error('SELECT chatrel.get_whiteboard(5001)');
RESET ROLE;

DELETE FROM chatrel.groups WHERE id IN (5001, 5002);
SELECT count(*) FROM chatrel.whiteboards WHERE group_id IN (5001, 5002);
SELECT count(*) FROM chatrel.stickers WHERE group_id IN (5001, 5002);
DELETE FROM chatrel.users WHERE id IN (5001, 5002);
DROP SCHEMA wb_evil CASCADE;
DROP FUNCTION wb_error(text), wb_shape(jsonb);
DROP OWNED BY regress_wb_ann, regress_wb_bob;
DROP ROLE regress_wb_ann, regress_wb_bob;
DROP EXTENSION chatrel;
