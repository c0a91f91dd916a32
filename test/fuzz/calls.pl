#!/usr/bin/env perl
#
# Calls every function of chatrel, again and again, with arguments nobody should pass, in
# transactions nobody should write, from several sessions at a time. Who judges the outcome is
# judge.pl, by the server's log; this program only never gives up.
#
#   perl calls.pl ROLE SECONDS SEED SESSIONS
#
# It connects as libpq's environment says and as ROLE, to a database made by data.sql. The same
# seed makes the same choices; what the sessions do to each other, and the cursors and documents
# that a choice finds to change, are not repeated.
#
# Words used here
#   call    a function and its arguments, all literals: whatever fails when it runs, and not when it
#           is parsed, is the function's error
#   shape   the statement around a call
#   action  one statement of a transaction

use strict;
use warnings;
use utf8;
use DBI;
use FindBin;
use JSON::PP;
use List::Util qw(shuffle);
use Time::HiRes qw(time sleep);

use lib $FindBin::Bin;
use Values;

my $PATIENCE = 60;       # seconds without a server before a session gives up

my ($role, $seconds, $seed, $sessions) = @ARGV;
die "usage: calls.pl ROLE SECONDS SEED SESSIONS\n" unless @ARGV == 4;
my $super    = $role eq 'postgres';
my $deadline = time + $seconds;
my @functions;           # of chatrel, as pg_proc has them
my %count = map { $_ => 0 } qw(statements failed transactions notifications connections);
my $db;
my $number;              # of this session

$SIG{__WARN__} = sub { };    # what the server warns of is in its log

sub main {
	$Values::strangers = 0.9 if $super;
	@functions = load_functions();
	push @functions, map { ($_) x 2 } grep { $_->{name} =~ /^(?:sync|sync_all|change_whiteboard)$/ } @functions;    # they read most
	my @sessions = map { start_session($_) } 1 .. $sessions;
	$SIG{TERM} = sub { kill TERM => map { $_->{pid} } @sessions; exit 1; };
	my (%total, $failed);
	for my $session (@sessions) {
		my $report = readline $session->{from};
		waitpid $session->{pid}, 0;
		if ($? || !$report) { $failed = 1; next; }
		my $counted = decode_json($report);
		$total{$_} += $counted->{$_} for keys %$counted;
	}
	print "$_\t$total{$_}\n" for sort keys %total;
	return $failed ? 1 : 0;
}

sub start_session {
	my ($n) = @_;
	pipe(my $from, my $to) or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		close $from;
		$number = $n;
		srand $seed * 1000 + $n;
		run_session();
		print {$to} encode_json(\%count), "\n";
		exit 0;
	}
	close $to;
	return { pid => $pid, from => $from };
}

sub load_functions {
	my $loading = connect_db();
	my $rows = $loading->selectall_arrayref(q{
		SELECT proname AS name, pronargs AS nargs, pronargdefaults AS ndefaults,
			coalesce(proargnames, '{}') AS names,
			ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) t) AS types
		FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace ORDER BY proname}, { Slice => {} });
	$loading->disconnect;
	return @$rows;
}

sub connect_db {
	my $since = time;
	while (1) {
		my $new = DBI->connect('dbi:Pg:', $role, undef, { RaiseError => 0, PrintError => 0, AutoCommit => 1 });
		return $new if $new;
		die "no connection: $DBI::errstr\n" if time - $since > $PATIENCE;
		sleep 0.2;
	}
}

# ---------------------------------------------------------------- calls

# The last arguments, which have defaults, are left out at random, and those before them by name.
sub call {
	my ($function) = @_;
	$function //= one_of(@functions);
	$function = one_of(@functions) if $function->{name} =~ /^(?:(?:delete|erase)_(?:user|whiteboard|group)|purge_messages)$/ && chance(0.8);    # or soon none is left
	my $required = $function->{nargs} - $function->{ndefaults};
	my $named = $function->{ndefaults} && chance(0.3);
	my $fits = choose_loot($function->{name});
	my @arguments;
	for my $n (0 .. $function->{nargs} - 1) {
		if ($n >= $required && !$fits && chance(0.35)) {
			last unless $named;
			next;
		}
		my $value = argument($function->{names}[$n], $function->{types}[$n]);
		push @arguments, $named ? qq("$function->{names}[$n]" => $value) : $value;
	}
	return "chatrel.$function->{name}(" . join(', ', @arguments) . ')';
}

# ---------------------------------------------------------------- shapes

my $cursors = 0;    # of SQL, by name
my @declared;

sub call_statement {
	return weighted(
		10  => sub { 'SELECT * FROM ' . call() },
		4   => sub { 'SELECT ' . call() },
		1   => sub { 'SELECT ' . call() . ', ' . call() . ' LIMIT 1' },
		1   => sub { sprintf 'SELECT %s FROM generate_series(1, %d)', call(), 1 + rand 4 },
		1   => sub { sprintf 'SELECT f FROM %s f LIMIT %d OFFSET %d', call(), rand 3, rand 3 },
		1   => sub { sprintf 'SELECT count(*) FROM chatrel.users u, LATERAL (SELECT * FROM %s LIMIT 3) f WHERE u.id < 6', call_of_columns() },
		1   => sub { sprintf 'SELECT (SELECT count(*) FROM %s), EXISTS (SELECT FROM %s)', call(), call() },
		1   => sub { 'WITH w AS MATERIALIZED (SELECT * FROM ' . call() . ') SELECT * FROM w, w w2 LIMIT 5' },
		0.5 => sub { 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM ' . call() },
		0.3 => sub { sprintf 'CREATE TEMP TABLE IF NOT EXISTS made_%d AS SELECT 1 AS one FROM %s', rand 3, call() },
		1   => sub { do_block() },
		1   => sub { prepared() });
}

# The first of the arguments is an id of the table's row.
sub call_of_columns {
	my ($function) = shuffle(grep { ($_->{types}[0] // '') eq 'bigint' } @functions);
	my $text = call({ %$function, ndefaults => 0 });
	$text =~ s/\((?:'-)?\w+'?::bigint/(u.id/;
	return $text;
}

# A subtransaction around the call, and another after it. Internal errors are not kept back.
sub do_block {
	my @calls = map { call() } 0 .. rand 3;
	my $rest = "EXCEPTION WHEN OTHERS THEN IF SQLSTATE LIKE 'XX%' THEN RAISE; END IF; END;";
	return 'DO $do$ BEGIN ' . join(' ', map { "BEGIN PERFORM $_; $rest" } @calls) . ' END $do$';
}

# One statement for several executions; the plan is the session's, whoever it acts as.
my %prepared;

sub prepared {
	my @candidates = grep { $_->{nargs} > 0 } @functions;
	my $function = one_of(@candidates);
	my $name = "p_$function->{name}";
	my $values = join ', ', map { argument($function->{names}[$_], $function->{types}[$_]) } 0 .. $function->{nargs} - 1;
	return "EXECUTE $name($values)" if $prepared{$name};
	$prepared{$name} = 1;
	return sprintf 'PREPARE %s(%s) AS SELECT * FROM chatrel.%s(%s)', $name, join(', ', @{ $function->{types} }),
	  $function->{name}, join(', ', map { "\$$_" } 1 .. $function->{nargs});
}

sub cursor_statement {
	@declared = () if @declared > 8;
	return weighted(
		1 => sub {
			push @declared, 'c' . ++$cursors;
			sprintf 'DECLARE %s %s CURSOR %s FOR SELECT * FROM %s', $declared[-1], one_of('', 'SCROLL', 'NO SCROLL'), one_of('', 'WITH HOLD'), call() },
		@declared ? (
			3 => sub { sprintf 'FETCH %s FROM %s', one_of(qw(NEXT 1 0 -1 3 ALL PRIOR LAST), 'ABSOLUTE 2'), one_of(@declared) },
			0.5 => sub { 'CLOSE ' . one_of(@declared, 'ALL') }) : ());
}

# ---------------------------------------------------------------- settings and the rest

my @USER_IDS = ("''", "'1'", "'2'", "'3'", "'40'", "'0'", "'-1'", "'9223372036854775807'", "'9223372036854775808'", "' 1'", "'1 '",
	"'0x1'", "'\x{663}'", 'DEFAULT', 'abc');
my @SETTINGS = ("timezone = 'Asia/Kathmandu'", "timezone = '-15:59'", "datestyle = 'german'", "intervalstyle = 'sql_standard'",
	"search_path = ''", 'search_path = pg_temp, chatrel, public', 'extra_float_digits = 0', 'row_security = off',
	'default_transaction_read_only = on', 'transaction_read_only = on', 'plan_cache_mode = force_generic_plan',
	'plan_cache_mode = force_custom_plan', "work_mem = '64kB'", 'enable_indexscan = off', 'enable_seqscan = off',
	'synchronous_commit = off', "lc_messages = 'C'", 'transaction_isolation = serializable', 'parallel_setup_cost = 0');

sub setting {
	my $local = one_of('', 'LOCAL', 'SESSION');
	return weighted(
		4 => sub { "SET $local chatrel.user_id = " . one_of(@USER_IDS) },
		1 => sub { "SET $local chatrel.max_name_length = " . one_of(1, 10, 256, 640, 641, 0, -1, 'DEFAULT') },
		1 => sub { "SET $local chatrel.max_message_length = " . one_of(1, 512, 8000, 10485760, 10485761, 'DEFAULT') },
		1 => sub { 'SET chatrel.' . one_of(qw(relay relay_queue_size relay_databases relay_idle_timeout json_ids other)) . ' = 1' },
		2 => sub { 'SET LOCAL ' . one_of(@SETTINGS) },
		1 => sub { one_of('RESET ALL', 'RESET ROLE', 'DISCARD ALL', 'DISCARD PLANS', 'UNLISTEN *', 'DEALLOCATE ALL') },
		3 => sub { "SET $local ROLE " . one_of(qw(companion stranger NONE NONE backend), $super ? qw(fuzzer pg_monitor) : ()) });
}

my @TABLES = qw(users groups groups_members groups_join_requests groups_messages events relationships whiteboards stickers);

# What others do in such a session: read the tables, and use NOTIFY themselves.
sub other_statement {
	return weighted(
		3 => sub { sprintf 'SELECT count(*) FROM chatrel.%s WHERE id %% 7 = %d', one_of(@TABLES), rand 7 },
		1 => sub { one_of('LISTEN elsewhere', 'UNLISTEN elsewhere', "NOTIFY elsewhere, 'something'", "SELECT pg_notify('elsewhere', repeat('x', 7000))") },
		1 => sub { sprintf 'SELECT count(*) FROM chatrel.%s WHERE message_id %% 7 = %d', one_of(qw(message_reactions pinned_messages read_marks)), rand 7 },
		1 => sub { 'SELECT * FROM chatrel.my_groups() g JOIN chatrel.groups_members USING (id)' },
		$super ? (6 => \&superuser_statement) : ());
}

# By hand, as the application's own statements on the linked table, and as the tables' owner.
sub superuser_statement {
	my $id = bigint();
	return weighted(
		3   => sub { sprintf 'INSERT INTO accounts VALUES (%s, %s) ON CONFLICT DO NOTHING', $id, random_text() },
		3   => sub { sprintf "INSERT INTO accounts SELECT n, 'user ' || n FROM generate_series(%d, %d) n ON CONFLICT DO NOTHING", rand 20, rand 45 },
		2   => sub { sprintf 'UPDATE accounts SET login = %s WHERE account_id = %s', random_text(), $id },
		0.5 => sub { "UPDATE accounts SET account_id = account_id + 1 WHERE account_id = $id" },
		1   => sub { "DELETE FROM accounts WHERE account_id = $id" },
		1   => sub { "DELETE FROM chatrel.relationships WHERE follower_id = $id" },
		1   => sub { sprintf 'INSERT INTO chatrel.relationships (follower_id, followed_id) SELECT a.id, b.id FROM %s a, %s b
			  ON CONFLICT DO NOTHING', living($id), living(bigint()) },
		1   => sub { 'UPDATE chatrel.relationships SET follower_id = followed_id, followed_id = follower_id WHERE id = ' . int rand 2000 },
		1   => sub { sprintf 'SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			  WHERE datname = current_database() AND pid <> pg_backend_pid() OFFSET %d LIMIT 1', rand 4 },
		0.5 => sub { one_of('SELECT chatrel.unlink_users()', 'DROP TRIGGER IF EXISTS "!chatrel_mirror_update" ON accounts', 'ALTER TABLE accounts DISABLE TRIGGER USER') },
		1   => sub { sprintf "INSERT INTO accounts SELECT id, username FROM chatrel.users WHERE deleted_at IS NULL ON CONFLICT DO NOTHING;
			  SELECT chatrel.link_users('accounts', 'account_id', 'login', %s)", one_of('NULL', "'gone IS NOT TRUE'", "'account_id < 1000'", random_text()) },
		1   => sub { "UPDATE accounts SET gone = NOT coalesce(gone, false) WHERE account_id = $id" },
		1   => sub { sprintf 'UPDATE accounts a SET login = b.login FROM accounts b WHERE (a.account_id, b.account_id) IN ((%1$s, %2$s), (%2$s, %1$s))', $id, bigint() },
		0.5 => sub { 'SELECT * FROM chatrel.verify_users(true)' },
		1   => \&revival,
		0.1 => sub { one_of('TRUNCATE accounts', 'TRUNCATE chatrel.relationships', 'ANALYZE chatrel.relationships', 'REINDEX TABLE chatrel.users') });
}

# By hand nobody keeps one from following the dead, so this does.
sub living {
	my ($id) = @_;
	return "(SELECT id FROM chatrel.users WHERE id = $id AND deleted_at IS NULL FOR SHARE)";
}

# Who was deleted comes back, under another name, and into some groups.
sub revival {
	return q{UPDATE chatrel.users SET deleted_at = NULL, username = 'again ' || id || clock_timestamp() WHERE id <= 40 AND deleted_at IS NOT NULL;
		INSERT INTO accounts SELECT id, username FROM chatrel.users WHERE deleted_at IS NULL ON CONFLICT DO NOTHING;
		SELECT count(chatrel.join_group(g.id, as_user => u.id)) FROM chatrel.groups g, chatrel.users u
			WHERE g.id <= 14 AND u.id <= 40 AND u.deleted_at IS NULL AND random() < 0.2};
}

# ---------------------------------------------------------------- sessions

# Runs a statement; false if it failed. What comes back may be loot.
sub run {
	my ($sql) = @_;
	$count{statements}++;
	my $statement = $db->prepare($sql, { pg_direct => 1, pg_server_prepare => 0 });
	my $done = $statement && $statement->execute;
	if ($done && ($statement->{NUM_OF_FIELDS} // 0) > 0) {
		while (my $row = $statement->fetchrow_arrayref) { look_for_loot($_) for grep { defined } @$row; }
	}
	$count{failed}++ unless $done;
	%prepared = () if !$done && $db->state eq '26000';
	reconnect() if !$done && $db->state =~ /^(?:57P0|08|S1000|$)/ && $db->ping <= 0;
	hear();
	return $done;
}

# An event is a JSON document, whatever was sent.
sub hear {
	while (my $notification = $db->pg_notifies) {
		$count{notifications}++;
		next if $notification->[0] eq 'elsewhere';
		my $event = eval { JSON::PP->new->decode($notification->[2]) };
		print STDERR "not an event: $notification->[2]\n" unless ref($event) eq 'HASH' && keys %$event == 1;
	}
	return;
}

sub reconnect {
	$db->disconnect if $db;
	$db = connect_db();
	%prepared = @declared = ();
	$count{connections}++;
	$db->do(defaults());
	return;
}

# What a session goes back to now and then, besides what data.sql has set. A superuser is no chatrel user but by the parameter.
sub defaults {
	return 'RESET ALL; RESET ROLE' . ($super ? '; SET chatrel.user_id = ' . (1 + int rand 40) : '');
}

sub run_session {
	reconnect();
	while (time < $deadline) {
		weighted(
			8    => \&autocommit,
			5    => \&transaction,
			0.02 => \&reconnect);
	}
	run('RESET ALL');
	$db->disconnect;
	return;
}

# Every role but the session's own is left soon, or most of the run would be refused.
sub autocommit {
	run(chance(0.1) ? "SET statement_timeout = '" . one_of(1, 2, 5, 20) . "ms'" : "SET statement_timeout = '2s'") if chance(0.1);
	run(weighted(20 => \&call_statement, 1 => \&other_statement, 1 => \&setting));
	run(defaults()) if chance(0.15);
	return;
}

sub begin {
	return run('BEGIN' . one_of('', '', '', ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE', ' READ ONLY',
			' ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE'));
}

sub transaction {
	my ($failed, $savepoints) = (0, 0);
	$count{transactions}++;
	@declared = () unless chance(0.05);
	begin() or return;
	for (0 .. rand 7) {
		my $sql = $failed && chance(0.9)
		  ? ($savepoints ? 'ROLLBACK TO s' . (1 + int rand $savepoints) : last)
		  : weighted(12 => \&call_statement, 3 => sub { 'SAVEPOINT s' . ++$savepoints }, 2 => \&cursor_statement,
			$savepoints ? (1 => sub { 'ROLLBACK TO s' . (1 + int rand $savepoints) }, 1 => sub { 'RELEASE s' . (1 + int rand $savepoints) }) : (),
			2 => \&setting, 2 => \&other_statement);
		$failed = !run($sql);
	}
	end_transaction();
	return;
}

sub end_transaction {
	weighted(
		6 => sub { run('COMMIT') },
		2 => sub { run('ROLLBACK') },
		0.5 => sub { run('COMMIT AND CHAIN') && run(call_statement()); run('COMMIT') },
		0.5 => \&prepare_transaction);
	return;
}

# The same role must end it that prepared it. One that stays behind would keep everybody waiting.
sub prepare_transaction {
	my $name = quote("fuzz $number");
	run('RESET ROLE');
	run("PREPARE TRANSACTION $name") or return run('ROLLBACK');
	run(one_of('COMMIT', 'ROLLBACK') . " PREPARED $name") and return;
	# Not there: the transaction had failed before, and PREPARE has rolled it back.
	return if $db->state eq '42704';
	run('RESET statement_timeout');
	for (1 .. 10) { last if run("ROLLBACK PREPARED $name"); }
	return;
}

exit main();
