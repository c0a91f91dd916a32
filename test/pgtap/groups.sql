-- Groups, as a user reads the contract.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SET LOCAL chatrel.user_id = 1;

SELECT plan(44);

-- create_group
SELECT results_eq($$ SELECT id, name, creator_id, created_at FROM chatrel.create_group('one') $$, $$ VALUES (1::bigint, 'one', 1::bigint, now()) $$, 'a group is created');
SELECT is_empty($$ SELECT * FROM chatrel.my_groups() $$, 'without its creator in it');
SELECT is((chatrel.create_group('two', true)).id, 2::bigint, 'another one');
SELECT results_eq($$ SELECT id FROM chatrel.my_groups() $$, ARRAY[2::bigint], 'with its creator in it');
SELECT throws_ok($$ SELECT chatrel.create_group('two') $$, '23505', 'group "two" already exists', 'a name is taken once');
SELECT throws_ok($$ SELECT chatrel.create_group('') $$, '22023', 'name must not be empty', 'and not empty');
SELECT throws_ok($$ SELECT chatrel.create_group(NULL) $$, '22023', 'name must not be null', 'nor null');
SELECT is((chatrel.create_group(' two')).name, ' two', 'blanks count');

-- join_group, leave_group: changed?
SELECT is(chatrel.join_group(1), true, 'joining changes something');
SELECT is(chatrel.join_group(1), false, 'joining again does not');
SELECT is(chatrel.leave_group(1), true, 'leaving changes something');
SELECT is(chatrel.leave_group(1), false, 'leaving again does not');
SELECT is(chatrel.join_group(1), true, 'who has left may join');
SELECT throws_ok($$ SELECT chatrel.join_group(-5) $$, 'P0002', 'group -5 does not exist', 'what does not exist is not joined');
SELECT throws_ok($$ SELECT chatrel.leave_group(99) $$, 'P0002', 'group 99 does not exist', 'nor left');

-- members are listed in the order of joining
SELECT is(chatrel.join_group(1, as_user => 3), true, 'cyd joins');
SELECT is(chatrel.join_group(1, as_user => 2), true, 'bob joins');
SELECT is(jsonb_path_query_array(chatrel.get_group(1), '$.members[*].id'), '[1, 3, 2]', 'members in the order of joining');
SELECT chatrel.set_role(1, 3, 'owner');
SELECT is(chatrel.leave_group(1), true, 'ann leaves');
SELECT is(chatrel.join_group(1), true, 'and joins');
SELECT is(jsonb_path_query_array(chatrel.get_group(1), '$.members[*].id'), '[3, 2, 1]', 'the one who came back is the last');

-- my_groups: with the last message, the one written to last first, and with what is unread
SELECT (chatrel.create_group('three', true)).id;
SELECT (chatrel.send_group_message(2, 'in two', '2024-01-01 00:00+00')).id AS in_two \gset
SELECT (chatrel.send_group_message(1, 'in one', '2024-01-02 00:00+00', mentions => '{1}', as_user => 2)).id;
SELECT (chatrel.send_group_message(1, 'in one again', '2023-01-02 00:00+00', as_user => 3)).id AS in_one \gset
SELECT results_eq('SELECT * FROM chatrel.my_groups()', format($$ VALUES
	(1::bigint, 'one', 1::bigint, now(), %s::bigint, timestamptz '2023-01-02 00:00+00', 3::bigint, 'in one again', 2, 1),
	(2, 'two', 1, now(), %s, '2024-01-01 00:00+00', 1, 'in two', 0, 0),
	(5, 'three', 1, now(), NULL, NULL, NULL, NULL, 0, 0) $$, :in_one, :in_two), 'my groups');
SELECT results_eq($$ SELECT id FROM chatrel.my_groups(as_user => 2) $$, ARRAY[1::bigint], 'and those of another');
SELECT is(jsonb_path_query_array(chatrel.me(), '$.groups[*].id'), '[2, 1, 5]', 'me() has them in the order of joining');

-- get_group is for members
SELECT is(chatrel.get_group(2) ->> 'name', 'two', 'a member sees the group');
SELECT throws_ok($$ SELECT chatrel.get_group(2, as_user => 2) $$, 'P0002', 'group 2 does not exist', 'who is not, does not');
SELECT throws_ok($$ SELECT chatrel.get_group(99, as_user => 2) $$, 'P0002', 'group 99 does not exist', 'as if it did not exist');

-- find_groups pages alike in however many groups: those of a word that all have, that many have, few, one
INSERT INTO chatrel.groups (name, creator_id) SELECT concat_ws(' ', 'a', CASE WHEN n % 3 = 0 THEN 'fizz' END, CASE WHEN n % 250 = 0 THEN 'rare' END, n), 1 FROM generate_series(1, 2500) n;
PREPARE pages(text, integer) AS
	WITH RECURSIVE pages AS (SELECT array_agg(id ORDER BY id) AS ids FROM chatrel.find_groups($1, row_limit => $2)
		UNION ALL SELECT (SELECT array_agg(g.id ORDER BY g.id) FROM chatrel.find_groups($1, p.ids[cardinality(p.ids)], $2) g) FROM pages p WHERE p.ids IS NOT NULL)
	SELECT id FROM pages, unnest(ids) id ORDER BY id;
SELECT results_eq(format('EXECUTE pages(%L, %s)', word, page), format('SELECT id FROM chatrel.groups WHERE name ~ %L ORDER BY id', pattern), 'find_groups: ' || word)
	FROM (VALUES ('a', 500, '^a '), ('fizz', 100, 'fizz'), ('rare', 3, 'rare'), ('2477 a', 50, ' 2477$')) v (word, page, pattern);

-- channels: told to members, replaced when one leaves
SELECT chatrel.listen_group(1) AS told \gset
SELECT is(:'told', (SELECT 'chatrel_' || channel FROM chatrel.groups_channels WHERE group_id = 1), 'a member is told the channel');
SELECT throws_ok($$ SELECT chatrel.listen_group(1, as_user => (chatrel.create_user('dan')).id) $$, 'P0002', NULL, 'nobody else is');
SELECT isnt((SELECT chatrel.listen_group(1) FROM (SELECT chatrel.leave_group(1, as_user => 2)) AS l), NULL, 'after somebody has left, members are told again');

-- a group of fifty thousand members
INSERT INTO chatrel.users (id, username) SELECT n, 'reader ' || n FROM generate_series(1001, 51000) n;
SELECT (chatrel.create_group('shop news', true)).id AS news \gset
INSERT INTO chatrel.groups_members (group_id, user_id) SELECT :news, n FROM generate_series(1001, 51000) n;
SELECT is((SELECT member_count FROM chatrel.find_groups('shop')), 50001::bigint, 'who looks for it sees how many there are');
SELECT is(chatrel.get_group(:news) ->> 'member_count', '50001', 'and so does a member');
SELECT is(jsonb_array_length(chatrel.get_group(:news) -> 'members'), 50, 'of the members there is a first page');
SELECT is(chatrel.me(as_user => 40000) -> 'groups', jsonb_build_array(chatrel.get_group(:news, as_user => 40000) - 'member_count'), 'so there is when one of them logs in');
SELECT is(chatrel.me(as_user => 40000) #> '{groups,0,more_members}', 'true', 'which says that there are others');
SELECT is((SELECT count(*) FROM chatrel.group_members(:news, (SELECT m.id FROM chatrel.groups_members m WHERE user_id = 50990))), 10::bigint, 'the list of them goes on to its end');
SELECT ok(chatrel.ban_member(:news, 40001), 'one is banned');
SELECT is(chatrel.get_group(:news) ->> 'member_count', '50000', 'and counted no more');
SELECT lives_ok(format('SELECT chatrel.delete_group(%s)', :news), 'the group is deleted');
SELECT results_eq(format($$ SELECT (SELECT count(*) FROM chatrel.groups_members WHERE group_id = %s), (SELECT count(*) FROM chatrel.events WHERE kind = 'group_deleted') $$, :news), 'VALUES (0::bigint, 50000::bigint)', 'of which all members hear');

SELECT * FROM finish();
ROLLBACK;
