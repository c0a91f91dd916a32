# Attacks that need sessions of their own: to learn a channel's name, to be
# somebody else from the first moment of a session, to keep others from working,
# to go on hearing.  eve is a database user with a chatrel user of her own; out
# has no right to the schema.  What PostgreSQL cannot prevent is tested too, and
# said in doc/security.md; those tests begin with "caveat:".
# test/pgtap/attack_*.sql has what one session can try.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use DBD::Pg ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $node = new_server('main', not_preloaded => 1, conf => q{
	log_statement = all
	max_prepared_transactions = 4
	chatrel.relay_idle_timeout = 4s
});
my $channel = qr/chatrel_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

# Users 1 and 2 are in groups 1 (with eve, who is user 3) and 2 (without her).
$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;
	CREATE ROLE ann LOGIN;
	CREATE ROLE eve LOGIN;
	CREATE ROLE app LOGIN;
	CREATE ROLE out LOGIN;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE signal LOGIN IN ROLE pg_signal_backend;
	GRANT USAGE ON SCHEMA chatrel TO ann, eve, app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
	SELECT chatrel.create_user('ann', 'ann'), chatrel.create_user('bob'), chatrel.create_user('eve', 'eve');
	SELECT chatrel.create_group('all', as_user => 1), chatrel.create_group('private', as_user => 1);
	SELECT count(chatrel.join_group(g, as_user => u)) FROM generate_series(1, 2) g, generate_series(1, 2) u;
	SELECT chatrel.join_group(1, as_user => 3);
	CREATE SCHEMA eve AUTHORIZATION eve;
	CREATE FUNCTION public.say(text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
		AS 'SELECT id FROM chatrel.send_group_message(2, $1, as_user => 1)';
	ALTER FUNCTION public.say OWNER TO app;
});

sub as
{
	my ($role) = @_;

	return connect_to($node, 'postgres', user => $role);
}

# What psql prints, as text and as errors, for the script of a role.
sub psql_as
{
	my ($role, $sql) = @_;
	my ($stdout, $stderr);

	$node->psql('postgres', $sql, stdout => \$stdout, stderr => \$stderr, extra_params => [ '-U', $role ], on_error_stop => 0);
	return "$stdout\n$stderr";
}

# The SQLSTATE that a statement fails with, or '' if it does not.
sub failure
{
	my ($dbh, $sql) = @_;

	return eval { $dbh->do($sql); 1 } ? '' : $dbh->state;
}

# Does a listener hear a message, before patience is at its end?
sub hears
{
	my ($listener, $text) = @_;

	return scalar eval { grep { $_ eq $text } $listener->texts_until($text) };
}

my ($admin, $ann, $eve) = (connect_to($node), as('ann'), as('eve'));

sub reconnect
{
	($admin, $ann, $eve) = (connect_to($node), as('ann'), as('eve'));
	return;
}

# ---------- learning the name of a channel ----------

# What eve gets to see of what her own session does, with every setting that shows more.
my $curious = q{
	SET client_min_messages = debug5;
	SET trace_notify = on;
	SET debug_print_parse = on;
	SET debug_print_rewritten = on;
	SET debug_print_plan = on;
	SET log_parameter_max_length_on_error = -1;
	SELECT chatrel.unfollow(1);
	SELECT chatrel.follow(1);
	SELECT chatrel.send_group_message(1, 'curious');
	SELECT chatrel.join_group(2);
	SELECT chatrel.leave_group(2);
	SELECT 1/0;
};

sub learns_nothing
{
	my ($way) = @_;
	my $shown = psql_as('eve', $curious);

	unlike($shown, $channel, "the name of a channel is not shown to who sends to it, $way");
	like($shown, qr/send_group_message/, 'though much else is');
	return;
}

my $gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');
my $victim = Realtime::Listener->new($node, 'chatrel.listen(as_user => 1)');
my @names = map { $_->[0] } @{ $admin->selectall_arrayref(q{
	SELECT 'chatrel_' || channel FROM (SELECT channel FROM chatrel.all_channel UNION ALL SELECT channel FROM chatrel.users_channels UNION ALL SELECT channel FROM chatrel.groups_channels) c}) };

is(scalar(grep { /^$channel$/ } @names), scalar(@names), 'every channel is a random uuid, of version 4');
is(scalar(keys %{ { map { $_ => 1 } @names } }), scalar(@names), 'of its own');
learns_nothing('with NOTIFY in the transaction');
is(value($eve, 'SELECT count(*) FROM pg_listening_channels()'), 0, 'nor what others listen to');
is(value($eve, q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'listen|chatrel_' AND usename = 'postgres'}), 0, 'nor their queries');
cmp_ok(value(as('monitor'), q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'chatrel.listen'}), '>', 0,
	'a monitoring role sees that somebody calls listen()');
is(value(as('monitor'), q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'chatrel_[0-9a-f]{8}-'}), 0, 'but no name');
{
	my $client = connect_to($node);

	$client->do("LISTEN \"$names[0]\"");
	cmp_ok(value(as('monitor'), q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'chatrel_[0-9a-f]{8}-'}), '>', 0,
		'caveat: a name is seen by a monitoring role where a client issues LISTEN by itself');
}
is($eve->selectrow_array('SELECT count(*) FROM chatrel.listen()'), 2, 'eve is told the names of her own');
unlike(join("\n", grep { !/LISTEN "/ } split(/\n/, slurp_file($node->logfile))), $channel, 'the server does not log any, but in such a statement');

# ---------- forging, and going on hearing ----------

my $shared = value($eve, 'SELECT chatrel.listen_group(1)');
$eve->do(qq{NOTIFY "$shared", '{"group_message": {"id": 1, "group_id": 1, "sender_id": 2, "message": "forged"}}'});
ok(hears($victim, 'forged'), 'caveat: who may hear a channel can forge an event on it');
is(value($ann, q{SELECT count(*) FROM chatrel.groups_messages WHERE message = 'forged'})
	+ value($ann, q{SELECT count(*) FROM jsonb_path_query(chatrel.sync(), '$.events[*].group_message') m WHERE m ->> 'message' = 'forged'}), 0,
	'which is not in the table, and not in what sync says');

my $spy = Realtime::Listener->new($node, 'chatrel.listen_group(1, as_user => 3)');
$admin->do(q{REVOKE USAGE ON SCHEMA chatrel FROM eve});
$admin->do(q{UPDATE chatrel.users SET role_name = NULL WHERE id = 3});
value($admin, q{SELECT chatrel.send_group_message(1, 'still', as_user => 1)});
ok(hears($spy, 'still'), q{caveat: to take a role's rights does not take the channels that it knows});
value($admin, q{SELECT chatrel.leave_group(1, as_user => 3)});
value($admin, q{SELECT chatrel.send_group_message(1, 'no more', as_user => 1)});
$admin->do(qq{NOTIFY "$shared", '{"group_message": {"message": "end"}}'});
is_deeply([ $spy->texts_until('end') ], ['end'], 'to end the membership does');
$admin->do(q{GRANT USAGE ON SCHEMA chatrel TO eve});
$admin->do(q{UPDATE chatrel.users SET role_name = 'eve' WHERE id = 3});
value($admin, q{SELECT chatrel.join_group(1, as_user => 3)});

my $all = (grep { $_ eq 'chatrel_' . value($admin, 'SELECT channel FROM chatrel.all_channel') } @names)[0];
my $former = Realtime::Listener->new($node, 'chatrel.listen_all()');
$admin->do('TRUNCATE chatrel.all_channel');
my $successor = Realtime::Listener->new($node, 'chatrel.listen_all()');
value($ann, q{SELECT chatrel.send_group_message(2, 'for the new one')});
ok(hears($successor, 'for the new one'), 'a gateway that has listened anew hears');
$admin->do(qq{NOTIFY "$all", '{"group_message": {"message": "end"}}'});
is((grep { $_ eq 'for the new one' } $former->texts_until('end')), 0, 'one that knows the name from before TRUNCATE does not');

# ---------- being somebody else ----------

{
	local $ENV{PGOPTIONS} = '-c chatrel.user_id=1';
	my $dbh = as('eve');

	is(value($dbh, 'SELECT chatrel.current_user_id()'), 3, 'an option at the start of the session does not count');
	is(value(as('app'), 'SELECT chatrel.current_user_id()'), 1, 'but for who may set it');
	is(failure($dbh, 'SET SESSION AUTHORIZATION ann'), '42501', 'nor can another be authorized');
	is(failure($dbh, 'SET ROLE ann'), '42501', 'or taken the role of');
}
like(psql_as('eve', q{
	SET chatrel.user_id = 1;
	BEGIN;
	SET LOCAL chatrel.user_id = 2;
	SAVEPOINT a;
	SET chatrel.user_id = 1;
	SELECT 'in ' || chatrel.current_user_id();
	ROLLBACK TO a;
	SELECT 'back ' || chatrel.current_user_id();
	COMMIT;
	SELECT 'after ' || chatrel.current_user_id();
}), qr/in 3\nback 3\nafter 3/, 'set at every level before the library is loaded, it does not count at any');
is(failure($eve, 'ALTER SYSTEM SET chatrel.relay = off'), '42501', 'the configuration is not for her');
value($eve, q{SELECT chatrel.send_group_message(1, 'numbered')});
is(failure($eve, 'SELECT lastval()'), '42501', 'nor the last number drawn');

# ---------- making others fail ----------

# The sessions of others must neither fail nor wait for any of this, which eve leaves open.
my %others = (
	'a send to her group' => q{SELECT chatrel.send_group_message(1, 'on', as_user => 1)},
	'a send to another' => q{SELECT chatrel.send_group_message(2, 'on', as_user => 1)},
	'joining' => q{SELECT chatrel.join_group(1, as_user => 4)},
	'listening' => q{SELECT count(*) FROM chatrel.listen(as_user => 1)},
	'creating a group' => q{SELECT chatrel.create_group('other ' || random(), true, as_user => 1)},
	'following her' => q{SELECT chatrel.follow(3, as_user => 4)},
	'following the same' => q{SELECT chatrel.follow(1, as_user => 4)},
	'no longer following' => q{SELECT chatrel.unfollow(2, as_user => 1)},
	'a whiteboard' => q{SELECT chatrel.create_whiteboard(1, as_user => 1)},
	'catching up' => q{SELECT chatrel.sync(as_user => 1)},
);
value($admin, q{SELECT chatrel.create_user('dan')});
my $whiteboard = value($admin, q{SELECT chatrel.create_whiteboard(1, as_user => 1) ->> 'id'});

sub others_go_on
{
	my ($held) = @_;
	my $dbh = connect_to($node);

	$eve->begin_work;
	$eve->selectall_arrayref("SELECT * FROM chatrel.$held");
	$dbh->do(q{SET lock_timeout = '30s'});
	is_deeply([ grep { failure($dbh, $others{$_}) ne '' } sort keys %others ], [], "others go on while she holds open: $held");
	$eve->rollback;
	$dbh->do('SELECT chatrel.leave_group(1, as_user => 4), chatrel.unfollow(1, as_user => 4), chatrel.unfollow(3, as_user => 4)');
	return;
}

others_go_on($_)
	foreach 'leave_group(1)', 'send_group_message(1, \'held\')', 'join_group(2)', 'listen()', 'listen_group(1)', 'sync()', 'follow_many(\'{1,2,4}\')',
	'unfollow(1)', 'create_group(\'held\', true)', "change_whiteboard($whiteboard, '{\"stickers\": []}')",
	"delete_whiteboard($whiteboard)", 'delete_sticker(1, 1)';

# Some of what is done to her, and to whom she follows, waits.
sub waits
{
	my ($sql) = @_;
	my $dbh = connect_to($node);

	$dbh->do(q{SET lock_timeout = '50ms'});
	return failure($dbh, $sql) eq '55P03';
}

$eve->begin_work;
value($eve, q{SELECT chatrel.follow_many('{1,2,4}')});
ok(waits('SELECT chatrel.delete_user(1)'), 'caveat: who holds open a follow keeps the followed from being deleted');
$eve->rollback;
$eve->begin_work;
value($eve, q{SELECT chatrel.send_group_message(1, 'held')});
ok(waits('SELECT chatrel.leave_group(1, as_user => 3)'), 'caveat: and a send, herself from being removed');
$eve->rollback;
$eve->begin_work;
value($eve, 'SELECT chatrel.listen_group(1)');
ok(waits('SELECT chatrel.leave_group(1, as_user => 2)'), 'caveat: who holds open a LISTEN keeps the others of the group from leaving');
$eve->rollback;
$eve->begin_work;
value($eve, q{SELECT chatrel.follow(4)});
is(failure($eve, q{PREPARE TRANSACTION 'p'}), '0A000', 'not by a prepared transaction with events');
$eve->rollback;
$eve->begin_work;
value($eve, q{SELECT chatrel.unfollow(4)});
is(failure($eve, q{PREPARE TRANSACTION 'p'}), '', 'caveat: but by one that has none');
$eve->rollback;
ok(waits('SELECT chatrel.delete_user(4)'), 'caveat: until somebody ends it');
$admin->do(q{ROLLBACK PREPARED 'p'});

# PostgreSQL waits for some locks before it looks at the right to them.
my $second = as('eve');
$eve->begin_work;
value($eve, 'SELECT count(*) FROM chatrel.groups_messages');
$second->do(q{CREATE RULE r AS ON INSERT TO chatrel.groups_messages DO INSTEAD NOTHING}, { pg_async => DBD::Pg::PG_ASYNC() });
ok(wait_until(sub { value($admin, q{SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'}) }), 'a lock is asked for that is not hers to have');
ok(waits($others{'a send to another'}), 'caveat: everybody waits behind it');
$eve->rollback;
ok(!eval { $second->pg_result; 1 } && $second->state eq '42501', 'she does not get it');
is(failure(connect_to($node), $others{'a send to another'}), '', 'and all goes on');

# A text for which a client has no characters
my $latin = as('ann');
$latin->do(q{SET client_encoding = 'LATIN1'});
value($eve, q{SELECT chatrel.send_group_message(1, U&'\2603')});
is(failure($latin, 'SELECT * FROM chatrel.group_messages(1)'), '22P05', 'caveat: a text may have no form in the encoding of a client');
is(failure($ann, 'SELECT * FROM chatrel.group_messages(1)'), '', 'which is UTF-8 for who wants to read all');

# Locks are seen by every role of the server; counters have them while a transaction commits only.
$ann->begin_work;
value($ann, q{SELECT chatrel.follow(2)});
is_deeply(as('out')->selectall_arrayref(q{SELECT objid FROM pg_locks WHERE locktype = 'advisory'}), [],
	'pg_locks shows nobody two users while one follows the other');
$ann->rollback;

# ---------- who has no right to the schema ----------

my $stranger = as('out');
is(failure($stranger, q{SELECT public.say('by a wrapper')}), '', 'what a function of the application sends for a role without USAGE commits');
is(value($admin, q{SELECT count(*) FROM chatrel.groups_messages WHERE message = 'by a wrapper'}), 1, 'and is there');
ok(hears($successor, 'by a wrapper'), 'and is heard');
is(failure($stranger, 'SELECT chatrel.current_user_id()'), '42501', 'which can do nothing else');

# ---------- with the relay ----------

$_->disconnect foreach ($admin, $ann, $eve, $second, $latin, $stranger, $gateway->{dbh}, $victim->{dbh}, $spy->{dbh}, $former->{dbh}, $successor->{dbh});
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'chatrel'\n");
$node->restart;
reconnect();
$gateway = Realtime::Listener->new($node, 'chatrel.listen_all()');

# No worker yet: the first sends NOTIFY themselves
learns_nothing('when the relay has no worker');
my $worker = start_worker($admin);
learns_nothing('when it has one');
{
	local $ENV{PGOPTIONS} = '-c chatrel.user_id=1';

	ok(!eval { as('eve'); 1 }, 'an option at the start of the session is refused');
	is(value(as('app'), 'SELECT chatrel.current_user_id()'), 1, 'but for who may set it');
}
is(failure($eve, "SELECT pg_terminate_backend($worker)"), '42501', 'the worker is not hers to end');
is(failure(as('signal'), "SELECT pg_terminate_backend($worker)"), '42501', 'nor that of a role that may end other sessions');
is(failure(as('signal'), "SELECT pg_cancel_backend($worker)"), '42501', 'or to disturb');
is(failure($eve, 'SELECT * FROM chatrel.relay'), '42501', 'she does not see it');
others_go_on('leave_group(1)');

# While the worker cannot deliver, what others have queued goes out with her transaction.
with_stopped_worker($admin, sub {
	value($ann, q{SELECT chatrel.send_group_message(2, 'queued')});
	$admin->do('ALTER SYSTEM SET chatrel.relay = off');
	$admin->do('SELECT pg_reload_conf()');
	wait_until(sub { value($admin, 'SHOW chatrel.relay') eq 'off' });
	learns_nothing('when she delivers for others');
	return;
});
ok(hears($gateway, 'queued'), 'as she did');

done_testing();
