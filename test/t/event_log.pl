# How people read the log: the events of a lead, of a receipt and of a correlation, with
# their details and what was read of their webhook, are found by indexes of each month,
# under the tenant's row security, and little else is read.  Ids are in order of time, as
# the engine's are.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Test::More;

my $n = 60000;
my $node = new_cluster(conf => "outreach.max_workers = 0\nautovacuum = off\n");
create_extension($node);
sub value { my ($sql, %opt) = @_; return sql($node, $sql, %opt); }

value(<<"SQL");
SELECT outreach.create_tenant('team_a', 'A'), outreach.create_tenant('team_b', 'B'), outreach.grant_tenant('team_a', 'test_app');
CREATE FUNCTION public.id(of text, i int) RETURNS uuid LANGUAGE sql IMMUTABLE AS \$\$ SELECT (lpad(to_hex(i), 12, '0') || right(md5(of || i), 20))::uuid \$\$;
INSERT INTO outreach.events (tenant_id, event_id, occurred_at, event_type, source, lead_id, lead_version, receipt_id, correlation_id, payload)
	SELECT t, public.id(t, i), (date_trunc('month', now() AT TIME ZONE 'UTC') + i % 3 * interval '1 month') AT TIME ZONE 'UTC',
		CASE WHEN i % 2 = 0 THEN 'webhook.inbound.received' ELSE 'contact.updated' END, 'sql',
		   'lead_' || i / 2 % 1500, 1 + i / 3000 * 2 + i % 2, public.id('r', i / 2), public.id('c', i / 2), '{"kind": "a"}'
	  FROM unnest('{team_a,team_b}'::text[]) t, generate_series(1, $n) i ORDER BY i;
INSERT INTO outreach.events_default SELECT * FROM outreach.events WHERE lead_id < 'lead_2';
INSERT INTO outreach.event_details SELECT tenant_id, event_id, '{"reason": "b"}' FROM outreach.events WHERE event_type = 'contact.updated';
INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path, provider, form_encoded, body, received_at, correlation_id, event_type, reading)
	SELECT tenant_id, receipt_id, 'done', '/', 'generic', false, '', now(), correlation_id, event_type, '{"body": "c"}' FROM outreach.events
		WHERE event_type = 'webhook.inbound.received';
VACUUM ANALYZE
SQL

my $filled = join ' ', map { value("SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + $_ * interval '1 month', 'YYYY_MM')") } 0 .. 2;
$filled .= ' default';
my $pages = value("SELECT sum(relpages) FROM pg_class WHERE relname ~ '^events_(\\d+_\\d+|default)\$'");

for my $read (
	[ 'the events of a lead', "FROM outreach.lead_history WHERE tenant_id = 'team_a' AND lead_id = 'lead_7' ORDER BY lead_version", 'lead', 40 ],
	[ 'the events of a lead of the entered tenant', "FROM outreach.lead_history WHERE lead_id = 'lead_7' ORDER BY lead_version DESC LIMIT 10", 'lead', 10 ],
	[ 'the events of a lead behind one', "FROM outreach.lead_history WHERE tenant_id = 'team_a' AND lead_id = 'lead_7' AND lead_version < 20
		ORDER BY lead_version DESC LIMIT 10", 'lead', 10 ],
	[ 'the events of a receipt', "FROM outreach.event_log WHERE receipt_id = public.id('r', 3003)", 'cause', 2 ],
	[ 'the events of a correlation', "FROM outreach.event_log WHERE correlation_id = public.id('c', 3003)", 'cause', 2 ])
{
	my ($name, $from, $index, $rows) = @$read;
	my $plan = value("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT event_type, payload $from", user => 'test_app', tenant => 'team_a');
	my ($buffers) = $plan =~ /Buffers: shared hit=(\d+)/;
	is(value("SELECT count(*), count(DISTINCT payload) FROM (SELECT payload $from) t", user => 'test_app', tenant => 'team_a'),
		"$rows|2", "$name: with what was said");
	is(join(' ', sort $plan =~ /_(\d+_\d+|default)_$index\b/g), $filled, "$name: by an index of every month with events, and of those without one");
	unlike($plan, qr/Seq Scan[^\n]*\n(?: +Filter[^\n]*\n| +Rows Removed[^\n]*\n)* +Buffers/, "$name: no table is read");
	like($plan, qr/event_details_\w+_pkey/, "$name: details by their key");
	like($plan, qr/inbound_(?:queue|history_\w+)_pkey/, "$name: the reading by its key");
	cmp_ok($buffers, '<', $index eq 'cause' ? $pages / 5 : 300, "$name: $buffers buffers") or diag($plan);
}
is(value("SELECT count(*) FROM outreach.event_log WHERE tenant_id = 'team_b'", user => 'test_app', tenant => 'team_a'), 0, 'of another tenant nothing is seen');
done_testing();
