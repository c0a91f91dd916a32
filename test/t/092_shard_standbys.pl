# Standbys of home and of a shard: a proxy for reading sends calls to them, the other
# one follows who is primary; a shard that fails over goes on, and so does what home
# tells it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;
use Shards;

plan skip_all => Shards::missing() if Shards::missing();

my $cluster = Shards->new(1);
my ($home, $shard) = @{ $cluster->{all} };

$cluster->call(q{
	SELECT chatrel.create_user('ann'), chatrel.create_user('bob'), chatrel.create_user('cyd');
	SELECT chatrel.follow(2, as_user => 1), chatrel.follow(1, as_user => 2)});
$cluster->caught_up(1);
my $group = $cluster->create_group_on(1);
$cluster->call("SELECT chatrel.join_group($group, as_user => 2)");
my $message = $cluster->call("SELECT id FROM chatrel.send_group_message($group, 'hello', as_user => 2)");
my $board = $cluster->call("SELECT chatrel.create_whiteboard($group, as_user => 2) ->> 'id'");

# ---------- a standby of each, and a proxy that prefers them ----------

sub make_standby
{
	my ($primary) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($primary->name . '_standby');

	$primary->backup('base');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	return $standby;
}

my @standbys = map { make_standby($_) } $home, $shard;

# Both of each, and which is wanted
sub either
{
	my ($first, $second, $wanted) = @_;

	return 'host=' . $first->host . ',' . $second->host . ' port=' . $first->port . ',' . $second->port . " target_session_attrs=$wanted";
}

my @pairs = ([ $home, $standbys[0] ], [ $shard, $standbys[1] ]);
$cluster->make_proxy('reading', map { either(reverse(@$_), 'prefer-standby') } @pairs);
$cluster->make_proxy('writing', map { either(@$_, 'read-write') } @pairs);

sub replayed { $pairs[$_][0]->wait_for_catchup($pairs[$_][1]) foreach 0 .. 1; return; }

sub on
{
	my ($database, $sql) = @_;

	return $cluster->{proxy}->safe_psql($database, $sql);
}

sub code_on
{
	my ($database, $sql) = @_;
	my $dbh = connect_to($cluster->{proxy}, $database);
	my $code = eval { $dbh->do($sql); 1 } ? '00000' : $dbh->state;

	$dbh->disconnect;
	return $code;
}

replayed();
my $backends = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'chatrel_proxy'};
my $dbh = connect_to($cluster->{proxy}, 'reading');
is(value($dbh, 'SELECT message FROM chatrel.group_messages(?, as_user => 1)', $group), 'hello', 'a proxy reads from a standby');
is($standbys[1]->safe_psql('postgres', $backends), 't', 'which is where its session is');
is(value($dbh, 'SELECT count(*) FROM chatrel.my_groups(as_user => 1)'), '1', 'and so all of them');
is($standbys[0]->safe_psql('postgres', $backends), 't', 'that of home too');
$dbh->disconnect;

# All that reads, as on one standby (003_standby.pl), and what it finds
my %reads = (
	"SELECT chatrel.get_group($group, as_user => 1) ->> 'name'" => 'on 1',
	"SELECT chatrel.get_group_with_chat_history($group, as_user => 1) #>> '{messages,0,message}'" => 'hello',
	"SELECT chatrel.get_message($group, $message, as_user => 1) ->> 'message'" => 'hello',
	"SELECT chatrel.get_whiteboard($board, as_user => 1) ->> 'group_id'" => $group,
	"SELECT string_agg(username, ' ') FROM chatrel.group_members($group, as_user => 1)" => 'ann bob',
	"SELECT count(*) FROM chatrel.group_members_of(ARRAY[$group])" => '2',
	"SELECT count(*) FROM chatrel.pinned_messages($group, as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.banned_members($group, as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.join_requests($group, as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.group_invitations($group, as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.invitations(as_user => 1)" => '0',
	"SELECT name FROM chatrel.find_groups('on', as_user => 3)" => 'on 1',
	"SELECT chatrel.me(as_user => 1) ->> 'username'" => 'ann',
	"SELECT unread FROM chatrel.unread_counts(as_user => 1)" => '1',
	"SELECT (chatrel.find_user('bob')).id" => '2',
	"SELECT string_agg(username, ' ') FROM chatrel.followers(as_user => 1)" => 'bob',
	"SELECT string_agg(username, ' ') FROM chatrel.following(as_user => 1)" => 'bob',
	"SELECT string_agg(username, ' ') FROM chatrel.friends(as_user => 1)" => 'bob',
	"SELECT (chatrel.follow_counts(1, as_user => 1)).followers" => '1',
	"SELECT chatrel.is_following(2, as_user => 1)" => 't',
	"SELECT count(*) FROM chatrel.mutual_followers(2, as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.relationship_to(ARRAY[2, 3], as_user => 1)" => '2',
	"SELECT count(*) FROM chatrel.suggest_follows(as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.blocked(as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.muted_users(as_user => 1)" => '0',
	"SELECT count(*) FROM chatrel.follow_requests(as_user => 1)" => '0',
	"SELECT chatrel.may_view_posts(2, as_user => 1)" => 't',
	"SELECT chatrel.user_settings(as_user => 1) ->> 'protected'" => 'false',
	"SELECT count(*) FROM chatrel.export_user(1) WHERE kind = 'user'" => '1',
	"SELECT jsonb_array_length(chatrel.sync(group_id => $group, as_user => 1) -> 'events') > 0" => 't',
	"SELECT jsonb_array_length(chatrel.sync_all() -> 'events') > 0" => 't',
	"SELECT count(*) FROM chatrel.verify_follow_counts()" => '0');
is(on('reading', $_), $reads{$_}, "reads: $_") foreach sort keys %reads;
foreach my $call ("send_group_message($group, 'x', as_user => 1)", "mark_read($group, as_user => 1)", 'follow(3, as_user => 1)', "create_user('dan')", "create_group('g', as_user => 1)", "join_group($group, as_user => 3)")
{
	is(code_on('reading', "SELECT chatrel.$call"), '25006', "does not write: $call");
}

# ---------- one cursor, read here and there ----------

sub synced
{
	my ($database, $cursor) = @_;
	my $answer = decode_json(on($database, "SELECT chatrel.sync('$cursor', as_user => 1)"));

	return ([ map { $_->{message} } messages_in($answer) ], $answer->{cursor});
}

my $cursor = on('writing', q{SELECT chatrel.sync('now', as_user => 1) ->> 'cursor'});
$standbys[1]->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standbys[1]->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
on('writing', "SELECT chatrel.send_group_message($group, '$_', as_user => 2)") foreach 'one', 'two';
my ($texts, $after) = synced('writing', $cursor);
is_deeply($texts, [ 'one', 'two' ], 'the primaries have what is new');
is_deeply((synced('reading', $cursor))[0], [], 'a standby that is behind has not');
(my $nothing, $after) = synced('reading', $after);
is_deeply($nothing, [], 'nor is a cursor lost that is ahead of it');
$standbys[1]->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
on('writing', "SELECT chatrel.send_group_message($group, 'three', as_user => 2)");
replayed();
is_deeply((synced('reading', $cursor))[0], [ 'one', 'two', 'three' ], 'then it has');
is_deeply((synced('reading', $after))[0], ['three'], 'and that cursor brings what is new, and that alone');

$standbys[0]->stop;
is(on('reading', 'SELECT chatrel.is_following(2, as_user => 1)'), 't', 'where a standby is down its primary is read');
$standbys[0]->start;

# ---------- failing over ----------

replayed();
my $kept = connect_to($cluster->{proxy}, 'writing');
is(value($kept, 'SELECT message FROM chatrel.send_group_message(?, ?, as_user => 2)', $group, 'before'), 'before', 'a session of the proxy writes');
$pairs[1][0]->wait_for_catchup($standbys[1]);
$shard->stop('immediate');
on('writing', 'SELECT chatrel.rename_user(3, \'cid\'), chatrel.delete_user(2)');
$standbys[1]->promote;
ok(wait_until(sub { return eval { value($kept, 'SELECT message FROM chatrel.send_group_message(?, ?, as_user => 1)', $group, 'after') } }), 'the same session writes to the standby that is primary now');
$kept->disconnect;
is_deeply([ grep { /^(?:before|after)$/ } @{ (synced('writing', $after))[0] } ], [ 'before', 'after' ], 'the cursor goes on');
$standbys[1]->poll_query_until('postgres', q{SELECT deleted_at IS NOT NULL FROM chatrel.users WHERE id = 2});
$standbys[1]->poll_query_until('postgres', q{SELECT username = 'cid' FROM chatrel.users WHERE id = 3}) or die 'home is not heard';
is($standbys[1]->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_members WHERE user_id = 2'), '0', 'so does what home says of people: who is deleted is no member');

$_->stop foreach $cluster->{proxy}, @standbys, $home;
done_testing();
