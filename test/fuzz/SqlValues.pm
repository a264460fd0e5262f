package SqlValues;

# Values for the arguments and columns of the engine, hostile ones among them.
# Chance is Perl's own rand(), so that a seed gives the same again.
#
#	my $values = SqlValues->new({lead_id => [ids …], message_id => …, function => …});
#		what the attacker knows, by the name of an argument
#	$values->raw($name, $type)		undef for null, or the text of a value, as bytes
#	$values->literal($name, $type)	the same as SQL
#	$values->{kind} = 1				until it is 0 again: values of a caller who means well
#	pick(@list), chance($one_in), quoted($text), identifier($name)

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename);
use JSON::PP ();

our @EXPORT = qw(pick chance quoted identifier);

my $json = JSON::PP->new->canonical->allow_nonref;

sub pick { return $_[ int rand @_ ]; }
sub chance { return int(rand $_[0]) == 0; }

sub quoted
{
	my ($text) = @_;
	return 'NULL' if !defined $text;
	# E'': what it means must not depend on standard_conforming_strings
	return "E'" . ($text =~ s/([\\'])/\\$1/gr) . "'";
}

sub identifier { return '"' . ($_[0] =~ s/"/""/gr) . '"'; }

# What texts are made of
my @texts = (
	'', ' ', "\t\r\n", 'x', '*', 'null', 'NaN', '-1', '0', "'; SELECT 1; --", '\\', '\\x00', '%s%n%1$s', '%', '_', '{{', '{{firstName}}', '{{body|x}}',
	'}}{{a}}', '{{' . 'a' x 300 . '}}', '"', '$1', '$$', '/*', '1/1/b', '16384/1/b', '../b', '/w/a', '/w/b', 'b:c', '<x>&amp;', 'a,b', '{a,NULL}', '(1,2)',
	'STOP', 'stop, please', 'yes', 'HELP', 'pat@example.com', 'x' x 64, 'x' x 65, 'y' x 255, 'z' x 256, 'long ' x 2000, 'w' x 10000, "\x01\x02\x1b[31m\x7f",
	"\xe2\x80\x8b", "\xe2\x80\xaeabc", "\xef\xbb\xbf", "\xef\xbf\xbd", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf0\x9f\x98\x80" x 40, "e\xcc\x81" x 50,
		"\xc3\x9f\xef\xac\x81",
	"\xc4\xb0\xc4\xb1", "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xe2\x80\xa8x");
# not UTF-8 at all
my @bad_texts = ("\xff", "\xc0\x80", "\xed\xa0\x80", "abc\xe2\x82", "\xf4\x90\x80\x80");

my @numbers = (0, 1, -1, 2, 7, 100, 1000, 32767, 32768, 2147483647, -2147483648);
my @times = ('now', 'infinity', '-infinity', '4713-01-01 BC', '294276-12-31', '2040-01-01', '2000-02-29', 'epoch', '2026-11-01 01:30 America/New_York',
	'yesterday',
	'0001-01-01', 'tomorrow');
my @intervals = ('0', '1 hour', '-1 day', '-1 microsecond', '178000000 years', '-178000000 years', '1 month -30 days', '100 days', '2147483647 days',
	'10 years', '30 seconds');
my @jsons = (
	'null', 'true', '1', '-0.0', '1e400', '1' . '0' x 2000, '""', '"x"', '[]', '{}', '[[]]', '[null]', '{"":""}', '{"a":{"b":null}}', '{"a":1,"a":2}',
		'"\u0041"', '"\u0000"',
	'"\ud800"', '{"x":' . '[' x 200 . ']' x 200 . '}', '[' x 6000 . ']' x 6000, '{"a":' x 100 . '1' . '}' x 100, '{"k":"' . 'v' x 10000 . '"}',
	'{' . join(',', map { qq{"k$_":$_} } 1 .. 500) . '}', 'not json', '{"a"', '');

# Values that mean something to an argument, by its name
my %known = (
	tenant_id => [ ('a') x 8, ('b') x 4, '*', 'A', 'a ', 'nobody', 'b/1' ],
	channel => [qw(sms call email webhook fax)],
	priority => [qw(reply normal campaign high)],
	outcome => [qw(sent failed retry cancelled delivered unknown)],
	to_state => [qw(new touched retargeting responded soft_interest email_captured content_nurture high_intent appointment_booked in_call_queue closed
		suppressed)],
	event_type => [qw(contact.updated lead.created lead.state.changed timer.fired no.such)],
	scope => [qw(all tenant account number none)],
	provider => [qw(generic twilio signalhouse ghl texting aloware sendgrid none)],
	scheme => [qw(none token secret_header basic hmac_sha256 twilio signalhouse ghl standard_webhooks other)],
	mode => [qw(immediate deferred other)],
	profile => [qw(generic_json twilio_sms twilio_call signalhouse_sms sendgrid_mail none)],
	timer_type => [qw(TIMER_7D TIMER_14D TIMER_30D FOLLOW_UP CALLBACK OTHER)],
	action => [qw(retarget escalate archive other)],
	# nothing leaves this machine, whatever sends
	base_url => [ 'http://127.0.0.1:9', 'http://[::1]:9/x', 'http://localhost:9', 'https://127.0.0.1:9/a/b', 'ftp://127.0.0.1', 'http://127.0.0.1:99999' ],
	public_url => [ 'https://hooks.example.com/w/x', 'http://127.0.0.1:9/x', 'https://u:p@[::1]:0/w/../x?%', 'https://' . 'a' x 300 ],
	signature_header => [qw(x-own svix-signature cookie authorization)],
	right_role => [qw(outreach_app outreach_admin outreach_owner outreach_worker none)],
	role_name => [qw(app_a app_b plain provisioner outreach_owner outreach_app postgres nobody)],
	proof => [ 'v1.99999999999.' . '0' x 64, 'v1.99999999999.', 'v1.1.x', 'v1.', 'v2.1.1', 'v1.999999999999999999999.' . 'a' x 64 ],
	secret => [ 'own-secret-of-a-good-length', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
		'user:a-password-of-16' ],
	key => [ 'k' x 40 ],
	months_ahead => [ 0, 1, 12, 120, 121, -1 ],
	batch => [ 0, 1, 10, 1000, -1, 2147483647 ]);
$known{from_state} = $known{new_state} = $known{previous_state} = $known{to_state};

# The payloads of the providers, as they are
my @payloads = map { my $file = $_; open(my $in, '<:raw', $file) or die "$file: $!"; local $/; [ basename($file), scalar <$in> ] }
  sort glob 'test/payloads/*.{json,form}';

sub new
{
	my ($class, $more) = @_;
	my %by_name = (%known, %$more);
	return bless { known => \%by_name }, $class;
}

sub raw
{
	my ($self, $name, $type) = @_;
	return $self->_kind($name, $type) if $self->{kind} && !chance(20);
	return undef if chance(12);
	if ($type =~ s/\[\]$//)
	{
		return pick('{}', '{NULL}', '{"",""}', '{{a,b},{c,d}}', '[5:6]={x,y}', '{{{1}}}', 'not an array', '{' . join(',', ('x') x 1000) . '}') if chance(4);
		my $of = $name =~ s/s$//r;
		return '{' . join(',', map { my $v = $self->raw($of, $type); defined $v ? '"' . ($v =~ s/([\\"])/\\$1/gr) . '"' : 'NULL' } 1 .. 1 + int rand 4) . '}';
	}
	return $self->_json($name) if $type eq 'jsonb' || $type eq 'json';
	my $known = $self->{known}{$name};
	return pick(@$known) if $known && !chance(5);
	return pick(@numbers) if $type =~ /^(?:integer|smallint|bigint|oid|real|double precision|numeric|xid)$/;
	return pick(@times) if $type =~ /^timestamp|^date/;
	return pick(@intervals) if $type eq 'interval';
	return pick('true', 'false', 'maybe') if $type eq 'boolean';
	return pick(@{ $self->{known}{message_id} }, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000', 'no-uuid') if $type eq 'uuid';
	return pick(@{ $self->{known}{function} }, '0', '-', '1') if $type =~ /^reg/;
	return pick('\\x', '\\x00ff', '\\\\', 'abc') if $type eq 'bytea';
	return pick(@bad_texts) if chance(40);
	# any known value in a place where another kind is meant
	return pick(@{ $self->{known}{ pick(sort keys %{ $self->{known} }) } }) if chance(6);
	return chance(8) ? pick(@texts) . pick(@texts) : pick(@texts);
}

sub _kind
{
	my ($self, $name, $type) = @_;
	return 'a' if $name eq 'tenant_id' && !chance(10);
	return '{' . join(',', map { $self->_kind($name =~ s/s$//r, $type =~ s/\[\]$//r) =~ s/.*/"$&"/sr } 1 .. 2) . '}' if $type =~ /^(?:text|uuid)\[\]$/;
	return '{"' . ($self->envelope =~ s/([\\"])/\\$1/gr) . '"}' if $name eq 'envelopes';
	return $self->envelope if $name eq 'envelope';
	return pick('{"call": "called"}', '{"agent": "x", "call": "called"}') if $name eq 'action_payload' && chance(2);
	return pick('{}', '{"note": "x"}') if $type eq 'jsonb';
	return pick(@{ $self->{known}{$name} }) if $self->{known}{$name};
	return pick('2040-01-01', 'now', '-infinity') if $type =~ /^timestamp/;
	return $type eq 'interval' ? '1 hour' : $type eq 'boolean' ? 'true' : $type eq 'bytea' ? '\\x00' : $type =~ /int|oid|real|xid/ ? 1
	  : $type eq 'uuid' ? $self->{known}{message_id}[0] : pick('x', 'some text', 'yes');
}

sub literal
{
	my ($self, $name, $type) = @_;
	my $value = quoted($self->raw($name, $type));
	return chance(10) ? $value : "$value" . "::$type";
}

sub _json
{
	my ($self, $name) = @_;
	return $self->envelope if $name =~ /^envelope/ && !chance(4);
	return pick(@jsons) if chance(3);
	my @keys = $name eq 'action_payload' ? qw(to_state agent event_type set_timer send call)
	  : $name eq 'options' ? (qw(account bcc cancelOnReply html mediaUrls subject variables), chance(10) ? 'window' : ())
	  : qw(note url from to id list body lag firstName event);
	return $json->encode({ map { $_ => $self->_member($_) } grep { chance(2) } @keys });
}

sub _member
{
	my ($self, $key) = @_;
	return pick('OTHER', 'TIMER_7D', { timer_type => 'OTHER', delay => pick(@intervals) }, [], 7) if $key eq 'set_timer' && !chance(4);
	return pick({ template => pick('hello_a', 'hello_b') }, { body => pick(@texts) =~ s/[^\x20-\x7e]//gr, channel => 'webhook' }) if $key eq 'send'
		&& !chance(4);
	return pick('a@example.com', [ ' B@Example.com' ], [ 'a@example.com', 'x' x 300 ]) if $key eq 'bcc' && !chance(4);
	return pick('https://example.com/a', [ ('https://example.com/b') x 11 ], 'https://u@example.com/') if $key eq 'mediaUrls' && !chance(4);
	return pick(@texts) =~ s/[^\x20-\x7e]//gr if $key =~ /^(?:html|subject)$/ && !chance(4);
	return pick({}, { firstName => '<b>' }) if $key eq 'variables' && !chance(4);
	return pick(JSON::PP::true, JSON::PP::false) if $key eq 'cancelOnReply' && !chance(4);
	return pick(undef, 1, -1e308, '', 'x' x 3000, [], {}, [ [ [] ] ], { a => { b => [ 1, 'x', undef ] } }, $self->{known}{to_state}[ int rand 12 ],
		pick(@{ $self->{known}{function} }), 'b', 'lead_b', 'called');
}

# What the shim hands over, with a payload of some provider, and defects
sub envelope
{
	my ($self) = @_;
	my ($file, $body) = @{ pick(@payloads) };
	my %envelope = (method => 'POST', path => pick(@{ $self->{known}{path} }), remote_addr => '127.0.0.1',
		correlation_id => '01900000-0000-7000-8000-00000000000' . int rand 10,
		headers => { 'content-type' => $file =~ /form$/ ? 'application/x-www-form-urlencoded' : 'application/json' });
	$envelope{query} = 'token=' . pick('token-own-of-this-tenant', 'token-of-nobody', '') if !chance(4);
	for (1 .. int rand 3)
	{
		my $at = int rand(length($body) + 1);
		my $length = int rand 6;
		$length = length($body) - $at if $at + $length > length $body;
		substr($body, $at, $length) = pick('', 'x', '"', '}', '[' x 70, '\u0000', '\ud800', '%00', '%', '&', '+', 'STOP', '12125550138', '9' x 400, 'lead_b',
			"\\");
	}
	$envelope{body} = $body =~ s/[^\x09\x0a\x20-\x7e]//gr;
	delete $envelope{ pick(sort keys %envelope) } if chance(8);
	$envelope{ pick(sort keys %envelope, 'body_base64', 'more') } = $self->_member('') if chance(6);
	return $json->encode(\%envelope);
}

1;
