# A linked table, with a condition and with columns that were renamed, in dumps: as a whole, of the
# structure and the data apart, of one schema only; and in logical replication.  Whatever goes past
# the triggers, verify_users() finds and puts right.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $node = new_server('source', allows_streaming => 'logical');
my $dumps = PostgreSQL::Test::Utils::tempdir;

# Data is dumped in the order of schemas: one comes before chatrel, the other after.
my @schemas = qw(app public);

sub fill
{
	my ($schema) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $schema");
	$node->safe_psql($schema, qq{
		CREATE EXTENSION chatrel;
		CREATE SCHEMA IF NOT EXISTS $schema;
		CREATE TABLE $schema.accounts (gone int, id serial PRIMARY KEY, login text UNIQUE, banned boolean NOT NULL DEFAULT false);
		ALTER TABLE $schema.accounts DROP gone;
		INSERT INTO $schema.accounts (login) VALUES ('ann'), ('bob'), ('cyd'), ('dan');
		SELECT chatrel.link_users('$schema.accounts', 'id', 'login', 'NOT banned');
		ALTER TABLE $schema.accounts RENAME login TO "nick name";
		ALTER TABLE $schema.accounts RENAME banned TO "off";
		SELECT chatrel.create_group('g', true, as_user => 1);
		SELECT count(chatrel.join_group(1, as_user => u)) FROM generate_series(2, 4) u;
		SELECT count(chatrel.send_group_message(1, 'from ' || u, as_user => u)) FROM generate_series(1, 4) u;
		SELECT chatrel.follow(2, as_user => 1), chatrel.follow(4, as_user => 1), chatrel.follow(1, as_user => 4);
		UPDATE chatrel.users SET role_name = 'somebody', created_at = '2020-01-01' WHERE id = 1;
		DELETE FROM $schema.accounts WHERE id = 2;
		UPDATE $schema.accounts SET "off" = true WHERE id = 3;
		INSERT INTO $schema.accounts VALUES (12, 'bob', false);
	});
	return;
}

my @tables = qw(users groups groups_members groups_messages relationships);

sub contents
{
	my ($database) = @_;

	return join "\n", map { "$_: " . $node->safe_psql($database, qq{SELECT * FROM chatrel.$_ t ORDER BY t::text COLLATE "C"}) } @tables;
}

# The triggers work, and the condition: without leaving anything behind.
sub check_link
{
	my ($database, $schema, $name) = @_;

	is($node->safe_psql($database, 'SELECT * FROM chatrel.verify_users()'), '', "$name: nothing has drifted");
	is($node->safe_psql($database, 'SELECT * FROM chatrel.verify_follow_counts()'), '', "$name: the counters are right");
	is($node->safe_psql($database, qq{
		BEGIN;
		INSERT INTO $schema.accounts (id, "nick name") VALUES (20, 'eve');
		UPDATE $schema.accounts SET "off" = id = 4;
		UPDATE $schema.accounts SET "nick name" = 'anne' WHERE id = 1;
		SELECT string_agg(id || ' ' || username, ', ' ORDER BY id) FROM chatrel.users WHERE deleted_at IS NULL;
		ROLLBACK;
	}), '1 anne, 3 cyd, 12 bob, 20 eve', "$name: the link works");
	return;
}

sub load
{
	my ($database, @files) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	foreach my $file (@files)
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr($database), '-f', "$dumps/$file" ],
			"$database: $file is loaded");
	}
	return;
}

sub dump_as
{
	my ($database, $file, @options) = @_;

	$node->command_ok([ 'pg_dump', @options, '-f', "$dumps/$file", '-d', $node->connstr($database) ], "$database: pg_dump @options");
	return;
}

fill($_) foreach @schemas;

# ---------- dumps ----------

foreach my $schema (@schemas)
{
	my $before = contents($schema);

	dump_as($schema, "$schema.all");
	dump_as($schema, "$schema.structure", '--schema-only');
	dump_as($schema, "$schema.data", '--data-only');
	dump_as($schema, "$schema.inserts", '--data-only', '--inserts');
	dump_as($schema, "$schema.disabled", '--data-only', '--disable-triggers');

	load("${schema}_whole", "$schema.all");
	is(contents("${schema}_whole"), $before, "$schema: a whole dump brings all of it");
	check_link("${schema}_whole", $schema, "$schema, whole");

	foreach my $data (qw(data inserts))
	{
		load("${schema}_$data", "$schema.structure", "$schema.$data");
		is(contents("${schema}_$data"), $before, "$schema: structure and $data apart bring all of it");
		check_link("${schema}_$data", $schema, "$schema, $data");
	}

	load("${schema}_disabled", "$schema.structure", "$schema.disabled");
	is(contents("${schema}_disabled"), $before, "$schema: so do they without triggers");
	is($node->safe_psql("${schema}_disabled", 'SELECT * FROM chatrel.verify_users()'), '', "$schema: which are enabled again");
}

# The application's schema alone is put back as it was, while chatrel went on
dump_as('app', 'app.only', '--schema=app', '--clean');
$node->safe_psql('app', q{
	INSERT INTO app.accounts VALUES (13, 'fay', false);
	UPDATE app.accounts SET "nick name" = 'anne' WHERE id = 1;
	DELETE FROM app.accounts WHERE id = 4;
});
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('app'), '-f', "$dumps/app.only" ],
	'one schema is put back');
my $drift = "1|renamed|anne|ann|\n4|missing||dan|\n13|surplus|fay||";
is($node->safe_psql('app', 'SELECT * FROM chatrel.verify_users()'), $drift, 'what has drifted is found');
is($node->safe_psql('app', 'SELECT * FROM chatrel.verify_users(true)'), $drift, 'and put right');
check_link('app', 'app', 'put back');

# ---------- logical replication into the linked table ----------

my $subscriber = new_server('subscriber', allows_streaming => 'logical');

$node->safe_psql('postgres', q{
	CREATE TABLE accounts (id int PRIMARY KEY, username text);
	INSERT INTO accounts VALUES (1, 'ann'), (2, 'bob');
	CREATE PUBLICATION people FOR TABLE accounts;
});
$subscriber->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	CREATE TABLE accounts (id int PRIMARY KEY, username text);
	SELECT chatrel.link_users('accounts');
});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION people CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION people");
$subscriber->wait_for_subscription_sync($node, 'people');
is($subscriber->safe_psql('postgres', 'SELECT user_id, problem FROM chatrel.verify_users(true)'), "1|missing\n2|missing",
	'what is replicated goes past the triggers, and is found');
$subscriber->safe_psql('postgres', q{
	SELECT format('ALTER TABLE accounts ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'accounts'::regclass AND NOT tgisinternal \gexec
	SELECT chatrel.follow(2, as_user => 1), chatrel.follow(1, as_user => 2);
});
$node->safe_psql('postgres', q{
	INSERT INTO accounts VALUES (3, 'cyd');
	UPDATE accounts SET username = 'anne' WHERE id = 1;
	DELETE FROM accounts WHERE id = 2;
});
$node->wait_for_catchup('people');
is($subscriber->safe_psql('postgres', q{SELECT string_agg(id || ' ' || username, ', ' ORDER BY id) FROM chatrel.users WHERE deleted_at IS NULL}),
	'1 anne, 3 cyd', 'triggers that fire always mirror what is replicated');
is($subscriber->safe_psql('postgres', 'SELECT * FROM chatrel.verify_users()'), '', 'and nothing drifts');
is($subscriber->safe_psql('postgres', 'SELECT chatrel.follow_counts(as_user => 1)'), '(0,0)', 'the follows of who went are counted');
is($subscriber->safe_psql('postgres', 'SELECT * FROM chatrel.verify_follow_counts()'), '', 'right');

$subscriber->stop;
$node->stop;
done_testing();
