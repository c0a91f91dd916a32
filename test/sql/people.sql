-- Blocks, mutes, protected users and their requests, settings; finding, renaming,
-- exporting and erasing users: their edges and their errors.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION chatrel;
RESET client_min_messages;

BEGIN;
-- ids that do not depend on what other tests have left
INSERT INTO chatrel.users (id, username)
	SELECT 9000 + n, 'person' || n FROM generate_series(1, 9) n;
ALTER SEQUENCE chatrel.relationships_id_seq RESTART 1;
ALTER SEQUENCE chatrel.follow_requests_id_seq RESTART 1;
CREATE FUNCTION pg_temp.graph() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('; ',
		(SELECT string_agg(format('%s>%s %s', follower_id - 9000, followed_id - 9000, follow_type), ', '
			ORDER BY follower_id, followed_id) FROM chatrel.relationships),
		'asked ' || (SELECT string_agg(format('%s>%s %s', follower_id - 9000, followed_id - 9000, follow_type), ', '
			ORDER BY follower_id, followed_id) FROM chatrel.follow_requests),
		'blocked ' || (SELECT string_agg(format('%s>%s', blocker_id - 9000, blocked_id - 9000), ', '
			ORDER BY blocker_id, blocked_id) FROM chatrel.blocks)) $$;
CREATE FUNCTION pg_temp.heard() RETURNS SETOF text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM chatrel.events RETURNING *)
	SELECT format('%s for %s by %s %s', kind, recipient_id - 9000, actor_id - 9000, detail) FROM gone
	WHERE kind <> 'followed' ORDER BY id $$;
SET LOCAL chatrel.user_id = 9001;
SAVEPOINT clean;

-- a block ends follows and requests of both sides, and says whether it is new
SELECT chatrel.follow(9002), chatrel.follow(9001, as_user => 9002), chatrel.follow(9003);
SELECT pg_temp.heard();
SELECT chatrel.block(9002), chatrel.block(9002), chatrel.block(9003), pg_temp.graph();
-- nobody hears of it
SELECT pg_temp.heard();
-- neither side may follow, and the message is the same for both
SAVEPOINT s;
SELECT chatrel.follow(9002);
ROLLBACK TO s;
SELECT chatrel.follow(9001, as_user => 9002);
ROLLBACK TO s;
SELECT chatrel.follow_many('{9004,9002,9005}');
ROLLBACK TO s;
SELECT chatrel.follow_many('{9004,9001}', as_user => 9002);
ROLLBACK TO s;
SELECT chatrel.follow_many('{9004,9005}');
-- a user may block one who has blocked it
SELECT chatrel.block(9001, as_user => 9002), pg_temp.graph();
SELECT chatrel.unblock(9002), chatrel.unblock(9002), chatrel.unblock(9001), pg_temp.graph();
SELECT chatrel.follow(9002);
ROLLBACK TO s;
SELECT chatrel.unblock(9002), chatrel.unblock(9001, as_user => 9002), chatrel.follow(9002), pg_temp.graph();
SELECT chatrel.unblock(9003);

-- the list: by id, in pages
SELECT chatrel.block(9000 + n) FROM generate_series(6, 9) n;
SELECT user_id, username, blocked_at = now() AS now FROM chatrel.blocked();
SELECT user_id FROM chatrel.blocked(row_limit => 2);
SELECT user_id FROM chatrel.blocked(9007, 2);
SELECT user_id FROM chatrel.blocked(9009);
SELECT user_id FROM chatrel.blocked(as_user => 9002);
SELECT * FROM chatrel.relationship_to('{9002,9006}');
-- who is blocked, or blocks, is not suggested
SELECT chatrel.follow_many('{9003,9006,9007}', as_user => 9002), chatrel.block(9001, as_user => 9003);
SELECT id FROM chatrel.suggest_follows();
SELECT chatrel.unblock(9000 + n) FROM generate_series(6, 9) n;
SELECT id FROM chatrel.suggest_follows();
ROLLBACK TO clean;
SAVEPOINT s;

-- errors
SELECT chatrel.block(9001);
ROLLBACK TO s;
SELECT chatrel.block(1);
ROLLBACK TO s;
SELECT chatrel.block(NULL);
ROLLBACK TO s;
SELECT chatrel.block(9002, as_user => 1);
ROLLBACK TO s;
SELECT chatrel.unblock(1);
ROLLBACK TO s;
SELECT * FROM chatrel.blocked(as_user => 1);
ROLLBACK TO s;
SELECT * FROM chatrel.blocked(row_limit => 0);
ROLLBACK TO s;

-- mutes
SELECT chatrel.mute_user(9002), chatrel.mute_user(9002), chatrel.mute_user(9002, '3000-01-01'),
	chatrel.mute_user(9002, '3000-01-01'), chatrel.mute_user(9003);
SELECT user_id, username, until IS NULL AS for_ever, muted_at = now() AS now FROM chatrel.muted_users();
SELECT user_id FROM chatrel.muted_users(9002);
SELECT user_id, muted FROM chatrel.relationship_to('{9002,9004}');
-- one that has ended counts for nothing, and is made anew
UPDATE chatrel.user_mutes SET until = now() - interval '1 s', created_at = '2001-01-01' WHERE muted_id = 9002;
SELECT user_id FROM chatrel.muted_users();
SELECT chatrel.unmute_user(9002), chatrel.unmute_user(9002), chatrel.unmute_user(9003), chatrel.unmute_user(9001);
SELECT chatrel.mute_user(9002, '3000-01-01');
UPDATE chatrel.user_mutes SET until = now() - interval '1 s', created_at = '2001-01-01';
SELECT chatrel.mute_user(9002);
SELECT user_id, until, muted_at = now() AS now FROM chatrel.muted_users();
ROLLBACK TO s;
SELECT chatrel.mute_user(9001);
ROLLBACK TO s;
SELECT chatrel.mute_user(1);
ROLLBACK TO s;
SELECT chatrel.mute_user(9002, now());
ROLLBACK TO s;
SELECT chatrel.mute_user(9002, 'infinity');
ROLLBACK TO s;
SELECT chatrel.unmute_user(1);
ROLLBACK TO s;

-- settings
SELECT chatrel.user_settings(), (SELECT count(*) FROM chatrel.user_settings) AS rows;
SELECT chatrel.set_protected(false), chatrel.set_direct_messages('everybody'), (SELECT count(*) FROM chatrel.user_settings) AS rows;
SELECT chatrel.set_protected(true), chatrel.set_protected(true), chatrel.set_direct_messages('friends'), chatrel.user_settings();
SELECT pg_temp.heard();
SELECT chatrel.set_protected(false), chatrel.user_settings(), chatrel.user_settings(9002);
ROLLBACK TO s;
SELECT chatrel.set_protected(NULL);
ROLLBACK TO s;
SELECT chatrel.set_direct_messages('enemies');
ROLLBACK TO s;
SELECT chatrel.set_direct_messages(NULL);
ROLLBACK TO s;
SELECT chatrel.set_protected(true, as_user => 1);
ROLLBACK TO s;
SELECT chatrel.user_settings(1);
ROLLBACK TO s;

-- who wants to follow a protected user asks, and null says so
SELECT chatrel.follow(9005, as_user => 9006), chatrel.set_protected(true, as_user => 9005);
SELECT pg_temp.heard();
SELECT chatrel.follow(9005), chatrel.follow(9005), chatrel.is_following(9005), pg_temp.graph();
SELECT pg_temp.heard();
-- asked in another way: once more
SELECT chatrel.follow(9005, 'name_only'), pg_temp.graph();
SELECT pg_temp.heard();
SELECT user_id, following, requested FROM chatrel.relationship_to('{9005,9006}');
-- who follows already stays, and asks to do it in another way
SELECT chatrel.follow(9005, as_user => 9006), chatrel.follow(9005, 'news', as_user => 9006), pg_temp.graph();
-- and no more when it is content
SELECT chatrel.follow(9005, as_user => 9006), pg_temp.graph();
SELECT chatrel.follow(9005, 'news', as_user => 9006);
-- many: those who are protected are asked, the others followed
SELECT chatrel.follow_many('{9006,9005,9001}', as_user => 9004), chatrel.follow_many('{9006,9005,9001}', as_user => 9004), pg_temp.graph();
SELECT pg_temp.heard();
-- the list, oldest first
SELECT follower_id, username, follow_type, requested_at = now() AS now, id FROM chatrel.follow_requests(as_user => 9005);
SELECT follower_id FROM chatrel.follow_requests(row_limit => 1, as_user => 9005);
SELECT follower_id FROM chatrel.follow_requests((SELECT min(id) FROM chatrel.follow_requests(as_user => 9005)), as_user => 9005);
SELECT count(*) FROM chatrel.follow_requests();
-- accepted, rejected, and decided already
SELECT chatrel.accept_follow(9001, as_user => 9005), chatrel.accept_follow(9001, as_user => 9005), chatrel.accept_follow(9006, as_user => 9005);
SELECT chatrel.reject_follow(9004, as_user => 9005), chatrel.reject_follow(9004, as_user => 9005), chatrel.reject_follow(9005, as_user => 9005), pg_temp.graph();
SELECT kind, recipient_id, actor_id, detail FROM chatrel.events ORDER BY id;
SELECT count(*) FROM chatrel.verify_follow_counts();
-- withdrawn
SELECT pg_temp.heard();
SELECT chatrel.follow(9005, as_user => 9004), chatrel.unfollow(9005, as_user => 9004), chatrel.unfollow(9005, as_user => 9004), chatrel.accept_follow(9004, as_user => 9005);
SELECT pg_temp.heard();
-- a follower that is removed is not told, and what it asked besides goes too
SELECT chatrel.follow(9005, 'more', as_user => 9006), pg_temp.graph();
SELECT chatrel.remove_follower(9006, as_user => 9005), chatrel.remove_follower(9006, as_user => 9005), chatrel.remove_follower(9005, as_user => 9005), pg_temp.graph();
SELECT pg_temp.heard();
-- a block takes requests of both sides
SELECT chatrel.follow(9005, as_user => 9004), chatrel.set_protected(true, as_user => 9004), chatrel.follow(9004, as_user => 9005), pg_temp.graph();
SELECT chatrel.block(9004, as_user => 9005), pg_temp.graph();
SELECT chatrel.accept_follow(9004, as_user => 9005), chatrel.accept_follow(9005, as_user => 9004);
SELECT chatrel.unblock(9004, as_user => 9005);
-- a request outlives the protection, until the follower does not need it or it is decided
SELECT chatrel.follow(9005, as_user => 9004), chatrel.follow(9005, as_user => 9007), chatrel.set_protected(false, as_user => 9005), pg_temp.graph();
SELECT chatrel.follow(9005, as_user => 9004), chatrel.accept_follow(9007, as_user => 9005), pg_temp.graph();
SELECT count(*) FROM chatrel.verify_follow_counts();
SELECT chatrel.accept_follow(1);
ROLLBACK TO s;
SELECT chatrel.reject_follow(NULL);
ROLLBACK TO s;
SELECT chatrel.remove_follower(1);
ROLLBACK TO s;

-- may_view_posts
SELECT chatrel.follow(9002), chatrel.follow(9003, 'name_only');
SELECT chatrel.may_view_posts(9001), chatrel.may_view_posts(9002), chatrel.may_view_posts(9003), chatrel.may_view_posts(9001, as_user => 9002), chatrel.may_view_posts(NULL), chatrel.may_view_posts(1);
SELECT chatrel.block(9001, as_user => 9002), chatrel.may_view_posts(9002);
RESET chatrel.user_id;
SELECT chatrel.may_view_posts(9001), chatrel.may_view_posts(NULL), chatrel.may_view_posts(9001, as_user => 9001);
ROLLBACK TO s;
SET LOCAL chatrel.user_id = 9001;

-- of mentions by whom one has muted, or where there is a block, nobody hears
INSERT INTO chatrel.groups (id, name, creator_id) VALUES (9001, 'people', 9001);
SELECT count(chatrel.join_group(9001, as_user => 9000 + n)) FROM generate_series(1, 6) n;
SELECT chatrel.mute_user(9001, as_user => 9002), chatrel.block(9001, as_user => 9003), chatrel.block(9004),
	chatrel.mute_user(9001, '3000-01-01', as_user => 9005);
UPDATE chatrel.user_mutes SET until = now() - interval '1 s' WHERE user_id = 9005;
SELECT (chatrel.send_group_message(9001, 'all of you', mentions => '{9002,9003,9004,9005,9006}')).mentions;
SELECT recipient_id FROM chatrel.events WHERE kind = 'mentioned' ORDER BY id;
SELECT unread, unread_mentions FROM chatrel.my_groups(9002);
SELECT unread, unread_mentions FROM chatrel.my_groups(9005);
SELECT (chatrel.send_group_message(9001, 'only you', mentions => '{9002}')).mentions;
SELECT recipient_id FROM chatrel.events WHERE kind = 'mentioned' ORDER BY id;
ROLLBACK TO s;

-- find_user
SELECT id, username, deleted_at FROM chatrel.find_user('person2');
SELECT chatrel.find_user('Person2') IS NULL AS other_case, chatrel.find_user('') IS NULL AS empty;
SELECT chatrel.delete_user(9002), chatrel.find_user('person2') IS NULL AS deleted;
SELECT chatrel.find_user(NULL);
ROLLBACK TO s;

-- rename_user: the groups and the user hear of it
SELECT chatrel.join_group(g.id, as_user => 9002) FROM chatrel.create_group('renaming') g;
DELETE FROM chatrel.events;
SELECT chatrel.rename_user(9002, 'somebody'), chatrel.rename_user(9002, 'somebody');
SELECT kind, group_id IS NOT NULL AS to_group, recipient_id, actor_id, user_id, detail FROM chatrel.events ORDER BY id;
SELECT id, username FROM chatrel.users WHERE id = 9002;
SELECT chatrel.rename_user(9003, 'person2'), chatrel.rename_user(9004, 'person3');
SELECT chatrel.rename_user(9004, 'somebody');
ROLLBACK TO s;
SELECT chatrel.rename_user(1, 'nobody');
ROLLBACK TO s;
SELECT chatrel.rename_user(9002, '');
ROLLBACK TO s;
SELECT chatrel.rename_user(9002, repeat('x', 1 + current_setting('chatrel.max_name_length')::integer));
ROLLBACK TO s;
SELECT chatrel.rename_user(NULL, 'x');
ROLLBACK TO s;
SELECT chatrel.delete_user(9002), chatrel.rename_user(9003, 'person2');
SELECT chatrel.rename_user(9002, 'ghost');
ROLLBACK TO s;

-- delete_user takes all of it, on both sides
SELECT chatrel.block(9002), chatrel.block(9001, as_user => 9003), chatrel.mute_user(9002), chatrel.mute_user(9001, as_user => 9003),
	chatrel.set_protected(true), chatrel.follow(9001, as_user => 9004), chatrel.set_protected(true, as_user => 9005), chatrel.follow(9005);
SELECT chatrel.delete_user(9001);
SELECT pg_temp.graph(), (SELECT count(*) FROM chatrel.user_mutes) AS mutes, (SELECT array_agg(user_id) FROM chatrel.user_settings) AS settings;
ROLLBACK TO s;

-- triggers that suppress what must be done
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.blocks FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
SAVEPOINT t;
SELECT chatrel.block(9002);
ROLLBACK TO t;
DROP TRIGGER suppress ON chatrel.blocks;
SELECT chatrel.block(9002);
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.blocks FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
SAVEPOINT t;
SELECT chatrel.unblock(9002);
ROLLBACK TO t;
SELECT chatrel.delete_user(9002);
ROLLBACK TO s;
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.follow_requests FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
CREATE TRIGGER suppress BEFORE INSERT ON chatrel.user_mutes FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.user_settings FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
CREATE TRIGGER suppress BEFORE UPDATE OF username ON chatrel.users FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
SAVEPOINT t;
SELECT chatrel.set_protected(true, as_user => 9005);
ROLLBACK TO t;
ALTER TABLE chatrel.user_settings DISABLE TRIGGER suppress;
SELECT chatrel.set_protected(true, as_user => 9005);
ALTER TABLE chatrel.user_settings ENABLE TRIGGER suppress;
SAVEPOINT t;
SELECT chatrel.delete_user(9005);
ROLLBACK TO t;
SELECT chatrel.follow(9005);
ROLLBACK TO t;
SELECT chatrel.mute_user(9002);
ROLLBACK TO t;
SELECT chatrel.set_protected(true);
ROLLBACK TO t;
SELECT chatrel.rename_user(9002, 'other');
ROLLBACK TO t;
SELECT chatrel.erase_user(9002);
ROLLBACK TO s;

-- export_user and erase_user
INSERT INTO chatrel.groups (id, name, creator_id) VALUES (9001, 'talk', 9001);
SELECT count(chatrel.join_group(9001, as_user => 9000 + n)) FROM generate_series(1, 3) n;
UPDATE chatrel.groups_members SET role = 'owner';
ALTER SEQUENCE chatrel.event_ids RESTART 90000;
SELECT count(chatrel.send_group_message(9001, text, client_key => key, mentions => mentions, metadata => metadata)) FROM (VALUES
	('my address is here', 'first', NULL::bigint[], NULL::jsonb), ('and more', NULL, '{9002}', '{"place": "home"}'), ('deleted by myself', 'third', NULL, NULL)) m (text, key, mentions, metadata);
SELECT id IS NOT NULL AS sent FROM chatrel.send_group_message(9001, 'hello', mentions => '{9001}', as_user => 9002);
SELECT id AS others FROM chatrel.groups_messages WHERE sender_id = 9002 \gset
SELECT min(id) AS first, max(id) AS third FROM chatrel.groups_messages WHERE sender_id = 9001 \gset
SELECT message FROM chatrel.edit_message(9001, :first, 'my address was here');
SELECT chatrel.delete_message(9001, :third), chatrel.add_reaction(9001, :others, 'my word'), chatrel.add_reaction(9001, :first, 'theirs', as_user => 9002),
	chatrel.pin_message(9001, :first, as_user => 9002), chatrel.mark_read(9001) IS NOT NULL AS read;
SELECT chatrel.follow(9002), chatrel.follow(9001, 'fans', as_user => 9003), chatrel.set_protected(true), chatrel.follow(9001, as_user => 9004),
	chatrel.block(9005), chatrel.block(9001, as_user => 9006), chatrel.mute_user(9007), chatrel.mute_user(9001, as_user => 9008);
SELECT kind, document - 'created_at' - 'joined_at' - 'updated_at' - 'datetime' - 'edited_at' - 'deleted_at' - 'marked_at'
	- 'id' - 'message_id' AS document FROM chatrel.export_user(9001);
SELECT DISTINCT jsonb_typeof(document -> 'created_at') FROM chatrel.export_user(9001) WHERE kind IN ('user', 'block', 'following');
SELECT chatrel.export_user(1);
ROLLBACK TO s;
SELECT chatrel.export_user(NULL);
ROLLBACK TO s;

-- erase_user: what remains
INSERT INTO chatrel.groups (id, name, creator_id) VALUES (9001, 'talk', 9001);
SELECT count(chatrel.join_group(9001, as_user => 9000 + n)) FROM generate_series(1, 3) n;
UPDATE chatrel.groups_members SET role = 'owner';
SELECT count(chatrel.send_group_message(9001, text, client_key => key, mentions => mentions, metadata => metadata)) FROM (VALUES
	('secret one', 'secret key', NULL::bigint[], NULL::jsonb), ('secret two', NULL, '{9002}', '{"secret": "place"}'), ('secret three', 'secret third', NULL, NULL)) m (text, key, mentions, metadata);
SELECT min(id) AS first, max(id) AS third FROM chatrel.groups_messages WHERE sender_id = 9001 \gset
SELECT id IS NOT NULL AS answered FROM chatrel.send_group_message(9001, 'hello', reply_to_id => :first, as_user => 9002);
SELECT id AS others FROM chatrel.groups_messages WHERE sender_id = 9002 \gset
SELECT message FROM chatrel.edit_message(9001, :first, 'secret edit');
SELECT chatrel.delete_message(9001, :third), chatrel.add_reaction(9001, :others, 'secret word'), chatrel.add_reaction(9001, :others, 'kept', as_user => 9003),
	chatrel.add_reaction(9001, :first, 'theirs', as_user => 9002), chatrel.pin_message(9001, :first, as_user => 9002);
SELECT chatrel.follow(9002), chatrel.follow(9001, as_user => 9003), chatrel.rename_user(9001, 'secret name');
SELECT max(id) AS before FROM chatrel.events \gset
SELECT chatrel.erase_user(9001);
SELECT id, username, role_name, deleted_at = now() AS now FROM chatrel.users WHERE id = 9001;
SELECT sender_id, message, mentions, metadata, client_key, deleted_at IS NOT NULL AS deleted, reply_to_id = :first AS answers FROM chatrel.groups_messages ORDER BY id;
SELECT user_id, reaction FROM chatrel.message_reactions;
SELECT count(*) AS pins FROM chatrel.pinned_messages;
SELECT kind, actor_id, message_id - :first AS message, detail FROM chatrel.events WHERE id > :before ORDER BY id;
-- nothing that is kept has its name, or its words
SELECT (t)::text FROM chatrel.events t WHERE (t)::text ~ 'secret|person1';
SELECT document FROM chatrel.export_user(9001) WHERE document::text ~ 'secret|person1';
-- again: nothing new
SELECT max(id) AS before FROM chatrel.events \gset
SELECT chatrel.erase_user(9001);
SELECT count(*) AS events FROM chatrel.events WHERE id > :before;
-- who was deleted before, and one of the same name is there
SELECT chatrel.delete_user(9002), chatrel.rename_user(9003, 'person2'), chatrel.rename_user(9004, 'deleted user 9002');
SELECT chatrel.erase_user(9002);
SELECT id, username FROM chatrel.users WHERE id BETWEEN 9001 AND 9004 ORDER BY id;
SELECT chatrel.erase_user(1);
ROLLBACK TO s;
SELECT chatrel.erase_user(NULL);
ROLLBACK TO s;

-- a linked user is deleted in its own table first; renaming is that table's too
SAVEPOINT t;
CREATE TABLE accounts (id bigint PRIMARY KEY, username text NOT NULL);
INSERT INTO accounts SELECT id, username FROM chatrel.users WHERE deleted_at IS NULL;
SELECT chatrel.link_users('accounts') > 0 AS linked;
SELECT chatrel.join_group(g.id, as_user => 9002) FROM chatrel.create_group('linked') g;
DELETE FROM chatrel.events;
UPDATE accounts SET username = 'renamed' WHERE id = 9002;
SELECT kind, group_id IS NOT NULL AS to_group, recipient_id, user_id, detail FROM chatrel.events ORDER BY id;
ALTER TABLE accounts DISABLE TRIGGER USER;
UPDATE accounts SET username = 'drifted' WHERE id = 9002;
ALTER TABLE accounts ENABLE TRIGGER USER;
SELECT user_id, problem FROM chatrel.verify_users(true);
SELECT kind, recipient_id, detail FROM chatrel.events WHERE recipient_id IS NOT NULL ORDER BY id;
SAVEPOINT u;
SELECT chatrel.rename_user(9002, 'other');
ROLLBACK TO u;
SELECT chatrel.erase_user(9002);
ROLLBACK TO u;
DELETE FROM accounts WHERE id = 9002;
SELECT chatrel.erase_user(9002);
SELECT (SELECT username FROM chatrel.users WHERE id = 9002), (SELECT count(*) FROM chatrel.verify_users()) AS drift;
ROLLBACK;
DROP EXTENSION chatrel;
