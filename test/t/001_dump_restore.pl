# A database with data in every table of chatrel is dumped and restored into
# another cluster, by pg_restore and by psql: every row and privilege is there
# again, every sequence goes on where it stood, and the triggers of a linked table
# work.  The channels are not in the dump: each group and each user has a new one.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @tables = qw(users groups groups_members groups_bans groups_invitations groups_join_requests groups_links
	groups_messages events message_reactions pinned_messages read_marks
	relationships follow_requests blocks user_mutes user_settings whiteboards stickers);
my @channels = qw(groups_channels users_channels all_channel);
# What restoring the rows makes, and what only cursors need
my @counters = qw(groups_counters follow_counters);
my @of_cursors = qw(epochs purges);
my @sequences = qw(users_id_seq groups_id_seq groups_members_id_seq groups_join_requests_id_seq groups_links_id_seq
	pinned_messages_id_seq event_ids relationships_id_seq follow_requests_id_seq whiteboards_id_seq stickers_id_seq);
my @databases = qw(own linked);

# How many members and followers there are, with who has none any more left out
sub counters
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{
		SELECT 'group', group_id, sum(members) FROM chatrel.groups_counters GROUP BY 2 HAVING sum(members) <> 0 ORDER BY 2;
		SELECT 'user', user_id, sum(following), sum(followers) FROM chatrel.follow_counters GROUP BY 2 HAVING sum(following) <> 0 OR sum(followers) <> 0 ORDER BY 2});
}

# and as the rows say
sub counted
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{
		SELECT 'group', group_id, count(*) FROM chatrel.groups_members GROUP BY 2 ORDER BY 2;
		SELECT 'user', id, following, followers FROM chatrel.users,
			LATERAL (SELECT count(*) FILTER (WHERE follower_id = id) AS following, count(*) FILTER (WHERE followed_id = id) AS followers FROM chatrel.relationships r (i, follower_id, followed_id)) c
			WHERE following + followers > 0 ORDER BY 2});
}

# All that must be the same afterwards
sub contents
{
	my ($node, $database) = @_;
	my $text = '';

	foreach my $table (@tables)
	{
		$text .= "$table:\n" . $node->safe_psql($database, "SELECT * FROM chatrel.$table t ORDER BY t::text COLLATE \"C\"") . "\n";
	}
	foreach my $sequence (@sequences)
	{
		$text .= "$sequence: " . $node->safe_psql($database, "SELECT last_value, is_called FROM chatrel.$sequence") . "\n";
	}
	$text .= "counters:\n" . counters($node, $database) . "\n";
	$text .= "privileges:\n" . $node->safe_psql($database, q{
		SELECT 'schema', nspacl::text FROM pg_namespace WHERE nspname = 'chatrel'
		UNION ALL
		SELECT oid::regprocedure::text, proacl::text FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace
		UNION ALL
		SELECT oid::regclass::text, relacl::text FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'v', 'S')
		ORDER BY 1});
	return $text;
}

my $source = PostgreSQL::Test::Cluster->new('source');
$source->init;
$source->start;

my $roles = q{
	CREATE ROLE app;
	CREATE ROLE gateway;
	CREATE ROLE ann;
};
$source->safe_psql('postgres', $roles);
$source->safe_psql('postgres', "CREATE DATABASE $_") foreach @databases;

# Groups and users without a channel
sub without_channel
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, q{
		SELECT (SELECT count(*) FROM chatrel.groups LEFT JOIN chatrel.groups_channels ON group_id = id WHERE channel IS NULL),
			(SELECT count(*) FROM chatrel.users LEFT JOIN chatrel.users_channels ON user_id = id WHERE channel IS NULL)});
}

# The names of all channels: secrets
sub channels
{
	my ($node, $database) = @_;

	return map { split /\n/, $node->safe_psql($database, "SELECT channel FROM chatrel.$_") } @channels;
}

# What is the same in both: groups, members, messages and their marks, a deleted user, gaps
my $chat = q{
	SELECT chatrel.create_group('first', true, as_user => 1);
	SELECT chatrel.create_group('second', as_user => 2);
	SELECT chatrel.create_group('rules', true, 'private', 'request', 'what it is for', '{"a": [1, null]}', as_user => 1);
	SELECT chatrel.join_group(1, as_user => 2);
	SELECT chatrel.join_group(2, as_user => 2);
	SELECT chatrel.join_group(2, as_user => 3);
	SELECT chatrel.send_group_message(1, 'hello', '2024-01-01 00:00:00.123456+00', as_user => 1);
	SELECT chatrel.send_group_message(1, E'tab\t newline\n quote '' backslash \\\\ and ünïcødé ☃', '9999-12-31 23:59:59.999999+00', as_user => 2);
	SELECT chatrel.send_group_message(2, 'who is deleted', as_user => 3);
	BEGIN; SELECT chatrel.send_group_message(2, 'never', as_user => 2); SELECT chatrel.create_group('never', true, as_user => 1); ROLLBACK;
	SELECT chatrel.edit_message(group_id, id, 'hello again', as_user => 1), chatrel.pin_message(group_id, id, as_user => 1),
		chatrel.add_reaction(group_id, id, '☃', as_user => 2), chatrel.mark_read(group_id, id, as_user => 1)
		FROM chatrel.groups_messages WHERE message = 'hello';
	SELECT chatrel.leave_group(1, as_user => 2);
	SELECT chatrel.update_group(3, slow_mode => '1 min', as_user => 1);
	SELECT chatrel.invite(3, '{2}', as_user => 1), chatrel.join_group(3, as_user => 2), chatrel.set_role(3, 2, 'moderator', as_user => 1);
	SELECT chatrel.invite(3, '{4}', as_user => 2), chatrel.create_invite_link(3, '3000-01-01', 5, as_user => 2);
	SELECT chatrel.invite(3, '{5}', as_user => 1), chatrel.join_group(3, as_user => 5), chatrel.send_group_message(3, 'slowly', as_user => 5), chatrel.mute_member(3, 5, as_user => 2);
	SELECT chatrel.update_group(3, posting => 'moderators', as_user => 1);
	SELECT chatrel.ban_member(3, 6, '3000-01-01', as_user => 1);
	SELECT chatrel.update_group(1, join_policy => 'request', as_user => 1), chatrel.request_to_join(1, as_user => 4);
	SELECT chatrel.direct_group('{2, 4}', as_user => 1);
	SELECT chatrel.create_group('old', true, as_user => 2), chatrel.archive_group(6, as_user => 2);
	SELECT chatrel.set_protected(true, as_user => 1), chatrel.set_direct_messages('friends', as_user => 1);
	SELECT chatrel.follow(1, 'close', as_user => 2), chatrel.accept_follow(2, as_user => 1), chatrel.follow(1, as_user => 4), chatrel.follow(2, as_user => 1);
	SELECT chatrel.block(6, as_user => 1), chatrel.mute_user(5, '3000-01-01', as_user => 1);
	SELECT chatrel.create_whiteboard(1, as_user => 1), chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}]}', as_user => 1);
	SELECT chatrel.send_group_message(1, 'long ago', '1999-12-31', as_user => 1), chatrel.purge_messages('2000-01-01');
	SELECT chatrel.listen(as_user => 1);
	SELECT chatrel.listen_all();
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT EXECUTE ON FUNCTION chatrel.create_user(text, name) TO app;
	GRANT EXECUTE ON FUNCTION chatrel.listen_all() TO gateway;
	REVOKE EXECUTE ON FUNCTION chatrel.create_group FROM PUBLIC;
};

$source->safe_psql('own', q{
	CREATE EXTENSION chatrel;
	SELECT chatrel.create_user('ann', 'ann'), chatrel.create_user('bob'), chatrel.create_user('cyd'),
		chatrel.create_user('dee'), chatrel.create_user('eli'), chatrel.create_user('fay');
} . $chat . q{
	SELECT chatrel.delete_user(3);
	SELECT chatrel.create_user('cyd');
});
$source->safe_psql('linked', q{
	CREATE EXTENSION chatrel;
	CREATE TABLE public.accounts (id serial PRIMARY KEY, "user name" text UNIQUE);
	INSERT INTO public.accounts ("user name") VALUES ('ann'), ('bob'), ('cyd'), ('dee'), ('eli'), ('fay');
	SELECT chatrel.link_users('public.accounts', 'id', 'user name');
} . $chat . q{
	DELETE FROM public.accounts WHERE id = 3;
});

# What the state of groups and users forbids, each as its SQLSTATE
sub refusals
{
	my ($node, $database) = @_;
	my (undef, undef, $stderr) = $node->psql($database, q{
		\set VERBOSITY sqlstate
		SELECT chatrel.send_group_message(6, 'archived', as_user => 2);
		SELECT chatrel.send_group_message(3, 'muted', as_user => 5);
		SELECT chatrel.invite(3, '{6}', as_user => 1);
		SELECT chatrel.join_group(1, as_user => 2);
		SELECT chatrel.pin_message(5, 1, as_user => 4);
		SELECT chatrel.set_role(3, 1, 'member', as_user => 2);
		SELECT chatrel.follow(1, as_user => 6);
		SELECT chatrel.direct_group('{1}', as_user => 6)}, on_error_stop => 0);

	return join ' ', $stderr =~ /ERROR:  (\w+)/g;
}

my %token = map { $_ => $source->safe_psql($_, 'SELECT chatrel.create_invite_link(3, as_user => 1)') } @databases;
my $refusals = refusals($source, 'own');
is(scalar(split / /, $refusals), 8, "all of it is refused: $refusals");
my %before = map { $_ => contents($source, $_) } @databases;
foreach my $database (@databases)
{
	is($source->safe_psql($database, q{SELECT relname FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C"}),
		join("\n", sort @tables, @channels, @counters, @of_cursors), "$database: these are all tables");
	is($source->safe_psql($database, q{SELECT count(*) FROM pg_sequences WHERE schemaname = 'chatrel' AND sequencename <> 'epochs_id_seq'}),
		scalar @sequences, "$database: and all sequences");
	is(counters($source, $database), counted($source, $database), "$database: the counters are right");
	foreach my $table (@tables, @channels, @counters, @of_cursors)
	{
		cmp_ok($source->safe_psql($database, "SELECT count(*) FROM chatrel.$table"), '>', 0,
			"$database: there is something in $table");
	}
}

my $dumps = PostgreSQL::Test::Utils::tempdir;
foreach my $database (@databases)
{
	$source->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/$database.custom", '-d', $source->connstr($database) ],
		"$database: pg_dump -Fc");
	# INSERT must override what is GENERATED ALWAYS; COPY, as in the other format, does
	$source->command_ok([ 'pg_dump', '--inserts', '-f', "$dumps/$database.sql", '-d', $source->connstr($database) ],
		"$database: pg_dump --inserts");
}
$source->command_ok([ 'pg_dump', '-t', 'chatrel.*', '-f', "$dumps/rows.sql", '-d', $source->connstr('own') ], 'rows only: pg_dump -t');
$source->command_ok([ 'pg_dump', '-s', '-f', "$dumps/schema.sql", '-d', $source->connstr('own') ], 'schema only: pg_dump -s');
$source->command_ok([ 'pg_dump', '-a', '-f', "$dumps/data.sql", '-d', $source->connstr('own') ], 'data only: pg_dump -a');
$source->command_ok([ 'pg_dump', '-a', '--disable-triggers', '-f', "$dumps/data_alone.sql", '-d', $source->connstr('own') ],
	'data only, without triggers: pg_dump -a --disable-triggers');
my $text = join '', map { slurp_file($_) } glob "$dumps/*.sql";
is(scalar(grep { $text =~ /\Q$_/ } map { channels($source, $_) } @databases), 0, 'no channel is told by a dump');
$source->stop;

my $target = PostgreSQL::Test::Cluster->new('target');
$target->init;
$target->start;
$target->safe_psql('postgres', $roles);

foreach my $format (qw(custom sql))
{
	foreach my $database (@databases)
	{
		my $copy = "${database}_$format";

		$target->safe_psql('postgres', "CREATE DATABASE $copy");
		if ($format eq 'custom')
		{
			$target->command_ok([ 'pg_restore', '--exit-on-error', '-d', $target->connstr($copy), "$dumps/$database.custom" ],
				"$copy: pg_restore");
		}
		else
		{
			$target->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $target->connstr($copy), '-f', "$dumps/$database.sql" ],
				"$copy: psql");
		}
		is(contents($target, $copy), $before{$database}, "$copy: rows, sequences and privileges are the same");
		is(without_channel($target, $copy), '0|0', "$copy: each group and user has a channel");
		is($target->safe_psql($copy, 'SELECT (SELECT count(*) FROM chatrel.epochs), (SELECT count(*) FROM chatrel.purges)'),
			'0|0', "$copy: cursors begin anew");

		# The sequences go on, and what is new fits what is old
		my ($last_id, $last_group, $last_member) = map { $before{$database} =~ /^$_: (\d+)\|t$/m } qw(event_ids groups_id_seq groups_members_id_seq);
		is($target->safe_psql($copy, q{SELECT id FROM chatrel.send_group_message(2, 'after', as_user => 2)}), $last_id + 1,
			"$copy: the next message has the next id");
		is($target->safe_psql($copy, q{SELECT id FROM chatrel.create_group('third', true, as_user => 2)}), $last_group + 1,
			"$copy: the next group has the next id");
		is($target->safe_psql($copy, q{SELECT max(id) FROM chatrel.groups_members}), $last_member + 1,
			"$copy: the next member has the next id");
		is($target->safe_psql($copy, q{SELECT jsonb_path_query_array(chatrel.get_group_with_chat_history(2, as_user => 2), '$.messages[*].message')}),
			'["who is deleted", "after"]', "$copy: the history goes on");
		is($target->safe_psql($copy, q{SELECT channel = 'chatrel_' || (SELECT channel FROM chatrel.groups_channels WHERE group_id = 1)
				FROM chatrel.listen_group(1, as_user => 1) AS channel}),
			't', "$copy: a group is heard on its channel");

		# and the rules hold
		is(refusals($target, $copy), $refusals, "$copy: what was refused is refused");
		is($target->safe_psql($copy, q{SELECT chatrel.direct_group('{1, 4}', as_user => 2) ->> 'id'}), '5', "$copy: a direct conversation is found again");
		is($target->safe_psql($copy, q{SELECT chatrel.get_group(3, 1, as_user => 1) ->> 'member_count'}), '3', "$copy: the members are counted");
		is($target->safe_psql($copy, qq{SELECT chatrel.join_by_link('$token{$database}', as_user => 4)}), '3', "$copy: a link lets in");

		# An event is heard on the gateway's channel, which is made by the first to ask
		my ($heard) = $target->safe_psql($copy, q{
			SELECT chatrel.listen_all();
			SELECT chatrel.send_group_message(1, 'heard', as_user => 1);
			SELECT 'end'}) =~ /(chatrel_[0-9a-f-]+)" with payload "\{"group_message"/;
		is($heard, $target->safe_psql($copy, q{SELECT 'chatrel_' || channel FROM chatrel.all_channel}),
			"$copy: the gateway hears");
	}
}

# What is kept when the extension is to be dropped
$target->safe_psql('postgres', 'CREATE DATABASE own_rows');
$target->safe_psql('own_rows', 'CREATE EXTENSION chatrel');
$target->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $target->connstr('own_rows'), '-f', "$dumps/rows.sql" ],
	'rows only: psql, into a fresh extension');
is((split /privileges:/, contents($target, 'own_rows'))[0], (split /privileges:/, $before{own})[0], 'rows only: they are all there');
is(without_channel($target, 'own_rows'), '0|0', 'rows only: and the channels');

# The schema first, and the data after it
foreach my $data (qw(data data_alone))
{
	$target->safe_psql('postgres', "CREATE DATABASE $data");
	$target->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $target->connstr($data), '-f', "$dumps/schema.sql", '-f', "$dumps/$data.sql" ],
		"$data: psql, into the schema");
	if ($data eq 'data_alone')
	{
		is(counters($target, $data), '', "$data: no counters");
		$target->safe_psql($data, q{
			SELECT chatrel.verify_follow_counts(repair => true);
			TRUNCATE chatrel.groups_counters;
			INSERT INTO chatrel.groups_counters SELECT group_id, 0, count(*) FROM chatrel.groups_members GROUP BY group_id});
	}
	is(contents($target, $data), $before{own}, "$data: rows, sequences and privileges are the same");
}
is(without_channel($target, 'data'), '0|0', 'data only: each group and user has a channel');
# Without the triggers there are none, until somebody listens
is(without_channel($target, 'data_alone'), '5|7', 'without triggers: no channels');
is($target->safe_psql('data_alone', q{SELECT count(DISTINCT channel) FROM chatrel.listen(as_user => 2)}), '5', 'without triggers: who listens makes them');

foreach my $copy (qw(own_custom own_sql))
{
	is($target->safe_psql($copy, q{SELECT id FROM chatrel.create_user('dan')}), '8', "$copy: the next user has the next id");
	is($target->safe_psql($copy, q{SET ROLE app; SELECT id FROM chatrel.create_user('eve')}), '9', "$copy: a granted function is granted");
	is($target->safe_psql($copy, q{SELECT has_function_privilege('ann', 'chatrel.create_group'::regproc, 'EXECUTE')}),
		'f', "$copy: a revoked function is revoked");
}

foreach my $copy (qw(linked_custom linked_sql))
{
	$target->safe_psql($copy, q{
		INSERT INTO accounts ("user name") VALUES ('dan');
		UPDATE accounts SET "user name" = 'robert' WHERE id = 2;
		DELETE FROM accounts WHERE id = 1;
	});
	is($target->safe_psql($copy, q{SELECT id, username, deleted_at IS NOT NULL FROM chatrel.users ORDER BY id}),
		"1|ann|t\n2|robert|f\n3|cyd|t\n4|dee|f\n5|eli|f\n6|fay|f\n7|dan|f", "$copy: the linked table's triggers work");
	my (undef, undef, $stderr) = $target->psql($copy, q{SELECT chatrel.create_user('x')});
	like($stderr, qr/the users are mirrored from table accounts/, "$copy: the link is known");
}

$target->stop;
done_testing();
