# The service of examples/fastapi: test/clients/fastapi/play.py plays with it, on a server that is
# restarted meanwhile.  And what its demo loads.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
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

subtest 'the play' => sub {
	local %ENV = (%ENV, PGDATABASE => 'play', PGUSER => 'service');
	local $ENV{PORTS} = join ' ', map { PostgreSQL::Test::Cluster::get_free_port() } 1, 2;
	local $ENV{RESTART} = join ' ', 'pg_ctl', 'restart', '--silent', '--mode=immediate', map { "'$_'" }
		'--pgdata=' . $node->data_dir, '--log=' . $node->logfile, '-o', '--cluster-name=' . $node->name;
	my $output = '';

	eval { IPC::Run::run([ 'python3', "$root/test/clients/fastapi/play.py" ], '<', \undef, '>&', \$output, IPC::Run::timeout(600)) };
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^(not )?ok - (.*)/) { ok(!$1, $2) }
		else { note($line) }
	}
	ok($output =~ /^ok - the play is over$/m, 'the play came to its end') or diag($@ . $output);
	$node->_update_pid(1);
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
