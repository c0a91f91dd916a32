# ALTER EXTENSION UPDATE: a database that was updated has the very catalogue of one
# where the extension is new, keeps its data, and its sessions go on.
#
# Every way from a released version to this one is tried.  As long as there is none,
# and so that what is compared is seen to differ, a next version is made up.

use strict;
use warnings;

use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Realtime;

my $config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $folder = `$config --sharedir` . '');
$folder .= '/extension';
plan skip_all => "made-up versions cannot be written to $folder" unless -w $folder;

my $control = slurp_file("$folder/chatrel.control");
my ($version) = $control =~ /^default_version\s*=\s*'(.*)'/m;
my @written;

# The installed library is kept aside, for the tests that come after.
chomp(my $installed = `$config --pkglibdir` . '');
$installed .= '/chatrel.so';
my $kept = PostgreSQL::Test::Utils::tempdir() . '/chatrel.so';
copy($installed, $kept) or die "cannot keep $installed: $!";

END
{
	my $status = $?;
	unlink @written;
	unlink $installed;
	copy($kept, $installed);
	$? = $status;
}

sub write_script
{
	my ($name, $text) = @_;
	my $file = "$folder/chatrel--$name.sql";

	push @written, $file;
	append_to_file($file, $text);
	return;
}

# What a next version may well do; the last statement is easily forgotten.
my $change = q{
ALTER TABLE chatrel.users ADD COLUMN biography text;
ALTER TABLE chatrel.groups_messages ADD COLUMN translated_at timestamptz;
COMMENT ON COLUMN chatrel.groups_messages.translated_at IS 'when the text was translated';
CREATE TABLE chatrel.topics (group_id bigint PRIMARY KEY REFERENCES chatrel.groups ON DELETE CASCADE, topic text NOT NULL);
COMMENT ON TABLE chatrel.topics IS 'what groups talk about';
ALTER TABLE chatrel.topics ENABLE ROW LEVEL SECURITY;
CREATE POLICY topics_of_groups ON chatrel.topics FOR SELECT USING (group_id IN (SELECT group_id FROM chatrel.my_memberships));
GRANT SELECT ON chatrel.topics TO PUBLIC;
CREATE FUNCTION chatrel.topic(group_id bigint) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT t.topic FROM chatrel.topics AS t WHERE t.group_id OPERATOR(pg_catalog.=) topic.group_id;
END;
COMMENT ON FUNCTION chatrel.topic(bigint) IS 'what a group talks about, or null';
ALTER FUNCTION chatrel.join_group(bigint, bigint) COST 200;
};
my $dump = q{SELECT pg_catalog.pg_extension_config_dump('chatrel.topics', '');};

write_script("$version.next", slurp_file("$folder/chatrel--$version.sql") . "$change$dump\n");
write_script("$version--$version.next", "$change$dump\n");
# One that has forgotten something, for each kind of thing that is compared
my %forgotten = (
	dump => [ $dump => '' ],
	grant => [ 'GRANT SELECT ON chatrel.topics TO PUBLIC;' => '' ],
	comment => [ q{COMMENT ON TABLE chatrel.topics IS 'what groups talk about';} => '' ],
	policy => [ 'ALTER TABLE chatrel.topics ENABLE ROW LEVEL SECURITY;' => '' ],
	column => [ 'translated_at timestamptz' => 'translated_at timestamp' ],
	constraint => [ ' ON DELETE CASCADE' => '' ],
	volatility => [ 'STABLE STRICT' => 'STABLE' ],
	cost => [ 'COST 200' => 'COST 100' ],
);
foreach my $what (sort keys %forgotten)
{
	my ($from, $to) = @{ $forgotten{$what} };
	my $script = "$change$dump\n";

	$script =~ s/\Q$from\E/$to/ or die "$what is not there to be forgotten";
	write_script("$version--$version.$what", $script);
}

my $node = new_server('node');

# All that the extension has, as text
sub catalogue
{
	my ($database) = @_;

	return $node->safe_psql($database, q{
		WITH member AS (
			SELECT classid, objid, (pg_identify_object(classid, objid, 0)).*, obj_description(objid, classid::regclass::name) AS comment
			FROM pg_depend
			WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
				AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel')
		), relation AS (
			SELECT c.*, m.identity FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
		)
		SELECT line FROM (
		SELECT type || ' ' || identity || ': ' || coalesce(comment, 'no comment') AS line FROM member
		UNION ALL
		SELECT format('function %s: %s %s', identity, pg_get_functiondef(p.oid), proacl)
		FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND objid = p.oid
		UNION ALL
		SELECT format('type %s: %s %s', identity, typacl, (SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
		FROM member JOIN pg_type AS t ON classid = 'pg_type'::regclass AND objid = t.oid
		UNION ALL
		SELECT format('relation %s: %s %s %s %s %s %s', identity, relkind, relacl, relrowsecurity, relforcerowsecurity, reloptions,
			CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END)
		FROM relation
		UNION ALL
		SELECT format('column %s.%s: %s %s %s %s %s %s %s %s', identity, attname,
			row_number() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod), attnotnull, attidentity,
			attstorage, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
		FROM relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
		LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		UNION ALL
		SELECT format('index: %s %s', pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class'))
		FROM relation JOIN pg_index ON indrelid = relation.oid
		UNION ALL
		SELECT format('constraint %s on %s: %s %s', conname, identity, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'))
		FROM relation JOIN pg_constraint AS k ON conrelid = relation.oid
		UNION ALL
		SELECT format('trigger %s %s %s', pg_get_triggerdef(t.oid), tgenabled, obj_description(t.oid, 'pg_trigger'))
		FROM relation JOIN pg_trigger AS t ON tgrelid = relation.oid AND NOT tgisinternal
		UNION ALL
		SELECT format('policy %s on %s: %s %s %s %s %s %s', polname, identity, polcmd, polpermissive, polroles,
			pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
		FROM relation JOIN pg_policy AS p ON polrelid = relation.oid
		UNION ALL
		SELECT format('dumped: %s %s', config::regclass, condition)
		FROM pg_extension, unnest(extconfig, extcondition) AS of_it (config, condition) WHERE extname = 'chatrel'
		) AS everything ORDER BY line COLLATE "C"});
}

sub new_database
{
	my ($database, $of_version) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION chatrel VERSION '$of_version'");
	return;
}

sub drop_database
{
	my ($database) = @_;

	$node->safe_psql('postgres', "DROP DATABASE $database");
	return;
}

sub updated_catalogue
{
	my ($from, $to) = @_;

	new_database('updated', $from);
	$node->safe_psql('updated', "ALTER EXTENSION chatrel UPDATE TO '$to'");
	my $result = catalogue('updated');
	drop_database('updated');
	return $result;
}

# ---------- real versions ----------

new_database('new', $version);
my @old = split /\n/, $node->safe_psql('new', qq{
	SELECT source FROM pg_extension_update_paths('chatrel')
	JOIN pg_available_extension_versions AS v ON v.name = 'chatrel' AND v.version = source
	WHERE target = '$version' AND path IS NOT NULL ORDER BY source});
is(updated_catalogue($_, $version), catalogue('new'), "$_ to $version: the catalogue of a new one") foreach @old;
note('there are no released versions yet') unless @old;
drop_database('new');

# ---------- the next version ----------

new_database('next', "$version.next");
my $next = catalogue('next');
is(updated_catalogue($version, "$version.next"), $next, 'to a next version: the catalogue of a new one');
isnt(updated_catalogue($version, "$version.$_"), $next, "and it would be seen if the script had forgotten: $_") foreach sort keys %forgotten;

# The next version's library, compiled from the same source
sub next_library
{
	my $copy = PostgreSQL::Test::Utils::tempdir();

	system_or_bail('cp', '-r', 'Makefile', 'chatrel.control', 'src', 'sql', $copy);
	system_or_bail('make', '-s', '-C', $copy, '-j2', 'with_llvm=no', "PG_CONFIG=$config", "EXTVERSION=$version.next", '-B', 'chatrel.so');
	return "$copy/chatrel.so";
}

# As a package does: a new file in the place of the old one, which sessions go on using
sub install_library
{
	my ($library) = @_;

	unlink $installed or die "cannot remove $installed: $!";
	copy($library, $installed) or die "cannot write $installed: $!";
	return;
}

my $mismatch = qr/library of chatrel is of version .*, but the extension of version .*HINT:  Run ALTER EXTENSION chatrel UPDATE/s;

subtest 'an update with its data' => sub {
	set_up($node);
	my ($session, $admin) = map { connect_to($node) } 1 .. 2;
	my $listener = Realtime::Listener->new($node, 'chatrel.listen_all()');
	my $refused = sub {
		my ($what, $sql) = @_;

		ok(!eval { $session->do($sql); 1 }, "$what: refused");
		is($session->state, '55000', '... with its SQLSTATE');
		like($session->errstr, $mismatch, '... and what to do');
	};
	my $use = sub {
		my ($text) = @_;

		is(value($session, 'SELECT message FROM chatrel.send_group_message(1, ?, as_user => 1)', $text), $text, "$text: it sends");
		ok((grep { $_ eq $text } $listener->texts_until($text)), 'and is heard');
		is(value($session, 'SELECT username FROM chatrel.create_user(?)', $text), $text, 'a function that returns the row of a table');
		is(value($session, 'SELECT chatrel.follow(max(id), as_user => 1)::text FROM chatrel.users'), 'true', 'it follows');
		is(value($session, 'SELECT chatrel.leave_group(1, as_user => 3)::text || chatrel.join_group(1, as_user => 3)'), 'truetrue', 'members leave and join');
		is(value($session, q{SELECT jsonb_array_length(chatrel.sync(event_limit => 1, as_user => 1) -> 'events')}), 1, 'and catch up');
	};
	my $rows = sub {
		return value($admin, q{SELECT md5(string_agg(format('%s %s %s', id, sender_id, message), ',' ORDER BY id)) FROM chatrel.groups_messages});
	};

	start_worker($session);
	$use->('before');
	my $cursor = value($session, q{SELECT chatrel.sync(as_user => 1) ->> 'cursor'});
	my $before = $rows->();

	$admin->do("ALTER EXTENSION chatrel UPDATE TO '$version.next'");
	is($rows->(), $before, 'the messages are there');
	$refused->('the old library over new objects', 'SELECT chatrel.me(as_user => 1)');
	$refused->('also in a policy', q{SET ROLE pg_monitor; SELECT FROM chatrel.groups_messages});
	$session->do('RESET ROLE');

	new_database('behind', $version);
	$_->disconnect foreach $session, $admin;
	undef $listener;
	install_library(next_library());
	$node->restart;
	$session = connect_to($node, 'behind');
	$refused->('the new library over old objects', q{SELECT chatrel.create_user('early')});
	$session->do("ALTER EXTENSION chatrel UPDATE TO '$version.next'");
	is(value($session, q{SELECT username FROM chatrel.create_user('early')}), 'early', 'which the update ends, in the same session');

	($session, $admin) = map { connect_to($node) } 1 .. 2;
	$listener = Realtime::Listener->new($node, 'chatrel.listen_all()');
	start_worker($session);
	$use->('after');
	is(value($session, q{SELECT jsonb_path_query_array(chatrel.sync(?, as_user => 1), '$.events[*].group_message') -> -1 ->> 'message'}, $cursor), 'after', 'a cursor goes on');
	is(value($session, 'SELECT count(*) FROM chatrel.verify_follow_counts()'), 0, 'counters are right');
	$admin->do(q{INSERT INTO chatrel.topics VALUES (1, 'PostgreSQL')});
	is(value($session, 'SELECT chatrel.topic(1)'), 'PostgreSQL', 'and there is what is new');
};

$node->stop;
done_testing();
