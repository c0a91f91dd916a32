# Many senders, listeners that come and go and catch up with sync, a member who
# joins and leaves, and workers that are terminated all the time: nothing is lost,
# nothing comes twice, and memory does not grow.
#
# CHATREL_SOAK_SECONDS is how long, 30 by default; CHATREL_SOAK_LISTENERS how many
# listeners, 20 by default.  In the last quarter no worker is terminated, so that
# one gets old.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

my $seconds = $ENV{CHATREL_SOAK_SECONDS} || 30;
my $listeners = $ENV{CHATREL_SOAK_LISTENERS} || 20;
my $senders = 32;
my $groups = 8;

my $node = new_server('main', conf => q{
	chatrel.relay_queue_size = 256kB
	max_worker_processes = 16
	max_wal_size = 4GB
	log_statement = none
	log_connections = off
	log_disconnections = off
});
$node->safe_psql('postgres', qq{
	CREATE EXTENSION chatrel;
	SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, $senders + 1) AS i;
	SELECT count(chatrel.create_group('g' || i, as_user => 1)) FROM generate_series(1, $groups) AS i;
	SELECT count(chatrel.join_group(1 + (u + i) % $groups, as_user => u)) FROM generate_series(1, $senders) AS u, generate_series(0, 1) AS i;
});
my $admin = connect_to($node);
my $start = time;
my $end = $start + $seconds;
my $over = $node->basedir . '/over';

# ---------- senders ----------

# Numbers its messages, of which some are rolled back.
sub sender
{
	my ($user) = @_;
	my $dbh = connect_to($node);
	my $send = $dbh->prepare('SELECT (chatrel.send_group_message(?, ?, as_user => ?)).id', { pg_server_prepare => 1 });
	my $number = 0;
	my $send_one = sub {
		$number++;
		$send->execute(1 + ($user + int rand 2) % $groups, "$user $number " . 'x' x rand 200, $user);
		$send->finish;
	};

	srand $user;
	while (time < $end)
	{
		my $dice = rand;

		if ($dice < 0.7) { $send_one->() }
		else
		{
			$dbh->begin_work;
			$send_one->();
			$dbh->pg_savepoint('s');
			$send_one->() for 1 .. rand 5;
			$dbh->pg_rollback_to('s') if $dice > 0.9;
			$send_one->();
			$dice < 0.95 ? $dbh->commit : $dbh->rollback;
		}
		sleep 0.4 * rand;
	}
	return;
}

# Replaces the channel of a group now and then.
sub mover
{
	my $dbh = connect_to($node);
	my $user = $senders + 1;

	while (time < $end)
	{
		value($dbh, 'SELECT chatrel.join_group(1, as_user => ?)', $user);
		sleep 0.3;
		value($dbh, 'SELECT chatrel.leave_group(1, as_user => ?)', $user);
		sleep 0.3;
	}
	return;
}

# ---------- a listener that comes and goes ----------

# What a client of its own does: what it has is in the bits, one for each id.
sub come_and_go
{
	my ($number) = @_;
	my $client = { user => 1 + $number % $senders, synced => '', heard => '', twice => 0, unheard => 0 };

	srand $number;
	until (-e $over)
	{
		$client->{dbh} = connect_to($node);
		sync_all($client);
		$client->{dbh}->selectall_arrayref('SELECT * FROM chatrel.listen(as_user => ?)', undef, $client->{user});
		sync_all($client);
		hear($client, 0.5 + 4 * rand);
		undef $client->{dbh};
		sleep rand;
	}
	$client->{dbh} = connect_to($node);
	sync_all($client);
	append_to_file($node->basedir . "/listener_$number", encode_json({ %{$client}{qw(user twice)}, synced => unpack('H*', $client->{synced}), heard => unpack('H*', $client->{heard}) }));
	return;
}

sub sync_all
{
	my ($client) = @_;
	my $answer;

	do
	{
		$answer = decode_json(value($client->{dbh}, 'SELECT chatrel.sync(?, event_limit => ?, as_user => ?)',
			$client->{cursor}, 1 + int rand 500, $client->{user}));
		foreach my $message (messages_in($answer))
		{
			$client->{twice}++ if vec($client->{synced}, $message->{id}, 1);
			vec($client->{synced}, $message->{id}, 1) = 1;
		}
		$client->{cursor} = $answer->{cursor};
	} while ($answer->{more});
	return;
}

sub hear
{
	my ($client, $time) = @_;
	my $dbh = $client->{dbh};
	my $until = time + $time;

	while (time < $until && !-e $over)
	{
		my $in = '';
		vec($in, $dbh->{pg_socket}, 1) = 1;
		select($in, undef, undef, 0.2);
		while (my $notify = $dbh->pg_notifies)
		{
			if ($notify->[2] =~ /^\{"group_message": \{"id": (\d+)/) { vec($client->{heard}, $1, 1) = 1 }
			elsif ($notify->[2] =~ /^\{"relisten": \{"group_id": (\d+)/)
			{
				value($dbh, 'SELECT chatrel.listen_group(?, as_user => ?)', $1, $client->{user});
				sync_all($client);
			}
		}
	}
	return;
}

# ---------- gateways that stay ----------

sub new_gateway
{
	return { listener => Realtime::Listener->new($node, 'chatrel.listen_all()'), heard => '', twice => 0, disorder => 0, last => {}, count => 0 };
}

sub gateway_hears
{
	my ($gateway, $time) = @_;

	foreach ($gateway->{listener}->hear($time))
	{
		my ($id, $sender, $number) = /^\{"group_message": \{"id": (\d+).*"message": "(\d+) (\d+) / or next;

		$gateway->{twice}++ if vec($gateway->{heard}, $id, 1);
		$gateway->{disorder}++ if $number <= ($gateway->{last}{$sender} // 0);
		$gateway->{last}{$sender} = $number;
		$gateway->{count}++;
		vec($gateway->{heard}, $id, 1) = 1;
	}
	$gateway->{listener}{heard} = [];
	return;
}

# ---------- memory ----------

# In kB, of the process alone; 0 if it has ended
sub memory
{
	my ($pid) = @_;
	my $status = eval { slurp_file("/proc/$pid/status") } // '';

	return $status =~ /^RssAnon:\s+(\d+)/m ? $1 : 0;
}

sub backends_memory
{
	my ($dbh) = @_;

	return { map { $_->[0] => memory($_->[0]) } @{ $dbh->selectall_arrayref(
		q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%send_group_message%' OR query LIKE '%listen_all%' ORDER BY pid}) } };
}

# ---------- the soak ----------

sub bits_of_table
{
	my ($user) = @_;
	my $bits = '';

	vec($bits, $_, 1) = 1 foreach @{ $admin->selectcol_arrayref($user
		? "SELECT t.id FROM chatrel.groups_messages t JOIN chatrel.groups_members m USING (group_id) WHERE m.user_id = $user"
		: 'SELECT id FROM chatrel.groups_messages') };
	return $bits;
}

sub same_bits
{
	my ($a, $b) = @_;

	return ($a ^ $b) !~ /[^\0]/;
}

# How many bits of a are not in b
sub bits_missing
{
	my ($a, $b) = @_;
	my $length = length $a;

	return unpack '%32b*', $a & ~substr($b . "\0" x $length, 0, $length);
}

# Terminates workers but in the last quarter, and measures memory: of backends soon
# after the start and shortly before the end, of the worker that gets old.
sub disturb
{
	my $dbh = connect_to($node);
	my %found = (killed => 0);
	my $pause_to = sub { my $left = $_[0] - time; sleep $left if $left > 0 };

	$pause_to->($start + $seconds / 10);
	$found{backends} = backends_memory($dbh);
	while (time < $end - $seconds / 4)
	{
		my $pid = worker_pid($dbh);

		$found{killed} += value($dbh, 'SELECT pg_terminate_backend(?)::int', $pid) if $pid;
		sleep 1 + 2 * rand;
	}
	$pause_to->($end - $seconds / 5);
	$found{worker_pid} = worker_pid($dbh);
	$found{worker} = memory($found{worker_pid});
	$pause_to->($end - $seconds / 50);
	$found{worker_at_end} = memory($found{worker_pid});
	$found{backends_at_end} = backends_memory($dbh);
	append_to_file($node->basedir . '/found', encode_json(\%found));
	return;
}

my @gateways = map { new_gateway() } 1 .. 2;
my @sending = ((map { my $user = $_; spawn(sub { sender($user) }) } 1 .. $senders), spawn(\&mover), spawn(\&disturb));
my @listening = map { my $number = $_; spawn(sub { come_and_go($number) }) } 1 .. $listeners;

while (time < $end)
{
	gateway_hears($_, 0.05) foreach @gateways;
}

is(reap(@sending), 0, 'all senders went on');
ok(wait_until(sub {
	gateway_hears($_, 0.1) foreach @gateways;
	return !grep { bits_missing(bits_of_table(), $_->{heard}) } @gateways;
}, 60), 'gateways have heard everything') or diag(join ' ', map { bits_missing(bits_of_table(), $_->{heard}) } @gateways, 'are missing');
append_to_file($over, '');
is(reap(@listening), 0, 'all listeners went on');

my $table = bits_of_table();
my $messages = value($admin, 'SELECT count(*) FROM chatrel.groups_messages');
foreach my $gateway (@gateways)
{
	is($gateway->{twice}, 0, 'gateway: nothing came twice');
	is($gateway->{disorder}, 0, 'gateway: each sender in order');
	ok(same_bits($gateway->{heard}, $table), 'gateway: what it has heard is the table');
}
my ($wrong, $twice, $invented, $heard) = (0, 0, 0, 0);
foreach my $number (1 .. $listeners)
{
	my $client = decode_json(slurp_file($node->basedir . "/listener_$number"));
	my $has = pack 'H*', $client->{synced};

	$wrong++ unless same_bits($has, bits_of_table($client->{user}));
	$twice += $client->{twice};
	$invented += bits_missing(pack('H*', $client->{heard}), $has);
	$heard += unpack '%32b*', pack 'H*', $client->{heard};
}
is($wrong, 0, "$listeners listeners that come and go: each has its groups' messages");
is($twice, 0, 'sync gave none twice');
is($invented, 0, 'and nothing was heard that is not there');

my $relay = relay_row($admin);
ok(wait_until(sub { $relay = relay_row($admin); $relay->{bytes_waiting} == 0 }), 'nothing waits in the relay');
is($relay->{queued}, $relay->{delivered}, 'all that was queued was delivered');

my $found = decode_json(slurp_file($node->basedir . '/found'));
my %memory = %{ $found->{backends} };
my %memory_at_end = %{ $found->{backends_at_end} };
my @lasting = grep { $memory{$_} && $memory_at_end{$_} } sort keys %memory;
my ($most) = sort { $b <=> $a } map { $memory_at_end{$_} - $memory{$_} } @lasting;
cmp_ok($found->{killed}, '>', $seconds / 10, 'workers were terminated');
cmp_ok($most, '<', 4096, 'memory of backends does not grow');
ok($found->{worker} && $found->{worker_at_end}, 'a worker got old');
cmp_ok($found->{worker_at_end} - $found->{worker}, '<', 4096, 'its memory does not grow');

note("$seconds s, $senders senders, $listeners listeners that come and go: $messages messages ("
	. int($messages / $seconds) . "/s), $heard heard by those listeners, $found->{killed} workers terminated");
note("relay: $relay->{queued} queued, $relay->{delivered} delivered in $relay->{batches} batches; transactions that used NOTIFY:"
	. " no worker $relay->{fallbacks_no_worker}, no room $relay->{fallbacks_no_room}");
note("worker: $found->{worker} kB, at the end $found->{worker_at_end} kB");
note('backends: ' . join ', ', map { "$memory{$_} kB, at the end $memory_at_end{$_} kB" } @lasting[ 0 .. 4 ]);
note('of ' . @lasting . " backends, the one that has grown most: by $most kB");

$node->stop;
done_testing();
