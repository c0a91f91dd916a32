# Groups that are spread over several databases, behind one that has chatrel's
# functions and no groups: doc/scale-out.md.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $sharedir = qx(pg_config --sharedir);
chomp $sharedir;
plan skip_all => 'PL/Proxy is not installed for this PostgreSQL' unless -e "$sharedir/extension/plproxy.control";

my $SHARDS = 3;    # besides home
my $home = new_server('home', allows_streaming => 'logical', conf => "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n");
my @shards = map { new_server("shard$_") } 1 .. $SHARDS;
my @all = ($home, @shards);

sub exec_all
{
	my ($sql, @nodes) = @_;

	$_->safe_psql('postgres', $sql) foreach @nodes;
	return;
}

# What a proxy logs in as on every shard
exec_all(q{
	CREATE EXTENSION chatrel_search CASCADE;
	CREATE ROLE chatrel_proxy LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO chatrel_proxy;
	GRANT SET ON PARAMETER chatrel.user_id TO chatrel_proxy;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO chatrel_proxy;
}, @all);
is($shards[$_ - 1]->safe_psql('postgres', "SELECT chatrel.become_shard($_)"), 't', "shard $_") foreach 1 .. $SHARDS;

$home->safe_psql('postgres', q{
	CREATE PUBLICATION chatrel_people FOR TABLE chatrel.users, chatrel.relationships, chatrel.blocks, chatrel.user_mutes, chatrel.user_settings;
	CREATE PUBLICATION chatrel_roles FOR TABLE chatrel.users (id, username, role_name, created_at, deleted_at);
	CREATE DATABASE proxy;
});
my $to_home = $home->connstr . ' dbname=postgres';
$shards[$_ - 1]->safe_psql('postgres', "CREATE SUBSCRIPTION people_$_ CONNECTION '$to_home' PUBLICATION chatrel_people") foreach 1 .. $SHARDS;

# The proxy, on the server of home: the slot is made first, or each would wait for the other
my @connections = map { 'host=' . $_->host . ' port=' . $_->port . ' dbname=postgres' } @all;
my $list = join ', ', map { "'$_'" } @connections;
$home->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('roles', 'pgoutput')});
$home->safe_psql('proxy', qq{
	CREATE EXTENSION chatrel_proxy CASCADE;
	SELECT chatrel_proxy.set_shards(ARRAY[$list]);
	CREATE USER MAPPING FOR CURRENT_USER SERVER chatrel OPTIONS (user 'chatrel_proxy');
	CREATE SUBSCRIPTION roles CONNECTION '$to_home' PUBLICATION chatrel_roles WITH (create_slot = false, slot_name = 'roles');
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO app;
	GRANT SET ON PARAMETER chatrel.user_id TO app;
	CREATE ROLE ann LOGIN;
	CREATE ROLE eve LOGIN;
	GRANT USAGE ON SCHEMA chatrel TO ann, eve;
});

sub caught_up
{
	my $lsn = $home->lsn('flush');

	foreach my $subscriber ((map { [ $_, 'postgres' ] } @shards), [ $home, 'proxy' ])
	{
		$subscriber->[0]->poll_query_until($subscriber->[1], q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'}) or die 'tables are not copied';
	}
	foreach my $slot (map({ "people_$_" } 1 .. $SHARDS), 'roles')
	{
		$home->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = '$slot'") or die "$slot does not catch up";
	}
	return;
}

sub proxy { return $home->safe_psql('proxy', @_); }

# What a role gets, or the SQLSTATE of its error
sub as_role
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $home->psql('proxy', "\\set VERBOSITY sqlstate\n$sql", extra_params => [ '-U', $role ]);

	return $status == 0 && $err eq '' ? $out : $err =~ s/.*ERROR:\s+(\w+).*/$1/sr;
}

# ---------- the two catalogues ----------

my $functions = q{
	SELECT format('%s(%s) %s %s %s %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid),
		provolatile, procost, prorows) || CASE WHEN has_function_privilege('public', oid, 'EXECUTE') THEN ' public' ELSE '' END
	FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace ORDER BY 1};
my %in_proxy = map { $_ => 1 } split /\n/, proxy($functions);
my %missing = map { (split /\t/)[0] => 1 } split /\n/, qx($^X $FindBin::RealBin/../../script/make-proxy --missing);
my @lost = grep { !$in_proxy{$_} && !$missing{(/^(\w+)/)[0]} } split /\n/, $home->safe_psql('postgres', $functions);
is_deeply(\@lost, [], 'every function of chatrel is in the proxy, with the same signature, or said not to be');
my %in_home = map { $_ => 1 } split /\n/, $home->safe_psql('postgres', $functions);
is_deeply([ grep { !$in_home{$_} } sort keys %in_proxy ], [], 'and none besides');
is($home->safe_psql('postgres', q{SELECT string_agg(typname, ' ' ORDER BY typname) FROM pg_type WHERE typnamespace = 'chatrel'::regnamespace AND typname LIKE 'chat\_%'}),
	proxy(q{SELECT string_agg(typname, ' ' ORDER BY typname) FROM pg_type WHERE typnamespace = 'chatrel'::regnamespace AND typname LIKE 'chat\_%'}), 'so are the types');
is(proxy(q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'chatrel_proxy'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')}), '0',
	'what they call is not for everybody');

# ---------- people at home, groups on shards ----------

is(proxy(q{SELECT string_agg((chatrel.create_user(name, role)).id::text, ' ') FROM (VALUES ('ann', 'ann'), ('bob', NULL), ('cat', NULL), ('eve', 'eve')) AS v (name, role)}), '1 2 3 4', 'users are made at home');
caught_up();
is($_->safe_psql('postgres', 'SELECT count(*) FROM chatrel.users'), '4', 'and are on ' . $_->name) foreach @all;
is(proxy('SELECT count(*) FROM chatrel.users'), '4', 'and known to the proxy');

# Shard -> how many of some new groups of user 4's are there
sub placed
{
	my ($many) = @_;
	my %on;

	$on{$_}++ foreach split /\n/, proxy("SELECT (chatrel.create_group('placed', visibility => 'private', as_user => 4)).id >> 48 FROM generate_series(1, $many)");
	return \%on;
}

sub weigh
{
	my ($sql) = @_;

	proxy("UPDATE chatrel_proxy.shards SET weight = $sql");
	return;
}

my %shards_of;
foreach my $n (1 .. $SHARDS)
{
	my @groups = split /\n/, proxy("SET chatrel_proxy.shard = $n; SELECT (chatrel.create_group('g' || i, true, visibility => 'private', as_user => 1)).id FROM generate_series(1, 8) AS i");

	is_deeply([ map { $_ >> 48 } @groups ], [ ($n) x 8 ], "groups are on shard $n if that is given");
	$shards_of{$n} = $groups[-1];
}

# ---------- where new groups are put ----------

is(as_role('app', 'SET chatrel_proxy.shard = 1'), '42501', 'who may not set it gives no shard');
proxy('GRANT SET ON PARAMETER chatrel_proxy.shard TO app');
my $make_one = q{SELECT (chatrel.create_group('given', visibility => 'private', as_user => 4)).id >> 48};
is(as_role('app', "SET chatrel_proxy.shard = 0; $make_one"), '0', 'home may be given too, which gets no others');
is(as_role('app', "BEGIN; SET LOCAL chatrel_proxy.shard = 3; $make_one; COMMIT; SHOW chatrel_proxy.shard"), "3\n-1", 'in one transaction');
proxy('ALTER ROLE app IN DATABASE proxy SET chatrel_proxy.shard = 2');
is(as_role('app', $make_one), '2', 'and for a role');
proxy('ALTER ROLE app IN DATABASE proxy RESET chatrel_proxy.shard');
foreach my $bad (-2, 32768, "'x'")
{
	is(as_role('app', "SET chatrel_proxy.shard = $bad"), '22023', "$bad cannot be the number of a shard");
}
my $groups_there = join ' ', map { $_->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups') } @all;
like(($home->psql('proxy', "\\set VERBOSITY verbose\nSET chatrel_proxy.shard = 4; $make_one"))[2], qr/ERROR:  22023: there is no shard 4\n/, 'one that there is not is refused');
is(join(' ', map { $_->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups') } @all), $groups_there, 'and nothing is made');
is(proxy(q{SET chatrel_proxy.shard = 0; SELECT (chatrel.direct_group(ARRAY[3], as_user => 4) ->> 'id')::bigint >> 48 = chatrel_proxy.place_direct(ARRAY[3], 4)}), 't',
	'direct conversations are where they always are');

$shards[0]->safe_psql('postgres', q{CREATE TABLE public.ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 16000)});
$shards[1]->safe_psql('postgres', q{CREATE TABLE public.ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 8000)});
my $on = placed(60);
is_deeply([ sort keys %$on ], [ 2, 3 ], 'the emptiest shard gets groups, the fullest none, and home neither');
weigh('CASE shard WHEN 0 THEN 0 WHEN 1 THEN 1000 ELSE 1 END');
cmp_ok(placed(30)->{1} // 0, '>', 20, 'a shard of more weight counts as so much emptier');
weigh('CASE shard WHEN 3 THEN 0 ELSE 1 END');
is(placed(30)->{3}, undef, 'one without weight gets none, however empty');
weigh('(shard = 1)::integer');
is_deeply(placed(3), { 1 => 3 }, 'where one alone has weight it gets all');
weigh('0');
is_deeply(placed(3), { 0 => 3 }, 'and home where none has');
weigh('(shard > 0)::integer');
$_->safe_psql('postgres', 'DROP TABLE public.ballast') foreach @shards[ 0, 1 ];

# ---------- what is in groups ----------

is(proxy("SELECT (chatrel.get_group($_, as_user => 1) ->> 'id') = '$_'"), 't', "$_ is found") foreach values %shards_of;
proxy(qq{SELECT chatrel.invite($_, ARRAY[2], as_user => 1), chatrel.join_group($_, as_user => 2)}) foreach values %shards_of;
is(proxy("SELECT message, sender_id, id >> 48 FROM chatrel.send_group_message($shards_of{2}, 'hello', as_user => 2)"), 'hello|2|2', 'a message is sent, a row');
is(proxy("SELECT message FROM chatrel.group_messages($shards_of{2}, as_user => 1)"), 'hello', 'and read, a set');
is(proxy("SELECT count(*) FROM chatrel.my_groups(as_user => 1)"), '24', 'the groups of all shards');
is(proxy("SELECT id FROM chatrel.my_groups(as_user => 2) LIMIT 1"), $shards_of{2}, 'the one written to last first');
is(proxy("SELECT unread, unread_mentions, groups FROM chatrel.unread_counts(as_user => 1)"), '1|0|1', 'what is unread');
is(proxy("SELECT jsonb_array_length(chatrel.me(as_user => 1) -> 'groups')"), '24', 'the login document');
is(proxy("SELECT message FROM chatrel.search_messages('hello', as_user => 1)"), 'hello', 'searching all groups');
is(proxy('SELECT chatrel.follow(1, as_user => 2)'), 't', 'follows are at home');
is(proxy("SELECT (chatrel.follow_counts(1, as_user => 2)).followers"), '1', 'and counted');
is(proxy('SELECT chatrel.may_view_posts(1)'), 'f', 'nobody may view posts, and it is no error');
is(proxy(q{SELECT chatrel.report_online(ARRAY[1, 2, 99], '1 minute')}), '2', 'who is online is reported to all shards');
is(proxy(q{SELECT string_agg(format('%s %s', user_id, online), ', ') FROM chatrel.presence(ARRAY[4, 2, 3], as_user => 1)}), '4 f, 2 t, 3 f', 'and asked of all');
my $direct = proxy("SELECT chatrel.direct_group(ARRAY[2], as_user => 1) ->> 'id'");
is(proxy("SELECT chatrel.direct_group(ARRAY[1], as_user => 2) ->> 'id'"), $direct, 'there is one conversation of two, whoever begins');
my $token = proxy("SELECT chatrel.create_invite_link($shards_of{3}, as_user => 1)");
is(proxy("SELECT chatrel.join_by_link('$token', as_user => 3)"), $shards_of{3}, 'a link leads to its group');
my $board = proxy("SELECT chatrel.create_whiteboard($shards_of{3}, as_user => 3) ->> 'id'");
is(proxy("SELECT chatrel.get_whiteboard($board, as_user => 1) ->> 'group_id'"), $shards_of{3}, 'a whiteboard is found by its id alone');
is(proxy("SELECT count(*) FROM chatrel.export_user(1) WHERE kind IN ('user', 'membership')"), '26', 'export_user() has the user once, and all memberships');
is(proxy('SELECT chatrel.purge_messages(now() - interval \'1 year\')'), '0', 'purge_messages() of all shards');
foreach my $bad (999, (77 << 48) + 1)
{
	my ($status, $out, $err) = $home->psql('proxy', "\\set VERBOSITY verbose\nSELECT chatrel.get_group($bad, as_user => 1)");

	like($err, qr/ERROR:  P0002: group $bad does not exist\n/, "an error of a shard, of group $bad, as a shard says it");
	like($err, qr/CONTEXT:  chatrel_proxy\.get_group\(\d\): \[postgres\]/, 'and the context says which shard it was');
}

# ---------- who acts ----------

is(as_role('ann', "SELECT username FROM chatrel.find_user('bob')"), '42501', 'what is administrative is so here');
is(as_role('ann', "SELECT sender_id FROM chatrel.send_group_message($shards_of{1}, 'by role')"), '1', 'a role acts as its user');
is(as_role('eve', "SELECT sender_id FROM chatrel.send_group_message($shards_of{1}, 'by role')"), 'P0002', 'and has no more rights');
is(as_role('eve', "SELECT chatrel.send_group_message($shards_of{1}, 'forged', as_user => 1)"), '42501', 'it cannot pass as_user');
is(as_role('eve', 'SET chatrel.user_id = 1'), '42501', 'nor set chatrel.user_id');
is(as_role('eve', "SELECT chatrel_proxy.send_group_message($shards_of{1}, 'forged', NULL, NULL, NULL, NULL, NULL, 1)"), '42501', 'nor call what believes as_user');
is(as_role('eve', q{SELECT chatrel_proxy.set_shards('{}')}), '42501', 'nor say where shards are');
is(as_role('eve', q{CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plproxy AS $$ CLUSTER 'chatrel'; RUN ON 0; SELECT 'x'::text; $$}), '42501', 'nor write a function of its own that goes there');
is(as_role('eve', 'SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL'), '0', 'nor see how the proxy logs in');
is(as_role('eve', 'SELECT * FROM chatrel.users'), '42501', 'nor read the users of the proxy');
is(as_role('app', "SELECT sender_id FROM chatrel.send_group_message($shards_of{1}, 'for bob', as_user => 2)"), '2', 'who may set chatrel.user_id passes as_user');
is(as_role('app', "SET chatrel.user_id = 2; SELECT sender_id FROM chatrel.send_group_message($shards_of{1}, 'for bob')"), '2', 'or sets it');
is(as_role('app', 'SELECT chatrel.me()'), '28000', 'or is nobody');

# ---------- read-only transactions ----------

is(proxy(q{SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc
	WHERE pronamespace = 'chatrel'::regnamespace AND provolatile = 'v' AND prosrc !~ '^chatrel_proxy_write'}), 'presence report_online sync sync_all',
	'what is volatile is refused in a read-only transaction, but for these');
foreach my $call ("send_group_message($shards_of{1}, 'x', as_user => 1)", "mark_read($shards_of{1}, as_user => 1)", 'follow(3, as_user => 1)', "create_group('g', as_user => 1)", "typing($shards_of{1}, as_user => 1)")
{
	is(as_role('app', "BEGIN READ ONLY; SELECT chatrel.$call"), '25006', "nothing is written by it: $call");
}
my ($status, $out, $err) = $home->psql('proxy', q{BEGIN READ ONLY; SELECT chatrel.delete_user(99)});
like($err, qr/ERROR:  cannot execute chatrel\.delete_user\(\) in a read-only transaction$/m, 'which says so, what is administrative too');
foreach my $call ('my_groups(as_user => 1)', 'sync(as_user => 1)', 'presence(ARRAY[2], as_user => 1)', "get_group($shards_of{1}, as_user => 1)")
{
	is(as_role('app', "BEGIN READ ONLY; SELECT count(*) > 0 FROM chatrel.$call"), 't', "what reads does: $call");
}

# ---------- catching up ----------

sub sync_as
{
	my ($user, $cursor, %more) = @_;
	my $text = defined $cursor ? "'$cursor'" : 'NULL';
	my $limit = $more{limit} // 100;
	my $wait = defined $more{wait} ? ", wait => '$more{wait}'" : '';

	return decode_json(proxy("SELECT chatrel.sync($text, event_limit => $limit$wait, as_user => $user)"));
}

# All pages from a cursor on, with the last cursor
sub pages
{
	my ($user, $cursor, %more) = @_;
	my (@events, $answer);

	do
	{
		$answer = sync_as($user, $cursor, %more);
		die 'too many events' if @{ $answer->{events} } > ($more{limit} // 100);
		push @events, @{ $answer->{events} };
		$cursor = $answer->{cursor};
	} while ($answer->{more});
	return (\@events, $cursor, $answer);
}

sub texts { return [ map { $_->{group_message} ? $_->{group_message}{message} : () } @{ $_[0] } ]; }

my ($events, $cursor) = pages(1, undef);
my ($by_few) = pages(1, undef, limit => 6);
my %by_shard = map { my $n = $_; $n => [ grep { (values %$_)[0]{id} >> 48 == $n } @$events ] } 0 .. $SHARDS;
is(scalar @$by_few, scalar @$events, 'small pages have as many events');
foreach my $n (0 .. $SHARDS)
{
	is_deeply([ grep { (values %$_)[0]{id} >> 48 == $n } @$by_few ], $by_shard{$n}, "and those of shard $n in the same order");
	my $alone = decode_json($all[$n]->safe_psql('postgres', 'SELECT chatrel.sync(event_limit => 1000, as_user => 1)'));
	is_deeply($by_shard{$n}, $alone->{events}, "which are those of shard $n itself");
}
is_deeply((pages(1, $cursor))[0], [], 'nothing comes twice');
proxy("SELECT count(*) FROM generate_series(1, 7) AS i, chatrel.send_group_message($shards_of{$_}, '$_.' || i, as_user => 2)") foreach 1 .. $SHARDS;
($events, my $after) = pages(1, $cursor, limit => 5);
is_deeply([ sort @{ texts($events) } ], [ map { my $n = $_; map { "$n.$_" } 1 .. 7 } 1 .. $SHARDS ], 'what is new comes once');
is(sync_as(1, $after, wait => '300 ms')->{more}, JSON::PP::false, 'a wait ends');
is(proxy("SET statement_timeout = '9 s'; SELECT count(chatrel.sync('$after', as_user => 1)) FROM generate_series(1, 50)"), '50', 'who does not wait is answered at once');
my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $home->connstr . ' dbname=proxy', '-c', "SELECT chatrel.sync('$after', wait => '60 s', as_user => 1)" ], '>', \my $waited);
$home->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'proxy' AND query LIKE '%60 s%' AND state = 'active' AND pid <> pg_backend_pid()");
proxy("SELECT chatrel.send_group_message($shards_of{2}, 'waited for', as_user => 2)");
$waiter->finish;
is_deeply(texts(decode_json($waited)->{events}), ['waited for'], 'and one that waits is told');
foreach my $bad ('x', '{}x', '[1]', '{"1": 2}', '{"1": "nonsense"}')
{
	is(as_role('app', "SELECT chatrel.sync('$bad', as_user => 1)"), '22023', "$bad is no cursor");
}
is(as_role('app', "SELECT chatrel.sync('$after', as_user => 2)"), '22023', 'nor is that of another user');
is(as_role('app', 'SELECT chatrel.sync(event_limit => 0, as_user => 1)'), '22023', 'a page has some events');
is(as_role('app', q{SELECT chatrel.sync(wait => '-1 s', as_user => 1)}), '22023', 'a wait is not over before');
my $everything = decode_json(proxy('SELECT chatrel.sync_all(event_limit => 10000)'));
is(scalar(grep { $_->{group_message} && $_->{group_message}{message} eq 'waited for' } @{ $everything->{events} }), 1, 'sync_all() has everything');

# ---------- a shard that is down ----------

$after = (pages(1, $after))[1];
is(as_role('app', q{SELECT chatrel.sync('now', as_user => 1) ->> 'events'}), '[]', 'from now on there is nothing yet');
proxy("SELECT chatrel.send_group_message($shards_of{2}, 'before', as_user => 2)");
my $kept = connect_to($home, 'proxy');
is(scalar @{ decode_json(value($kept, 'SELECT chatrel.sync(?, as_user => 1)', $after))->{events} }, 1, 'a session that stays');
$shards[1]->stop('immediate');
is_deeply(decode_json(value($kept, 'SELECT chatrel.sync(?, as_user => 1)', $after))->{delayed}, [2], 'hears that a shard does not answer');
proxy("SELECT chatrel.send_group_message($shards_of{$_}, 'meanwhile $_', as_user => 2)") foreach 1, 3;
($events, my $during, my $answer) = pages(1, $after);
is_deeply([ sort @{ texts($events) } ], [ 'meanwhile 1', 'meanwhile 3' ], 'the others go on');
is_deeply($answer->{delayed}, [2], 'and it is said which does not');
is_deeply((pages(1, $during))[0], [], 'again');
isnt(as_role('app', "SELECT chatrel.send_group_message($shards_of{2}, 'lost', as_user => 2)"), '', 'a call to it fails');
is(as_role('app', q{SELECT chatrel.sync('now', as_user => 1)}), '08000', 'what began now could not be caught up with later');
weigh('(shard IN (1, 2))::integer');
is_deeply(placed(6), { 1 => 6 }, 'a new group is put on the other one of two');
weigh('(shard = 2)::integer');
is(as_role('app', "SELECT chatrel.create_group('nowhere', as_user => 4)"), 'XX000', 'and cannot be made where none answers');
weigh('(shard > 0)::integer');
start_again($shards[1]);
is_deeply(texts(decode_json(value($kept, 'SELECT chatrel.sync(?, as_user => 1)', $during))->{events}), ['before'], 'the session goes on');
$kept->disconnect;
proxy("SELECT chatrel.send_group_message($shards_of{2}, 'after', as_user => 2)");
($events, $after, $answer) = pages(1, $during);
is_deeply(texts($events), [ 'before', 'after' ], 'what was delayed comes, in order, once');
is($answer->{delayed}, undef, 'and nothing is delayed any more');

# ---------- what home says of users ----------

sub invitations_on_2 { return $shards[1]->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_invitations WHERE user_id = 3'); }
proxy("SELECT chatrel.invite($shards_of{2}, ARRAY[3], as_user => 1)");
is(invitations_on_2(), '1', 'a user is invited');
$after = (pages(1, undef))[1];
proxy(q{SELECT chatrel.rename_user(2, 'bobby')});
proxy(q{SELECT chatrel.delete_user(3)});
caught_up();
($events, $after) = pages(1, $after);
my @renamed = map { $_->{user_changed} ? $_->{user_changed}{group_id} : () } @$events;
is_deeply([ sort @renamed ], [ sort values(%shards_of), $direct ], 'the groups of a user hear of its name, once each');
is_deeply([ map { $_->{member_left} ? @{ $_->{member_left} }{qw(group_id user_id reason)} : () } @$events ], [ $shards_of{3}, 3, 'deleted' ],
	'and the group of one who is deleted that it left');
is(scalar(grep { $_->{user_changed} && !$_->{user_changed}{group_id} } @{ (pages(2, undef))[0] }), 1, 'the user itself hears of it once');
is($shards[2]->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_members WHERE user_id = 3'), '0', 'it is a member of nothing');
is(invitations_on_2(), '0', 'and not invited any more');
is($_->safe_psql('postgres', q{SELECT count(*) FROM chatrel.groups AS g WHERE (SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters AS c WHERE c.group_id = g.id)
	<> (SELECT count(*) FROM chatrel.groups_members AS m WHERE m.group_id = g.id)}), '0', 'members are counted right on ' . $_->name) foreach @all;
is(as_role('app', "SELECT chatrel.join_group($shards_of{1}, as_user => 3)"), 'P0002', 'and does not come back');
proxy(q{SELECT chatrel.erase_user(2)});
caught_up();
is($_->safe_psql('postgres', 'SELECT username FROM chatrel.users WHERE id = 2'), 'deleted user 2', 'who is erased is so on ' . $_->name) foreach @all;
is($_->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_messages WHERE sender_id = 2 AND message IS NOT NULL'), '0', 'with what it has said') foreach @all;
is($_->safe_psql('postgres', 'SELECT count(*) FROM chatrel.groups_members WHERE user_id = 2'), '0', 'and its memberships') foreach @all;

$_->stop foreach reverse @all;
done_testing();
