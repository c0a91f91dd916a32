# script/replay on a log with everything that real ones have: who was there before it begins,
# who speaks after leaving, renames, actions, encodings that are not UTF-8, and messages that are
# empty or too long.  It ends well only if what is in the table was sent, and was heard.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

eval { require DBD::Pg; 1 } or plan skip_all => 'DBD::Pg is not installed';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION chatrel');

my $log = PostgreSQL::Test::Utils::tempdir() . '/2001-02-03.x.txt';
open(my $out, '>:raw', $log) or die "$log: $!";
print $out join("\n",
	'[10:00] <old> was here before',
	'=== ann  has joined #x',
	"[10:01] <ann> caf\xe9 \x93quoted\x94",
	"[10:01] <ann> gr\xc3\xbc\xc3\x9fe",
	'=== ann  has left #x ["bye"]',
	'[10:02] <ann> still talking',
	'[10:02] <ann> and again',
	'=== old is now known as older',
	'[10:03] <older> new name',
	'[10:03] <old> under the old one',
	'[10:04] <older> ',
	'[10:04] <older> ' . 'x' x 513,
	'=== older waves at "all"',
	'=== mode/#x  by ChanServ'), "\n";
close($out);

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
delete $ENV{PGUSER};
my $result = run_log([ 'script/replay', $log ], '>', \my $stdout, '2>', \my $stderr);

ok($result, 'what is in the table was sent and heard') or diag $stdout, $stderr;
like($stdout, qr/in the table 5, sent 5, heard 5: the same/, 'all of it');
like($stdout, qr/refused +5\b/, 'and the rest was refused');
like($stdout, qr/3 with 42501/, 'three by who had left, or had another name');
like($stdout, qr/1 with 22001/, 'one too long');
like($stdout, qr/1 with 22023/, 'one empty');
like($stdout, qr/repaired encodings +1\b/, 'one line was not UTF-8');
is($node->safe_psql('postgres', q{SELECT string_agg(message, '|' ORDER BY id) FROM chatrel.groups_messages}),
	"was here before|caf\xc3\xa9 \xe2\x80\x9cquoted\xe2\x80\x9d|gr\xc3\xbc\xc3\x9fe|new name|waves at \"all\"",
	'the messages, repaired');

$node->stop;
done_testing();
