#!/usr/bin/env perl
#
# Reads a server's log while others write to it, and says of every error whose it is.
#
#   perl judge.pl LOGS PROJECT FINDINGS OTHERS
#
# LOGS is the folder of the server's JSON log, whose files are removed as they are read; there is
# no end until somebody makes a file LOGS/stop. A few findings of each kind are written to FINDINGS
# as they are seen, and internal errors of PostgreSQL's own to OTHERS. At the end it prints lines of
# "database, class, SQLSTATE, number", with tabs.
#
# Classes of what is in the log
#   crash     PANIC, or a process that was terminated by a signal
#   internal  an internal error (XX) in a function of chatrel, in the relay, or under fire of calls.pl
#   unlisted  an error of a function of chatrel whose SQLSTATE is not in doc/errors.md
#   leak      a warning that something was not released
#   expected  an error of a function of chatrel, as listed
#   core      what PostgreSQL itself says of a statement before, or outside, any function of chatrel
#
# The first four are findings. A function's error is one that our sources raise, that has our SQL
# in its context, or, in the databases of calls.pl, whatever happens in a statement that calls one
# after it was parsed: its arguments are literals.

use strict;
use warnings;
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep);

# What may become of any statement, whatever it calls.
my %ANYWHERE = (
	'57014' => 'statement_timeout, cancel', '55P03' => 'lock_timeout', '40001' => 'serialization failure',
	'40P01' => 'deadlock', '57P01' => 'terminated', '57P02' => 'after a crash', '57P03' => 'starting',
	'25P02' => 'the transaction has failed before', '26000' => 'EXECUTE of what is not prepared', '42P05' => 'PREPARE of what is');

my ($logs, $project, @reports) = @ARGV;
die "usage: judge.pl LOGS PROJECT FINDINGS OTHERS\n" unless @ARGV == 4;
# The page of errors speaks of what is to be called; whoever may call a trigger's function by itself gets 39P01.
my %listed    = (read_sqlstates("$project/doc/errors.md"), '39P01' => 1);
my %functions = read_c_functions("$project/src");
my %count;    # by database, class and SQLSTATE
my ($findings, $others) = map { open my $out, '>', $_ or die "$_: $!\n"; $out->autoflush(1); $out } @reports;

# The first column of the page's tables of errors.
sub read_sqlstates {
	my ($file) = @_;
	my %states;
	open my $in, '<', $file or die "$file: $!\n";
	while (<$in>) {
		$states{$_} = 1 for /^\| ((?:[0-9A-Z]{5}(?:, )?)+) \|/ ? split /, /, $1 : ();
	}
	die "$file has no table of errors\n" unless $states{'28000'};
	return %states;
}

# file:function of all that is defined in our sources; PostgreSQL has files of the same names.
sub read_c_functions {
	my ($folder) = @_;
	my %defined;
	for my $path (glob "$folder/*.c $folder/*/*.c") {
		my ($file) = $path =~ m{([^/]+)$};
		open my $in, '<', $path or die "$path: $!\n";
		while (<$in>) { $defined{"$file:$1"} = 1 if /^(\w+)\(/; }
	}
	return %defined;
}

sub is_of_chatrel {
	my ($entry) = @_;
	my $context = $entry->{context} // '';
	return 1 if $functions{ ($entry->{file_name} // '') . ':' . ($entry->{func_name} // '') };
	return 1 if $context =~ /SQL statement \\?"[^"]*\bchatrel\./ || ($entry->{backend_type} // '') =~ /chatrel/;
	return ($entry->{dbname} // '') =~ /^calls/ && !exists $entry->{cursor_position}
	  && ($entry->{statement} // '') =~ /\bchatrel\.\w+\(|^EXECUTE /;
}

sub class_of {
	my ($entry) = @_;
	my $state = $entry->{state_code} // '00000';
	my $message = $entry->{message} // '';
	return 'crash' if $entry->{error_severity} eq 'PANIC' || $message =~ /was terminated by signal|exited with exit code (?![01]$)/;
	return $message =~ /leak|was not closed|still referenced|not released/ ? 'leak' : '' if $entry->{error_severity} eq 'WARNING';
	return '' if $entry->{error_severity} !~ /^(?:ERROR|FATAL)$/;
	my $ours = is_of_chatrel($entry);
	return 'internal' if $state =~ /^XX/ && ($ours || ($entry->{dbname} // '') =~ /^calls/);
	return 'core' if !$ours || (happens_anywhere($entry) && !$functions{"$entry->{file_name}:$entry->{func_name}"});
	return $listed{$state} ? 'expected' : 'unlisted';
}

# Also when the transactions of SERIALIZABLE have locked more than there is memory for.
sub happens_anywhere {
	my ($entry) = @_;
	return $ANYWHERE{ $entry->{state_code} } || ($entry->{state_code} eq '53200' && $entry->{file_name} eq 'predicate.c');
}

sub judge {
	my ($line) = @_;
	return unless $line =~ /"error_severity":"(?:WARNING|ERROR|FATAL|PANIC)"|was terminated by signal|exited with exit code/;
	my $entry = length $line > 60_000 ? decode_json($line) : quickly_decoded($line);
	my $class = class_of($entry) or return;
	my $state = $entry->{state_code} // '';
	$count{ $entry->{dbname} // '-' }{$class}{$state}++;
	note($class, decode_json($line)) if $class !~ /^(?:expected|core)$/ || $class eq 'core' && $state =~ /^XX/;
	return;
}

# Most lines are only counted: their texts are left as they are escaped.
sub quickly_decoded {
	my ($line) = @_;
	my %entry = $line =~ /"(\w+)":"?((?<=")[^"\\]*+(?:\\.[^"\\]*+)*+|\d+)/g;
	return \%entry;
}

# One of a kind is enough to look at, with how it came about.
my %noted;

sub note {
	my ($class, $entry) = @_;
	my $where = "$entry->{file_name}:$entry->{func_name}:$entry->{file_line_num}";
	my $length = $class eq 'core' ? 300 : 3000;
	return if $noted{"$class $where"}++ > 2;
	print { $class eq 'core' ? $others : $findings }
	  join("\n", "== $class " . ($entry->{dbname} // '') . ' ' . ($entry->{state_code} // '') . " $where",
		map({ defined $entry->{$_} ? "$_: " . substr($entry->{$_}, 0, $length) : () }
			qw(user error_severity message detail hint context statement)), '', '');
	return;
}

# Reads what is there of a file; true if it is at its end.
sub read_on {
	my ($file) = @_;
	$file->{handle} //= do { open my $in, '<', $file->{path} or die "$file->{path}: $!\n"; $in };
	seek $file->{handle}, 0, 1;
	while (defined(my $line = readline $file->{handle})) {
		$file->{part} .= $line;
		next unless $line =~ /\n$/;
		judge($file->{part});
		$file->{part} = '';
	}
	return;
}

my $file;
while (1) {
	my $stop = -e "$logs/stop";
	my @paths = sort glob "$logs/*.json";
	if ($file || @paths) {
		$file //= { path => $paths[0], part => '' };
		read_on($file);
		if (@paths > 1) {
			read_on($file);
			unlink $file->{path};
			undef $file;
			next;
		}
	}
	last if $stop;
	sleep 0.5;
}
for my $database (sort keys %count) {
	for my $class (sort keys %{ $count{$database} }) {
		print join("\t", $database, $class, $_, $count{$database}{$class}{$_}), "\n" for sort keys %{ $count{$database}{$class} };
	}
}
