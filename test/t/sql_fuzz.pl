# Statements from a grammar, by roles of every kind: the same ones each time, some of
# those that "make fuzz" makes of other seeds for as long as it is told.

use strict;
use warnings;
use Test::More;

my $said = `test/fuzz/sql --seed 2 --programs 120 --sessions 1 2>&1`;
is($?, 0, 'nothing of another tenant, no internal error, no crash') or diag($said);
like($said, qr/ (?:[3-9]\d|\d{3,}) of \d+ functions worked/, 'a good part of the calls did something') or diag($said);
done_testing();
