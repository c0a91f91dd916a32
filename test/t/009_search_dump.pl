# What becomes of the index for searching, and of its language, when a database is
# dumped and restored in several ways, upgraded with pg_upgrade, or followed by a
# standby: what is found is always what a search without an index would find.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my @searches = ('bear', 'bears run', '"brown bear"', 'run or fuchs', 'hills -bear', 'the', 'new');

# What each search finds, by the function and by the texts alone
sub found
{
	my ($node, $database, $by) = @_;

	return join "\n", map { "$_: " . $node->safe_psql($database, $by->($_)) } @searches;
}

sub by_index
{
	my ($query) = @_;
	return qq{SELECT string_agg(message, ' | ') FROM chatrel.search_messages('$query', as_user => 1)};
}

sub by_text
{
	my ($query, $language) = @_;
	return qq{SELECT string_agg(message, ' | ' ORDER BY id DESC) FROM chatrel.groups_messages
		WHERE to_tsvector('$language', message) @@ websearch_to_tsquery('$language', '$query')};
}

# What there is, and where the index is what it was made to be
my $definition = q{
	SELECT pg_get_indexdef(indexrelid), indisvalid, attstattarget, obj_description(indexrelid, 'pg_class'),
		(SELECT string_agg(e.extname || ' ' || d.deptype::text, ' ' ORDER BY e.extname) FROM pg_depend d JOIN pg_extension e ON e.oid = refobjid
			WHERE d.classid = 'pg_class'::regclass AND d.objid = indexrelid AND refclassid = 'pg_extension'::regclass)
	FROM pg_index JOIN pg_attribute ON attrelid = indexrelid WHERE indexrelid = 'chatrel.groups_messages_search_idx'::regclass;
	SELECT language FROM chatrel.search_settings;
	SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'chatrel.search_settings'::regclass;
};

sub check
{
	my ($node, $database, $language, $name) = @_;

	is(found($node, $database, \&by_index), found($node, $database, sub { by_text($_[0], $language) }),
		"$name: what is found is what there is");
	return;
}

# After a message more
sub check_new
{
	my ($node, $database, $language, $name) = @_;

	$node->safe_psql($database, q{SELECT chatrel.send_group_message(1, 'new bears are running', as_user => 1)});
	check($node, $database, $language, "$name, after a send");
	return;
}

my $source = PostgreSQL::Test::Cluster->new('source');
$source->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
$source->start;

my %language = (plain => 'simple', english => 'english', own => 'chat.german_chat');
foreach my $database (sort keys %language)
{
	$source->safe_psql('postgres', "CREATE DATABASE $database");
	$source->safe_psql($database, q{
		CREATE EXTENSION chatrel_search CASCADE;
		CREATE SCHEMA chat;
		CREATE TEXT SEARCH CONFIGURATION chat.german_chat (COPY = german);
		SELECT chatrel.create_user('ann');
		SELECT chatrel.create_group('g' || g, true, as_user => 1) FROM generate_series(1, 3) g;
		SELECT chatrel.send_group_message(1 + n % 3, (ARRAY['a brown bear', 'bears run', 'running', 'die Füchse über uns', 'über the hills', 'ein Fuchs'])[1 + n % 6], as_user => 1)
			FROM generate_series(1, 60) n;
		SELECT chatrel.edit_message(group_id, id, 'edited bear', as_user => 1), chatrel.delete_message(group_id, id + 3, as_user => 1) FROM chatrel.groups_messages WHERE id % 10 = 0 AND group_id = 1;
	});
	$source->safe_psql($database, "SELECT chatrel.set_search_language('$language{$database}')") if $database ne 'plain';
	check($source, $database, $language{$database}, $database);
}
my %before = map { $_ => found($source, $_, \&by_index) } keys %language;
isnt($before{english}, $before{plain}, 'the language makes a difference');
isnt($before{own}, $before{english}, 'and so does another');

# ---------- dumps ----------

my $dumps = PostgreSQL::Test::Utils::tempdir;
foreach my $database (sort keys %language)
{
	$source->command_ok([ 'pg_dump', '-Fd', '-f', "$dumps/$database.folder", '-d', $source->connstr($database) ], "$database: pg_dump -Fd");
	$source->command_ok([ 'pg_dump', '-f', "$dumps/$database.sql", '-d', $source->connstr($database) ], "$database: pg_dump");
	$source->command_ok([ 'pg_dump', '-s', '-f', "$dumps/$database.schema", '-d', $source->connstr($database) ], "$database: pg_dump -s");
	$source->command_ok([ 'pg_dump', '-a', '-f', "$dumps/$database.data", '-d', $source->connstr($database) ], "$database: pg_dump -a");
	$source->command_ok([ 'pg_dump', '-a', '--disable-triggers', '-f', "$dumps/$database.alone", '-d', $source->connstr($database) ], "$database: pg_dump -a --disable-triggers");
}
unlike(slurp_file("$dumps/english.sql"), qr/search_idx/, 'the index is the extension\'s to make');
like(slurp_file("$dumps/english.sql"), qr/pg_catalog\.english/, 'the language is dumped');

my $target = PostgreSQL::Test::Cluster->new('target');
$target->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$target->start;

# Restores into a new database by a command that is given its connection string.
sub restore
{
	my ($database, $way, @command) = @_;
	my $copy = "${database}_$way";

	$target->safe_psql('postgres', "CREATE DATABASE $copy");
	$target->command_ok([ map { $_ eq 'COPY' ? $target->connstr($copy) : $_ } @command ], "$copy: restored");
	return $copy;
}

my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', 'COPY');
foreach my $database (sort keys %language)
{
	my @copies = (
		restore($database, 'folder', 'pg_restore', '--exit-on-error', '-d', 'COPY', "$dumps/$database.folder"),
		restore($database, 'at_once', @psql, '-1', '-f', "$dumps/$database.sql"),
		restore($database, 'data', @psql, '-f', "$dumps/$database.schema", '-f', "$dumps/$database.data"),
		restore($database, 'alone', @psql, '-f', "$dumps/$database.schema", '-f', "$dumps/$database.alone"));

	# The trigger that rebuilds the index was off: doc/search.md says what to do.
	$target->safe_psql($copies[-1], 'REINDEX INDEX chatrel.groups_messages_search_idx; ALTER TABLE chatrel.search_settings ENABLE ALWAYS TRIGGER rebuild_search');
	foreach my $copy (@copies)
	{
		is(found($target, $copy, \&by_index), $before{$database}, "$copy: the same is found");
		is($target->safe_psql($copy, $definition), $source->safe_psql($database, $definition), "$copy: by the same index");
		check_new($target, $copy, $language{$database}, $copy);
	}
}
my (undef, undef, $refused) = $target->psql('own_folder', 'DROP TEXT SEARCH CONFIGURATION chat.german_chat');
like($refused, qr/index chatrel.groups_messages_search_idx depends on text search configuration/, 'the restored index keeps its language');
$target->safe_psql('english_folder', 'DROP EXTENSION chatrel_search');
is($target->safe_psql('english_folder', q{SELECT count(*) FROM pg_class WHERE relname LIKE '%search%' AND relnamespace = 'chatrel'::regnamespace}), '0',
	'the extension goes, with all that is its');
$target->stop;

# ---------- a standby ----------

$source->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($source, 'base', has_streaming => 1);
$standby->start;

my $reader = connect_to($standby, 'plain');
value($reader, by_index('bear'));
$source->safe_psql('plain', q{SELECT chatrel.set_search_language('english'); SELECT chatrel.send_group_message(1, 'more bears', as_user => 1)});
$source->wait_for_catchup($standby);
check($standby, 'plain', 'english', 'standby');
is(value($reader, by_index('bear')), $source->safe_psql('plain', by_index('bear')), 'standby: a session that is there sees the new language');
$reader->disconnect;
my (undef, undef, $read_only) = $standby->psql('plain', q{SELECT chatrel.set_search_language('simple')});
like($read_only, qr/cannot execute chatrel.set_search_language\(\) in a read-only transaction/, 'standby: nothing is changed there');
$standby->stop;

# ---------- pg_upgrade ----------

my %definition_before = map { $_ => $source->safe_psql($_, $definition) } keys %language;
%before = map { $_ => found($source, $_, \&by_index) } keys %language;
$source->stop;
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
my $bin = $source->config_data('--bindir');
my $folder = PostgreSQL::Test::Utils::tempdir;
chdir $folder or die "$folder: $!";
command_ok([ 'pg_upgrade', '--no-sync', '-d', $source->data_dir, '-D', $upgraded->data_dir, '-b', $bin, '-B', $bin,
		'-s', $upgraded->host, '-p', $source->port, '-P', $upgraded->port ], 'pg_upgrade');
$upgraded->start;
$language{plain} = 'english';
foreach my $database (sort keys %language)
{
	is(found($upgraded, $database, \&by_index), $before{$database}, "$database: pg_upgrade: the same is found");
	is($upgraded->safe_psql($database, $definition), $definition_before{$database}, "$database: pg_upgrade: by the same index");
	check_new($upgraded, $database, $language{$database}, "$database: pg_upgrade");
	$upgraded->safe_psql($database, q{SELECT chatrel.set_search_language('simple')});
	check($upgraded, $database, 'simple', "$database: pg_upgrade, another language");
}
$upgraded->safe_psql('own', 'DROP EXTENSION chatrel_search');
is($upgraded->safe_psql('own', q{SELECT count(*) FROM pg_class WHERE relname LIKE '%search%' AND relnamespace = 'chatrel'::regnamespace}), '0',
	'pg_upgrade: the extension goes, with all that is its');
$upgraded->stop;

done_testing();
