# What the tests of shards share: home, shards and a proxy, each on a server of its
# own, as doc/scale-out.md says how they are set up.
package Shards;

use strict;
use warnings;

use Realtime;

my $CONF = <<'CONF';
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
wal_retrieve_retry_interval = 100ms
CONF

# Why there can be none, if so
sub missing
{
	my $sharedir = qx(pg_config --sharedir);

	chomp $sharedir;
	return -e "$sharedir/extension/plproxy.control" ? undef : 'PL/Proxy is not installed for this PostgreSQL';
}

# With so many shards besides home, and settings of theirs
sub new
{
	my ($class, $shards, $conf) = @_;
	my @all = map { new_server($_ ? "shard$_" : 'home', allows_streaming => 1, conf => $CONF . ($conf // '')) } 0 .. $shards;
	my $self = bless { all => \@all, home => $all[0], proxy => new_server('proxy') }, $class;

	$self->make_shard($_) foreach 0 .. $shards;
	$self->{home}->safe_psql('postgres', q{
		CREATE PUBLICATION people FOR TABLE chatrel.users, chatrel.relationships, chatrel.blocks, chatrel.user_mutes, chatrel.user_settings;
		CREATE PUBLICATION roles FOR TABLE chatrel.users (id, username, role_name, created_at, deleted_at);
	});
	$self->subscribe($all[$_], "people_$_", 'people') foreach 1 .. $shards;
	$self->make_proxy('postgres', map { 'host=' . $_->host . ' port=' . $_->port } @all);
	$self->subscribe($self->{proxy}, 'roles', 'roles');
	return $self;
}

sub make_shard
{
	my ($self, $n) = @_;

	$self->{all}[$n]->safe_psql('postgres', qq{
		CREATE EXTENSION chatrel;
		SELECT chatrel.become_shard($n);
		CREATE ROLE chatrel_proxy LOGIN;
		GRANT USAGE ON SCHEMA chatrel TO chatrel_proxy;
		GRANT SET ON PARAMETER chatrel.user_id TO chatrel_proxy;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO chatrel_proxy;
	});
	return;
}

sub subscribe
{
	my ($self, $node, $name, $publication) = @_;
	my $connection = $self->{home}->connstr . ' dbname=postgres';

	$node->safe_psql('postgres', "CREATE SUBSCRIPTION $name CONNECTION '$connection' PUBLICATION $publication");
	return;
}

# A database of the proxy's server, with these connections to the shards
sub make_proxy
{
	my ($self, $database, @connections) = @_;
	my $list = join ', ', map { "'$_ dbname=postgres'" } @connections;

	$self->{proxy}->safe_psql('postgres', "CREATE DATABASE $database") if $database ne 'postgres';
	$self->{proxy}->safe_psql($database, qq{
		CREATE EXTENSION chatrel_proxy CASCADE;
		SELECT chatrel_proxy.set_shards(ARRAY[$list]);
		CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy');
	});
	return;
}

sub call
{
	my ($self, $sql) = @_;

	return $self->{proxy}->safe_psql('postgres', $sql);
}

# A group of user 1's on a given shard
sub create_group_on
{
	my ($self, $n, $name) = @_;

	$name //= "on $n";
	return $self->call(qq{
		SET chatrel_proxy.shard = $n;
		SELECT (chatrel.create_group('$name', true, as_user => 1)).id});
}

# Until what home says by now of people is on these shards, and known to the proxy
sub caught_up
{
	my ($self, @numbers) = @_;
	my $home = $self->{home};
	my $lsn = $home->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');

	foreach my $node (map({ $self->{all}[$_] } @numbers), $self->{proxy})
	{
		$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'}) or die 'tables are not copied';
	}
	foreach my $slot (map({ "people_$_" } @numbers), 'roles')
	{
		$home->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'") or die "$slot does not catch up";
	}
	return;
}

sub stop
{
	my ($self) = @_;

	$_->stop foreach $self->{proxy}, reverse @{ $self->{all} };
	return;
}

1;
