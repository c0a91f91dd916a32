# The relay when something is broken: workers that are killed, that cannot
# start, or that cannot deliver; a server that crashes or stops; databases and
# extensions that are dropped under it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = new_server('main', conf => q{
	chatrel.relay_queue_size = 1MB
	chatrel.relay_databases = 2
	chatrel.relay_idle_timeout = 2s
	max_worker_processes = 8
	wal_level = logical
	restart_after_crash = on
}, allows_streaming => 1);
set_up($node);

my ($admin, $sender, $gateway);

sub connect_all
{
	$admin = connect_to($node);
	$sender = connect_to($node);
	$sender->do(q{SET statement_timeout = '60s'});
	$gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
	return;
}
connect_all();

sub send_as
{
	my ($dbh, $text, $user) = @_;

	return value($dbh, 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', $text, $user // 1);
}

sub send_text
{
	my ($text) = @_;

	return send_as($sender, $text);
}

# Sends the last message of a test, and returns what was heard since the last time.
my $round = 0;

sub heard
{
	my $end = 'end ' . ++$round;

	send_text($end);
	return grep { $_ ne $end } $gateway->texts_until($end);
}

# Kills the worker every now and then until the clients have ended; how often
sub terminate_workers
{
	my ($running) = @_;
	my $killed = 0;

	while ($running->())
	{
		my $pid = worker_pid($admin);

		$killed += value($admin, 'SELECT pg_terminate_backend(?)::int', $pid) if $pid;
		$gateway->hear(0.05);
	}
	return $killed;
}

subtest 'the worker is terminated again and again under load' => sub {
	my $member = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');
	my %running = map {
		my $user = $_;
		spawn(sub {
			my $dbh = connect_to($node);
			foreach my $i (1 .. 1500)
			{
				if ($i % 10 == 0) { $dbh->begin_work; send_as($dbh, 'rolled back', $user); $dbh->rollback }
				send_as($dbh, "kill $user $i", $user);
			}
		}) => 1;
	} 1 .. 4;
	my $first = @{ $gateway->{heard} };
	my $failed = 0;
	my $killed = terminate_workers(sub {
		foreach my $pid (keys %running)
		{
			next unless waitpid($pid, POSIX::WNOHANG()) == $pid;
			$failed++ if $?;
			delete $running{$pid};
		}
		return scalar keys %running;
	});
	is($failed, 0, 'no send failed');
	cmp_ok($killed, '>=', 3, "workers were terminated ($killed)");
	send_text('killing over');
	$gateway->hear_until('killing over');
	foreach my $listener ([ 'gateway', messages_of(@{ $gateway->{heard} }[ $first .. $#{ $gateway->{heard} } ]) ],
		[ 'member', $member->texts_until('killing over') ])
	{
		my ($name, @texts) = @$listener;
		foreach my $user (1 .. 4)
		{
			is_deeply([ map { /^kill $user (\d+)/ ? $1 : () } @texts ], [ 1 .. 1500 ], "$name: sender $user: in order, each once");
		}
		is(scalar(grep { /rolled back/ } @texts), 0, "$name: nothing that was rolled back");
	}
};

subtest 'a worker that is terminated with events waiting is replaced' => sub {
	my $pid = stop_worker($sender);
	send_text("orphan $_") foreach 1 .. 50;
	value($admin, 'SELECT pg_terminate_backend(?)', $pid);
	continue_worker($pid);
	# Nobody sends: the worker comes by itself
	is_deeply([ $gateway->texts_until('orphan 50') ], [ map { "orphan $_" } 1 .. 50 ], 'and the next delivers them');
	isnt(worker_pid($admin), $pid, 'it is another process');
};

# Workers that have not connected yet are in no view.  Children of our server only.
sub worker_processes
{
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

	return grep {
		my $stat = eval { slurp_file("/proc/$_/stat") } // '';
		my $name = eval { slurp_file("/proc/$_/cmdline") } // '';
		$stat =~ /\) \w $postmaster / && $name =~ /chatrel relay/;
	} map { m{(\d+)} } glob '/proc/[0-9]*';
}

subtest 'so is one that is terminated before it has connected' => sub {
	my $pid = stop_worker($sender);
	send_text("orphan $_") foreach 51 .. 100;
	# Connecting has to wait
	$admin->begin_work;
	$admin->do('LOCK TABLE pg_database');
	kill 'TERM', $pid;
	continue_worker($pid);
	my $next = wait_until(sub { return (grep { $_ != $pid } worker_processes())[0] }) or die 'not replaced';
	wait_until(sub { value($admin, 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ?', $next) }) or die 'it does not wait';
	kill 'TERM', $next;
	wait_until(sub { !-e "/proc/$next" }) or die 'it does not end';
	$admin->rollback;
	is_deeply([ $gateway->texts_until('orphan 100') ], [ map { "orphan $_" } 51 .. 100 ], 'the next delivers what is waiting');
};

subtest 'a storm of signals' => sub {
	my $client = spawn(sub { my $dbh = connect_to($node); send_as($dbh, "storm $_") for 1 .. 1000 });
	while (waitpid($client, POSIX::WNOHANG()) == 0)
	{
		my $pid = worker_pid($admin) // next;
		kill $_, $pid foreach ('HUP', 'USR1', 'INT') x 20;
	}
	is_deeply([ heard() ], [ map { "storm $_" } 1 .. 1000 ], 'nothing is lost or heard twice');
};

subtest 'a worker that fails to deliver' => sub {
	my $log = -s $node->logfile;
	start_worker($sender);
	$admin->do('ALTER TABLE chatrel.groups_channels RENAME channel TO broken');
	send_text("broken $_") foreach 1 .. 100;
	$node->wait_for_log(qr/column "channel" does not exist/, $log);
	my $errors = sub { return scalar(() = slurp_file($node->logfile, $log) =~ /chatrel_relay|column "channel" does not exist/g) };
	my ($before, $start) = ($errors->(), time);
	foreach my $i (101 .. 300) { send_text("broken $i"); sleep 0.005 }
	my $allowed = 10 + 20 * (time - $start);
	cmp_ok($errors->() - $before, '<', $allowed, 'it does not try, and complain, with every send');
	is_deeply([ $gateway->hear(0) ], [], 'sends go on, unheard');
	$admin->do('ALTER TABLE chatrel.groups_channels RENAME broken TO channel');
	is_deeply([ $gateway->texts_until('broken 300') ], [ map { "broken $_" } 1 .. 300 ], 'heard when it can deliver again');
};

# A listener that is stuck in a transaction, and what it keeps in the queue of NOTIFY, until that is full
sub fill_queue_of_notify
{
	my $stuck = connect_to($node);
	my $filler = connect_to($node);

	$stuck->do('LISTEN anything');
	$stuck->begin_work;
	$stuck->do('SELECT 1');
	eval { while (1) { $filler->do(q{SELECT count(pg_notify('anything', repeat('x', 7000) || random())) FROM generate_series(1, 10)}) } };
	like($@, qr/too many notifications/, 'it is full');
	return $stuck;
}

subtest 'the queue of NOTIFY is full' => sub {
	plan skip_all => 'its size cannot be set before PostgreSQL 17, and filling 8 GB is too much'
		if $node->pg_version < 17;
	$node->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$node->restart;
	connect_all();
	start_worker($sender);

	my $log = -s $node->logfile;
	my $stuck = fill_queue_of_notify();
	send_text("full $_") foreach 1 .. 500;
	$node->wait_for_log(qr/too many notifications/, $log);
	pass('sends go on');
	$stuck->rollback;
	$stuck->disconnect;
	is_deeply([ $gateway->texts_until('full 500') ], [ map { "full $_" } 1 .. 500 ], 'all are heard when there is room');

	$node->safe_psql('postgres', 'ALTER SYSTEM SET chatrel.relay = off');
	$node->reload;
	wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'off' }) or die 'the relay is not turned off';
	$stuck = fill_queue_of_notify();
	ok(!eval { send_text('without the relay'); 1 }, 'without the relay a send fails');
	like($@, qr/too many notifications/, 'and says why');
	$stuck->rollback;
	$stuck->disconnect;
	send_text('there is room again');
	is_deeply([ $gateway->texts_until('there is room again') ], ['there is room again'], 'the next is sent and heard');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET chatrel.relay');
	$node->reload;
	$node->adjust_conf('postgresql.conf', 'max_notify_queue_pages', undef);
	$node->restart;
	connect_all();
};

# A session with the lock that NOTIFY takes: its commit waits for a standby that never comes.
sub hold_up_notify
{
	my $slow = connect_to($node);

	$_->do('SET synchronous_commit = local') foreach $admin, $sender;
	$admin->do('CREATE TABLE anything (a int)');
	$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
	$node->reload;
	# From when on it does is up to the checkpointer
	wait_until(sub {
		$slow->do(q{INSERT INTO anything SELECT 1 FROM pg_notify('anything', '')}, { pg_async => 1 });
		return 1 if wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) }, 1);
		$slow->pg_result;
		return 0;
	}) or die 'nobody waits for the standby';
	return $slow;
}

sub let_go_of_notify
{
	my ($slow) = @_;

	$node->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
	$node->reload;
	$slow->pg_result;
	$admin->do('DROP TABLE anything');
	$_->do('RESET synchronous_commit') foreach $admin, $sender;
	return;
}

subtest 'somebody else holds up everybody who uses NOTIFY' => sub {
	start_worker($sender);
	my $slow = hold_up_notify();
	send_text("held up $_") foreach 1 .. 100;
	pass('sends go on');
	is_deeply([ $gateway->hear(0.2) ], [], 'unheard');
	let_go_of_notify($slow);
	is_deeply([ $gateway->texts_until('held up 100') ], [ map { "held up $_" } 1 .. 100 ], 'and heard then');
};

subtest 'a transaction that delivers for others, and then fails' => sub {
	my $other = connect_to($node);

	$admin->do('CREATE TABLE skew (who text)');
	with_stopped_worker($sender, sub {
		# More than there is room for: then it knows the channels, and reads nothing that would fail earlier
		my $too_much = q{SELECT count(chatrel.send_group_message(1, repeat('x', 500), as_user => 1)) FROM generate_series(1, 3000)};
		$other->do($too_much);
		send_text("waiting $_") foreach 1 .. 3;
		$_->do('BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL synchronous_commit = local') foreach $sender, $other;
		value($_, 'SELECT count(*) FROM skew') foreach $sender, $other;
		$_->do('INSERT INTO skew VALUES (pg_backend_pid())') foreach $sender, $other;
		# It delivers what is queued, and is held up there
		$other->do($too_much);
		my $slow = hold_up_notify();
		$other->do('COMMIT', { pg_async => 1 });
		wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'object'}) })
			or die 'it is not held up';
		$sender->do('COMMIT');
		let_go_of_notify($slow);
		eval { $other->pg_result };
		is($other->state, '40001', 'its commit is refused at the last moment');
	});
	is_deeply([ grep { !/^x/ } heard() ], [ map { "waiting $_" } 1 .. 3 ], 'what it was to deliver is heard all the same');
	$admin->do('DROP TABLE skew');
};

subtest 'logical replication writes messages' => sub {
	my $publisher = new_server('publisher', allows_streaming => 1, conf => "wal_level = logical\n");
	set_up($publisher);
	$publisher->safe_psql('postgres', q{
		CREATE TABLE orders (id int PRIMARY KEY);
		CREATE PUBLICATION chat FOR TABLE chatrel.groups_messages, orders});
	$node->safe_psql('postgres', q{TRUNCATE chatrel.groups_messages CASCADE});
	my $cursor = value($sender, q{SELECT chatrel.sync(as_user => 2) ->> 'cursor'});
	$node->safe_psql('postgres', q{
		CREATE TABLE orders (id int PRIMARY KEY);
		CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM chatrel.send_group_message(1, 'order ' || NEW.id, as_user => 1); RETURN NEW; END $$;
		CREATE TRIGGER announce AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION announce();
		ALTER TABLE orders ENABLE REPLICA TRIGGER announce;
		SELECT setval('chatrel.event_ids', 1000000)});
	$node->safe_psql('postgres', 'CREATE SUBSCRIPTION chat CONNECTION \'' . $publisher->connstr . ' dbname=postgres\' PUBLICATION chat');
	$node->wait_for_subscription_sync($publisher, 'chat');

	my $waiter = connect_to($node);
	$waiter->do("SELECT chatrel.sync('$cursor', wait => '1 minute', as_user => 2)", { pg_async => 1 });
	$publisher->safe_psql('postgres', q{SELECT chatrel.send_group_message(1, 'replicated', as_user => 1)});
	ok(wait_until(sub { value($admin, q{SELECT count(*) FROM chatrel.groups_messages WHERE message = 'replicated'}) }), 'rows arrive');
	ok(wait_until(sub { $waiter->pg_ready }, 10), 'who waits in sync sees them within seconds');
	$waiter->pg_result;
	$publisher->safe_psql('postgres', q{INSERT INTO orders SELECT generate_series(1, 3)});
	is_deeply([ $gateway->texts_until('order 3') ], [ 'order 1', 'order 2', 'order 3' ],
		'a trigger there that sends is heard');
	send_text('sent here');
	is_deeply([ $gateway->texts_until('sent here') ], ['sent here'], 'rows alone are no events, and sending goes on');
	$node->safe_psql('postgres', 'DROP SUBSCRIPTION chat; DROP TABLE orders; TRUNCATE chatrel.groups_messages CASCADE');
	$publisher->stop;
};

subtest 'who locks the tables one by one does not come to a deadlock with the worker' => sub {
	start_worker($sender);
	my $locker = connect_to($node);
	$locker->begin_work;
	$locker->do('LOCK TABLE chatrel.users_channels');
	# It is told to the user, and to the group
	$sender->do('SELECT chatrel.leave_group(1, as_user => 4)');
	$sender->do('SELECT chatrel.join_group(1, as_user => 4)');
	wait_until(sub { relay_row($admin)->{bytes_waiting} > 0 });
	wait_until(sub {
		return value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay' AND (state = 'active' OR wait_event IN ('Extension', 'ChatrelRelayRetry'))});
	});
	my $log = -s $node->logfile;
	ok(eval { $locker->do('LOCK TABLE chatrel.groups_channels'); 1 }, 'they get the locks') or diag $@;
	$locker->rollback;
	is(join(' ', map { /"(member_\w+)"/ } $gateway->hear_until((map { send_text($_); $_ } 'locked')[0])), 'member_left member_joined', 'and the events are heard then');
	unlike(slurp_file($node->logfile, $log), qr/deadlock/, 'the worker was not the victim either');
};

# Who sends while the tables are dropped may come to a deadlock with who drops them.
sub drop_extension
{
	wait_until(sub {
		return 1 if eval { $admin->do('DROP EXTENSION chatrel'); 1 };
		die $@ if $admin->state ne '40P01';
		return 0;
	});
	return;
}

subtest 'DROP EXTENSION under load, and CREATE again' => sub {
	my @clients = map {
		my $user = $_;
		spawn(sub {
			my $dbh = connect_to($node);
			my $deadline = time + 30;
			# until the group of the new extension is gone too
			while (time < $deadline)
			{
				eval { send_as($dbh, "dropped $user", $user) };
				last if $@ && $@ =~ /all over/;
				last if -e $node->basedir . '/all_over';
			}
		});
	} 1 .. 4;
	$gateway->hear_until('dropped 1');
	foreach my $time (1 .. 3)
	{
		$admin->do(q{SET statement_timeout = '20s'});
		drop_extension();
		pass("dropped, time $time");
		set_up($node);
		ok(wait_until(sub { value($admin, 'SELECT count(*) FROM chatrel.groups_messages') }, 20), 'and there are messages again');
	}
	drop_extension();
	set_up($node);
	append_to_file($node->basedir . '/all_over', '');
	is(reap(@clients), 0, 'the clients went on');
	connect_all();
	send_text('after');
	is_deeply([ grep { !/^dropped/ } heard() ], ['after'], 'and what is sent now is heard');

	unlike(slurp_file($node->logfile), qr/Process \d+: delivering events/, 'the relay was in no deadlock');

	# Nor are those of a transaction that drops it.
	foreach my $relay ('on', 'off')
	{
		$node->safe_psql('postgres', "ALTER SYSTEM SET chatrel.relay = $relay");
		$node->reload;
		wait_until(sub { value($sender, 'SHOW chatrel.relay') eq $relay }) or die 'not reloaded';
		start_worker($sender) if $relay eq 'on';
		$sender->begin_work;
		send_text('and it was dropped');
		$sender->do('DROP EXTENSION chatrel');
		ok(eval { $sender->commit }, "a transaction that sends, and drops the extension, relay $relay") or diag($sender->errstr);
		$sender->rollback if !$sender->{AutoCommit};
		$sender->do('DROP EXTENSION IF EXISTS chatrel');
		set_up($node);
		connect_all();
	}
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET chatrel.relay');
	$node->reload;
	wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'on' }) or die 'not reloaded';

	# Events that wait when the extension is dropped are nobody's.
	my $pid = stop_worker($sender);
	send_text("of the old extension $_") foreach 1 .. 5;
	$admin->do('DROP EXTENSION chatrel');
	set_up($node);
	connect_all();
	continue_worker($pid);
	send_text('of the new extension');
	is_deeply([ $gateway->texts_until('of the new extension') ], ['of the new extension'], 'events of an extension that was dropped are not heard');
};

subtest 'DROP DATABASE' => sub {
	foreach my $force ('', 'WITH (FORCE)')
	{
		# As often as there are queues, and once more
		foreach my $time ($force ? (1 .. 3) : (1))
		{
			$node->safe_psql('postgres', 'CREATE DATABASE brief');
			set_up($node, database => 'brief');
			my $brief = connect_to($node, 'brief');
			my $pid = start_worker($brief);
			if ($force)
			{
				$pid = stop_worker($brief);
				send_as($brief, "never heard $_") foreach 1 .. 10;
				$brief->disconnect;
				my $client = spawn(sub { connect_to($node)->do("DROP DATABASE brief $force") });
				wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%' AND pid <> pg_backend_pid()}) });
				continue_worker($pid);
				is(reap($client), 0, "DROP DATABASE $force with events waiting");
			}
			else
			{
				send_as($brief, "heard $_") foreach 1 .. 10;
				$brief->disconnect;
				ok(eval { $admin->do('DROP DATABASE brief'); 1 }, 'DROP DATABASE soon after traffic') or diag $@;
			}
		}
	}
	# No queue has stayed behind with a database that is no more.
	$node->safe_psql('postgres', 'CREATE DATABASE lasting');
	set_up($node, database => 'lasting');
	my $lasting = connect_to($node, 'lasting');
	ok(eval { local $Realtime::patience = 15; start_worker($lasting) }, 'another database gets the queue of a dropped one') or diag $@;
};

subtest 'fast shutdown with events waiting' => sub {
	connect_all();
	start_worker($sender);
	my $log = -s $node->logfile;
	$admin->do('ALTER TABLE chatrel.groups_channels RENAME channel TO broken');
	send_text("never delivered $_") foreach 1 .. 100;
	$node->wait_for_log(qr/column "channel" does not exist/, $log);
	cmp_ok(relay_row($admin)->{bytes_waiting}, '>', 0, 'events wait');
	$node->stop('fast');
	$node->start;
	connect_all();
	$admin->do('ALTER TABLE chatrel.groups_channels RENAME broken TO channel');
	$gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
	start_worker($sender);
	send_text('after the restart');
	is_deeply([ heard() ], ['after the restart'], 'and the relay works after it');
};

subtest 'a crash of the server' => sub {
	foreach my $victim ('backend', 'worker')
	{
		my $worker = stop_worker($sender);
		send_text("lost event $_") foreach 1 .. 20;
		my $messages = value($admin, q{SELECT count(*) FROM chatrel.groups_messages});
		my $log = -s $node->logfile;
		kill 'KILL', $victim eq 'worker' ? $worker : value($sender, 'SELECT pg_backend_pid()');
		continue_worker($worker);
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
		connect_all();
		is_deeply([ map { $_->[0] } @{ $admin->selectall_arrayref('SELECT sum(queued + delivered + bytes_waiting) FROM chatrel.relay') } ],
			[undef], "kill -9 of a $victim: the queues are new");
		is(value($admin, q{SELECT count(*) FROM chatrel.groups_messages}), $messages, 'the messages are there');
		start_worker($sender);
		send_text('after the crash');
		is_deeply([ heard() ], ['after the crash'], 'and the relay works');
	}
};

subtest 'max_worker_processes is exhausted' => sub {
	# One is for logical replication and one for presence, one would be the relay's.
	$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
	$node->restart;
	connect_all();
	send_text("no worker $_") foreach 1 .. 5;
	is_deeply([ heard() ], [ map { "no worker $_" } 1 .. 5 ], 'heard without a worker');
	cmp_ok(relay_row($admin)->{fallbacks_no_worker}, '>=', 5, 'by the transactions themselves');
	is(relay_row($admin)->{queued}, 0, 'nothing is queued');

	$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
	$node->restart;
	connect_all();
	my $pid = stop_worker($sender);
	send_text("only worker $_") foreach 1 .. 5;
	value($admin, 'SELECT pg_terminate_backend(?)', $pid);
	continue_worker($pid);
	is_deeply([ $gateway->texts_until('only worker 5') ], [ map { "only worker $_" } 1 .. 5 ],
		'the only worker there can be is terminated, and replaced');
};

$node->stop;
done_testing();
