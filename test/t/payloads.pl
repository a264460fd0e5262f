# Every payload in test/payloads, with its signature: taken, of the right kind,
# under the right key, with the right effect.  Then a hundred rounds of every one
# of them twice, from several sessions at once, in random order, through each
# door: the rows are those of one round.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Cwd qw(getcwd);
use Digest::SHA qw(sha256_hex);
use File::Basename qw(basename);
use List::Util qw(shuffle);
use Test::More;

my $top = getcwd();
my $rounds = 100;

# the moment at which test/payloads/SIGNATURES was signed
my $node = new_cluster(conf => "outreach.clock = '2024-08-30 06:40:00+00'\n");

# ------------------------------------------------------------- the table

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
	[ 'generic-enrichment_completed.json', 'enrichment.completed', 'enr_1001:skiptrace.completed' ],
	[ 'ghl-contact_create.json', 'contact.created', "${webhook}01" ],
	[ 'ghl-contact_delete.json', 'contact.deleted', "${webhook}05" ],
	[ 'ghl-contact_tag_update.json', 'contact.tag_added', "${webhook}03" ],
	[ 'ghl-contact_update.json', 'contact.updated', "${webhook}02" ],
	[ 'ghl-inbound_message_call_voicemail.json', 'voicemail.received', "${webhook}07" ],
	# names no phone: kept until a contact leads to its lead
	[ 'ghl-inbound_message_sms.json', 'message.received', "${webhook}06", undef, 'unresolved' ],
	[ 'ghl-provider_outbound_message.json', 'message.requested', 'sBaBPaVKQMn8VlLqVzUp' ],
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
# what a provider answers to a request of ours
my @answers = qw(signalhouse-send_response.json signalhouse-send_response_dnc.json twilio-error_21610_response.json);

is_deeply(
	[ sort map { basename($_) } grep { !/SIGNATURES$/ } glob('test/payloads/*') ],
	[ sort @answers, map { $_->[0] } @table ],
	'every payload file is in the table');

my %signature = map { my ($file, $scheme, @rest) = split /\t/; ($file => [ $scheme, @rest ]) }
  grep { !/^#/ } split /\n/, payload('SIGNATURES');
chomp $_->[2] for values %signature;

# ------------------------------------------------------------- doors

my %secret = (
	twilio => '12345',
	signalhouse => 'test-signing-secret',
	hmac_sha256 => 'test-texting-secret',
	ghl => GHL_TEST_PUBLIC_KEY,
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
sub hook
{
	my ($file, $path) = @_;
	my $scheme = scheme($file);
	my %headers = ('content-type' => $file =~ /\.form$/ ? 'application/x-www-form-urlencoded' : 'application/json');
	if ($signature{$file})
	{
		$headers{ lc $signature{$file}[1] } = $signature{$file}[2];
		$headers{'x-signalhouse-timestamp'} = '1725000000000' if $scheme eq 'signalhouse';
	}
	$headers{authorization} = "Bearer $secret{token}" if $scheme eq 'token';
	$headers{'x-texting-secret'} = $secret{secret_header} if $scheme eq 'secret_header';
	return { path => $path, headers => \%headers, body => payload($file) };
}

# A database with a tenant for each file, or with one for all.
sub database
{
	my ($db, $shared) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db") unless $db eq 'postgres';
	create_extension($node, $db);
	my (%made, $script);
	for my $row (@table)
	{
		my ($file) = @$row;
		my ($provider) = $file =~ /^(\w+?)-/;
		my $scheme = scheme($file);
		my $tenant = $shared ? 'team_all' : "team_$file";
		my $url = $scheme eq 'twilio' ? "'https://hooks.example.com/w/ep_twilio_1'" : 'NULL';
		$script .= "SELECT outreach.create_tenant('$tenant', 'A');\n" unless $made{$tenant}++;
		$script .= "SELECT outreach.create_endpoint('$tenant', '/w/$file', '$provider', '$scheme', '$secret{$scheme}', $url);\n";
	}
	$node->safe_psql($db, $script);
}

my @hooks = map { hook($_->[0], "/w/$_->[0]") } @table;
my $twiml = '<?xml version="1.0" encoding="UTF-8"?><Response';

# ------------------------------------------------------------- once

database('postgres');
stage($node, 'postgres', \@hooks);
my @once = play($node, 'postgres', 'single', [ [ 0 .. $#table ] ]);
for my $row (@table)
{
	my ($file, $event_type, $key, $lead, $payload) = @$row;
	my $answer = shift @once;
	is("$answer->{outcome} $answer->{http_status}", 'accepted 200', "$file: accepted");
	like($answer->{body}, $file =~ /^twilio/ ? qr/^\Q$twiml\E/ : qr/^\{"ok":true\}$/, "$file: answered");
	is($answer->{content_type}, $file =~ /^twilio/ ? 'text/xml' : 'application/json', "$file: in its language");
	is(sql($node, <<"SQL"), "$event_type|$key|" . ($payload // 'done') . '|t|' . ($lead // ''), "$file: kind, key, effect");
SELECT r.event_type, r.idempotency_key, p.status, p.body = pg_read_binary_file('$top/test/payloads/$file'),
	   (SELECT concat_ws(' ', l.state, h.consent, coalesce(l.email, ''))
		  FROM outreach.leads l JOIN outreach.phones h USING (tenant_id, phone) WHERE l.tenant_id = r.tenant_id)
  FROM outreach.webhook_receipts r JOIN outreach.inbound_payloads p USING (tenant_id, receipt_id)
 WHERE r.tenant_id = 'team_$file'
SQL
}
is(sql($node, <<'SQL'), '', 'a stage that is passed through is recorded');
SELECT tenant_id, string_agg(new_state::text, ' ' ORDER BY lead_version) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events
 WHERE new_state IS NOT NULL AND tenant_id IN (SELECT tenant_id FROM outreach.leads WHERE state = 'email_captured')
 GROUP BY tenant_id HAVING string_agg(new_state::text, ' ' ORDER BY lead_version) <> 'new responded email_captured'
SQL
is(sql($node, 'SELECT * FROM outreach.verify()'), '', 'states follow from events');
my $wanted = rows($node, 'postgres');

# ------------------------------------------------------------- a hundred times

# Each session has its own part of the rounds, so that every webhook is sent by all.
sub orders
{
	my ($n) = @_;
	return map {
		[ shuffle map { (0 .. $#table) x 2 } 1 .. $rounds / $n ]
	} 1 .. $n;
}

sub outcomes
{
	my (@rows) = @_;
	my %count;
	$count{"$_->{outcome} $_->{http_status}"}++ for @rows;
	return \%count;
}

my $expected = { 'accepted 200' => scalar @table, 'duplicate 200' => (2 * $rounds - 1) * @table };

for my $door (qw(single many))
{
	database($door);
	stage($node, $door, \@hooks);
	my @rows = play($node, $door, $door, [ orders(4) ]);
	is_deeply(outcomes(@rows), $expected, "$door: each taken once");
	is(rows($node, $door), $wanted, "$door: the rows are those of one round");
	is(sql($node, "SELECT count(*) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events WHERE event_type = 'webhook.inbound.duplicate_rejected'", db => $door),
		$expected->{'duplicate 200'}, "$door: each duplicate left its event");
	my %first;
	is(scalar(grep { ($first{ $_->{n} } //= "$_->{receipt_id}$_->{body}$_->{content_type}") ne
			"$_->{receipt_id}$_->{body}$_->{content_type}" } @rows),
		0, "$door: each duplicate was answered like the first");
	is(sql($node, 'SELECT * FROM outreach.verify()', db => $door), '', "$door: states follow from events");
}

# ------------------------------------------------------------- through HTTP

database('http');
{
	my $shim = start_shim($node, db => 'http', conf => {
		database_connections => 3,
		(map { $_ => '180s' } qw(header_timeout request_timeout queue_timeout database_call_timeout reply_timeout idle_timeout)) });
	my $pipelined = 50;

	in_parallel([ map {
		my $order = $_;
		sub {
			while (my @part = splice(@$order, 0, $pipelined))
			{
				my @requests = map {
					my %headers = (%{ $hooks[ $part[$_] ]{headers} }, connection => $_ == $#part ? 'close' : 'keep-alive');
					request_bytes(%{ $hooks[ $part[$_] ] }, headers => \%headers)
				} 0 .. $#part;
				my $answer = http_raw($shim, join('', @requests), timeout => 180);
				my $got = () = $answer =~ m{HTTP/1\.1 200 OK\r\n}g;
				die "$got of " . @part . " answered 200: " . substr($answer, 0, 500) . "\n" if $got != @part;
			}
		}
	} orders(10) ]);
	is(rows($node, 'http'), $wanted, 'http: the rows are those of one round');
	is(sql($node, 'SELECT * FROM outreach.verify()', db => 'http'), '', 'http: states follow from events');
	is($shim->stop, 0, 'http: the shim stops in order');
	unlike($shim->log_text, qr/2125550123|pat\@example|interested/, 'http: no payload in the log of the shim');
}

# ------------------------------------------------------------- one tenant, one lead

# Every file is now about the same lead of the same tenant.  Which state it ends
# in depends on what came first; what must not, does not.
database('shared', 1);
stage($node, 'shared', \@hooks);
play($node, 'shared', 'many', [ orders(4) ]);
is(sql($node, <<'SQL', db => 'shared'), scalar(@table) . '|1|1|suppressed|0|' . scalar(@table), 'shared lead: one lead, each webhook once');
SELECT (SELECT count(*) FROM outreach.webhook_receipts), (SELECT count(*) FROM outreach.leads),
	   (SELECT count(*) FROM outreach.phones), (SELECT state FROM outreach.leads),
	   (SELECT count(*) FROM outreach.verify()),
	   (SELECT count(DISTINCT receipt_id) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events WHERE event_type = 'webhook.inbound.received')
SQL
alive($node, 'at the end');

done_testing();
