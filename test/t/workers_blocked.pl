# A worker waits for nobody: whatever a tenant's open transaction holds, other tenants'
# timers fire and payloads are processed while it holds it, and an error of one
# activity ends neither the process nor the others.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Time::HiRes qw(time);
use Timers;

my $node = new_cluster(conf => "max_worker_processes = 16\n");
my $db = 'postgres';
timer_database($node, $db, 2);
sql($node, q{
	SELECT outreach.create_tenant('team_b', 'B'), outreach.create_lead('team_b', '1');
	SELECT outreach.create_endpoint('team_a', '/w/a', 'generic', 'none', mode => 'deferred');
	SELECT outreach.create_endpoint('team_b', '/w/b', 'generic', 'none', mode => 'deferred');
	SELECT outreach.create_account('team_a', 'hook', 'generic_json', 'a secret of some length', base_url => 'https://127.0.0.1:1');
	SELECT outreach.create_account('team_a', 'texts', 'twilio_sms', 'a secret of some length', username => 'AC00000000000000000000000000000001');
	SELECT outreach.add_number('team_a', '+12125550100', 'texts');
	SELECT outreach.save_template('team_a', 'intro', 'Hello');
	SELECT outreach.stop_sending('all', reason => 'a test');
	SELECT count(*) FROM generate_series(101, 400) i, LATERAL outreach.create_lead('team_a', i::text, '+1212556' || 1000 + i)});

my $n = 0;

# Another tenant's timer and webhook, while the transaction is open
sub others_go_on
{
	my ($what) = @_;
	within_a_second(sub {
		my $id = ++$n;
		sql($node, "SELECT outreach.set_timer('team_b', '1', 'OTHER_$id', now(), 'test', '{}')");
		return wait_until(sub { sql($node, "SELECT extract(epoch FROM executed_at - trigger_at) + 0.000001 FROM outreach.lead_timers
			WHERE timer_type = 'OTHER_$id' AND executed_at IS NOT NULL") }, "a timer of another tenant, $what");
	}, "another tenant's timer fires, $what");
	within_a_second(sub {
		my $id = ++$n;
		ingest($node, { method => 'POST', path => '/w/b', headers => { 'content-type' => 'application/json' },
			body => qq({"event":"message.received","id":"$id","from":"+12125550199","body":"hello"}) });
		wait_until(sub { sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE tenant_id = 'team_b' AND status <> 'done'") == 0 },
			"a payload of another tenant, $what");
		return sql($node, "SELECT extract(epoch FROM max(e.occurred_at) - max(p.received_at)) FROM outreach.inbound_payloads p, outreach.events e
			WHERE p.tenant_id = 'team_b' AND e.tenant_id = 'team_b' AND e.event_type = 'webhook.inbound.received'");
	}, "another tenant's payload is processed, $what");
}

# An open transaction, of which the workers see nothing before it holds what it is to
# hold; that is given back at the end
sub holding
{
	my ($before, $statement, $code) = @_;
	sql($node, "SELECT outreach.disarm('a test')");
	wait_until(sub { status($node, $db, 'state') eq 'not armed' }, 'no worker');
	sql($node, $before);
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->query_safe("BEGIN; $statement");
	sql($node, 'SELECT outreach.arm()');
	$code->();
	is(sql($node, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"), 1, 'and it is still open');
	$session->query_safe('ROLLBACK');
	$session->quit;
}

sub timer { my ($lead, $columns) = @_; return sql($node, "SELECT $columns FROM outreach.lead_timers WHERE tenant_id = 'team_a' AND lead_id = '$lead'
	ORDER BY created_at DESC LIMIT 1"); }

sub webhook_of_a { my ($id, $phone) = @_;
	return ingest($node, { method => 'POST', path => '/w/a', headers => { 'content-type' => 'application/json' },
		body => qq({"event":"message.received","id":"$id","from":"$phone","body":"hello"}) }); }

# ---- what a tenant can hold ---------------------------------------------------

# a lead, with a timer and a webhook of its own; which of the two comes first is open
{
	sql($node, q{INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, cancel_on_reply)
		VALUES ('team_a', 'HELD', '0', 'test', '{}', false)});
	holding(timer_sql(101, 'HELD', 'now()'), "SELECT FROM outreach.create_lead('team_a', '101', '+12125561101', first_name => 'Other')", sub {
		webhook_of_a('held', '+12125561101');
		others_go_on("while a tenant holds one of its leads");
		is(timer(101, 'executed_at IS NULL, attempts'), 't|0', 'its own timer waits, and no attempt is counted');
	});
	is(wait_fired($node, $db, 101, 'HELD'), 1, 'until it is let go');
}

# the rows that a timer's message needs, in progress or locked: many of them
for my $case ([ 'the phones of 200 messages, not committed', q{DELETE FROM outreach.addresses WHERE address LIKE '+12125561%'},
		q{INSERT INTO outreach.addresses (tenant_id, address) SELECT 'team_a', '+1212556' || 1000 + i FROM generate_series(102, 301) i} ],
	[ 'the rows of 200 timers', '', q{SELECT FROM outreach.lead_timers WHERE timer_type LIKE 'SEND%' AND due_at IS NOT NULL FOR UPDATE} ])
{
	my ($what, $before, $statement) = @$case;
	my $type = 'SEND' . ++$n;
	holding("$before; SELECT outreach.set_timer('team_a', i::text, '$type', now(), 'test', '{\"send\": \"intro\"}')
		FROM generate_series(102, 301) i", $statement, sub {
		others_go_on("while a tenant holds $what") for 1 .. 3;
		is(sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = '$type' AND executed_at IS NULL AND attempts > 0"), 0,
			'those that wait have no attempt counted');
	});
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = '$type' AND executed_at IS NULL") == 0 }, 'all of them to fire');
	is(sql($node, "SELECT max(attempts), count(last_error) FROM outreach.lead_timers WHERE timer_type = '$type'"), '1|0',
		'then they fire, at the first attempt');
}

# ---- webhooks of a phone that a hundred thousand leads have ---------------------

{
	sql($node, q{INSERT INTO outreach.leads (tenant_id, lead_id, phone, source, created_at, updated_at, last_activity_at)
		SELECT 'team_a', 'same ' || i, '+12125559999', 'a test', now(), now(), now() FROM generate_series(1, 100000) i});
	webhook_of_a("many $_", '+12125559999') for 1 .. 5;
	others_go_on('while a tenant has webhooks of a phone with very many leads') for 1 .. 2;
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status = 'pending'") == 0 }, 'them to be processed');
	is(sql($node, q{SELECT count(*) FROM outreach.inbound_payloads p
		WHERE p.tenant_id = 'team_a' AND p.status <> 'done'}), 0, 'and they are processed');
	sql($node, q{DELETE FROM outreach.leads WHERE lead_id LIKE 'same %'});
}

# ---- tables -------------------------------------------------------------------

{
	my $pin = pin_worker($node, $db, 1);
	my $worker = wait_worker($node, $db);
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->query_safe('BEGIN; LOCK TABLE outreach.inbound_payloads IN ACCESS EXCLUSIVE MODE');
	sql($node, "SELECT outreach.set_timer('team_b', '1', 'TABLE', now(), 'test', '{}')");
	wait_until(sub { sql($node, "SELECT 1 FROM outreach.lead_timers WHERE timer_type = 'TABLE' AND executed_at IS NOT NULL") }, 'a timer');
	pass('timers fire while the table of payloads is locked');
	$session->query_safe('COMMIT; BEGIN; LOCK TABLE outreach.lead_timers IN ACCESS EXCLUSIVE MODE');
	wait_until(sub { status($node, $db, 'failures > 0') eq 't' }, 'activities to fail');
	is(status($node, $db, 'last_sqlstate, worker_pid'), "55P03|$worker", 'a table that is locked: its activity fails, the process stays');
	$session->query_safe('COMMIT');
	$session->quit;
	others_go_on('when it is free');
	wait_until(sub { status($node, $db, 'failures') == 0 }, 'the failures to be forgotten');
	is(worker($node, $db), $worker, 'by the same process');

	# an activity that fails each time
	my $start = mark($node);
	sql($node, 'REVOKE EXECUTE ON FUNCTION outreach.process_payloads(int, timestamptz) FROM outreach_worker');
	webhook_of_a('later', '+12125550177');
	wait_until(sub { status($node, $db, 'failures > 1') eq 't' }, 'the payloads to fail');
	sql($node, "SELECT outreach.set_timer('team_b', '1', 'BESIDE', now(), 'test', '{}')");
	wait_until(sub { sql($node, "SELECT 1 FROM outreach.lead_timers WHERE timer_type = 'BESIDE' AND executed_at IS NOT NULL") }, 'a timer');
	is(status($node, $db, 'last_sqlstate, worker_pid'), "42501|$worker", 'an activity that fails: the others go on, in the same process');
	like(log_since($node, $start), qr/LOG:  processing payloads failed with SQLSTATE 42501: .*\n.*It is tried again in 1 s/, 'the log says so');
	sql($node, 'GRANT EXECUTE ON FUNCTION outreach.process_payloads(int, timestamptz) TO outreach_worker');
	wait_until(sub { sql($node, "SELECT count(*) FROM outreach.inbound_payloads WHERE status <> 'done'") == 0 }, 'the payloads');
	is(worker($node, $db), $worker, 'and comes back when it can');

	# a person who cancels
	sql($node, "SELECT pg_cancel_backend($worker)") for 1 .. 5;
	others_go_on('after a cancel');
	is(worker($node, $db), $worker, 'in the same process');
	$pin->query_safe('COMMIT');
	$pin->quit;
}

# ---- an item that always fails as if it were the server -----------------------

{
	sql($node, q{CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.lead_id = '102' THEN RAISE EXCEPTION 'no' USING ERRCODE = '53200'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER poison BEFORE INSERT ON outreach.events FOR EACH ROW EXECUTE FUNCTION public.poison();
		SELECT outreach.set_timer('team_a', '102', 'POISON', now(), 'test', '{}')});
	others_go_on('while one raises 53200');
	wait_until(sub { timer(102, 'attempts') > 0 }, 'the poison to be tried');
	is(timer(102, "attempts, last_error, due_at > now()"), '1|the action failed with SQLSTATE 53200|t', 'whose second failure counts an attempt');
	sql($node, "UPDATE outreach.lead_timers SET due_at = now() WHERE timer_type = 'POISON' AND due_at IS NOT NULL") and
	  wait_until(sub { sql($node, "SELECT count(*) FROM outreach.lead_timers WHERE timer_type = 'POISON' AND due_at > now()") }, 'another try') for 1 .. 4;
	is(timer(102, "attempts, due_at IS NOT NULL"), '2|t', 'but not its last one: nothing is given up for a full disk');
	sql($node, 'DROP TRIGGER poison ON outreach.events');
	sql($node, "UPDATE outreach.lead_timers SET due_at = now() WHERE timer_type = 'POISON'");
	is(wait_fired($node, $db, 102, 'POISON'), 1, 'and it fires when it can');
}

# ---- rings --------------------------------------------------------------------

{
	sql($node, q{
		INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, cancel_on_reply) VALUES
			('team_a', 'SELF', '0', 'ring', '{"set_timer": "SELF"}', false),
			('team_a', 'PING', '0', 'ring', '{"set_timer": "PONG"}', false),
			('team_a', 'PONG', '0', 'ring', '{"set_timer": "PING"}', false),
			('team_a', 'CALL', '0', 'ring', '{"call": "again"}', false);
		CREATE FUNCTION public.again(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
			SELECT outreach.set_timer($1, $2, 'CALL', '2001-01-01')
		$$;
		SELECT outreach.register_timer_function('again', 'public.again(text, text, jsonb)')});
	my $began = time();
	sql($node, "SELECT outreach.set_timer('team_a', i::text, t) FROM generate_series(201, 210) i, unnest('{SELF,PING,CALL}'::text[]) t");
	others_go_on('while timers set themselves') for 1 .. 3;
	wait_until(sub { sql($node, "SELECT min(n) FROM (SELECT count(*) AS n FROM outreach.events WHERE event_type = 'timer.fired'
		AND payload ->> 'timer_type' IN ('SELF', 'PING', 'PONG', 'CALL') GROUP BY lead_id) e") >= 9 }, 'the rings to go round');
	# in the order of these two: no firing is counted that began later
	my $most = sql($node, "SELECT max(n) FROM (SELECT count(*) AS n FROM outreach.events WHERE event_type = 'timer.fired'
		AND payload ->> 'timer_type' IN ('SELF', 'PING', 'PONG', 'CALL') GROUP BY lead_id, replace(payload ->> 'timer_type', 'PONG', 'PING')) e");
	cmp_ok($most, '<=', (time() - $began) + 1, 'each ring has a beat of a second');
}

# Of some this test has taken the rows of their addresses.
is(sql($node, q{SELECT count(*) FROM outreach.verify() WHERE (lead_id IS NULL OR lead_id NOT LIKE 'same %')
	AND problem <> 'an address of it is not in outreach.addresses'}), 0, 'the log agrees with the leads');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
