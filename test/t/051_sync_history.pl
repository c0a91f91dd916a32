# What a cursor survives: restarts, crashes, failovers that lost nothing; and
# what it is refused after, because going on would skip messages silently.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

# The walwriter is to flush nothing by itself.
my $primary = new_server('primary', allows_streaming => 1, not_started => 1, conf => q{
	wal_writer_delay = 10s
	wal_writer_flush_after = 1GB
	checkpoint_timeout = 1h
	max_prepared_transactions = 2
	restart_after_crash = on
});
$primary->enable_archiving;
$primary->start;
set_up($primary);

my %connections;

sub on
{
	my ($node) = @_;

	return $connections{ $node->name } //= connect_to($node);
}

sub forget_connections
{
	abandon(values %connections);
	%connections = ();
	return;
}

sub send_text
{
	my ($node, $text, $dbh) = @_;

	return value($dbh // on($node), 'SELECT (chatrel.send_group_message(1, ?, as_user => 1)).id', $text);
}

# The texts that are new, and the cursor
sub sync_on
{
	my ($node, $cursor, %options) = @_;
	my $answer = decode_json(value($options{dbh} // on($node), 'SELECT chatrel.sync(?, event_limit => 1000000, as_user => 2)', $cursor));

	return (join(' ', map { $_->{message} } messages_in($answer)), $answer->{cursor});
}

sub new_texts
{
	return (sync_on(@_))[0];
}

sub cursor_of
{
	return (sync_on(@_))[1];
}

sub refused
{
	my ($node, $cursor) = @_;

	return '' if eval { sync_on($node, $cursor); 1 };
	return on($node)->state;
}

subtest 'restart' => sub {
	send_text($primary, 'before');
	my $late = connect_to($primary);
	$late->begin_work;
	send_text($primary, 'never committed', $late);
	send_text($primary, 'also before');
	my ($texts, $cursor) = sync_on($primary, undef);
	is($texts, 'before also before', 'what there is');
	forget_connections();
	abandon($late);
	$primary->restart;
	is(new_texts($primary, $cursor), '', 'nothing again');
	send_text($primary, 'after');
	is(new_texts($primary, $cursor), 'after', 'what comes after it');
};

# Without the walwriter nothing reaches the disk that nobody asks for.
sub stopped
{
	my ($process) = @_;
	my $pid = value(on($primary), q{SELECT pid FROM pg_stat_activity WHERE backend_type = ?}, $process);

	kill 'STOP', $pid;
	return $pid;
}

sub crash
{
	my ($victim, @dbhs) = @_;
	my $log = -s $primary->logfile;

	forget_connections();
	abandon(@dbhs);
	kill 'KILL', $victim;
	$primary->wait_for_log(qr/all server processes terminated; reinitializing/, $log);
	$primary->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	return;
}

subtest 'a crash takes back nothing that a cursor counts as seen' => sub {
	my %cursors = (
		'sync' => sub { return cursor_of($primary, $_[0]) },
		'the history' => sub { return value(on($primary), 'SELECT chatrel.get_group_with_chat_history(1, as_user => 2) ->> \'cursor\'') },
		'now' => sub { return cursor_of($primary, 'now') },
		'a page' => sub { return decode_json(value(on($primary), 'SELECT chatrel.sync(?, event_limit => 30, as_user => 2)', $_[0]))->{cursor} },
	);
	foreach my $kind (sort keys %cursors)
	{
		my ($had, $old) = sync_on($primary, undef);
		my $sender = connect_to($primary);
		$primary->safe_psql('postgres', 'CHECKPOINT');
		my $walwriter = stopped('walwriter');
		$sender->do('SET synchronous_commit = off');
		send_text($primary, "$kind-$_", $sender) foreach 1 .. 50;
		my $cursor = $cursors{$kind}->($old);
		my $all = value(on($primary), 'SELECT max(id) FROM chatrel.groups_messages');
		crash($walwriter, $sender);
		my $kept = value(on($primary), 'SELECT count(*) FROM chatrel.groups_messages WHERE message LIKE ?', "$kind-%");
		cmp_ok($kept, '>=', $kind eq 'a page' ? 30 : 50, "$kind: what was seen is there");
		my $first = send_text($primary, "$kind-new-1");
		send_text($primary, "$kind-new-$_") foreach 2 .. 60;
		my $answer = decode_json(value(on($primary), q{SELECT chatrel.sync(?, ?, 1000, as_user => 2)},
			$cursor, $kind eq 'the history' ? 1 : undef));
		my %new = map { $_->{message} => 1 } messages_in($answer);
		is(scalar(grep { $new{"$kind-new-$_"} } 1 .. 60), 60, "$kind: everything that was sent after the crash comes");
		cmp_ok($first, '>', $all, "$kind: no id is given again") if $kind ne 'a page';
	}
};

# In one transaction, whose commit is lost: the ids that it has seen are not given again.
subtest 'a crash after send and sync in one transaction' => sub {
	my %ends = (
		'committed' => sub { $_[0]->commit },
		'in progress' => sub { },
		'rolled back' => sub { $_[0]->rollback },
		'its savepoint rolled back' => sub { $_[0]->do('ROLLBACK TO s'); $_[0]->commit });

	foreach my $end (sort keys %ends)
	{
		my ($had, $old) = sync_on($primary, undef);
		my $sender = connect_to($primary);
		$primary->safe_psql('postgres', 'CHECKPOINT');
		my $walwriter = stopped('walwriter');
		$sender->do('SET synchronous_commit = off');
		$sender->begin_work;
		$sender->do('SAVEPOINT s');
		# more than are given by one record of the sequence
		my $last = (map { send_text($primary, "$end-$_", $sender) } 1 .. 40)[-1];
		my ($texts, $cursor) = sync_on($primary, $old, dbh => $sender);
		is(scalar(() = $texts =~ /$end-/g), 40, "$end: it sees its own");
		$ends{$end}->($sender);
		crash($walwriter, $sender);
		my $first = send_text($primary, "$end-new-1");
		cmp_ok($first, '>', $last, "$end: no id is given again");
		send_text($primary, "$end-new-$_") foreach 2 .. 50;
		is(scalar(() = new_texts($primary, $cursor) =~ /$end-new-/g), 50, "$end: everything that was sent after the crash comes");
	}
};

subtest 'a crash that loses what nobody has seen' => sub {
	my ($busy, $walwriter) = (connect_to($primary), stopped('walwriter'));
	$busy->begin_work;
	# Stays in memory: nobody has committed it
	$busy->do(q{SELECT pg_logical_emit_message(true, 'lost', repeat('x', 100000))});
	my ($texts, $cursor) = sync_on($primary, undef);
	crash($walwriter, $busy);
	is(refused($primary, $cursor), '', 'the cursor goes on');
	send_text($primary, 'after that');
	is(new_texts($primary, $cursor), 'after that', 'with what is sent then');

	# The walwriter flushes whole pages, and so the first part of a record; the
	# background writer would have it flush all.
	$primary->safe_psql('postgres', 'ALTER SYSTEM SET wal_writer_flush_after = 0');
	$primary->reload;
	$busy = connect_to($primary);
	$busy->begin_work;
	my $writer = stopped('background writer');
	my $before = value($busy, 'SELECT pg_current_wal_insert_lsn()');
	$busy->do(q{SELECT pg_logical_emit_message(true, 'lost', repeat('x', 100000))});
	wait_until(sub { value($busy, q{SELECT pg_current_wal_flush_lsn() > ?::pg_lsn + 16384}, $before) }) or die 'not flushed';
	(undef, $cursor) = sync_on($primary, $cursor);
	crash($writer, $busy);
	is(refused($primary, $cursor), '', 'and where the last record was flushed in part');
	$primary->safe_psql('postgres', 'ALTER SYSTEM RESET wal_writer_flush_after');
	$primary->reload;
};

subtest 'messages that were restored with the transaction ids of another server' => sub {
	my (undef, $start) = sync_on($primary, undef);
	my $next = value(on($primary), 'SELECT pg_current_xact_id()::text::bigint');
	my $late = connect_to($primary);
	$late->begin_work;
	my $in_progress = value($late, 'SELECT pg_current_xact_id()');
	# seen, and restored with the id of a transaction in progress and of some to come
	on($primary)->do(qq{
		INSERT INTO chatrel.groups_messages (group_id, sender_id, message, xid)
		SELECT 1, 1, 'restored-' || x, x::text::xid8 FROM generate_series($next, $next + 20) AS x});
	my ($texts, $cursor) = sync_on($primary, $start);
	is(scalar(split / /, $texts), 21, 'they come once');
	is(new_texts($primary, $cursor), '', 'and not twice');
	send_text($primary, 'of the transaction in progress', $late);
	foreach (1 .. 3)
	{
		send_text($primary, 'between');
		(my $new, $cursor) = sync_on($primary, $cursor);
		is($new, 'between', 'not with the next either');
	}
	$late->commit;
	($texts, $cursor) = sync_on($primary, $cursor);
	is($texts, 'of the transaction in progress', 'what is sent with such a transaction id here comes');
	send_text($primary, "with the id of one that was restored $_") foreach 1 .. 20;
	is(scalar(() = new_texts($primary, $cursor) =~ /with the id/g), 20, 'and here');
	is(new_texts($primary, cursor_of($primary, $cursor)), '', 'once');
};

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 1h');
$standby->start;

subtest 'on a standby' => sub {
	$primary->safe_psql('postgres', 'TRUNCATE chatrel.groups_messages CASCADE');
	my $cursor = cursor_of($primary, undef);
	my @late = map { connect_to($primary) } 1 .. 2;
	$_->begin_work foreach @late;
	send_text($primary, "late-$_", $late[$_]) foreach 0, 1;
	send_text($primary, 'here');
	$late[0]->do('SAVEPOINT s');
	send_text($primary, 'late-0-saved', $late[0]);
	send_text($primary, 'there');
	$primary->wait_for_catchup($standby);
	my ($texts, $there) = sync_on($standby, $cursor);
	is($texts, 'here there', 'what is committed');
	is(new_texts($standby, $there), '', 'once');
	$_->commit foreach reverse @late;
	$primary->wait_for_catchup($standby);
	($texts, $there) = sync_on($standby, $there);
	is($texts, 'late-0 late-1 late-0-saved', 'what was in progress when the cursor was taken there');
	is(new_texts($standby, $there), '', 'once');
	is(new_texts($primary, $there), '', 'the primary goes on where the standby was');

	# wait
	my $waiter = connect_to($standby);
	$waiter->do("SELECT chatrel.sync('$there', wait => '1 minute', as_user => 2)", { pg_async => 1 });
	send_text($primary, 'awaited');
	ok(wait_until(sub { $waiter->pg_ready }, 20), 'wait ends when it comes');
	$waiter->pg_result;
	is(value($waiter, q{SELECT chatrel.sync(?, as_user => 2) #>> '{events,0,group_message,message}'}, $there), 'awaited', 'it came');

	# A standby that is behind the cursor
	$primary->wait_for_catchup($standby);
	on($standby)->do('SELECT pg_wal_replay_pause()');
	wait_until(sub { value(on($standby), 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' }) or die 'not paused';
	@late = map { connect_to($primary) } 1 .. 2;
	$_->begin_work foreach @late;
	send_text($primary, "overtaken-$_", $late[$_]) foreach 0, 1;
	send_text($primary, 'ahead');
	($texts, $cursor) = sync_on($primary, $there);
	is($texts, 'awaited ahead', 'the primary is ahead');
	(my $behind, $there) = sync_on($standby, $cursor);
	is($behind, '', 'nothing new on the standby');
	$late[0]->commit;
	is(new_texts($primary, $there), 'overtaken-0', 'and nothing is skipped when the primary goes on');
	on($standby)->do('SELECT pg_wal_replay_resume()');
	$late[1]->commit;
	$primary->wait_for_catchup($standby);
	is(new_texts($standby, $there), 'overtaken-0 overtaken-1', 'nor when the standby has caught up');
};

# The primary's next record then begins after the header of a page, but what was replayed ends before it.
subtest 'on a standby, where a record ends with its page' => sub {
	my $dbh = on($primary);
	my $page = value($dbh, 'SHOW wal_block_size');
	my $left = sub { return $page - value($dbh, q{SELECT (pg_current_wal_insert_lsn() - '0/0') % ?}, $page) };
	my $write = sub { value($dbh, q{SELECT pg_logical_emit_message(false, '', repeat('x', ?))}, $_[0]) };

	send_text($primary, "page-$_") foreach 1, 2;
	my ($before, $after, $cursor, $is_full);
	for (1 .. 100)
	{
		# How much longer a record is than its text, and then a text that fills the page
		$before = $left->();
		$write->(1000);
		$after = $left->();
		next unless 1000 < $before && $before - 1200 < $after && $after < $before - 1000 && $after > 1000;
		$write->($after - ($before - 1000 - $after));
		$cursor = decode_json(value($dbh, 'SELECT chatrel.sync(event_limit => 1, as_user => 2)'))->{cursor};
		last if $is_full = $left->() > $page - 100;
	}
	ok($is_full, 'it does');
	$primary->wait_for_catchup($standby);
	isnt(new_texts($standby, $cursor), '', 'the next page of a cursor is there');
};

# ---------- another history ----------

my $seen_early = cursor_of($primary, undef);
on($primary)->do(q{SELECT pg_create_restore_point('early')});
$primary->safe_psql('postgres', 'CREATE TABLE after_the_restore_point ()');
send_text($primary, 'after the restore point');
my $seen = cursor_of($primary, undef);
$primary->wait_for_catchup($standby);

subtest 'dump and restore elsewhere' => sub {
	my $elsewhere = new_server('elsewhere');
	command_ok([ 'pg_dump', '--format=custom', '--file', $primary->basedir . '/dump', $primary->connstr('postgres') ], 'dumped');
	command_ok([ 'pg_restore', '--dbname', $elsewhere->connstr('postgres'), $primary->basedir . '/dump' ], 'restored');
	is(refused($elsewhere, $seen), '55000', 'the cursor is refused');
	my ($texts, $cursor) = sync_on($elsewhere, undef);
	is($texts, new_texts($primary, undef), 'from the beginning, everything');
	send_text($elsewhere, 'sent there');
	is(new_texts($elsewhere, $cursor), 'sent there', 'and the new cursor goes on');
	$elsewhere->stop;
};

subtest 'recovery to a point in time' => sub {
	$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
	$primary->poll_query_until('postgres', 'SELECT failed_count = 0 AND last_archived_wal >= pg_walfile_name((SELECT redo_lsn FROM pg_control_checkpoint())) FROM pg_stat_archiver');
	$primary->poll_query_until('postgres', q{SELECT last_archived_wal >= (SELECT max(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name < pg_walfile_name(pg_current_wal_lsn())) FROM pg_stat_archiver});
	my $restored = PostgreSQL::Test::Cluster->new('restored');
	$restored->init_from_backup($primary, 'base', has_restoring => 1, standby => 0);
	$restored->append_conf('postgresql.conf', "recovery_target_name = 'early'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
	$restored->start;
	$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	is(value(on($restored), q{SELECT to_regclass('after_the_restore_point')}), undef, 'as it was then');
	is(refused($restored, $seen), '55000', 'a later cursor is refused');
	is(new_texts($restored, $seen_early), '', 'an earlier one goes on');
	send_text($restored, 'another history');
	is(new_texts($restored, $seen_early), 'another history', 'with what is sent there');
	$restored->stop;
};

subtest 'failover' => sub {
	# What the standby never gets: it is stopped, and the primary goes on.
	my $late = connect_to($primary);
	$late->begin_work;
	send_text($primary, 'never committed', $late);
	send_text($primary, 'last that is streamed');
	my $kept = cursor_of($primary, $seen);
	$primary->wait_for_catchup($standby);
	forget_connections();
	$standby->stop;
	my @ids = map { send_text($primary, "lost-$_") } 1 .. 5;
	my $lost = cursor_of($primary, $kept);
	forget_connections();
	abandon($late);
	$primary->stop('immediate');
	$standby->start;
	$standby->promote;

	is(refused($standby, $lost), '55000', 'a cursor that has seen lost messages is refused');
	is(refused($standby, 'now'), '', 'a new one is not');
	is(new_texts($standby, $kept), '', 'one that has not goes on');
	send_text($standby, "new-$_") foreach 1 .. 60;
	is(new_texts($standby, $kept), join(' ', map { "new-$_" } 1 .. 60), 'with what is sent there');
	is(refused($standby, $lost), '55000', 'the other is refused then too');
	is(new_texts($standby, $seen), join(' ', 'last that is streamed', map { "new-$_" } 1 .. 60), 'an old one goes on');
	my $cursor = cursor_of($standby, $kept);
	forget_connections();
	$standby->restart;
	is(new_texts($standby, $cursor), '', 'and one that was taken there');
	# The old primary, where nobody should go: it does not know the new timeline
	$primary->start;
	is(refused($primary, $cursor), '55000', 'the old primary refuses a cursor of the new');
	forget_connections();
};

forget_connections();
$_->stop foreach $standby, $primary;
done_testing();
