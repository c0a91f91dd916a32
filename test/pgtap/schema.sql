-- The tables, keys, indexes, policies and functions that users may rely on.

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION chatrel;

SELECT plan(142);

-- the schema holds these (and what other domains have; the regression test install lists all)
SELECT has_schema('chatrel');
SELECT has_table('chatrel', name::name, 'table ' || name) FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages',
	'groups_channels', 'users_channels', 'all_channel', 'events', 'message_reactions', 'read_marks', 'pinned_messages', 'purges', 'epochs']) AS name;
SELECT has_view('chatrel', 'my_memberships', 'view my_memberships');
SELECT has_sequence('chatrel', name::name, 'sequence ' || name) FROM unnest(ARRAY['users_id_seq', 'groups_id_seq', 'groups_members_id_seq', 'event_ids', 'pinned_messages_id_seq']) AS name;

-- columns: name, type, not null, default or identity
CREATE FUNCTION pg_temp.columns_of(relation regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
			CASE attidentity WHEN 'd' THEN 'identity by default' WHEN 'a' THEN 'identity always' END,
			'default ' || pg_get_expr(adbin, adrelid))
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
		ORDER BY attnum
$$;
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.users') $$, ARRAY[
	'id bigint not null identity by default',
	'username text not null',
	'role_name name',
	'created_at timestamp with time zone not null default now()',
	'deleted_at timestamp with time zone',
	E'former_id bigint default \nCASE\n    WHEN (deleted_at IS NOT NULL) THEN id\n    ELSE NULL::bigint\nEND'], 'columns of users');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.groups') $$, ARRAY[
	'id bigint not null identity by default',
	'name text',
	'creator_id bigint not null',
	'created_at timestamp with time zone not null default now()',
	'visibility text not null default ''public''::text',
	'join_policy text not null default ''open''::text',
	'posting text not null default ''everybody''::text',
	'slow_mode interval',
	'description text',
	'metadata jsonb',
	'archived_at timestamp with time zone',
	'direct_key bigint[]'], 'columns of groups');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.groups_members') $$, ARRAY[
	'id bigint not null identity always',
	'group_id bigint not null',
	'user_id bigint not null',
	'joined_at timestamp with time zone not null default now()',
	'role text not null default ''member''::text',
	'muted_until timestamp with time zone',
	'may_send_at timestamp with time zone',
	'joined_id bigint not null default COALESCE(pg_sequence_last_value(''chatrel.event_ids''::regclass), (0)::bigint)'], 'columns of groups_members');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.groups_messages') $$, ARRAY[
	'id bigint not null default nextval(''chatrel.event_ids''::regclass)',
	'datetime timestamp with time zone not null default now()',
	'group_id bigint not null',
	'sender_id bigint not null',
	'message text',
	'xid xid8 not null default pg_current_xact_id()',
	'reply_to_id bigint', 'mentions bigint[]', 'metadata jsonb', 'client_key text',
	'edited_at timestamp with time zone', 'deleted_at timestamp with time zone'], 'columns of groups_messages');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.groups_channels') $$, ARRAY[
	'group_id bigint not null', 'channel uuid not null default gen_random_uuid()'], 'columns of groups_channels');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.users_channels') $$, ARRAY[
	'user_id bigint not null', 'channel uuid not null default gen_random_uuid()'], 'columns of users_channels');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.all_channel') $$, ARRAY[
	'only_row boolean not null default true', 'channel uuid not null default gen_random_uuid()'], 'columns of all_channel');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.events') $$, ARRAY[
	'id bigint not null default nextval(''chatrel.event_ids''::regclass)',
	'created_at timestamp with time zone not null default now()',
	'kind text not null',
	'group_id bigint', 'recipient_id bigint', 'actor_id bigint', 'user_id bigint', 'message_id bigint', 'detail jsonb',
	'xid xid8 not null default pg_current_xact_id()'], 'columns of events');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.message_reactions') $$, ARRAY[
	'group_id bigint not null', 'message_id bigint not null', 'user_id bigint not null', 'reaction text not null',
	'created_at timestamp with time zone not null default now()'], 'columns of message_reactions');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.read_marks') $$, ARRAY[
	'group_id bigint not null', 'user_id bigint not null', 'message_id bigint not null', 'late_from xid8[] not null', 'late_to xid8[] not null',
	'marked_at timestamp with time zone not null default now()'], 'columns of read_marks');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.pinned_messages') $$, ARRAY[
	'id bigint not null identity always', 'group_id bigint not null', 'message_id bigint not null', 'place smallint not null', 'pinned_by bigint not null',
	'pinned_at timestamp with time zone not null default now()'], 'columns of pinned_messages');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.my_memberships') $$, ARRAY[
	'group_id bigint', 'joined_at timestamp with time zone'], 'columns of my_memberships');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.chat_group') $$, ARRAY[
	'id bigint', 'name text', 'creator_id bigint', 'created_at timestamp with time zone', 'visibility text', 'join_policy text', 'posting text',
	'slow_mode interval', 'description text', 'metadata jsonb', 'archived_at timestamp with time zone'], 'attributes of a group');
SELECT results_eq($$ SELECT pg_temp.columns_of('chatrel.chat_message') $$, ARRAY[
	'id bigint', 'datetime timestamp with time zone', 'group_id bigint', 'sender_id bigint', 'message text',
	'reply_to_id bigint', 'mentions bigint[]', 'metadata jsonb', 'edited_at timestamp with time zone', 'deleted_at timestamp with time zone'], 'attributes of a message');

-- keys: natural ones where there are such, the column to shard by first
SELECT col_is_pk('chatrel', 'users', 'id', 'key of users');
SELECT col_is_pk('chatrel', 'groups', 'id', 'key of groups');
SELECT col_is_pk('chatrel', 'groups_members', ARRAY['group_id', 'user_id'], 'key of groups_members');
SELECT col_is_pk('chatrel', 'groups_messages', ARRAY['group_id', 'id'], 'key of groups_messages');
SELECT col_is_pk('chatrel', 'groups_channels', 'group_id', 'key of groups_channels');
SELECT col_is_pk('chatrel', 'users_channels', 'user_id', 'key of users_channels');
SELECT col_is_pk('chatrel', 'all_channel', 'only_row', 'key of all_channel');
SELECT col_is_pk('chatrel', 'events', 'id', 'key of events');
SELECT col_is_pk('chatrel', 'message_reactions', ARRAY['group_id', 'message_id', 'reaction', 'user_id'], 'key of message_reactions');
SELECT col_is_pk('chatrel', 'read_marks', ARRAY['user_id', 'group_id'], 'key of read_marks');
SELECT col_is_pk('chatrel', 'pinned_messages', ARRAY['group_id', 'message_id'], 'key of pinned_messages');
SELECT col_is_pk('chatrel', 'purges', 'group_id', 'key of purges');
SELECT col_is_unique('chatrel', 'pinned_messages', ARRAY['group_id', 'place'], 'a place of a group is one pin''s');
SELECT is(pg_get_indexdef('chatrel.groups_name_key'::regclass), $$CREATE UNIQUE INDEX groups_name_key ON chatrel.groups USING btree (name) WHERE (visibility = 'public'::text)$$, 'names of public groups are unique');

-- indexes
SELECT indexes_are('chatrel', 'users', ARRAY['users_pkey', 'users_role_name_key', 'users_username_key']);
SELECT indexes_are('chatrel', 'groups', ARRAY['groups_pkey', 'groups_name_key', 'groups_direct_key_key', 'groups_words_idx', 'groups_public_idx']);
SELECT indexes_are('chatrel', 'groups_members', ARRAY['groups_members_pkey', 'groups_members_user_id_idx', 'groups_members_group_id_idx', 'groups_members_above_idx']);
SELECT indexes_are('chatrel', 'groups_messages', ARRAY['groups_messages_pkey', 'groups_messages_id_idx', 'groups_messages_xid_idx', 'groups_messages_client_key_idx']);
SELECT indexes_are('chatrel', 'events', ARRAY['events_pkey', 'events_group_id_idx', 'events_recipient_id_idx', 'events_xid_idx', 'events_edited_message_idx', 'events_mentioned_idx']);
SELECT index_is_unique('chatrel', 'groups_messages', 'groups_messages_client_key_idx', 'a sender''s key is for one message');
SELECT index_is_unique('chatrel', 'groups_messages', 'groups_messages_id_idx', 'no id of a message is given twice');
SELECT index_is_unique('chatrel', 'users', 'users_username_key', 'usernames are unique');
SELECT is(pg_get_indexdef('chatrel.users_username_key'::regclass),
	'CREATE UNIQUE INDEX users_username_key ON chatrel.users USING btree (username, former_id) NULLS NOT DISTINCT',
	'among the users that are not deleted');
SELECT is(pg_get_indexdef('chatrel.users_role_name_key'::regclass),
	'CREATE UNIQUE INDEX users_role_name_key ON chatrel.users USING btree (role_name) WHERE (deleted_at IS NULL)',
	'a role is one user');
SELECT is(pg_get_indexdef('chatrel.groups_members_user_id_idx'::regclass),
	'CREATE INDEX groups_members_user_id_idx ON chatrel.groups_members USING btree (user_id, group_id)',
	'the groups of a user are found by an index');
SELECT is(pg_get_indexdef('chatrel.groups_members_group_id_idx'::regclass),
	'CREATE INDEX groups_members_group_id_idx ON chatrel.groups_members USING btree (group_id, id)',
	'and the first members of a group');

-- foreign keys, and what a deletion does
SELECT results_eq($$
	SELECT pg_get_constraintdef(oid), conrelid::regclass::text
		FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text IN ('chatrel.users', 'chatrel.groups', 'chatrel.groups_members',
			'chatrel.groups_messages', 'chatrel.groups_channels', 'chatrel.users_channels', 'chatrel.all_channel', 'chatrel.events',
			'chatrel.message_reactions', 'chatrel.read_marks', 'chatrel.pinned_messages', 'chatrel.purges', 'chatrel.epochs')
		ORDER BY conrelid::regclass::text COLLATE "C", conname $$,
	$$ VALUES
		('FOREIGN KEY (creator_id) REFERENCES chatrel.users(id)', 'chatrel.groups'),
		('FOREIGN KEY (group_id) REFERENCES chatrel.groups(id) ON DELETE CASCADE', 'chatrel.groups_channels'),
		('FOREIGN KEY (group_id) REFERENCES chatrel.groups(id) ON DELETE CASCADE', 'chatrel.groups_members'),
		('FOREIGN KEY (user_id) REFERENCES chatrel.users(id) ON DELETE CASCADE', 'chatrel.groups_members'),
		('FOREIGN KEY (group_id) REFERENCES chatrel.groups(id) ON DELETE CASCADE', 'chatrel.groups_messages'),
		('FOREIGN KEY (sender_id) REFERENCES chatrel.users(id)', 'chatrel.groups_messages'),
		('FOREIGN KEY (group_id, message_id) REFERENCES chatrel.groups_messages(group_id, id) ON DELETE CASCADE', 'chatrel.message_reactions'),
		('FOREIGN KEY (group_id, message_id) REFERENCES chatrel.groups_messages(group_id, id) ON DELETE CASCADE', 'chatrel.pinned_messages'),
		('FOREIGN KEY (group_id, user_id) REFERENCES chatrel.groups_members(group_id, user_id) ON DELETE CASCADE', 'chatrel.read_marks'),
		('FOREIGN KEY (user_id) REFERENCES chatrel.users(id) ON DELETE CASCADE', 'chatrel.users_channels') $$,
	'foreign keys');

-- checks
SELECT throws_ok($$ INSERT INTO chatrel.users (username) VALUES ('') $$, '23514', NULL, 'no empty username');
SELECT throws_ok($$ INSERT INTO chatrel.users (id, username) VALUES (0, 'zero') $$, '23514', NULL, 'no id below 1');
INSERT INTO chatrel.users (username) VALUES ('ann');
SELECT throws_ok($$ INSERT INTO chatrel.groups (name, creator_id) VALUES ('', 1) $$, '23514', NULL, 'no empty name of a group');
INSERT INTO chatrel.groups (name, creator_id) SELECT 'g', id FROM chatrel.users;
SELECT throws_ok($$ INSERT INTO chatrel.groups_messages (group_id, sender_id, message) SELECT id, creator_id, '' FROM chatrel.groups $$,
	'23514', NULL, 'no empty message');
SELECT throws_ok($$ INSERT INTO chatrel.groups_messages (group_id, sender_id) SELECT id, creator_id FROM chatrel.groups $$,
	'23502', NULL, 'none without a text that is not deleted');
INSERT INTO chatrel.groups_messages (group_id, sender_id, message) SELECT id, creator_id, 'text' FROM chatrel.groups;
SELECT throws_ok($$ UPDATE chatrel.groups_messages SET message = '' $$, '23514', NULL, 'nor an empty one afterwards');
SELECT throws_ok($$ UPDATE chatrel.groups_messages SET message = NULL $$, '23502', NULL, 'nor none');
SELECT lives_ok($$ UPDATE chatrel.groups_messages SET message = NULL, deleted_at = now() $$, 'unless it is deleted');
SELECT throws_ok($$ UPDATE chatrel.groups_messages SET deleted_at = NULL $$, '23502', NULL, 'and stays so');
SELECT throws_ok($$ INSERT INTO chatrel.events (kind, group_id) VALUES ('', 1) $$, '23514', NULL, 'no event without a kind');
SELECT throws_ok($$ INSERT INTO chatrel.events (kind) VALUES ('x') $$, '23514', NULL, 'nor for nobody');
SELECT throws_ok($$ INSERT INTO chatrel.all_channel (only_row) VALUES (false) $$, '23514', NULL, 'one row of all_channel');
-- ids whose order says something come from the sequence alone
SELECT throws_ok(format('INSERT INTO chatrel.%I (id) VALUES (1)', name), '428C9', NULL, 'no id of one''s own in ' || name)
	FROM unnest(ARRAY['groups_members', 'relationships', 'pinned_messages']) AS name;

-- policies
SELECT policies_are('chatrel', name, ARRAY[name || '_read']::name[], name || ' has one policy')
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'events', 'message_reactions', 'read_marks', 'pinned_messages']::name[]) AS name;
SELECT policy_cmd_is('chatrel', name, (name || '_read')::name, 'SELECT', name || '_read is for reading')
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'events', 'message_reactions', 'read_marks', 'pinned_messages']::name[]) AS name;
SELECT policies_are('chatrel', name, '{}'::name[], name || ' is the owner''s alone') FROM unnest(ARRAY['purges', 'epochs']::name[]) AS name;
SELECT ok(relrowsecurity, 'row level security of ' || name)
	FROM unnest(ARRAY['users', 'groups', 'groups_members', 'groups_messages', 'events', 'message_reactions', 'read_marks', 'pinned_messages', 'purges', 'epochs']) AS name
	JOIN pg_class c ON c.oid = ('chatrel.' || name)::regclass;

-- functions: what they take and what they give
CREATE FUNCTION pg_temp.signature(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('(%s) %s', pg_get_function_arguments(oid), pg_get_function_result(oid))
		FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND proname = name
$$;
SELECT is(pg_temp.signature('current_user_id'), '() bigint', 'current_user_id');
SELECT is(pg_temp.signature('create_user'), '(username text, role_name name DEFAULT NULL::name) chatrel.chat_user', 'create_user');
SELECT is(pg_temp.signature('delete_user'), '(user_id bigint) void', 'delete_user');
SELECT is(pg_temp.signature('link_users'), '(users_table regclass, id_column name DEFAULT ''id''::name, username_column name DEFAULT ''username''::name, condition text DEFAULT NULL::text) bigint', 'link_users');
SELECT is(pg_temp.signature('unlink_users'), '() regclass', 'unlink_users');
SELECT is(pg_temp.signature('verify_users'),
	'(repair boolean DEFAULT false) TABLE(user_id bigint, problem text, username text, linked_username text, detail text)', 'verify_users');
SELECT is(pg_temp.signature('me'), '(member_limit integer DEFAULT 50, as_user bigint DEFAULT NULL::bigint) jsonb', 'me');
SELECT is(pg_temp.signature('create_group'), '(name text, join_this_group boolean DEFAULT false, visibility text DEFAULT ''public''::text, join_policy text DEFAULT ''open''::text, description text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, as_user bigint DEFAULT NULL::bigint) chatrel.chat_group', 'create_group');
SELECT is(pg_temp.signature('join_group'), '(group_id bigint, as_user bigint DEFAULT NULL::bigint) boolean', 'join_group');
SELECT is(pg_temp.signature('leave_group'), '(group_id bigint, as_user bigint DEFAULT NULL::bigint) boolean', 'leave_group');
SELECT is(pg_temp.signature('get_group'), '(group_id bigint, member_limit integer DEFAULT 50, as_user bigint DEFAULT NULL::bigint) jsonb', 'get_group');
SELECT is(pg_temp.signature('group_members'), '(group_id bigint, after bigint DEFAULT NULL::bigint, row_limit integer DEFAULT 50, as_user bigint DEFAULT NULL::bigint) TABLE(user_id bigint, username text, role text, joined_at timestamp with time zone, muted_until timestamp with time zone, "position" bigint)', 'group_members');
SELECT is(pg_temp.signature('send_group_message'), '(group_id bigint, message text, datetime timestamp with time zone DEFAULT NULL::timestamp with time zone, reply_to_id bigint DEFAULT NULL::bigint, mentions bigint[] DEFAULT NULL::bigint[], metadata jsonb DEFAULT NULL::jsonb, client_key text DEFAULT NULL::text, as_user bigint DEFAULT NULL::bigint) chatrel.chat_message', 'send_group_message');
SELECT is(pg_temp.signature('edit_message'), '(group_id bigint, message_id bigint, message text, as_user bigint DEFAULT NULL::bigint) chatrel.chat_message', 'edit_message');
SELECT is(pg_temp.signature('delete_message'), '(group_id bigint, message_id bigint, as_user bigint DEFAULT NULL::bigint) boolean', 'delete_message');
SELECT is(pg_temp.signature('get_message'), '(group_id bigint, message_id bigint, as_user bigint DEFAULT NULL::bigint) jsonb', 'get_message');
SELECT is(pg_temp.signature('group_messages'), '(group_id bigint, before_id bigint DEFAULT NULL::bigint, message_limit integer DEFAULT 50, after_id bigint DEFAULT NULL::bigint, around_id bigint DEFAULT NULL::bigint, as_user bigint DEFAULT NULL::bigint) SETOF chatrel.chat_message', 'group_messages');
SELECT is(pg_temp.signature('get_group_with_chat_history'), '(group_id bigint, before_id bigint DEFAULT NULL::bigint, message_limit integer DEFAULT 50, after_id bigint DEFAULT NULL::bigint, around_id bigint DEFAULT NULL::bigint, member_limit integer DEFAULT 50, as_user bigint DEFAULT NULL::bigint) jsonb', 'get_group_with_chat_history');
SELECT is(pg_temp.signature('listen'), '(as_user bigint DEFAULT NULL::bigint) TABLE(group_id bigint, channel text)', 'listen');
SELECT is(pg_temp.signature('listen_group'), '(group_id bigint, as_user bigint DEFAULT NULL::bigint) text', 'listen_group');
SELECT is(pg_temp.signature('listen_all'), '() text', 'listen_all');
SELECT is(pg_temp.signature('sync'), '(cursor text DEFAULT NULL::text, group_id bigint DEFAULT NULL::bigint, event_limit integer DEFAULT 100, wait interval DEFAULT NULL::interval, as_user bigint DEFAULT NULL::bigint) jsonb', 'sync');
SELECT is(pg_temp.signature('sync_all'), '(cursor text DEFAULT NULL::text, event_limit integer DEFAULT 100, wait interval DEFAULT NULL::interval) jsonb', 'sync_all');
SELECT is(pg_temp.signature(name), '(group_id bigint, message_id bigint, reaction text, as_user bigint DEFAULT NULL::bigint) boolean', name) FROM unnest(ARRAY['add_reaction', 'remove_reaction']) AS name;
SELECT is(pg_temp.signature(name), '(group_id bigint, message_id bigint, as_user bigint DEFAULT NULL::bigint) boolean', name) FROM unnest(ARRAY['pin_message', 'unpin_message']) AS name;
SELECT is(pg_temp.signature('pinned_messages'), '(group_id bigint, as_user bigint DEFAULT NULL::bigint) TABLE(id bigint, datetime timestamp with time zone, group_id bigint, sender_id bigint, message text, reply_to_id bigint, mentions bigint[], metadata jsonb, edited_at timestamp with time zone, deleted_at timestamp with time zone, pinned_at timestamp with time zone, pinned_by bigint)', 'pinned_messages');
SELECT is(pg_temp.signature('mark_read'), '(group_id bigint, message_id bigint DEFAULT NULL::bigint, as_user bigint DEFAULT NULL::bigint) bigint', 'mark_read');
SELECT is(pg_temp.signature('unread_counts'), '(as_user bigint DEFAULT NULL::bigint) TABLE(unread bigint, unread_mentions bigint, groups bigint)', 'unread_counts');
SELECT is(pg_temp.signature('publish'), '(group_id bigint, kind text, payload jsonb, as_user bigint DEFAULT NULL::bigint) void', 'publish');
SELECT is(pg_temp.signature('group_members_of'), '(group_ids bigint[]) TABLE(group_id bigint, user_id bigint)', 'group_members_of');
SELECT is(pg_temp.signature('purge_messages'), '(before timestamp with time zone, group_id bigint DEFAULT NULL::bigint, batch integer DEFAULT 10000) bigint', 'purge_messages');
SELECT is(pg_temp.signature('unlisten'), '() SETOF text', 'unlisten');
SELECT is(pg_temp.signature('presence'), '(user_ids bigint[], as_user bigint DEFAULT NULL::bigint) TABLE(user_id bigint, online boolean)', 'presence');
SELECT is(pg_temp.signature('report_online'), '(user_ids bigint[], ttl interval) integer', 'report_online');
SELECT is(pg_temp.signature('typing'), '(group_id bigint, as_user bigint DEFAULT NULL::bigint) boolean', 'typing');
-- as_user is the last argument of every function that acts for a user
SELECT is_empty($$
	SELECT proname FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND 'as_user' = ANY (proargnames)
		AND proargnames[pronargs] <> 'as_user' $$, 'as_user comes last');

SELECT * FROM finish();
ROLLBACK;
