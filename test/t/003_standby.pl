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
	SELECT chatrel.create_user('ann', 'ann'), chatrel.create_user('bob'), chatrel.create_user('cyd'), chatrel.create_user('dee');
	SELECT chatrel.create_group('g', true, as_user => 1);
	SELECT chatrel.send_group_message(1, 'hello', '2024-01-01 00:00+00', as_user => 1);
	SELECT chatrel.follow(2, as_user => 1), chatrel.follow(1, as_user => 2), chatrel.follow(3, as_user => 2);
	SELECT chatrel.create_whiteboard(1, as_user => 1);
	SELECT chatrel.pin_message(1, id, as_user => 1) FROM chatrel.groups_messages;
	SELECT chatrel.update_group(1, join_policy => 'request', as_user => 1), chatrel.request_to_join(1, as_user => 4);
	SELECT chatrel.invite(1, '{2}', as_user => 1), chatrel.ban_member(1, 3, as_user => 1);
	SELECT chatrel.direct_group('{2}', as_user => 4);
	SELECT chatrel.block(4, as_user => 1), chatrel.mute_user(3, as_user => 1), chatrel.set_direct_messages('friends', as_user => 1);
	SELECT chatrel.set_protected(true, as_user => 1), chatrel.follow(1, as_user => 3);
	CREATE TABLE accounts AS SELECT id, username FROM chatrel.users;
	ALTER TABLE accounts ADD PRIMARY KEY (id);
});

my $token = $primary->safe_psql('postgres', 'SELECT chatrel.create_invite_link(1, as_user => 1)');
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
	get_group => [ 'chatrel.get_group(1)', '{"id": 1, "name": "g", "members": [{"id": 1, "username": "ann"}], "join_policy": "request"}' ],
	get_group_with_chat_history => [
		q{chatrel.get_group_with_chat_history(1, message_limit => 1) #- '{messages,0,id}' -> 'messages'},
		'[{"message": "streamed", "datetime": "2024-01-01T00:01:00+00:00", "group_id": 1, "sender_id": 1}]' ],
	get_message => [ q{(SELECT chatrel.get_message(1, min(id)) ->> 'message' FROM chatrel.groups_messages)}, 'hello' ],
	get_whiteboard => [ q{chatrel.get_whiteboard(1) -> 'stickers'}, '[]' ],
	group_members_of => [ '(SELECT user_id FROM chatrel.group_members_of(ARRAY[1]))', '1' ],
	group_messages => [ q{(SELECT string_agg(message, ', ') FROM chatrel.group_messages(1))}, 'streamed, hello' ],
	is_following => [ 'chatrel.is_following(2)::text', 'true' ],
	me => [ q{chatrel.me() ->> 'username'}, 'ann' ],
	mutual_followers => [ '(SELECT count(*) FROM chatrel.mutual_followers(2))', '0' ],
	group_members => [ q{(SELECT string_agg(username, ' ') FROM chatrel.group_members(1))}, 'ann' ],
	my_groups => [ q{(SELECT id || ' ' || name || ' ' || last_message FROM chatrel.my_groups())}, '1 g streamed' ],
	pinned_messages => [ '(SELECT message FROM chatrel.pinned_messages(1))', 'hello' ],
	relationship_to => [ '(SELECT count(*) FROM chatrel.relationship_to(ARRAY[2, 3]))', '2' ],
	suggest_follows => [ '(SELECT username FROM chatrel.suggest_follows())', 'cyd' ],
	sync => [ q{jsonb_array_length(jsonb_path_query_array(chatrel.sync(wait => '1 ms'), '$.events[*].group_message'))}, '2' ],
	sync_all => [ q{jsonb_array_length(jsonb_path_query_array(chatrel.sync_all(), '$.events[*].group_message'))}, '2' ],
	unread_counts => [ 'chatrel.unread_counts()', '(0,0,0)' ],
	blocked => [ '(SELECT username FROM chatrel.blocked())', 'dee' ],
	export_user => [ q{(SELECT document ->> 'username' FROM chatrel.export_user(1) WHERE kind = 'user')}, 'ann' ],
	find_user => [ q{(chatrel.find_user('ann')).id}, '1' ],
	follow_requests => [ '(SELECT username FROM chatrel.follow_requests())', 'cyd' ],
	may_view_posts => [ 'chatrel.may_view_posts(2)::text', 'true' ],
	muted_users => [ '(SELECT username FROM chatrel.muted_users())', 'cyd' ],
	user_settings => [ 'chatrel.user_settings()', '{"protected": true, "direct_messages": "friends"}' ],
	banned_members => [ '(SELECT user_id FROM chatrel.banned_members(1))', '3' ],
	find_groups => [ q{(SELECT name || ' ' || member_count FROM chatrel.find_groups('g'))}, 'g 1' ],
	group_invitations => [ '(SELECT username FROM chatrel.group_invitations(1))', 'bob' ],
	invitations => [ '(SELECT name FROM chatrel.invitations(as_user => 2))', 'g' ],
	join_requests => [ '(SELECT username FROM chatrel.join_requests(1))', 'dee' ],
	verify_follow_counts => [ '(SELECT count(*) FROM chatrel.verify_follow_counts())', '0' ],
);

# and what writes, or listens
my $first = value($ann, 'SELECT min(id) FROM chatrel.groups_messages');
my %writes = (
	accept_follow => 'chatrel.accept_follow(2)',
	block => 'chatrel.block(2)',
	erase_user => 'chatrel.erase_user(3)',
	mute_user => 'chatrel.mute_user(2)',
	reject_follow => 'chatrel.reject_follow(2)',
	remove_follower => 'chatrel.remove_follower(2)',
	rename_user => q{chatrel.rename_user(3, 'dan')},
	set_direct_messages => q{chatrel.set_direct_messages('nobody')},
	set_protected => 'chatrel.set_protected(true)',
	unblock => 'chatrel.unblock(2)',
	unmute_user => 'chatrel.unmute_user(2)',
	add_reaction => "chatrel.add_reaction(1, $first, 'x')",
	change_whiteboard => q{chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}]}')},
	create_group => q{chatrel.create_group('h')},
	create_user => q{chatrel.create_user('dan')},
	create_whiteboard => 'chatrel.create_whiteboard(1)',
	delete_message => "chatrel.delete_message(1, $first)",
	delete_sticker => 'chatrel.delete_sticker(1, 1)',
	delete_user => 'chatrel.delete_user(3)',
	delete_whiteboard => 'chatrel.delete_whiteboard(1)',
	edit_message => "chatrel.edit_message(1, $first, 'changed')",
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
	mark_read => 'chatrel.mark_read(1)',
	pin_message => "chatrel.pin_message(1, $first)",
	publish => q{chatrel.publish(1, 'drawn', '{}')},
	purge_messages => 'chatrel.purge_messages(now())',
	remove_reaction => "chatrel.remove_reaction(1, $first, 'x')",
	send_group_message => q{chatrel.send_group_message(1, 'x')},
	unfollow => 'chatrel.unfollow(2)',
	unlink_users => 'chatrel.unlink_users()',
	unlisten => 'chatrel.unlisten()',
	unpin_message => "chatrel.unpin_message(1, $first)",
	archive_group => 'chatrel.archive_group(1)',
	ban_member => 'chatrel.ban_member(1, 2)',
	create_invite_link => 'chatrel.create_invite_link(1)',
	decide_join_request => 'chatrel.decide_join_request(1, 4, true)',
	decline_invitation => 'chatrel.decline_invitation(1, as_user => 2)',
	delete_group => 'chatrel.delete_group(1)',
	direct_group => q{chatrel.direct_group('{3}')},
	invite => q{chatrel.invite(1, '{4}')},
	join_by_link => "chatrel.join_by_link('$token', as_user => 2)",
	mute_member => 'chatrel.mute_member(1, 2)',
	remove_member => 'chatrel.remove_member(1, 2)',
	request_to_join => 'chatrel.request_to_join(1, as_user => 4)',
	revoke_invite_links => 'chatrel.revoke_invite_links(1)',
	set_role => q{chatrel.set_role(1, 1, 'owner')},
	unban_member => 'chatrel.unban_member(1, 3)',
	unmute_member => 'chatrel.unmute_member(1, 2)',
	become_home => 'chatrel.become_home()',
	become_shard => 'chatrel.become_shard(1)',
	update_group => q{chatrel.update_group(1, 'changed')},
	withdraw_invitation => 'chatrel.withdraw_invitation(1, 2)',
	withdraw_join_request => 'chatrel.withdraw_join_request(1, as_user => 4)',
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
is(value($ann, 'SELECT count(*) FROM chatrel.my_groups(as_user => 3)'), 0, 'works: no groups');
is(value($ann, q{SELECT chatrel.direct_group('{4}', as_user => 2) ->> 'id'}), 2, 'works: a direct conversation that there is');
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
		SELECT m ->> 'message' FROM jsonb_path_query(chatrel.sync(?), '$.events[*].group_message') AS m WHERE m ->> 'message' <> 'wake up'}, undef, $cursor),
	['promoted'], 'a cursor of the standby goes on');
is(value($ann, q{SELECT string_agg(message, ' ' ORDER BY id) FROM chatrel.groups_messages WHERE message <> 'wake up'}),
	'hello streamed promoted', 'nothing is lost');

$standby->stop;
done_testing();
