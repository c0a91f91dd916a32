-- Attempts to read, or to find out, what is others'.  eve is a database user with
-- a chatrel user of her own; mem may use the schema and is nobody in it; all may
-- read every table of the server (pg_read_all_data), and put its rows there.
-- What PostgreSQL cannot prevent is tested too, and said in doc/security.md.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE ROLE tap_eve;
CREATE ROLE tap_mem;
CREATE ROLE tap_all;
CREATE ROLE tap_default;
GRANT pg_read_all_data, pg_write_all_data TO tap_all;
-- what the superuser gives to everything that it makes
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO tap_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO tap_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO tap_default;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO tap_default;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
CREATE EXTENSION chatrel;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM tap_default, PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM tap_default;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM tap_default;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM tap_default;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;

GRANT USAGE ON SCHEMA chatrel TO tap_eve, tap_mem;
CREATE SCHEMA tap_eve AUTHORIZATION tap_eve;
-- groups 1 (ann's) and 2 (eve's)
SELECT (chatrel.create_user('ann')).id, (chatrel.create_user('eve', 'tap_eve')).id;
SELECT (chatrel.create_group('private', true, 'private', as_user => 1)).id, (chatrel.create_group('open', true, as_user => 2)).id;
SELECT (chatrel.send_group_message(g, t, as_user => g)).id FROM (VALUES (1, 'secret'), (2, 'hello')) m (g, t);
SELECT chatrel.add_reaction(group_id, id, message, sender_id), chatrel.pin_message(group_id, id, sender_id), chatrel.mark_read(group_id, id, sender_id)
	FROM chatrel.groups_messages;
SELECT chatrel.create_whiteboard(g, as_user => g) ->> 'id' FROM generate_series(1, 2) g;
SELECT chatrel.change_whiteboard(g, jsonb_build_object('stickers', jsonb_build_array(jsonb_build_object('url', 'http://' || t, 'title', t))), as_user => g) ->> 'id'
	FROM (VALUES (1, 'secret'), (2, 'hello')) m (g, t);
SELECT count(*) FROM chatrel.listen(1), chatrel.listen_all();

SELECT setval('chatrel.groups_id_seq', 1000);

SELECT plan(148);

---------------------------------------------------------------------------
-- privileges that were meant for something else
---------------------------------------------------------------------------

SELECT is((SELECT string_agg(o, ', ') FROM (
		SELECT relname || ' ' || privilege_type FROM pg_class, aclexplode(relacl) WHERE relnamespace = 'chatrel'::regnamespace AND grantee = 'tap_default'::regrole
		UNION ALL SELECT proname || ' ' || privilege_type FROM pg_proc, aclexplode(proacl) WHERE pronamespace = 'chatrel'::regnamespace AND grantee = 'tap_default'::regrole
		UNION ALL SELECT nspname || ' ' || privilege_type FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'chatrel' AND grantee = 'tap_default'::regrole) g (o)),
	NULL, 'default privileges give nothing of chatrel: neither its keys nor a trigger that runs as its owner');
SELECT is((SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'v', 'S') AND has_table_privilege('public', oid, 'SELECT')),
	'blocks, events, follow_requests, groups, groups_join_requests, groups_members, groups_messages, message_reactions, my_memberships, pinned_messages, read_marks, relationships, stickers, user_mutes, user_settings, users, whiteboards', 'nor to everybody more than else');
SELECT is((SELECT string_agg(proname, ', ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND NOT has_function_privilege('public', oid, 'EXECUTE')),
	'become_home, become_shard, check_message, count_follows, count_members, create_user, delete_user, erase_user, export_user, find_user, group_members_of, keep_sender, link_users, listen_all, make_channel, mirror_user, note_deleted_group, presence_status, purge_messages, relay_status, rename_user, replicated_user, report_online, restore_user, sync_all, unlink_users, verify_follow_counts, verify_users', 'and take nothing from who has USAGE');
SELECT ok(has_type_privilege('public', 'chatrel.follow_totals', 'USAGE'), 'a type neither');

SET LOCAL ROLE tap_all;
SELECT is_empty('TABLE chatrel.' || name, 'pg_read_all_data reads nothing of ' || name)
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'relationships', 'whiteboards', 'stickers', 'my_memberships',
		'groups_channels', 'users_channels', 'all_channel', 'follow_counters', 'events', 'message_reactions', 'pinned_messages', 'read_marks', 'purges', 'epochs']) AS name;
SELECT throws_ok('INSERT INTO chatrel.' || statement, '42501', NULL, 'pg_write_all_data puts no row there: ' || statement)
	FROM unnest(ARRAY['users (username) VALUES (''x'')', 'groups (name, creator_id) VALUES (''x'', 1)', 'groups_members (group_id, user_id) VALUES (1, 2)',
		'groups_messages (group_id, sender_id, message) VALUES (1, 1, ''forged'')', 'groups_channels VALUES (3)', 'users_channels VALUES (3)',
		'events (kind, group_id) VALUES (''forged'', 1)', 'message_reactions (group_id, message_id, user_id, reaction) VALUES (1, 1, 2, ''x'')',
		'pinned_messages (group_id, message_id, place, pinned_by) VALUES (1, 1, 2, 2)', 'read_marks VALUES (2, 1, 1, ''{}'', ''{}'')', 'purges VALUES (1, 1, ''1'')',
		'epochs (started_at, database_id, last_id) VALUES (now(), 1, 1)']) AS statement;
WITH w AS (UPDATE chatrel.groups_channels SET channel = '00000000-0000-0000-0000-000000000000' RETURNING 1) SELECT is(count(*), 0::bigint, 'nor changes a channel') FROM w;
WITH w AS (UPDATE chatrel.groups_members SET user_id = 2 RETURNING 1) SELECT is(count(*), 0::bigint, 'nor a membership') FROM w;
WITH w AS (DELETE FROM chatrel.groups_messages RETURNING 1) SELECT is(count(*), 0::bigint, 'nor deletes a message') FROM w;
RESET ROLE;
SET LOCAL ROLE tap_mem;
SELECT throws_ok('SELECT * FROM chatrel.relay', '42501', NULL, 'the relay is for monitoring');
SELECT throws_ok('SELECT * FROM chatrel.relay_status()', '42501', NULL, 'in every form');
SELECT throws_ok('SELECT * FROM chatrel.verify_follow_counts()', '42501', NULL, 'counters are not for everybody to repair');
SELECT throws_ok('SELECT * FROM chatrel.follow_counters', '42501', NULL, 'nor to read');

---------------------------------------------------------------------------
-- other ways to the rows
---------------------------------------------------------------------------

SET LOCAL ROLE tap_eve;
SELECT is_empty(statement, 'not by ' || way) FROM (VALUES
	('a place in the table', $$ SELECT FROM chatrel.groups_messages WHERE ctid = '(0,1)' $$),
	('its transaction', $$ SELECT FROM chatrel.groups_messages WHERE xid IS NOT NULL AND group_id = 1 $$),
	('its version', $$ SELECT FROM chatrel.groups_messages WHERE xmin IS NOT NULL AND group_id <> 2 $$),
	('a sample', 'SELECT FROM chatrel.groups_messages TABLESAMPLE SYSTEM (100) WHERE group_id <> 2'),
	('a join', 'SELECT FROM chatrel.groups g LEFT JOIN chatrel.groups_messages m ON m.group_id <> g.id WHERE m.id IS NOT NULL'),
	('a whole row', $$ SELECT FROM chatrel.stickers s WHERE s::text LIKE '%secret%' $$),
	('JSON', $$ SELECT FROM chatrel.stickers s WHERE to_jsonb(s) ->> 'title' = 'secret' $$),
	('an aggregate', 'SELECT FROM chatrel.groups_messages HAVING count(*) > 1'),
	('a window', 'SELECT FROM (SELECT count(*) OVER () AS n FROM chatrel.groups_messages) w WHERE n > 1'),
	('XML', $$ SELECT FROM query_to_xml('SELECT message FROM chatrel.groups_messages', true, true, '') x WHERE x::text LIKE '%secret%' $$),
	('the inherited table', 'SELECT FROM ONLY chatrel.groups_messages WHERE group_id = 1'),
	('ts_stat', $$ SELECT FROM ts_stat('SELECT to_tsvector(''simple'', message) FROM chatrel.groups_messages') WHERE word = 'secret' $$)) v (way, statement);
-- an error before PostgreSQL 18, and null since
CREATE FUNCTION tap_eve.last_value(regclass) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN RETURN pg_sequence_last_value($1); EXCEPTION WHEN insufficient_privilege THEN RETURN NULL; END $$;
SELECT is(tap_eve.last_value('chatrel.event_ids'), NULL, 'pg_sequence_last_value() tells nothing');
SELECT throws_ok(statement, sqlstate, NULL, 'refused: ' || statement) FROM (VALUES
	('SELECT last_value FROM chatrel.event_ids', '42501'),
	($$ SELECT currval('chatrel.event_ids') $$, '42501'),
	('TABLE pg_statistic', '42501'),
	('SELECT * FROM chatrel.groups_messages FOR SHARE', '42501'),
	('SELECT * FROM chatrel.groups FOR KEY SHARE', '42501'),
	('LOCK TABLE chatrel.groups_channels IN ACCESS SHARE MODE', '42501'),
	('LOCK TABLE chatrel.groups_messages IN SHARE MODE', '42501'),
	('LOCK TABLE chatrel.groups_messages IN ACCESS EXCLUSIVE MODE', '42501'),
	($$ SELECT query_to_xml('TABLE chatrel.groups_channels', true, true, '') $$, '42501'),
	($$ SELECT pg_read_file('PG_VERSION') $$, '42501'),
	($$ SET LOCAL row_security = off; SELECT count(*) FROM chatrel.stickers $$, '42501')) v (statement, sqlstate);
SET LOCAL row_security = on;
SELECT is_empty($$ SELECT FROM pg_sequences WHERE schemaname = 'chatrel' AND last_value IS NOT NULL $$, 'the sequences say nothing');
SELECT is_empty($$ SELECT FROM pg_prepared_statements WHERE statement ~ '(FROM|INTO) chatrel' UNION ALL SELECT FROM pg_cursors WHERE statement ~ '(FROM|INTO) chatrel' $$, 'what chatrel has prepared is not seen');
DECLARE mine CURSOR FOR SELECT message FROM chatrel.groups_messages;
FETCH mine;
SELECT throws_ok('UPDATE chatrel.groups_messages SET message = ''x'' WHERE CURRENT OF mine', '42501', NULL, 'a row that is read cannot be changed');
CLOSE mine;

---------------------------------------------------------------------------
-- functions, and operators, that tell what they are given
---------------------------------------------------------------------------

CREATE TABLE tap_eve.told (what text);
CREATE FUNCTION tap_eve.tell(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
	AS $$ BEGIN INSERT INTO tap_eve.told VALUES ($1::text); RETURN true; END $$;
CREATE FUNCTION tap_eve.tell_both(text, text) RETURNS boolean LANGUAGE sql COST 0.0000001 AS 'SELECT tap_eve.tell($1)';
CREATE OPERATOR tap_eve.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = tap_eve.tell_both, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
SELECT count(*) FROM chatrel.groups WHERE tap_eve.tell(name);
SELECT count(*) FROM chatrel.groups WHERE name OPERATOR(tap_eve.===) 'x';
SELECT count(*) FROM chatrel.groups_members WHERE tap_eve.tell(group_id);
SELECT count(*) FROM chatrel.groups_messages WHERE tap_eve.tell(message);
SELECT count(*) FROM chatrel.groups_messages WHERE message OPERATOR(tap_eve.===) 'x' AND group_id = 1;
SELECT count(*) FROM chatrel.groups_messages m WHERE tap_eve.tell(m);
SELECT count(*) FROM chatrel.whiteboards WHERE tap_eve.tell(id);
SELECT count(*) FROM chatrel.stickers WHERE tap_eve.tell(title);
SELECT count(*) FROM chatrel.stickers s JOIN chatrel.groups g ON tap_eve.tell(s.url) AND g.id = s.group_id;
SELECT count(*) FROM (SELECT DISTINCT title FROM chatrel.stickers OFFSET 0) s WHERE tap_eve.tell(title);
SELECT count(*) FROM chatrel.my_memberships WHERE tap_eve.tell(group_id);
SELECT is_empty($$ SELECT FROM tap_eve.told WHERE what ~ 'secret|private' OR what = '1' $$, 'cheap functions of hers are not shown what is others''');
SELECT isnt_empty('TABLE tap_eve.told', 'but were called');
SELECT lives_ok(statement, 'no error tells: ' || statement) FROM unnest(ARRAY[
	'SELECT 1 / (length(message) - 6) FROM chatrel.groups_messages', 'SELECT FROM chatrel.groups_messages WHERE 1 / (length(message) - 6) > 9',
	'SELECT FROM chatrel.stickers WHERE 1 / (length(title) - 6) > 9', $$ SELECT FROM chatrel.groups WHERE (CASE name WHEN 'private' THEN name ELSE '1' END)::int = 1 $$,
	$$ SELECT (message || '')::int FROM chatrel.groups_messages WHERE group_id = 1 $$]) AS statement;
RESET ROLE;
SET LOCAL ROLE tap_mem;
SELECT is_empty('SELECT FROM chatrel.' || name, 'who is nobody sees no ' || name)
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'relationships', 'whiteboards', 'stickers', 'my_memberships',
		'events', 'message_reactions', 'pinned_messages', 'read_marks']) AS name;
RESET ROLE;

---------------------------------------------------------------------------
-- what EXPLAIN tells
---------------------------------------------------------------------------

-- more of them than two, as in a database in use
INSERT INTO chatrel.groups (id, name, creator_id) SELECT i, 'g' || i, 1 FROM generate_series(3, 500) i;
INSERT INTO chatrel.whiteboards (id, group_id) SELECT i, i FROM generate_series(3, 500) i;
INSERT INTO chatrel.stickers (group_id, whiteboard_id, url, title) SELECT i, i, 'http://' || i, 'title ' || i FROM generate_series(3, 500) i;
INSERT INTO chatrel.groups_messages (group_id, sender_id, message) SELECT i % 500 + 1, 1, 'message ' || i FROM generate_series(1, 2000) i;
ANALYZE chatrel.groups, chatrel.stickers, chatrel.groups_messages, chatrel.groups_members;
CREATE FUNCTION tap_eve.seen(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query LOOP
		plan := concat_ws(E'\n', plan, line);
	END LOOP;
	-- the guess itself is in the plan
	RETURN regexp_replace(plan, '''[^'']*''', '?', 'g');
END $$;
SET LOCAL ROLE tap_eve;
SELECT is(tap_eve.seen(format(query, a)), tap_eve.seen(format(query, b)), 'a guess that is right is planned and run as one that is wrong: ' || query) FROM (VALUES
	($$ SELECT FROM chatrel.stickers WHERE title = '%s' $$, 'secret', 'secret!'),
	($$ SELECT FROM chatrel.stickers WHERE title < '%s' $$, 'secreu', 'secret'),
	($$ SELECT FROM chatrel.stickers WHERE group_id = 1 AND whiteboard_id = 1 AND title = '%s' $$, 'secret', 'secret!'),
	($$ SELECT FROM chatrel.stickers WHERE url > '%s' $$, 'http://secres', 'http://secreu'),
	($$ SELECT FROM chatrel.groups_messages WHERE message = '%s' $$, 'secret', 'secret!'),
	($$ SELECT FROM chatrel.groups_messages WHERE group_id = 1 AND message < '%s' $$, 'secreu', 'secret')) v (query, a, b);
-- by an index it counts the rows that it takes away; see the caveats
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT matches(tap_eve.seen('SELECT FROM chatrel.stickers'), 'Index Cond: \(group_id = ANY', 'her own stickers are found by an index');
SELECT is(tap_eve.seen($$ SELECT FROM chatrel.groups WHERE name > 'privat' AND name < 'privau' $$), tap_eve.seen($$ SELECT FROM chatrel.groups WHERE name > 'q' AND name < 'r' $$),
	'that there is a private group of some name is not seen in EXPLAIN ANALYZE: no index has its name');
SELECT lives_ok($$ SELECT chatrel.create_group('private') $$, 'nor by creating one of the same name');
SELECT ok((SELECT reltuples FROM pg_class WHERE oid = 'chatrel.groups_messages'::regclass) = 2002, 'how many rows there are in all is seen by every role, as of every table');
SELECT is_empty($$ SELECT FROM pg_stats WHERE schemaname = 'chatrel' $$, 'what is in them is not');
SELECT is_empty($$ SELECT FROM pg_stats_ext WHERE schemaname = 'chatrel' $$, 'in no statistics');

---------------------------------------------------------------------------
-- what errors tell
---------------------------------------------------------------------------

SELECT throws_ok('SELECT ' || format(call, id), 'P0002', 'group ' || id || ' does not exist', 'reading: as if there were none: ' || format(call, id))
	FROM (VALUES (1), (99999)) g (id), unnest(ARRAY['chatrel.get_group(%s)', 'chatrel.group_messages(%s)',
		'chatrel.get_group_with_chat_history(%s)', 'chatrel.get_message(%s, 1)', 'chatrel.pinned_messages(%s)', 'chatrel.listen_group(%s)', 'chatrel.sync(NULL, %s)']) AS call;
SELECT throws_ok('SELECT chatrel.get_whiteboard(1)', 'P0002', 'whiteboard 1 does not exist', 'a whiteboard too');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'x') $$, 'P0002', 'group 1 does not exist', 'writing: there is no such group, as it is private');
SELECT throws_ok($$ SELECT chatrel.change_whiteboard(1, '{"stickers": []}', 'delete') $$, 'P0002', 'whiteboard 1 does not exist', 'nor a whiteboard');
SELECT is(chatrel.delete_whiteboard(1), false, 'to be deleted');
SELECT throws_ok('SELECT chatrel.delete_sticker(1, ' || id || ')', 'P0002', 'group 1 does not exist', 'a sticker that there is, and one that is not')
	FROM unnest(ARRAY[1, 99999]) AS id;

---------------------------------------------------------------------------
-- cursors of her own making
---------------------------------------------------------------------------

SELECT chatrel.sync('now') ->> 'cursor' AS cursor, chatrel.sync('now', 2) ->> 'cursor' AS group_cursor \gset
-- 2.server.timeline.position.schema.epoch.started.database.user.group.high.anchor.xid.ranges~seal
CREATE FUNCTION tap_eve.forged(cursor text, field int, value text) RETURNS text LANGUAGE sql AS $$
	SELECT array_to_string(a[1:field - 1] || value || a[field + 1:], '.') || '~' || split_part(cursor, '~', 2) FROM string_to_array(split_part(cursor, '~', 1), '.') a $$;
SELECT is(tap_eve.forged(:'cursor', 1, '2'), :'cursor', 'a cursor is of this form');
SELECT throws_ok(format('SELECT chatrel.sync(%L)', tap_eve.forged(:'cursor', field, value)), sqlstate, NULL, 'forged: ' || what) FROM (VALUES
	('ann''s', 9, '1', '22023'), ('nobody''s', 9, '0', '22023'), ('of ann''s group', 10, '1', '22023'), ('of her group', 10, '2', '22023'),
	('another version', 1, '1', '22023'), ('another server', 2, '1', '55000'), ('another timeline', 3, '2', '55000'), ('a timeline too high', 3, '1ffffffff', '22023'),
	('a time to come', 4, 'ffffffffffffffff', '55000'), ('a time gone by', 4, '1', '22023'), ('another installation', 5, '1', '55000'), ('an id too high', 11, '8000000000000000', '22023'),
	('a number too long', 11, '00000000000000001', '22023'), ('nothing seen', 11, '0', '22023'), ('no epoch', 6, '0', '22023'), ('another epoch', 7, '1', '22023'), ('another database', 8, '1', '22023'), ('another last message', 12, '1', '22023'), ('a range of all transactions, to have all messages read', 14, '0-ffffffffffffffff:0;', '22023')) v (what, field, value, sqlstate);
SELECT throws_ok(format('SELECT chatrel.sync(%L)', cursor), '22023', 'invalid cursor', 'forged: ' || what) FROM (VALUES
	('without a seal', split_part(:'cursor', '~', 1)), ('with an empty one', split_part(:'cursor', '~', 1) || '~'), ('with another''s', split_part(:'cursor', '~', 1) || '~' || split_part(:'group_cursor', '~', 2)),
	('with two', :'cursor' || '~' || split_part(:'cursor', '~', 2)), ('with one too long', :'cursor' || '0')) v (what, cursor);
SELECT lives_ok(format('SELECT chatrel.sync(%L)', :'cursor'), 'not forged');
SELECT throws_ok(format('SELECT chatrel.sync(%L, 1)', tap_eve.forged(:'group_cursor', 10, '1')), 'P0002', NULL, 'forged: for a group that is not hers');
SELECT throws_ok(format('SELECT chatrel.sync(%L)', tap_eve.forged(:'cursor', 14, string_agg(i || '-' || i + 1 || ':0;', '' ORDER BY i))), '22023', 'invalid cursor', 'forged: too many ranges')
	FROM generate_series(100000, 300001, 2) i;
SELECT throws_ok(format('SELECT chatrel.sync(%L)', repeat('x', 10000000)), '22023', 'invalid cursor', 'forged: 10 MB of nothing');

SELECT * FROM finish();
ROLLBACK;
