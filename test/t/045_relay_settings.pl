# The relay in databases whose owner has set something for their sessions, or lets
# nobody in; a worker that cannot deliver, and does not stand in the way; and what a
# sender's client gets to see while it delivers for others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time);

my $node = new_server('main', conf => q{
	chatrel.relay_queue_size = 64kB
	chatrel.relay_databases = 4
	chatrel.relay_idle_timeout = 100ms
	max_worker_processes = 8
});
my $admin = connect_to($node);

sub send_as
{
	my ($dbh, $text, $user) = @_;

	return value($dbh, 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', $text, $user // 1);
}

sub create_database
{
	my ($name) = @_;

	$admin->do("CREATE DATABASE $name");
	set_up($node, database => $name);
	return;
}

sub no_worker
{
	return wait_until(sub { !value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay'}) });
}

subtest 'what is set for the sessions of a database' => sub {
	create_database('odd');
	$admin->do($_) foreach 'CREATE ROLE weak', 'CREATE SCHEMA nothing';
	my $sender = connect_to($node, 'odd');
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'odd');
	my @settings = (
		'ALTER DATABASE odd SET role = weak',
		'ALTER DATABASE odd SET role = none',
		'ALTER DATABASE odd SET lock_timeout = 1',
		'ALTER DATABASE odd SET statement_timeout = 1',
		'ALTER DATABASE odd SET idle_session_timeout = 1',
		'ALTER DATABASE odd SET idle_in_transaction_session_timeout = 1',
		'ALTER DATABASE odd SET default_transaction_read_only = on',
		q{ALTER DATABASE odd SET default_transaction_isolation = 'serializable'},
		'ALTER DATABASE odd SET default_transaction_deferrable = on',
		'ALTER DATABASE odd SET row_security = off',
		'ALTER DATABASE odd SET search_path = nothing',
		'ALTER DATABASE odd SET plan_cache_mode = force_custom_plan',
		'ALTER ROLE postgres SET lock_timeout = 1',
		'ALTER DATABASE odd CONNECTION LIMIT 0',
		'ALTER DATABASE odd ALLOW_CONNECTIONS false');
	push @settings, 'ALTER DATABASE odd SET transaction_timeout = 1' if $node->pg_version >= 17;

	foreach my $setting (@settings)
	{
		no_worker() or die 'the worker does not leave';
		my $log = -s $node->logfile;
		$admin->do($setting);
		ok(eval { local $Realtime::patience = 10; start_worker($sender) }, "$setting: there is a worker");
		my ($before) = relay_row($sender)->{delivered};
		send_as($sender, $setting);
		is(($listener->texts_until($setting))[-1], $setting, "$setting: heard");
		ok(wait_until(sub { relay_row($sender)->{delivered} > $before }, 10), "$setting: by the relay");
		unlike(slurp_file($node->logfile, $log), qr/WARNING|ERROR|FATAL/, "$setting: without a complaint");
		$admin->do('ALTER DATABASE odd RESET ALL');
		$admin->do('ALTER ROLE postgres RESET ALL');
	}

	$admin->do('ALTER DATABASE odd ALLOW_CONNECTIONS true CONNECTION LIMIT -1');
	$sender->disconnect;
	$listener->{dbh}->disconnect;
	ok(eval { $admin->do('DROP DATABASE odd'); 1 }, 'and the database can be dropped') or diag $@;
};

subtest 'lock_timeout does not end a wait of the worker' => sub {
	create_database('odd');
	my $sender = connect_to($node, 'odd');
	my $locker = connect_to($node, 'odd');
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'odd');
	$admin->do('ALTER DATABASE odd SET lock_timeout = 1');
	no_worker() or die 'the worker does not leave';
	start_worker($sender);
	my $log = -s $node->logfile;
	$locker->begin_work;
	$locker->do('LOCK TABLE chatrel.groups_channels');
	send_as($sender, 'waits');
	ok(wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay' AND wait_event_type = 'Lock'}) }),
		'it waits for a lock');
	$locker->rollback;
	is(($listener->texts_until('waits'))[-1], 'waits', 'and delivers then');
	unlike(slurp_file($node->logfile, $log), qr/lock timeout/, 'without a complaint');
	$_->disconnect foreach $sender, $locker, $listener->{dbh};
	$admin->do('DROP DATABASE odd');
};

subtest 'a worker that cannot deliver' => sub {
	create_database('broken');
	my $sender = connect_to($node, 'broken');
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'broken');
	start_worker($sender);
	my $log = -s $node->logfile;
	my $errors = sub { return scalar(() = slurp_file($node->logfile, $log) =~ /ERROR:  permission denied/g) };

	# The owner has no right to the tables any more
	$sender->do('CREATE ROLE owner; GRANT USAGE ON SCHEMA chatrel TO owner');
	$sender->do("ALTER TABLE chatrel.$_ OWNER TO owner") foreach qw(groups_channels users_channels all_channel);
	$sender->do('REVOKE ALL ON chatrel.groups_channels FROM owner');
	my $start = time;
	send_as($sender, "denied $_") foreach 1 .. 10;
	$node->wait_for_log(qr/permission denied for table groups_channels/, $log);
	ok(wait_until(sub { $errors->() >= 3 }), 'it tries again');
	ok(no_worker(), 'and leaves the database in between');
	cmp_ok($errors->(), '<=', 8 + (time - $start), 'with few complaints');
	my $row = relay_row($sender);
	is($row->{worker_pid}, undef, 'the view knows');
	send_as($sender, "denied $_") foreach 11 .. 20;
	is(relay_row($sender)->{bytes_waiting} > $row->{bytes_waiting}, 1, 'sends go on, unheard');
	is(relay_row($sender)->{fallbacks_no_worker}, $row->{fallbacks_no_worker}, 'and are not in vain');
	is_deeply([ $listener->hear(0) ], [], 'yet');

	$sender->do('GRANT ALL ON chatrel.groups_channels TO owner');
	is_deeply([ $listener->texts_until('denied 20') ], [ map { "denied $_" } 1 .. 20 ], 'they are heard when it can deliver');
	$sender->do('REVOKE ALL ON chatrel.groups_channels FROM owner');
	$log = -s $node->logfile;
	send_as($sender, 'never heard');
	$node->wait_for_log(qr/permission denied for table groups_channels/, $log);
	$_->disconnect foreach $sender, $listener->{dbh};
	ok(eval { $admin->do('DROP DATABASE broken'); 1 }, 'the database can be dropped while it tries') or diag $@;

	# Nobody is to try for ever
	$admin->do('DROP ROLE owner');
	create_database('next');
	my $next = connect_to($node, 'next');
	$listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'next');
	ok(start_worker($next), 'another database has a worker');
	send_as($next, 'of another');
	is(($listener->texts_until('of another'))[-1], 'of another', 'which delivers');
	$_->disconnect foreach $next, $listener->{dbh};
};

subtest 'what a sender sees while it delivers for others' => sub {
	create_database('curious');
	my $other = connect_to($node, 'curious');
	# 280267669825 is five times "A": it is found in what shows the bytes of a value
	my $secret = 280267669825;
	$other->do(qq{
		CREATE ROLE eve LOGIN; GRANT USAGE ON SCHEMA chatrel TO eve; UPDATE chatrel.users SET role_name = 'eve' WHERE id = 2;
		INSERT INTO chatrel.users (id, username) VALUES ($secret, 'secret');
		INSERT INTO chatrel.groups (id, name, creator_id) VALUES ($secret, 'secret', 1);
		INSERT INTO chatrel.groups_members (group_id, user_id) VALUES ($secret, 1)});
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()', database => 'curious');
	my $eve = connect_to($node, 'curious', user => 'eve');
	my $shown = '';
	local $SIG{__WARN__} = sub { $shown .= shift };

	$eve->do('SET client_min_messages = debug5; SET trace_notify = on; SET trace_sort = on; SET plan_cache_mode = force_custom_plan');
	$eve->do("SET debug_print_$_ = on") foreach qw(parse rewritten plan);
	start_worker($other);
	with_stopped_worker($other, sub {
		value($other, 'SELECT chatrel.send_group_message(?, ?, as_user => 1)', $secret, 'nothing for eve');
		value($other, 'SELECT chatrel.follow(?, as_user => 1)', $secret);
		my $before = relay_row($other)->{delivered};
		# More than there is room for
		$eve->do(q{SELECT count(chatrel.send_group_message(1, repeat('x', 500))) FROM generate_series(1, 200)});
		cmp_ok(relay_row($other)->{delivered}, '>', $before, 'it delivers');
	});
	ok((grep { /nothing for eve/ } $listener->hear_until('nothing for eve')), 'what others have sent');
	like($shown, qr/PLANNEDSTMT|plan:/, 'much is shown');
	unlike($shown, qr/65 65 65 65 65|$secret/, 'but not to whom');
	unlike($shown, qr/chatrel_[0-9a-f]{8}-|nothing for eve/, 'nor where, nor what');
	$eve->do(q{DO $$ BEGIN RAISE NOTICE 'loud again'; END $$});
	like($shown, qr/loud again/, 'and the settings are as they were');
	$_->disconnect foreach $other, $eve, $listener->{dbh};
};

subtest 'the waits have names' => sub {
	plan skip_all => 'before PostgreSQL 17 they have not' if $node->pg_version < 17;
	create_database('named');
	my $sender = connect_to($node, 'named');
	start_worker($sender);
	ok(wait_until(sub { start_worker($sender); value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay' AND wait_event = 'ChatrelRelayIdle'}) }),
		'of the worker that has nothing to do');
};

$node->stop;

subtest 'configured, and not preloaded' => sub {
	my $plain = new_server('plain', not_preloaded => 1, conf => q{
		chatrel.relay_queue_size = 64kB
		chatrel.relay_databases = 4
		chatrel.relay = on
	});
	set_up($plain);
	my ($result, $stdout, $stderr) = $plain->psql('postgres', q{LOAD 'chatrel'; SHOW chatrel.relay_queue_size; SELECT count(*) FROM chatrel.relay});
	is($stdout, "64kB\n0", 'a session knows the parameters');
	is($stderr, '', 'and is not warned');
	unlike(slurp_file($plain->logfile), qr/WARNING/, 'nor is anybody');
	(undef, undef, $stderr) = $plain->psql('postgres', q{LOAD 'chatrel'; SET chatrel.relay_queue_size = '1MB'});
	like($stderr, qr/cannot be changed now/, 'it sets none');
	$plain->stop;
};

done_testing();
