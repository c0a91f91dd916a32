-- Whiteboards: the tables, what params may hold, how much is written, and by whom.
\set ECHO none
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS chatrel;
SELECT no_plan();

---------------------------------------------------------------------------
-- the tables
---------------------------------------------------------------------------

SELECT columns_are('chatrel', 'whiteboards', ARRAY['id', 'group_id', 'version', 'created_at', 'updated_at']);
SELECT columns_are('chatrel', 'stickers', ARRAY['id', 'group_id', 'whiteboard_id', 'url', 'title', 'position', 'created_at', 'updated_at']);
SELECT col_is_pk('chatrel', 'whiteboards', ARRAY['group_id', 'id'], 'whiteboards are keyed by what they are sharded by');
SELECT col_is_pk('chatrel', 'stickers', ARRAY['group_id', 'id'], 'stickers are keyed by what they are sharded by');
SELECT fk_ok('chatrel', 'whiteboards', 'group_id', 'chatrel', 'groups', 'id');
SELECT fk_ok('chatrel', 'stickers', 'group_id', 'chatrel', 'groups', 'id');
SELECT fk_ok('chatrel', 'stickers', ARRAY['group_id', 'whiteboard_id'], 'chatrel', 'whiteboards', ARRAY['group_id', 'id']);
SELECT has_index('chatrel', 'whiteboards', 'whiteboards_id_idx', ARRAY['id'], 'a whiteboard is found by its id');
SELECT has_index('chatrel', 'stickers', 'stickers_whiteboard_id_idx', ARRAY['group_id', 'whiteboard_id', '"position"', 'id'], 'the stickers of a whiteboard are found in order');
SELECT policies_are('chatrel', 'whiteboards', ARRAY['whiteboards_read']);
SELECT policies_are('chatrel', 'stickers', ARRAY['stickers_read']);
SELECT table_privs_are('chatrel', 'whiteboards', 'public', ARRAY['SELECT'], 'PUBLIC may read whiteboards');
SELECT table_privs_are('chatrel', 'stickers', 'public', ARRAY['SELECT'], 'PUBLIC may read stickers');
SELECT col_is_null('chatrel', 'stickers', 'whiteboard_id', 'nilify has where to go');
SELECT ok(ARRAY['chatrel.whiteboards', 'chatrel.whiteboards_id_seq', 'chatrel.stickers', 'chatrel.stickers_id_seq']::regclass[]::oid[] <@ extconfig,
	'all of it is dumped') FROM pg_extension WHERE extname = 'chatrel';

---------------------------------------------------------------------------
-- who may
---------------------------------------------------------------------------

SELECT (chatrel.create_user('wb_member')).id AS member \gset
SELECT (chatrel.create_user('wb_stranger')).id AS stranger \gset
SELECT set_config('chatrel.user_id', :'member', true) \g /dev/null
SELECT (chatrel.create_group('wb_group', true)).id AS grp \gset
SELECT (chatrel.create_group('wb_closed', false)).id AS closed \gset
SELECT chatrel.create_whiteboard(:grp)->>'id' AS board \gset

SELECT throws_ok(format('SELECT chatrel.create_whiteboard(%s, %s)', :grp, :stranger), '42501',
	format('user %s is not a member of group %s', :stranger, :grp), 'only members create whiteboards');
SELECT throws_ok(format('SELECT chatrel.create_whiteboard(%s)', :closed), '42501',
	format('user %s is not a member of group %s', :member, :closed), 'who created the group is no member for that');
SELECT throws_ok('SELECT chatrel.create_whiteboard(987654321)', 'P0002', 'group 987654321 does not exist', 'a whiteboard needs a group');
SELECT throws_ok(format('SELECT chatrel.get_whiteboard(%s, %s)', :board, :stranger), 'P0002',
	format('whiteboard %s does not exist', :board), 'to a stranger the whiteboard does not exist');
SELECT throws_ok('SELECT chatrel.get_whiteboard(987654321)', 'P0002', 'whiteboard 987654321 does not exist', 'what does not exist is not read');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{"stickers": []}', 'delete', %s)$$, :board, :stranger), '42501',
	format('user %s is not a member of group %s', :stranger, :grp), 'only members change whiteboards');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{}', 'mark_as_invalid', %s)$$, :board, :stranger), '42501',
	format('user %s is not a member of group %s', :stranger, :grp), 'mark_as_invalid answers members only');
SELECT throws_ok($$SELECT chatrel.change_whiteboard(987654321, '{"stickers": []}')$$, 'P0002', 'whiteboard 987654321 does not exist', 'what does not exist is not changed');
SELECT throws_ok('SELECT chatrel.create_whiteboard(NULL)', '22023', 'group_id must not be null');
SELECT throws_ok('SELECT chatrel.get_whiteboard(NULL)', '22023', 'whiteboard_id must not be null');
SELECT throws_ok($$SELECT chatrel.change_whiteboard(NULL, '{}')$$, '22023', 'whiteboard_id must not be null');
SELECT throws_ok('SELECT chatrel.change_whiteboard(1, NULL)', '22023', 'params must not be null');
SELECT throws_ok($$SELECT chatrel.change_whiteboard(1, '{"stickers": []}', NULL)$$, '22023', 'on_replace must not be null');

---------------------------------------------------------------------------
-- what params may hold
---------------------------------------------------------------------------

SELECT chatrel.change_whiteboard(:board, '{"stickers": [{"url": "u1", "title": "t1"}, {"url": "u2", "title": "t2"}]}') AS before \gset
SELECT :'before'::jsonb #>> '{stickers,0,id}' AS first, :'before'::jsonb #>> '{stickers,1,id}' AS second \gset

-- Each of them is an error with a path under raise and delete, and an answer
-- with the same path and words under mark_as_invalid; and nothing is written.
CREATE TABLE bad (nr int GENERATED ALWAYS AS IDENTITY, what text, params jsonb, sqlstate text, path text, problem text);
INSERT INTO bad (what, params, sqlstate, path, problem) VALUES
	('an array', '[]', '22023', 'params', 'must be of type object, not array'),
	('a string', '"x"', '22023', 'params', 'must be of type object, not string'),
	('a number', '1', '22023', 'params', 'must be of type object, not number'),
	('a JSON null', 'null', '22023', 'params', 'must be of type object, not null'),
	('no stickers', '{}', '22023', 'stickers', 'is missing'),
	('stickers null', '{"stickers": null}', '22023', 'stickers', 'must be of type array, not null'),
	('stickers an object', '{"stickers": {}}', '22023', 'stickers', 'must be of type array, not object'),
	('stickers a string', '{"stickers": "[]"}', '22023', 'stickers', 'must be of type array, not string'),
	('an element null', '{"stickers": [null]}', '22023', 'stickers[0]', 'must be of type object, not null'),
	('an element a number', '{"stickers": [{"url": "u", "title": "t"}, 7]}', '22023', 'stickers[1]', 'must be of type object, not number'),
	('an element an array', '{"stickers": [[]]}', '22023', 'stickers[0]', 'must be of type object, not array'),
	('id a fraction', '{"stickers": [{"id": 1.5, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'must be an integer'),
	('id a small fraction', '{"stickers": [{"id": 1e-20, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'must be an integer'),
	('id a boolean', '{"stickers": [{"id": true, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'must be of type number, not boolean'),
	('id an object', '{"stickers": [{"id": {}, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'must be of type number, not object'),
	('id one too big', '{"stickers": [{"id": 9223372036854775808, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'is out of range for type bigint'),
	('id a fraction too big', '{"stickers": [{"id": 9223372036854775807.5, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'is out of range for type bigint'),
	('id one too small', '{"stickers": [{"id": -9223372036854775809, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'is out of range for type bigint'),
	('id huge', '{"stickers": [{"id": 1e100000, "url": "u", "title": "t"}]}', '22023', 'stickers[0].id', 'is out of range for type bigint'),
	('an id twice', '{"stickers": [{"id": 7, "url": "u", "title": "t"}, {"url": "u", "title": "t"}, {"id": 7, "url": "u", "title": "t"}]}', '22023', 'stickers[2].id', 'is that of stickers[0] too'),
	('an id twice in two ways', '{"stickers": [{"id": 7, "url": "u", "title": "t"}, {"id": 7.00, "url": "u", "title": "t"}]}', '22023', 'stickers[1].id', 'is that of stickers[0] too'),
	('no url', '{"stickers": [{"title": "t"}]}', '22023', 'stickers[0].url', 'is missing'),
	('url null', '{"stickers": [{"url": null, "title": "t"}]}', '22023', 'stickers[0].url', 'must be of type string, not null'),
	('url empty', '{"stickers": [{"url": "", "title": "t"}]}', '22023', 'stickers[0].url', 'must not be empty'),
	('url a number', '{"stickers": [{"url": 1, "title": "t"}]}', '22023', 'stickers[0].url', 'must be of type string, not number'),
	('url an object', '{"stickers": [{"url": {"url": "u"}, "title": "t"}]}', '22023', 'stickers[0].url', 'must be of type string, not object'),
	('no title', '{"stickers": [{"url": "u"}]}', '22023', 'stickers[0].title', 'is missing'),
	('title null', '{"stickers": [{"url": "u", "title": null}]}', '22023', 'stickers[0].title', 'must be of type string, not null'),
	('title empty', '{"stickers": [{"url": "u", "title": ""}]}', '22023', 'stickers[0].title', 'must not be empty'),
	('title a boolean', '{"stickers": [{"url": "u", "title": false}]}', '22023', 'stickers[0].title', 'must be of type string, not boolean'),
	('url one too long', jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('url', repeat('é', 2049), 'title', 't'))), '22001', 'stickers[0].url', 'is too long: it has 2049 characters, at most 2048 are allowed'),
	('title one too long', jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('url', 'u', 'title', repeat('é', 257)))), '22001', 'stickers[0].title', 'is too long: it has 257 characters, at most 256 are allowed'),
	('10 MB of url', jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('url', repeat('x', 10000000), 'title', 't'))), '22001', 'stickers[0].url', 'is too long: it has 10000000 characters, at most 2048 are allowed'),
	('10 MB of key', jsonb_build_object('stickers', '[]'::jsonb, repeat('x', 10000000), 1), '22023', repeat('x', 64), 'is not a known field'),
	('deep nesting', ('{"stickers": [{"url": ' || repeat('[', 3000) || repeat(']', 3000) || ', "title": "t"}]}')::jsonb, '22023', 'stickers[0].url', 'must be of type string, not array'),
	('an unknown field', '{"stickers": [], "colour": 1}', '22023', 'colour', 'is not a known field'),
	('an unknown field of a sticker', '{"stickers": [{"url": "u", "title": "t", "whiteboard_id": 1}]}', '22023', 'stickers[0].whiteboard_id', 'is not a known field'),
	('a field in capitals', '{"stickers": [{"url": "u", "title": "t", "URL": "u"}]}', '22023', 'stickers[0].URL', 'is not a known field'),
	('version a word', '{"stickers": [], "version": "two"}', '22023', 'version', 'must consist of digits, where it is a string'),
	('version digits too big', '{"stickers": [], "version": "9223372036854775808"}', '22023', 'version', 'is out of range for type bigint'),
	('version null', '{"stickers": [], "version": null}', '22023', 'version', 'must be of type number, not null'),
	('version a fraction', '{"stickers": [], "version": 2.5}', '22023', 'version', 'must be an integer'),
	('the whiteboard''s id a word', '{"stickers": [], "id": "x"}', '22023', 'id', 'must consist of digits, where it is a string'),
	('another whiteboard''s document', '{"stickers": [], "id": 987654321}', '22023', 'id', format('must be %s, if it is given', :board)),
	('another whiteboard''s document, of strings', '{"stickers": [], "id": "987654321"}', '22023', 'id', format('must be %s, if it is given', :board)),
	('an id twice, once as a string', '{"stickers": [{"id": 7, "url": "u", "title": "t"}, {"id": "7", "url": "u", "title": "t"}]}', '22023', 'stickers[1].id', 'is that of stickers[0] too');
INSERT INTO bad (what, params, sqlstate, path, problem)
	SELECT format('id "%s"', left(string, 30)), jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('id', string, 'url', 'u', 'title', 't'))),
		'22023', 'stickers[0].id', 'must consist of digits, where it is a string'
	FROM unnest(ARRAY['', ' ', ' 7', '7 ', '7.0', '7e0', '0x7', '-7', '+7', '1_000', 'seven', '７', 'NaN', '99999999999999999999x']) AS string
	UNION ALL
	SELECT format('id "%s"', left(string, 30)), jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('id', string, 'url', 'u', 'title', 't'))),
		'22023', 'stickers[0].id', 'is out of range for type bigint'
	FROM unnest(ARRAY['9223372036854775808', '9223372036854775810', '18446744073709551617', repeat('9', 1000000)]) AS string;

SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L::jsonb, %L)', :board, params, on_replace),
	sqlstate, path || ' ' || problem, what || ' under ' || on_replace)
FROM bad, unnest(ARRAY['raise', 'nilify', 'delete']) AS on_replace ORDER BY nr, on_replace;

-- A document whose ids are known is looked at for what it does not name as well.
SELECT ok(answer -> 'valid' = 'false' AND answer #> ARRAY['errors', path] = jsonb_build_array(problem),
	what || ' under mark_as_invalid')
FROM bad, chatrel.change_whiteboard(:board, params, 'mark_as_invalid') AS answer ORDER BY nr;

SELECT is(chatrel.get_whiteboard(:board), :'before'::jsonb, 'nothing was written');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, %L, 'ignore')$$, :board, '{"stickers": []}'), '22023',
	'on_replace must be raise, mark_as_invalid, nilify or delete, not "ignore"', 'an on_replace that there is not');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, %L, 'RAISE')$$, :board, '{"stickers": []}'), '22023',
	'on_replace must be raise, mark_as_invalid, nilify or delete, not "RAISE"', 'on_replace is in small letters');

SELECT is((SELECT count(*) FROM jsonb_object_keys(chatrel.change_whiteboard(:board,
	jsonb_build_object('stickers', (SELECT jsonb_agg(i) FROM generate_series(1, 1000000) i)), 'mark_as_invalid') -> 'errors')),
	100::bigint, 'an answer names 100 faults, of a million');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, jsonb_build_object('stickers', (SELECT jsonb_agg(i) FROM generate_series(1, 1000000) i)))$$, :board),
	'22023', 'stickers[0] must be of type object, not number', '10 MB of what are no stickers');

-- What is at the bounds is good.
SELECT is(chatrel.change_whiteboard(:board, jsonb_build_object('stickers', jsonb_build_array(
	jsonb_build_object('id', :first, 'url', repeat('é', 2048), 'title', repeat('é', 256)),
	jsonb_build_object('id', -9223372036854775808, 'url', 'u', 'title', 't'),
	jsonb_build_object('id', 9223372036854775807, 'url', 'u', 'title', 't'),
	jsonb_build_object('id', 0, 'url', 'u', 'title', 't'),
	jsonb_build_object('id', null, 'url', 'u', 'title', 't'))), 'delete') #>> '{stickers,0,url}',
	repeat('é', 2048), 'the longest texts, and the least and greatest ids');
SELECT is((SELECT count(*) FROM chatrel.stickers WHERE whiteboard_id = :board), 5::bigint, 'ids that are unknown, or null, are new stickers');
SELECT is(chatrel.change_whiteboard(:board, format('{"stickers": [{"id": %s.00, "url": "u", "title": "t"}]}', :first)::jsonb, 'delete') #>> '{stickers,0,id}',
	:'first', 'an integer is one however it is written');
SELECT is(chatrel.change_whiteboard(:board, format('{"id": "%s", "group_id": "%s", "version": "%s", "stickers": [{"id": "%s", "url": "u", "title": "t"}, {"id": "9223372036854775807", "url": "u", "title": "new"}]}',
		:board, :grp, chatrel.get_whiteboard(:board)->>'version', :first)::jsonb) #>> '{stickers,0,id}',
	:'first', 'all integers may be strings of digits');
SELECT is(chatrel.change_whiteboard(:board, format('{"stickers": [{"id": "000%s", "url": "u", "title": "t"}]}', :first)::jsonb, 'delete') #>> '{stickers,0,id}',
	:'first', 'and begin with zeros');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{"version": "1", "stickers": []}', 'delete')$$, :board),
	'55000', NULL, 'a version is one as a string');

---------------------------------------------------------------------------
-- versions
---------------------------------------------------------------------------

SELECT chatrel.get_whiteboard(:board) AS seen \gset
SELECT :'seen'::jsonb->>'version' AS version \gset
SELECT is((chatrel.change_whiteboard(:board, jsonb_set(:'seen', '{stickers,0,title}', '"mine"'))->>'version')::bigint,
	:version + 1::bigint, 'a document that was read can be changed and sent back');
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L)', :board, jsonb_set(:'seen', '{stickers,0,title}', '"theirs"')),
	'55000', format('whiteboard %s has version %s, not %s', :board, :version + 1, :version), 'but not twice');
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L, ''mark_as_invalid'')', :board, :'seen'),
	'55000', format('whiteboard %s has version %s, not %s', :board, :version + 1, :version), 'a conflict is an error under mark_as_invalid too');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{"version": %s, "stickers": []}', 'delete')$$, :board, :version + 2),
	'55000', format('whiteboard %s has version %s, not %s', :board, :version + 1, :version + 2), 'nobody has seen a version to come');
SELECT is(chatrel.get_whiteboard(:board) #>> '{stickers,0,title}', 'mine', 'a conflict changes nothing');
SELECT is((chatrel.change_whiteboard(:board, chatrel.get_whiteboard(:board))->>'version')::bigint,
	:version + 1::bigint, 'what changes nothing makes no version');
SELECT is((chatrel.change_whiteboard(:board, (chatrel.get_whiteboard(:board) - 'version') || '{"stickers": []}', 'nilify')->>'version')::bigint,
	:version + 2::bigint, 'without a version the change is made to what is there');

---------------------------------------------------------------------------
-- how much is written
---------------------------------------------------------------------------

-- Statements are counted by triggers, rows by the statistics of this transaction.
-- Each whiteboard is in a group of its own, and the planner is kept from reading
-- tables as small as these as a whole.
SET LOCAL enable_seqscan = off;
CREATE TABLE statements (kind text);
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO public.statements VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER count_statement AFTER INSERT OR UPDATE OR DELETE ON chatrel.stickers EXECUTE FUNCTION count_statement();
CREATE TRIGGER count_statement AFTER INSERT OR UPDATE OR DELETE ON chatrel.whiteboards EXECUTE FUNCTION count_statement();

CREATE FUNCTION rows_written() RETURNS bigint[] LANGUAGE sql VOLATILE AS $$
	SELECT ARRAY[n_tup_ins, n_tup_upd, n_tup_del, COALESCE(idx_tup_fetch, 0) + seq_tup_read]
	FROM pg_stat_xact_user_tables WHERE relid = 'chatrel.stickers'::regclass $$;

CREATE FUNCTION cost_of(command text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	before bigint[] := rows_written();
	now_is bigint[];
BEGIN
	DELETE FROM statements;
	EXECUTE command;
	now_is := rows_written();
	RETURN jsonb_build_object(
		'statements', (SELECT COALESCE(jsonb_agg(kind ORDER BY kind), '[]') FROM statements),
		'inserted', now_is[1] - before[1], 'updated', now_is[2] - before[2], 'deleted', now_is[3] - before[3],
		'read', now_is[4] - before[4]);
END $$;

CREATE TABLE sizes (n int, board bigint);
INSERT INTO sizes SELECT n, (chatrel.create_whiteboard((chatrel.create_group('wb_' || n, true)).id)->>'id')::bigint FROM unnest(ARRAY[10, 1000, 10000]) n;

SELECT is(cost_of(format($$SELECT chatrel.change_whiteboard(%s, jsonb_build_object('stickers',
		(SELECT jsonb_agg(jsonb_build_object('url', 'https://example.com/' || i, 'title', 'sticker ' || i)) FROM generate_series(1, %s) i)))$$, board, n)),
	format('{"statements": ["INSERT stickers", "UPDATE whiteboards"], "inserted": %s, "updated": 0, "deleted": 0, "read": 0}', n)::jsonb,
	n || ' stickers are inserted by one statement')
FROM sizes ORDER BY n;
ANALYZE chatrel.stickers;

SELECT is(cost_of(format('SELECT chatrel.change_whiteboard(%s, %L)', board, chatrel.get_whiteboard(board))),
	format('{"statements": [], "inserted": 0, "updated": 0, "deleted": 0, "read": %s}', n)::jsonb,
	n || ' stickers that are as they were are read, and none is written')
FROM sizes ORDER BY n;

-- The third loses its place, the fifth gets another title, and one is new.  To find
-- the row that it writes a statement may look at ten of them, not at ten thousand.
CREATE FUNCTION few_reads(cost jsonb, n int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_set(cost, '{read}', CASE WHEN (cost->>'read')::int BETWEEN n AND n + 20 THEN '"once"' ELSE cost->'read' END) $$;
SELECT is(few_reads(cost_of(format('SELECT chatrel.change_whiteboard(%s, %L, ''delete'')', board,
		jsonb_set(jsonb_insert(document #- '{stickers,2}', '{stickers,0}', '{"url": "https://example.com/new", "title": "new"}'), '{stickers,4,title}', '"changed"'))), n),
	'{"statements": ["DELETE stickers", "INSERT stickers", "UPDATE stickers", "UPDATE whiteboards"], "inserted": 1, "updated": 1, "deleted": 1, "read": "once"}'::jsonb,
	'of ' || n || ' stickers three change: three writes, one read')
FROM sizes, chatrel.get_whiteboard(board) AS document ORDER BY n;

SELECT is(few_reads(cost_of(format('SELECT chatrel.change_whiteboard(%s, %L, ''nilify'')', board,
		jsonb_set(document #- '{stickers,0}', '{stickers,0,title}', '"changed again"'))), n),
	'{"statements": ["UPDATE stickers", "UPDATE stickers", "UPDATE whiteboards"], "inserted": 0, "updated": 2, "deleted": 0, "read": "once"}'::jsonb,
	'of ' || n || ' stickers one is changed and one taken off: two writes, one read')
FROM sizes, chatrel.get_whiteboard(board) AS document ORDER BY n;

SELECT is(cost_of(format($$SELECT chatrel.change_whiteboard(%s, '{"stickers": []}', 'mark_as_invalid')$$, board)) - 'read',
	'{"statements": [], "inserted": 0, "updated": 0, "deleted": 0}'::jsonb,
	'what is invalid writes nothing, of ' || n)
FROM sizes ORDER BY n;

---------------------------------------------------------------------------
-- the order of stickers, and what another one costs
---------------------------------------------------------------------------

-- A whiteboard whose stickers have letters for titles, as a request for other ones; letters
-- that it does not have are new stickers.
CREATE FUNCTION lettered(board bigint, letters text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('stickers', COALESCE(jsonb_agg(jsonb_build_object('id', s.id, 'url', 'u', 'title', letter) ORDER BY nr), '[]'))
	FROM string_to_table(letters, NULL) WITH ORDINALITY AS l (letter, nr)
	LEFT JOIN chatrel.stickers s ON s.whiteboard_id = board AND s.title = letter $$;
CREATE FUNCTION letters(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(s->>'title', '' ORDER BY nr) FROM jsonb_array_elements(document->'stickers') WITH ORDINALITY AS a (s, nr) $$;

CREATE TABLE orders (nr int GENERATED ALWAYS AS IDENTITY, what text, letters text, inserted int, updated int, deleted int);
INSERT INTO orders (what, letters, inserted, updated, deleted) VALUES
	('six at once', 'abcdef', 6, 0, 0), ('one at the end', 'abcdefg', 1, 0, 0), ('one at the front', 'xabcdefg', 1, 0, 0),
	('one in the middle', 'xabcydefg', 1, 0, 0), ('three in the middle', 'xabc123ydefg', 3, 0, 0), ('one deleted', 'xab123ydefg', 0, 0, 1),
	('the first and the last deleted', 'ab123ydef', 0, 0, 2), ('nothing', 'ab123ydef', 0, 0, 0),
	('the last to the front', 'fab123yde', 0, 1, 0), ('the first to the end', 'ab123ydef', 0, 1, 0), ('two swapped', 'ba123ydef', 0, 1, 0),
	('the first three to the end', '23ydefba1', 0, 3, 0), ('the reverse', '1abfedy32', 0, 8, 0), ('one moved, one new, one deleted', 'abfed1y3z', 1, 1, 1),
	('all new', 'ABC', 3, 0, 9), ('none', '', 0, 0, 3), ('and again', 'CBA', 3, 0, 0);

SELECT chatrel.create_whiteboard(:grp)->>'id' AS ordered \gset
CREATE FUNCTION change_orders(board bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	o orders;
	cost jsonb;
BEGIN
	FOR o IN SELECT * FROM orders ORDER BY nr LOOP
		cost := cost_of(format('SELECT chatrel.change_whiteboard(%s, %L, ''delete'')', board, lettered(board, o.letters)));
		RETURN NEXT is(cost - '{statements,read}'::text[],
			jsonb_build_object('inserted', o.inserted, 'updated', o.updated, 'deleted', o.deleted), o.what || ' writes no other rows');
		RETURN NEXT is(COALESCE(letters(chatrel.get_whiteboard(board)), ''), o.letters, o.what || ' is the order that is read');
	END LOOP;
END $$;
SELECT change_orders(:ordered);

SELECT is(letters(chatrel.change_whiteboard(:ordered, lettered(:ordered, 'ACB'))), 'ACB', 'the answer has the order that was sent');
SELECT is((chatrel.change_whiteboard(:ordered, lettered(:ordered, 'BAC'))->>'version')::bigint,
	(SELECT version + 1 FROM chatrel.whiteboards WHERE id = :ordered), 'another order is another version');
SELECT is(letters(chatrel.change_whiteboard(:ordered, jsonb_set(lettered(:ordered, 'CAB'), '{stickers,0,title}', '"c"'))), 'cAB',
	'a sticker is moved and changed at once');

-- The order is right after any change.
SELECT setseed(0.5) \g /dev/null
CREATE FUNCTION shuffled() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT string_agg(chr(97 + i), '' ORDER BY random()) FROM generate_series(0, 25) i WHERE random() < 0.8 $$;
CREATE FUNCTION wrong_orders(board bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	wanted text;
BEGIN
	FOR i IN 1..100 LOOP
		wanted := shuffled();
		IF letters(chatrel.change_whiteboard(board, lettered(board, wanted), 'delete')) <> wanted THEN
			RETURN NEXT 'answered: ' || wanted;
		END IF;
		IF letters(chatrel.get_whiteboard(board)) <> wanted THEN
			RETURN NEXT 'read: ' || wanted;
		END IF;
	END LOOP;
END $$;
SELECT is_empty(format('SELECT wrong_orders(%s)', :ordered), 'a hundred random orders are kept');

-- A gap is halved 32 times; then all get new positions, once.
SELECT chatrel.change_whiteboard(:ordered, lettered(:ordered, 'AZ'), 'delete') \g /dev/null
CREATE FUNCTION crowd(board bigint) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..40 LOOP
		RETURN NEXT cost_of(format('SELECT chatrel.change_whiteboard(%s, %L)', board,
			jsonb_insert(chatrel.get_whiteboard(board), '{stickers,1}', jsonb_build_object('url', 'u', 'title', chr(192 + i)))))->'updated';
	END LOOP;
END $$;
SELECT results_eq(format('SELECT updated > 30 AS all_moved, count(*) FROM crowd(%s) AS updated GROUP BY 1 ORDER BY 1', :ordered),
	'VALUES (false, 39::bigint), (true, 1)', 'of forty inserts at one place, one moves all others');
SELECT is(letters(chatrel.get_whiteboard(:ordered)), 'A' || (SELECT string_agg(chr(192 + i), '' ORDER BY i DESC) FROM generate_series(1, 40) i) || 'Z',
	'and the order is kept');

-- Positions of the owner's making
SELECT chatrel.change_whiteboard(:ordered, lettered(:ordered, 'abc'), 'delete') \g /dev/null
UPDATE chatrel.stickers SET position = CASE title WHEN 'a' THEN -9223372036854775808 WHEN 'b' THEN 0 ELSE 9223372036854775807 END WHERE whiteboard_id = :ordered;
SELECT is(letters(chatrel.change_whiteboard(:ordered, lettered(:ordered, 'abxc'))), 'abxc', 'the greatest gap has room');
UPDATE chatrel.stickers SET position = CASE title WHEN 'a' THEN -9223372036854775808 WHEN 'b' THEN 0 ELSE 9223372036854775807 END WHERE whiteboard_id = :ordered AND title <> 'x';
SELECT is(letters(chatrel.change_whiteboard(:ordered, lettered(:ordered, 'abxcd'))), 'abxcd', 'one is appended to the greatest position');
UPDATE chatrel.stickers SET position = -9223372036854775808 WHERE whiteboard_id = :ordered AND title = 'a';
SELECT is(letters(chatrel.change_whiteboard(:ordered, lettered(:ordered, 'yabxcd'))), 'yabxcd', 'one is put before the least');
UPDATE chatrel.stickers SET position = 7 WHERE whiteboard_id = :ordered;
SELECT is(letters(chatrel.get_whiteboard(:ordered)), 'abcxdy', 'equal positions go by the ids');
SELECT is(cost_of(format('SELECT chatrel.change_whiteboard(%s, %L)', :ordered, chatrel.get_whiteboard(:ordered))) -> 'updated', '0', 'and are no change');
SELECT is(letters(chatrel.change_whiteboard(:ordered, lettered(:ordered, 'abzcxdy'))), 'abzcxdy', 'one gets between two of them');

DROP TRIGGER count_statement ON chatrel.stickers;
DROP TRIGGER count_statement ON chatrel.whiteboards;

---------------------------------------------------------------------------
-- deleting
---------------------------------------------------------------------------

SELECT chatrel.create_whiteboard(:grp)->>'id' AS doomed \gset
SELECT chatrel.change_whiteboard(:doomed, '{"stickers": [{"url": "u", "title": "1"}, {"url": "u", "title": "2"}, {"url": "u", "title": "3"}]}') AS full \gset
SELECT :'full'::jsonb #>> '{stickers,0,id}' AS one, :'full'::jsonb #>> '{stickers,1,id}' AS two, :'full'::jsonb #>> '{stickers,2,id}' AS three \gset
SELECT chatrel.change_whiteboard(:doomed, :'full'::jsonb #- '{stickers,0}', 'nilify') \g /dev/null

SELECT throws_ok('SELECT chatrel.delete_whiteboard(NULL)', '22023', 'whiteboard_id must not be null');
SELECT throws_ok('SELECT chatrel.delete_sticker(NULL, 1)', '22023', 'group_id must not be null');
SELECT throws_ok('SELECT chatrel.delete_sticker(1, NULL)', '22023', 'sticker_id must not be null');
SELECT throws_ok(format('SELECT chatrel.delete_whiteboard(%s, %s)', :doomed, :stranger), '42501',
	format('user %s is not a member of group %s', :stranger, :grp), 'only members delete whiteboards');
SELECT throws_ok(format('SELECT chatrel.delete_sticker(%s, %s, %s)', :grp, :one, :stranger), '42501',
	format('user %s is not a member of group %s', :stranger, :grp), 'only members delete stickers');
SELECT throws_ok('SELECT chatrel.delete_sticker(987654321, 1)', 'P0002', 'group 987654321 does not exist', 'a sticker is one of a group');
SELECT ok(NOT chatrel.delete_whiteboard(987654321), 'what does not exist is not deleted');
SELECT ok(NOT chatrel.delete_sticker(:grp, 987654321), 'nor is a sticker');
SELECT (chatrel.create_group('wb_elsewhere', true)).id AS elsewhere \gset
SELECT ok(NOT chatrel.delete_sticker(:elsewhere, :one), 'a sticker of another group does not exist');

SELECT results_eq(format('SELECT id, url, title FROM chatrel.stickers WHERE group_id = %s AND whiteboard_id IS NULL AND id >= %s', :grp, :one),
	format($$VALUES (%s::bigint, 'u', '1')$$, :one), 'what nilify took off is found in the table, as it was');
SELECT is(chatrel.change_whiteboard((chatrel.create_whiteboard(:grp) ->> 'id')::bigint, format('{"stickers": [{"id": %s, "url": "v", "title": "2"}]}', :one)::jsonb) #>> '{stickers,0,title}', '2', 'no whiteboard knows it');
SELECT results_eq(format('SELECT url, title FROM chatrel.stickers WHERE id = %s', :one), $$VALUES ('u', '1')$$, 'and none writes it');
SELECT ok(chatrel.delete_sticker(:grp, :one), 'a sticker that was taken off is deleted');
SELECT ok(NOT chatrel.delete_sticker(:grp, :one), 'and once only');
SELECT is(chatrel.get_whiteboard(:doomed)->'version', '3', 'that is no change of the whiteboard');
SELECT ok(chatrel.delete_sticker(:grp, :two), 'a sticker on a whiteboard is deleted');
SELECT is(chatrel.get_whiteboard(:doomed)->'version', '4', 'that is a change of the whiteboard');
SELECT is(chatrel.get_whiteboard(:doomed) #>> '{stickers,0,id}', :'three', 'which has the others');

SELECT ok(chatrel.delete_whiteboard(:doomed), 'a whiteboard is deleted');
SELECT ok(NOT chatrel.delete_whiteboard(:doomed), 'and once only');
SELECT ok(NOT chatrel.delete_whiteboard(:doomed, :stranger), 'then it does not exist, for nobody');
SELECT throws_ok(format('SELECT chatrel.get_whiteboard(%s)', :doomed), 'P0002', format('whiteboard %s does not exist', :doomed), 'it is gone');
SELECT is_empty(format('SELECT FROM chatrel.stickers WHERE id = %s', :three), 'its stickers are gone with it');

---------------------------------------------------------------------------
-- what goes with what
---------------------------------------------------------------------------

SELECT chatrel.change_whiteboard(:board, '{"stickers": [{"url": "u", "title": "t"}]}', 'nilify')->>'version' AS version \gset
SELECT lives_ok(format('DELETE FROM chatrel.whiteboards WHERE id = %s', :board), 'the owner may delete a whiteboard');
SELECT is((SELECT count(*) FROM chatrel.stickers WHERE whiteboard_id = :board), 0::bigint, 'its stickers go with it');
SELECT cmp_ok((SELECT count(*) FROM chatrel.stickers WHERE group_id = :grp), '>', 0::bigint, 'those that had lost it stay');
SELECT lives_ok(format('DELETE FROM chatrel.groups WHERE id = %s', :grp), 'the owner may delete a group');
SELECT is((SELECT count(*) FROM chatrel.whiteboards WHERE group_id = :grp), 0::bigint, 'whiteboards go with their group');
SELECT is((SELECT count(*) FROM chatrel.stickers WHERE group_id = :grp), 0::bigint, 'and so do all of its stickers');

SELECT * FROM finish();
ROLLBACK;
