# Partitions of events are made, filled and dropped without a lock that a reader can
# hold up: an open transaction of one tenant stops neither the upkeep nor, by way of
# it, anybody else.  What is held here is held until the test lets it go.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Test::More;

my $node = new_cluster(conf => "outreach.max_workers = 0\n");
create_extension($node);
sub value { my ($sql, %opt) = @_; return sql($node, $sql, %opt); }

value(<<'SQL');
SELECT outreach.create_tenant('team_a', 'A'), outreach.create_tenant('team_b', 'B');
SELECT outreach.grant_tenant('team_a', 'test_app'), outreach.grant_tenant('team_b', 'test_app');
SELECT outreach.create_endpoint('team_b', '/w/b', 'generic', 'none');
SELECT FROM outreach.create_lead('team_a', 'lead_1');
SQL
my $n = 0;

# What tenant b does meanwhile; a session that waits for what is held here never ends.
sub others_go_on
{
	my ($name) = @_;
	$n++;
	is(value("SELECT created FROM outreach.create_lead('team_b', 'lead_$n')", user => 'test_app'), 't', "$name: another tenant's lead is made");
	is(ingest($node, signed('none', path => '/w/b', body => qq({"event":"message.received","id":"m$n","from":"+1212555010$n","body":"hi"})))->{outcome},
		'accepted', "$name: another tenant's webhook is taken in");
	is(value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 0, "$name: nobody waits");
}

sub last_partition { return value("SELECT max(relname) FROM pg_class WHERE relispartition AND relname ~ '^events_[0-9_]+\$'"); }
sub drop_last { my $name = last_partition(); value("DROP TABLE outreach.$name"); return $name; }

# a reader that stays
{
	my $missing = drop_last();
	my $reader = $node->background_psql('postgres', on_error_stop => 0);
	$reader->query_safe("BEGIN; SELECT outreach.enter_tenant('team_a'); SELECT count(*) FROM outreach.lead_history;");
	is(value('SELECT outreach.make_partitions()', user => 'test_scheduler'), 1, 'a reader: a partition is made');
	is(last_partition(), $missing, 'a reader: the one that was missing');
	others_go_on('a reader');

	# what takes a lock that readers mind gives up, and is not queued for
	is(sql_error($node, "SELECT * FROM outreach.drop_partitions(now())"), '', 'a reader: nothing to drop is no lock');
	value("CREATE TABLE outreach.events_2001_01 (LIKE outreach.events); ALTER TABLE outreach.events_2001_01 OWNER TO outreach_owner;"
		. " ALTER TABLE outreach.events ATTACH PARTITION outreach.events_2001_01 FOR VALUES FROM ('2001-01-01 00:00Z') TO ('2001-02-01 00:00Z')");
	is(sql_error($node, "SELECT * FROM outreach.drop_partitions('2001-02-02')", user => 'test_admin'), '55P03', 'a reader: old partitions stay');
	others_go_on('a reader, after drop_partitions');
	$reader->query_safe('COMMIT');
	is(sql_error($node, "BEGIN; SELECT * FROM outreach.drop_partitions('2001-02-02')", user => 'test_admin'), '25001', 'not in a transaction block');
	is(sql_error($node, "SELECT * FROM outreach.drop_partitions('2101-02-02')", user => 'test_admin'), '22023', 'not what is to come');
	is(value("SELECT * FROM outreach.drop_partitions('2001-01-31 23:59')", user => 'test_admin'), '', 'a partition that is not wholly before stays');
	is(value("SELECT * FROM outreach.drop_partitions('2001-02-01 00:00Z')", user => 'test_admin'), 'events_2001_01|', 'without readers it is dropped');
	is(sql_error($node, "SELECT * FROM outreach.drop_partitions('2001-02-02')", user => 'test_scheduler'), '42501', 'by administrators alone');
	$reader->quit;
}

# retention by the upkeep
{
	my $old = sub { value("CREATE TABLE outreach.events_2001_01 (LIKE outreach.events); ALTER TABLE outreach.events_2001_01 OWNER TO outreach_owner;"
		. " ALTER TABLE outreach.events ATTACH PARTITION outreach.events_2001_01 FOR VALUES FROM ('2001-01-01 00:00Z') TO ('2001-02-01 00:00Z')") };
	$old->();
	is(value('SELECT * FROM outreach.upkeep()'), '0|0|0||f', 'events are kept for ever');
	value("ALTER SYSTEM SET outreach.keep_events = '730d'; SELECT pg_reload_conf()");
	wait_until(sub { value('SHOW outreach.keep_events') eq '730d' }, 'the setting');
	my $reader = $node->background_psql('postgres', on_error_stop => 0);
	$reader->query_safe("BEGIN; SELECT outreach.enter_tenant('team_a'); SELECT count(*) FROM outreach.lead_history;");
	is(value('SELECT * FROM outreach.upkeep()'), '0|0|0|outreach.events is in use: nothing was dropped|f',
		'unless a setting says how long; a reader keeps them');
	others_go_on('a reader, after the upkeep');
	$reader->query_safe('COMMIT');
	$reader->quit;
	is(value('BEGIN; SELECT * FROM outreach.upkeep(); COMMIT'), '0|0|0||f', 'nothing is dropped in a transaction block');
	is(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), '0|0|0||f', 'nor by who may hold the lock for as long as a statement lasts');
	is(value('SELECT * FROM outreach.upkeep()'), '0|0|1||f', 'then old ones are dropped');
	is(value('SELECT * FROM outreach.upkeep()'), '0|0|0||f', 'once');
	$old->();
	value('ALTER SYSTEM SET outreach.max_workers = 2');
	$node->restart;
	wait_until(sub { value("SELECT to_regclass('outreach.events_2001_01') IS NULL") eq 't' }, 'a worker to drop it');
	pass('workers do that by themselves');
	value('ALTER SYSTEM RESET outreach.keep_events; ALTER SYSTEM SET outreach.max_workers = 0');
	$node->restart;
}

# what the months led to is known after they have gone
{
	my $month = sub {
		my ($m) = @_;
		value(sprintf("CREATE TABLE outreach.events_2002_%02d (LIKE outreach.events INCLUDING INDEXES);
			ALTER TABLE outreach.events_2002_%02d OWNER TO outreach_owner;"
			. " ALTER TABLE outreach.events ATTACH PARTITION outreach.events_2002_%02d FOR VALUES FROM ('2002-%02d-01 00:00Z') TO ('2002-%02d-01 00:00Z')", $m,
				$m, $m, $m, $m + 1));
	};
	my $at = sub { my ($day, $sql) = @_; value("SET outreach.clock = '2002-$day 12:00Z'; $sql"); };
	my $drop = sub { my ($day) = @_; return value("SELECT string_agg(d::text, ' ') FROM outreach.drop_partitions('2002-$day 00:00Z') d",
		user => 'test_admin'); };
	my $known = sub { return value("SELECT string_agg(concat_ws(' ', lead_id, lead_version, state), ', ' ORDER BY lead_id) FROM outreach.lead_states_as_of") };
	my $problems = sub { return value("SELECT string_agg(DISTINCT lead_id || ': ' || problem, ', ') FROM outreach.verify()") };
	my $to = sub { return "SELECT FROM outreach.transition_lead('team_b', '$_[0]', '$_[1]', 'because');" };
	my $note = sub { return "SELECT FROM outreach.record_event('team_b', '$_[0]', 'contact.updated', '{\"a\": 1}');" };

	$month->($_) for 1 .. 3;
	$at->('01-10', join '', map { "SELECT FROM outreach.create_lead('team_b', '$_');" } qw(works still back gone));
	$at->('01-11', $to->('works', 'touched') . $to->('back', 'touched') . $to->('gone', 'touched'));
	$at->('02-10', $to->('works', 'responded') . $note->('works') . $to->('back', 'responded'));
	# a clock that goes back
	$at->('01-20', $note->('back'));
	# a month that nobody has made
	$at->('04-10', $to->('works', 'soft_interest') . "SELECT FROM outreach.create_lead('team_b', 'stray');");
	$at->('03-10', $note->('works') . $note->('stray'));
	is($problems->(), '', 'months: states follow from events');
	my $details = value('SELECT count(*) FROM outreach.event_details');

	is($drop->('02-01'), '(events_2002_01,) (event_details_default,4) (timer_history_default,4)', 'months: the first goes, with timers of that time');
	is($known->(), 'back 4 responded, gone 2 touched, still 1 new, works 2 touched', 'what it led to is known, and what of later months is behind that');
	is($problems->(), '', 'states follow from that');
	is($drop->('03-01'), '(events_2002_02,) (event_details_default,3)', 'the second goes');
	is($known->(), 'back 4 responded, gone 2 touched, still 1 new, works 4 responded', 'and leads on from there');
	is($problems->(), '', 'states follow from that');
	is($drop->('04-01'), '(events_2002_03,) (event_details_default,2)', 'the third goes, before events that have no month');
	is($known->(), 'back 4 responded, gone 2 touched, still 1 new, stray 2 new, works 6 soft_interest', 'which count where they are earlier ones of a lead');
	is($problems->(), '', 'states follow from that');
	is($drop->('05-01'), '(events_default,2) (event_details_default,1)', 'those go');
	is($known->(), 'back 4 responded, gone 2 touched, still 1 new, stray 2 new, works 6 soft_interest', 'which changes nothing');
	is($problems->(), '', 'states follow from that');
	is(value('SELECT count(*) FROM outreach.event_details'), $details - 10, 'what was said with them is gone');

	value($note->('still') . $to->('still', 'touched') . $note->('back') . $to->('works', 'email_captured'));
	is($problems->(), '', 'what comes now leads on');
	for my $tampered (
		[ "UPDATE outreach.leads SET state = 'suppressed' WHERE lead_id = 'gone'", 'gone: its state is not the one its events lead to' ],
		[ "UPDATE outreach.leads SET state = 'new' WHERE lead_id = 'still'", 'still: its state is not the one its events lead to' ],
		[ "UPDATE outreach.leads SET version = version + 1 WHERE lead_id = 'gone'", 'gone: the numbers of its events have a gap or a repetition' ],
		[ "DELETE FROM outreach.events WHERE lead_id = 'still' AND lead_version = 2", 'still: the numbers of its events have a gap or a repetition' ],
		[ "UPDATE outreach.events SET previous_state = 'responded' WHERE lead_id = 'still' AND new_state = 'touched'",
			'still: an event does not begin where the one before ended' ],
		[ "UPDATE outreach.lead_states_as_of SET state = 'touched' WHERE lead_id = 'still'", 'still: an event does not begin where the one before ended' ],
		[ "DELETE FROM outreach.lead_states_as_of WHERE lead_id = 'gone'",
			'gone: its state is not the one its events lead to, gone: the numbers of its events have a gap or a repetition' ])
	{
		my ($sql, $problem) = @$tampered;
		is(value("BEGIN; SET LOCAL session_replication_role = replica; $sql; SET LOCAL session_replication_role = origin;"
			. " SELECT string_agg(DISTINCT lead_id || ': ' || problem, ', ') FROM outreach.verify(); ROLLBACK"), $problem, $sql);
	}
	is(value("SELECT deleted FROM outreach.delete_lead('team_b', 'gone', 'kim')"), 't', 'a lead is erased');
	is(value("SELECT count(*) FROM outreach.lead_states_as_of WHERE lead_id = 'gone'"), 0, 'and what was known of its past');
}

# what was given up and goes with its month is told of
{
	my $clock = "SET outreach.clock = '2005-07-10 12:00Z';";
	my $give_up = sub {
		my ($id) = @_;
		is(value(qq($clock SELECT outcome FROM outreach.ingest_webhook('{"path": "/w/b", "method": "POST", "body": "$id"}'))), 'error',
			'a webhook is given up');
		value("INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action, action_payload, cancel_on_reply,
			max_attempts, created_at, updated_at) VALUES ('team_b', outreach_impl.first_id('2005-07-10 12:00Z'), 'lead_1', '$id', '2005-07-10', NULL, 'test',
			'{}', false, 3, '2005-07-10', '2005-07-10')");
	};
	my $told = sub {
		my @told = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /WARNING: +(retention .*)/g;
		return join "\n", @told;
	};
	my $drop = sub { return value("SELECT string_agg(partition, ' ' ORDER BY partition) FROM outreach.drop_partitions('2005-08-01 00:00Z')",
		user => 'test_admin') };

	$give_up->('unplaced');
	is($drop->(), 'events_default inbound_history_default timer_history_default', 'given up: removed where they have no month');
	my $first = "retention removes 1 rows of outreach.timer_history_default that still wait for a person\n"
	  . "retention removes 1 rows of outreach.inbound_history_default that still wait for a person";
	is($told->(), $first, 'and told of');
	cmp_ok(value("$clock SELECT outreach.make_partitions(0)"), '>=', 5, 'a month is made');
	$give_up->('placed');
	like($drop->(), qr/^event_details_2005_07 events_2005_07 inbound_history_2005_07 .*timer_history_2005_07$/, 'given up: dropped with their month');
	is($told->(), $first =~ s/default/2005_07/gr =~ s/^/$first\n/r, 'and told of');
	is($drop->(), '', 'nothing is left');
}

# A month that is too large for one call of the upkeep is looked at in parts: what they are
# folded into is what the whole of it is, whatever is in between.
{
	my $known = sub { return value("@_ SELECT string_agg(concat_ws(' ', tenant_id, lead_id, lead_version, state), ', ' ORDER BY tenant_id, lead_id)"
		. ' FROM outreach.lead_states_as_of') };

	value("SELECT count(*) FROM (SELECT outreach.create_lead('team_a', 'many_' || i) FROM generate_series(1, 300) i) l");
	value("CREATE TABLE outreach.events_2006_07 (LIKE outreach.events INCLUDING INDEXES); ALTER TABLE outreach.events_2006_07 OWNER TO outreach_owner;
		ALTER TABLE outreach.events ATTACH PARTITION outreach.events_2006_07 FOR VALUES FROM ('2006-07-01 00:00Z') TO ('2006-08-01 00:00Z');
		INSERT INTO outreach.events (tenant_id, event_id, occurred_at, event_type, source, lead_id, lead_version, previous_state, new_state, payload)
		SELECT 'team_a', gen_random_uuid(), '2006-07-10', 'contact.updated', 'sql', 'many_' || 1 + i % 300, 2 + i / 300,
			   CASE WHEN i % 7 = 0 THEN 'new'::outreach.lead_state END, CASE WHEN i % 7 = 0 THEN 'touched'::outreach.lead_state END,
			   jsonb_build_object('filler', repeat(md5(i::text), 8))
		  FROM generate_series(0, 14999) i ORDER BY i / 2000, random()");
	my $blocks = value("SELECT pg_relation_size('outreach.events_2006_07') / 8192");
	cmp_ok($blocks, '>', 500, 'a large month');
	my $whole = $known->("BEGIN; SELECT outreach_impl.fold_events('outreach.events_2006_07', 'infinity');") =~ s/^\n//r;
	value("ALTER SYSTEM SET outreach.keep_events = '730d'; SELECT pg_reload_conf()");
	wait_until(sub { value('SHOW outreach.keep_events') eq '730d' }, 'the setting');
	my $calls = 0;
	while (value('SELECT more FROM outreach.upkeep()') eq 't' && ++$calls < 20)
	{
		is(value('SELECT partition || \' \' || blocks FROM outreach_impl.events_folded'), 'events_2006_07 ' . 200 * $calls, "a large month: part $calls");
		is(value("SELECT to_regclass('outreach.events_2006_07') IS NOT NULL"), 't', 'it is there until the last');
	}
	is($calls, int(($blocks - 1) / 200), "a large month: $calls calls before the one that drops it");
	is(value("SELECT to_regclass('outreach.events_2006_07') IS NULL"), 't', 'then it is dropped');
	is(value('SELECT count(*) FROM outreach_impl.events_folded'), 0, 'and forgotten');
	is($known->(), $whole, 'what it led to is what the whole of it leads to');
	value("SET session_replication_role = replica; UPDATE outreach.leads SET version = 51, state = 'touched' WHERE lead_id ~ '^many_'");
	is(value("SELECT count(*) FROM outreach.verify() WHERE lead_id ~ '^many_'"), 0, 'verify() goes on from there');
	value('ALTER SYSTEM RESET outreach.keep_events; SELECT pg_reload_conf()');
	wait_until(sub { value('SHOW outreach.keep_events') eq '0' }, 'the setting');
}

# somebody is making partitions, and does not end
{
	drop_last();
	my $maker = $node->background_psql('postgres', on_error_stop => 0);
	$maker->query_safe('BEGIN; SELECT outreach.make_partitions();');
	others_go_on('a maker');
	is(sql_error($node, 'SELECT outreach.make_partitions()'), '55P03', 'a maker: a second one gives up');
	like(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), qr/^0\|0\|0\|outreach\.events is locked/, 'a maker: upkeep says so');
	is(value("SELECT outreach.create_tenant('team_c', 'C')", user => 'test_admin'), 'team_c', 'a maker: a tenant is made');
	others_go_on('a maker, after others');
	$maker->query_safe('ROLLBACK');
	is(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), '1|0|0||f', 'and when it has gone, upkeep makes it');
	$maker->quit;
}

# somebody locks everything
{
	my $name = drop_last();
	my $locker = $node->background_psql('postgres', on_error_stop => 0);
	$locker->query_safe('BEGIN; LOCK TABLE outreach.events IN ACCESS EXCLUSIVE MODE;');
	like(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), qr/^0\|0\|0\|outreach\.events is locked/, 'a lock on everything: upkeep gives up');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
}

# events that came before their partition
{
	my $month = value("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 months', 'YYYY-MM-01')");
	value("SET outreach.clock = '$month 00:00:00Z'; SELECT FROM outreach.create_lead('team_b', 'early')");
	value("SET outreach.clock = '$month 00:00:01Z'; SELECT FROM outreach.transition_lead('team_b', 'early', 'touched')");
	is(value("SELECT count(*) FROM outreach.events_default"), 2, 'without a partition: they are kept');
	is(value("SELECT string_agg(lead_version::text, ' ' ORDER BY lead_version) FROM outreach.lead_history WHERE lead_id = 'early'",
			user => 'test_app', tenant => 'team_b'), '1 2', 'without a partition: they are in the history');
	is(value("SELECT count(*) FROM outreach.events_default", user => 'test_app', tenant => 'team_a'), 0, 'without a partition: of that tenant alone');
	is(value('SELECT * FROM outreach.verify()'), '', 'without a partition: states follow from them');
	my $locker = $node->background_psql('postgres', on_error_stop => 0);
	$locker->query_safe('BEGIN; LOCK TABLE outreach.events_default IN SHARE MODE;');
	like(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), qr/^1\|0\|0\|outreach\.events_default is locked/,
		'the month is made, and its events wait for a lock');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	is(value("SET outreach.clock = '$month 00:00:02Z'; SELECT new_state FROM outreach.transition_lead('team_b', 'early', 'responded')"), 'responded',
		'what comes now is in its month');
	is(value("SELECT count(*) FROM outreach.events_default"), 2, 'and does not wait');
	is(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), '0|2|0||f', 'they are moved');
	is(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), '0|0|0||f', 'once');
	is(value("SELECT count(*) FROM outreach.events WHERE lead_id = 'early'"), 3, 'into their month');
	is(value('SELECT * FROM outreach.verify()'), '', 'and nothing is lost');
	value("SET outreach.clock = '2003-03-03'; SELECT FROM outreach.create_lead('team_b', 'ancient')");
	is(value("SELECT * FROM outreach.drop_partitions('2004-01-01')", user => 'test_admin'), 'events_default|1', 'old ones without a partition are removed');
}

# A session that remembers which months there are notices what changes.
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe("SELECT FROM outreach.record_event('team_a', 'lead_1', 'contact.updated')");
	my $this = value("SELECT 'events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')");
	value("DROP TABLE outreach.$this");
	$session->query_safe("SELECT FROM outreach.record_event('team_a', 'lead_1', 'contact.updated')");
	is(value('SELECT count(*) FROM outreach.events_default'), 1, 'a month that goes away is noticed');
	is(value('SELECT * FROM outreach.upkeep()', user => 'test_scheduler'), '1|1|0||f', 'and made again');
	$session->query_safe("SELECT FROM outreach.record_event('team_a', 'lead_1', 'contact.updated')");
	is(value("SELECT count(*) FROM outreach.$this WHERE lead_id = 'lead_1'"), 2, 'and noticed, too');
	$session->quit;
}

is(value('SELECT 1'), 1, 'at the end');
done_testing();
