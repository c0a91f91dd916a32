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
use DBD::Pg qw(:async);
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
my $log;

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
	my ($writer) = @_;
	my $dice = rand;

	if (!$writer->{open})
	{
		return act_once($writer) if $dice < 0.5;
		run($writer, $dice < 0.85 ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ');
		$writer->{open} = $writer->{reader}{picture}->copy;
		# Its number and its snapshot, long before it does something
		run($writer, 'SELECT pg_current_xact_id()') if rand() < 0.2;
		run($writer, 'SELECT 1 FROM chatrel.groups') if rand() < 0.5;
		return;
	}
	return act_once($writer) if $dice < 0.55;
	return end_transaction($writer, 'COMMIT') if $dice < 0.72;
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
	foreach (1 .. 80 + int rand 80)
	{
		my $dice = rand;

		if ($dice < 0.7) { writer_step($writers[ rand @writers ]) }
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
		$admin->do('TRUNCATE chatrel.groups_messages, chatrel.events, chatrel.message_reactions, chatrel.pinned_messages');
		my @wrong = map { wrong_with($_) } take_turns();
		$number{ $_->[0] }++ foreach @{ $admin->selectall_arrayref(q{SELECT kind FROM chatrel.events UNION ALL SELECT 'group_message' FROM chatrel.groups_messages}) };
		next unless @wrong;
		$failed++;
		diag("CHATREL_SEED=$seed");
		diag($_) foreach @wrong;
		note(join "\n", @$log);
	}
	is($failed, 0, "$rounds interleavings from seed $first_seed: every picture is that of the tables");
	is(join(' ', grep { !$number{$_} } qw(added_to_group followed group_message member_joined member_left mentioned message_deleted
		message_edited message_pinned message_unpinned reaction_added reaction_removed removed_from_group unfollowed)), '', 'there were events of every kind')
		unless $ENV{CHATREL_SEED};
	note(join ', ', map { "$number{$_} $_" } sort keys %number);
	return;
}

interleavings();
$_->disconnect foreach $admin, values %as, map { $_->{dbh} } @writers;
$node->stop;
done_testing();
