# On a hot standby the functions that read work, and those that write or listen say
# that they cannot; a promotion makes all of them work, and brings the relay to life.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $primary = new_server('primary', allows_streaming => 1);
$primary->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	CREATE ROLE ann;
	GRANT USAGE ON SCHEMA chatrel TO ann;
	SELECT chatrel.create_user('ann', 'ann'), chatrel.create_user('bob'), chatrel.create_user('cyd');
	SELECT chatrel.create_group('g', true, as_user => 1);
	SELECT chatrel.send_group_message(1, 'hello', '2024-01-01 00:00+00', as_user => 1);
	SELECT chatrel.follow(2, as_user => 1), chatrel.follow(1, as_user => 2), chatrel.follow(3, as_user => 2);
	SELECT chatrel.create_whiteboard(1, as_user => 1);
	CREATE TABLE accounts AS SELECT id, username FROM chatrel.users;
	ALTER TABLE accounts ADD PRIMARY KEY (id);
});

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "TimeZone = 'UTC'\n");
$standby->start;
# These are connected before the promotion and go on after it.
my ($ann, $bob) = map { connect_to($standby) } 1 .. 2;
$ann->do('SET chatrel.user_id = 1');

$primary->safe_psql('postgres', q{SELECT chatrel.send_group_message(1, 'streamed', '2024-01-01 00:01+00', as_user => 1)});
$primary->wait_for_catchup($standby);

# Every function: what reads, as user 1
my %reads = (
	current_user_id => [ 'chatrel.current_user_id()', '1' ],
	follow_counts => [ 'chatrel.follow_counts()', '(1,1)' ],
	followers => [ '(SELECT username FROM chatrel.followers())', 'bob' ],
	following => [ '(SELECT username FROM chatrel.following())', 'bob' ],
	friends => [ '(SELECT username FROM chatrel.friends())', 'bob' ],
	get_group => [ 'chatrel.get_group(1)', '{"id": 1, "name": "g", "members": [{"id": 1, "username": "ann"}]}' ],
	get_group_with_chat_history => [
		q{chatrel.get_group_with_chat_history(1, message_limit => 1) -> 'messages'},
		'[{"id": 2, "message": "streamed", "datetime": "2024-01-01T00:01:00+00:00", "group_id": 1, "sender_id": 1}]' ],
	get_whiteboard => [ q{chatrel.get_whiteboard(1) -> 'stickers'}, '[]' ],
	group_messages => [ q{(SELECT string_agg(id || ' ' || message, ', ') FROM chatrel.group_messages(1))}, '2 streamed, 1 hello' ],
	is_following => [ 'chatrel.is_following(2)::text', 'true' ],
	me => [ q{chatrel.me() ->> 'username'}, 'ann' ],
	mutual_followers => [ '(SELECT count(*) FROM chatrel.mutual_followers(2))', '0' ],
	group_members => [ q{(SELECT string_agg(username, ' ') FROM chatrel.group_members(1))}, 'ann' ],
	my_groups => [ q{(SELECT id || ' ' || name || ' ' || last_message FROM chatrel.my_groups())}, '1 g streamed' ],
	relationship_to => [ '(SELECT count(*) FROM chatrel.relationship_to(ARRAY[2, 3]))', '2' ],
	suggest_follows => [ '(SELECT username FROM chatrel.suggest_follows())', 'cyd' ],
	sync => [ q{jsonb_array_length(jsonb_path_query_array(chatrel.sync(wait => '1 ms'), '$.events[*].group_message'))}, '2' ],
	verify_follow_counts => [ '(SELECT count(*) FROM chatrel.verify_follow_counts())', '0' ],
);

# and what writes, or listens
my %writes = (
	change_whiteboard => q{chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}]}')},
	create_group => q{chatrel.create_group('h')},
	create_user => q{chatrel.create_user('dan')},
	create_whiteboard => 'chatrel.create_whiteboard(1)',
	delete_sticker => 'chatrel.delete_sticker(1, 1)',
	delete_user => 'chatrel.delete_user(3)',
	delete_whiteboard => 'chatrel.delete_whiteboard(1)',
	follow => 'chatrel.follow(3)',
	follow_many => 'chatrel.follow_many(ARRAY[3])',
	join_group => 'chatrel.join_group(1, as_user => 2)',
	leave_group => 'chatrel.leave_group(1)',
	link_users => q{chatrel.link_users('accounts')},
	presence => q{* FROM chatrel.presence('{2}')},
	report_online => q{chatrel.report_online('{2}', '1 s')},
	typing => 'chatrel.typing(1)',
	listen => 'chatrel.listen()',
	listen_all => 'chatrel.listen_all()',
	listen_group => 'chatrel.listen_group(1)',
	send_group_message => q{chatrel.send_group_message(1, 'x')},
	unfollow => 'chatrel.unfollow(2)',
	unlink_users => 'chatrel.unlink_users()',
	unlisten => 'chatrel.unlisten()',
	verify_users => '* FROM chatrel.verify_users(true)',
);

is_deeply(
	[ sort keys %reads, keys %writes ],
	$ann->selectcol_arrayref(q{
		SELECT proname FROM pg_proc
		WHERE pronamespace = 'chatrel'::regnamespace AND prorettype <> 'trigger'::regtype AND proname NOT IN ('relay_status', 'presence_status')
		ORDER BY proname COLLATE "C"}),
	'all functions are tried');

foreach my $function (sort keys %reads)
{
	my ($call, $result) = @{ $reads{$function} };

	is(eval { value($ann, "SELECT $call") } // $ann->errstr, $result, "works: $function");
}
is(value($ann, 'SELECT count(*) FROM chatrel.my_groups(as_user => 2)'), 0, 'works: no groups');
is($standby->safe_psql('postgres', 'SET ROLE ann; SELECT message FROM chatrel.groups_messages WHERE group_id = 1 ORDER BY id'),
	"hello\nstreamed", 'works: reading the table under row level security');

sub sqlstate
{
	my ($call) = @_;

	return eval { $ann->do("SELECT $call"); 1 } ? 'no error' : $ann->state;
}

is(sqlstate('chatrel.me(as_user => 99)'), 'P0002', 'no such user, as on the primary');
is(sqlstate('chatrel.get_group(99)'), 'P0002', 'no such group');
is(sqlstate('chatrel.get_group(1, as_user => 2)'), 'P0002', 'not a member');
is(sqlstate($writes{$_}), '25006', "read-only: $_") foreach sort keys %writes;
is(worker_pid($ann), undef, 'and none of this has started a worker, as the view says');

my $cursor = value($ann, q{SELECT chatrel.sync() ->> 'cursor'});

$primary->stop;
$standby->promote;

# The same sessions, and the relay
is(value($bob, q{SELECT chatrel.join_group(1, as_user => 2)::text}), 'true', 'after the promotion it writes');
my $listener = Realtime::Listener->new($standby, '* FROM chatrel.listen(as_user => 2)');
ok(start_worker($ann), 'the relay comes to life');
my $delivered = relay_row($ann)->{delivered};
value($ann, q{SELECT chatrel.send_group_message(1, 'promoted')});
is(($listener->texts_until('promoted'))[-1], 'promoted', 'and is heard');
ok(wait_until(sub { relay_row($ann)->{delivered} > $delivered }), 'through the relay');
is_deeply(
	$ann->selectcol_arrayref(q{
		SELECT m ->> 'message' FROM jsonb_array_elements(chatrel.sync(?) -> 'events') AS e, LATERAL (SELECT e -> 'group_message' AS m) AS x WHERE m ->> 'message' <> 'wake up'}, undef, $cursor),
	['promoted'], 'a cursor of the standby goes on');
is(value($ann, q{SELECT string_agg(message, ' ' ORDER BY id) FROM chatrel.groups_messages WHERE message <> 'wake up'}),
	'hello streamed promoted', 'nothing is lost');

$standby->stop;
done_testing();
