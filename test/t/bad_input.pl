# What nobody should send, to every provider's endpoint: the documented answer,
# nothing half done, no crash, and nothing of it in the server's log.  The
# numbers are classes of bad input; what HTTP itself can do wrong is in
# shim_http.pl, signatures are in signatures.pl.  At the end mutations of the real
# payloads, which must leave the same rows alone and in batches.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use File::Basename qw(basename);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use Test::More;

# A text that is put wherever a payload has text, and its like for phones.
my $canary = 'canaryq7x';
my $canary_phone = '2125557788';

my $node = new_cluster(conf => "outreach.clock = '2026-11-01 12:00:00+00'\nlog_error_verbosity = verbose\nlog_min_messages = info\n");
my @providers = qw(signalhouse twilio texting ghl aloware generic);
my $setup = "SELECT outreach.create_tenant('team_a', 'A');\n"
  . join '', map { "SELECT outreach.create_endpoint('team_a', '/w/$_', '$_', 'none');\n" } @providers, 'sendgrid';

for my $db (qw(postgres fuzz_single fuzz_many people))
{
	$node->safe_psql('postgres', "CREATE DATABASE $db") unless $db eq 'postgres';
	create_extension($node, $db);
	$node->safe_psql($db, $setup);
}
my $started = sql($node, 'SELECT pg_postmaster_start_time()');
my $serial = 0;

# ------------------------------------------------------------- bodies

sub deep { my ($n, $open, $close) = @_; return $open x $n . '1' . $close x $n; }
sub keys_of { return join ',', map { "\"$canary$_\":1" } 1 .. $_[0]; }

# name, outcome where JSON is read, where a form is read (a body that begins with
# { or [ is JSON everywhere), body
my @bodies = (
	# 18
	[ 'empty', 'error', 'error', '' ],
	[ 'white space', 'error', 'error', " \r\n\t " ],
	[ 'null', 'accepted', 'accepted', 'null' ],
	[ 'a number', 'accepted', 'accepted', '42' ],
	[ 'a string', 'accepted', 'accepted', "\"$canary\"" ],
	[ 'an array', 'accepted', 'accepted', "[\"$canary\"]" ],
	[ 'an empty array', 'accepted', 'accepted', '[]' ],
	[ 'an empty object', 'accepted', 'accepted', '{}' ],
	# 19
	[ 'a form', 'error', 'accepted', "type=$canary&event=$canary" ],
	[ 'HTML', 'error', 'accepted', "<html><body>$canary</body></html>" ],
	[ 'XML', 'error', 'accepted', "<?xml version=\"1.0\"?><a>$canary</a>" ],
	[ 'JSON cut short', 'error', 'error', "{\"event\":\"$canary\",\"a\":" ],
	[ 'JSON and more', 'error', 'error', "{\"event\":\"$canary\"} $canary" ],
	[ 'two values', 'error', 'error', "{}{\"a\":\"$canary\"}" ],
	[ 'a trailing comma', 'error', 'error', "{\"$canary\":1,}" ],
	[ 'single quotes', 'error', 'error', "{'$canary':1}" ],
	[ 'a comment', 'error', 'error', "{\"a\":1 /* $canary */}" ],
	[ 'a byte order mark', 'accepted', 'accepted', "\xEF\xBB\xBF{\"event\":\"$canary\"}" ],
	[ 'two of them', 'error', 'accepted', "\xEF\xBB\xBF" x 2 . "{\"event\":\"$canary\"}" ],
	[ 'UTF-16', 'error', 'accepted', "\xFF\xFE" . join('', map { "$_\0" } split //, "{\"a\":\"$canary\"}") ],
	[ 'Latin 1', 'accepted', 'accepted', "{\"event\":\"$canary \xE9\"}" ],
	[ 'gzip', 'error', 'accepted', "\x1F\x8B\x08\x00\x00\x00\x00\x00" ],
	# 20
	[ 'invalid UTF-8', 'accepted', 'accepted', "{\"a\":\"$canary\xFF\"}" ],
	[ 'UTF-8 cut short', 'accepted', 'accepted', "{\"a\":\"$canary\xE2\x82\"}" ],
	[ 'an overlong encoding', 'accepted', 'accepted', "{\"a\":\"$canary\xC0\xAF\"}" ],
	[ 'a surrogate in UTF-8', 'accepted', 'accepted', "{\"a\":\"$canary\xED\xA0\x80\"}" ],
	[ 'beyond Unicode', 'accepted', 'accepted', "{\"a\":\"$canary\xF4\x90\x80\x80\"}" ],
	[ 'half a surrogate pair', 'accepted', 'accepted', "{\"a\":\"$canary\\ud800\"}" ],
	[ 'the other half', 'accepted', 'accepted', "{\"a\":\"$canary\\udc00\\ud800\"}" ],
	[ 'a bad escape', 'error', 'error', "{\"a\":\"$canary\\x41\"}" ],
	[ 'an escape cut short', 'error', 'error', "{\"a\":\"$canary\\u00\"}" ],
	# 21
	[ 'NUL escaped', 'accepted', 'accepted', "{\"event\":\"$canary\\u0000\",\"a\\u0000\":1}" ],
	[ 'NUL in a string', 'accepted', 'accepted', "{\"event\":\"$canary nul\0\"}" ],
	[ 'NUL outside', 'error', 'error', "{\"event\":\"$canary\"\0}" ],
	[ 'nothing but NUL', 'error', 'accepted', "\0\0\0" ],
	[ 'a control character', 'error', 'error', "{\"a\":\"$canary\x01\"}" ],
	# 23
	[ 'objects 64 deep', 'accepted', 'accepted', deep(64, "{\"$canary\":", '}') ],
	[ 'objects 65 deep', 'error', 'error', deep(65, "{\"$canary\":", '}') ],
	[ 'arrays 100000 deep', 'error', 'error', deep(100_000, '[', ']') ],
	[ 'arrays never closed', 'error', 'error', '[' x 200_000 ],
	# 24
	(map { [ "number $_", 'error', 'error', "{\"a\":$_}" ] }
		qw(1e100000 1e-100000 1e9999 NaN Infinity -Infinity -inf 01 1. .5 +1 0x10 1_000 --1 1e 1e+), '1' x 1000),
	(map { [ "number $_", 'accepted', 'accepted', "{\"a\":$_}" ] } qw(1e999 -1e-999 123456789012345678901234567890 -0 1E+2 0.000)),
	[ 'many large numbers', 'accepted', 'accepted', '{"a":[' . join(',', ('1e999') x 9000) . ']}' ],
	# 25
	[ '9000 keys', 'accepted', 'accepted', '{' . keys_of(9000) . '}' ],
	[ '15000 keys', 'error', 'error', '{' . join(',', map { "\"$_\":1" } 1 .. 15_000) . '}' ],
	[ '100000 values', 'error', 'error', '[' . join(',', (1) x 100_000) . ']' ],
	[ 'a long key', 'error', 'error', "{\"$canary" . 'k' x 70_000 . '":1}' ],
	[ '20000 fields', 'error', 'error', join('&', map { "$_=1" } 1 .. 20_000), 'form' ],
	[ 'one field 9000 times', 'accepted', 'accepted', join('&', ("Body=$canary") x 9000), 'form' ],
	[ 'only ampersands', 'accepted', 'accepted', '&' x 10_000 . 'a', 'form' ],
	[ 'a bad percent sign', 'accepted', 'accepted', "Body=$canary%", 'form' ],
	[ 'another', 'accepted', 'accepted', "Body=$canary%zz", 'form' ],
	[ 'percent signs that are not UTF-8', 'accepted', 'accepted', "Body=$canary%ff%fe", 'form' ],
	[ 'an overlong field', 'error', 'error', 'a' x 70_000 . '=1', 'form' ],
	# 28
	[ 'an unknown event', 'accepted', 'accepted', "{\"event\":\"$canary\",\"type\":\"$canary\",\"body\":{\"a\":\"$canary\"}}" ],
	[ 'only unknown keys', 'accepted', 'accepted', "{\"$canary\":{\"$canary\":[\"$canary\",null,true,1]}}" ],
	# 27, at the top
	[ 'containers for texts', 'accepted', 'accepted', '{"event":{"a":1},"type":[1,2],"id":[],"from":{},"body":[[]],"message":5,"data":"x","metaData":[]}' ],
	# 7
	[ 'the longest body', 'accepted', 'accepted', '{"event":"' . 'x' x (1_048_576 - 12) . '"}' ],
	[ 'a byte more', 'rejected', 'rejected', '{"event":"' . 'x' x (1_048_576 - 11) . '"}' ],
	[ '10 MB', 'rejected', 'rejected', $canary x (10_000_000 / length $canary) ],
);

# Sends to the database, each twice, the second time as a list of one; dies of any error.
sub send_all
{
	my ($cases) = @_;
	stage($node, 'postgres', [ map { $_->{hook} } @$cases ]);
	my @first = play($node, 'postgres', 'single', [ [ 0 .. $#$cases ] ]);
	my @again = play($node, 'postgres', 'many', [ [ 0 .. $#$cases ] ]);
	for my $i (0 .. $#$cases)
	{
		my $case = $cases->[$i];
		my $status = $case->{status} // ($case->{outcome} eq 'rejected' ? 413 : 200);
		my $twice = $case->{outcome} eq 'rejected' ? 'rejected' : 'duplicate';
		is("$first[$i]{outcome} $first[$i]{http_status}, $again[$i]{outcome} $again[$i]{http_status}",
			"$case->{outcome} $status, $twice $status", $case->{name});
		unlike("$first[$i]{body}$again[$i]{body}", qr/$canary|$canary_phone/, "$case->{name}: not repeated in the answer");
	}
	is(sql($node, 'SELECT * FROM outreach.verify()'), '', 'nothing is half done');
}

my @cases;
for my $provider (@providers)
{
	for my $row (@bodies)
	{
		my ($name, $json, $form, $body, $type) = @$row;
		my $reads_form = defined $type || $provider eq 'twilio';
		push @cases, {
			name => "$provider, $name",
			outcome => $reads_form ? $form : $json,
			hook => { path => "/w/$provider", body => $body, headers => {
				'content-type' => $reads_form ? 'application/x-www-form-urlencoded' : 'application/json; charset=utf-8' } }
		};
	}
}
# A JSON document that is not declared, or declared as something else
for my $type (undef, '', 'text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=iso-8859-1', 'x' x 5000)
{
	push @cases, {
		name => 'JSON declared as ' . (defined $type ? substr($type, 0, 50) : 'nothing'),
		outcome => 'accepted',
		hook => { path => '/w/texting', headers => { defined $type ? ('content-type' => $type) : () },
			body => '{"type":"message.sent","id":"t' . ++$serial . '"}' }
	};
}
send_all(\@cases);
is(sql($node, "SELECT count(*) FROM outreach.leads"), 0, 'none of that is a message of anybody');
is(sql($node, "SELECT string_agg(DISTINCT status::text, ' ') || count(*) FILTER (WHERE next_attempt_at IS NOT NULL) FROM outreach.inbound_payloads"),
	'dead done unresolved0', 'what cannot be read or understood is kept, and not tried again');

# ------------------------------------------------------------- messages

sub form
{
	my (%form) = @_;
	return join '&', map { my $v = $form{$_}; utf8::encode($v);
		$v =~ s/([^A-Za-z0-9])/sprintf('%%%02X', ord $1)/ge; "$_=$v" } sort keys %form;
}

# an inbound message in the provider's shape; what is not given is left out
my %shape = (
	signalhouse => sub { my ($id, $from, $text, $time) = @_; return { event => 'MESSAGE_RECEIVED', identifier => $id, timestamp => $time,
		metaData => { Message => { senderPhoneNumber => $from, messageBody => $text } } } },
	texting => sub { my ($id, $from, $text, $time) = @_; return { type => 'message.received',
		message => { id => $id, from => $from, body => $text, timestamp => $time } } },
	ghl => sub { my ($id, $from, $text, $time) = @_; return { type => 'InboundMessage', direction => 'inbound', messageType => 'SMS',
		webhookId => $id, from => $from, body => $text, timestamp => $time } },
	aloware => sub { my ($id, $from, $text, $time) = @_; return { event => 'InboundSMS-DispositionCompleted',
		body => { id => $id, type => 2, direction => 1, lead_number => $from, body => $text, created_at => $time } } },
	generic => sub { my ($id, $from, $text, $time) = @_; return { event => 'message.received', id => $id, from => $from, text => $text, timestamp => $time } },
);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub message
{
	my ($provider, $from, $text, $time) = @_;
	my $id = 'bad' . ++$serial;
	# of the form that Twilio's have, and to be found by its number
	my $sid = 'SM' . '0' x (32 - length $id) . $id;
	return { path => '/w/twilio', headers => {}, body => form(MessageSid => $sid, SmsStatus => 'received', From => $from, Body => $text) }
	  if $provider eq 'twilio';
	return { path => "/w/$provider", headers => {}, body => $json->encode($shape{$provider}->($id, $from, $text, $time // '2026-10-08T15:04:05Z')) };
}

# 29: what is written for a phone, and whose it is then; '' is nobody's
my %phones = (
	'' => '', ' ' => '', 'anonymous' => '', 'Restricted' => '', '1' => '', '12345' => '', '72645' => '', '+' => '', '++12125557788' => '',
	'12345678901234567890' => '', '2125557788 ext. 5' => '', '2125557788x5' => '', "212555778'; DROP TABLE leads" => '', '%s%s%n' => '',
	'0012125557788' => '', '+012125557788' => '', '1125557788' => '', '2120557788' => '', '+1 900 555 77881' => '', "2125557788\x{202E}8" => '',
	'+12125557788' => '+12125557788', '12125557788' => '+12125557788', '2125557788' => '+12125557788', ' (212) 555-7788 ' => '+12125557788',
	'212.555.7788' => '+12125557788', "\x{FF0B}\x{FF11}\x{FF12}\x{FF11}\x{FF12}\x{FF15}\x{FF15}\x{FF15}\x{FF17}\x{FF17}\x{FF18}\x{FF18}" => '+12125557788',
	"\x{200E}+12125557788\x{200F}" => '+12125557788', 'tel:+12125557788' => '+12125557788', '+442079460018' => '+442079460018',
);
@cases = ();
my %whose;
for my $provider (@providers)
{
	for my $phone (sort keys %phones)
	{
		(my $name = "$provider, phone \"$phone\"") =~ s/([^\x20-\x7e])/sprintf('\\x{%x}', ord $1)/ge;
		push @cases, { name => $name, outcome => 'accepted', hook => message($provider, $phone, "hi $canary") };
		$whose{$serial} = [ $name, $phones{$phone} ];
	}
}
# 27: a phone, and a text, of another type
my @types = ([ 12125557788, '+12125557788' ], [ ['+12125557788'], '+12125557788' ], [ [ '+12125557788', '+12125557789' ], '' ],
	[ { number => '+12125557788' }, '' ], [ \1, '' ], [ undef, '' ], [ [], '' ], [ [ ['+12125557788'] ], '' ], [ 1.5e11, '' ]);
for my $provider (grep { $_ ne 'twilio' } @providers)
{
	for my $row (@types)
	{
		my $name = "$provider, phone " . $json->encode($row->[0]);
		push @cases, { name => $name, outcome => 'accepted', hook => message($provider, $row->[0], [ "hi $canary", 'x' ]) };
		$whose{$serial} = [ $name, $row->[1] ];
	}
}
send_all(\@cases);
{
	my %found = map { split /\|/, $_, 2 } split /\n/, sql($node, <<'SQL');
SELECT substring(p.idempotency_key FROM 'bad(\d+)'), coalesce(l.phone, '')
  FROM outreach.inbound_payloads p
  LEFT JOIN (TABLE outreach.events UNION ALL TABLE outreach.events_default) e ON e.receipt_id = p.receipt_id AND e.event_type = 'webhook.inbound.received'
  LEFT JOIN outreach.leads l ON l.tenant_id = e.tenant_id AND l.lead_id = e.lead_id
 WHERE p.idempotency_key LIKE '%bad%' AND (l.phone IS NULL) = (p.status = 'unresolved')
SQL
	is($found{$_} // 'none', $whose{$_}[1], "whose: $whose{$_}[0]") for sort { $a <=> $b } keys %whose;
}

# 30: texts, and what is made of them: consent and state
my %texts = (
	'' => 'unknown responded', '   ' => 'unknown responded', "\x{200B}\x{FEFF}\x{200D}" => 'unknown responded', "\x01\x02\x7F" => 'unknown responded',
	"\x{1F468}\x{200D}" => 'unknown responded', "e\x{301}" x 500 => 'unknown responded', "\x{301}" x 20_000 => 'unknown responded',
		"\x{FDFA}" x 5000 => 'unknown responded',
	'x' x 100_000 => 'unknown responded', 'stop ' x 10_000 => 'opted_out suppressed', "; DROP TABLE outreach.leads; --" => 'unknown responded',
	'%s%s%n' => 'unknown responded', '<script>alert(1)</script>' => 'unknown responded', "Stop.\x{A0}" => 'opted_out suppressed', 'stopp' => 'held responded',
	"\x{FF33}\x{FF34}\x{FF2F}\x{FF30}" => 'opted_out suppressed', "STOP\n\n> On Mon, Pat wrote:\n> interested?" => 'opted_out suppressed',
		"\x{202E}POTS" => 'unknown responded',
	'@' x 50_000 => 'unknown responded', 'a@' x 50_000 => 'unknown responded', "\x{41D}\x{435}\x{442}" => 'unknown responded',
	'ARRET' => 'opted_out suppressed', "arr\x{EA}t" => 'opted_out suppressed', "no m\x{E1}s" => 'held responded', "\\u0000 \\" => 'unknown responded',
);
@cases = ();
my %made;
my $phone = 2125600000;
for my $provider (@providers)
{
	for my $text (sort keys %texts)
	{
		(my $name = "$provider, text \"" . substr($text, 0, 20) . '"') =~ s/([^\x20-\x7e])/sprintf('\\x{%x}', ord $1)/ge;
		push @cases, { name => $name, outcome => 'accepted', hook => message($provider, ++$phone, $text) };
		$made{"+1$phone"} = [ $name, $texts{$text} ];
	}
}
send_all(\@cases);
{
	my %found = map { split /\|/ } split /\n/,
	  sql($node, "SELECT l.phone, p.consent || ' ' || l.state FROM outreach.leads l JOIN outreach.phones p USING (tenant_id, phone)");
	is($found{$_}, $made{$_}[1], "made of it: $made{$_}[0]") for sort keys %made;
}

# 26: ids; 31: times; 32: addresses of media.  None is read as anything but text.
@cases = ();
for my $provider (grep { $_ ne 'twilio' } @providers)
{
	for my $id ('9223372036854775808', '18446744073709551617', '-1', '1.0', '1.00', '1e2', ' 7', '7 ', 'Id', 'iD', 'x' x 300, 'x' x 301, "\x{E9}", "e\x{301}",
		"a:b", "$canary'; --", '%s')
	{
		push @cases, { name => "$provider, id " . $json->encode(substr($id, 0, 30)), outcome => 'accepted', hook => {
			path => "/w/$provider", headers => {}, body => $json->encode($shape{$provider}->("$serial$id", '+12125560000', 'hi')) } };
	}
	my $number = $json->encode($shape{$provider}->('NUMBER', '+12125560000', 'hi'));
	for my $id ('9223372036854775808', '1.0', '1', '1e2', '100')
	{
		(my $body = $number) =~ s/"NUMBER"/$id/;
		push @cases, { name => "$provider, numeric id $id", outcome => 'accepted', hook => { path => "/w/$provider", headers => {}, body => $body } };
	}
	for my $time ('infinity', '-infinity', '294277-01-01', '2026-10-08', '2026-06-30T23:59:60Z', '1970-01-01', '2026-03-08T02:30:00', 'yesterday', '', 'now()',
		$canary, 99999999999999999999, -1)
	{
		push @cases, { name => "$provider, time \"$time\"", outcome => 'accepted', hook => message($provider, '+12125560000', 'hi', $time) };
	}
	for my $url ('file:///etc/passwd', 'http://169.254.169.254/latest/meta-data/', 'http://user:pass@127.0.0.1:1/', 'x' x 5000)
	{
		my $hook = message($provider, '+12125560000', 'see picture');
		my $body = $json->decode($hook->{body});
		$body->{$_} = $url for qw(mediaUrl media_url attachments MediaUrl0);
		push @cases, { name => "$provider, media at " . substr($url, 0, 30), outcome => 'accepted', hook => { %$hook, body => $json->encode($body) } };
	}
}
send_all(\@cases);

# ------------------------------------------------------------- 22, 34, 35, 36

sub once { return ingest($node, { path => $_[0], headers => {}, body => $_[1] }); }
sub value { return sql($node, $_[0]); }

{
	# 22: the last of several equal keys counts, for the key and for what is kept
	once('/w/texting', '{"type":"message.sent","type":"message.received","message":{"id":"d1","id":"d2",'
		. '"from":"+12125561111","from":"+12125562222","body":"STOP","body":"hi"}}');
	is(value("SELECT l.state, r.idempotency_key FROM outreach.inbound_payloads r JOIN (TABLE outreach.events
		UNION ALL TABLE outreach.events_default) e USING (receipt_id)"
			. " JOIN outreach.leads l ON l.lead_id = e.lead_id WHERE l.phone = '+12125562222' AND e.event_type = 'webhook.inbound.received'"),
		'responded|d2:message.received', 'duplicate keys: the last one counts everywhere');
	# 34, 35: before what it is about
	is(once('/w/texting', '{"type":"message.delivered","message":{"id":"late","status":"delivered"}}')->{outcome}, 'accepted',
		'a status of an unknown message is kept');
	is(once('/w/texting', '{"type":"message.sent","message":{"id":"late","status":"sent"}}')->{outcome}, 'accepted', 'and what comes late');
	is(once('/w/ghl', '{"type":"ContactDelete","id":"gone","webhookId":"w35"}')->{outcome}, 'accepted', 'and the end of an unknown contact');
	# 36
	my $body = '{"type":"message.received","message":{"id":"reused","from":"+12125563636","body":"%s"}}';
	once('/w/texting', sprintf($body, 'hi'));
	my $row = once('/w/texting', sprintf($body, "STOP $canary"));
	is("$row->{outcome} $row->{http_status}", 'duplicate 200', 'an id with another text is a duplicate');
	is(value("SELECT p.status, e.payload FROM outreach.inbound_payloads p JOIN (TABLE outreach.events
		UNION ALL TABLE outreach.events_default) e USING (receipt_id) WHERE p.receipt_id = '$row->{receipt_id}'"),
		'conflict|{"body_differs": true}', 'which is kept and flagged');
	is(value("SELECT state || ' ' || consent FROM outreach.leads JOIN outreach.phones USING (tenant_id, phone) WHERE phone = '+12125563636'"),
		'responded unknown', 'and not applied');
}

# ------------------------------------------------------------- envelopes

# what a caller other than the shim may send; status, envelope
my $ok = '"path":"/w/generic","body":"{\"event\":\"%s\"}"';
my @envelopes = (
	(map { [ 400, $_ ] } 'null', '1', '"x"', '[]', '[{}]', '{}', '{"path":null}', '{"path":1}', '{"path":""}', '{"path":["/w/generic"]}'),
	(map { [ 401, "{\"path\":\"$_\"}" ] } '/', '/w', '/w/', '/w/GENERIC', '/w/generic/', '/w/generic?x', ' /w/generic', '/w/\u00e9', 'x' x 255, 'x' x 256,
		'x' x 100_000,
		"/w/$canary", "'; DROP TABLE outreach.leads"),
	[ 400, "{$ok,\"method\":\"GET\"}" ], [ 405, '{"path":"/w/generic","method":"GET","query":"event=x"}' ],
	(map { [ 405, "{$ok,\"method\":\"$_\"}" ] } 'HEAD', 'PUT', '', 'POSTED', ' POST', $canary),
	(map { [ 400, "{\"path\":\"/w/generic\",\"body_base64\":\"$_\"}" ] } '*', 'A', 'AAA', 'AA=A', '====', "AA==\\n", 'AA==AA==', "$canary!"),
	[ 413, '{"path":"/w/generic","body_base64":"' . encode_base64("\xFF" x 1_048_577, '') . '"}' ],
	(map { [ 200, "{$ok,$_}" ] } '"headers":null', '"headers":[]', '"headers":"x"', '"headers":{"a":1,"b":null,"c":{"d":"e"},"f":[["g"]],"":""}',
		'"headers":{' . join(',', map { "\"h$_\":\"$canary\"" } 1 .. 1000) . '}', '"query":null', '"query":5', '"query":"%"', '"correlation_id":"x"',
		'"correlation_id":5', '"correlation_id":"' . '0' x 100 . '"', '"remote_addr":"not an address"', '"remote_addr":{}', '"method":5', '"other":{"a":[1,2]}',
		'"body_base64":null', '"body_base64":""'),
	[ 200, '{"path":"/w/generic","body":null}' ], [ 200, '{"path":"/w/generic","body":{"event":"x"}}' ],
);
{
	my @texts = map { sprintf($_->[1] =~ s/%(?!s)/%%/gr, "env" . ++$serial) } @envelopes;
	stage($node, 'postgres', \@texts);
	my @rows = play($node, 'postgres', 'single', [ [ 0 .. $#texts ] ]);
	is($rows[$_]{http_status}, $envelopes[$_][0], 'envelope ' . substr($texts[$_], 0, 60)) for 0 .. $#texts;
	is(scalar(grep { "$_->{body}" =~ /$canary/ } @rows), 0, 'nothing of an envelope is in an answer');
	my $many = sql($node, "SELECT string_agg(http_status::text, ' ' ORDER BY item) FROM outreach.ingest_webhooks(ARRAY[NULL, '{}', '{$ok}', NULL]::jsonb[])",
		user => 'test_shim');
	is($many, '400 400 200 400', 'nulls in a list harm nobody');
	is(sql($node, 'SELECT count(*) FROM outreach.ingest_webhooks(NULL)', user => 'test_shim'), 0, 'no list is an empty one');
	is(sql($node, "SELECT count(*) FROM outreach.ingest_webhooks('{}')", user => 'test_shim'), 0, 'so is an empty one');
	is(sql($node, 'SELECT http_status FROM outreach.ingest_webhook(NULL)', user => 'test_shim'), 400, 'a null is refused');
}

# ------------------------------------------------------------- failures of our own

# The server's message on a row that breaks a constraint quotes the row.
{
	sql($node, "ALTER TABLE outreach.leads ADD CONSTRAINT refuse CHECK (email <> '$canary\@example.com')");
	my $row = ingest($node, message('texting', '+12125569999', "write to $canary\@example.com"));
	is("$row->{outcome} $row->{http_status}", 'error 200', 'what fails is kept');
	sql($node, 'ALTER TABLE outreach.leads DROP CONSTRAINT refuse');
}

no_canary($node, 'postgres', $_, $_ eq $canary ? 'text' : 'phone') for $canary, $canary_phone;

# ------------------------------------------------------------- mutations

# The same seed gives the same webhooks: put it here to see a failure again.
my $seed = $ENV{PO_SEED} // time();
srand($seed);
note("PO_SEED=$seed");

my @samples = map { [ basename($_) =~ /^(\w+?)-/, payload(basename($_)) ] } grep { !/SIGNATURES|response/ } glob('test/payloads/*');
my @pieces = ('{', '}', '[', ']', '"', ':', ',', '\\', '\\u0000', '\\ud800', 'null', 'true', '1e999', '-', "\0", "\xFF", "\xEF\xBB\xBF", '%', '%00', '&', '=',
	'+',
	'STOP', 'START', '+12125550123', "\x{0}", ' ', "\n", '""', '{}', '[[[[', 'x' x 300);

sub mutate
{
	my ($body) = @_;
	for (1 .. 1 + int(rand(4)))
	{
		my $at = int(rand(length($body) + 1));
		my $length = int(rand(2)) ? 1 : int(rand(40));
		my $way = int(rand(6));
		$length = length($body) - $at if $at + $length > length($body);
		if ($way == 0) { substr($body, $at, $length) = ''; }
		elsif ($way == 1) { substr($body, $at, 0) = $pieces[ rand @pieces ]; }
		elsif ($way == 2) { substr($body, $at, $length) = $pieces[ rand @pieces ]; }
		elsif ($way == 3) { substr($body, $at, 0) = substr($body, int(rand(length($body) + 1)), 60); }
		elsif ($way == 4) { $body = substr($body, 0, $at); }
		elsif ($length) { substr($body, $at, 1) = chr(ord(substr($body, $at, 1)) ^ (1 << int(rand(8)))); }
	}
	return $body;
}

my @hooks = map {
	my ($provider, $body) = @{ $samples[ rand @samples ] };
	$provider = $providers[ rand @providers ] if rand() < 0.1;
	{ path => "/w/$provider", body => mutate($body), headers => rand() < 0.2 ? { 'content-type' => 'application/x-www-form-urlencoded' } : {} }
} 1 .. 2000;
stage($node, $_, \@hooks) for qw(fuzz_single fuzz_many);
my @single = play($node, 'fuzz_single', 'single', [ [ 0 .. $#hooks ] ]);
my @many = play($node, 'fuzz_many', 'many', [ [ 0 .. $#hooks ] ]);
my @differ = grep { join(' ', @{ $single[$_] }{qw(n outcome http_status body)}) ne join(' ', @{ $many[$_] }{qw(n outcome http_status body)}) } 0 .. $#hooks;
is(scalar(@differ), 0, 'mutations: alone and in batches answered alike')
	or diag "seed $seed", explain [ map { [ $hooks[$_], $single[$_], $many[$_] ] } @differ[ 0 .. 2 ] ];
is(scalar(grep { $_->{http_status} != 200 } @single), 0,
	'mutations: each is taken') or diag explain [ (map { [ $hooks[$_], $single[$_] ] } grep { $single[$_]{http_status} != 200 } 0 .. $#hooks)[0 .. 2] ];
my @rows = map { rows($node, $_) } qw(fuzz_single fuzz_many);
same_rows($rows[1], $rows[0], 'mutations: alone and in batches the same rows') or diag("seed $seed");
is(sql($node, 'SELECT * FROM outreach.verify()', db => $_), '', "$_: nothing is half done") for qw(fuzz_single fuzz_many);
is(sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'error'", db => $_), 0, "$_: nothing failed inside") for qw(fuzz_single fuzz_many);

# ------------------------------------------------------------- the same people again and again

# Few phones and e-mail addresses, each told of the other: whose an address becomes
# depends on what came before it, in an earlier call or in the same one.
{
	my @phones = map { "+1212555070$_" } 0 .. 3;
	my @emails = map { "pat$_\@example.com" } 0 .. 3;
	my @texts = ('STOP', 'START', 'hi', map { "write to $_" } @emails);
	my ($own) = map { $_->[1] } grep { $_->[0] eq 'sendgrid' && $_->[1] =~ /group_unsubscribe/ } @samples;
	my $unsubscribe = sub { (my $body = $own) =~ s/pat\@example\.com/$_[0]/; $body =~ s/"sg_event_id":"\w+"/"sg_event_id":"u@{[ ++$serial ]}"/; return $body; };

	for my $round (1 .. 20)
	{
		my @dbs = map { "people_${round}_$_" } qw(single many);
		sql($node, "CREATE DATABASE $_ TEMPLATE people") for @dbs;
		my @hooks = map {
			rand() < 0.8
			  ? message($providers[ rand @providers ], $phones[ rand @phones ], $texts[ rand @texts ])
			  : { path => '/w/sendgrid', headers => {}, body => $unsubscribe->($emails[ rand @emails ]) }
		} 1 .. 60;
		stage($node, $_, \@hooks) for @dbs;
		play($node, $dbs[0], 'single', [ [ 0 .. $#hooks ] ]);
		play($node, $dbs[1], 'many', [ [ 0 .. $#hooks ] ]);
		same_rows(rows($node, $dbs[1]), rows($node, $dbs[0]), "people $round: alone and in batches the same rows") or diag("seed $seed");
	}
}

is(sql($node, 'SELECT pg_postmaster_start_time()'), $started, 'the server has run all the time');
alive($node, 'at the end');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/ (?:ERROR|WARNING):(?!.*\bsecret key\b)/, 'nothing in its log');

done_testing();
