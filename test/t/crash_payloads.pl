# Sessions and the postmaster are killed with SIGKILL at each point of a request with
# several events, of the replay of what was not understood, and of deferred callbacks
# that say something of a phone: each has its effect exactly once when it has come, or
# was tried, again.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use JSON::PP;
use OutreachTest;
use Sending;
use Sends;
use Standing;
use Test::More;
use TestProvider;
use Timers qw(log_since);

my $db = 'postgres';
# commits can be made to wait for a standby only where there could be one
my $node = sending_cluster(conf => sends_conf() . "wal_level = replica\nmax_wal_senders = 2\n");
sending_database($node, $db, TestProvider->start(), leads => 100);
sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none'), outreach.create_endpoint('team_a', '/w/later', 'generic', 'none',
	mode => 'deferred'),
	outreach.create_endpoint('team_a', '/w/callbacks', 'twilio', 'none', mode => 'deferred')});
standing_points($node, $db);

my $n = 0;
sub new_phone { return sprintf '+1212555%04d', 1000 + ++$n }
sub event { my ($phone, $text, $event) = @_; return { event => $event // 'message.received', id => "m$phone", from => $phone, to => '+12125550100',
	text => $text } }
sub ingest_sql { my ($path, $body) = @_; return "SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '$path', 'body', \$b\$$body\$b\$))" }

# payloads, events of the message, leads, consent and its history
sub known
{
	return join ' ', map { sql($node, qq{SELECT (SELECT string_agg(status::text, ' ') FROM outreach.inbound_payloads WHERE position('$_' IN convert_from(body,
		'UTF8')) > 0),
		(SELECT count(*) FROM outreach.event_log WHERE event_type = 'webhook.inbound.received' AND payload ->> 'kind' = 'message.received'
			AND payload ->> 'from' = '$_'),
		(SELECT count(*) FROM outreach.leads WHERE phone = '$_'), (SELECT consent FROM outreach.phones WHERE phone = '$_'),
		(SELECT count(*) FROM outreach.consent_history WHERE address = '$_')}) } @_;
}
my ($said, $stopped) = ('done|1|1|unknown|0', 'done|1|1|opted_out|1');

# What callbacks will be about; what is deferred then waits for those who call.
my @sent = map { my $id = sql($node, "SELECT message_id FROM outreach.send_message('team_a', 'lead_$_', 'Hello', from_phone => '+12125550102')"); [ phone($_),
	$id ] } 1 .. 44;
quiet($node, $db);
sql($node, q{SELECT outreach.disarm('a test')});
my $process = 'SELECT outreach.process_payloads()';

# ---- several events in one request, at once and deferred -------------------------

for my $path ('/w/open', '/w/later')
{
	for my $victim (qw(session postmaster))
	{
		# P0001: the event of one that fails alone, when the batch is undone and each is done by itself
		for my $point ([ webhook_receipts => 2 ], [ addresses => 1 ], [ leads => 2 ], [ event_details => 1 ], [ events => 'P0001' ], [ consent_history => 1 ],
			[ inbound_payloads => 3 ], [ 'inbound_payloads commit', 1 ], [ 'inbound_payloads commit behind its record', 1 ])
		{
			my ($where, $mark) = @$point;
			next if $path eq '/w/later' && $where eq 'webhook_receipts';
			my @phone = map { new_phone() } 1 .. 4;
			my $take = ingest_sql($path, encode_json([ map { event($phone[$_], $_ == 1 ? 'STOP' : 'hello') } 0 .. 3 ]));
			my $do = $path eq '/w/later' ? $process : $take;
			sql($node, $take) if $do ne $take;
			attach($node, 'fail leads', $phone[3]) if $mark eq 'P0001';
			crash($node, $db, $victim, $do, $where, $where eq 'webhook_receipts' ? "$path:m$phone[$mark]:message.received" : $mark =~ /^\d$/ ? $phone[$mark]
				: $mark);
			is(sql($node, $do), $do eq $process ? ($where =~ /behind/ ? 0 : 4) : $where =~ /behind/ ? 'duplicate' : $mark eq 'P0001' ? 'error' : 'accepted',
				"an array to $path, $victim killed at $where $mark: again");
			if ($mark eq 'P0001')
			{
				like(known($phone[3]), qr/^error\|0/, 'one that fails is kept');
				detach($node);
				sql($node, qq{UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE status = 'error'; $process});
			}
			is(sql($node, $take), 'duplicate', 'and once more');
			is(known(@phone), "$said $stopped $said $said", 'each event has its effect once');
		}
	}
}

# ---- the replay of what was not understood ------------------------------------------

my @replays = map { my $victim = $_; map { [ $victim, @$_, new_phone() ] } [ event_details => 'kim ' ], [ webhook_receipts => '' ], [ addresses => '' ],
	[ leads => '' ], [ events => '"word"' ],
	[ consent_history => '' ], [ inbound_payloads => '' ], [ 'inbound_payloads commit', '' ], [ 'inbound_payloads commit behind its record',
		'' ] } qw(session postmaster);
sql($node, ingest_sql('/w/open', encode_json(event($_->[3], 'STOP', 'text.arrived')))) for @replays;
sql($node, q{INSERT INTO outreach.webhook_kinds (tenant_id, provider, position, event_type, conditions, keys, effect)
	VALUES ('team_a', 'generic', 1, 'message.received', '{"event": ["text.arrived"]}', '{message_id:event}', 'message')});
for my $replay (@replays)
{
	my ($victim, $point, $mark, $phone) = @$replay;
	my $receipt = sql($node, "SELECT receipt_id FROM outreach.inbound_payloads WHERE position('$phone' IN convert_from(body, 'UTF8')) > 0");
	my $call = "SELECT outreach.replay_webhook('team_a', '$receipt', 'kim $phone')";
	# a ledger has a key, and events name nobody
	crash($node, $db, $victim, $call, $point, $point eq 'webhook_receipts' ? "/w/open:m$phone:text.arrived" : $point eq 'events' ? $mark : "$mark$phone");
	is(sql_error($node, $call), $point =~ /behind/ ? '55000' : '', "a replay, $victim killed at $point: again");
	is(known($phone) . ' ' . sql($node, "SELECT count(*) FROM outreach.event_log WHERE event_type = 'webhook.inbound.replayed'
		AND payload ->> 'by' = 'kim $phone'"), "$stopped 1", 'one effect');
	is(sql_error($node, $call), '55000', 'and no more');
}

# ---- deferred callbacks that say something of a phone --------------------------------

for my $victim (qw(session postmaster))
{
	for my $point ([ addresses => 0 ], [ addresses => 1 ], [ events => 'address.unreachable' ], [ consent_history => 1 ], [ leads => 1 ],
		[ outbound_messages => 0 ], [ outbound_messages => 1 ],
		[ inbound_payloads => 0 ], [ inbound_payloads => 1 ], [ 'inbound_payloads commit', 0 ], [ 'inbound_payloads commit behind its record', 0 ])
	{
		my ($where, $mark) = @$point;
		my @message = splice @sent, 0, 2;
		my ($marked, $opted_out) = map { $_->[0] } @message;
		for my $i (0, 1)
		{
			my $sid = sql($node, "SELECT provider_message_id FROM outreach.outbound_messages WHERE message_id = '$message[$i][1]'");
			sql($node, ingest_sql('/w/callbacks', "MessageSid=$sid&AccountSid=AC" . '0' x 32 . "&MessageStatus=undelivered&To=$message[$i][0]&ErrorCode="
				. (30006, 21610)[$i]));
		}
		crash($node, $db, $victim, $process, $where, $mark =~ /^\d$/ ? $message[$mark][0] : $mark);
		is(sql($node, q{SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'pending'}), $where =~ /behind/ ? 0 : 2,
			"callbacks, $victim killed at $where $mark: left");
		# a worker's to do then
		sql($node, 'SELECT outreach.arm()');
		wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'pending'}) == 0 }, 'the callbacks to be processed');
		sql($node, q{SELECT outreach.disarm('a test')});
		is(sql($node, qq{SELECT (SELECT string_agg(code, ' ') FROM outreach.addresses_unreachable WHERE address = '$marked'),
			(SELECT count(*) FROM outreach.event_log WHERE event_type = 'address.unreachable' AND payload ->> 'phone' = '$marked'),
			(SELECT consent FROM outreach.phones WHERE phone = '$opted_out'), (SELECT count(*) FROM outreach.consent_history
				WHERE address IN ('$marked', '$opted_out')),
			(SELECT string_agg(state::text, ' ') FROM outreach.leads WHERE phone = '$opted_out'),
			(SELECT string_agg(status::text, ' ') FROM outreach.outbound_messages WHERE message_id IN ('$message[0][1]', '$message[1][1]'))}),
			'30006|1|opted_out|1|suppressed|undelivered undelivered', 'one mark, one opt-out');
	}
}

is(sql($node, 'SELECT (SELECT count(*) FROM outreach.webhooks_unfinished), (SELECT count(*) FROM outreach.verify())'), '0|0',
	'nothing is left, and the log agrees');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|signal 11|signal 6/, 'no panic, no failed assertion');
done_testing();
