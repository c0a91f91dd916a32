# Every pair of chatrel's statements that lock rows, each a transaction of its own,
# by many clients in hundreds of shared groups: nobody comes to a deadlock, whether
# the groups and users have their channels already or not, with the relay and without;
# and no group loses its last owner while it has members.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

my $clients = 24;
my $users = 20;
my $groups = 300;
my $rounds = 3;
my $statements = 60;
# Names of statements that were done
my $done = PostgreSQL::Test::Utils::tempdir() . '/done';

# Rows that were made in another order than that of their ids lie in another order, too.
# Some groups are open, of others moderators let in, and some are private. What becomes
# of memberships is logged in the order in which it happens: where an owner goes, and
# where somebody joins a group that has none, the group is locked.
sub set_up_storm
{
	my ($node) = @_;

	$node->safe_psql('postgres', qq{
		CREATE EXTENSION chatrel;
		CREATE TABLE membership_log (id bigserial, group_id bigint, user_id bigint, was text, is_now text);
		CREATE FUNCTION log_membership() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
			INSERT INTO public.membership_log (group_id, user_id, was, is_now) VALUES
				(coalesce(NEW.group_id, OLD.group_id), coalesce(NEW.user_id, OLD.user_id), OLD.role, NEW.role);
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER log_membership AFTER INSERT OR DELETE OR UPDATE OF role ON chatrel.groups_members
			FOR EACH ROW EXECUTE FUNCTION log_membership();
		SELECT count(chatrel.create_user('u' || i)) FROM generate_series(1, $users) AS i;
		SELECT count(chatrel.create_group('g' || i, true, as_user => 1 + i % $users)) FROM generate_series(1, $groups) AS i;
		SELECT count(chatrel.join_group(g, as_user => u))
		FROM (SELECT g, u FROM generate_series(1, $groups) AS g, generate_series(1, $users) AS u ORDER BY md5(g || ' ' || u)) AS pairs;
		SELECT count(chatrel.set_role(g, 1 + (g + n) % $users, CASE n WHEN 1 THEN 'owner' ELSE 'moderator' END, as_user => 1 + g % $users))
		FROM generate_series(1, $groups) AS g, generate_series(1, 4) AS n;
		SELECT count(chatrel.send_group_message(g, 'calm', as_user => 1)) FROM generate_series(1, $groups) AS g;
		CREATE TABLE links AS SELECT g AS group_id, chatrel.create_invite_link(g, max_uses => NULLIF(3 * (g % 3), 0), as_user => 1 + g % $users) AS token
		FROM generate_series(1, $groups) AS g;
		SELECT count(chatrel.update_group(g, join_policy => CASE g % 2 WHEN 0 THEN 'request' ELSE 'open' END,
			visibility => CASE g % 5 WHEN 0 THEN 'private' ELSE 'public' END,
			slow_mode => CASE g % 4 WHEN 0 THEN interval '1 ms' END, as_user => 1 + g % $users))
		FROM generate_series(1, $groups) AS g});
	return;
}

# Whom and what else statements name, if there is any
my %look_up = (
	owner => q{SELECT user_id FROM chatrel.groups_members WHERE group_id = :group AND role = 'owner' ORDER BY random() LIMIT 1},
	moderator => q{SELECT user_id FROM chatrel.groups_members WHERE group_id = :group AND role <> 'member' ORDER BY random() LIMIT 1},
	outsider => "SELECT u FROM generate_series(1, $users) AS u WHERE u NOT IN (SELECT user_id FROM chatrel.groups_members WHERE group_id = :group) ORDER BY random() LIMIT 1",
	invitation => q{SELECT coalesce((SELECT group_id || ', as_user => ' || user_id FROM chatrel.groups_invitations ORDER BY random() LIMIT 1), '0, as_user => 1')},
	request => q{SELECT coalesce((SELECT group_id || ', as_user => ' || user_id FROM chatrel.groups_join_requests ORDER BY random() LIMIT 1), '0, as_user => 1')},
	asker => 'SELECT user_id FROM chatrel.groups_join_requests WHERE group_id = :group ORDER BY random() LIMIT 1',
	banned => 'SELECT user_id FROM chatrel.groups_bans WHERE group_id = :group ORDER BY random() LIMIT 1',
	invited => 'SELECT user_id FROM chatrel.groups_invitations WHERE group_id = :group ORDER BY random() LIMIT 1',
	token => 'SELECT quote_literal(token) FROM links WHERE group_id = :group',
	message => 'SELECT max(id) FROM chatrel.groups_messages WHERE group_id = :group AND deleted_at IS NULL'
);

my %statements = (
	listen => 'SELECT count(*) FROM chatrel.listen(as_user => :user)',
	listen_group => 'SELECT chatrel.listen_group(:group, as_user => :user)',
	listen_all => 'SELECT chatrel.listen_all()',
	send => q{SELECT id FROM chatrel.send_group_message(:group, 'storm', as_user => :user)},
	join => 'SELECT chatrel.join_group(:group, as_user => :user)',
	leave => 'SELECT chatrel.leave_group(:group, as_user => :user)',
	create_group => q{SELECT id FROM chatrel.create_group('new ' || random(), true, as_user => :user)},
	create_user => q{SELECT id FROM chatrel.create_user('new ' || random())},
	whiteboard => 'SELECT chatrel.create_whiteboard(:group, as_user => :user)',
	follow => 'SELECT chatrel.follow(:other, as_user => :user)',
	follow_many => "SELECT chatrel.follow_many(ARRAY(SELECT u FROM generate_series(1, $users) AS u WHERE u <> :user ORDER BY random()), as_user => :user)",
	unfollow => 'SELECT chatrel.unfollow(:other, as_user => :user)',
	block => 'SELECT chatrel.block(:other, as_user => :user)',
	unblock => 'SELECT chatrel.unblock(:other, as_user => :user)',
	mute => 'SELECT chatrel.mute_user(:other, as_user => :user)',
	protect => 'SELECT chatrel.set_protected(random() < 0.5, as_user => :user)',
	accept => 'SELECT chatrel.accept_follow(:other, as_user => :user)',
	remove_follower => 'SELECT chatrel.remove_follower(:other, as_user => :user)',
	rename_user => q{SELECT chatrel.rename_user(:user, 'named ' || random())},
	react => q{SELECT chatrel.add_reaction(:group, (chatrel.send_group_message(:group, 'storm', as_user => :user)).id, 'x', :user)},
	erase_user => 'SELECT chatrel.erase_user(:user)',
	delete_user => 'SELECT chatrel.delete_user(:user)',
	pin => 'SELECT chatrel.pin_message(:group, :message, as_user => :moderator)',
	delete_message => 'SELECT chatrel.delete_message(:group, :message, as_user => :moderator)',
	set_role => q{SELECT chatrel.set_role(:group, :other, (ARRAY['owner', 'moderator', 'member'])[1 + floor(3 * random())::int], as_user => :owner)},
	remove_member => 'SELECT chatrel.remove_member(:group, :other, as_user => :moderator)',
	ban_member => q{SELECT chatrel.ban_member(:group, :other, now() + interval '1 hour', as_user => :moderator)},
	unban_member => 'SELECT chatrel.unban_member(:group, :banned, as_user => :moderator)',
	mute_member => q{SELECT chatrel.mute_member(:group, :other, now() + interval '1 min', as_user => :moderator)},
	unmute_member => 'SELECT chatrel.unmute_member(:group, :other, as_user => :moderator)',
	update_group => q{SELECT id FROM chatrel.update_group(:group, name => 'named ' || random(), join_policy => CASE WHEN random() < 0.5 THEN 'open' ELSE 'request' END,
		posting => CASE WHEN random() < 0.9 THEN 'everybody' ELSE 'moderators' END, as_user => :owner)},
	slow_mode => q{SELECT id FROM chatrel.update_group(:group, slow_mode => CASE WHEN random() < 0.5 THEN interval '1 ms' ELSE '0' END, as_user => :moderator)},
	archive_group => 'SELECT chatrel.archive_group(:group, random() < 0.1, as_user => :owner)',
	delete_group => 'SELECT chatrel.delete_group(:group, as_user => :owner)',
	invite => "SELECT chatrel.invite(:group, ARRAY(SELECT u FROM generate_series(1, $users) AS u WHERE random() < 0.5 ORDER BY random()), as_user => :moderator)",
	invite_one => 'SELECT chatrel.invite(:group, ARRAY[:outsider]::bigint[], as_user => :user)',
	decline_invitation => 'SELECT chatrel.decline_invitation(:invitation)',
	withdraw_invitation => 'SELECT chatrel.withdraw_invitation(:group, :invited, as_user => :moderator)',
	create_invite_link => 'SELECT chatrel.create_invite_link(:group, as_user => :moderator)',
	join_by_link => 'SELECT chatrel.join_by_link(:token, as_user => :user)',
	revoke_invite_links => 'SELECT chatrel.revoke_invite_links(:group, as_user => :moderator)',
	request_to_join => 'SELECT chatrel.request_to_join(:group, as_user => :outsider)',
	withdraw_join_request => 'SELECT chatrel.withdraw_join_request(:request)',
	decide_join_request => 'SELECT chatrel.decide_join_request(:group, :asker, random() < 0.8, as_user => :moderator)',
	direct_group => 'SELECT chatrel.direct_group(ARRAY[:other, 1 + (:user + :other) % 20]::bigint[], as_user => :user)',
	direct_pair => 'SELECT chatrel.direct_group(ARRAY[:other]::bigint[], as_user => :user)',
	write_directly => q{SELECT id FROM chatrel.send_group_message((SELECT g.id FROM chatrel.groups AS g JOIN chatrel.groups_members AS m ON m.group_id = g.id
		WHERE g.visibility = 'direct' AND m.user_id = :user ORDER BY random() LIMIT 1), 'storm', as_user => :user)},
	set_direct_messages => q{SELECT chatrel.set_direct_messages(CASE WHEN random() < 0.8 THEN 'everybody' ELSE 'friends' END, as_user => :user)}
);
my %weights = (listen => 8, send => 8, join => 8, leave => 8, delete_user => 4, follow => 4, unblock => 4, accept => 2, direct_pair => 2, write_directly => 4,
	set_role => 4, remove_member => 4, ban_member => 2, invite => 2, invite_one => 2, join_by_link => 4, request_to_join => 8, decide_join_request => 10, pin => 2, delete_message => 2, unmute_member => 2);
my @choices = map { ($_) x ($weights{$_} // 1) } sort keys %statements;

# Who was deleted is back, and in every group again.
sub revive
{
	my ($dbh, $user) = @_;

	$dbh->do('UPDATE chatrel.users SET deleted_at = NULL WHERE id = ? AND deleted_at IS NOT NULL', undef, $user);
	foreach my $group (map { 1 + int(rand($groups)) } 1 .. 20)
	{
		eval { value($dbh, 'SELECT chatrel.join_group(?, as_user => ?)', $group, $user) };
	}
	return;
}

# What may become of any of them: the user is deleted, has left, is banned or muted, or is
# not above the other; the group is archived, in slow mode, direct, or this the last owner.
my $IN_VAIN = qr/^(?:P0002|42501|22023|53400|55000)$/;

# Whether it was done; in one of the first groups more often.  What another client has
# deleted or left is no failure, nor is that all who may own a group next are being
# changed by others; everything else is.
sub run
{
	my ($dbh, $name) = @_;
	my %value = (user => 1 + int(rand($users)), other => 1 + int(rand($users)), group => 1 + int($groups * rand() ** 3));
	my $fill = sub { return $_[0] =~ s/(?<!:):(user|other|group)\b/$value{$1}/gr };
	my $sql = $fill->($statements{$name} =~ s/(?<!:):(owner|moderator|outsider|invitation|request|asker|banned|invited|token|message)\b/value($dbh, $fill->($look_up{$1})) \/\/ q{'0'}/ger);

	return 1 if eval { $dbh->selectall_arrayref($sql); revive($dbh, $value{user}) if $name =~ /^(delete|erase)_user$/; 1 };
	die "$name: " . $dbh->errstr unless $dbh->state =~ $IN_VAIN || ($name =~ /^(delete|erase)_user$/ && $dbh->errstr =~ /could not find another owner/);
	return 0;
}

# All clients begin at once, and by listening.
sub storm
{
	my ($node) = @_;
	my $starter = connect_to($node);

	value($starter, 'SELECT pg_advisory_lock(1)');
	my @pids = map {
		my $client = $_;
		spawn(sub {
			my $dbh = connect_to($node);
			my %done;

			srand($client);
			value($dbh, 'SELECT pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)');
			foreach my $i (1 .. $statements)
			{
				my $name = $i == 1 ? 'listen' : $choices[ rand @choices ];

				$done{$name} = 1 if run($dbh, $name);
				$dbh->do('UNLISTEN *') if $i % 10 == 0;
				1 while $dbh->pg_notifies;
			}
			append_to_file($done, join '', map { "$_\n" } sort keys %done);
		});
	} 1 .. $clients;
	wait_until(sub { value($starter, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) == $clients })
		or die 'not all clients are there';
	value($starter, 'SELECT pg_advisory_unlock(1)');
	return reap(@pids);
}

foreach my $preloaded (0, 1)
{
	my $name = $preloaded ? 'preloaded' : 'not preloaded';
	my $node = new_server($preloaded ? 'relay' : 'plain', not_preloaded => !$preloaded,
		conf => "deadlock_timeout = 50ms\nfsync = off\n");

	set_up_storm($node);
	foreach my $round (1 .. $rounds)
	{
		$node->safe_psql('postgres', 'DELETE FROM chatrel.groups_channels; DELETE FROM chatrel.users_channels') if $round > 1;
		is(storm($node), 0, "$name, round $round: every client gets to its end");
	}
	my @deadlocks = slurp_file($node->logfile) =~ /(ERROR:  deadlock detected.*?)(?=^\S.*\bLOG:|\z)/msg;
	is(scalar @deadlocks, 0, "$name: there was no deadlock") or diag $deadlocks[0];
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM chatrel.blocks b, (SELECT follower_id, followed_id FROM chatrel.relationships
				UNION ALL SELECT follower_id, followed_id FROM chatrel.follow_requests) f
			WHERE (blocker_id, blocked_id) IN ((follower_id, followed_id), (followed_id, follower_id))}),
		'0', "$name: nobody follows, or asks to, in spite of a block");
	is($node->safe_psql('postgres', q{
			SELECT m.group_id, m.user_id FROM chatrel.groups_members m
			WHERE NOT EXISTS (SELECT FROM chatrel.groups_members o WHERE o.group_id = m.group_id AND o.role = 'owner')
				AND EXISTS (SELECT FROM membership_log l WHERE l.group_id = m.group_id AND l.was = 'owner'
					AND l.id > (SELECT max(id) FROM membership_log j WHERE j.group_id = m.group_id AND j.user_id = m.user_id AND j.was IS NULL))}),
		'', "$name: no group has lost its last owner before its other members");
	is($node->safe_psql('postgres', q{
			SELECT group_id, user_id FROM chatrel.groups_members JOIN chatrel.groups_bans USING (group_id, user_id)}),
		'', "$name: no member is banned");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM chatrel.verify_follow_counts()'), '0', "$name: the counters are right");
	is($node->safe_psql('postgres', q{
			SELECT g.id FROM chatrel.groups g WHERE (SELECT count(*) FROM chatrel.groups_members m WHERE m.group_id = g.id)
				<> (SELECT coalesce(sum(members), 0) FROM chatrel.groups_counters c WHERE c.group_id = g.id)}),
		'', "$name: the groups' counters are right");
	$node->stop;
}

my %done = map { $_ => 1 } split /\n/, slurp_file($done);
is(join(' ', grep { !$done{$_} } sort keys %statements), '', 'everything was done');

done_testing();
