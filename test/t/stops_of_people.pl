# A STOP is its person's: nothing that is due to any of their phones, or to any of their
# leads, is claimed once it has committed, whichever phone it came from, and whatever
# becomes theirs or somebody else's meanwhile.
#
# STOPS	how many there are, of half as many people; test/torture/stops.pl is the long form

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Stops;
use Test::More;
use TestProvider;

my $db = 'postgres';
my $node = sending_cluster(conf => stops_conf());
my $provider = TestProvider->start;
sending_database($node, $db, $provider, leads => 1);
note('figures ', stop_people($node, $db, $provider, stops => $ENV{STOPS} || 1000));
done_testing();
