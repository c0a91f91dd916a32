# The relay's promises while nothing is broken: what is heard, when, in which
# order and how often; and when a transaction uses NOTIFY itself.  What happens
# when something is broken is in 042_relay_faults.pl.

use strict;
use warnings;

use FindBin;
use List::Util qw(sum);
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

# Only who asks for it waits for a standby that never comes.
my $node = new_server('main', allows_streaming => 1, conf => q{
	synchronous_standby_names = 'nobody'
	synchronous_commit = local
	chatrel.relay_queue_size = 64kB
	chatrel.relay_databases = 1
	chatrel.relay_idle_timeout = 4s
	max_prepared_transactions = 2
	max_worker_processes = 8
});
set_up($node, groups => 2);

my $admin = connect_to($node);
my $sender = connect_to($node);
$sender->do(q{SET statement_timeout = '60s'});

# A gateway hears everything; a member hears the group.
my $gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
my $member = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');

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

# The length of an event depends on the digits of its time.
sub send_timeless
{
	my ($text) = @_;

	return value($sender, q{SELECT (chatrel.send_group_message(1, ?, '2024-01-01 00:00+00', as_user => 1)).id}, $text);
}

# Sends the last message of a test, and returns what both have heard since the last time.
my $round = 0;

sub heard_by_both
{
	my $end = 'end ' . ++$round;

	send_text($end);
	my @gateway = $gateway->texts_until($end);
	my @member = $member->texts_until($end);
	is_deeply(\@member, \@gateway, 'gateway and member have heard the same');
	return grep { $_ ne $end } @gateway;
}

sub fallbacks
{
	my (@reasons) = @_;

	return sum map { relay_row($admin)->{"fallbacks_$_"} // 0 } @reasons;
}

subtest 'the first event starts the worker, and is heard' => sub {
	# That the groups were made is an event too.
	ok(wait_until(sub { !worker_pid($admin) }), 'no worker before it');
	send_text('first');
	is_deeply([ heard_by_both() ], ['first'], 'heard');
	ok(fallbacks('no_worker') > 0, 'by the transaction itself');
	ok(start_worker($sender), 'the worker comes');
	my $queued = relay_row($admin)->{queued};
	send_text('second');
	is_deeply([ heard_by_both() ], ['second'], 'heard');
	is(relay_row($admin)->{queued}, $queued + 2, 'by the relay');
	ok(wait_until(sub { relay_row($admin)->{delivered} == $queued + 2 }), 'which counts it');
};

subtest 'an event is delivered only when its transaction is visible' => sub {
	start_worker($sender);
	my $queued = relay_row($admin)->{queued};

	# A commit that waits for a standby is flushed, and not visible.
	$sender->do('SET synchronous_commit = on');
	my $pid = value($sender, 'SELECT pg_backend_pid()');
	$sender->do(q{SELECT chatrel.send_group_message(1, 'invisible', as_user => 1)}, { pg_async => 1 });
	ok(wait_until(sub { (value($admin, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ?', $pid) // '') eq 'SyncRep' }),
		'the sender waits for the standby');
	is(relay_row($admin)->{queued}, $queued, 'nothing is queued');
	is_deeply([ $gateway->hear(0.2) ], [], 'nothing is heard');
	$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = ''});
	$node->reload;
	$sender->pg_result;
	$sender->do('RESET synchronous_commit');
	is_deeply([ heard_by_both() ], ['invisible'], 'heard when it is visible');
};

subtest 'whatever is heard under load is visible to who asks then' => sub {
	my @clients = map {
		my $user = $_;
		spawn(sub { my $dbh = connect_to($node); send_as($dbh, "load $user $_", $user) for 1 .. 300 });
	} 1 .. 4;
	my (%seen, $invisible);
	my $deadline = time + 60;

	while (keys %seen < 1200 && time < $deadline)
	{
		my @ids = map { /"group_message": \{"id": (\d+).*"message": "load / ? $1 : () } $gateway->hear(0.1);
		next unless @ids;
		$invisible += @ids - value($admin, 'SELECT count(*) FROM chatrel.groups_messages WHERE id = ANY (?)', \@ids);
		$seen{$_}++ foreach @ids;
	}
	is(reap(@clients), 0, 'all were sent');
	is(keys %seen, 1200, 'all are heard');
	is((grep { $_ > 1 } values %seen), 0, 'none twice');
	is($invisible, 0, 'each was visible when it was heard');
	send_text('load over');
	$_->hear_until('load over') foreach $gateway, $member;
};

subtest 'nothing is heard of what is rolled back' => sub {
	start_worker($sender);
	$sender->do('BEGIN');
	send_text('gone with the transaction');
	$sender->do('ROLLBACK');
	$sender->do('BEGIN');
	send_text('kept 1');
	$sender->do('SAVEPOINT a');
	send_text('gone with a');
	$sender->do('SAVEPOINT b');
	send_text('gone with b, released into a');
	$sender->do('RELEASE b');
	$sender->do('ROLLBACK TO a');
	send_text('kept 2');
	$sender->do('SAVEPOINT c');
	send_text('kept 3');
	$sender->do('RELEASE c');
	$sender->do('COMMIT');
	eval { $sender->do(q{SELECT chatrel.send_group_message(1, 'gone with the error', as_user => 1), 1 / (random() * 0)::int}) };
	like($@, qr/division by zero/, 'a statement that fails');
	is_deeply([ heard_by_both() ], [ 'kept 1', 'kept 2', 'kept 3' ], 'only what was committed, in its order');
	wait_until(sub { relay_row($admin)->{queued} == relay_row($admin)->{delivered} });
	is(relay_row($admin)->{bytes_waiting}, 0, 'no space is left reserved');
};

subtest 'a commit that fails at the last moment' => sub {
	my $other = connect_to($node);
	my $refused = 0;

	$_->do('SET default_transaction_isolation = serializable') foreach $sender, $other;
	$admin->do('CREATE TABLE skew (who text)');
	start_worker($sender);
	# Each reads what the other writes: the second commit is refused, after space was reserved.
	foreach my $time (1 .. 200)
	{
		foreach my $dbh ($sender, $other)
		{
			$dbh->begin_work;
			value($dbh, 'SELECT count(*) FROM skew');
			$dbh->do('INSERT INTO skew VALUES (pg_backend_pid())');
			send_as($dbh, ($dbh == $other ? 'refused ' : 'accepted ') . $time . 'x' x 450);
		}
		$sender->commit;
		$refused++ if !eval { $other->commit } && $other->state eq '40001';
	}
	is($refused, 200, 'commits are refused');
	is(scalar(grep { /^refused/ } heard_by_both()), 0, 'nothing is heard of them');

	$_->do('RESET default_transaction_isolation') foreach $sender, $other;
	my $before = fallbacks('no_room');
	start_worker($sender);
	send_text('there is room');
	is(fallbacks('no_room'), $before, 'the space that was reserved for them is free');
	ok(wait_until(sub { !worker_pid($admin) }, 20), 'and the worker leaves');
	is_deeply([ heard_by_both() ], ['there is room'], 'and the next one delivers');
	$admin->do('DROP TABLE skew');
};

subtest 'the sender does not wait for a stopped worker' => sub {
	with_stopped_worker($sender, sub {
		my $queued = relay_row($admin)->{queued};

		send_text("unheard $_") foreach 1 .. 20;
		is_deeply([ $gateway->hear(0.2) ], [], 'and not heard');
		is(relay_row($admin)->{queued}, $queued + 20, 'they are queued');
		ok(relay_row($admin)->{bytes_waiting} > 0, 'the view shows that they wait');
		ok(value($admin, q{SELECT oldest_waiting BETWEEN now() - interval '1 minute' AND now() FROM chatrel.relay WHERE database = 'postgres'}),
			'and since when');
	});
	is_deeply([ heard_by_both() ], [ map { "unheard $_" } 1 .. 20 ], 'heard when it goes on');
	wait_until(sub { relay_row($admin)->{bytes_waiting} == 0 });
	is(relay_row($admin)->{oldest_waiting}, undef, 'nothing waits then');
};

subtest 'a full queue: the transaction uses NOTIFY, and overtakes nothing' => sub {
	my $before = fallbacks('no_room');
	my $fill = 'x' x 400;

	with_stopped_worker($sender, sub { send_text("one $_ $fill") foreach 1 .. 500 });
	cmp_ok(fallbacks('no_room'), '>', $before, 'there was no room');
	is_deeply([ map { s/ x+$//r } heard_by_both() ], [ map { "one $_" } 1 .. 500 ], 'one sender: in order, each once');

	with_stopped_worker($sender, sub {
		my @clients = map {
			my $user = $_;
			spawn(sub { my $dbh = connect_to($node); send_as($dbh, "many $user $_ $fill", $user) for 1 .. 300 });
		} 1 .. 4;
		is(reap(@clients), 0, 'four senders');
	});
	my @heard = heard_by_both();
	foreach my $user (1 .. 4)
	{
		is_deeply([ map { /^many $user (\d+)/ ? $1 : () } @heard ], [ 1 .. 300 ], "sender $user: in order, each once");
	}

	# The worker comes and goes in between
	my @clients = map {
		my $user = $_;
		spawn(sub { my $dbh = connect_to($node); send_as($dbh, "stop and go $user $_ $fill", $user) for 1 .. 500 });
	} 1 .. 4;
	foreach (1 .. 5)
	{
		my $pid = worker_pid($admin) or next;

		kill 'STOP', $pid;
		sleep 0.05;
		kill 'CONT', $pid;
	}
	is(reap(@clients), 0, 'four senders, and a worker that stops and goes on');
	@heard = heard_by_both();
	foreach my $user (1 .. 4)
	{
		is_deeply([ map { /^stop and go $user (\d+)/ ? $1 : () } @heard ], [ 1 .. 500 ], "sender $user: in order, each once");
	}
};

subtest 'chatrel.relay is turned off and on at run time' => sub {
	start_worker($sender);
	$node->safe_psql('postgres', 'ALTER SYSTEM SET chatrel.relay = off');
	$node->reload;
	wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'off' }) or die 'not reloaded';
	my $before = fallbacks('off');
	my $queued = relay_row($admin)->{queued};
	send_text("off $_") foreach 1 .. 3;
	is(fallbacks('off'), $before + 3, 'off: transactions use NOTIFY');
	is(relay_row($admin)->{queued}, $queued, 'and queue nothing');
	is_deeply([ heard_by_both() ], [ 'off 1', 'off 2', 'off 3' ], 'and are heard');
	ok(wait_until(sub { !worker_pid($admin) }), 'the worker leaves');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET chatrel.relay');
	$node->reload;
	wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'on' }) or die 'not reloaded';
	ok(start_worker($sender), 'on: there is a worker again');
	heard_by_both();

	# Events that wait when it is turned off are not overtaken.
	with_stopped_worker($sender, sub {
		send_text('queued');
		$node->safe_psql('postgres', 'ALTER SYSTEM SET chatrel.relay = off');
		$node->reload;
		wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'off' }) or die 'not reloaded';
		send_text('notified');
		is_deeply([ $gateway->texts_until('notified') ], [ 'queued', 'notified' ], 'turned off with events waiting: in order');
		$member->texts_until('notified');
	});
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET chatrel.relay');
	$node->reload;
	wait_until(sub { value($sender, 'SHOW chatrel.relay') eq 'on' }) or die 'not reloaded';
	is_deeply([ heard_by_both() ], [], 'and once');
};

subtest 'events that are alike are heard each time' => sub {
	my $coming = sub {
		return join ' ', map { /^\{"member_(\w+)": .*"user_id": 4\b/ ? $1 : () } @_;
	};

	# All in one batch of the worker: NOTIFY leaves out what a transaction has sent before.
	with_stopped_worker($sender, sub {
		$sender->do("SELECT chatrel.${_}_group(2, as_user => 4)") foreach qw(leave join leave join);
	});
	send_text('batch over');
	is($coming->($gateway->hear_until('batch over')), 'left joined left joined', 'of several transactions in one batch');

	$sender->do('BEGIN');
	$sender->do("SELECT chatrel.${_}_group(2, as_user => 4)") foreach qw(leave join leave join);
	$sender->do('COMMIT');
	send_text('transaction over');
	is($coming->($gateway->hear_until('transaction over')), 'left joined left joined', 'of one transaction');
	$member->hear_until('transaction over');
};

subtest 'a transaction that sends and drops the extension' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE dropping');
	$node->safe_psql('dropping', q{CREATE EXTENSION chatrel;
		SELECT chatrel.create_user('ann'); SELECT chatrel.create_group('g', true, as_user => 1)});
	$node->safe_psql('dropping', q{BEGIN; SELECT chatrel.send_group_message(1, 'last', as_user => 1);
		DROP EXTENSION chatrel; COMMIT});
	is($node->safe_psql('dropping', q{SELECT count(*) FROM pg_extension WHERE extname = 'chatrel'}), '0', 'commits');
	$node->safe_psql('postgres', 'DROP DATABASE dropping');
};

subtest 'a member leaves: the others hear it on the old channel, and it was the last' => sub {
	my $old = Realtime::Listener->new($node, 'chatrel.listen_group(2, as_user => 2)');
	my $own = Realtime::Listener->new($node, 'chatrel.listen(as_user => 4)');
	start_worker($sender);

	foreach my $how ('relay', 'fallback')
	{
		with_stopped_worker($sender, sub {
			$sender->do('SELECT chatrel.send_group_message(2, \'before\', as_user => 1)');
			$sender->do('SELECT chatrel.leave_group(2, as_user => 4)');
			$sender->do('SELECT chatrel.send_group_message(2, \'after\', as_user => 1)');
			$sender->do('SELECT chatrel.join_group(2, as_user => 4)');
			# Whoever NOTIFYs takes with it what is queued
			$sender->do(q{SELECT chatrel.send_group_message(2, repeat('x', 500), as_user => 1) FROM generate_series(1, 200)}) if $how eq 'fallback';
		});
		send_text("left, by $how");
		$_->hear_until("left, by $how") foreach $gateway, $member, $own;
		wait_until(sub { $old->hear(0.1); return grep { /relisten/ } @{ $old->{heard} } }, 5);
		$old->hear(0.2);
		# What was sent before may be heard on either channel.
		is_deeply([ map { /"message": "before"/ ? () : /^\{"(\w+)"/ } @{ $old->{heard} } ], [qw(member_left relisten)], "$how: the old channel")
			or diag explain $old->{heard};
		ok((grep { $_ eq '{"relisten": {"group_id": 2}}' } @{ $own->{heard} }), "$how: who joined is told to listen");
		$own->{heard} = [];
		$old = Realtime::Listener->new($node, 'chatrel.listen_group(2, as_user => 2)');
	}
};

subtest '100,000 events in one transaction' => sub {
	start_worker($sender);
	# A slow machine may take so long that the idle worker leaves meanwhile.
	my $before = fallbacks('no_room', 'no_worker');

	$sender->do(q{SELECT count(chatrel.send_group_message(1, 'bulk ' || i, as_user => 1)) FROM generate_series(1, 100000) AS i});
	cmp_ok(fallbacks('no_room', 'no_worker'), '>', $before, 'more than the queue holds');
	my @heard = heard_by_both();
	is(scalar(@heard), 100000, 'all are heard');
	is_deeply([ @heard[ 0, 1, -2, -1 ] ], [ 'bulk 1', 'bulk 2', 'bulk 99999', 'bulk 100000' ], 'in their order');
	is(join('', map { $heard[$_] eq 'bulk ' . ($_ + 1) ? '' : "$heard[$_] " } 0 .. $#heard), '', 'each of them');
};

subtest 'an event of the largest size, wherever it lies in the queue' => sub {
	start_worker($sender);
	$sender->do('SET chatrel.max_message_length = 10000');
	my $id = send_timeless('measure');
	my ($payload) = grep { /"measure"/ } $gateway->hear_until('measure');
	my $room = 7999 - length($payload) + length('measure');

	# 64 kB hold eight: the ring is gone around a few times
	my (@sent, @heard);
	with_stopped_worker($sender, sub {
		foreach my $i (1 .. 6) { push @sent, "$i" . 'y' x ($room - 1); send_timeless($sent[-1]) }
	});
	foreach my $i (7 .. 60)
	{
		push @sent, $i % 3 ? "$i " . 'y' x ($room - 3) : 'short ' . 'z' x $i;
		send_timeless($sent[-1]);
		push @heard, $gateway->hear(0);
	}
	send_text('largest over');
	push @heard, $gateway->hear_until('largest over');
	my @texts = messages_of(@heard);
	my $differ = grep { ($texts[$_] // '') ne $sent[$_] } 0 .. $#sent;
	is($differ, 0, 'each is heard, as it was sent');
	is((sort { $b <=> $a } map { length } @heard)[0], 7999, 'the largest had 7,999 bytes');

	send_timeless('y' x ($room + 1));
	send_timeless('y' x 9000);
	send_text('longer over');
	is(scalar(grep { /"truncated": true/ } $gateway->hear_until('longer over')), 2, 'longer ones are heard without their text');
	$member->hear_until('longer over');
	$sender->do('RESET chatrel.max_message_length');
};

subtest 'thousands of subtransactions that are rolled back' => sub {
	start_worker($sender);
	$sender->do(q{
		DO $$
		BEGIN
			FOR i IN 1..6000 LOOP
				BEGIN
					PERFORM chatrel.send_group_message(1, 'sub ' || i, as_user => 1);
					IF i % 100 <> 0 THEN
						RAISE division_by_zero;
					END IF;
				EXCEPTION WHEN division_by_zero THEN
				END;
			END LOOP;
		END $$});
	is_deeply([ heard_by_both() ], [ map { 'sub ' . $_ * 100 } 1 .. 60 ], 'only the others are heard');
};

subtest 'PREPARE TRANSACTION is refused' => sub {
	start_worker($sender);
	my $bytes = relay_row($admin)->{bytes_waiting};
	$sender->do('BEGIN');
	send_text('prepared');
	eval { $sender->do(q{PREPARE TRANSACTION 'p'}) };
	is($sender->state, '0A000', 'a transaction with events cannot be prepared');
	eval { $sender->do('ROLLBACK') };
	is(value($admin, q{SELECT count(*) FROM pg_prepared_xacts}), 0, 'and is gone');
	is_deeply([ heard_by_both() ], [], 'and not heard');
	$sender->do('BEGIN');
	value($sender, 'SELECT pg_current_xact_id()');
	$sender->do(q{PREPARE TRANSACTION 'q'});
	$sender->do(q{COMMIT PREPARED 'q'});
	pass('one without events can');
};

subtest 'DISCARD ALL, SET ROLE, parallel query' => sub {
	$admin->do(q{CREATE ROLE ann; GRANT USAGE ON SCHEMA chatrel TO ann});
	$admin->do(q{UPDATE chatrel.users SET role_name = 'ann' WHERE id = 3});
	start_worker($sender);
	my $delivered = relay_row($admin)->{delivered};
	$sender->do('DISCARD ALL');
	send_text('after DISCARD ALL');
	$sender->do('SET ROLE ann');
	$sender->do(q{SELECT chatrel.send_group_message(1, 'as ann')});
	$sender->do('BEGIN');
	$sender->do(q{SELECT chatrel.send_group_message(1, 'as ann, and reset before the commit')});
	$sender->do('RESET ROLE');
	$sender->do('COMMIT');
	$sender->do('BEGIN');
	send_text('as superuser, and ann at the commit');
	$sender->do('SET ROLE ann');
	$sender->do('COMMIT');
	$sender->do('RESET ROLE');

	my $setting = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
	$sender->do("SET $setting = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0");
	$sender->do('BEGIN');
	send_text('parallel');
	like(join("\n", map { $_->[0] } @{ $sender->selectall_arrayref('EXPLAIN ANALYZE SELECT count(*) FROM chatrel.groups_messages') }),
		qr/Workers Launched: [1-9]/, 'a parallel query in a transaction that owes');
	$sender->do('COMMIT');
	$sender->do('DISCARD ALL');
	is_deeply([ heard_by_both() ],
		[ 'after DISCARD ALL', 'as ann', 'as ann, and reset before the commit', 'as superuser, and ann at the commit', 'parallel' ], 'all are heard');
};

subtest 'the view is for monitoring' => sub {
	$admin->do(q{CREATE ROLE watcher; GRANT pg_monitor TO watcher; CREATE ROLE other; GRANT USAGE ON SCHEMA chatrel TO other});
	$sender->do('SET ROLE watcher');
	ok(value($sender, q{SELECT count(*) FROM chatrel.relay WHERE database = 'postgres'}), 'a member of pg_monitor reads it');
	$sender->do('SET ROLE other');
	foreach my $query ('SELECT * FROM chatrel.relay', 'SELECT * FROM chatrel.relay_status()')
	{
		eval { $sender->selectall_arrayref($query) };
		is($sender->state, '42501', "another does not: $query");
	}
	$sender->do('RESET ROLE');
};

subtest 'more databases than queues' => sub {
	start_worker($sender);
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	set_up($node, database => 'second');
	my $second = connect_to($node, 'second');
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'second');

	send_as($second, 'no queue for this');
	is_deeply([ $listener->texts_until('no queue for this') ], ['no queue for this'], 'a database without a queue: heard');
	cmp_ok(value($admin, 'SELECT fallbacks_no_slot FROM chatrel.relay WHERE database_id IS NULL'), '>', 0, 'the view counts it');
	send_text('has the queue');
	is_deeply([ heard_by_both() ], ['has the queue'], 'the other goes on');

	ok(wait_until(sub { !worker_pid($admin) }), 'the other is idle');
	ok(start_worker($second), 'then it gets the queue');
	send_as($second, 'has it');
	is_deeply([ $listener->texts_until('has it') ], ['has it'], 'and delivers');
	send_text('has none');
	is_deeply([ heard_by_both() ], ['has none'], 'and the first is heard without');
};

subtest 'the worker leaves when it is idle' => sub {
	start_worker($sender);
	my $log = -s $node->logfile;
	ok(wait_until(sub { !value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay'}) }), 'it has left');
	is($admin->selectrow_array('SELECT count(*) FROM chatrel.relay WHERE worker_pid IS NOT NULL'), 0, 'the view knows');
	unlike(slurp_file($node->logfile, $log), qr/ERROR|FATAL|exited with exit code/, 'without a complaint');
	ok(start_worker($sender), 'and comes back');
};

$node->stop;
done_testing();
