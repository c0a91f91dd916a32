# The clients of a round, each in a process of its own: people, who do what there
# is to be done; one who is in a hurry; one who sends for a user that another
# process makes leave and join; one whose commits are refused; one who calls every
# function, in vain; and those who only read: three that follow with sync, and a
# gateway.
package Load;

use strict;
use warnings;

use Client;
use JSON::PP;
use PostgreSQL::Test::Utils qw(append_to_file);
use Realtime;
use Time::HiRes qw(time sleep);

my $PEOPLE = 5;

# The readers must be there before the first message: their files say that they are.
sub start_readers
{
	my ($world) = @_;

	$world->{reading} = [
		client($world, 'gateway', \&gateway, over => "$world->{folder}/given_up"),
		map { my $way = $_; client($world, $way, \&follow_with_sync, over => "$world->{folder}/quiet") } sort keys %{ $world->{watchers} }
	];
	wait_until(sub { -e "$world->{folder}/gateway.ready" }) or die 'the gateway does not listen';
	return;
}

sub start_writers
{
	my ($world) = @_;

	$world->{writing} = [
		(map { client($world, "person$_", \&person) } 1 .. $PEOPLE),
		client($world, 'hasty', \&hasty, hasty => 1),
		client($world, 'pusher', \&pusher), client($world, 'leaver', \&leaver), client($world, 'caller', \&caller_in_vain),
		client($world, 'refused', \&refused)
	];
	return;
}

sub people
{
	return map { "person$_" } 1 .. $PEOPLE;
}

sub client
{
	my ($world, $name, $do, %options) = @_;
	my $seed = int rand 2**31;

	return spawn(sub { $do->(Client->new($world, $name, seed => $seed, %options)) });
}

sub one_of
{
	return $_[ rand @_ ];
}

# ---------- people ----------

sub person
{
	my ($client) = @_;

	until ($client->is_over)
	{
		my $dice = rand;
		my @isolation = rand() < 0.15 ? (isolation => one_of('SERIALIZABLE', 'REPEATABLE READ')) : ();

		if ($dice < 0.45) { $client->attempt(sub { act($client, $_[0]) }, single => 1, allow => qr/P0002/) }
		elsif ($dice < 0.85)
		{
			$client->attempt(sub { several($client, $_[0]) }, @isolation, rollback => rand() < 0.3, allow => qr/P0002/);
		}
		elsif ($dice < 0.93) { change_board($client) }
		else { come_and_go($client) }
		sleep 0.02 * rand;
	}
	return;
}

# One thing that a person does.  The users of a person are its own: nobody else
# makes them join, leave or follow.  Who is followed may be deleted by another.
sub act
{
	my ($client, $dbh) = @_;
	my $world = $client->{world};
	my $own = $world->{own}{ $client->{name} };
	my $user = one_of(@$own);
	my $group = one_of(@{ $world->{groups} });
	my $dice = rand;

	if ($dice < 0.6) { $client->send_message($dbh, $group, $own->[0]) }
	elsif ($dice < 0.75) { $client->follow($dbh, $user, one_of(grep { $_ != $user } @{ $world->{users} }), int rand 2) }
	elsif ($dice < 0.87) { $client->mark($dbh, $world->{wall}{ $client->{name} }, $own->[0]) }
	elsif ($dice < 0.97) { $client->member($dbh, $group, one_of(@$own[ 1 .. $#$own ]), int rand 2) }
	else { $client->create($dbh, 'group', $user) }
	return;
}

sub several
{
	my ($client, $dbh) = @_;

	for (0 .. rand 4)
	{
		act($client, $dbh);
		$client->dawdle;
		$client->in_vain($dbh, sub { act($client, $dbh) for 0 .. rand 2 }) if rand() < 0.2;
	}
	return;
}

# A user is created, or one of those who may be is deleted.
sub come_and_go
{
	my ($client) = @_;
	my $own = $client->{world}{own}{ $client->{name} };

	if (@$own < 5 || rand() < 0.5)
	{
		my $id;
		my $outcome = $client->attempt(sub { $id = $client->create($_[0], 'user') }, single => 1);
		push @$own, $id if $outcome eq 'done';
	}
	else
	{
		# Whatever becomes of it, nothing more is done with this one
		my ($id) = splice @$own, 2 + rand(@$own - 2), 1;
		$client->attempt(sub { $client->delete_user($_[0], $id) }, single => 1);
	}
	return;
}

# Each version has stickers of its own, as many as it says.
sub change_board
{
	my ($client) = @_;
	my $world = $client->{world};
	my $user = $world->{own}{ $client->{name} }[0];
	my $board = $world->{boards}{ $client->{name} };
	my $version = $client->{version};

	my $outcome = $client->attempt(sub {
		$version //= value($_[0], 'SELECT chatrel.get_whiteboard(?, ?) ->> ?', $board, $user, 'version');
		$client->owe([ 'board', $board, $version + 1 ]);
		my @stickers = map { { url => "https://example.com/$version/$_", title => 'v' . ($version + 1) } } 0 .. $version % 5;
		value($_[0], q{SELECT chatrel.change_whiteboard(?, ?, 'delete', ?)}, $board, encode_json({ version => 0 + $version, stickers => \@stickers }), $user);
	});
	$client->{version} = $outcome eq 'done' ? $version + 1 : undef;
	return;
}

# ---------- one in a hurry, one who leaves, one who gets nothing done ----------

sub hasty
{
	my ($client) = @_;

	until ($client->is_over)
	{
		$client->attempt(sub { $client->send_message($_[0], one_of(@{ $client->{world}{groups} }), $client->{world}{hasty}) }, single => 1);
		sleep 0.02 * rand;
	}
	return;
}

sub pusher
{
	my ($client) = @_;
	my $world = $client->{world};

	until ($client->is_over)
	{
		my $single = rand() < 0.7;

		# Who leaves has to wait for a transaction that has sent
		$client->attempt(sub {
			$client->send_message($_[0], $world->{groups}[0], $world->{leaver});
			sleep 0.05 * rand unless $single;
		}, single => $single, allow => qr/42501/);
		sleep 0.005 * rand;
	}
	return;
}

# Once its leaving is acknowledged, no more messages of the user appear.
sub leaver
{
	my ($client) = @_;
	my $world = $client->{world};
	my ($group, $user) = ($world->{groups}[0], $world->{leaver});

	until ($client->is_over)
	{
		$client->attempt(sub { $client->member($_[0], $group, $user, 1) }, single => 1);
		sleep 0.05 * rand;
		my $outcome = $client->attempt(sub { $client->member($_[0], $group, $user, 0) }, single => 1);
		my $sent = $outcome eq 'done' ? messages_of_user($client, $user) : next;
		sleep 0.1 * rand;
		my $later = messages_of_user($client, $user);
		$client->wrong("sent after leaving: $sent, then $later") if $later != $sent;
	}
	return;
}

# Not as a member, who it is not any more.
sub messages_of_user
{
	my ($client, $user) = @_;
	my $world = $client->{world};

	my $count;

	wait_until(sub {
		$count = eval {
			$client->{reader} //= connect_to($world->{node});
			value($client->{reader}, 'SELECT count(*) FROM chatrel.groups_messages WHERE group_id = ? AND id > ? AND sender_id = ?',
				$world->{groups}[0], $world->{base}, $user);
		};
		delete $client->{reader} unless defined $count;
		return defined $count;
	}) or die 'the server does not come back';
	return $count;
}

# Is refused at the last moment of the commit, when there is room in the queue
# already: what it has read has been changed since, by who has read the same.
sub refused
{
	my ($client) = @_;
	my $world = $client->{world};
	my $other = Client->new($world, 'quicker', seed => int rand 2**31);
	my $skew = sub {
		my ($who, $dbh) = @_;

		value($dbh, 'SELECT count(*) FROM skew');
		$dbh->do('INSERT INTO skew VALUES (1)');
		$who->send_message($dbh, one_of(@{ $world->{groups} }), $world->{hasty});
	};

	until ($client->is_over)
	{
		$client->attempt(sub {
			$skew->($client, $_[0]);
			# No deadlock that the server does not see
			$other->attempt(sub { $_[0]->do(q{SET LOCAL lock_timeout = '1s'}); $skew->($other, $_[0]) }, isolation => 'SERIALIZABLE');
		}, isolation => 'SERIALIZABLE');
		sleep 0.02 * rand;
	}
	return;
}

# Calls of every function; what is made by them is rolled back.
our %CALLS = (
	current_user_id => q{SELECT chatrel.current_user_id() FROM set_config('chatrel.user_id', ':user', true)},
	link_users => q{SELECT chatrel.link_users('pg_class')},
	unlink_users => 'SELECT chatrel.unlink_users()',
	verify_users => 'SELECT chatrel.verify_users(random() < 0.1)',
	get_group => 'SELECT chatrel.get_group(:group, as_user => :user)',
	group_members => 'SELECT chatrel.group_members(:group, as_user => :user)',
	my_groups => 'SELECT chatrel.my_groups(:user)',
	me => 'SELECT chatrel.me(as_user => :user)',
	group_messages => 'SELECT chatrel.group_messages(:group, as_user => :user)',
	get_group_with_chat_history => 'SELECT chatrel.get_group_with_chat_history(:group, as_user => :user)',
	create_user => 'SELECT chatrel.create_user(:name)',
	create_group => 'SELECT chatrel.create_group(:name, true, as_user => :user)',
	update_group => q{SELECT chatrel.update_group(:group, description => 'asked', join_policy => 'request', as_user => :user)},
	archive_group => 'SELECT chatrel.archive_group(:group, as_user => :user)',
	delete_group => 'SELECT chatrel.delete_group(:group, :user)',
	find_groups => q{SELECT chatrel.find_groups('group', as_user => :user)},
	set_role => q{SELECT chatrel.set_role(:group, :other, 'moderator', :user)},
	remove_member => 'SELECT chatrel.remove_member(:group, :other, :user)',
	ban_member => 'SELECT chatrel.ban_member(:group, :leaver, as_user => :user)',
	unban_member => 'SELECT chatrel.unban_member(:group, :leaver, :user) FROM chatrel.ban_member(:group, :leaver, as_user => :user)',
	banned_members => 'SELECT chatrel.banned_members(:group, :user)',
	mute_member => 'SELECT chatrel.mute_member(:group, :other, as_user => :user)',
	unmute_member => 'SELECT chatrel.unmute_member(:group, :other, :user) FROM chatrel.mute_member(:group, :other, as_user => :user)',
	direct_group => 'SELECT chatrel.direct_group(ARRAY[:other, :leaver]::bigint[], :user)',
	invite => 'SELECT chatrel.invite(:group, ARRAY[:leaver]::bigint[], :user)',
	invitations => 'SELECT chatrel.invitations(as_user => :user)',
	group_invitations => 'SELECT chatrel.group_invitations(:group, as_user => :user)',
	decline_invitation => 'SELECT chatrel.decline_invitation(:group, :leaver) FROM chatrel.invite(:group, ARRAY[:leaver]::bigint[], :user)',
	withdraw_invitation => 'SELECT chatrel.withdraw_invitation(:group, :leaver, :user) FROM chatrel.invite(:group, ARRAY[:leaver]::bigint[], :user)',
	create_invite_link => 'SELECT chatrel.create_invite_link(:group, as_user => :user)',
	join_by_link => 'SELECT chatrel.join_by_link(chatrel.create_invite_link(:group, max_uses => 1, as_user => :user), :leaver)',
	revoke_invite_links => 'SELECT chatrel.revoke_invite_links(:group, :user) FROM chatrel.create_invite_link(:group, as_user => :user)',
	request_to_join => q{SELECT chatrel.request_to_join(:group, :leaver) FROM chatrel.update_group(:group, join_policy => 'request', as_user => :user)},
	withdraw_join_request => q{SELECT chatrel.withdraw_join_request(:group, :leaver)
		FROM chatrel.update_group(:group, join_policy => 'request', as_user => :user), chatrel.request_to_join(:group, :leaver)},
	join_requests => 'SELECT chatrel.join_requests(:group, as_user => :user)',
	decide_join_request => q{SELECT chatrel.decide_join_request(:group, :leaver, true, :user)
		FROM chatrel.update_group(:group, join_policy => 'request', as_user => :user), chatrel.request_to_join(:group, :leaver)},
	delete_user => 'SELECT chatrel.delete_user(:user)',
	join_group => 'SELECT chatrel.join_group(:group, :user)',
	leave_group => 'SELECT chatrel.leave_group(:group, :user)',
	send_group_message => 'SELECT chatrel.send_group_message(:group, :name, as_user => :user)',
	edit_message => q{SELECT chatrel.edit_message(:group, (chatrel.send_group_message(:group, :name, metadata => '{}', as_user => :user)).id, 'edited', :user)},
	delete_message => 'SELECT chatrel.delete_message(:group, (chatrel.send_group_message(:group, :name, client_key => :name, as_user => :user)).id, :user)',
	get_message => 'SELECT chatrel.get_message(:group, (chatrel.send_group_message(:group, :name, as_user => :user)).id, :user)',
	add_reaction => q{SELECT chatrel.add_reaction(1, :wall, 'x', :user)},
	remove_reaction => q{SELECT chatrel.remove_reaction(1, :wall, 'x', :user)},
	pin_message => 'SELECT chatrel.pin_message(1, :wall, :user)',
	unpin_message => 'SELECT chatrel.unpin_message(1, :wall, :user)',
	pinned_messages => 'SELECT chatrel.pinned_messages(:group, :user)',
	mark_read => 'SELECT chatrel.mark_read(:group, as_user => :user)',
	unread_counts => 'SELECT chatrel.unread_counts(:user)',
	follow => 'SELECT chatrel.follow(:other, as_user => :user)',
	unfollow => 'SELECT chatrel.unfollow(:other, as_user => :user)',
	follow_many => 'SELECT chatrel.follow_many(ARRAY[:other, :leaver]::bigint[], as_user => :user)',
	is_following => 'SELECT chatrel.is_following(:other, as_user => :user)',
	following => 'SELECT chatrel.following(as_user => :user)',
	followers => 'SELECT chatrel.followers(as_user => :user)',
	friends => 'SELECT chatrel.friends(as_user => :user)',
	mutual_followers => 'SELECT chatrel.mutual_followers(:other, :user)',
	suggest_follows => 'SELECT chatrel.suggest_follows(as_user => :user)',
	relationship_to => 'SELECT chatrel.relationship_to(ARRAY[:other::bigint], :user)',
	follow_counts => 'SELECT chatrel.follow_counts(as_user => :user)',
	block => 'SELECT chatrel.block(:other, :user)',
	unblock => 'SELECT chatrel.unblock(:other, :user) FROM chatrel.block(:other, :user)',
	blocked => 'SELECT chatrel.blocked(as_user => :user)',
	mute_user => 'SELECT chatrel.mute_user(:other, as_user => :user)',
	unmute_user => 'SELECT chatrel.unmute_user(:other, :user) FROM chatrel.mute_user(:other, as_user => :user)',
	muted_users => 'SELECT chatrel.muted_users(as_user => :user)',
	set_protected => 'SELECT chatrel.set_protected(true, :user)',
	set_direct_messages => q{SELECT chatrel.set_direct_messages('friends', :user)},
	user_settings => 'SELECT chatrel.user_settings(:user)',
	follow_requests => 'SELECT chatrel.follow_requests(as_user => :user)',
	accept_follow => 'SELECT chatrel.accept_follow(:other, :user) FROM (SELECT FROM chatrel.set_protected(true, :user)) s, chatrel.follow(:user, as_user => :other)',
	reject_follow => 'SELECT chatrel.reject_follow(:other, :user) FROM (SELECT FROM chatrel.set_protected(true, :user)) s, chatrel.follow(:user, as_user => :other)',
	remove_follower => 'SELECT chatrel.remove_follower(:other, :user) FROM chatrel.follow(:user, as_user => :other)',
	may_view_posts => 'SELECT chatrel.may_view_posts(:other, :user)',
	find_user => 'SELECT chatrel.find_user(:name)',
	rename_user => 'SELECT chatrel.rename_user(:user, :name)',
	export_user => 'SELECT chatrel.export_user(:user)',
	erase_user => 'SELECT chatrel.erase_user(:user)',
	verify_follow_counts => 'SELECT chatrel.verify_follow_counts(random() < 0.1)',
	listen => 'SELECT chatrel.listen(:user)',
	listen_group => 'SELECT chatrel.listen_group(:group, :user)',
	listen_all => 'SELECT chatrel.listen_all()',
	unlisten => 'SELECT chatrel.unlisten()',
	publish => q{SELECT chatrel.publish(:group, 'asked', '{"a": 1}', :user)},
	group_members_of => 'SELECT chatrel.group_members_of(ARRAY[:group]::bigint[])',
	purge_messages => q{SELECT chatrel.purge_messages('infinity', :group, 5)},
	sync_all => q{SELECT chatrel.sync_all('now', wait => '20 ms')},
	sync => q{SELECT chatrel.sync('now', wait => '20 ms', as_user => :user)},
	relay_status => 'SELECT chatrel.relay_status()',
	create_whiteboard => 'SELECT chatrel.create_whiteboard(:group, :user)',
	get_whiteboard => 'SELECT chatrel.get_whiteboard(:board, :user)',
	change_whiteboard => q{SELECT chatrel.change_whiteboard(:board, '{"stickers": [{"url": "u", "title": "t"}]}', 'delete', :user)},
	delete_whiteboard => 'SELECT chatrel.delete_whiteboard(:board, :user)',
	delete_sticker => q{SELECT chatrel.delete_sticker(1, (chatrel.change_whiteboard(:board,
		'{"stickers": [{"url": "u", "title": "t"}]}', 'delete', :user) #>> '{stickers,0,id}')::bigint, :user)},
);

sub caller_in_vain
{
	my ($client) = @_;
	my $world = $client->{world};
	my @names = sort keys %CALLS;

	until ($client->is_over)
	{
		$client->attempt(sub {
			for (0 .. rand 6)
			{
				my $name = one_of(@names);
				my ($dbh, $call) = ($_[0], $CALLS{$name});
				my %value = (user => $world->{caller}, other => $world->{hasty}, leaver => $world->{leaver}, group => one_of(@{ $world->{groups} }),
					board => one_of(values %{ $world->{boards} }),
					wall => one_of(values %{ $world->{wall} }), name => $dbh->quote($client->unique));
				$client->owe([ 'message', "$world->{round} $client->{name} $client->{number}", [ 0, 0, 'lasting' ] ]) if $call =~ /:name/;
				$call =~ s/(?<!:):(\w+)/$value{$1}/g;
				$client->in_vain($dbh, sub { $dbh->selectall_arrayref($call) }), next if rand() < 0.5;
				$dbh->selectall_arrayref($call);
				$client->dawdle;
			}
		}, rollback => 1, allow => qr/^(?:42501|55000|P0002|42703|42809|42P01|0A000|25P02)$/);
		sleep 0.01 * rand;
	}
	return;
}

# ---------- who follows with sync ----------

# In one of three ways: look again and again, wait, or listen as doc/realtime.md says.
# What it has, and its cursor, outlast its connections, and the round.
sub follow_with_sync
{
	my ($client) = @_;
	my $way = $client->{name};
	my $watcher = $client->{world}{watchers}{$way};

	$client->{on_connect} = sub { $_[0]{fresh} = 1 };
	until ($client->is_over)
	{
		next unless $client->dbh;
		if ($way eq 'listens' && delete $client->{fresh}) { sync_once($client, $watcher); start_listening($client) }
		sync_once($client, $watcher);
		$way eq 'listens' ? hear($client, $watcher) : sleep 0.05 * rand;
	}
	wait_until(sub { defined(my $more = sync_once($client, $watcher)) or return; return !$more })
		or $client->wrong('does not come to an end');
	append_to_file("$client->{world}{folder}/$way.watcher", encode_json({ cursor => $watcher->{cursor}, twice => $watcher->{twice},
		map { $_ => unpack('H*', $watcher->{$_}) } qw(seen heard) }));
	return;
}

# True if there is more to come, undefined if it failed.
sub sync_once
{
	my ($client, $watcher) = @_;
	my $answer;

	$client->attempt(sub {
		$answer = value($_[0], 'SELECT chatrel.sync(?, event_limit => ?, wait => ?, as_user => ?)', $watcher->{cursor},
			1 + int rand 200, $client->{name} eq 'waits' ? '200 ms' : undef, $client->{world}{watcher});
	}, single => 1) eq 'done' or return;
	$answer = decode_json($answer);
	foreach my $event (map { values %$_ } @{ $answer->{events} })
	{
		$watcher->{twice}++ if vec($watcher->{seen}, $event->{id}, 1);
		vec($watcher->{seen}, $event->{id}, 1) = 1;
	}
	$watcher->{cursor} = $answer->{cursor};
	return $answer->{more} ? 1 : 0;
}

sub start_listening
{
	my ($client) = @_;

	return $client->attempt(sub { $_[0]->selectall_arrayref('SELECT * FROM chatrel.listen(?)', undef, $client->{world}{watcher}) }, single => 1);
}

# Events for a moment; false when the connection is lost.
sub events
{
	my ($client, $seconds) = @_;
	my $dbh = $client->dbh or return;
	my ($in, @events) = ('');

	return $client->lose if $dbh->{pg_socket} < 0;
	vec($in, $dbh->{pg_socket}, 1) = 1;
	my $readable = select $in, undef, undef, $seconds;
	while (my $notify = eval { $dbh->pg_notifies }) { push @events, $notify->[2] }
	$client->lose if $readable && !@events && !$client->is_connected;
	return @events;
}

sub hear
{
	my ($client, $watcher) = @_;

	foreach my $event (events($client, 0.1))
	{
		if ($event =~ /^\{"group_message": \{"id": (\d+)/) { vec($watcher->{heard}, $1, 1) = 1 }
		elsif ($event =~ /^\{"relisten": \{"group_id": (\d+)/ && $client->{dbh})
		{
			my $group = $1;
			$client->attempt(sub { value($_[0], 'SELECT chatrel.listen_group(?, ?)', $group, $client->{world}{watcher}) }, single => 1);
		}
	}
	return;
}

# ---------- the gateway ----------

# Hears everything, once; until it has heard the end of the round.
sub gateway
{
	my ($client) = @_;
	my $world = $client->{world};
	my ($heard, $ended) = ({}, 0);

	$client->{on_connect} = sub {
		$client->{dbh}->do('SELECT chatrel.listen_all()');
		append_to_file("$world->{folder}/gateway.ready", "\n");
		$heard = {};
	};
	until ($ended || $client->is_over)
	{
		my @events = $client->dbh ? events($client, 0.2) : ();
		foreach my $event (@events)
		{
			my ($id) = $event =~ /^\{"group_message": \{"id": (\d+)/ or next;
			$client->wrong("heard $id twice") if $heard->{$id}++;
			$ended = 1 if $event =~ /"message": "end of round /;
			append_to_file("$world->{folder}/gateway.heard", "$id\n");
		}
	}
	$client->wrong('the end of the round was not heard') unless $ended;
	append_to_file("$world->{folder}/gateway.lost", "\n") if $client->{lost};
	return;
}

1;
