# Through pgbouncer in transaction mode: several clients share one connection to
# the server, and sends, sync and sync with a wait work.  LISTEN does not: it
# needs a session.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time);

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $node = new_server('main');
set_up($node);
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
	CREATE ROLE nobody LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO nobody;
});

# ---------- pgbouncer ----------

# With the settings of test/clients/pgbouncer.ini, and so many connections to the server for all
# clients of chat, and for those of chat_waiting
sub start_pgbouncer
{
	my ($servers, $waiting) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $ini = slurp_file("$FindBin::RealBin/../clients/pgbouncer.ini");
	my $server = sprintf('host=%s port=%d dbname=postgres', $node->host, $node->port);
	my %settings = (listen_addr => '', listen_port => $port, unix_socket_dir => $dir, auth_type => 'trust', auth_file => "$dir/users",
		ignore_startup_parameters => 'extra_float_digits', logfile => "$dir/log");

	$ini =~ s/^chat = .*/chat = $server pool_size=$servers/m or die;
	$ini =~ s/^chat_waiting = .*/chat_waiting = $server pool_size=@{[ $waiting \/\/ $servers ]}/m or die;
	foreach my $name (keys %settings)
	{
		$ini =~ s/^$name = .*\n//m;
		$ini .= "$name = $settings{$name}\n";
	}
	append_to_file("$dir/users", qq{"app" ""\n"nobody" ""\n});
	append_to_file("$dir/ini", $ini);
	my $handle = IPC::Run::start([ $pgbouncer, "$dir/ini" ], '<', \undef, '>', \my $output, '2>', \my $error);
	my $connect = sub {
		my ($user, $database) = @_;
		return connect_to(undef, $database // 'chat', host => $dir, port => $port, user => $user // 'app');
	};
	my $full_pools = sub {
		return scalar grep { (split /\|/)[3] } split /\n/, qx(psql -X -At -h $dir -p $port -U app -d pgbouncer -c 'SHOW POOLS');
	};

	wait_until(sub { $handle->pump_nb; eval { $connect->() } }, 20) or BAIL_OUT("pgbouncer does not start: $error");
	return { handle => $handle, connect => $connect, full_pools => $full_pools };
}

sub stop_pgbouncer
{
	my ($bouncer) = @_;

	$bouncer->{handle}->kill_kill;
	return;
}

sub texts
{
	my ($answer) = @_;

	return join ' ', map { $_->{message} } messages_in(decode_json($answer));
}

my $bouncer = start_pgbouncer(1);
my @clients = map { $bouncer->{connect}->() } 1 .. 4;

my %backends = map { value($_, 'SELECT pg_backend_pid()') => 1 } @clients;
is(keys %backends, 1, 'four clients share one connection');

# as_user: one statement
value($clients[ $_ - 1 ], 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', "of user $_", $_) foreach 1 .. 4;
is_deeply($clients[0]->selectall_arrayref('SELECT sender_id, message FROM chatrel.group_messages(1, as_user => 1) ORDER BY id'),
	[ map { [ $_, "of user $_" ] } 1 .. 4 ], 'as_user: each as its own user');

# SET LOCAL: one transaction, and nothing of it is left for the next client
foreach my $user (1 .. 4)
{
	my $client = $clients[ $user - 1 ];

	$client->begin_work;
	$client->do("SET LOCAL chatrel.user_id = $user");
	value($client, q{SELECT chatrel.send_group_message(1, 'set local')});
	is(value($client, 'SELECT chatrel.current_user_id()'), $user, "SET LOCAL: the transaction is of user $user");
	$client->commit;
	is(value($clients[ $user % 4 ], 'SELECT chatrel.current_user_id()'), undef, 'SET LOCAL: the next client is nobody');
}
is_deeply($clients[0]->selectcol_arrayref(q{SELECT sender_id FROM chatrel.group_messages(1, as_user => 1) WHERE message = 'set local' ORDER BY id}),
	[ 1 .. 4 ], 'SET LOCAL: each as its own user');
my $nobody = $bouncer->{connect}->('nobody');
eval { value($nobody, 'SELECT chatrel.sync(as_user => 1)') };
is($nobody->state, '42501', 'who may not set the parameter may not name a user');

# sync
my %cursor;
foreach my $user (1 .. 4)
{
	my $answer = value($clients[ $user - 1 ], 'SELECT chatrel.sync(as_user => ?)', $user);

	is(scalar(() = messages_in(decode_json($answer))), 8, "sync: user $user has all");
	$cursor{$user} = decode_json($answer)->{cursor};
}
value($clients[0], q{SELECT chatrel.send_group_message(1, 'next', as_user => 1)});
is(texts(value($clients[ $_ - 1 ], 'SELECT chatrel.sync(?, as_user => ?)', $cursor{$_}, $_)), 'next', "sync: user $_ gets what is new") foreach 1 .. 4;

# Events are delivered when the next client has the connection.
my $listener = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');
value($clients[ $_ % 4 ], q{SELECT chatrel.send_group_message(1, ?, as_user => 1)}, "event $_") foreach 1 .. 20;
is_deeply([ $listener->texts_until('event 20') ], [ map { "event $_" } 1 .. 20 ], 'events are heard by who has a session of its own');

stop_pgbouncer($bouncer);
abandon(@clients, $nobody);

# A wait has its connection to itself: one for each who waits at a time.
$bouncer = start_pgbouncer(3);
@clients = map { $bouncer->{connect}->() } 1 .. 6;
my $cursor = decode_json(value($clients[0], q{SELECT chatrel.sync('now', as_user => 1)}))->{cursor};
my $cursor_of_2 = decode_json(value($clients[0], q{SELECT chatrel.sync('now', as_user => 2)}))->{cursor};
$clients[0]->do("SELECT chatrel.sync('$cursor', wait => '1 minute', as_user => 1)", { pg_async => 1 });
$clients[1]->do("SELECT chatrel.sync('$cursor_of_2', wait => '1 minute', as_user => 2)", { pg_async => 1 });
my $admin = connect_to($node);
wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Extension'}) == 2 })
	or die 'they do not wait';
value($clients[$_], q{SELECT chatrel.sync('now', as_user => 3)}) foreach 2 .. 5;
pass('wait: four others share the third connection meanwhile');
value($clients[5], q{SELECT chatrel.send_group_message(1, 'awaited', as_user => 1)});
ok(wait_until(sub { $clients[0]->pg_ready && $clients[1]->pg_ready }, 10), 'wait: both end with the message');
$_->pg_result foreach @clients[ 0, 1 ];
is(texts(value($clients[0], 'SELECT chatrel.sync(?, as_user => 1)', $cursor)), 'awaited', 'wait: it is there');
is(texts(value($clients[2], q{SELECT chatrel.sync(?, wait => '100 ms', as_user => 2)}, decode_json(value($clients[3], q{SELECT chatrel.sync('now', as_user => 2)}))->{cursor})),
	'', 'wait: empty at its end');

# Many clients, sending and catching up
my @pids = map {
	my $user = $_;
	spawn(sub {
		my $client = $bouncer->{connect}->();
		foreach my $i (1 .. 100)
		{
			value($client, 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', "many $user-$i", $user);
			$cursor{$user} = decode_json(value($client, 'SELECT chatrel.sync(?, as_user => ?)', $cursor{$user}, $user))->{cursor};
		}
	});
} 1 .. 4;
my ($mine, @has) = ($cursor);
my $first = value($admin, q{SELECT max(id) FROM chatrel.groups_messages WHERE message = 'awaited'});
my $deadline = time + 60;
while (time < $deadline)
{
	my $answer = decode_json(value($clients[ rand 6 ], q{SELECT chatrel.sync(?, event_limit => 30, wait => '200 ms', as_user => 1)}, $mine));

	push @has, map { $_->{id} } messages_in($answer);
	$mine = $answer->{cursor};
	last if !@{ $answer->{events} } && value($admin, q{SELECT count(*) FROM chatrel.groups_messages WHERE message ~ '^many'}) == 400;
}
is(reap(@pids), 0, 'many clients: all were served');
is(join(' ', sort { $a <=> $b } @has), join(' ', @{ $admin->selectcol_arrayref('SELECT id FROM chatrel.groups_messages WHERE id >= ? ORDER BY id', undef, $first) }),
	'many clients: one that waits through it gets every message once');

stop_pgbouncer($bouncer);
abandon(@clients);

# The trap: as many who wait as there are connections, and nobody else is served.
sub waits
{
	my ($client, $user, $from) = @_;

	$client->do("SELECT chatrel.sync('$from', wait => '1 minute', as_user => $user)", { pg_async => 1 });
	return;
}

$bouncer = start_pgbouncer(1, 2);
my ($waiter, $other) = map { $bouncer->{connect}->() } 1 .. 2;
my %now = map { $_ => decode_json(value($admin, q{SELECT chatrel.sync('now', as_user => ?)}, $_))->{cursor} } 1, 2, 3;
waits($waiter, 1, $now{1});
wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Extension'}) == 1 })
	or die 'it does not wait';
$other->do('SELECT 1', { pg_async => 1 });
ok(wait_until(sub { $bouncer->{full_pools}->() == 1 }), 'caveat: in the pool of the others, who waits keeps them waiting');
value($admin, q{SELECT chatrel.send_group_message(1, 'ends the wait', as_user => 3)});
ok(wait_until(sub { $waiter->pg_ready && $other->pg_ready }), '... until there is something');
$_->pg_result foreach $waiter, $other;

# A pool of its own
%now = map { $_ => decode_json(value($admin, q{SELECT chatrel.sync('now', as_user => ?)}, $_))->{cursor} } 1, 2, 3;
my @waiters = map { $bouncer->{connect}->('app', 'chat_waiting') } 1 .. 3;
waits($waiters[ $_ - 1 ], $_, $now{$_}) foreach 1 .. 3;
ok(wait_until(sub { $bouncer->{full_pools}->() == 1 }), 'a pool of its own: three who wait have two connections');
value($other, q{SELECT chatrel.send_group_message(1, 'to all who wait', as_user => 3)});
ok(wait_until(sub { 3 == grep { $_->pg_ready } @waiters }), '... and others send meanwhile, to all of them');
$_->pg_result foreach @waiters;

stop_pgbouncer($bouncer);
abandon($waiter, $other, @waiters);
$node->stop;
done_testing();
