# The recipes in test/clients/recipes: how client libraries call chatrel, with the traps that
# doc/clients.md tells of.  Each runs where its packages are to be had, as it is in one database and
# through a proxy (doc/scale-out.md), with home alone and with three shards besides.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Shards;
use Test::More;

my $recipes = "$FindBin::RealBin/../clients/recipes";
my $no_proxy = Shards::missing();

# What a proxy has not, by the names that recipes have for it
my %LACKS = (
	tables => 'it has none of the tables of chatrel',
	error_fields => 'errors have no table, column or constraint',
	rollback => 'a call is committed at once',
);
my %left_out;    # why -> checks

# Packages of npm's for the recipes for Node, which come while others are tried; or Debian's pg
my $node_folder = PostgreSQL::Test::Utils::tempdir();
copy($_, $node_folder) or die "$_: $!" foreach glob("$recipes/*.mjs $recipes/*.json");
my $npm = npm_install($node_folder);

# The library is not preloaded, as a worker in a database would keep it from being copied.
my $node = new_server('main', not_preloaded => 1, allows_streaming => 'logical');
my $place = 'host=' . $node->host . ' port=' . $node->port;
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN CREATEDB;
	CREATE ROLE chatrel_proxy LOGIN;
	GRANT SET ON PARAMETER chatrel.user_id TO app, chatrel_proxy;
});

# ---------- the databases that are copied ----------

sub make_database
{
	my ($name, $sql) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, $sql);
	return;
}

sub make_shard
{
	my ($name, $n) = @_;

	make_database($name, 'CREATE EXTENSION chatrel;' . ($n ? "SELECT chatrel.become_shard($n);" : '') . q{
		GRANT CREATE ON SCHEMA public TO app;
		GRANT USAGE ON SCHEMA chatrel TO app, chatrel_proxy;
		GRANT SELECT ON ALL TABLES IN SCHEMA chatrel TO app;
		GRANT REFERENCES ON chatrel.users, chatrel.groups, chatrel.groups_messages TO app;
		GRANT EXECUTE ON FUNCTION chatrel.link_users TO app;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO chatrel_proxy;
	});
	return;
}

# The users of home, once: no recipe makes any, nor a follow.
sub copy_users
{
	my ($home, $name) = @_;

	$node->safe_psql($home, "SELECT pg_create_logical_replication_slot('$name', 'pgoutput')");
	$node->safe_psql($name, "CREATE SUBSCRIPTION $name CONNECTION '$place dbname=$home' PUBLICATION users WITH (create_slot = false, slot_name = '$name')");
	$node->poll_query_until($name, q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'}) or die "$name has no users";
	$node->safe_psql($name, "DROP SUBSCRIPTION $name");
	return;
}

sub make_proxy
{
	my ($name, @shards) = @_;

	make_database($name, q{
		CREATE EXTENSION chatrel_proxy CASCADE;
		GRANT CREATE ON SCHEMA public TO app;
		GRANT USAGE ON SCHEMA chatrel TO app;
	} . set_shards(@shards) . q{CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy')});
	return;
}

sub set_shards
{
	my $list = join ', ', map { "'$place dbname=$_'" } @_;

	return "SELECT chatrel_proxy.set_shards(ARRAY[$list]);";
}

# Both are in group "ours", and ann alone is in "hers"; in "slow", bob has just sent a message, and
# may not send another.  Each group is made in the database that is named for it.
sub make_groups
{
	my (%database_of) = @_;

	foreach my $group ('ours', 'hers', 'slow')
	{
		$node->safe_psql($database_of{$group}, qq{SELECT chatrel.create_group('$group', true, as_user => 1)});
		$node->safe_psql($database_of{$group}, qq{SELECT chatrel.join_group(id, as_user => 2) FROM chatrel.my_groups(as_user => 1) WHERE name = '$group'})
			if $group ne 'hers';
	}
	$node->safe_psql($database_of{slow}, q{
		SELECT chatrel.update_group(id, slow_mode => '1 day', as_user => 1), chatrel.send_group_message(id, 'by bob', as_user => 2)
		FROM chatrel.my_groups(as_user => 1) WHERE name = 'slow'});
	return;
}

# What recipes connect to first, then the shards.  Home alone is a copy of the one database.
my @ONE = ('chat');
my @HOME_ALONE = ('proxy_of_home', 'chat');
my @THREE_SHARDS = ('proxy_of_shards', 'home', map { "shard$_" } 1 .. 3);

make_shard('chat', 0);
$node->safe_psql('chat', q{SELECT chatrel.create_user('ann'), chatrel.create_user('bob')});
make_groups(map { $_ => 'chat' } 'ours', 'hers', 'slow');
$node->safe_psql('postgres', 'ALTER DATABASE chat IS_TEMPLATE true');    # others than its owner may copy it
if (!$no_proxy)
{
	make_proxy(@HOME_ALONE);
	make_shard($THREE_SHARDS[ 1 + $_ ], $_) foreach 0 .. 3;
	$node->safe_psql('home', q{CREATE PUBLICATION users FOR TABLE chatrel.users; SELECT chatrel.create_user('ann'), chatrel.create_user('bob')});
	copy_users('home', "shard$_") foreach 1 .. 3;
	make_groups(ours => 'shard1', hers => 'shard2', slow => 'shard3');
	make_proxy(@THREE_SHARDS);
	# A name is taken on its shard only: groups that a recipe makes are to be where "ours" is.
	$node->safe_psql('proxy_of_shards', 'UPDATE chatrel_proxy.shards SET weight = (shard = 1)::integer');
}

# ---------- running a recipe ----------

# Copies of these databases, of which groups are in the last ones or the only one, with these settings
# there; their names
sub copies
{
	my ($suffix, $settings, @databases) = @_;
	my @copies = map { "${_}_$suffix" } @databases;

	$node->safe_psql('postgres', "CREATE DATABASE $copies[$_] TEMPLATE $databases[$_]") foreach 0 .. $#copies;
	foreach my $copy ($settings ? @copies[ (@copies > 1) .. $#copies ] : ())
	{
		$node->safe_psql('postgres', "ALTER DATABASE $copy SET $settings");
	}
	$node->safe_psql($copies[0], set_shards(@copies[ 1 .. $#copies ])) if @copies > 1;
	return @copies;
}

# What a recipe is told of the databases (recipe.py)
sub environment_of
{
	my (@copies) = @_;
	my $is_proxy = $node->safe_psql($copies[0], q{SELECT count(*) FROM pg_extension WHERE extname = 'chatrel_proxy'});
	my %ids = map { split /\|/ } split /\n/, $node->safe_psql($copies[0], q{
		SELECT username, id FROM chatrel.find_user('ann') UNION SELECT username, id FROM chatrel.find_user('bob')
		UNION SELECT name, id FROM chatrel.my_groups(as_user => 1)});

	$_ += 0 foreach values %ids;
	return (
		PGHOST => $node->host,
		PGPORT => $node->port,
		PGUSER => 'app',
		PGDATABASE => $copies[0],
		IDS => encode_json({ %ids, none => $ids{ours} + 99 }),
		LACKS => join(' ', $is_proxy ? sort keys %LACKS : ()),
		SHARDS => join(' ', map { "postgresql:///$_" } @copies[ $is_proxy .. $#copies ]),
	);
}

# Runs a recipe, whose lines are those of TAP without numbers; it has to come to its end.  What it
# has checked, and what it has left out.
sub run_recipe
{
	my ($name, $databases, @command) = @_;
	my $suffix = lc($name =~ s/\W+/_/gr) . '_' . @$databases;
	my @copies = copies($suffix, undef, @$databases);
	# Ids are strings in the documents of this one.
	my @more_copies = $name eq 'with_pg.mjs' ? copies("${suffix}_ids", q{chatrel.json_ids = 'string'}, @$databases) : ();
	my ($output, $errors) = ('', '');
	my (%checked, %without);

	my $ended = eval {
		local %ENV = (%ENV, environment_of(@copies));
		IPC::Run::run(\@command, '<', \undef, '>', \$output, '2>', \$errors, IPC::Run::timeout($Realtime::patience));
	};
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^(not )?ok - (.*)/)
		{
			ok(!$1, $2);
			$checked{$2} = 1;
		}
		elsif ($line =~ /^left out - (.*)/) { $without{$1} = 1 }
		else { note($line) }
	}
	ok($ended, 'it comes to its end') or diag($@ . $output . $errors);
	$node->safe_psql('postgres', "DROP DATABASE $_ WITH (FORCE)") foreach @copies, @more_copies;
	return (\%checked, \%without);
}

# A recipe, in one database and through proxies, where what it checks is the same but for what it
# says that it leaves out.
sub run_everywhere
{
	my ($name, @command) = @_;
	my $checked;

	subtest 'one database' => sub { ($checked) = run_recipe($name, \@ONE, @command) };
	foreach my $proxy ([ 'a proxy, home alone', @HOME_ALONE ], [ 'a proxy, home and three shards', @THREE_SHARDS ])
	{
		my ($where, @databases) = @$proxy;

		subtest $where => sub {
			plan skip_all => $no_proxy if $no_proxy;
			my ($there, $without) = run_recipe($name, \@databases, @command);
			my @missing = grep { !$there->{$_} } sort keys %$checked;

			note("left out: $_") foreach @missing;
			ok(!@missing || %$without, 'nothing is left out without a word') or diag(explain(\@missing));
			$left_out{ join('; ', map { $LACKS{$_} } sort keys %$without) } += @missing;
		};
	}
	return;
}

# A recipe for a language, with the statement that brings each thing that it needs
sub test_recipe
{
	my ($name, $language, $recipe, %statements) = @_;
	my $flag = $language eq 'ruby' ? '-e' : '-c';

	subtest $name => sub {
		plan skip_all => "$language is not installed" unless has_program($language);
		foreach my $needed (sort keys %statements)
		{
			plan skip_all => "$language has no $needed" unless IPC::Run::run([ $language, $flag, $statements{$needed} ], '>&', \my $ignored);
		}
		run_everywhere($name, $language, "$recipes/$recipe");
	};
	return;
}

sub test_python
{
	my ($recipe, @modules) = @_;

	test_recipe($recipe, 'python3', $recipe, map { $_ => "import $_" } @modules);
	return;
}

test_python('with_psycopg2.py', 'psycopg2');
test_python('with_psycopg.py', 'psycopg');
test_python('with_asyncpg.py', 'asyncpg');
test_python('with_sqlalchemy.py', 'sqlalchemy', 'psycopg2');
test_python('with_alembic.py', 'alembic', 'psycopg2');
test_python('with_django.py', 'django', 'psycopg2');

# Before keys of two columns, and since
foreach my $version ('~> 6.1', '>= 7.1')
{
	local $ENV{ACTIVERECORD} = $version;
	test_recipe("with_activerecord.rb $version", 'ruby', 'with_activerecord.rb', pg => "gem 'pg'",
		"activerecord $version" => "gem 'activerecord', '$version'");
}

my $why_not = $npm->();
symlink('/usr/share/nodejs', "$node_folder/node_modules") if $why_not;
foreach my $recipe (sort map { s{.*/}{}r } glob "$recipes/with_*.mjs")
{
	subtest $recipe => sub {
		my @packages = slurp_file("$recipes/$recipe") =~ /^import .*'([\w-]+)(?:\/[\w-]+)*';$/mg;

		plan skip_all => 'node is not installed' unless has_program('node');
		foreach my $package (@packages)
		{
			my $imported = IPC::Run::run([ 'node', '--input-type=module', '-e', "await import('$package')" ], '>&', \my $output, init => sub { chdir $node_folder });

			plan skip_all => "node has no $package" . ($why_not ? ", and $why_not" : '') unless $imported;
		}
		run_everywhere($recipe, 'node', "$node_folder/$recipe");
	};
}

foreach my $why (sort keys %left_out)
{
	SKIP: { skip "not through a proxy: $why", $left_out{$why} }
}

$node->stop;
done_testing();
