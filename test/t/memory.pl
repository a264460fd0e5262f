# A tenant's texts do not make a worker run out of memory: what is too long is refused
# where it is given, and a batch of the longest that are allowed is taken in pieces.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Test::More;

plan skip_all => 'reads /proc' if !-r '/proc/self/status';

my $node = new_cluster();
create_extension($node);
sub value { my ($sql, %opt) = @_; return sql($node, $sql, %opt); }

value(<<'SQL');
SELECT outreach.create_tenant('team_a', 'A'), outreach.grant_tenant('team_a', 'test_app');
SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred');
SELECT count(outreach.create_lead('team_a', 'lead_' || i)) FROM generate_series(1, 500) i;
SQL

# what made a worker grow by gigabytes
is(sql_error($node, "SELECT outreach.set_timer('team_a', 'lead_1', 'CALLBACK', now(), repeat('r', 40000000), '{\"agent\": \"x\"}')", user => 'test_app'),
	'22001', 'an action of 40 MB');
is(sql_error($node, "SELECT outreach.set_timer('team_a', 'lead_1', 'CALLBACK', now(), 'r', jsonb_build_object('agent', repeat('x', 40000000)))",
	user => 'test_app'),
	'22001', 'a payload of 40 MB');

# the longest that are allowed, as many as a batch takes: well compressed they are small on disk
value("SELECT outreach.disarm('a test')");
is(value("SELECT count(outreach.set_timer('team_a', 'lead_' || i, 'CALLBACK', now(), repeat('r', 1000), '{\"agent\": \"x\"}'))"
		. ' FROM generate_series(1, 500) i', user => 'test_app'), 500, '500 timers');
value("UPDATE outreach.lead_timers SET action_payload = action_payload || jsonb_build_object('note', repeat('x', 65000))");
is(value(q{SELECT string_agg(DISTINCT outcome, ' ') FROM generate_series(1, 200) i, outreach.ingest_webhook(jsonb_build_object('path', '/w/later',
	'body', jsonb_build_object('event', 'message.received', 'id', i, 'from', '+12125550100', 'body', repeat('x', 1040000))::text))}), 'deferred',
	'200 webhooks of 1 MB');
my $peak = 0;
value('SELECT outreach.arm()');
wait_until(sub {
		for my $pid (backend_pids($node, "backend_type = 'outreach worker'"))
		{
			open(my $status, '<', "/proc/$pid/status") or next;
			my ($hwm) = join('', <$status>) =~ /^VmHWM:\s+(\d+) kB/m;
			$peak = $hwm if ($hwm // 0) > $peak;
		}
		return value("SELECT (SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL) + (SELECT count(*) FROM outreach.inbound_payloads
			WHERE status = 'pending')") == 0;
	}, 'all to be done');
is(value('SELECT count(*) FROM outreach.lead_timers WHERE executed_at IS NOT NULL'), 500, 'all have fired');
is(value("SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'done'"), 200, 'all are processed');
cmp_ok($peak, '>', 0, "the worker was looked at: $peak kB");
cmp_ok($peak, '<', 200 * 1024, 'it stayed small');
is(value("SELECT max(octet_length(payload::text)) < 40000 FROM outreach.events"), 't', 'what a provider sends is cut in the log');
is(value("SELECT count(*) FROM outreach.event_log WHERE payload ->> 'cut' = 'true'"), 200, 'and it says so');
is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
done_testing();
