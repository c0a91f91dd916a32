# What becomes of a session's messages and events when the session is cancelled,
# killed, prepared for two-phase commit, or full of savepoints.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\nrestart_after_crash = on\n");
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	CREATE TABLE other (a int);
	SELECT chatrel.create_user(name) FROM unnest(ARRAY['ann', 'bob']) AS name;
	SELECT chatrel.create_group('g', true, as_user => 1);
	SELECT chatrel.join_group(1, as_user => 2);
});

# The texts of the messages in the group
sub sent
{
	return $node->safe_psql('postgres', q{SELECT coalesce(string_agg(message, ' ' ORDER BY id), '') FROM chatrel.groups_messages});
}

# A session of ann's that listens
sub listener
{
	my $psql = $node->background_psql('postgres');

	$psql->query_safe('SELECT chatrel.listen_group(1, as_user => 1)');
	return $psql;
}

# The texts of the messages that a session has heard since it was last asked
sub heard
{
	my ($psql) = @_;

	return join(' ', $psql->query_safe('SELECT 1') =~ /"message": "([^"]*)"/g);
}

# A session that has removed bob from the group, and not committed: his sends wait for it
sub blocker
{
	my $blocker = $node->background_psql('postgres');

	$blocker->query_safe('BEGIN');
	$blocker->query_safe('SELECT chatrel.leave_group(1, as_user => 2)');
	return $blocker;
}

sub unblock
{
	my ($blocker) = @_;

	$blocker->query_safe('ROLLBACK');
	$blocker->quit;
}

###########################################################################
# cancelling
###########################################################################

my $listener = listener();
my $sender = $node->background_psql('postgres', on_error_stop => 0);

my $pid = $sender->query_safe('SELECT pg_backend_pid()');
my $blocker = blocker();
$sender->query_until(qr/sending/, "\\echo sending\nSELECT chatrel.send_group_message(1, 'cancelled', as_user => 2);\n");
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
	or die 'the send does not wait';
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is($sender->query('SELECT 1'), '1', 'cancel: the session goes on');
like($sender->{stderr}, qr/canceling statement due to user request/, 'cancel: the send was cancelled');
$sender->{stderr} = '';
is(sent(), '', 'cancel: no message');
unblock($blocker);
$sender->query_safe(q{SELECT chatrel.send_group_message(1, 'after-cancel', as_user => 2)});
is(sent(), 'after-cancel', 'cancel: the session sends again');
is(heard($listener), 'after-cancel', 'cancel: what was cancelled is not heard');

$sender->query_safe(q{SET statement_timeout = '100ms'});
$blocker = blocker();
$sender->query(q{SELECT chatrel.send_group_message(1, 'timed-out', as_user => 2)});
like($sender->{stderr}, qr/canceling statement due to statement timeout/, 'timeout: the send was cancelled');
$sender->{stderr} = '';
$sender->query_safe('RESET statement_timeout');
unblock($blocker);
# within a transaction, which goes on from a savepoint before it
$blocker = blocker();
$sender->query_safe(q{BEGIN});
$sender->query_safe(q{SELECT chatrel.create_group('kept', as_user => 2)});
$sender->query_safe(q{SAVEPOINT a});
$sender->query_safe(q{SET LOCAL statement_timeout = '100ms'});
$sender->query(q{SELECT chatrel.send_group_message(1, 'timed-out', as_user => 2)});
like($sender->{stderr}, qr/canceling statement due to statement timeout/, 'timeout: cancelled within a transaction');
$sender->{stderr} = '';
$sender->query_safe(q{ROLLBACK TO a});
unblock($blocker);
$sender->query_safe(q{SELECT chatrel.send_group_message(1, 'after-timeout', as_user => 2)});
$sender->query_safe(q{COMMIT});
is(sent(), 'after-cancel after-timeout', 'timeout: no message of what was cancelled');
is(heard($listener), 'after-timeout', 'timeout: no event of what was cancelled');
is($node->safe_psql('postgres', q{SELECT count(*) FROM chatrel.groups}), '2', 'timeout: what was before the savepoint is kept');

###########################################################################
# savepoints
###########################################################################

# 3,000 savepoints in one transaction, most of them nested, each with a message;
# some are rolled back, some released, some left open.
{
	my @levels = ([]);    # the messages of each level that is open
	my @names;
	my $script = "BEGIN;\n";

	foreach my $i (1 .. 3000)
	{
		$script .= "SAVEPOINT s$i;\n";
		push @levels, [];
		push @names, "s$i";
		$script .= "SELECT FROM chatrel.send_group_message(1, 'm$i', as_user => 1);\n";
		push @{ $levels[-1] }, "m$i";

		if ($i % 7 == 0 && @names > 20)
		{
			# out of several at once
			my $name = $names[-4];
			$script .= "ROLLBACK TO $name;\n";
			splice @levels, -3;
			splice @names, -3;
			$levels[-1] = [];
		}
		elsif ($i % 3 == 0)
		{
			$script .= "ROLLBACK TO s$i;\n";
			$levels[-1] = [];
		}
		elsif ($i % 5 == 0)
		{
			$script .= "RELEASE s$i;\n";
			my $released = pop @levels;
			pop @names;
			push @{ $levels[-1] }, @$released;
		}
		if ($i % 11 == 0)
		{
			$script .= "SELECT FROM chatrel.send_group_message(1, 'n$i', as_user => 1);\n";
			push @{ $levels[-1] }, "n$i";
		}
	}
	$script .= "COMMIT;\n";
	my $expected = join ' ', map { @$_ } @levels;

	$node->safe_psql('postgres', 'TRUNCATE chatrel.groups_messages CASCADE');
	$node->safe_psql('postgres', $script);
	cmp_ok(scalar(split / /, $expected), '>', 500, 'savepoints: there is much to keep');
	is(sent(), $expected, 'savepoints: exactly the right messages');
	is(heard($listener), $expected, 'savepoints: exactly the right events, in order');
}

# and 1,000 blocks with exceptions, within each other's loops
$node->safe_psql('postgres', q{
	TRUNCATE chatrel.groups_messages CASCADE;
	DO $$
	BEGIN
		FOR i IN 1..1000 LOOP
			BEGIN
				PERFORM chatrel.send_group_message(1, 'b' || i, as_user => 1);
				BEGIN
					PERFORM chatrel.send_group_message(1, 'c' || i, as_user => 1);
					IF i % 2 = 0 THEN RAISE division_by_zero; END IF;
				EXCEPTION WHEN division_by_zero THEN NULL;
				END;
				IF i % 3 = 0 THEN RAISE no_data_found; END IF;
			EXCEPTION WHEN no_data_found THEN NULL;
			END;
		END LOOP;
	END $$;
});
my $expected = join ' ', map { $_ % 3 == 0 ? () : $_ % 2 == 0 ? "b$_" : ("b$_", "c$_") } 1 .. 1000;
is(sent(), $expected, 'blocks: exactly the right messages');
is(heard($listener), $expected, 'blocks: exactly the right events, in order');

###########################################################################
# the longest event
###########################################################################

# A NOTIFY carries 7,999 bytes at most: such an event is heard with its text, and
# one that would have 8,000 without it.
{
	my $send = sub {
		my ($length) = @_;
		$node->safe_psql('postgres', qq{
			SET chatrel.max_message_length = 10000;
			SELECT setval('chatrel.event_ids', 100000, false);
			DELETE FROM chatrel.groups_messages WHERE id = 100000;
			SELECT FROM chatrel.send_group_message(1, repeat('x', $length), '2024-01-01 00:00+00', as_user => 1)});
		my ($payload) = $listener->query_safe('SELECT 1') =~ /with payload "(.*)" received/;
		return $payload;
	};
	my $frame = length($send->(1)) - 1;

	is(length($send->(7999 - $frame)), 7999, 'edge: 7,999 bytes are heard');
	like($send->(8000 - $frame), qr/"sender_id": 1, "truncated": true}}$/, 'edge: 8,000 bytes are announced');
}

###########################################################################
# two-phase commit
###########################################################################

$node->safe_psql('postgres', 'TRUNCATE chatrel.groups_messages CASCADE');

# What a script of psql's prints on stderr, with SQLSTATEs only
sub sqlstates
{
	my ($script) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n" . $script, on_error_stop => 0);
	return join ' ', $stderr =~ /ERROR:  (\w+)/g;
}

is(sqlstates(q{BEGIN; INSERT INTO other VALUES (1); SELECT chatrel.send_group_message(1, 'prepared', as_user => 1); PREPARE TRANSACTION 'p'; ROLLBACK;}),
	'0A000', 'prepare: refused with an event to deliver');
is(sqlstates(q{BEGIN; SELECT chatrel.leave_group(1, as_user => 2); PREPARE TRANSACTION 'p'; ROLLBACK;}),
	'0A000', 'prepare: refused with any event');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM other), (SELECT count(*) FROM chatrel.groups_members)}),
	'0|0|2', 'prepare: nothing is left of it');
is(sqlstates(q{BEGIN; INSERT INTO other VALUES (2); SELECT chatrel.get_group_with_chat_history(1, as_user => 1); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';}),
	'', 'prepare: allowed where there is none');
is(sqlstates(q{BEGIN; INSERT INTO other VALUES (3); SAVEPOINT a; SELECT chatrel.send_group_message(1, 'prepared', as_user => 1); ROLLBACK TO a; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';}),
	'', 'prepare: allowed where it was rolled back');
is($node->safe_psql('postgres', 'SELECT a FROM other ORDER BY a'), "2\n3", 'prepare: what was allowed has committed');
# in one session: refused, then all goes on
is(sqlstates(q{
	BEGIN; SELECT chatrel.send_group_message(1, 'prepared', as_user => 1); PREPARE TRANSACTION 'p'; ROLLBACK;
	SELECT chatrel.send_group_message(1, 'after-prepare', as_user => 1);
	BEGIN; INSERT INTO other VALUES (4); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';}),
	'0A000', 'prepare: the session goes on');
is(sent(), 'after-prepare', 'prepare: no message of what was refused');
is(heard($listener), 'after-prepare', 'prepare: no event of what was refused');

###########################################################################
# kill -9
###########################################################################

$pid = $sender->query_safe('SELECT pg_backend_pid()');
$sender->query_safe('BEGIN');
$sender->query_safe(q{SELECT chatrel.send_group_message(1, 'killed', as_user => 2)});
$sender->query_safe(q{SELECT chatrel.leave_group(1, as_user => 2)});
my $channel = $node->safe_psql('postgres', 'SELECT channel FROM chatrel.groups_channels WHERE group_id = 1');
kill 'KILL', $pid;
$sender->{run}->finish;
$listener->{run}->finish;
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';

is(sent(), 'after-prepare', 'kill: no message');
is($node->safe_psql('postgres', q{SELECT count(*) FROM chatrel.groups_members WHERE group_id = 1}), '2', 'kill: no removal');
is($node->safe_psql('postgres', q{SELECT channel FROM chatrel.groups_channels WHERE group_id = 1}), $channel, 'kill: no new channel');
$listener = listener();
$node->safe_psql('postgres', q{SELECT chatrel.send_group_message(1, 'after-kill', as_user => 2)});
is(heard($listener), 'after-kill', 'kill: no event, and the next one is heard');
is($node->safe_psql('postgres', q{SELECT chatrel.leave_group(1, as_user => 2)}), 't', 'kill: no lock is left');
$listener->quit;

$node->stop;
done_testing();
