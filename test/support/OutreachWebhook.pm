package OutreachWebhook;

# Webhooks as the providers send them, and HTTP on plain sockets: the part of
# OutreachTest.pm, which has the manual, that needs no PostgreSQL.

use strict;
use warnings;

use Carp;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha1 hmac_sha256 hmac_sha256_hex sha256_hex);
use Encode ();
use Errno ();
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64 decode_base64);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  payload signed envelope
  sign_twilio sign_signalhouse sign_hmac sign_ghl sign_standard sign_sendgrid
  http http_raw http_open request_bytes
  wait_until free_port
  GHL_TEST_PUBLIC_KEY SENDGRID_TEST_PUBLIC_KEY SENDGRID_TEST_PRIVATE_KEY
);

use constant GHL_TEST_PUBLIC_KEY =>
  'MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=';

use constant SENDGRID_TEST_PUBLIC_KEY =>
  'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEo1zLFgHw1g12bQMo2WVuT4/0vr0J'
  . 'L0wswcPk/z0iumREmxpJWsn9jV14EJAosSEIsyMmaxPX2giEN5GGb0QuoA==';
use constant SENDGRID_TEST_PRIVATE_KEY =>
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd+6lCqOdWPaMfCOz'
  . '6hXDiP31XvwuJXbNHAsxjxK4mwChRANCAASjXMsWAfDWDXZtAyjZZW5Pj/S+vQkv'
  . 'TCzBw+T/PSK6ZESbGklayf2NXXgQkCixIQizIyZrE9faCIQ3kYZvRC6g';

my $top = abs_path(dirname(__FILE__) . '/../..');
my $bound = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

sub payload
{
	my ($file) = @_;
	my $path = "$top/test/payloads/$file";
	open(my $in, '<:raw', $path) or croak "$path: $!";
	local $/;
	return scalar <$in>;
}

# name and value of each field of a form body, decoded, in order
sub _form_fields
{
	my ($body) = @_;
	my @fields;
	for my $part (split /&/, $body)
	{
		next if $part eq '';
		my ($name, $value) = split /=/, $part, 2;
		for ($name, $value)
		{
			$_ //= '';
			tr/+/ /;
			s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
		}
		push @fields, [ $name, $value ];
	}
	return @fields;
}

sub sign_twilio
{
	my ($token, $url, $body, $is_form) = @_;
	my $text = $url;
	if ($is_form)
	{
		my %seen;
		my @fields = grep { !$seen{"$_->[0]\0$_->[1]"}++ } _form_fields($body);
		$text .= join '', map { @$_ }
		  sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] } @fields;
	}
	return encode_base64(hmac_sha1($text, $token), '');
}

sub sign_signalhouse
{
	my ($secret, $ms, $body) = @_;
	return hmac_sha256_hex("$ms.$body", $secret);
}

sub sign_hmac
{
	my ($secret, $body) = @_;
	return hmac_sha256_hex($body, $secret);
}

# Neither Ed25519 nor ECDSA is in Perl's core: the openssl program signs
sub _openssl_sign
{
	my ($body, $key, @more) = @_;
	my $dir = File::Temp->newdir();
	my %file = (key => $key, body => $body);
	for my $name (keys %file)
	{
		open(my $out, '>:raw', "$dir/$name") or die "$dir/$name: $!";
		print $out $file{$name};
		close($out) or die "$dir/$name: $!";
	}
	open(my $sig, '-|:raw', 'openssl', 'pkeyutl', '-sign', '-rawin', @more,
		'-keyform', 'DER', '-inkey', "$dir/key", '-in', "$dir/body")
	  or die "openssl: $!";
	my $bytes = do { local $/; <$sig> };
	close($sig) or die "openssl pkeyutl failed: $?";
	return encode_base64($bytes, '');
}

sub sign_ghl
{
	my ($body, $seed) = @_;
	return _openssl_sign($body, pack('H*', '302e020100300506032b657004220420') . ($seed // pack('C*', 0 .. 31)));
}

sub sign_sendgrid
{
	my ($secret, $seconds, $body) = @_;
	return _openssl_sign("$seconds$body", decode_base64($secret), '-digest', 'sha256');
}

sub sign_standard
{
	my ($secret, $id, $seconds, $body) = @_;
	my $key = $secret =~ /^whsec_(.*)/ ? decode_base64($1) : $secret;
	return 'v1,' . encode_base64(hmac_sha256("$id.$seconds.$body", $key), '');
}

sub signed
{
	my ($scheme, %spec) = @_;
	my $body = $spec{body} // '';
	my $type = $spec{type}
	  // ($body =~ /^(?:\xEF\xBB\xBF)?\s*[\[{]/
		? 'application/json'
		: 'application/x-www-form-urlencoded');
	my %headers = ('content-type' => $type);
	my $query = $spec{query};
	my $secret = $spec{secret};

	if ($scheme eq 'token')
	{
		$query = (defined $query && $query ne '' ? "$query&" : '') . "token=$secret";
	}
	elsif ($scheme eq 'secret_header')
	{
		$headers{ lc($spec{header} // 'X-Texting-Secret') } = $secret;
	}
	elsif ($scheme eq 'basic')
	{
		$headers{authorization} = 'Basic ' . encode_base64($secret, '');
	}
	elsif ($scheme eq 'hmac_sha256')
	{
		$headers{ lc($spec{header} // 'X-Texting-Signature') } =
		  sign_hmac($secret, $body);
	}
	elsif ($scheme eq 'twilio')
	{
		my $is_form = $type =~ /urlencoded/;
		my $url = $spec{url} // croak "twilio needs url";
		if (!$is_form && $url !~ /bodySHA256=/)
		{
			my $arg = 'bodySHA256=' . sha256_hex($body);
			$url .= ($url =~ /\?/ ? '&' : '?') . $arg;
			$query = (defined $query && $query ne '' ? "$query&" : '') . $arg;
		}
		$headers{'x-twilio-signature'} = sign_twilio($secret, $url, $body, $is_form);
	}
	elsif ($scheme eq 'signalhouse')
	{
		my $ms = $spec{timestamp} // int(time() * 1000);
		$headers{'x-signalhouse-timestamp'} = "$ms";
		$headers{'x-signalhouse-signature'} = sign_signalhouse($secret, $ms, $body);
	}
	elsif ($scheme eq 'ghl')
	{
		$headers{'x-ghl-signature'} = sign_ghl($body, $secret);
	}
	elsif ($scheme eq 'standard_webhooks')
	{
		my $id = $spec{id} // 'msg_' . sha256_hex($body);
		my $seconds = $spec{timestamp} // int(time());
		my $family = $spec{family} // 'webhook';
		$headers{"$family-id"} = $id;
		$headers{"$family-timestamp"} = "$seconds";
		$headers{"$family-signature"} = sign_standard($secret, $id, $seconds, $body);
	}
	elsif ($scheme eq 'sendgrid')
	{
		my $seconds = $spec{timestamp} // int(time());
		$headers{'x-twilio-email-event-webhook-timestamp'} = "$seconds";
		$headers{'x-twilio-email-event-webhook-signature'} = sign_sendgrid($secret, $seconds, $body);
	}
	elsif ($scheme ne 'none')
	{
		croak "unknown scheme \"$scheme\"";
	}

	my %more = %{ $spec{headers} // {} };
	$headers{ lc $_ } = $more{$_} for keys %more;
	return {
		method => $spec{method} // 'POST',
		path => $spec{path} // croak("signed() needs path"),
		(defined $query && $query ne '' ? (query => $query) : ()),
		headers => \%headers,
		body => $body
	};
}

my $json = JSON::PP->new->canonical->ascii;

sub envelope
{
	my ($hook) = @_;
	my %envelope = (
		method => $hook->{method} // 'POST',
		path => $hook->{path},
		headers => $hook->{headers} // {},
		remote_addr => $hook->{remote_addr} // '127.0.0.1',
		correlation_id => $hook->{correlation_id} // _uuid7());
	$envelope{query} = $hook->{query} if defined $hook->{query};

	my $bytes = $hook->{body} // '';
	my $text = eval { Encode::decode('UTF-8', $bytes, Encode::FB_CROAK | Encode::LEAVE_SRC) };
	if (defined $text && $text !~ /\0/)
	{
		$envelope{body} = $text;
	}
	else
	{
		$envelope{body_base64} = encode_base64($bytes, '');
	}
	return $json->encode(\%envelope);
}

sub _uuid7
{
	my $ms = int(time() * 1000);
	my $hex = sprintf('%012x7%03x%x%03x%012x',
		$ms, int(rand(0x1000)), 8 + int(rand(4)), int(rand(0x1000)),
		int(rand(2**47)));
	return join '-', unpack('A8 A4 A4 A4 A12', $hex);
}

# ---------------------------------------------------------------- HTTP

sub http_open
{
	my ($shim) = @_;
	my $port = ref $shim ? $shim->{port} : $shim;
	return IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $port,
		Proto => 'tcp',
		Timeout => 30);
}

sub request_bytes
{
	my (%request) = @_;
	my $method = $request{method} // 'POST';
	my $target = $request{path} // '/';
	my $body = $request{body};
	my @pairs;

	$target .= "?$request{query}" if defined $request{query};
	if (ref $request{headers} eq 'ARRAY')
	{
		@pairs = @{ $request{headers} };
	}
	else
	{
		my %headers = %{ $request{headers} // {} };
		for my $name (sort keys %headers)
		{
			push @pairs, [ $name, $_ ]
			  for ref $headers{$name} ? @{ $headers{$name} } : $headers{$name};
		}
	}
	my %given = map { lc($_->[0]) => 1 } @pairs;
	unshift @pairs, [ host => 'localhost' ] unless $given{host};
	push @pairs, [ 'content-length', length($body // '') ]
	  if !$given{'content-length'}
	  && !$given{'transfer-encoding'}
	  && ($method eq 'POST' || defined $body);
	push @pairs, [ connection => 'close' ] unless $given{connection};
	return join('',
		"$method $target HTTP/1.1\r\n",
		(map { "$_->[0]: $_->[1]\r\n" } @pairs),
		"\r\n", $body // '');
}

# writes everything even if the peer reads slowly; false when it went away
sub _write_all
{
	my ($sock, $bytes, $deadline) = @_;
	my $select = IO::Select->new($sock);
	local $SIG{PIPE} = 'IGNORE';
	$sock->blocking(0);
	while (length $bytes)
	{
		return 0 if time() > $deadline;
		next unless $select->can_write(1);
		my $n = syswrite($sock, $bytes);
		if (!defined $n)
		{
			next if $!{EAGAIN} || $!{EINTR};
			return 0;
		}
		substr($bytes, 0, $n) = '';
	}
	return 1;
}

# reads until the peer closes, $done->(bytes) is true or the deadline passes
sub _read_until
{
	my ($sock, $deadline, $done) = @_;
	my $select = IO::Select->new($sock);
	my $bytes = '';
	while (time() < $deadline)
	{
		next unless $select->can_read(0.5);
		my $n = sysread($sock, $bytes, 65536, length $bytes);
		if (!defined $n)
		{
			next if $!{EAGAIN} || $!{EINTR};
			last;
		}
		last if $n == 0 || ($done && $done->($bytes));
	}
	return $bytes;
}

sub http_raw
{
	my ($shim, $bytes, %opt) = @_;
	my $sock = http_open($shim) or return '';
	my $deadline = time() + ($opt{timeout} // 60);
	_write_all($sock, $bytes, $deadline);
	shutdown($sock, 1) if $opt{shut};
	my $answer = _read_until($sock, $deadline, $opt{done});
	close($sock);
	return $answer;
}

sub http
{
	my ($shim, %request) = @_;
	my $method = $request{method} // 'POST';
	my $sock = http_open($shim)
	  or return { status => 0, headers => {}, body => '', error => "connect: $!" };
	my $deadline = time() + ($request{timeout} // 60);
	_write_all($sock, request_bytes(%request), $deadline);
	my $answer = _read_until($sock, $deadline,
		sub { _complete($_[0], $method) });
	close($sock);
	return _parse($answer);
}

# has the whole answer come, by its Content-Length?
sub _complete
{
	my ($bytes, $method) = @_;
	my $end = index($bytes, "\r\n\r\n");
	return 0 if $end < 0;
	return 1 if $method eq 'HEAD';
	return 0 unless substr($bytes, 0, $end) =~ /^content-length:\s*(\d+)/mi;
	return length($bytes) >= $end + 4 + $1;
}

sub _parse
{
	my ($bytes) = @_;
	return { status => 0, headers => {}, body => '', error => 'no answer', raw => $bytes }
	  unless $bytes =~ m{\AHTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r\n(.*?)\r?\n\r\n(.*)\z}s;
	my ($status, $reason, $head, $body) = ($1, $2, $3, $4);
	my %headers;
	for my $line (split /\r\n/, $head)
	{
		my ($name, $value) = split /:\s*/, $line, 2;
		$headers{ lc $name } =
		  exists $headers{ lc $name } ? "$headers{lc $name}, $value" : $value;
	}
	return {
		status => $status + 0,
		reason => $reason,
		headers => \%headers,
		body => $body,
		raw => $bytes
	};
}

# ---------------------------------------------------------------- waiting

sub free_port
{
	my $sock = IO::Socket::INET->new(
		Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp')
	  or die "no free port: $!";
	my $port = $sock->sockport;
	close($sock);
	return $port;
}

sub wait_until
{
	my ($test, $what) = @_;
	my $deadline = time() + $bound;
	my $nap = 0.005;
	while (1)
	{
		my $value = $test->();
		return $value if $value;
		croak 'waited in vain for ' . ($what // 'a condition') if time() > $deadline;
		sleep($nap);
		$nap *= 1.5 if $nap < 0.2;
	}
}

1;
