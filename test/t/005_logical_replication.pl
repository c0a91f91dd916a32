# The tables are replicated logically into another server's database, which reads
# them like its own, and can take over: doc/operations.md on replicas.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $publisher = new_server('publisher', allows_streaming => 'logical');
my $subscriber = new_server('subscriber', allows_streaming => 'logical');
my $connection = $publisher->connstr . ' dbname=postgres';

# What every row of every table of chatrel says, and how many there are
sub contents
{
	my ($node) = @_;
	my $tables = $node->safe_psql('postgres',
		q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'r'});

	return join "\n", map {
		"$_: " . $node->safe_psql('postgres', qq{SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text COLLATE "C")) FROM chatrel.$_ AS t})
	} split / /, $tables;
}

sub do_everything
{
	my ($text) = @_;

	$publisher->safe_psql('postgres', qq{
		SELECT chatrel.send_group_message(1, '$text', as_user => 1);
		SELECT chatrel.edit_message(group_id, id, '$text', as_user => 1), chatrel.add_reaction(group_id, id, '$text', as_user => 2),
			chatrel.pin_message(group_id, id, as_user => 1), chatrel.mark_read(group_id, id, as_user => 3)
		FROM chatrel.group_messages(1, message_limit => 1, as_user => 1);
		SELECT chatrel.update_group(1, slow_mode => '0', posting => 'everybody', join_policy => 'open', as_user => 1);
		SELECT chatrel.leave_group(1, as_user => 2), chatrel.join_group(1, as_user => 2);
		SELECT chatrel.unban_member(1, 7, as_user => 1), chatrel.unmute_member(1, 4, as_user => 1), chatrel.set_role(1, 3, 'member', as_user => 1);
		SELECT chatrel.revoke_invite_links(1, as_user => 1), chatrel.decline_invitation(1, as_user => 5), chatrel.withdraw_join_request(1, as_user => 6);
		SELECT chatrel.unblock(4, as_user => 7), chatrel.unmute_user(4, as_user => 7);
		SELECT chatrel.update_group(1, description => '$text', slow_mode => '1 s', posting => 'moderators', join_policy => 'request', as_user => 1);
		SELECT chatrel.invite(1, '{5}', as_user => 1), chatrel.create_invite_link(1, '3000-01-01', 7, as_user => 1), chatrel.request_to_join(1, as_user => 6);
		SELECT chatrel.ban_member(1, 7, '3000-01-01', as_user => 1), chatrel.set_role(1, 3, 'moderator', as_user => 1), chatrel.mute_member(1, 4, as_user => 3);
		SELECT chatrel.direct_group('{2, 3}', as_user => 1), chatrel.create_group('$text', true, 'private', metadata => '{"a": "$text"}', as_user => 2);
		SELECT chatrel.set_protected(true, as_user => 7), chatrel.follow(7, '$text', as_user => 1), chatrel.unfollow(7, as_user => 2), chatrel.follow(7, as_user => 2);
		SELECT chatrel.block(4, as_user => 7), chatrel.mute_user(4, '3000-01-01', as_user => 7), chatrel.set_direct_messages('friends', as_user => 7);
		SELECT chatrel.send_group_message(1, 'long ago', '1999-12-31', as_user => 1), chatrel.purge_messages('2000-01-01', 1);
		SELECT chatrel.follow(2, as_user => 1), chatrel.follow(1, as_user => 2), chatrel.follow(3, 'name_only', as_user => 2);
		SELECT chatrel.unfollow(3, as_user => 2);
		SELECT chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "$text"}]}', 'delete', as_user => 1);
		SELECT chatrel.create_user('$text');
		SELECT chatrel.delete_user(max(id)) FROM chatrel.users;
		SELECT * FROM chatrel.listen(as_user => 1);
		SELECT chatrel.listen_all();
	});
	return;
}

set_up($publisher, users => 7);
$publisher->safe_psql('postgres', 'SELECT chatrel.create_whiteboard(1, as_user => 1), chatrel.leave_group(1, as_user => 5), chatrel.leave_group(1, as_user => 6)');
do_everything('before');
my $old_cursor = $publisher->safe_psql('postgres', q{SELECT chatrel.sync(as_user => 1) ->> 'cursor'});

$publisher->safe_psql('postgres', 'CREATE PUBLICATION chat FOR TABLES IN SCHEMA chatrel');
$subscriber->safe_psql('postgres', 'CREATE EXTENSION chatrel');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION chat CONNECTION '$connection' PUBLICATION chat");
$subscriber->wait_for_subscription_sync($publisher, 'chat');
is(contents($subscriber), contents($publisher), 'what was there is copied');

do_everything($_) foreach 'while', 'after';
$publisher->safe_psql('postgres', q{
	SELECT chatrel.update_group(1, posting => 'everybody', as_user => 1);
	SELECT chatrel.create_group('that goes', true, as_user => 1);
	SELECT chatrel.send_group_message(id, 'too', as_user => 1) FROM chatrel.groups WHERE name = 'that goes';
	SELECT chatrel.delete_group(id, as_user => 1) FROM chatrel.groups WHERE name = 'that goes';
});
$publisher->wait_for_catchup('chat');
is(contents($subscriber), contents($publisher), 'and so is what is written then');
unlike(contents($publisher), qr/: 0\|/, 'which is something in every table');

# It is read there
is($subscriber->safe_psql('postgres', q{SELECT string_agg(message, ' ' ORDER BY id) FROM chatrel.group_messages(1, as_user => 1)}),
	'before while after', 'the functions read it');
is($subscriber->safe_psql('postgres', q{SELECT (SELECT member_count FROM chatrel.find_groups('g1', as_user => 1)) = (SELECT count(*) FROM chatrel.groups_members WHERE group_id = 1)}),
	't', 'the members are counted');
is($subscriber->safe_psql('postgres', 'SELECT chatrel.follow_counts(as_user => 1)'), '(1,1)', 'so do the counters');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', 'which are right, and were counted once');

# and taken over
$publisher->stop;
$subscriber->safe_psql('postgres', q{
	ALTER SUBSCRIPTION chat DISABLE;
	ALTER SUBSCRIPTION chat SET (slot_name = NONE);
	DROP SUBSCRIPTION chat;
});
my $sequences = $subscriber->safe_psql('postgres', q{
	SELECT format('SELECT setval(pg_get_serial_sequence(%1$L, ''id''), max(id)) FROM %1$s', c.oid::regclass)
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attidentity <> ''
	WHERE c.relnamespace = 'chatrel'::regnamespace \gexec
	SELECT setval('chatrel.event_ids', max(id)) FROM (SELECT id FROM chatrel.groups_messages UNION ALL SELECT id FROM chatrel.events) AS given;
});
is(scalar(split /\n/, $sequences), 12, 'the sequences are set');

my $bob = connect_to($subscriber);
my $listener = Realtime::Listener->new($subscriber, '* FROM chatrel.listen(as_user => 1)');
start_worker($bob);
is(value($bob, q{SELECT message FROM chatrel.send_group_message(1, 'taken over', as_user => 2)}), 'taken over', 'it sends');
is(($listener->texts_until('taken over'))[-1], 'taken over', 'and is heard');
is(value($bob, 'SELECT chatrel.unfollow(1, as_user => 2)::text'), 'true', 'it unfollows');
is(value($bob, 'SELECT chatrel.follow_counts(as_user => 1)::text'), '(1,0)', 'and counts');
is(value($bob, 'SELECT count(*) FROM chatrel.verify_follow_counts()'), 0, 'right');
is(value($bob, q{SELECT id FROM chatrel.create_user('next')}), value($bob, 'SELECT max(id) FROM chatrel.users'), 'it creates users');
ok(!eval { $bob->do('SELECT chatrel.sync(?, as_user => 1)', undef, $old_cursor); 1 }, 'a cursor of the publisher');
is($bob->state, '55000', 'is refused');
is(value($bob, q{SELECT count(*) FROM jsonb_path_query(chatrel.sync(as_user => 1), '$.events[*].group_message') AS m WHERE m ->> 'message' <> 'wake up'}), 4,
	'a new one has everything');

$subscriber->stop;
done_testing();
