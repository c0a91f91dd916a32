# A real friendship graph, followed in both directions through the functions:
# counts, friends, mutual followers and suggestions are what plain SQL over the
# list of edges gives.
#
# CHATREL_DATA names a folder with facebook_combined.txt (SNAP ego-Facebook,
# "a b" on each line); without it a graph of the same kind is generated.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('graph');
$node->init;
$node->start;

sub one { return $node->safe_psql('postgres', shift); }

$node->safe_psql('postgres', 'CREATE EXTENSION chatrel; CREATE TABLE edges (a bigint, b bigint, PRIMARY KEY (a, b))');

my $file = ($ENV{CHATREL_DATA} // '') . '/facebook_combined.txt';
if (-r $file)
{
	# People are numbered from 0, users from 1.
	my $lines = slurp_file($file);

	$node->safe_psql('postgres', "CREATE TABLE lines (a bigint, b bigint);\nCOPY lines FROM stdin (DELIMITER ' ');\n$lines\\.\nINSERT INTO edges SELECT a + 1, b + 1 FROM lines");
}
else
{
	note('CHATREL_DATA has no facebook_combined.txt: the graph is generated');
	# Clusters of 40, and a few that everybody knows.
	$node->safe_psql('postgres', q{
		INSERT INTO edges
			SELECT a, b FROM generate_series(1, 2000) a, generate_series(a + 1, least(a + 40, 2000)) b
			WHERE (a * 7919 + b * 104729) % 3 = 0
		UNION
			SELECT hub, b FROM generate_series(1, 5) hub, generate_series(6, 2000) b WHERE (b + hub) % 2 = 0});
}
note(one('SELECT count(*) FROM edges') . ' friendships');

# Each direction is a follow; relationships and edges know nothing of each other.
$node->safe_psql('postgres', q{
	INSERT INTO chatrel.users (id, username) SELECT n, 'p' || n FROM generate_series(1, (SELECT max(b) FROM edges)) n;
	CREATE TABLE follows AS SELECT a AS follower, b AS followed FROM edges UNION ALL SELECT b, a FROM edges;
	CREATE INDEX ON follows (follower, followed);
	CREATE INDEX ON follows (followed);
	ANALYZE follows});
is(one(q{
	SELECT sum(chatrel.follow_many(followed, as_user => follower))
	FROM (SELECT follower, array_agg(followed) AS followed FROM follows GROUP BY follower ORDER BY follower) f}),
	one('SELECT count(*) FROM follows'), 'everybody follows the friends');
is(one('SELECT sum(chatrel.follow_many(ARRAY[followed], as_user => follower)) FROM (SELECT * FROM follows ORDER BY followed LIMIT 500) f'),
	'0', 'and does not follow them twice');

is(one(q{
	SELECT count(*) FROM chatrel.users u, chatrel.follow_counts(u.id, as_user => 1) c
	WHERE (c.following, c.followers) IS DISTINCT FROM
		((SELECT count(*) FROM follows WHERE follower = u.id), (SELECT count(*) FROM follows WHERE followed = u.id))}),
	'0', 'counts are those of the list');
is(one('SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', 'and of the table');

# Friendship is mutual: a third of the people keep following, and are not followed back.
$node->safe_psql('postgres', q{
	SELECT chatrel.unfollow(followed, as_user => follower) FROM follows WHERE follower % 3 = 0 AND followed % 5 = 0;
	DELETE FROM follows WHERE follower % 3 = 0 AND followed % 5 = 0});

# A sample: the people with most friends, and some of all the others.
$node->safe_psql('postgres', q{
	CREATE TABLE sample AS
		(SELECT followed AS id FROM follows GROUP BY followed ORDER BY count(*) DESC, followed LIMIT 15)
		UNION SELECT n FROM generate_series(3, (SELECT max(followed) FROM follows), 97) n});

# How many of the sample are given another answer than the list has.
sub differing
{
	my ($function, $truth) = @_;

	return one(qq{
		SELECT count(*) FROM sample s WHERE
			ARRAY(SELECT x::text FROM ($function) x) IS DISTINCT FROM ARRAY(SELECT x::text FROM ($truth) x)});
}

is(differing(
	'SELECT id FROM chatrel.following(s.id, row_limit => 100000, as_user => 1) ORDER BY id',
	'SELECT followed FROM follows WHERE follower = s.id ORDER BY followed'), '0', 'following');
is(differing(
	'SELECT id FROM chatrel.followers(s.id, row_limit => 100000, as_user => 1) ORDER BY id',
	'SELECT follower FROM follows WHERE followed = s.id ORDER BY follower'), '0', 'followers');
is(differing(
	'SELECT id FROM chatrel.friends(s.id, as_user => 1) ORDER BY id',
	'SELECT followed FROM follows WHERE follower = s.id INTERSECT SELECT follower FROM follows WHERE followed = s.id ORDER BY 1'),
	'0', 'friends');
is(differing(
	q{SELECT (f ->> 'id')::bigint FROM jsonb_array_elements(chatrel.me(as_user => s.id) -> 'friends') f ORDER BY 1},
	'SELECT followed FROM follows WHERE follower = s.id INTERSECT SELECT follower FROM follows WHERE followed = s.id ORDER BY 1'),
	'0', 'friends of me()');
is(differing(
	'SELECT o.id, m.id FROM sample o, chatrel.mutual_followers(o.id, as_user => s.id) m ORDER BY 1, 2',
	'SELECT o.id, a.follower FROM sample o JOIN follows a ON a.followed = o.id JOIN follows b ON b.follower = a.follower AND b.followed = s.id ORDER BY 1, 2'),
	'0', 'mutual followers');
is(differing(
	'SELECT r.user_id, r.following, r.followed_by FROM chatrel.relationship_to(ARRAY(SELECT id FROM sample ORDER BY id), as_user => s.id) r',
	q{SELECT id, EXISTS (SELECT FROM follows WHERE follower = s.id AND followed = id),
		EXISTS (SELECT FROM follows WHERE follower = id AND followed = s.id) FROM sample ORDER BY id}),
	'0', 'relationship_to');

# Suggestions look at the newest 200 of the newest 200.  Everybody has followed
# in the order of the ids, so the newest are the highest.
is(differing(
	'SELECT id, followed_by_count FROM chatrel.suggest_follows(100000, as_user => s.id)',
	q{SELECT h.followed, count(*)
		FROM (SELECT followed FROM follows WHERE follower = s.id ORDER BY followed DESC LIMIT 200) g,
		LATERAL (SELECT followed FROM follows WHERE follower = g.followed ORDER BY followed DESC LIMIT 200) h
		WHERE h.followed <> s.id
		AND NOT EXISTS (SELECT FROM follows d WHERE d.follower = s.id AND d.followed = h.followed)
		GROUP BY h.followed ORDER BY count(*) DESC, h.followed}), '0', 'suggestions');

$node->stop;
done_testing();
