# Whiteboards where a server of its own is needed: every statement that runs is
# counted, a dump is restored, and the engine gets an association of another kind.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('whiteboards');
$node->init;
$node->start;

sub value
{
	my ($database, $sql) = @_;
	return $node->safe_psql($database, $sql);
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	SELECT chatrel.create_user('ann');
	SELECT chatrel.create_group('room', true, 1);
});

# ---------- the statements of a change, all of them ----------

# But for those of the foreign keys, which are one for each new row and PostgreSQL's
# own, and for the one that a session asks once, whether there is a gateway.
sub statements_of
{
	my ($command) = @_;
	my ($stdout, $stderr);
	my $status = $node->psql('postgres', qq{
		LOAD 'auto_explain';
		SET auto_explain.log_min_duration = 0;
		SET auto_explain.log_nested_statements = on;
		SET client_min_messages = log;
		$command
	}, stdout => \$stdout, stderr => \$stderr, on_error_stop => 1);
	die "$command: $stderr" if $status != 0;
	my @texts = $stderr =~ /Query Text: (.*)/g;
	return grep { !/^SELECT 1 FROM ONLY|chatrel\.all_channel$|change_whiteboard|get_whiteboard/ } @texts;
}

my %changes;
foreach my $n (10, 1000, 10000)
{
	my $board = value('postgres', "SELECT chatrel.create_whiteboard(1, 1)->>'id'");
	$node->safe_psql('postgres', qq{
		SELECT chatrel.change_whiteboard($board, jsonb_build_object('stickers', (SELECT jsonb_agg(
			jsonb_build_object('url', 'u' || i, 'title', 't' || i)) FROM generate_series(1, $n) i)), as_user => 1)});

	my @change = statements_of(qq{
		SELECT chatrel.change_whiteboard($board, jsonb_insert(jsonb_set(chatrel.get_whiteboard($board, 1) #- '{stickers,1}',
			'{stickers,2,title}', '"changed"'), '{stickers,0}', '{"url": "u", "title": "new"}'), 'delete', 1)->'version';});
	my @got = statements_of("SELECT jsonb_array_length(chatrel.get_whiteboard($board, 1)->'stickers');");

	# get_whiteboard, to make the request, is two of them
	@change = @change[ 2 .. $#change ];
	$changes{$n} = join("\n", @change);
	is(scalar(grep { /^(INSERT|UPDATE|DELETE)\b.*chatrel\.stickers\b/ } @change),
		3, "three changes of $n stickers are three writes");
	is(scalar(grep { /^SELECT\b.*chatrel\.stickers\b/ } @change), 1, "... one read");
	is(scalar(@change), 9, "... and five for the whiteboard, its member, its version and the channel of the group")
	  or diag $changes{$n};
	is(scalar(@got), 2, "$n stickers are read with their whiteboard by two statements")
	  or diag join("\n", @got);
}
is($changes{1000}, $changes{10}, 'a thousand stickers take the statements of ten');
is($changes{10000}, $changes{10}, 'and so do ten thousand');

# ---------- dump and restore ----------

$node->safe_psql('postgres', q{
	SELECT chatrel.change_whiteboard(1, jsonb_set(chatrel.get_whiteboard(1, 1), '{stickers}',
		(chatrel.get_whiteboard(1, 1)->'stickers') - 0), 'nilify', 1)});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/chatrel.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'restore');

my $all = q{SELECT md5(string_agg(w::text, '' ORDER BY id)) FROM chatrel.whiteboards w UNION ALL
	SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM chatrel.stickers s};
is(value('restored', $all), value('postgres', $all), 'whiteboards and stickers are as they were');
is(value('restored', 'SELECT count(*) FROM chatrel.stickers WHERE whiteboard_id IS NULL'),
	1, 'so is a sticker that lost its whiteboard');
my $next = q{SELECT chatrel.create_whiteboard(1, 1)->'id' UNION ALL
	SELECT chatrel.change_whiteboard(1, jsonb_insert(chatrel.get_whiteboard(1, 1), '{stickers,-1}',
		'{"url": "u", "title": "t"}', true), as_user => 1) #> '{stickers,-1,id}'};
is(value('restored', $next), value('postgres', $next), 'ids go on where they were');

# ---------- an association of another kind ----------

my $library = PostgreSQL::Test::Utils::tempdir() . '/test_nested.so';
sub pg_config
{
	my $answer = `pg_config --$_[0]`;
	chomp $answer;
	return $answer;
}
my $build = join ' ', pg_config('cc'), pg_config('cppflags'), pg_config('cflags'), pg_config('cflags_sl'),
  '-shared', '-I', pg_config('includedir-server'), '-I', 'src', '-o', $library,
  'test/nested/test_nested.c', glob('src/whiteboards/nested*.c'), 'src/core/json.c', 'src/core/plans.c';
is(system($build), 0, 'the engine compiles without the rest of chatrel') or BAIL_OUT($build);

$node->safe_psql('postgres', 'CREATE DATABASE nested');
$node->safe_psql('nested', qq{
	CREATE SCHEMA chatrel;
	CREATE TABLE chatrel."Person" ("group" bigint, id bigint, version bigint DEFAULT 1,
		created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
	CREATE TABLE chatrel.passport (id bigint GENERATED ALWAYS AS IDENTITY, "group" bigint, holder bigint,
		number text NOT NULL, "order" text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
		UNIQUE (holder));
	INSERT INTO chatrel."Person" VALUES (1, 1);
	CREATE FUNCTION change(params jsonb, on_replace text = 'raise', "group" bigint = 1, id bigint = 1) RETURNS jsonb LANGUAGE sql AS
		'SELECT test_nested_change("group", id, params, on_replace) - ''{created_at,updated_at,id,group}''::text[] #- ''{passport,created_at}'' #- ''{passport,updated_at}''';
} =~ s/CREATE FUNCTION change/CREATE FUNCTION test_nested_change(bigint, bigint, jsonb, text) RETURNS jsonb LANGUAGE C AS '$library';
	CREATE FUNCTION test_nested_get(bigint, bigint) RETURNS jsonb LANGUAGE C AS '$library';
	CREATE FUNCTION change/r);

sub change_is
{
	my ($arguments, $expected, $name) = @_;
	is(value('nested', "SELECT change($arguments)"), $expected, $name);
}

sub change_fails
{
	my ($arguments, $expected, $name) = @_;
	my ($stdout, $stderr);
	$node->psql('nested', "SELECT change($arguments)", stdout => \$stdout, stderr => \$stderr);
	like($stderr, $expected, $name);
}

change_is(q('{"passport": null}'), '{"version": 1, "passport": null}', 'none, and none is wanted');
change_is(q('{"passport": {"number": "a", "order": "x"}}'),
	'{"version": 2, "passport": {"id": 1, "order": "x", "number": "a"}}', 'one is inserted');
change_is(q('{"passport": {"id": 1, "number": "a"}}'),
	'{"version": 3, "passport": {"id": 1, "order": null, "number": "a"}}', 'a field that is not required becomes null');
change_is(q('{"passport": {"id": 1, "number": "a", "order": null}}'),
	'{"version": 3, "passport": {"id": 1, "order": null, "number": "a"}}', 'null is null');
change_is(q('{"passport": {"id": 1, "number": "a", "order": "y"}}'),
	'{"version": 4, "passport": {"id": 1, "order": "y", "number": "a"}}', 'and something again');
change_fails(q('{"passport": {"number": "b"}}'), qr/passport must name 1, which is stored/, 'another one raises');
change_is(q('{"passport": {"number": "b"}}', 'mark_as_invalid'),
	'{"valid": false, "errors": {"passport": ["must name 1, which is stored"]}}', 'or is invalid');
change_is(q('{"passport": {"number": "b"}}', 'update'),
	'{"version": 5, "passport": {"id": 1, "order": null, "number": "b"}}', 'or updates the one there is');
change_is(q('{"passport": {"id": 77, "number": "c"}}', 'update'),
	'{"version": 6, "passport": {"id": 1, "order": null, "number": "c"}}', 'whatever its id');
change_is(q('{"passport": {"number": "d"}}', 'delete'),
	'{"version": 7, "passport": {"id": 2, "order": null, "number": "d"}}', 'or takes its place');
change_is(q('{"passport": {"number": "e"}}', 'nilify'),
	'{"version": 8, "passport": {"id": 3, "order": null, "number": "e"}}', 'or its place only');
is(value('nested', q{SELECT string_agg(id || number || COALESCE(holder, 0), ' ' ORDER BY id) FROM chatrel.passport}),
	'2d0 3e1', 'the rows tell the same');
change_fails(q('{"passport": {"order": "z"}}', 'update'), qr/passport\.number is missing/, 'paths have no position');
change_fails(q('{"passport": [{"number": "f"}]}', 'update'), qr/passport must be of type object, not array/, 'one is no array');
change_fails(q('{"passport": null}', 'update'), qr/passport must name 3, which is stored/, 'update needs something to update to');
change_is(q('{"passport": null}', 'delete'), '{"version": 9, "passport": null}', 'none is wanted any more');
is(value('nested', q{SELECT test_nested_get(1, 1)->'passport'}), 'null', 'and none is read');

$node->stop;
done_testing();
