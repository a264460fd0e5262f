# What one tenant can hold in an open transaction keeps no other tenant's message from
# being claimed, sent and recorded.  Each lock is held twice: while the tenant's own
# message is to be claimed, and while its answer is to be recorded.  That one waits,
# is never unknown for it, and is sent once.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;
use Time::HiRes qw(sleep);

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 80);
sql($node, qq{
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT outreach.create_account('team_b', 'signalhouse', 'signalhouse_sms', 'jwt', base_url => '$url');
	SELECT outreach.add_number('team_b', '+12125550111', 'signalhouse');
	SELECT outreach.create_endpoint('team_a', '/w/status', 'signalhouse', 'none'), outreach.create_endpoint('team_b', '/w/status_b', 'signalhouse', 'none');
	SELECT count(*) FROM generate_series(1, 80) i, LATERAL outreach.create_lead('team_b', 'lead_' || i,
		'+1415556' || lpad(i::text, 4, '0')) l});
# the provider may stand still for long
sql($node, q{CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*' AND profile = 'signalhouse_sms';
	UPDATE own SET tenant_id = t, timeout_ms = 120000 FROM unnest('{team_a}'::text[]) t;
	INSERT INTO outreach.provider_profiles SELECT * FROM own;
	UPDATE own SET tenant_id = 'team_b';
	INSERT INTO outreach.provider_profiles SELECT * FROM own});
my $n = 0;
my $timed = 0;

sub ask
{
	my ($tenant, $lead, $body, $from) = @_;
	return sql($node, "SELECT message_id FROM outreach.send_message('$tenant', '$lead', '$body', from_phone => '$from')");
}

sub ask_a { return ask('team_a', "lead_$n", "Message $n of a $_[0]", '+12125550101'); }
sub ask_b { return ask('team_b', "lead_$n", "Message $n of b $_[0]", '+12125550111'); }

sub status_of { return sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$_[0]'"); }

sub wait_sent
{
	my ($id) = @_;
	wait_until(sub { status_of($id) eq 'sent' || status_of($id) eq 'delivered' }, "message $id to be sent");
	return 1;
}

# Another tenant's message is claimed, sent and recorded, and its status callback taken
# in, meanwhile
sub others_are_served
{
	my ($what) = @_;
	my $id;

	within_a_second(sub {
		$id = ask_b('timed ' . ++$timed);
		wait_sent($id);
		return sql($node, "SELECT extract(epoch FROM d.finished_at - m.created_at) FROM outreach.outbound_messages m
			JOIN outreach.message_deliveries d USING (tenant_id, message_id) WHERE m.message_id = '$id'");
	}, "$what: another tenant's message is claimed, sent and recorded");
	within_a_second(sub {
		my $provider_id = sql($node, "SELECT provider_message_id FROM outreach.outbound_messages WHERE message_id = '$id'");
		my $again = ++$timed;
		return sql($node, qq{WITH w AS MATERIALIZED (SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/status_b', 'body',
			jsonb_build_object('event', 'message.delivered', 'id', '$provider_id $again', 'messageId', '$provider_id')::text)))
			SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) FROM w WHERE outcome = 'accepted'});
	}, "$what: its callback is taken in");
	is(status_of($id), 'delivered', 'and applied');
	return;
}

sub hold
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_safe("BEGIN; SET LOCAL client_min_messages = error; $statement");
	return $session;
}

sub release
{
	my ($session, $how) = @_;
	$session->query_safe($how);
	$session->quit;
}

sub is_once
{
	my ($id, $what) = @_;
	my $body = sql($node, "SELECT body FROM outreach.outbound_messages WHERE message_id = '$id'");

	is(scalar(grep { $_->{body} eq $body } $provider->accepted), 1, "$what: accepted once");
	is(sql($node, "SELECT string_agg(outcome, ' ') FROM outreach.message_deliveries WHERE message_id = '$id'"), 'sent', 'in one attempt, with its answer');
}

# What a tenant, or its administrator, can hold; LEAD, PHONE and MESSAGE are of the
# message.  Where a claim may take it all the same: what is left of it.
my @locks = (
	[ 'a lead, changed', q{SELECT FROM outreach.create_lead('team_a', 'LEAD', first_name => 'New')} ],
	[ 'a lead, moved', q{SELECT FROM outreach.transition_lead('team_a', 'LEAD', 'touched')} ],
	[ 'a lead, by its timer', q{SELECT FROM outreach.set_timer('team_a', 'LEAD', 'CALLBACK', now() + interval '1 day')} ],
	[ 'a phone', q{SELECT FROM outreach.opt_in('team_a', 'PHONE', 'a test')} ],
	[ 'a lead of the same phone', q{SELECT FROM outreach.create_lead('team_a', 'LEAD-too', 'PHONE')} ],
	[ 'a message', q{SELECT FROM outreach.outbound_messages WHERE message_id = 'MESSAGE' FOR UPDATE} ],
	[ 'a number', q{SELECT outreach.add_number('team_a', '+12125550101', 'signalhouse')} ],
	[ 'a number, resumed', q{SELECT outreach.stop_sending('number', '+12125550101', 'a test', 'team_a'), outreach.resume_sending('number', '+12125550101',
		'team_a')} ],
	[ 'a stop of the tenant', q{SELECT outreach.stop_sending('tenant', 'team_a', 'a test')} ],
	[ 'a stop of an account', q{SELECT outreach.stop_sending('account', 'signalhouse', 'a test', 'team_a')} ],
	[ 'a stop of a number', q{SELECT outreach.stop_sending('number', '+12125550101', 'a test', 'team_a')} ],
	[ 'a template', q{SELECT outreach.save_template('team_a', 'offer', 'An offer')} ],
	[ 'an account', q{SELECT outreach.rotate_account_secret('team_a', 'signalhouse', 'another')} ],
	[ 'a send key', q{SELECT FROM outreach.send_message('team_a', 'LEAD', 'Another', send_key => 'held LEAD')} ],
	[ 'a circuit', q{INSERT INTO outreach.sending_circuits (tenant_id, account, from_phone, failures, updated_at) VALUES ('team_a', 'other', '', 1, now())} ]);

sub filled_in
{
	my ($statement, $id) = @_;
	my $phone = phone($n);
	return $statement =~ s/LEAD/lead_$n/gr =~ s/PHONE/$phone/gr =~ s/MESSAGE/$id/gr;
}

for my $lock (@locks)
{
	my ($what, $statement) = @$lock;

	# ---- at the claim: it is asked for later than all of this
	$n++;
	my $a = sql($node, "SELECT message_id FROM outreach.send_message('team_a', 'lead_$n', 'Message $n of a first',
		from_phone => '+12125550101', send_at => now() + interval '1 hour')");
	my $session = hold(filled_in($statement, $a));
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$a'; SELECT outreach.wake_workers()")
	  if $what ne 'a message';
	others_are_served("$what is held at the claim");
	like(status_of($a), qr/^(pending|sending|sent)$/, 'its own waits or is sent');
	release($session, 'ROLLBACK');
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$a'; SELECT outreach.wake_workers()")
	  if $what eq 'a message';
	ok(wait_sent($a), 'and leaves when it is let go');
	is_once($a, $what);

	# ---- while the request is under way: the provider stands still until the lock is there
	$n++;
	kill 'STOP', $provider->pid;
	$a = ask_a('under way');
	wait_until(sub { status_of($a) eq 'sending' }, 'the request to be under way');
	$session = hold(filled_in($statement, $a));
	my $b = ask_b('under way');
	wait_until(sub { status_of($b) eq 'sending' }, 'the other request to be under way');
	kill 'CONT', $provider->pid;
	ok(wait_sent($b), "$what is held at the record: another tenant's message is sent and recorded");
	others_are_served("$what is held at the record");
	like(status_of($a), qr/^(sending|sent)$/, 'its own answer is recorded or stays');
	release($session, 'ROLLBACK');
	ok(wait_sent($a), 'at the latest when it is let go');
	is_once($a, $what);
}

# ---- the provider's id, which a callback is parking in a transaction that is open
{
	$n++;
	$provider->config(rules => [ { fault => 'slow:1500', body => '*of a called back', times => 1 } ]);
	my $a = ask_a('called back');
	my $accepted = wait_until(sub { my ($found) = grep { $_->{body} eq "Message $n of a called back" } $provider->accepted; $found },
		'the request to be accepted');
	my $session = hold(qq{SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/status', 'body',
		jsonb_build_object('event', 'message.delivered', 'id', '$accepted->{id}', 'messageId', '$accepted->{id}')::text))});
	my $b = ask_b('after it');
	ok(wait_sent($b), "a provider's id is held: another tenant's message is sent and recorded");
	sleep(2);
	like(status_of($a), qr/^(sending|sent)$/, 'its own waits');
	release($session, 'COMMIT');
	ok(wait_sent($a), 'and is recorded when the callback has committed');
	is_once($a, 'a provider\'s id');
}

# ---- everything is held at once, by one transaction a lead, and answers keep coming
{
	kill 'STOP', $provider->pid;
	my $leads = join ',', map { 'lead_' . ++$n } 1 .. 20;
	my @a = split /\n/, sql($node, "SELECT message_id FROM outreach.send_messages('team_a', '{$leads}', 'One of a many', from_phone => '+12125550101')");
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.outbound_messages WHERE status = 'sending'") == 20 }, 'twenty requests to be under way');
	my $session = hold(join ';', map { "SELECT FROM outreach.create_lead('team_a', 'lead_" . ($n - $_) . "', first_name => 'Held')" } 0 .. 19);
	kill 'CONT', $provider->pid;
	wait_until(sub { 20 == grep { $_->{body} eq 'One of a many' } $provider->accepted }, 'all to be accepted');
	ok(wait_sent(ask_b("among many $_")), 'another tenant is served') for 1 .. 5;
	is(sql($node, q{SELECT string_agg(DISTINCT status::text, ' ') FROM outreach.outbound_messages WHERE body LIKE '%of a many'}), 'sending',
		'the answers stay');
	release($session, 'COMMIT');
	wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE body LIKE '%of a many' AND status = 'sent'}) == 20 },
		'them to be recorded');
	pass('and are recorded');
	is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (message_id)
		WHERE m.body LIKE '%of a many' AND d.outcome = 'sent'}), 20, 'each once');
}

# ---- a phone without a row, which somebody is making and takes back
{
	$n++;
	my $a = sql($node, "SELECT message_id FROM outreach.send_message('team_a', 'lead_$n', 'Message $n of a first',
		from_phone => '+12125550101', send_at => now() + interval '1 hour')");
	sql($node, "DELETE FROM outreach.addresses WHERE tenant_id = 'team_a' AND address = '" . phone($n) . "'");
	my $session = hold("SELECT FROM outreach.create_lead('team_a', 'lead_new', '" . phone($n) . "')");
	sql($node, "UPDATE outreach.outbound_messages SET due_at = now() WHERE message_id = '$a'; SELECT outreach.wake_workers()");
	ok(wait_sent(ask_b('first')), "a phone's row is being made: another tenant is served");
	is(status_of($a), 'pending', 'its own waits');
	release($session, 'ROLLBACK');
	ok(wait_sent($a), 'and leaves when nobody makes it');
	is_once($a, 'a phone without a row');
}

# ---- an administrator's stop of several tenants, one of which is held
{
	my $session = hold(q{SELECT outreach.stop_sending('tenant', 'team_b', 'a test')});
	$n++;
	is(sql_error($node, q{SELECT outreach.stop_sending('account', 'signalhouse', 'a test')}), '55P03',
		'a stop of several tenants does not wait for one of them for ever');
	ok(wait_sent(ask_a('after it')), 'and the others send');
	release($session, 'ROLLBACK');
	is(sql($node, q{BEGIN; SELECT outreach.stop_sending('account', 'signalhouse', 'a test'); ROLLBACK}), 2, 'when nobody holds one it stops them');
}

# ---- a key that a worker inserts cannot be held
is(sql_error($node, q{SELECT outreach.send_message('team_a', 'lead_1', 'Mine', send_key => 'timer:1')}), '22023', 'keys of timers are not for callers');
is(sql($node, q{SELECT status || ' ' || (verdicts -> 0 ->> 'code') FROM outreach.send_messages('team_a', '{lead_1}', 'Mine', send_keys => '{timer:1}')}),
	'rejected 22023', 'nor many of them');

# ---- a trigger that keeps a claim from being written: its request does not leave
{
	$n++;
	sql($node, q{CREATE FUNCTION public.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER skip BEFORE UPDATE ON outreach.outbound_queue FOR EACH ROW EXECUTE FUNCTION public.skip()});
	my $accepted = $provider->counter('accepted');
	my $id = ask_a('kept from being claimed');
	wait_until(sub { sql($node, q{SELECT last_sqlstate FROM outreach.worker_status WHERE database = 'postgres'}) eq '27000' }, 'the claim to fail');
	is(status_of($id) . ' ' . ($provider->counter('accepted') - $accepted), 'pending 0', 'a trigger keeps a claim from being written: nothing leaves');
	sql($node, 'DROP TRIGGER skip ON outreach.outbound_queue');
	ok(wait_sent($id), 'without it the message does');
	is($provider->counter('accepted') - $accepted, 1, 'once');
}

is($provider->counter('doubled'), 0, 'nothing was accepted twice');
is(sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE status IN ('unknown', 'uncertain')}), 0, 'no outcome is unknown');
# ---- an answer that tells of an opt-out, and cannot be recorded: the opt-out is
$provider->config(rules => [ { fault => 'blocked', body => '*of a refused', times => 3 } ]);
for my $case ([ 'its lead is held', q{SELECT FROM outreach.create_lead('team_a', 'LEAD', first_name => 'New')} ],
	[ 'its message is held', q{SELECT FROM outreach.outbound_messages WHERE message_id = 'MESSAGE' FOR UPDATE} ],
	[ 'its event is refused', '', q{CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.lead_id = 'LEAD' THEN RAISE EXCEPTION 'no'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON outreach.events FOR EACH ROW EXECUTE FUNCTION public.refuse()} ])
{
	my ($what, $statement, $before) = @$case;
	$n++;
	kill 'STOP', $provider->pid;
	my $a = ask('team_a', "lead_$n", "Message $n of a refused", '+12125550102');
	wait_until(sub { status_of($a) eq 'sending' }, 'the request to be under way');
	sql($node, filled_in($before, $a)) if $before;
	my $session = hold(filled_in($statement, $a));
	kill 'CONT', $provider->pid;
	ok(wait_until(sub { sql($node, "SELECT consent FROM outreach.phones WHERE tenant_id = 'team_a' AND phone = '" . phone($n) . "'") eq 'opted_out' },
		'the phone to be opted out'), "$what: the opt-out that the provider tells of is recorded");
	is(status_of($a), $before ? 'unknown' : 'sending', 'the answer is not');
	release($session, 'COMMIT');
	wait_until(sub { status_of($a) eq 'failed' }, 'the answer to be recorded') if !$before;
	sql($node, 'DROP TRIGGER refuse ON outreach.events') if $before;
	wait_until(sub { sql($node, "SELECT state FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id = 'lead_$n'") eq 'suppressed' },
		'the lead to be suppressed');
	is(sql($node, "SELECT count(*) FROM outreach.consent_history WHERE address = '" . phone($n) . "' AND consent = 'opted_out'"), 1, 'and it is there once');
}

is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
