# What pg_dump does for roles that are no superusers, once there is chatrel in the database; and
# that each way out which doc/operations.md names works.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE backup LOGIN IN ROLE pg_read_all_data;
	CREATE ROLE app LOGIN;
	CREATE DATABASE shop OWNER owner;
	CREATE DATABASE copy;
});
$node->safe_psql('shop', q{
	CREATE EXTENSION chatrel;
	GRANT USAGE ON SCHEMA chatrel TO app;
	SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 3) AS i;
	SELECT chatrel.create_group('g', true, as_user => 1);
	SELECT chatrel.send_group_message(1, 'hello', as_user => 1);
	SELECT chatrel.follow(2, as_user => 1);
	SELECT chatrel.create_whiteboard(1, as_user => 1);
	SELECT chatrel.listen(as_user => 1);
	SELECT chatrel.listen_all();
	GRANT CREATE ON SCHEMA public TO owner, app;
	SET ROLE owner;
	CREATE TABLE public.orders (id bigint PRIMARY KEY);
	INSERT INTO public.orders VALUES (4711);
	RESET ROLE;
	SET ROLE app;
	CREATE TABLE public.sessions (id bigint GENERATED ALWAYS AS IDENTITY);
});

my @channels = split /\n/, $node->safe_psql('shop', q{
	SELECT channel FROM chatrel.groups_channels UNION ALL SELECT channel FROM chatrel.users_channels UNION ALL SELECT channel FROM chatrel.all_channel});

# What pg_dump writes as a role, and what it complains of
sub dump_as
{
	my ($role, @options) = @_;
	my ($stdout, $stderr);

	IPC::Run::run([ 'pg_dump', '-d', $node->connstr('shop') . " user=$role", @options ], '>', \$stdout, '2>', \$stderr);
	# newer ones put a random key around it
	$stdout =~ s/^\\(un)?restrict .*\n//mg;
	return ($stdout, $stderr);
}

sub dumps
{
	my ($what, $role, @options) = @_;
	my ($dump, $stderr) = dump_as($role, @options);

	is($stderr, '', $what);
	return $dump;
}

sub cannot_dump
{
	my ($what, $expected, $role, @options) = @_;
	my ($dump, $stderr) = dump_as($role, @options);

	like($stderr, $expected, $what);
	is(scalar(grep { index($dump, $_) >= 0 } @channels), 0, '... and no secret channel is in it');
	return;
}

cmp_ok(scalar @channels, '>=', 3, 'there are secret channels');
my $all = dumps('a superuser dumps everything', 'postgres');
my $schema = dumps('a superuser dumps the schema', 'postgres', '-s');
is(scalar(grep { index($all, $_) >= 0 } @channels), 0, '... but the channels, which are secret');

# ---------- a role that may read everything ----------

my $rls = qr/query would be affected by row-level security policy for table/;
cannot_dump('pg_read_all_data does not get around row level security', $rls, 'backup');
is(dumps('... but it dumps the schema', 'backup', '-s'), $schema, '... as a superuser does');
my $rest = dumps('... and all but chatrel', 'backup', '-N', 'chatrel');
like($rest, qr/^4711$/m, '... which has the data of the application');
unlike($rest, qr/^COPY chatrel\./m, '... and none of chatrel');
like($rest, qr/^CREATE EXTENSION IF NOT EXISTS chatrel/m, '... which is created empty');
my ($filtered) = dump_as('backup', '--enable-row-security');
is(scalar(grep { index($filtered, $_) >= 0 } @channels), 0, 'with --enable-row-security it has no secret channel');
unlike($filtered, qr/\thello\t/, '... and no message: it is no backup');

$node->safe_psql('postgres', 'ALTER ROLE backup BYPASSRLS');
is(dumps('with BYPASSRLS it dumps everything', 'backup'), $all, '... as a superuser does');

# ---------- the owner of the database ----------

my $denied = qr/permission denied for (?:schema chatrel|sequence|table)/;
cannot_dump('the owner of the database has no rights in chatrel', $denied, 'owner');
cannot_dump('... not to its schema either', $denied, 'owner', '-s');
my $own = dumps('... but to all but chatrel', 'owner', '-N', 'chatrel', '-T', 'sessions');
like($own, qr/^4711$/m, '... with the data');

# ---------- the application's role ----------

cannot_dump('the role of an application dumps no schema', qr/permission denied for sequence/, 'app', '-s', '-T', 'orders');
is(dumps('... but all but chatrel', 'app', '-s', '-T', 'orders', '-N', 'chatrel'),
	dumps('(a superuser)', 'postgres', '-s', '-T', 'orders'), '... which is the same: an extension is one line, and grants');
$node->safe_psql('shop', 'GRANT SELECT ON ALL SEQUENCES IN SCHEMA chatrel TO app');
is(dumps('with SELECT on the sequences it needs no option', 'app', '-s', '-T', 'orders'),
	dumps('(a superuser)', 'postgres', '-s', '-T', 'orders'), '... and writes the same');
cannot_dump('... and no data', $rls, 'app', '-T', 'orders');

# ---------- schema first, and then data ----------

my $folder = PostgreSQL::Test::Utils::tempdir();
append_to_file("$folder/schema.sql", dumps('the schema', 'backup', '-s'));
append_to_file("$folder/data.sql", dumps('the data', 'backup', '-a'));
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('copy'), '-f', "$folder/$_.sql" ], "the $_ is restored")
	foreach qw(schema data);
my $counts = q{SELECT count(*), (SELECT count(*) FROM chatrel.users), (SELECT count(*) FROM chatrel.relationships),
	(SELECT count(*) FROM chatrel.groups_channels), (SELECT following FROM chatrel.follow_counts(1, as_user => 1)),
	(SELECT count(*) FROM chatrel.whiteboards), (SELECT count(*) FROM public.orders) FROM chatrel.groups_messages};
is($node->safe_psql('copy', $counts), $node->safe_psql('shop', $counts), 'everything is there again');

$node->stop;
done_testing();
