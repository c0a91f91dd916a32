# The scenarios of test/pgtap, which say what a user of chatrel's functions sees, through a proxy:
# with home alone, and with home and three shards. The files are those that run in one database,
# as they are.
#
# Each file has databases of its own. Groups are where the proxy puts them, by chance, though the
# same chance each time; on shards, where there are any. Home waits until the others have what it
# says of people, by synchronous replication.
#
# What is of tables is not here, but in the other files of test/pgtap. A table that an application
# has linked is at home, and a foreign table of the proxy, as doc/scale-out.md says.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $sharedir = qx(pg_config --sharedir);
chomp $sharedir;
foreach my $needed ('plproxy', 'pgtap', 'postgres_fdw')
{
	plan skip_all => "$needed is not installed for this PostgreSQL" unless -e "$sharedir/extension/$needed.control";
}

# File -> description of a test -> why it may be otherwise on several shards
my $NAMES = 'names of public groups are unique on a shard, and not on all';
my %CANNOT = (
	'scenario_group_chat' => { 'a group of the same name is refused' => $NAMES },
	'scenario_private_club' => { q{public, it cannot be called as eve's} => $NAMES },
);
my $SCENARIOS = "$FindBin::RealBin/../pgtap";
my @FILES = map { m{([^/]+)\.sql$} } sort glob "$SCENARIOS/scenario_*.sql";

# JSON has times in the time zone of the server. Databases are made with WAL, for which a test's
# usual buffers are few.
my $server = new_server('main', allows_streaming => 'logical', conf => <<'CONF');
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 30
max_logical_replication_workers = 20
synchronous_commit = local
fsync = off
shared_buffers = 32MB
max_wal_size = 1GB
timezone = UTC
CONF
my $place = 'host=' . $server->host . ' port=' . $server->port;
my $roles = q{SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles};
my %groups;    # a database -> how many groups the scenarios have left there
$server->safe_psql('postgres', 'CREATE ROLE chatrel_proxy LOGIN; GRANT SET ON PARAMETER chatrel.user_id TO chatrel_proxy');

# One session for statements in several databases: "\c name" goes from one to the next.
sub run_sql { return $server->safe_psql('postgres', join "\n", @_); }

# As pg_prove runs it, with a seed for what is by chance
sub psql_file
{
	my ($database, $file, $seed) = @_;
	my @psql = qw(psql --no-psqlrc --no-align --quiet --pset pager=off --pset tuples_only=true --set ON_ERROR_STOP=1);

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c seed=' . $seed;
	IPC::Run::run([ @psql, '-d', $server->connstr($database), '-f', "$SCENARIOS/$file" ], '<', \undef, '>', \my $answer, '2>', \my $errors, IPC::Run::timeout($Realtime::patience));
	return ($answer, $errors);
}

# What each file's databases are copies of: home, the shards and the proxy, as yet apart
sub make_templates
{
	my ($shards) = @_;
	my @names = ('home', map { "shard$_" } 1 .. $shards);
	my $list = join ', ', map { "'$place dbname=$_'" } @names;

	run_sql(map { "CREATE DATABASE new_$_;" } @names, 'proxy');
	run_sql(
		map { ("\\c new_$names[$_]", 'CREATE EXTENSION chatrel_search CASCADE;', $_ ? "SELECT chatrel.become_shard($_);" : (),
			'GRANT USAGE ON SCHEMA chatrel TO chatrel_proxy; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO chatrel_proxy;') } 0 .. $shards);
	run_sql(qq{\\c new_home
		CREATE PUBLICATION people FOR TABLE chatrel.users, chatrel.relationships, chatrel.blocks, chatrel.user_mutes, chatrel.user_settings;
		CREATE PUBLICATION roles FOR TABLE chatrel.users (id, username, role_name, created_at, deleted_at);
		\\c new_proxy
		CREATE EXTENSION chatrel_proxy CASCADE;
		CREATE EXTENSION pgtap;
		SELECT chatrel_proxy.set_shards(ARRAY[$list]);
		CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy');});
	return @names, 'proxy';
}

# There is nothing to be copied yet. Within one server the slot comes first, or both wait for ever.
sub make_databases
{
	my (@names) = @_;
	my @others = @names[ 1 .. $#names ];

	run_sql(
		(map { "CREATE DATABASE $_ TEMPLATE new_$_;" } @names),
		'\c home',
		(map { "SELECT pg_create_logical_replication_slot('$_', 'pgoutput');" } @others),
		(map { subscription($_) } @others),
		'ALTER DATABASE home SET synchronous_commit = remote_apply;');
	return;
}

sub subscription
{
	my ($name) = @_;
	my $publication = $name eq 'proxy' ? 'roles' : 'people';

	return "\\c $name\nCREATE SUBSCRIPTION $name CONNECTION '$place dbname=home' PUBLICATION $publication WITH (create_slot = false, slot_name = '$name', copy_data = false);";
}

# An application's own users, at home, which it reads and writes on the proxy
sub link_users
{
	my (undef, $errors) = psql_file('home', 'linked_users.psql', 0);

	is($errors, '', 'users are linked at home');
	run_sql(qq{\\c proxy
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER home FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@{[ $server->host ]}', port '@{[ $server->port ]}', dbname 'home');
		CREATE USER MAPPING FOR CURRENT_USER SERVER home OPTIONS (password_required 'false');
		IMPORT FOREIGN SCHEMA public LIMIT TO (app_users) FROM SERVER home INTO public;});
	return;
}

sub drop_databases
{
	my (@names) = @_;

	run_sql(
		'ALTER DATABASE home RESET synchronous_commit;',
		(map { "\\c $_\nDROP SUBSCRIPTION $_;" } @names[ 1 .. $#names ]),
		'\c postgres',
		(map { "DROP DATABASE $_ WITH (FORCE);" } @names));
	return;
}

# Of each database but the proxy, which is the last
sub count_groups
{
	my (@names) = @_;
	my @counts = split /\n/, run_sql(map { ("\\c $_", 'SELECT count(*) FROM chatrel.groups;') } @names[ 0 .. $#names - 1 ]);

	$groups{ $names[$_] } += $counts[$_] foreach 0 .. $#counts;
	return;
}

sub run_file
{
	my ($name, $seed, @databases) = @_;
	my $shards = @databases - 2;
	my $where = $shards ? "$name, $shards shards" : "$name, home alone";
	my $roles_before = run_sql($roles);
	my %cannot = $shards ? %{ $CANNOT{$name} // {} } : ();

	make_databases(@databases);
	link_users() if $name =~ /linked_users/;
	my ($answer, $errors) = psql_file('proxy', "$name.sql", $seed);
	my ($planned) = $answer =~ /^1\.\.(\d+)$/m;
	my @lines = $answer =~ /^((?:not )?ok \d+.*)$/gm;
	is(scalar @lines, $planned // -1, "$where: all tests are run");
	is($errors, '', "$where: no statement fails");
	is(run_sql($roles), $roles_before, "$where: no role is left behind");
	foreach my $line (@lines)
	{
		my ($not, $description) = $line =~ /^(not )?ok \d+(?: - )?(.*)/;
		my $reason = delete $cannot{$description};

	  SKIP:
		{
			skip "$where: $description: $reason", 1 if $reason;
			ok(!$not, "$where: $description") or diag($answer =~ /\Q$line\E\n((?:#.*\n)*)/);
		}
	}
	is_deeply([ keys %cannot ], [], "$where: what may be otherwise is there");
	count_groups(@databases);
	drop_databases(@databases);
	return;
}

foreach my $shards (0, 3)
{
	my @databases = make_templates($shards);
	my $others = join ', ', @databases[ 1 .. $#databases ];

	run_sql("ALTER SYSTEM SET synchronous_standby_names = '$#databases ($others)'");
	$server->restart;
	%groups = ();
	run_file($FILES[$_], 1 / ($_ + 1), @databases) foreach 0 .. $#FILES;
	run_sql(map { "DROP DATABASE new_$_;" } @databases);
}
is(delete $groups{home}, 0, 'with shards, home has no groups');
is(scalar(grep { $_ > 0 } values %groups), 3, 'and each shard has some') or diag explain \%groups;
$server->stop;
done_testing();
