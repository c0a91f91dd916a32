# What is done to the server while it is under load.
#
# A kind of fault has a name, whether the server crashes by it, and the functions
# prepare (before the load), strike (during it), and mend (after it).  A strike
# ends when the fault is over and the server can be reached again.
package Fault;

use strict;
use warnings;

use JSON::PP;
use Ledger;
use PostgreSQL::Test::Utils qw(slurp_file append_to_file);
use Realtime;
use Time::HiRes qw(time sleep);

# ---------- the server ----------

# A connection of the superuser, made again when the server comes back.
sub admin
{
	my ($world) = @_;

	wait_until(sub {
		return 1 if $world->{admin} && eval { value($world->{admin}, 'SELECT 1') };
		return $world->{admin} = eval { connect_to($world->{node}) };
	}) or die 'the server does not come back';
	return $world->{admin};
}

sub postmaster
{
	my ($world) = @_;

	return (split /\n/, eval { slurp_file($world->{node}->data_dir . '/postmaster.pid') } // '')[0];
}

sub stop_and_start
{
	my ($world, $mode, $between) = @_;

	$world->{node}->stop($mode);
	$between->() if $between;
	start_again($world->{node});
	return;
}

sub pids
{
	my ($world, $condition) = @_;

	return @{ admin($world)->selectcol_arrayref("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $condition ORDER BY pid") };
}

my $CLIENTS = q{backend_type = 'client backend' AND application_name ~ '^(person.|hasty|pusher|caller|leaver|refused|quicker|gateway|looks|waits|listens)$'};
my $WORKER = q{backend_type = 'chatrel relay'};
my $OTHERS = q{backend_type NOT IN ('client backend', 'chatrel relay', 'autovacuum worker')};

# A process that can be struck; the load goes on until there is one.
sub victim
{
	my ($world, $condition) = @_;

	return wait_until(sub { my @pids = pids($world, $condition); return @pids ? $pids[ rand @pids ] : 0 }) || die "no victim: $condition";
}

# Strikes one process, and waits for the crash that this is.
sub crash
{
	my ($signal, $condition) = @_;

	return sub {
		my ($world) = @_;
		my $log = -s $world->{node}->logfile;
		my $struck;

		# It may have ended by itself
		wait_until(sub {
			$struck ||= kill $signal, victim($world, $condition);
			return slurp_file($world->{node}->logfile, $log) =~ /all server processes terminated; reinitializing/;
		}) or die 'no crash';
		$world->{signals} = $signal eq 'KILL' ? 1 : 0;
	};
}

# Strikes processes one after the other; each must be noticed, not each must die.
sub harass
{
	my ($condition, $times, @ways) = @_;

	return sub {
		my ($world) = @_;

		for (1 .. $times)
		{
			my $pid = victim($world, $condition);
			my $way = $ways[ rand @ways ];

			$way =~ /^pg_/ ? value(admin($world), "SELECT $way(?)", $pid) : kill $way, $pid;
			sleep 0.05 * rand;
		}
	};
}

sub kill_postmaster
{
	my ($world) = @_;

	$world->{node}->kill9;
	start_again($world->{node});
	return;
}

# ---------- a history that is gone ----------

# The watcher's sync: the answer, or undefined where the cursor is refused.
sub sync_as_watcher
{
	my ($world, $dbh, $cursor) = @_;
	my $answer = eval { value($dbh, 'SELECT chatrel.sync(?, as_user => ?)', $cursor, $world->{watcher}) };

	die $@ unless $answer || $dbh->state eq '55000';
	return $answer ? decode_json($answer) : undef;
}

sub send_as_watcher
{
	my ($world, $dbh) = @_;
	my $text = join ' ', $world->{round}, 'gone', ++$world->{gone};

	return value($dbh, 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', $text, $world->{watcher});
}

# What is sent after the copy is gone with it, and so its ids are given again.
sub put_back_copy
{
	my ($world) = @_;
	my $data = $world->{node}->data_dir;
	my $copy = $world->{node}->basedir . '/copy';
	my $cursor = sync_as_watcher($world, admin($world), 'now')->{cursor};
	my @gone;

	stop_and_start($world, 'fast', sub { system('cp', '-a', $data, $copy) == 0 or die 'cannot copy' });
	for (1 .. 1 + int rand 30)
	{
		send_as_watcher($world, admin($world));
		push @gone, sync_as_watcher($world, admin($world), $gone[-1] // $cursor)->{cursor};
	}
	stop_and_start($world, 'immediate', sub { system('rm', '-rf', $data) == 0 && rename $copy, $data or die 'cannot put back' });
	$world->{cursors} = [ { cursor => $cursor, is => 'kept' }, map { { cursor => $_, is => 'gone' } } @gone ];
	return;
}

# Cursors that have seen a message of a transaction which the crash takes back
sub crash_after_sync
{
	my ($world) = @_;

	$world->{cursors} = [];
	for (1 .. 3)
	{
		my $dbh = connect_to($world->{node});

		$dbh->begin_work;
		send_as_watcher($world, $dbh);
		push @{ $world->{cursors} }, { cursor => sync_as_watcher($world, $dbh, 'now')->{cursor}, is => 'doubt' };
		stop_and_start($world, 'immediate');
		abandon($dbh);
	}
	return;
}

# A cursor that has seen what is gone is refused, or brings all that came since the
# server was started, once; never less.
sub check_cursors
{
	my ($world) = @_;
	my $dbh = admin($world);
	my $ledger = Ledger->open_new("$world->{folder}/cursors.ledger");
	my @since = @{ $dbh->selectcol_arrayref(q{
		SELECT m.id FROM chatrel.groups_messages m JOIN chatrel.groups_members g ON g.group_id = m.group_id AND g.user_id = ?
		WHERE m.datetime > pg_postmaster_start_time()}, undef, $world->{watcher}) };

	die 'nothing was sent' unless @since;
	foreach my $taken (@{ delete $world->{cursors} })
	{
		my ($cursor, $answer, %times) = ($taken->{cursor});

		do
		{
			$answer = sync_as_watcher($world, $dbh, $cursor);
			$times{ $_->{id} }++ foreach $answer ? messages_in($answer) : ();
			$cursor = $answer->{cursor} if $answer;
		} while ($answer && $answer->{more});
		$ledger->enter('wrong', "a cursor of what is gone was taken: $taken->{cursor}") if $taken->{is} eq 'gone' && $answer;
		$ledger->enter('wrong', "a cursor of what is there was refused: $taken->{cursor}") if $taken->{is} eq 'kept' && !$answer;
		next unless $answer;
		my $missing = grep { !$times{$_} } @since;
		my $twice = grep { $_ > 1 } values %times;
		$ledger->enter('wrong', "$missing missing, $twice twice after $taken->{cursor}") if $missing || $twice;
	}
	return;
}

# ---------- a full disk ----------

# The disk is a small one of its own, given by script/test-faults.
sub disk
{
	return $ENV{CHATREL_DISK} ? "$ENV{CHATREL_DISK}/chatrel" : undef;
}

sub move
{
	my ($world, $from, $to) = @_;

	mkdir disk();
	stop_and_start($world, 'fast', sub { system('mv', $from, $to) == 0 or die "cannot move $from"; symlink $to, $from or die });
	return;
}

sub move_back
{
	my ($world, $from, $to) = @_;

	stop_and_start($world, 'fast', sub { unlink $to or die; system('mv', $from, $to) == 0 or die "cannot move $from" });
	return;
}

# Leaves so many kB of the disk, until there is nothing to write to any more.
sub fill_disk
{
	my ($left) = @_;
	my $path = disk() . '/ballast';
	my $block = 'x' x 65536;

	open(my $ballast, '>', $path) or die;
	1 while defined syswrite $ballast, $block;
	truncate $ballast, (-s $ballast) - 1024 * $left;
	close $ballast;
	return;
}

# A server that has not survived it is started again.
sub full_disk
{
	my ($world) = @_;
	my $log = -s $world->{node}->logfile;
	my $is_full = sub { return slurp_file($world->{node}->logfile, $log) =~ /No space left on device|Check free disk space/ };

	fill_disk(int rand 100);
	wait_until($is_full) or die 'the disk does not get full';
	sleep 0.5 * rand;
	unlink disk() . '/ballast';
	wait_until(sub {
		my $pid = postmaster($world);
		return 1 if $pid && kill(0, $pid) && eval { connect_to($world->{node}) };
		start_again($world->{node}) if !$pid || !kill 0, $pid;
		return 0;
	}) or die 'the server does not come back';
	return;
}

# ---------- nothing left ----------

# Every connection is taken that is not reserved, also those of clients that have to go.
sub connections_exhausted
{
	my ($world) = @_;
	my $until = time + 1.5;
	my ($refused, @taken) = (0);

	while (time < $until || !$refused)
	{
		my $dbh = eval { connect_to($world->{node}, 'postgres', user => 'app') };

		if ($dbh) { push @taken, $dbh; next }
		$refused++;
		value(admin($world), 'SELECT pg_terminate_backend(?)', victim($world, $CLIENTS)) if rand() < 0.2;
		sleep 0.02;
	}
	return;
}

# Other databases take all that the relay needs, and later let it have it.
sub occupy
{
	my ($world, @settings) = @_;

	$world->{node}->append_conf('postgresql.conf', join "\n", @settings, '');
	stop_and_start($world, 'fast');
	$world->{occupiers} = [ map { my $database = $_; spawn(sub { occupier($world, $database) }) } qw(other1 other2) ];
	wait_until(sub { value(admin($world), 'SELECT count(worker_pid) FROM chatrel.relay') == 2 }) or die 'the other databases have no relay';
	return;
}

sub occupier
{
	my ($world, $database) = @_;
	my $dbh = connect_to($world->{node}, $database);

	until (-e "$world->{folder}/leave")
	{
		value($dbh, q{SELECT (chatrel.send_group_message(1, 'here', as_user => 1)).id});
		sleep 0.05;
	}
	return;
}

sub leave
{
	my ($world) = @_;
	my $before = Ledger::count($world->{folder}, 'done');

	wait_until(sub { Ledger::count($world->{folder}, 'done') > $before + 50 }) or die 'nothing is sent without the relay';
	append_to_file("$world->{folder}/leave", '');
	reap(@{ delete $world->{occupiers} }) == 0 or die 'an occupier failed';
	wait_until(sub { worker_pid(admin($world)) }) or die 'the relay does not come back';
	return;
}

sub free
{
	my ($world) = @_;

	$world->{node}->append_conf('postgresql.conf', "max_worker_processes = 8\nchatrel.relay_databases = 8\n");
	stop_and_start($world, 'fast');
	return;
}

# ---------- all kinds ----------

# The first are the kills that ROUNDS counts.
my @KINDS = (
	{ name => 'kill -9 of a backend', crash => 1, strike => crash('KILL', $CLIENTS) },
	{ name => "kill -9 of the relay's worker", crash => 1, strike => crash('KILL', $WORKER) },
	{ name => 'kill -9 of another process', crash => 1, strike => crash('KILL', $OTHERS) },
	{ name => 'kill -9 of the postmaster', crash => 1, strike => \&kill_postmaster },
	{ name => 'SIGQUIT to a backend', crash => 1, strike => crash('QUIT', $CLIENTS) },
	{ name => "SIGQUIT to the relay's worker", crash => 1, strike => crash('QUIT', $WORKER) },
	{ name => 'immediate restart', crash => 1, strike => sub { stop_and_start($_[0], 'immediate') } },
	{ name => 'fast restart', strike => sub { stop_and_start($_[0], 'fast') } },
	{ name => '30 backends terminated', strike => harass($CLIENTS, 30, 'pg_terminate_backend', 'TERM') },
	{ name => 'an earlier copy put back', crash => 1, prepare => \&put_back_copy, strike => sub { stop_and_start($_[0], 'immediate') },
		mend => \&check_cursors },
	{ name => 'crash after send and sync in one transaction', crash => 1, strike => \&crash_after_sync, mend => \&check_cursors },
	{ name => "20 of the relay's workers terminated", strike => harass($WORKER, 20, 'pg_terminate_backend', 'TERM') },
);

my @OTHER_KINDS = (
	{ name => 'full disk: WAL', disk => 1, crash => 1, strike => \&full_disk,
		prepare => sub { move($_[0], $_[0]{node}->data_dir . '/pg_wal', disk() . '/pg_wal') },
		mend => sub { move_back($_[0], disk() . '/pg_wal', $_[0]{node}->data_dir . '/pg_wal') } },
	{ name => 'full disk: data and WAL', disk => 1, crash => 1, strike => \&full_disk,
		prepare => sub { move($_[0], $_[0]{node}->data_dir, disk() . '/pgdata') },
		mend => sub { move_back($_[0], disk() . '/pgdata', $_[0]{node}->data_dir) } },
	{ name => 'full disk: tablespace of messages', disk => 1, strike => \&full_disk,
		prepare => sub { set_tablespace($_[0]) }, mend => sub { reset_tablespace($_[0]) } },
	{ name => 'out of connections', strike => \&connections_exhausted },
	{ name => 'out of worker processes', strike => \&leave, mend => \&free,
		prepare => sub { occupy($_[0], 'max_worker_processes = 4', 'chatrel.relay_databases = 8') } },
	{ name => "out of the relay's queues", strike => \&leave, mend => \&free,
		prepare => sub { occupy($_[0], 'max_worker_processes = 8', 'chatrel.relay_databases = 2') } },
	{ name => 'timeouts of all kinds', timeouts => 1, strike => \&wait_for_timeouts },
	{ name => '100 statements cancelled', strike => harass("($CLIENTS OR $WORKER)", 100, 'pg_cancel_backend', 'INT') },
);

sub set_tablespace
{
	my ($world) = @_;
	my $place = disk() . '/tablespace';

	mkdir $_ foreach disk(), $place;
	admin($world)->do($_) foreach "CREATE TABLESPACE small LOCATION '$place'", 'ALTER TABLE chatrel.groups_messages SET TABLESPACE small';
	return;
}

sub reset_tablespace
{
	my ($world) = @_;

	admin($world)->do($_) foreach 'ALTER TABLE chatrel.groups_messages SET TABLESPACE pg_default', 'DROP TABLESPACE small';
	return;
}

sub wait_for_timeouts
{
	my ($world) = @_;
	my $pattern = qr/canceling statement due to (?:statement|lock) timeout|due to idle-in-transaction timeout/;

	wait_until(sub { (() = slurp_file($world->{node}->logfile, $world->{log}) =~ /$pattern/g) >= 100 }) or die 'no timeouts';
	return;
}

# So many rounds of kills, spread over the kinds, and of the others some; in a random order.
sub plan_rounds
{
	my ($rounds) = @_;
	my $others = int(($rounds + 24) / 25);
	my @plan = ((map { $KINDS[ $_ % @KINDS ] } 0 .. $rounds - 1), (@OTHER_KINDS) x $others);

	for (my $i = @plan; --$i > 0;)
	{
		my $j = int rand($i + 1);
		@plan[ $i, $j ] = @plan[ $j, $i ];
	}
	return @plan;
}

sub kinds
{
	return (@KINDS, @OTHER_KINDS);
}

1;
