# A secret goes to the host it was given for and opens in the row it was sealed in:
# who writes profiles, or changes where an account's requests go, does not get it.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use Echo;
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'the-token-of-team-a' });
my $echo = Echo->start;
my $url = $provider->url;
my $elsewhere = $echo->url;
my $another_host = "its secret was given for another host; give it again with rotate_account_secret()";
my $n = 0;
sending_database($node, 'postgres', $provider, leads => 100);
quick_profiles($node);
sql($node, q{SELECT outreach.rotate_account_secret('team_a', 'twilio', 'the-token-of-team-a')});
# an account at the host of its profile alone
sql($node, qq{
	BEGIN;
	SELECT outreach.enter_tenant('team_a');
	INSERT INTO outreach.provider_profiles SELECT (jsonb_populate_record(p, jsonb_build_object('profile', 'local', 'lookup', NULL,
		'url', '$url/2010-04-01/Accounts/{{username}}/Messages.json'))).*
	  FROM outreach.provider_profiles p WHERE p.profile = 'twilio_sms' AND p.tenant_id = 'team_a';
	COMMIT;
	SELECT outreach.create_account('team_a', 'local', 'local', 'the-token-of-team-a', 'AC00000000000000000000000000000001');
	SELECT outreach.add_number('team_a', '+12125550109', 'local')}, user => 'test_admin');

my %from = (twilio => '+12125550102', local => '+12125550109');

sub ask
{
	my ($account) = @_;
	$n++;
	return send_message($node, lead_id => "lead_$n", body => "Text $n", from_phone => $from{$account})->{message_id};
}

# Waits until the message is put off, and returns why
sub why
{
	my ($id) = @_;
	return wait_until(sub { my $m = message($node, $id); $m->{status} eq 'deferred' && $m->{last_error} }, 'the message to be put off');
}

# What was put off is tried each minute: not so long here
sub leaves
{
	my ($id, $what) = @_;
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$id'");
	is(wait_until(sub { my $s = message($node, $id)->{status}; $s ne 'pending' && $s ne 'sending' && $s ne 'deferred' && $s }, 'it to leave'),
		'sent', $what);
}

# ---- a profile of the tenant's own -------------------------------------------

my $first = ask('local');
is(wait_at_rest($node, $first), 'sent', 'at the host of the profile');
my $redirect = sub {
	my ($to) = @_;
	return sql($node, "UPDATE outreach.provider_profiles SET url = '$to' WHERE profile = 'local'", user => 'test_admin', tenant => 'team_a');
};
for my $to ("$elsewhere/400/plain", "http://localhost:${\$provider->port}/2010-04-01/Accounts/{{username}}/Messages.json",
	"https://127.0.0.1:${\$provider->port}/2010-04-01/Accounts/{{username}}/Messages.json")
{
	$redirect->($to);
	my $id = ask('local');
	is(why($id), $another_host, 'to ' . ($to =~ s/\d{4,5}/PORT/r) . ': not sent');
	$redirect->("$url/2010-04-01/Accounts/{{username}}/Messages.json");
	leaves($id, 'and sent when the profile is what it was');
}
is($echo->seen, 0, 'nothing came to the other host');
my @refused = map { sql_error($node, "UPDATE outreach.provider_profiles SET $_ WHERE profile = 'local'", user => 'test_admin', tenant => 'team_a') }
  q(url = 'http://{{host}}/'), q(url = 'http://127.0.0.1:{{port}}/'), q(url = 'http://127.0.0.1{{rest}}/'),
  q(url = 'http://a@127.0.0.1/'), q(url = 'http://127.0.0.1?@b.example/'), q(url = 'http:///x'),
  qq(lookup = '{"url": "$elsewhere/200/list", "list": [], "id": ["sid"], "body": ["body"], "lag": "1 second"}'),
  q(auth_header = 'Host', authentication = 'header'), q(auth_header = 'Host: b.example\r\nX', authentication = 'header');
is("@refused", join(' ', ('23514') x @refused), 'a host with placeholders, another host for look-ups, a header that names the host: refused');

# domain fronting: the right host by name and certificate, and another one in the request
sql($node, q(UPDATE outreach.provider_profiles SET headers = '{"Host": "b.example"}' WHERE profile = 'local'), user => 'test_admin', tenant => 'team_a');
my $fronted = ask('local');
is(why($fronted), 'a header cannot be sent', 'another host in the header: not sent');
sql($node, q(UPDATE outreach.provider_profiles SET headers = '{}' WHERE profile = 'local'), user => 'test_admin', tenant => 'team_a');
leaves($fronted, 'sent without');

# ---- base_url -----------------------------------------------------------------

sql($node, "UPDATE outreach.sending_accounts SET base_url = '$elsewhere' WHERE account = 'twilio'");
my $moved = ask('twilio');
is(why($moved), $another_host, 'an account that was moved: not sent');
is($echo->seen, 0, 'nothing came there');
sql($node, "UPDATE outreach.sending_accounts SET base_url = '$url/' WHERE account = 'twilio'");
leaves($moved, 'moved back, it is sent');
my $gone = TestProvider->start(config => { twilio_token => 'the-token-of-team-a' });
sql($node, "UPDATE outreach.sending_accounts SET base_url = '${\$gone->url}' WHERE account = 'twilio'");
$moved = ask('twilio');
why($moved);
sql($node, q{SELECT outreach.rotate_account_secret('team_a', 'twilio', 'the-token-of-team-a')}, user => 'test_admin');
leaves($moved, 'given again for the other host, it is sent there');
is(scalar $gone->accepted, 1, 'which has it');
sql($node, "UPDATE outreach.sending_accounts SET base_url = 'https://a:b:c' WHERE account = 'twilio'");
is(why(ask('twilio')), 'its URL has no host that is certain', 'a base_url that is no URL');
is(sql_error($node, q{SELECT outreach.rotate_account_secret('team_a', 'twilio', 'the-token-of-team-a')}), '22023', 'for which no secret is taken');
sql($node, "UPDATE outreach.sending_accounts SET base_url = '${\$gone->url}' WHERE account = 'twilio'");

# ---- rows that are moved ------------------------------------------------------

sub with_row
{
	my ($change, $back, $expected, $what) = @_;
	sql($node, $change);
	my $id = ask('twilio');
	is(why($id), $expected, $what);
	sql($node, $back);
	leaves($id, 'put back, it opens');
}
my $changed = 'a sealed secret was changed';
sql($node, "SELECT outreach.create_account('team_a', 'second', 'twilio_sms', 'another-token-of-a', 'AC1', base_url => '${\$gone->url}')");
my $swap = q(UPDATE outreach.secrets SET name = CASE name WHEN 'twilio' THEN 'second' ELSE 'twilio' END
	WHERE purpose = 'account' AND name IN ('twilio', 'second'));
with_row($swap, $swap, $changed, "another account's of the same host: it does not open");
with_row(qq(UPDATE outreach.secrets SET given_for = 'http://127.0.0.1:1' WHERE name = 'twilio'),
	qq(UPDATE outreach.secrets SET given_for = (SELECT given_for FROM outreach.secrets WHERE name = 'second') WHERE name = 'twilio'),
	$another_host, 'what it was given for, changed: it does not open');
sql($node, "UPDATE outreach.sending_accounts SET base_url = '$elsewhere' WHERE account = 'twilio'");
with_row("UPDATE outreach.secrets SET given_for = '$elsewhere' WHERE name = 'twilio' AND purpose = 'account'",
	"UPDATE outreach.sending_accounts SET base_url = '${\$gone->url}' WHERE account = 'twilio';
	 UPDATE outreach.secrets SET given_for = (SELECT given_for FROM outreach.secrets WHERE name = 'second') WHERE name = 'twilio'",
	$changed, 'changed with the account: it does not open either');
is($echo->seen, 0, 'nothing came to the other host');
sql($node, q{UPDATE outreach.secrets SET secret_id = gen_random_uuid() WHERE name = 'second'});
sql($node, q{DELETE FROM outreach.secrets WHERE name = 'twilio' AND purpose = 'account'});
my $without = ask('twilio');
is(why($without), 'its profile needs a secret; give it with rotate_account_secret()', 'an account without its secret: nothing is sent');
sql($node, q{SELECT outreach.rotate_account_secret('team_a', 'twilio', 'the-token-of-team-a')});
leaves($without, 'until there is one');

# ---- endpoints ----------------------------------------------------------------

sql($node, q{
	SELECT outreach.create_endpoint('team_a', '/w/first', 'generic', 'token', 'the-first-secret-there');
	SELECT outreach.create_endpoint('team_a', '/w/second', 'generic', 'token', 'the-second-secret-there')});
sub knock
{
	my ($path, $token) = @_;
	return ingest($node, signed('token', path => $path, secret => $token, body => '{"event": "x", "id": "' . ++$n . '"}'))->{http_status};
}
is(knock('/w/first', 'the-first-secret-there'), 200, 'an endpoint');
$swap = q(UPDATE outreach.secrets SET name = CASE name WHEN '/w/first' THEN '/w/second' ELSE '/w/first' END WHERE name IN ('/w/first', '/w/second'));
sql($node, $swap);
is(knock('/w/second', 'the-first-secret-there'), 503, "another endpoint's secret does not open");
is(knock('/w/second', 'the-second-secret-there'), 503, 'nor is its own there');
sql($node, $swap);
is(knock('/w/first', 'the-first-secret-there'), 200, 'put back');
sql($node, q(UPDATE outreach.secrets SET purpose = 'proof', name = '' WHERE name = '/w/first'));
is(sql_error($node, q(SELECT outreach.enter_tenant('team_a', 'v1.9999999999.' || repeat('0', 64))), user => 'test_app'), 'OR201', 'nor as a key of proofs');
sql($node, q(UPDATE outreach.secrets SET purpose = 'endpoint', name = '/w/first' WHERE purpose = 'proof'));
sql($node, q(UPDATE outreach.endpoints SET scheme = 'secret_header', signature_header = 'x-other' WHERE path = '/w/first'));
is(ingest($node, signed('secret_header', path => '/w/first', secret => 'the-first-secret-there', header => 'x-other', body => '{"id": 1}'))->{http_status},
	503, 'a secret of a token is compared as nothing else');
sql($node, q(SELECT outreach.rotate_secret('team_a', '/w/first', 'the-first-secret-there')));
is(ingest($node, signed('secret_header', path => '/w/first', secret => 'the-first-secret-there', header => 'x-other', body => '{"id": 2}'))->{http_status},
	200, 'given for the other scheme, it is');

# ---- callbacks ----------------------------------------------------------------

sql($node, q{
	SELECT outreach.create_endpoint('team_a', '/w/reports', 'signalhouse', 'signalhouse', 'whsec', 'http://127.0.0.1:1/w/reports');
	SELECT outreach.set_callback_path('team_a', 'signalhouse', '/w/reports')});
my $unsure = send_message($node, lead_id => 'lead_100', body => 'Text [[fault:lose_answer]]', from_phone => '+12125550101')->{message_id};
ok(wait_until(sub { message($node, $unsure)->{status} eq 'uncertain' }, 'it to be given up'), 'a message of unknown outcome');
sql($node, "UPDATE outreach.sending_accounts SET base_url = '$elsewhere' WHERE account = 'signalhouse'");
my ($reference) = map { $provider->raw($_->{number}) =~ /message=($unsure\.[0-9a-f]+)/ } $provider->requests;
my $report = signed('signalhouse', path => '/w/reports', query => "message=$reference", secret => 'whsec',
	body => payload('signalhouse-message_delivered.json'));
is(ingest($node, $report)->{http_status}, 200, 'a report of it, while nothing can be sent through its account');
is(message($node, $unsure)->{status}, 'delivered', 'counts');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
