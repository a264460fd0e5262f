# Providers that fail in all the ways they do: what was surely refused is tried
# again, what may have been accepted never is, unless the provider can tell.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my %from = (signalhouse => '+12125550101', twilio => '+12125550102');
my $n = 0;

sending_database($node, 'postgres', $provider, leads => 200);
quick_profiles($node);
# one failure must not make the others wait
sql($node, q{UPDATE outreach.provider_profiles SET breaker_failures = 100 WHERE tenant_id = 'team_a'});

sub ask
{
	my ($account, $fault, %more) = @_;
	my %way = $account eq 'generic' ? (channel => 'webhook') : (from_phone => $from{$account});

	$n++;
	return send_message($node, lead_id => "lead_$n", body => "Hello $n [[fault:$fault]]", %way, %more)->{message_id};
}

sub accepted
{
	my ($id) = @_;
	return scalar grep { ($_->{key} // '') eq $id || ($_->{idempotency_key} // '') eq $id
		  || $_->{body} =~ /^Hello (\d+) / && message($node, $id)->{body} eq $_->{body} } $provider->accepted;
}

my @cases;

# A case under way: many wait for their time-outs together
sub ends
{
	my ($account, $fault, @expected) = @_;
	push @cases, [ "$account, $fault", ask($account, $fault), @expected ];
	return $cases[-1][1];
}

sub check_cases
{
	quiet($node);
	for (@cases)
	{
		my ($what, $id, $status, $accepted, $attempts) = @$_;
		my $message = message($node, $id);
		is("$message->{status} after $message->{attempts}, accepted " . accepted($id),
			"$status after $attempts, accepted $accepted", $what);
	}
	@cases = ();
}

# ---- surely refused -----------------------------------------------------------

my $dead = ends('signalhouse', '429:none', 'dead', 0, 4);
check_cases();
is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'message.outbound.dead' AND payload ->> 'message_id' = '$dead'"),
	1, 'an alert tells of the dead one');
is(sql($node, "SELECT string_agg(outcome, ' ' ORDER BY attempt) FROM outreach.message_deliveries WHERE message_id = '$dead'"),
	'retry retry retry retry', 'one row an attempt, one dead letter');
ends('signalhouse', '429:1,ok', 'sent', 1, 2);
ends('signalhouse', '429:garbage,ok', 'sent', 1, 2);
ends('twilio', 'error:21211', 'failed', 0, 1);
ends('signalhouse', 'blocked:dnc', 'failed', 0, 1);
ends('signalhouse', 'blocked:out', 'failed', 0, 1);
my $opted_out = "lead_$n";
check_cases();
is(sql($node, "SELECT consent FROM outreach.phones JOIN outreach.leads USING (tenant_id, phone) WHERE lead_id = '$opted_out'"),
	'opted_out', 'what the provider knows of an opt-out, the registry knows');

# ---- may have been accepted ---------------------------------------------------

for my $fault (qw(lose_answer reset hang 500_after garbage:html garbage:truncated garbage:empty garbage:binary wrong_length:10
	endless status_after:302 dribble:1000))
{
	ends('signalhouse', $fault, 'uncertain', 1, 1);
}
for my $fault (qw(reset_before close_before hang_before 503_before status:502))
{
	ends('signalhouse', $fault, 'uncertain', 0, 1);
}
# the provider can be asked
ends('twilio', 'lose_answer', 'sent', 1, 1);
ends('twilio', '500_after', 'sent', 1, 1);
ends('twilio', 'reset_before,ok', 'sent', 1, 2);
ends('twilio', '503_before,503_before,ok', 'sent', 1, 3);
# the provider takes the same key twice for one
ends('generic', 'lose_answer,ok', 'sent', 1, 2);
ends('generic', '500_after,reset,ok', 'sent', 1, 3);
ends('generic', 'reset_before,ok', 'sent', 1, 2);
check_cases();
is($provider->counter('doubled'), 0, 'no message was accepted twice');

# a person decides
my $unsure = ask('signalhouse', 'lose_answer');
wait_until(sub { message($node, $unsure)->{status} eq 'uncertain' }, 'it to be left to a person');
sql($node, "SELECT outreach.resolve_message('team_a', '$unsure', 'sent', 'the recipient has it')");
is(message($node, $unsure)->{status}, 'sent', 'which is done');

# ---- an outage ----------------------------------------------------------------

sql($node, q{UPDATE outreach.provider_profiles SET breaker_failures = 3 WHERE tenant_id = 'team_a'});
my $before = scalar $provider->requests;
my $gone = TestProvider->start;
my $url = $gone->url;
my $port = $gone->port;
$gone->stop;
sql($node, "UPDATE outreach.sending_accounts SET base_url = '$url' WHERE account = 'twilio';
	SELECT outreach.rotate_account_secret('team_a', 'twilio', 'token')");
my @ids = map { ask('twilio', 'ok') } 1 .. 20;
wait_until(sub { sql($node, "SELECT count(*) FROM outreach.sending_circuits WHERE account = 'twilio' AND open_until > now()") }, 'the breaker to open');
wait_until(sub { sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE last_error LIKE '%rests%'") }, 'messages to wait for it');
cmp_ok(sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE status IN ('dead', 'failed', 'uncertain') AND lead_id > '' AND message_id IN ('"
	. join("','", @ids) . "')"), '<', 20, 'the outage does not use up all messages');
$gone = TestProvider->start(port => $port);
quiet($node);
is(sql($node, "SELECT count(*) FROM outreach.sending_circuits WHERE account = 'twilio' AND from_phone = ''"), 0, 'it closes when the provider is back');

# ---- a sick number ------------------------------------------------------------

sql($node, q{UPDATE outreach.provider_profiles SET sick_failures = 5 WHERE tenant_id = 'team_a'});
$gone->config(faults => { 'error:30004/400' => 1 });
ask('twilio', 'error:30004/400') for 1 .. 12;
wait_until(sub { sql($node, "SELECT count(*) FROM outreach.sending_stops WHERE scope = 'number'") }, 'the number to stop');
my $held = ask('twilio', 'ok');
wait_until(sub { message($node, $held)->{status} eq 'deferred' }, 'the next message to be held');
is(message($node, $held)->{held_by}, "number:$from{twilio}", 'by the stop of its number');
is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'sending.stopped'"), 1, 'an alert tells so');
$gone->config(faults => {});
sql($node, "SELECT outreach.cancel_message('team_a', message_id, 'test') FROM outreach.outbound_messages
	WHERE body LIKE '%30004%' AND status IN ('pending', 'deferred', 'review')");
cmp_ok(sql($node, "SELECT outreach.resume_sending('number', '$from{twilio}')"), '>', 0, 'resumed');
is(wait_at_rest($node, $held), 'sent', 'it leaves');

# ---- a refusal that is about the account --------------------------------------

$gone->config(twilio_token => 'another');
my $kept = ask('twilio', 'ok');
wait_until(sub { message($node, $kept)->{status} eq 'deferred' && message($node, $kept)->{held_by} ne '' }, 'the message to be held');
is(message($node, $kept)->{held_by}, 'account:twilio', 'wrong credentials hold the account and keep the message');
$gone->config(twilio_token => 'token');
sql($node, q{SELECT outreach.resume_sending('account', 'twilio')});
is(wait_at_rest($node, $kept), 'sent', 'which leaves when they are right again');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
