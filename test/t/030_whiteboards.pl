# Whiteboards where a server of its own is needed: every statement that runs is
# counted, and a dump is restored.
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
	SELECT chatrel.create_group('room', true, as_user => 1);
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
	is(scalar(@change), 11, "... and seven for the whiteboard, its group, who of a direct conversation has blocked whom, its member, its version and the channel of the group")
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

$node->stop;
done_testing();
