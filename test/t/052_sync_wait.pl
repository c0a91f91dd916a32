# sync with a wait: it returns promptly when a message commits, empty at the
# deadline, and can be cancelled.  And clients that disconnect at random points
# end with exactly the messages of the table.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use POSIX ();
use DBD::Pg qw(:async);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

# ---------- who waits ----------

sub start_wait
{
	my ($dbh, $cursor, $wait) = @_;

	$dbh->do("SELECT set_config('test.answer', chatrel.sync('$cursor', wait => '$wait', as_user => 2)::text, false)", { pg_async => 1 });
	return;
}

# The texts that it returned, and the cursor
sub end_wait
{
	my ($dbh) = @_;

	$dbh->pg_result;
	my $answer = decode_json(value($dbh, q{SELECT current_setting('test.answer')}));
	return (join(' ', map { $_->{message} } messages_in($answer)), $answer->{cursor});
}

sub is_waiting
{
	my ($admin, $pid) = @_;

	return value($admin, q{SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = ?}, $pid);
}

sub send_text
{
	my ($dbh, $text, $user) = @_;

	return value($dbh, 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', $text, $user // 1);
}

sub now_cursor
{
	my ($dbh) = @_;

	return value($dbh, q{SELECT chatrel.sync('now', as_user => 2) ->> 'cursor'});
}

# ---------- tests, preloaded or not ----------

sub test_wait
{
	my ($node, $what) = @_;
	my $admin = connect_to($node);
	my $sender = connect_to($node);
	my $waiter = connect_to($node);
	my $pid = value($waiter, 'SELECT pg_backend_pid()');
	my $waits = sub { wait_until(sub { is_waiting($admin, $pid) }, 20) || die 'it does not wait' };

	# how long from the commit to the answer
	my @delays;
	my $cursor = now_cursor($sender);
	foreach my $i (1 .. 10)
	{
		start_wait($waiter, $cursor, '1 minute');
		$waits->();
		my $start = time;
		send_text($sender, "prompt-$i");
		(my $texts, $cursor) = end_wait($waiter);
		push @delays, time - $start;
		is($texts, "prompt-$i", "$what: it returns with the message") if $texts ne "prompt-$i" || $i == 10;
	}
	my $median = (sort { $a <=> $b } @delays)[5];
	note(sprintf '%s: median %.1f ms', $what, 1000 * $median);
	# Not preloaded, it looks five times a second. Preloaded, it is woken, and else would look after one.
	cmp_ok($median, '<', 0.8, "$what: promptly") if $what eq 'preloaded';

	my $start = time;
	start_wait($waiter, $cursor, '300 ms');
	my ($texts) = end_wait($waiter);
	is($texts, '', "$what: empty at the deadline");
	cmp_ok(time - $start, '>=', 0.3, "$what: not before it");

	# What others may do does not end it: other groups, rollbacks, a transaction in progress
	start_wait($waiter, $cursor, '1 minute');
	$waits->();
	$sender->do(q{SELECT chatrel.send_group_message((chatrel.create_group('of user 1 only' || random(), true, as_user => 1)).id, 'elsewhere', as_user => 1)});
	$sender->begin_work;
	send_text($sender, 'rolled back');
	$sender->rollback;
	$sender->begin_work;
	send_text($sender, 'committed');
	send_text($admin, 'in between');
	($texts, $cursor) = end_wait($waiter);
	is($texts, 'in between', "$what: what is committed");
	start_wait($waiter, $cursor, '1 minute');
	$waits->();
	$sender->commit;
	($texts, $cursor) = end_wait($waiter);
	is($texts, 'committed', "$what: what commits late");

	# cancelled, terminated, timed out
	start_wait($waiter, $cursor, '1 hour');
	$waits->();
	value($admin, 'SELECT pg_cancel_backend(?)', $pid);
	eval { $waiter->pg_result };
	is($waiter->state, '57014', "$what: cancelled");
	is(value($waiter, 'SELECT 1'), 1, "$what: the session goes on");
	$waiter->do(q{SET statement_timeout = '100ms'});
	start_wait($waiter, $cursor, '1 hour');
	eval { $waiter->pg_result };
	is($waiter->state, '57014', "$what: timed out");
	$waiter->do('RESET statement_timeout');
	# within a transaction that goes on
	$waiter->begin_work;
	$waiter->do('SAVEPOINT s');
	$waiter->do(q{SET LOCAL statement_timeout = '100ms'});
	start_wait($waiter, $cursor, '1 hour');
	eval { $waiter->pg_result };
	$waiter->do('ROLLBACK TO s');
	send_text($sender, 'after the savepoint');
	start_wait($waiter, $cursor, '1 minute');
	($texts, $cursor) = end_wait($waiter);
	is($texts, 'after the savepoint', "$what: after a savepoint that was rolled back to");
	$waiter->rollback;

	# in a transaction with a snapshot of its own
	$waiter->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	value($waiter, 'SELECT count(*) FROM chatrel.groups_messages');
	start_wait($waiter, $cursor, '1 minute');
	$waits->();
	send_text($sender, 'newer than the snapshot');
	($texts, $cursor) = end_wait($waiter);
	is($texts, 'newer than the snapshot', "$what: in a transaction of a higher isolation level");
	$waiter->rollback;

	# many, who all get it
	my @waiters = map { connect_to($node) } 1 .. 40;
	start_wait($_, $cursor, '1 minute') foreach @waiters;
	wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%chatrel.sync%'}) >= 40 })
		or die 'they do not wait';
	send_text($sender, 'to all');
	is(scalar(grep { (end_wait($_))[0] eq 'to all' } @waiters), 40, "$what: forty who wait all get it");
	start_wait($_, $cursor, '1 hour') foreach @waiters[ 0 .. 9 ];
	is(scalar(grep { value($admin, 'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = ?', $_->{pg_pid}) } @waiters[ 0 .. 9 ]),
		10, "$what: ten are terminated while they wait");
	abandon(@waiters);
	return;
}

# Clients that wait, and whose connections end at any moment: they go on from the last answer they have got.
sub test_disconnecting
{
	my ($node, $what) = @_;
	my $admin = connect_to($node);
	my $start = now_cursor($admin);
	my $first = value($admin, 'SELECT coalesce(max(id), 0) FROM chatrel.groups_messages');
	my $file = $node->basedir . '/has_';
	my @senders = map {
		my $user = $_;
		spawn(sub {
			my $dbh = connect_to($node);
			foreach my $i (1 .. 150)
			{
				$dbh->begin_work;
				send_text($dbh, "$user-$i-$_", $user) foreach 1 .. 1 + int rand 3;
				sleep 0.02 * rand;
				rand() < 0.8 ? $dbh->commit : $dbh->rollback;
			}
		});
	} 1 .. 4;
	my @clients = map { my $client = $_; spawn(sub { disconnecting_client($node, $start, "$file$client") }) } 1 .. 6;

	# Those that the clients do not end themselves
	my $killed = 0;
	my %running = map { $_ => 1 } @senders;
	while (%running)
	{
		waitpid($_, POSIX::WNOHANG()) == $_ and delete $running{$_} foreach keys %running;
		$killed += value($admin, q{
			SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE application_name = 'disconnecting' ORDER BY random() LIMIT 1) AS k});
		sleep 0.03;
	}
	append_to_file("${file}end", '');
	is(reap(@clients), 0, "$what: clients that disconnect and are terminated ($killed times)");
	my $all = join ' ', @{ $admin->selectcol_arrayref('SELECT id FROM chatrel.groups_messages WHERE id > ? ORDER BY id', undef, $first) };
	foreach my $client (1 .. 6)
	{
		my $has = slurp_file("$file$client");
		ok($has eq $all, "$what: client $client has every message, once") or diag("has $has\nthe table $all");
	}
	return;
}

sub disconnecting_client
{
	my ($node, $cursor, $file) = @_;
	my (@has, $dbh);

	srand;
	while (1)
	{
		my $over = -e ($file =~ s/\d+$/end/r);
		my $limit = 1 + int rand 20;
		my $answer = eval {
			$dbh //= connect_to($node);
			$dbh->do(q{SET application_name = 'disconnecting'}) if !$over;
			$dbh->do("SELECT set_config('test.answer', chatrel.sync('$cursor', event_limit => $limit, wait => '200 ms', as_user => 2)::text, false)", { pg_async => 1 });
			if (!$over && rand() < 0.2)
			{
				# gone before the answer
				sleep 0.1 * rand;
				die 'disconnected';
			}
			$dbh->pg_result;
			decode_json(value($dbh, q{SELECT current_setting('test.answer')}));
		};
		if (!$answer)
		{
			abandon($dbh) if $dbh;
			undef $dbh;
			next;
		}
		push @has, map { $_->{id} } messages_in($answer);
		$cursor = $answer->{cursor};
		last if $over && !@{ $answer->{events} } && !$answer->{more};
	}
	append_to_file($file, join ' ', sort { $a <=> $b } @has);
	return;
}

# Whoever waits keeps no lock: neither maintenance waits for it, nor others behind that.
sub test_locks
{
	my ($node, $what) = @_;
	my ($waiter, $owner, $sender) = map { connect_to($node) } 1 .. 3;
	my $pid = $waiter->{pg_pid};

	$owner->do(q{SET lock_timeout = '100 s'});
	foreach my $begin (0, 1)
	{
		my $cursor = value($owner, q{SELECT chatrel.sync('now', as_user => 2) ->> 'cursor'});

		$waiter->begin_work if $begin;
		$waiter->do("SELECT chatrel.sync('$cursor', wait => '1 hour', as_user => 2)", { pg_async => PG_ASYNC });
		wait_until(sub { value($owner, q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = ?}, $pid) })
			or die 'it does not wait';
		is(value($owner, q{SELECT count(*) FROM pg_locks WHERE pid = ? AND locktype = 'relation'
			AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace)}, $pid), 0,
			"$what: no lock of a table" . ($begin ? ' in a transaction' : ''));
		$owner->do("VACUUM FULL chatrel.$_") foreach qw(groups_messages groups_members users);
		$sender->do(q{SELECT chatrel.send_group_message(1, 'wake up', as_user => 1)});
		is($waiter->pg_result, 1, '... and it hears of what is sent');
		$waiter->rollback if $begin;
	}
	$_->disconnect foreach $waiter, $owner, $sender;
	return;
}

foreach my $preloaded (1, 0)
{
	my $what = $preloaded ? 'preloaded' : 'not preloaded';
	my $node = new_server($preloaded ? 'preloaded' : 'plain', not_preloaded => !$preloaded);

	set_up($node);
	test_wait($node, $what);
	test_locks($node, $what);
	test_disconnecting($node, $what);
	$node->stop;
}
done_testing();
