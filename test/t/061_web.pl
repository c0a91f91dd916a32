# The chat of examples/web in a real browser: test/clients/web/chat.mjs is the play, and this its
# stage, a server with the people and groups of examples/web/demo.sql.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $web = "$root/examples/web";

# Why it cannot be played here, or nothing
sub why_not
{
	return "$_ is not installed" foreach grep { !has_program($_) } qw(node chromium-headless-shell);
	return q{node's packages pg and ws are not to be had} unless node_packages($web);
	return;
}

my $reason = why_not();
plan skip_all => $reason if $reason;

my $node = new_server('main');
$node->safe_psql('postgres', 'CREATE DATABASE chat');
foreach my $script ('setup', 'demo')
{
	$node->safe_psql('chat', slurp_file("$web/$script.sql"));
}

# One that nobody has; a gateway that is started again takes the same.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $restart = join ' ', 'pg_ctl', 'restart', '--silent', '--mode=immediate', map { "'$_'" }
	"--pgdata=" . $node->data_dir, '--log=' . $node->logfile, '-o', '--cluster-name=' . $node->name;

{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'chat', PGUSER => 'web',
		ADMIN => scalar getpwuid($>), PORT => $port, RESTART => $restart);
	my $output = '';

	IPC::Run::run([ 'node', "$root/test/clients/web/chat.mjs" ], '<', \undef, '>&', \$output, IPC::Run::timeout(900));
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^(not )?ok - (.*)/) { ok(!$1, $2) }
		else { note($line) }
	}
	ok($output =~ /^ok - ann has logged out$/m, 'the play came to its end') or diag($output);
}
$node->_update_pid(1);
$node->stop;
done_testing();
