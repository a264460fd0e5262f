# The provider that the sending tests use (test/support/provider): it answers as
# the providers do, accepts what it says it accepts and nothing else, fails in the
# ways that are asked for, and its webhooks are signed.

use strict;
use warnings;
use lib 'test/support';

use Errno qw(ECONNRESET);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use OutreachTest;
use POSIX ();
use Test::More;
use TestProvider;
use Time::HiRes qw(sleep time);

my $json = JSON::PP->new->utf8->canonical;
my $sid = 'AC0123456789abcdef0123456789abcdef';
my %twilio = (authorization => 'Basic ' . encode_base64("$sid:12345", ''),
	'content-type' => 'application/x-www-form-urlencoded');
my %bearer = (authorization => 'Bearer tok', 'content-type' => 'application/json');
my $our = '+13055550142';
my $phone = '+12125550123';

my $provider = TestProvider->start(seed => 1);

# ---------------------------------------------------------------- requests

sub form
{
	my (%field) = @_;
	return join '&', map { "$_=" . ($field{$_} =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger) }
	  sort keys %field;
}

sub twilio
{
	my ($resource, %field) = @_;
	return { path => "/2010-04-01/Accounts/$sid/$resource", headers => \%twilio, body => form(%field) };
}

sub message
{
	my ($text, %field) = @_;
	return twilio('Messages.json', To => $phone, From => $our, Body => $text, %field);
}

sub signalhouse
{
	my (%member) = @_;
	return {
		path => '/message/sms',
		headers => \%bearer,
		body => $json->encode({
			senderPhoneNumber => '13055550142', recipientPhoneNumber => ['12125550123'],
			messageBody => 'hello', %member })
	};
}

sub generic
{
	my ($text, %header) = @_;
	return { path => '/messages', headers => { %bearer, %header },
		body => $json->encode({ to => $phone, from => $our, body => $text }) };
}

sub post { my ($request) = @_; return http($provider, %$request); }
sub get
{
	my ($path, $headers) = @_;
	return http($provider, method => 'GET', path => $path, headers => $headers);
}

sub decoded { my ($answer) = @_; return $json->decode($answer->{body}); }
sub accepted_since { my ($n) = @_; return grep { $_->{number} > $n } $provider->accepted; }
sub last_request { return ($provider->requests)[-1]; }

# One request on a socket; how it ended: complete, closed, reset or nothing
sub exchange
{
	my ($sock, $request, $timeout) = @_;
	my $deadline = time() + ($timeout // 30);
	my $bytes = '';
	local $SIG{PIPE} = 'IGNORE';
	syswrite($sock, request_bytes(%$request, headers => { %{ $request->{headers} }, connection => 'keep-alive' }));
	while (time() < $deadline)
	{
		next unless IO::Select->new($sock)->can_read(0.05);
		my $n = sysread($sock, $bytes, 65536, length $bytes);
		return ($! == ECONNRESET ? 'reset' : "error $!", $bytes) unless defined $n;
		return ('closed', $bytes) if $n == 0;
		return ('complete', $bytes)
		  if $bytes =~ /\A.*?\r\n\r\n/s && $bytes =~ /^content-length: (\d+)/mi
		  && length($bytes) >= index($bytes, "\r\n\r\n") + 4 + $1;
	}
	return ('nothing', $bytes);
}

# ---------------------------------------------------------------- SignalHouse

my $answer = post(signalhouse(statusCallbackUrl => 'https://hooks.example.com/w/x?message=0192-aa.mac'));
my $body = decoded($answer);
is($answer->{status}, 201, 'SignalHouse: 201');
is_deeply([ @$body{qw(requestedRecipientCount enqueuedCount failedCount dncBlockedNumbers filteredNumbers)} ],
	[ 1, 1, 0, [], [] ], 'its counts');
like($body->{insertedMessages}[0]{_id}, qr/^[0-9a-f]{24}$/, 'an id of 24 hexadecimal digits');
my ($row) = $provider->accepted;
is_deeply([ @$row{qw(number request api account recipient sender body id key fault)} ],
	[ 1, 1, 'signalhouse', 'tok', '12125550123', '13055550142', 'hello',
		$body->{insertedMessages}[0]{_id}, '0192-aa', undef ], 'the message is in the log when its answer is there');
is(post({ %{ signalhouse() }, headers => {} })->{status}, 401, 'no token: 401');
is(post(signalhouse(messageBody => ''))->{status}, 400, 'no text: 400');
is(post({ %{ signalhouse() }, body => '{"a":' })->{status}, 400, 'no JSON: 400');
for my $bad ('2125550123', '+12125550123')
{
	is(post(signalhouse(recipientPhoneNumber => [$bad]))->{status}, 202, "$bad: answered as if all were well");
	is($provider->counter('accepted'), 1, 'and not accepted');
}
$body = decoded(post(signalhouse(recipientPhoneNumber => [ '12125550123', '12125550124' ])));
is($body->{enqueuedCount}, 2, 'two recipients');
is(scalar(accepted_since(1)), 2, 'are two messages');
$body = decoded(post(signalhouse(messageBody => '[[fault:blocked]]')));
is_deeply([ $body->{enqueuedCount}, $body->{dncBlockedNumbers} ], [ 0, ['12125550123'] ],
	'blocked: 2xx, and none enqueued');
$body = decoded(post(signalhouse(messageBody => '[[fault:blocked:out]]')));
is_deeply([ $body->{enqueuedCount}, $body->{insertedMessages}[0]{errorCode} ], [ 0, 'OUT' ],
	'blocked by the campaign: OUT');
my $today = POSIX::strftime('%Y-%m-%d', gmtime);
my $list = "/message?groupId=G1&startDate=$today&endDate=$today&recipientPhoneNumber=12125550123";
$body = decoded(get($list, \%bearer));
is($body->{totalCount}, 2, 'the list of messages to a phone');
is($body->{messages}[1]{_id}, $row->{id}, 'newest first');
is(get('/message?recipientPhoneNumber=12125550123', \%bearer)->{status}, 400, 'the list needs a group and dates');

# ---------------------------------------------------------------- Twilio

my $n = $provider->counter('accepted');
$answer = post(message("caf\xc3\xa9 + 1\tand\\\n2 & more",
	StatusCallback => 'https://hooks.example.com/t?x=1&message=0193-bb.mac'));
$body = decoded($answer);
is($answer->{status}, 201, 'Twilio: 201');
like($body->{sid}, qr/^SM[0-9a-f]{32}$/, 'a sid');
is_deeply([ @$body{qw(status account_sid to from num_segments error_code)} ],
	[ 'queued', $sid, $phone, $our, '1', undef ], 'and what was asked for');
($row) = accepted_since($n);
is($row->{body}, "caf\xc3\xa9 + 1\tand\\\n2 & more", 'the text, byte for byte');
is($row->{key}, '0193-bb', "the key, from the callback's URL");
for my $case (
	[ 400, 21604, twilio('Messages.json', From => $our, Body => 'x') ],
	[ 400, 21603, twilio('Messages.json', To => $phone, Body => 'x') ],
	[ 400, 21602, twilio('Messages.json', To => $phone, From => $our) ],
	[ 400, 21211, message('x', To => '2125550123') ],
	[ 400, 21212, message('x', From => '5550142') ],
	[ 400, 21617, message('x' x 1601) ],
	[ 401, 20003, { %{ message('x') }, headers => { 'content-type' => $twilio{'content-type'} } } ],
	[ 404, 20404, { %{ message('x') }, path => '/2010-04-01/Accounts/AC1/Nothing.json' } ],
	[ 400, 21610, message('[[fault:error:21610]]') ],
	[ 429, 20429, message('[[fault:error:20429]]') ],
	[ 400, 30001, message('[[fault:error:30001]]') ],
	[ 503, 21611, message('[[fault:error:21611/503]]') ])
{
	my ($status, $code, $request) = @$case;
	$answer = post($request);
	is($answer->{status}, $status, "$code: HTTP $status");
	is_deeply([ sort keys %{ decoded($answer) } ], [qw(code message more_info status)], 'its members')
	  unless $code == 20404;
	is(decoded($answer)->{code}, $code, 'its code') unless $code == 20404;
}
is($provider->counter('accepted'), $n + 1, 'none of these was accepted');
$provider->config(twilio_token => 'other');
is(post(message('x'))->{status}, 401, 'a token that is set must be the one');
$provider->config(twilio_token => undef);
my $messages = "/2010-04-01/Accounts/$sid/Messages.json";
$body = decoded(get("$messages?To=%2B12125550123&From=%2B13055550142&DateSent=$today", \%twilio));
is_deeply([ map { $_->{sid} } @{ $body->{messages} } ], [ $row->{id} ], 'the list of messages');
is(scalar(@{ decoded(get("$messages?DateSent%3C=2020-01-01", \%twilio))->{messages} }), 0, 'by date');
is($body->{messages}[0]{status}, 'sent', 'sent by now');
$provider->config(twilio_queue_ms => 60000);
is(scalar(@{ decoded(get("$messages?DateSent=$today", \%twilio))->{messages} }), 0, 'what is queued has no date');
is(scalar(@{ decoded(get($messages, \%twilio))->{messages} }), 1, 'but is in the list');
$provider->config(twilio_queue_ms => 0, lookup_lag_ms => 60000);
is(scalar(@{ decoded(get($messages, \%twilio))->{messages} }), 0, 'too new for a list that lags');
$provider->config(lookup_lag_ms => 0, rules => [ { lookup => JSON::PP::true, fault => '503_before,ok' } ]);
is(get($messages, \%twilio)->{status}, 503, 'a look-up can fail');
$answer = get($messages, \%twilio);
is($answer->{status}, 200, 'and succeed then');
post(message("page $_")) for 1 .. 2;
$body = decoded(get("$messages?PageSize=2", \%twilio));
is(scalar(@{ $body->{messages} }), 2, 'a page');
is(scalar(@{ decoded(get($body->{next_page_uri}, \%twilio))->{messages} }), 1, 'and the next');
$answer = post(twilio('Calls.json', To => $phone, From => $our, Twiml => '<Response><Say>hello</Say></Response>'));
is($answer->{status}, 201, 'a call: 201');
like(decoded($answer)->{sid}, qr/^CA[0-9a-f]{32}$/, 'its sid');
is(decoded(post(twilio('Calls.json', To => $phone, From => $our)))->{code}, 21205, 'a call needs something to say');

my @media = map { "https://img.example.com/$_.png?a=b&c" } 1 .. 11;
sub with_media
{
	my ($request, @urls) = @_;
	return { %$request, body => join('&', $request->{body}, map { form(MediaUrl => $_) } @urls) };
}
$body = decoded(post(with_media(twilio('Messages.json', To => $phone, From => $our), @media[ 0, 1 ])));
like($body->{sid}, qr/^MM[0-9a-f]{32}$/, 'media without a text: a sid of its own kind');
is_deeply([ @$body{qw(num_media num_segments body)} ], [ 2, 1, '' ], 'and how many');
is(($provider->accepted)[-1]{media_urls}, "$media[0]\n$media[1]", 'the log has them, one a line');
is(decoded(post(with_media(message('x'), @media)))->{code}, 21623, 'eleven are too many');
is(decoded(post(with_media(message('x'), 'ftp://example.com/a')))->{code}, 21620, 'and a URL is one of HTTP');

# ---------------------------------------------------------------- mail, JSON

my $mail = { path => '/v3/mail/send', headers => \%bearer, body => $json->encode({
	personalizations => [ { to => [ { email => 'pat@example.com' } ], custom_args => { message_id => 'm-1' } } ],
	from => { email => 'us@example.com' }, subject => 'Hello', content => [ { type => 'text/plain', value => 'hi' } ] }) };
$answer = post($mail);
is_deeply([ $answer->{status}, $answer->{body} ], [ 202, '' ], 'SendGrid: 202, without a body');
is(($provider->accepted)[-1]{id}, $answer->{headers}{'x-message-id'}, 'its id is in a header');
is(($provider->accepted)[-1]{key}, 'm-1', 'and our name for it in custom_args');
is(post({ %$mail, body => '{}' })->{status}, 400, 'no mail: 400');
sub html_mail
{
	my ($bcc, @content) = @_;
	return { %$mail, body => $json->encode({
		personalizations => [ { to => [ { email => 'pat@example.com' } ], bcc => [ map { { email => $_ } } @$bcc ] } ],
		from => { email => 'us@example.com' }, subject => 'Hello', content => [ map { { type => "text/$_->[0]", value => $_->[1] } } @content ] }) };
}
is(post(html_mail([ 'a@example.com', 'b@example.com' ], [ plain => 'hi' ], [ html => '<p>hi</p>' ]))->{status}, 202, 'HTML and copies: 202');
is_deeply([ @{ ($provider->accepted)[-1] }{qw(recipient body html bcc)} ], [ 'pat@example.com', 'hi', '<p>hi</p>', "a\@example.com\nb\@example.com" ],
	'the log has them');
for my $bad ([ [], [ plain => 'hi' ] ], [ ['a'], [ plain => 'hi' ] ], [ [ 'a@example.com', 'A@example.com' ], [ plain => 'hi' ] ],
	[ ['Pat@example.com'], [ plain => 'hi' ] ],
	[ ['a@example.com'], [ html => '<p>hi</p>' ], [ plain => 'hi' ] ], [ ['a@example.com'], [ plain => 'hi' ], [ html => '' ] ])
{
	is(post(html_mail(@$bad))->{status}, 400, 'none, one that is no address, or there twice; HTML before the text, or empty: 400');
}
is(post({ path => '/messages', headers => \%bearer, body => $json->encode({ to => $phone, html => '<p>', bcc => ['a@example.com'],
	media_urls => [ $media[0] ] }) })->{status}, 201,
	'generic: media without a text');
is_deeply([ @{ ($provider->accepted)[-1] }{qw(body html bcc media_urls)} ], [ '', '<p>', 'a@example.com', $media[0] ], 'the log has all of it');
is(post({ path => '/messages', headers => \%bearer, body => $json->encode({ to => $phone, body => 'x', bcc => [] }) })->{status}, 400, 'a list is not empty');

$n = $provider->counter('accepted');
my $first = post(generic('once', 'idempotency-key' => 'k1'));
my $again = post(generic('once', 'idempotency-key' => 'k1'));
is($first->{status}, 201, 'generic: 201');
is($again->{body}, $first->{body}, 'the same key: the same answer');
is($again->{headers}{'idempotent-replayed'}, 'true', 'marked as a repetition');
$answer = post(generic('other', 'idempotency-key' => 'k1'));
is($answer->{status}, 422, 'the same key, another body: 422');
is_deeply([ keys %{ decoded($answer) } ], ['message'], 'with a message');
is(($provider->accepted)[-1]{key}, 'k1', 'the key stands for the message');
is($provider->counter('accepted'), $n + 1, 'one message');
for my $fault (qw(lose_answer 500_after garbage))
{
	my $request = generic("[[fault:$fault,ok]]", 'idempotency-key' => "k-$fault");
	post($request);
	is(post($request)->{status}, 201, "$fault: the repetition gets the answer");
}
is($provider->counter('accepted'), $n + 4, 'each was accepted once');
my $slow = http_open($provider);
syswrite($slow, request_bytes(%{ generic('[[fault:slow_accept:600]]', 'idempotency-key' => 'k2') }));
wait_until(sub { (last_request()->{key} // '') eq 'k2' }, 'the slow request');
$answer = post(generic('[[fault:slow_accept:600]]', 'idempotency-key' => 'k2'));
is_deeply([ $answer->{status}, $answer->{headers}{'retry-after'} ], [ 409, 1 ], 'the first is under way: 409');
is((exchange($slow, generic('behind'), 5))[0], 'complete', 'which is answered in the end');
$provider->config(idempotency_life_ms => 1);
sleep(0.01);
post(generic('once', 'idempotency-key' => 'k1'));
is($provider->counter('doubled'), 1, 'a key that has expired: accepted once more, and counted');
$provider->config(idempotency_life_ms => 86400000);

# ---------------------------------------------------------------- faults

# name, how the exchange ends, what is seen of the answer, messages accepted
for my $case (
	[ 'lose_answer', 'closed', qr/^$/, 1 ],
	[ 'reset', 'reset', qr/^$/, 1 ],
	[ 'reset_before', 'reset', qr/^$/, 0 ],
	[ 'close_before', 'closed', qr/^$/, 0 ],
	[ 'hang', 'nothing', qr/^$/, 1 ],
	[ 'hang_before', 'nothing', qr/^$/, 0 ],
	[ 'dribble:1', 'complete', qr/ 201 /, 1 ],
	[ 'dribble:200', 'nothing', qr/^HT/, 1 ],
	[ 'slow:100', 'complete', qr/ 201 /, 1 ],
	[ 'slow:3000', 'nothing', qr/^$/, 1 ],
	[ '429', 'complete', qr/ 429 .*Retry-After: 1\r/s, 0 ],
	[ '429:0', 'complete', qr/Retry-After: 0\r/, 0 ],
	[ '429:none', 'complete', qr/^((?!Retry-After).)*$/s, 0 ],
	[ '429:soon', 'complete', qr/Retry-After: soon\r/, 0 ],
	[ '429:date', 'complete', qr/Retry-After: \w{3}, \d\d/, 0 ],
	[ '500_after', 'complete', qr/ 500 /, 1 ],
	[ '503_before', 'complete', qr/ 503 /, 0 ],
	[ '503_before:7', 'complete', qr/Retry-After: 7\r/, 0 ],
	[ 'garbage:html', 'complete', qr/ 200 .*<html>/s, 1 ],
	[ 'garbage:truncated', 'complete', qr/ 201 .*\{[^}]*$/s, 1 ],
	[ 'garbage:empty', 'complete', qr/ 200 .*\r\n\r\n$/s, 1 ],
	[ 'garbage:binary', 'complete', qr/ 200 /, 1 ],
	[ 'wrong_length', 'closed', qr/ 201 /, 1 ],
	[ 'wrong_length:-5', 'complete', qr/ 201 /, 1 ],
	[ 'endless', 'nothing', qr/ 200 .*\{"a":\{\}/s, 1 ],
	[ 'status:307', 'complete', qr/ 307 .*Location:/s, 0 ],
	[ 'status_after:418', 'complete', qr/ 418 /, 1 ],
	[ 'late_accept:50', 'closed', qr/^$/, 0 ],
	[ 'slow_accept:1', 'complete', qr/ 201 /, 1 ])
{
	my ($fault, $end, $seen, $messages) = @$case;
	my $before = $provider->counter('accepted');
	my ($got, $bytes) = exchange(http_open($provider), message("[[fault:$fault]]"),
		$end eq 'nothing' ? 0.7 : 30);
	is($got, $end, "$fault: $end");
	like($bytes, $seen, 'what is seen of an answer');
	is($provider->counter('accepted') - $before, $messages, $messages ? 'accepted' : 'not accepted');
	is(last_request()->{fault}, $fault, 'the log names it');
	if ($fault eq 'late_accept:50')
	{
		wait_until(sub { $provider->counter('accepted') == $before + 1 }, 'the late message');
		is(($provider->accepted)[-1]{request}, last_request()->{number}, 'accepted after its connection had ended');
	}
}

my $sock = http_open($provider);
my $before = $provider->counter('accepted');
is((exchange($sock, message('[[fault:reset_reused]] a')))[0], 'complete',
	'reset_reused: the first of a connection is answered');
is((exchange($sock, message('[[fault:reset_reused]] b')))[0], 'reset', 'the second is accepted and reset');
is($provider->counter('accepted'), $before + 2, 'both were accepted');
is_deeply([ @{ last_request() }{qw(nth answer)} ], [ 2, 'reset' ], 'the log tells so');
$sock = http_open($provider);
is((exchange($sock, message('[[fault:delay_idle_close:30]]')))[0], 'complete', 'delay_idle_close: answered');
is(sysread($sock, my $rest, 1), 0, 'and closed');
$sock = http_open($provider);
exchange($sock, message('x')) for 1 .. 2;
is(last_request()->{nth}, 2, 'a connection is kept otherwise');
syswrite($sock, request_bytes(%{ message('chunks') },
	headers => { %twilio, 'transfer-encoding' => 'chunked', connection => 'keep-alive' },
	body => join('', map { sprintf("%x\r\n%s\r\n", length, $_) }
		'To=%2B12125550123&', 'From=%2B13055550142&Body=chunked', '')));
wait_until(sub { (($provider->accepted)[-1]{body}) eq 'chunked' }, 'a chunked request');

my $gone = http_open($provider);
syswrite($gone, request_bytes(%{ message('[[fault:slow_accept:100]] gone') }));
close($gone);
wait_until(sub { ($provider->accepted)[-1]{body} =~ /gone/ }, 'slow_accept with a client that has gone');
pass('what was on the wire is accepted without its client');

# which requests: markers, rules, shares
is(join(',', map { post(message('[[fault:429,503_before,ok]] 1'))->{status} } 1 .. 4), '429,503,201,201',
	'a list in a marker: one after the other');
is(post(message('[[fault:429,503_before,ok]] 2'))->{status}, 429, 'each message from its beginning');
$provider->config(rules => [ { fault => '503_before', to => '+1212*', skip => 1, times => 2 } ]);
is(join(',', map { post(message("rule $_"))->{status} } 1 .. 4), '201,503,503,201', 'a rule with skip and times');
is(post(message('rule', To => '+13105550111'))->{status}, 201, 'for others it does not hold');
$provider->config(rules => [ { fault => '429,ok', each => JSON::PP::true, body => '*again*' } ]);
is(join(',', map { my $text = $_; map { post(message($text))->{status} } 1 .. 2 } 'again a', 'again b'),
	'429,201,429,201', 'a rule for each message by itself');
$provider->config(rules => [], faults => { '503_before' => 0.25, '429' => 0.25 });
my %seen;
$seen{ post(message("share $_"))->{status} }++ for 1 .. 200;
cmp_ok($seen{$_}, '>', 20, "shares: $_ among 200") for 429, 503;
cmp_ok($seen{201}, '>', 60, 'and good answers');
$provider->config(faults => {});
like(http($provider, path => '/control/config', body => '{"faults":{"nothing":1}}')->{body}, qr/no such fault/,
	'an unknown fault is an error');
like(http($provider, path => '/control/config', body => '{"latency":1}')->{body}, qr/no such setting/,
	'so is an unknown setting');
$provider->config(latency_ms => 200);
my $start = time();
post(message('late'));
cmp_ok(time() - $start, '>=', 0.19, 'a latency for all');
$provider->config(latency_ms => 0);
like($provider->raw(1), qr{^POST /message/sms HTTP/1.1\r\n.*\r\n\r\n\{.*"hello"}s, 'the bytes of a request are kept');

# ---------------------------------------------------------------- webhooks

# Receives on a port of its own: appends each request to a file, answers by its path
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
my $hooks = File::Temp->newdir();
my $receiver = fork() // die "fork: $!";
if ($receiver == 0)
{
	# a test's own handler would end this as a test
	$SIG{TERM} = 'DEFAULT';
	my %times;
	open(my $out, '>>', "$hooks/seen") or die $!;
	$out->autoflush(1);
	while (my $client = $listener->accept)
	{
		my $bytes = '';
		while (1)
		{
			my ($length) = $bytes =~ /^content-length: (\d+)/mi;
			my $end = index($bytes, "\r\n\r\n");
			last if $end >= 0 && length($bytes) >= $end + 4 + $length;
			last unless sysread($client, $bytes, 65536, length $bytes);
		}
		next unless $bytes =~ m{\APOST (\S+) HTTP/1.1\r\n(.*?)\r\n\r\n(.*)\z}s;
		my ($path, $head, $content) = ($1, $2, $3);
		my %headers = map { /^(.*?): (.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
		my @status = $path =~ m{/answer/([\d,]+)} ? split /,/, $1 : 200;
		my $status = $status[ $times{$path}++ ] // $status[-1];
		print $out $json->encode({ path => $path, headers => \%headers, body => $content, at => time() }), "\n";
		syswrite($client, "HTTP/1.1 $status X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
		close($client);
	}
	POSIX::_exit(0);
}
my $hook_port = $listener->sockport;
close($listener);

my $hooks_seen = 0;
sub hooks
{
	$provider->quiesce;
	open(my $in, '<', "$hooks/seen") or die $!;
	my @lines = <$in>;
	my @new = map { $json->decode($_) } @lines[ $hooks_seen .. $#lines ];
	$hooks_seen = @lines;
	return @new;
}

sub statuses { return join ',', map { /MessageStatus=(\w+)/ } map { $_->{body} } @_; }

# the host of the URL is stood in for, the signature is still that of the URL
$provider->config(callback_to => "127.0.0.1:$hook_port", callback_retry_ms => 10,
	callbacks => 'sent@20,delivered@60');
my $url = 'https://hooks.example.com/w/ep?message=0194-cc.mac';
post(message('callbacks', StatusCallback => $url));
my @hooks = hooks();
is(statuses(@hooks), 'sent,delivered', 'Twilio: a plan of callbacks');
is($hooks[0]{headers}{'x-twilio-signature'}, sign_twilio('12345', $url, $hooks[0]{body}, 1), 'with their signature');
is($hooks[0]{path}, '/w/ep?message=0194-cc.mac', 'to the URL of the message');
isnt($hooks[0]{headers}{'i-twilio-idempotency-token'},
	$hooks[1]{headers}{'i-twilio-idempotency-token'}, 'and a token each');
post(signalhouse(statusCallbackUrl => $url));
@hooks = hooks();
is(join(',', map { $json->decode($_->{body})->{event} } @hooks),
	'SMS_SENT,MESSAGE_DELIVERED', 'SignalHouse: the same plan');
is($hooks[1]{headers}{'x-signalhouse-signature'},
	sign_signalhouse('test-signing-secret', $hooks[1]{headers}{'x-signalhouse-timestamp'},
		$hooks[1]{body}), 'signed');
is($json->decode($hooks[1]{body})->{identifier}, ($provider->accepted)[-1]{id}, 'about this message');
is_deeply([ sort keys %{ $json->decode($hooks[1]{body})->{metaData} } ],
	[ sort keys %{ $json->decode(payload('signalhouse-message_delivered.json'))->{metaData} } ], 'in the shape that is known');

for my $case (
	[ 'delivered@10,sent@40', 'delivered,sent', 'reversed' ],
	[ 'sent*3@5', 'sent,sent,sent', 'repeated' ],
	[ 'delivered/segment@5', 'delivered,delivered', 'for each segment' ],
	[ '', '', 'never' ],
	[ 'undelivered:30003@5', 'undelivered', 'with an error code' ])
{
	my ($plan, $expected, $what) = @$case;
	post(message("[[callbacks:$plan]]" . 'x' x 150, StatusCallback => $url));
	@hooks = hooks();
	is(statuses(@hooks), $expected, "callbacks $what");
}
like($hooks[0]{body}, qr/&ErrorCode=30003$/, 'the code is told');
post(message('[[callbacks:sent@early]]', StatusCallback => $url));
my $answered = time();
@hooks = hooks();
cmp_ok($hooks[0]{at}, '<', $answered, 'early: before the answer to the send');
post(message('[[fault:lose_answer]] [[callbacks:sent@5]]', StatusCallback => $url));
is(statuses(hooks()), 'sent', 'a lost answer does not stop the callbacks');

for my $case ([ '503,200', 2, 'answered' ], [ '503', 2, 'given_up' ], [ '404', 1, 'refused' ])
{
	my ($way, $attempts, $outcome) = @$case;
	post(message('[[callbacks:sent@1]]', StatusCallback => "https://hooks.example.com/answer/$way?message=1"));
	$provider->quiesce;
	is_deeply([ @{ ($provider->callbacks)[-1] }{qw(attempts outcome status)} ], [ $attempts, $outcome, 'sent' ],
		"Twilio, answered $way: $outcome");
}
post(signalhouse(messageBody => '[[callbacks:sent@1]]',
	statusCallbackUrl => 'https://hooks.example.com/answer/500,429,200?x=1'));
@hooks = hooks();
is(($provider->callbacks)[-1]{attempts}, 3, 'SignalHouse tries three times');
is($hooks[-1]{headers}{'x-signalhouse-delivery-id'},
	$hooks[-2]{headers}{'x-signalhouse-delivery-id'}, 'under one delivery id');
my $id = ($provider->accepted)[-1]{id};
is_deeply($provider->callback(message => $id, status => 'failed', code => 30034),
	{ outcome => 'answered', http_status => 200 }, 'a callback on request');
is($json->decode((hooks())[-1]{body})->{metaData}{errorCode}, '30034', 'with its code');
is(decoded(get("/message?id=$id", \%bearer))->{messages}[0]{status}, 'FAILED', 'the list tells the same');
is_deeply($provider->reply(message => $id, body => 'Stop', url => 'https://hooks.example.com/in'),
	{ outcome => 'answered', http_status => 200 }, 'a reply');
my $reply = $json->decode((hooks())[-1]{body})->{metaData}{Message};
is_deeply([ @$reply{qw(senderPhoneNumber recipientPhoneNumber messageBody)} ],
	[ '12125550123', '13055550142', 'Stop' ], 'from the phone to our number');
$provider->config(reply_url => 'https://hooks.example.com/in');
post(message('[[callbacks:reply:STOP@5]]'));
@hooks = hooks();
like($hooks[0]{body}, qr/SmsStatus=received&Body=STOP/, 'Twilio: a reply by plan');
is($hooks[0]{headers}{'x-twilio-signature'},
	sign_twilio('12345', 'https://hooks.example.com/in', $hooks[0]{body}, 1), 'signed');
$provider->config(call_callbacks => 'ringing@1,completed@20');
post(twilio('Calls.json', To => $phone, From => $our, Url => 'https://a.example/x', StatusCallback => $url));
is(join(',', map { $_->{body} =~ /CallStatus=([\w-]+)/ } hooks()), 'ringing,completed', 'a call has its own plan');
$provider->config(callback_to => undef);
post(message('[[callbacks:sent@1]]', StatusCallback => $url));
$provider->quiesce;
is(($provider->callbacks)[-1]{outcome}, 'impossible', 'nothing leaves loopback');
post(message('[[callbacks:sent@1]]', StatusCallback => "http://127.0.0.1:$hook_port/direct"));
is(scalar(hooks()), 1, 'a URL on loopback needs no stand-in');
kill 'TERM', $receiver;
waitpid($receiver, 0);
post(message('[[callbacks:sent@1]]', StatusCallback => "http://127.0.0.1:$hook_port/direct"));
$provider->quiesce;
is(($provider->callbacks)[-1]{outcome}, 'given_up', 'nobody there: given up');

# ---------------------------------------------------------------- many, and the end

my @many = map { http_open($provider) } 1 .. 500;
syswrite($_, request_bytes(%{ message('[[fault:slow:300]] many') })) for @many;
my $good = grep { (exchange($_, { %{ message('x') }, headers => {} }, 30))[1] =~ / 201 / } @many;
is($good, 500, '500 connections at once');

my $node = new_cluster(preload => 0);
$provider->load($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM provider_accepted'), $provider->counter('accepted'),
	'the log can be copied into tables');
is($node->safe_psql('postgres', q{SELECT count(*) FROM provider_accepted a JOIN provider_requests r ON r.number = a.request
	WHERE r.message <= a.number AND body = E'caf\u00e9 + 1\tand\\\\\n2 & more'}), 1, 'as it was');
is($node->safe_psql('postgres', q{SELECT count(*) FROM provider_callbacks WHERE outcome = 'given_up'}), 2, 'callbacks too');

$provider->forget;
is($provider->counter('accepted'), 0, 'forgotten');
is(scalar($provider->requests), 0, 'in the log too');
post(message('anew'));
is(scalar($provider->accepted), 1, 'and begun anew');
is($provider->stop, 0, 'it ends on SIGTERM');
is(scalar($provider->accepted), 1, 'the log stays');

pipe(my $read, my $write);
my $parent = fork() // die "fork: $!";
if ($parent == 0)
{
	my $orphan = TestProvider->start;
	syswrite($write, $orphan->pid . "\n");
	POSIX::_exit(0);
}
waitpid($parent, 0);
chomp(my $orphan = <$read>);
wait_until(
	sub {
		open(my $in, '<', "/proc/$orphan/stat") or return 1;
		return (<$in> // ') Z') =~ /\) Z/;	# nobody may have waited for it
	},
	'the provider to end with its parent');
pass('it ends with the process that started it');

done_testing();
