# A shard whose processes stand still, while its kernel takes connections and data for
# it: who calls it hears so in time, sync goes on without it, and has everything once it
# goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DBD::Pg qw(PG_ASYNC);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;
use Shards;

plan skip_all => Shards::missing() if Shards::missing();

my $cluster = Shards->new(2);
my ($home, @shards) = @{ $cluster->{all} };

$cluster->call(q{
	SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 3) AS i;
	ALTER DATABASE postgres SET chatrel_proxy.shard_timeout = '1 s'});
$cluster->caught_up(1 .. 2);
my @group = map { $cluster->create_group_on($_) } 0 .. 2;
$cluster->call("SELECT chatrel.join_group($_, as_user => 2)") foreach @group;

# ---------- processes that stand still ----------

my @frozen;

sub thaw { kill 'CONT', @frozen; @frozen = (); return; }
END { local $?; thaw(); }

sub freeze
{
	my (@processes) = @_;

	@frozen = @processes;
	kill('STOP', @frozen) == @frozen or die 'a process is gone';
	return;
}

# The postmaster first, so that it starts no others
sub freeze_server
{
	my ($node) = @_;
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');

	freeze($postmaster);
	wait_until(sub { Realtime::process_state($postmaster) =~ /^T/ }) or die 'it does not stand still';
	push @frozen, split /\n/, qx(ps --ppid $postmaster -o pid=) =~ s/ //gr;
	kill 'STOP', @frozen;
	return;
}

# ---------- calls that may never return ----------

sub new_session
{
	my ($settings) = @_;
	my $dbh = connect_to($cluster->{proxy});

	$dbh->do('SET client_min_messages = warning');
	$dbh->do($settings) if $settings;
	return $dbh;
}

# Begun, and then waited for
sub begin
{
	my ($dbh, $sql, @arguments) = @_;
	my $statement = $dbh->prepare($sql, { pg_async => PG_ASYNC });

	$statement->execute(@arguments);
	return $statement;
}

sub is_over { my ($statement) = @_; return $statement->pg_ready; }

# Who forgets a statement waits for its answer.
sub give_up
{
	my ($statement) = @_;

	thaw();
	die "there is no answer to $statement->{Statement}";
}

# Its value, or the SQLSTATE of its error
sub result_of
{
	my ($statement) = @_;

	wait_until(sub { is_over($statement) }, 60) or give_up($statement);
	my $result = eval { $statement->pg_result; ($statement->fetchrow_array)[0] } // $statement->state;
	$statement->finish;
	return $result;
}

sub answer_to { return result_of(begin(@_)); }

sub sync_answer
{
	my ($dbh, $cursor, $wait) = @_;
	my $text = answer_to($dbh, 'SELECT chatrel.sync(?, wait => ?::interval, as_user => 1)', $cursor, $wait);

	return $text =~ /^\{/ ? decode_json($text) : { events => [ { error => $text } ], cursor => $cursor };
}

sub texts { return [ map { $_->{message} } messages_in($_[0]) ]; }

sub send_to
{
	my ($dbh, $n, $text) = @_;

	return answer_to($dbh, 'SELECT message FROM chatrel.send_group_message(?, ?, client_key => ?, as_user => 2)', $group[$n], $text, $text);
}

# ---------- a shard that stands still ----------

# Tried again until it is acknowledged, where the machine is slow
sub is_sent
{
	my ($dbh, $n, $text, $what) = @_;

	return ok(wait_until(sub { send_to($dbh, $n, $text) eq $text }), $what);
}

my $kept = new_session();
my $cursor = sync_answer($kept, 'now')->{cursor};
is_sent($kept, 1, 'before', 'all answer');
freeze_server($shards[0]);

my $answer = sync_answer($kept, $cursor);
is_deeply($answer->{delayed}, [1], 'sync leaves the shard out that stands still');
is_sent($kept, $_, "meanwhile $_", "calls to $_ are answered") foreach 0, 2;
$answer = sync_answer($kept, $answer->{cursor});
is_deeply([ sort @{ texts($answer) } ], [ 'meanwhile 0', 'meanwhile 2' ], 'and what the others have is synced');
is_deeply($answer->{delayed}, [1], 'again without that shard');
is(sync_answer($kept, $answer->{cursor}, '2 s')->{delayed}[0], 1, 'also after a wait');
is(send_to($kept, 1, 'retried'), '08006', 'a call to it is told that it does not answer');
is(answer_to($kept, q{SELECT chatrel.sync('now', as_user => 1)}), '08000', 'what began now could not be caught up with later');
my $new = new_session();
is_deeply(sync_answer($new, $cursor)->{delayed}, [1], 'who connects now does not wait for it either');
is(send_to($new, 1, 'retried'), '08006', 'nor in a call to it');
is(answer_to($new, "SELECT (chatrel.create_group('new', as_user => 1)).id >> 48"), '2', 'and a new group is put on the other shard');

thaw();
is_sent($kept, 1, 'retried', 'when it goes on, who tries again is acknowledged');
is_sent($new, 1, 'after', 'so are others');
my $rest = sync_answer($kept, $answer->{cursor});
is_deeply(texts($rest), [ 'before', 'retried', 'after' ], 'what was delayed is synced, in order, once');
is($rest->{delayed}, undef, 'and nothing is delayed');
is_deeply(sync_answer($new, $rest->{cursor})->{events}, [], 'or to come');

freeze(split /\n/, $shards[0]->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'chatrel_proxy'}));
is(sync_answer($kept, $rest->{cursor})->{delayed}, undef, 'where only sessions of the proxy stand still, sync has new ones');
is(send_to($new, 1, 'again'), '08006', 'and a call is told');
is_sent($new, 1, 'again', 'and has another session the next time');
thaw();

# ---------- a shard that is at work ----------

is_deeply(sync_answer($kept, sync_answer($kept, $rest->{cursor})->{cursor}, '2500 ms')->{events}, [], 'who waits for events may wait for longer');
is(answer_to($kept, q{SELECT chatrel.sync(group_id => ?, cursor => chatrel.sync('now', ?, as_user => 1) ->> 'cursor', wait => '2500 ms', as_user => 1) ->> 'events'}, $group[1], $group[1]), '[]', 'in one group too');

sub waiting
{
	return $shards[0]->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'chatrel_proxy' AND wait_event_type = 'Lock'});
}

my $locker = connect_to($shards[0]);
$locker->begin_work;
$locker->do('LOCK TABLE chatrel.groups_messages');
my @patient = (new_session(), new_session('SET chatrel_proxy.shard_timeout = 0'), new_session('SET chatrel_proxy.shard_timeout = 0'));
my $purge = begin($patient[0], 'SELECT chatrel.purge_messages(?, ?)', '2000-01-01', $group[1]);
my $send = begin($patient[1], 'SELECT message FROM chatrel.send_group_message(?, ?, as_user => 2)', $group[1], 'patient');
my $canceled = begin($patient[2], 'SELECT message FROM chatrel.send_group_message(?, ?, as_user => 2)', $group[1], 'canceled');
ok(wait_until(sub { waiting() == 3 }), 'a shard is at work');
is(send_to($kept, 1, 'impatient'), '08006', 'a call is not waited for any longer');
ok(!is_over($purge), 'but those are that take time');
ok(!is_over($send), 'and who has set no limit waits');
$cluster->call("SELECT pg_cancel_backend($patient[2]{pg_pid})");
is(result_of($canceled), '57014', 'who cancels a call is told that');
ok(wait_until(sub { waiting() == 3 }), 'and the shard does not go on with it, but with the one that was not waited for');
$locker->rollback;
is(result_of($purge), '0', 'what took time is done');
is(result_of($send), 'patient', 'and so is what was waited for');
is_sent($kept, 1, 'impatient', 'who tries again is acknowledged');
is($shards[0]->safe_psql('postgres', q{SELECT string_agg(message, ' ' ORDER BY message) FROM chatrel.groups_messages}), 'after again before impatient patient retried', 'all is there once');

# ---------- answers that come just as it is too late ----------

# Calls that wait a little more than the milliseconds which the clock allows for that, or less.
# Several of a statement, so that one is interrupted for which it did not strike.
my (%codes, $interrupted);
my $call = q{SELECT chatrel.sync(?, ?, wait => ?::interval, as_user => 1) ->> 'events' FROM generate_series(1, 3) ORDER BY 1 LIMIT 1};
my $now = answer_to($kept, q{SELECT chatrel.sync('now', ?, as_user => 1) ->> 'cursor'}, $group[1]);
foreach my $i (1 .. 900)
{
	$kept->do('SET chatrel_proxy.shard_timeout = ' . (1 + $i % 20));
	$codes{ answer_to($kept, $call, $now, $group[1], (1001 + $i * 37 % 999) . ' us') }++;
	$interrupted ||= !eval { value($kept, 'SELECT count(*) FROM generate_series(1, 100)') };
}
is_deeply([ sort keys %codes ], [ '08006', '[]' ], 'each call is answered, or told that there is no answer') or diag explain \%codes;
ok(!$interrupted, 'and nothing else is interrupted');

$_->disconnect foreach $kept, $new, $locker, @patient;
$cluster->stop;
done_testing();
