# Workers by themselves: that they come when there is work and go when there is
# none, that what commits wakes them and what does not leaves them asleep, and that
# deferred and failed webhooks are theirs too.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers;

my $node = new_cluster(conf => "max_prepared_transactions = 5\nmax_worker_processes = 16\n");
my $db = 'postgres';

# ---- where nothing is ---------------------------------------------------------

ok(wait_until(sub { launcher($node) }, 'the launcher'), 'the launcher runs before any extension');
is(sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outreach worker'"), 0,
	'no worker before any extension');
{
	my $start = mark($node);
	sql($node, 'BEGIN; CREATE EXTENSION pg_outreach; ROLLBACK');
	is(sql($node, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'outreach%'"), 0,
		'a CREATE EXTENSION that is rolled back leaves no role');
	# a launcher that had been told would have had its turn by the time of this one
	sql($node, 'CREATE DATABASE later');
	timer_database($node, 'later', 1);
	set_timer($node, 'later', 1, 'FOLLOW_UP', 'now()');
	wait_fired($node, 'later', 1, 'FOLLOW_UP');
	is(worker($node, $db), '', 'and no worker');
	unlike(log_since($node, $start), qr/(?:ERROR|FATAL|PANIC):|out of background/, 'and no error in the log');
}

# ---- the first timer ----------------------------------------------------------

timer_database($node, $db, 30);
ok(wait_worker($node, $db), 'CREATE EXTENSION brings a worker');
like(status($node, $db, 'state'), qr/^(?:unknown|served)$/, 'and worker_status knows the database');
is(sql($node, "SELECT usename, rolsuper, rolbypassrls FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
		WHERE backend_type = 'outreach worker' AND datname = '$db'"),
	'outreach_worker|f|f', 'a worker is outreach_worker and no superuser');

set_timer($node, $db, 1, 'FOLLOW_UP', "now() + '300 ms'");
is(wait_fired($node, $db, 1, 'FOLLOW_UP'), 1, 'a timer fires, and nobody asked for it');
set_timer($node, $db, 2, 'TIMER_7D', "now() - interval '1 s'", '{"to_state": "touched", "agent": "CATHY"}');
wait_fired($node, $db, 2, 'TIMER_7D');
is(sql($node, "SELECT state, assigned_agent FROM outreach.leads WHERE lead_id = '2'"), 'touched|CATHY',
	'what it does is done with it');
# those of a lead that was touched
sql($node, "SELECT outreach.cancel_timer('team_a', '2')");
is(sql($node, "SELECT executed_at >= trigger_at, due_at IS NULL, attempts FROM outreach.lead_timers
		WHERE lead_id = '1'"), 't|t|1', 'and it is no longer alive');
wait_until(sub { status($node, $db, 'timers_fired') >= 2 }, 'worker_status to count them');
is(status($node, $db, 'timers_fired, (SELECT sum(n) FROM unnest(lateness) n), failures'), '2|2|0',
	'worker_status counts firings and how late they were');

# ---- asleep, and awake again --------------------------------------------------

set_timer($node, $db, 3, 'FOLLOW_UP', "'2100-01-01 00:00+00'");
wait_no_worker($node, $db);
is(sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outreach worker'"), 0,
	'with nothing due soon there is no worker at all');
is(status($node, $db, "next_due = '2100-01-01 00:00+00'"), 't', 'and the next due time is known');

my $started = status($node, $db, 'last_started');

# whether nobody was woken: by the time that the last of a row of waits ended
sub still_asleep
{
	my ($name, $due) = @_;
	is(status($node, $db, "next_due, last_started"), "$due|$started", $name);
	is(worker($node, $db), '', "$name: no worker");
}
my $far = status($node, $db, 'next_due');
my $soon = "now() - interval '1 s'";

{
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->query_safe('BEGIN; ' . timer_sql(4, 'FOLLOW_UP', "'2090-01-01 00:00+00'"));
	still_asleep('before COMMIT nobody is woken', $far);
	$session->query_safe('COMMIT');
	is(status($node, $db, "next_due = '2090-01-01 00:00+00'"), 't', 'with COMMIT the next due time is known');
	is(status($node, $db, 'last_started'), $started, 'and as it is far away, no worker is started');
	$far = status($node, $db, 'next_due');

	$session->query_safe('BEGIN; ' . timer_sql(5, 'FOLLOW_UP', "'2095-01-01 00:00+00'") . '; COMMIT');
	still_asleep('one later than the next wakes nobody', $far);

	$session->query_safe('BEGIN; ' . timer_sql(6, 'FOLLOW_UP', $soon) . '; ROLLBACK');
	still_asleep('ROLLBACK', $far);

	$session->query_safe('BEGIN; SAVEPOINT a; ' . timer_sql(6, 'FOLLOW_UP', $soon)
		. '; SAVEPOINT b; ' . timer_sql(7, 'FOLLOW_UP', $soon) . '; RELEASE b; ROLLBACK TO a; COMMIT');
	still_asleep('ROLLBACK TO SAVEPOINT', $far);

	$session->query_safe(q{DO $$ BEGIN PERFORM outreach.set_timer('team_a', '6', 'FOLLOW_UP', now(), 'test', '{}');
		RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END $$});
	still_asleep('a block whose exception is caught', $far);

	$session->query_safe('BEGIN; ' . timer_sql(8, 'FOLLOW_UP', $soon) . q{; PREPARE TRANSACTION 'one'});
	still_asleep('PREPARE TRANSACTION', $far);
	$session->query_safe(q{ROLLBACK PREPARED 'one'});
	still_asleep('ROLLBACK PREPARED', $far);

	$session->query_safe('BEGIN; ' . timer_sql(8, 'FOLLOW_UP', $soon) . q{; PREPARE TRANSACTION 'two'});
	still_asleep('PREPARE TRANSACTION again', $far);
	$session->query_safe(q{COMMIT PREPARED 'two'});
	is(wait_fired($node, $db, 8, 'FOLLOW_UP'), 1, 'COMMIT PREPARED wakes a worker, and it fires');

	# in a savepoint that is kept, beside one that is not
	$session->query_safe('BEGIN; SAVEPOINT a; ' . timer_sql(9, 'FOLLOW_UP', $soon)
		. '; RELEASE a; SAVEPOINT b; ' . timer_sql(10, 'FOLLOW_UP', $soon) . '; ROLLBACK TO b; COMMIT');
	is(wait_fired($node, $db, 9, 'FOLLOW_UP'), 1, 'RELEASE SAVEPOINT keeps what was noted');
	is(fired($node, $db, 10, 'FOLLOW_UP'), 0, 'and its neighbour never was');
	$session->quit;
}

# a worker that waits for a later one is woken: it fires before the other is due
set_timer($node, $db, 11, 'FOLLOW_UP', "now() + '5 s'");
wait_worker($node, $db);
set_timer($node, $db, 12, 'FOLLOW_UP', "now() + '200 ms'");
wait_fired($node, $db, 12, 'FOLLOW_UP');
is(sql($node, "SELECT a.executed_at < b.trigger_at FROM outreach.lead_timers a, outreach.lead_timers b
		WHERE a.lead_id = '12' AND b.lead_id = '11'"), 't', 'one that is set to come before the next fires before it');
is(wait_fired($node, $db, 11, 'FOLLOW_UP'), 1, 'and then the other');

# rows that do not come from the engine
sub insert_timer
{
	my ($lead) = @_;
	sql($node, "INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action,
			action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
		VALUES ('team_a', gen_random_uuid(), '$lead', 'FOLLOW_UP', now(), now(), 'test', '{}', true, 3, now(), now())");
}
insert_timer(13);
is(wait_fired($node, $db, 13, 'FOLLOW_UP'), 1, 'a row that was inserted, as by a restore, fires too');

# ---- a lead that somebody holds ----------------------------------------------

{
	my $holder = $node->background_psql($db, on_error_stop => 0);
	$holder->query_safe("BEGIN; SELECT FROM outreach.leads WHERE lead_id = '14' FOR NO KEY UPDATE");
	insert_timer(14);
	set_timer($node, $db, 15, 'FOLLOW_UP', 'now()');
	is(wait_fired($node, $db, 15, 'FOLLOW_UP'), 1, 'a lead that is held keeps no other from firing');
	is(fired($node, $db, 14, 'FOLLOW_UP'), 0, 'and its own waits');
	$holder->query_safe('COMMIT');
	is(wait_fired($node, $db, 14, 'FOLLOW_UP'), 1, 'until it is let go');
	$holder->quit;
}

# ---- an action that fails -----------------------------------------------------

sql($node, q{
	CREATE FUNCTION public.broken(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'broken'; END $$;
	SELECT outreach.register_timer_function('broken', 'public.broken(text, text, jsonb)')});
sql($node, 'BEGIN; ' . timer_sql(17, 'FOLLOW_UP', 'now()', '{"call": "broken"}') . ';'
	. timer_sql(18, 'FOLLOW_UP', 'now()') . '; COMMIT');
is(wait_fired($node, $db, 18, 'FOLLOW_UP'), 1, 'an action that fails keeps no other from firing');
for my $attempt (1 .. 3)
{
	wait_until(sub { sql($node, "SELECT attempts FROM outreach.lead_timers WHERE lead_id = '17'") == $attempt },
		"try $attempt");
	sql($node, "UPDATE outreach.lead_timers SET due_at = now() WHERE lead_id = '17' AND due_at IS NOT NULL");
}
is(sql($node, "SELECT attempts, last_error FROM outreach.timers_failed WHERE lead_id = '17'"),
	'3|the action failed with SQLSTATE P0001', 'it is tried three times, given up and listed');
is(sql($node, "SELECT count(*) FILTER (WHERE event_type = 'timer.failed'), count(*) FILTER (WHERE event_type = 'timer.fired')
		FROM outreach.events WHERE lead_id = '17'"), '1|0', 'with one event of its failure and none of firing');

# ---- webhooks -----------------------------------------------------------------

sql($node, q{
	SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred');
	SELECT outreach.create_endpoint('team_a', '/w/now', 'generic', 'none');
	CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.phone = '+12125550199' THEN RAISE EXCEPTION 'refused'; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.refuse()});

sub hook
{
	my ($path, $id, $phone) = @_;
	return { method => 'POST', path => $path, headers => { 'content-type' => 'application/json' },
		body => qq({"event":"message.received","id":"$id","from":"$phone","body":"hello"}) };
}

sub payload_is
{
	my ($id, $columns) = @_;
	return sql($node, "SELECT $columns FROM outreach.inbound_payloads p WHERE p.idempotency_key LIKE '%:$id:message.received'");
}

is(ingest($node, hook('/w/later', 'd1', '+12125550101'))->{outcome}, 'deferred', 'a webhook is deferred');
wait_until(sub { payload_is('d1', 'p.status') eq 'done' }, 'the deferred webhook to be processed');
is(sql($node, "SELECT count(*) FROM outreach.leads WHERE phone = '+12125550101'"), 1, 'and a worker processes it');

is(ingest($node, hook('/w/now', 'f1', '+12125550199'))->{outcome}, 'error', 'a webhook fails');
is(payload_is('f1', "p.status, p.attempts, p.next_attempt_at > now()"), 'error|1|t', 'and has its next try');
for my $attempt (2 .. 10)
{
	sql($node, "UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL");
	wait_until(sub { payload_is('f1', 'p.attempts') == $attempt }, "try $attempt");
}
is(payload_is('f1', 'p.status, p.next_attempt_at IS NULL'), 'dead|t', 'after ten tries a worker gives it up');

is(ingest($node, hook('/w/now', 'f2', '+12125550199'))->{outcome}, 'error', 'another fails');
sql($node, "DROP TRIGGER refuse ON outreach.leads;
	UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL");
wait_until(sub { payload_is('f2', 'p.status') eq 'done' }, 'the failed webhook to be processed');
is(sql($node, "SELECT count(*) FROM outreach.leads WHERE phone = '+12125550199'"), 1,
	'once its cause is gone a worker brings it to its end');
cmp_ok(status($node, $db, 'payloads_processed'), '>=', 11, 'worker_status counts them');

is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'the log agrees with the leads');
unlike(log_since($node, 0), qr/PANIC:|TRAP:|terminated by signal/, 'no process crashed');
done_testing();
