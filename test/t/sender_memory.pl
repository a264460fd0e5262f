# The memory of a worker: with 1,000 requests under way, and after 20,000 sends what
# it was after the first of them.

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
sends_profiles($node, $db, max_in_flight => 1000, timeout_ms => 60000);

# Kilobytes that are the worker's own, and all that it has mapped
sub memory
{
	my $status = PostgreSQL::Test::Utils::slurp_file('/proc/' . worker($node, $db) . '/status');
	return map { $status =~ /^$_:\s+(\d+) kB/m } qw(RssAnon VmRSS);
}

# A message to each lead
sub ask
{
	my $n = ++$batches;
	sql($node, qq{SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(1, $leads) i),
		'Text $n for {{firstName}}', send_keys => ARRAY(SELECT 'batch $n ' || i FROM generate_series(1, $leads) i),
		from_phone => '+12125550101')});
}

sub of_status { my ($status) = @_; return sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE status = '$status'"); }

sub send_all { ask(); wait_until(sub { of_status('sent') == $batches * $leads }, 'all to be sent'); }

send_all() for 1 .. 4;
my $worker = worker($node, $db);
my ($early, $early_all) = memory();
send_all() for 5 .. 20;
my ($late, $late_all) = memory();
is(worker($node, $db), $worker, 'one worker has sent them all');
cmp_ok($late, '<', $early + 2048, 'its memory is what it was');

# ---- many under way -----------------------------------------------------------

$provider->config(rules => [ { fault => 'slow:10000', times => $leads } ]);
my $requests = $provider->counter('requests');
ask();
wait_until(sub { $provider->counter('requests') == $requests + $leads }, 'all to be under way');
my ($busy, $busy_all) = memory();
is(of_status('sending'), $leads, '1,000 requests are under way');
cmp_ok($busy, '<', 64 * 1024, 'in less than 64 MiB');
wait_until(sub { of_status('sent') == $batches * $leads }, 'all to be sent');
is($provider->counter('doubled'), 0, 'none twice');
my ($after, $after_all) = memory();
note("figures kB of its own (mapped): after 4,000 $early ($early_all), after 20,000 $late ($late_all),",
	" 1,000 under way $busy ($busy_all), afterwards $after ($after_all)");
done_testing();
