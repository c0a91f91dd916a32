# The service of examples/fastapi: test/clients/fastapi/play.py plays with it, on one database, and
# on home, shards and a proxy, whose servers are restarted meanwhile.  And what its demo loads.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Shards;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $service = "$root/examples/fastapi";

plan skip_all => 'python3 is not installed' unless has_program('python3');
foreach my $module (split /\n/, slurp_file("$service/requirements.txt"))
{
	plan skip_all => "python3 has no $module" if system("python3 -c 'import $module' >/dev/null 2>&1");
}

my $node = new_server('main');
foreach my $database ('play', 'demo')
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
}
$node->safe_psql('play', slurp_file("$service/setup.sql"));
$node->safe_psql('demo', slurp_file("$service/setup.sql") =~ s/^CREATE ROLE .*;$//mr);

local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PYTHONDONTWRITEBYTECODE => 1);

# The command that restarts servers, one after the other
sub restart
{
	return join ' && ', map {
		join ' ', 'pg_ctl', 'restart', '--silent', '--mode=immediate', map({ "'$_'" } '--pgdata=' . $_->data_dir, '--log=' . $_->logfile, '-o', '--cluster-name=' . $_->name)
	} @_;
}

# On servers that are restarted, with the environment that says where they are
sub play
{
	my ($servers, %environment) = @_;
	my $output = '';

	local %ENV = (%ENV, %environment, PGUSER => 'service', RESTART => restart(@$servers),
		PORTS => join ' ', map { PostgreSQL::Test::Cluster::get_free_port() } 1, 2);
	eval { IPC::Run::run([ 'python3', "$root/test/clients/fastapi/play.py" ], '<', \undef, '>&', \$output, IPC::Run::timeout(600)) };
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^(not )?ok - (.*)/) { ok(!$1, $2) }
		else { note($line) }
	}
	ok($output =~ /^ok - the play is over$/m, 'the play came to its end') or diag($@ . $output);
	$_->_update_pid(1) foreach @$servers;
	return;
}

subtest 'the play' => sub { play([$node], PGDATABASE => 'play') };

# Names of groups are taken on their shard only: all groups are to be on one.
subtest 'the play, on shards' => sub {
	plan skip_all => Shards::missing() if Shards::missing();
	my $shards = Shards->new(2);
	my ($home, @others) = @{ $shards->{all} };
	my $proxy = $shards->{proxy};

	$home->safe_psql('postgres', slurp_file("$service/setup.sql"));
	$_->safe_psql('postgres', slurp_file("$service/setup-shard.sql")) foreach @others;
	$proxy->safe_psql('postgres', slurp_file("$service/setup-proxy.sql"));
	$proxy->safe_psql('postgres', 'UPDATE chatrel_proxy.shards SET weight = (shard = 2)::integer');
	play([ $others[1], $home, $proxy, $others[0] ], PGHOST => $proxy->host, PGPORT => $proxy->port, PGDATABASE => 'postgres',
		SHARDS => join(' ', map { 'postgresql:///postgres?host=' . $_->host . '&port=' . $_->port } $home, @others));
	$shards->stop;
};

subtest 'the demo' => sub {
	my $demo = decode_json(slurp_file("$service/demo.json"));
	local %ENV = (%ENV, PGDATABASE => 'demo', PGUSER => 'service');
	my $loaded = IPC::Run::run([ 'python3', "$service/load_demo.py", "$service/demo.json" ], '<', \undef, '>&', \my $output);
	my $admin = connect_to($node, 'demo', user => scalar getpwuid($>));

	ok($loaded, 'it is loaded') or diag($output);
	is_deeply($admin->selectcol_arrayref('SELECT username FROM app.users ORDER BY id'), [ map { $_->{username} } @{ $demo->{users} } ], 'the users');
	foreach my $pair (@{ $demo->{friends} })
	{
		is(value($admin, q{SELECT count(*) FROM chatrel.friends(as_user => (chatrel.find_user(?)).id) WHERE username = ?}, @$pair), 1, "@$pair are friends");
	}
	is_deeply($admin->selectall_arrayref(q{
			SELECT to_char(datetime AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'), username, message
			FROM chatrel.groups_messages AS m JOIN chatrel.users AS u ON u.id = sender_id ORDER BY m.id}),
		[ map { [ @$_{qw(datetime sender message)} ] } @{ $demo->{messages} }, @{ $demo->{groups_messages} } ], 'what they have said');
	is_deeply($admin->selectall_arrayref('SELECT name, username FROM chatrel.groups AS g, chatrel.groups_members AS m, chatrel.users AS u WHERE g.id = group_id AND u.id = user_id AND name IS NOT NULL ORDER BY m.id'),
		[ (map { [ @$_{qw(name creator)} ] } @{ $demo->{groups} }), (map { [ @$_{qw(group user)} ] } @{ $demo->{groups_members} }) ], 'the groups and who is in them');
	$admin->disconnect;
};

$node->stop;
done_testing();
