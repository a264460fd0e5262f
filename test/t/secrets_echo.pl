# A provider that repeats the secret it was sent, in whatever form and wherever in
# its answer: nothing that anybody can read holds it afterwards.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use Echo;
use MIME::Base64 qw(encode_base64);
use OutreachTest;
use PostgreSQL::Test::Utils ();
use Sending;
use Test::More;
use TestProvider;

my $secret = 'sk_live/51HqLx9+ZtpQr8Wm=2c"d&e';
my $username = 'AC00000000000000000000000000000001';
my $node = sending_cluster();
my $provider = TestProvider->start;
my $echo = Echo->start;
my $n = 0;
sending_database($node, 'postgres', $provider, leads => 100);

# A way to send of its own for each case: the account's secret was given for this
# host, which is trusted, and repeats it
sub sends_to
{
	my ($path, %row) = @_;
	my $profile = 'case_' . ++$n;
	my $columns = join '', map { ", $_" } sort keys %row;
	my $values = join '', map { ", $row{$_}" } sort keys %row;
	my $phone = sprintf '+1212555%04d', 1000 + $n;
	my $authentication = delete $row{authentication} // "'basic'";

	$columns = join '', map { ", $_" } sort keys %row;
	$values = join '', map { ", $row{$_}" } sort keys %row;
	sql($node, qq{
		INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, body,
			id_path, code_path, error_path, settle, retry_delays, breaker_failures, source$columns)
		SELECT 'team_a', '$profile', 'twilio', 'sms', '${\$echo->url}$path', $authentication, 'application/json', '{"text": "{{body}}"}',
			'{sid}', '{code}', '{message}', '300 ms', '{200 ms}', 1000, 'test'$values;
		SELECT outreach.create_account('team_a', '$profile', '$profile', '$secret', '$username');
		SELECT outreach.add_number('team_a', '$phone', '$profile')});
	return send_message($node, lead_id => "lead_$n", body => "Text $n", from_phone => $phone)->{message_id};
}

sub delivery
{
	my ($id) = @_;
	wait_at_rest($node, $id);
	return sql($node, "SELECT concat_ws('|', http_status, outcome, error_code, error, answer) FROM outreach.message_deliveries
		WHERE message_id = '$id' ORDER BY attempt LIMIT 1");
}

my $withheld = qr/the answer is not kept: it tells the account's secret/;
my %case = map { $_ => sends_to("/400/$_") } qw(raw plain points percent html basic hex masked);
my %header = map { $_ => sends_to("/400/$_", authentication => q('header'), auth_header => q('X-Key')) } qw(plain points masked);
my %bearer = map { $_ => sends_to("/500/$_", authentication => q('bearer')) } qw(plain percent);
my $cut = sends_to('/400/raw/' . (2000 - length("you sent Basic ") - 20));
my $behind = sends_to('/400/raw/60000');
my $error = sends_to('/400/error');
my $code = sends_to('/400/code');
my $id = sends_to('/201/id');
my $by_header = sends_to('/201/header', id_header => q('X-Message-Id'));
my $quiet = sends_to('/400/quiet');

like(delivery($case{$_}), $withheld, "in the answer: $_") for sort keys %case;
like(delivery($header{$_}), $withheld, "sent in a header of its own: $_") for sort keys %header;
like(delivery($bearer{$_}), $withheld, "of unknown outcome: $_") for sort keys %bearer;
like(delivery($cut), $withheld, 'where the excerpt is cut');
like(delivery($behind), $withheld, 'behind what would be kept');
like(delivery($error), $withheld, 'in the text of an error');
unlike(delivery($error), qr/no such key/, 'which is not kept either');
like(delivery($code), $withheld, 'in the code of an error');
is(message($node, $code)->{error_code} // '', '', 'which is none then');
is(wait_at_rest($node, $id), 'uncertain', 'as the message\'s id: no id');
like(message($node, $id)->{last_error}, $withheld, 'which is said');
is(wait_at_rest($node, $by_header), 'uncertain', 'as the id in a header: no id');
is(delivery($quiet), q(400|failed|21211|The number is not valid|{"code":21211,"message":"The number is not valid"}),
	'an answer that tells nothing is kept');

# a look-up is an answer too
my $lookup = sends_to('/500/quiet',
	lookup => qq('{"url": "${\$echo->url}/200/list", "list": ["messages"], "id": ["sid"], "body": ["body"], "lag": "100 ms"}'));
ok(wait_until(sub { grep { m{^GET /200/list} } $echo->requests }, 'the look-up'), 'it is looked up');
wait_until(sub { message($node, $lookup)->{last_error} =~ /look-up told nothing/ || message($node, $lookup)->{status} eq 'uncertain' },
	'the look-up to be read');
is(sql($node, "SELECT count(*) FROM outreach.provider_message_ids"), 0, 'no id was taken from any of them');
cmp_ok(scalar(grep { index($_, encode_base64("$username:$secret", '')) >= 0 } $echo->requests), '>=', 10, 'the secret was sent, as it should');

# ---- nowhere ------------------------------------------------------------------

sub squeeze { return lc($_[0] =~ s{[\\+/_=\s-]}{}gr); }

my $all = sql($node, q{
	SELECT string_agg(query_to_xml(format('SELECT * FROM outreach.%I', relname), true, true, '')::text, '')
	  FROM pg_class WHERE relnamespace = 'outreach'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'worker_status'});
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my %needle = (
	plain => squeeze(substr($secret, 0, 12)),
	'of its end' => squeeze(substr($secret, 8, 14)),
	'in base64' => squeeze(substr(encode_base64("$username:$secret", ''), 48, 16)),
	'in hexadecimal' => substr(unpack('H*', $secret), 0, 24));
for my $what (sort keys %needle)
{
	is(index(squeeze($all), $needle{$what}), -1, "no row holds the secret, $what");
	is(index(squeeze($log), $needle{$what}), -1, "nor does the server's log, $what");
}
is(index(squeeze($all), join '', map { sprintf 'u%04x', ord } split //, substr($secret, 0, 4)), -1, 'nor in code points');
done_testing();
