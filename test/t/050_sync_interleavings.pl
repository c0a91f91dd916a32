# A hundred random interleavings of sessions that send, edit, delete, react, join,
# leave and follow, with clients that call sync in between: in the end every client has every
# committed event once, and none before the message that it is about.
#
# CHATREL_SEED=n repeats the interleaving that failed, CHATREL_ROUNDS=n runs more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $node = new_server('main');
set_up($node, groups => 3, users => 13);
$node->safe_psql('postgres', 'SELECT chatrel.leave_group(g, as_user => 3) FROM generate_series(2, 3) AS g');

# Each has a user who follows user 1, one who comes and goes, and a message: none waits for another.
my @senders = map { { dbh => connect_to($node), name => $_ } } 'a' .. 'e';
$senders[$_]{follower} = 4 + $_ foreach 0 .. 4;
$senders[$_]{member} = 9 + $_ foreach 0 .. 4;
my $reader = connect_to($node);
my $log;

# ---------- sessions ----------

sub step
{
	my ($session, $sql) = @_;

	push @$log, "$session->{name}: $sql";
	return $session->{dbh}->do($sql);
}

sub act
{
	my ($session) = @_;
	my $group = 1 + int rand 3;
	my ($how, $dice) = (rand, rand);

	return step($session, "SELECT chatrel.send_group_message($group, 'm', as_user => 1)") if $dice < 0.5;
	return step($session, q{SELECT chatrel.send_group_message(1, 'm', mentions => ARRAY[3], as_user => 1)}) if $dice < 0.6;
	return step($session, "SELECT chatrel.delete_message($group, (chatrel.send_group_message($group, 'm', as_user => 1)).id, as_user => 1)") if $dice < 0.65;
	return step($session, "SELECT chatrel.edit_message(1, $session->{message}, 'm' || $how, as_user => 1)") if $dice < 0.73;
	return step($session, 'SELECT chatrel.' . ($how < 0.4 ? 'add' : 'remove') . "_reaction(1, $session->{message}, 'x', as_user => 1)")
		if $dice < 0.8;
	return step($session, 'SELECT chatrel.' . ($how < 0.5 ? 'join' : 'leave') . "_group($group, as_user => $session->{member})")
		if $dice < 0.9;
	return step($session, 'SELECT chatrel.' . ($how < 0.6 ? 'follow' : 'unfollow') . "(1, as_user => $session->{follower})");
}

# What a session's own client has seen of what is rolled back was never there.
sub remember
{
	my ($session, $as) = @_;

	$session->{$as} = [ $session->{client}{cursor}, [ @{ $session->{client}{seen} } ] ];
	return;
}

sub go_back
{
	my ($session, $to) = @_;

	$session->{client}{cursor} = $session->{$to}[0];
	$session->{client}{seen} = [ @{ $session->{$to}[1] } ];
	return;
}

sub end_transaction
{
	my ($session, $how) = @_;

	step($session, $how);
	go_back($session, 'open') if $how eq 'ROLLBACK';
	delete @{$session}{qw(open savepoint)};
	return;
}

sub savepoint_step
{
	my ($session, $dice) = @_;

	if (!$session->{savepoint})
	{
		step($session, 'SAVEPOINT s');
		remember($session, 'savepoint');
	}
	elsif ($dice < 0.7)
	{
		step($session, 'ROLLBACK TO s');
		go_back($session, 'savepoint');
	}
	else
	{
		step($session, 'RELEASE s');
		delete $session->{savepoint};
	}
	return;
}

sub session_step
{
	my ($session) = @_;
	my $dice = rand;

	if (!$session->{open})
	{
		return act($session) if $dice < 0.2;
		step($session, $dice < 0.6 ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ');
		remember($session, 'open');
		# Its number and its snapshot, long before it does anything
		step($session, 'SELECT pg_current_xact_id()') if $dice > 0.8;
		step($session, 'SELECT 1 FROM chatrel.groups') if $dice > 0.5;
		return;
	}
	return act($session) if $dice < 0.4;
	return end_transaction($session, 'COMMIT') if $dice < 0.6;
	return end_transaction($session, 'ROLLBACK') if $dice < 0.7;
	return sync_step($session->{client}) if $dice < 0.8;
	return savepoint_step($session, rand);
}

# ---------- clients ----------

# A client reads all groups of a user, or one; a session's own sees what it has not committed.
sub new_client
{
	my ($dbh, $name, $user, $group) = @_;

	return { dbh => $dbh, name => $name, user => $user, group => $group, cursor => undef, seen => [], early => 0 };
}

sub sync_step
{
	my ($client) = @_;
	my $limit = 1 + int rand 4;
	my $answer = decode_json(value($client->{dbh}, 'SELECT chatrel.sync(?, ?, ?, as_user => ?)',
		$client->{cursor}, $client->{group}, $limit, $client->{user}));

	push @$log, "$client->{name}: sync, limit $limit: " . join ' ', map { join ' ', keys %$_, map { $_->{id} } values %$_ } @{ $answer->{events} };
	foreach my $event (map { values %$_ } @{ $answer->{events} })
	{
		my $about = $event->{message_id} // 0;

		$client->{early}++ if $about && !grep { $_ == $about } @{ $client->{seen} };
		push @{ $client->{seen} }, $event->{id};
	}
	$client->{cursor} = $answer->{cursor};
	return $answer->{more};
}

# One that was away, and goes on where another was before
sub copy_client
{
	my ($client) = @_;

	return { %$client, name => "$client->{name}'", seen => [ @{ $client->{seen} } ], dbh => $reader };
}

sub expected
{
	my ($client) = @_;

	return $reader->selectcol_arrayref(q{
		WITH reads AS (SELECT m.user_id, m.group_id FROM chatrel.groups_members m WHERE m.user_id = $1 AND m.group_id = coalesce($2, m.group_id))
		SELECT m.id FROM chatrel.groups_messages m JOIN reads USING (group_id)
		UNION ALL SELECT e.id FROM chatrel.events e JOIN reads USING (group_id) WHERE e.recipient_id IS NULL
		UNION ALL SELECT e.id FROM chatrel.events e WHERE e.recipient_id = $1 AND $2::bigint IS NULL
		ORDER BY 1}, undef, @{$client}{qw(user group)});
}

# ---------- an interleaving ----------

sub interleave
{
	my @clients = (new_client($reader, 'all', 1), new_client($reader, 'some', 3), new_client($reader, 'one', 2, 2));

	$_->{client} = new_client($_->{dbh}, "$_->{name} itself", 1) foreach @senders;
	foreach (1 .. 30 + int rand 60)
	{
		my $dice = rand;

		if ($dice < 0.7) { session_step($senders[ rand @senders ]) }
		elsif ($dice < 0.98) { sync_step($clients[ rand @clients ]) }
		elsif (@clients < 12) { push @clients, copy_client($clients[ rand @clients ]) }
	}
	foreach my $session (sort { rand() <=> 0.5 } @senders)
	{
		end_transaction($session, rand() < 0.8 ? 'COMMIT' : 'ROLLBACK') if $session->{open};
		sync_step($clients[ rand @clients ]);
	}
	return grep { !is_complete($_) } @clients, map { $_->{client} } @senders;
}

sub is_complete
{
	my ($client) = @_;

	1 while sync_step($client);
	return !$client->{early} && "@{ [ sort { $a <=> $b } @{ $client->{seen} } ] }" eq "@{ expected($client) }";
}

my $rounds = $ENV{CHATREL_SEED} ? 1 : $ENV{CHATREL_ROUNDS} // 100;
my $first_seed = $ENV{CHATREL_SEED} // int rand 1_000_000_000;
my ($failed, $messages, %kinds) = (0, 0);

foreach my $seed ($first_seed .. $first_seed + $rounds - 1)
{
	srand $seed;
	$log = [];
	$reader->do('TRUNCATE chatrel.groups_messages, chatrel.events CASCADE');
	$_->{message} = value($reader, q{SELECT (chatrel.send_group_message(1, 'first', as_user => 1)).id}) foreach @senders;
	value($reader, q{SELECT chatrel.add_reaction(1, ?, 'x', as_user => 1)}, $_->{message}) foreach @senders;
	my @wrong = interleave();
	$messages += value($reader, 'SELECT count(*) FROM chatrel.groups_messages');
	$kinds{$_}++ foreach @{ $reader->selectcol_arrayref('SELECT kind FROM chatrel.events') };
	next unless @wrong;
	$failed++;
	diag("CHATREL_SEED=$seed");
	diag("$_->{name} has " . join(' ', @{ $_->{seen} }) . ", of which $_->{early} too early, the table " . join(' ', @{ expected($_) })) foreach @wrong;
	note(join "\n", @$log);
}
is($failed, 0, "$rounds interleavings from seed $first_seed: every client has every event once");
cmp_ok($messages, '>', 10 * $rounds, "there were messages ($messages)");
is(join(' ', sort keys %kinds), 'added_to_group followed member_joined member_left mentioned message_deleted message_edited reaction_added reaction_removed removed_from_group unfollowed',
	'and events of these kinds') unless $ENV{CHATREL_SEED};
note(join ', ', map { "$_ $kinds{$_}" } sort keys %kinds);

$_->{dbh}->disconnect foreach @senders;
$reader->disconnect;
$node->stop;
done_testing();
