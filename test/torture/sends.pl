# 100,000 sends, or SENDS, through a provider that misbehaves, while the processes
# that send are killed: the long form of the random part of test/t/crash_sender.pl.
#
#	make torture TESTS=test/torture/sends.pl N=1
#
# PAUSE	seconds between two kills, on average

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Provider qw(quiet_port);
use Sending;
use Sends;
use Test::More;

my $db = 'postgres';
my $node = sending_cluster(conf => sends_conf());
my $provider = sends_provider();
sending_database($node, $db, $provider, leads => 5000);
my $shim = start_shim($node, port => quiet_port());
sending_callbacks($node, $shim);
sends_profiles($node, $db);
note('figures ', torture($node, $db, $provider, sends => $ENV{SENDS} || 100000,
	pause => $ENV{PAUSE} || 2, lookups_fail => 1));
done_testing();
