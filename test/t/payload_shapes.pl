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
	SELECT outreach.create_endpoint('team_a', '/w/' || provider, provider, 'none') FROM unnest('{twilio,generic,texting,ghl,signalhouse}'::text[]) provider;
	SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred');
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
	return sql($node, "SELECT coalesce((SELECT consent::text FROM outreach.phones WHERE phone = '$phone'), 'nothing')");
}

sub opts_out
{
	my ($what, $hook, $phone) = @_;
	is(ingest($node, $hook)->{http_status}, 200, "taken: $what");
	is(consent($phone), 'opted_out', $what);
}

# ---- prefixes of addresses ------------------------------------------------------

for my $prefix ('', 'whatsapp:', 'rcs:', 'RCS:', 'sms:', 'mms:', 'tel:', 'smsto:')
{
	my $phone = new_phone();
	opts_out("from $prefix", twilio(SmsStatus => 'received', From => "$prefix$phone", To => 'rcs:team_agent'), $phone);
}

# ---- a status under either of its names -----------------------------------------

for my $status ({ SmsStatus => 'received' }, { MessageStatus => 'received' }, { MessageStatus => 'receiving' }, { SmsStatus => 'Received' },
	{ SmsStatus => 'received', MessageStatus => 'received' })
{
	my $phone = new_phone();
	opts_out(join(' ', %$status), twilio(%$status, From => $phone), $phone);
}
is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.received' AND payload ->> 'kind' <> 'message.received'"), 0, 'all of them messages');
ingest($node, twilio($_ => 'delivered', From => '+12125550100', To => new_phone(), Body => '')) for qw(MessageStatus SmsStatus);
is(sql($node, "SELECT count(*) FROM outreach.webhook_receipts WHERE event_type = 'message.delivered'"), 2, 'and of a delivery');

# ---- an array around the payload, the name of an event in another case ----------

{
	my $one = sub { my ($phone) = @_; return { event => 'message.received', id => 'm' . ++$serial, from => $phone, to => '+12125550100', text => 'STOP' } };
	my $phone = new_phone();
	opts_out('an array of one', json('/w/generic', [ $one->($phone) ]), $phone);
	opts_out('in another', json('/w/generic', [ [ $one->($phone = new_phone()) ] ]), $phone);
	opts_out('the event in capitals', json('/w/generic', { %{ $one->($phone = new_phone()) }, event => 'MESSAGE.RECEIVED' }), $phone);
	opts_out('and as a title', json('/w/texting', { type => 'Message.Received', message => [ { id => 'm' . ++$serial, from => ($phone = new_phone()), body => 'stop' } ] }), $phone);
	ingest($node, json('/w/later', [ $one->($phone = new_phone()) ]));
	sql($node, 'SELECT outreach.process_payloads(10)');
	is(consent($phone), 'opted_out', 'by a deferred endpoint');
}

# One message, however its event is spelt, is one.
{
	my $phone = new_phone();
	my @outcomes = map { ingest($node, json('/w/texting', { type => $_, message => { id => 'spelt', from => $phone, body => 'hello' } }))->{outcome} }
	  qw(message.received Message.Received MESSAGE.RECEIVED);
	is("@outcomes", 'accepted duplicate duplicate', 'the same message with its event in three cases');
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.received' AND payload ->> 'from' = '$phone'"), 1, 'has one effect');
	my $form = twilio(SmsStatus => 'received', From => $phone, Body => 'hi');
	is(ingest($node, $form)->{outcome}, 'accepted', 'a form of Twilio');
	$form->{body} =~ s/SmsStatus=received/SmsStatus=Received/;
	is(ingest($node, $form)->{outcome}, 'duplicate', 'and with its status in another case');
	my $sid = sprintf 'SM%032x', ++$serial;
	@outcomes = map { ingest($node, twilio(MessageSid => $sid, SmsSid => $sid, MessageStatus => $_, From => '+12125550100', To => $phone, Body => ''))->{outcome} } qw(delivered Delivered);
	is("@outcomes", 'accepted duplicate', 'a status callback as well');
}

# ---- what is signed is the bytes that were sent ----------------------------------

# a form, signed over its decoded pairs
sub twilio_signed
{
	my ($hook) = @_;
	my %pair = map { my ($key, $value) = split /=/, $_, 2; $value =~ s/%(..)/chr hex $1/ge; ($key => $value) } split /&/, $hook->{body};
	$hook->{path} = '/w/signed';
	$hook->{headers}{'x-twilio-signature'} = hmac_sha1_base64(join('', 'https://hooks.example.com/w/signed', map { $_ . $pair{$_} } sort keys %pair), '12345') . '=';
	return $hook;
}

for my $body ('STOP', "STOP\0", "\0S\0TOP")
{
	my $phone = new_phone();
	opts_out('signed: ' . ($body =~ s/\0/<NUL>/gr), twilio_signed(twilio(SmsStatus => 'received', From => $phone, Body => $body)), $phone);
}
{
	my $foreign = twilio_signed(twilio(SmsStatus => 'received', From => new_phone(), Body => "caf\xe9"));
	is(ingest($node, $foreign)->{http_status}, 200, 'a foreign encoding, signed, is taken');
	is(sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'dead' AND last_error LIKE '%UTF-8%'"), 1, 'and kept for a person');
	$foreign->{body} =~ s/caf/cof/;
	is(ingest($node, $foreign)->{outcome}, 'rejected', 'with another byte it is not');
}

# ---- the number it was sent to --------------------------------------------------

{
	my $phone = new_phone();
	ingest($node, json('/w/ghl', { type => 'InboundMessage', messageType => 'SMS', direction => 'inbound', messageId => 'g1', webhookId => 'wh_1',
		contactId => 'c_1', from => $phone, to => '+12125550100', body => 'Yes' }));
	is(sql($node, "SELECT business_phone FROM outreach.leads WHERE phone = '$phone'"), '+12125550100', 'GHL: where it was written to');
}

is(sql($node, 'SELECT status, count(*) FROM outreach.webhooks_unfinished GROUP BY 1 ORDER BY 1'), "dead|1\nconflict|4",
	'nothing is left but that, and those that came again in other bytes');
alive($node, 'at the end');
done_testing();
