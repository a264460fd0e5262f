# Every scheme against its published vectors, through endpoints; and that nothing
# but the exact request passes: a bit flipped in body, query, secret, signature
# or timestamp, another tenant's secret, an old or future time, a header twice.
# What is refused is answered 401 and writes nothing but a counter.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Digest::SHA qw(sha256_hex);
use MIME::Base64 qw(encode_base64);
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_tenant('team_b', 'B');
});

my $serial = 0;

# The statement that makes an endpoint; one that takes its path goes.
sub endpoint_sql
{
	my ($path, %e) = @_;
	my $url = $e{url} // ($e{scheme} eq 'twilio' ? url_of($path) : undef);
	my ($secret, $public, $header) = map { defined $_ ? "'$_'" : 'NULL' } $e{secret}, $url, $e{header};
	return sprintf("DELETE FROM outreach.endpoints WHERE path = '%s'; SELECT outreach.create_endpoint('%s', '%s', '%s', '%s', %s, %s, %s, allow_get => %s)",
		$path, $e{tenant} // 'team_a', $path, $e{provider} // 'generic', $e{scheme}, $secret, $public, $header, $e{get} ? 'true' : 'false');
}

# a new endpoint; returns its path
sub endpoint
{
	my (%e) = @_;
	my $path = $e{path} // '/w/ep_' . ++$serial;
	sql($node, endpoint_sql($path, %e));
	return $path;
}

sub url_of { return "https://hooks.example.com$_[0]" }

# The engine's clock, for logins from now on; '' is the time of day.
sub set_clock
{
	my ($time) = @_;
	sql($node, "ALTER ROLE test_shim SET outreach.clock = '$time'");
}

sub taken
{
	my ($hook, $name) = @_;
	my $row = ingest($node, $hook);
	ok($row->{outcome} =~ /^(?:accepted|duplicate|error)$/ && $row->{http_status} == 200, "passes: $name")
	  or diag explain $row;
	return $row;
}

sub refused
{
	my ($hook, $name) = @_;
	my $before = counter($node, 'rejected');
	my ($row, $clean) = writes_nothing($node, $hook);
	is("$row->{outcome} $row->{http_status} " . ($row->{receipt_id} // 'none') . ($clean ? '' : ', and writes'),
		'rejected 401 none', "refused: $name");
	is(counter($node, 'rejected') - $before, 1, "counted: $name");
}

# the webhook with some of it changed
sub with
{
	my ($hook, %change) = @_;
	my %headers = (%{ $hook->{headers} }, %{ delete $change{headers} // {} });
	delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
	return { %$hook, %change, headers => \%headers };
}

sub flip
{
	my ($text, $at) = @_;
	substr($text, $at, 1) = chr(ord(substr($text, $at, 1)) ^ 1);
	return $text;
}

# ------------------------------------------------------------- Twilio

my $token = '12345';
my $url = 'https://mycompany.com/myapp.php?foo=1&bar=2';
my $form = 'CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212';
my $sha = sha256_hex('{"property": "value", "boolean": true}');
my $sha_empty = sha256_hex('{}');
is($sha, '0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620', 'hash of the published body');
is($sha_empty, '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'hash of the other one');

# name, endpoint's URL, query of the request, body, signature
my @twilio = (
	[ 'form', $url, 'foo=1&bar=2', $form, 'RSOYDt4T1cUTdK1PDd93/VVr8B8=' ],
	[ 'repeated key', $url, 'foo=1&bar=2', 'Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234', 'IK+Dwps556ElfBT0I3Rgjkr1wJU=' ],
	[ 'repeated key and value', $url, 'foo=1&bar=2', 'Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234', 'IK+Dwps556ElfBT0I3Rgjkr1wJU=' ],
	[ 'http with a port', 'http://mycompany.com:1234/myapp.php?foo=1&bar=2', 'foo=1&bar=2', $form, 'Zmvh+3yNM1Phv2jhDCwEM3q5ebU=' ],
	[ 'port 443', 'https://mycompany.com:443/myapp.php?foo=1&bar=2', 'foo=1&bar=2', $form, 'kvajT1Ptam85bY51eRf/AJRuM3w=' ],
	[ 'port 443 signed, none in the URL', $url, 'foo=1&bar=2', $form, 'kvajT1Ptam85bY51eRf/AJRuM3w=' ],
	[ 'none signed, port 443 in the URL', 'https://mycompany.com:443/myapp.php?foo=1&bar=2', 'foo=1&bar=2', $form, 'RSOYDt4T1cUTdK1PDd93/VVr8B8=' ],
	[ 'none signed, another port in the URL', 'https://mycompany.com:1234/myapp.php?foo=1&bar=2', 'foo=1&bar=2', $form, 'RSOYDt4T1cUTdK1PDd93/VVr8B8=' ],
	[ 'http with port 80', 'http://mycompany.com:80/myapp.php?foo=1&bar=2', 'foo=1&bar=2', $form, '0ZXoZLH/DfblKGATFgpif+LLRf4=' ],
	[ 'JSON', $url, "foo=1&bar=2&bodySHA256=$sha", '{"property": "value", "boolean": true}', 'a9nBmqA0ju/hNViExpshrM61xv4=' ],
	[ 'empty JSON', $url, "foo=1&bar=2&bodySHA256=$sha_empty", '{}', 'Ldidvp12m26NI7eqEvxnEpkd9Hc=' ],
	[ 'JSON without another parameter', 'https://mycompany.com/myapp.php', "bodySHA256=$sha", '{"property": "value", "boolean": true}',
		'y77kIzt2vzLz71DgmJGsen2scGs=' ],
	[ 'apostrophe in the query', "$url&Body=It''s+amazing", "foo=1&bar=2&Body=It's+amazing", $form, 'dsq4Ehbj6cs+KdTkpF5sSSplOWw=' ],
	[ 'values of one key in order', $url, 'foo=1&bar=2', 'MessagingBinding.Address=%2B1325xxxxxxx&MessagingBinding.Address=%2B1415xxxxxxx',
		'83O6e2vORAoJHUNzJjDWN1jz+BA=' ],
	[ 'values of one key in the other order', $url, 'foo=1&bar=2', 'MessagingBinding.Address=%2B1415xxxxxxx&MessagingBinding.Address=%2B1325xxxxxxx',
		'83O6e2vORAoJHUNzJjDWN1jz+BA=' ],
);
for my $vector (@twilio)
{
	my ($name, $signed_url, $query, $body, $signature) = @$vector;
	my $path = endpoint(path => '/myapp.php', provider => 'twilio', scheme => 'twilio', secret => $token, url => $signed_url);
	my $hook = {
		path => $path,
		query => $query,
		body => $body,
		headers => { 'x-twilio-signature' => $signature,
			'content-type' => $body =~ /^\{/ ? 'application/json' : 'application/x-www-form-urlencoded' }
	};
	taken($hook, "Twilio, $name");
	refused(with($hook, body => flip($body, length($body) / 2)), "Twilio, $name: a bit of the body");
	refused(with($hook, query => flip($query, length($query) - 1)), "Twilio, $name: a bit of the query");
	refused(with($hook, headers => { 'x-twilio-signature' => flip($signature, 3) }), "Twilio, $name: a bit of the signature");
}
# A user in the address is nobody's: the password would stand there to be read.
like(sql_error($node, endpoint_sql('/myapp.php', provider => 'twilio', scheme => 'twilio', secret => $token, url => $_)), qr/^22023/, "refused: $_")
  for 'https://user:pass@mycompany.com/myapp.php?foo=1&bar=2', 'https://user@mycompany.com/myapp.php', 'https://user:pass@mycompany.com:443/myapp.php';
{
	my %e = (path => '/myapp.php', provider => 'twilio', scheme => 'twilio', secret => $token, url => $url);
	my $path = endpoint(%e);
	my $hook = signed('twilio', path => $path, secret => $token, url => $url, query => 'foo=1&bar=2', body => $form);
	taken($hook, 'Twilio, signed here');
	refused(with($hook, body => "$form&SpeechResult=more"), 'Twilio: a field more');
	refused(with($hook, query => 'foo=1&bar=2&baz=3'), 'Twilio: a parameter more');
	refused(with($hook, body => '{"CallSid":"CA1234567890ABCDE"}', headers => { 'content-type' => 'application/json' }),
		'Twilio: a JSON body that no hash covers');
	taken(with($hook, headers => { 'x-forwarded-host' => 'evil.example.com', 'x-forwarded-proto' => 'http', host => 'evil.example.com' }),
		'Twilio: what a proxy says of the host does not count');
	endpoint(%e, secret => flip($token, 2));
	refused($hook, 'Twilio: a bit of the secret');
	endpoint(%e, url => flip($url, 12));
	refused($hook, 'Twilio: a bit of the URL');
	endpoint(%e, url => 'http://mycompany.com/myapp.php?foo=1&bar=2');
	refused($hook, 'Twilio: http for https');
}

# ------------------------------------------------------------- SignalHouse

my %of = (
	signalhouse => { provider => 'signalhouse', scheme => 'signalhouse', secret => 'test-signing-secret' },
	standard_webhooks => { provider => 'generic', scheme => 'standard_webhooks', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' },
	hmac_sha256 => { provider => 'texting', scheme => 'hmac_sha256', secret => 'test-texting-secret' },
	ghl => { provider => 'ghl', scheme => 'ghl', secret => GHL_TEST_PUBLIC_KEY },
	token => { provider => 'signalhouse', scheme => 'token', secret => 'a-token-that-nobody-guesses' },
	secret_header => { provider => 'texting', scheme => 'secret_header', secret => 'a-secret-that-nobody-guesses' },
	twilio => { provider => 'twilio', scheme => 'twilio', secret => $token },
	basic => { provider => 'aloware', scheme => 'basic', secret => 'aloware:a password of some length' },
);

set_clock('2024-08-30 06:40:00+00');
{
	my $hook = {
		path => endpoint(%{ $of{signalhouse} }),
		body => '{"event":"MESSAGE_RECEIVED"}',
		headers => {
			'content-type' => 'application/json',
			'x-signalhouse-timestamp' => '1725000000000',
			'x-signalhouse-signature' => '310088736f68baf48949ff6fa8c53578eb667aef05eaa7c63a44cddbaea48766',
			'x-signalhouse-delivery-id' => '5e1b1b7e-6c2c-4a5f-9d0e-0c8f0e5b1a01'
		}
	};
	my $signature = $hook->{headers}{'x-signalhouse-signature'};
	taken($hook, 'SignalHouse');
	taken(with($hook, headers => { 'x-signalhouse-delivery-id' => undef }), 'SignalHouse: without a delivery id');
	refused(with($hook, body => flip($hook->{body}, 20)), 'SignalHouse: a bit of the body');
	refused(with($hook, body => '{"event": "MESSAGE_RECEIVED"}'), 'SignalHouse: the same JSON in other bytes');
	refused(with($hook, headers => { 'x-signalhouse-signature' => flip($signature, 10) }), 'SignalHouse: a bit of the signature');
	taken(with($hook, headers => { 'x-signalhouse-signature' => "sha256=$signature" }), 'SignalHouse: as it signs webhooks of tools');
	refused(with($hook, headers => { 'x-signalhouse-signature' => "sha1=$signature" }), 'SignalHouse: another digest');
	refused(with($hook, headers => { 'x-signalhouse-signature' => substr($signature, 0, 62) }), 'SignalHouse: cut short');
	refused(with($hook, headers => { 'x-signalhouse-signature' => " $signature" }), 'SignalHouse: a space before it');
	refused(with($hook, headers => { 'x-signalhouse-signature' => '' }), 'SignalHouse: an empty signature');
	refused(with($hook, headers => { 'x-signalhouse-signature' => undef }), 'SignalHouse: no signature');
	refused(with($hook, headers => { 'x-signalhouse-signature' => [ $signature, $signature ] }), 'SignalHouse: the signature twice');
	refused(with($hook, headers => { 'x-signalhouse-timestamp' => [ ('1725000000000') x 2 ] }), 'SignalHouse: the timestamp twice');
	refused(with($hook, headers => { 'x-signalhouse-timestamp' => undef }), 'SignalHouse: no timestamp');
	refused(with($hook, headers => { 'x-signalhouse-timestamp' => '1725000000001' }), 'SignalHouse: a bit of the timestamp');
	refused(with($hook, path => endpoint(%{ $of{signalhouse} }, secret => flip('test-signing-secret', 4))), 'SignalHouse: a bit of the secret');

	# signed, but at the wrong time
	my $now = 1725000000000;
	my %moment = (
		'five minutes ago' => [ $now - 300_000, 1 ], 'just over five minutes ago' => [ $now - 300_001, 0 ],
		'in a minute' => [ $now + 60_000, 1 ], 'in just over a minute' => [ $now + 60_001, 0 ],
		'in seconds' => [ $now / 1000, 0 ], 'negative' => [ -$now, 0 ], 'at 2^63' => [ '9223372036854775808', 0 ],
		'past 2^64' => [ '18446744073709551617000', 0 ], 'at 0' => [ 0, 0 ], 'empty' => [ '', 0 ],
		'with a plus' => [ "+$now", 0 ], 'with a point' => [ "$now.0", 0 ], 'in hexadecimal' => [ '0x191a1c6c200', 0 ],
		'in words' => [ 'now', 0 ], 'with a space' => [ "$now ", 0 ], 'as infinity' => [ 'infinity', 0 ]);
	for my $name (sort keys %moment)
	{
		my ($timestamp, $good) = @{ $moment{$name} };
		my $other = signed('signalhouse', path => $hook->{path}, secret => 'test-signing-secret',
			timestamp => $timestamp, body => $hook->{body});
		$good ? taken($other, "SignalHouse, signed $name") : refused($other, "SignalHouse, signed $name");
	}
	# the replay of a good request
	set_clock('2024-08-30 06:45:01+00');
	refused($hook, 'SignalHouse: the same five minutes later');
}

# ------------------------------------------------------------- Standard Webhooks

set_clock('2021-02-25 15:02:10+00');
{
	my $hook = {
		path => endpoint(%{ $of{standard_webhooks} }),
		body => '{"test": 2432232314}',
		headers => {
			'content-type' => 'application/json',
			'webhook-id' => 'msg_p5jXN8AQM9LWM0D4loKWxJek',
			'webhook-timestamp' => '1614265330',
			'webhook-signature' => 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
		}
	};
	my $signature = $hook->{headers}{'webhook-signature'};
	taken($hook, 'Standard Webhooks');
	taken(with($hook, headers => { 'webhook-signature' => "v2,xyz v1,AAAA $signature v1a,BBBB" }), 'Standard Webhooks: among others');
	refused(with($hook, body => flip($hook->{body}, 12)), 'Standard Webhooks: a bit of the body');
	refused(with($hook, headers => { 'webhook-id' => flip('msg_p5jXN8AQM9LWM0D4loKWxJek', 9) }), 'Standard Webhooks: a bit of the id');
	refused(with($hook, headers => { 'webhook-timestamp' => '1614265331' }), 'Standard Webhooks: a bit of the timestamp');
	refused(with($hook, headers => { 'webhook-signature' => flip($signature, 7) }), 'Standard Webhooks: a bit of the signature');
	refused(with($hook, headers => { 'webhook-signature' => 'v2' . substr($signature, 2) }), 'Standard Webhooks: an unknown version alone');
	refused(with($hook, headers => { 'webhook-signature' => join ' ', ($signature) x 50 }), 'Standard Webhooks: fifty signatures');
	refused(with($hook, headers => { $_ => [ ($hook->{headers}{$_}) x 2 ] }), "Standard Webhooks: $_ twice")
	  for qw(webhook-id webhook-timestamp webhook-signature);
	refused(with($hook, headers => { $_ => undef }), "Standard Webhooks: no $_")
	  for qw(webhook-id webhook-timestamp webhook-signature);
	refused(with($hook, path => endpoint(%{ $of{standard_webhooks} }, secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx')),
		'Standard Webhooks: a bit of the secret');
	for my $shift (-301, 61)
	{
		refused(signed('standard_webhooks', path => $hook->{path}, secret => $of{standard_webhooks}{secret},
				timestamp => 1614265330 + $shift, body => $hook->{body}), "Standard Webhooks, signed $shift s from now");
	}
}
set_clock('');

# ------------------------------------------------------------- the files

my %file = (
	hmac_sha256 => 'texting-message_received.json', ghl => 'ghl-inbound_message_sms.json', twilio => 'twilio-sms_inbound.form',
	token => 'signalhouse-legacy_message_received.json', secret_header => 'texting-message_received.json',
	signalhouse => 'signalhouse-message_received.json', standard_webhooks => 'generic-enrichment_completed.json',
	basic => 'aloware-inbound_sms_completed.json');
my %proof = (
	hmac_sha256 => 'x-texting-signature', ghl => 'x-ghl-signature', twilio => 'x-twilio-signature',
	secret_header => 'x-texting-secret', signalhouse => 'x-signalhouse-signature', standard_webhooks => 'webhook-signature',
	basic => 'authorization');

for my $scheme (sort keys %file)
{
	my %e = %{ $of{$scheme} };
	my $sign_with = $scheme eq 'ghl' ? undef : $e{secret};
	my $body = payload($file{$scheme});
	my $path = endpoint(%e);
	my $url = url_of($path);
	my $hook = signed($scheme, path => $path, secret => $sign_with, url => $url, body => $body);
	taken($hook, $scheme);

	# what another tenant holds opens nothing here
	my $other = $scheme eq 'ghl' ? pack('C*', 1 .. 32)
	  : $scheme eq 'standard_webhooks' ? 'whsec_' . encode_base64('x' x 24, '') : "$e{secret}-of-b";
	refused(signed($scheme, path => $path, secret => $other, url => $url, body => $body), "$scheme: another tenant's secret");
	if ($scheme ne 'ghl')
	{
		my $theirs = endpoint(%e, tenant => 'team_b', secret => $other);
		refused(with($hook, path => $theirs), "$scheme: ours at another tenant's endpoint");
		taken(signed($scheme, path => $theirs, secret => $other, url => url_of($theirs), body => $body), "$scheme: theirs at theirs");
	}
	if (my $header = $proof{$scheme})
	{
		my $value = $hook->{headers}{$header};
		refused(with($hook, body => flip($body, 30)), "$scheme: a bit of the body") if $scheme ne 'secret_header' && $scheme ne 'basic';
		refused(with($hook, headers => { $header => flip($value, 9) }), "$scheme: a bit of the proof");
		refused(with($hook, headers => { $header => [ $value, $value ] }), "$scheme: the proof twice");
		refused(with($hook, headers => { $header => [ $value, 'x' ] }), "$scheme: a right and a wrong proof");
		refused(with($hook, headers => { $header => undef }), "$scheme: no proof");
		refused(with($hook, headers => { $header => 'N/A' }), "$scheme: a proof that says N/A");
		refused(with($hook, headers => { $header => undef, "$header " => $value }), "$scheme: a header of another name");
	}
	# a replay is authentic where nothing is dated, and a duplicate
	is(ingest($node, $hook)->{outcome}, 'duplicate', "$scheme: a replay inside the time is a duplicate");
}
{
	my $hook = signed('token', path => endpoint(%{ $of{token} }), secret => $of{token}{secret}, body => payload($file{token}));
	my $path = $hook->{path};
	my %plain = (path => $path, body => $hook->{body}, headers => { 'content-type' => 'application/json' });
	refused({%plain}, 'token: none');
	taken(with(\%plain, headers => { authorization => "Bearer $of{token}{secret}" }), 'token: as bearer');
	taken(with(\%plain, headers => { 'x-webhook-token' => $of{token}{secret} }), 'token: as a header');
	refused(with($hook, headers => { authorization => 'Bearer another' }), 'token: a right and a wrong one');
	refused(with(\%plain, query => flip($hook->{query}, 10)), 'token: a bit of it');
	refused(with(\%plain, query => "$hook->{query}&$hook->{query}"), 'token: twice');
	refused(with(\%plain, query => 'token='), 'token: empty');
	refused(with(\%plain, query => "xtoken=$of{token}{secret}"), 'token: under another name');
	refused(with(\%plain, query => 'token=' . substr($of{token}{secret}, 0, 20)), 'token: the first part of it');
}
{
	# hexadecimal digits of either case, and GitHub's prefix, spell the same bytes
	my $hook = signed('hmac_sha256', path => endpoint(%{ $of{hmac_sha256} }), secret => 'test-texting-secret', body => '{"type":"x"}');
	my $signature = $hook->{headers}{'x-texting-signature'};
	taken(with($hook, headers => { 'x-texting-signature' => "sha256=$signature" }), 'hmac_sha256: with the prefix');
	refused(with($hook, headers => { 'x-texting-signature' => "$signature$signature" }), 'hmac_sha256: twice in one value');
	refused(with($hook, headers => { 'x-texting-signature' => "sha1=$signature" }), 'hmac_sha256: with another prefix');
	taken(signed('hmac_sha256', header => 'X-Own-Proof', secret => 'k', body => '{"type":"x"}',
			path => endpoint(provider => 'generic', scheme => 'hmac_sha256', secret => 'k', header => 'X-Own-Proof')),
		'hmac_sha256: in a header of the endpoint\'s own');
}

# ------------------------------------------------------------- rotation

{
	my $path = endpoint(%{ $of{hmac_sha256} });
	my %hook = map { $_ => signed('hmac_sha256', path => $path, secret => $_, body => '{"type":"message.sent"}') }
	  qw(test-texting-secret second third);
	taken($hook{'test-texting-secret'}, 'rotation: the first secret');
	refused($hook{second}, 'rotation: the second, not yet there');
	sql($node, "SELECT outreach.rotate_secret('team_a', '$path', 'second')");
	taken($hook{'test-texting-secret'}, 'rotation: the first, within its grace');
	taken($hook{second}, 'rotation: the second');
	set_clock(sql($node, "SELECT now() + '25 hours'"));
	refused($hook{'test-texting-secret'}, 'rotation: the first, after its grace');
	taken($hook{second}, 'rotation: the second, a day later');
	set_clock('');
	sql($node, "SELECT outreach.rotate_secret('team_a', '$path', 'third', '0')");
	refused($hook{'test-texting-secret'}, 'rotation without grace: the first');
	refused($hook{second}, 'rotation without grace: the second');
	taken($hook{third}, 'rotation without grace: the third');
}

# ------------------------------------------------------------- nothing to be had

{
	my $before = totals($node);
	my ($row, $clean) = writes_nothing($node, { path => '/w/nobody', body => '{}', headers => {} });
	is("$row->{outcome} $row->{http_status} $clean", 'unknown_endpoint 401 1', 'an unknown endpoint is answered as a wrong proof and writes nothing');
	# In nothing that is told does it differ from a wrong proof, of whatever provider and with whatever answers of the tenant's own.
	sql($node, "INSERT INTO outreach.answer_policies (tenant_id, provider, event_type, outcome, http_status, content_type, body)
		VALUES ('team_a', '*', '*', '*', 202, 'text/plain', 'mine'), ('team_a', '*', '*', 'rejected', 403, 'text/plain', 'mine')");
	for my $provider (qw(twilio generic signalhouse))
	{
		my ($wrong) = ingest($node, { path => endpoint(provider => $provider, scheme => 'hmac_sha256', secret => 'secret'), body => '{}',
				headers => { 'x-signature' => '0' x 64 } });
		is(join('|', map { $wrong->{$_} // 'none' } qw(http_status content_type body receipt_id)),
			join('|', map { $row->{$_} // 'none' } qw(http_status content_type body receipt_id)), "$provider: a wrong proof is told the same");
	}
	sql($node, "DELETE FROM outreach.answer_policies WHERE tenant_id = 'team_a'");
	$before = totals($node);
	($row, $clean) = writes_nothing($node, with(signed('none', path => '/w/ep_1', body => '{}'), headers => {}));
	is_deeply(totals($node), $before, 'a refused webhook adds a row to no table');
	is(sql_error($node, "SELECT outreach.create_endpoint('team_a', '/w/x', 'generic', NULL)"), '22023', 'no scheme is no endpoint: none must be asked for');
	is(sql_error($node, "SELECT outreach.create_endpoint('team_a', '/w/x', 'generic', 'hmac_sha256')"), '22023', 'nor is a scheme without its secret');
}
alive($node, 'at the end');

done_testing();
