# A client that goes on whatever happens to its server: it connects again, tries
# again, and knows what became of each of its transactions.
package Client;

use strict;
use warnings;

use Ledger;
use Realtime;
use Time::HiRes qw(sleep);

# What a fault may do to a transaction; everything else is wrong.
my $EXPECTED = qr/^(?:40001|40P01|53100|53300|55P03|57014)$/;

# world: see World.pm.  Options: seed; over, the file that ends it; hasty.
sub new
{
	my ($class, $world, $name, %options) = @_;
	my $self = bless { world => $world, name => $name, number => 0, parent => getppid, %options }, $class;

	srand $options{seed};
	$self->{ledger} = Ledger->open_new("$world->{folder}/$name.ledger");
	$self->{over} //= "$world->{folder}/over";
	return $self;
}

sub is_over
{
	my ($self) = @_;

	return -e $self->{over} || getppid != $self->{parent};
}

sub wrong
{
	my ($self, $what) = @_;

	$self->{ledger}->enter('wrong', "$self->{name}: $what");
	return;
}

# A connection, as the application's role; none if it is over before there is one.
sub dbh
{
	my ($self) = @_;

	until ($self->{dbh})
	{
		$self->{dbh} = eval { connect_to($self->{world}{node}, 'postgres', user => 'app') };
		return if !$self->{dbh} && $self->is_over;
		$self->{dbh} ? $self->connected : sleep 0.05;
	}
	return $self->{dbh};
}

sub connected
{
	my ($self) = @_;
	my $done = eval {
		$self->{dbh}->do("SET application_name = '$self->{name}'");
		$self->{dbh}->do('SET synchronous_commit = off') if $self->{hasty};
		$self->{on_connect}->($self) if $self->{on_connect};
		1;
	};

	$self->lose unless $done;
	return;
}

sub lose
{
	my ($self) = @_;
	my $dbh = delete $self->{dbh} or return;

	eval { $dbh->disconnect };
	$self->{lost}++;
	return;
}

# Asks the server.
sub is_connected
{
	my ($self) = @_;

	return $self->{dbh} && $self->{dbh}{pg_socket} >= 0 && $self->{dbh}->ping;
}

# ---------- transactions ----------

# Says what is about to be done, before it is.
sub owe
{
	my ($self, @actions) = @_;

	push @{ $self->{actions} }, @actions;
	return;
}

# Does something in a transaction: begun and ended here, or that of one statement
# (single).  Options: rollback, isolation, and allow, the SQLSTATEs that may come.
# Returns what became of it.
sub attempt
{
	my ($self, $do, %options) = @_;
	my $dbh = $self->dbh or return '';
	my ($outcome, $ending) = (undef, $options{single});

	$self->{actions} = [];
	$self->set_timeouts if $self->{world}{timeouts};
	eval {
		$dbh->begin_work unless $options{single};
		$dbh->do("SET TRANSACTION ISOLATION LEVEL $options{isolation}") if $options{isolation};
		$do->($dbh);
		if ($options{rollback}) { $outcome = 'not'; $dbh->rollback }
		else
		{
			$ending = 1;
			$dbh->commit unless $options{single};
			$outcome = 'done';
		}
	};
	$outcome //= $self->failed($ending, $options{allow});
	$self->{ledger}->enter($outcome, @{ $self->{actions} });
	return $outcome;
}

# What became of a transaction that failed; $ending: while it may have committed.
sub failed
{
	my ($self, $ending, $allow) = @_;
	my $error = $@;
	my $state = $self->{dbh}->state;

	unless ($self->is_connected)
	{
		$self->lose;
		return $ending ? 'doubt' : 'not';
	}
	$self->wrong("$state $error") unless $state =~ $EXPECTED || ($allow && $state =~ $allow);
	eval { $self->{dbh}->rollback } unless $self->{dbh}{AutoCommit};
	$self->lose unless $self->is_connected && $self->{dbh}{AutoCommit};
	return 'not';
}

# What is done in a subtransaction that is rolled back was not done; nor was what fails.
sub in_vain
{
	my ($self, $dbh, $do) = @_;
	my $before = @{ $self->{actions} };

	$dbh->pg_savepoint('in_vain');
	my $error = eval { $do->(); 1 } ? undef : $@;
	my @undone = splice @{ $self->{actions} }, $before;
	$self->{ledger}->enter('not', @undone);
	die $error if $error && ($dbh->state eq '57014' || !$self->is_connected);
	$dbh->pg_rollback_to('in_vain');
	return;
}

# In a round of timeouts each transaction has others.
sub set_timeouts
{
	my ($self) = @_;
	my $some = sub { return rand() < 0.5 ? 0 : 1 + int rand $_[0] };

	eval {
		$self->{dbh}->do(sprintf 'SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d',
			$some->(10), $some->(4), $some->(20));
	};
	return;
}

# A moment in a transaction in which it does nothing.
sub dawdle
{
	my ($self) = @_;

	sleep 0.03 * rand if rand() < ($self->{world}{timeouts} ? 0.5 : 0.05);
	return;
}

# ---------- actions ----------

sub unique
{
	my ($self) = @_;

	return join ' ', $self->{world}{round}, $self->{name}, ++$self->{number};
}

sub send_message
{
	my ($self, $dbh, $group, $user) = @_;
	my $text = $self->unique . ' ' . 'x' x rand 300;

	$self->owe([ 'message', $text, [ $group, $user, $self->{hasty} ? 'hasty' : 'lasting' ] ]);
	return value($dbh, 'SELECT (chatrel.send_group_message(?, ?, as_user => ?)).id', $group, $text, $user);
}

sub member
{
	my ($self, $dbh, $group, $user, $joins) = @_;

	$self->owe([ 'member', "$group $user", $joins ]);
	return value($dbh, $joins ? 'SELECT chatrel.join_group(?, ?)' : 'SELECT chatrel.leave_group(?, ?)', $group, $user);
}

# On a message of its own, which nobody else changes: edits it, pins it, or reacts to
# it; takes back what it has done.
sub mark
{
	my ($self, $dbh, $message, $user) = @_;
	my ($dice, $adds) = (rand, int rand 2);

	if ($dice < 0.4)
	{
		my $version = 1 + value($dbh, q{SELECT substring(message FROM '[0-9]+$') FROM chatrel.groups_messages WHERE id = ?}, $message);

		$self->owe([ 'edit', $message, $version ]);
		return value($dbh, 'SELECT (chatrel.edit_message(1, ?, ?, ?)).id', $message, "wall $version", $user);
	}
	$self->owe([ $dice < 0.7 ? 'pin' : 'reaction', $message, $adds ]);
	return value($dbh, 'SELECT chatrel.' . ($adds ? 'pin' : 'unpin') . '_message(1, ?, ?)', $message, $user) if $dice < 0.7;
	return value($dbh, 'SELECT chatrel.' . ($adds ? 'add' : 'remove') . q{_reaction(1, ?, 'x', ?)}, $message, $user);
}

sub follow
{
	my ($self, $dbh, $who, $whom, $follows) = @_;

	$self->owe([ 'follow', "$who $whom", $follows ]);
	return value($dbh, $follows ? 'SELECT chatrel.follow(?, as_user => ?)' : 'SELECT chatrel.unfollow(?, as_user => ?)', $whom, $who);
}

sub create
{
	my ($self, $dbh, $what, $user) = @_;
	my $name = $self->unique;

	$self->owe([ $what, $name, 1 ]);
	return $what eq 'user'
		? value($dbh, 'SELECT (chatrel.create_user(?)).id', $name)
		: value($dbh, 'SELECT (chatrel.create_group(?, as_user => ?)).id', $name, $user);
}

sub delete_user
{
	my ($self, $dbh, $user) = @_;

	$self->owe([ 'deleted', $user, 1 ]);
	$dbh->do('SELECT chatrel.delete_user(?)', undef, $user);
	return;
}

1;
