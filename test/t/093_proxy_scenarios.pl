# Scenarios of test/pgtap, which are for one database, through a proxy: with home alone, and
# with three shards besides. What they say of chatrel's functions is so there too, but for what
# is named below with its reason.
#
# Each file has databases of its own. It is run as it is, but not in one transaction, since what
# the proxy sends is committed on the shard at once: BEGIN, ROLLBACK and the creation of the
# extension are left out, and SET LOCAL is SET. Groups are on the last shard, unless the file
# knows the ids that home gives: then they are there, and the shards are asked where all are.
# Tables, which a proxy has not, are read where the groups are, as foreign tables. Home waits until
# the others have what it says of people, by synchronous replication.
#
# Not here, with the tables they write by hand or the catalogue they look at: scenario_announcements
# (50,000 rows), scenario_follow (columns and keys), scenario_follow_by_name_only (plans),
# scenario_follow_linked_users (link_users, which a proxy has not).

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

# File -> description of a test -> why it is not so through a proxy
my %CANNOT = (
	'scenario_group_chat' => { 'without a datetime it is now' => 'now() is that of the transaction on the shard' },
);
my %KNOWS_IDS = map { $_ => 1 } qw(scenario_group_chat scenario_private_club scenario_support_desk);
my @FILES = qw(scenario_group_chat scenario_private_club scenario_social_network scenario_support_desk scenario_whiteboards);

my $server = new_server('main', allows_streaming => 'logical', conf => "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\nmax_worker_processes = 30\nmax_logical_replication_workers = 20\nsynchronous_commit = local\nfsync = off\n");
$server->safe_psql('postgres', 'CREATE ROLE chatrel_proxy LOGIN; GRANT SET ON PARAMETER chatrel.user_id TO chatrel_proxy');
my $roles_before = $server->safe_psql('postgres', q{SELECT array_agg(rolname) FROM pg_roles});

sub in_database { my ($database, $sql) = @_; return $server->safe_psql($database, $sql); }

sub make_databases
{
	my ($shards, $place_of_groups) = @_;
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
	my $place = 'host=' . $server->host . ' port=' . $server->port;
	my $list = join ', ', map { "'$place dbname=$_'" } @names;
	in_database('proxy', qq{
		CREATE EXTENSION chatrel_proxy CASCADE;
		CREATE EXTENSION pgtap;
		SELECT chatrel_proxy.set_shards(ARRAY[$list]);
		UPDATE chatrel_proxy.shards SET weight = (shard = $place_of_groups)::integer;
		UPDATE chatrel_proxy.direct_slots SET shard = $place_of_groups;
		CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy');
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER tables FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@{[ $server->host ]}', port '@{[ $server->port ]}', dbname '$names[$place_of_groups]');
		CREATE USER MAPPING FOR PUBLIC SERVER tables OPTIONS (user '@{[ scalar getpwuid $> ]}', password_required 'false');
		IMPORT FOREIGN SCHEMA chatrel EXCEPT (users) FROM SERVER tables INTO chatrel;
		CREATE FOREIGN TABLE chatrel.event_ids (last_value bigint) SERVER tables;
		GRANT SELECT ON chatrel.relationships TO PUBLIC;
	});
	subscribe($place, $_ eq 'proxy' ? 'roles' : 'people', $_) foreach @names[ 1 .. $shards ], 'proxy';
	$server->poll_query_until($_, q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'}) or die "$_ has no copy of home" foreach @names[ 1 .. $shards ], 'proxy';
	in_database('postgres', 'ALTER SYSTEM SET synchronous_standby_names = \'' . (1 + $shards) . ' (' . join(', ', @names[ 1 .. $shards ], 'proxy') . ')\'');
	$server->reload;
	in_database('home', 'ALTER DATABASE home SET synchronous_commit = remote_apply');
	return @names, 'proxy';
}

# Within one server the slot comes first, or both wait for ever.
sub subscribe
{
	my ($place, $publication, $name) = @_;

	in_database('home', "SELECT pg_create_logical_replication_slot('$name', 'pgoutput')");
	in_database($name, "CREATE SUBSCRIPTION $name CONNECTION '$place dbname=home' PUBLICATION $publication WITH (create_slot = false, slot_name = '$name')");
	return;
}

sub drop_databases
{
	my (@names) = @_;

	in_database('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
	$server->reload;
	in_database($_, "DROP SUBSCRIPTION $_") foreach @names[ 1 .. $#names ];
	in_database('postgres', "DROP DATABASE $_ WITH (FORCE)") foreach reverse @names;
	foreach my $role (split /\n/, in_database('postgres', "SELECT rolname FROM pg_roles WHERE rolname <> ALL ('$roles_before'::name[])"))
	{
		in_database('postgres', "DROP OWNED BY $role; DROP ROLE $role");
	}
	return;
}

sub text_of
{
	my ($file) = @_;
	my $text = slurp_file($file);

	$text =~ s/^(?:BEGIN|ROLLBACK|CREATE EXTENSION (?:IF NOT EXISTS )?\w+);$//gm;
	$text =~ s/\bSET LOCAL\b/SET/g;
	$text =~ s/(set_config\(.*), true\)/$1, false)/g;
	return $text;
}

sub run_file
{
	my ($name, $shards) = @_;
	my @databases = make_databases($shards, $KNOWS_IDS{$name} ? 0 : $shards);
	my $where = $shards ? "$name, $shards shards" : "$name, home alone";
	my $text = text_of("$FindBin::RealBin/../pgtap/$name.sql");
	my %cannot = %{ $CANNOT{$name} // {} };

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	IPC::Run::run([ 'psql', '-XAtq', '-d', $server->connstr('proxy') ], '<', \$text, '>', \my $answer, '2>', \my $errors);
	my ($planned) = $answer =~ /^1\.\.(\d+)$/m;
	my @lines = $answer =~ /^((?:not )?ok \d+.*)$/gm;
	is(scalar @lines, $planned // -1, "$where: all tests are run");
	is($errors, '', "$where: no statement fails");
	foreach my $line (@lines)
	{
		my ($not, $description) = $line =~ /^(not )?ok \d+(?: - )?(.*)/;
		my $reason = delete $cannot{$description};

		if ($reason)
		{
			ok($not, "$where: not, though it is in one database: $description: $reason");
		}
		else
		{
			ok(!$not, "$where: $description") or diag($answer =~ /\Q$line\E\n((?:#.*\n)*)/);
		}
	}
	is_deeply([ keys %cannot ], [], "$where: what cannot be so is there");
	drop_databases(@databases);
	return;
}

foreach my $shards (0, 3)
{
	run_file($_, $shards) foreach @FILES;
}
$server->stop;
done_testing();
