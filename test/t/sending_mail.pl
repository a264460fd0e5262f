# HTML, blind copies and media on their way to the provider: what the request has of
# them, that it is the same request when it is repeated, and that nothing leaves that
# has lost them.

use strict;
use warnings;
use utf8;
use lib 'test/support', 'test/torture';
use Encode qw(decode);
use JSON::PP ();
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my $url = $provider->url;
my $json = JSON::PP->new->utf8;
my @media = ('https://img.example.com/a.png?x=1&y=%20', 'https://img.example.com/b.png');
sending_database($node, 'postgres', $provider, leads => 20);
quick_profiles($node);
my $shim = start_shim($node);
sending_callbacks($node, $shim);
sql($node, qq{
	SELECT outreach.create_account('team_a', 'mail', 'sendgrid_mail', 'key', base_url => '$url',
		settings => '{"from": "us\@example.com", "bcc": "CRM\@example.com"}');
	UPDATE outreach.leads SET email = 'pat\@example.com', first_name = '<Pat> & "Co"' WHERE lead_id = 'lead_1'});

# Asks, waits, and returns the message as the provider's log has it
sub sent
{
	my ($options, %args) = @_;
	my $before = $provider->accepted;
	my $message = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => 'email', send_key => join(' ', 'key', $before, %args), %args,
		options => $json->encode($options));
	is(wait_at_rest($node, $message->{message_id}), 'sent', 'it is sent');
	return ($provider->accepted)[-1];
}

sub body_of
{
	my ($request) = @_;
	return (split /\r\n\r\n/, $provider->raw($request), 2)[1];
}

# ---- mail -----------------------------------------------------------------------

my $plain = sent({ subject => 'Hi' });
my $mail = $json->decode(body_of($plain->{request}));
is_deeply($mail->{content}, [ { type => 'text/plain', value => 'Hello' } ], 'without HTML the text alone');
is_deeply($mail->{personalizations}, [ { to => [ { email => 'pat@example.com' } ], bcc => [ { email => 'crm@example.com' } ] } ], "the account's copy");
my $full = sent({ subject => 'Hi', html => '<p class="a">{{firstName}} 👍</p>', bcc => [ 'Log@example.com', 'pat@example.com' ] });
is($full->{body}, 'Hello', 'with HTML the text, too');
is(decode('UTF-8', $full->{html}), '<p class="a">&lt;Pat&gt; &amp; &quot;Co&quot; 👍</p>', 'values are no markup');
is($full->{bcc}, "log\@example.com\ncrm\@example.com", "the caller's copies, then the account's, without who gets it anyway");
$mail = $json->decode(body_of($full->{request}));
is_deeply([ map { $_->{type} } @{ $mail->{content} } ], [ 'text/plain', 'text/html' ], 'the text comes first');
sql($node, qq{
	SELECT outreach.drop_account('team_a', 'mail');
	SELECT outreach.create_account('team_a', 'mail', 'sendgrid_mail', 'key', base_url => '$url', settings => '{"from": "us\@example.com"}')});
$plain = sent({ subject => 'Hi', bcc => 'pat@example.com' });
ok(!exists $json->decode(body_of($plain->{request}))->{personalizations}[0]{bcc}, 'no copy: no member');

# ---- media ----------------------------------------------------------------------

my $picture = sent({ mediaUrls => \@media }, channel => 'sms', from_phone => '+12125550102');
is($picture->{media_urls}, join("\n", @media), 'Twilio has the media in their order');
like($picture->{id}, qr/^MM/, 'as a message of media');
is($provider->callback(message => $picture->{id}, status => 'delivered')->{http_status}, 200, 'whose callback is taken');
is(sql($node, "SELECT status FROM outreach.outbound_messages WHERE provider_message_id = '$picture->{id}'"), 'delivered', 'and believed');
like(body_of($picture->{request}), qr/MediaUrl=https%3A%2F%2Fimg\.example\.com%2Fa\.png%3Fx%3D1%26y%3D%2520&MediaUrl=https%3A%2F%2F/, 'the key repeats');
my $wordless = sent({ mediaUrls => $media[0] }, channel => 'sms', from_phone => '+12125550102', body => '');
unlike(body_of($wordless->{request}), qr/Body=/, 'without a text none is sent');
unlike(body_of(sent({}, channel => 'sms', from_phone => '+12125550102')->{request}), qr/Media/, 'and without media none');

# Unknown: what has a text is found, what has none may be another.
for my $case ([ 'sent', 'A picture' ], [ 'uncertain', '' ])
{
	my ($status, $text) = @$case;
	$provider->config(rules => [ { api => 'twilio', fault => 'lose_answer', times => 1 } ]);
	my $message = send_message($node, lead_id => $text ? 'lead_2' : 'lead_3', body => $text, send_key => "lost $status", from_phone => '+12125550102',
		options => $json->encode({ mediaUrls => \@media }));
	wait_until(sub { message($node, $message->{message_id})->{status} eq $status }, "it to be $status");
	is(message($node, $message->{message_id})->{attempts}, 1, "$status, after one request");
}

# ---- JSON: everything, and the same again -----------------------------------------

$provider->config(rules => [ { api => 'generic', fault => 'lose_answer', times => 1 } ]);
my $asked = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => 'webhook', send_key => 'json',
	options => $json->encode({ subject => 'Hi', html => '<p>{{firstName}}</p>', bcc => [ 'b@example.com', 'a@example.com' ], mediaUrls => \@media }));
quiet($node);
is(message($node, $asked->{message_id})->{status}, 'sent', 'repeated under its key');
my @requests = map { $_->{number} } grep { $_->{api} eq 'generic' } $provider->requests;
is(scalar @requests, 2, 'there were two requests');
is(body_of($requests[1]), body_of($requests[0]), 'of the same bytes');
my $document = $json->decode(body_of($requests[0]));
is_deeply([ @$document{qw(html bcc media_urls)} ], [ '<p>&lt;Pat&gt; &amp; &quot;Co&quot;</p>', [ 'b@example.com', 'a@example.com' ], \@media ],
	'with all of it');
is($provider->counter('doubled'), 0, 'and accepted once');

# ---- a profile of one's own: what is repeated, and what is left out ----------------

sub own_profile
{
	my ($body, $type) = @_;
	sql($node, qq{
		INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, body, source)
		VALUES ('team_a', 'own', 'generic', 'webhook', 'https://own.invalid/messages', 'none', '$type', '} . $json->encode($body) . q{', 'a test')
		ON CONFLICT (tenant_id, profile) DO UPDATE SET body = EXCLUDED.body, content_type = EXCLUDED.content_type});
}

# The body of the request that a message with these options makes, whatever is answered
sub written
{
	my ($options) = @_;
	my $before = $provider->requests;
	my $message = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => 'webhook', send_key => "own $before",
		options => $json->encode({ account => 'own', %$options }));
	wait_at_rest($node, $message->{message_id});
	return body_of(($provider->requests)[-1]{number});
}

own_profile({ body => '{{body}}' }, 'application/json');
sql($node, "SELECT outreach.create_account('team_a', 'own', 'own', base_url => '$url')");
own_profile({ to => '{{to}}', body => '{{body}}', mail => { copies => [ { address => { mail => '{{bcc | upper}}', same => '{{bcc}}' },
	pictures => [ '{{media_urls}}' ] } ] },
	nested => [ [ '{{media_urls}}' ], 'x' ], parts => [ { type => 'a', value => '{{body}}' }, { type => 'b', value => '{{html}}',
		more => { title => '{{subject}}' } }, '{{subject}}', 7, undef ] }, 'application/json');
is_deeply($json->decode(written({})), { to => 'lead_1', body => 'Hello', mail => {}, nested => ['x'], parts => [ { type => 'a', value => 'Hello' }, 7,
	undef ] },
	'without values: the arrays of lists are gone, and elements as a whole');
is_deeply($json->decode(written({ html => '<p>', bcc => [ 'a@example.com', 'b@example.com' ], mediaUrls => $media[1] })),
	{ to => 'lead_1', body => 'Hello', mail => { copies => [ map { { address => { mail => uc, same => $_ }, pictures => [ $media[1] ] } } 'a@example.com',
		'b@example.com' ] },
		nested => [ [ $media[1] ], 'x' ], parts => [ { type => 'a', value => 'Hello' }, { type => 'b', value => '<p>', more => {} }, 7, undef ] },
	'with them: an element for each value');
own_profile({ a => '{{body}}', c => [ { mail => '{{bcc}}' } ], d => { e => [ '{{media_urls}}' ] }, f => [ '{{subject}}', 'x', '{{html}}' ] },
	'application/x-www-form-urlencoded');
is(written({}), 'a=Hello&f=x', 'a form without values');
is(written({ bcc => [ 'a@example.com', 'b@example.com' ], mediaUrls => \@media, subject => 'S', html => '<p>' }),
	'a=Hello&mail=a%40example.com&mail=b%40example.com&e=' . join('&e=',
		map { s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger } @media) . '&f=S&f=x&f=%3Cp%3E', 'and with them: keys repeat');

# ---- nothing leaves without what was asked for, or without end ------------------------

my $lost = 0;
my @ten = map { "a$_\@example.com" } 1 .. 10;
my $within = [ '{{bcc}}' ];
$within = [ { mail => '{{bcc}}', more => $within } ] for 1 .. 6;

for my $case ([ { html => '<p>Hi</p>' }, { body => '{{body}}' }, 'its profile has no place for "html"' ],
	[ { bcc => 'a@example.com' }, { body => '{{body}}', html => '{{html}}' }, 'its profile has no place for "bcc"' ],
	[ { mediaUrls => $media[0] }, { body => '{{body}}' }, 'its profile has no place for "media_urls"' ],
	[ { bcc => 'a@example.com' }, { body => '{{body}}', bcc => [ { mail => '{{bcc}}', name => '{{subject}}' } ] }, 'a value of a list cannot be written' ],
	[ { bcc => 'a@example.com' }, { body => '{{body}}', bcc => [ '{{bcc | digits}}' ] }, 'a value of a list cannot be written' ],
	[ { bcc => \@ten }, { body => '{{body}}', bcc => $within }, 'the body has too many values' ],
	[ { html => '"' x 30000 }, { body => '{{body}}', html => [ ('{{html}}') x 40 ] }, 'the body is too long' ])
{
	my ($options, $body, $why) = @$case;
	my $before = $provider->requests;
	own_profile({ to => '{{to}}', body => '{{body}}', html => '{{html}}', bcc => [ '{{bcc}}' ], media => [ '{{media_urls}}' ] }, 'application/json');
	my $message = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => 'webhook', send_key => 'lost ' . ++$lost, send_at => '2040-01-01',
		options => $json->encode({ account => 'own', %$options }));
	own_profile($body, 'application/json');
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$message->{message_id}'");
	wait_until(sub { message($node, $message->{message_id})->{status} eq 'deferred' }, 'it to be deferred');
	is(message($node, $message->{message_id})->{last_error}, $why, 'it says why');
	is($provider->requests, $before, 'and nothing left');
	own_profile({ to => '{{to}}', body => '{{body}}', html => '{{html}}', bcc => [ '{{bcc}}' ], media => [ '{{media_urls}}' ] }, 'application/json');
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$message->{message_id}'");
	is(wait_at_rest($node, $message->{message_id}), 'sent', 'which it does when the profile has one again');
}
# ---- who gets a copy has consent of his own ---------------------------------------

for my $case ([ opt_out => 'blocked' ], [ release_address => 'sent' ])
{
	my ($act, $became) = @$case;
	my $message = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => 'email', send_key => "copy $act", send_at => '2040-01-01',
		options => $json->encode({ subject => 'Hi', bcc => "copy.$act\@example.com" }));
	is($message->{status}, 'pending', 'a copy to an address that nobody knows');
	sql($node, "SELECT outreach.$act('team_a', 'Copy.$act\@example.com', 'kim', 'asked')");
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$message->{message_id}'");
	is(wait_at_rest($node, $message->{message_id}), $became, "$act before it leaves: $became");
}
# ---- an address that was taken away -------------------------------------------------

for my $case ([ email => 'email', 'pat@example.com' ], [ phone => 'sms', phone(1) ])
{
	my ($column, $channel, $address) = @$case;
	my $message = send_message($node, lead_id => 'lead_1', body => 'Hello', channel => $channel, send_key => "gone $column", send_at => '2040-01-01',
		options => $channel eq 'email' ? '{"subject": "Hi"}' : '{}');
	sql($node, "UPDATE outreach.leads SET $column = NULL WHERE lead_id = 'lead_1'");
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$message->{message_id}'");
	is(wait_at_rest($node, $message->{message_id}), 'deferred', "a lead whose $column is gone is not written to there");
	like(message($node, $message->{message_id})->{verdicts}, qr/no address/, 'for want of one');
	sql($node, "UPDATE outreach.leads SET $column = '$address' WHERE lead_id = 'lead_1'");
}
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
