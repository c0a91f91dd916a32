-- The scenario of the article on nested resources: a whiteboard and its stickers,
-- all of them in one request, and each rule of what happens to them.
\ir scenario.psql
SELECT plan(36);

SELECT (chatrel.create_user('member')).id AS member \gset
SET chatrel.user_id = :member;
SELECT (chatrel.create_group('room', true)).id AS room \gset

-- the stickers of a whiteboard in their order, without timestamps and ids
CREATE FUNCTION pg_temp.shape(document jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(sticker - '{id,created_at,updated_at}'::text[] ORDER BY nr)
	FROM jsonb_array_elements(document->'stickers') WITH ORDINALITY AS s (sticker, nr)
$$;

SELECT chatrel.create_whiteboard(:room) AS created \gset
SELECT :'created'::jsonb->>'id' AS board \gset
SELECT is(:'created'::jsonb->'stickers', '[]'::jsonb, 'a new whiteboard has no stickers');
SELECT is(:'created'::jsonb->'version', '1'::jsonb, 'a new whiteboard has version 1');

-- no id: insert
SELECT chatrel.change_whiteboard(:board, '{"stickers": [
	{"url": "https://example.com/1", "title": "first"},
	{"url": "https://example.com/2", "title": "second"}]}') AS two \gset
SELECT :'two'::jsonb #>> '{stickers,0,id}' AS first, :'two'::jsonb #>> '{stickers,1,id}' AS second \gset
SELECT is(pg_temp.shape(:'two'),
	'[{"url": "https://example.com/1", "title": "first"}, {"url": "https://example.com/2", "title": "second"}]',
	'two stickers without id are inserted, in the order of the request');
SELECT is(chatrel.get_whiteboard(:board), :'two'::jsonb, 'the answer is the whole whiteboard as it is read');
SELECT is(:'two'::jsonb->'version', '2'::jsonb, 'a change makes a new version');
SELECT ok(:first < :second, 'ids follow the order of the request');

-- known id: update
SELECT chatrel.change_whiteboard(:board, format('{"stickers": [
	{"id": %s, "url": "https://example.com/1", "title": "the first"},
	{"id": %s, "url": "https://example.com/2", "title": "second"}]}', :first, :second)::jsonb) AS updated \gset
SELECT is(pg_temp.shape(:'updated'),
	'[{"url": "https://example.com/1", "title": "the first"}, {"url": "https://example.com/2", "title": "second"}]',
	'one title is updated by id');
SELECT is((SELECT array_agg((s->>'id')::bigint) FROM jsonb_array_elements(:'updated'::jsonb->'stickers') s),
	ARRAY[:first, :second]::bigint[], 'both keep their ids');
SELECT is(:'updated'::jsonb #>> '{stickers,1,updated_at}', :'two'::jsonb #>> '{stickers,1,updated_at}', 'the sticker that is as it was is not written');
SELECT isnt(:'updated'::jsonb #>> '{stickers,0,updated_at}', :'two'::jsonb #>> '{stickers,0,updated_at}', 'the one that was changed is');

-- one updated and one inserted at once
SELECT chatrel.change_whiteboard(:board, format('{"stickers": [
	{"url": "https://example.com/3", "title": "third"},
	{"id": %s, "url": "https://example.com/2", "title": "the second"},
	{"id": %s, "url": "https://example.com/1", "title": "the first"}]}', :second, :first)::jsonb) AS both \gset
SELECT is(pg_temp.shape(:'both'),
	'[{"url": "https://example.com/3", "title": "third"}, {"url": "https://example.com/2", "title": "the second"}, {"url": "https://example.com/1", "title": "the first"}]',
	'one updated and one inserted at once, in the order in which they are sent');
SELECT :'both'::jsonb #>> '{stickers,0,id}' AS third \gset

-- nothing changed
SELECT is(chatrel.change_whiteboard(:board, :'both'), :'both'::jsonb,
	'sent back as it was read, nothing changes: neither timestamps nor version');

-- unknown id: insert as new
SELECT chatrel.create_whiteboard(:room)->>'id' AS other \gset
SELECT chatrel.change_whiteboard(:other, format('{"stickers": [
	{"id": %s, "url": "https://example.com/x", "title": "taken"},
	{"id": 987654321, "url": "https://example.com/y", "title": "invented"}]}', :first)::jsonb) AS unknown \gset
SELECT is(pg_temp.shape(:'unknown'),
	'[{"url": "https://example.com/x", "title": "taken"}, {"url": "https://example.com/y", "title": "invented"}]',
	'ids that are not of this whiteboard are inserted as new');
SELECT ok(NOT EXISTS (SELECT FROM jsonb_array_elements(:'unknown'::jsonb->'stickers') s
	WHERE (s->>'id')::bigint IN (:first, 987654321)), 'and get ids of their own');
SELECT is(chatrel.get_whiteboard(:board), :'both'::jsonb, 'the whiteboard whose id it was is as before');

-- what is not named: raise, by default
SELECT format('{"stickers": [{"id": %s, "url": "https://example.com/1", "title": "changed"}, {"url": "https://example.com/4", "title": "new"}]}', :first) AS less \gset
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L)', :board, :'less'), '22023',
	format('stickers must name %s, which is stored', :third), 'raise is the default');
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L, ''raise'')', :board, :'less'), '22023',
	format('stickers must name %s, which is stored', :third), 'raise names the first that is missing');
SELECT is(chatrel.get_whiteboard(:board), :'both'::jsonb, 'raise changes nothing, not what was named either');

-- mark_as_invalid
SELECT is(chatrel.change_whiteboard(:board, :'less', 'mark_as_invalid'),
	format('{"valid": false, "errors": {"stickers": ["must name %s, which is stored", "must name %s, which is stored"]}}', :third, :second)::jsonb,
	'mark_as_invalid answers what is missing');
SELECT is(chatrel.get_whiteboard(:board), :'both'::jsonb, 'mark_as_invalid changes nothing');
SELECT is(chatrel.change_whiteboard(:board, format('{"stickers": [{"id": %s, "url": "https://example.com/1"}, {"id": %s, "title": "the second"}, {"id": %s}]}', :first, :second, :third)::jsonb, 'mark_as_invalid'),
	'{"valid": false, "errors": {"stickers[0].title": ["is missing"], "stickers[1].url": ["is missing"], "stickers[2].url": ["is missing"], "stickers[2].title": ["is missing"]}}',
	'mark_as_invalid answers which required fields are missing, and where');
SELECT is(chatrel.change_whiteboard(:board, '{}', 'mark_as_invalid'),
	'{"valid": false, "errors": {"stickers": ["is missing"]}}', 'mark_as_invalid answers that stickers are required');
SELECT is(chatrel.change_whiteboard(:board, :'both', 'mark_as_invalid'), :'both'::jsonb,
	'what is valid is answered with the whiteboard under mark_as_invalid too');

-- update
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L, ''update'')', :board, :'less'), '22023',
	'on_replace must be raise, mark_as_invalid, nilify or delete, not "update"', 'update is for has_one');
SELECT throws_ok(format('SELECT chatrel.change_whiteboard(%s, %L, ''update'')', :board, :'both'), '22023',
	'on_replace must be raise, mark_as_invalid, nilify or delete, not "update"', 'update is refused even where nothing is missing');
SELECT is(chatrel.get_whiteboard(:board), :'both'::jsonb, 'update changes nothing');

-- required
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{"stickers": [{"title": "t"}]}', 'delete')$$, :board),
	'22023', 'stickers[0].url is missing', 'url is required');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{"stickers": [{"url": "u"}]}', 'delete')$$, :board),
	'22023', 'stickers[0].title is missing', 'title is required');
SELECT throws_ok(format($$SELECT chatrel.change_whiteboard(%s, '{}', 'delete')$$, :board),
	'22023', 'stickers is missing', 'stickers are required');

-- nilify: one stays, one is changed, one comes, one goes
SELECT chatrel.change_whiteboard(:board, format('{"stickers": [
	{"id": %s, "url": "https://example.com/1", "title": "the first"},
	{"id": %s, "url": "https://example.com/3", "title": "the third"},
	{"url": "https://example.com/4", "title": "fourth"}]}', :first, :third)::jsonb, 'nilify') AS nilified \gset
SELECT is(pg_temp.shape(:'nilified'),
	'[{"url": "https://example.com/1", "title": "the first"}, {"url": "https://example.com/3", "title": "the third"}, {"url": "https://example.com/4", "title": "fourth"}]',
	'nilify takes the sticker off the whiteboard');
SELECT is(pg_temp.shape(chatrel.change_whiteboard(:other, format('{"stickers": [{"id": %s, "url": "u", "title": "t"}]}', :second)::jsonb, 'delete')),
	'[{"url": "u", "title": "t"}]', 'a sticker that lost its whiteboard is unknown to every whiteboard');
SELECT ok(chatrel.delete_sticker(:room, :second), 'nilify has kept it, without its whiteboard');

-- delete
SELECT chatrel.change_whiteboard(:board, format('{"stickers": [{"id": %s, "url": "https://example.com/3", "title": "the third"}]}', :third)::jsonb, 'delete') AS deleted \gset
SELECT is(pg_temp.shape(:'deleted'), '[{"url": "https://example.com/3", "title": "the third"}]', 'delete removes what is not named');
SELECT ok(NOT chatrel.delete_sticker(:room, :first), 'delete leaves nothing to be deleted');
SELECT is(chatrel.change_whiteboard(:board, '{"stickers": []}', 'delete')->'stickers', '[]'::jsonb, 'an empty request and delete leave none');
SELECT is((SELECT array_agg((s->>'title') ORDER BY s->>'title') FROM jsonb_array_elements(chatrel.get_whiteboard(:other)->'stickers') s),
	ARRAY['t'], 'another whiteboard keeps its own');

SELECT * FROM finish();
