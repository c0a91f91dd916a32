# chatrel.json_ids: every id in documents, events and answers of sync is a number, or a string
# where a database says so, which no session and no role changes for the others.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

# The first integer that is another one in a client whose numbers are doubles
my $large = '9007199254740993';

my $node = new_server('main');
$node->safe_psql('postgres', qq{
	CREATE EXTENSION chatrel;
	CREATE TABLE accounts (id bigint PRIMARY KEY, username text NOT NULL UNIQUE);
	INSERT INTO accounts VALUES ($large, 'ann'), (2, 'bob');
	SELECT chatrel.link_users('accounts');
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
	GRANT EXECUTE ON FUNCTION chatrel.export_user TO app;
	SELECT chatrel.create_group('g', true, as_user => $large);
	SELECT chatrel.join_group(1, as_user => 2), chatrel.set_role(1, 2, 'owner', as_user => $large);
	SELECT chatrel.create_whiteboard(1, as_user => 2);
});

# The ids in a JSON text, each as "key value", the value as it is written
sub ids_in
{
	my ($json) = @_;
	my @found;

	while ($json =~ /"(id|\w+_id|inserted|updated|deleted)": (\[[^\]]*\]|"?-?\d+"?)/g)
	{
		my ($key, $value) = ($1, $2);

		push @found, map { "$key $_" } $value =~ /"?-?\d+"?/g;
	}
	return @found;
}

# All that a user can read and hear, as one role sends and another receives; by name, as texts
sub everything
{
	my $app = connect_to($node, 'postgres', user => 'app');
	my $sender = connect_to($node);
	my $cursor = value($app, q{SELECT chatrel.sync('now', as_user => 2) ->> 'cursor'});
	my @heard;
	my $hears = sub {
		my ($kind) = @_;
		my $found = wait_until(sub {
			$app->do('SELECT 1');
			while (my $notify = $app->pg_notifies) { push @heard, $notify->[2] }
			return scalar grep { /^\{"$kind"/ } @heard;
		});
		die "no $kind is heard, only: @heard" unless $found;
	};
	my %said;

	$app->selectall_arrayref('SELECT chatrel.listen(as_user => 2)');
	value($sender, "SELECT chatrel.send_group_message(1, 'x', as_user => $large)");
	value($sender, "SELECT chatrel.follow(2, as_user => $large)");
	value($sender, qq{SELECT chatrel.change_whiteboard(1, '{"stickers": [{"url": "u", "title": "t"}]}', 'delete', as_user => $large)});
	# before there is another channel
	$hears->('whiteboard_changed');
	value($sender, "SELECT chatrel.leave_group(1, as_user => $large)");
	value($sender, "SELECT chatrel.unfollow(2, as_user => $large)");
	$hears->('relisten');
	value($app, 'SELECT chatrel.listen_group(1, as_user => 2)');
	value($sender, "SELECT chatrel.join_group(1, as_user => $large)");
	$hears->('member_joined');
	foreach my $event (@heard)
	{
		$said{"event $1"} = $event if $event =~ /^\{"(\w+)"/;
	}
	$said{$_} = value($app, "SELECT chatrel.$_(1, as_user => 2)") foreach qw(get_group get_group_with_chat_history get_whiteboard);
	$said{me} = value($app, 'SELECT chatrel.me(as_user => 2)');
	$said{export_user} = value($app, 'SELECT jsonb_agg(document) FROM chatrel.export_user(2)');
	$said{sync} = value($app, 'SELECT chatrel.sync(?, as_user => 2)', $cursor);
	$_->disconnect foreach $app, $sender;
	return %said;
}

my @kinds = ('event followed', 'event group_message', 'event member_joined', 'event member_left', 'event relisten', 'event unfollowed', 'event whiteboard_changed',
	qw(get_group get_group_with_chat_history get_whiteboard me export_user sync));

sub test_ids
{
	my ($form, $wanted) = @_;
	my %said = everything();

	is_deeply([ sort keys %said ], [ sort @kinds ], "$form: everything was said");
	foreach my $kind (sort keys %said)
	{
		my @ids = ids_in($said{$kind});

		cmp_ok(scalar @ids, '>', 0, "$form: there are ids in $kind") or diag($said{$kind});
		is_deeply([ grep { !/ $wanted$/ } @ids ], [], "$form: all of them are of one form in $kind") or diag($said{$kind});
	}
	like($said{me}, $form eq 'string' ? qr/"id": "$large"/ : qr/"id": $large\b/, "$form: every digit of a large id is there");
	like($said{$_}, qr/"version": \d/, "$form: a version is a number in $_") foreach 'get_whiteboard', 'event whiteboard_changed';

	# A document is taken back as it was read
	is($node->safe_psql('postgres', q{
			SELECT chatrel.change_whiteboard(1, chatrel.get_whiteboard(1, as_user => 2), as_user => 2) = chatrel.get_whiteboard(1, as_user => 2)}),
		't', "$form: a whiteboard is changed with the ids that were read");

	# What is heard and what is caught up with are the same, but that some of it is only heard
	my @caught_up = @{ decode_json($said{sync})->{events} };
	my %heard = map { /^event (\w+)/ ? ($1 => decode_json($said{$_})) : () } keys %said;

	is_deeply([ sort map { keys %$_ } @caught_up ], [ sort grep { !/^(relisten|whiteboard_changed)$/ } keys %heard ], "$form: events are caught up with");
	is_deeply($_, $heard{ (keys %$_)[0] }, "$form: an event is heard as it is caught up with: " . (keys %$_)[0]) foreach @caught_up;
	return;
}

my $number = qr/-?\d+/;
my $string = qr/"-?\d+"/;

test_ids('number', $number);

# No session, role or connection has ids of its own: what it sends is read by others
my (undef, undef, $stderr) = $node->psql('postgres', q{LOAD 'chatrel'; SET chatrel.json_ids = 'string'});
like($stderr, qr/invalid value for parameter "chatrel.json_ids": "string".*Use ALTER DATABASE/s, 'SET is refused, also to superusers');
$node->safe_psql('postgres', q{ALTER ROLE app SET chatrel.json_ids = 'string'});
is($node->safe_psql('postgres', q{SELECT current_setting('chatrel.json_ids')}, connstr => $node->connstr('postgres') . ' user=app'),
	'number', 'ALTER ROLE does nothing');
$node->safe_psql('postgres', q{ALTER ROLE app RESET chatrel.json_ids});

$node->safe_psql('postgres', q{ALTER DATABASE postgres SET chatrel.json_ids = 'string'});
test_ids('string', $string);
$node->safe_psql('postgres', q{ALTER DATABASE postgres RESET chatrel.json_ids});
test_ids('number again', $number);

# The whole server, with a reload
$node->safe_psql('postgres', q{ALTER SYSTEM SET chatrel.json_ids = 'string'});
$node->reload;
ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW chatrel.json_ids') eq 'string' }), 'the server has taken it up');
test_ids('string', $string);

$node->stop;
done_testing();
