# What an application and providers say of a person is shown by lead_history and event_log,
# is nowhere in outreach.events, and after delete_lead nowhere in a dump of the database.
# Everything that a caller or a provider can say holds a word of its own here, all of which
# begin alike; and the recorded payloads of all providers are played.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachPayloads;
use OutreachRows;
use IPC::Run ();
use Test::More;

my $node = new_cluster(conf => "outreach.max_workers = 0\noutreach.clock = '" . PAYLOADS_CLOCK . "'\n");
my @table = payload_table();
sub value { my ($sql, %opt) = @_; return sql($node, $sql, %opt); }

# The texts of bytes are looked at as they are, and as a dump writes them.
sub found
{
	my ($text, $pattern) = @_;
	my %found;
	$text =~ s/\\\\x([0-9a-f]*)/pack('H*', $1)/ge;
	$found{ lc $1 }++ while $text =~ /($pattern)/gi;
	return join ' ', sort keys %found;
}

sub dump_of
{
	my $out;
	IPC::Run::run([ 'pg_dump', '-d', connstr($node, 'postgres') ], '>' => \$out) or die 'pg_dump';
	return $out;
}
sub log_alone { return value("COPY outreach.events_default TO STDOUT") . value('COPY (TABLE outreach.events) TO STDOUT'); }

# ---- one person, whom everything is said of

payload_database($node, 'postgres');
my $odd = qr/zq[a-z]+|2125550161|2125550162/;
value(<<'SQL');
SELECT outreach.create_tenant('team_m', 'M'), outreach.create_account('team_m', 'texts', 'signalhouse_sms', 'jwt'), outreach.add_number('team_m',
	'+13055550101', 'texts'),
	   outreach.create_account('team_m', 'mail', 'sendgrid_mail', 'key', settings => '{"from": "us@example.com"}'),
	   outreach.create_endpoint('team_m', '/w/m', 'generic', 'none'), outreach.create_endpoint('team_m', '/w/later', 'generic', 'none', mode => 'deferred'),
	   outreach.create_endpoint('team_m', '/w/crm', 'ghl', 'none'), outreach.create_endpoint('team_m', '/w/status', 'signalhouse', 'none');
CREATE FUNCTION public.hear(path text, id text, says text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', path, 'body',
		jsonb_build_object('event', 'message.received', 'id', id, 'from', (SELECT l.phone FROM outreach.leads l
			WHERE l.lead_id = 'lead_1'), 'body', says)::text))
$$;
CREATE FUNCTION public.post(path text, body jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', path, 'body', body::text))
$$;
SELECT FROM outreach.create_lead('team_m', 'lead_1', '+12125550161', 'zqfirst', 'zqlast', 'zqmail@example.com', 'zqcompany',
	attributes => '{"zqkey": "zqattribute"}');
SELECT FROM outreach.update_lead('team_m', 'lead_1', '{"company": "zqsecondcompany", "attributes": {"a": "zqsecondattribute"}}');
SELECT FROM outreach.transition_lead('team_m', 'lead_1', 'touched', 'zqtransition');
SELECT FROM outreach.assign_lead('team_m', 'lead_1', 'zqagent', 'zqassigner');
SELECT FROM outreach.record_event('team_m', 'lead_1', 'contact.updated', '{"note": "zqnote", "deep": {"phone": "zqdeep"}}', 'key-1');
SELECT FROM outreach.record_event('team_m', NULL, 'contact.updated', '{"phone": "+12125550161", "note": "zqnotenobody"}', 'key-2');
SELECT FROM outreach.set_timer('team_m', 'lead_1', 'CALLBACK', outreach_impl.engine_now() + interval '1 day', 'zqaction', '{"agent": "zqtimeragent"}');
SELECT outreach.cancel_timer('team_m', 'lead_1', 'CALLBACK', 'zqtimerreason');
SELECT FROM outreach.set_timer('team_m', 'lead_1', 'FOLLOW_UP', outreach_impl.engine_now(), 'zqfired',
	'{"agent": "zqfiredagent", "event_type": "contact.updated"}');
SELECT outreach.fire_timers(10);
SELECT FROM outreach.set_timer('team_m', 'lead_1', 'CALLBACK', outreach_impl.engine_now() + interval '2 days', 'zqlateraction', '{"agent": "zqlateragent"}');
SELECT FROM outreach.add_address('team_m', 'lead_1', 'zqmore@example.com', 'crm');
SELECT FROM outreach.create_lead('team_m', 'lead_2', '+12125550162');
SELECT FROM outreach.move_address('team_m', 'lead_1', '+12125550162', 'zqmover', 'zqmovereason');
SELECT FROM outreach.update_lead('team_m', 'lead_2', '{"email": "zqlost@example.com"}');
SELECT FROM outreach.remove_address('team_m', 'zqlost@example.com', 'zqremover', 'zqremoved');
SELECT FROM outreach.add_address('team_m', 'lead_2', 'zqlost@example.com', 'crm');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'Dear zqtext', send_key => 'm1');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'zqmailtext', channel => 'email', send_key => 'm2',
	options => '{"subject": "zqsubject", "bcc": ["zqbcc@example.com"]}');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'Dear zqcancelled', send_key => 'm3', options => '{"variables": {"a": "zqvariable"}}');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'Dear zqseveral', send_key => 'm4');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'zqpath', send_key => 'm5');
SELECT FROM outreach.send_message('team_m', 'lead_1', 'zqmissing {zqvariablename}', send_key => 'm6');
SELECT FROM outreach.cancel_message('team_m', (SELECT message_id FROM outreach.outbound_messages WHERE send_key = 'm3'), 'zqcancelreason');
SELECT FROM outreach.cancel_messages('team_m', '{"sendKeyPrefix": "m4"}', 'zqcanceller', 'zqmanyreason');
UPDATE outreach.outbound_messages SET status = 'uncertain', attempts = 1, due_at = NULL, ambiguous_since = now(), last_error = 'zqlasterror'
	WHERE send_key = 'm5';
SELECT FROM outreach.resolve_message('team_m', (SELECT message_id FROM outreach.outbound_messages WHERE send_key = 'm5'), 'failed', 'zqresolve');
UPDATE outreach.outbound_messages SET status = 'sent', attempts = 1, due_at = NULL, sent_at = now(), provider_message_id = '66f1a2b3c4d5e6f708192b02'
	WHERE send_key = 'm1';
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id) SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'message id signalhouse',
	provider_message_id), message_id FROM outreach.outbound_messages WHERE send_key = 'm1';
INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at, finished_at, outcome, error, answer)
	SELECT tenant_id, message_id, 1, 1, 'texts', now(), now(), 'sent', 'zqerror', 'zqanswer' FROM outreach.outbound_messages WHERE send_key = 'm1';
SQL
is(value(<<'SQL'), 'accepted,deferred,duplicate' . ',accepted' x 7, 'webhooks are taken');
SELECT concat_ws(',', hear('/w/m', 'w1', 'zqbody, mail zqin@example.com or call 415-555-2671'), hear('/w/later', 'w2', 'zqdeferred'),
	hear('/w/m', 'w1', 'zqconflict'), hear('/w/m', 'w3', 'do not text me about zqhold again'),
	post('/w/m', '{"event": "zqevent", "who": "zqmail@example.com"}'),
	post('/w/crm', '{"type": "ContactDndUpdate", "id": "c1", "webhookId": "h1", "phone": "(212) 555-0161", "name": "zqcrmname",
		"dndSettings": {"SMS": {"status": "active", "message": "zqsaid"}}}'),
	post('/w/crm', '{"type": "ContactUpdate", "id": "c1", "webhookId": "h2", "phone": "(212) 555-0162",
		"email": "zqmore@example.com", "body": "zqcontactbody"}'),
	post('/w/status', '{"event": "MESSAGE_FAILED", "identifier": "66f1a2b3c4d5e6f708192b02",
		"metaData": {"status": "FAILED", "recipientPhoneNumber": "12125550161", "messageBody": "zqreport"}}'),
	post('/w/m', '{"event": "message.failed", "id": "nobodys", "to": "212 555 0161", "body": "zqunmatched"}'),
	post('/w/m', '{"event": "skiptrace.completed", "id": "s1", "owner": {"name": "zqowner", "mail": "zqMail@example.com"}}'))
SQL
value(<<'SQL');
SELECT outreach.process_payloads(10);
SELECT FROM outreach.release_address('team_m', '+12125550162', 'zqreleaser', 'zqrelease');
SELECT FROM outreach.opt_in('team_m', '+12125550162', 'form', 'zqoptin');
SELECT FROM outreach.opt_out('team_m', '+12125550161', 'web', 'zqoptout');
SELECT FROM outreach.opt_out('team_m', 'zqmore@example.com', 'web', 'zqmailout');
UPDATE outreach.addresses SET unreachable = '{"sms": {"since": "2024-01-01 00:00Z", "source": "twilio", "code": "30005", "reason": "zqunreachable"}}'
	WHERE address = '+12125550162';
SELECT FROM outreach.mark_reachable('team_m', '+12125550162', 'zqmarker', 'zqreached');
SQL
my $shown = found(value("COPY (SELECT payload FROM outreach.event_log WHERE tenant_id = 'team_m') TO STDOUT"), $odd);
for my $word (qw(zqtransition zqagent zqassigner zqnote zqdeep zqnotenobody zqfired zqfiredagent zqmovereason zqmover zqremover zqremoved zqcancelreason
	zqcanceller zqmanyreason zqresolve
	zqbody zqin zqdeferred zqhold zqsaid zqcontactbody zqunmatched zqreport zqoptin zqoptout zqmailout zqmarker zqreached 2125550161 2125550162))
{
	like($shown, qr/\b$word\b/, "$word is shown");
}
is(found(log_alone(), $odd), '', 'and nothing of it is in events');
my @before = split ' ', found(dump_of(), $odd);
cmp_ok(@before, '>', 60, 'a dump has all of it: ' . @before);

is(value("SELECT count(*) FILTER (WHERE deleted) FROM outreach.leads l, outreach.delete_lead('team_m', l.lead_id, 'kim') WHERE l.tenant_id = 'team_m'"), 2,
	'the leads are erased');
is(found(dump_of(), $odd), '', 'a dump has nothing of it');
is(value("SELECT count(*), bool_and(address LIKE 'sha256:%' AND reason IS NULL AND actor IS NULL) FROM outreach.consent_history WHERE tenant_id = 'team_m'
	AND address IN (SELECT address FROM outreach.addresses)"),
	value("SELECT count(*), true FROM outreach.consent_history WHERE tenant_id = 'team_m'"), 'what stays of consent is of a digest');
cmp_ok(value("SELECT count(*) FROM outreach.consent_history WHERE tenant_id = 'team_m'"), '>', 1, 'and it stays');
is(value("SELECT string_agg(payload ->> 'by', ' ') FROM outreach.lead_history WHERE tenant_id = 'team_m' AND event_type = 'lead.deleted'"), 'kim kim',
	'with who erased it');
is(value("SELECT FROM outreach.create_lead('team_m', 'lead_3', '+12125550161'); SELECT consent FROM outreach.phones WHERE phone = '+12125550161'"), 'opted_out',
	'an opt-out stays');

# ---- what providers send

# of a person no address is in it, which a contact of the CRM would have to tell
my @played = grep { $_->[0] ne 'ghl-inbound_message_sms.json' } @table;
stage($node, 'postgres', [ map { payload_hook($_->[0], "/w/$_->[0]") } @played ]);
is(scalar(grep { $_->{outcome} eq 'accepted' } play($node, 'postgres', 'single', [ [ 0 .. $#played ] ])), scalar @played, 'recorded payloads are taken');
my $person = qr/212\W{0,4}555\W{0,2}0123|pat[^\s"\\]{0,6}(?:\@|%40)example|example diner|email me at/;
is(found(log_alone(), $person), '', 'nothing of theirs is in events');
like(found(value("COPY (SELECT payload FROM outreach.event_log) TO STDOUT"), $person), qr/email me at.*pat\@example/, 'though it is shown');
value('DROP TABLE public.hooks');
like(found(dump_of(), $person), qr/email me at.*pat\@example/, 'a dump has it');
value(<<'SQL');
DO $$
DECLARE
	t text;
	a text;
BEGIN
	FOR t IN SELECT n.tenant_id FROM outreach.tenants n WHERE n.tenant_id LIKE 'team\_%.%' LOOP
		FOREACH a IN ARRAY ARRAY['+12125550123', 'pat@example.com', 'pat.new@example.com', 'pat.example@example.com'] LOOP
			IF strpos(a, '@') > 0 THEN
				PERFORM FROM outreach.create_lead(t, md5(a), email => a);
			ELSIF NOT EXISTS (SELECT FROM outreach.leads l WHERE l.tenant_id = t AND l.phone = a) THEN
				PERFORM FROM outreach.create_lead(t, md5(a), a);
			END IF;
		END LOOP;
		PERFORM FROM outreach.leads l, outreach.delete_lead(t, l.lead_id, 'kim') WHERE l.tenant_id = t;
	END LOOP;
END $$;
SQL
is(found(dump_of(), $person), '', 'after the erasure it has none');
is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
done_testing();
