# One tenant's open transaction, or its flood, and another's webhooks through the
# same shim: they are answered while the first is still held, by the bound of the
# calls where the shim has one connection, and by its own sharing where it has more.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

require './test/support/shim-client.pl';

my $node = new_cluster(conf => "outreach.lock_wait = '300ms'");
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant(t, t) FROM unnest('{team_a,team_b}'::text[]) t;
	SELECT outreach.create_endpoint('team_a', '/w/a', 'generic', 'none'), outreach.create_endpoint('team_a', '/w/a2', 'generic', 'none'),
		outreach.create_endpoint('team_b', '/w/b', 'generic', 'none');
	SELECT outreach.create_lead('team_a', 'hot', '+12125550141'), outreach.create_lead('team_b', 'other', '+12125550142');
});

my $serial = 0;

sub message
{
	my ($path, $phone, $text) = @_;
	return shim_post(encode_json({ event => 'message.received', id => 'm' . ++$serial, from => $phone, body => $text // 'hi' }), $path,
		'Content-Type: application/json');
}

# a session that holds something, and is not told to let it go before the test says so
sub hold
{
	my ($sql) = @_;
	my $session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe("BEGIN; $sql");
	return $session;
}

sub release
{
	my ($session) = @_;
	$session->query_safe('ROLLBACK');
	$session->quit;
}

sub pending { return sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'pending'") }

for my $connections (1, 2, 4)
{
	my $shim = start_shim($node, conf => { (map { $_ => '120s' } qw(header_timeout request_timeout idle_timeout reply_timeout queue_timeout)),
			database_connections => $connections, connections_per_address => 5000 });
	my $received = sql($node, 'SELECT count(*) FROM outreach.webhook_receipts');
	my $before = sql($node, "SELECT version FROM outreach.leads WHERE lead_id = 'hot'");
	my $session = hold("SELECT outreach.create_lead('team_a', 'hot', first_name => 'n' || clock_timestamp())");

	# many for the lead that is held, by two paths, and others in between
	my (@a, @b);
	for my $i (1 .. 500)
	{
		push @a, shim_send($shim, message($i % 2 ? '/w/a' : '/w/a2', '+12125550141'));
		push @b, shim_send($shim, message('/w/b', '+12125550142')) if $i % 20 == 0;
	}
	is(scalar(grep { shim_answer($_)->{status} != 200 } @b), 0, "$connections: another tenant's are answered while the lead is held");
	is(scalar(grep { shim_answer($_)->{status} != 200 } @a), 0, "$connections: and so are those that are about the lead");
	is(sql($node, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"), 1, 'it is still held');
	is(sql($node, "SELECT version FROM outreach.leads WHERE lead_id = 'hot'"), $before, "$connections: they have no effect yet");
	is(pending(), 500, "$connections: but are kept");
	is(sql($node, "SELECT max(attempts) FROM outreach.inbound_payloads WHERE status = 'pending'"), 0, 'no attempt is counted');
	# the same again, sent by a provider that is not sure
	is(ingest($node, { path => '/w/a2', headers => {}, body => encode_json({ event => 'message.received', id => 'm' . ($serial - 1), from => '+12125550141',
		body => 'hi' }) })->{outcome},
		'duplicate', "$connections: known already");
	release($session);
	wait_until(sub { pending() == 0 }, 'what was kept to be processed');
	is(sql($node, 'SELECT count(*) FROM outreach.webhook_receipts'), $received + 525, "$connections: all were received");
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE lead_id = 'hot' AND event_type = 'webhook.inbound.received' AND lead_version > $before"), 500,
		"$connections: each has its effect once");
	is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, "$connections: verified");
	is($shim->stop, 0, 'the shim stops');
}

# STOP of a lead that is held: the phone is opted out at once, its leads when that can be.
{
	my $shim = start_shim($node);
	my $session = hold("SELECT outreach.create_lead('team_a', 'hot', first_name => 'x')");
	is(shim_answer(shim_send($shim, message('/w/a', '+12125550141', 'STOP')))->{status}, 200, 'STOP is taken');
	is(sql($node, "SELECT consent FROM outreach.phones WHERE tenant_id = 'team_a' AND phone = '+12125550141'"), 'opted_out', 'the phone is opted out');
	is(sql($node, "SELECT state FROM outreach.leads WHERE lead_id = 'hot'"), 'responded', 'its lead is locked');
	release($session);
	wait_until(sub { sql($node, "SELECT state FROM outreach.leads WHERE lead_id = 'hot'") eq 'suppressed' }, 'the lead to be suppressed');
	wait_until(sub { pending() == 0 }, 'the message to be processed');
	is(sql($node, "SELECT count(*) FROM outreach.consent_history WHERE address = '+12125550141'"), 1, 'one change of consent');
	is(sql($node, "SELECT count(*) FROM outreach.event_log WHERE lead_id = 'hot' AND payload ->> 'body' = 'STOP'"), 1, 'one message');

	# The phone itself is held: it is opted out as soon as it is free.
	$session = hold("SELECT outreach.create_lead('team_a', 'new', '+12125550149')");
	is(shim_answer(shim_send($shim, message('/w/a', '+12125550149', 'STOP')))->{status}, 200, 'STOP from a phone that is being made');
	is(pending(), 1, 'is kept');
	release($session);
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.phones WHERE phone = '+12125550149' AND consent = 'opted_out'") == 1 },
		'the phone to be opted out');
	$session = hold("SELECT FROM outreach.contacts WHERE contact_id = (SELECT contact_id FROM outreach.phones WHERE phone = '+12125550149') FOR UPDATE");
	is(shim_answer(shim_send($shim, message('/w/a', '+12125550149', 'START')))->{status}, 200, 'START from a phone that is held');
	release($session);
	wait_until(sub { sql($node, "SELECT consent FROM outreach.phones WHERE phone = '+12125550149'") eq 'opted_in' }, 'the phone to be opted in');

	# A receipt that somebody is writing: it is not known whether this one is the first.
	my $body = encode_json({ event => 'message.received', id => 'twin', from => '+12125550142', body => 'hi' });
	$session = hold(q{SELECT outcome FROM outreach.ingest_webhook(
		'{"path": "/w/b", "body": "{\"event\": \"message.received\", \"id\": \"twin\", \"from\": \"+12125550142\", \"body\": \"hi\"}"}')});
	my $answer = shim_answer(shim_send($shim, shim_post($body, '/w/b')));
	is("$answer->{status} $answer->{body}", '503 {"error":"busy"}', 'a twin is busy');
	ok($answer->{headers}{'retry-after'}, 'and may come again');
	is(join(' ', map { $_->{outcome} } ingest_many($node, [ map { { path => '/w/b', headers => {}, body => $_ } } $body,
					encode_json({ event => 'message.received', id => 'third', from => '+12125550142', body => 'hi' }) ])), 'busy deferred',
						'in a batch it alone is');
	release($session);
	is(shim_answer(shim_send($shim, shim_post($body, '/w/b')))->{status}, 200, 'taken when it is sent again');
	wait_until(sub { pending() == 0 }, 'the third');
	$shim->stop;
}

# Calls for the first tenant that take as long as the test wants
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_sleep(0.5) WHERE position('teach'::bytea IN NEW.body) > 0;
		WHILE NOT pg_try_advisory_xact_lock_shared(2) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN NEW;
	END $$;
	CREATE TRIGGER slow BEFORE INSERT ON outreach.inbound_payloads FOR EACH ROW WHEN (NEW.tenant_id = 'team_a') EXECUTE FUNCTION public.slow()});
my %patient = map { $_ => '120s' } qw(header_timeout request_timeout idle_timeout reply_timeout queue_timeout database_call_timeout);

sub standing { return sql($node, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'test_shim' AND state = 'active'") }

# The queue is full for whoever fills it: room is made for others.
{
	my $shim = start_shim($node, conf => { %patient, database_connections => 1, queue_limit => 20, connections_per_address => 5000 });
	# learned: both paths are one tenant's
	is(shim_answer(shim_send($shim, shim_post('{"event":"x"}', $_)))->{status}, 200, "$_ is served") for '/w/a', '/w/a2', '/w/b';
	my $session = hold('SELECT pg_advisory_xact_lock(2)');
	my @a = shim_send($shim, shim_post('{"event":"first"}', '/w/a'));
	wait_until(sub { standing() == 1 }, 'a call to stand');
	push @a, map { shim_send($shim, shim_post("{\"event\":\"z\",\"n\":$_}", $_ % 2 ? '/w/a' : '/w/a2')) } 1 .. 40;
	wait_until(sub { $shim->log_text =~ /queue_full/ }, 'the queue to be full');
	my @b = map { shim_send($shim, shim_post("{\"event\":\"z\",\"b\":$_}", '/w/b')) } 1 .. 5;
	# until all of them are there
	wait_until(sub { scalar(() = $shim->log_text =~ /queue_full/g) == 25 }, 'room to be made');
	release($session);
	is(scalar(grep { shim_answer($_)->{status} != 200 } @b), 0, 'the other tenant finds room');
	my %status;
	$status{ shim_answer($_)->{status} }++ for @a;
	is_deeply(\%status, { 200 => 16, 503 => 25 }, 'whose place it takes is told to come again');
	is($shim->stop, 0, 'the shim stops');
}

# A call that nothing bounds: the others have a connection that is not waited on.
{
	my $shim = start_shim($node, conf => { %patient, database_connections => 2, connections_per_address => 5000 });
	is(shim_answer(shim_send($shim, shim_post('{"event":"teach"}', $_)))->{status}, 200, "$_ is slow") for '/w/a', '/w/a2';
	my $session = hold('SELECT pg_advisory_xact_lock(2)');
	my @a = map { shim_send($shim, shim_post("{\"event\":\"slow\",\"n\":$_}", $_ % 2 ? '/w/a' : '/w/a2')) } 1 .. 20;
	wait_until(sub { standing() > 0 }, 'a call to stand');
	is(shim_answer(shim_send($shim, shim_post("{\"event\":\"quick\",\"n\":$_}", '/w/b')))->{status}, 200, "other $_ is answered") for 1 .. 10;
	is(standing(), 1, 'one connection is taken, by the one whose calls are known to be slow');
	release($session);
	is(scalar(grep { shim_answer($_)->{status} != 200 } @a), 0, 'and served when it can be');
	is($shim->stop, 0, 'the shim stops');
}
done_testing();
