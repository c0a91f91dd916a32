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

# JSON has times in the time zone of the server.
my $server = new_server('main', allows_streaming => 'logical', conf => "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\nmax_worker_processes = 30\nmax_logical_replication_workers = 20\nsynchronous_commit = local\nfsync = off\ntimezone = UTC\n");
my $place = 'host=' . $server->host . ' port=' . $server->port;
my $roles = q{SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles};
my %groups;    # a database -> how many groups were made there
$server->safe_psql('postgres', 'CREATE ROLE chatrel_proxy LOGIN; GRANT SET ON PARAMETER chatrel.user_id TO chatrel_proxy');

sub in_database { my ($database, $sql) = @_; return $server->safe_psql($database, $sql); }

# As pg_prove runs it
sub psql_file
{
	my ($database, $file) = @_;
	my @psql = qw(psql --no-psqlrc --no-align --quiet --pset pager=off --pset tuples_only=true --set ON_ERROR_STOP=1);

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c seed=0.5';
	IPC::Run::run([ @psql, '-d', $server->connstr($database), '-f', "$SCENARIOS/$file" ], '<', \undef, '>', \my $answer, '2>', \my $errors);
	return ($answer, $errors);
}

sub make_databases
{
	my ($shards) = @_;
	my @names = ('home', map { "shard$_" } 1 .. $shards);

	foreach my $n (0 .. $shards)
	{
		$server->safe_psql('postgres', "CREATE DATABASE $names[$n]");
		in_database($names[$n], 'CREATE EXTENSION chatrel_search CASCADE;' . ($n ? "SELECT chatrel.become_shard($n);" : '')
			. 'GRANT USAGE ON SCHEMA chatrel TO chatrel_proxy; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO chatrel_proxy');
	}
	$server->safe_psql('postgres', 'CREATE DATABASE proxy');
	in_database('home', q{CREATE PUBLICATION people FOR TABLE chatrel.users, chatrel.relationships, chatrel.blocks, chatrel.user_mutes, chatrel.user_settings;
		CREATE PUBLICATION roles FOR TABLE chatrel.users (id, username, role_name, created_at, deleted_at)});
	my $list = join ', ', map { "'$place dbname=$_'" } @names;
	in_database('proxy', qq{
		CREATE EXTENSION chatrel_proxy CASCADE;
		SELECT chatrel_proxy.set_shards(ARRAY[$list]);
		CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy');
	});
	subscribe($_ eq 'proxy' ? 'roles' : 'people', $_) foreach @names[ 1 .. $shards ], 'proxy';
	$server->poll_query_until($_, q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'}) or die "$_ has no copy of home" foreach @names[ 1 .. $shards ], 'proxy';
	in_database('postgres', 'ALTER SYSTEM SET synchronous_standby_names = \'' . (1 + $shards) . ' (' . join(', ', @names[ 1 .. $shards ], 'proxy') . ')\'');
	$server->reload;
	in_database('home', 'ALTER DATABASE home SET synchronous_commit = remote_apply');
	return @names, 'proxy';
}

# Within one server the slot comes first, or both wait for ever.
sub subscribe
{
	my ($publication, $name) = @_;

	in_database('home', "SELECT pg_create_logical_replication_slot('$name', 'pgoutput')");
	in_database($name, "CREATE SUBSCRIPTION $name CONNECTION '$place dbname=home' PUBLICATION $publication WITH (create_slot = false, slot_name = '$name')");
	return;
}

# An application's own users, at home, which it reads and writes on the proxy
sub link_users
{
	my (undef, $errors) = psql_file('home', 'linked_users.psql');
	my $user = getpwuid $>;

	is($errors, '', 'users are linked at home');
	in_database('proxy', qq{
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER home FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@{[ $server->host ]}', port '@{[ $server->port ]}', dbname 'home');
		CREATE USER MAPPING FOR CURRENT_USER SERVER home OPTIONS (user '$user', password_required 'false');
		IMPORT FOREIGN SCHEMA public LIMIT TO (app_users) FROM SERVER home INTO public});
	return;
}

sub drop_databases
{
	my (@names) = @_;

	in_database('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
	$server->reload;
	in_database($_, "DROP SUBSCRIPTION $_") foreach @names[ 1 .. $#names ];
	in_database('postgres', "DROP DATABASE $_ WITH (FORCE)") foreach reverse @names;
	return;
}

sub run_file
{
	my ($name, $shards) = @_;
	my $where = $shards ? "$name, $shards shards" : "$name, home alone";
	my @databases = make_databases($shards);
	my $roles_before = in_database('postgres', $roles);
	my %cannot = $shards ? %{ $CANNOT{$name} // {} } : ();

	link_users() if $name =~ /linked_users/;
	my ($answer, $errors) = psql_file('proxy', "$name.sql");
	my ($planned) = $answer =~ /^1\.\.(\d+)$/m;
	my @lines = $answer =~ /^((?:not )?ok \d+.*)$/gm;
	is(scalar @lines, $planned // -1, "$where: all tests are run");
	is($errors, '', "$where: no statement fails");
	is(in_database('postgres', $roles), $roles_before, "$where: no role is left behind");
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
	$groups{$_} += in_database($_, 'SELECT count(*) FROM chatrel.groups') foreach @databases[ 0 .. $shards ];
	drop_databases(@databases);
	return;
}

run_file($_, 0) foreach @FILES;
%groups = ();
run_file($_, 3) foreach @FILES;
is(delete $groups{home}, 0, 'with shards, home has no groups');
is(scalar(grep { $_ > 0 } values %groups), 3, 'and each shard has some') or diag explain \%groups;
$server->stop;
done_testing();
