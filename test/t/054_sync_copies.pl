# A database that goes back to an earlier state of itself gives ids again. A cursor
# of what it was is refused, whatever way it went back, and however much is sent
# afterwards; a cursor that has seen nothing but what is still there goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

# So few ids are given that nothing but a check can tell.
my $EARLY = 5;
my $LATER = 60;

# sync() as the second user: the texts and the cursor, or a hash that has the SQLSTATE
sub sync_on
{
	my ($dbh, $cursor, %options) = @_;
	my $answer = eval { decode_json(value($dbh, 'SELECT chatrel.sync(?, ?, event_limit => 1000, as_user => 2)', $cursor, $options{group})) };

	return $answer ? { texts => [ map { $_->{message} } messages_in($answer) ], cursor => $answer->{cursor} }
		: { state => $dbh->state, texts => [], cursor => '' };
}

sub send_texts
{
	my ($dbh, $prefix, $count) = @_;

	# The time and all else may be the same in both histories.
	$dbh->do(q{SELECT chatrel.send_group_message(1, ? || i, '2026-01-01', as_user => 1) FROM generate_series(1, ?::int) AS i}, undef, $prefix, $count);
	return;
}

sub send_one_by_one
{
	my ($dbh, $prefix, $count) = @_;

	send_texts($dbh, "$prefix $_ ", 1) foreach 1 .. $count;
	return;
}

# A history that has a cursor of early on, one of later, and one of each kind of later.
sub cursors_of
{
	my ($dbh) = @_;

	return (
		'all groups'  => sync_on($dbh, undef)->{cursor},
		'now'         => sync_on($dbh, 'now')->{cursor},
		'one group'   => sync_on($dbh, undef, group => 1)->{cursor},
		'the history' => value($dbh, q{SELECT chatrel.get_group_with_chat_history(1, as_user => 2) ->> 'cursor'}));
}

sub group_of
{
	my ($kind) = @_;

	return group => $kind eq 'one group' || $kind eq 'the history' ? 1 : undef;
}

# Cursors of a history that is gone are refused, before anything is sent, while the
# same ids are given, and after.
sub all_refused
{
	my ($dbh, $what, %cursors) = @_;

	foreach my $round ('at once', 'with few ids given again', 'with as many', 'with more')
	{
		is(sync_on($dbh, $cursors{$_}, group_of($_))->{state}, '55000', "$what: $_, $round") foreach sort keys %cursors;
		send_one_by_one($dbh, $round, $LATER / 2);
	}
	return;
}

sub goes_on
{
	my ($dbh, $what, %cursors) = @_;

	foreach my $kind (sort keys %cursors)
	{
		my $answer = sync_on($dbh, $cursors{$kind}, group_of($kind));
		send_texts($dbh, 'new', 1);
		my $next = sync_on($dbh, $answer->{cursor}, group_of($kind));
		is_deeply($next->{texts}, ['new1'], "$what: $kind");
	}
	return;
}

# ---------- CREATE DATABASE ----------

my $node = new_server('node', allows_streaming => 1, conf => "max_wal_senders = 5\n");

sub rename_database
{
	my ($from, $to) = @_;

	$node->safe_psql('template1', "ALTER DATABASE $from RENAME TO $to");
	return;
}

subtest 'a copy of a database' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE original');
	set_up($node, database => 'original');
	my $dbh = connect_to($node, 'original');
	send_texts($dbh, 'early', $EARLY);
	my %early = cursors_of($dbh);
	$dbh->disconnect;
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE original');

	$dbh = connect_to($node, 'original');
	send_one_by_one($dbh, 'later', $LATER);
	my %later = cursors_of($dbh);
	goes_on($dbh, 'the original itself', %early);
	$dbh->disconnect;

	rename_database('original', 'aside');
	rename_database('copy', 'original');
	$dbh = connect_to($node, 'original');
	goes_on($dbh, 'a copy goes on with what it has', %early);
	all_refused($dbh, 'a copy in its place', %later);
	my %of_copy = cursors_of($dbh);
	$dbh->disconnect;

	rename_database('original', 'copy');
	rename_database('aside', 'original');
	$dbh = connect_to($node, 'original');
	all_refused($dbh, 'and back', %of_copy);
	goes_on($dbh, 'but its own are taken', %later);
};

# ---------- files put back ----------

# The folder of a server as it was, in place of what it has become
sub put_back
{
	my ($server, $copy) = @_;

	$server->stop('immediate');
	system_or_bail('rm', '-rf', $server->data_dir);
	system_or_bail('cp', '-a', $copy, $server->data_dir);
	$server->start;
	return;
}

my %copies = (
	'a base backup' => sub {
		my ($server) = @_;
		my $backup = $server->backup_dir . '/put_back';

		$server->run_log([ 'pg_basebackup', '--no-sync', '-D', $backup, '-h', $server->host, '-p', $server->port, '--checkpoint', 'fast', '-X', 'stream' ]);
		unlink "$backup/backup_manifest";
		return $backup;
	},
	'a cold copy' => sub {
		my ($server) = @_;
		my $copy = $server->basedir . '/cold';

		$server->stop;
		system_or_bail('cp', '-a', $server->data_dir, $copy);
		$server->start;
		return $copy;
	},
	'the files after a crash' => sub {
		my ($server) = @_;
		my $copy = $server->basedir . '/crashed';

		$server->stop('immediate');
		system_or_bail('cp', '-a', $server->data_dir, $copy);
		$server->start;
		return $copy;
	});

foreach my $kind (sort keys %copies)
{
	subtest "put back: $kind" => sub {
		my $server = new_server("server" . length $kind, allows_streaming => 1, conf => "max_wal_senders = 5\n");
		set_up($server);
		my $dbh = connect_to($server);
		send_texts($dbh, 'early', $EARLY);
		my %early = cursors_of($dbh);
		abandon($dbh);
		my $copy = $copies{$kind}->($server);

		$dbh = connect_to($server);
		send_one_by_one($dbh, 'later', $LATER);
		my %later = cursors_of($dbh);
		abandon($dbh);
		put_back($server, $copy);

		$dbh = connect_to($server);
		# The WAL soon passes where the cursors were taken.
		$dbh->do('CREATE TABLE filler AS SELECT repeat(md5(i::text), 50) FROM generate_series(1, 5000) AS i');
		goes_on($dbh, 'with what is there', %early);
		all_refused($dbh, 'with what is gone', %later);
		abandon($dbh);
		$server->stop;
	};
}

# The same steps give the same ids to the same transaction ids: nothing but the epoch tells.
subtest 'the same ids in the same transactions' => sub {
	my $server = new_server('same', not_preloaded => 1);
	my $ids = sub { return value($_[0], q{SELECT string_agg(id || ' ' || xid, ',' ORDER BY id) FROM chatrel.groups_messages}) };
	set_up($server);
	my $dbh = connect_to($server);
	send_texts($dbh, 'early', $EARLY);
	abandon($dbh);
	my $copy = $copies{'a cold copy'}->($server);

	$dbh = connect_to($server);
	send_one_by_one($dbh, 'later', $LATER);
	my $before = $ids->($dbh);
	my %later = cursors_of($dbh);
	abandon($dbh);
	put_back($server, $copy);

	$dbh = connect_to($server);
	send_one_by_one($dbh, 'other', $LATER);
	is($ids->($dbh), $before, 'ids and transactions are the same');
	all_refused($dbh, 'with what is gone', %later);
	abandon($dbh);
	$server->stop;
};

# ---------- rows put back ----------

subtest 'a dump loaded again' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE dumped');
	set_up($node, database => 'dumped');
	my $dbh = connect_to($node, 'dumped');
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
	send_texts($dbh, 'early', $EARLY);
	my %early = cursors_of($dbh);
	$node->run_log([ 'pg_dump', '-t', 'chatrel.*', '-f', $dump, $node->connstr('dumped') ]);
	send_one_by_one($dbh, 'later', $LATER);
	my %later = cursors_of($dbh);

	foreach my $away ('TRUNCATE chatrel.users CASCADE', 'DELETE FROM chatrel.groups_messages')
	{
		$dbh->do($away);
		$dbh->do('TRUNCATE chatrel.users, chatrel.events CASCADE');
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('dumped') ], "$away, and the dump");
		goes_on($dbh, 'with what is there', %early);
		all_refused($dbh, 'with what is gone', %later);
	}
};

subtest 'a sequence set back' => sub {
	$node->safe_psql('postgres', 'CREATE DATABASE sequence');
	set_up($node, database => 'sequence', groups => 2);
	my $dbh = connect_to($node, 'sequence');

	# to the ids of events, and to those of messages
	foreach my $way (
		[ 'ALTER SEQUENCE chatrel.event_ids RESTART', 'SELECT chatrel.leave_group(2, as_user => 3)' ],
		[ q{SELECT setval('chatrel.event_ids', min(id)) FROM chatrel.groups_messages}, q{SELECT chatrel.send_group_message(2, 'again', as_user => 1)} ])
	{
		my ($back, $again) = @$way;

		send_one_by_one($dbh, 'before', $LATER);
		my %cursors = cursors_of($dbh);
		$dbh->do($back);
		is(sync_on($dbh, $cursors{$_}, group_of($_))->{state}, '55000', "$back: $_") foreach sort keys %cursors;
		ok(!eval { $dbh->do($again); 1 }, 'no id is given again');
		is($dbh->state, '23505', '... by the index of all ids');
		$dbh->do(q{SELECT setval('chatrel.event_ids', max(id)) FROM chatrel.groups_messages});
	}
};

$node->stop;
done_testing();
