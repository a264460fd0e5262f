# 100,000 STOPs, or STOPS, of half as many people, while their messages are sent and
# their addresses move: the long form of test/t/stops_of_people.pl.
#
#	make torture TESTS=test/torture/stops.pl N=1

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
note('figures ', stop_people($node, $db, $provider, stops => $ENV{STOPS} || 100000));
done_testing();
