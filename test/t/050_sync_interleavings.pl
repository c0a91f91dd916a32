# A hundred random interleavings of sessions that send, with clients that call
# sync in between: in the end every client has every committed message once.
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
set_up($node, groups => 3);
$node->safe_psql('postgres', 'SELECT chatrel.leave_group(g, as_user => 3) FROM generate_series(2, 3) AS g');

my @senders = map { { dbh => connect_to($node), name => $_ } } 'a' .. 'e';
my $reader = connect_to($node);
my $log;

# ---------- sessions ----------

sub step
{
	my ($session, $sql) = @_;

	push @$log, "$session->{name}: $sql";
	return $session->{dbh}->do($sql);
}

sub send_one
{
	my ($session) = @_;
	my $group = 1 + int rand 3;

	return step($session, "SELECT chatrel.send_group_message($group, 'm', as_user => 1)");
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
		return send_one($session) if $dice < 0.2;
		step($session, $dice < 0.6 ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ');
		remember($session, 'open');
		# Its number and its snapshot, long before it sends
		step($session, 'SELECT pg_current_xact_id()') if $dice > 0.8;
		step($session, 'SELECT 1 FROM chatrel.groups') if $dice > 0.5;
		return;
	}
	return send_one($session) if $dice < 0.4;
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

	return { dbh => $dbh, name => $name, user => $user, group => $group, cursor => undef, seen => [] };
}

sub sync_step
{
	my ($client) = @_;
	my $limit = 1 + int rand 4;
	my $answer = decode_json(value($client->{dbh}, 'SELECT chatrel.sync(?, ?, ?, as_user => ?)',
		$client->{cursor}, $client->{group}, $limit, $client->{user}));

	push @$log, "$client->{name}: sync, limit $limit: " . join ' ', map { $_->{id} } messages_in($answer);
	push @{ $client->{seen} }, map { $_->{id} } messages_in($answer);
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
		SELECT m.id FROM chatrel.groups_messages m JOIN chatrel.groups_members USING (group_id)
		WHERE user_id = ? AND group_id = coalesce(?, group_id) ORDER BY m.id}, undef, @{$client}{qw(user group)});
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
	return "@{ [ sort { $a <=> $b } @{ $client->{seen} } ] }" eq "@{ expected($client) }";
}

my $rounds = $ENV{CHATREL_SEED} ? 1 : $ENV{CHATREL_ROUNDS} // 100;
my $first_seed = $ENV{CHATREL_SEED} // int rand 1_000_000_000;
my ($failed, $messages) = (0, 0);

foreach my $seed ($first_seed .. $first_seed + $rounds - 1)
{
	srand $seed;
	$log = [];
	$reader->do('TRUNCATE chatrel.groups_messages CASCADE');
	my @wrong = interleave();
	$messages += value($reader, 'SELECT count(*) FROM chatrel.groups_messages');
	next unless @wrong;
	$failed++;
	diag("CHATREL_SEED=$seed");
	diag("$_->{name} has " . join(' ', @{ $_->{seen} }) . ', the table ' . join(' ', @{ expected($_) })) foreach @wrong;
	note(join "\n", @$log);
}
is($failed, 0, "$rounds interleavings from seed $first_seed: every client has every message once");
cmp_ok($messages, '>', 5 * $rounds, "there were messages ($messages)");

$_->{dbh}->disconnect foreach @senders;
$reader->disconnect;
$node->stop;
done_testing();
