# Shards, home and what replicates from it break under load: nothing that was
# acknowledged is lost or doubled, whoever syncs has exactly the events, what is not
# broken goes on, and no right is wider than at home once home's changes have arrived.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Handle;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;
use Shards;

plan skip_all => Shards::missing() if Shards::missing();

my $SHARDS = 2;    # besides home
my $cluster = Shards->new($SHARDS, "restart_after_crash = on\n");
my ($home, @shards) = @{ $cluster->{all} };
my $folder = PostgreSQL::Test::Utils::tempdir();

$cluster->call(q{SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 12) AS i});
$cluster->call(q{
	SELECT count(chatrel.follow(i, as_user => i + 1)) FROM generate_series(1, 11) AS i;
	SELECT chatrel.mute_user(2, as_user => 3), chatrel.set_protected(true, as_user => 4)});
$cluster->caught_up(1 .. $SHARDS);
my @group = map { $cluster->create_group_on($_) } 0 .. $SHARDS;
$cluster->call("SELECT count(chatrel.join_group($_, as_user => u)) FROM generate_series(2, 12) AS u") foreach @group;
is_deeply([ map { $_ >> 48 } @group ], [ 0 .. $SHARDS ], 'a group on each shard, and one at home');

# To the proxy, without what it says of connections that it has given up
sub connect_to_proxy
{
	my $dbh = connect_to($cluster->{proxy});

	$dbh->do('SET client_min_messages = warning');
	return $dbh;
}

# What a call through the proxy ends with: its SQLSTATE, or 00000
sub code_of
{
	my ($dbh, $sql, @arguments) = @_;

	return eval { $dbh->do($sql, undef, @arguments); 1 } ? '00000' : $dbh->state;
}

# A shard that cannot be reached, as the documents tell an error of the way
sub is_unreachable { return shift =~ /^(?:08...|57P0[123]|XX000)$/; }

# ---------- who sends and who syncs, meanwhile ----------

sub file_of { return "$folder/" . shift; }

sub lines_of
{
	my ($name) = @_;

	open(my $in, '<', file_of($name)) or return ();
	return grep { /\n\z/ } <$in>;
}

sub open_log
{
	open(my $out, '>>', file_of(shift)) or die $!;
	$out->autoflush(1);
	return $out;
}

sub is_over { return -e file_of('over'); }

# Each message with a key, tried again until it is acknowledged, which is written down after that.
sub send_until_over
{
	my ($user, $n) = @_;
	my ($dbh, $sent, $tries) = (connect_to_proxy(), map { open_log("$_.$user") } qw(sent tried));

	for (my $i = 1; !is_over(); $i++)
	{
		my $text = "$user.$i";

		wait_until(
			sub {
				my $id = eval { value($dbh, 'SELECT id FROM chatrel.send_group_message(?, ?, client_key => ?, as_user => ?)', $group[$n], $text, $text, $user) };

				print $sent "$id $text\n" if defined $id;
				die "$text: " . $dbh->errstr unless defined $id || is_unreachable($dbh->state);
				print $tries "$text\n" unless defined $id;
				return defined $id;
			}) or die "$text is not acknowledged";
	}
	return;
}

# User 1's events, and each answer that says which shards are delayed
sub sync_until_over
{
	my ($cursor) = @_;
	my ($dbh, $events, $delays) = (connect_to_proxy(), open_log('events'), open_log('delays'));

	while (1)
	{
		my $was_over = -e file_of('all sent');
		my $answer = eval { decode_json(value($dbh, 'SELECT chatrel.sync(?, event_limit => 50, as_user => 1)', $cursor)) };

		die 'sync fails: ' . $dbh->errstr unless $answer;
		$cursor = $answer->{cursor};
		print $events encode_json($_) . "\n" foreach @{ $answer->{events} };
		print $delays "@{ $answer->{delayed} }\n" if $answer->{delayed};
		return if $was_over && !$answer->{more} && !$answer->{delayed};
	}
	return;
}

my %sends_to = (2 => 0, 3 => 1, 4 => 1, 5 => 2, 6 => 2);
my $cursor = $cluster->call(q{SELECT chatrel.sync('now', as_user => 1) ->> 'cursor'});
my $reader = spawn(sub { sync_until_over($cursor) });
my %sender = map { my $user = $_; $user => spawn(sub { send_until_over($user, $sends_to{$user}) }) } keys %sends_to;

# All who send to these shards have that many more messages acknowledged.
sub go_on
{
	my ($what, @numbers) = @_;
	my %on = map { $_ => 1 } @numbers;
	my %before = map { $_ => scalar lines_of("sent.$_") } grep { $on{ $sends_to{$_} } } keys %sends_to;

	return ok(wait_until(sub { return !grep { lines_of("sent.$_") < $before{$_} + 20 } keys %before }), $what);
}

# Those who send to one have tried in vain.
sub are_refused
{
	my ($what, $n) = @_;
	my %before = map { $_ => scalar lines_of("tried.$_") } grep { $sends_to{$_} == $n } keys %sends_to;

	return ok(wait_until(sub { return !grep { lines_of("tried.$_") <= $before{$_} } keys %before }), $what);
}

sub is_delayed
{
	my ($what, $n) = @_;
	my $before = grep { $_ eq "$n\n" } lines_of('delays');

	return ok(wait_until(sub { return $before < grep { $_ eq "$n\n" } lines_of('delays') }), $what);
}

go_on('all send', 0 .. $SHARDS);

# ---------- a shard that is killed, and comes back ----------

foreach my $n (2, 1, 2)
{
	my $node = $cluster->{all}[$n];

	$node->stop('immediate');
	are_refused("shard $n is killed, and who sends there hears so", $n);
	is_delayed('sync says which is delayed', $n);
	go_on('the others go on', grep { $_ != $n } 0 .. $SHARDS);
	start_again($node);
	go_on('and all, when it is back', 0 .. $SHARDS);
}

# A shard that begins anew because one of its sessions has ended badly
sub checkpointer_start
{
	return eval { $shards[0]->safe_psql('postgres', q{SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'}) };
}
my $began = checkpointer_start();
kill 'KILL', $shards[0]->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'chatrel_proxy' LIMIT 1});
wait_until(sub { return (checkpointer_start() // $began) ne $began }) or die 'it does not begin anew';
go_on('one session of a shard is killed, and it goes on after its recovery', 0 .. $SHARDS);

# ---------- home ----------

my $dbh = connect_to_proxy();
$home->stop('immediate');
are_refused('home is killed', 0);
is_delayed('sync says so', 0);
go_on('groups on shards go on', 1 .. $SHARDS);
foreach my $call (q{chatrel.create_user('late')}, 'chatrel.follow(3, as_user => 2)', 'chatrel.block(3, as_user => 2)', 'chatrel.delete_user(12)')
{
	ok(is_unreachable(code_of($dbh, "SELECT $call")), "not done without home: $call");
}
start_again($home);
is(code_of($dbh, q{SELECT chatrel.create_user('late')}), '00000', 'users are made when home is back');
$cluster->caught_up(1 .. $SHARDS);
is($_->safe_psql('postgres', q{SELECT count(*) FROM chatrel.users WHERE username = 'late'}), '1', 'and reach ' . $_->name) foreach @shards;
go_on('all go on', 0 .. $SHARDS);

# ---------- replication that is paused ----------

# Two people whose conversation is on shard 1
my ($one, $other) = split /\|/, $cluster->call(q{
	SELECT a, b FROM generate_series(8, 12) AS a, generate_series(8, 12) AS b
	WHERE a < b AND chatrel_proxy.place_direct(ARRAY[b], a) = 1 LIMIT 1});
my $direct = $cluster->call("SELECT chatrel.direct_group(ARRAY[$other], as_user => $one) ->> 'id'");

sub send_code
{
	my ($group_id, $user) = @_;

	return code_of($dbh, 'SELECT chatrel.send_group_message(?, ?, as_user => ?)', $group_id, 'said', $user);
}

is(send_code($direct, $other), '00000', 'two people talk, on shard 1');
$shards[0]->safe_psql('postgres', 'ALTER SUBSCRIPTION people_1 DISABLE');
$shards[0]->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL}) or die 'it goes on replicating';

# User 7, who is to be deleted, says what it can wherever it can.
my @doomed = map {
	my $n = $_;
	spawn(
		sub {
			my $own = connect_to_proxy();

			wait_until(sub { return code_of($own, 'SELECT chatrel.send_group_message(?, ?, as_user => 7)', $group[$n], "doomed on $n") eq 'P0002' })
				or die 'never refused';
		})
} 0 .. $SHARDS;

sub said { return $cluster->{all}[$_[0]]->safe_psql('postgres', "SELECT count(*) FROM chatrel.groups_messages WHERE message = 'doomed on $_[0]'"); }
ok(wait_until(sub { return said($_) > 3 }), "user 7 writes on $_") foreach 0 .. $SHARDS;
is(code_of($dbh, 'SELECT chatrel.delete_user(7)'), '00000', 'and is deleted at home');
is(code_of($dbh, "SELECT chatrel.block($other, as_user => $one)"), '00000', 'one person blocks the other');
is(code_of($dbh, q{SELECT chatrel.create_user('newest')}), '00000', 'another user is made');
my $newest = $home->safe_psql('postgres', q{SELECT id FROM chatrel.users WHERE username = 'newest'});
$cluster->caught_up(2);
is(reap(@doomed[ 0, 2 ]), 0, 'who is deleted is refused at home, and on shard 2 as soon as that knows');
is(send_code($group[$_], 7), 'P0002', "for good, on $_") foreach 0, 2;
is(code_of($dbh, 'SELECT chatrel.join_group(?, as_user => ?)', $group[2], $newest), '00000', 'who is new joins there');
my $said = said(1);
ok(wait_until(sub { return said(1) > $said }), 'caveat: shard 1, which is told nothing, lets the deleted user write');
is(send_code($direct, $other), '00000', 'caveat: and the blocked one');
is(code_of($dbh, 'SELECT chatrel.join_group(?, as_user => ?)', $group[1], $newest), 'P0002', 'and does not know who is new');
go_on('all the others go on', 0 .. $SHARDS);

# It breaks in the middle of what it has to catch up with.
$cluster->call(q{SELECT count(chatrel.create_user('many' || i)) FROM generate_series(1, 500) AS i});
$shards[0]->safe_psql('postgres', 'ALTER SUBSCRIPTION people_1 ENABLE');
$shards[0]->stop('immediate');
start_again($shards[0]);
$cluster->caught_up(1 .. $SHARDS);
is(reap($doomed[1]), 0, 'the deleted user is refused on shard 1 too, once that is told');
is(send_code($group[1], 7), 'P0002', 'for good');
is(send_code($direct, $other), '42501', 'so is the blocked one');
is(code_of($dbh, 'SELECT chatrel.join_group(?, as_user => ?)', $group[1], $newest), '00000', 'and who is new joins');
go_on('all go on', 0 .. $SHARDS);

# ---------- what there is in the end ----------

open_log('over');
is(reap(values %sender), 0, 'whoever sends has had every message acknowledged');
open_log('all sent');
is(reap($reader), 0, 'whoever syncs has got to the end');

my @events = map { decode_json($_) } lines_of('events');
my @heard = map { $_->{group_message} // () } @events;

foreach my $user (sort keys %sends_to)
{
	my $node = $cluster->{all}[ $sends_to{$user} ];
	my $acknowledged = join '', lines_of("sent.$user");
	my $there = $node->safe_psql('postgres', "SELECT id, message FROM chatrel.groups_messages WHERE sender_id = $user ORDER BY id");

	is($there =~ s/\|/ /gr . "\n", $acknowledged, "what user $user has sent is there once, in order, and nothing else");
	is(join('', map { $_->{sender_id} == $user ? "$_->{id} $_->{message}\n" : () } @heard), $acknowledged, 'and so in what was synced');
}
my @there = map { $cluster->{all}[$_]->safe_psql('postgres', "SELECT id FROM chatrel.groups_messages WHERE group_id = $group[$_] ORDER BY id") } 0 .. $SHARDS;
is(join("\n", sort { $a <=> $b } map { $_->{id} } @heard), join("\n", @there), 'every message was synced, once');

foreach my $n (0 .. $SHARDS)
{
	my @of_doomed = grep { my ($what) = values %$_; ($what->{group_id} // 0) == $group[$n] && ($what->{sender_id} // $what->{user_id} // 0) == 7 } @events;

	ok(defined $of_doomed[-1]{member_left}, "on $n the deleted user said nothing after it had left");
	is(scalar(grep { $_->{member_left} } @of_doomed), 1, 'which was told once');
}

sub people
{
	my ($node) = @_;

	return $node->safe_psql('postgres', join ' UNION ALL ', map { "SELECT '$_', count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM chatrel.$_ AS t" }
			qw(users relationships blocks user_mutes user_settings));
}
foreach my $node (@shards)
{
	is(people($node), people($home), 'people on ' . $node->name . ' are those at home');
}
foreach my $node (@{ $cluster->{all} })
{
	is($node->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_members JOIN chatrel.users AS u ON u.id = user_id WHERE deleted_at IS NOT NULL'), '0',
		'nobody who is deleted is a member on ' . $node->name);
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM chatrel.groups AS g
		WHERE (SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters AS c WHERE c.group_id = g.id)
			<> (SELECT count(*) FROM chatrel.groups_members AS m WHERE m.group_id = g.id)}), '0', 'and members are counted right');
}

$dbh->disconnect;
$cluster->stop;
done_testing();
