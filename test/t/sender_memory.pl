# The memory of a worker: after 20,000 sends what it was after the first of them, with
# as many under way each time; and with 1,000 under way.

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
# a tenant has eight ninths of it: 100, and later 1,000
my $node = sending_cluster(conf => "outreach.max_sends = 112\noutreach.max_sends_per_host = 1000\n");
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
# its answers until as many requests are there as may be under way.  Returns the
# memory at that moment.
sub round
{
	my ($most) = @_;
	my $n = ++$batches;
	my $requests = $provider->counter('requests');

	$provider->config(hold_answers => 1);
	sql($node, qq{SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(1, $leads) i),
		'Text $n for {{firstName}}', send_keys => ARRAY(SELECT 'batch $n ' || i FROM generate_series(1, $leads) i),
		from_phone => '+12125550101')});
	wait_until(sub { $provider->counter('requests') == $requests + $most }, 'as many to be under way as may be');
	my @memory = memory();
	$provider->config(hold_answers => 0);
	wait_until(sub { of_status('sent') == $batches * $leads }, 'all to be sent');
	return @memory;
}

sub highest { my (@of) = sort { $b <=> $a } @_; return $of[0]; }

my $early = highest(map { (round(100))[0] } 1 .. 5);
my $worker = worker($node, $db);
round(100) for 6 .. 15;
my $late = highest(map { (round(100))[0] } 16 .. 20);
is(worker($node, $db), $worker, 'one worker has sent them all');
cmp_ok($late, '<', $early + 2048, 'its memory is what it was');

# ---- many under way -----------------------------------------------------------

sql($node, 'ALTER SYSTEM SET outreach.max_sends = 1125');
sql($node, 'SELECT pg_reload_conf()');
my ($busy, $busy_all) = round($leads);
cmp_ok($busy, '<', 80 * 1024, '1,000 requests are under way in less than 80 MiB');

# ---- long texts: a batch is bounded by bytes, too --------------------------------

$provider->config(hold_answers => 1);
sql($node, q{SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(1, 400) i), repeat('x', 20000),
	channel => 'webhook', send_keys => ARRAY(SELECT 'long ' || i FROM generate_series(1, 400) i),
	options => jsonb_build_object('account', 'generic', 'html', repeat('y', 40000)))});
wait_until(sub { of_status('sending') == 400 }, 'all to be under way');
my ($long) = memory();
$provider->config(hold_answers => 0);
wait_until(sub { of_status('sending') == 0 }, 'all to have an answer');
cmp_ok(sql($node, q{SELECT max(bytes) FROM (SELECT sum(octet_length(m.body) + octet_length(m.html)) AS bytes FROM outreach.outbound_messages m
	JOIN outreach.message_deliveries d USING (tenant_id, message_id) WHERE m.channel = 'webhook' GROUP BY d.started_at) d}), '<=', 8 * 1024 * 1024,
	'a claim takes no more than 8 MB of texts');
cmp_ok($long, '<', 160 * 1024, '400 requests of 60 kB are under way in less than 160 MiB');

is($provider->counter('doubled'), 0, 'none was sent twice');
note("figures kB of its own (mapped): 100 under way after 5,000 $early, after 20,000 $late; 1,000 under way $busy ($busy_all); 400 long ones $long");
done_testing();
