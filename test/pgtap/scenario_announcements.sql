-- The recipe "An announcement group" of doc/recipes.md: a few write, and many read. Here they are
-- 200, each of whom comes by itself; what fifty thousand change is in groups.sql.
\ir scenario.psql
SELECT plan(48);

-- ann opens a group for the announcements of her shop, bob helps her
SELECT (chatrel.create_user('ann')).id AS ann, (chatrel.create_user('bob')).id AS bob, (chatrel.create_user('cyd')).id AS cyd \gset
SET chatrel.user_id = :ann;
SELECT id AS news, creator_id = :ann AS opened FROM chatrel.create_group('shop news', true, description => 'what is new in the shop') \gset
SELECT ok(:'opened', 'ann opens a group');
SELECT ok(chatrel.join_group(:news, :bob) AND chatrel.join_group(:news, :cyd), 'bob and cyd join');
SELECT ok(chatrel.set_role(:news, :bob, 'moderator'), 'bob helps her');
SELECT is((SELECT posting FROM chatrel.update_group(:news, posting => 'moderators')), 'moderators', 'only they post');

-- and many read
CREATE TEMP TABLE readers AS SELECT u.id, n FROM generate_series(1, 200) n, chatrel.create_user('reader ' || n) u;
SELECT is((SELECT count(*) FROM readers WHERE chatrel.join_group(:news, id)), 200::bigint, 'and many read');
SELECT id AS reader FROM readers WHERE n = 100 \gset
SELECT id AS rude FROM readers WHERE n = 101 \gset
SELECT id AS away FROM readers WHERE n = 199 \gset
SELECT is((SELECT member_count FROM chatrel.find_groups('shop')), 203::bigint, 'who looks for it sees how many there are');
SELECT is(chatrel.get_group(:news) ->> 'member_count', '203', 'and so does a member');
SELECT is(jsonb_array_length(chatrel.get_group(:news) -> 'members'), 50, 'of the members there is a first page');
SELECT is(chatrel.get_group(:news, 2) -> 'members', format('[{"id": %s, "username": "ann"}, {"id": %s, "username": "bob"}]', :ann, :bob)::jsonb, 'as long as asked for');
SELECT is(chatrel.get_group(:news) ->> 'posting', 'moderators', 'a client sees that it need not offer to write');
SELECT results_eq(format('SELECT username, role FROM chatrel.group_members(%s, row_limit => 4)', :news), $$ VALUES ('ann', 'owner'), ('bob', 'moderator'), ('cyd', 'member'), ('reader 1', 'member') $$, 'the roles are in the list of members');
SELECT max(position) AS end_of_page FROM chatrel.group_members(:news, row_limit => 193) \gset
SELECT results_eq(format('SELECT username FROM chatrel.group_members(%s, %s)', :news, :end_of_page), $$ SELECT 'reader ' || n FROM generate_series(191, 200) n $$, 'which goes on to its end');

-- they announce
SELECT id AS opening FROM chatrel.send_group_message(:news, 'We open at nine.') \gset
SELECT id AS sale FROM chatrel.send_group_message(:news, 'Everything is cheaper on Friday.', as_user => :bob) \gset
SELECT ok(chatrel.pin_message(:news, :opening, :bob), 'bob pins the opening hours');

-- a reader reads
SET chatrel.user_id = :reader;
SELECT results_eq('SELECT name, unread, last_message FROM chatrel.my_groups()', $$ VALUES ('shop news', 2, 'Everything is cheaper on Friday.') $$, 'a reader has two unread announcements');
SELECT results_eq('SELECT unread, groups FROM chatrel.unread_counts()', 'VALUES (2::bigint, 1::bigint)', 'in one group');
SELECT results_eq(format('SELECT message FROM chatrel.group_messages(%s)', :news), ARRAY['Everything is cheaper on Friday.', 'We open at nine.'], 'reads them');
SELECT ok(chatrel.mark_read(:news) IS NOT NULL, 'says so');
SELECT is((SELECT unread FROM chatrel.my_groups()), 0, 'and has read them');
SELECT results_eq(format('SELECT message FROM chatrel.pinned_messages(%s)', :news), ARRAY['We open at nine.'], 'what is pinned is at hand');
SELECT is(chatrel.me() #>> '{groups,0,name}', 'shop news', 'the login document has the group');
SELECT is(jsonb_array_length(chatrel.me() #> '{groups,0,members}'), 50, 'with a first page of its members');
SELECT is(chatrel.me() #> '{groups,0,more_members}', 'true', 'and says that there are others');

-- reacts, and cannot do more
SELECT ok(chatrel.add_reaction(:news, :sale, '🎉'), 'a reader reacts');
SELECT ok(NOT chatrel.add_reaction(:news, :sale, '🎉'), 'once');
SELECT ok(chatrel.add_reaction(:news, :sale, '🎉', :rude), 'as others do');
SELECT is(chatrel.get_message(:news, :sale) -> 'reactions', '{"🎉": 2}', 'who are counted');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''Me too!'')', :news), '42501', format('group %s does not let user %s send messages', :news, :reader), 'but does not post');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''Me too!'', reply_to_id => %s)', :news, :sale), '42501', NULL, 'nor reply');
SELECT throws_ok(format('SELECT chatrel.pin_message(%s, %s)', :news, :sale), '42501', NULL, 'nor pin');
SELECT throws_ok(format('SELECT chatrel.delete_message(%s, %s)', :news, :sale), '42501', NULL, 'nor delete');
SELECT throws_ok(format('SELECT chatrel.update_group(%s, posting => ''everybody'')', :news), '42501', NULL, 'nor change that');

-- who was away catches up
SELECT chatrel.sync('now', as_user => :away) ->> 'cursor' AS cursor \gset
SELECT isnt((chatrel.send_group_message(:news, 'Thank you for coming.', as_user => :ann)).id, NULL, 'ann announces once more');
SELECT is(chatrel.sync(:'cursor', as_user => :away) #>> '{events,0,group_message,message}', 'Thank you for coming.', 'who was away catches up');
SELECT is((SELECT unread FROM chatrel.my_groups(:away)), 3, 'with what was said since the reader came');

-- one of them becomes a moderator, and is one no more
SELECT ok(chatrel.set_role(:news, :reader, 'moderator', :ann), 'a reader is asked to help');
SELECT is((SELECT message FROM chatrel.send_group_message(:news, 'Hello from me.')), 'Hello from me.', 'and posts');
SELECT ok(chatrel.set_role(:news, :reader, 'member', :ann), 'only for a day');
SELECT throws_ok(format('SELECT chatrel.send_group_message(%s, ''Still here.'')', :news), '42501', NULL, 'and not after it');

-- who is rude in a reaction is banned
SELECT ok(chatrel.ban_member(:news, :rude, as_user => :bob), 'a reader is banned');
SELECT throws_ok(format('SELECT chatrel.join_group(%s, %s)', :news, :rude), '42501', format('user %s is banned from group %s', :rude, :news), 'and does not come back');
SELECT is(chatrel.get_group(:news) ->> 'member_count', '202', 'the others are counted');

-- ann gives up her account: bob owns the group
SELECT lives_ok(format('SELECT chatrel.delete_user(%s)', :ann), 'ann gives up her account');
SELECT results_eq(format('SELECT username, role FROM chatrel.group_members(%s, row_limit => 2)', :news), $$ VALUES ('bob', 'owner'), ('cyd', 'member') $$, 'bob owns the group');

-- and closes it
SELECT lives_ok(format('SELECT chatrel.delete_group(%s, %s)', :news, :bob), 'and closes it in the end');
SELECT throws_ok(format('SELECT chatrel.get_group(%s)', :news), 'P0002', format('group %s does not exist', :news), 'it is there no more');
CREATE FUNCTION pg_temp.hears_the_end(reader bigint, news bigint) RETURNS boolean LANGUAGE sql AS $$
	SELECT jsonb_path_exists(chatrel.sync(as_user => reader), '$.events[*].group_deleted ? (@.group_id == $news)', jsonb_build_object('news', news)) $$;
SELECT is((SELECT count(*) FROM readers WHERE pg_temp.hears_the_end(id, :news)), 199::bigint, 'of which all readers hear');
SELECT ok(pg_temp.hears_the_end(:bob, :news) AND pg_temp.hears_the_end(:cyd, :news), 'and the others');
SELECT ok(NOT pg_temp.hears_the_end(:rude, :news), 'but not who was banned');

SELECT * FROM finish();
