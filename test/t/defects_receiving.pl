# Defects of the systems this one replaces that it must not have: receiving.
# One block a number.
#
# Elsewhere: the scheme's vectors and the limits of time behind N9, N19 and N20 in
# signatures.pl, the query in the shim's log (N20) in shim_http.pl, processes
# killed between mark and effect (N2) also in crash_*.pl.  There is no N14, and
# there are no inbox items yet: N8 is shown for leads and events.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT outreach.create_endpoint('team_a', '/w/signalhouse', 'signalhouse', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/texting', 'texting', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/ghl', 'ghl', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/aloware', 'aloware', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/generic', 'generic', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/voice', 'twilio', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/twilio', 'twilio', 'twilio', '12345', 'https://hooks.example.com/w/twilio');
	SELECT outreach.create_endpoint('team_a', '/w/signed', 'texting', 'hmac_sha256', 'a-secret');
	SELECT outreach.create_endpoint('team_a', '/w/dated', 'signalhouse', 'signalhouse', 'a-secret');
	SELECT outreach.create_endpoint('team_a', '/w/enrich', 'generic', 'secret_header', 'a-secret-of-some-length');
	SELECT outreach.create_endpoint('team_a', '/w/token', 'texting', 'token', 'a-token-of-some-length');
	SELECT outreach.create_endpoint('team_b', '/w/b', 'texting', 'none');
});

my $serial = 0;

sub hook
{
	my ($path, $body) = @_;
	return signed('none', path => $path, type => 'application/json', body => ref $body ? encode_json($body) : $body);
}

sub message
{
	my ($path, $id, $phone, $body) = @_;
	return hook($path, { type => 'message.received',
			message => { id => $id, from => $phone, to => '+13055550142', body => $body } });
}

sub outcome { return ingest($node, $_[0])->{outcome}; }
sub value { return sql($node, $_[0]); }

# a session that has sent a webhook in a transaction it has not ended
sub open_session
{
	my ($hook) = @_;
	stage($node, 'postgres', [$hook]);
	my $session = $node->background_psql('postgres', extra_params => [ '-U', 'test_shim' ]);
	is($session->query_safe('BEGIN; SELECT outcome FROM outreach.ingest_webhook((SELECT envelope FROM public.hooks))'),
		'accepted', 'a session has sent it');
	return $session;
}

{
	# N1: the same webhook twice at one moment
	my $hook = message('/w/texting', 'n1', '+12125550001', 'hi');
	my $session = open_session($hook);
	my $other = $node->background_psql('postgres', extra_params => [ '-U', 'test_shim' ]);
	my $pid = $other->query_safe('SELECT pg_backend_pid()');
	$other->query_until(qr/sent/, "\\echo sent\nSELECT outcome FROM outreach.ingest_webhook((SELECT envelope FROM public.hooks));\n");
	wait_until(sub { value("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") eq '1' },
		'the second to wait for the first');
	$session->query_safe('COMMIT');
	like($other->query('SELECT 1'), qr/^duplicate\b/, 'N1: the second waits, and is a duplicate');
	$_->quit for $session, $other;
	is(value("SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.received'"), 1, 'N1: one effect');
}

{
	# N2: a crash after the mark and before the effects; N18: of a job and its result
	my $hook = hook('/w/enrich', payload('generic-enrichment_completed.json'));
	$hook->{headers}{'x-texting-secret'} = 'a-secret-of-some-length';
	my $session = open_session($hook);
	value("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'test_shim'");
	eval { $session->{run}->finish };
	is(value("SELECT count(*) FROM outreach.inbound_payloads WHERE event_type = 'enrichment.completed'"), 0,
		'N2: no mark is left of what did not happen');
	is(outcome($hook), 'accepted', 'N2: the retry is taken');
	is(value("SELECT p.status, encode(sha256(p.body), 'hex') FROM outreach.inbound_payloads p"
			. " WHERE event_type = 'enrichment.completed'"),
		'done|' . sha256_hex(payload('generic-enrichment_completed.json')), 'N18: done, and its result whole');
}

{
	# N3: delivered after sent, of one message
	is(outcome(hook('/w/signalhouse', payload("signalhouse-$_.json"))), 'accepted', "N3: $_ is an event of its own")
	  for qw(sms_sent message_delivered);
	is(scalar(grep { outcome($_) ne 'accepted' } map { signed('none', path => '/w/voice', body => payload("twilio-sms_status_$_.form")) }
			qw(sent undelivered delivered failed optout)), 0, 'N3: and so is each status of one MessageSid');
}

{
	# N4: a payload without id, and the same in other bytes
	my $hook = hook('/w/generic', '{"event":"custom","value":1,"list":[1,2]}');
	is(outcome($hook), 'accepted', 'N4: no id');
	is(outcome($hook), 'duplicate', 'N4: repeated at another time');
	is(outcome(hook('/w/generic', '{ "list": [1, 2], "event": "custom", "value": 1 }')), 'duplicate', 'N4: written otherwise');
	is(outcome(hook('/w/generic', '{"event":"custom","value":2,"list":[1,2]}')), 'accepted', 'N4: another value is another event');
	is(outcome(hook('/w/texting', { type => 'message.received', conversationId => 'c1', timestamp => $_, from => '+12125550004', text => 'hi' })),
		'accepted', 'N4: by conversation and time') for 1, 2;
}

{
	# N5: dedupe needs nothing beside the table, and outlives the server; N6: it does not end after a day
	my $hook = message('/w/texting', 'n5', '+12125550005', 'hi');
	is(outcome($hook), 'accepted', 'N5: taken');
	$node->restart;
	is(outcome($hook), 'duplicate', 'N5: a duplicate after a restart');
	is(value("SELECT string_agg(DISTINCT relpersistence::text, '') FROM pg_class WHERE relnamespace = 'outreach'::regnamespace"),
		'p', 'N5: no table is lost by a crash');
	value("ALTER ROLE test_shim SET outreach.clock = '2031-01-01'");
	is(outcome($hook), 'duplicate', 'N6: years later too');
	value('ALTER ROLE test_shim RESET outreach.clock');
}

{
	# N7: ids of two tenants, and of two providers, are each their own
	is(outcome(message('/w/texting', 'n7', '+12125550007', 'hi')), 'accepted', 'N7: a tenant');
	is(outcome(message('/w/b', 'n7', '+12125550007', 'hi')), 'accepted', 'N7: another tenant, same id');
	is(outcome(hook('/w/generic', { type => 'message.received', id => 'n7', from => '+12125550007', text => 'hi' })), 'accepted',
		'N7: another provider, same id');
}

{
	# N8: SignalHouse's retry
	my $hook = hook('/w/signalhouse', payload('signalhouse-message_received.json'));
	is(outcome($hook), $_, "N8: $_") for qw(accepted duplicate duplicate);
	is(value("SELECT count(*), min(version) FROM outreach.leads WHERE phone = '+12125550123' AND tenant_id = 'team_a'"),
		'1|4', 'N8: one lead, each step once');
}

{
	# N9: a forged Twilio POST
	my $body = 'MessageSid=SM00000000000000000000000000000009&AccountSid=AC00000000000000000000000000000001'
		. '&SmsStatus=received&From=%2B12125550001&To=%2B13055550142&Body=STOP';
	my $hook = signed('twilio', path => '/w/twilio', secret => 'guess', url => 'https://hooks.example.com/w/twilio', body => $body);
	is(outcome($hook), 'rejected', 'N9: refused');
	delete $hook->{headers}{'x-twilio-signature'};
	is(outcome($hook), 'rejected', 'N9: refused unsigned');
	is(value("SELECT consent FROM outreach.phones WHERE phone = '+12125550001'"), 'unknown', 'N9: nobody is suppressed');
	is(outcome(signed('twilio', path => '/w/twilio', secret => '12345', url => 'https://hooks.example.com/w/twilio', body => $body)),
		'accepted', 'N9: the signed one is no duplicate of it');
	is(outcome(signed('twilio', path => '/w/twilio', secret => '12345', url => 'https://hooks.example.com/w/twilio', body => $body)),
		'duplicate', 'N9: and dedupes');
}

{
	# N10, N11: what fails is kept, and its effects follow
	value(q{
		CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS
			$$BEGIN RAISE EXCEPTION 'cannot take %', NEW; END$$;
		CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON outreach.addresses FOR EACH ROW EXECUTE FUNCTION public.fail()});
	my $hook = message('/w/texting', 'n10', '+12125550010', 'STOP');
	my $good = message('/w/texting', 'n11', '+12125550001', 'hi again');
	my @rows = ingest_many($node, [ $good, $hook, message('/w/texting', 'n12', '+12125550012', 'hi') ]);
	is(join(' ', map { "$_->{outcome} $_->{http_status}" } @rows), 'accepted 200 error 200 error 200',
		'N11: in a batch the failing ones alone fail');
	is(value(q{SELECT string_agg(concat_ws(' ', status, attempts, last_error, next_attempt_at > now()), ', ')
		FROM outreach.inbound_payloads WHERE status <> 'done' AND status <> 'unresolved'}),
		join(', ', ('error 1 processing failed with SQLSTATE P0001 t') x 2), 'N11: kept, with the next try');
	is(outcome($hook), 'duplicate', 'N10: when it comes again it is not done twice');
	is(value("SELECT count(*) FROM outreach.leads WHERE phone IN ('+12125550010', '+12125550012')"), 0, 'N11: nothing half done');
	value('DROP TRIGGER fail ON outreach.addresses');
	value("SET outreach.clock = '2031-01-01'; SELECT outreach.process_payloads()");
	is(value("SELECT consent, state FROM outreach.phones JOIN outreach.leads USING (tenant_id, phone) WHERE phone = '+12125550010'"),
		'opted_out|suppressed', 'N10: the opt-out is made up for');
	is(value("SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'error'"), 0, 'N11: nothing is gone');
	unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/cannot take|1255500[01]\d/, 'N11: the log does not quote the row');
}

{
	# N12: each event of an array is kept, with its bytes
	my $list = '[{"event":"MESSAGE_RECEIVED","identifier":"n12a"},{"event":"MESSAGE_RECEIVED","identifier":"n12b"}]';
	is(outcome(hook('/w/signalhouse', $list)), 'accepted', 'N12: taken');
	is(value("SELECT p.event_type, convert_from(p.body, 'UTF8') FROM outreach.inbound_payloads p WHERE p.idempotency_key LIKE '%:n12_' ORDER BY 2"),
		join("\n", map { qq(message.received|{"event":"MESSAGE_RECEIVED","identifier":"n12$_"}) } qw(a b)), 'N12: each of them, with every byte');
}

{
	# N13: 10 digits stored, E.164 received; and a number that nobody knows
	value("SELECT outreach.create_lead('team_a', 'lead_13', '(212) 555-0013')");
	is(outcome(message('/w/texting', 'n13', '12125550013', 'interested')), 'accepted', 'N13: written otherwise');
	is(value("SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_a' AND phone = '+12125550013'"), 'lead_13|high_intent',
		'N13: the lead is found');
	outcome(message('/w/texting', 'n13b', '+12125550014', 'hello'));
	is(value("SELECT source, state FROM outreach.leads WHERE phone = '+12125550014'"), 'inbound|responded', 'N13: an unknown number becomes a lead');
	outcome(message('/w/texting', 'n13c', 'anonymous', 'hello'));
	is(value("SELECT p.status FROM outreach.inbound_payloads p WHERE idempotency_key LIKE 'n13c:%'"),
		'unresolved', 'N13: what names no lead is kept as that');
}

{
	# N15, N16: the tenant is the endpoint's, whatever numbers it shares with others
	value("SELECT outreach.create_lead(t, 'lead_15', '+12125550015') FROM unnest('{team_a,team_b}'::text[]) t");
	outcome(message('/w/b', 'n15', '+12125550015', 'interested'));
	is(value("SELECT string_agg(tenant_id || ' ' || state, ', ' ORDER BY tenant_id) FROM outreach.leads WHERE lead_id = 'lead_15'"),
		'team_a new, team_b high_intent', 'N15, N16: the other tenant\'s lead does not move');
}

{
	# N17: skip-trace results without authentication
	value("SELECT outreach.create_lead('team_a', 'lead_1001', '+12125550017', 'Pat')");
	my $before = value("SELECT l FROM outreach.leads l WHERE lead_id = 'lead_1001'");
	my $hook = hook('/w/enrich', '{"event":"skiptrace.completed","id":"n17","lead_id":"lead_1001","phones":["+19998887777"]}');
	is(outcome($hook), 'rejected', 'N17: refused');
	is(value("SELECT l FROM outreach.leads l WHERE lead_id = 'lead_1001'"), $before, 'N17: the lead is as it was');
}

{
	# N19: a request that was signed ten minutes ago
	is(outcome(signed('signalhouse', path => '/w/dated', secret => 'a-secret', timestamp => (time() - 600) . '000',
				body => '{"event":"MESSAGE_RECEIVED","identifier":"n19"}')), 'rejected', 'N19: refused, not warned about');
}

{
	# N20: form values in TwiML; the token of a URL
	my $wanted = value("SELECT body FROM outreach.answer_policies WHERE provider = 'twilio' AND event_type = 'call.inbound'");
	my $row = ingest($node, signed('none', path => '/w/voice',
			body => 'CallSid=CA20&CallStatus=ringing&Direction=inbound&From=%3CDial%3E%2B19005550199%3C%2FDial%3E&CallerName=%22%3E%3CSay%3E'));
	is($row->{body}, $wanted, 'N20: nothing of the form is in the TwiML');
	is(outcome(signed('token', path => '/w/token', secret => 'a-token-of-some-length', body => '{"type":"x","id":"n20"}')), 'accepted', 'N20: a token');
	my @found = grep { value("SELECT count(*) FROM outreach.$_ t WHERE t::text LIKE '%a-token-of-some-length%'") ne '0' }
	  split /\n/, value("SELECT relname FROM pg_class WHERE relnamespace = 'outreach'::regnamespace AND relkind IN ('r', 'p', 'v')");
	is_deeply(\@found, [], 'N20: is in no table');
}

{
	# N21: the signed URL is the endpoint's own
	my %spec = (path => '/w/twilio', secret => '12345',
		body => 'MessageSid=SM00000000000000000000000000000021&AccountSid=AC00000000000000000000000000000001'
			. '&SmsStatus=received&From=%2B12125550021&To=%2B13055550142&Body=hi');
	my %forged = ('x-forwarded-host' => 'evil.example.com', 'x-forwarded-proto' => 'https', 'forwarded' => 'host=evil.example.com',
		'x-original-url' => '/evil', host => 'evil.example.com');
	is(outcome(signed('twilio', %spec, url => 'https://evil.example.com/w/twilio', headers => \%forged)), 'rejected',
		'N21: a forged host makes no signature valid');
	is(outcome(signed('twilio', %spec, url => 'https://hooks.example.com/w/twilio', headers => \%forged)), 'accepted',
		'N21: nor one invalid');
}

{
	# N22: no environment and no setting turns the check off
	is(value("SELECT string_agg(name || ' ' || context, ', ' ORDER BY name) FROM pg_settings WHERE name LIKE 'outreach.%'"),
		'outreach.allow_private_addresses sighup, outreach.clock superuser, outreach.function_timeout sighup,'
		. ' outreach.keep_events sighup, outreach.keep_messages sighup, outreach.keep_payloads sighup, outreach.keep_timers sighup,'
		. ' outreach.lock_wait superuser, outreach.max_databases postmaster,'
		. ' outreach.max_function_workers postmaster, outreach.max_sends sighup,'
		. ' outreach.max_sends_per_host sighup, outreach.max_workers postmaster, outreach.require_tenant user,'
		. ' outreach.secret_key_file sighup, outreach.tenant_id superuser', 'N22: there is no setting for it');
	local $ENV{NODE_ENV} = 'development';
	my $shim = start_shim($node, env => { NODE_ENV => 'development', ENV => 'test', DEBUG => '1', SKIP_SIGNATURE_VALIDATION => '1' });
	my $answer = http($shim, path => '/w/signed', headers => { 'content-type' => 'application/json' }, body => '{"type":"x","id":"n22"}');
	is($answer->{status}, 401, 'N22: unsigned is refused in every environment');

	# N23: GET on a webhook
	outcome(message('/w/texting', 'n23', '+12125550023', 'a private word'));
	$answer = http($shim, method => 'GET', path => '/w/texting');
	is($answer->{status}, 405, 'N23: GET is refused');
	unlike($answer->{raw}, qr/private|12125550023/, 'N23: and tells nothing');
	is(ingest($node, { method => 'GET', path => '/w/texting', headers => {}, body => '' })->{http_status}, 405, 'N23: through SQL too');
	$shim->stop;
}

is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
alive($node, 'at the end');

done_testing();
