# Mail by SendGrid, from the request to what its event webhook tells: events that are
# signed, that name the message in more than one way, that come many in one request,
# and that go to an endpoint of each mode.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use JSON::PP;
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start;
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 0);
my $shim = start_shim($node);
my $hooks = 'http://127.0.0.1:' . $shim->port;
sql($node, "SELECT outreach.create_endpoint('team_a', '/w/mail', 'sendgrid', 'sendgrid', '" . SENDGRID_TEST_PUBLIC_KEY . "', '$hooks/w/mail');
	SELECT outreach.create_endpoint('team_a', '/w/later', 'sendgrid', 'sendgrid', '" . SENDGRID_TEST_PUBLIC_KEY . "', mode => 'deferred');
	SELECT outreach.create_account('team_a', 'plain', 'sendgrid_mail', 'key', base_url => '$url', settings => '{\"from\": \"us\@example.com\"}');
	SELECT outreach.create_account('team_a', 'mail', 'sendgrid_mail', 'key', base_url => '$url', callback_path => '/w/mail',
		settings => '{\"from\": \"us\@example.com\"}')");
my $n = 0;

# A mail to a lead of its own that has left: its id, and the event that SendGrid makes of it
sub mail
{
	my ($account, $fault) = @_;
	$n++;
	sql($node, "SELECT outreach.create_lead('team_a', 'm$n', email => 'M$n\@Example.com')");
	my $id = send_message($node, lead_id => "m$n", channel => 'email', body => "Mail $n" . ($fault ? " [[fault:$fault]]" : ''),
		options => qq({"subject": "Hi", "account": "$account"}))->{message_id};
	my $status = wait_until(sub { my $s = message($node, $id)->{status}; $s =~ /^(sent|unknown)$/ && $s }, "mail $n to leave");
	my ($request) = grep { $_->{recipient} eq "m$n\@example.com" } $provider->requests;
	my $body = decode_json($provider->raw($request->{number}) =~ s/.*?\r\n\r\n//sr);
	my ($accepted) = grep { $_->{recipient} eq "m$n\@example.com" } $provider->accepted;
	return ($id, { %{ $body->{custom_args} }, email => "m$n\@example.com", timestamp => time(), 'smtp-id' => "<$n\@ismtpd>",
		sg_message_id => "$accepted->{id}.recvd-5c5b7c4d5d-xkz8b-1-6453AD3C-5E.0" }, $status);
}

my $event = 0;
sub event { my ($of, $what, %more) = @_; $event++; return { %$of, event => $what, sg_event_id => "event_$event", %more } }

sub post
{
	my ($path, $events, %more) = @_;
	my $hook = signed('sendgrid', path => $path, secret => SENDGRID_TEST_PRIVATE_KEY, body => encode_json($events) . "\r\n", %more);
	return http($shim, %$hook)->{status};
}

# ---- which message it is of -----------------------------------------------------

my ($id, $of) = mail('mail');
is($of->{message_id}, $id, 'the mail carries our id');
like($of->{reference}, qr/^\Q$id\E\.[0-9a-f]{32}$/, 'and what proves it');
my $theirs = delete $of->{sg_message_id};
is(post('/w/mail', [ event($of, 'processed'), event($of, 'delivered') ]), 200, 'events are taken');
is(message($node, $id)->{status}, 'delivered', 'by the reference alone, as of a late bounce');
my $forged = { %$of, reference => $of->{reference} =~ s/.$/0/r };
$forged->{reference} =~ s/.$/1/ if $forged->{reference} eq $of->{reference};
is(post('/w/mail', [ event($forged, 'bounce', email => 'nobody@example.com') ]), 200, 'one with a forged reference is taken');
is(message($node, $id)->{status}, 'delivered', 'and moves nothing');

($id, $of) = mail('plain');
ok(!exists $of->{reference}, 'an account without a callback path has no reference');
is(post('/w/mail', [ event($of, 'open', sg_machine_open => JSON::PP::false) ]), 200, 'its events name the message');
is(message($node, $id)->{status}, 'read', 'by the id of the answer, lengthened as SendGrid does');

my ($lost, $of_lost, $status) = mail('mail', 'lose_answer');
is($status, 'unknown', 'the answer of one is lost');
is(post('/w/mail', [ event($of_lost, 'processed') ]), 200, 'SendGrid tells that it was accepted');
is(message($node, $lost)->{status}, 'sent', 'so that it is known');

# ---- many at once, in each way ----------------------------------------------------

my @of = map { [ mail('mail') ] } 1 .. 6;
my @events = (event($of[0][1], 'deferred', attempt => '1'), event($of[1][1], 'delivered'), event($of[1][1], 'click', url => 'https://example.com/'),
	event($of[2][1], 'bounce', type => 'bounce', status => '5.1.1', reason => '550 no such user'), event($of[3][1], 'bounce', type => 'blocked',
		status => '5.7.1'),
	event($of[4][1], 'unsubscribe'), event($of[5][1], 'spamreport'));
sub stand
{
	return join ' ', map {
		my $id = $_->[0];
		my $email = $_->[1]{email};
		message($node, $id)->{status} . ':' . sql($node, "SELECT consent || coalesce('!' || (SELECT string_agg(k, '') FROM jsonb_object_keys(unreachable) k),
			'') FROM outreach.addresses WHERE address = '$email'")
	} @of;
}
my $after = 'sent:unknown read:unknown failed:unknown!email undelivered:unknown sent:opted_out sent:opted_out';
is(post('/w/later', \@events), 200, 'kept for later');
wait_until(sub { stand() eq $after }, 'the worker to take it up');
is(stand(), $after, 'each of its events has its effect');
my $effects = q{SELECT count(*) FROM outreach.events WHERE event_type NOT LIKE 'webhook.inbound.%'};
my $before = sql($node, $effects);
is(post('/w/mail', [ reverse @events ]), 200, 'again, in another order and in the other way');
is(stand(), $after, 'nothing changes');
is(sql($node, $effects), $before, 'and nothing is done');

for my $i (2, 4, 5)
{
	my $lead = sql($node, "SELECT lead_id FROM outreach.outbound_messages WHERE message_id = '$of[$i][0]'");
	my $row = send_message($node, lead_id => $lead, channel => 'email', body => 'again', options => '{"subject": "Hi"}');
	is($row->{status}, 'blocked', "nothing more is sent to $of[$i][1]{email}");
}

# ---- of a copy ------------------------------------------------------------------

{
	sql($node, "SELECT outreach.create_lead('team_a', 'copied', email => 'copied\@example.com')");
	my $copied = send_message($node, lead_id => 'copied', channel => 'email', body => 'Copied',
		options => '{"subject": "Hi", "account": "mail", "bcc": "Log@Example.com"}')->{message_id};
	is(wait_at_rest($node, $copied), 'sent', 'a mail with a copy');
	my ($request) = grep { $_->{recipient} eq 'copied@example.com' } $provider->requests;
	my $args = decode_json($provider->raw($request->{number}) =~ s/.*?\r\n\r\n//sr)->{custom_args};
	my %to = (%$args, email => 'copied@example.com', timestamp => time());
	my %copy = (%to, email => 'LOG@example.com');
	my $marks = q{SELECT string_agg(address, ' ') FROM outreach.addresses WHERE address IN ('log@example.com', 'copied@example.com')
		AND unreachable IS NOT NULL};
	is(post('/w/mail', [ event(\%copy, 'delivered'), event(\%copy, 'open') ]), 200, 'the copy is read');
	is(message($node, $copied)->{status}, 'sent', 'the mail is not, for that');
	is(post('/w/mail', [ event(\%copy, 'bounce', type => 'bounce', status => '5.1.1') ]), 200, 'the copy bounces');
	is(message($node, $copied)->{status}, 'sent', 'the mail has not');
	is(sql($node, $marks), 'log@example.com', 'it is the address of the copy that cannot be reached');
	is(post('/w/mail', [ event(\%to, 'bounce', type => 'bounce', status => '5.1.1') ]), 200, 'the mail bounces');
	is(message($node, $copied)->{status}, 'failed', 'it has failed');
	is(post('/w/mail', [ event(\%copy, 'unsubscribe') ]), 200, 'who gets the copies wants no more');
	is(sql($node, q{SELECT string_agg(address, ' ') FROM outreach.addresses WHERE address IN ('log@example.com', 'copied@example.com')
		AND consent = 'opted_out'}), 'log@example.com', 'and gets none');
}

# ---- who says it ------------------------------------------------------------------

my ($victim, $of_victim) = mail('mail');
my $bounce = [ event($of_victim, 'unsubscribe') ];
my $body = encode_json($bounce);
my $hook = signed('sendgrid', path => '/w/mail', secret => SENDGRID_TEST_PRIVATE_KEY, body => $body);
for my $case ([ 'another body', body => "$body " ], [ 'another time', 'x-twilio-email-event-webhook-timestamp' => '1600000000' ],
	[ 'no time', 'x-twilio-email-event-webhook-timestamp' => undef ], [ 'no signature', 'x-twilio-email-event-webhook-signature' => undef ],
	[ 'a time that is none', 'x-twilio-email-event-webhook-timestamp' => substr($body, 0, 1) ])
{
	my ($what, $name, $value) = @$case;
	my %bad = (%$hook, headers => { %{ $hook->{headers} } });
	if ($name eq 'body') { $bad{body} = $value }
	elsif (defined $value) { $bad{headers}{$name} = $value }
	else { delete $bad{headers}{$name} }
	is(http($shim, %bad)->{status}, 401, "$what: refused");
}
is(sql($node, "SELECT consent FROM outreach.addresses WHERE address = '$of_victim->{email}'"), 'unknown', 'nobody is opted out');
is(http($shim, %$hook)->{status}, 200, 'as it was signed: taken');
is(sql($node, "SELECT consent FROM outreach.addresses WHERE address = '$of_victim->{email}'"), 'opted_out', 'opted out');
is(sql_error($node, "SELECT outreach.create_endpoint('team_a', '/w/x', 'sendgrid', 'sendgrid', '" . GHL_TEST_PUBLIC_KEY . "')"), '22023',
	'a key of another kind is refused');
(my $off = SENDGRID_TEST_PUBLIC_KEY) =~ s/.{6}==?$|.{8}$/AAAAAA==/;
is(sql_error($node, "SELECT outreach.create_endpoint('team_a', '/w/x', 'sendgrid', 'sendgrid', '$off')"), '22023', 'and one that is no point of the curve');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
