# The archive for PGXN that "make dist" makes: it has what git has, in a folder named after it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Uncompress::Unzip;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Realtime;
use Test::More;

plan skip_all => 'git is not installed' unless has_program('git');

# A repository of the checkout as it is, which is a copy without one
my $folder = PostgreSQL::Test::Utils::tempdir();
my $copy = "$folder/chatrel";
my @git = ('git', '-C', $copy, '-c', 'user.name=test', '-c', 'user.email=test@localhost');

sub runs
{
	my (@command) = @_;

	my ($output, $errors) = ('', '');

	IPC::Run::run(\@command, '<', \undef, '>', \$output, '2>', \$errors) or die "@command: $output$errors";
	return $output;
}

sub names_in
{
	my ($archive) = @_;
	my $zip = IO::Uncompress::Unzip->new($archive) or die "$archive: $IO::Uncompress::Unzip::UnzipError";
	my @names;

	do { push @names, $zip->getHeaderInfo->{Name} } while $zip->nextStream > 0;
	return @names;
}

runs('bash', '-c', '. "$1/script/bootstrap" && scratch=$2 && copy_project', 'bash', "$FindBin::RealBin/../..", $folder);
runs(@git, 'init', '--quiet');
runs(@git, 'add', '--all');
runs(@git, 'commit', '--quiet', '--message=All of it');

my ($version) = slurp_file("$copy/chatrel.control") =~ /^default_version = '(.*)'$/m;
runs('make', '--silent', "--directory=$copy", 'dist');
my @expected = map { "chatrel-$version/$_" } split /\0/, runs(@git, 'ls-files', '-z');
my @names = grep { !m{/$} } names_in("$copy/chatrel-$version.zip");

cmp_ok(scalar @names, '>', 100, 'the archive has files');
is_deeply([ sort @names ], [ sort @expected ], '... those that git has, in one folder');
foreach my $file ('META.json', 'README.md', 'doc/README.md', 'chatrel.control', 'Makefile')
{
	ok((grep { $_ eq "chatrel-$version/$file" } @names), "... $file among them");
}
done_testing();
