# The memory of a worker: with 1,000 requests under way, and after 20,000 sends what
# it was after the first of them, with as many under way each time.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use PostgreSQL::Test::Utils ();
use Sending;
use Sends;
use Test::More;
use TestProvider;
use Timers qw(worker);

plan skip_all => 'needs /proc' unless -r '/proc/self/status';

my $db = 'postgres';
my $leads = 1000;
my $node = sending_cluster(conf => "outreach.max_sends = 1000\noutreach.max_sends_per_host = 1000\n");
my $provider = TestProvider->start(config => { keep_raw => 0 });
my $batches = 0;
sending_database($node, $db, $provider, leads => $leads);
sends_profiles($node, $db, max_in_flight => 1000, connect_timeout_ms => 60000, timeout_ms => 120000);

# Kilobytes that are the worker's own, and all that it has mapped
sub memory
{
	my $status = PostgreSQL::Test::Utils::slurp_file('/proc/' . worker($node, $db) . '/status');
	return map { $status =~ /^$_:\s+(\d+) kB/m } qw(RssAnon VmRSS);
}

sub of_status { my ($status) = @_; return sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE status = '$status'"); }

# A message to each lead.  How many overlap is not left to chance: the provider holds
# its answers until it has all requests.  Returns the memory at that moment.
sub round
{
	my $n = ++$batches;
	my $requests = $provider->counter('requests');

	$provider->config(hold_answers => 1);
	sql($node, qq{SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(1, $leads) i),
		'Text $n for {{firstName}}', send_keys => ARRAY(SELECT 'batch $n ' || i FROM generate_series(1, $leads) i),
		from_phone => '+12125550101')});
	wait_until(sub { $provider->counter('requests') == $requests + $leads }, 'all to be under way');
	my @memory = memory();
	$provider->config(hold_answers => 0);
	wait_until(sub { of_status('sent') == $batches * $leads }, 'all to be sent');
	return @memory;
}

round() for 1 .. 4;
my $worker = worker($node, $db);
my ($early, $early_all) = round();
round() for 6 .. 20;
my ($late, $late_all) = round();
is(worker($node, $db), $worker, 'one worker has sent them all');
cmp_ok($late, '<', $early + 2048, 'with as many under way, its memory is what it was');
cmp_ok($late, '<', 80 * 1024, 'less than 80 MiB for 1,000 requests');
my ($after, $after_all) = memory();
cmp_ok($after, '<', $late + 2048, 'and no more when they have ended');
is($provider->counter('doubled'), 0, 'none was sent twice');
note("figures kB of its own (mapped): 1,000 under way after 4,000 $early ($early_all), after 20,000 $late ($late_all),",
	" afterwards $after ($after_all)");
done_testing();
