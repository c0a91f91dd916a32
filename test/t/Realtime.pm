# What the tests of the relay and of sync share: servers, connections that
# listen, clients in processes of their own, and waiting for a condition.
package Realtime;

use strict;
use warnings;

use Exporter 'import';
use DBI;
use FindBin;
use IPC::Run;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(new_server start_again set_up connect_to abandon value wait_until now_seconds worker_pid start_worker
	stop_worker continue_worker with_stopped_worker relay_row spawn reap messages_of messages_in
	has_program node_packages npm_install);

# Nothing here takes this long; what does, has failed.
our $patience = $PostgreSQL::Test::Utils::timeout_default;

sub now_seconds
{
	return time;
}

# A server, with the library preloaded unless it is said not to be.
sub new_server
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => $options{allows_streaming} // 0, extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'chatrel'\n")
		unless $options{not_preloaded};
	$node->append_conf('postgresql.conf', "max_connections = 150\nautovacuum = off\n" . ($options{conf} // ''));
	$node->start unless $options{not_started};
	return $node;
}

# Starts a server that is not there any more, as soon as what is left of it lets us.
sub start_again
{
	my ($node) = @_;
	my ($data, $log, $name) = ($node->data_dir, $node->logfile, $node->name);

	wait_until(sub { return system("pg_ctl start --silent --wait -D '$data' -l '$log' -o --cluster-name=$name >/dev/null 2>&1") == 0 })
		or die 'the server does not start';
	$node->_update_pid(1);
	return;
}

# The extension, and users 1 to $users who are all in the groups 1 to $groups.
sub set_up
{
	my ($node, %options) = @_;
	my $users = $options{users} // 4;
	my $groups = $options{groups} // 1;

	$node->safe_psql($options{database} // 'postgres', qq{
		CREATE EXTENSION chatrel;
		SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, $users) AS i;
		SELECT count(chatrel.create_group('g' || i, as_user => 1)) FROM generate_series(1, $groups) AS i;
		SELECT count(chatrel.join_group(g, as_user => u))
		FROM generate_series(1, $groups) AS g, generate_series(1, $users) AS u;
	});
	return;
}

sub connect_to
{
	my ($node, $database, %options) = @_;
	my $host = $options{host} // $node->host;
	my $port = $options{port} // $node->port;

	return DBI->connect("dbi:Pg:dbname=" . ($database // 'postgres') . ";host=$host;port=$port",
		$options{user} // '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => 0 });
}

# Forgets connections to a server that is gone: there is nothing to roll back.
sub abandon
{
	$_->{InactiveDestroy} = 1 foreach @_;
	return;
}

# The only value of the only row
sub value
{
	my ($dbh, $sql, @arguments) = @_;

	return scalar $dbh->selectrow_array($sql, undef, @arguments);
}

# Asks until the answer is true, and returns it; false when patience is at its end.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $deadline = time + ($seconds // $patience);

	while (1)
	{
		my $answer = $condition->();

		return $answer if $answer;
		return 0 if time > $deadline;
		sleep 0.01;
	}
	return;
}

# ---------- the relay ----------

sub relay_row
{
	my ($dbh) = @_;

	return $dbh->selectrow_hashref('SELECT * FROM chatrel.relay WHERE database = current_database()') // {};
}

sub worker_pid
{
	my ($dbh) = @_;

	return relay_row($dbh)->{worker_pid};
}

# Sends, as user 1 to group 1, until there is a worker.
sub start_worker
{
	my ($dbh) = @_;

	return worker_pid($dbh) // wait_until(
		sub {
			value($dbh, q{SELECT chatrel.send_group_message(1, 'wake up', as_user => 1)});
			return worker_pid($dbh);
		}) || die 'the relay has no worker';
}

# "T" for a process that is stopped, as /proc/PID/stat says after the name in parentheses.
sub process_state
{
	my ($pid) = @_;

	open(my $stat, '<', "/proc/$pid/stat") or return '';
	my ($state) = <$stat> =~ /\) (\w)/;
	return $state // '';
}

# It waits for something to do: where it were stopped at work it might hold a lock of the server's,
# for which everybody else would wait, whoever asks for locks too.
sub is_idle
{
	my ($dbh, $pid) = @_;

	return !relay_row($dbh)->{bytes_waiting}
		&& value($dbh, q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = ?}, $pid);
}

# Stops a worker that has nothing to do, so that it holds no lock; and returns its pid.
sub stop_worker
{
	my ($dbh) = @_;

	for (1 .. 100)
	{
		my $pid = start_worker($dbh);

		wait_until(sub { return is_idle($dbh, $pid) || (worker_pid($dbh) // 0) != $pid })
			or die 'the relay does not deliver';
		kill 'STOP', $pid or next;
		wait_until(sub { process_state($pid) =~ /^T/ }, 5) or next;
		my $busy = value($dbh, q{SELECT count(*) FROM pg_locks WHERE pid = ?}, $pid);
		return $pid if !$busy && (worker_pid($dbh) // 0) == $pid;
		kill 'CONT', $pid;
	}
	die 'the worker cannot be stopped';
}

sub continue_worker
{
	my ($pid) = @_;

	kill 'CONT', $pid;
	return;
}

# Does something while the worker is stopped, which goes on whatever happens.
sub with_stopped_worker
{
	my ($dbh, $do) = @_;
	my $pid = stop_worker($dbh);
	my $result = eval { $do->($pid) };
	my $error = $@;

	continue_worker($pid);
	die $error if $error;
	return $result;
}

# ---------- clients in processes of their own ----------

my @spawned;

# Runs a function in a process of its own; it is to make its own connections.
sub spawn
{
	my ($do) = @_;
	my $pid = fork // die "cannot fork: $!";

	if ($pid)
	{
		push @spawned, $pid;
		return $pid;
	}
	my $succeeded = eval { $do->(); 1 };
	print STDERR "# a client failed: $@" unless $succeeded;
	POSIX::_exit($succeeded ? 0 : 1);
}

# Waits for processes; how many of them failed
sub reap
{
	my (@pids) = @_;
	my $failed = 0;

	foreach my $pid (@pids)
	{
		waitpid $pid, 0;
		$failed++ if $?;
	}
	return $failed;
}

# A test that dies leaves none of them behind, which would keep prove waiting.
END
{
	local $?;
	kill 'KILL', grep { waitpid($_, POSIX::WNOHANG()) == 0 } @spawned;
}

# ---------- listeners ----------

# The texts of messages among events
sub messages_of
{
	my (@payloads) = @_;

	return map { /"group_message": .*"message": "((?:[^"\\]|\\.)*)"/ ? $1 : () } @payloads;
}

# The messages among the events of an answer of sync
sub messages_in
{
	my ($answer) = @_;

	return map { $_->{group_message} // () } @{ $answer->{events} };
}

# ---------- other programs ----------

sub has_program
{
	my ($name) = @_;

	return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH};
}

# Puts the packages that examples/web imports into a folder that has its package.json; false if
# they are not to be had.
sub node_packages
{
	my ($folder) = @_;

	return eval {
		IPC::Run::run([ 'bash', '-c', '. "$1/script/bootstrap" && node_packages "$2"', 'bash', "$FindBin::RealBin/../..", $folder ],
			'<', \undef, '>&', \my $output, IPC::Run::timeout(120)) };
}

# Begins to install packages of npm's into a folder of their own: those that are named, or else
# those of its package.json. Returns a function that waits for that, and says why it was not possible.
sub npm_install
{
	my ($folder, @packages) = @_;
	my @missing = grep { !has_program($_) } 'node', 'npm';

	return sub { "$missing[0] is not installed" } if @missing;
	my $handle = IPC::Run::start([ 'npm', 'install', '--silent', '--fetch-retries=0', '--no-audit', '--no-fund', '--prefer-offline', '--prefix', $folder, @packages ],
		'<', \undef, '>', "$folder/npm.log", '2>&1', IPC::Run::timeout(300));
	return sub {
		return if eval { $handle->finish };
		$handle->kill_kill;
		return 'npm cannot fetch ' . (join(' ', @packages) || 'the packages');
	};
}

package Realtime::Listener;

use Time::HiRes qw(time);

# Listens as a call says, and keeps what it hears.
sub new
{
	my ($class, $node, $call, %options) = @_;
	my $self = bless { dbh => Realtime::connect_to($node, $options{database}), heard => [], presence => $options{presence} }, $class;

	$self->{dbh}->selectall_arrayref("SELECT $call");
	return $self;
}

# Waits for events up to so many seconds, and returns those that have come, as
# text; but not what start_worker() sends, nor, unless that is asked for, who comes
# and goes.
sub hear
{
	my ($self, $seconds) = @_;
	my $dbh = $self->{dbh};
	my @new;

	while (my $notify = $dbh->pg_notifies)
	{
		push @new, $notify->[2]
			unless $notify->[2] =~ /"message": "wake up"/ || ($notify->[2] =~ /^\{"presence"/ && !$self->{presence});
	}
	if (!@new && ($seconds // 0) > 0)
	{
		my $in = '';
		vec($in, $dbh->{pg_socket}, 1) = 1;
		select($in, undef, undef, $seconds);
		return $self->hear(0);
	}
	push @{ $self->{heard} }, @new;
	return @new;
}

# Hears until it has heard a message with this text; everything since the last time.
sub hear_until
{
	my ($self, $text, $seconds) = @_;
	my $deadline = time + ($seconds // $Realtime::patience);
	my @heard;

	while (!grep { /"message": "\Q$text\E"/ } @heard)
	{
		die "\"$text\" is not heard, only " . scalar(@heard) . ' events, the last: ' . ($heard[-1] // 'none')
			if time > $deadline;
		push @heard, $self->hear(0.1);
	}
	return @heard;
}

# The texts of the messages that it hears until this one.
sub texts_until
{
	my ($self, $text, $seconds) = @_;

	return Realtime::messages_of($self->hear_until($text, $seconds));
}

1;
