# What the scripts share that measure with a running server: PGHOST, PGPORT and PGUSER (a superuser)
# say which.  Each makes a database of its own and drops it.
#
# BENCH_SECONDS (3) is the length of one run, BENCH_REPEATS (5) how many there are of each.
package Measure;

use strict;
use warnings;
use utf8;
use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Handle;
use IPC::Open2 qw(open2);
use Time::HiRes qw(time);

our @EXPORT = qw($repeats sql begin_database end_database tps alternate cpu_times median seconds
	row heading per_size);

our $repeats = $ENV{BENCH_REPEATS} || 5;
my $seconds = $ENV{BENCH_SECONDS} || 3;
my $dir = tempdir(CLEANUP => 1);
my $database;

sub sql
{
	my ($sql, $db) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	my @command = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $db // $database, '-c', $sql);

	open(my $psql, '-|', @command) or die "psql: $!";
	my $out = join('', <$psql>);
	close($psql) or die "psql failed: $sql";
	chomp $out;
	return $out;
}

sub begin_database
{
	($database) = @_;
	binmode(STDOUT, ':utf8');
	$| = 1;
	sql("DROP DATABASE IF EXISTS $database", 'postgres');
	sql("CREATE DATABASE $database", 'postgres');
	sql('CREATE EXTENSION chatrel');
	return;
}

sub end_database
{
	sql("DROP DATABASE $database", 'postgres');
	return;
}

sub heading
{
	printf "PostgreSQL %s, medians of %d runs\n\n", sql('SHOW server_version'), $repeats;
	print "| work | measured | ratio | target |\n|---|---|---|---|\n";
	return;
}

# Runs a script and returns its transactions per second.
sub tps
{
	my ($script, $clients, $options, $db) = @_;
	my $file = "$dir/script.sql";

	$db //= $database;
	open(my $out, '>', $file) or die "$file: $!";
	print $out $script;
	close($out);

	local $ENV{PGOPTIONS} = $options // '';
	my $report = `pgbench -n -M prepared -c $clients -j 2 -T $seconds -f $file $db 2>&1`;
	die "pgbench failed:\n$report" if $? != 0 || $report !~ /^tps = ([\d.]+)/m;
	return $1;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return ($sorted[$#sorted / 2] + $sorted[@sorted / 2]) / 2;
}

# The medians of alternating runs of several scripts, each as tps() takes them.
sub alternate
{
	my ($prepare, @runs) = @_;
	my @results;

	foreach (1 .. $repeats)
	{
		for my $i (0 .. $#runs)
		{
			sql($prepare) if $prepare;
			push @{ $results[$i] }, tps(@{ $runs[$i] });
		}
	}
	return map { median(@$_) } @results;
}

# A session, in which ask() returns what statements print.
sub open_session
{
	my %session;

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	open2($session{out}, $session{in}, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database);
	$session{in}->autoflush(1);
	$session{backend} = ask(\%session, 'SELECT pg_backend_pid();');
	return \%session;
}

sub ask
{
	my ($session, $statements) = @_;
	my ($in, $out) = @$session{qw(in out)};
	my $answer = '';

	print $in "$statements\n\\echo end of answer\n";
	while (defined(my $line = <$out>))
	{
		chomp $line;
		return $answer if $line eq 'end of answer';
		$answer .= $line;
	}
	die "a session ended at: $statements\n";
}

# The CPU time that the server process of a session has used, in seconds.
sub cpu_time
{
	my ($session) = @_;

	open(my $stat, '<', "/proc/$session->{backend}/schedstat") or die "schedstat: $!";
	my ($nanoseconds) = split ' ', <$stat>;
	return $nanoseconds / 1e9;
}

# The median CPU times for one statement, in seconds, of alternating runs of several, which others
# who use the machine hardly change.  Each is a setting of its session, how it is prepared (as
# "run"), and what gives the arguments of the nth.
sub cpu_times
{
	my ($prepare, $number, @runs) = @_;
	my (@sessions, @times);
	my $n = 0;

	for my $run (@runs)
	{
		push @sessions, open_session();
		ask($sessions[-1], "$run->[0]; PREPARE run AS $run->[1];");
	}
	foreach my $repeat (0 .. $repeats)
	{
		for my $i (0 .. $#runs)
		{
			sql($prepare) if $prepare;
			my $statements = join("\n", map { 'EXECUTE run' . $runs[$i][2]->($n++) . ';' } 1 .. $number);
			my $before = cpu_time($sessions[$i]);

			ask($sessions[$i], $statements);
			# The first time is to warm up.
			push @{ $times[$i] }, (cpu_time($sessions[$i]) - $before) / $number if $repeat > 0;
		}
	}
	close($_->{in}) for @sessions;
	return map { median(@$_) } @times;
}

# How long one statement takes, with the session for it.
sub seconds
{
	my ($sql, $db) = @_;
	my $start = time;

	sql($sql, $db);
	return time - $start;
}

sub row
{
	my ($work, $figures, $ratio, $target) = @_;

	printf "| %s | %s | %s | %s |\n", $work, $figures,
		defined $ratio ? sprintf('%.2f', $ratio) : '', $target;
	return;
}

# A row of times at each size: the ratio is that of the times for one, last to first.
sub per_size
{
	my ($work, $target, $sizes, $times) = @_;

	row($work, join(', ', map { sprintf '%d: %.2f s', $sizes->[$_], $times->[$_] } 0 .. $#$sizes),
		$times->[-1] / $sizes->[-1] / ($times->[0] / $sizes->[0]), $target);
	return;
}

1;
