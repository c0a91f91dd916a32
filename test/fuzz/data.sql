-- What script/test-fuzz lets loose on: users that are mirrored from a linked table, and one of
-- everything that they can make. Roles are the server's, so they are made if they are not there.
--
--   fuzzer     user 1: has USAGE on the schema and nothing else; may become the next two
--   companion  user 2: the same
--   stranger   no user: has USAGE alone
--   backend    may act as any user, and has been granted the administrative functions
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I LOGIN', role)
	FROM unnest(ARRAY['fuzzer', 'companion', 'stranger', 'backend']) role
	WHERE to_regrole(role) IS NULL \gexec
GRANT companion, stranger TO fuzzer;

-- what RESET goes back to: nothing may take long
SELECT format('ALTER DATABASE %I SET %s = %L', current_database(), name, value)
	FROM (VALUES ('statement_timeout', '2s'), ('lock_timeout', '500ms'), ('client_min_messages', 'error')) v (name, value) \gexec

CREATE EXTENSION chatrel_search CASCADE;
GRANT USAGE ON SCHEMA chatrel TO fuzzer, companion, stranger, backend;
GRANT SET ON PARAMETER chatrel.user_id TO backend;
GRANT EXECUTE ON FUNCTION chatrel.create_user, chatrel.delete_user, chatrel.listen_all,
	chatrel.sync_all, chatrel.group_members_of, chatrel.purge_messages, chatrel.find_user,
	chatrel.rename_user, chatrel.export_user, chatrel.erase_user TO backend;

CREATE TABLE accounts (account_id bigint PRIMARY KEY, login text NOT NULL, gone boolean);
INSERT INTO accounts SELECT n, CASE n WHEN 3 THEN 'Ünïcødé ☃' WHEN 4 THEN repeat('x', 256) ELSE 'user ' || n END
	FROM generate_series(1, 40) n;
CREATE TABLE people (id integer PRIMARY KEY, username varchar(300), other uuid);
INSERT INTO people SELECT account_id, login FROM accounts;
CREATE VIEW some_view AS SELECT * FROM accounts;
CREATE TABLE parted (id bigint, username text) PARTITION BY LIST (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, people TO backend;
SELECT chatrel.link_users('accounts', 'account_id', 'login', 'gone IS NOT TRUE') AS linked \gset
UPDATE chatrel.users SET role_name = 'fuzzer' WHERE id = 1;
UPDATE chatrel.users SET role_name = 'companion' WHERE id = 2;

-- what becomes of memberships, in the order in which it happens
CREATE TABLE membership_log (id bigserial, group_id bigint, user_id bigint, was text, is_now text);
CREATE FUNCTION log_membership() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO public.membership_log (group_id, user_id, was, is_now) VALUES
		(coalesce(NEW.group_id, OLD.group_id), coalesce(NEW.user_id, OLD.user_id), OLD.role, NEW.role);
	RETURN NULL;
END $$;
CREATE TRIGGER log_membership AFTER INSERT OR DELETE OR UPDATE OF role ON chatrel.groups_members
	FOR EACH ROW EXECUTE FUNCTION log_membership();

-- every group has its creator, user 1 is in most of them, and in none of the last
SELECT count(chatrel.create_group('group ' || n, true, as_user => 1 + n % 5)) AS made FROM generate_series(1, 12) n \gset
SELECT count(chatrel.join_group(g.id, as_user => u)) AS joined
	FROM chatrel.groups g, generate_series(1, 38) u WHERE (g.id + u) % 3 > 0 AND (g.id < 12 OR u > 1) \gset
SELECT chatrel.leave_group(12, as_user => 1) AS has_left \gset
-- in some groups user 1 is above the others, and to some nobody comes without being let in
SELECT count(chatrel.set_role(m.group_id, m.user_id, CASE (m.group_id + m.user_id) % 3 WHEN 1 THEN 'owner' ELSE 'moderator' END,
		as_user => 1 + m.group_id % 5)) AS given
	FROM chatrel.groups_members m WHERE m.role = 'member' AND m.user_id < 8 AND (m.group_id + m.user_id) % 2 = 0 \gset
SELECT count(chatrel.update_group(g, visibility => CASE g % 4 WHEN 0 THEN 'private' END, join_policy => 'request',
		description => 'about ' || g, as_user => 1 + g % 5)) AS closed
	FROM unnest(ARRAY[4, 6, 8]) g \gset
SELECT count(chatrel.create_invite_link(g, max_uses => 5, as_user => 1 + g % 5)) AS links FROM generate_series(1, 8) g \gset
SELECT count(chatrel.request_to_join(6, as_user => u)) AS asking FROM unnest(ARRAY[33, 36]) u \gset
SELECT count(chatrel.invite(g, ARRAY[u, u + 3], as_user => 1 + g % 5)) AS invited
	FROM (VALUES (4, 2), (5, 4), (8, 4), (12, 1)) pairs (g, u) \gset
SELECT count(chatrel.ban_member(g, 20 + g, as_user => 1 + g % 5)) AS banned FROM generate_series(1, 12) g \gset
SELECT count(chatrel.direct_group(ids, as_user => 1)) AS direct FROM (VALUES (ARRAY[2]), (ARRAY[3]), (ARRAY[2, 5])) people (ids) \gset
SELECT count(chatrel.send_group_message(m.group_id, 'message ' || n || repeat(' ☃', n), as_user => m.user_id)) AS sent
	FROM chatrel.groups_members m, generate_series(1, 8) n \gset
SELECT sum(chatrel.follow_many(ids, type, as_user => a)) AS followed FROM (
	SELECT a, CASE a % 2 WHEN 0 THEN 'posts' ELSE 'name_only' END AS type, array_agg(b) AS ids
	FROM generate_series(1, 38) a, generate_series(1, 38) b WHERE a <> b AND (a * b) % 4 > 0 GROUP BY a) pairs \gset
SELECT chatrel.create_whiteboard(m.group_id, as_user => min(m.user_id)) AS whiteboard
	FROM chatrel.groups_members m, generate_series(1, 3) GROUP BY group_id, generate_series \g /dev/null
SELECT chatrel.change_whiteboard(w.id,
		jsonb_build_object('stickers', (SELECT jsonb_agg(jsonb_build_object('url', 'https://example.com/' || n, 'title', 'title ' || n))
			FROM generate_series(1, w.id) n)), as_user => (SELECT min(user_id) FROM chatrel.groups_members m WHERE m.group_id = w.group_id))
	FROM chatrel.whiteboards w \g /dev/null
DELETE FROM accounts WHERE account_id > 38;
ANALYZE;
