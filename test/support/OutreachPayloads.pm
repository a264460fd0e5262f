package OutreachPayloads;

# The payload files of test/payloads, as their providers send them.
#
# PAYLOADS_CLOCK		the moment at which they were signed: for outreach.clock
# payload_table()		a row a file: name, event type, idempotency key, what becomes of the lead (state, consent,
#	e-mail), status of the payload where it is not done
# payload_hook($file, $path)	the webhook of a file, signed
# payload_database($node, $db, %more)
#	makes the database with a tenant and an endpoint for each file; with shared => 1 one tenant for all, with
#	mode => 'deferred' such endpoints, with messages => 1 the message of ours behind each status callback

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use OutreachTest;

our @EXPORT = qw(PAYLOADS_CLOCK payload_table payload_hook payload_database);

use constant PAYLOADS_CLOCK => '2024-08-30 06:40:00+00';

my $call = 'CAc1b2c3d4e5f60718c1b2c3d4e5f60718';
my $status = 'SMf0b2c3d4e5f60718f0b2c3d4e5f60718';
my $recording = 'REd1b2c3d4e5f60718d1b2c3d4e5f60718';
my $webhook = '4f1b1b7e-6c2c-4a5f-9d0e-0c8f0e5b1a';
my $interested = 'email_captured unknown pat@example.com';
my $stopped = 'suppressed opted_out ';
# {"test_payload": true} in the canonical form that is digested
my $ping = 'sha256:' . sha256_hex('o' . pack('N', 1) . pack('N', 12) . 'test_payload' . 't');

# file, event_type, idempotency_key, what becomes of the lead (state, consent, e-mail)
my @table = (
	[ 'aloware-contact_updated.json', 'contact.updated', '70000123:Contact-Updated:2026-10-08 15:40:00' ],
	[ 'aloware-inbound_phone_call_missed.json', 'call.status', '880000002:InboundPhoneCall-DispositionMissed' ],
	[ 'aloware-inbound_sms_completed.json', 'message.received', '880000010:InboundSMS-DispositionCompleted', $interested ],
	[ 'aloware-outbound_phone_call.json', 'call.status', '880000001:OutboundPhoneCall' ],
	[ 'aloware-outbound_phone_call_completed.json', 'call.status', '880000001:OutboundPhoneCall-DispositionCompleted' ],
	[ 'aloware-outbound_sms_completed.json', 'message.sent', '880000011:OutboundSMS-DispositionCompleted' ],
	[ 'aloware-outbound_sms_invalid.json', 'message.failed', '880000012:OutboundSMS-DispositionInvalid' ],
	[ 'aloware-test_ping.json', 'test', $ping ],
	[ 'generic-enrichment_completed.json', 'enrichment.completed', '/w/generic-enrichment_completed.json:enr_1001:skiptrace.completed' ],
	[ 'ghl-contact_create.json', 'contact.created', "${webhook}01" ],
	[ 'ghl-contact_delete.json', 'contact.deleted', "${webhook}05" ],
	[ 'ghl-contact_tag_update.json', 'contact.tag_added', "${webhook}03" ],
	[ 'ghl-contact_update.json', 'contact.updated', "${webhook}02" ],
	[ 'ghl-inbound_message_call_voicemail.json', 'voicemail.received', "${webhook}07" ],
	# names no phone: kept until a contact leads to its lead
	[ 'ghl-inbound_message_sms.json', 'message.received', "${webhook}06", undef, 'unresolved' ],
	[ 'ghl-provider_outbound_message.json', 'message.requested', 'sBaBPaVKQMn8VlLqVzUp' ],
	[ 'sendgrid-bounce.json', 'message.failed', 'Ym91bmNlLTAtMTk5NDIxMTI:bounce' ],
	[ 'sendgrid-delivered.json', 'message.delivered', 'ZGVsaXZlcmVkLTAtMTk5NDIxMTI:delivered' ],
	[ 'sendgrid-dropped.json', 'message.failed', 'ZHJvcC0xMDk5NDkxOS0:dropped' ],
	[ 'sendgrid-group_unsubscribe.json', 'contact.updated', 'Z3JvdXBfdW5zdWJzY3JpYmU:group_unsubscribe' ],
	[ 'signalhouse-legacy_message_received.json', 'message.received', 'message.received:sh_msg_000123', $interested ],
	[ 'signalhouse-message_delivered.json', 'message.delivered', 'MESSAGE_DELIVERED:66f1a2b3c4d5e6f708192b01' ],
	[ 'signalhouse-message_failed.json', 'message.failed', 'MESSAGE_FAILED:66f1a2b3c4d5e6f708192b02' ],
	[ 'signalhouse-message_received.json', 'message.received', 'MESSAGE_RECEIVED:66f1a2b3c4d5e6f708192a3b', $interested ],
	[ 'signalhouse-message_received_stop.json', 'message.received', 'MESSAGE_RECEIVED:66f1a2b3c4d5e6f708192a3c', $stopped ],
	[ 'signalhouse-sms_sent.json', 'message.sent', 'SMS_SENT:66f1a2b3c4d5e6f708192b01' ],
	[ 'signalhouse-tmobile_throughput_90.json', 'provider.notice', 'TMOBILE_THROUGHPUT_90:B1A2B3C4:2026-10-08T19:30:00.000Z' ],
	[ 'texting-message_delivered.json', 'message.delivered', 'tx_900003:message.delivered' ],
	[ 'texting-message_failed.json', 'message.failed', '900004:message.failed' ],
	[ 'texting-message_received.json', 'message.received', 'tx_900001:message.received', $interested ],
	[ 'texting-optout_help.json', 'optout.help', 'tx_900006:optout.help', 'responded unknown ' ],
	[ 'texting-optout_stop.json', 'optout.stop', 'tx_900005:optout.stop', $stopped ],
	[ 'twilio-sms_inbound.form', 'message.received', 'SMa1b2c3d4e5f60718a1b2c3d4e5f60718', $interested ],
	[ 'twilio-sms_inbound_start.form', 'message.received', 'SMb1b2c3d4e5f60719b1b2c3d4e5f6071a', 'responded opted_in ' ],
	[ 'twilio-sms_inbound_stop.form', 'message.received', 'SMb1b2c3d4e5f60719b1b2c3d4e5f60719', $stopped ],
	[ 'twilio-sms_status_delivered.form', 'message.delivered', "$status:delivered" ],
	[ 'twilio-sms_status_failed.form', 'message.failed', "$status:failed:30034" ],
	[ 'twilio-sms_status_optout.form', 'message.failed', "$status:failed:21610" ],
	[ 'twilio-sms_status_sent.form', 'message.sent', "$status:sent" ],
	[ 'twilio-sms_status_undelivered.form', 'message.failed', "$status:undelivered:30007" ],
	[ 'twilio-voice_inbound.form', 'call.inbound', "$call:ringing" ],
	[ 'twilio-voice_status_completed.form', 'call.status', "$call:completed:3" ],
	[ 'twilio-voice_status_no_answer.form', 'call.status', 'CAc1b2c3d4e5f60719c1b2c3d4e5f60719:no-answer:2' ],
	[ 'twilio-voicemail_recording_action.form', 'voicemail.received', $recording ],
	[ 'twilio-voicemail_recording_status.form', 'voicemail.received', "$recording:completed" ],
);

sub payload_table { return @table }

# what the provider calls the message that a callback is about
my %message_of = (
	(map { ("sendgrid-$_.json" => '14c5d75ce93.dfd.64b469') } qw(bounce delivered dropped)),
	'signalhouse-message_delivered.json' => '66f1a2b3c4d5e6f708192b01',
	'signalhouse-message_failed.json' => '66f1a2b3c4d5e6f708192b02',
	'signalhouse-sms_sent.json' => '66f1a2b3c4d5e6f708192b01',
	'texting-message_delivered.json' => 'tx_900003',
	'texting-message_failed.json' => '900004',
	(map { ("twilio-sms_status_$_.form" => $status) } qw(delivered failed optout sent undelivered)));

my %signature = map { my ($file, $scheme, @rest) = split /\t/; ($file => [ $scheme, @rest ]) }
  grep { !/^#/ } split /\n/, payload('SIGNATURES');
chomp $_->[2] for values %signature;

my %secret = (
	twilio => '12345',
	signalhouse => 'test-signing-secret',
	hmac_sha256 => 'test-texting-secret',
	ghl => GHL_TEST_PUBLIC_KEY,
	sendgrid => SENDGRID_TEST_PUBLIC_KEY,
	token => 'a-token-that-nobody-guesses',
	secret_header => 'a-secret-that-nobody-guesses');

# aloware and the old SignalHouse shape cannot sign; the generic one need not
sub scheme
{
	my ($file) = @_;
	return $signature{$file}[0] if $signature{$file};
	return $file =~ /^generic/ ? 'secret_header' : 'token';
}

# the webhook of a file as its provider sends it to a path
sub payload_hook
{
	my ($file, $path) = @_;
	my $scheme = scheme($file);
	my %headers = ('content-type' => $file =~ /\.form$/ ? 'application/x-www-form-urlencoded' : 'application/json');
	if ($signature{$file})
	{
		$headers{ lc $signature{$file}[1] } = $signature{$file}[2];
		$headers{'x-signalhouse-timestamp'} = '1725000000000' if $scheme eq 'signalhouse';
		$headers{'x-twilio-email-event-webhook-timestamp'} = '1725000000' if $scheme eq 'sendgrid';
	}
	$headers{authorization} = "Bearer $secret{token}" if $scheme eq 'token';
	$headers{'x-texting-secret'} = $secret{secret_header} if $scheme eq 'secret_header';
	return { path => $path, headers => \%headers, body => payload($file) };
}

sub payload_database
{
	my ($node, $db, %more) = @_;
	my $mode = $more{mode} // 'immediate';
	my (%made, $script);

	$node->safe_psql('postgres', "CREATE DATABASE $db") unless $db eq 'postgres';
	create_extension($node, $db);
	for my $row (@table)
	{
		my ($file) = @$row;
		my ($provider) = $file =~ /^(\w+?)-/;
		my $scheme = scheme($file);
		my $tenant = $more{shared} ? 'team_all' : "team_$file";
		my $url = $scheme eq 'twilio' ? "'https://hooks.example.com/w/ep_twilio_1'" : 'NULL';
		$script .= "SELECT outreach.create_tenant('$tenant', 'A');\n" unless $made{$tenant}++;
		$script .= "SELECT outreach.create_endpoint('$tenant', '/w/$file', '$provider', '$scheme', '$secret{$scheme}', $url, mode => '$mode');\n";
		$script .= message($tenant, $provider, $message_of{$file}) if $more{messages} && $message_of{$file};
	}
	$node->safe_psql($db, $script);
}

# One that was sent, and that the provider knows by the id.
sub message
{
	my ($tenant, $provider, $id) = @_;
	my $profile = { signalhouse => 'signalhouse_sms', twilio => 'twilio_sms', sendgrid => 'sendgrid_mail' }->{$provider} // 'generic_json';
	my $base = $profile eq 'generic_json' ? "base_url => 'https://example.com'" : 'base_url => NULL';
	my $username = $profile eq 'twilio_sms' ? "'AC0123456789abcdef0123456789abcdef'" : 'NULL';
	my $channel = { generic_json => 'webhook', sendgrid_mail => 'email' }->{$profile} // 'sms';
	my $settings = $channel eq 'email' ? q({"from": "us@example.com"}) : '{}';
	my $number = $channel eq 'sms' ? "SELECT outreach.add_number('$tenant', '+13055550142', 'main');" : '';
	return <<"SQL";
SELECT outreach.create_account('$tenant', 'main', '$profile', 'a-secret-of-the-account', $username, $base, settings => '$settings');
$number
SELECT outreach.create_lead('$tenant', 'lead_1', '+12125550123'@{[$channel eq 'email' ? q(, email => 'pat@example.com') : '']});
SELECT outreach.send_message('$tenant', 'lead_1', 'Hello', channel => '$channel', send_key => 'one', send_at => '2034-01-01'@{[$channel eq 'email' ? q(,
	options => '{"subject": "Hi"}') : '']});
UPDATE outreach.outbound_messages SET status = 'sent', provider_message_id = '$id', attempts = 1, due_at = NULL WHERE tenant_id = '$tenant';
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id)
	SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'message id $provider', '$id'), message_id FROM outreach.outbound_messages
		WHERE tenant_id = '$tenant';
SQL
}

1;
