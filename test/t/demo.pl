# README shows part of what the demo prints: each line of it is in the same chapter of the
# demo, but for times.

use strict;
use warnings;
use PostgreSQL::Test::Utils ();
use Test::More;

# The lines by chapter; one begins with a heading at the margin, or with a number.
sub chapters
{
	my ($text) = @_;
	my ($chapter, %lines) = '';

	for my $line (split /\n/, $text)
	{
		$line =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00/TIME/g;
		$line =~ s/\d+(?:\.\d+)? ms\b/N ms/g;
		$chapter = $line if $line =~ /^ ?[A-Z\d]/;
		push @{ $lines{$chapter} }, $line if $line =~ /\S/;
	}
	return \%lines;
}

my $printed = chapters(scalar qx(test/demo/run 2>&1));
is($?, 0, 'the demo runs');
my ($excerpt) = PostgreSQL::Test::Utils::slurp_file('README.md') =~ /Part of what it prints:\n\n```\n(.*?)^```/ms;
my $shown = chapters($excerpt);
cmp_ok(scalar keys %$shown, '>', 10, 'README shows chapters of it');
for my $chapter (sort keys %$shown)
{
	my %is = map { $_ => 1 } @{ $printed->{$chapter} // [] };
	is_deeply([ grep { !$is{$_} } @{ $shown->{$chapter} } ], [], "the demo prints what README shows: $chapter")
	  or diag(join "\n", @{ $printed->{$chapter} // [] });
}
done_testing();
