# Defects of the systems this one replaces that it must not have: states, events
# and tenants.  One block a number.
#
# Not reached before there are campaigns: N134 (a new lead enrolled in another
# tenant's campaign); before there is sending and timers: the send_key of N136, the
# gate and the timer functions of N137.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT outreach.create_endpoint('team_a', '/w/a', 'texting', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/ghl', 'ghl', 'none');
	SELECT outreach.grant_tenant('team_a', 'test_app');
	CREATE ROLE app_b LOGIN IN ROLE outreach_app;
	SELECT outreach.grant_tenant('team_b', 'app_b');
});

my $serial = 0;

sub value { return sql($node, $_[0]); }
sub lead { return value("SELECT outreach.create_lead('team_a', '$_[0]', '$_[1]')"); }
sub state { return value("SELECT state FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id = '$_[0]'"); }

sub text
{
	my ($phone, $body) = @_;
	return ingest($node, signed('none', path => '/w/a', type => 'application/json', body => encode_json({
		type => 'message.received', message => { id => 'm' . ++$serial, from => $phone, body => $body } })));
}

# new states of a lead, in order
sub path
{
	my ($lead) = @_;
	return value("SELECT string_agg(new_state::text, ' ' ORDER BY lead_version) FROM outreach.events WHERE lead_id = '$lead'");
}

sub session { return $node->background_psql('postgres', extra_params => [ '-U', 'test_admin' ]); }

# starts a statement that has to wait for a lock, and waits until it does
sub start_waiting
{
	my ($session, $statement) = @_;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/sent/, "\\echo sent\n$statement;\n");
	wait_until(sub { value("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") eq '1' },
		'the second to wait for the first');
}

# ------------------------------------------------------------- 3.3

{
	# N50: two changes at once
	lead('lead_50', '+12125550050');
	my ($first, $second) = (session(), session());
	$first->query_safe("BEGIN; SELECT outreach.transition_lead('team_a', 'lead_50', 'touched')");
	start_waiting($second, "SELECT outreach.transition_lead('team_a', 'lead_50', 'suppressed')");
	$first->query_safe('COMMIT');
	like($second->query('SELECT 1'), qr/lead_50,touched,suppressed,t,3/, 'N50: the second sees what the first left');
	is(path('lead_50'), 'new touched suppressed', 'N50: both are in the log');
	$_->quit for $first, $second;
}

{
	# N51: event and lead in one transaction
	lead('lead_51', '+12125550051');
	my $before = value("SELECT l FROM outreach.leads l WHERE lead_id = 'lead_51'");
	my $session = session();
	$session->query_safe("BEGIN; SELECT outreach.transition_lead('team_a', 'lead_51', 'touched')");
	value("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'test_admin'");
	eval { $session->{run}->finish };
	is(value("SELECT l FROM outreach.leads l WHERE lead_id = 'lead_51'"), $before, 'N51: the lead is as it was');
	is(path('lead_51'), 'new', 'N51: and so is the log');
}

{
	# N52: an event that is recorded moves no state, and does not say it did
	lead('lead_52', '+12125550052');
	value(qq{SELECT outreach.record_event('team_a', 'lead_52', '$_', '{"new_state":"touched","previous_state":"new"}')})
	  for 'contact.updated', 'lead.archived';
	is(sql_error($node, qq{SELECT outreach.record_event('team_a', 'lead_52', '$_', '{"new_state":"touched","previous_state":"new"}')}), 'OR304',
		"N52: $_ is the engine's") for 'message.outbound.sent', 'lead.state.changed';
	is(state('lead_52') . ' ' . path('lead_52'), 'new new', 'N52: state and log agree');
}

{
	# N53: a direct UPDATE
	lead('lead_53', '+12125550053');
	is(sql_error($node, "UPDATE outreach.leads SET state = 'closed' WHERE lead_id = 'lead_53'"), 'OR001', 'N53: refused, even to a superuser');
	my (undef, undef, $message) = $node->psql('postgres', "UPDATE outreach.leads SET state = 'closed' WHERE lead_id = 'lead_53'");
	like($message, qr/from "new" to "closed".*touched, responded, suppressed/s, 'N53: with from, to and what is allowed');
	is(sql_error($node, "UPDATE outreach.leads SET state = 'touched'", user => 'test_app', tenant => 'team_a'), '42501', 'N53: not the app\'s to write');
	value("UPDATE outreach.leads SET state = 'touched' WHERE lead_id = 'lead_53'");
	is(path('lead_53'), 'new touched', 'N53: a legal one is in the log');
	is(sql_error($node, "UPDATE outreach.leads SET state = 'new' WHERE lead_id = 'lead_53'"), 'OR001', 'N53: no way back');
}

{
	# N54: what a change is called, and what caused it
	lead('lead_54', '+12125550054');
	my $receipt = text('+12125550054', 'interested')->{receipt_id};
	is(value("SELECT string_agg(DISTINCT event_type || ' ' || (receipt_id = '$receipt')::text, ', ') FROM outreach.events"
			. " WHERE lead_id = 'lead_54' AND previous_state IS NOT NULL"), 'lead.state.changed true', 'N54: its own name, and its webhook');
}

{
	# N55: every state can be written
	lead('lead_55', '+12125550055');
	value("SELECT outreach.transition_lead('team_a', 'lead_55', '$_')")
	  for qw(touched retargeting responded soft_interest email_captured content_nurture appointment_booked in_call_queue closed suppressed);
	is(path('lead_55'), 'new touched retargeting responded soft_interest email_captured content_nurture appointment_booked in_call_queue closed suppressed',
		'N55: all states');
}

{
	# N56, N57: a reply moves the lead, by way of the states between
	lead('lead_56', '+12125550056');
	value("SELECT outreach.transition_lead('team_a', 'lead_56', 'touched')");
	text('+12125550056', 'yes');
	is(path('lead_56'), 'new touched responded high_intent', 'N56, N57: yes from a touched lead');
	text('+12125550056', 'yes');
	text('+12125550056', 'ok then');
	is(path('lead_56'), 'new touched responded high_intent', 'N56: a second reply moves nothing back');
	is(value("SELECT count(*) FROM outreach.events WHERE lead_id = 'lead_56' AND event_type = 'webhook.inbound.received'"), 3,
		'N56: and is not lost');
}

{
	# N58: the log
	for my $table ('events', 'event_keys', 'consent_history', 'webhook_receipts', 'webhook_receipts_0', 'events_default',
		value("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relname LIKE 'events_2%' ORDER BY 1 LIMIT 1"))
	{
		my $empty = $table =~ /^(?:event_keys|events_)/;
		value("SELECT outreach.record_event('team_a', 'lead_56', 'contact.updated', NULL, 'n58')") if $table eq 'event_keys';
		value("SELECT outreach.opt_out('team_a', '+12125550058')") if $table eq 'consent_history';
		is(sql_error($node, "UPDATE outreach.$table SET tenant_id = tenant_id"), 'OR301', "N58: UPDATE of $table") unless $table =~ /^events_|_0$/;
		is(sql_error($node, "DELETE FROM outreach.$table"), 'OR301', "N58: DELETE of $table") unless $table =~ /^events_|_0$/;
		is(sql_error($node, "TRUNCATE outreach.$table"), 'OR301', "N58: TRUNCATE of $table");
	}
	is(value("SELECT count(*) FROM pg_trigger WHERE tgrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'outreach.events'::regclass)"
			. " AND tgname = 'append_only'"),
		value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'outreach.events'::regclass"), 'N58: rows of every partition are protected');
}

{
	# N59: rebuilding when every event has the same time
	value("ALTER ROLE test_shim SET outreach.clock = '" . value("SELECT now() + '1 hour'") . "'");
	my @events = ('hi', 'yes', 'thanks', 'stop');
	text('+12125550059', $_) for @events;
	value('ALTER ROLE test_shim RESET outreach.clock');
	is(value("SELECT count(DISTINCT occurred_at) || ' ' || string_agg(lead_version::text, ' ' ORDER BY lead_version)"
			. " FROM outreach.events JOIN outreach.leads USING (tenant_id, lead_id) WHERE phone = '+12125550059'"),
		'1 1 2 3 4 5 6 7 8', 'N59: one time, an order nevertheless');
}

{
	# N60: a retried call
	my @first = split /\|/, value("SELECT * FROM outreach.record_event('team_a', 'lead_56', 'contact.updated', '{}', 'call-1')");
	my @again = split /\|/, value("SELECT * FROM outreach.record_event('team_a', 'lead_56', 'contact.updated', '{}', 'call-1')");
	is("@again", "$first[0] t", 'N60: the same event, called a duplicate');
	is(value("SELECT count(*) FROM outreach.events WHERE dedupe_key = 'call-1'"), 1, 'N60: recorded once');
	my ($one, $two) = (session(), session());
	$one->query_safe("BEGIN; SELECT outreach.record_event('team_a', 'lead_56', 'contact.updated', '{}', 'call-2')");
	start_waiting($two, "SELECT duplicate FROM outreach.record_event('team_a', 'lead_56', 'contact.updated', '{}', 'call-2')");
	$one->query_safe('COMMIT');
	like($two->query('SELECT 1'), qr/^t\b/, 'N60: and at the same moment');
	$_->quit for $one, $two;
}

# ------------------------------------------------------------- 3.7

my @as_app = (user => 'test_app');

{
	# N130: no tenant entered, or an empty one, is no row of anybody
	my @tables = split /\n/, value("SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
		. " WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege('test_app', c.oid, 'SELECT')");
	cmp_ok(scalar(@tables), '>', 10, 'N130: tables that an app may read');
	is_deeply([ grep { sql($node, "SET outreach.require_tenant = off; SELECT count(*) FROM outreach.$_ WHERE tenant_id <> '*'", @as_app) ne '0' } @tables ], [],
		'N130: nothing without a tenant');
	is_deeply([ grep { sql($node, "SELECT count(*) FROM outreach.$_ WHERE tenant_id = 'team_a'", user => 'app_b', tenant => 'team_b') ne '0' } @tables ], [],
		'N130: nothing of another one');
	cmp_ok(sql($node, 'SELECT count(*) FROM outreach.leads', @as_app, tenant => 'team_a'), '>', 5, 'N130: one\'s own');
	is(value("SELECT count(*) FROM pg_class WHERE relnamespace = 'outreach'::regnamespace AND relkind IN ('r', 'p')"
			. " AND NOT (relrowsecurity AND relforcerowsecurity)"), 0, 'N130: forced on every table');
	is(sql_error($node, "SELECT outreach.enter_tenant('')", @as_app), '22023', 'N130: an empty tenant cannot be entered');
	is(sql_error($node, "SELECT outreach.enter_tenant(NULL)", @as_app), '22004', 'N130: nor null');
	is(sql_error($node, "SELECT outreach.enter_tenant('*')", @as_app), 'OR101', 'N130: nor all of them');
}

{
	# N131: with a bind parameter
	is(sql($node, "PREPARE enter(text) AS SELECT outreach.enter_tenant(\$1); BEGIN; EXECUTE enter('team_a'); SELECT outreach.current_tenant(); COMMIT",
			@as_app), "team_a\nteam_a", 'N131: the tenant can be a parameter');
}

{
	# N132: nothing stays on a pooled connection
	for my $end (qw(COMMIT ROLLBACK))
	{
		my $before = "BEGIN; SELECT outreach.enter_tenant('team_a') \\g /dev/null\n$end";
		is(sql($node, "$before; SELECT outreach.current_tenant() IS NULL", @as_app), 't', "N132: gone after $end");
		is(sql_error($node, "$before; SELECT count(*) FROM outreach.leads", @as_app), 'OR104', "N132: rows are read by nobody after $end");
		is(sql($node, "SET outreach.require_tenant = off; $before; SELECT count(*) FROM outreach.leads", @as_app), 0, "N132: or there are none after $end");
	}
	is(sql($node, "SELECT outreach.enter_tenant('team_a') \\g /dev/null\nSELECT outreach.current_tenant() IS NULL", @as_app), 't',
		'N132: gone after a statement of its own');
	is(sql($node, "BEGIN; SAVEPOINT s; SELECT outreach.enter_tenant('team_a') \\g /dev/null\nROLLBACK TO s; SELECT outreach.current_tenant() IS NULL; COMMIT",
			@as_app), 't', 'N132: gone with its savepoint');
}

{
	# N133: a tenant that somebody says he is
	is(sql_error($node, $_, user => 'app_b'), '42501', "N133: $_")
	  for "SET outreach.tenant_id = 'team_a'", "SET LOCAL outreach.tenant_id = 'team_a'", "SELECT set_config('outreach.tenant_id', 'team_a', false)",
	  "ALTER ROLE app_b SET outreach.tenant_id = 'team_a'";
	is(sql_error($node, "SELECT outreach.enter_tenant('team_a')", user => 'app_b'), 'OR101', 'N133: a role that is not bound to it');
	is(sql_error($node, "SELECT outreach.enter_tenant('team_a', '$_')", user => 'app_b'), 'OR103', "N133: a proof that is none: $_")
	  for 'eyJhbGciOiJub25lIn0.eyJ0ZWFtIjoidGVhbV9hIn0.', 'v1.99999999999.' . '0' x 64, 'v1', '';
	is(sql_error($node, "SELECT outreach.enter_tenant('team_b') \\g /dev/null\nSELECT outreach.enter_tenant('team_a')", user => 'app_b', tenant => 'team_b'),
		'OR102', 'N133: two tenants in a transaction');
	my $hook = signed('none', path => '/w/a', type => 'application/json', headers => { 'x-team-id' => 'team_b', 'x-tenant-id' => 'team_b' },
		body => encode_json({ tenant_id => 'team_b', teamId => 'team_b', type => 'message.received', message => { id => 'n133', from => '+12125550133',
			body => 'hi' } }));
	ingest($node, $hook);
	is(value("SELECT string_agg(tenant_id, ' ') FROM outreach.leads WHERE phone = '+12125550133'"), 'team_a', 'N133: headers and body name no tenant');
}

{
	# N135: a CRM's contact is the endpoint's tenant's alone
	value("SELECT outreach.create_lead(t, 'lead_135', '+12125550123', 'Old') FROM unnest('{team_a,team_b}'::text[]) t");
	my $before = value("SELECT l FROM outreach.leads l WHERE tenant_id = 'team_b'");
	ingest($node, signed('none', path => '/w/ghl', body => payload("ghl-contact_$_.json"))) for qw(create update tag_update delete);
	is(value("SELECT l FROM outreach.leads l WHERE tenant_id = 'team_b'"), $before, 'N135: another tenant\'s lead is as it was');
	is(value("SELECT count(*) FROM outreach.events WHERE tenant_id = 'team_b' AND receipt_id IS NOT NULL"), 0, 'N135: and has no event of it');
}

{
	# N136: keys of two tenants
	is(value("SELECT string_agg(duplicate::text, ' ') FROM unnest('{team_a,team_b}'::text[]) t,"
			. " LATERAL outreach.record_event(t, NULL, 'contact.updated', NULL, 'same-key')"), 'false false', 'N136: do not meet');
}

{
	# N137: a lead id without its tenant is nobody
	is(sql_error($node, "SELECT outreach.$_", user => 'app_b'), 'OR002', "N137: $_")
	  for "transition_lead('team_b', 'lead_56', 'suppressed')", "record_event('team_b', 'lead_56', 'contact.updated')";
	is(sql_error($node, "SELECT outreach.$_", user => 'app_b'), 'OR101', "N137: $_")
	  for "transition_lead('team_a', 'lead_56', 'suppressed')", "record_event('team_a', 'lead_56', 'contact.updated')",
	  "create_lead('team_a', 'lead_56', '+12125550999')", "opt_out('team_a', '+12125550056')", "opt_in('team_a', '+12125550056')",
	  "classify_message('team_a', 'stop')";
	is(value("SELECT count(*) FROM pg_proc p WHERE pronamespace = 'outreach'::regnamespace AND has_function_privilege('test_app', oid, 'EXECUTE')"
			. " AND proargnames \@> '{lead_id}' AND NOT proargnames \@> '{tenant_id}'"), 0, 'N137: no function takes a lead without its tenant');
}

is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
alive($node, 'at the end');

done_testing();
