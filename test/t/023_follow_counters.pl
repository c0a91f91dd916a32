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

sub one { return $node->safe_psql('postgres', shift); }

sub counters_are_right
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	return is(one('SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', "counters are right: $what");
}

# ---------- bulk ----------

# What the table's statistics say of a statement, without those of what came before.
sub work_of
{
	my ($sql) = @_;

	one(q{SELECT pg_stat_reset_single_table_counters(t::regclass) FROM unnest(ARRAY['chatrel.relationships', 'chatrel.follow_counters']) t});
	one("$sql; SELECT pg_stat_force_next_flush()");
	return split /\|/, one(q{
		SELECT c.n_tup_ins + c.n_tup_upd + c.n_tup_del, r.seq_tup_read FROM pg_stat_user_tables c, pg_stat_user_tables r
		WHERE c.relid = 'chatrel.follow_counters'::regclass AND r.relid = 'chatrel.relationships'::regclass});
}

one(qq{
	CREATE EXTENSION chatrel;
	CREATE TABLE accounts (id bigint PRIMARY KEY, username text);
	INSERT INTO accounts SELECT n, 'u' || n FROM generate_series(0, $followers) n});
one(q{SELECT chatrel.link_users('accounts')});

foreach my $deletion (
	[ 'accounts deleted in one statement', 'DELETE FROM accounts WHERE id > 0' ],
	[ 'accounts deleted one by one', 'DO $$ BEGIN FOR n IN 1 .. ' . $followers . ' LOOP DELETE FROM accounts WHERE id = n; END LOOP; END $$' ],
	[ 'users deleted for good', 'DELETE FROM chatrel.users WHERE id > 0' ])
{
	my ($what, $sql) = @$deletion;

	one(qq{
		INSERT INTO accounts SELECT n, 'u' || n FROM generate_series(1, $followers) n ON CONFLICT DO NOTHING;
		INSERT INTO chatrel.relationships (follower_id, followed_id) SELECT id, 0 FROM accounts WHERE id > 0});
	one('VACUUM ANALYZE');
	is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), $followers, "before $what");

	my ($written, $read) = work_of($sql);
	is(one('SELECT count(*) FROM chatrel.relationships'), '0', "$what: nobody follows any more");
	cmp_ok($written, '<=', 2 * $followers + 2, "$what: counters are written once for each user");
	cmp_ok($read, '<=', $followers, "$what: relationships are found by their indexes");
	is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), '0', "$what: none is counted");
	counters_are_right($what);
	one("DELETE FROM accounts WHERE id > 0");
}
one('DROP TABLE accounts');

# ---------- prepared transactions ----------

one(q{
	UPDATE chatrel.users SET deleted_at = NULL WHERE id < 100;
	INSERT INTO chatrel.users (id, username) SELECT n, 'v' || n FROM generate_series(1, 99) n ON CONFLICT DO NOTHING;
	SELECT count(chatrel.follow(0, as_user => n)) FROM generate_series(1, 99) n});

one(q{BEGIN; SELECT * FROM chatrel.verify_follow_counts(); PREPARE TRANSACTION 'verified'});
is(one('SELECT count(*) FROM pg_prepared_xacts'), '1', 'to verify the counters keeps no transaction from being prepared');
one(q{COMMIT PREPARED 'verified'});

one(q{BEGIN; SELECT chatrel.unfollow(0, as_user => 1); SELECT * FROM chatrel.verify_follow_counts(); PREPARE TRANSACTION 'unfollowed'});
is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), '99', 'what is prepared does not count yet');
# Another session writes a row of its own meanwhile.
one('SELECT chatrel.unfollow(0, as_user => 2)');
is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), '98', 'and nobody waits for it');
counters_are_right('while a transaction is prepared');
$node->stop('immediate');
$node->start;
one(q{COMMIT PREPARED 'unfollowed'});
is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), '97', 'after a crash it is committed');
counters_are_right('with a prepared transaction');
one(q{BEGIN; SELECT chatrel.unfollow(0, as_user => 3); PREPARE TRANSACTION 'no'});
one(q{ROLLBACK PREPARED 'no'});
is(one('SELECT followers FROM chatrel.follow_counts(0, as_user => 0)'), '97', 'or rolled back');
counters_are_right('without it');

# Rows of the session's own: another backend may get its number.
foreach my $refused (
	[ 'a repair', 'BEGIN', 'SELECT * FROM chatrel.verify_follow_counts(repair => true)' ],
	[ 'a snapshot of its own', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT chatrel.unfollow(0, as_user => 4)' ],
	[ 'many users', 'BEGIN', 'SELECT chatrel.unfollow(0, as_user => n) FROM generate_series(4, 40) n' ])
{
	my ($what, $begin, $sql) = @$refused;
	my ($code, $out, $err) = $node->psql('postgres', "$begin; $sql; PREPARE TRANSACTION 'refused'");

	like($err, qr/cannot PREPARE a transaction that has changed follow counters of its session/, "not to be prepared: $what");
}
counters_are_right('after that');

$node->stop;
done_testing();
