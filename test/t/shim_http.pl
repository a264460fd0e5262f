# The HTTP side of the shim, byte by byte: what it takes, what it refuses, how
# long it waits.  Each refusal is followed by a well-formed request on the same
# connection, which must not be answered: after a refusal nothing is read.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/proof', 'generic', 'secret_header', 'a-secret-of-some-length', NULL, 'X-Own-Proof');
});

# Deadlines long enough not to fire by themselves on a slow machine.
my %patient = map { $_ => '120s' }
  qw(header_timeout request_timeout idle_timeout reply_timeout queue_timeout database_call_timeout);
my $shim = start_shim($node, conf => \%patient);

my $serial = 0;

# a JSON body that no other request has had
sub fresh
{
	return sprintf('{"event":"test","id":"%d"}', ++$serial);
}

# POST with these header lines (after Host) and this body, as bytes
sub post
{
	my ($lines, $body, $target) = @_;
	$target //= '/w/open';
	return join("\r\n", "POST $target HTTP/1.1", 'Host: hooks.example.com', @$lines) . "\r\n\r\n" . ($body // '');
}

# the same with a Content-Length that fits
sub sized
{
	my ($lines, $body, $target) = @_;
	return post([ @$lines, 'Content-Length: ' . length($body) ], $body, $target);
}

my $follow = sized([], '{"event":"smuggled"}');

sub effects
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM outreach.webhook_receipts');
}

sub statuses
{
	my ($bytes) = @_;
	return [ $bytes =~ m{HTTP/1\.1 (\d{3}) }g ];
}

# ------------------------------------------------------------- refused

my $chunked = 'Transfer-Encoding: chunked';
my $long_name = 'x' x 100;

# name, answer, bytes
my @refused = (
	# framing
	[ 'Content-Length and Transfer-Encoding', 400, post([ 'Content-Length: 5', $chunked ], "0\r\n\r\n") ],
	[ 'the same, the other way round', 400, post([ $chunked, 'Content-Length: 5' ], "0\r\n\r\n") ],
	[ 'two different Content-Lengths', 400, post([ 'Content-Length: 2', 'Content-Length: 3' ], '{} ') ],
	[ 'two equal Content-Lengths', 400, post([ 'Content-Length: 2', 'Content-Length: 2' ], '{}') ],
	[ 'a list of Content-Lengths', 400, post(['Content-Length: 2, 2'], '{}') ],
	(map { [ "Content-Length \"$_\"", 400, post(["Content-Length: $_"], '{}') ] }
		'+2', '-1', '0x2', '', ' ', '2 ;', '2.0', '2e0', '1 2', '12345678901234567890', '99999999999999999999999', "\xd9\xa2"),
	[ 'Content-Length over the limit', 413, post(['Content-Length: 1048577'], '') ],
	[ 'Content-Length with nine digits', 413, post(['Content-Length: 999999999'], '') ],
	(map { [ "Transfer-Encoding \"$_\"", 400, post(["Transfer-Encoding: $_"], "0\r\n\r\n") ] }
		'gzip, chunked', 'xchunked', 'chunked, chunked', 'chunked;q=1', 'identity', 'chunked, identity', '', '"chunked"', "chunked\x0b"),
	[ 'two Transfer-Encodings', 400, post([ $chunked, $chunked ], "0\r\n\r\n") ],
	[ 'space before the colon of Transfer-Encoding', 400, post(['Transfer-Encoding : chunked'], "0\r\n\r\n") ],
	[ 'Transfer-Encoding in HTTP/1.0', 400, "POST /w/open HTTP/1.0\r\nHost: h\r\n$chunked\r\n\r\n0\r\n\r\n" ],
	[ 'neither length nor chunked', 411, post([]) ],
	[ 'a body with GET', 400, "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}" ],
	[ 'chunked GET', 400, "GET /healthz HTTP/1.1\r\nHost: h\r\n$chunked\r\n\r\n0\r\n\r\n" ],

	# chunks
	(map { [ "chunk size \"$_\"", 400, post([$chunked], "$_\r\n{}\r\n0\r\n\r\n") ] }
		'0x2', '+2', '-2', ' 2', '2 ', '', 'g', '0000002', '2;a=b', '2;', 'ffffffffffffffff2', '2,2'),
	[ 'endless chunk size', 400, post([$chunked], '0' x 100_000) ],
	[ 'endless chunk extension', 400, post([$chunked], '2;' . 'a' x 100_000) ],
	[ 'chunk larger than the limit', 413, post([$chunked], "ffffff\r\n") ],
	[ 'chunks larger than the limit together', 413,
		post([$chunked], ("8000\r\n" . 'x' x 32768 . "\r\n") x 33 . "0\r\n\r\n") ],
	[ 'chunk size with a bare line feed', 400, post([$chunked], "2\n{}\r\n0\r\n\r\n") ],
	[ 'chunk data with a bare line feed', 400, post([$chunked], "2\r\n{}\n0\r\n\r\n") ],
	[ 'chunk data longer than its size', 400, post([$chunked], "1\r\n{}\r\n0\r\n\r\n") ],
	[ 'chunk data without line end', 400, post([$chunked], "2\r\n{}0\r\n\r\n") ],
	[ 'last chunk with a bare line feed', 400, post([$chunked], "2\r\n{}\r\n0\n\r\n") ],
	[ 'trailer with a bare line feed', 400, post([$chunked], "2\r\n{}\r\n0\r\nA: b\n\r\n") ],
	[ 'trailer with a control character', 400, post([$chunked], "2\r\n{}\r\n0\r\nA: \x01\r\n\r\n") ],
	[ 'endless trailer', 431, post([$chunked], "2\r\n{}\r\n0\r\n" . "A: b\r\n" x 2000) ],
	[ 'long trailer line', 431, post([$chunked], "2\r\n{}\r\n0\r\nA: " . 'b' x 10_000) ],

	# lines
	[ 'bare line feed after the request line', 400, "POST /w/open HTTP/1.1\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'bare line feed after a header', 400, "POST /w/open HTTP/1.1\r\nHost: h\nContent-Length: 0\r\n\r\n" ],
	[ 'bare line feeds at the end of the head', 400, "POST /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\n\n" ],
	[ 'bare carriage return in a value', 400, post([ "A: b\rc", 'Content-Length: 0' ]) ],
	[ 'two carriage returns', 400, post([ "A: b\r", 'Content-Length: 0' ]) ],
	[ 'NUL in a value', 400, post([ "A: b\0c", 'Content-Length: 0' ]) ],
	[ 'NUL in a name', 400, post([ "A\0: b", 'Content-Length: 0' ]) ],
	[ 'control character in a value', 400, post([ "A: b\x01c", 'Content-Length: 0' ]) ],
	[ 'DEL in a value', 400, post([ "A: b\x7f", 'Content-Length: 0' ]) ],
	[ 'folded header', 400, post([ "A: b\r\n c", 'Content-Length: 0' ]) ],
	[ 'folded header, tab', 400, post([ "A: b\r\n\tc", 'Content-Length: 0' ]) ],
	[ 'first header folded', 400, "POST /w/open HTTP/1.1\r\n Host: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'empty header name', 400, post([ ': b', 'Content-Length: 0' ]) ],
	[ 'header without a colon', 400, post([ 'A b', 'Content-Length: 0' ]) ],
	[ 'space before a colon', 400, post([ 'A : b', 'Content-Length: 0' ]) ],
	[ 'space in a header name', 400, post([ 'A B: b', 'Content-Length: 0' ]) ],
	[ 'non-ASCII header name', 400, post([ "\xc3\xa9: b", 'Content-Length: 0' ]) ],
	[ 'header value that is not UTF-8', 400, post([ "A: \xff", 'Content-Length: 0' ]) ],
	[ 'header value with an overlong encoding', 400, post([ "A: \xc0\xaf", 'Content-Length: 0' ]) ],
	[ 'empty line before the request', 400, "\r\nPOST /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],

	# headers
	[ 'no Host', 400, "POST /w/open HTTP/1.1\r\nContent-Length: 0\r\n\r\n" ],
	[ 'empty Host', 400, "POST /w/open HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n" ],
	[ 'Host with a slash', 400, "POST /w/open HTTP/1.1\r\nHost: a/b\r\nContent-Length: 0\r\n\r\n" ],
	[ 'Host with two names', 400, "POST /w/open HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\n\r\n" ],
	(map { [ "two of $_", 400, post([ "$_: a", "\U$_\E: a", 'Content-Length: 0' ]) ] }
		qw(Host X-Twilio-Signature X-Hub-Signature-256 Webhook-Id Webhook-Timestamp Webhook-Signature
		Svix-Id Content-Type Authorization X-Webhook-Secret X-Webhook-Token X-SignalHouse-Signature X-SignalHouse-Timestamp
		X-Ghl-Signature X-Texting-Signature X-Texting-Secret)),
	[ 'Expect', 417, post([ 'Expect: 100-continue', 'Content-Length: 2' ], '{}') ],
	[ 'Upgrade', 400, post([ 'Connection: Upgrade', 'Upgrade: h2c', 'Content-Length: 2' ], '{}') ],
	[ 'Upgrade alone', 400, post([ 'Upgrade: websocket', 'Content-Length: 2' ], '{}') ],
	[ 'Content-Encoding gzip', 415, sized(['Content-Encoding: gzip'], "\x1f\x8b\x08") ],
	[ 'Content-Encoding gzip, identity', 415, sized(['Content-Encoding: gzip, identity'], "\x1f\x8b\x08") ],
	[ 'too many headers', 431, sized([ map { "A$_: b" } 1 .. 63 ], '{}') ],
	[ 'too many bytes of headers', 431, sized([ map { "A$_: $long_name" } 1 .. 60, 'B: ' . 'x' x 3000 ], '{}') ],
	[ 'one endless header', 431, "POST /w/open HTTP/1.1\r\nHost: " . 'x' x 100_000 ],

	# request line
	[ 'request line over the limit', 414, 'POST /' . 'x' x 3000 ],
	[ 'endless method', 414, 'P' x 3000 ],
	(map { [ "target \"$_\"", 400, sized([], '{}', $_) ] }
		'http://169.254.169.254/latest', 'HTTPS://h/', '//h/w', '*', 'w/open', 'h:80', '',
		'/a#b', '/a b', "/\xc3\xa9", '/a\\b', '/a"b', '/a<b',
		'/%', '/%4', '/%zz', '/a?b=%', '/a?b=%g1', '/a?b=%0', '/%00', '/%0d%0a', '/%7f', '/%2fa', '/a%5cb',
		'/.', '/..', '/../w', '/w/..', '/w/./open', '/w/../open', '/%2e%2e/w', '/w/%2E%2e/open', '/.%2e/w', '/w/%2e',
		'/%252e%252e/w', '/%2500'),
	[ 'two spaces', 400, "POST  /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'tab in the request line', 400, "POST\t/w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'space after the version', 400, "POST /w/open HTTP/1.1 \r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'no version', 400, "POST /w/open\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'lower-case version', 400, "POST /w/open http/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'another protocol', 400, "POST /w/open RTSP/1.0\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	(map { [ "version $_", 505, "POST /w/open HTTP/$_\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ] }
		'0.9', '1.2', '2.0', '9.9'),
	[ 'an unknown method', 400, "BREW /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'a lower-case method', 400, "post /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ],
	[ 'CONNECT', 400, "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n" ],
	(map { [ "$_ to a webhook path", 405, "$_ /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" ] }
		qw(PUT DELETE PATCH OPTIONS TRACE)),
	[ 'a body with a GET of a webhook path', 400, "GET /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}" ],
	[ 'chunked GET of a webhook path', 400, "GET /w/open HTTP/1.1\r\nHost: h\r\n$chunked\r\n\r\n0\r\n\r\n" ],
	[ 'HEAD of a webhook path', 405, "HEAD /w/open HTTP/1.1\r\nHost: h\r\n\r\n" ],
	(map { [ "POST $_", 405, sized([], '{}', $_) ] } '/healthz', '/readyz', '/healthz?a=b'),

	# not HTTP/1 at all
	[ 'HTTP/2 preface', 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" ],
	[ 'TLS on the plain port', 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 500 ],
	[ 'noise', 400, join('', map { chr($_ * 37 % 256) } 1 .. 2000) ],
);

my $before = effects();
for my $row (@refused)
{
	my ($name, $status, $bytes) = @$row;
	$name =~ s/([^\x20-\x7e])/sprintf('\\x%02x', ord $1)/ge;
	my $answer = http_raw($shim, $bytes . $follow);
	is_deeply(statuses($answer), [$status], "refused: $name")
	  or diag substr($answer, 0, 200);
	like($answer, qr/^Connection: close\r$/m, "closed: $name");
}
is(effects(), $before, 'nothing refused had an effect');
like(http_raw($shim, "PUT /w/x HTTP/1.1\r\nHost: h\r\n\r\n"), qr/^Allow: POST\r$/m, '405 says what is allowed');
# which the database says of a GET, so that the connection stays
is_deeply(statuses(http_raw($shim, "GET /w/x HTTP/1.1\r\nHost: h\r\n\r\nGET /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
	[ 405, 405 ], 'a GET of a webhook path is not allowed where its endpoint does not say so');
like(http_raw($shim, sized([], '{}', '/healthz')), qr/^Allow: GET, HEAD\r$/m, 'and for the health page');

# ------------------------------------------------------------- taken

my $body = fresh();
my $half = int(length($body) / 2);
my @taken = (
	[ 'Content-Length', sized([], fresh()) ],
	[ 'leading zeros in Content-Length', post(['Content-Length: 0000' . length($body)], $body) ],
	[ 'chunked', post([$chunked], sprintf("%x\r\n%s\r\n0\r\n\r\n", length($body), $body)) ],
	[ 'Chunked, two chunks, upper case and leading zeros',
		post(['transfer-encoding: CHUNKED'], sprintf("%04X\r\n%s\r\n%06x\r\n%s\r\n000000\r\n\r\n",
			$half, substr($body, 0, $half), length($body) - $half, substr($body, $half))) ],
	[ 'chunked with a trailer',
		post([$chunked], sprintf("%x\r\n%s\r\n0\r\nX-Twilio-Signature: forged\r\n\r\n", length($body), $body)) ],
	[ 'HTTP/1.0', "POST /w/open HTTP/1.0\r\nContent-Length: " . length($body) . "\r\n\r\n$body" ],
	[ 'an identity Content-Encoding', sized(['Content-Encoding: Identity'], fresh()) ],
	[ 'header in UTF-8', sized(["X-Name: J\xc3\xb6rg"], fresh()) ],
	[ 'empty header', sized(['X-Empty:'], fresh()) ],
	[ 'a header twice', sized([ 'X-Forwarded-For: 192.0.2.1', 'X-Forwarded-For: 192.0.2.2' ], fresh()) ],
	[ 'sixty-four headers', sized([ map { "A$_: b" } 1 .. 62 ], fresh()) ],
	[ 'largest body', sized([], '{"event":"big","x":"' . 'x' x (1048576 - 22) . '"}') ],
	[ 'largest body, chunked', post([$chunked],
		sprintf("%x\r\n%s\r\n0\r\n\r\n", 1048576, '{"event":"big2","x":"' . 'x' x (1048576 - 23) . '"}')) ],
	[ 'a query with %25', sized([], fresh(), '/w/open?next=%2525') ],
	[ 'a query with %00', sized([], fresh(), '/w/open?next=%00') ],
	[ 'a body that is not UTF-8', sized([], "\xff\xfe") ],
	[ 'an empty body', sized([], '') ],
);
for my $row (@taken)
{
	my ($name, $bytes) = @$row;
	my $answer = http_raw($shim, $bytes, done => sub { $_[0] =~ /\r\n\r\n/ });
	my ($status) = @{ statuses($answer) };
	ok(defined $status && $status < 500 && $answer =~ /^X-Correlation-Id: [0-9a-f-]{36}\r$/m, "taken: $name")
	  or diag substr($answer, 0, 300);
	unlike($answer, qr/"error":/, "answered by the database: $name");
	# every split of the same bytes ends the same
	next if length($bytes) > 1000;
	my $sock = http_open($shim);
	$sock->setsockopt(6, 1, 1);
	syswrite($sock, $_) for split //, $bytes;
	my $again = '';
	sysread($sock, $again, 65536, length $again) while $again !~ /\r\n\r\n/;
	is_deeply(statuses($again), [$status], "byte by byte: $name");
}

# what the database gets is what was sent
{
	my $r = http($shim, path => '/w/open', headers => [ [ 'Content-Type', 'application/json' ] ], body => fresh());
	is($r->{status}, 200, 'a webhook is accepted');
	unlike($r->{raw}, qr/^(?:Server|X-Powered-By|Via):/mi, 'no word about the program');
	like($r->{headers}{date}, qr/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/, 'the date');
	like($r->{headers}{'x-correlation-id'}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
		'the correlation id is a UUID version 7');
}

# a header that only the endpoint knows to carry a proof
{
	my $proof = 'X-Own-Proof: a-secret-of-some-length';
	my @answers = map { statuses(http_raw($shim, sized([ @$_, 'Connection: close' ], fresh(), '/w/proof')))->[0] }
	  [$proof], [ $proof, $proof ], [ $proof, 'x-own-proof: another' ], [];
	is_deeply(\@answers, [ 200, 401, 401, 401 ], 'a proof is taken once, not twice');
}

# ------------------------------------------------------------- health

for my $path (qw(/healthz /readyz))
{
	my $r = http($shim, method => 'GET', path => $path);
	is($r->{status}, 200, "GET $path");
	is(ref decode_json($r->{body}), 'HASH', "$path answers JSON");
	my $head = http_raw($shim, "HEAD $path HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	like($head, qr{\AHTTP/1\.1 200 .*\nContent-Length: [1-9]\d*\r\n.*\r\n\r\n\z}s, "HEAD $path has no body");
}
is(http($shim, method => 'GET', path => '/readyz')->{body}, '{"status":"ready","armed":true}', '/readyz says that the database is armed');

# ------------------------------------------------------------- keep-alive, pipelining

{
	my @bodies = map { fresh() } 1 .. 20;
	my $answer = http_raw($shim,
		join('', map({ sized([], $_) } @bodies), "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
	is_deeply(statuses($answer), [ (200) x 21 ], 'twenty-one requests in one write, all answered');
	like($answer, qr/\{"status":"ok"\}\z/, 'in their order');
	is(() = $answer =~ /^Connection: close\r$/mg, 1, 'only the last one closes');

	$answer = http_raw($shim, sized(['Connection: close'], fresh()) . $follow);
	is_deeply(statuses($answer), [200], 'nothing is read after Connection: close');

	$answer = http_raw($shim, "GET /healthz HTTP/1.0\r\n\r\n" . $follow);
	is_deeply(statuses($answer), [200], 'HTTP/1.0 closes');

	$answer = http_raw($shim, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n");
	is_deeply(statuses($answer), [ 200, 200 ], 'HTTP/1.0 keeps when asked');
	like($answer, qr/^Connection: keep-alive\r$/m, 'and says so');

	$answer = http_raw($shim, sized([], fresh()) . sized([], fresh()), shut => 1);
	is_deeply(statuses($answer), [ 200, 200 ], 'a client that shuts its side gets its answers');

	$answer = http_raw($shim, sized([], fresh()) . "POST /w/open HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab", shut => 1);
	is_deeply(statuses($answer), [200], 'half a request gets none');

	$answer = http_raw($shim, sized([], fresh(), '/w/nobody') . sized(['Connection: close'], fresh()));
	is(scalar(@{ statuses($answer) }), 2, 'a refusal by the database does not close the connection');
	cmp_ok(statuses($answer)->[0], '>=', 400, 'and is one');
}

# ------------------------------------------------------------- deadlines

# Writes a byte now and then; returns the answer and how long it took.
sub dribble
{
	my ($port, $start, $byte) = @_;
	my $sock = http_open($port);
	my $select = IO::Select->new($sock);
	my ($answer, $begun) = ('', time());
	local $SIG{PIPE} = 'IGNORE';
	syswrite($sock, $start) if length $start;
	while (1)
	{
		if ($select->can_read(0.05))
		{
			last unless sysread($sock, $answer, 65536, length $answer);
		}
		elsif (length $byte) { syswrite($sock, $byte); }
		die "not cut off" if time() - $begun > 60;
	}
	return ($answer, time() - $begun);
}

{
	my $quick = start_shim($node, conf => {
		%patient, header_timeout => '400ms', request_timeout => '800ms', idle_timeout => '600ms',
		reply_timeout => '500ms' });
	my ($answer, $took);

	($answer, $took) = dribble($quick, '', '');
	is_deeply([ $answer, $took >= 0.39 ], [ '', 1 ], 'a silent connection is closed');
	($answer, $took) = dribble($quick, "POST /w/open HTTP/1.1\r\nHost: h\r\nA: ", 'x');
	is_deeply([ statuses($answer), $took >= 0.39 ], [ [408], 1 ], 'dribbled headers are cut off');
	($answer, $took) = dribble($quick, post(['Content-Length: 1000'], ''), 'x');
	is_deeply([ statuses($answer), $took >= 0.79 ], [ [408], 1 ], 'a dribbled body is cut off');
	($answer, $took) = dribble($quick, post([$chunked], '00'), '');
	is_deeply([ statuses($answer), $took >= 0.79 ], [ [408], 1 ], 'a chunk size that does not end is cut off');
	($answer, $took) = dribble($quick, post([$chunked], "ffff\r\n"), 'x');
	is_deeply([ statuses($answer), $took >= 0.79 ], [ [408], 1 ], 'a dribbled chunk is cut off');
	($answer, $took) = dribble($quick, post([$chunked], "2\r\n{}\r\n0\r\nA: "), 'x');
	is_deeply([ statuses($answer), $took >= 0.79 ], [ [408], 1 ], 'a dribbled trailer is cut off');
	($answer, $took) = dribble($quick, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", '');
	is_deeply([ statuses($answer), $took >= 0.59 ], [ [200], 1 ], 'an idle connection is closed');

	# A client that takes no answers: requests are written until the socket is full.
	my $sock = http_open($quick);
	$sock->blocking(0);
	local $SIG{PIPE} = 'IGNORE';
	my $begun = time();
	my $dead = 0;
	until ($dead || time() - $begun > 60)
	{
		my $n = syswrite($sock, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" x 500);
		next if defined $n;
		$dead = 1 unless $!{EAGAIN};
		sleep(0.02);
	}
	ok($dead, 'a client that takes no answers is cut off');
	is(http($quick, method => 'GET', path => '/healthz')->{status}, 200, 'others are served');
	$quick->stop;
}

# ------------------------------------------------------------- the log

my $status = $shim->stop;
is($status, 0, 'stopped in order');
my @lines = split /\n/, $shim->log_text;
my @bad = grep { !eval { decode_json($_) } } @lines;
is_deeply(\@bad, [], 'every line of the log is a JSON object');
my @requests = grep { exists $_->{correlation_id} } map { decode_json($_) } @lines;
my %seen;
is(scalar(grep { $seen{ $_->{correlation_id} }++ } @requests), 0, 'every request has an id of its own');
unlike($shim->log_text, qr/smuggled|next=|J\\?u?.?.?.?.?rg|forged/, 'no query, header or body in the log');

done_testing();
