# Defects of the systems this one replaces that it must not have: timers.  One
# block a number.  What is to fire by itself is due now; all else is due in 2040,
# where a session goes by its clock and no background worker does.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/a', 'texting', 'none');
});

my $serial = 0;

sub value { return sql($node, $_[0]); }
sub lead { return value("SELECT outreach.create_lead('team_a', '$_[0]', '$_[1]')"); }
sub set { my ($lead, $type, @more) = @_; return value("SELECT trigger_at FROM outreach.set_timer('team_a', '$lead', '$type'" . join('',
	map { ", $_" } @more) . ')'); }

# fires what is due at that time, and returns how many there were
sub fire_at { return value("SET outreach.clock = '$_[0]'; SELECT cardinality(outreach.fire_timers(1000))"); }

sub text
{
	my ($phone, $body) = @_;
	return ingest($node, signed('none', path => '/w/a', type => 'application/json', body => encode_json({
		type => 'message.received', message => { id => 'm' . ++$serial, from => $phone, body => $body } })));
}

# the columns of a lead's timers, in the order of their kinds and times
sub timers
{
	my ($lead, $columns) = @_;
	return value("SELECT $columns FROM outreach.lead_timers WHERE lead_id = '$lead' ORDER BY timer_type, created_at, timer_id");
}

sub events { return value("SELECT string_agg(event_type, ' ' ORDER BY lead_version) FROM outreach.lead_history WHERE lead_id = '$_[0]'"); }

# leads with a name and a number that have something other than exactly one firing of one attempt
sub not_fired_once
{
	return value(qq{
		SELECT string_agg(l.lead_id, ' ') FROM outreach.leads l
		 WHERE l.lead_id ~ '^$_[0]_' AND
			((SELECT count(*) FROM outreach.events e WHERE e.lead_id = l.lead_id AND e.event_type = 'timer.fired') <> 1
			 OR NOT EXISTS (SELECT FROM outreach.lead_timers t WHERE t.lead_id = l.lead_id AND t.attempts = 1 AND t.executed_at >= t.trigger_at
			 	AND t.due_at IS NULL))});
}

# statements that make leads with a name and a number, each with a timer
sub many
{
	my ($name, $n, $at) = @_;
	return qq{
		SELECT count(c.created) FROM generate_series(1, $n) i, outreach.create_lead('team_a', '${name}_' || i) c \\g /dev/null
		SELECT count(t.lead_id) FROM generate_series(1, $n) i, outreach.set_timer('team_a', '${name}_' || i, 'T', $at, NULL, '{"agent": "CATHY"}') t;};
}

sub wait_for_all { my ($name) = @_; wait_until(sub { value("SELECT count(*) FROM outreach.timers_ahead WHERE lead_id ~ '^${name}_'") eq '0' },
	"timers of $name to fire"); }

{
	# N65: several schedulers at once, and the background worker beside them
	my $gate = $node->background_psql('postgres');
	my @scheduler = map { $node->background_psql('postgres') } 1 .. 3;
	$gate->query_safe('BEGIN; SELECT pg_advisory_xact_lock(65)');
	$_->query_until(qr/sent/, "\\echo sent\nSELECT pg_advisory_lock_shared(65);\n" . "SELECT timers FROM outreach.run_once(20);\n" x 20) for @scheduler;
	$gate->query_safe(many('n65', 300, 'now()') . 'COMMIT');
	wait_for_all('n65');
	$_->quit for @scheduler, $gate;
	is(not_fired_once('n65'), '', 'N65: each of 300 timers fired once');
}

{
	# N66: a kind that fired or was cancelled
	lead('lead_66', '+12125550066');
	set('lead_66', 'FOLLOW_UP', "'2040-01-01'");
	is(fire_at('2040-01-01 00:00'), 1, 'N66: fired');
	isnt(set('lead_66', 'FOLLOW_UP', "'2040-02-01'"), '', 'N66: set again after it fired');
	value("SELECT outreach.cancel_timer('team_a', 'lead_66', 'FOLLOW_UP', 'x')");
	isnt(set('lead_66', 'FOLLOW_UP', "'2040-03-01'"), '', 'N66: and after it was cancelled');
	is(timers('lead_66', "concat_ws(' ', executed_at IS NOT NULL, cancel_reason, due_at IS NOT NULL)"), "t f\nf x f\nf t", 'N66: what was stays');
	set('lead_66', 'FOLLOW_UP', "'2040-04-01'");
	is(value("SELECT trigger_at::date FROM outreach.timers_ahead WHERE lead_id = 'lead_66'"), '2040-04-01', 'N66: one alive of a kind, moved');
	value("SELECT outreach.cancel_timer('team_a', 'lead_66')");
}

{
	# N67: a response
	lead('lead_67', '+12125550067');
	value("SELECT outreach.transition_lead('team_a', 'lead_67', 'touched')");
	is(timers('lead_67', 'timer_type'), "TIMER_14D\nTIMER_7D", 'N67: planned for its silence');
	text('+12125550067', 'who is this');
	is(timers('lead_67', 'cancel_reason'), "replied\nreplied", 'N67: cancelled by the answer');
	is(value("SELECT DISTINCT t.xmin = l.xmin FROM outreach.lead_timers t JOIN outreach.leads l USING (tenant_id, lead_id) WHERE lead_id = 'lead_67'"), 't',
		'N67: in one transaction with it');
	fire_at('2041-01-01');
	is(value("SELECT state || ' ' || coalesce(assigned_agent, 'nobody') FROM outreach.leads WHERE lead_id = 'lead_67'"), 'responded nobody',
		'N67: nothing follows');
	unlike(events('lead_67'), qr/timer\.fired/, 'N67: nothing fired');
}

{
	# N68: the first reason
	lead('lead_68', '+12125550068');
	set('lead_68', $_, "'2042-01-01'") for 'CALLBACK', 'FOLLOW_UP';
	is(value("SELECT outreach.cancel_timer('team_a', 'lead_68', 'FOLLOW_UP', 'called instead')"), 1, 'N68: cancelled');
	my $first = timers('lead_68', "cancelled_at || cancel_reason");
	is(value("SELECT outreach.cancel_timer('team_a', 'lead_68', 'FOLLOW_UP', 'again')"), 0, 'N68: no second time');
	text('+12125550068', 'hello');
	is(timers('lead_68', "cancelled_at || cancel_reason"), $first, 'N68: a reply leaves time and reason');
	value("SELECT outreach.opt_out('team_a', '+12125550068')");
	is(timers('lead_68', 'cancel_reason'), "suppressed\ncalled instead", 'N68: an opt-out cancels what is left');
}

{
	# N69: kinds
	lead('lead_69', '+12125550069');
	is(sql_error($node, "SELECT outreach.set_timer('team_a', 'lead_69', 'TIMER_60D')"), '42704', 'N69: an unknown kind is refused');
	set('lead_69', 'TIMER_30D', "'2042-01-01'");
	set('lead_69', 'FOLLOW_UP', "'2042-01-02'", "'follow_up'", q{'{"to_state": "touched"}'});
	set('lead_69', 'CALLBACK', "'2042-01-03'", "'callback'", q{'{"agent": "SABRINA"}'});
	set('lead_69', 'OWN', "'2042-01-04'", 'NULL', q{'{"set_timer": "TIMER_60D"}'});
	is(fire_at('2042-01-05'), 3, 'N69: three can be done');
	is(events('lead_69'), 'lead.created timer.fired lead.archived timer.fired lead.state.changed timer.fired lead.agent.assigned', 'N69: and are');
	is(value("SELECT coalesce(last_error, 'none') || ' ' || (executed_at IS NULL) FROM outreach.lead_timers WHERE lead_id = 'lead_69' AND timer_type = 'OWN'"),
		'the action failed with SQLSTATE 42704 true', 'N69: one that names an unknown kind is not marked executed');
	value("SELECT outreach.cancel_timer('team_a', 'lead_69')");
}

{
	# N70: more than a hundred due in the same minute
	my $at = value("SELECT now() + interval '5 seconds'");
	value(many('n70', 1000, "'$at'"));
	wait_for_all('n70');
	is(not_fired_once('n70'), '', 'N70: 1000 due at once all fired');
	cmp_ok(value("SELECT extract(epoch FROM max(executed_at) - '$at') FROM outreach.lead_timers WHERE lead_id ~ '^n70_'"), '<', 30,
		'N70: none waited for another minute');
}

{
	# N71: a sequence counts what a rollback forgets
	value(q{
		CREATE SEQUENCE public.tries;
		GRANT USAGE ON SEQUENCE public.tries TO outreach_functions;
		CREATE FUNCTION public.poison(text, text, jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.tries'); RAISE 'poison'; END $$;
		SELECT outreach.register_timer_function('poison', 'public.poison(text,text,jsonb)')});
	lead('lead_71', '+12125550071');
	set('lead_71', 'T', "'2043-01-01'", 'NULL', q{'{"call": "poison"}'});
	fire_at("2043-01-01 0$_:00") for 0 .. 9;
	is(timers('lead_71', "concat_ws(' ', attempts, max_attempts, due_at IS NULL, executed_at IS NULL)"), '3 3 t t', 'N71: as many attempts as it may have');
	is(value("SELECT last_value FROM public.tries"), 3, 'N71: and that is how often it was tried');
	is(value("SELECT count(*) FROM outreach.timers_failed WHERE lead_id = 'lead_71'"), 1, 'N71: listed');
	is(events('lead_71'), 'lead.created timer.failed', 'N71: with its event');
}

{
	# N72: the process ends before the time
	value(many('n72', 10, "now() + interval '4 seconds'"));
	$node->stop('immediate');
	$node->start;
	is(value("SELECT count(*) FROM outreach.timers_ahead WHERE lead_id ~ '^n72_'") + value("SELECT count(*) FROM outreach.lead_timers WHERE lead_id ~ '^n72_'
		AND executed_at IS NOT NULL"),
		10, 'N72: all are there after a crash');
	wait_for_all('n72');
	is(not_fired_once('n72'), '', 'N72: each fired once, when its time had come');
}

is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
alive($node, 'at the end');

done_testing();
