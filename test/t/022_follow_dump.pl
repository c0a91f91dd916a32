# The counters are made of the relationships: what is dumped and restored, or
# replayed by a standby, counts once.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init(allows_streaming => 1);
$node->start;

sub fill
{
	my ($database) = @_;

	$node->safe_psql($database, q{
		CREATE EXTENSION chatrel;
		INSERT INTO chatrel.users (username) SELECT 'u' || n FROM generate_series(1, 200) n;
		SELECT chatrel.follow_many(ARRAY(SELECT generate_series(2, 200)), as_user => 1);
		SELECT chatrel.follow(1, 'name_only', as_user => n) FROM generate_series(2, 150) n;
		SELECT chatrel.unfollow(1, as_user => n) FROM generate_series(2, 20) n;
		SELECT chatrel.follow(1, 'close friends', as_user => n) FROM generate_series(150, 152) n;
		SELECT chatrel.delete_user(200)});
}

# All that a user can see of the graph, as the functions give it.
sub graph
{
	my ($database) = @_;

	return $node->safe_psql($database, q{
		SELECT u.id, c.following, c.followers FROM chatrel.users u, chatrel.follow_counts(u.id, as_user => 1) c
			WHERE u.deleted_at IS NULL ORDER BY u.id;
		SELECT * FROM chatrel.relationships ORDER BY id});
}

fill('postgres');
my $truth = graph('postgres');
like($truth, qr/^1\|198\|132$/m, 'the graph is there');
like($truth, qr/\|1\|close friends\|/, 'with labels of the application\'s own');

my $dir = $node->basedir;
my @to = ('-h', $node->host, '-p', $node->port);

foreach my $format ('custom', 'plain')
{
	my $file = "$dir/dump.$format";

	$node->command_ok([ 'pg_dump', @to, '-F', $format, '-f', $file, 'postgres' ], "pg_dump ($format)");
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	$node->command_ok(
		$format eq 'custom'
		? [ 'pg_restore', @to, '-e', '-d', $format, $file ]
		: [ 'psql', @to, '-q', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $file, $format ],
		"restore ($format)");
	is(graph($format), $truth, "relationships and counts are the same ($format)");
	is($node->safe_psql($format, 'SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', "counters are right ($format)");
}

# A label is data: it is found in what was restored, and no type is missing.
is($node->safe_psql('plain', q{SELECT array_agg(id ORDER BY id) FROM chatrel.followers(1, 'close friends', as_user => 1)}),
	'{150,151,152}', 'lists by a label');

# The restored graph goes on: new positions are newer.
is($node->safe_psql('plain', q{
	SELECT chatrel.follow(30, as_user => 31);
	SELECT position > (SELECT max(position) FROM chatrel.following(1, as_user => 1)) FROM chatrel.following(31, row_limit => 1, as_user => 1)}),
	"t\nt", 'a new follow is the newest');

# With the triggers off there is nothing to count with: that is what repair is for.
$node->safe_psql('postgres', 'CREATE DATABASE quiet');
$node->command_ok([ 'pg_restore', @to, '-s', '-d', 'quiet', "$dir/dump.custom" ], 'the schema alone');
$node->command_ok([ 'pg_restore', @to, '-a', '--disable-triggers', '-d', 'quiet', "$dir/dump.custom" ], 'the data without triggers');
cmp_ok($node->safe_psql('quiet', 'SELECT count(*) FROM chatrel.verify_follow_counts(repair => true)'), '>', 100, 'repair');
is(graph('quiet'), $truth, 'and counts are the same');

# A standby answers the same questions.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', 'SELECT chatrel.follow(1, as_user => 2)');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
foreach my $question (
	'SELECT * FROM chatrel.follow_counts()', 'SELECT chatrel.is_following(2)',
	'SELECT * FROM chatrel.followers(row_limit => 3)', q{SELECT * FROM chatrel.followers(1, 'close friends')}, 'SELECT * FROM chatrel.following(2)',
	'SELECT count(*) FROM chatrel.friends()', 'SELECT * FROM chatrel.mutual_followers(3)',
	'SELECT * FROM chatrel.suggest_follows()', q{SELECT * FROM chatrel.relationship_to('{2,3}')},
	'SELECT chatrel.me()', 'SELECT * FROM chatrel.verify_follow_counts()')
{
	my $as_user = "SET chatrel.user_id = 1; $question";

	is($standby->safe_psql('postgres', $as_user), $node->safe_psql('postgres', $as_user), "on a standby: $question");
}
my ($code, $out, $err) = $standby->psql('postgres', 'SELECT chatrel.follow(3, as_user => 2)');
like($err, qr/read-only transaction|during recovery/, 'but follows nobody');

$standby->stop;
$node->stop;
done_testing();
