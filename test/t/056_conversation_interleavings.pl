# Everything that members do, in random interleavings, against readers of every kind:
# in the end each reader's picture, which is made of events alone, is that of the
# tables; each event came once, and none before what it is about.
#
# First sessions take turns, with savepoints, rollbacks and late commits; then
# processes do as they like, while the server is killed and started again, and some
# read on a standby.
#
# CHATREL_SEED=n repeats the interleaving that failed, CHATREL_ROUNDS=n runs more, and
# CHATREL_SECONDS=n lets the processes go on for longer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Conversation;
use JSON::PP;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;
use Time::HiRes qw(time sleep);

my $rounds = $ENV{CHATREL_SEED} ? 1 : $ENV{CHATREL_ROUNDS} // 60;
my $first_seed = $ENV{CHATREL_SEED} // int rand 1_000_000_000;
my $seconds = $ENV{CHATREL_SECONDS} // 20;

my $node = new_server('main', allows_streaming => 1, conf => q{
	chatrel.max_message_length = 10000
	client_min_messages = warning
	log_statement = none
	deadlock_timeout = 20ms
	restart_after_crash = on
});
Conversation::set_up_conversations($node);

# ---------- sessions that take turns ----------

my $admin = connect_to($node);
my %as = map { $_ => Conversation::connect_as($node, $_) } 0 .. $Conversation::USERS;
my @writers = map { { dbh => connect_to($node), name => $_ } } 'a' .. 'e';
my ($log, $single);

# Nobody can wait for another, who may never have a turn.
$_->{dbh}->do(q{SET lock_timeout = '2ms'}) foreach @writers;

sub log_step
{
	my ($who, $what) = @_;

	push @$log, "$who->{name}: $what";
	return;
}

sub run
{
	my ($writer, $sql) = @_;

	log_step($writer, $sql);
	$writer->{dbh}->do($sql);
	return;
}

# What a writer's own reader has seen of what is rolled back was never there.
sub remember
{
	my ($writer, $as) = @_;

	$writer->{$as} = $writer->{reader}{picture}->copy;
	return;
}

sub end_transaction
{
	my ($writer, $how) = @_;

	run($writer, $how);
	$writer->{reader}{picture} = $writer->{open} if $how eq 'ROLLBACK';
	delete @{$writer}{qw(open savepoint)};
	return;
}

# Somebody may catch up at once.
sub commit
{
	my ($writer, @readers) = @_;
	my $reader = $readers[ rand @readers ];

	end_transaction($writer, 'COMMIT');
	return if rand() < 0.5;
	1 while read_step($reader);
	return;
}

sub roll_back_to_savepoint
{
	my ($writer) = @_;

	run($writer, 'ROLLBACK TO s');
	$writer->{reader}{picture} = $writer->{savepoint}->copy;
	return;
}

# What fails may leave a transaction that only goes back.
sub act_once
{
	my ($writer) = @_;
	my $done = eval { Conversation::act($writer); 1 };

	log_step($writer, $writer->{dbh}{Statement} . ($done ? '' : ' failed: ' . $writer->{dbh}->errstr));
	return if $done;
	die $@ unless $writer->{dbh}->state =~ $Conversation::IN_VAIN;
	return unless $writer->{open};
	$writer->{savepoint} && rand() < 0.7 ? roll_back_to_savepoint($writer) : end_transaction($writer, 'ROLLBACK');
	return;
}

sub savepoint_step
{
	my ($writer) = @_;

	if (!$writer->{savepoint})
	{
		run($writer, 'SAVEPOINT s');
		remember($writer, 'savepoint');
	}
	elsif (rand() < 0.7) { roll_back_to_savepoint($writer) }
	else
	{
		run($writer, 'RELEASE s');
		delete $writer->{savepoint};
	}
	return;
}

sub writer_step
{
	my ($writer, @readers) = @_;
	my $dice = rand;

	if (!$writer->{open})
	{
		return act_once($writer) if $dice < $single;
		run($writer, $dice < 0.85 ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ');
		$writer->{open} = $writer->{reader}{picture}->copy;
		# Its number and its snapshot, long before it does something
		run($writer, 'SELECT pg_current_xact_id()') if rand() < 0.2;
		run($writer, 'SELECT 1 FROM chatrel.groups') if rand() < 0.5;
		return;
	}
	return act_once($writer) if $dice < 0.55;
	return commit($writer, @readers) if $dice < 0.72;
	return end_transaction($writer, 'ROLLBACK') if $dice < 0.76;
	return read_step($writer->{reader}) if $dice < 0.88;
	return savepoint_step($writer);
}

sub new_reader
{
	my ($name, $dbh, %options) = @_;

	return { name => $name, dbh => $dbh, picture => Conversation->new($dbh, %options) };
}

sub read_step
{
	my ($reader) = @_;
	my $picture = $reader->{picture};
	my $limit = 1 + int rand 4;
	my $more = $picture->sync($reader->{dbh}, limit => $limit);

	log_step($reader, "sync, limit $limit: @{ $picture->{found} }");
	return $more;
}

# One who comes while others are at it: the history, and then on from its cursor
sub newcomer
{
	my $dbh = $as{3};

	$dbh->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $cursor = value($dbh, q{SELECT chatrel.get_group_with_chat_history(1, as_user => 3) ->> 'cursor'});
	my $reader = new_reader('a newcomer', $dbh, user => 3, group => 1, cursor => $cursor);
	$dbh->do('COMMIT');
	log_step($reader, 'has come');
	return $reader;
}

# One that was away, and goes on where another was before
sub copy_of
{
	my ($reader) = @_;

	return { %$reader, name => "$reader->{name}'", picture => $reader->{picture}->copy };
}

sub take_turns
{
	my @readers = (new_reader('all', $as{1}, user => 1), new_reader('one group', $as{2}, user => 2, group => 2),
		new_reader('a wanderer', $as{5}, user => 5, wanders => 1), new_reader('a gateway', $as{0}));

	$_->{reader} = new_reader("$_->{name} itself", $_->{dbh}, user => 1) foreach @writers;
	# Where nobody writes outside of a transaction, what has committed is seldom of the newest
	$single = rand() < 0.5 ? 0.5 : 0;
	foreach (1 .. 80 + int rand 80)
	{
		my $dice = rand;

		if ($dice < 0.7) { writer_step($writers[ rand @writers ], @readers) }
		elsif ($dice < 0.96) { read_step($readers[ rand @readers ]) }
		elsif (@readers < 12) { push @readers, rand() < 0.5 ? newcomer() : copy_of($readers[ rand @readers ]) }
	}
	foreach my $writer (sort { rand() <=> 0.5 } @writers)
	{
		end_transaction($writer, rand() < 0.8 ? 'COMMIT' : 'ROLLBACK') if $writer->{open};
		read_step($readers[ rand @readers ]);
	}
	return (@readers, map { $_->{reader} } @writers);
}

# What is wrong with a reader, when all is done.  A writer's own has what user 1 may see.
sub wrong_with
{
	my ($reader) = @_;

	1 while read_step($reader);
	return map { "$reader->{name}: $_" } $reader->{picture}->differences($as{ $reader->{picture}{user} });
}

sub interleavings
{
	my ($failed, %number) = (0);

	foreach my $seed ($first_seed .. $first_seed + $rounds - 1)
	{
		srand $seed;
		$log = [];
		Conversation::start_afresh($admin);
		my @wrong = map { wrong_with($_) } take_turns();
		$number{ $_->[0] }++ foreach @{ $admin->selectall_arrayref(q{SELECT kind FROM chatrel.events UNION ALL SELECT 'group_message' FROM chatrel.groups_messages}) };
		next unless @wrong;
		$failed++;
		diag("CHATREL_SEED=$seed");
		diag($_) foreach @wrong;
		note(join "\n", @$log);
	}
	is($failed, 0, "$rounds interleavings from seed $first_seed: every picture is that of the tables");
	is(join(' ', grep { !$number{$_} } qw(added_to_group followed group_changed group_message member_changed member_joined member_left mentioned message_deleted
		message_edited message_pinned message_unpinned reaction_added reaction_removed removed_from_group unfollowed)), '', 'there were events of every kind')
		unless $ENV{CHATREL_SEED};
	note(join ', ', map { "$number{$_} $_" } sort keys %number);
	return;
}

# ---------- processes that do as they like ----------

my $folder = $node->basedir;
my $standby = PostgreSQL::Test::Cluster->new('standby');

sub is_over
{
	my ($what) = @_;

	return -e "$folder/$what";
}

# A lost connection is made again; what else may fail is done again.
sub go_on
{
	my ($client) = @_;
	my ($dbh, $error) = ($client->{dbh}, $@);

	return sleep 0.05 unless $dbh;
	my $state = $dbh->state;
	if ($dbh->ping > 0)
	{
		die "$state $error" unless $state =~ $Conversation::IN_VAIN;
		return if $dbh->{AutoCommit} || eval { $dbh->rollback; 1 };
	}
	abandon(delete $client->{dbh});
	return;
}

sub transaction
{
	my ($writer) = @_;
	my $dbh = $writer->{dbh};

	$dbh->begin_work;
	$dbh->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ') if rand() < 0.2;
	foreach (0 .. rand 4)
	{
		$dbh->pg_savepoint('s');
		Conversation::act($writer);
		sleep $writer->{delay} * rand;
		$dbh->pg_rollback_to('s') if rand() < 0.2;
	}
	rand() < 0.85 ? $dbh->commit : $dbh->rollback;
	return;
}

sub write_on
{
	my ($writer) = @_;

	srand $writer->{seed};
	until (is_over('written'))
	{
		eval {
			unless ($writer->{dbh})
			{
				$writer->{dbh} = connect_to($node);
				$writer->{dbh}->do(q{SET application_name = 'client'});
				$writer->{dbh}->do('SET synchronous_commit = off') if $writer->{hasty};
			}
			rand() < 0.4 ? Conversation::act($writer) : transaction($writer);
			1;
		} or go_on($writer);
		sleep 0.01 * rand;
	}
	return;
}

sub connect_reader
{
	my ($reader) = @_;
	my @nodes = @{ $reader->{nodes} };

	$reader->{dbh} = Conversation::connect_as($nodes[ rand @nodes ], $reader->{picture}{user});
	$reader->{dbh}->do(q{SET application_name = 'client'});
	return unless $reader->{listens};

	# What was only heard may be taken back by a crash
	$reader->{picture} = $reader->{kept}->copy;
	$reader->{dbh}->do("SELECT chatrel.$reader->{listens}");
	catch_up($reader);
	return;
}

sub catch_up
{
	my ($reader) = @_;

	1 while read_page($reader);
	$reader->{kept} = $reader->{picture}->copy;
	return;
}

sub read_page
{
	my ($reader, $wait) = @_;
	my @limits = (1, 5, 100);

	return $reader->{picture}->sync($reader->{dbh}, limit => 1 + int rand $limits[ rand @limits ], wait => $wait);
}

sub hear
{
	my ($reader) = @_;
	my $dbh = $reader->{dbh};
	my $in = '';

	vec($in, $dbh->{pg_socket}, 1) = 1;
	select $in, undef, undef, 0.05;
	while (my $notify = $dbh->pg_notifies)
	{
		my ($kind, $event) = %{ decode_json($notify->[2]) };

		Conversation::call($dbh, 'listen_group(?)', $event->{group_id}) if $kind eq 'relisten';
		catch_up($reader) if $kind eq 'relisten' || $reader->{picture}->has_to_sync_for($kind, $event);
		$reader->{picture}->hears($dbh, $kind, $event) unless $kind eq 'relisten';
		$reader->{events}++;
	}
	return;
}

# Disconnects now and then; one that does not listen may also forget what it has not kept.
sub read_something
{
	my ($reader) = @_;
	my $dice = rand;

	connect_reader($reader) unless $reader->{dbh};
	if ($reader->{listens}) { hear($reader) }
	else { read_page($reader, rand() < 0.5 ? undef : int(rand 100) . ' ms') }
	$reader->{kept} = $reader->{picture}->copy if !$reader->{listens} && $dice > 0.95;
	$reader->{picture} = $reader->{kept}->copy if !$reader->{listens} && $dice < 0.02;
	catch_up($reader) if $reader->{listens} && $dice < 0.2;
	(delete $reader->{dbh})->disconnect if $dice < 0.03;
	return;
}

# Half a page has been read, perhaps: what was not kept is forgotten, and what was
# heard since is not heard again.
sub start_over
{
	my ($reader) = @_;

	go_on($reader);
	(delete $reader->{dbh})->disconnect if $reader->{dbh} && $reader->{listens};
	$reader->{picture} = $reader->{kept}->copy;
	return 0;
}

sub read_on
{
	my ($reader) = @_;

	srand $reader->{seed};
	until (is_over('read'))
	{
		eval { read_something($reader); 1 } or start_over($reader);
		sleep 0.02 * rand;
	}
	wait_until(sub { return eval { connect_reader($reader) unless $reader->{dbh}; catch_up($reader); 1 } || start_over($reader) })
		or die "$reader->{name} does not come to an end";
	my $dbh = Conversation::connect_as($node, $reader->{picture}{user});
	append_to_file("$folder/$reader->{name}", encode_json({ events => $reader->{events} // scalar keys %{ $reader->{picture}{seen} },
		wrong => [ $reader->{picture}->differences($dbh) ] }));
	return;
}

# ---------- what is done to the server ----------

my @crashes = (
	sub { $node->kill9; start_again($node) },
	sub { $node->stop('immediate'); start_again($node) },
	sub {
		my $log = -s $node->logfile;

		wait_until(sub {
			my $pid = eval { $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'client' LIMIT 1}) };
			kill 'KILL', $pid if $pid;
			return slurp_file($node->logfile, $log) =~ /all server processes terminated; reinitializing/;
		}) or die 'no crash';
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	},
);

# Some clients lose their connection at any moment, and sometimes all do.
sub disturb
{
	my $until = time + $seconds;
	my $pause = $seconds / 5;
	my $next = time + $pause;
	my $crashes = 0;

	while (time < $until)
	{
		if (time > $next)
		{
			$crashes[ $crashes++ % @crashes ]->();
			$next = time + $pause;
		}
		$node->safe_psql('postgres', q{
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'client' AND random() < 0.1});
		sleep 0.1 + 0.2 * rand;
	}
	return $crashes;
}

sub start_standby
{
	$node->backup('base');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 100ms\n");
	$standby->start;
	return;
}

sub storm
{
	my $picture = sub { return Conversation->new(Conversation::connect_as($node, { @_ }->{user} // 0), @_) };
	my @readers = (
		{ name => 'all', picture => $picture->(user => 1) },
		{ name => 'one group', picture => $picture->(user => 2, group => 2) },
		{ name => 'a wanderer', picture => $picture->(user => 5, wanders => 1) },
		{ name => 'a gateway', picture => $picture->() },
		{ name => 'on the standby, too', picture => $picture->(user => 4), nodes => [ $node, $standby ] },
		{ name => 'a listener', picture => $picture->(user => 3), listens => 'listen()' },
		{ name => 'a listening gateway', picture => $picture->(), listens => 'listen_all()' },
	);
	my @writers = ((map { { name => "w$_", delay => 0.01 } } 1 .. 4), { name => 'late', delay => 0.5 }, { name => 'hasty', delay => 0.01, hasty => 1 });

	foreach my $client (@readers, @writers) { $client->{seed} = int rand 2**31 }
	foreach my $reader (@readers)
	{
		$reader->{nodes} //= [$node];
		$reader->{kept} = $reader->{picture}->copy;
	}

	my @reading = map { my $reader = $_; spawn(sub { read_on($reader) }) } @readers;
	my @writing = map { my $writer = $_; spawn(sub { write_on($writer) }) } @writers;
	my $crashes = disturb();
	append_to_file("$folder/written", '');
	is(reap(@writing), 0, 'the writers went on');
	# Its commit is flushed, and with it all before it
	$node->safe_psql('postgres', q{SELECT chatrel.send_group_message(1, 'the last', as_user => 1)});
	$node->wait_for_catchup($standby);
	append_to_file("$folder/read", '');
	is(reap(@reading), 0, "the readers went on, with $crashes crashes");
	check_reader($_->{name}) foreach @readers;
	return;
}

sub check_reader
{
	my ($name) = @_;
	my $found = decode_json(eval { slurp_file("$folder/$name") } // '{"wrong": ["has left nothing"], "events": 0}');

	is(join("\n", @{ $found->{wrong} }[ 0 .. min(20, scalar @{ $found->{wrong} }) - 1 ]), '', "$name: the picture is that of the tables, of $found->{events} events");
	cmp_ok($found->{events}, '>', 20, "$name: there were events");
	return;
}

interleavings();
$_->disconnect foreach $admin, values %as, map { $_->{dbh} } @writers;
start_standby();
storm();
$_->stop foreach $standby, $node;
done_testing();
