# The recipes in test/clients/recipes: how client libraries call chatrel, with the traps that
# doc/clients.md tells of.  Each runs where its packages are to be had.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $recipes = "$FindBin::RealBin/../clients/recipes";

# Ann is user 1 and bob is user 2; both are in group 1, and ann alone is in group 2.  Each recipe
# gets a copy of this database, and connects as a backend does.  The library is not preloaded, as a
# worker in a database would keep it from being copied.
my $node = new_server('main', not_preloaded => 1);
$node->safe_psql('postgres', 'CREATE DATABASE chat; CREATE ROLE app LOGIN CREATEDB');
$node->safe_psql('chat', q{
	CREATE EXTENSION chatrel;
	GRANT CREATE ON SCHEMA public TO app;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
	GRANT SELECT ON ALL TABLES IN SCHEMA chatrel TO app;
	GRANT REFERENCES ON chatrel.users, chatrel.groups, chatrel.groups_messages TO app;
	GRANT EXECUTE ON FUNCTION chatrel.link_users TO app;
	SELECT chatrel.create_user('ann'), chatrel.create_user('bob');
	SELECT chatrel.create_group('ours', true, as_user => 1), chatrel.join_group(1, as_user => 2);
	SELECT chatrel.create_group('hers', true, as_user => 1);
	ALTER DATABASE chat IS_TEMPLATE true;    -- others than its owner may copy it
});

# Ids are strings in the documents of this one.
$node->safe_psql('postgres', q{
	CREATE DATABASE with_pg_mjs_ids TEMPLATE chat;
	ALTER DATABASE with_pg_mjs_ids SET chatrel.json_ids = 'string';
});

# Runs a recipe, whose lines are those of TAP without numbers; it has to come to its end.
sub run_recipe
{
	my ($recipe, $interpreter, $folder) = @_;
	my $database = $recipe =~ s/\W/_/gr;
	my ($output, $errors) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE chat");
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'app', PGDATABASE => $database);
	my $ended = eval { IPC::Run::run([ $interpreter, "$folder/$recipe" ], '<', \undef, '>', \$output, '2>', \$errors, IPC::Run::timeout($Realtime::patience)) };
	foreach my $line (split /\n/, $output)
	{
		my ($not, $name) = $line =~ /^(not )?ok - (.*)/ or next;

		ok(!$not, $name);
	}
	ok($ended, 'it comes to its end') or diag($@ . $output . $errors);
	return;
}

# A recipe for Python or Ruby, with the modules that it needs
sub test_recipe
{
	my ($interpreter, $recipe, @modules) = @_;

	subtest $recipe => sub {
		plan skip_all => "$interpreter is not installed" if system("$interpreter --version >/dev/null 2>&1");
		foreach my $module (@modules)
		{
			my @import = $interpreter eq 'ruby' ? ('-e', "require '$module'") : ('-c', "import $module");

			plan skip_all => "$interpreter has no $module" unless IPC::Run::run([ $interpreter, @import ], '>&', \my $ignored);
		}
		run_recipe($recipe, $interpreter, $recipes);
	};
	return;
}

test_recipe('python3', 'with_psycopg2.py', 'psycopg2');
test_recipe('python3', 'with_psycopg.py', 'psycopg');
test_recipe('python3', 'with_asyncpg.py', 'asyncpg');
test_recipe('python3', 'with_sqlalchemy.py', 'sqlalchemy', 'psycopg2');
test_recipe('python3', 'with_alembic.py', 'alembic', 'psycopg2');
test_recipe('python3', 'with_django.py', 'django', 'psycopg2');
test_recipe('ruby', 'with_activerecord.rb', 'active_record', 'pg');

# Those for Node, with their packages: npm's, or for pg Debian's.
my $node_folder = PostgreSQL::Test::Utils::tempdir();
my $npm_output = '';

copy($_, $node_folder) or die "$_: $!" foreach glob("$recipes/*.mjs $recipes/package.json");
eval { IPC::Run::run([ 'npm', 'install', '--silent', '--fetch-retries=0', '--no-audit', '--no-fund', '--prefix', $node_folder,
		'--cache', "$node_folder/cache" ], '<', \undef, '>&', \$npm_output, IPC::Run::timeout(300)) };
symlink('/usr/share/nodejs', "$node_folder/node_modules") unless -d "$node_folder/node_modules";
foreach my $recipe (sort map { s{.*/}{}r } glob "$recipes/with_*.mjs")
{
	subtest $recipe => sub {
		my @packages = slurp_file("$recipes/$recipe") =~ /^import .*'([\w-]+)(?:\/[\w-]+)*';$/mg;

		plan skip_all => 'node is not installed' if system('node --version >/dev/null 2>&1');
		foreach my $package (@packages)
		{
			plan skip_all => "the package $package is not installed, and npm cannot fetch it"
				if system("cd $node_folder && node --input-type=module -e \"await import('$package')\" >/dev/null 2>&1");
		}
		run_recipe($recipe, 'node', $node_folder);
	};
}

$node->stop;
done_testing();
