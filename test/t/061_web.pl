# The chat of examples/web in a real browser: test/clients/web/chat.mjs is the play, and this its
# stages, with the people and groups of examples/web/demo.sql: a server with one database, and home,
# two shards and a proxy, each a server.

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
my $web = "$root/examples/web";

# Why it cannot be played here, or nothing
sub why_not
{
	return "$_ is not installed" foreach grep { !has_program($_) } qw(node chromium-headless-shell);
	return q{node's packages pg and ws are not to be had} unless node_packages($web);
	return;
}

sub run_script
{
	my ($node, $database, $name) = @_;

	$node->safe_psql($database, slurp_file("$web/$name.sql"));
	return;
}

sub pg_ctl
{
	my ($node, $what, @options) = @_;

	return join ' ', 'pg_ctl', $what, '--silent', map { "'$_'" } '--pgdata=' . $node->data_dir, @options;
}

sub start_options
{
	my ($node) = @_;

	return ('--log=' . $node->logfile, '-o', '--cluster-name=' . $node->name);
}

sub restart
{
	my ($node) = @_;

	return pg_ctl($node, 'restart', '--mode=immediate', start_options($node));
}

# On a stage, with the environment that it takes
sub play
{
	my ($stage, $node, %environment) = @_;
	my $output = '';

	# A port that nobody has; a gateway that is started again takes the same.
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'web', ADMIN => scalar getpwuid($>),
		PORT => PostgreSQL::Test::Cluster::get_free_port(), %environment, RESTARTS => encode_json($environment{RESTARTS}));
	IPC::Run::run([ 'node', "$root/test/clients/web/chat.mjs" ], '<', \undef, '>&', \$output, IPC::Run::timeout(900));
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^(not )?ok - (.*)/) { ok(!$1, "$stage: $2") }
		else { note($line) }
	}
	ok($output =~ /^ok - ann has logged out$/m, "$stage: the play came to its end") or diag($output);
	return;
}

sub play_on_one_database
{
	my $node = new_server('main');

	$node->safe_psql('postgres', 'CREATE DATABASE chat');
	run_script($node, 'chat', $_) foreach 'setup', 'demo';
	play('one database', $node, PGDATABASE => 'chat', RESTARTS => { 'the restart of the database' => restart($node) });
	$node->_update_pid(1);
	$node->stop;
	return;
}

# The people and groups of demo.sql, and with them one group on each shard, of ann and ben
sub people_shards
{
	my ($shards) = @_;

	run_script($shards->{home}, 'postgres', 'setup');
	run_script($_, 'postgres', 'setup-shard') foreach @{ $shards->{all} }[ 1, 2 ];
	run_script($shards->{proxy}, 'postgres', 'setup-proxy');
	run_script($shards->{proxy}, 'postgres', 'demo');
	$shards->call('SELECT chatrel.join_group(' . $shards->create_group_on($_) . ', as_user => 2)') foreach 1, 2;
	return;
}

sub play_on_shards
{
	my $shards = Shards->new(2);
	my ($home, @all) = @{ $shards->{all} };

	people_shards($shards);
	my $walks = $shards->call(q{SELECT id >> 48 FROM chatrel.my_groups(as_user => 1) WHERE name = 'Walks'});
	play('shards', $shards->{proxy}, PGDATABASE => 'postgres',
		SHARDS => join(' ', map { 'postgresql://localhost:' . $_->port . '/postgres?host=' . $_->host } $home, @all),
		RESTARTS => { 'the restart of a shard' => restart($all[ $walks - 1 ]), 'the restart of home' => restart($home) },
		STOP_SHARD => pg_ctl($all[1], 'stop', '--mode=immediate'), START_SHARD => pg_ctl($all[1], 'start', start_options($all[1])));
	$_->_update_pid(1) foreach $home, @all;
	$shards->stop;
	return;
}

my $reason = why_not();
plan skip_all => $reason if $reason;

play_on_one_database();
SKIP:
{
	my $missing = Shards::missing();
	skip $missing, 1 if $missing;
	play_on_shards();
}
done_testing();
