# Requests that are in flight while a test does something else; for the shim's
# tests.  Loaded with require.
#
#	shim_post($body, $target, @lines)	the bytes of a POST
#	shim_send($shim, $bytes)			writes them on a new connection, returns the socket
#	shim_answer($socket)				the next answer on it: {status, headers, body}, status 0 at the end
#	shim_statuses($bytes)				the statuses of all answers in some bytes
#	shim_log($shim)						the log's lines, decoded

use strict;
use warnings;
use JSON::PP ();

my %rest;	# of a socket, read but not returned

sub shim_post
{
	my ($body, $target, @lines) = @_;
	return join("\r\n", 'POST ' . ($target // '/w/open') . ' HTTP/1.1', 'Host: hooks.example.com', @lines,
		'Content-Length: ' . length($body)) . "\r\n\r\n$body";
}

sub shim_send
{
	my ($shim, $bytes) = @_;
	my $sock = OutreachTest::http_open($shim) or die "connect: $!";
	local $SIG{PIPE} = 'IGNORE';
	syswrite($sock, $bytes) == length($bytes) or die "short write";
	return $sock;
}

sub shim_answer
{
	my ($sock) = @_;
	my $bytes = delete $rest{$sock} // '';
	my $select = IO::Select->new($sock);
	my $deadline = time() + 60;
	while (time() < $deadline)
	{
		if ($bytes =~ m{\AHTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n}s)
		{
			my ($status, $head, $start) = ($1, $2, $+[0]);
			my %headers = map { /^([^:]+): (.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
			my $length = $headers{'content-length'} // 0;
			if (length($bytes) >= $start + $length)
			{
				$rest{$sock} = substr($bytes, $start + $length);
				return { status => $status + 0, headers => \%headers, body => substr($bytes, $start, $length) };
			}
		}
		next unless $select->can_read(1);
		last unless sysread($sock, $bytes, 65536, length $bytes);
	}
	return { status => 0, headers => {}, body => '' };
}

sub shim_statuses
{
	my ($bytes) = @_;
	return [ $bytes =~ m{HTTP/1\.1 (\d{3}) }g ];
}

sub shim_log
{
	my ($shim) = @_;
	return map { JSON::PP::decode_json($_) } split /\n/, $shim->log_text;
}

1;
