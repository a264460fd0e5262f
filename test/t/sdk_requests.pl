# What the engine sends is what the providers' own clients send for the same
# message, also with HTML, blind copies and media: method, path, credentials, type and
# decoded fields; and of the answers that the providers document it understands what
# they do.
#
# The clients' side is in test/support/sdk/recorded, made by record.mjs beside
# it, so that no network is needed.  Where PO_SDK_MODULES names a directory
# whose node_modules holds the packages, the recordings are made anew first and
# must not differ.

use strict;
use warnings;
use utf8;
use lib 'test/support';
use OutreachTest;
use Encode qw(decode encode);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More;

my $sdk = 'test/support/sdk';
my $json = JSON::PP->new->utf8->canonical;
my $message = read_json("$sdk/message.json");

# How each answer of a recording ends an attempt, in the order of its list
my %outcomes = (
	twilio_sms => [qw(sent failed failed later later)],
	twilio_sms_media => [qw(sent failed)],
	twilio_call => [qw(sent failed later later)],
	signalhouse_sms => [qw(sent failed failed failed failed later retry)],
	sendgrid_mail => [qw(sent failed later later retry)],
	sendgrid_mail_html => [qw(sent failed)]);

# The account that each recording is of, and the options of the message
my $email = $message->{email};
my %twilio = (%{ $message->{twilio} }, profile => 'twilio_sms', channel => 'sms', to => $message->{to});
my %sendgrid = (%{ $message->{sendgrid} }, profile => 'sendgrid_mail', channel => 'email',
	settings => { from => $email->{from}, from_name => $email->{from_name} }, options => { subject => $email->{subject} });
my %account = (
	twilio_sms => {%twilio},
	twilio_sms_media => { %twilio, options => { mediaUrls => $message->{media} } },
	twilio_call => { %twilio, profile => 'twilio_call', channel => 'call' },
	signalhouse_sms => { %{ $message->{signalhouse} }, profile => 'signalhouse_sms', channel => 'sms', to => $message->{to} },
	sendgrid_mail => {%sendgrid},
	# one of the copies is of the message, the other of the account
	sendgrid_mail_html => { %sendgrid, settings => { %{ $sendgrid{settings} }, bcc => $email->{bcc}[1] },
		options => { %{ $sendgrid{options} }, html => $email->{html}, bcc => $email->{bcc}[0] } });

my $directory = tempdir(CLEANUP => 1);
my ($port, $server) = start_server();
my $node = new_cluster(conf => "outreach.allow_private_addresses = on\n");
create_extension($node);

check_recordings();
my $serial = 0;
for my $name (sort keys %account)
{
	my $recording = read_json("$sdk/recorded/$name.json");
	my @answers = @{ $recording->{answers} };

	is(scalar(@answers), scalar(@{ $outcomes{$name} }), "$name: an outcome is expected of every answer");
	for my $i (0 .. $#answers)
	{
		my ($request, $attempt) = send_one($name, $answers[$i]);
		check_request($name, $recording, $request, $attempt) if $i == 0;
		check_attempt("$name, answer " . ($i + 1) . " ($answers[$i]{status})",
			$answers[$i]{understood}, $outcomes{$name}[$i], $attempt);
	}
}
kill 'TERM', $server;
waitpid($server, 0);
done_testing();

# ---------------------------------------------------------------- the engine

# Sends the message in a tenant of its own, for what an answer stops stays
# stopped; returns the request that came and the attempt as the engine noted it.
sub send_one
{
	my ($name, $answer) = @_;
	my $a = $account{$name};
	my $tenant = 'sdk_' . ++$serial;
	my $callback = $message->{callback_url} =~ /^([^?]+)/ ? $1 : die 'no callback_url';
	my ($path) = $callback =~ m{^https://[^/]+(/.*)$};
	my $options = $a->{options} ? $json->encode($a->{options}) : undef;

	write_file("$directory/answer", $json->encode($answer));
	unlink("$directory/request");
	sql($node, join(";\n",
		call(create_tenant => $tenant, $tenant),
		# paths are the cluster's: the tenant's serial makes one of its own
		call(create_endpoint => $tenant, "$path/$serial", $a->{profile} =~ /^([a-z]+)/, 'none', undef, "$callback/$serial"),
		call(create_lead => $tenant, 'lead_1', $message->{to}, 'Pat', undef, $message->{email}{to}),
		named(create_account => {
			tenant_id => $tenant, account => 'main', profile => $a->{profile}, secret => $a->{secret},
			username => $a->{username}, base_url => "http://127.0.0.1:$port", callback_path => "$path/$serial",
			settings => $a->{settings} ? $json->encode($a->{settings}) : undef }),
		$a->{to} ? call(add_number => $tenant, $message->{from}, 'main') : 'SELECT 1',
		named(send_message => {
			tenant_id => $tenant, lead_id => 'lead_1', body => $message->{body}, channel => $a->{channel},
			send_key => 'sdk', priority => 'reply', options => $options })) . ';');
	wait_until(sub {
			sql($node, "SELECT 1 FROM outreach.message_deliveries WHERE tenant_id = '$tenant' AND finished_at IS NOT NULL")
		}, "$name: the answer of $tenant is recorded");
	my $attempt = decode_json_text(sql($node, qq{
		SELECT to_jsonb(d) || jsonb_build_object('provider_message_id', m.provider_message_id, 'status', m.status)
		  FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (tenant_id, message_id)
		 WHERE tenant_id = '$tenant'}));
	# nothing of it is sent again later
	wait_until(sub { sql($node, "DELETE FROM outreach.outbound_messages WHERE tenant_id = '$tenant' AND status <> 'sending';
		SELECT count(*) = 0 FROM outreach.outbound_messages WHERE tenant_id = '$tenant'") eq 't' }, "$tenant to have nothing to send");
	return (read_json("$directory/request"), $attempt);
}

sub literal
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

sub call
{
	my ($function, @arguments) = @_;
	return encode('UTF-8', "SELECT outreach.$function(" . join(', ', map { literal($_) } @arguments) . ')');
}

# options and settings come as bytes of JSON already
sub named
{
	my ($function, $argument) = @_;
	return encode('UTF-8', "SELECT outreach.$function("
		  . join(', ', map { "$_ => " . literal(/^(?:options|settings)$/ ? decode_if_defined($argument->{$_}) : $argument->{$_}) }
			  grep { defined $argument->{$_} } sort keys %$argument) . ')');
}

sub decode_if_defined
{
	my ($bytes) = @_;
	return defined $bytes ? decode('UTF-8', $bytes) : undef;
}

# ---------------------------------------------------------------- comparing

sub check_request
{
	my ($name, $recording, $request, $attempt) = @_;
	my $theirs = $recording->{request};

	is($request->{$_}, $theirs->{$_}, "$name: $_ as $recording->{sdk} sends it")
	  for qw(method path authorization content_type);
	is_deeply($request->{query}, $theirs->{query}, "$name: no more in the URL");
	like($request->{accept}, qr{^application/json\b}, "$name: asks for JSON");
	like(delete $request->{fields}{custom_args}{reference}, qr{^\Q$attempt->{message_id}\E\.[0-9a-f]{32}$}, "$name: its events name the message")
	  if $name =~ /^sendgrid/;
	is_deeply(comparable($request->{fields}, $attempt->{message_id}),
		comparable($theirs->{fields}, $message->{message_id}), "$name: the fields are those of $recording->{sdk}")
	  or diag explain $request;
	my ($callback) = map { ref $_ ? $_->[0] : $_ } grep { defined } @{ $request->{fields} }{qw(StatusCallback statusCallbackUrl)};
	like($callback, qr{^https://hooks\.example\.com/w/ep_status/\d+\?message=\Q$attempt->{message_id}\E\.[0-9a-f]{32}$},
		"$name: the callback names the message") if $account{$name}{channel} ne 'email';
}

# The same fields without what differs by right: the message's id and what proves
# it, the path of the callback, the way TwiML is written.
sub comparable
{
	my ($value, $message_id) = @_;
	return [ map { comparable($_, $message_id) } @$value ] if ref $value eq 'ARRAY';
	return { map { $_ => comparable($value->{$_}, $message_id) } keys %$value } if ref $value eq 'HASH';
	return $value if ref $value || !defined $value;
	$value =~ s{/w/ep_status(?:/\d+)?\?message=\Q$message_id\E\.[0-9a-f]+$}{/w/ep_status?message=THIS};
	$value =~ s/^\Q$message_id\E$/THIS/;
	if ($value =~ s/^(?:<\?xml[^>]*\?>)?(?=<Response>)//)
	{
		my %character = (lt => '<', gt => '>', quot => '"', apos => "'", '#39' => "'", '#34' => '"', amp => '&');
		$value =~ s/&(lt|gt|quot|apos|#39|#34|amp);/$character{$1}/g;
	}
	return $value;
}

sub check_attempt
{
	my ($name, $understood, $outcome, $attempt) = @_;
	is($attempt->{outcome}, $outcome, "$name: $outcome");
	is($attempt->{provider_message_id}, $understood->{id}, "$name: the id") if $outcome eq 'sent';
	is($attempt->{error_code}, $understood->{code}, "$name: the code");
	like($attempt->{error} // '', qr/\Q$understood->{error}\E/, "$name: the reason") if defined $understood->{error};
}

# ---------------------------------------------------------------- recordings

sub check_recordings
{
	my $modules = $ENV{PO_SDK_MODULES};

  SKIP:
	{
		if (!defined $modules)
		{
			diag("the providers' clients are not run: PO_SDK_MODULES is not set; their recorded requests are used");
			skip('PO_SDK_MODULES is not set', 1);
		}
		my $fresh = "$directory/recorded";
		is(system('node', "$sdk/record.mjs", $modules, $fresh), 0, 'the clients are run');
		is_deeply(read_json("$fresh/$_.json"), read_json("$sdk/recorded/$_.json"), "$_: they send what is recorded")
		  for sort keys %account;
	}
}

sub read_bytes
{
	my ($path) = @_;
	open(my $in, '<:raw', $path) or die "$path: $!";
	local $/;
	return scalar <$in>;
}

sub read_json { return $json->decode(read_bytes($_[0])) }

# psql's output, which is bytes
sub decode_json_text { return $json->decode(utf8::is_utf8($_[0]) ? encode('UTF-8', $_[0]) : $_[0]) }

# whole or not at all: the other process may be reading
sub write_file
{
	my ($path, $bytes) = @_;
	open(my $out, '>:raw', "$path.new") or die "$path.new: $!";
	print $out $bytes;
	close($out) or die "$path.new: $!";
	rename("$path.new", $path) or die "$path: $!";
}

# ---------------------------------------------------------------- the server

# One request at a time, written to the file request in the form of a recording
# and given the answer that the file answer holds.
sub start_server
{
	my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
	my $parent = $$;
	my $pid = fork() // die "fork: $!";
	return ($listener->sockport, $pid) if $pid;

	local $SIG{TERM} = sub { POSIX::_exit(0) };
	local $SIG{PIPE} = 'IGNORE';
	my $select = IO::Select->new($listener);
	while (getppid() == $parent)
	{
		next unless $select->can_read(1);
		my $socket = $listener->accept or next;
		eval { serve($socket); 1 } or warn "capture server: $@";
		close($socket);
	}
	POSIX::_exit(0);
}

sub serve
{
	my ($socket) = @_;
	my $bytes = '';
	while ($bytes !~ /\r\n\r\n/)
	{
		return unless sysread($socket, $bytes, 65536, length $bytes);
	}
	my ($head, $body) = split(/\r\n\r\n/, $bytes, 2);
	my ($first, @lines) = split(/\r\n/, $head);
	my ($method, $target) = split(/ /, $first);
	my %header = map { /^([^:]+):\s*(.*?)\s*$/ ? (lc $1 => $2) : () } @lines;
	while (length $body < ($header{'content-length'} // 0))
	{
		return unless sysread($socket, $body, 65536, length $body);
	}
	my ($path, $query) = split(/\?/, $target, 2);
	my ($type) = split(/\s*;/, $header{'content-type'} // '');
	write_file("$directory/request", $json->encode({
		method => $method, path => $path, query => pairs($query // ''), authorization => $header{authorization},
		content_type => $type, accept => $header{accept},
		fields => ($type // '') eq 'application/json' ? $json->decode($body) : pairs($body) }));

	my $answer = read_json("$directory/answer");
	my $text = ref $answer->{body} ? $json->encode($answer->{body}) : encode('UTF-8', $answer->{body});
	my %sent = (%{ $answer->{headers} }, 'Content-Length' => length $text, Connection => 'close');
	syswrite($socket, "HTTP/1.1 $answer->{status} Answer\r\n" . join('', map { "$_: $sent{$_}\r\n" } sort keys %sent) . "\r\n$text");
}

# a form, or what follows the question mark: each name with its values
sub pairs
{
	my ($text) = @_;
	my %value;
	for my $pair (split /&/, $text)
	{
		my ($name, $value) = map { s/\+/ /gr =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split(/=/, $pair, 2);
		push @{ $value{ decode('UTF-8', $name) } }, decode('UTF-8', $value // '');
	}
	return \%value;
}
