# A plan that was made while tables were empty, and is kept, serves when they are full:
# what a batch reads grows with the batch, not with the tables.  Nobody runs ANALYZE, which
# would have the plans made anew.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers qw(mark log_since);

my $full = 10000;
my $batch = 500;
my $most = 20 * $batch;		# rows that a node of a plan gives or throws away

my $node = new_cluster(conf => "autovacuum = off\nauto_explain.log_analyze = on\nauto_explain.log_timing = off\nauto_explain.log_nested_statements = on\n");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_outreach, auto_explain'\n");
$node->restart;
create_extension($node);
sql($node, q{SELECT outreach.create_tenant('team_a', 'A'), outreach.create_account('team_a', 'texts', 'signalhouse_sms', 'jwt'), outreach.add_number('team_a',
	'+12125550180', 'texts'),
	outreach.create_endpoint('team_a', '/w/in', 'generic', 'none'), outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred'),
		outreach.disarm('a test');
	CREATE FUNCTION said(path text, id text, phone text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('path', path, 'body',
		jsonb_build_object('event', 'message.received', 'id', id, 'from', phone, 'body', 'hello')::text) $$});
sql($node, 'VACUUM ANALYZE');

# One call of each kind, over leads from..to
sub batch
{
	my ($session, $from, $to) = @_;
	my $ids = "ARRAY(SELECT 'lead_' || i FROM generate_series($from, $to) i)";
	my $phones = "ARRAY(SELECT '+1415' || (5000000 + i) FROM generate_series($from, $to) i)";
	my $new = "ARRAY(SELECT '+1416' || (5000000 + i) FROM generate_series($from, $to) i)";
	$session->query_safe($_) for
	  "SELECT count(*) FROM outreach.send_messages('team_a', $ids, 'Hello', send_keys => ARRAY(SELECT 'k' || i
	  	FROM generate_series($from, $to) i), send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.send_messages('team_a', $ids, 'Hello', send_keys => ARRAY(SELECT 'k' || i
	  	FROM generate_series($from, $to) i), send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.send_messages('team_a', NULL, 'Hi', addresses => $phones, send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.send_messages('team_a', NULL, 'Hi', addresses => $new, send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.send_messages('team_a', $ids, 'Hello {{nothing}}', send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.send_messages('team_a', $ids, 'Hello {{nothing}}', send_at => '2100-01-01')",
	  "SELECT count(*) FROM outreach.ingest_webhooks(ARRAY(SELECT said('/w/in', 'in ' || i, '+1415' || (5000000 + i)) FROM generate_series($from, $to) i))",
	  "SELECT count(*) FROM outreach.ingest_webhooks(ARRAY(SELECT said('/w/in', 'new ' || i, '+1417' || (5000000 + i)) FROM generate_series($from, $to) i))",
	  "SELECT count(*) FROM outreach.ingest_webhooks(ARRAY(SELECT said('/w/later', 'later ' || i, '+1415' || (5000000 + i))
	  	FROM generate_series($from, $to) i))",
	  'SELECT outreach.process_payloads(1000)',
	  "SELECT count(s.trigger_at) FROM generate_series($from, $to) i, outreach.set_timer('team_a', 'lead_' || i, 'SOON', now(), 'test', '{}') s",
	  'SELECT outreach.fire_timers(1000)',
	  "SELECT outreach.cancel_messages('team_a', jsonb_build_object('leadIds', to_jsonb($ids)), 'kim')";
}

my $session = $node->background_psql('postgres');
sql($node, "SELECT count(l.created) FROM generate_series(1, 2) i, outreach.create_lead('team_a', 'lead_' || i, '+1415' || (5000000 + i)) l");
batch($session, 1, 2);
sql($node, "SELECT count(l.created) FROM generate_series(3, $full) i, outreach.create_lead('team_a', 'lead_' || i, '+1415' || (5000000 + i)) l");
my $start = mark($node);
$session->query_safe('SET auto_explain.log_min_duration = 0');
batch($session, 1001, 1000 + $batch);
$session->quit;

my (%seen, %too_many);
my $log = log_since($node, $start);
while ($log =~ /duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)/g)
{
	my $plan = $1;
	my ($query) = $plan =~ /Query Text:\s*(.*(?:\n\t\t.*)*)/;
	my $loops = 1;
	$seen{$query}++;
	for my $line (split /\n/, $plan)
	{
		my $rows = $line =~ /Rows Removed by [\w ]*Filter: ([\d.]+)/ ? $1 : 0;
		($rows, $loops) = ($1, $2) if $line =~ /\(actual rows=([\d.]+) loops=(\d+)\)/;
		$too_many{$query} = $plan if $rows * $loops > $most;
	}
}
cmp_ok(scalar keys %seen, '>', 40, 'statements of many kinds were run');
is(join("\n", values %too_many), '', "no part of one gives or throws away more than $most rows for $batch leads");
done_testing();
