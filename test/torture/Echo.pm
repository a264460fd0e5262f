package Echo;

# An HTTP server that repeats what it was sent, in the form that is asked for, and
# notes each request: what a debugging proxy or a helpful provider does.
#
#	use lib 'test/support', 'test/torture';
#	my $echo = Echo->start;
#	… a profile with url $echo->url . '/400/json' …
#	is($echo->seen, 0, 'nothing came here');
#
# start, url, port
# seen						how many requests came; requests: their bytes as they came
#
# The path is /STATUS/FORM, and what the request's headers say of the secret is
# repeated in the form (see %form); text after another slash is padding: so many x in
# front of it.  Every answer is JSON but that of the form raw.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use OutreachTest;
use POSIX ();

# What a form makes of the line of a header that holds the secret: body, more headers
my %form = (
	raw => sub { ("you sent $_[0]") },
	plain => sub { (_json(echo => $_[0])) },
	points => sub { ('{"echo": "' . join('', map { sprintf '\\u%04x', ord } split //, $_[0]) . '"}') },
	percent => sub { (_json(echo => $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger)) },
	html => sub { ('{"echo": "' . join('', map { sprintf '&#%d;', ord } split //, $_[0]) . '"}') },
	basic => sub { (_json(echo => $_[0] =~ /Basic (\S+)/ ? decode_base64($1) : $_[0])) },
	hex => sub { (_json(echo => unpack 'H*', $_[0] =~ /Basic (\S+)/ ? decode_base64($1) : $_[0])) },
	masked => sub { (_json(echo => substr($_[0], 0, -4) . '****')) },
	error => sub { (_json(code => 17, message => "no such key: $_[0]")) },
	code => sub { (_json(code => $_[0], message => 'refused')) },
	id => sub { (_json(sid => $_[0])) },
	header => sub { ('{}', "X-Message-Id: $_[0]") },
	list => sub { (_json(messages => [ { sid => $_[0], body => 'x' } ])) },
	quiet => sub { (_json(code => 21211, message => 'The number is not valid')) });

sub _json { return JSON::PP->new->canonical->latin1->encode({@_}); }

sub start
{
	my ($class) = @_;
	my $self = bless { notes => File::Temp->new }, $class;
	my $server = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1', Proto => 'tcp')
	  or die "cannot listen: $!";
	my $parent = $$;

	$self->{port} = $server->sockport;
	$self->{pid} = fork() // die "fork: $!";
	return $self if $self->{pid};
	$SIG{TERM} = 'DEFAULT';
	while (getppid() == $parent)
	{
		my $ready = '';
		vec($ready, fileno($server), 1) = 1;
		next unless select($ready, undef, undef, 1) > 0;
		my $client = $server->accept or next;
		eval { local $SIG{ALRM} = sub { die }; alarm 10; $self->_answer($client); alarm 0 };
		close($client);
	}
	POSIX::_exit(0);
}

sub _answer
{
	my ($self, $client) = @_;
	my $request = '';

	until ($request =~ /\r\n\r\n/)
	{
		sysread($client, $request, 65536, length $request) or return;
	}
	my ($head, $body) = split /\r\n\r\n/, $request, 2;
	my ($length) = $head =~ /^Content-Length: (\d+)/mi;
	while (length $body < ($length // 0))
	{
		sysread($client, $body, 65536, length $body) or last;
	}
	open(my $notes, '>>', $self->{notes}->filename) or die;
	print $notes unpack('H*', "$head\r\n\r\n$body") . "\n";
	close($notes);
	my ($status, $form, $padding) = $head =~ m{^\S+ /(\d+)/(\w+)(?:/(\d+))?};
	my ($sent) = $head =~ /^(?:Authorization|X-Key): (.*?)\r?$/mi;
	my ($answer, @headers) = $form{ $form // 'quiet' }->($sent // 'nothing');
	$answer = 'x' x ($padding // 0) . $answer;
	print $client join("\r\n", 'HTTP/1.1 ' . ($status // 404) . ' Said', 'Content-Type: application/json',
		'Content-Length: ' . length($answer), 'Connection: close', @headers, '', $answer);
	shutdown($client, 1);
}

sub port { return $_[0]{port}; }
sub url { return "http://127.0.0.1:$_[0]{port}"; }

sub requests
{
	my ($self) = @_;
	open(my $notes, '<', $self->{notes}->filename) or die;
	return map { chomp; pack 'H*', $_ } <$notes>;
}

sub seen { my ($self) = @_; return scalar $self->requests; }

sub DESTROY
{
	my ($self) = @_;
	my $status = $?;
	if ($self->{pid})
	{
		kill 'TERM', $self->{pid};
		waitpid($self->{pid}, 0);
	}
	$? = $status;
}

1;
