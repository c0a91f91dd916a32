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
-- none where there was a block, or a mute
SELECT 'a mention has more than one event: ' || t::text
	FROM chatrel.groups_messages t CROSS JOIN unnest(t.mentions) u (id)
	WHERE (SELECT count(*) FROM chatrel.events e WHERE e.kind = 'mentioned' AND e.message_id = t.id AND e.recipient_id = u.id) > 1;
SELECT 'a request in spite of a block: ' || q::text
	FROM chatrel.follow_requests q JOIN chatrel.blocks b
	ON (b.blocker_id, b.blocked_id) IN ((q.follower_id, q.followed_id), (q.followed_id, q.follower_id));
SELECT 'a reaction to a deleted message: ' || r::text
	FROM chatrel.message_reactions r JOIN chatrel.groups_messages t ON (t.group_id, t.id) = (r.group_id, r.message_id) WHERE t.deleted_at IS NOT NULL;
SELECT 'a deleted message is pinned: ' || p::text
	FROM chatrel.pinned_messages p JOIN chatrel.groups_messages t ON (t.group_id, t.id) = (p.group_id, p.message_id) WHERE t.deleted_at IS NOT NULL;
SELECT 'a member has read what is to come: ' || k::text
	FROM chatrel.read_marks k WHERE k.message_id > (SELECT last_value FROM chatrel.event_ids);

SELECT 'member counters of group ' || g.id || ': ' || c.members || ', and not ' || m.n
	FROM chatrel.groups g
	CROSS JOIN LATERAL (SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters WHERE group_id = g.id) c (members)
	CROSS JOIN LATERAL (SELECT count(*) FROM chatrel.groups_members WHERE group_id = g.id) m (n)
	WHERE c.members <> m.n;
SELECT 'a counter of no group: ' || c::text
	FROM chatrel.groups_counters c WHERE c.members <> 0 AND NOT EXISTS (SELECT FROM chatrel.groups g WHERE g.id = c.group_id);
SELECT 'an owner has gone and left members without one: ' || m::text
	FROM chatrel.groups_members m
	WHERE NOT EXISTS (SELECT FROM chatrel.groups_members o WHERE o.group_id = m.group_id AND o.role = 'owner')
		AND EXISTS (SELECT FROM membership_log l WHERE l.group_id = m.group_id AND l.was = 'owner' AND l.id >
			(SELECT max(id) FROM membership_log j WHERE j.group_id = m.group_id AND j.user_id = m.user_id AND j.was IS NULL));
SELECT 'a direct conversation has a member that is none of its people, or is above others: ' || m::text
	FROM chatrel.groups_members m JOIN chatrel.groups g ON g.id = m.group_id
	WHERE g.visibility = 'direct' AND (m.user_id <> ALL (g.direct_key) OR m.role <> 'member');
-- who comes back is not in it before somebody calls for it
SELECT 'a direct conversation lacks one of its people: ' || g::text
	FROM chatrel.groups g CROSS JOIN unnest(g.direct_key) p (id)
	WHERE NOT EXISTS (SELECT FROM chatrel.groups_members m WHERE m.group_id = g.id AND m.user_id = p.id)
		AND NOT EXISTS (SELECT FROM membership_log l WHERE l.group_id = g.id AND l.user_id = p.id AND l.is_now IS NULL);
SELECT 'a member is banned: ' || b::text
	FROM chatrel.groups_bans b JOIN chatrel.groups_members m USING (group_id, user_id) WHERE b.until IS NULL OR b.until > now();
SELECT 'a deleted user is invited, or asks to join: ' || u::text
	FROM chatrel.users u WHERE u.deleted_at IS NOT NULL
		AND (EXISTS (SELECT FROM chatrel.groups_invitations i WHERE i.user_id = u.id)
			OR EXISTS (SELECT FROM chatrel.groups_join_requests r WHERE r.user_id = u.id));
SELECT 'a link was used too often: ' || l::text FROM chatrel.groups_links l WHERE l.uses > l.max_uses;

SELECT 'a deleted user is in a group: ' || m::text
	FROM chatrel.groups_members m JOIN chatrel.users u ON u.id = m.user_id WHERE u.deleted_at IS NOT NULL;
SELECT 'a deleted user follows or is followed: ' || r::text
	FROM chatrel.relationships r JOIN chatrel.users u ON u.id IN (r.follower_id, r.followed_id) WHERE u.deleted_at IS NOT NULL;
