# What the tests of conversations share: writers that do whatever members do, and
# readers, each with a picture of what there is. A picture is made of events alone,
# and in the end it is compared with the tables.
package Conversation;

use strict;
use warnings;

use JSON::PP;
use Realtime;
use Storable qw(dclone);

# Of the users those up to the last one stay in all groups; the others come and go, or
# have to.  The first ones begin as owners and moderators, and user 1 remains owner.
our ($GROUPS, $STAYING, $USERS) = (3, 4, 6);
my $ABOVE = 3;

sub set_up_conversations
{
	my ($node) = @_;

	set_up($node, users => $USERS, groups => $GROUPS);
	$node->safe_psql('postgres', q{
		CREATE ROLE reader LOGIN;
		GRANT USAGE ON SCHEMA chatrel TO reader;
		GRANT SET ON PARAMETER chatrel.user_id TO reader});
	return;
}

# As it was in the beginning, whatever has become of it
sub start_afresh
{
	my ($dbh) = @_;

	$dbh->do($_) foreach (
		'DELETE FROM chatrel.groups_bans',
		'DELETE FROM chatrel.relationships',
		'UPDATE chatrel.groups SET description = NULL',
		"SELECT chatrel.join_group(g, u) FROM generate_series(1, $GROUPS) AS g, generate_series(1, $USERS) AS u",
		"UPDATE chatrel.groups_members SET muted_until = NULL,
			role = CASE WHEN user_id < $ABOVE THEN 'owner' WHEN user_id = $ABOVE THEN 'moderator' ELSE 'member' END",
		'TRUNCATE chatrel.groups_messages, chatrel.events, chatrel.message_reactions, chatrel.pinned_messages');
	return;
}

# A connection with the rights of a user alone, or for user 0 with all.
sub connect_as
{
	my ($node, $user) = @_;
	my $dbh = connect_to($node, 'postgres', $user ? (user => 'reader') : ());

	$dbh->do("SET chatrel.user_id = $user") if $user;
	return $dbh;
}

# ---------- writers ----------

# What may become of any action: the message is deleted, the user has left, may not do
# that or is banned, others hold a lock or were quicker.
our $IN_VAIN = qr/^(?:P0002|42501|55P03|40001|40P01)$/;

sub call
{
	my ($dbh, $function, @arguments) = @_;

	return value($dbh, "SELECT chatrel.$function", @arguments);
}

# One of the last messages that the session sees: group, id, sender
sub some_message
{
	my ($dbh) = @_;

	return $dbh->selectrow_array(q{SELECT group_id, id, sender_id FROM chatrel.groups_messages ORDER BY id + 0 DESC OFFSET ? LIMIT 1},
		undef, int rand 6);
}

sub some_row
{
	my ($dbh, $columns, $table) = @_;

	return $dbh->selectrow_array("SELECT $columns FROM chatrel.$table ORDER BY message_id DESC OFFSET ? LIMIT 1", undef, int rand 3);
}

sub send_something
{
	my ($dbh, $text, $group, $user) = @_;
	my ($of_group, $message) = rand() < 0.2 ? some_message($dbh) : ();
	my @mentions = grep { rand() < 0.2 } 1 .. $STAYING;

	return value($dbh, 'SELECT (chatrel.send_group_message(?, ?, reply_to_id => ?, mentions => ?, as_user => ?)).id',
		$group, $text, $message && $of_group == $group ? $message : undef, \@mentions, $user);
}

# An event of the application's own, about a message that was sent before it
sub publish_something
{
	my ($dbh, $writer, $group, $user) = @_;
	my $message = send_something($dbh, new_text($writer), $group, $user);

	return call($dbh, q{publish(?, 'published', ?, ?)}, $group,
		encode_json({ writer => $writer->{name}, number => ++$writer->{published}, message => $message }), $user);
}

# Some are too long for a notification.
sub new_text
{
	my ($writer) = @_;

	return "$writer->{name}-" . ++$writer->{texts} . (rand() < 0.03 ? ' ' . 'x' x 9000 : '');
}

sub change_message
{
	my ($dbh, $writer, $user) = @_;
	my ($group, $message, $sender) = some_message($dbh) or return;
	my $dice = rand;

	return call($dbh, 'edit_message(?, ?, ?, ?)', $group, $message, new_text($writer), $sender) if $dice < 0.35;
	return call($dbh, 'delete_message(?, ?, ?)', $group, $message, rand() < 0.5 ? $sender : $user) if $dice < 0.45;
	return call($dbh, 'add_reaction(?, ?, ?, ?)', $group, $message, chr(ord('a') + rand 2), $user) if $dice < 0.75;
	return call($dbh, 'mark_read(?, ?, ?)', $group, $message, $user) if $dice < 0.8;
	return call($dbh, 'pin_message(?, ?, ?)', $group, $message, above());
}

# Takes back what there is
sub undo_something
{
	my ($dbh) = @_;
	my @reaction = some_row($dbh, 'group_id, message_id, reaction, user_id', 'message_reactions');
	my @pin = some_row($dbh, 'group_id, message_id', 'pinned_messages');

	return call($dbh, 'remove_reaction(?, ?, ?, ?)', @reaction) if @reaction && rand() < 0.6;
	return call($dbh, 'unpin_message(?, ?, ?)', @pin, above()) if @pin;
	return;
}

# One who probably is above others
sub above
{
	return 1 + int rand $ABOVE;
}

# Roles are those of all but user 1; who stays is not sent away.
sub moderate
{
	my ($dbh, $group, $wanderer) = @_;
	my $dice = rand;

	return call($dbh, 'set_role(?, ?, ?, ?)', $group, 2 + int rand($USERS - 1), (qw(owner moderator member))[ rand 3 ], rand() < 0.7 ? 1 : above())
		if $dice < 0.4;
	return call($dbh, 'remove_member(?, ?, ?)', $group, $wanderer, above()) if $dice < 0.55;
	return call($dbh, 'ban_member(?, ?, as_user => ?)', $group, $wanderer, above()) if $dice < 0.65;
	return call($dbh, 'unban_member(?, ?, ?)', $group, $wanderer, above()) if $dice < 0.8;
	return call($dbh, 'mute_member(?, ?, as_user => ?)', $group, $wanderer, above()) if $dice < 0.87;
	return call($dbh, 'unmute_member(?, ?, ?)', $group, $wanderer, above()) if $dice < 0.94;
	return call($dbh, 'update_group(?, description => ?, as_user => ?)', $group, 'about ' . int(rand 1000), above());
}

# One thing that a member does.  A writer is { dbh, name }.
sub act
{
	my ($writer) = @_;
	my $dbh = $writer->{dbh};
	my ($group, $user) = (1 + int rand $GROUPS, 1 + int rand(rand() < 0.8 ? $STAYING : $USERS));
	my $wanderer = $STAYING + 1 + int rand($USERS - $STAYING);
	my $dice = rand;

	return send_something($dbh, new_text($writer), $group, $user) if $dice < 0.3;
	return publish_something($dbh, $writer, $group, $user) if $dice < 0.35;
	return change_message($dbh, $writer, $user) if $dice < 0.7;
	return undo_something($dbh) if $dice < 0.78;
	return moderate($dbh, $group, $wanderer) if $dice < 0.86;
	return call($dbh, (rand() < 0.75 ? 'join' : 'leave') . '_group(?, ?)', $group, $wanderer) if $dice < 0.94;
	return call($dbh, (rand() < 0.6 ? '' : 'un') . 'follow(?, as_user => ?)', $user, $user == 1 ? 2 : $user - 1);
}

# ---------- a picture ----------

# $1 user, or 0 for everybody; $2 group, or 0 for all that the connection may see
my $STATE = q{
	SELECT 'message', group_id || ' ' || id, CASE WHEN message IS NULL THEN 'deleted' WHEN edited_at IS NULL THEN message ELSE message || ' (edited)' END
		FROM chatrel.groups_messages WHERE $2 IN (0, group_id)
	UNION ALL SELECT 'reaction', group_id || ' ' || message_id || ' ' || user_id || ' ' || reaction, '1' FROM chatrel.message_reactions WHERE $2 IN (0, group_id)
	UNION ALL SELECT 'pin', group_id || ' ' || message_id, pinned_by::text FROM chatrel.pinned_messages WHERE $2 IN (0, group_id)
	UNION ALL SELECT 'member', group_id || ' ' || user_id, role FROM chatrel.groups_members WHERE $2 IN (0, group_id)
	UNION ALL SELECT 'mute', group_id || ' ' || user_id, '1' FROM chatrel.groups_members WHERE muted_until IS NOT NULL AND $2 IN (0, group_id)
	UNION ALL SELECT 'group', id || ' description', description FROM chatrel.groups WHERE description IS NOT NULL AND $2 IN (0, id)
	UNION ALL SELECT 'mention', group_id || ' ' || m.id || ' ' || u.id, '1' FROM chatrel.groups_messages m, unnest(mentions) AS u (id)
		WHERE $2 IN (0, group_id) AND $1 IN (0, u.id)
	UNION ALL SELECT 'follow', 'of ' || follower_id || ' ' || followed_id, '1' FROM chatrel.relationships WHERE $2 = 0 AND $1 IN (0, followed_id)};

my $IDS = q{
	SELECT id FROM chatrel.groups_messages WHERE $2 IN (0, group_id)
	UNION ALL SELECT id FROM chatrel.events WHERE $2 = 0 OR recipient_id IS NULL AND group_id = $2};

sub rows_of
{
	my ($self, $dbh, $sql, $group) = @_;

	return @{ $dbh->selectall_arrayref($sql =~ s/\$1/$self->{user}/gr =~ s/\$2/$group/gr) };
}

# A picture of what there is, which is the start.  Options: user, or none for
# everybody; group, or none for all; wanders, if the user comes and goes; cursor, if it
# has seen all that there is, and goes on.
sub new
{
	my ($class, $dbh, %options) = @_;
	my $self = bless { user => 0, group => 0, %options, state => {}, before => {}, seen => {}, heard => {}, wrong => [], published => {} }, $class;
	my $again = defined $self->{cursor};

	$self->load($dbh, $self->{group});
	$self->{ $again ? 'seen' : 'before' } = { map { $_->[0] => 1 } $self->rows_of($dbh, $IDS, $self->{group}) };
	return $self;
}

sub load
{
	my ($self, $dbh, $group) = @_;

	foreach ($self->rows_of($dbh, $STATE, $group))
	{
		my ($kind, $key, $value) = @$_;

		next if $self->{group} && $kind eq 'mention';
		$self->{state}{$kind}{$key} = $value;
	}
	return;
}

sub copy
{
	my ($self) = @_;

	return dclone($self);
}

sub wrong
{
	my ($self, $what) = @_;

	push @{ $self->{wrong} }, $what if @{ $self->{wrong} } < 10;
	return;
}

# Is it in the group, as the picture has it?
sub is_in
{
	my ($self, $group) = @_;

	return !$self->{wanders} || $self->{state}{member}{"$group $self->{user}"};
}

sub forget_group
{
	my ($self, $group) = @_;

	foreach my $state (values %{ $self->{state} }) { delete @{$state}{ grep { /^$group / } keys %$state } }
	return;
}

sub load_again
{
	my ($self, $dbh, $group) = @_;

	$self->forget_group($group);
	$self->load($dbh, $group);
	return;
}

# ---------- events ----------

# A picture that was loaded while events were on their way has more than they say.
sub appear
{
	my ($self, $event, $kind, $key, $value) = @_;

	$self->wrong("event $event->{id}: $kind $key is there already") if !$self->{wanders} && exists $self->{state}{$kind}{$key};
	$self->{state}{$kind}{$key} = $value;
	return;
}

sub vanish
{
	my ($self, $event, $kind, $key) = @_;

	$self->wrong("event $event->{id}: $kind $key is not there") if !$self->{wanders} && !exists $self->{state}{$kind}{$key};
	delete $self->{state}{$kind}{$key};
	return;
}

# What an event is about comes before it.  Who has left and joined again between two
# pages has missed what was said when the first was read, and is told so by the next.
sub need
{
	my ($self, $event, $kind, $key) = @_;

	$self->wrong("event $event->{id} precedes $kind $key") unless $self->{wanders} || exists $self->{state}{$kind}{$key};
	return;
}

sub need_member
{
	my ($self, $event, $user) = @_;

	$self->need($event, 'member', "$event->{group_id} $user");
	return;
}

# As the message is now, where the notification has no room for it
sub text_of
{
	my ($event, $dbh, $message) = @_;

	$event = $dbh->selectrow_hashref('SELECT * FROM chatrel.groups_messages WHERE group_id = ? AND id = ?', undef, $event->{group_id}, $message)
		if $event->{truncated};
	return 'deleted' unless defined $event->{message};
	return $event->{message} . ($event->{edited_at} ? ' (edited)' : '');
}

my %APPLY = (
	group_message => sub {
		my ($self, $event, $dbh) = @_;

		$self->need_member($event, $event->{sender_id});
		$self->appear($event, 'message', "$event->{group_id} $event->{id}", text_of($event, $dbh, $event->{id}));
	},
	message_edited => sub {
		my ($self, $event, $dbh, $key) = @_;
		# What is deleted later has no text even here
		$self->{state}{message}{$key} = text_of($event, $dbh, $event->{message_id}) unless $self->{state}{message}{$key} eq 'deleted';
	},
	message_deleted => sub {
		my ($self, $event, $dbh, $key) = @_;

		foreach my $kind ('reaction', 'pin', 'mention')
		{
			my $state = $self->{state}{$kind} // {};
			delete @{$state}{ grep { /^$key(?: |$)/ } keys %$state };
		}
		$self->{state}{message}{$key} = 'deleted';
	},
	reaction_added => sub { $_[0]->appear($_[1], 'reaction', "$_[3] $_[1]{actor_id} $_[1]{reaction}", 1) },
	reaction_removed => sub { $_[0]->vanish($_[1], 'reaction', "$_[3] $_[1]{actor_id} $_[1]{reaction}") },
	message_pinned => sub { $_[0]->appear($_[1], 'pin', $_[3], $_[1]{actor_id}) },
	message_unpinned => sub { $_[0]->vanish($_[1], 'pin', $_[3]) },
	mentioned => sub { $_[0]->appear($_[1], 'mention', "$_[3] $_[1]{recipient_id}", 1) unless $_[0]{state}{message}{ $_[3] } eq 'deleted' },
	member_joined => sub { $_[0]->appear($_[1], 'member', "$_[1]{group_id} $_[1]{user_id}", 'member') },
	member_left => sub {
		$_[0]->vanish($_[1], 'member', "$_[1]{group_id} $_[1]{user_id}");
		delete $_[0]{state}{mute}{"$_[1]{group_id} $_[1]{user_id}"};
	},
	member_changed => sub {
		my ($self, $event) = @_;
		my $member = "$event->{group_id} $event->{user_id}";

		$self->need_member($event, $event->{user_id});
		$self->{state}{member}{$member} = $event->{role} if $event->{role};
		$self->appear($event, 'mute', $member, 1) if $event->{muted};
		$self->vanish($event, 'mute', $member) if exists $event->{muted} && !$event->{muted};
	},
	group_changed => sub { $_[0]{state}{group}{"$_[1]{group_id} description"} = $_[1]{description} },
	added_to_group => sub { $_[0]->load_again($_[2], $_[1]{group_id}) if $_[0]{wanders} },
	removed_from_group => sub { $_[0]->forget_group($_[1]{group_id}) if $_[0]{wanders} },
	followed => sub { $_[0]->appear($_[1], 'follow', "of $_[1]{follower_id} $_[1]{followed_id}", 1) },
	unfollowed => sub { $_[0]->vanish($_[1], 'follow', "of $_[1]{follower_id} $_[1]{followed_id}") },
);

# What is of a group that it is not in is not for the picture; it loads a group when it is added.
sub apply
{
	my ($self, $kind, $event, $dbh) = @_;
	my $apply = $APPLY{$kind} or return $self->wrong("an event $kind");
	my $group = $event->{group_id};
	my $key = $event->{message_id} ? "$group $event->{message_id}" : undef;

	return if $group && $kind !~ /^(?:added_to|removed_from)_group$/ && !$self->is_in($group);
	$self->need($event, 'message', $key) if $key;
	$self->need_member($event, $event->{actor_id}) if $key;
	$apply->($self, $event, $dbh, $key) unless $key && !exists $self->{state}{message}{$key};
	return;
}

# One page; true if there is more.  Options: limit, wait.
sub sync
{
	my ($self, $dbh, %options) = @_;
	my $answer = decode_json($self->{user}
		? value($dbh, 'SELECT chatrel.sync(?, ?, ?, ?, ?)', $self->{cursor}, $self->{group} || undef, @options{qw(limit wait)}, $self->{user})
		: value($dbh, 'SELECT chatrel.sync_all(?, ?, ?)', $self->{cursor}, @options{qw(limit wait)}));

	$self->wrong(@{ $answer->{events} } . " events, the limit is $options{limit}") if @{ $answer->{events} } > $options{limit};
	$self->synced($dbh, %$_) foreach @{ $answer->{events} };
	$self->{cursor} = $answer->{cursor};
	$self->{found} = [ map { (values %$_)[0]{id} } @{ $answer->{events} } ];
	return $answer->{more};
}

sub synced
{
	my ($self, $dbh, $kind, $event) = @_;
	my $id = $event->{id};

	return if $self->{before}{$id};
	return $self->wrong("event $id comes twice") if $self->{seen}{$id}++;
	$self->apply($kind, $event, $dbh) unless $self->{heard}{$id};
	return;
}

# Is it about a message that is not there?  A mention comes by the user's own channel,
# while the message may have gone to a channel of the group that is not listened to yet.
# So has everything else of the transaction in which a member has left.
sub has_to_sync_for
{
	my ($self, $kind, $event) = @_;

	return 1 if $kind eq 'member_left' && $self->{user};
	return $event->{message_id} && !exists $self->{state}{message}{"$event->{group_id} $event->{message_id}"};
}

# What is heard, and was not shown before
sub hears
{
	my ($self, $dbh, $kind, $event) = @_;
	my $id = $event->{id};

	return $self->hears_published($event->{payload}, $event->{group_id}) if $kind eq 'published';
	return if $kind eq 'read';
	return $self->wrong("event $id is heard twice") if $self->{heard}{$id}++;
	$self->apply($kind, $event, $dbh) unless $self->{seen}{$id};
	return;
}

# In the order in which the session published, after the message that it is about
sub hears_published
{
	my ($self, $payload, $group) = @_;
	my $last = \$self->{published}{ $payload->{writer} };

	$self->wrong("published $payload->{number} of $payload->{writer} after $$last") if ($$last // 0) >= $payload->{number};
	$$last = $payload->{number};
	$self->wrong("published about $payload->{message} before that") unless exists $self->{state}{message}{"$group $payload->{message}"};
	return;
}

# ---------- the end ----------

# What is wrong, if anything: of the picture, and of what was seen.
sub differences
{
	my ($self, $dbh) = @_;
	my (%left, @wrong);

	while (my ($kind, $state) = each %{ $self->{state} }) { $left{"$kind $_"} = $state->{$_} foreach keys %$state }
	foreach ($self->rows_of($dbh, $STATE, $self->{group}))
	{
		my ($kind, $key, $value) = @$_;

		next if $self->{group} && $kind eq 'mention';
		my $has = delete $left{"$kind $key"} // 'nothing';
		push @wrong, "$kind $key is $has, not $value" if $has ne $value;
	}
	push @wrong, "$_ is not there" foreach sort keys %left;
	push @wrong, $self->missed($dbh) unless $self->{wanders};
	return (@{ $self->{wrong} }, @wrong);
}

# It has seen exactly the events that there are for it.
sub missed
{
	my ($self, $dbh) = @_;
	my %unseen = map { $_->[0] => 1 } $self->rows_of($dbh, $IDS, $self->{group});
	my @gone = grep { !delete $unseen{$_} } (keys %{ $self->{before} }, keys %{ $self->{seen} });

	return ((map { "event $_ was not seen" } sort { $a <=> $b } keys %unseen), map { "event $_ is not there" } @gone);
}

1;
