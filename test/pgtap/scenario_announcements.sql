-- The recipe "An announcement group" of doc/recipes.md: a few write, and fifty thousand read.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;
SELECT plan(43);

-- ann opens a group for the announcements of her shop, bob helps her
SELECT chatrel.create_user(name) FROM unnest(ARRAY['ann', 'bob', 'cyd']) name;
SET LOCAL chatrel.user_id = 1;
SELECT is((SELECT id FROM chatrel.create_group('shop news', true, description => 'what is new in the shop')), 1::bigint, 'ann opens a group');
SELECT ok(chatrel.join_group(1, 2) AND chatrel.join_group(1, 3), 'bob and cyd join');
SELECT ok(chatrel.set_role(1, 2, 'moderator'), 'bob helps her');
SELECT is((SELECT posting FROM chatrel.update_group(1, posting => 'moderators')), 'moderators', 'only they post');

-- and fifty thousand read
INSERT INTO chatrel.users (id, username) SELECT n, 'reader ' || n FROM generate_series(1001, 51000) n;
INSERT INTO chatrel.groups_members (group_id, user_id) SELECT 1, n FROM generate_series(1001, 51000) n;
SELECT is((SELECT member_count FROM chatrel.find_groups('shop')), 50003::bigint, 'who looks for it sees how many there are');
SELECT is(chatrel.get_group(1) ->> 'member_count', '50003', 'and so does a member');
SELECT is(jsonb_array_length(chatrel.get_group(1) -> 'members'), 50, 'of the members there is a first page');
SELECT is(chatrel.get_group(1, 2) -> 'members', '[{"id": 1, "username": "ann"}, {"id": 2, "username": "bob"}]', 'as long as asked for');
SELECT is(chatrel.get_group(1) ->> 'posting', 'moderators', 'a client sees that it need not offer to write');
SELECT results_eq('SELECT username, role FROM chatrel.group_members(1, row_limit => 4)', $$ VALUES ('ann', 'owner'), ('bob', 'moderator'), ('cyd', 'member'), ('reader 1001', 'member') $$, 'the roles are in the list of members');
SELECT is((SELECT count(*) FROM chatrel.group_members(1, (SELECT m.id FROM chatrel.groups_members m WHERE user_id = 50990))), 10::bigint, 'which goes on to its end');

-- they announce
SELECT id AS opening FROM chatrel.send_group_message(1, 'We open at nine.') \gset
SELECT id AS sale FROM chatrel.send_group_message(1, 'Everything is cheaper on Friday.', as_user => 2) \gset
SELECT ok(chatrel.pin_message(1, :opening, 2), 'bob pins the opening hours');

-- a reader reads
SET LOCAL chatrel.user_id = 40000;
SELECT results_eq('SELECT name, unread, last_message FROM chatrel.my_groups()', $$ VALUES ('shop news', 2, 'Everything is cheaper on Friday.') $$, 'a reader has two unread announcements');
SELECT results_eq('SELECT unread, groups FROM chatrel.unread_counts()', 'VALUES (2::bigint, 1::bigint)', 'in one group');
SELECT results_eq('SELECT message FROM chatrel.group_messages(1)', ARRAY['Everything is cheaper on Friday.', 'We open at nine.'], 'reads them');
SELECT ok(chatrel.mark_read(1) IS NOT NULL, 'says so');
SELECT is((SELECT unread FROM chatrel.my_groups()), 0, 'and has read them');
SELECT results_eq('SELECT message FROM chatrel.pinned_messages(1)', ARRAY['We open at nine.'], 'what is pinned is at hand');
SELECT is(chatrel.me() #>> '{groups,0,name}', 'shop news', 'the login document has the group');
SELECT is(jsonb_array_length(chatrel.me() #> '{groups,0,members}'), 50, 'with a first page of its members');
SELECT is(chatrel.me() #> '{groups,0,more_members}', 'true', 'and says that there are others');

-- reacts, and cannot do more
SELECT ok(chatrel.add_reaction(1, :sale, '🎉'), 'a reader reacts');
SELECT ok(NOT chatrel.add_reaction(1, :sale, '🎉'), 'once');
SELECT ok(chatrel.add_reaction(1, :sale, '🎉', 40001), 'as others do');
SELECT is(chatrel.get_message(1, :sale) -> 'reactions', '{"🎉": 2}', 'who are counted');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'Me too!') $$, '42501', 'group 1 does not let user 40000 send messages', 'but does not post');
SELECT throws_ok(format('SELECT chatrel.send_group_message(1, ''Me too!'', reply_to_id => %s)', :sale), '42501', NULL, 'nor reply');
SELECT throws_ok(format('SELECT chatrel.pin_message(1, %s)', :sale), '42501', NULL, 'nor pin');
SELECT throws_ok(format('SELECT chatrel.delete_message(1, %s)', :sale), '42501', NULL, 'nor delete');
SELECT throws_ok($$ SELECT chatrel.update_group(1, posting => 'everybody') $$, '42501', NULL, 'nor change that');

-- who was away catches up
SELECT chatrel.sync('now', as_user => 50000) ->> 'cursor' AS cursor \gset
SELECT chatrel.send_group_message(1, 'Thank you for coming.', as_user => 1) IS NOT NULL AS sent;
SELECT is(chatrel.sync(:'cursor', as_user => 50000) #>> '{events,0,group_message,message}', 'Thank you for coming.', 'who was away catches up');
SELECT is((SELECT unread FROM chatrel.my_groups(50000)), 3, 'with what was said since the reader came');

-- one of them becomes a moderator, and is one no more
SELECT ok(chatrel.set_role(1, 40000, 'moderator', 1), 'a reader is asked to help');
SELECT is((SELECT message FROM chatrel.send_group_message(1, 'Hello from me.')), 'Hello from me.', 'and posts');
SELECT ok(chatrel.set_role(1, 40000, 'member', 1), 'only for a day');
SELECT throws_ok($$ SELECT chatrel.send_group_message(1, 'Still here.') $$, '42501', NULL, 'and not after it');

-- who is rude in a reaction is banned
SELECT ok(chatrel.ban_member(1, 40001, as_user => 2), 'a reader is banned');
SELECT throws_ok('SELECT chatrel.join_group(1, 40001)', '42501', 'user 40001 is banned from group 1', 'and does not come back');
SELECT is(chatrel.get_group(1) ->> 'member_count', '50002', 'the others are counted');

-- ann gives up her account: bob owns the group
SELECT lives_ok('SELECT chatrel.delete_user(1)', 'ann gives up her account');
SELECT results_eq('SELECT username, role FROM chatrel.group_members(1, row_limit => 2)', $$ VALUES ('bob', 'owner'), ('cyd', 'member') $$, 'bob owns the group');

-- and closes it
SELECT lives_ok('SELECT chatrel.delete_group(1, 2)', 'and closes it in the end');
SELECT results_eq($$ SELECT (SELECT count(*) FROM chatrel.groups_members), (SELECT count(*) FROM chatrel.events WHERE kind = 'group_deleted') $$, 'VALUES (0::bigint, 50001::bigint)', 'of which all readers hear');

SELECT * FROM finish();
ROLLBACK;
