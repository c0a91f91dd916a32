# The programs in examples/: each prints every event of its user's groups once, as a line of
# JSON, whatever happens to its connection, its groups' channels or the server.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Shards;
use Test::More;

my $examples = "$FindBin::RealBin/../../examples";
my $temporary = PostgreSQL::Test::Utils::tempdir();
my @running;    # programs and proxies: not to be left behind by a test that fails

END
{
	kill 'KILL', splice @running;
}

# ---------- the programs ----------

# The command of each, or why there is none
sub listener_in_c
{
	my $compiler = $ENV{CC} // 'cc';
	my ($include, $lib) = map { chomp(my $dir = `$ENV{PG_CONFIG} $_`); $dir } '--includedir', '--libdir';

	return (undef, "there is no $compiler") if system("$compiler --version >/dev/null 2>&1");
	# Those of the server, or of the system
	my $built = IPC::Run::run([ $compiler, '-Wall', '-Wextra', '-Werror', '-o', "$temporary/listener", '-DSYNC_EVERY=500', '-DANSWER_WITHIN=500', "$examples/listener.c",
			"-I$include", "-I$include/postgresql", "-L$lib", "-Wl,-rpath,$lib", '-lpq' ], '>&', \my $output);
	ok($built, 'listener.c: it is built without a warning') or BAIL_OUT($output);
	return ["$temporary/listener"];
}

sub listener_in_node
{
	return (undef, 'node is not installed') unless has_program('node');
	copy("$examples/$_", $temporary) or die "$_: $!" foreach 'listener.mjs', 'web/package.json';
	return (undef, q{node's package pg is not to be had}) unless node_packages($temporary);
	return [ 'node', "$temporary/listener.mjs" ];
}

sub listener_in_python
{
	my ($module) = @_;

	return (undef, "python3 has no $module") if system("python3 -c 'import $module' >/dev/null 2>&1");
	return ([ 'python3', "$examples/listener_$module.py" ], undef);
}

# ---------- a connection that is lost without a word ----------

# A proxy on the loopback interface, in a process of its own.  On SIGUSR1 it goes on holding the
# connections there are, and forwards nothing more of them; new ones it serves.
sub start_proxy
{
	my ($node) = @_;
	my $listening = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "no proxy: $!";
	my $pid = spawn(sub {
		my $select = IO::Select->new($listening);
		my (%peer, @frozen);

		local $SIG{USR1} = sub { $select->remove(values %peer); push @frozen, values %peer; %peer = () };
		while (1)
		{
			foreach my $socket ($select->can_read)
			{
				if ($socket == $listening)
				{
					my $client = $listening->accept;
					my $server = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port);

					next unless $client && $server;
					@peer{ $client, $server } = ($server, $client);
					$select->add($client, $server);
				}
				elsif (my $other = $peer{$socket})
				{
					my $bytes;

					next if sysread($socket, $bytes, 65536) && syswrite($other, $bytes);
					$select->remove($socket, $other);
					delete @peer{ $socket, $other };
					$_->close foreach $socket, $other;
				}
			}
		}
	});

	return ($pid, $listening->sockport);
}

# ---------- the test ----------

my $FOR_APP = q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
};
my $node = new_server('main');
set_up($node, groups => 2);
$node->safe_psql('postgres', $FOR_APP . q{
	SELECT chatrel.send_group_message(1, 'before it begins', as_user => 1);
});

# What stands under the one key of an event, which is the kind
sub body
{
	my ($event) = @_;

	return (values %$event)[0];
}

# In the order of their ids, and without what happened in a group before user 2 was a member:
# whether that is printed depends on when the program asks.
sub comparable
{
	my ($admin, @events) = @_;
	my %since = map { @$_ } @{ $admin->selectall_arrayref('SELECT group_id, joined_id FROM chatrel.groups_members WHERE user_id = 2') };

	return [ sort { body($a)->{id} <=> body($b)->{id} }
			grep { body($_)->{id} > ($since{ body($_)->{group_id} // 0 } // 0) } @events ];
}

# All that is kept for user 2
sub expected
{
	my ($admin) = @_;

	return comparable($admin, @{ JSON::PP->new->decode(value($admin, 'SELECT chatrel.sync(event_limit => 10000, as_user => 2)'))->{events} });
}

# A message is as it was when it was printed; here it becomes what has become of it, as a client
# would show it.  Returns what was printed before the message that it is about.
sub apply_edits
{
	my (@events) = @_;
	my (%messages, @too_early);

	foreach my $event (@events)
	{
		my $body = body($event);
		my $message = $messages{ $body->{message_id} // 0 };

		$messages{ $body->{id} } = $body if $event->{group_message};
		@$message{qw(message edited_at)} = @$body{qw(message edited_at)} if $event->{message_edited};
		push @too_early, $event if $body->{message_id} && !$message;
	}
	return \@too_early;
}

# Starts a program that connects to a server, behind a proxy of its own.
sub start_example
{
	my ($server, $name, @command) = @_;
	my %program = (name => $name, output => '', errors => '', server => $server);
	($program{proxy}, my $port) = start_proxy($server);
	local %ENV = (%ENV, PGHOST => '127.0.0.1', PGPORT => $port, PGDATABASE => 'postgres', PGUSER => 'app',
		SYNC_EVERY_MS => 500, ANSWER_WITHIN_MS => 500);

	$program{handle} = IPC::Run::start(\@command, '<', \undef, '>', \$program{output}, '2>', \$program{errors});
	push @running, $program{proxy}, map { $_->{PID} } @{ $program{handle}{KIDS} };
	return \%program;
}

# Takes in what they print.
sub pump
{
	foreach my $program (@_)
	{
		eval { $program->{handle}->pump_nb; 1 } or die "$program->{name} has ended:\n$program->{errors}";
	}
	return;
}

# How long it has waited before it tried again, each time
sub retries
{
	my ($program) = @_;

	pump($program);
	return $program->{errors} =~ /trying again in (\d+) ms/g;
}

# Tests whether all of them print something, by default a message with this text.
sub print_it
{
	my ($programs, $text, $pattern) = @_;
	$pattern //= qr/"group_message": ?\{.*"message": ?"\Q$text\E"/;

	foreach my $program (@$programs)
	{
		my $found = wait_until(sub { pump(@$programs); return $program->{output} =~ $pattern }, 30);
		ok($found, "$program->{name}: it prints \"$text\"") or diag("it has printed:\n" . substr($program->{output}, -2000) . $program->{errors});
	}
	return;
}

# What it has printed
sub printed
{
	my ($program) = @_;

	return map { decode_json($_) } split /\n/, $program->{output};
}

sub end_programs
{
	my (@programs) = @_;

	$_->{handle}->kill_kill foreach @programs;
	kill 'KILL', map { $_->{proxy} } @programs;
	reap(map { $_->{proxy} } @programs);
	@running = ();
	return;
}

# One play for all of them
sub play
{
	my (@programs) = @_;
	my $admin = connect_to($node);
	my $sends = sub { value($admin, 'SELECT (chatrel.send_group_message(?, ?, as_user => ?)).id', @_) };
	my $print = sub { print_it(\@programs, @_) };
	my $listen = sub {
		wait_until(sub { pump(@programs); return @programs ==
					value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle' AND query LIKE '%chatrel.sync%'}) })
			or die 'they do not listen';
	};
	my $terminate = sub { value($admin, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'}) };

	$print->('before it begins');
	$listen->();
	$sends->(1, 'live', 1);
	$print->('live');
	$sends->(1, "number $_", 1 + $_ % 4) foreach 1 .. 300;
	$print->('number 300');

	# longer than an event, and what JSON makes longer
	$admin->do('SET chatrel.max_message_length = 10000');
	$sends->(2, 'long ' . 'x' x 9000, 1);
	$sends->(2, qq{"quoted"\nand two lines \\ \x{263a}}, 1);
	$sends->(2, 'after the long one', 1);
	$print->('after the long one');

	# what else happens, and what is only heard
	my $message = $sends->(1, 'to be edited', 1);
	$print->('to be edited');
	value($admin, 'SELECT chatrel.edit_message(1, ?, ?, as_user => 1)', $message, 'edited');
	value($admin, 'SELECT chatrel.add_reaction(1, ?, ?, as_user => 3)', $message, "\x{2603}");
	value($admin, 'SELECT chatrel.pin_message(1, ?, as_user => 1)', $message);
	value($admin, q{SELECT chatrel.publish(1, 'poll_opened', '{"datetime": "noon"}', as_user => 3)});
	value($admin, 'SELECT chatrel.mark_read(1, ?, as_user => 3)', $message);
	$print->('what else happens', qr/"read"/);

	# a member leaves: the others are told to listen to another channel, to which also goes what the
	# member said before in the same transaction
	$admin->begin_work;
	value($admin, q{SELECT chatrel.send_group_message(1, 'goodbye', mentions => ARRAY[2], as_user => 4)});
	value($admin, 'SELECT chatrel.leave_group(1, as_user => 4)');
	$admin->commit;
	$sends->(1, 'after a member has left', 1);
	$print->('after a member has left');
	like($_->{output}, qr/"goodbye".*"member_left"/s, "$_->{name}: first what a member says, and then that it has left") foreach @programs;
	$sends->(1, 'on the new channel', 1);
	$print->('on the new channel');

	# new groups: one that is joined, a private one with a role in it, a direct conversation
	my $group = value($admin, q{SELECT (chatrel.create_group('new', true, as_user => 1)).id});
	value($admin, 'SELECT chatrel.join_group(?, as_user => 2)', $group);
	$sends->($group, 'in a new group', 1);
	$print->('in a new group');
	my $club = value($admin, q{SELECT (chatrel.create_group('club', visibility => 'private', as_user => 1)).id});
	value($admin, 'SELECT chatrel.invite(?, ARRAY[2], as_user => 1)', $club);
	value($admin, 'SELECT chatrel.join_group(?, as_user => 2)', $club);
	value($admin, q{SELECT chatrel.set_role(?, 2, 'moderator', as_user => 1)}, $club);
	my $direct = value($admin, q{SELECT chatrel.direct_group(ARRAY[2], as_user => 3) ->> 'id'});
	$sends->($direct, 'between us', 3);
	$print->('between us');

	# the connection ends, with messages before, while and after it is away
	$sends->(1, 'just before it is terminated', 1);
	$terminate->();
	$sends->(1, "while it is away $_", 1) foreach 1 .. 150;
	$print->('while it is away 150');
	$listen->();
	$sends->(1, 'after it was terminated', 1);
	$print->('after it was terminated');

	# a message that commits late, with a lower id than others that were printed
	my $late = connect_to($node);
	$late->begin_work;
	value($late, q{SELECT chatrel.send_group_message(1, 'late', as_user => 1)});
	$sends->(1, 'not late', 1);
	$print->('not late');
	$terminate->();
	$listen->();
	$late->commit;
	$print->('late');

	# nothing comes from the server any more, nor goes there, and nobody says so
	$listen->();
	kill 'USR1', map { $_->{proxy} } @programs;
	$sends->(1, 'after the connection was lost without a word', 1);
	$print->('after the connection was lost without a word');

	# the server is away for a while: they try again, less and less often
	$_->disconnect foreach $admin, $late;
	my %tries = map { $_->{name} => scalar(() = retries($_)) } @programs;
	$node->stop;
	foreach my $program (@programs)
	{
		ok(wait_until(sub { (() = retries($program)) >= $tries{ $program->{name} } + 4 }), "$program->{name}: it tries again");
		my @pauses = (retries($program))[ map { $tries{ $program->{name} } + $_ } 0 .. 3 ];
		cmp_ok($pauses[3], '>=', 2 * $pauses[0], "... after longer and longer times: @pauses");
	}
	$node->start;
	$admin = connect_to($node);
	$sends->(1, 'after the restart', 1);
	$print->('after the restart');
	$sends->(1, 'the end', 1);
	$print->('the end');

	my $expected = expected($admin);
	foreach my $program (@programs)
	{
		my $name = $program->{name};
		my @printed = printed($program);

		is_deeply(apply_edits(@printed), [], "$name: nothing before the message that it is about");
		is_deeply(comparable($admin, grep { body($_)->{datetime} } @printed), $expected, "$name: every event as it happened, once");
		# who comes and goes depends on when it is looked at
		is_deeply([ grep { !body($_)->{datetime} && !$_->{presence} } @printed ], [
				{ poll_opened => { group_id => 1, user_id => 3, payload => { datetime => 'noon' } } },
				{ read => { group_id => 1, user_id => 3, message_id => $message } } ], "$name: and what is only heard");
	}
	$admin->disconnect;
	end_programs(@programs);
	return;
}

# Where groups are behind a proxy (doc/scale-out.md), each program listens to one of two shards,
# and everything is sent through that proxy.
sub play_on_shards
{
	my (%start) = @_;
	my $cluster = Shards->new(2);
	my @shards = @{ $cluster->{all} }[ 1, 2 ];

	$cluster->call(q{SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, 4) AS i});
	$cluster->caught_up(1, 2);
	$_->safe_psql('postgres', $FOR_APP) foreach @shards;
	my $calls = connect_to($cluster->{proxy});
	my $sends = sub { value($calls, 'SELECT (chatrel.send_group_message(?, ?, as_user => 1)).id', @_) };
	my @groups = map { $cluster->create_group_on($_, 'old') } 1, 2;
	foreach my $group (@groups)
	{
		value($calls, 'SELECT chatrel.join_group(?, as_user => ?)', $group, $_) foreach 2 .. 4;
		$sends->($group, 'before it begins');
	}
	my @names = sort keys %start;
	my @programs = map { start_example($shards[ $_ % 2 ], @{ $start{ $names[$_] } }) } 0 .. $#names;

	print_it(\@programs, 'before it begins');
	$sends->($groups[ $_ % 2 ], "number $_") foreach 1 .. 100;
	print_it(\@programs, 'the first half', qr/"number (?:99|100)"/);
	foreach my $group (@groups)
	{
		value($calls, 'SELECT chatrel.edit_message(?, ?, ?, as_user => 1)', $group, $sends->($group, 'to be edited'), 'edited');
		value($calls, 'SELECT chatrel.leave_group(?, as_user => 4)', $group);    # and the group gets another channel
	}
	value($calls, 'SELECT chatrel.join_group(?, as_user => 2)', $cluster->create_group_on($_, 'new')) foreach 1, 2;
	$_->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'}) foreach @shards;
	$sends->($_->[0], 'the end') foreach @{ $calls->selectall_arrayref('SELECT id FROM chatrel.my_groups(as_user => 2)') };
	print_it(\@programs, 'the end');
	foreach my $program (@programs)
	{
		my $truth = connect_to($program->{server});
		my $expected = expected($truth);
		my $kept = sub { grep { body($_)->{datetime} } printed($program) };

		wait_until(sub { pump(@programs); return @{ comparable($truth, $kept->()) } >= @$expected }, 30);
		my @printed = $kept->();
		is_deeply(apply_edits(@printed), [], "$program->{name}: nothing before the message that it is about");
		is_deeply(comparable($truth, @printed), $expected, "$program->{name}: every event of its shard, once");
		$truth->disconnect;
	}
	$calls->disconnect;
	end_programs(@programs);
	$cluster->stop;
	return;
}

my %commands = (
	'listener.c' => [ listener_in_c() ],
	'listener.mjs' => [ listener_in_node() ],
	map { ("listener_$_.py" => [ listener_in_python($_) ]) } 'psycopg', 'asyncpg');
my %start;    # program -> its name, and its command as user 2

foreach my $name (sort keys %commands)
{
	my ($command, $why_not) = @{ $commands{$name} };

	# The first argument of the program in C says how to connect; the environment does here.
	$start{$name} = [ $name, @$command, $name eq 'listener.c' ? '' : (), '2' ] if $command;
	subtest $name => sub { plan skip_all => $why_not } unless $command;
}
play(map { start_example($node, @{ $start{$_} }) } sort keys %start);
subtest 'groups on shards' => sub {
	plan skip_all => Shards::missing() if Shards::missing();
	play_on_shards(%start);
};

foreach my $example (glob "$examples/listener*.*")
{
	cmp_ok(scalar(() = slurp_file($example) =~ /\n/g), '<', 150, $example =~ s{.*/}{}r . ' is short');
}

$node->stop;
done_testing();
