# One captured request, truly signed, and sent again as others: what the proof does
# not cover, or does not hold apart, must not make a new webhook of it.  For each
# scheme, every part of the request that can be changed without breaking the proof.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
sql($node, "SELECT outreach.create_tenant('team_a', 'A')");

my $token = 'twilio-auth-token-123';
my $url = 'https://hooks.example.com/w/replay';
my $account = 'AC0123456789abcdef0123456789abcdef';
my $serial = 0;

sub sid { return sprintf '%s%032x', $_[0], ++$serial }

sub encoded
{
	my ($text) = @_;
	$text =~ s/([^A-Za-z0-9])/sprintf('%%%02X', ord $1)/ge;
	return $text;
}

sub body { return join '&', map { encoded($_->[0]) . '=' . encoded($_->[1]) } @_ }

# what a signature of Twilio's covers of a form
sub text_of
{
	my %seen;
	return join '', map { @$_ } grep { !$seen{"$_->[0]\0$_->[1]"}++ } sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] } @_;
}

sub twilio
{
	my ($signature, @pairs) = @_;
	return { path => '/w/replay', body => body(@pairs), headers => {
			'content-type' => 'application/x-www-form-urlencoded', 'x-twilio-signature' => $signature } };
}

# consent and leads, and everything else that has an effect
sub effects
{
	return sql($node, q{SELECT (SELECT string_agg(address || consent, ' ' ORDER BY address) FROM outreach.addresses),
		(SELECT string_agg(lead_id || state || version, ' ' ORDER BY lead_id) FROM outreach.leads),
		(SELECT string_agg(message_id || status::text || coalesce(provider_message_id, ''), ' ' ORDER BY message_id) FROM outreach.outbound_messages),
		(SELECT count(*) FROM outreach.consent_history), (SELECT count(*) FROM outreach.provider_message_ids)});
}

# a message as Twilio sends it, by its fields
sub message
{
	my ($from, $text, %more) = @_;
	my $sid = sid('SM');
	my %form = (ToCountry => 'US', ToState => 'FL', SmsMessageSid => $sid, NumMedia => 0, ToCity => 'MIAMI', FromZip => '10001', SmsSid => $sid,
		FromState => 'NY', SmsStatus => 'received', FromCity => 'NEW YORK', Body => $text, FromCountry => 'US', To => '+13055550142',
		MessagingServiceSid => 'MG0123456789abcdef0123456789abcdef', ToZip => '33101', NumSegments => 1, MessageSid => $sid,
		AccountSid => $account, From => $from, ApiVersion => '2010-04-01', %more);
	return map { [ $_, $form{$_} ] } sort keys %form;
}

sub sign { return sign_twilio($token, $url, body(@_), 1) }

# The form with some of its fields become part of the value before them
sub merged
{
	my ($pairs, @names) = @_;
	my %gone = map { $_ => 1 } @names;
	my @left;
	for my $pair (@$pairs)
	{
		if ($gone{$pair->[0]} && @left) { $left[-1] = [ $left[-1][0], $left[-1][1] . $pair->[0] . $pair->[1] ] }
		else { push @left, [@$pair] }
	}
	return @left;
}

# Every one of these forms has the text of the captured one, so that its signature is right.
sub send_anew
{
	my ($what, $captured, @forged) = @_;
	my $before = effects();
	my $signature = sign(@$captured);
	my @rows;
	for my $form (@forged)
	{
		is(text_of(@$form), text_of(@$captured), "$what: the same text") if text_of(@$form) ne text_of(@$captured);
	}
	my @rest = map { twilio($signature, @$_) } @forged;
	push @rows, ingest_many($node, [ splice @rest, 0, 200 ]) while @rest;
	is(scalar(grep { $_->{outcome} eq 'rejected' } @rows), 0, "$what: each has a signature that is right");
	is(effects(), $before, "$what: " . @forged . ' of them, and none has an effect');
}

sql($node, "SELECT outreach.create_endpoint('team_a', '/w/replay', 'twilio', 'twilio', '$token', public_url => '$url')");
my $phone = '+12125550144';
my @start = message($phone, 'START', OptOutType => 'START');
is(ingest($node, twilio(sign(@start), @start))->{outcome}, 'accepted', 'START, as Twilio sent it');
is(ingest($node, twilio(sign(@start), @start))->{outcome}, 'duplicate', 'the same again');
my @stop = message($phone, 'STOP', OptOutType => 'STOP');
is(ingest($node, twilio(sign(@stop), @stop))->{outcome}, 'accepted', 'STOP');
is(sql($node, "SELECT consent FROM outreach.phones WHERE phone = '$phone'"), 'opted_out', 'it opts out');

# fields that name the message go into their neighbours, with ever more others
my @forged;
my @names = map { $_->[0] } @start;
for my $ids ([], [qw(MessageSid)], [qw(MessageSid SmsSid)], [qw(MessageSid SmsSid SmsMessageSid)], [qw(SmsSid)], [qw(SmsMessageSid SmsSid)])
{
	push @forged, [ merged(\@start, @$ids) ];
	push @forged, [ merged(\@start, @$ids, $_) ] for grep { my $n = $_; !grep { $_ eq $n } @$ids } @names[ 1 .. $#names ];
	push @forged, [ merged(\@start, @$ids, @names[ $_ .. $#names ]) ] for 2 .. $#names;
}
# each field cut elsewhere: its last byte to the next name, its first to the name
for my $i (0 .. $#start - 1)
{
	for my $cut (1 .. length $start[$i][1])
	{
		my @pairs = map { [@$_] } @start;
		my $tail = substr($pairs[$i][1], -$cut, $cut, '');
		$pairs[ $i + 1 ][0] = $tail . $pairs[ $i + 1 ][0];
		push @forged, \@pairs if text_of(@pairs) eq text_of(@start);
		@pairs = map { [@$_] } @start;
		$pairs[$i] = [ $pairs[$i][0] . substr($pairs[$i][1], 0, $cut), substr($pairs[$i][1], $cut) ];
		push @forged, \@pairs if text_of(@pairs) eq text_of(@start);
	}
}
# and pairs that are there twice
push @forged, [ @start, $_ ] for @start;
send_anew('START anew', \@start, @forged);
is(sql($node, "SELECT consent FROM outreach.phones WHERE phone = '$phone'"), 'opted_out', 'it is still opted out');
ok(sql($node, "SELECT count(*) FROM outreach.webhooks_unfinished WHERE status = 'unresolved' AND last_error IS NOT NULL") > 0, 'they are to be seen');

# A text whose author has written fields into it
for my $tail ('', 'Zz')
{
	my $fields = "From+12125550145MessageSid" . sid('SM') . "SmsStatusreceivedTo+13055550142$tail";
	my @pairs = message('+12125550146', "START$fields");
	my $text = text_of(@pairs);
	my ($head) = $text =~ /^(.*?Body)START/ or die;
	my $rest = substr($text, length($head) + length("START$fields"));
	$fields =~ /^From(.*?)MessageSid(.*?)SmsStatus(received)To(\+13055550142)/ or die;
	my @anew = ([ AccountSid => $account ], [ ApiVersion => '2010-04-01' ], [ Body => 'START' ], [ From => $1 ], [ MessageSid => $2 ], [ SmsStatus => $3 ]);
	push @anew, $tail ? ([ To => $4 ], [ $tail => $rest ]) : [ To => "$4$rest" ];
	send_anew("a text with fields in it ($tail)", \@pairs, \@anew);
	is(ingest($node, twilio(sign(@pairs), @pairs))->{outcome}, 'accepted', 'and as it was sent');
	is(sql($node, "SELECT count(*) FROM outreach.phones WHERE phone = '+12125550145'"), 0, 'nobody has written from the phone in it');
}

# What a person may well write is an ordinary text.
for my $text ('From me To you, Body and soul', 'Sid says hi', 'MessageStatus delivered?', 'MediaUrl0', '', "a=b&c=d\n")
{
	my @pairs = message('+1212555' . (2000 + ++$serial), $text);
	my $before = sql($node, 'SELECT count(*) FROM outreach.leads');
	ingest($node, twilio(sign(@pairs), @pairs));
	is(sql($node, 'SELECT count(*) FROM outreach.leads'), $before + 1, 'a lead has written: ' . $text =~ s/\n/ /r);
}

# A status callback: the code, the status and the reference are as signed.
my $sid = sid('SM');
my @status = map { [@$_] } ([ AccountSid => $account ], [ ApiVersion => '2010-04-01' ], [ ErrorCode => '21610' ], [ From => '+13055550142' ],
	[ MessageSid => $sid ],
	[ MessageStatus => 'failed' ], [ SmsSid => $sid ], [ SmsStatus => 'failed' ], [ To => $phone ]);
is(ingest($node, twilio(sign(@status), @status))->{outcome}, 'accepted', 'a status callback');
my @anew = map { [ merged(\@status, $_) ] } qw(ErrorCode From MessageSid SmsSid SmsStatus To);
push @anew, [ merged(\@status, qw(MessageSid SmsSid)) ], [ merged(\@status, qw(ErrorCode From)) ];
send_anew('a status callback anew', \@status, @anew);

# ------------------------------------------------------------- the other schemes

my %secret = (token => 'a-token-that-is-long-enough', basic => 'user:a-password-that-is-long-enough', secret_header => 'a-secret-that-is-long-enough',
	hmac_sha256 => 'secret', signalhouse => 'secret',
	ghl => GHL_TEST_PUBLIC_KEY, standard_webhooks => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
for my $scheme (sort keys %secret)
{
	my $path = "/w/$scheme";
	sql($node, "SELECT outreach.create_endpoint('team_a', '$path', 'texting', '$scheme', '$secret{$scheme}')");
	my $n = 1000 + ++$serial;
	# without any id: its key is the digest of the body
	my $body = encode_json({ type => 'message.received', message => { from => "+1212556$n", text => 'START' } });
	my $hook = signed($scheme, path => $path, body => $body, secret => $scheme eq 'ghl' ? undef : $secret{$scheme});
	is(ingest($node, $hook)->{outcome}, 'accepted', "$scheme: START");
	sql($node, "SELECT outreach.opt_out('team_a', '+1212556$n')");
	my $before = effects();
	my (%got, @again);
	for my $more (
		{ query => 'token=x' }, { query => 'message=' . '0' x 36 . '.' . '0' x 64 }, { query => 'id=1' },
		(map { { headers => { 'content-type' => $_ } } } 'application/x-www-form-urlencoded', 'text/plain', '', 'application/json; charset=utf-16'),
		(map { { headers => { $_ => 'other-id-1' } } } qw(idempotency-key x-request-id webhook-id x-webhook-id x-twilio-signature i-twilio-idempotency-token
			x-signalhouse-timestamp webhook-timestamp)),
		{ correlation_id => '00000000-0000-7000-8000-000000000001' }, { remote_addr => '6.6.6.6' }, {})
	{
		my %query = defined $more->{query} ? (query => join '&', grep { defined } $hook->{query}, $more->{query}) : ();
		my $again = { %$hook, %$more, %query, headers => { %{ $hook->{headers} }, %{ $more->{headers} // {} } } };
		push @again, $again;
	}
	# the body in other bytes that say the same, where nothing covers it
	push @again, { %$hook, body => "$body " };
	$got{ $_->{outcome} }++ for ingest_many($node, \@again);
	is(effects(), $before, "$scheme: what is not signed makes nothing new of it");
	ok(!$got{accepted} && $got{duplicate}, "$scheme: it is known, or refused") or diag explain \%got;
}
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
# What is not sure to be the provider's is no surer when it is read again.
{
	my $before = effects();
	my $statuses = sql($node, "SELECT r.status, count(*) > 0 FROM outreach.webhooks_unfinished u, outreach.replay_webhook(u.tenant_id, u.receipt_id, 'kim') r"
		. " WHERE u.status = 'unresolved' AND u.last_error LIKE '%signature%' GROUP BY 1");
	is($statuses, 'unresolved|t', 'replayed: what its signature would fit otherwise stays unresolved');
	is(effects(), $before, 'and has no effect');
}
done_testing();
