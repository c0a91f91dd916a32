# Who is online, as those hear it who may, and as it is asked for: sessions that listen, and how they
# end; what gateways report; and the server's memory, which it is kept in.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $node = new_server('main', conf => q{
	chatrel.presence_users = 12
	chatrel.presence_max_members = 6
	max_worker_processes = 8
	restart_after_crash = on
});

# 1 to 4 are all in the group 1; 5 is in no group, and 6 in a group with 1
set_up($node);
$node->safe_psql('postgres', q{
	SELECT count(chatrel.create_user('u' || i)) FROM generate_series(5, 30) AS i;
	SELECT chatrel.create_group('pair', true, as_user => 6), chatrel.join_group(2, as_user => 1);
});

my ($admin, $gateway, $hearer);

# The hearer is user 4, of whom nothing is said below.
sub connect_all
{
	$admin = connect_to($node);
	$gateway = Realtime::Listener->new($node, 'chatrel.listen_all()', presence => 1);
	$hearer = Realtime::Listener->new($node, 'chatrel.listen(4)', presence => 1);
	heard_from($_, 1, 4, 'true') foreach $gateway, $hearer;
	return;
}

# What a listener hears of presence, as "group user online", up to this one and since the last time
sub heard_until
{
	my ($listener, $last, $seconds) = @_;
	my @heard;

	wait_until(sub {
		push @heard, map { as_text($_) } $listener->hear(0.1);
		return grep { $_ eq $last } @heard;
	}, $seconds) or push @heard, "not heard: $last";
	return @heard;
}

sub as_text
{
	my $event = decode_json($_[0])->{presence} or return;

	return join ' ', $event->{group_id}, $event->{user_id}, $event->{online} ? 'true' : 'false',
		$event->{recipient_id} ? "for $event->{recipient_id}" : ();
}

sub heard_from
{
	my ($listener, $group, $user, $online, $seconds) = @_;

	return heard_until($listener, "$group $user $online", $seconds);
}

# Those of 1 to 6 who are online, as one of them sees it
sub online_to
{
	my ($user) = @_;

	return value($admin, q{SELECT coalesce(string_agg(user_id::text, ' '), '') FROM chatrel.presence('{1,2,3,4,5,6}', ?) WHERE online}, $user);
}

sub report
{
	my ($ttl, @users) = @_;

	return value($admin, 'SELECT chatrel.report_online(?, ?)', [@users], $ttl);
}

sub status
{
	return $admin->selectrow_hashref('SELECT * FROM chatrel.presence_status()');
}

# A user whose session ends in this way
sub session_of
{
	my ($user, %options) = @_;
	my $dbh = connect_to($node, $options{database});

	$dbh->selectall_arrayref('SELECT chatrel.listen(?)', undef, $user);
	return $dbh;
}

connect_all();

subtest 'who listens is online until the session ends' => sub {
	my $dbh = session_of(1);
	is_deeply([ heard_from($hearer, 1, 1, 'true') ], ['1 1 true'], 'the members hear it');
	is_deeply([ sort(heard_from($gateway, 2, 1, 'true')) ], [ '1 1 true', '2 1 true' ], 'a gateway for each group');
	is(online_to(2), '1 4', 'who asks is told');
	$dbh->disconnect;
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'and that it ends');
	is(online_to(2), '4', 'and who asks');
	heard_from($gateway, 2, 1, 'false');

	$dbh = session_of(1);
	heard_from($_, 1, 1, 'true') foreach $hearer;
	value($admin, 'SELECT pg_terminate_backend(?)', $dbh->{pg_pid});
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'a backend that is terminated');
	abandon($dbh);

	my $pid = spawn(sub { my $kept = session_of(1); POSIX::pause() });
	heard_from($hearer, 1, 1, 'true');
	kill 'KILL', $pid;
	reap($pid);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'a client that is killed');
};

subtest 'what ends it in the session' => sub {
	my $dbh = connect_to($node);
	foreach my $end ('SELECT chatrel.unlisten()', 'UNLISTEN *', 'DISCARD ALL')
	{
		$dbh->selectall_arrayref('SELECT chatrel.listen_group(1, as_user => 1)');
		heard_from($hearer, 1, 1, 'true');
		$dbh->do($end);
		is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], $end);
	}

	# As LISTEN and UNLISTEN do, when the transaction commits
	$dbh->begin_work;
	$dbh->selectall_arrayref('SELECT chatrel.listen(1)');
	is(online_to(2), '4', 'not before the transaction has committed');
	$dbh->rollback;
	is(online_to(2), '4', 'nor if it is rolled back');
	$dbh->begin_work;
	$dbh->do('SAVEPOINT s');
	$dbh->selectall_arrayref('SELECT chatrel.listen(1)');
	$dbh->do('ROLLBACK TO s');
	$dbh->selectall_arrayref('SELECT chatrel.listen(2)');
	$dbh->do('SAVEPOINT t');
	$dbh->selectall_arrayref('SELECT chatrel.listen(3)');
	$dbh->do('RELEASE t');
	$dbh->commit;
	is(online_to(4), '2 3 4', 'nor what a savepoint has taken back');
	$dbh->begin_work;
	$dbh->do('UNLISTEN *');
	$dbh->rollback;
	is(online_to(4), '2 3 4', 'an UNLISTEN that is rolled back');
	$dbh->disconnect;
	heard_from($hearer, 1, $_, 'false') foreach 3;
	ok(wait_until(sub { online_to(4) eq '4' }), 'the end of a session is the end for all of its users');
};

subtest 'two sessions and a report of one user' => sub {
	my @sessions = map { session_of(1) } 1 .. 2;
	heard_from($hearer, 1, 1, 'true');
	is(report('1 h', 1), 1, 'reported too');
	$_->disconnect foreach @sessions;
	ok(wait_until(sub { !value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%chatrel.listen(%' AND pid = ANY (?)},
		[ map { $_->{pg_pid} } @sessions ]) }), 'both have ended');
	is(online_to(2), '1 4', 'still reported');
	is(report('0', 1), 1, 'the report is taken back');
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'heard once, and nothing in between');
	my $dbh = session_of(1);
	heard_from($hearer, 1, 1, 'true');
	report('1 h', 1);
	report('0', 1);
	is(online_to(2), '1 4', 'a session stays when a report is taken back');
	$dbh->disconnect;
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'until it ends');
};

subtest 'a gateway that goes silent' => sub {
	is(report('1 s', 1, 2, 2, 99, -1), 2, 'those who exist, each once');
	is_deeply([ sort(heard_from($hearer, 1, 2, 'true')) ], [ '1 1 true', '1 2 true' ], 'heard');
	report('1 h', 2);
	report('1 s', 2);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'the report of one ends by itself');
	is(online_to(3), '2 4', 'that of the other was renewed, and not shortened');
	report('0', 2);
	heard_from($hearer, 1, 2, 'false');
};

subtest 'the watcher holds nothing up' => sub {
	report('1 h', 1);
	heard_from($hearer, 1, 1, 'true');
	ok(wait_until(sub { !worker_pid($admin) }), "the relay's worker leaves, whoever is online");
	report('0', 1);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'and is started when somebody goes');
	my $watcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'chatrel presence'};
	my $pid = value($admin, $watcher);
	value($admin, 'SELECT pg_terminate_backend(?)', $pid);
	ok(wait_until(sub { (value($admin, $watcher) // $pid) != $pid }), 'a watcher that is terminated is replaced');
	report('1 s', 1);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], [ '1 1 true', '1 1 false' ], 'and goes on');
};

subtest 'the worker of the relay' => sub {
	my $locker = connect_to($node);
	$locker->begin_work;
	$locker->do('LOCK TABLE chatrel.groups_members IN ACCESS EXCLUSIVE MODE');
	my $since = value($admin, 'SELECT clock_timestamp()');
	report('1 h', 1);
	ok(wait_until(sub { value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel relay'
		AND query_start > ? AND (state = 'idle' OR wait_event_type = 'Lock')}, $since) }), 'has tried to tell');
	ok(eval { $locker->do('LOCK TABLE chatrel.groups_channels IN ACCESS EXCLUSIVE MODE NOWAIT'); 1 }, 'waits for no table while it holds another');
	$locker->commit;
	$locker->disconnect;
	is_deeply([ heard_from($hearer, 1, 1, 'true') ], ['1 1 true'], 'and tries again');

	ok(wait_until(sub { !worker_pid($admin) }), 'it leaves');
	value($admin, q{SELECT chatrel.publish(1, 'hello', '{}', 1)});
	my $pid;
	wait_until(sub { $pid = worker_pid($admin) }) or die 'no worker';
	value($admin, 'SELECT pg_terminate_backend(?)', $pid);
	report('0', 1);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], ['1 1 false'], 'where it is terminated, another tells');
};

subtest 'users who are deleted' => sub {
	my $id = value($admin, q{SELECT id FROM chatrel.create_user('short')});
	value($admin, 'SELECT chatrel.join_group(1, ?)', $id);
	report('1 s', $id);
	is_deeply([ heard_from($hearer, 1, $id, 'true') ], ["1 $id true"], 'while it is there');
	my $session = session_of($id);
	value($admin, 'SELECT chatrel.delete_user(?)', $id);
	$hearer->{dbh}->selectall_arrayref('SELECT chatrel.listen(4)');
	is(value($admin, 'SELECT online FROM chatrel.presence(ARRAY[?::bigint], 2)', $id), 0, 'is seen by nobody');
	is(report('1 h', $id), 0, 'cannot be reported');
	$session->disconnect;
	report('1 s', 1);
	is_deeply([ heard_from($hearer, 1, 1, 'false') ], [ '1 1 true', '1 1 false' ], 'and nobody hears that it has gone');
};

subtest 'who is told' => sub {
	my $stranger = Realtime::Listener->new($node, 'chatrel.listen(5)', presence => 1);
	report('1 h', 1, 5, 6);
	heard_from($hearer, 1, 1, 'true');
	is(online_to(5), '5', 'a stranger sees itself alone');
	is(online_to(6), '1 6', 'members of a group each other');
	is(online_to(2), '1 4', 'and no others');
	$admin->do('SELECT chatrel.follow(5, as_user => 6)');
	is(online_to(6), '1 6', 'a follower no more');
	$admin->do('SELECT chatrel.follow(6, as_user => 5)');
	is(online_to(6) . ', ' . online_to(5), '1 5 6, 5 6', 'friends each other');
	$admin->do('SELECT chatrel.block(1, as_user => 6)');
	is(online_to(6) . ', ' . online_to(1), '5 6, 1 4', 'but not where there is a block, either way');
	$admin->do('SELECT chatrel.unblock(1, as_user => 6)');

	# The group that is told goes around who is not to know
	my @listeners = map { Realtime::Listener->new($node, "chatrel.listen($_)", presence => 1) } 2, 3;
	heard_from($hearer, 1, 3, 'true');
	$admin->do('SELECT chatrel.block(1, as_user => 2)');
	heard_until($_, '1 3 true') foreach @listeners;
	heard_until($gateway, '1 3 true');
	report('0', 1);
	is_deeply([ heard_until($hearer, '1 1 false for 4') ], ['1 1 false for 4'], 'each of the others on its own channel');
	is_deeply([ heard_until($listeners[1], '1 1 false for 3') ], ['1 1 false for 3'], 'each');
	is_deeply([ sort(heard_until($gateway, '2 1 false')) ], [ '1 1 false for 1', '1 1 false for 3', '1 1 false for 4', '2 1 false' ], 'and gateways are told for whom');
	$admin->do('SELECT chatrel.unblock(1, as_user => 2)');
	report('1 h', 1);
	is_deeply([ heard_until($listeners[0], '1 1 true') ], ['1 1 true'], 'who had a block with the user has heard nothing');
	is_deeply([ grep { /presence/ } $stranger->hear(0) ], [], 'nor has a stranger');
	$_->{dbh}->disconnect foreach @listeners, $stranger;
	report('0', 1, 5, 6);
	heard_until($hearer, '1 3 false');
};

subtest 'large groups are not told' => sub {
	$admin->do('SELECT count(chatrel.join_group(1, as_user => u)) FROM generate_series(7, 9) AS u');
	heard_until($gateway, 'the end of what was', 0.2);
	report('1 h', 1);
	is_deeply([ heard_until($gateway, '2 1 true') ], ['2 1 true'], 'the small group alone');
	is(online_to(2), '1 4', 'who asks is told');
	$node->append_conf('postgresql.conf', 'chatrel.presence_max_members = 7');
	$node->reload;
	wait_until(sub { value($admin, 'SHOW chatrel.presence_max_members') == 7 }) or die 'not reloaded';
	report('0', 1);
	is_deeply([ sort(heard_until($gateway, '2 1 false')) ], [ '1 1 false', '2 1 false' ], 'a parameter says what is large');
	heard_from($hearer, 1, 1, 'false');
	$admin->do('SELECT count(chatrel.leave_group(1, as_user => u)) FROM generate_series(7, 9) AS u');
	$hearer->{dbh}->selectall_arrayref('SELECT chatrel.listen(4)');
};

subtest 'more users than there is room for' => sub {
	my $log = -s $node->logfile;
	my $room = status()->{room};
	is($room, 12, 'the room is known');
	my $left = $room - status()->{online};
	is(report('1 h', 7 .. 30), $left, 'a report takes those for whom there is room');
	is(status()->{online}, $room, 'it is full');
	is(status()->{turned_away}, 24 - $left, 'the others are counted');
	my $dbh = session_of(1);
	is(online_to(2), '4', 'a session goes on, and its user is not online');
	$node->wait_for_log(qr/LOG:  there was no room for a user who is online/, $log);
	report('0', 7 .. 20);
	is($dbh->selectrow_array('SELECT count(*) FROM chatrel.listen(1)'), 3, 'when it listens again');
	heard_from($hearer, 1, 1, 'true');
	is(online_to(2), '1 4', 'it is, since there is room');
	$dbh->disconnect;
	heard_from($hearer, 1, 1, 'false');
	report('0', 7 .. 30);
	ok(wait_until(sub { status()->{online} == 1 }), 'and all are gone');
};

subtest 'databases' => sub {
	$admin->do('CREATE DATABASE other');
	set_up($node, database => 'other');
	my $dbh = session_of(1, database => 'other');
	my $listener = Realtime::Listener->new($node, 'chatrel.listen(2)', database => 'other', presence => 1);
	heard_from($listener, 1, 2, 'true');
	is(online_to(2), '4', 'the same id is another user');
	is(value($dbh, q{SELECT count(*) FROM chatrel.presence('{1,2}', 3) WHERE online}), 2, 'who is online there');
	value($dbh, q{SELECT chatrel.report_online('{3,4}', '1 h')});
	$_->disconnect foreach $dbh, $listener->{dbh};
	ok(eval { $admin->do('DROP DATABASE other'); 1 }, 'it can be dropped') or diag $@;
	is(status()->{online}, 3, 'what was reported of it ends with its time');

	# Another extension has other users
	$admin->do('CREATE DATABASE again');
	set_up($node, database => 'again');
	$dbh = session_of(1, database => 'again');
	$dbh->do('SET client_min_messages = error; DROP EXTENSION chatrel CASCADE');
	set_up($node, database => 'again');
	is(value($dbh, q{SELECT count(*) FROM chatrel.presence('{1,2}', 2) WHERE online}), 0, 'who listened to another extension');
	$dbh->disconnect;
	ok(eval { $admin->do('DROP DATABASE again'); 1 }, 'it can be dropped') or diag $@;
};

subtest 'typing' => sub {
	is(value($admin, 'SELECT chatrel.typing(1, 1)'), 1, 'is announced');
	is(value($admin, 'SELECT chatrel.typing(1, 1)'), 0, 'once');
	is(value($admin, 'SELECT chatrel.typing(2, 1)'), 1, 'in each group');
	is(value($admin, 'SELECT chatrel.typing(1, 2)'), 1, 'by each user');
	my @heard;
	wait_until(sub { push @heard, grep { /typing/ } $hearer->hear(0.1); return @heard >= 2 });
	is_deeply(\@heard, [ '{"typing": {"group_id": 1, "user_id": 1}}', '{"typing": {"group_id": 1, "user_id": 2}}' ], 'members hear it');
	ok(wait_until(sub { value($admin, 'SELECT chatrel.typing(1, 1)') }), 'after a while again');
	ok(wait_until(sub { grep { /typing/ } $hearer->hear(0.1) }), 'and heard');
};

subtest 'who may type' => sub {
	my $says = sub { return eval { value($admin, 'SELECT chatrel.typing(?, ?)', @_) } // $admin->state };
	my $direct = value($admin, q{SELECT (chatrel.direct_group('{7}', 8) ->> 'id')::bigint});

	is($says->(1, 5), 'P0002', 'no stranger');
	is($says->(99, 1), 'P0002', 'no such group');
	$admin->do('SELECT chatrel.mute_member(1, 3, as_user => 1)');
	is($says->(1, 3), '42501', 'nobody who is muted');
	is($says->($direct, 7), 1, 'in a direct conversation');
	$admin->do('SELECT chatrel.block(7, as_user => 8)');
	is($says->($direct, 7) . $says->($direct, 8), '4250142501', 'but not where there is a block');
	$admin->do(q{SELECT chatrel.update_group(1, slow_mode => '1 h', as_user => 1)});
	is($says->(1, 4), 1, 'in slow mode');
	$admin->do(q{SELECT chatrel.send_group_message(1, 'x', as_user => 4)});
	is($says->(1, 4), 0, 'which it has nothing to do with');
	$admin->do(q{SELECT chatrel.update_group(1, posting => 'moderators', as_user => 1)});
	is($says->(1, 4), '42501', 'where members post');
	$admin->do(q{SELECT chatrel.archive_group(2, as_user => 6)});
	is($says->(2, 6), '55000', 'not in an archived group');
	my @heard;
	value($admin, q{SELECT chatrel.publish(1, 'the_end', '{}', 1)});
	wait_until(sub { push @heard, $hearer->hear(0.1); return grep { /the_end/ } @heard });
	is_deeply([ grep { /typing/ } @heard ], ['{"typing": {"group_id": 1, "user_id": 4}}'], 'nothing is heard of the others');
};

subtest 'an attacker' => sub {
	$admin->do($_) foreach 'CREATE ROLE eve LOGIN', 'GRANT USAGE ON SCHEMA chatrel TO eve', q{UPDATE chatrel.users SET role_name = 'eve' WHERE id = 5},
		'SELECT chatrel.unfollow(6, as_user => 5)';
	my $eve = connect_to($node, 'postgres', user => 'eve');
	report('1 h', 1, 6);
	is($eve->selectrow_array(q{SELECT count(*) FROM chatrel.presence('{1,2,3,4,6,99}') WHERE online}), 0, 'sees no stranger');
	foreach my $call (q{chatrel.presence('{1}', 4)}, q{chatrel.report_online('{1}', '0')}, q{chatrel.presence_status()})
	{
		ok(!eval { $eve->do("SELECT * FROM $call"); 1 }, $call);
		is($eve->state, '42501', 'is denied');
	}
	is(online_to(2), '1 4', 'nothing has changed');
	$eve->disconnect;
	report('0', 1, 6);
};

subtest 'a crash of the server' => sub {
	report('1 h', 1);
	my $log = -s $node->logfile;
	kill 'KILL', $hearer->{dbh}{pg_pid};
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	abandon($admin, $_->{dbh}) foreach $gateway, $hearer;
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	$admin = connect_to($node);
	is_deeply(status(), { online => 0, room => 12, turned_away => 0 }, 'nobody is online');
	connect_all();
	report('1 h', 1);
	is_deeply([ heard_from($hearer, 1, 1, 'true') ], ['1 1 true'], 'and it goes on');
};

$node->stop;

subtest 'switched off' => sub {
	$node->append_conf('postgresql.conf', 'chatrel.presence_users = 0');
	$node->start;
	$admin = connect_to($node);
	foreach my $call (q{presence('{1}', 1)}, q{report_online('{1}', '1 s')}, 'typing(1, 1)')
	{
		ok(!eval { $admin->do("SELECT chatrel.$call"); 1 }, $call);
		is($admin->state, '55000', 'says so');
	}
	is($admin->selectrow_array('SELECT count(*) FROM chatrel.presence_status()'), 0, 'no status');
	is(value($admin, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'chatrel presence'}), 0, 'and no watcher');
	$node->stop;
};

done_testing();
