# A tenant is dropped while others are at work for it: an open transaction of its
# application, a webhook, a message under way.  What they leave is told of, and is
# gone before the id begins anew.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start;
sending_database($node, 'postgres', $provider, leads => 5);
my $url = $provider->url;

sub make
{
	sql($node, qq{
		SELECT outreach.create_tenant('team_gone', 'Gone'), outreach.create_endpoint('team_gone', '/w/gone', 'generic', 'none'),
			outreach.create_account('team_gone', 'texts', 'signalhouse_sms', 'jwt', base_url => '$url'), outreach.add_number('team_gone', '+12125550177',
				'texts')});
	sql($node, "SELECT FROM outreach.create_lead('team_gone', 'lead_1', '+14155560001')");
	return;
}

# Rows of the tenant that is gone, of all tables that have a tenant
sub rows_left
{
	return sql($node, join ' UNION ALL ', map { "SELECT '$_ ' || count(*) FROM $_ WHERE tenant_id = 'team_gone' HAVING count(*) > 0" } split /\n/,
		sql($node, q{SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'outreach'::regnamespace
			AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname = 'tenant_id' ORDER BY 1}));
}

sub told_of { return sql($node, "SELECT count(*) > 0 FROM outreach.verify() WHERE tenant_id = 'team_gone'"); }

my $webhook = q{'{"path": "/w/gone", "body": "{\"event\": \"message.received\", \"id\": \"w1\", \"from\": \"+14155560002\", \"body\": \"hello\"}"}'};
for my $case ([ 'a lead that is being made', q{SELECT FROM outreach.create_lead('team_gone', 'lead_2', '+14155560009')} ],
	[ 'an event that is being recorded', q{SELECT FROM outreach.record_event('team_gone', NULL, 'contact.updated')} ],
	[ 'a webhook that is being processed', "SELECT outcome FROM outreach.ingest_webhook($webhook)" ],
	[ 'a message that is being asked for', q{SELECT FROM outreach.send_message('team_gone', 'lead_1', 'Hi', send_at => '2100-01-01')} ])
{
	my ($what, $statement) = @$case;
	make();
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe("BEGIN; $statement");
	my $drop = $node->background_psql('postgres', on_error_stop => 0);
	# where it holds a row of before, the drop waits for it
	$drop->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM outreach.drop_tenant('team_gone');\n");
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.tenants WHERE tenant_id = 'team_gone'") == 0
		|| sql($node, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%drop_tenant%'") > 0 },
			'the drop to be done or to wait');
	$session->query_safe('COMMIT');
	$session->quit;
	$drop->query_safe('SELECT 1');
	$drop->quit;
	my $left = rows_left();
	is(told_of(), $left eq '' ? 'f' : 't', "$what: verify() tells of what is left");
	note("left: $left");
	is(sql($node, "SELECT outreach.create_tenant('team_gone', 'Gone')"), 'team_gone', 'its id is used again');
	is(rows_left(), 'outreach.tenants 1', 'and begins empty');
	sql($node, "SELECT count(*) FROM outreach.drop_tenant('team_gone')");
	is(rows_left(), '', 'and goes without a rest');
}

# ---- two that make the tenant again at once: the second finds what the first has made
{
	make();
	sql($node, "SELECT count(*) FROM outreach.drop_tenant('team_gone')");
	my $first = $node->background_psql('postgres', on_error_stop => 0);
	$first->query_safe(q{BEGIN; SELECT outreach.create_tenant('team_gone', 'Again'), outreach.grant_tenant('team_gone', 'test_app');
		SELECT FROM outreach.create_lead('team_gone', 'new', '+12125550178')});
	my $second = $node->background_psql('postgres', on_error_stop => 0);
	$second->query_until(qr/begun/, "\\echo begun\nSELECT outreach.create_tenant('team_gone', 'Again');\n");
	wait_until(sub { sql($node, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%create_tenant%'") > 0 },
		'the second to wait');
	$first->query_safe('COMMIT');
	$second->query_safe('SELECT 1');
	$_->quit for $first, $second;
	is(sql($node, q{SELECT (SELECT count(*) FROM outreach.leads WHERE tenant_id = 'team_gone'), (SELECT count(*) FROM outreach.tenant_roles
		WHERE tenant_id = 'team_gone')}),
		'1|1', 'made twice at once, it keeps what it has');
	sql($node, "SELECT count(*) FROM outreach.drop_tenant('team_gone')");
}

# ---- a provisioner that makes a tenant which there is
{
	sql($node, q{CREATE ROLE test_provisioner LOGIN IN ROLE outreach_provisioner; SELECT outreach.grant_administration('test_provisioner')});
	my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'test_provisioner' ]);
	$session->query_safe(q{BEGIN; SELECT outreach.create_tenant('team_a', 'Mine')});
	is(sql($node, q{SET lock_timeout = '10s'; BEGIN; SELECT outreach.stop_sending('tenant', 'team_a', 'a test'); ROLLBACK}), 1,
		'its open transaction keeps nobody from stopping the tenant');
	$session->query_safe('COMMIT');
	$session->quit;
	is(sql($node, q{SELECT name FROM outreach.tenants WHERE tenant_id = 'team_a'}), 'A', 'nor is the tenant renamed');
	is(sql($node, q{SELECT outreach.create_tenant('team_a', 'Ours'); SELECT name FROM outreach.tenants WHERE tenant_id = 'team_a'}), "team_a\nOurs",
		'but by an administrator');
}

# ---- a message under way
make();
kill 'STOP', $provider->pid;
my $id = sql($node, q{SELECT message_id FROM outreach.send_message('team_gone', 'lead_1', 'Under way')});
wait_until(sub { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'") eq 'sending' }, 'the request to be under way');
sql($node, "SELECT count(*) FROM outreach.drop_tenant('team_gone')");
kill 'CONT', $provider->pid;
wait_until(sub { grep { $_->{body} eq 'Under way' } $provider->accepted }, 'the provider to accept it');
my $other = sql($node, q{SELECT message_id FROM outreach.send_message('team_a', 'lead_1', 'Another tenant', from_phone => '+12125550101')});
wait_until(sub { sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$other'") eq 'sent' }, 'another tenant to be served');
pass('a message under way: the worker goes on');
is(rows_left(), '', 'and nothing is recorded of it');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
