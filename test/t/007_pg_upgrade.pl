# pg_upgrade of a cluster with data in every table, by copying with the library
# preloaded and by linking without: every row, privilege, setting and channel is
# there again, and what is new goes on from what is old.
#
# OLD_PG_CONFIG names the pg_config of the server to upgrade from, which chatrel is
# installed in too; without it the cluster is upgraded to its own version.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my @databases = qw(own linked);
my @readers = qw(ann bob stranger);

# ---------- servers ----------

sub ask_config
{
	my ($config, $what) = @_;

	chomp(my $answer = `$config --$what`);
	return $answer || die "$config says nothing";
}

my $new_bin = ask_config('pg_config', 'bindir');
my $old_bin = $ENV{OLD_PG_CONFIG} ? ask_config($ENV{OLD_PG_CONFIG}, 'bindir') : $new_bin;

# Checksums are the default from 18 on, and must be the same in both.
sub make_cluster
{
	my ($name, $bin, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => dirname($bin));

	$node->init(extra => [ '--data-checksums', '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "TimeZone = 'UTC'\n$conf");
	return $node;
}

# ---------- what there is ----------

# Of both databases: roles and grants, channels, a deleted user, gaps in every sequence
my $chat = q{
	CREATE FUNCTION some_text(n int) RETURNS text LANGUAGE sql IMMUTABLE
		AS $$ SELECT 'message ' || n || ' ünïcødé ☃ ' || CASE WHEN n % 100 = 0 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(n, n + 500) i) ELSE repeat('x', n % 90) END $$;
	SELECT count(chatrel.create_group('group ' || g, g % 3 > 0, as_user => 1 + g % 30)) FROM generate_series(1, 20) g;
	SELECT count(chatrel.join_group(g, as_user => u)) FROM generate_series(1, 20) g, generate_series(1, 200) u WHERE u % (g + 1) = 1;
	SELECT count(chatrel.set_role(g, 1, 'owner', as_user => g + 1)) FROM generate_series(1, 20) g WHERE g % 3 > 0;
	SELECT count(chatrel.leave_group(g, as_user => g + 2)) FROM generate_series(1, 10) g;
	SELECT count(chatrel.send_group_message(1 + n % 20, some_text(n), '2024-01-01 00:00+00'::timestamptz + n * '1 s'::interval, as_user => 1)) FROM generate_series(1, 1000) n;
	SELECT count(chatrel.send_group_message(1, 'of ' || u, as_user => u)) FROM generate_series(5, 199, 2) u;
	SELECT count(chatrel.add_reaction(group_id, id, '☃', as_user => 1)), count(chatrel.mark_read(group_id, id, as_user => 1)),
			count(chatrel.edit_message(group_id, id, 'edited', as_user => 1)) FILTER (WHERE id % 2 = 0)
		FROM (SELECT DISTINCT ON (group_id) * FROM chatrel.groups_messages WHERE sender_id = 1 ORDER BY group_id, id) m;
	SELECT count(chatrel.pin_message(group_id, id, as_user => 1)) FROM (SELECT * FROM chatrel.groups_messages WHERE sender_id = 1 AND group_id % 3 > 0 ORDER BY id LIMIT 30) m;
	SELECT chatrel.unpin_message(group_id, message_id, as_user => 1) FROM chatrel.pinned_messages ORDER BY id DESC LIMIT 1;
	SELECT count(chatrel.send_group_message(1, 'long ago', '1999-12-31', as_user => 1)), chatrel.purge_messages('2000-01-01');
	SELECT count(chatrel.create_group('private ' || g, false, 'private', 'request', 'about ' || g, jsonb_build_object('a', g), as_user => 30 + g)) FROM generate_series(1, 5) g;
	CREATE TABLE links AS SELECT g AS group_id, chatrel.create_invite_link(20 + g, as_user => 30 + g) AS token FROM generate_series(1, 5) g;
	SELECT count(chatrel.create_invite_link(20 + g, '3000-01-01', g, as_user => 30 + g)), count(chatrel.invite(20 + g, ARRAY[40, 41, 42, 43, 44], as_user => 30 + g)),
			count(chatrel.ban_member(20 + g, 50, '3000-01-01', as_user => 30 + g)), count(chatrel.ban_member(20 + g, 51, as_user => 30 + g))
		FROM generate_series(1, 5) g;
	SELECT count(chatrel.join_group(20 + g, as_user => u)) FROM generate_series(1, 5) g, generate_series(40, 42) u;
	SELECT count(chatrel.set_role(20 + g, 40, 'moderator', as_user => 30 + g)), count(chatrel.mute_member(20 + g, 41, '3000-01-01', as_user => 30 + g)),
			count(chatrel.update_group(20 + g, slow_mode => g * '1 min'::interval, as_user => 30 + g)), count(chatrel.send_group_message(20 + g, 'slowly', as_user => 42)),
			count(chatrel.update_group(20 + g, posting => 'moderators', as_user => 30 + g))
		FROM generate_series(1, 5) g;
	SELECT chatrel.archive_group(25, as_user => 35);
	SELECT count(chatrel.update_group(5, join_policy => 'request', as_user => 1));
	SELECT count(chatrel.request_to_join(5, as_user => u)) FROM generate_series(2, 4) u;
	SELECT chatrel.direct_group('{60, 61}', as_user => 59), chatrel.direct_group('{60}', as_user => 59);
	BEGIN;
	SELECT chatrel.send_group_message(2, 'never', as_user => 1), chatrel.create_group('never', true, as_user => 1), chatrel.follow(2, as_user => 3), chatrel.create_whiteboard(1, as_user => 1);
	ROLLBACK;
	SELECT chatrel.follow_many(ARRAY(SELECT generate_series(2, 150)), as_user => 1);
	SELECT count(chatrel.follow(f, CASE WHEN f % 3 = 0 THEN 'name_only' ELSE 'posts' END, as_user => u))
		FROM generate_series(1, 20) f, generate_series(21, 120) u WHERE (f * u) % 7 < 3;
	SELECT count(chatrel.unfollow(f, as_user => u)) FROM generate_series(1, 5) f, generate_series(21, 60) u;
	SELECT count(chatrel.set_protected(true, as_user => u)) FROM generate_series(150, 155) u;
	SELECT count(*) FROM generate_series(150, 155) f, generate_series(1, 20) u WHERE chatrel.follow(f, 'label ' || u, as_user => u) IS NULL;
	SELECT count(chatrel.accept_follow(u, as_user => 155)) FROM generate_series(11, 20) u;
	SELECT count(chatrel.set_direct_messages('friends', as_user => u)), count(chatrel.block(u + 1, as_user => u)), count(chatrel.mute_user(u + 2, '3000-01-01', as_user => u)) FROM generate_series(1, 180, 30) u;
	SELECT count(chatrel.create_whiteboard(g, as_user => 1)) FROM generate_series(1, 20) g;
	SELECT count(chatrel.change_whiteboard(w, (SELECT jsonb_build_object('stickers', jsonb_agg(jsonb_build_object('url', 'https://example.com/' || i, 'title', 'sticker ' || i))) FROM generate_series(1, w) i), as_user => 1)) FROM generate_series(2, 10) w;
	SELECT chatrel.change_whiteboard(10, '{"stickers": []}', 'nilify', as_user => 1);
	SELECT count(*) FROM chatrel.listen(as_user => 1);
	SELECT chatrel.listen_all();
	GRANT USAGE ON SCHEMA chatrel TO app, ann, bob, stranger, backend;
	GRANT EXECUTE ON FUNCTION chatrel.create_user(text, name) TO app;
	GRANT EXECUTE ON FUNCTION chatrel.listen_all() TO gateway;
	REVOKE EXECUTE ON FUNCTION chatrel.create_group FROM PUBLIC;
	CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES chatrel.users, counts chatrel.follow_totals, message chatrel.chat_message);
	INSERT INTO profiles SELECT 1, chatrel.follow_counts(as_user => 1), m FROM chatrel.group_messages(1, message_limit => 1, as_user => 1) m;
	CREATE VIEW celebrities AS SELECT followed_id, follow_type, count(*) FROM chatrel.relationships GROUP BY 1, 2 HAVING count(*) > 20;
};

sub fill_cluster
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
		CREATE ROLE app LOGIN; CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE stranger LOGIN; CREATE ROLE backend LOGIN;
		CREATE ROLE gateway; CREATE ROLE watcher;
		GRANT pg_monitor TO watcher;
		CREATE DATABASE own; CREATE DATABASE linked;
		ALTER DATABASE own SET chatrel.max_message_length = 100000;
		ALTER DATABASE linked SET chatrel.max_message_length = 100000;
		ALTER ROLE backend SET chatrel.user_id = 2;
		GRANT SET ON PARAMETER chatrel.user_id TO app WITH GRANT OPTION;
	});
	$node->safe_psql('own', q{
		CREATE EXTENSION chatrel;
		SELECT count(chatrel.create_user('user ' || u, (ARRAY['ann', 'bob'])[u])) FROM generate_series(1, 200) u;
	} . $chat . q{
		SELECT count(chatrel.delete_user(u)) FROM generate_series(190, 200, 3) u;
		SELECT chatrel.create_user('user 190');
	});
	$node->safe_psql('linked', q{
		CREATE EXTENSION chatrel;
		CREATE TABLE accounts (id serial PRIMARY KEY, "user name" text UNIQUE, banned boolean NOT NULL DEFAULT false);
		INSERT INTO accounts ("user name") SELECT 'user ' || u FROM generate_series(1, 200) u;
		SELECT chatrel.link_users('accounts', 'id', 'user name', 'NOT banned');
		UPDATE chatrel.users SET role_name = (ARRAY['ann', 'bob'])[id] WHERE id < 3;
	} . $chat . q{
		DELETE FROM accounts WHERE id % 3 = 1 AND id >= 190;
	});
	follow_at_once($node, $_) foreach @databases;
	return;
}

# Who follows, or joins, with a snapshot of its own is counted in a row of its own.
sub follow_at_once
{
	my ($node, $database) = @_;
	my @followers = map { connect_to($node, $database) } 1 .. 3;

	$_->do('SET default_transaction_isolation = \'repeatable read\'') foreach @followers;
	$_->begin_work foreach @followers;
	value($followers[$_], 'SELECT chatrel.follow(7, as_user => u), chatrel.join_group(20, as_user => u) FROM (VALUES (?::bigint)) AS v (u)', 150 + $_) foreach 0 .. 2;
	$_->commit foreach @followers;
	$_->disconnect foreach @followers;
	return;
}

# ---------- what must be the same ----------

my %reads = (
	rows => q{SELECT r.*, count(t), md5(string_agg(t, E'\n' ORDER BY t COLLATE "C"))
		FROM (SELECT oid::regclass AS r FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace IN ('chatrel'::regnamespace, 'public'::regnamespace)) AS r
			LEFT JOIN LATERAL xmltable('//row' PASSING query_to_xml('SELECT t::text FROM ' || r || ' AS t', true, false, '') COLUMNS t text PATH 't') AS t ON true
		GROUP BY 1 ORDER BY 1::text},
	sequences => q{SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2},
	# MAINTAIN is what owners have since 17.
	privileges => q{
		SELECT what, acl.grantee::regrole::text, privilege_type, is_grantable, acl.grantor::regrole FROM (
			SELECT 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname = 'chatrel'
			UNION ALL SELECT oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace
			UNION ALL SELECT oid::regclass::text, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'v', 'S')
			UNION ALL SELECT parname, paracl FROM pg_parameter_acl
		) AS objects (what, acls) LEFT JOIN aclexplode(acls) acl ON privilege_type <> 'MAINTAIN'
		ORDER BY 1, 2, 3},
	settings => q{SELECT datname, setrole::regrole, setconfig FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase ORDER BY 1, 2},
	members => q{SELECT type, identity FROM pg_depend, pg_identify_object(classid, objid, objsubid)
		WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel') AND deptype = 'e' AND type <> 'type'
		ORDER BY 1, 2},
	dumped => q{SELECT c::regclass, w FROM pg_extension, unnest(extconfig, extcondition) AS e (c, w) WHERE extname = 'chatrel' ORDER BY 1::text},
	documents => q{SELECT md5(string_agg(concat(chatrel.me(as_user => id), chatrel.follow_counts(as_user => id),
			(SELECT string_agg(g::text, ' ') FROM chatrel.my_groups(id) g), (SELECT string_agg(f::text, ' ') FROM chatrel.followers(id, as_user => id) f),
			(SELECT string_agg(i::text, ' ') FROM chatrel.invitations(as_user => id) i), (SELECT string_agg(r::text, ' ') FROM chatrel.follow_requests(as_user => id) r),
			(SELECT string_agg(g::text, ' ') FROM chatrel.find_groups(as_user => id) g), chatrel.user_settings(as_user => id)), ' ' ORDER BY id))
		FROM chatrel.users WHERE deleted_at IS NULL},
	counters => q{SELECT (SELECT count(*) FROM chatrel.follow_counters WHERE slot > 0) > 0, (SELECT count(*) FROM chatrel.verify_follow_counts()),
		(SELECT count(*) FROM chatrel.groups_counters WHERE slot > 0) > 0,
		(SELECT count(*) FROM chatrel.groups g WHERE (SELECT sum(members) FROM chatrel.groups_counters WHERE group_id = g.id) IS DISTINCT FROM (SELECT count(*) FROM chatrel.groups_members WHERE group_id = g.id))},
);
foreach my $reader (@readers)
{
	$reads{"what $reader sees"} = "SET ROLE $reader;" . join(';', map {
		qq{SELECT '$_', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text COLLATE "C")) FROM chatrel.$_ t}
	} qw(users groups groups_members groups_messages message_reactions pinned_messages read_marks events relationships whiteboards stickers groups_join_requests blocks user_mutes follow_requests user_settings my_memberships));
}

sub contents
{
	my ($node, $database) = @_;

	return { map { $_ => $node->safe_psql($database, $reads{$_}) } sort keys %reads };
}

# As the catalogues describe it, the extension is the one that CREATE EXTENSION makes here.
my $definition = q{
	SELECT regexp_replace(concat_ws('|', kind, name, definition, description), '\s+', ' ', 'g') FROM (
		SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc') FROM pg_proc p WHERE pronamespace = 'chatrel'::regnamespace
		UNION ALL SELECT 'relation', c.oid::regclass::text, concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity, reloptions), obj_description(c.oid, 'pg_class') FROM pg_class c WHERE relnamespace = 'chatrel'::regnamespace
		UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, concat_ws(' ', attnum, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid)), col_description(attrelid, attnum)
			FROM pg_class c JOIN pg_attribute ON attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE relnamespace = 'chatrel'::regnamespace AND relkind <> 'i' AND attnum > 0
		UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE connamespace = 'chatrel'::regnamespace
		UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), NULL FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'chatrel'::regnamespace
		UNION ALL SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), NULL FROM pg_class c WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'v'
		UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger') FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = 'chatrel'::regnamespace AND NOT tgisinternal
		UNION ALL SELECT 'policy', polrelid::regclass || '.' || polname, concat_ws(' ', polpermissive, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), obj_description(p.oid, 'pg_policy') FROM pg_policy p JOIN pg_class c ON c.oid = polrelid WHERE relnamespace = 'chatrel'::regnamespace
		UNION ALL SELECT 'enum', enumtypid::regtype::text, enumsortorder || enumlabel, NULL FROM pg_enum
	) AS definitions (kind, name, definition, description) ORDER BY 1};

# The lines of a query's result that only one of two databases has
sub differences
{
	my ($node, $query, @two) = @_;
	my @lines = map { { map { $_ => 1 } split /\n/, $node->safe_psql($_, $query) } } @two;

	return map { my ($here, $there) = ($_, 1 - $_); map { "$two[$here]: $_" } grep { !$lines[$there]{$_} } sort keys %{ $lines[$here] } } 0, 1;
}

# ---------- what must go on ----------

# A call of every function; later ones see what earlier ones did.
my $new = q{(SELECT id FROM chatrel.groups WHERE name = 'new')};
my @calls = (
	[ current_user_id => q{SET chatrel.user_id = 5; SELECT chatrel.current_user_id()}, '5' ],
	[ create_group => q{SELECT name FROM chatrel.create_group('new', true, as_user => 1)}, 'new' ],
	[ join_group => q{SELECT chatrel.join_group(2, as_user => 8), chatrel.join_group(2, as_user => 8)}, 't|f' ],
	[ leave_group => q{SELECT chatrel.leave_group(2, as_user => 8), chatrel.leave_group(2, as_user => 8)}, 't|f' ],
	[ get_group => q{SELECT chatrel.get_group(2, as_user => 1) ->> 'name'}, 'group 2' ],
	[ my_groups => q{SELECT count(*) FROM chatrel.my_groups(as_user => 1)}, '21' ],
	[ me => q{SELECT chatrel.me(as_user => 1) ->> 'username'}, 'user 1' ],
	[ send_group_message => q{SELECT message FROM chatrel.send_group_message(1, 'new', as_user => 1)}, 'new' ],
	[ group_members => q{SELECT count(*) FROM chatrel.group_members(1, row_limit => 2, as_user => 1)}, '2' ],
	[ group_members_of => q{SELECT count(*) = (SELECT count(*) FROM chatrel.groups_members) FROM chatrel.group_members_of(NULL)}, 't' ],
	[ group_messages => q{SELECT sender_id, message FROM chatrel.group_messages(1, message_limit => 2, as_user => 1)}, "1|new\n199|of 199" ],
	[ get_message => q{SELECT chatrel.get_message(1, max(id), as_user => 1) ->> 'message' FROM chatrel.groups_messages}, 'new' ],
	[ unread_counts => q{SELECT unread > 0, unread_mentions FROM chatrel.unread_counts(as_user => 7)}, 't|0' ],
	[ mark_read => q{SELECT chatrel.mark_read(1, as_user => 1) = max(id) FROM chatrel.groups_messages}, 't' ],
	[ add_reaction => q{SELECT chatrel.add_reaction(1, max(id), 'x', as_user => 1), chatrel.add_reaction(1, max(id), 'x', as_user => 1) FROM chatrel.groups_messages}, 't|f' ],
	[ remove_reaction => q{SELECT chatrel.remove_reaction(1, max(id), 'x', as_user => 1), chatrel.remove_reaction(1, max(id), 'x', as_user => 1) FROM chatrel.groups_messages}, 't|f' ],
	[ pin_message => q{SELECT chatrel.pin_message(1, id, as_user => 1), chatrel.pin_message(1, id, as_user => 1) FROM chatrel.groups_messages WHERE message = 'of 199'}, 't|f' ],
	[ pinned_messages => q{SELECT message FROM chatrel.pinned_messages(1, as_user => 1) LIMIT 1}, 'of 199' ],
	[ get_group_with_chat_history => q{SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(1, message_limit => 2, as_user => 1), '$.messages[*].message')}, '["of 199", "new"]' ],
	[ publish => q{SELECT chatrel.publish(1, 'drawn', '{}', as_user => 1)}, '' ],
	[ follow => q{SELECT chatrel.follow(5, as_user => 2), chatrel.follow(5, 'name_only', as_user => 2), chatrel.follow(5, 'name_only', as_user => 2)}, 't|t|f' ],
	[ is_following => q{SELECT chatrel.is_following(5, as_user => 2), chatrel.is_following(2, as_user => 5)}, 't|f' ],
	[ relationship_to => q{SELECT * FROM chatrel.relationship_to('{5}', as_user => 2)}, '5|t|f|name_only|f|f|f' ],
	[ following => q{SELECT id, follow_type, position > (SELECT max(position) FROM chatrel.following(1, as_user => 1)) FROM chatrel.following(row_limit => 1, as_user => 2)}, '5|name_only|t' ],
	[ followers => q{SELECT id FROM chatrel.followers(5, row_limit => 1, as_user => 1)}, '2' ],
	[ follow_many => q{SELECT chatrel.follow_many('{1,2,3}', as_user => 5)}, '3' ],
	[ friends => q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM chatrel.friends(as_user => 5)}, '1 2' ],
	[ mutual_followers => q{SELECT count(*) > 1 AND count(*) = (SELECT count(*) FROM chatrel.relationships a JOIN chatrel.relationships b USING (follower_id) WHERE a.followed_id = 1 AND b.followed_id = 3)
			FROM chatrel.mutual_followers(3, as_user => 1)}, 't' ],
	[ suggest_follows => q{SELECT count(*) > 0 FROM chatrel.suggest_follows(as_user => 5)}, 't' ],
	[ unfollow => q{SELECT chatrel.unfollow(3, as_user => 5), chatrel.unfollow(3, as_user => 5)}, 't|f' ],
	[ follow_counts => q{SELECT following FROM chatrel.follow_counts(as_user => 5)}, '2' ],
	[ set_protected => q{SELECT chatrel.set_protected(true, as_user => 6), chatrel.set_protected(true, as_user => 6)}, 't|f' ],
	[ set_direct_messages => q{SELECT chatrel.set_direct_messages('nobody', as_user => 6)}, 't' ],
	[ user_settings => q{SELECT chatrel.user_settings(6) ->> 'direct_messages'}, 'nobody' ],
	[ follow_requests => q{SELECT (SELECT count(*) FROM (VALUES (7), (9), (10), (11)) v (id) WHERE chatrel.unfollow(6, as_user => id) IS NOT NULL AND chatrel.follow(6, as_user => id) IS NULL);
		SELECT string_agg(follower_id::text, ' ' ORDER BY id) FROM chatrel.follow_requests(as_user => 6)}, "4\n7 9 10 11" ],
	[ accept_follow => q{SELECT chatrel.accept_follow(7, as_user => 6), chatrel.accept_follow(7, as_user => 6)}, 't|f' ],
	[ reject_follow => q{SELECT chatrel.reject_follow(9, as_user => 6), chatrel.reject_follow(9, as_user => 6)}, 't|f' ],
	[ may_view_posts => q{SELECT chatrel.may_view_posts(6, as_user => 7), chatrel.may_view_posts(6, as_user => 9)}, 't|f' ],
	[ remove_follower => q{SELECT chatrel.remove_follower(7, as_user => 6), chatrel.remove_follower(7, as_user => 6)}, 't|f' ],
	[ block => q{SELECT chatrel.block(7, as_user => 6), chatrel.block(7, as_user => 6)}, 't|f' ],
	[ blocked => q{SELECT user_id FROM chatrel.blocked(as_user => 6)}, '7' ],
	[ unblock => q{SELECT chatrel.unblock(7, as_user => 6), chatrel.unblock(7, as_user => 6)}, 't|f' ],
	[ mute_user => q{SELECT chatrel.mute_user(7, as_user => 6)}, 't' ],
	[ muted_users => q{SELECT user_id FROM chatrel.muted_users(as_user => 6)}, '7' ],
	[ unmute_user => q{SELECT chatrel.unmute_user(7, as_user => 6), chatrel.unmute_user(7, as_user => 6)}, 't|f' ],
	[ find_user => q{SELECT (chatrel.find_user(username)).id FROM chatrel.users WHERE id = 6}, '6' ],
	[ export_user => q{SELECT document ->> 'id' FROM chatrel.export_user(6) WHERE kind = 'user'}, '6' ],
	[ verify_follow_counts => q{SELECT count(*) FROM chatrel.verify_follow_counts()}, '0' ],
	[ create_whiteboard => q{SELECT chatrel.create_whiteboard(1, as_user => 1) ->> 'version'}, '1' ],
	[ change_whiteboard => q{SELECT chatrel.change_whiteboard(11, '{"stickers": [{"url": "https://example.com/new", "title": "new"}]}', as_user => 1) ->> 'version'}, '2' ],
	[ get_whiteboard => q{SELECT jsonb_array_length(chatrel.get_whiteboard(9, as_user => 1) -> 'stickers')}, '9' ],
	[ delete_sticker => q{SELECT chatrel.delete_sticker(group_id, min(id), 1), chatrel.delete_sticker(group_id, min(id), 1) FROM chatrel.stickers WHERE whiteboard_id IS NULL GROUP BY group_id}, 't|f' ],
	[ delete_whiteboard => q{SELECT chatrel.delete_whiteboard(9, as_user => 1), chatrel.delete_whiteboard(9, as_user => 1)}, 't|f' ],
	[ listen => q{SELECT count(*) FROM chatrel.listen(as_user => 1)}, '22' ],
	[ listen_group => q{SELECT chatrel.listen_group(3, as_user => 1) = (SELECT 'chatrel_' || channel FROM chatrel.groups_channels WHERE group_id = 3)}, 't' ],
	[ listen_all => q{SELECT chatrel.listen_all() = (SELECT 'chatrel_' || channel FROM chatrel.all_channel)}, 't' ],
	[ unlisten => q{SELECT count(chatrel.listen_all()); SELECT count(*) FROM chatrel.unlisten()}, "1\n1" ],
	[ sync => q{SELECT jsonb_array_length(chatrel.sync(event_limit => 7, as_user => 1) -> 'events')}, '7' ],
	[ sync_all => q{SELECT jsonb_array_length(chatrel.sync_all(event_limit => 7) -> 'events')}, '7' ],
	[ unpin_message => q{SELECT chatrel.unpin_message(group_id, message_id, as_user => 1) FROM chatrel.pinned_messages ORDER BY id LIMIT 1}, 't' ],
	[ edit_message => q{SELECT message FROM chatrel.edit_message(1, (SELECT max(id) FROM chatrel.groups_messages), 'edited', as_user => 1)}, 'edited' ],
	[ delete_message => q{SELECT chatrel.delete_message(1, max(id), as_user => 1) FROM chatrel.groups_messages}, 't' ],
	[ update_group => qq{SELECT description, slow_mode FROM chatrel.update_group($new, description => 'changed', slow_mode => '1 min', as_user => 1)}, 'changed|00:01:00' ],
	[ find_groups => q{SELECT name, member_count FROM chatrel.find_groups('new', as_user => 3)}, 'new|1' ],
	[ invite => qq{SELECT chatrel.invite($new, '{3,4}', as_user => 1), chatrel.invite($new, '{3,4}', as_user => 1)}, '2|0' ],
	[ group_invitations => qq{SELECT string_agg(user_id::text, ' ') FROM chatrel.group_invitations($new, as_user => 1)}, '3 4' ],
	[ invitations => qq{SELECT (SELECT group_id = $new FROM chatrel.invitations(as_user => 3)), (SELECT string_agg(group_id::text, ' ') FROM chatrel.invitations(as_user => 43))}, 't|21 22 23 24 25' ],
	[ decline_invitation => qq{SELECT chatrel.decline_invitation($new, as_user => 3), chatrel.decline_invitation($new, as_user => 3)}, 't|f' ],
	[ withdraw_invitation => qq{SELECT chatrel.withdraw_invitation($new, 4, as_user => 1), chatrel.withdraw_invitation($new, 4, as_user => 1)}, 't|f' ],
	[ create_invite_link => q{SELECT chatrel.create_invite_link(22, as_user => 32) <> chatrel.create_invite_link(22, as_user => 32)}, 't' ],
	[ join_by_link => q{SELECT chatrel.join_by_link(token, as_user => 9) FROM links WHERE group_id = 1}, '21' ],
	[ revoke_invite_links => q{SELECT chatrel.revoke_invite_links(21, as_user => 31), chatrel.revoke_invite_links(21, as_user => 31)}, '2|0' ],
	[ request_to_join => qq{SELECT count(chatrel.update_group($new, join_policy => 'request', as_user => 1));
		SELECT chatrel.request_to_join($new, as_user => 6), chatrel.request_to_join($new, as_user => 5), chatrel.request_to_join(5, as_user => 12), chatrel.request_to_join(5, as_user => 12)}, "1\nt|t|t|f" ],
	[ join_requests => qq{SELECT (SELECT string_agg(user_id::text, ' ') FROM chatrel.join_requests($new, as_user => 1)), (SELECT string_agg(user_id::text, ' ') FROM chatrel.join_requests(5, as_user => 1))}, '6 5|2 3 4 12' ],
	[ decide_join_request => qq{SELECT chatrel.decide_join_request($new, 5, true, as_user => 1), chatrel.decide_join_request($new, 5, true, as_user => 1)}, 't|f' ],
	[ withdraw_join_request => qq{SELECT chatrel.withdraw_join_request($new, as_user => 6), chatrel.withdraw_join_request($new, as_user => 6)}, 't|f' ],
	[ set_role => qq{SELECT chatrel.set_role($new, 5, 'moderator', as_user => 1), chatrel.set_role($new, 5, 'moderator', as_user => 1)}, 't|f' ],
	[ mute_member => q{SELECT chatrel.mute_member(21, 9, as_user => 40), chatrel.mute_member(21, 9, as_user => 40)}, 't|f' ],
	[ unmute_member => q{SELECT chatrel.unmute_member(21, 41, as_user => 40), chatrel.unmute_member(21, 41, as_user => 40)}, 't|f' ],
	[ remove_member => q{SELECT chatrel.remove_member(21, 9, as_user => 40), chatrel.remove_member(21, 9, as_user => 40)}, 't|f' ],
	[ ban_member => qq{SELECT chatrel.ban_member($new, 5, as_user => 1), chatrel.ban_member($new, 5, as_user => 1)}, 't|f' ],
	[ banned_members => q{SELECT string_agg(user_id || ' ' || coalesce(until, 'infinity'), ', ') FROM chatrel.banned_members(21, as_user => 40)}, '50 3000-01-01 00:00:00+00, 51 infinity' ],
	[ unban_member => q{SELECT chatrel.unban_member(21, 50, as_user => 40), chatrel.unban_member(21, 50, as_user => 40)}, 't|f' ],
	[ archive_group => q{SELECT chatrel.archive_group(25, as_user => 35), chatrel.archive_group(25, false, as_user => 35)}, 'f|t' ],
	[ delete_group => qq{SELECT chatrel.delete_group($new, as_user => 1); SELECT count(*) FROM chatrel.groups WHERE name = 'new'}, "\n0" ],
	[ direct_group => q{SELECT (chatrel.direct_group('{60,61}', as_user => 59) ->> 'id')::bigint = id, chatrel.direct_group('{62}', as_user => 59) ->> 'id' IS NOT NULL FROM chatrel.groups WHERE direct_key = '{59,60,61}'}, 't|t' ],
	[ purge_messages => q{SELECT chatrel.purge_messages('2024-01-01 00:02+00')}, '119' ],
	[ report_online => q{DO $$ BEGIN ASSERT chatrel.report_online('{1}', '1 min') = 1; EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'not preloaded'; END $$}, '' ],
	[ presence => q{DO $$ BEGIN ASSERT (SELECT online FROM chatrel.presence('{1}', 1)); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'not preloaded'; END $$}, '' ],
	[ typing => q{DO $$ BEGIN ASSERT chatrel.typing(1, 1); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'not preloaded'; END $$}, '' ],
	[ presence_status => q{SELECT count(*) = (current_setting('shared_preload_libraries') = 'chatrel')::int FROM chatrel.presence_status()}, 't' ],
	[ become_shard => q{SELECT chatrel.become_shard(0)}, 'f' ],
	[ become_home => q{SELECT chatrel.become_home()}, 'f' ],
	[ relay_status => q{SET ROLE watcher; SELECT count(*) >= 0 FROM chatrel.relay}, 't' ],
);
my %administration = (
	own => [
		[ create_user => q{SET ROLE app; SELECT id, username FROM chatrel.create_user('new')}, '202|new' ],
		[ rename_user => q{SELECT chatrel.rename_user(202, 'renamed'), chatrel.rename_user(202, 'renamed')}, 't|f' ],
		[ delete_user => q{SELECT chatrel.delete_user(202); SELECT deleted_at IS NOT NULL FROM chatrel.users WHERE id = 202}, "\nt" ],
		[ erase_user => q{SELECT chatrel.erase_user(202); SELECT username FROM chatrel.users WHERE id = 202}, "\ndeleted user 202" ],
		[ link_users => q{DO $$ BEGIN PERFORM chatrel.link_users('profiles', 'user_id', 'counts'); EXCEPTION WHEN datatype_mismatch THEN RAISE NOTICE 'refused'; END $$}, '' ],
		[ unlink_users => q{DO $$ BEGIN PERFORM chatrel.unlink_users(); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'refused'; END $$}, '' ],
		[ verify_users => q{DO $$ BEGIN PERFORM chatrel.verify_users(); EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE 'refused'; END $$}, '' ] ],
	linked => [
		[ create_user => q{INSERT INTO accounts ("user name") VALUES ('new'); SELECT max(id), max(username) FILTER (WHERE id = 201) FROM chatrel.users}, '201|new' ],
		[ rename_user => q{UPDATE accounts SET "user name" = 'renamed' WHERE id = 201; SELECT username FROM chatrel.users WHERE id = 201}, 'renamed' ],
		[ delete_user => q{DELETE FROM accounts WHERE id = 201; SELECT deleted_at IS NOT NULL FROM chatrel.users WHERE id = 201}, 't' ],
		[ erase_user => q{SELECT chatrel.erase_user(201); SELECT username FROM chatrel.users WHERE id = 201}, "\ndeleted user 201" ],
		[ link_users => q{UPDATE accounts SET "user name" = 'renamed' WHERE id = 100; SELECT username FROM chatrel.users WHERE id = 100}, 'renamed' ],
		[ verify_users => q{UPDATE accounts SET banned = true WHERE id = 100; SELECT deleted_at IS NOT NULL FROM chatrel.users WHERE id = 100; SELECT * FROM chatrel.verify_users()}, 't' ],
		[ unlink_users => q{SELECT chatrel.unlink_users(); SELECT chatrel.link_users('accounts', 'id', 'user name', 'NOT banned') > 0}, "accounts\nt" ] ],
);

sub check_calls
{
	my ($node, $database) = @_;
	my @all = (@calls, @{ $administration{$database} });

	is($node->safe_psql($database, $_->[1]), $_->[2], "$_->[0] works") foreach @all;
	is($node->safe_psql($database, q{SELECT string_agg(proname, ' ' ORDER BY proname COLLATE "C") FROM pg_proc
			WHERE pronamespace = 'chatrel'::regnamespace AND prorettype <> 'trigger'::regtype}),
		join(' ', sort map { $_->[0] } @all), 'and that was every function');
	return;
}

# The sequences went on: whatever was added has ids above those there were.
sub check_sequences
{
	my ($node, $database, $before) = @_;

	foreach my $line (split /\n/, $before)
	{
		my ($schema, $sequence, $last) = split /\|/, $line;
		my $table = $sequence eq 'event_ids' ? '(SELECT id FROM chatrel.events UNION ALL SELECT id FROM chatrel.groups_messages) AS given' : "chatrel.$sequence" =~ s/_id_seq$//r;

		next if $schema ne 'chatrel' || $table eq 'chatrel.epochs' || ($database eq 'linked' && $table eq 'chatrel.users');
		cmp_ok($node->safe_psql($database, "SELECT max(id) FROM $table"), '>', $last, "the new ids of $sequence are above the old");
		is($node->safe_psql($database, "SELECT count(*) - count(DISTINCT id) FROM $table"), '0', "and given once");
	}
	return;
}

sub take_cursors
{
	my ($node, $database) = @_;

	return [ split /\n/, $node->safe_psql($database, q{
		SELECT chatrel.sync('now', as_user => 1) ->> 'cursor';
		SELECT chatrel.sync(as_user => 1) ->> 'cursor';
		SELECT chatrel.get_group_with_chat_history(1, as_user => 1) ->> 'cursor'}) ];
}

sub check_cursors
{
	my ($node, $database, $old) = @_;

	foreach my $i (0 .. $#$old)
	{
		my $group = $i == 2 ? '1' : 'NULL';
		my (undef, undef, $stderr) = $node->psql($database,
			"\\set VERBOSITY sqlstate\nSELECT chatrel.sync('$old->[$i]', group_id => $group, as_user => 1)");

		like($stderr, qr/ERROR:  55000/, 'a cursor of before is refused');
	}
	my ($new) = @{ take_cursors($node, $database) };
	$node->safe_psql($database, q{SELECT chatrel.send_group_message(1, 'after the cursor', as_user => 2) FROM chatrel.join_group(1, as_user => 2)});
	is($node->safe_psql($database, "SELECT jsonb_path_query_array(chatrel.sync('$new', as_user => 1), '\$.events[*].group_message.message')"),
		'["after the cursor"]', 'a new cursor misses nothing');
	return;
}

# What a backend and a role's user may do, and what they may not
sub check_rights
{
	my ($node, $database) = @_;
	my $as = sub {
		my ($role, $query) = @_;
		my ($status, $stdout, $stderr) = $node->psql($database, "\\set VERBOSITY sqlstate\n$query",
			connstr => $node->connstr($database) . " user=$role");
		return $status == 0 && $stderr eq '' ? $stdout : $stderr =~ /ERROR:  (\w+)/ ? $1 : $stderr;
	};

	is($as->('app', 'SET chatrel.user_id = 9; SELECT chatrel.current_user_id()'), '9', 'SET ON PARAMETER is granted');
	is($as->('stranger', 'SELECT chatrel.current_user_id(); SET chatrel.user_id = 9'), '42501', 'and only to whom it was');
	is($as->('ann', 'SELECT chatrel.current_user_id()'), '1', 'a role is its user');
	is($as->('ann', q{SELECT chatrel.create_group('refused')}), '42501', 'what was revoked is revoked');
	is($as->('backend', 'SELECT chatrel.current_user_id()'), '2', 'the setting of a role is in force');
	is($as->('stranger', 'SELECT channel FROM chatrel.groups_channels'), '42501', 'channels are secret');
	return;
}

sub check_delivery
{
	my ($node, $database, $preloaded) = @_;
	my $channel = $node->safe_psql($database, q{SELECT 'chatrel_' || channel FROM chatrel.groups_channels WHERE group_id = 1});
	my $sender = connect_to($node, $database);
	my $member = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 1)', database => $database);
	# As a client that has kept the name
	my $gateway = Realtime::Listener->new($node, '1', database => $database);

	$gateway->{dbh}->do(qq{LISTEN "$channel"});
	start_worker($sender) if $preloaded;
	value($sender, q{SELECT (chatrel.send_group_message(1, 'heard', as_user => 1)).id});
	is_deeply([ $_->texts_until('heard') ], ['heard'], 'a message is heard on the channel of before') foreach $member, $gateway;
	is(relay_row($sender)->{delivered} // 0, relay_row($sender)->{queued} // 0, 'the relay has delivered what it was given');
	cmp_ok(relay_row($sender)->{delivered} // 0, $preloaded ? '>' : '==', 0, $preloaded ? 'the relay delivers' : 'there is no relay');
	$_->disconnect foreach $sender, map { $_->{dbh} } $member, $gateway;
	return;
}

sub check_files
{
	my ($node) = @_;

	SKIP:
	{
		skip 'this server has no amcheck', 1
			if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'}) == 0;
		$node->command_ok([ 'pg_amcheck', '--all', '--install-missing', '--heapallindexed', '--parent-check',
				'--host', $node->host, '--port', $node->port ], 'pg_amcheck finds nothing');
	}
	return;
}

# ---------- the upgrade ----------

# pg_upgrade leaves the servers' logs where it failed.
sub show_logs
{
	my ($node) = @_;

	foreach my $log (glob($node->data_dir . '/pg_upgrade_output.d/*/log/*'))
	{
		diag("$log:\n" . substr(slurp_file($log), -2000));
	}
	return;
}

sub upgrade
{
	my ($old, $new, @mode) = @_;
	my @command = ('pg_upgrade', '--no-sync', '--old-datadir' => $old->data_dir, '--new-datadir' => $new->data_dir,
		'--old-bindir' => $old_bin, '--new-bindir' => $new_bin, '--socketdir' => $new->host,
		'--old-port' => $old->port, '--new-port' => $new->port, @mode);

	# It writes a script into the current folder.
	chdir PostgreSQL::Test::Utils::tempdir() or die $!;
	foreach my $check ([ '--check' ], [])
	{
		$new->command_ok([ @command, @$check ], join(' ', 'pg_upgrade', @mode, @$check))
			or show_logs($new);
	}
	return;
}

sub test_upgrade
{
	my ($old, $old_contents, $cursors, $preloaded, @mode) = @_;
	my $conf = $preloaded ? "shared_preload_libraries = 'chatrel'\nchatrel.presence_max_members = 0\n" : '';
	my $new = make_cluster(join('', 'new', @mode), $new_bin, $conf);

	$old->append_conf('postgresql.conf', "shared_preload_libraries = ''\n$conf");
	upgrade($old, $new, @mode);
	$new->start;
	$new->safe_psql('postgres', 'CREATE DATABASE fresh');
	$new->safe_psql('fresh', 'CREATE EXTENSION chatrel');
	foreach my $database (@databases)
	{
		subtest "database $database" => sub {
			my $after = contents($new, $database);

			is($after->{$_}, $old_contents->{$database}{$_}, "$_: the same") foreach sort keys %reads;
			is_deeply([ differences($new, $definition, $database, 'fresh') ], [], 'the extension is as CREATE EXTENSION makes it');
			check_calls($new, $database);
			check_delivery($new, $database, $preloaded);
			check_cursors($new, $database, $cursors->{$database});
			check_rights($new, $database);
			check_sequences($new, $database, $old_contents->{$database}{sequences});
		};
	}
	check_files($new);
	$new->stop;
	return;
}

my $old = make_cluster('old', $old_bin, "shared_preload_libraries = 'chatrel'\n");
$old->start;
diag(sprintf('from PostgreSQL %s to %s', $old->pg_version, ask_config('pg_config', 'version') =~ s/PostgreSQL //r));
fill_cluster($old);
my %before = map { $_ => contents($old, $_) } @databases;
my %cursors = map { $_ => take_cursors($old, $_) } @databases;
foreach my $database (@databases)
{
	unlike($before{$database}{rows}, qr/\|0\|/, "$database: there is something in every table");
	is($before{$database}{counters}, 't|0|t|0', "$database: the counters are right, and some of them private to a backend");
	like($before{$database}{'what ann sees'}, qr/^groups_messages\|[1-9]/m, "$database: a role sees messages");
}
$old->stop;

subtest 'by copying, preloaded' => sub { test_upgrade($old, \%before, \%cursors, 1) };
# Its files are the new cluster's afterwards.
subtest 'by linking, not preloaded' => sub { test_upgrade($old, \%before, \%cursors, 0, '--link') };

done_testing();
