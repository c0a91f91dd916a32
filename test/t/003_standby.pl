# On a hot standby the functions that read work, and those that write or listen
# say that they cannot; after a promotion all of them work.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	CREATE ROLE ann;
	GRANT USAGE ON SCHEMA chatrel TO ann;
	SELECT chatrel.create_user('ann', 'ann'), chatrel.create_user('bob');
	SELECT chatrel.create_group('g', true, as_user => 1);
	SELECT chatrel.send_group_message(1, 'hello', '2024-01-01 00:00+00', as_user => 1);
});

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "TimeZone = 'UTC'\n");
$standby->start;

$primary->safe_psql('postgres', q{SELECT chatrel.send_group_message(1, 'streamed', '2024-01-01 00:01+00', as_user => 1)});
$primary->wait_for_catchup($standby);

# what reads
my %reads = (
	q{SELECT chatrel.current_user_id()} => '1',
	q{SELECT chatrel.me() ->> 'username'} => 'ann',
	q{SELECT id, name, last_message FROM chatrel.my_groups()} => '1|g|streamed',
	q{SELECT chatrel.get_group(1)} => '{"id": 1, "name": "g", "members": [{"id": 1, "username": "ann"}]}',
	q{SELECT id, message FROM chatrel.group_messages(1)} => "2|streamed\n1|hello",
	q{SELECT chatrel.get_group_with_chat_history(1, message_limit => 1) -> 'messages'} =>
		'[{"id": 2, "message": "streamed", "datetime": "2024-01-01T00:01:00+00:00", "group_id": 1, "sender_id": 1}]',
);
foreach my $query (sort keys %reads)
{
	is($standby->safe_psql('postgres', "SET chatrel.user_id = 1; $query"), $reads{$query}, "works: $query");
}
is($standby->safe_psql('postgres', 'SELECT count(*) FROM chatrel.my_groups(as_user => 2)'), '0', 'works: no groups');
is($standby->safe_psql('postgres', 'SET ROLE ann; SELECT message FROM chatrel.groups_messages WHERE group_id = 1 ORDER BY id'),
	"hello\nstreamed", 'works: reading the table under row level security');

sub sqlstate
{
	my ($query) = @_;
	my (undef, undef, $stderr) = $standby->psql('postgres', "\\set VERBOSITY sqlstate\nSET chatrel.user_id = 1; $query");
	return $stderr =~ /ERROR:  (\w+)/ ? $1 : 'no error';
}

# errors are the same as on the primary
is(sqlstate('SELECT chatrel.me(as_user => 99)'), 'P0002', 'P0002: no such user');
is(sqlstate('SELECT chatrel.get_group(99)'), 'P0002', 'P0002: no such group');
is(sqlstate('SELECT chatrel.get_group(1, as_user => 2)'), 'P0002', 'P0002: not a member');

# what writes or listens
foreach my $query (
	q{SELECT chatrel.create_user('cyd')},
	q{SELECT chatrel.delete_user(2)},
	q{SELECT chatrel.create_group('h')},
	q{SELECT chatrel.create_group('h', true)},
	q{SELECT chatrel.join_group(1, as_user => 2)},
	q{SELECT chatrel.leave_group(1)},
	q{SELECT chatrel.send_group_message(1, 'x')},
	q{SELECT * FROM chatrel.listen()},
	q{SELECT chatrel.listen_group(1)},
	q{SELECT chatrel.listen_all()},
	q{SELECT chatrel.unlisten()})
{
	is(sqlstate($query), '25006', "25006: $query");
}

$standby->promote;
is($standby->safe_psql('postgres', q{SELECT message FROM chatrel.send_group_message(1, 'promoted', as_user => 1)}), 'promoted',
	'after the promotion it sends');
is($standby->safe_psql('postgres', q{SELECT string_agg(message, ' ' ORDER BY id) FROM chatrel.groups_messages}), 'hello streamed promoted',
	'and nothing is lost');

$standby->stop;
$primary->stop;
done_testing();
