# Refusals: those about the sender stop the sender and keep the message, those
# that only a person can put right keep the message and stop nobody, those about the
# recipient are the recipient's.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my $n = 0;

sending_database($node, 'postgres', $provider, leads => 60);
quick_profiles($node);

sub refused
{
	my ($code) = @_;

	$n++;
	my $id = send_message($node, lead_id => "lead_$n", body => "Hello [[fault:error:$code,ok]]", from_phone => '+12125550102')->{message_id};
	my $status = wait_at_rest($node, $id);
	my $stops = sql($node, "SELECT coalesce(string_agg(scope || ' ' || id, ', '), 'none') FROM outreach.sending_stops");
	return ($id, "$status, stopped: $stops");
}

# ---- of the sender ------------------------------------------------------------

my $number = 'deferred, stopped: number +12125550102';
my $account = 'deferred, stopped: account twilio';
for my $case ([ 21606, $number ], [ 21660, $number ], [ 21661, $number ], [ 21212, $number ], [ 30034, $number ], [ 63007, $number ],
	[ 21609, $account ], [ 21704, $account ], [ 20005, $account ], [ 30037, $account ])
{
	my ($code, $expected) = @$case;
	my ($id, $became) = refused($code);
	my ($scope, $name) = $expected =~ /stopped: (\w+) (.*)/;

	is($became, $expected, "$code is about the sender");
	is(sql($node, "SELECT outreach.resume_sending('$scope', '$name', 'team_a')"), 1, 'when that is put right');
	is(wait_at_rest($node, $id), 'sent', 'the message leaves');
}

# ---- for a person -------------------------------------------------------------

for my $code (21408, 21612, 21608)
{
	my ($id, $became) = refused($code);

	is($became, 'review, stopped: none', "$code is for a person");
	is(sql($node, "SELECT error_code FROM outreach.messages_stalled WHERE message_id = '$id'"), $code, 'who sees it');
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'message.outbound.review' AND payload ->> 'message_id' = '$id'"),
		1, 'and is told');
	sql($node, "SELECT outreach.resolve_message('team_a', '$id', 'retry', 'the account is upgraded')");
	is(wait_at_rest($node, $id), 'sent', 'and has it tried again');
}
my ($given_up) = refused(21408);
sql($node, "SELECT outreach.resolve_message('team_a', '$given_up', 'failed', 'not worth it')");
is(message($node, $given_up)->{status}, 'failed', 'or not');

# ---- of the recipient ---------------------------------------------------------

for my $code (21211, 21610, 21614)
{
	is((refused($code))[1], 'failed, stopped: none', "$code is about the recipient");
}

# ---- a phone that cannot be reached ---------------------------------------------

my $lead = 'lead_' . ++$n;
my $phone = Sending::phone($n);
sql($node, "SELECT outreach.create_endpoint('team_a', '/w/in', 'generic', 'none')");
sql($node, "SELECT outreach.stop_sending('account', 'twilio', 'a test', 'team_a')");
my $first = send_message($node, lead_id => $lead, body => 'Hello [[fault:error:21635]]', from_phone => '+12125550102');
wait_at_rest($node, $first->{message_id});
my $held = send_message($node, lead_id => $lead, body => 'Hello again', from_phone => '+12125550102', send_at => sql($node, "SELECT now() + interval '3 s'"));
sql($node, "SELECT outreach.resume_sending('account', 'twilio', 'team_a')");
is(wait_at_rest($node, $first->{message_id}), 'failed', 'a landline');
is(sql($node, "SELECT channel || ' ' || code FROM outreach.addresses_unreachable WHERE address = '$phone'"), 'sms 21635', 'which the address is marked for');
is(wait_at_rest($node, $held->{message_id}), 'blocked', 'what was asked for before does not leave');
is(send_message($node, lead_id => $lead, body => 'Hello once more', send_key => 'blocked')->{status}, 'blocked', 'nor what is asked for then');
is(sql($node, "SELECT verdicts -> 0 ->> 'guard' FROM outreach.outbound_messages WHERE message_id = '$held->{message_id}'"), 'reachability', 'by its guard');
sql($node, qq{SELECT outreach.ingest_webhook(jsonb_build_object('path', '/w/in', 'body', jsonb_build_object('event', 'message.received',
	'id', 'in 1', 'from', '$phone', 'body', 'I do get texts')::text))});
my $after = send_message($node, lead_id => $lead, body => 'So do we', from_phone => '+12125550102');
is(wait_at_rest($node, $after->{message_id}), 'sent', 'a text from it proves that wrong');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
