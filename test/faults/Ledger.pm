# What the clients of a round did.  A client writes a line for each transaction:
# what became of it, and its actions.
#
#   done    acknowledged: the server said that it has committed
#   not     certainly not committed: rolled back, or refused
#   doubt   the connection was lost before the server could say
#   wrong   not a transaction: something that must not be, in words
#
# An action is an array: what is changed, its key, and what it is then.
#
#   message   text       [group, sender, class]
#   user      name       1
#   group     name       1
#   deleted   user       1
#   member    group user 1 or 0
#   follow    who whom   1 or 0
#   board     id         version
#   edit      message    how often it was edited
#   pin       message    1 or 0
#   reaction  message    1 or 0
#
# The class of a message is "lasting", or "hasty": sent with synchronous_commit
# off, which a crash may take back, as PostgreSQL says.
package Ledger;

use strict;
use warnings;

use IO::Handle;
use JSON::PP;

sub open_new
{
	my ($class, $path) = @_;

	open(my $file, '>', $path) or die "cannot write $path: $!";
	$file->autoflush(1);
	return bless { file => $file }, $class;
}

sub enter
{
	my ($self, $outcome, @actions) = @_;

	$self->{file}->print(encode_json([ $outcome, \@actions ]), "\n") if @actions;
	return;
}

# Every line of a ledger, as [outcome, actions].
sub lines_of
{
	my ($path) = @_;

	open(my $file, '<', $path) or die "cannot read $path: $!";
	return map { decode_json($_) } <$file>;
}

# How many lines of the outcome the ledgers of a folder have.
sub count
{
	my ($folder, $outcome) = @_;
	my $count = 0;

	foreach my $path (glob "$folder/*.ledger")
	{
		open(my $file, '<', $path) or next;
		while (my $line = <$file>) { $count++ if index($line, qq{["$outcome"}) == 0 }
	}
	return $count;
}

1;
