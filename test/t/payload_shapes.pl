# What providers send beside what their documentation shows: the same payload in
# another shape has the same effect.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Digest::SHA qw(hmac_sha1_base64);
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/' || provider, provider, 'none')
		FROM unnest('{twilio,generic,texting,ghl,signalhouse,aloware}'::text[]) provider;
	SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred'), outreach.create_endpoint('team_a', '/w/gate_1', 'generic',
		'none'),
		outreach.create_endpoint('team_a', '/w/gate_2', 'generic', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/signed', 'twilio', 'twilio', '12345', 'https://hooks.example.com/w/signed');
});

my $serial = 0;
sub new_phone { return sprintf '+1212555%04d', ++$serial }

# a form of Twilio's with these fields beside the usual ones
sub twilio
{
	my (%fields) = @_;
	my $sid = sprintf 'SM%032x', ++$serial;
	my %all = (MessageSid => $sid, SmsSid => $sid, AccountSid => 'AC' . '0' x 32, To => '+12125550100', Body => 'STOP', %fields);
	return { path => '/w/twilio', headers => { 'content-type' => 'application/x-www-form-urlencoded' },
		body => join '&', map { my $v = $all{$_}; $v =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge; "$_=$v" } sort keys %all };
}

sub json
{
	my ($path, $body) = @_;
	return { path => $path, headers => { 'content-type' => 'application/json' }, body => encode_json($body) };
}

sub consent
{
	my ($phone) = @_;
	return sql($node, "SELECT coalesce((SELECT consent::text FROM outreach.addresses WHERE address = '$phone'), 'nothing')");
}

sub opts_out
{
	my ($what, $hook, $phone) = @_;
	is(ingest($node, $hook)->{http_status}, 200, "taken: $what");
	is(consent($phone), 'opted_out', $what);
}

# ---- prefixes of addresses ------------------------------------------------------

for my $prefix ('', 'whatsapp:', 'rcs:', 'RCS:', 'sms:', 'mms:', 'tel:', 'smsto:', 'viber:', 'Messenger: ')
{
	my $phone = new_phone();
	opts_out("from $prefix", twilio(SmsStatus => 'received', From => "$prefix$phone", To => 'rcs:team_agent'), $phone);
}

# What is no phone behind it, or may be two things, is kept for a person.
for my $from ('messenger:1234567890', 'client:alice', 'sip:+12125550100@example.com', '72727')
{
	my $kept = ingest($node, twilio(SmsStatus => 'received', From => $from));
	is(sql($node, "SELECT status FROM outreach.inbound_payloads WHERE receipt_id = '$kept->{receipt_id}'"), 'unresolved', "no phone: $from");
}

# ---- a status under either of its names -----------------------------------------

for my $status ({ SmsStatus => 'received' }, { MessageStatus => 'received' }, { MessageStatus => 'receiving' }, { SmsStatus => 'Received' },
	{ SmsStatus => 'received', MessageStatus => 'received' })
{
	my $phone = new_phone();
	opts_out(join(' ', %$status), twilio(%$status, From => $phone), $phone);
}
is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.received' AND payload ->> 'kind' <> 'message.received'"), 0,
	'all of them messages');
ingest($node, twilio($_ => 'delivered', From => '+12125550100', To => new_phone(), Body => '')) for qw(MessageStatus SmsStatus);
is(sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE event_type = 'message.delivered'"), 2, 'and of a delivery');

# ---- an array around the payload, the name of an event in another case ----------

{
	my $one = sub { my ($phone) = @_; return { event => 'message.received', id => 'm' . ++$serial, from => $phone, to => '+12125550100', text => 'STOP' } };
	my $phone = new_phone();
	opts_out('an array of one', json('/w/generic', [ $one->($phone) ]), $phone);
	opts_out('in another', json('/w/generic', [ [ $one->($phone = new_phone()) ] ]), $phone);
	opts_out('the event in capitals', json('/w/generic', { %{ $one->($phone = new_phone()) }, event => 'MESSAGE.RECEIVED' }), $phone);
	opts_out('and as a title', json('/w/texting', { type => 'Message.Received', message => [ { id => 'm' . ++$serial, from => ($phone = new_phone()),
		body => 'stop' } ] }), $phone);
	ingest($node, json('/w/later', [ $one->($phone = new_phone()) ]));
	sql($node, 'SELECT outreach.process_payloads(10)');
	is(consent($phone), 'opted_out', 'by a deferred endpoint');
}

# ---- several events in one request ----------------------------------------------

# what is known of each of the phones
sub consents { return join ' ', map { consent($_) } @_ }
sub generic
{
	my ($phone, $body, %more) = @_;
	return { event => 'message.received', id => 'm' . ++$serial, from => $phone, to => '+12125550100', text => $body, %more };
}

{
	my @phone = map { new_phone() } 1 .. 5;
	my @events = map { generic($phone[$_], $_ == 1 ? 'hello' : 'STOP') } 0 .. 2;
	my $taken = ingest($node, json('/w/generic', \@events));
	is("$taken->{outcome} $taken->{http_status}", 'accepted 200', 'an array of three: taken');
	is(consents(@phone[ 0 .. 2 ]), 'opted_out unknown opted_out', 'each has its effect');
	is(ingest($node, json('/w/generic', \@events))->{outcome}, 'duplicate', 'the same again is a repetition');
	is(ingest($node, json('/w/generic', $events[0]))->{outcome}, 'duplicate', 'so is one of them alone');
	is(ingest($node, json('/w/generic', [ $events[0], generic($phone[3], 'STOP') ]))->{outcome}, 'accepted', 'one that is known and one that is not');
	is(consent($phone[3]), 'opted_out', 'of which that has its effect');
	is(sql($node, "SELECT count(*), count(DISTINCT correlation_id) FROM outreach.inbound_payloads WHERE convert_from(body, 'UTF8') IN ("
		. join(', ', map { "'" . encode_json($_) . "'" } @events) . ')'), '3|1', 'each is kept as its own bytes, under the correlation id of the request');
	is(consents(map { my $p = new_phone(); ingest($node, json('/w/generic',
		[ [ generic($p, 'STOP') ], [ generic(new_phone(), 'hi'), [ generic($phone[4], 'STOP') ] ] ])); $p } 1), 'opted_out', 'arrays of arrays: the first');
	is(consent($phone[4]), 'opted_out', 'and the last');
}
{
	my @phone = map { new_phone() } 1 .. 2;
	is(ingest($node, json('/w/later', [ map { generic($_, 'STOP') } @phone ]))->{outcome}, 'deferred', 'by a deferred endpoint: kept');
	sql($node, 'SELECT outreach.process_payloads(10)');
	is(consents(@phone), 'opted_out opted_out', 'and processed, each');
}
# One that cannot be read harms none of the others, and is kept.
{
	my @phone = map { new_phone() } 1 .. 2;
	my $body = '[' . join(',', encode_json(generic($phone[0], 'STOP')), '{"event": "message.received", "from": }', '"text"', 'null', '7',
		encode_json(generic($phone[1], 'STOP'))) . ']';
	ingest($node, { path => '/w/generic', headers => {}, body => $body });
	is(consents(@phone), 'opted_out opted_out', 'beside what cannot be read');
	is(sql($node, "SELECT string_agg(status::text, ' ' ORDER BY status) FROM outreach.inbound_payloads
		WHERE convert_from(body, 'UTF8') IN ('{\"event\": \"message.received\", \"from\": }', '\"text\"', 'null', '7')"),
		'unresolved unresolved unresolved dead', 'which is kept');
}
# What is no array as it is written is one webhook that cannot be read.
for my $body ('[{"a":1},]', '[{"a":1} {"b":2}]', '[,{"a":1},{"b":2}]', '[{"a":1},{"b":2}', '[{"a":1},{"b":2}]]', '[{"a":1}],[{"b":2}]', '[{"a":"1},{"b":2}]',
	('[' x 70) . '1,2' . (']' x 70))
{
	is(ingest($node, { path => '/w/generic', headers => {}, body => $body })->{outcome}, 'error', 'not an array: ' . substr($body, 0, 30));
	is(sql($node, "SELECT status FROM outreach.inbound_payloads WHERE convert_from(body, 'UTF8') = \$\$$body\$\$"), 'dead', 'kept as a whole');
}
is(ingest($node, json('/w/generic', [ map { generic('+12125559999', "text $_") } 1 .. 1000 ]))->{outcome}, 'accepted', 'a thousand events');
is(sql($node, q{SELECT count(*) FROM outreach.event_log WHERE payload ->> 'from' = '+12125559999' AND event_type = 'webhook.inbound.received'}), 1000,
	'are a thousand');
is(join(' ', map { $_->{outcome} } ingest_many($node,
	[ map { my $n = $_; json('/w/generic', [ map { generic('+12125559998', "text $n $_") } 1 .. 900 ]) } 1 .. 3 ])),
	'accepted accepted busy', 'of many arrays in a call the last ones come again');
{
	# as short as SendGrid's are, and as many as a body can hold
	my @events = map { { event => 'open', email => "b$_\@c.io", timestamp => 1600112492,
		sg_event_id => sprintf('ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZT%06d', $_),
			sg_message_id => 'LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0' } } 1 .. 4000;
	$events[-1]{event} = 'unsubscribe';
	sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/sendgrid', 'sendgrid', 'none')});
	is(ingest($node, json('/w/sendgrid', \@events))->{outcome}, 'accepted', 'events of mail, ' . length(encode_json(\@events)) . ' bytes');
	is(consent('b4000@c.io'), 'opted_out', 'the last of them is heeded');
}
ingest($node, json('/w/generic', [ map { { n => $_ } } 1 .. 5001 ]));
is(sql($node, q{SELECT status, last_error FROM outreach.inbound_payloads WHERE convert_from(body, 'UTF8') LIKE '%{"n":5001}]'}), 'dead|too many values',
	'more are kept as one that is not read');

# ---- a payload inside of a payload ----------------------------------------------

{
	my $phone = new_phone();
	opts_out('JSON in a member', json('/w/aloware', { event => 'InboundSMS-DispositionCompleted',
		body => encode_json({ id => ++$serial, type => 2, direction => 1, lead_number => $phone, body => 'STOP' }) }), $phone);
	opts_out('JSON in a field of a form', { path => '/w/texting', headers => { 'content-type' => 'application/x-www-form-urlencoded' },
		body => 'type=message.received&message=' . (encode_json({ id => 'm' . ++$serial, from => ($phone = new_phone()),
			body => 'STOP' }) =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ger) }, $phone);
	opts_out('an array of one in it', json('/w/texting', { type => 'message.received',
		message => encode_json([ { id => 'm' . ++$serial, from => ($phone = new_phone()), body => 'STOP' } ]) }), $phone);
	ingest($node, json('/w/texting', { type => 'message.received', message => '{"id": "broken', from => ($phone = new_phone()), body => 'STOP' }));
	is(consent($phone), 'opted_out', 'a text that only begins like one is a text');
}

# ---- Twilio's Event Streams and Debugger, wrappings, other names -----------------

{
	my ($phone, $other) = map { new_phone() } 1 .. 2;
	my $stream = sub {
		my ($type, %data) = @_;
		return { specversion => '1.0', type => "com.twilio.messaging.$type", id => 'EZ' . ++$serial, source => '/x', time => '2026-10-08T15:00:00Z',
			data => { accountSid => 'AC' . '0' x 32, %data } };
	};
	my $sid = sprintf 'SM%032x', ++$serial;
	my @events = ($stream->('inbound-message.received', messageSid => $sid, from => $phone, to => '+12125550100', body => 'STOP'),
		$stream->('inbound-message.received', messageSid => sprintf('MM%032x', ++$serial), from => "whatsapp:$other", to => '+12125550100',
			body => 'stop please'),
		$stream->('message.delivered', messageSid => sprintf('SM%032x', ++$serial), to => $phone), $stream->('message.something', messageSid => 'x'));
	ingest($node, json('/w/twilio', \@events));
	is(consents($phone, $other), 'opted_out opted_out', 'Event Streams: messages');
	is(ingest($node, twilio(MessageSid => $sid, SmsSid => $sid, SmsStatus => 'received', From => $phone))->{outcome}, 'duplicate',
		'which may come as a form as well');
	is(sql($node, "SELECT string_agg(event_type, ' ' ORDER BY event_type) FROM outreach.inbound_payloads
		WHERE convert_from(body, 'UTF8') LIKE '%com.twilio.messaging.message%'"),
		'message.delivered unknown', 'a delivery, and what no row knows');
	ingest($node, { path => '/w/twilio', headers => {},
		body => 'Sid=NO' . 'a' x 32 . '&Level=ERROR&AccountSid=AC' . '0' x 32 . '&Payload=%7B%22error_code%22%3A%2211200%22%7D' });
	is(sql($node, "SELECT payload ->> 'error_code' FROM outreach.event_log WHERE payload ->> 'kind' = 'provider.notice'"), '11200',
		'the Debugger, with the payload inside of it');
}
for my $wrapping (qw(data payload message Message))
{
	my $phone = new_phone();
	opts_out("in $wrapping", json('/w/generic', { $wrapping => generic($phone, 'STOP') }), $phone);
	opts_out("as a text in $wrapping", json('/w/generic', { Type => 'Notification', $wrapping => encode_json(generic($phone = new_phone(), 'STOP')) }), $phone);
}
for my $type (qw(Custom CUSTOM TYPE_CUSTOM_SMS))
{
	my $phone = new_phone();
	opts_out("GHL: $type", json('/w/ghl', { type => 'InboundMessage', direction => 'inbound', messageType => $type, webhookId => 'wh' . ++$serial,
		from => $phone, to => '+12125550100', body => 'STOP' }), $phone);
}
{
	ingest($node, twilio(SmsStatus => 'received', From => '+5215512345678', Body => 'hola'));
	opts_out('a Mexican phone, as it was written before', twilio(SmsStatus => 'received', From => '+525512345678'), '+525512345678');
	is(sql($node, "SELECT count(*) FROM outreach.leads WHERE phone LIKE '+52%'"), 1, 'is one lead');
}

# ---- several requests of one call -------------------------------------------------

{
	my $call = 'CA' . 'c' x 32;
	my $request = sub { my %fields = @_; return { path => '/w/twilio', headers => {}, body => join '&', "CallSid=$call", 'AccountSid=AC' . '0' x 32,
		'Direction=inbound', map { "$_=$fields{$_}" } sort keys %fields } };
	my @requests = (map({ $request->(CallStatus => 'in-progress', Digits => $_) } 1, 2),
		map({ $request->(CallStatus => 'in-progress', DialCallStatus => 'busy', DialCallSid => 'CA' . $_ x 32) } qw(d e)),
		$request->(CallStatus => 'in-progress', SpeechResult => 'yes'), $request->(CallStatus => 'ringing'), $request->(CallStatus => 'completed',
			SequenceNumber => 4));
	is(join(' ', map { ingest($node, $_)->{outcome} } @requests), join(' ', map { 'accepted' } @requests), 'each step of a call is a request of its own');
	is(join(' ', map { ingest($node, $_)->{outcome} } @requests), join(' ', map { 'duplicate' } @requests), 'and the same one again is none');
}

# ---- two senders that both number from one --------------------------------------

{
	my @phone = map { new_phone() } 1 .. 2;
	my @sent = map { my $path = $_; json("/w/gate_$_", generic($phone[ $path - 1 ], 'STOP', id => 1)) } 1, 2;
	is(join(' ', map { ingest($node, $_)->{outcome} } @sent, @sent), 'accepted accepted duplicate duplicate', 'ids of two gateways');
	is(consents(@phone), 'opted_out opted_out', 'are two messages');
}

# Where ids begin anew, or are of another sender, the second is kept for a person to look
# at; whoever says STOP in it, or is said to have, is not written to until then.
{
	my $texting = sub { my ($path, $id, $phone, $text) = @_; return json($path, { type => 'message.received', message => { id => $id, from => $phone,
		body => $text } }) };
	my $aloware = sub { my ($path, $id, $phone, $text) = @_; return json($path, { event => 'InboundSMS-DispositionCompleted', body => { id => $id, type => 2,
		direction => 1, lead_number => $phone, body => $text } }) };
	sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/texting_2', 'texting', 'none'), outreach.create_endpoint('team_a', '/w/gate_later', 'generic',
		'none', mode => 'deferred')});
	for my $case ([ 'of two systems', $texting, '/w/texting', '/w/texting_2' ], [ 'of one that begins anew', $texting, '/w/texting', '/w/texting' ],
		[ 'of two accounts', $aloware, '/w/aloware', '/w/aloware' ],
		[ 'of a gateway that begins anew', sub { json($_[0], generic(@_[ 2, 3 ], id => $_[1])) }, '/w/gate_1', '/w/gate_1' ],
			[ 'of one that is deferred', sub { json($_[0], generic(@_[ 2, 3 ], id => $_[1])) }, '/w/gate_later', '/w/gate_later' ])
	{
		my ($what, $make, @path) = @$case;
		my ($phone, $other, $agreed) = map { new_phone() } 1 .. 3;
		my $id = 900000 + ++$serial;
		ingest($node, $make->($path[0], $id, $phone, 'sounds good'));
		my $second = ingest($node, $make->($path[1], $id, $other, 'STOP'));
		is("$second->{outcome} $second->{http_status}", 'duplicate 200', "ids $what: known");
		is(sql($node, "SELECT status FROM outreach.webhooks_unfinished WHERE receipt_id = '$second->{receipt_id}'"), 'conflict', 'kept for a person');
		is(consent($other), 'opted_out', 'and not written to until then');
		is(ingest($node, $make->($path[1], $id, $other, 'STOP'))->{outcome}, 'duplicate', 'the same again');
		# a repetition, however it is spelt
		ingest($node, $make->($path[0], $id + 100000, $agreed, 'STOP'));
		sql($node, "SELECT outreach.process_payloads(); SELECT outreach.opt_in('team_a', '$agreed', 'a form')");
		ingest($node, $make->($path[0], $id + 100000, $agreed, 'Stop'));
		is(consent($agreed), 'opted_in', 'nor does the first say it again');
		sql($node, "SELECT outreach.replay_webhook('team_a', '$second->{receipt_id}', 'kim')");
		is(sql($node, "SELECT (SELECT count(*) FROM outreach.consent_history WHERE address = '$other'), (SELECT state FROM outreach.leads
			WHERE phone = '$other'),
			(SELECT count(*) FROM outreach.event_log WHERE event_type = 'consent.opted_out' AND payload ->> 'phone' = '$other')"), '1|suppressed|1',
				'replayed: one opt-out, of a lead');
		sql($node, "SELECT outreach.opt_in('team_a', '$other', 'a form')");
		ingest($node, $make->($path[1], $id, $other, 'STOP'));
		is(consent($other), 'opted_in', 'who has agreed since has not revoked');

		# another message of the same sender, and one whose first is not kept any more
		my ($same, $forgotten) = map { new_phone() } 1 .. 2;
		ingest($node, $make->($path[0], $id + 200000, $same, 'sounds good'));
		ingest($node, $make->($path[1], $id + 200000, $same, 'STOP'));
		is(consent($same), 'opted_out', 'the same sender means another message by it');
		my $first = ingest($node, $make->($path[0], $id + 300000, $same, 'sounds good'));
		sql($node, "SET session_replication_role = replica; DELETE FROM outreach.inbound_payloads WHERE receipt_id = '$first->{receipt_id}'");
		ingest($node, $make->($path[1], $id + 300000, $forgotten, 'STOP'));
		is(consent($forgotten), 'opted_out', 'what the first was need not be known');
	}

	# Nobody would try it again here: where the phone is held it has not been received.
	my ($phone, $held) = map { new_phone() } 1 .. 2;
	my $stop = $texting->('/w/texting', 990000, $held, 'STOP');
	sql($node, "SELECT outreach.opt_in('team_a', '$held', 'a form')");
	ingest($node, $texting->('/w/texting', 990000, $phone, 'sounds good'));
	my $events = sql($node, 'SELECT count(*) FROM outreach.events');
	my $session = $node->background_psql('postgres');
	$session->query_safe("BEGIN; SELECT FROM outreach.contacts WHERE contact_id = (SELECT contact_id FROM outreach.phones WHERE phone = '$held') FOR SHARE");
	sql($node, q{ALTER DATABASE postgres SET outreach.lock_wait = '50ms'});
	my $busy = ingest($node, $stop);
	sql($node, 'ALTER DATABASE postgres RESET outreach.lock_wait');
	is("$busy->{outcome} $busy->{http_status}", 'busy 503', 'a STOP in a conflict, of a phone that somebody holds');
	is(sql($node, 'SELECT count(*) FROM outreach.events'), $events, 'has left nothing');
	$session->query_safe('COMMIT');
	$session->quit;
	is(ingest($node, $stop)->{outcome}, 'duplicate', 'sent again');
	is(consent($held), 'opted_out', 'it is heeded');

	# Of two addresses the phone does not wait for the other.
	my ($of_both) = new_phone();
	sql($node, q{SELECT outreach.opt_in('team_a', 'held@example.com', 'a form')});
	$session = $node->background_psql('postgres');
	$session->query_safe("BEGIN; SELECT FROM outreach.contacts WHERE contact_id = (SELECT contact_id FROM outreach.addresses
		WHERE address = 'held\@example.com') FOR SHARE");
	is(ingest($node, json('/w/ghl', { type => 'ContactUpdate', id => 'c2', phone => $of_both, email => 'Held@example.com', dnd => JSON::PP::true }))->{outcome},
		'deferred', 'of a contact whose e-mail address is held');
	is(consent($of_both) . ' ' . consent('held@example.com'), 'opted_out opted_in', 'the phone is opted out at once');
	$session->query_safe('COMMIT');
	$session->quit;
	wait_until(sub { sql($node, 'SELECT outreach.process_payloads()'); return consent('held@example.com') eq 'opted_out' },
		'the address to be opted out as well');

	# A CRM that has no time in its key tells each change of a contact under the same.
	my ($contact) = new_phone();
	my %record = (type => 'ContactUpdate', id => 'c1', phone => $contact, dateAdded => '2026-01-01T00:00:00Z');
	ingest($node, json('/w/ghl', { %record, dnd => JSON::PP::false }));
	is(ingest($node, json('/w/ghl', { %record, dnd => JSON::PP::true }))->{outcome}, 'duplicate', 'a contact that has changed');
	is(consent($contact), 'opted_out', 'and is not to be written to');
}

# ---- what no row knows ----------------------------------------------------------

for my $hook (json('/w/texting', { type => 'reaction.added' }), json('/w/generic', { event => 'invoice.paid', id => 5 }), json('/w/generic', []),
	json('/w/ghl', { type => 'CustomThing', id => 'x' }),
	{ path => '/w/twilio', headers => {}, body => 'Nothing=known' }, json('/w/signalhouse', { event => 'NEW_EVENT' }),
		json('/w/aloware', { event => 'Nothing' }))
{
	is(ingest($node, $hook)->{http_status}, 200, "unknown, taken: $hook->{body}");
	is(sql($node, "SELECT status FROM outreach.webhooks_unfinished JOIN outreach.inbound_payloads USING (receipt_id, status)
		WHERE convert_from(body, 'UTF8') = '$hook->{body}'"), 'unresolved', 'and listed');
}

# One message, however its event is spelt, is one.
{
	my $phone = new_phone();
	my @outcomes = map { ingest($node, json('/w/texting', { type => $_, message => { id => 'spelt', from => $phone, body => 'hello' } }))->{outcome} }
	  qw(message.received Message.Received MESSAGE.RECEIVED);
	is("@outcomes", 'accepted duplicate duplicate', 'the same message with its event in three cases');
	is(sql($node, "SELECT count(*) FROM outreach.event_log WHERE event_type = 'webhook.inbound.received' AND payload ->> 'from' = '$phone'"), 1,
		'has one effect');
	my $form = twilio(SmsStatus => 'received', From => $phone, Body => 'hi');
	is(ingest($node, $form)->{outcome}, 'accepted', 'a form of Twilio');
	$form->{body} =~ s/SmsStatus=received/SmsStatus=Received/;
	is(ingest($node, $form)->{outcome}, 'duplicate', 'and with its status in another case');
	my $sid = sprintf 'SM%032x', ++$serial;
	@outcomes = map { ingest($node, twilio(MessageSid => $sid, SmsSid => $sid, MessageStatus => $_, From => '+12125550100', To => $phone,
		Body => ''))->{outcome} } qw(delivered Delivered);
	is("@outcomes", 'accepted duplicate', 'a status callback as well');
}

# ---- what is signed is the bytes that were sent ----------------------------------

# a form, signed over its decoded pairs
sub twilio_signed
{
	my ($hook) = @_;
	my %pair = map { my ($key, $value) = split /=/, $_, 2; $value =~ s/%([0-9A-F]{2})/chr hex $1/ge; ($key => $value) } split /&/, $hook->{body};
	$hook->{path} = '/w/signed';
	$hook->{headers}{'x-twilio-signature'} = hmac_sha1_base64(join('', 'https://hooks.example.com/w/signed', map { $_ . $pair{$_} } sort keys %pair),
		'12345') . '=';
	return $hook;
}

for my $body ('STOP', "STOP\0", "\0S\0TOP")
{
	my $phone = new_phone();
	opts_out('signed: ' . ($body =~ s/\0/<NUL>/gr), twilio_signed(twilio(SmsStatus => 'received', From => $phone, Body => $body)), $phone);
}
{
	my $phone = new_phone();
	my $foreign = twilio_signed(twilio(SmsStatus => 'received', From => $phone, FromCity => "M\xe1laga", Body => 'STOP'));
	opts_out('signed: a foreign encoding beside it', $foreign, $phone);
	$phone = new_phone();
	opts_out('signed: and in it', twilio_signed(twilio(SmsStatus => 'received', From => $phone, Body => "STOP\xa0")), $phone);
	for my $broken ('100%', '%zz', '%u0041', '%')
	{
		$phone = new_phone();
		my $hook = twilio(SmsStatus => 'received', From => $phone);
		$hook->{body} .= "&FromZip=$broken";
		opts_out("signed: \"$broken\" beside it", twilio_signed($hook), $phone);
		$hook->{body} =~ s/STOP/STOQ/;
		is(ingest($node, $hook)->{outcome}, 'rejected', 'but not what nobody has signed');
	}
	$phone = new_phone();
	opts_out('JSON: a foreign encoding beside it', { path => '/w/generic', headers => { 'content-type' => 'application/json' },
		body => qq({"event": "message.received", "id": "latin", "name": "Jos\xe9", "from": "$phone", "body": "STOP"}) }, $phone);
	$foreign->{body} =~ s/laga/lega/;
	is(ingest($node, $foreign)->{outcome}, 'rejected', 'with another byte it is not');
}

# ---- fields under other names: who wrote, what, and the number it was sent to --------

{
	my ($n, $to) = (0, '+12125550100');
	my %ghl = (type => 'InboundMessage', messageType => 'SMS', direction => 'inbound', contactId => 'c_1');
	my $other = sub { my ($event, %fields) = @_; $n++; return json($event, { event => 'message.received', type => 'message.received', id => "o$n", %fields }) };
	for my $case (
		[ 'GHL', sub { json('/w/ghl', { %ghl, messageId => "g$_[1]", from => $_[0], to => $to, body => 'STOP' }) } ],
		[ 'GHL, the phone of its contact', sub { json('/w/ghl', { %ghl, messageId => "g$_[1]", phone => $_[0], to => $to, body => 'STOP' }) } ],
		[ 'GHL, a provider of one\'s own', sub { json('/w/ghl', { %ghl, messageType => 'TYPE_CUSTOM_PROVIDER_SMS', messageId => "g$_[1]", from => $_[0],
			to => $to, body => 'STOP' }) } ],
		[ 'GHL, its type as another field', sub { my %h = %ghl; delete $h{messageType}; json('/w/ghl', { %h, messageTypeString => 'TYPE_SMS',
			messageId => "g$_[1]", from => $_[0], to => $to, body => 'STOP' }) } ],
		[ 'SignalHouse, several recipients', sub { json('/w/signalhouse', { event => 'MESSAGE_RECEIVED',
			metaData => { Message => { _id => "s$_[1]", senderPhoneNumber => $_[0], recipientPhoneNumber => [$to], messageBody => 'STOP' } } }) } ],
		[ 'SignalHouse, numbers without plus', sub { json('/w/signalhouse', { event => 'message.received', data => { messageId => "s$_[1]",
			from => substr($_[0], 1), to => '12125550100', message => 'STOP' } }) } ],
		[ 'Aloware', sub { json('/w/aloware', { event => 'InboundSMS-DispositionCompleted', body => { id => $_[1], type => 2, direction => 1,
			lead_number => $_[0], incoming_number => $to, body => 'STOP' } }) } ],
		[ 'Aloware, the phone of its contact', sub { json('/w/aloware', { event => 'InboundSMS-DispositionCompleted', body => { id => $_[1], type => 2,
			direction => 1, contact => { phone_number => $_[0] }, incoming_number => $to, body => 'STOP' } }) } ],
		[ 'sender and recipient', sub { $other->('/w/texting', message => { id => "t$_[1]", sender => $_[0], recipient => $to, content => 'STOP' }) } ],
		[ 'content', sub { $other->('/w/texting', data => { id => "t$_[1]", from => $_[0], to => $to, content => 'STOP' }) } ],
		[ 'the message is the text', sub { $other->('/w/generic', from => $_[0], to => $to, message => 'STOP') } ],
		[ 'the content is', sub { $other->('/w/generic', sender => $_[0], recipient => $to, content => 'STOP') } ],
		[ 'a gateway of one\'s own phone', sub { json('/w/generic', { event => 'sms:received', id => "w$_[1]", deviceId => 'd',
			payload => { messageId => "p$_[1]", message => 'STOP', phoneNumber => $_[0], recipient => $to, simNumber => 1 } }) } ])
	{
		my ($what, $make) = @$case;
		my $phone = new_phone();
		opts_out($what, $make->($phone, ++$serial), $phone);
		is(sql($node, "SELECT business_phone FROM outreach.leads WHERE phone = '$phone'"), '+12125550100', "$what: where it was written to");
	}
	my $call = ingest($node, json('/w/ghl', { %ghl, messageType => 'IVR_CALL', messageId => 'ivr 1', status => 'completed' }));
	is(sql($node, "SELECT event_type FROM outreach.inbound_payloads WHERE receipt_id = '$call->{receipt_id}'"), 'call.inbound', 'a call is none');
}

is(sql($node, 'SELECT status, count(*) FROM outreach.webhooks_unfinished GROUP BY 1 ORDER BY 1'), "unresolved|15\ndead|10\nconflict|32",
	'nothing is left but what was not understood or could not be read, and those that came again in other bytes');
alive($node, 'at the end');
done_testing();
