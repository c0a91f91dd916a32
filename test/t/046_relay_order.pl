# What rests on another transaction is heard after it, though both go through the
# relay: members who add and remove the same reaction are heard in turn.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use Realtime;
use Test::More;
use Time::HiRes qw(time);

my $SECONDS = 10;

my $node = new_server('main');
set_up($node);
my $admin = connect_to($node);
start_worker($admin);
my $message = value($admin, q{SELECT (chatrel.send_group_message(1, 'to react to', as_user => 1)).id});
my $listener = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 2)');

sub react
{
	my ($seed, $until) = @_;
	my $dbh = connect_to($node);

	srand $seed;
	while (time < $until)
	{
		my $function = rand() < 0.5 ? 'add_reaction' : 'remove_reaction';
		value($dbh, "SELECT chatrel.$function(1, ?, 'x', as_user => 1)", $message);
	}
	return;
}

my ($events, $there, $wrong) = (0, 0, 0);

# Whether the reaction is there, as is heard
sub hear
{
	foreach my $payload (@_)
	{
		my ($kind) = $payload =~ /^\{"(reaction_\w+)"/ or next;

		$events++;
		$wrong++ if $there == ($kind eq 'reaction_added' ? 1 : 0);
		$there = $kind eq 'reaction_added' ? 1 : 0;
	}
	return;
}

my $until = time + $SECONDS;
my @members = map { my $seed = $_; spawn(sub { react($seed, $until) }) } 1 .. 8;

hear($listener->hear(0.05)) while time < $until;
is(reap(@members), 0, 'members react');
value($admin, q{SELECT chatrel.send_group_message(1, 'the end', as_user => 1)});
hear($listener->hear_until('the end'));
cmp_ok($events, '>', 1000, "many events ($events)");
is($wrong, 0, 'none is heard before what it rests on');
is($there, value($admin, 'SELECT count(*) FROM chatrel.message_reactions'), 'the last that is heard is what there is');

$admin->disconnect;
$node->stop;
done_testing();
