# Breaks a server under load, again and again, and looks whether anything that was
# acknowledged is lost, anything comes twice, and anything is there that should not.
#
# script/test-faults runs this; the ordinary tests do not.  Parameters, in the
# environment:
#
#   CHATREL_FAULT_ROUNDS    rounds of kills, 50 by default; of the other faults one
#                           each for every 25
#   SEED                    what is done follows from it, though not when
#   CHATREL_FAULT_KINDS     a pattern: only these kinds
#   CHATREL_DISK            a small file system of its own, to be filled

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";

use Checks;
use Fault;
use Ledger;
use Load;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

my $rounds = $ENV{CHATREL_FAULT_ROUNDS} // 50;
my $seed = $ENV{SEED} || 1 + int rand 1_000_000;
my $only = $ENV{CHATREL_FAULT_KINDS} // '.';
# So many transactions are acknowledged before the fault, and again after it.
my $BEFORE = 300;
my $AFTER = 300;
my $start = time;

srand $seed;
diag("SEED=$seed");

# ---------- the world ----------

# Segments of WAL are small, and none is kept: a full disk is noticed soon.
sub new_world
{
	my $node = PostgreSQL::Test::Cluster->new('main');

	$node->init(extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ]);
	$node->append_conf('postgresql.conf', q{
		shared_preload_libraries = 'chatrel'
		restart_after_crash = on
		max_connections = 40
		chatrel.relay_idle_timeout = 200ms
		chatrel.relay_queue_size = 64kB
		min_wal_size = 2MB
		max_wal_size = 8MB
		wal_recycle = off
		checkpoint_warning = 0
		autovacuum_naptime = 1s
		log_line_prefix = '%m [%p] %e %q%a '
		log_statement = none
	});
	$node->start;
	return { node => $node, watchers => { map { $_ => { seen => '', heard => '', twice => 0 } } qw(looks waits listens) } };
}

sub new_user
{
	my ($world, $name) = @_;

	return value($world->{admin}, 'SELECT (chatrel.create_user(?)).id', $name);
}

sub install
{
	my ($world, $database) = @_;

	$world->{node}->safe_psql($database, q{
		CREATE EXTENSION chatrel;
		SELECT chatrel.create_user('first');
		SELECT chatrel.create_group('first', true, as_user => 1)});
	return;
}

sub set_up_world
{
	my ($world) = @_;
	my $node = $world->{node};

	$node->safe_psql('postgres', 'CREATE ROLE app LOGIN');
	foreach my $database (qw(other1 other2)) { $node->safe_psql('postgres', "CREATE DATABASE $database"); install($world, $database) }
	install($world, 'postgres');
	$node->safe_psql('postgres', q{
		CREATE TABLE skew (a int);
		GRANT SELECT, INSERT ON skew TO app;
		GRANT USAGE ON SCHEMA chatrel TO app;
		GRANT SET ON PARAMETER chatrel.user_id TO app;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO app});
	my $admin = Fault::admin($world);

	$world->{groups} = [ 1, map { value($admin, 'SELECT (chatrel.create_group(?, true, as_user => 1)).id', "group $_") } 2 .. 4 ];
	$world->{$_} = new_user($world, $_) foreach qw(watcher hasty caller leaver);
	foreach my $person (Load::people())
	{
		$world->{own}{$person} = [ map { new_user($world, "$person-$_") } 1 .. 4 ];
		$world->{boards}{$person} = value($admin, q{SELECT chatrel.create_whiteboard(1, 1) ->> 'id'});
	}
	foreach my $user (@$world{qw(watcher hasty caller)}, map { $_->[0] } values %{ $world->{own} })
	{
		value($admin, 'SELECT chatrel.join_group(?, ?)', $_, $user) foreach @{ $world->{groups} };
	}
	# Who calls every function owns the groups, and people pin what is on the wall
	value($admin, q{SELECT chatrel.set_role(?, ?, 'owner', 1)}, $_, $world->{caller}) foreach @{ $world->{groups} };
	value($admin, q{SELECT chatrel.set_role(1, ?, 'moderator', 1)}, $_->[0]) foreach values %{ $world->{own} };
	$world->{wall} = { map { $_ => value($admin, q{SELECT (chatrel.send_group_message(1, 'wall 0', as_user => ?)).id}, $world->{own}{$_}[0]) } Load::people() };
	Checks::check_state($world);
	return;
}

# Whom the clients of the next round have to do with, as the tables say.
sub look_at_world
{
	my ($world) = @_;
	my $admin = $world->{admin};
	my %alive = map { $_ => 1 } @{ $admin->selectcol_arrayref('SELECT id FROM chatrel.users WHERE deleted_at IS NULL') };

	foreach my $person (Load::people())
	{
		my $own = $world->{own}{$person};

		push @$own, @{ $admin->selectcol_arrayref(q{SELECT id FROM chatrel.users WHERE username LIKE ? ORDER BY id}, undef, "$world->{round} $person %") };
		@$own = grep { $alive{$_} } @$own;
	}
	$world->{users} = [ sort { $a <=> $b } keys %alive ];
	return;
}

# ---------- a round ----------

sub acknowledged
{
	my ($world, $more) = @_;
	my $until = Ledger::count($world->{folder}, 'done') + $more;

	wait_until(sub { sleep 0.05; return Ledger::count($world->{folder}, 'done') >= $until }) or die 'the load does not go on';
	return;
}

sub strike
{
	my ($world, $kind) = @_;

	Load::start_readers($world);
	Load::start_writers($world);
	acknowledged($world, $BEFORE);
	sleep 0.3 * rand;
	$kind->{strike}->($world);
	Fault::admin($world);
	acknowledged($world, $AFTER);
	append_to_file("$world->{folder}/over", '');
	return;
}

# The gateway waits for a last message; the others read what there is.
sub end_load
{
	my ($world) = @_;
	my $ledger = Ledger->open_new("$world->{folder}/main.ledger");
	my $failed = reap(@{ delete $world->{writing} });
	my ($gateway, @reading) = @{ delete $world->{reading} };
	my $number = 0;
	my $ended = wait_until(sub {
		my $text = "end of round $world->{round} " . ++$number;

		$ledger->enter('done', [ 'message', $text, [ 1, $world->{watcher}, 'lasting' ] ]);
		value(Fault::admin($world), 'SELECT (chatrel.send_group_message(1, ?, as_user => ?)).id', $text, $world->{watcher});
		return wait_until(sub { waitpid($gateway, POSIX::WNOHANG()) }, 2);
	});
	append_to_file("$world->{folder}/quiet", '');
	unless ($ended) { append_to_file("$world->{folder}/given_up", ''); $failed += reap($gateway) }
	return $failed + reap(@reading);
}

my %has_program = map { my $program = $_; $program => scalar grep { -x "$_/$program" } split /:/, $ENV{PATH} } qw(pg_amcheck pg_catcheck);

sub has_amcheck
{
	my ($world) = @_;

	return $has_program{pg_amcheck} && eval { $world->{admin}->do('CREATE EXTENSION amcheck'); 1 };
}

# Every check with what is wrong; nothing, if all is well.
sub checks
{
	my ($world, $kind, $found) = @_;
	my ($result, @messages) = Checks::check_messages($world, $found, $kind);
	my %state = Checks::check_state($world);

	$world->{result} = $result;
	return (
		[ 'no message lost, doubled or invented', map { $result->{$_} ? "$result->{$_} $_" : () } qw(lost doubled invented) ],
		[ 'messages are whose they are, and transactions whole', @messages ],
		[ 'messages of earlier rounds as they were', Checks::check_earlier($world) ],
		[ 'clients met with nothing else, and nobody sent after leaving', @{ $found->{wrong} } ],
		(map { [ "as acknowledged: $_", @{ $state{$_} } ] } sort keys %state),
		[ 'counters of follows and of members', Checks::check_counters($world) ],
		[ 'groups have the owners they had', Checks::check_owners($world) ],
		[ 'who syncs has what there is, once', Checks::check_watchers($world, $kind) ],
		[ 'the gateway', Checks::check_gateway($world, $kind) ],
		[ 'log', Checks::check_log($world, $kind) ],
		$has_program{pg_amcheck} ? [ 'pg_amcheck', Checks::check_indexes($world) ] : (),
		$has_program{pg_catcheck} ? [ 'pg_catcheck', Checks::check_catalogs($world) ] : (),
	);
}

my %total;

sub count
{
	my ($world, $kind, @checks) = @_;
	my $total = $total{ $kind->{name} } //= { rounds => 0, checks => 0, failed => 0 };

	$total->{rounds}++;
	$total->{$_} += $world->{result}{$_} foreach keys %{ $world->{result} };
	$total->{checks} += @checks;
	$total->{failed} += grep { @$_ > 1 } @checks;
	return;
}

sub run_round
{
	my ($world, $kind) = @_;

	$world->{round}++;
	$world->{folder} = $world->{node}->basedir . "/round$world->{round}";
	mkdir $world->{folder} or die;
	$world->{log} = -s $world->{node}->logfile;
	@$world{qw(signals timeouts)} = (0, $kind->{timeouts});
	$kind->{prepare}->($world) if $kind->{prepare};
	$world->{base} = value(Fault::admin($world), 'SELECT coalesce(max(id), 0) FROM chatrel.groups_messages');
	strike($world, $kind);
	my $failed = end_load($world);
	my @rest = Checks::check_rest($world);
	$kind->{mend}->($world) if $kind->{mend};
	Fault::admin($world);

	my @checks = ([ 'the clients went on', $failed ? "$failed failed" : () ], [ 'everything has come to rest', @rest ],
		checks($world, $kind, Checks::read_ledgers($world)));
	look_at_world($world);
	return @checks;
}

sub report
{
	my ($world, $kind, @checks) = @_;

	subtest "round $world->{round}: $kind->{name}" => sub {
		foreach (@checks)
		{
			my ($name, @wrong) = @$_;
			ok(!@wrong, $name) or diag(join "\n", @wrong > 10 ? (@wrong[ 0 .. 9 ], '... of ' . @wrong) : @wrong);
		}
	};
	return;
}

# ---------- the table ----------

sub summary
{
	my ($skipped) = @_;
	my @lines = ('fault | rounds | messages acknowledged | lost | doubled | invented | other checks passed', '--- | --: | --: | --: | --: | --: | --:');
	my %sum;

	foreach my $kind (Fault::kinds())
	{
		my $total = $total{ $kind->{name} };

		push @lines, "$kind->{name} | skipped: $skipped | | | | |" if !$total && $kind->{disk} && $skipped;
		next unless $total;
		$sum{$_} += $total->{$_} foreach keys %$total;
		push @lines, line($kind->{name}, $total);
	}
	push @lines, line('all', \%sum);
	$sum{$_} //= 0 foreach qw(hasty hasty_lost);
	return ((map { "| $_ |" } @lines), sprintf 'SEED=%d, %d s. Sent with synchronous_commit off in rounds with a crash: %d acknowledged, of which the crash took back %d.',
		$seed, time - $start, $sum{hasty}, $sum{hasty_lost});
}

sub line
{
	my ($name, $total) = @_;

	return join ' | ', $name, @$total{qw(rounds acknowledged lost doubled invented)}, ($total->{checks} - $total->{failed}) . " of $total->{checks}";
}

my $world = new_world();
set_up_world($world);
look_at_world($world);
is(join(' ', @{ $world->{admin}->selectcol_arrayref(q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND prorettype <> 'trigger'::regtype AND proname <> ALL (?)}, undef, [ keys %Load::CALLS ]) }),
	'', 'every function is called');
my $skipped = Fault::disk() ? '' : $ENV{CHATREL_NO_DISK} || 'CHATREL_DISK is not set';
$has_program{pg_amcheck} = has_amcheck($world);
diag("$_ is not installed: without it") foreach grep { !$has_program{$_} } sort keys %has_program;

my @plan = grep { $_->{name} =~ /$only/ && !($_->{disk} && $skipped) } Fault::plan_rounds($rounds);
foreach my $kind (@plan)
{
	diag('round ', 1 + ($world->{round} // 0), ' of ', scalar @plan, ": $kind->{name}");
	my @checks = run_round($world, $kind);
	report($world, $kind, @checks);
	count($world, $kind, @checks);
}
my @table = summary($skipped);
append_to_file($ENV{CHATREL_FAULT_TABLE}, join "\n", @table, '') if $ENV{CHATREL_FAULT_TABLE};
note($_) foreach @table;
$world->{node}->stop;
done_testing();
