package SqlSession;

# A session that speaks the protocol itself, so that everything that the server
# says is seen: each field of each error and notice, and what came before the end.
#
#	my $session = SqlSession->new($directory, $port, $user, $database);	dies with the reason
#	my $answer = $session->query($sql);				one message, perhaps of many statements
#	my $answer = $session->execute($sql, @values);	parsed, bound and executed, no COPY; undef is null
#	$session->pid, $session->alive, $session->status	I, T or E: idle, in a transaction, in a failed one
#	$answer->{said}		every byte of the answer
#	$answer->{errors}, $answer->{notices}	lists of {C => SQLSTATE, M => message, D, H, W, …}
#	$answer->{rows}		how many rows came
#	$answer->{closed}	the session has ended; 'silent' where nothing came for SILENCE seconds

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;

# much longer than any statement_timeout: what is not cancelled hangs
use constant SILENCE => 180;

# What a COPY FROM STDIN is given
my $copied = "b\tlead_b\nnot,these\n\\N\n";

sub new
{
	my ($class, $directory, $port, $user, $database) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => "$directory/.s.PGSQL.$port") or die "$directory: $!";
	my $self = bless { socket => $socket, status => '' }, $class;
	my $start = pack('N', 196608) . join("\0", user => $user, database => $database, application_name => 'fuzz', '', '');
	$self->_send(pack('N', 4 + length $start) . $start);
	my $answer = $self->_answer;
	die $answer->{errors}[0]{M} // 'no answer' if $answer->{closed};
	return $self;
}

sub pid { return $_[0]{pid}; }
sub alive { return defined $_[0]{socket}; }
sub status { return $_[0]{status}; }

sub query
{
	my ($self, $sql) = @_;
	$self->_send(_message('Q', "$sql\0"));
	return $self->_answer;
}

sub execute
{
	my ($self, $sql, @values) = @_;
	my $bound = pack('n', 0) . pack('n', scalar @values)
	  . join('', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @values) . pack('n', 0);
	$self->_send(_message('P', "\0$sql\0" . pack('n', 0)) . _message('B', "\0\0$bound") . _message('D', "P\0")
		  . _message('E', "\0" . pack('N', 0)) . _message('S', ''));
	return $self->_answer;
}

sub close
{
	my ($self) = @_;
	$self->_send(_message('X', '')) if $self->alive;
	$self->{socket} = undef;
	return;
}

sub _message
{
	my ($type, $body) = @_;
	return $type . pack('N', 4 + length $body) . $body;
}

sub _send
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	while (defined $self->{socket} && length $bytes)
	{
		my $written = syswrite($self->{socket}, $bytes) or last;
		substr($bytes, 0, $written) = '';
	}
	return;
}

# Exactly so many bytes, or undef
sub _read
{
	my ($self, $length, $answer) = @_;
	my $bytes = '';
	while (length($bytes) < $length)
	{
		if (!IO::Select->new($self->{socket})->can_read(SILENCE))
		{
			$answer->{closed} = 'silent';
			return;
		}
		if (!sysread($self->{socket}, $bytes, $length - length $bytes, length $bytes))
		{
			$answer->{closed} = 'ended';
			return;
		}
	}
	return $bytes;
}

# Reads until the server is ready again
sub _answer
{
	my ($self) = @_;
	my $answer = { said => '', errors => [], notices => [], rows => 0 };
	while (defined $self->{socket})
	{
		my $head = $self->_read(5, $answer) // last;
		my ($type, $length) = unpack('a N', $head);
		my $body = $self->_read($length - 4, $answer) // last;
		if ($type eq 'Z')
		{
			$self->{status} = $body;
			return $answer;
		}
		$self->{pid} = unpack('N', $body) if $type eq 'K';
		# The key that cancels it is no text of anybody's.
		$answer->{said} .= "$body\n" if $type ne 'K';
		push @{ $answer->{ $type eq 'E' ? 'errors' : 'notices' } }, { map { /^(.)(.*)/s } split /\0/, $body }
		  if $type eq 'E' || $type eq 'N';
		$answer->{rows}++ if $type eq 'D';
		$self->_send(_message('d', $copied) . _message('c', '')) if $type eq 'G';
	}
	$answer->{closed} //= 'ended';
	$self->{socket} = undef;
	return $answer;
}

1;
