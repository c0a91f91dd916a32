# Values.pm
#
# Arguments that nobody should pass, as SQL literals. Most are near what a function takes, so that
# many calls get far; the others are at bounds and beyond them.
#
# Words used here
#   loot   cursors, whiteboards, messages and tokens that earlier calls have returned, to be changed and passed
#          again

package Values;

use strict;
use warnings;
use utf8;
use Exporter qw(import);
use JSON::PP;
use List::Util qw(shuffle);

our @EXPORT = qw(chance one_of weighted quote bigint random_text argument choose_loot look_for_loot);

our $strangers = 0.1;    # how often to act as somebody else

my $HARMLESS = 45;       # ids up to this are tried most
my $LOOT     = 40;       # of each kind that is kept
my $json     = JSON::PP->new->allow_nonref;
my %loot     = (cursor => [], whiteboard => [], message => [], token => []);
my $whiteboard;          # the document that the call is to change
my $said;                # the message that the call is about: group and id
my $taken;               # the cursor that the call goes on with, and its user and group

# ---------------------------------------------------------------- choosing

sub chance { return rand() < $_[0]; }
sub one_of { return $_[ int rand @_ ]; }

# weighted(0.5 => sub {...}, ...): weights need not add up to one.
sub weighted {
	my @choices = @_;
	my $sum = 0;
	$sum += $choices[ 2 * $_ ] for 0 .. $#choices / 2;
	my $at = rand $sum;
	while (@choices) {
		my ($weight, $choice) = splice @choices, 0, 2;
		return $choice->() if ($at -= $weight) < 0 || !@choices;
	}
	return;
}

# ---------------------------------------------------------------- values

sub quote {
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'" unless $text =~ s/\\/\\\\/g;
	return "E'$text'";
}

sub bigint {
	return weighted(
		8   => sub { 1 + int rand $HARMLESS },
		1   => sub { one_of('NULL', 0, -1, '9223372036854775807', "'-9223372036854775808'", '9223372036854775806',
				'2147483647', '2147483648', '4294967296', '4294967297') },
		0.5 => sub { int rand 5000 });
}

sub integer {
	return weighted(
		6 => sub { 1 + int rand 60 },
		1 => sub { one_of('NULL', 0, -1, 2147483647, 2147483646, "'-2147483648'", 1) });
}

my @CONTROL = ("\x01", "\x07", "\t", "\n", "\r", "\x1b[2J", "\x7f", "\x{85}", 'a');
my @UNICODE = ("\x{e9}", "\x{2603}", "\x{1F600}", "\x{202e}", "\x{ffff}", "\x{10ffff}", "\x{feff}", "e\x{301}");

sub random_text {
	return weighted(
		4 => sub { quote('name ' . int rand 60) },
		4 => sub { quote('words ' x int rand 20) },
		1 => sub { one_of('NULL', "''", "' '", quote("'"), quote('"'), quote('\\'), quote('\\u0000'), quote('%s%n%d'), quote('{"a": 1}')) },
		1 => sub { quote(join '', map { one_of(@CONTROL) } 0 .. rand 20) },
		1 => sub { quote(join '', map { one_of(@UNICODE) } 0 .. rand 300) },
		1 => sub { quote(one_of('x', "\x{1F600}") x one_of(63, 64, 255, 256, 257, 511, 512, 513, 640, 641)) },
		0.3 => sub { sprintf 'repeat(%s, %d)', quote(one_of('x', '"', '\\', "\x01", "\x{2603}", "\x{1F600}")),
			  one_of(1300, 2600, 7000, 7900, 8000, 100000, 1000000) });
}

my @ROLES     = qw('fuzzer' 'companion' 'stranger' 'backend' 'nobody');
my @COLUMNS   = qw('id' 'username' 'account_id' 'login' 'other' 'ctid' 'tableoid');
my @RELATIONS = qw('accounts' 'people' 'some_view' 'parted' 'parted_1' 'accounts_pkey' 'pg_catalog.pg_class' 'chatrel.users'
	'0' '4294967295' NULL);
my @TIMES = ("'now'", "'infinity'", "'-infinity'", "'epoch'", "'4714-11-24 00:00:00 BC'", "'294276-12-31 23:59:59.999999+00'",
	"'2026-02-28 00:00:60+15:59'", "'1970-01-01 00:00:00-15:59:59'", 'NULL');
my @SHORT = ("'0'", "'1 us'", "'1 ms'", "'5 ms'", "'20 ms'", 'NULL');
my @LONG  = ("'-1 us'", "'1 hour'", "'178000000 years'", "'-178000000 years'", "'2147483647 months'", "'2147483647 days'",
	"'9223372036854775807 us'", "'-9223372036854775808 us'", "'1 year -12 months'", "'-1 month 40 days'");
my @ARRAYS = ("'{}'", "'{NULL}'", "'{1,NULL,2}'", "'{{1,2},{3,4}}'", "'[5:7]={1,2,3}'", "'{0,-1}'", "'{9223372036854775807}'", 'NULL',
	'ARRAY(SELECT generate_series(1, 20000))', 'array_fill(7, ARRAY[3, 3, 3])', 'array_fill(3, ARRAY[100])');
my @NO_JSONB = ("'{'", "'[1,]'", 'NULL', q('{"a": "\\u0000"}'));

my %VALUE = (
	'bigint'  => \&bigint,
	'integer' => \&integer,
	'text'    => \&random_text,
	'boolean' => sub { one_of(qw(true false NULL)) },
	'name'    => sub { one_of(@ROLES, @COLUMNS, quote("\x{e9}" x 31), quote('n' x 63), quote('"quoted"'), "''", 'NULL') },
	'timestamp with time zone' => sub { one_of(@TIMES) },
	'interval'                 => sub { one_of(chance(0.95) ? @SHORT : @LONG) },
	'bigint[]' => sub { chance(0.5) ? one_of(@ARRAYS) : "'{" . join(',', map { 1 + int rand $HARMLESS } 0 .. rand 12) . "}'" },
	'text[]'              => sub { one_of("'{}'", "'{a,b}'", "'{NULL}'", "'{{a},{b}}'", 'NULL') },
	'regconfig'           => sub { one_of(qw('simple' 'english' 'no_such' 0 NULL)) },
	'regclass'            => sub { one_of(@RELATIONS) },
	'jsonb'               => sub { chance(0.02) ? one_of(@NO_JSONB) : quote(json_text(document())) },
);

# ---------------------------------------------------------------- cursors

sub cursor {
	my $text = $taken ? $taken->{text} : @{ $loot{cursor} } ? one_of(@{ $loot{cursor} }) : '2.1.1.1.1.1.1.1.1.0.0.0.0.';
	return weighted(
		3   => sub { quote($text) },
		2   => sub { one_of('NULL', "'now'") },
		4   => sub { quote(changed_number($text)) },
		2   => sub { quote(with_ranges($text)) },
		2   => sub { quote(changed_bytes($text)) },
		0.5 => sub { random_text() },
		0.1 => sub { sprintf "(%s || repeat('1-2:0;', %d))", quote($text), one_of(1, 99999, 100001) });
}

my @HEX = qw(0 1 2 ff 7fffffff ffffffff 100000000 7fffffffffffffff 8000000000000000 ffffffffffffffff 00000000000000001 g);

sub changed_number {
	my ($text) = @_;
	my @parts = split /([.;:~-])/, $text;
	$parts[ 2 * int rand @parts / 2 ] = chance(0.5) ? one_of(@HEX) : sprintf '%x', rand 2**32;
	return join '', @parts;
}

# Ranges in order, with what was seen at random: these are read, and then the seal is wrong.
sub with_ranges {
	my ($text) = @_;
	my $lo = 0;
	my $seal = $text =~ s/(~.*)// ? $1 : '';
	$text =~ s/[^.]*$//;
	for (0 .. rand 6) {
		my $from = $lo + int rand 900;
		$lo = $from + 1 + int rand(chance(0.2) ? 2**40 : 3000);
		$text .= sprintf '%x-%x:%s;', $from, $lo, chance(0.3) ? '7fffffffffffffff' : sprintf '%x', rand 3000;
	}
	$text .= sprintf '%x-ffffffffffffffff:0;', $lo if chance(0.2);
	return $text . $seal;
}

sub changed_bytes {
	my ($text) = @_;
	for (0 .. rand 3) {
		my $at = int rand length $text;
		my $what = one_of('', '.', ';', '-', ':', ' ', "\x{e9}", 'A', '0', '+', '0x', substr $text, 0, $at);
		substr $text, $at, int(rand 3), $what;
	}
	return $text;
}

# ---------------------------------------------------------------- documents

# A document is a tree; what Perl cannot keep as it is written is a reference to its text.
sub document {
	my $tree = $whiteboard ? {%$whiteboard} : { stickers => [ map { sticker() } 1 .. rand 5 ] };
	delete $tree->{version} if chance(0.7);
	delete $tree->{id}      if chance(0.3);
	$tree = changed_node($tree) for 1 .. one_of(0, 0, 0, 1, 1, 1, 2, 5);
	return $tree;
}

sub sticker {
	my %sticker = (url => 'https://example.com/' . int rand 99, title => 'title ' . int rand 99);
	$sticker{id} = one_of(\(int rand 800), '' . int rand 800) if chance(0.3);
	return \%sticker;
}

my @NUMBERS = (qw(0 -0 1 1.0 1e2 0.5 -1 9223372036854775807 9223372036854775808 -9223372036854775809 1e400 1e-400 0.1e1),
	'1' . '0' x 500, '2.' . '0' x 300);

sub nasty_node {
	return weighted(
		6 => sub { \one_of(qw(null true false), @NUMBERS) },
		2 => sub { one_of('7', '0800', ' 7', '7.0', '0x7', '-7', '9223372036854775807', '9223372036854775808', '9' x 100000) },
		2 => sub { one_of('', ' ', 'NaN', 'x' x 257, 'x' x 2049, "\x{1F600}" x 300, "\x01\x02", 'x' x 100000) },
		2 => sub { one_of([], {}, [ [] ], [ {} ], { '' => '' }, { ('k' x 5000) => 1 }, { ("\x{1F600}" x 40) => \'null' }) },
		1 => sub { my $nested = \'1'; $nested = chance(0.5) ? [$nested] : { stickers => $nested } for 1 .. one_of(3, 50, 400); $nested },
		1 => sub { [ map { sticker() } 1 .. one_of(2, 120, 600) ] },
		1 => sub { my $same = sticker(); [ ($same) x one_of(2, 101, 300) ] },
		1 => sub { [ map { \one_of('1', 'null', '"x"') } 1 .. one_of(99, 100, 101, 250) ] });
}

my @KEYS = (qw(id version stickers url title group_id created_at other), '', "\x{2603}");

# Changes one node somewhere below, or this one.
sub changed_node {
	my ($node) = @_;
	return nasty_node() if chance(0.15) || ref($node) !~ /^(?:HASH|ARRAY)$/;
	if (ref $node eq 'HASH') {
		my %copy = %$node;
		my $key = one_of(%copy && chance(0.9) ? sort keys %copy : @KEYS);
		if (chance(0.15)) { delete $copy{$key}; }
		else              { $copy{$key} = exists $copy{$key} ? changed_node($copy{$key}) : nasty_node(); }
		return \%copy;
	}
	my @copy = @$node;
	return [ nasty_node() ] unless @copy;
	my $at = int rand @copy;
	weighted(
		4 => sub { $copy[$at] = changed_node($copy[$at]) },
		1 => sub { splice @copy, $at, 1 },
		1 => sub { push @copy, $copy[$at] },
		1 => sub { @copy = shuffle(@copy) });
	return \@copy;
}

sub json_text {
	my ($node) = @_;
	return $$node if ref $node eq 'SCALAR' || ref $node eq 'REF';
	return '[' . join(',', map { json_text($_) } @$node) . ']' if ref $node eq 'ARRAY';
	return '{' . join(',', map { $json->encode("$_") . ':' . json_text($node->{$_}) } sort keys %$node) . '}' if ref $node eq 'HASH';
	return $json->encode($node);
}

# ---------------------------------------------------------------- loot

sub look_for_loot {
	my ($value) = @_;
	return if length $value > 100000;
	keep('cursor', $1) if $value =~ /"cursor": "([^"]+)"/;
	keep('message', [ $2, $1 ]) while $value =~ /"group_message": \{"id": "?(\d+)"?, [^{}]*?"group_id": "?(\d+)/g;
	keep('token', $value) if $value =~ /^[0-9a-f]{32}$/;
	keep('whiteboard', $value) if $value =~ /^\{"id": .*"version": \d/s;
	return;
}

sub keep {
	my ($kind, $value) = @_;
	my $kept = $loot{$kind};
	if (@$kept < $LOOT) { push @$kept, $value; }
	else                { $kept->[ rand @$kept ] = $value; }
	return;
}

# True if the arguments of a call are to fit together, as what is changed was once right.
sub choose_loot {
	my ($function) = @_;
	$whiteboard = @{ $loot{whiteboard} } && chance(0.8) ? $json->decode(one_of(@{ $loot{whiteboard} })) : undef;
	$said = $function =~ /message|reaction|mark_read/ && @{ $loot{message} } && chance(0.8) ? one_of(@{ $loot{message} }) : undef;
	$taken = $function =~ /^sync/ && @{ $loot{cursor} } && chance(0.8) ? taken() : undef;
	return defined $taken;
}

# A cursor to go on with, as whoever it was taken by.
sub taken {
	my $text = one_of(@{ $loot{cursor} });
	my (undef, undef, undef, undef, undef, $user, $group) = split /\./, $text;
	return { text => $text, user => hex $user, group => hex $group };
}

# ---------------------------------------------------------------- arguments

# Arguments that are more than their type says.
my %NAMED_VALUE = (
	group_id      => sub { $taken ? $taken->{group} || 'NULL' : $said ? $said->[0] : chance(0.9) ? 1 + int rand 14 : bigint() },
	whiteboard_id => sub { $whiteboard && chance(0.95) ? $whiteboard->{id} : chance(0.9) ? 1 + int rand 40 : bigint() },
	sticker_id    => sub { chance(0.9) ? 1 + int rand 800 : bigint() },
	message_id    => sub { $said && chance(0.95) ? $said->[1] : bigint() },
	reply_to_id   => sub { $said && chance(0.3) ? $said->[1] : chance(0.7) ? 'NULL' : bigint() },
	reaction      => sub { chance(0.8) ? one_of("'a'", "'b'") : random_text() },
	kind          => sub { chance(0.7) ? one_of("'asked'", "'a_1'") : random_text() },
	metadata      => sub { chance(0.7) ? one_of('NULL', "'{}'", q('{"a": [1]}'), "'[]'", "'null'") : quote(json_text({ a => document() })) },
	mentions      => sub { chance(0.7) ? one_of('NULL', "'{1}'", "'{2,3}'") : $VALUE{'bigint[]'}->() },
	client_key    => sub { chance(0.7) ? one_of('NULL', "'key'", "'other'") : random_text() },
	cursor        => \&cursor,
	on_replace    => sub { one_of((qw('raise' 'mark_as_invalid' 'nilify' 'delete')) x 4, qw('update' NULL ''), random_text()) },
	follow_type   => sub { chance(0.8) ? one_of(qw('posts' 'name_only' 'close friends' NULL)) : random_text() },
	audience      => sub { chance(0.8) ? one_of(qw('everybody' 'followed' 'friends' 'nobody')) : random_text() },
	until         => sub { chance(0.6) ? one_of('NULL', "now() + interval '1 s'") : $VALUE{'timestamp with time zone'}->() },
	query         => sub { chance(0.3) ? random_text() : quote(join '', map { one_of('message', 'x', 'a', ' ', ' ', ' -', '-', '"', ' or ', "\x{2014}", "\x{e9}") } 0 .. rand 40) },
	visibility    => sub { chance(0.9) ? one_of((qw('public' 'private' NULL)) x 4, "'direct'") : random_text() },
	join_policy   => sub { chance(0.9) ? one_of(qw('open' 'request' NULL)) : random_text() },
	posting       => sub { chance(0.9) ? one_of(("'everybody'", 'NULL') x 4, "'moderators'") : random_text() },
	role          => sub { chance(0.95) ? one_of(qw('owner' 'moderator' 'member')) : random_text() },
	archived      => sub { one_of(('false') x 8, 'true', 'NULL') },
	slow_mode     => sub { chance(0.8) ? one_of("'0'", "'1 us'", "'1 ms'", 'NULL') : $VALUE{interval}->() },
	token         => sub { @{ $loot{token} } && chance(0.8) ? quote(one_of(@{ $loot{token} })) : random_text() },
	user_ids      => sub { chance(0.7) ? "'{" . join(',', map { 1 + int rand $HARMLESS } 0 .. rand 3) . "}'" : $VALUE{'bigint[]'}->() },
	expires       => sub { chance(0.7) ? one_of('NULL', "now() + interval '1 s'", "'infinity'") : $VALUE{'timestamp with time zone'}->() },
	as_user       => sub { $taken ? $taken->{user} : chance($strangers) ? bigint() : one_of(1, 2, 'NULL', 'NULL') },
);

sub argument {
	my ($name, $type) = @_;
	my $make = $NAMED_VALUE{ $name // '' } // $VALUE{$type} // die "no values of type $type\n";
	return $make->() . "::$type";
}

1;
