# Databases that are not in UTF-8: messages and events are right, and limits
# count characters.  SQL_ASCII knows no characters, and counts bytes.

use strict;
use warnings;
use utf8;

use Encode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$ENV{PGCLIENTENCODING} = 'UTF8';

my @databases = (
	# encoding, a text, the longest message of a letter that is not ASCII
	[ 'UTF8', "gr\x{fc}\x{df}e \x{2603}", "\x{fc}" x 512 ],
	[ 'LATIN1', "gr\x{fc}\x{df}e", "\x{fc}" x 512 ],
	[ 'EUC_JP', "\x{3053}\x{3093}\x{306b}\x{3061}\x{306f}", "\x{3042}" x 512 ],
	[ 'SQL_ASCII', "gr\x{fc}\x{df}e", "\x{fc}" x 256 ],
);

foreach my $row (@databases)
{
	my ($encoding, $text, $longest) = @$row;
	my $database = lc $encoding;
	my $bytes = encode('UTF-8', $text);
	my $longest_bytes = encode('UTF-8', $longest);
	my $letter = encode('UTF-8', substr($longest, 0, 1));

	# A client of an SQL_ASCII database gets what is there, whatever it asks for
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($database, qq{
		CREATE EXTENSION chatrel;
		SELECT chatrel.create_user('$bytes');
		SELECT chatrel.create_group('$bytes', true, as_user => 1);
	});

	my $output = $node->safe_psql($database, qq{
		SELECT chatrel.listen_group(1, as_user => 1) <> '';
		SELECT message FROM chatrel.send_group_message(1, '$bytes "quoted"', as_user => 1)});
	my ($payload) = $output =~ /with payload "(.*)" received/;
	like($payload, qr/"message": "\Q$bytes\E \\"quoted\\""\}\}$/, "$encoding: the event has the text");
	is($node->safe_psql($database, q{SELECT message FROM chatrel.group_messages(1, as_user => 1)}), qq{$bytes "quoted"},
		"$encoding: so has the table");
	is($node->safe_psql($database, q{SELECT chatrel.me(as_user => 1) -> 'groups' -> 0 -> 'members' -> 0 ->> 'username'}), $bytes,
		"$encoding: and a document has the names");

	is($node->safe_psql($database, qq{SELECT message FROM chatrel.send_group_message(1, '$longest_bytes', as_user => 1)}), $longest_bytes,
		"$encoding: the longest message is sent");
	my (undef, undef, $stderr) = $node->psql($database,
		qq{SELECT chatrel.send_group_message(1, '$longest_bytes$letter', as_user => 1)});
	like($stderr, qr/message is too long/, "$encoding: a longer one is not");

	# What does not fit a NOTIFY, in bytes of the server's encoding
	$output = $node->safe_psql($database, qq{
		SELECT chatrel.listen_group(1, as_user => 1) <> '';
		SET chatrel.max_message_length = 100000;
		SELECT FROM chatrel.send_group_message(1, repeat('$letter', 8000), as_user => 1)});
	like($output, qr/"truncated": true/, "$encoding: a message too long for NOTIFY is announced without its text");
}

# In LATIN1 a letter is a byte: what would be too long in UTF-8 is heard with its text
my $output = $node->safe_psql('latin1', q{
	SELECT chatrel.listen_group(1, as_user => 1) <> '';
	SET chatrel.max_message_length = 100000;
	SELECT FROM chatrel.send_group_message(1, repeat(chr(252), 7000), as_user => 1)});
unlike($output, qr/truncated/, 'LATIN1: 7,000 letters fit');

# A text that the database has no letters for does not come in
my (undef, undef, $stderr) = $node->psql('latin1',
	"\\set VERBOSITY sqlstate\nSELECT chatrel.send_group_message(1, '" . encode('UTF-8', "\x{2603}") . "', as_user => 1)");
like($stderr, qr/22P05/, 'LATIN1: a snowman is refused');

$node->stop;
done_testing();
