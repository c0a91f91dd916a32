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
		SELECT chatrel.leave_group(1, as_user => 2), chatrel.join_group(1, as_user => 2);
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

set_up($publisher);
$publisher->safe_psql('postgres', 'UPDATE chatrel.groups_members SET role = \'owner\' WHERE user_id = 1');
$publisher->safe_psql('postgres', 'SELECT chatrel.create_whiteboard(1, as_user => 1)');
do_everything('before');
my $old_cursor = $publisher->safe_psql('postgres', q{SELECT chatrel.sync(as_user => 1) ->> 'cursor'});

$publisher->safe_psql('postgres', 'CREATE PUBLICATION chat FOR TABLES IN SCHEMA chatrel');
$subscriber->safe_psql('postgres', 'CREATE EXTENSION chatrel');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION chat CONNECTION '$connection' PUBLICATION chat");
$subscriber->wait_for_subscription_sync($publisher, 'chat');
is(contents($subscriber), contents($publisher), 'what was there is copied');

do_everything($_) foreach 'while', 'after';
$publisher->safe_psql('postgres', q{
	SELECT chatrel.create_group('that goes', true, as_user => 1), chatrel.send_group_message(2, 'too', as_user => 1);
	DELETE FROM chatrel.groups WHERE id = 2;
});
$publisher->wait_for_catchup('chat');
is(contents($subscriber), contents($publisher), 'and so is what is written then');

# It is read there
is($subscriber->safe_psql('postgres', q{SELECT string_agg(message, ' ' ORDER BY id) FROM chatrel.group_messages(1, as_user => 1)}),
	'before while after', 'the functions read it');
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
