# Servers that expose functions of the database as they are: nobody who writes the arguments of a
# call, as_user among them, is somebody else.  Real ones, with the settings of doc/clients.md; see
# attack_identity.sql for the same roles in SQL.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Digest::SHA qw(hmac_sha256);
use File::Copy;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $clients = "$FindBin::RealBin/../clients";
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $http = HTTP::Tiny->new(timeout => $Realtime::patience);

# Ann is user 1 and bob is user 2; both are in group 1, and bob alone is in group 2.  The library is
# loaded by the first call of each connection, after the server has set the parameter.
my $node = new_server('main', not_preloaded => 1);
$node->safe_psql('postgres', q{
	CREATE EXTENSION chatrel;

	CREATE ROLE chat_client;
	GRANT USAGE ON SCHEMA chatrel TO chat_client;
	CREATE ROLE chat_server LOGIN NOINHERIT IN ROLE chat_client;
	GRANT SET ON PARAMETER chatrel.user_id TO chat_server;
	REVOKE EXECUTE ON FUNCTION chatrel.listen, chatrel.listen_group, chatrel.unlisten FROM PUBLIC;

	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO chat_client;
	CREATE FUNCTION api.send_message(group_id bigint, message text, client_key text DEFAULT NULL) RETURNS jsonb
		LANGUAGE sql VOLATILE
		AS 'SELECT to_jsonb(m) FROM chatrel.send_group_message(group_id, message, client_key => client_key) AS m';
	CREATE FUNCTION api.sync(cursor text DEFAULT NULL) RETURNS jsonb
		LANGUAGE sql VOLATILE
		AS 'SELECT chatrel.sync(cursor)';
	CREATE FUNCTION api.me() RETURNS jsonb
		LANGUAGE sql STABLE
		AS 'SELECT chatrel.me()';

	-- what an application had better not write
	CREATE FUNCTION api.send_message_as(group_id bigint, message text, as_user bigint) RETURNS jsonb
		LANGUAGE sql VOLATILE
		AS 'SELECT to_jsonb(m) FROM chatrel.send_group_message(group_id, message, as_user => as_user) AS m';
	CREATE FUNCTION api.me_as(as_user bigint) RETURNS jsonb
		LANGUAGE sql STABLE
		AS 'SELECT chatrel.me(as_user => as_user)';

	SELECT chatrel.create_user('ann'), chatrel.create_user('bob');
	SELECT chatrel.create_group('ours', true, as_user => 1), chatrel.join_group(1, as_user => 2);
	SELECT chatrel.create_group('private', true, as_user => 2);
});
my $database_url = sprintf('postgres:///postgres?host=%s&port=%d&user=chat_server', $node->host, $node->port);
my $admin = connect_to($node);

# ---------- servers ----------

# Starts a program of test/clients, and returns it with its port.
sub start_program
{
	my ($folder, $program, $interpreter) = @_;
	my ($output, $errors) = ('', '');
	local %ENV = (%ENV, DATABASE_URL => $database_url, TOKENS => '{"ann": 1, "bob": 2}');

	copy("$clients/$program", "$folder/$program") or die "$program: $!";
	my $handle = IPC::Run::start([ $interpreter, "$folder/$program" ], '<', \undef, '>', \$output, '2>', \$errors);
	wait_until(sub { eval { $handle->pump_nb }; return $output =~ /^port (\d+)$/m || !$handle->pumpable });
	my ($port) = $output =~ /^port (\d+)$/m or die "$program does not start: $errors";
	return ($handle, $port);
}

# A function that sends a query as whom a token names, and returns what GraphQL answers.
sub graphql_client
{
	my ($port) = @_;

	return sub {
		my ($token, $query, $variables) = @_;
		my $response = $http->post("http://127.0.0.1:$port/graphql", {
			headers => { 'content-type' => 'application/json', $token ? (authorization => "Bearer $token") : () },
			content => $json->encode({ query => $query, variables => $variables }) });

		return eval { $json->decode($response->{content}) } // { errors => [ { message => $response->{content} } ] };
	};
}

# Did GraphQL answer that a user may not act as another?
sub is_refused
{
	my ($answer, $user, $name) = @_;
	my ($error) = @{ $answer->{errors} // [] };
	my $code = $error->{errcode} // $error->{extensions}{errcode} // '';

	return ok($code eq '42501' && $error->{message} eq "permission denied to act as user $user", "$name is refused")
		|| diag($json->encode($answer));
}

# What is in the tables that a forged call could have changed
sub state_of_all
{
	return $admin->selectall_arrayref(q{
		SELECT (SELECT string_agg(sender_id || ': ' || message, ', ' ORDER BY id) FROM chatrel.groups_messages),
			(SELECT count(*) FROM chatrel.events), (SELECT count(*) FROM chatrel.groups_members),
			(SELECT count(*) FROM chatrel.groups), (SELECT count(*) FROM chatrel.relationships),
			(SELECT count(*) FROM chatrel.blocks), (SELECT count(*) FROM chatrel.read_marks)});
}

# ---------- PostGraphile ----------

# A call of every function that has as_user, as GraphQL has them, with something for each argument
# that has no default
sub calls_as
{
	my ($user) = @_;
	my $functions = $admin->selectall_arrayref(q{
		SELECT proname, provolatile = 'v' AS writes, proretset AS is_list, typtype IN ('c', 'p') AS has_fields, ARRAY(
			SELECT name || ' ' || format_type(type, NULL) FROM unnest(proargnames, proargtypes::oid[]) WITH ORDINALITY a (name, type, n)
			WHERE n <= pronargs - pronargdefaults) AS required
		FROM pg_proc p JOIN pg_type t ON t.oid = prorettype
		WHERE pronamespace = 'chatrel'::regnamespace AND 'as_user' = ANY (proargnames) AND has_function_privilege('chat_client', p.oid, 'EXECUTE')
		ORDER BY proname}, { Slice => {} });
	my %values = (bigint => '"1"', text => '"x"', boolean => 'true', 'bigint[]' => '["1"]', jsonb => '{stickers: []}');
	my $in_graphql = sub { my ($name) = @_; return $name =~ s/_(\w)/\u$1/gr };
	my @calls;

	foreach my $function (@$functions)
	{
		my $name = $in_graphql->($function->{proname});
		my @arguments = map { my ($argument, $type) = split / /; $in_graphql->($argument) . ': ' . ($argument eq 'role' ? '"member"'
			: $argument eq 'audience' ? '"nobody"' : $values{$type}) } @{ $function->{required} };
		my $arguments = join(', ', @arguments, "asUser: \"$user\"");

		push @calls, $function->{writes} ? "mutation { $name(input: {$arguments}) { clientMutationId } }"
			: "{ $name" . ($function->{is_list} ? 'List' : '') . "($arguments)" . ($function->{has_fields} ? ' { __typename }' : '') . ' }';
	}
	return @calls;
}

subtest 'PostGraphile 4, on the schema chatrel' => sub {
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $why_not = npm_install($folder, 'postgraphile@4.14.1');

	plan skip_all => $why_not if $why_not;
	my ($handle, $port) = start_program($folder, 'postgraphile-4.cjs', 'node');
	my $ask = graphql_client($port);
	my $send = 'mutation S($i: SendGroupMessageInput!) { sendGroupMessage(input: $i) { chatMessage { senderId message } } }';
	my $said = $ask->('ann', $send, { i => { groupId => '1', message => 'by ann' } });

	is_deeply($said, { data => { sendGroupMessage => { chatMessage => { senderId => '1', message => 'by ann' } } } }, 'ann sends a message');
	$said = $ask->('bob', $send, { i => { groupId => '1', message => 'by bob', asUser => '2' } });
	is($said->{data}{sendGroupMessage}{chatMessage}{senderId}, '2', 'bob does, and says who he is');
	is_deeply([ map { $_->{message} } messages_in($ask->('ann', 'mutation { sync(input: {}) { json } }')->{data}{sync}{json}) ],
		[ 'by ann', 'by bob' ], 'ann reads both');
	is_deeply($ask->('ann', '{ groupMessagesList(groupId: "1") { message } }')->{data}{groupMessagesList}, [ { message => 'by bob' }, { message => 'by ann' } ],
		'and by pages');
	is_deeply($ask->('ann', '{ currentUserId allGroupsMembersList { groupId userId } }')->{data},
		{ currentUserId => '1', allGroupsMembersList => [ map { { groupId => '1', userId => $_ } } '1', '2' ] }, 'tables show her groups alone');

	my $before = state_of_all();
	my @calls = calls_as(2);

	cmp_ok(scalar(@calls), '>=', 65, 'the functions that act as somebody are there');
	is_refused($ask->('ann', $_), 2, $_) foreach @calls;
	is_refused($ask->('ann', $send, { i => { groupId => '2', message => 'forged', asUser => '2' } }), 2, 'a variable');
	is_refused($ask->('ann', 'mutation S($u: BigInt) { sendGroupMessage(input: {groupId: "2", message: "forged", asUser: $u}) { clientMutationId } }', { u => '2' }),
		2, 'a variable in an object');
	is_refused($ask->('ann', 'query Q($u: BigInt = "2") { other: me(asUser: $u) }'), 2, 'the default of a variable, under an alias');
	is_refused($ask->('ann', 'query { query { query { ...F } } } fragment F on Query { me(asUser: "2") }'), 2, 'a fragment, some levels deep');
	is_refused($ask->('ann', 'mutation { markRead(input: {groupId: "1", messageId: "1"}) { query { me(asUser: "2") } } }'), 2, 'a query in what a mutation returns');
	is_refused($ask->('ann', '{ me(asUser: "02") }'), 2, 'a number written otherwise');
	is_refused($ask->('ann', '{ me(asUser: "0") }'), 0, 'user 0');
	is_refused($ask->('ann', '{ me(asUser: "7") }'), 7, 'a user who does not exist');
	is_refused($ask->(undef, '{ me(asUser: "1") }'), 1, 'a user, where nobody is logged in');
	is($ask->(undef, '{ me }')->{errors}[0]{errcode}, '28000', 'nobody is logged in after others were, on the same connections');
	is_deeply(state_of_all(), $before, 'nothing is changed');

	my $schema = $json->encode($ask->('ann', '{ __schema { mutationType { fields { name } } } }'));
	unlike($schema, qr/"(createUser|deleteUser|eraseUser|exportUser|linkUsers|purgeMessages|syncAll|listen|listenAll|createGroupsMessage|updateUser)"/,
		'administrative functions, channels and the rows of tables are not there');
	like($schema, qr/"sendGroupMessage"/, 'but what is for everybody');
	$handle->kill_kill;
};

subtest 'PostGraphile 5, on a schema of the application' => sub {
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my ($version) = `node --version 2>&1` =~ /^v(\d+)/;
	my $is_old = ($version // 0) < 22;
	my $why_not = npm_install($folder, 'postgraphile@5.1.5', $is_old ? 'node@22' : ());

	plan skip_all => $why_not if $why_not;
	my ($handle, $port) = start_program($folder, 'postgraphile-5.mjs', $is_old ? "$folder/node_modules/.bin/node" : 'node');
	my $ask = graphql_client($port);
	my $before = state_of_all()->[0][0];
	my $send = 'mutation S($i: SendMessageInput!) { sendMessage(input: $i) { result } }';
	my $said = $ask->('ann', $send, { i => { groupId => '1', message => 'by 5' } });

	is($said->{data}{sendMessage}{result}{sender_id}, 1, 'ann sends a message');
	is((map { $_->{message} } messages_in($ask->('bob', 'mutation { sync(input: {}) { result } }')->{data}{sync}{result}))[-1], 'by 5', 'and bob reads it');
	is($ask->('bob', '{ me }')->{data}{me}{username}, 'bob', 'as himself');
	like($ask->('ann', $send, { i => { groupId => '2', message => 'forged' } })->{errors}[0]{message}, qr/^user 1 is not a member of group 2$/, 'ann is in no group of others');
	like($ask->('ann', 'mutation { sendMessage(input: {groupId: "2", message: "forged", asUser: "2"}) { result } }')->{errors}[0]{message},
		qr/asUser/, 'a function without as_user takes none');

	is_refused($ask->('ann', 'mutation { sendMessageAs(input: {groupId: "2", message: "forged", asUser: "2"}) { result } }'), 2, 'where a function passes it on, another user');
	is_refused($ask->('ann', 'mutation S($i: SendMessageAsInput!) { sendMessageAs(input: $i) { result } }', { i => { groupId => '2', message => 'forged', asUser => '2' } }),
		2, 'a variable');
	is_refused($ask->('ann', 'query Q($u: BigInt = "2") { other: meAs(asUser: $u) }'), 2, 'the default of a variable, under an alias');
	is_refused($ask->('ann', 'mutation { sync(input: {}) { query { meAs(asUser: "2") } } }'), 2, 'a query in what a mutation returns');
	is_refused($ask->(undef, '{ meAs(asUser: "1") }'), 1, 'a user, where nobody is logged in');
	is($ask->('ann', '{ meAs(asUser: "1") }')->{data}{meAs}{username}, 'ann', 'ann may say who she is');
	is($ask->(undef, '{ me }')->{errors}[0]{extensions}{errcode}, '28000', 'nobody is logged in after others were, on the same connections');
	is(state_of_all()->[0][0], join(', ', grep { defined } $before, '1: by 5'), 'nothing else was sent');
	$handle->kill_kill;
};

# ---------- PostgREST ----------

# A token, signed as PostgREST wants it
sub token_for
{
	my ($secret, %claims) = @_;
	my $text = join('.', map { encode_base64url($json->encode($_)) } { alg => 'HS256', typ => 'JWT' }, { role => 'chat_client', %claims });

	return "$text." . encode_base64url(hmac_sha256($text, $secret));
}

subtest 'PostgREST' => sub {
	plan skip_all => 'postgrest is not installed' unless has_program('postgrest');
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $secret = 'a secret of at least 32 characters';
	my ($output, $errors) = ('', '');

	$node->safe_psql('postgres', q{
		CREATE ROLE chat_identity;
		GRANT SET ON PARAMETER chatrel.user_id TO chat_identity;
		CREATE SCHEMA hooks;
		GRANT USAGE ON SCHEMA hooks TO chat_client;
		CREATE FUNCTION hooks.identify() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
		BEGIN
			PERFORM set_config('chatrel.user_id',
				coalesce(current_setting('request.jwt.claims', true)::jsonb ->> 'chat_user_id', ''), true);
		END $$;
		ALTER FUNCTION hooks.identify() OWNER TO chat_identity;
	});
	my $handle = do
	{
		local %ENV = (%ENV, PGRST_DB_URI => $database_url, PGRST_DB_SCHEMAS => 'chatrel', PGRST_DB_ANON_ROLE => 'chat_client',
			PGRST_DB_PRE_REQUEST => 'hooks.identify', PGRST_JWT_SECRET => $secret, PGRST_SERVER_HOST => '127.0.0.1', PGRST_SERVER_PORT => $port);
		IPC::Run::start(['postgrest'], '<', \undef, '>', \$output, '2>', \$errors);
	};
	my $call = sub {
		my ($claims, $function, $arguments) = @_;
		my $response = $http->post("http://127.0.0.1:$port/rpc/$function", {
			headers => { 'content-type' => 'application/json', $claims ? (authorization => 'Bearer ' . token_for($secret, %$claims)) : () },
			content => $json->encode($arguments) });
		return eval { $json->decode($response->{content}) } // { message => $response->{content} };
	};
	my ($ann, $bob) = map { { chat_user_id => $_ } } 1, 2;

	wait_until(sub { ref($call->($ann, 'me', {})) eq 'HASH' && exists $call->($ann, 'me', {})->{username} }) or BAIL_OUT("postgrest does not start: $errors");
	is($call->($ann, 'send_group_message', { group_id => 1, message => 'by REST' })->{sender_id}, 1, 'ann sends a message');
	is((map { $_->{message} } messages_in($call->($bob, 'sync', {})))[-1], 'by REST', 'and bob reads it');
	foreach my $user (0, 2, 7)
	{
		is($call->($ann, 'send_group_message', { group_id => 2, message => 'forged', as_user => $user })->{message},
			"permission denied to act as user $user", "as user $user, ann is refused");
	}
	is($call->(undef, 'me', { as_user => 1 })->{message}, 'permission denied to act as user 1', 'and so is who has no token');
	is($call->(undef, 'me', {})->{code}, '28000', 'who is nobody');
	$handle->kill_kill;
};

$admin->disconnect;
$node->stop;
done_testing();
