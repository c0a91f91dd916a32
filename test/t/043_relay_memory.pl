# Every way through the relay once or a few times, and little of each: for tools
# that look into a server's memory and make it fifty times slower, as valgrind
# does.  What the relay promises is tested by 040_relay.pl and 042_relay_faults.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

# The smallest queue, so that it comes to its end and begins again.
my $node = new_server('main', conf => q{
	chatrel.relay_queue_size = 64kB
	chatrel.relay_databases = 1
	chatrel.relay_idle_timeout = 2s
	max_prepared_transactions = 2
	max_worker_processes = 8
});
set_up($node, groups => 2);

my $admin = connect_to($node);
my $sender = connect_to($node);
my $gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
my $member = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');

sub send_text
{
	my ($text) = @_;

	return value($sender, q{SELECT (chatrel.send_group_message(1, ?, as_user => 1)).id}, $text);
}

# Sends the last message of a test, and returns what both have heard since the
# last time.
my $round = 0;

sub heard
{
	my $end = 'end ' . ++$round;
	my @heard;

	send_text($end);
	@heard = map { [ grep { $_ ne $end } $_->texts_until($end) ] } $gateway, $member;
	is_deeply($heard[1], $heard[0], 'gateway and member have heard the same');
	return $heard[0];
}

# The answer of a statement that fails
sub error_of
{
	my ($do) = @_;

	return eval { $do->(); 1 } ? 'no error' : $@;
}

sub savepoints
{
	$sender->begin_work;
	send_text('kept 1');
	$sender->do('SAVEPOINT a');
	send_text('rolled back 1');
	$sender->do('SAVEPOINT b');
	send_text('rolled back 2');
	$sender->do('RELEASE SAVEPOINT b');
	$sender->do('ROLLBACK TO SAVEPOINT a');
	$sender->do('SAVEPOINT c');
	send_text('kept 2');
	$sender->do('SAVEPOINT d');
	send_text('kept 3');
	$sender->do('RELEASE SAVEPOINT c');
	$sender->commit;
	return;
}

foreach my $how ('NOTIFY in the transaction', 'the relay')
{
	subtest $how => sub {
		if ($how eq 'the relay') { start_worker($sender) }
		else { $node->append_conf('postgresql.conf', 'chatrel.relay = off'); $node->reload }

		send_text('alone');
		is_deeply(heard(), ['alone'], 'a message');

		$sender->begin_work;
		send_text('rolled back');
		$sender->rollback;
		savepoints();
		is_deeply(heard(), [ 'kept 1', 'kept 2', 'kept 3' ], 'of savepoints, what was kept');

		like(error_of(sub { $sender->begin_work; send_text('prepared'); $sender->do(q{PREPARE TRANSACTION 'p'}) }),
			qr/cannot PREPARE/, 'a transaction with events is not prepared');
		$sender->rollback;
		is_deeply(heard(), [], 'nor heard');

		$sender->do(q{SELECT count(chatrel.send_group_message(1, 'many ' || i, as_user => 1)) FROM generate_series(1, 50) AS i});
		is_deeply(heard(), [ map { "many $_" } 1 .. 50 ], 'many in one transaction');

		$sender->do(q{SELECT chatrel.follow(2, as_user => 1)});
		$sender->do(q{SELECT chatrel.unfollow(2, as_user => 1)});
		$sender->do(q{SELECT chatrel.create_whiteboard(1, as_user => 1)});
		$sender->do(q{SELECT chatrel.leave_group(2, as_user => 4)});
		$sender->do(q{SELECT chatrel.join_group(2, as_user => 4)});
		is_deeply(heard(), [], 'events of other kinds are no messages');
		foreach my $kind (qw(followed whiteboard_changed member_left member_joined))
		{
			ok((grep { /^\{"$kind"/ } @{ $gateway->{heard} }), $kind);
		}
		$_->{heard} = [] foreach $gateway, $member;
	};
	$node->append_conf('postgresql.conf', 'chatrel.relay = on');
	$node->reload;
}

subtest 'sync with a wait is woken' => sub {
	my $cursor = value($admin, q{SELECT chatrel.sync('now', as_user => 2) ->> 'cursor'});
	my $waiter = spawn(sub {
		my $answer = value(connect_to($node), q{SELECT chatrel.sync(?, wait => '1 hour', as_user => 2) #>> '{events,0,group_message,message}'}, $cursor);
		die "it has found $answer" if $answer ne 'woken';
	});
	wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1 hour%' AND wait_event_type = 'Extension'}) })
		or die 'nobody waits';
	send_text('woken');
	is(reap($waiter), 0, 'it has found the message');
	is_deeply(heard(), ['woken'], 'which is heard too');
};

subtest 'the worker is terminated with events waiting' => sub {
	my $pid = stop_worker($sender);

	send_text("orphan $_") foreach 1 .. 3;
	value($admin, 'SELECT pg_terminate_backend(?)', $pid);
	continue_worker($pid);
	is_deeply(heard(), [ map { "orphan $_" } 1 .. 3 ], 'the next delivers them');
};

subtest 'the queue is full, and goes round' => sub {
	my $before = relay_row($admin)->{fallbacks_no_room};

	foreach my $round (1 .. 2)
	{
		with_stopped_worker($sender, sub {
			send_text("$round $_ " . 'x' x 480) foreach 1 .. 120;
		});
		is_deeply([ map { /^(\d+ \d+)/ } @{ heard() } ], [ map { "$round $_" } 1 .. 120 ], "round $round: all are heard in their order");
	}
	cmp_ok(relay_row($admin)->{fallbacks_no_room}, '>', $before, 'some that had no room NOTIFYed themselves');
};

subtest 'the extension is dropped with events waiting, and made again' => sub {
	with_stopped_worker($sender, sub {
		send_text('to nobody');
		$admin->do('SET client_min_messages = error');
		$admin->do('DROP EXTENSION chatrel CASCADE');
	});
	set_up($node);
	$_->{dbh}->disconnect foreach $gateway, $member;
	$gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
	$member = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');
	start_worker($sender);
	is_deeply(heard(), [], 'nothing of before is heard');
};

subtest 'the worker leaves, and comes back' => sub {
	ok(wait_until(sub { !worker_pid($admin) }), 'it has left');
	start_worker($sender);
	send_text('back');
	is_deeply(heard(), ['back'], 'it has come back');
};

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'the server has nothing to complain of');

done_testing();
