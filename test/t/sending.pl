# Messages to a provider that answers as it should: what it got, and what the
# database holds afterwards.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
sending_database($node, 'postgres', $provider, leads => 20);

# ---- one message by each profile ----------------------------------------------

my $sms = send_message($node, lead_id => 'lead_1', body => 'Hello {{firstName}}', send_key => 'hello');
is($sms->{status}, 'pending', 'asked for');
is($sms->{duplicate}, 'f', 'for the first time');
is(wait_at_rest($node, $sms->{message_id}), 'sent', 'SignalHouse has it');
my $twilio = send_message($node, lead_id => 'lead_2', body => 'Hello', from_phone => '+12125550102');
is(wait_at_rest($node, $twilio->{message_id}), 'sent', 'Twilio has it');
my $again = send_message($node, lead_id => 'lead_1', body => 'Hello {{firstName}}', send_key => 'hello');
is($again->{message_id}, $sms->{message_id}, 'asked for again: the first message');
is($again->{duplicate}, 't', 'which is said');
my @accepted = $provider->accepted;
is(scalar @accepted, 2, 'two were accepted');
is($accepted[0]{body}, 'Hello Pat', 'with the text filled in');

my $lead = sql($node, "SELECT state || ' ' || (SELECT count(*) FROM outreach.lead_timers t WHERE t.lead_id = 'lead_1'
	AND t.timer_type = 'TIMER_7D' AND t.due_at IS NOT NULL) FROM outreach.leads WHERE lead_id = 'lead_1'");
is($lead, 'touched 1', 'the lead is touched, and its timer is set');
is(sql($node, "SELECT string_agg(event_type, ' ' ORDER BY lead_version) FROM outreach.events WHERE lead_id = 'lead_1'"),
	'lead.created message.outbound.sent lead.state.changed', 'in its events');
is(sql($node, "SELECT count(*) FROM outreach.message_deliveries WHERE outcome = 'sent' AND http_status = 201"), 2,
	'a delivery for each');

# ---- a phone that is not the lead's -------------------------------------------

sql($node, "SELECT outreach.create_endpoint('team_a', '/w/wrong', 'generic', 'none')");
sql($node, "SELECT outreach.stop_sending('tenant', 'team_a', 'a test')");
my $waits = send_message($node, lead_id => 'lead_3', body => 'Hello', send_key => 'waits');
sql($node, q{SELECT outreach.ingest_webhook(jsonb_build_object('path', '/w/wrong', 'body', jsonb_build_object('event', 'message.received',
	'id', 'w1', 'from', '} . Sending::phone(3) . q{', 'body', 'Sorry, you have the wrong number')::text))});
is(sql($node, "SELECT phone IS NULL FROM outreach.leads WHERE lead_id = 'lead_3'"), 't', 'who has it says so: the lead loses it');
sql($node, "SELECT outreach.resume_sending('tenant', 'team_a')");
is(wait_at_rest($node, $waits->{message_id}), 'deferred', 'what was asked for before does not leave');
is(sql($node, "SELECT verdicts -> 0 ->> 'guard' FROM outreach.outbound_messages WHERE message_id = '$waits->{message_id}'"),
	'destination', 'for want of an address');
is($provider->accepted, 2, 'and nothing did');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
