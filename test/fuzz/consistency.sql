-- What must be true of a database when the fuzzing is over. Each line (psql -qAt) is something
-- that is not.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
RESET search_path;

SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database() \gexec

SELECT 'follow counters of user ' || user_id || ': ' || v::text FROM chatrel.verify_follow_counts() v;

SELECT 'follow counts of user ' || u.id || ': ' || c::text
	FROM chatrel.users u, chatrel.follow_counts(u.id, as_user => (SELECT min(id) FROM chatrel.users WHERE deleted_at IS NULL)) c
	WHERE u.deleted_at IS NULL AND (c.following <> (SELECT count(*) FROM chatrel.relationships WHERE follower_id = u.id)
		OR c.followers <> (SELECT count(*) FROM chatrel.relationships WHERE followed_id = u.id));

-- every foreign key, by a query that its trigger does not make
SELECT format('SELECT %L || t::text FROM %s t WHERE (%s) IS NOT NULL AND NOT EXISTS (SELECT FROM %s r WHERE (%s) = (%s))',
		format('foreign key %s: ', conname), conrelid::regclass,
		(SELECT string_agg(format('t.%I', attname), ', ' ORDER BY n) FROM unnest(conkey) WITH ORDINALITY k (key, n)
			JOIN pg_attribute ON attrelid = conrelid AND attnum = key),
		confrelid::regclass,
		(SELECT string_agg(format('r.%I', attname), ', ' ORDER BY n) FROM unnest(confkey) WITH ORDINALITY k (key, n)
			JOIN pg_attribute ON attrelid = confrelid AND attnum = key),
		(SELECT string_agg(format('t.%I', attname), ', ' ORDER BY n) FROM unnest(conkey) WITH ORDINALITY k (key, n)
			JOIN pg_attribute ON attrelid = conrelid AND attnum = key))
	FROM pg_constraint WHERE contype = 'f' AND connamespace = 'chatrel'::regnamespace \gexec

SELECT 'a text of a deleted message is left: ' || e::text
	FROM chatrel.events e JOIN chatrel.groups_messages t ON t.id = e.message_id WHERE t.deleted_at IS NOT NULL AND e.detail ? 'message';
SELECT 'a message answers one of another group: ' || t::text
	FROM chatrel.groups_messages t JOIN chatrel.groups_messages r ON r.id = t.reply_to_id WHERE r.group_id <> t.group_id;
SELECT 'a mention has no event, or more than one: ' || t::text
	FROM chatrel.groups_messages t CROSS JOIN unnest(t.mentions) u (id)
	WHERE (SELECT count(*) FROM chatrel.events e WHERE e.kind = 'mentioned' AND e.message_id = t.id AND e.recipient_id = u.id) <> 1
		AND NOT EXISTS (SELECT FROM chatrel.purges);
SELECT 'a reaction to a deleted message: ' || r::text
	FROM chatrel.message_reactions r JOIN chatrel.groups_messages t ON (t.group_id, t.id) = (r.group_id, r.message_id) WHERE t.deleted_at IS NOT NULL;
SELECT 'a deleted message is pinned: ' || p::text
	FROM chatrel.pinned_messages p JOIN chatrel.groups_messages t ON (t.group_id, t.id) = (p.group_id, p.message_id) WHERE t.deleted_at IS NOT NULL;
SELECT 'a member has read what is to come: ' || k::text
	FROM chatrel.read_marks k WHERE k.message_id > (SELECT last_value FROM chatrel.event_ids);

SELECT 'a deleted user is in a group: ' || m::text
	FROM chatrel.groups_members m JOIN chatrel.users u ON u.id = m.user_id WHERE u.deleted_at IS NOT NULL;
SELECT 'a deleted user follows or is followed: ' || r::text
	FROM chatrel.relationships r JOIN chatrel.users u ON u.id IN (r.follower_id, r.followed_id) WHERE u.deleted_at IS NOT NULL;
