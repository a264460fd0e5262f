# The forms that a proof may have, through endpoints and through the shim: the two
# families of Standard Webhooks, the spellings of a digest, HTTP Basic, webhooks that
# come by GET; what is kept of them; and what somebody makes of a captured request.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Digest::SHA qw(hmac_sha1 hmac_sha256 hmac_sha256_hex);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Test::More;

my $node = new_cluster();
create_extension($node);
my $whsec = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
my $basic = 'aloware:a password of some length';
my $token = 'a-token-that-nobody-guesses';
my $url = 'https://hooks.example.com';
sql($node, qq{SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/standard', 'generic', 'standard_webhooks', '$whsec'),
		outreach.create_endpoint('team_a', '/w/svix', 'generic', 'standard_webhooks', '$whsec', signature_header => 'svix-signature'),
		outreach.create_endpoint('team_a', '/w/own', 'generic', 'standard_webhooks', '$whsec', signature_header => 'X-Mine-Signature'),
		outreach.create_endpoint('team_a', '/w/hmac', 'texting', 'hmac_sha256', 'a-secret', signature_header => 'X-Shop-Hmac-Sha256'),
		outreach.create_endpoint('team_a', '/w/basic', 'aloware', 'basic', '$basic'),
		outreach.create_endpoint('team_a', '/w/post', 'twilio', 'twilio', '12345', '$url/w/post'),
		outreach.create_endpoint('team_a', '/w/get', 'twilio', 'twilio', '12345', '$url/w/get?team=a', allow_get => true),
		outreach.create_endpoint('team_a', '/w/plain', 'twilio', 'twilio', '12345', '$url/w/plain', allow_get => true),
		outreach.create_endpoint('team_a', '/w/later', 'twilio', 'twilio', '12345', '$url/w/later?team=a', allow_get => true, mode => 'deferred'),
		outreach.create_endpoint('team_a', '/w/parted', 'twilio', 'twilio', '12345', '$url/w/parted?team=a&', allow_get => true),
		outreach.create_endpoint('team_a', '/w/token', 'generic', 'token', '$token', '$url/w/token?list=a/b&note=x%20y', allow_get => true),
		outreach.create_endpoint('team_a', '/w/getbasic', 'generic', 'basic', '$basic', allow_get => true),
		outreach.create_endpoint('team_a', '/w/open', 'generic', 'none')});
my $shim = start_shim($node, conf => { request_line_limit => '4kB', header_bytes_limit => '16kB' });
my $serial = 0;

sub json_body { return sprintf '{"event":"test","id":"%d"}', ++$serial }

# by SQL and by the shim
sub by_both
{
	my ($hook, $status, $name) = @_;
	my $fresh = $status == 200 ? qr/^(?:accepted|duplicate|deferred)$/ : qr/^(?:rejected|unknown_endpoint)$/;
	my $row = ingest($node, $hook);
	like("$row->{outcome}", $fresh, "$name: $status") or diag explain $row;
	is($row->{http_status}, $status, "$name: its status");
	is(http($shim, %$hook)->{status}, $status, "$name, over HTTP");
	return $row;
}

sub with
{
	my ($hook, %headers) = @_;
	my %all = (%{ $hook->{headers} }, %headers);
	delete $all{$_} for grep { !defined $all{$_} } keys %all;
	return { %$hook, headers => \%all };
}

# ------------------------------------------------------------- families

sub standard { return signed('standard_webhooks', path => $_[0], secret => $whsec, body => json_body(), family => $_[1]) }

by_both(standard('/w/standard', $_), 200, "the family $_") for qw(webhook svix);
by_both(standard('/w/standard', 'x-mine'), 401, 'a family that nobody has named');
by_both(standard('/w/own', 'x-mine'), 200, 'the family that the endpoint names');
by_both(standard('/w/own', 'webhook'), 401, 'another there');
by_both(standard('/w/svix', 'svix'), 200, 'svix, named');
by_both(standard('/w/svix', 'webhook'), 401, 'the other one there');
for my $kept (qw(webhook svix))
{
	my $other = $kept eq 'svix' ? 'webhook' : 'svix';
	my $hook = standard('/w/standard', $kept);
	my %value = map { $_ => $hook->{headers}{"$kept-$_"} } qw(id timestamp signature);
	for my $moved (keys %value)
	{
		by_both(with($hook, "$kept-$moved" => undef, "$other-$moved" => $value{$moved}), 401, "$kept, its $moved of the other family");
		by_both(with($hook, "$other-$moved" => $value{$moved}), 401, "$kept, and a $moved of the other family");
	}
	by_both(with($hook, map { ("$other-$_" => $value{$_}) } keys %value), 200, "$kept, and the same in the other family");
	# who has captured one makes up the other
	for my $changed (keys %value)
	{
		my %forged = (%value, $changed => $changed eq 'timestamp' ? $value{timestamp} - 1 : "$value{$changed}x");
		by_both(with($hook, map { ("$other-$_" => $forged{$_}) } keys %value), 401, "$kept, and another $changed in the other family");
	}
	# the time is of the family that is signed: an old one is not renewed
	my $old = signed('standard_webhooks', path => '/w/standard', secret => $whsec, body => json_body(), family => $kept, timestamp => time() - 600);
	by_both($old, 401, "$kept, ten minutes old");
	by_both(with($old, "$other-timestamp" => time()), 401, "... with a new time in the other family");
	is(ingest($node, with($hook, "$kept-id" => [ ($value{id}) x 2 ]))->{http_status}, 401, "$kept, its id twice");
}

# ------------------------------------------------------------- digests

{
	my $body = json_body();
	my $raw = hmac_sha256($body, 'a-secret');
	my $hex = unpack 'H*', $raw;
	my $hook = { method => 'POST', path => '/w/hmac', headers => { 'content-type' => 'application/json' }, body => $body };
	my %form = (hexadecimal => $hex, 'in upper case' => uc $hex, base64 => encode_base64($raw, ''),
		'for URLs, not padded' => encode_base64url($raw));
	for my $name (sort keys %form)
	{
		by_both(with($hook, 'x-shop-hmac-sha256' => $_ . $form{$name}), 200, "a digest, $name, after \"$_\"") for '', 'sha256=', 'HMAC-SHA256 ';
		by_both(with($hook, 'x-shop-hmac-sha256' => substr($form{$name}, 0, length($form{$name}) - 2)), 401, "a digest, $name, cut short");
		by_both(with($hook, 'x-shop-hmac-sha256' => "$form{$name}, $form{$name}"), 401, "a digest, $name, doubled");
		by_both(with($hook, 'x-shop-hmac-sha256' => "sha1=$form{$name}"), 401, "a digest, $name, of another name");
		by_both(with($hook, 'x-shop-hmac-sha256' => $form{$name} . 'A' x 12_000), 401, "a digest, $name, of 12 kB");
		is(ingest($node, with($hook, 'x-shop-hmac-sha256' => $form{$name} . 'A' x 100_000))->{http_status}, 401, "a digest, $name, of 100 kB");
		is(ingest($node, with($hook, 'x-shop-hmac-sha256' => [ ($form{$name}) x 2 ]))->{http_status}, 401, "a digest, $name, twice");
		is(http($shim, %{ with($hook, 'x-shop-hmac-sha256' => [ ($form{$name}) x 2 ]) })->{status}, 401, "... over HTTP");
	}
	by_both(with($hook, 'x-signature' => $hex), 401, 'a digest in a header that is not the endpoint\'s');
}

# ------------------------------------------------------------- basic

# What a client can tell of an answer
sub told { return $_[0]->{raw} =~ s/^(?:Date|X-Correlation-Id): .*\r\n//mgr }
{
	my $hook = signed('basic', path => '/w/basic', secret => $basic, body => '{"event":"test"}');
	my $right = $hook->{headers}{authorization};
	by_both($hook, 200, 'basic');
	by_both(with($hook, authorization => $right =~ s/Basic/$_/r), 200, "basic, as $_") for qw(basic BASIC bAsIc);
	my $nobody = told(http($shim, %$hook, path => '/w/nobody'));
	like($nobody, qr/^HTTP\/1.1 401 /, 'a path that is nobody\'s');
	unlike($nobody, qr/authenticate/i, 'no challenge');
	for my $wrong (undef, '', 'Basic', 'Basic ', 'Bearer x', substr($right, 0, -4), "$right, $right", $right . 'AAAA', $right =~ tr/a-z/A-Z/r,
		'Basic ' . encode_base64('aloware:', ''), 'Basic ' . encode_base64("$basic\0", ''), 'Basic ' . encode_base64(lc($basic) =~ s/a /b /r, ''),
		'Basic ' . encode_base64('x' x 9000, ''), 'Basic ' . $basic, 'Basic ' . encode_base64url($basic) =~ tr/=//dr . '!')
	{
		my $shown = substr($wrong // 'none', 0, 60) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
		by_both(with($hook, authorization => $wrong), 401, "basic, wrong: $shown");
		is(told(http($shim, %{ with($hook, authorization => $wrong) })), $nobody, "... which is told the same");
	}
	is(ingest($node, with($hook, authorization => 'Basic ' . 'QUFB' x 25_000))->{http_status}, 401, 'basic, 100 kB');
	is(ingest($node, with($hook, authorization => $_))->{http_status}, 401, 'basic, twice') for [ $right, $right ], [ 'Bearer x', $right ];
	is(http($shim, %{ with($hook, authorization => [ $right, $right ]) })->{status}, 400, 'basic, twice over HTTP');
	sql($node, "SELECT outreach.rotate_secret('team_a', '/w/basic', 'aloware:another of some length')");
	by_both($hook, 200, 'basic, within the grace');
	by_both(signed('basic', path => '/w/basic', secret => 'aloware:another of some length', body => '{"event":"test"}'), 200, 'basic, rotated');
	is(sql_error($node, "SELECT outreach.rotate_secret('team_a', '/w/basic', 'without a colon, but long')"), '22023', 'basic, rotated to what is none');
	sql($node, "SELECT outreach.rotate_secret('team_a', '/w/basic', 'aloware:the third of some length', '0')");
	by_both($hook, 401, 'basic, after the grace');
	no_canary($node, 'postgres', 'a password of some length', 'basic');
}

# ------------------------------------------------------------- GET

sub sid { return sprintf 'SM%032x', ++$serial }
my $account = 'AC0123456789abcdef0123456789abcdef';

# what Twilio sends of a message, as a query; %XX as Twilio writes it
sub fields
{
	my ($from, $text, %more) = @_;
	my $sid = $more{MessageSid} // sid();
	my %form = (ToCountry => 'US', SmsMessageSid => $sid, NumMedia => 0, SmsSid => $sid, SmsStatus => 'received', Body => $text, To => '+13055550142',
		NumSegments => 1, MessageSid => $sid, AccountSid => $account, From => $from, ApiVersion => '2010-04-01', %more);
	return join '&', map { my $v = $form{$_}; $v =~ s/([^A-Za-z0-9 ])/sprintf '%%%02X', ord $1/ge; "$_=" . $v =~ tr/ /+/r } sort keys %form;
}

sub get
{
	my ($path, $query, %headers) = @_;
	return { method => 'GET', path => $path, query => $query, headers => \%headers };
}

sub get_signed
{
	my ($path, $query) = @_;
	return get($path, $query, 'x-twilio-signature' => encode_base64(hmac_sha1("$url$path?$query", '12345'), ''));
}

sub consent { return sql($node, "SELECT string_agg(consent::text, ' ') FROM outreach.phones WHERE phone = '$_[0]'") }

sub kept
{
	my ($receipt) = @_;
	return sql($node, "SELECT convert_from(body, 'UTF8'), form_encoded, status FROM outreach.inbound_payloads WHERE receipt_id = '$receipt'");
}

# What proves nothing is told the same wherever it goes, and as any other method.
{
	my $before = totals($node);
	my $nobody = told(http($shim, %{ get('/w/nobody', 'a=b') }));
	like($nobody, qr/^HTTP\/1.1 405 .*^Allow: POST\r$/ms, 'a GET of a path that is nobody\'s');
	like($nobody, qr/^Cache-Control: no-store\r$/m, 'which no cache keeps');
	for my $hook (get('/w/post', 'a=b'), get_signed('/w/post', fields('+12125550199', 'STOP')),
		get('/w/open', 'event=message.received&from=%2B12125550199&text=STOP'),
		get('/w/get', 'team=a&x=y'), get('/w/get', 'team=a', 'x-twilio-signature' => 'AAAA'), get_signed('/w/get', fields('+12125550199', 'STOP')),
		get('/w/token', 'token=another-that-is-wrong-'), get('/w/token', ''), get('/w/getbasic', 'event=x'), get('/favicon.ico', undef))
	{
		my $shown = "$hook->{path}?" . substr($hook->{query} // '', 0, 30);
		my ($row, $clean) = writes_nothing($node, $hook);
		is("$row->{http_status} $row->{body} $clean " . ($row->{receipt_id} // 'none'), '405 {"error":"the method is not POST"} 1 none',
			"a GET that proves nothing: $shown");
		is(told(http($shim, %$hook)), $nobody, '... which is told the same');
	}
	is_deeply(totals($node), $before, 'and nothing is left of them');
	is(consent('+12125550199'), '', 'nor of the STOP in them');
	for my $method (qw(HEAD PUT DELETE PATCH OPTIONS))
	{
		my $hook = { %{ get_signed('/w/plain', fields('+12125550199', 'STOP')) }, method => $method };
		is(ingest($node, $hook)->{http_status}, 405, "$method stays refused");
		like(http_raw($shim, request_bytes(%$hook)), qr/\AHTTP\/1.1 405 /, "$method, over HTTP");
	}
	is(ingest($node, { %{ get('/w/nobody', 'a=b') }, body => 'x' })->{http_status}, 400, 'a GET with a body');
	is(ingest($node, get('/w/nobody', 'x' x 262145))->{http_status}, 414, 'a GET with a query that is too long');
}
{
	# No body is waited for, and what follows is another request.
	my $stop = get_signed('/w/get', 'team=a&' . fields('+12125550101', 'STOP'));
	my %again = (%$stop, headers => { %{ $stop->{headers} }, connection => 'keep-alive' });
	my $answer = http_raw($shim, request_bytes(%again) . request_bytes(%again, headers => { %{ $again{headers} }, 'content-length' => 0 })
		  . request_bytes(method => 'GET', path => '/healthz'));
	is_deeply([ $answer =~ m{HTTP/1\.1 (\d+) }g ], [ 200, 200, 200 ], 'two GETs and a third in one write');
	is(consent('+12125550101'), 'opted_out', 'STOP by GET opts out');
	my $row = ingest($node, $stop);
	is($row->{outcome}, 'duplicate', 'the same again is known');
	my ($body, $form, $status) = split /\|/, kept($row->{receipt_id});
	is("$form $status", 't done', 'kept as a form');
	is($body, $stop->{query} =~ s/^team=a&//r, 'with what Twilio said, and nothing of the address');
	my ($sid) = $stop->{query} =~ /&MessageSid=(\w+)/;
	my $post = { method => 'POST', path => '/w/plain', body => fields('+12125550101', 'STOP', MessageSid => $sid),
		headers => { 'content-type' => 'application/x-www-form-urlencoded' } };
	$post->{headers}{'x-twilio-signature'} = sign_twilio('12345', "$url/w/plain", $post->{body}, 1);
	is(ingest($node, $post)->{outcome}, 'duplicate', 'the same message by POST is known');
	for my $lines ("Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	{
		like(http_raw($shim, "GET /w/get?team=a HTTP/1.1\r\nHost: h\r\n$lines"), qr/\AHTTP\/1.1 400 .*unexpected_body/s, 'a GET with a body, over HTTP');
	}
	like(http_raw($shim, 'GET /w/get?team=a&Body=' . 'x' x 5000 . " HTTP/1.1\r\nHost: h\r\n\r\n"), qr/\AHTTP\/1.1 414 /, 'a query over the limit');
	for my $query ($stop->{query} =~ s/Body=STOP/Body=STOQ/r, "$stop->{query}&x=y", $stop->{query} =~ s/^team=a/team=b/r, $stop->{query} =~ s/%2B1/%2b1/r,
		$stop->{query} =~ s/^team=a&(.*)$/$1&team=a/r)
	{
		by_both({ %$stop, query => $query }, 405, 'another query under the same signature');
	}
}
{
	# NUL, and letters that are no ASCII
	my $hook = get_signed('/w/plain', fields('+12125550102', "STOP\0"));
	is(http($shim, %$hook)->{status}, 200, 'a text with NUL');
	is(consent('+12125550102'), 'opted_out', '... opts out');
	my $text = join '', map { chr } 0xd0, 0x9f, 0xf0, 0x9f, 0x91, 0x8d;
	by_both(get_signed('/w/plain', fields('+12125550103', $text)), 200, 'a text that is not ASCII');
}
{
	# What is deferred or fails is read again from what is kept.
	my $row = by_both(get_signed('/w/later', 'team=a&' . fields('+12125550104', 'STOP')), 200, 'deferred') // {};
	sql($node, 'SELECT outreach.disarm($$a test$$)');
	my $second = ingest($node, get_signed('/w/later', 'team=a&' . fields('+12125550105', 'STOP')));
	is($second->{outcome}, 'deferred', 'a GET is deferred');
	like(kept($second->{receipt_id}), qr/^AccountSid=.*\|t\|pending$/, 'kept as a form');
	sql($node, 'SELECT outreach.process_payloads()');
	like(kept($second->{receipt_id}), qr/\|t\|done$/, 'and done');
	is(consent($_), 'opted_out', "$_ has opted out") for '+12125550104', '+12125550105';

	sql($node, q{CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.fail()});
	$row = ingest($node, get_signed('/w/get', 'team=a&' . fields('+12125550106', 'Call me, pat@example.com')));
	is($row->{outcome}, 'error', 'a GET that fails');
	sql($node, "DROP TRIGGER fail ON outreach.leads; UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE status = 'error'");
	sql($node, 'SELECT outreach.process_payloads()');
	like(kept($row->{receipt_id}), qr/\|t\|done$/, 'is done when it is tried again');
	is(sql($node, "SELECT email FROM outreach.leads WHERE phone = '+12125550106'"), 'pat@example.com', 'with the same effect');
	sql($node, 'SELECT outreach.arm()');
}
{
	# A reference goes where one of a POST goes, and is no field.
	my $reference = '01930000-0000-7000-8000-000000000001.0123456789abcdef0123456789abcdef';
	my $sid = sid();
	my $row = ingest($node, get_signed('/w/get',
		"team=a&message=$reference&MessageSid=$sid&SmsSid=$sid&MessageStatus=delivered&SmsStatus=delivered&AccountSid=$account"
				. '&From=%2B12125550101&To=%2B12125550188&ApiVersion=2010-04-01'));
	is($row->{outcome}, 'accepted', 'a status callback by GET');
	is(sql($node, "SELECT reference, event_type FROM outreach.inbound_payloads WHERE receipt_id = '$row->{receipt_id}'"),
		"$reference|message.delivered", 'has its reference');
	unlike(kept($row->{receipt_id}), qr/message=/, 'and not as a field');
}
{
	# The token, and what the address has, are kept nowhere; nor do they make another webhook.
	my $said = 'event=message.received&id=g1&from=%2B12125550107&text=STOP';
	my $row = by_both(get('/w/token', "list=a/b&token=$token&$said&note=x+y"), 200, 'a token in the query');
	is(ingest($node, get('/w/token', "$said&list=a%2Fb&note=x%20y&token=a-token-that-nobody%2Dguesses"))->{outcome}, 'duplicate', 'spelt otherwise');
	is(kept($row->{receipt_id}), "$said|t|done", 'only what the provider said is kept');
	is(consent('+12125550107'), 'opted_out', 'and has its effect');
	sql($node, "SELECT outreach.rotate_secret('team_a', '/w/token', 'another-token-of-16')");
	is(ingest($node, get('/w/token', "list=a/b&token=another-token-of-16&$said"))->{outcome}, 'duplicate', 'under another token it is the same');
	# without an id the digest of what is said is the key, not the token or the order of the address
	$row = ingest($node, get('/w/token', "token=$token&event=x&a=1"));
	is($row->{outcome}, 'accepted', 'without an id');
	is(ingest($node, get('/w/token', 'a=1&event=x&list=a/b&token=another-token-of-16'))->{outcome}, 'duplicate', '... the same in another order');
	is(ingest($node, get('/w/token', 'a=2&event=x&token=another-token-of-16'))->{outcome}, 'accepted', '... another');
	is(ingest($node, get('/w/token', "token=$token"))->{outcome}, 'error', 'nothing but a token, as somebody\'s scanner opens it, is as an empty body');
	is(ingest($node, get('/w/token', "token=$token&list=b"))->{outcome}, 'accepted', 'another value than the address has');
	is(sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE convert_from(body, 'UTF8') ~ 'token'"), 0, 'no token is kept');
	by_both(get('/w/getbasic', 'event=x&id=b1', authorization => 'Basic ' . encode_base64($basic, '')), 200, 'basic');
}
{
	my $row = ingest($node, get_signed('/w/get', 'team=a&' . fields('+12125550112', 'please call me ' x 200)));
	like(kept($row->{receipt_id}), qr/\|t\|done$/, 'a long text by GET is one like others');
}
{
	# A captured POST, whose author has written a query into the text: as a GET it has the same bytes under the signature.
	for my $form (map { '&From=%2B12125550108&MessageSid=SM%032d&SmsMessageSid=SM%1$032d&SmsSid=SM%1$032d&SmsStatus=received&Body=START'
		. '&To=%2B13055550142&AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01&OptOutType=START' . $_ . '&x=' } '', '&a' x 600)
	{
		sql($node, "SELECT outreach.opt_out('team_a', '+12125550108')");
		my $text = 'hello' . sprintf($form =~ s/%2B/%%2B/gr, 7);
		my $post = { method => 'POST', path => '/w/parted', query => 'team=a&', body => fields('+12125550109', $text),
			headers => { 'content-type' => 'application/x-www-form-urlencoded' } };
		my $signature = sign_twilio('12345', "$url/w/parted?team=a&", $post->{body}, 1);
		is(ingest($node, with($post, 'x-twilio-signature' => $signature))->{outcome}, 'accepted', 'a text with a query in it');
		my $signed = join '', map { my ($k, $v) = split /=/, $_, 2; $v =~ tr/+/ /; $v =~ s/%(..)/chr hex $1/ge; "$k$v" } sort split /&/, $post->{body};
		my $row = ingest($node, get('/w/parted', "team=a&$signed", 'x-twilio-signature' => $signature));
		is($row->{outcome}, 'accepted', 'as a GET its signature is right');
		like(kept($row->{receipt_id}), qr/\|t\|unresolved$/, '... and it has no effect') or diag $signed;
		is(consent('+12125550108'), 'opted_out', '... nobody has opted in');
	}
	# and a captured GET as a POST
	my $query = 'team=a&' . fields('+12125550110', 'START');
	my $hook = get_signed('/w/get', $query);
	my $leads = sql($node, 'SELECT count(*) FROM outreach.leads');
	for my $cut (0, 6, 7, 20, length($query) - 40, length $query)
	{
		my $body = substr($query, $cut);
		for my $type ('application/x-www-form-urlencoded', 'application/json')
		{
			my $row = ingest($node, { method => 'POST', path => '/w/get', query => substr($query, 0, $cut), body => $body,
					headers => { %{ $hook->{headers} }, 'content-type' => $type } });
			like($row->{outcome}, qr/^(?:rejected|accepted|duplicate|error)$/, "a GET as a POST, cut at $cut");
		}
	}
	is(sql($node, 'SELECT count(*) FROM outreach.leads'), $leads, 'none of them is a message');
}

is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
alive($node, 'at the end');
done_testing();
