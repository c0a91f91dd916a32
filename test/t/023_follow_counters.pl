# The counters are written once, when a transaction commits or is prepared:
# however many it deletes who follow one user, it does not go through the
# versions of one row again and again.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('counters');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 4\nautovacuum = off\n");
$node->start;
my $followers = 3000;
my $star = 100000;             # whom all follow

sub one { return $node->safe_psql('postgres', shift); }

sub followers { return one("SELECT followers FROM chatrel.follow_counts($star, as_user => $star)"); }

sub counters_are_right
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(one('SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', "counters are right: $what");
}

# ---------- bulk ----------

# What the tables' statistics say of a statement, without those of what came before.
sub work_of
{
	my ($sql) = @_;

	one('SELECT pg_stat_reset()');
	one("$sql; SELECT pg_stat_force_next_flush()");
	return split /\|/, one(q{
		SELECT c.n_tup_ins + c.n_tup_upd + c.n_tup_del, r.seq_tup_read, i.idx_scan
		FROM pg_stat_user_tables c, pg_stat_user_tables r, pg_stat_user_indexes i
		WHERE c.relid = 'chatrel.follow_counters'::regclass AND r.relid = 'chatrel.relationships'::regclass
		AND i.indexrelid = 'chatrel.relationships_followed_id_idx'::regclass});
}

one(qq{
	CREATE EXTENSION chatrel;
	CREATE TABLE accounts (id bigint PRIMARY KEY, username text);
	INSERT INTO accounts VALUES ($star, 'star')});
one(q{SELECT chatrel.link_users('accounts')});

foreach my $deletion (
	[ 'accounts deleted in one statement', "DELETE FROM accounts WHERE id < $star" ],
	[ 'accounts deleted one by one', 'DO $$ BEGIN FOR n IN 1 .. ' . $followers . ' LOOP DELETE FROM accounts WHERE id = n; END LOOP; END $$' ],
	[ 'users deleted for good', "DELETE FROM chatrel.users WHERE id < $star" ])
{
	my ($what, $sql) = @$deletion;

	one(qq{
		INSERT INTO accounts SELECT n, 'u' || n FROM generate_series(1, $followers) n ON CONFLICT DO NOTHING;
		INSERT INTO chatrel.relationships (follower_id, followed_id) SELECT id, $star FROM accounts WHERE id < $star});
	one('VACUUM ANALYZE');
	is(followers(), $followers, "before $what");

	my ($written, $read, $looked_up) = work_of($sql);
	is(one('SELECT count(*) FROM chatrel.relationships'), '0', "$what: nobody follows any more");
	cmp_ok($written, '<=', 2 * $followers + 2, "$what: counters are written once for each user");
	cmp_ok($read, '<=', $followers, "$what: relationships are not read through");
	# The key has followed_id too, and would be read through.
	cmp_ok($looked_up, '>=', $followers, "$what: those with followers are found by their index");
	is(followers(), '0', "$what: none is counted");
	counters_are_right($what);
	one("DELETE FROM accounts WHERE id < $star");
}
one('DROP TABLE accounts');

# More than is kept in memory is written before the end, and a savepoint takes that back too.
one(q{
	INSERT INTO chatrel.users (id, username) SELECT n, 'w' || n FROM generate_series(1001, 1400) n;
	BEGIN;
	INSERT INTO chatrel.relationships (follower_id, followed_id)
		SELECT a, b FROM generate_series(1001, 1400) a, generate_series(1001, 1400) b WHERE a <> b;
	SAVEPOINT s;
	DELETE FROM chatrel.relationships;
	INSERT INTO chatrel.relationships (follower_id, followed_id) VALUES (1001, 1002);
	ROLLBACK TO s;
	DELETE FROM chatrel.relationships WHERE follower_id = 1001;
	COMMIT});
is(one('SELECT * FROM chatrel.follow_counts(1002, as_user => 1002)'), '399|398', 'a bulk load with a savepoint');
counters_are_right('a bulk load with a savepoint');

# ---------- prepared transactions ----------

# Not with the functions, as what has events is not to be prepared.

one(qq{
	INSERT INTO chatrel.users (id, username) SELECT n, 'v' || n FROM generate_series(1, 99) n;
	SELECT count(chatrel.follow($star, as_user => n)) FROM generate_series(1, 99) n});

one(q{BEGIN; SELECT * FROM chatrel.verify_follow_counts(); PREPARE TRANSACTION 'verified'});
is(one('SELECT count(*) FROM pg_prepared_xacts'), '1', 'to verify the counters keeps no transaction from being prepared');
one(q{COMMIT PREPARED 'verified'});

one(qq{BEGIN; DELETE FROM chatrel.relationships WHERE follower_id = 1; SELECT * FROM chatrel.verify_follow_counts(); PREPARE TRANSACTION 'unfollowed'});
is(followers(), '99', 'what is prepared does not count yet');
# Another session writes a row of its own meanwhile.
one("SELECT chatrel.unfollow($star, as_user => 2)");
is(followers(), '98', 'and nobody waits for it');
counters_are_right('while a transaction is prepared');
$node->stop('immediate');
$node->start;
one(q{COMMIT PREPARED 'unfollowed'});
is(followers(), '97', 'after a crash it is committed');
counters_are_right('with a prepared transaction');
one(qq{BEGIN; DELETE FROM chatrel.relationships WHERE follower_id = 3; PREPARE TRANSACTION 'no'});
one(q{ROLLBACK PREPARED 'no'});
is(followers(), '97', 'or rolled back');
counters_are_right('without it');

# Rows of the session's own: another backend may get its number.
foreach my $refused (
	[ 'a repair', 'BEGIN', 'SELECT * FROM chatrel.verify_follow_counts(repair => true)' ],
	[ 'a snapshot of its own', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'DELETE FROM chatrel.relationships WHERE follower_id = 4' ],
	[ 'many users', 'BEGIN', 'DELETE FROM chatrel.relationships WHERE follower_id BETWEEN 4 AND 40' ])
{
	my ($what, $begin, $sql) = @$refused;
	my ($code, $out, $err) = $node->psql('postgres', "$begin; $sql; PREPARE TRANSACTION 'refused'");

	like($err, qr/cannot PREPARE a transaction that has changed follow counters of its session/, "not to be prepared: $what");
}
counters_are_right('after that');

$node->stop;
done_testing();
