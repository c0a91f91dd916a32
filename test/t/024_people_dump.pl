# What users have set and whom they keep away outlives a dump, by every format and by
# data alone, and is answered by a standby.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('people');
$node->init(allows_streaming => 1);
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	INSERT INTO chatrel.users (username) SELECT 'u' || n FROM generate_series(1, 20) n;
	SELECT chatrel.set_protected(true, as_user => 1), chatrel.set_direct_messages('friends', as_user => 2);
	SELECT chatrel.follow(1, 'label ' || n, as_user => n) FROM generate_series(2, 9) n;
	SELECT chatrel.accept_follow(n, as_user => 1) FROM generate_series(2, 4) n;
	SELECT chatrel.block(n, as_user => 1), chatrel.block(1, as_user => n) FROM generate_series(10, 12) n;
	SELECT chatrel.mute_user(n, '3000-01-01', as_user => 1), chatrel.mute_user(1, as_user => n) FROM generate_series(13, 14) n;
	SELECT chatrel.erase_user(20)});

# All of it, as the tables have it.
sub people
{
	my ($database) = @_;

	return $node->safe_psql($database, q{
		SELECT * FROM chatrel.blocks ORDER BY 1, 2;
		SELECT * FROM chatrel.user_mutes ORDER BY 1, 2;
		SELECT * FROM chatrel.follow_requests ORDER BY id;
		SELECT * FROM chatrel.user_settings ORDER BY 1;
		SELECT id, username, deleted_at FROM chatrel.users ORDER BY 1});
}

my $truth = people('postgres');
like($truth, qr/^1\|10\|/m, 'there are blocks');
like($truth, qr/^4\|5\|1\|label 5\|/m, 'requests that wait');
like($truth, qr/^20\|deleted user 20\|2/m, 'and one who is forgotten');

my $dir = $node->basedir;
my @to = ('-h', $node->host, '-p', $node->port);

sub restored
{
	my ($database, @how) = @_;

	is(people($database), $truth, "everything is the same (@how)");
	is($node->safe_psql($database, 'SELECT chatrel.follow(1, as_user => 15) IS NULL'), 't', "who is protected stays so (@how)");
	is($node->safe_psql($database, 'SELECT max(id) = 9 AND count(*) = 6 FROM chatrel.follow_requests'), 't', "requests go on being numbered (@how)");
	my ($code, $out, $err) = $node->psql($database, 'SELECT chatrel.follow(1, as_user => 10)');
	like($err, qr/user 10 may not follow user 1/, "and who is blocked, too (@how)");
	return;
}

foreach my $format ('custom', 'plain')
{
	my $file = "$dir/people.$format";

	$node->command_ok([ 'pg_dump', @to, '-F', $format, '-f', $file, 'postgres' ], "pg_dump ($format)");
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	$node->command_ok(
		$format eq 'custom'
		? [ 'pg_restore', @to, '-e', '-d', $format, $file ]
		: [ 'psql', @to, '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $file, $format ],
		"restore ($format)");
	restored($format, $format);
}

# The data alone, into an extension that is there.
$node->safe_psql('postgres', 'CREATE DATABASE data_alone');
$node->safe_psql('data_alone', 'CREATE EXTENSION chatrel');
$node->command_ok([ 'pg_restore', @to, '-e', '-a', '--disable-triggers', '-d', 'data_alone', "$dir/people.custom" ], 'restore the data');
restored('data_alone', 'data alone');

# A standby answers the same questions, and changes nothing.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', 'SELECT chatrel.block(16, as_user => 1)');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
foreach my $question (
	'SELECT * FROM chatrel.blocked()', 'SELECT * FROM chatrel.muted_users()', 'SELECT * FROM chatrel.follow_requests()',
	'SELECT chatrel.user_settings()', q{SELECT * FROM chatrel.relationship_to('{2,5,10,13,16}')}, 'SELECT chatrel.may_view_posts(2)',
	q{SELECT * FROM chatrel.find_user('u7')}, 'SELECT * FROM chatrel.export_user(1)')
{
	my $as_user = "SET chatrel.user_id = 1; $question";

	is($standby->safe_psql('postgres', $as_user), $node->safe_psql('postgres', $as_user), "on a standby: $question");
}
foreach my $change ('block(2)', 'unblock(10)', 'mute_user(2)', 'set_protected(false)', 'accept_follow(5)', 'rename_user(2, \'x\')', 'erase_user(2)')
{
	my ($code, $out, $err) = $standby->psql('postgres', "SET chatrel.user_id = 1; SELECT chatrel.$change");
	like($err, qr/read-only transaction|during recovery/, "but not $change");
}

$standby->stop;
$node->stop;
done_testing();
