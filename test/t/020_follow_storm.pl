# Many clients follow, unfollow, hold each other's rows, roll back and delete
# users; then the counters are what counting gives, for everybody.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('storm');
$node->init;
$node->append_conf('postgresql.conf', qq{
max_connections = 60
deadlock_timeout = 100ms
autovacuum_naptime = 1s
});
$node->start;

# Whose user another client has deleted is told so, and goes on; every other
# error ends its client, and fails the test.
$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	INSERT INTO chatrel.users (username) SELECT 'u' || n FROM generate_series(1, 300) n;

	CREATE FUNCTION follow(follower bigint, followed bigint, type text DEFAULT 'posts') RETURNS boolean
	LANGUAGE plpgsql AS $$
	BEGIN
		RETURN chatrel.follow(followed, type, as_user => follower);
	EXCEPTION WHEN no_data_found OR invalid_parameter_value THEN
		RETURN NULL;
	END $$;
	CREATE FUNCTION unfollow(follower bigint, followed bigint) RETURNS boolean
	LANGUAGE plpgsql AS $$
	BEGIN
		RETURN chatrel.unfollow(followed, as_user => follower);
	EXCEPTION WHEN no_data_found THEN
		RETURN NULL;
	END $$;
	CREATE FUNCTION follow_range(follower bigint, first bigint) RETURNS bigint
	LANGUAGE plpgsql AS $$
	BEGIN
		RETURN chatrel.follow_many(ARRAY(SELECT id FROM chatrel.users
			WHERE id BETWEEN first AND first + 30 AND id <> follower AND deleted_at IS NULL), as_user => follower);
	EXCEPTION WHEN no_data_found THEN
		RETURN NULL;
	END $$;
	CREATE FUNCTION replace_user(victim bigint) RETURNS void
	LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM chatrel.delete_user(victim);
	EXCEPTION WHEN no_data_found THEN
		UPDATE chatrel.users SET deleted_at = NULL WHERE id = victim;
	END $$;
});

# What a client does, and how often.  User 1 is the celebrity.
my $random = q{
\set a random(1, 300)
\set b random(1, 300)
\set c random(2, 300)
};
my @scripts = (
	[ 'follow', 10, 'SELECT follow(:a, :b);' ],
	[ 'celebrity', 10, 'SELECT follow(:c, 1);' ],
	[ 'fan', 6, 'SELECT unfollow(:c, 1);' ],
	[ 'unfollow', 4, 'SELECT unfollow(follower_id, followed_id) FROM chatrel.relationships WHERE follower_id = :a LIMIT 1;' ],
	[ 'both_ways', 4, 'BEGIN; SELECT follow(:b, :c); SELECT follow(:c, :b); COMMIT;' ],
	[ 'savepoints', 4, q{BEGIN;
SELECT follow(:c, 1);
SAVEPOINT s;
SELECT unfollow(:c, 1);
SELECT follow(:c, :a);
ROLLBACK TO s;
SELECT follow(:c, 1, 'name_only');
COMMIT;} ],
	[ 'rollback', 4, 'BEGIN; SELECT follow(:c, 1); SELECT unfollow(:c, :b); ROLLBACK;' ],
	[ 'many', 2, 'SELECT follow_range(:c, :a);' ],
	[ 'snapshot', 2, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT follow(:c, 1); COMMIT;' ],
	[ 'by_hand', 2, q{DELETE FROM chatrel.relationships WHERE (follower_id, followed_id) =
	(SELECT follower_id, followed_id FROM chatrel.relationships WHERE followed_id = :b LIMIT 1);} ],
	[ 'replace_user', 3, 'SELECT replace_user(:c);' ]);

my @files;
foreach my $script (@scripts)
{
	my ($name, $weight, $sql) = @$script;
	my $file = $node->basedir . "/$name.sql";

	append_to_file($file, $random . join("\n", split(/(?<=;) /, $sql)) . "\n");
	push @files, '-f', "$file\@$weight";
}

# A snapshot of its own may fail where users are replaced, and is tried again.
$node->command_ok(
	[   'pgbench', '-n', '-h', $node->host, '-p', $node->port,
		'-c', 16, '-j', 2, '-T', 10, '-M', 'prepared', '--max-tries', 50,
		@files, 'postgres' ],
	'16 clients for 10 seconds, none of which fails');

sub one { return $node->safe_psql('postgres', shift); }

cmp_ok(one('SELECT count(*) FROM chatrel.relationships'), '>', 500, 'there are relationships');
cmp_ok(one('SELECT count(*) FROM chatrel.follow_counters WHERE user_id = 1'), '>', 1,
	'counters of the celebrity were needed by several at a time');
is(one('SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', 'all counters are right');

# The same, through the function that users call and by counting.
is(one(q{
	SELECT count(*) FROM chatrel.users u, chatrel.follow_counts(u.id, as_user => 1) c
	WHERE u.deleted_at IS NULL
	AND (c.following, c.followers) <> (
		(SELECT count(*) FROM chatrel.relationships WHERE follower_id = u.id),
		(SELECT count(*) FROM chatrel.relationships WHERE followed_id = u.id))}),
	'0', 'follow_counts equals count(*) for everybody');
is(one(q{
	SELECT count(*) FROM chatrel.relationships r JOIN chatrel.users u ON u.id IN (r.follower_id, r.followed_id)
	WHERE u.deleted_at IS NOT NULL}), '0', 'no relationship of a deleted user is left');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'there was no deadlock');

# A crash takes nothing along but what had not committed.
$node->stop('immediate');
$node->start;
is(one('SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', 'all counters are right after a crash');

$node->stop;
done_testing();
