# Every payload in test/payloads, with its signature: taken, of the right kind,
# under the right key, with the right effect.  Then a hundred rounds of every one
# of them twice, from several sessions at once, in random order, alone
# and in batches: the rows are those of one round.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachPayloads;
use OutreachRows;
use Cwd qw(getcwd);
use File::Basename qw(basename);
use List::Util qw(shuffle);
use Test::More;

my $top = getcwd();
my $rounds = 100;

my $node = new_cluster(conf => "outreach.clock = '" . PAYLOADS_CLOCK . "'\n");
my @table = payload_table();

# what a provider answers to a request of ours
my @answers = qw(signalhouse-send_response.json signalhouse-send_response_dnc.json twilio-error_21610_response.json);

is_deeply(
	[ sort map { basename($_) } grep { !/SIGNATURES$/ } glob('test/payloads/*') ],
	[ sort @answers, map { $_->[0] } @table ],
	'every payload file is in the table');

my @hooks = map { payload_hook($_->[0], "/w/$_->[0]") } @table;
my $twiml = '<?xml version="1.0" encoding="UTF-8"?><Response';

# ------------------------------------------------------------- once

payload_database($node, 'postgres');
stage($node, 'postgres', \@hooks);
my @once = play($node, 'postgres', 'single', [ [ 0 .. $#table ] ]);
for my $row (@table)
{
	my ($file, $event_type, $key, $lead, $payload) = @$row;
	my $answer = shift @once;
	is("$answer->{outcome} $answer->{http_status}", 'accepted 200', "$file: accepted");
	like($answer->{body}, $file =~ /^twilio/ ? qr/^\Q$twiml\E/ : qr/^\{"ok":true\}$/, "$file: answered");
	is($answer->{content_type}, $file =~ /^twilio/ ? 'text/xml' : 'application/json', "$file: in its language");
	is(sql($node, <<"SQL"), "$event_type|$key|" . ($payload // 'done') . '|t|' . ($lead // ''), "$file: kind, key, effect");
SELECT p.event_type, p.idempotency_key, p.status, p.body = pg_read_binary_file('$top/test/payloads/$file'),
	   (SELECT concat_ws(' ', l.state, h.consent, coalesce(l.email, ''))
		  FROM outreach.leads l JOIN outreach.phones h USING (tenant_id, phone) WHERE l.tenant_id = p.tenant_id)
  FROM outreach.inbound_payloads p
 WHERE p.tenant_id = 'team_$file'
SQL
}
is(sql($node, <<'SQL'), '', 'a stage that is passed through is recorded');
SELECT tenant_id, string_agg(new_state::text, ' ' ORDER BY lead_version) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events
 WHERE new_state IS NOT NULL AND tenant_id IN (SELECT tenant_id FROM outreach.leads WHERE state = 'email_captured')
 GROUP BY tenant_id HAVING string_agg(new_state::text, ' ' ORDER BY lead_version) <> 'new responded email_captured'
SQL
is(sql($node, 'SELECT * FROM outreach.verify()'), '', 'states follow from events');
my $wanted = rows($node, 'postgres');

# ------------------------------------------------------------- a hundred times

# Each session has its own part of the rounds, so that every webhook is sent by all.
sub orders
{
	my ($n) = @_;
	return map {
		[ shuffle map { (0 .. $#table) x 2 } 1 .. $rounds / $n ]
	} 1 .. $n;
}

sub outcomes
{
	my (@rows) = @_;
	my %count;
	$count{"$_->{outcome} $_->{http_status}"}++ for @rows;
	return \%count;
}

my $expected = { 'accepted 200' => scalar @table, 'duplicate 200' => (2 * $rounds - 1) * @table };

for my $way (qw(single many))
{
	payload_database($node, $way);
	stage($node, $way, \@hooks);
	my @rows = play($node, $way, $way, [ orders(4) ]);
	is_deeply(outcomes(@rows), $expected, "$way: each taken once");
	is(rows($node, $way), $wanted, "$way: the rows are those of one round");
	is(sql($node, "SELECT count(*) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events
		WHERE event_type = 'webhook.inbound.duplicate_rejected'", db => $way),
		$expected->{'duplicate 200'}, "$way: each duplicate left its event");
	my %first;
	is(scalar(grep { ($first{ $_->{n} } //= "$_->{receipt_id}$_->{body}$_->{content_type}") ne
			"$_->{receipt_id}$_->{body}$_->{content_type}" } @rows),
		0, "$way: each duplicate was answered like the first");
	is(sql($node, 'SELECT * FROM outreach.verify()', db => $way), '', "$way: states follow from events");
}

# ------------------------------------------------------------- through HTTP

payload_database($node, 'http');
{
	my $shim = start_shim($node, db => 'http', conf => {
		database_connections => 3,
		(map { $_ => '180s' } qw(header_timeout request_timeout queue_timeout database_call_timeout reply_timeout idle_timeout)) });
	my $pipelined = 50;

	in_parallel([ map {
		my $order = $_;
		sub {
			while (my @part = splice(@$order, 0, $pipelined))
			{
				my @requests = map {
					my %headers = (%{ $hooks[ $part[$_] ]{headers} }, connection => $_ == $#part ? 'close' : 'keep-alive');
					request_bytes(%{ $hooks[ $part[$_] ] }, headers => \%headers)
				} 0 .. $#part;
				my $answer = http_raw($shim, join('', @requests), timeout => 180);
				my $got = () = $answer =~ m{HTTP/1\.1 200 OK\r\n}g;
				die "$got of " . @part . " answered 200: " . substr($answer, 0, 500) . "\n" if $got != @part;
			}
		}
	} orders(10) ]);
	is(rows($node, 'http'), $wanted, 'http: the rows are those of one round');
	is(sql($node, 'SELECT * FROM outreach.verify()', db => 'http'), '', 'http: states follow from events');
	is($shim->stop, 0, 'http: the shim stops in order');
	unlike($shim->log_text, qr/2125550123|pat\@example|interested/, 'http: no payload in the log of the shim');
}

# ------------------------------------------------------------- one tenant, one lead

# Every file is now about the same lead of the same tenant.  Which state it ends
# in depends on what came first; what must not, does not.
payload_database($node, 'shared', shared => 1);
stage($node, 'shared', \@hooks);
play($node, 'shared', 'many', [ orders(4) ]);
is(sql($node, <<'SQL', db => 'shared'), scalar(@table) . '|1|2|suppressed|0|' . scalar(@table),
SELECT (SELECT count(*) FROM outreach.webhook_receipts), (SELECT count(*) FROM outreach.leads),
	   (SELECT count(*) FROM outreach.addresses), (SELECT state FROM outreach.leads),
	   (SELECT count(*) FROM outreach.verify()),
	   (SELECT count(DISTINCT receipt_id) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events
	   	WHERE event_type = 'webhook.inbound.received')
SQL
	'shared lead: one lead with one phone, one e-mail address, each webhook once');
alive($node, 'at the end');

done_testing();
