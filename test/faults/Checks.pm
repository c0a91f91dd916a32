# What must be true after a round, when everything has come to rest.
#
# The ledgers of the clients say what may be: for each key the values that it may
# have now, which is one, or several after a transaction in doubt.
package Checks;

use strict;
use warnings;

use Fault;
use IPC::Run;
use JSON::PP;
use Ledger;
use PostgreSQL::Test::Utils qw(slurp_file);
use Realtime;

# ---------- what the ledgers say ----------

# Sets the values that are possible after this round: {kind}{key}{value}, of messages
# {text} = [outcome, group, sender, class], and the transactions in doubt.
sub read_ledgers
{
	my ($world) = @_;
	my $found = { messages => {}, wrong => [], doubts => [] };

	foreach my $path (sort glob "$world->{folder}/*.ledger")
	{
		foreach (Ledger::lines_of($path))
		{
			my ($outcome, $actions) = @$_;

			if ($outcome eq 'wrong') { push @{ $found->{wrong} }, @$actions; next }
			push @{ $found->{doubts} }, $actions if $outcome eq 'doubt';
			apply($world, $found, $outcome, $_) foreach @$actions;
		}
	}
	return $found;
}

sub apply
{
	my ($world, $found, $outcome, $action) = @_;
	my ($kind, $key, $value) = @$action;

	if ($kind eq 'message') { $found->{messages}{$key} = [ $outcome, @$value ] }
	elsif ($outcome eq 'done') { $world->{state}{$kind}{$key} = { $value => 1 } }
	elsif ($outcome eq 'doubt')
	{
		$world->{state}{$kind}{$key} //= { 0 => 1 };
		$world->{state}{$kind}{$key}{$value} = 1;
	}
	return;
}

# ---------- what the tables say ----------

sub rows
{
	my ($world, $sql, @arguments) = @_;

	return @{ $world->{admin}->selectall_arrayref($sql, undef, @arguments) };
}

# The values that keys have, as the tables say; and what is not as it may be.  A
# key that is in no ledger has the value 0.
sub differences
{
	my ($world, $kind, $sql) = @_;
	my %is = map { $_->[0] => $_->[1] } rows($world, $sql);
	my $state = $world->{state}{$kind} //= {};
	my @wrong;

	foreach my $key (keys %{ { %is, %$state } })
	{
		my $is = $is{$key} // 0;
		my $may = $state->{$key} // { 0 => 1 };

		push @wrong, "$kind $key is $is, not " . join ' or ', sort keys %$may unless $may->{$is};
		$state->{$key} = { $is => 1 };
	}
	return @wrong;
}

my %STATE_OF = (
	user => q{SELECT username, count(*) FROM chatrel.users WHERE username ~ '^[0-9]+ ' GROUP BY 1},
	group => q{SELECT name, count(*) FROM chatrel.groups WHERE name ~ '^[0-9]+ ' GROUP BY 1},
	deleted => 'SELECT id, 1 FROM chatrel.users WHERE deleted_at IS NOT NULL',
	member => q{SELECT group_id || ' ' || user_id, 1 FROM chatrel.groups_members},
	# As often as it says, and the events say so, too
	edit => q{
		SELECT m.id, CASE WHEN 'wall ' || n.edits = m.message THEN n.edits ELSE -1 END FROM chatrel.groups_messages m
		CROSS JOIN LATERAL (SELECT count(*) FROM chatrel.events WHERE kind = 'message_edited' AND message_id = m.id) AS n (edits)
		WHERE m.message LIKE 'wall %' AND m.edited_at IS NOT NULL},
	pin => q{SELECT e.message_id, CASE WHEN e.changes = (SELECT count(*) FROM chatrel.pinned_messages p WHERE p.message_id = e.message_id) THEN e.changes ELSE -1 END
		FROM (SELECT message_id, sum(CASE kind WHEN 'message_pinned' THEN 1 ELSE -1 END) FROM chatrel.events
			WHERE kind IN ('message_pinned', 'message_unpinned') GROUP BY 1) AS e (message_id, changes)},
	reaction => q{SELECT e.message_id, CASE WHEN e.changes = (SELECT count(*) FROM chatrel.message_reactions r WHERE r.message_id = e.message_id) THEN e.changes ELSE -1 END
		FROM (SELECT message_id, sum(CASE kind WHEN 'reaction_added' THEN 1 ELSE -1 END) FROM chatrel.events
			WHERE kind IN ('reaction_added', 'reaction_removed') GROUP BY 1) AS e (message_id, changes)},
	follow => q{SELECT follower_id || ' ' || followed_id, 1 FROM chatrel.relationships},
	# What its stickers say, and whether they are in the order in which they were sent
	board => q{
		SELECT w.id, CASE WHEN count(*) FILTER (WHERE s.title = 'v' || w.version) = 1 + (w.version - 1) % 5 AND count(*) = 1 + (w.version - 1) % 5
				AND array_agg(s.url ORDER BY s.position, s.id) = array_agg(s.url ORDER BY s.url)
			OR w.version = 1 AND count(s.id) = 0 THEN w.version ELSE -1 END
		FROM chatrel.whiteboards w LEFT JOIN chatrel.stickers s ON s.whiteboard_id = w.id GROUP BY w.id, w.version},
);

# Who is deleted is in no group, follows nobody, and is followed by nobody.
sub forget_deleted
{
	my ($world) = @_;

	foreach my $user (grep { $world->{state}{deleted}{$_}{1} } keys %{ $world->{state}{deleted} })
	{
		next if $world->{forgotten}{$user}++;
		foreach my $kind ('member', 'follow')
		{
			$world->{state}{$kind}{$_} = { 0 => 1 } foreach grep { /^$user | $user$/ && ($kind eq 'follow' || / $user$/) } keys %{ $world->{state}{$kind} };
		}
	}
	return;
}

sub check_state
{
	my ($world) = @_;
	my %wrong = map { $_ => [ differences($world, $_, $STATE_OF{$_}) ] } qw(user group deleted);

	forget_deleted($world);
	$wrong{$_} = [ differences($world, $_, $STATE_OF{$_}) ] foreach qw(member follow board edit pin reaction);
	return %wrong;
}

# ---------- messages ----------

# Each message of the round: acknowledged, once; in doubt, at most once; else not at all.
sub check_messages
{
	my ($world, $found, $kind) = @_;
	my %result = map { $_ => 0 } qw(acknowledged lost doubled invented hasty hasty_lost);
	my (%times, @wrong);

	foreach (rows($world, 'SELECT message, group_id, sender_id FROM chatrel.groups_messages WHERE id > ?', $world->{base}))
	{
		my ($text, $group, $sender) = @$_;
		my $entry = $found->{messages}{$text};

		$times{$text}++;
		push @wrong, "\"$text\" is of $sender in $group" if $entry && ($group != $entry->[1] || $sender != $entry->[2]);
		$result{invented}++ if !$entry || $entry->[0] eq 'not';
	}
	foreach my $text (keys %{ $found->{messages} })
	{
		my ($outcome, undef, undef, $class) = @{ $found->{messages}{$text} };
		my $is_hasty = $class eq 'hasty' && $kind->{crash};

		$result{doubled}++ if ($times{$text} // 0) > 1;
		next unless $outcome eq 'done';
		$result{ $is_hasty ? 'hasty' : 'acknowledged' }++;
		$result{ $is_hasty ? 'hasty_lost' : 'lost' }++ unless $times{$text};
	}
	foreach my $actions (@{ $found->{doubts} })
	{
		my @texts = map { $_->[0] eq 'message' ? $_->[1] : () } @$actions;
		my $there = grep { $times{$_} } @texts;

		push @wrong, "$there of " . @texts . ' messages of one transaction are there' if $there && $there != @texts;
	}
	return (\%result, @wrong);
}

# What there was before the round is as it was.
sub check_earlier
{
	my ($world) = @_;
	my $sum = 'SELECT count(*) || \' \' || coalesce(sum(hashtextextended(message, id)), 0) FROM chatrel.groups_messages WHERE id <= ? AND message NOT LIKE \'wall %\'';
	my $before = $world->{earlier} // '0 0';
	my $is = value($world->{admin}, $sum, $world->{base});

	$world->{earlier} = value($world->{admin}, $sum, '9223372036854775807');
	return $is eq $before ? () : "earlier messages: $is, they were $before";
}

# ---------- those who read ----------

# What is for the watcher
sub ids_as_bits
{
	my ($world) = @_;
	my $bits = '';

	vec($bits, $_->[0], 1) = 1 foreach rows($world, q{
		WITH mine AS (SELECT group_id FROM chatrel.groups_members WHERE user_id = $1)
		SELECT id FROM chatrel.groups_messages JOIN mine USING (group_id)
		UNION ALL SELECT id FROM chatrel.events WHERE CASE WHEN recipient_id IS NULL THEN group_id IN (TABLE mine) ELSE recipient_id = $1 END},
		$world->{watcher});
	return $bits;
}

sub bits_missing
{
	my ($a, $b) = @_;
	my $length = length $a;

	return unpack '%32b*', $a & ~substr($b . "\0" x $length, 0, $length);
}

# Each has exactly what the table has, and what was heard is there.
sub check_watchers
{
	my ($world, $kind) = @_;
	my $table = ids_as_bits($world);
	my @wrong;

	foreach my $way (sort keys %{ $world->{watchers} })
	{
		my $watcher = decode_json(eval { slurp_file("$world->{folder}/$way.watcher") } // '{}');
		return "$way: has left nothing" unless $watcher->{cursor};
		$watcher->{$_} = pack 'H*', $watcher->{$_} foreach qw(seen heard);
		my ($missing, $vanished, $unheard) = (bits_missing($table, $watcher->{seen}), bits_missing($watcher->{seen}, $table), bits_missing($watcher->{heard}, $table));

		push @wrong, "$way: $missing are missing" if $missing;
		push @wrong, "$way: $vanished that it has seen are not there" if $vanished;
		push @wrong, "$way: $watcher->{twice} came twice" if $watcher->{twice};
		# A message sent in a hurry may be heard and lost by a crash
		push @wrong, "$way: $unheard that it has heard are not there" if $unheard && !$kind->{crash};
		$watcher->{heard} = '';
		$world->{watchers}{$way} = $watcher;
	}
	return @wrong;
}

# Where its connection was never lost it has heard everything.
sub check_gateway
{
	my ($world, $kind) = @_;
	my %heard = map { $_ => 1 } split /\n/, eval { slurp_file("$world->{folder}/gateway.heard") } // '';
	my ($last) = sort { $b <=> $a } keys %heard;
	my @ids = map { $_->[0] } rows($world, 'SELECT id FROM chatrel.groups_messages WHERE id > ? AND id <= ?', $world->{base}, $last // 0);
	my @unheard = grep { !delete $heard{$_} } @ids;

	return (!-e "$world->{folder}/gateway.lost" && @unheard ? @unheard . " unheard, the first: $unheard[0]" : (),
		%heard && !$kind->{crash} ? 'heard, and not there: ' . join ' ', keys %heard : ());
}

# ---------- the server ----------

# Nothing is waiting, and nobody is left: so nothing is promised in the queue either.
sub check_rest
{
	my ($world) = @_;
	my $why;
	my $rests = wait_until(sub {
		my $busy = value(Fault::admin($world), q{
			SELECT string_agg(format('%s %s: %s', pid, backend_type, query), ', ') FROM pg_stat_activity
			WHERE backend_type IN ('client backend', 'chatrel relay') AND pid <> pg_backend_pid()});
		my $queue = value($world->{admin}, 'SELECT string_agg(format(\'%s has %s bytes\', database, bytes_waiting), \', \') FROM chatrel.relay WHERE bytes_waiting > 0');
		my $locks = value($world->{admin}, q{
			SELECT string_agg(l.locktype || ' ' || l.mode, ', ') FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
			WHERE l.pid <> pg_backend_pid() AND a.backend_type IS DISTINCT FROM 'autovacuum worker'});
		$why = join '; ', grep { defined } $busy, $queue, $locks;
		return $why eq '';
	});

	return $rests ? () : $why;
}

my $COUNTERS = q{
	SELECT u.id, c.following, c.followers, f.n, r.n FROM chatrel.users u
	CROSS JOIN LATERAL (SELECT count(*) FROM chatrel.relationships WHERE follower_id = u.id) f (n)
	CROSS JOIN LATERAL (SELECT count(*) FROM chatrel.relationships WHERE followed_id = u.id) r (n)
	CROSS JOIN LATERAL chatrel.follow_counts(u.id, 1) c
	WHERE u.deleted_at IS NULL AND (c.following <> f.n OR c.followers <> r.n)};

my $MEMBER_COUNTERS = q{
	SELECT g.id, c.members, m.n FROM chatrel.groups g
	CROSS JOIN LATERAL (SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters WHERE group_id = g.id) c (members)
	CROSS JOIN LATERAL (SELECT count(*) FROM chatrel.groups_members WHERE group_id = g.id) m (n)
	WHERE c.members <> m.n};

sub check_counters
{
	my ($world) = @_;

	return map { 'counters: ' . join ' ', @$_ } rows($world, 'SELECT * FROM chatrel.verify_follow_counts()'), rows($world, $COUNTERS),
		map { 'members: ' . join ' ', @$_ } rows($world, $MEMBER_COUNTERS);
}

# User 1 and who calls every function in vain: for good nobody changes that.
sub check_owners
{
	my ($world) = @_;

	return map { "group $_->[0] has $_->[1] owners" } rows($world, q{
		SELECT g.id, count(m.user_id) FROM chatrel.groups g LEFT JOIN chatrel.groups_members m ON m.group_id = g.id AND m.role = 'owner'
		WHERE g.id = ANY (?) GROUP BY g.id HAVING count(m.user_id) <> 2}, $world->{groups});
}

# What the log has that it must not have.
sub check_log
{
	my ($world, $kind) = @_;
	my $log = slurp_file($world->{node}->logfile, $world->{log});
	my @bad = grep { /\bPANIC:|TRAP:|\bXX\d\d\d\b|WARNING:.*(?:leak|own a lock|referenced|while in|not closed)/ } split /\n/, $log;
	my $killed = () = $log =~ /was terminated by signal/g;

	if ($kind->{disk})
	{
		@bad = grep { !/PANIC:.*No space left on device| 53100 / } @bad;
		$killed -= () = $log =~ /was terminated by signal 6/g;
	}
	push @bad, "$killed processes were terminated by a signal" if $killed > ($world->{signals} // 0);
	return @bad;
}

# A program that looks at everything; what it says if it is not content.
sub check_with
{
	my ($world, @command) = @_;
	my $said = '';
	my $result = IPC::Run::run([ @command, '--host', $world->{node}->host, '--port', $world->{node}->port ], '>', \$said, '2>&1');

	return $result ? () : "$command[0]: " . substr $said, 0, 2000;
}

sub check_indexes
{
	my ($world) = @_;

	return check_with($world, 'pg_amcheck', '--heapallindexed', '--parent-check', 'postgres');
}

# It does not know pg_parameter_acl (6243), which is new in PostgreSQL 15.
sub check_catalogs
{
	my ($world) = @_;
	my ($said) = check_with($world, 'pg_catcheck', '--quiet', 'postgres') or return;

	$said =~ s/^.*pg_shdepend row has invalid classid "6243".*\n.*\n?//mg;
	return $said eq 'pg_catcheck: ' || $said eq '' ? () : $said;
}

1;
