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

# Packages of npm's for the recipes for Node, which come while others are tried; or Debian's pg
my $node_folder = PostgreSQL::Test::Utils::tempdir();
copy($_, $node_folder) or die "$_: $!" foreach glob("$recipes/*.mjs $recipes/*.json");
my $npm = npm_install($node_folder);

# Ann is user 1 and bob is user 2; both are in group 1, and ann alone is in group 2; in group 3, bob
# has just sent a message, and may not send another.  Each recipe gets a copy of this database, and
# connects as a backend does.  The library is not preloaded, as a worker in a database would keep it
# from being copied.
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
	SELECT chatrel.create_group('slow', true, as_user => 1), chatrel.join_group(3, as_user => 2);
	SELECT chatrel.update_group(3, slow_mode => '1 day', as_user => 1);
	SELECT chatrel.send_group_message(3, 'by bob', as_user => 2);
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
	my ($name, @command) = @_;
	my $database = lc($name =~ s/\W+/_/gr);
	my ($output, $errors) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE chat");
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'app', PGDATABASE => $database);
	my $ended = eval { IPC::Run::run(\@command, '<', \undef, '>', \$output, '2>', \$errors, IPC::Run::timeout($Realtime::patience)) };
	foreach my $line (split /\n/, $output)
	{
		my ($not, $what) = $line =~ /^(not )?ok - (.*)/ or next;

		ok(!$not, $what);
	}
	ok($ended, 'it comes to its end') or diag($@ . $output . $errors);
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
		run_recipe($name, $language, "$recipes/$recipe");
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
		run_recipe($recipe, 'node', "$node_folder/$recipe");
	};
}

$node->stop;
done_testing();
