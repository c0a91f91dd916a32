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
use Test::More;

my $examples = "$FindBin::RealBin/../../examples";
my $temporary = PostgreSQL::Test::Utils::tempdir();

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

my $node = new_server('main');
set_up($node, groups => 2);
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
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

sub test_example
{
	my ($name, $command, @arguments) = @_;
	my ($output, $errors) = ('', '');
	my $admin = connect_to($node);
	my ($proxy, $proxy_port) = start_proxy($node);
	my $handle = do
	{
		local %ENV = (%ENV, PGHOST => '127.0.0.1', PGPORT => $proxy_port, PGDATABASE => 'postgres', PGUSER => 'app',
			SYNC_EVERY_MS => 500, ANSWER_WITHIN_MS => 500);
		IPC::Run::start([ @$command, @arguments, '2' ], '<', \undef, '>', \$output, '2>', \$errors);
	};
	my $sends = sub { value($admin, 'SELECT (chatrel.send_group_message(?, ?, as_user => ?)).id', @_) };
	my $prints = sub {
		my ($text) = @_;
		my $found = wait_until(sub { $handle->pump_nb; return $output =~ /"group_message": ?\{.*"message": ?"\Q$text\E"/ }, 30);
		ok($found, "$name: it prints \"$text\"") or diag("it has printed:\n$output$errors");
	};
	my $retries = sub { $handle->pump_nb; return map { $_ } $errors =~ /trying again in (\d+) ms/g };
	my $listens = sub {
		wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle' AND query LIKE '%chatrel.sync%'}) });
	};

	$prints->('before it begins');
	$listens->();
	$sends->(1, 'live', 1);
	$prints->('live');
	$sends->(1, "$name $_", 1 + $_ % 4) foreach 1 .. 300;
	$prints->("$name 300");

	# longer than an event, and what JSON makes longer
	$admin->do('SET chatrel.max_message_length = 10000');
	$sends->(2, 'long ' . 'x' x 9000, 1);
	$sends->(2, qq{"quoted"\nand two lines \\ \x{263a}}, 1);
	$sends->(2, 'after the long one', 1);
	$prints->('after the long one');

	# what else happens, and what is only heard
	my $message = $sends->(1, "$name is edited", 1);
	$prints->("$name is edited");
	value($admin, 'SELECT chatrel.edit_message(1, ?, ?, as_user => 1)', $message, 'edited');
	value($admin, 'SELECT chatrel.add_reaction(1, ?, ?, as_user => 3)', $message, "\x{2603}");
	value($admin, 'SELECT chatrel.pin_message(1, ?, as_user => 1)', $message);
	value($admin, q{SELECT chatrel.publish(1, 'poll_opened', '{"datetime": "noon"}', as_user => 3)});
	value($admin, 'SELECT chatrel.mark_read(1, ?, as_user => 3)', $message);
	ok(wait_until(sub { $handle->pump_nb; return $output =~ /"read"/ }), "$name: it prints what else happens")
		or diag("it has printed:\n$output$errors");

	# a member leaves: the others are told to listen to another channel, to which also goes what the
	# member said before in the same transaction
	$admin->begin_work;
	value($admin, q{SELECT chatrel.send_group_message(1, 'goodbye', mentions => ARRAY[2], as_user => 4)});
	value($admin, 'SELECT chatrel.leave_group(1, as_user => 4)');
	$admin->commit;
	$sends->(1, 'after a member has left', 1);
	$prints->('after a member has left');
	like($output, qr/"goodbye".*"member_left"/s, "$name: first what a member says, and then that it has left");
	$sends->(1, 'on the new channel', 1);
	$prints->('on the new channel');
	value($admin, 'SELECT chatrel.join_group(1, as_user => 4)');

	# a new group
	my $group = value($admin, 'SELECT (chatrel.create_group(?, true, as_user => 1)).id', "new to $name");
	value($admin, 'SELECT chatrel.join_group(?, as_user => 2)', $group);
	$sends->($group, 'in a new group', 1);
	$prints->('in a new group');

	# the connection ends, with messages before, while and after it is away
	$sends->(1, 'just before it is terminated', 1);
	value($admin, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'});
	$sends->(1, "while it is away $_", 1) foreach 1 .. 150;
	$prints->('while it is away 150');
	$listens->();
	$sends->(1, 'after it was terminated', 1);
	$prints->('after it was terminated');

	# a message that commits late, with a lower id than others that were printed
	my $late = connect_to($node);
	$late->begin_work;
	value($late, q{SELECT chatrel.send_group_message(1, 'late', as_user => 1)});
	$sends->(1, 'not late', 1);
	$prints->('not late');
	value($admin, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'});
	$listens->();
	$late->commit;
	$prints->('late');

	# nothing comes from the server any more, nor goes there, and nobody says so
	$listens->();
	kill 'USR1', $proxy;
	$sends->(1, 'after the connection was lost without a word', 1);
	$prints->('after the connection was lost without a word');

	# the server is away for a while: it tries again, less and less often
	$admin->disconnect;
	$late->disconnect;
	my $tries = $retries->();
	$node->stop;
	ok(wait_until(sub { $retries->() >= $tries + 4 }), "$name: it tries again");
	my @pauses = splice @{ [ $retries->() ] }, $tries, 4;
	cmp_ok($pauses[3], '>=', 2 * $pauses[0], "... after longer and longer times: @pauses");
	$node->start;
	$admin = connect_to($node);
	$sends->(1, 'after the restart', 1);
	$prints->('after the restart');

	$sends->(1, 'the end', 1);
	$prints->('the end');
	$handle->pump_nb;
	my @printed = map { decode_json($_) } split /\n/, $output;
	is_deeply(apply_edits(@printed), [], "$name: nothing before the message that it is about");
	is_deeply(comparable($admin, grep { body($_)->{datetime} } @printed), expected($admin), "$name: every event as it happened, once");
	is_deeply([ grep { !body($_)->{datetime} } @printed ], [
			{ poll_opened => { group_id => 1, user_id => 3, payload => { datetime => 'noon' } } },
			{ read => { group_id => 1, user_id => 3, message_id => $message } } ], "$name: and what is only heard");

	$handle->kill_kill;
	kill 'KILL', $proxy;
	reap($proxy);
	$admin->do('TRUNCATE chatrel.groups_messages, chatrel.events CASCADE');
	value($admin, q{SELECT chatrel.send_group_message(1, 'before it begins', as_user => 1)});
	$admin->disconnect;
	return;
}

subtest 'listener.c' => sub {
	my ($command, $why_not) = listener_in_c();

	plan skip_all => $why_not unless $command;
	test_example('listener.c', $command, '');
};

subtest 'listener.mjs' => sub {
	my ($command, $why_not) = listener_in_node();

	plan skip_all => $why_not unless $command;
	test_example('listener.mjs', $command);
};

foreach my $example (glob "$examples/listener.*")
{
	cmp_ok(scalar(() = slurp_file($example) =~ /\n/g), '<', 150, $example =~ s{.*/}{}r . ' is short');
}

$node->stop;
done_testing();
