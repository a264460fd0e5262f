package Timers;

# What the tests of workers share: leads with timers, who works where, and the
# proof that each timer fired exactly once and none early.
#
#	use lib 'test/support', 'test/torture';
#	my $node = new_cluster();
#	timer_database($node, 'postgres', 10);			# tenant team_a, leads 1 to 10
#	set_timer($node, 'postgres', 1, 'FOLLOW_UP', "now() + '1 s'");
#	wait_fired($node, 'postgres', 1, 'FOLLOW_UP');
#	expect_once($node, 'postgres', 'at the end', 1);
#
# timer_database($node, $db, $leads)	extension, tenant and leads
# timer_sql($lead, $type, $at, $payload)	the call, $at and $payload as SQL
# set_timer($node, $db, $lead, $type, $at, $payload)
# fired($node, $db, $lead, $type)		how many times that timer fired
# wait_fired(…)							waits until it did, and returns how often
# worker($node, $db)					pid of the database's worker, '' when there is none
# wait_worker($node, $db), wait_no_worker($node, $db)	the same, waiting; a worker
#		that has nothing to do lingers for a few seconds
# pin_worker($node, $db, $lead)			keeps the worker where it is: something is due of a lead
#		that the session it returns holds, until that commits
# launcher($node)						its pid, '' when there is none
# status($node, $db, $columns)			of outreach.worker_status, seen from postgres
# expect_once($node, $db, $what, $n)	asserts that n timers were set, each fired once
#		and none before its time, and that events and leads agree. A timer of a test
#		that uses it is set once and never moved.
# log_since($node, $offset)				what the server has logged since then
# mark($node)							the offset for that

use strict;
use warnings;

use Exporter 'import';
use OutreachTest;
use PostgreSQL::Test::Utils ();
use Test::More ();

our @EXPORT = qw(timer_database timer_sql set_timer fired wait_fired worker wait_worker wait_no_worker
  pin_worker   launcher status expect_once log_since mark);

sub timer_database
{
	my ($node, $db, $leads) = @_;
	create_extension($node, $db);
	sql($node, "SELECT outreach.create_tenant('team_a', 'A');
		SELECT count(*) FROM generate_series(1, $leads) i, LATERAL outreach.create_lead('team_a', i::text)", db => $db);
}

sub timer_sql
{
	my ($lead, $type, $at, $payload) = @_;
	$payload = defined $payload ? "'$payload'" : "'{}'";
	return "SELECT outreach.set_timer('team_a', '$lead', '$type', $at, 'test', $payload)";
}

sub set_timer
{
	my ($node, $db, @timer) = @_;
	return sql($node, timer_sql(@timer), db => $db);
}

sub fired
{
	my ($node, $db, $lead, $type) = @_;
	return sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'timer.fired'
		AND lead_id = '$lead' AND payload ->> 'timer_type' = '$type'", db => $db);
}

sub wait_fired
{
	my ($node, $db, $lead, $type) = @_;
	return wait_until(sub { fired($node, $db, $lead, $type) }, "timer $type of lead $lead in $db to fire");
}

sub worker
{
	my ($node, $db) = @_;
	return sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach worker' AND datname = '$db'");
}

sub wait_worker
{
	my ($node, $db) = @_;
	return wait_until(sub { worker($node, $db) }, "a worker in $db");
}

sub wait_no_worker
{
	my ($node, $db) = @_;
	wait_until(sub { worker($node, $db) eq '' }, "no worker in $db");
}

sub pin_worker
{
	my ($node, $db, $lead) = @_;
	my $session = $node->background_psql($db, on_error_stop => 0);
	$session->query_safe("BEGIN; SELECT FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id = '$lead' FOR NO KEY UPDATE");
	sql($node, "INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action,
			action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
		VALUES ('team_a', gen_random_uuid(), '$lead', 'PIN', now(), now(), 'test', '{}', false, 3, now(), now())", db => $db);
	wait_worker($node, $db);
	return $session;
}

sub launcher
{
	my ($node) = @_;
	return sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach launcher'");
}

sub status
{
	my ($node, $db, $columns) = @_;
	return sql($node, "SELECT $columns FROM outreach.worker_status WHERE database = '$db'");
}

sub expect_once
{
	my ($node, $db, $what, $n) = @_;
	Test::More::is(sql($node, <<'SQL', db => $db), "$n|0|0|0|0", "$what: each of $n timers fired once, none early, none lost; the log agrees with the leads");
		WITH seen AS (
			SELECT lead_id, payload ->> 'timer_type' AS timer_type, count(*) AS n, min(occurred_at) AS first
			  FROM outreach.events WHERE event_type = 'timer.fired' GROUP BY 1, 2
		), pair AS (
			SELECT t.*, s.n, s.first FROM outreach.lead_timers t FULL JOIN seen s USING (lead_id, timer_type)
		)
		SELECT (SELECT count(*) FROM outreach.lead_timers),
			   (SELECT count(*) FROM pair WHERE n IS NULL OR executed_at IS NULL OR due_at IS NOT NULL),
			   (SELECT count(*) FROM pair WHERE n > 1 OR attempts <> 1),
			   (SELECT count(*) FROM pair WHERE first < trigger_at OR executed_at < trigger_at),
			   (SELECT count(*) FROM outreach.verify())
SQL
}

sub mark { my ($node) = @_; return -s $node->logfile; }

sub log_since
{
	my ($node, $offset) = @_;
	return PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);
}

1;
