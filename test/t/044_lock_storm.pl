# Every pair of chatrel's statements that lock rows, each a transaction of its own,
# by many clients in hundreds of shared groups: nobody comes to a deadlock, whether
# the groups and users have their channels already or not, with the relay and without.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $clients = 24;
my $users = 20;
my $groups = 300;
my $rounds = 3;
my $statements = 60;

# Rows that were made in another order than that of their ids lie in another order, too.
sub set_up_storm
{
	my ($node) = @_;

	$node->safe_psql('postgres', qq{
		CREATE EXTENSION chatrel;
		SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, $users) AS i;
		SELECT count(chatrel.create_group('g' || i, as_user => 1)) FROM generate_series(1, $groups) AS i;
		SELECT count(chatrel.join_group(g, as_user => u))
		FROM (SELECT g, u FROM generate_series(1, $groups) AS g, generate_series(1, $users) AS u ORDER BY md5(g || ' ' || u)) AS pairs});
	return;
}

my %statements = (
	listen => 'SELECT count(*) FROM chatrel.listen(as_user => :user)',
	listen_group => 'SELECT chatrel.listen_group(:group, as_user => :user)',
	listen_all => 'SELECT chatrel.listen_all()',
	send => q{SELECT id FROM chatrel.send_group_message(:group, 'storm', as_user => :user)},
	join => 'SELECT chatrel.join_group(:group, as_user => :user)',
	leave => 'SELECT chatrel.leave_group(:group, as_user => :user)',
	create_group => q{SELECT id FROM chatrel.create_group('new ' || random(), true, as_user => :user)},
	create_user => q{SELECT id FROM chatrel.create_user('new ' || random())},
	whiteboard => 'SELECT chatrel.create_whiteboard(:group, as_user => :user)',
	follow => 'SELECT chatrel.follow(:other, as_user => :user)',
	follow_many => "SELECT chatrel.follow_many(ARRAY(SELECT u FROM generate_series(1, $users) AS u WHERE u <> :user ORDER BY random()), as_user => :user)",
	unfollow => 'SELECT chatrel.unfollow(:other, as_user => :user)',
	block => 'SELECT chatrel.block(:other, as_user => :user)',
	unblock => 'SELECT chatrel.unblock(:other, as_user => :user)',
	mute => 'SELECT chatrel.mute_user(:other, as_user => :user)',
	protect => 'SELECT chatrel.set_protected(random() < 0.5, as_user => :user)',
	accept => 'SELECT chatrel.accept_follow(:other, as_user => :user)',
	remove_follower => 'SELECT chatrel.remove_follower(:other, as_user => :user)',
	rename_user => q{SELECT chatrel.rename_user(:user, 'named ' || random())},
	react => q{SELECT chatrel.add_reaction(:group, (chatrel.send_group_message(:group, 'storm', as_user => :user)).id, 'x', :user)},
	erase_user => 'SELECT chatrel.erase_user(:user)',
	delete_user => 'SELECT chatrel.delete_user(:user)'
);
my %weights = (listen => 8, send => 8, join => 4, leave => 4, delete_user => 4, follow => 4, unblock => 4, accept => 2);
my @choices = map { ($_) x ($weights{$_} // 1) } sort keys %statements;

# Who was deleted is back, and in every group again.
sub revive
{
	my ($dbh, $user) = @_;

	$dbh->do('UPDATE chatrel.users SET deleted_at = NULL WHERE id = ? AND deleted_at IS NOT NULL', undef, $user);
	foreach my $group (map { 1 + int(rand($groups)) } 1 .. 20)
	{
		eval { value($dbh, 'SELECT chatrel.join_group(?, as_user => ?)', $group, $user) };
	}
	return;
}

# What another client has deleted or left is no failure; everything else is.
sub run
{
	my ($dbh, $name) = @_;
	my %ids = (user => 1 + int(rand($users)), other => 1 + int(rand($users)), group => 1 + int(rand($groups)));
	my $sql = $statements{$name} =~ s/:(user|other|group)\b/$ids{$1}/gr;

	return if eval { $dbh->selectall_arrayref($sql); revive($dbh, $ids{user}) if $name =~ /^(delete|erase)_user$/; 1 };
	die "$name: " . $dbh->errstr unless $dbh->state =~ /^(P0002|42501|22023)$/;
	return;
}

# All clients begin at once, and by listening.
sub storm
{
	my ($node) = @_;
	my $starter = connect_to($node);

	value($starter, 'SELECT pg_advisory_lock(1)');
	my @pids = map {
		my $client = $_;
		spawn(sub {
			my $dbh = connect_to($node);
			srand($client);
			value($dbh, 'SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)');
			foreach my $i (1 .. $statements)
			{
				run($dbh, $i == 1 ? 'listen' : $choices[ rand @choices ]);
				$dbh->do('UNLISTEN *') if $i % 10 == 0;
				1 while $dbh->pg_notifies;
			}
		});
	} 1 .. $clients;
	wait_until(sub { value($starter, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) == $clients })
		or die 'not all clients are there';
	value($starter, 'SELECT pg_advisory_unlock(1)');
	return reap(@pids);
}

foreach my $preloaded (0, 1)
{
	my $name = $preloaded ? 'preloaded' : 'not preloaded';
	my $node = new_server($preloaded ? 'relay' : 'plain', not_preloaded => !$preloaded,
		conf => "deadlock_timeout = 50ms\nfsync = off\n");

	set_up_storm($node);
	foreach my $round (1 .. $rounds)
	{
		$node->safe_psql('postgres', 'DELETE FROM chatrel.groups_channels; DELETE FROM chatrel.users_channels') if $round > 1;
		is(storm($node), 0, "$name, round $round: every client gets to its end");
	}
	my @deadlocks = slurp_file($node->logfile) =~ /(ERROR:  deadlock detected.*?)(?=^\S.*\bLOG:|\z)/msg;
	is(scalar @deadlocks, 0, "$name: there was no deadlock") or diag $deadlocks[0];
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM chatrel.blocks b, (SELECT follower_id, followed_id FROM chatrel.relationships
				UNION ALL SELECT follower_id, followed_id FROM chatrel.follow_requests) f
			WHERE (blocker_id, blocked_id) IN ((follower_id, followed_id), (followed_id, follower_id))}),
		'0', "$name: nobody follows, or asks to, in spite of a block");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', "$name: the counters are right");
	$node->stop;
}

done_testing();
