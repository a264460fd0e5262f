package Sends;

# Many sends through a provider that misbehaves, while the processes that send are
# killed, people opt out, and sending is stopped and resumed; and the proof that
# every message was accepted at most once and came to an end.
#
#	use lib 'test/support', 'test/torture';
#	my $node = sending_cluster(conf => sends_conf());
#	… sending_database(), sending_callbacks() …
#	sends_profiles($node, 'postgres');
#	my $figures = torture($node, 'postgres', $provider, sends => 2000);
#
# sends_conf()			settings of the server that the proof needs
# sends_provider()		a provider that calls back until it is heard
# sends_profiles($node, $db, name => value, …)
#		profiles of the tenant's own, with short times and without the circuit
#		breaker and the stop of sick numbers, which would only slow it down;
#		columns may be set, as SQL
# kill_process($node, $db, $victim, $pid)	worker (of the pid, else of the database),
#		launcher or postmaster; waits until the server is back
# torture($node, $db, $provider, sends =>, pause => )
#		asks for so many messages to leads of sending_database(); a process is
#		killed every pause seconds (1) on average. Adds assertions, returns figures.
# expect_sends($node, $db, $provider, $what)	these assertions alone

use strict;
use warnings;

use Exporter 'import';
use OutreachTest;
use POSIX ();
use Sending;
use Test::More ();
use TestProvider;
use Time::HiRes qw(sleep time);
use Timers qw(worker launcher log_since);

our @EXPORT = qw(sends_conf sends_provider sends_profiles kill_process torture expect_sends);

use constant { BATCH => 40, NUMBERS => 20, BACKLOG => 2000 };

# A twentieth of all requests for each; half of the rest is answered late.
my %faults = map { $_ => 0.05 } qw(lose_answer reset reset_before close_before hang hang_before dribble
  slow_accept:300 late_accept:300 429 500_after 503_before garbage wrong_length:20 delay_idle_close
  reset_reused endless slow:200);
my %callbacks = (
	'' => 4, 'sent@50,delivered@300' => 3, 'delivered@100,sent@200' => 1, 'delivered@early' => 1,
	'failed:30003@200' => 0.5, 'delivered*3@100' => 0.5, 'sent@3000' => 0.5);

sub sends_conf { return "track_commit_timestamp = on\nmax_worker_processes = 16\n"; }

# While the server is down its callbacks are refused.
sub sends_provider
{
	return TestProvider->start(config => {
		twilio_token => 'token', signalhouse_signing => 'whsec',
		callback_attempts => 1000, callback_retry_ms => 200 });
}

sub sends_profiles
{
	my ($node, $db, %set) = @_;
	%set = (
		settle => "'2 seconds'", connect_timeout_ms => 1000, timeout_ms => 2000,
		retry_delays => "'{300 ms,600 ms,1 second}'", max_in_flight => 300, breaker_failures => 1000000,
		sick_failures => 1000000, lookup => q(lookup || '{"lag": "1 second"}'), %set);
	my $set = join ', ', map { "$_ = $set{$_}" } sort keys %set;
	sql($node, qq{
		CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*';
		UPDATE own SET tenant_id = 'team_a', $set;
		DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_a';
		INSERT INTO outreach.provider_profiles SELECT * FROM own}, db => $db);
}

# ---------------------------------------------------------------- killing

sub back
{
	my ($node, $db) = @_;
	wait_until(sub { ($node->psql($db, 'SELECT 1', timeout => 10))[0] == 0 }, 'the server to be back');
}

sub kill_process
{
	my ($node, $db, $victim, $pid) = @_;
	if ($victim eq 'postmaster')
	{
		my @others = backend_pids($node, 'true');
		$node->kill9;
		wait_until(sub { !grep { kill(0, $_) } @others }, 'its children to end');
		$node->start;
	}
	else
	{
		$pid //= $victim eq 'worker' ? worker($node, $db) : wait_until(sub { launcher($node) }, 'the launcher');
		return 0 if $pid eq '';
		kill9($pid);
	}
	back($node, $db);
	return 1;
}

# ---------------------------------------------------------------- what goes on meanwhile

# Runs a loop in a process of its own until it returns false or is told to end
sub in_background
{
	my ($loop) = @_;
	my $parent = $$;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	my $running = 1;
	local $SIG{TERM} = sub { $running = 0 };
	srand;
	1 while $running && getppid() == $parent && eval { $loop->() } // 1;
	POSIX::_exit(0);
}

sub try
{
	my ($node, $db, $sql) = @_;
	my ($rc, $out) = eval { $node->psql($db, $sql, timeout => 30) };
	return defined $rc && $rc == 0 ? $out : undef;
}

# Asks for the messages, batch by batch, each until it is there: no two texts to a
# phone are alike.
sub feed
{
	my ($node, $db, $sends, $leads) = @_;
	my $n = 0;
	return in_background(
		sub {
			return 0 if $n * BATCH >= $sends;
			my $due = try($node, $db, 'SELECT count(*) FROM outreach.outbound_messages WHERE due_at IS NOT NULL');
			return 1 unless defined $due;
			if ($due > BACKLOG)
			{
				sleep(0.1);
				return 1;
			}
			my $kind = $n % 3;
			my $sender = $kind == 2 ? q(channel => 'webhook', options => '{"account": "generic"}')
			  : sprintf(q(from_phone => '+1212555%d%03d'), 1 + $kind, $n / 3 % NUMBERS);
			my $priority = (qw(normal campaign reply))[ $n / 7 % 3 ];
			my $at = $n % 5 ? 'now()' : q(now() + '2 seconds');
			my $first = $n * BATCH % $leads;
			my $asked = try($node, $db, qq(SELECT count(*) FROM outreach.send_messages('team_a',
				ARRAY(SELECT 'lead_' || (1 + ($first + i) % $leads) FROM generate_series(1, ${\BATCH}) i),
				'Text $n for {{firstName}}', send_keys => ARRAY(SELECT 'torture $n ' || i FROM generate_series(1, ${\BATCH}) i),
				priority => '$priority', send_at => $at, $sender)));
			$n++ if defined $asked;
			return 1;
		});
}

# What people do.  The times of the commits tell what a claim had to see: for stops
# the transactions are noted.
sub interfere
{
	my ($node, $db) = @_;
	return in_background(
		sub {
			my $act = int(rand(10));
			sleep(rand(0.5));
			if ($act < 2)
			{
				try($node, $db, q(SELECT outreach.opt_out('team_a', phone, 'torture') FROM (SELECT phone FROM outreach.outbound_messages
					WHERE due_at IS NOT NULL AND channel = 'sms' ORDER BY random() LIMIT 1) m));
			}
			elsif ($act < 8)
			{
				try($node, $db, q(SELECT outreach.cancel_message('team_a', message_id, 'torture') FROM
					(SELECT message_id FROM outreach.outbound_messages WHERE due_at IS NOT NULL ORDER BY random() LIMIT 1) m));
			}
			else
			{
				my ($scope, $id) = @{ ([ 'all', undef ], [ account => 'twilio' ], [ account => 'generic' ],
					[ number => '+12125551001' ])[ rand(4) ] };
				my $name = defined $id ? "'$id'" : 'NULL';
				my $what = $scope . ':' . ($id // '*');

				try($node, $db, qq(BEGIN; INSERT INTO public.acts VALUES ('stop', '$what', pg_current_xact_id()::xid);
					SELECT outreach.stop_sending('$scope', $name, 'torture'); COMMIT));
				sleep(rand(1));
				wait_until(sub { defined try($node, $db, qq(BEGIN; SELECT outreach.resume_sending('$scope', $name);
					INSERT INTO public.acts VALUES ('resume', '$what', pg_current_xact_id()::xid); COMMIT)) }, 'to resume');
			}
			return 1;
		});
}

sub end_process
{
	my ($pid, $what) = @_;
	kill 'TERM', $pid;
	waitpid($pid, 0);
	Test::More::is($?, 0, "$what ended well");
}

# ---------------------------------------------------------------- the run

sub prepare
{
	my ($node, $db) = @_;
	my $last = NUMBERS - 1;
	sql($node, qq{
		SELECT count(outreach.add_number('team_a', '+1212555' || (1000 * k + i), CASE k WHEN 1 THEN 'signalhouse' ELSE 'twilio' END))
		  FROM generate_series(1, 2) k, generate_series(0, $last) i;
		CREATE TABLE public.acts (act text, what text, xid xid);
		-- what was claimed, and by which transaction
		CREATE TABLE public.claims (message_id uuid, attempt int, fence int, account text, from_phone text, xid xid);
		CREATE FUNCTION public.note_claims() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
		BEGIN
			INSERT INTO public.claims SELECT c.message_id, c.attempts, c.fence, c.account, c.from_phone, pg_current_xact_id()::xid
			  FROM claimed c JOIN before b USING (tenant_id, message_id) WHERE c.status = 'sending' AND b.status <> 'sending';
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER note_claims AFTER UPDATE ON outreach.outbound_queue REFERENCING OLD TABLE AS before NEW TABLE AS claimed
			FOR EACH STATEMENT EXECUTE FUNCTION public.note_claims()}, db => $db);
}

sub torture
{
	my ($node, $db, $provider, %opt) = @_;
	my $leads = sql($node, 'SELECT count(*) FROM outreach.leads', db => $db);
	my $pause = $opt{pause} // 1;
	my $began = time();
	my %kills = map { $_ => 0 } qw(worker launcher postmaster terminated);

	prepare($node, $db);
	$provider->config(faults => \%faults, callbacks => \%callbacks,
		# a twentieth of the phones is refused, and for some the first look-up fails
		rules => [ { to => '*[13579]3', fault => 'blocked' },
			$opt{lookups_fail} ? { lookup => JSON::PP::true(), to => '*77', each => JSON::PP::true(), fault => '503_before,ok' } : () ]);
	my $feeder = feed($node, $db, $opt{sends}, $leads);
	my $people = interfere($node, $db);
	my $fed = 0;
	until ($fed && !grep { !$_ } values %kills)
	{
		my $victim = (qw(worker worker worker worker terminated terminated postmaster launcher))[ rand(8) ];

		sleep(rand(2 * $pause));
		if ($victim eq 'terminated')
		{
			my $pid = eval { worker($node, $db) } or next;
			kill 'TERM', $pid;
			$kills{terminated}++;
		}
		else
		{
			$kills{$victim} += eval { kill_process($node, $db, $victim) } // 0;
		}
		$fed ||= waitpid($feeder, POSIX::WNOHANG()) > 0;
	}
	Test::More::is($?, 0, 'the process that asks for messages ended well') if $fed;
	end_process($people, 'the process that opts out, cancels, stops and resumes');
	$provider->config(faults => {}, rules => []);
	back($node, $db);
	sql($node, q(SELECT outreach.resume_sending(scope, CASE WHEN scope <> 'all' THEN id END) FROM outreach.sending_stops), db => $db);
	my $fed_after = time() - $began;
	quiet($node, $db);
	$provider->quiesce;
	# what a callback may have settled meanwhile
	quiet($node, $db);
	sql($node, 'DROP TRIGGER note_claims ON outreach.outbound_queue', db => $db);

	expect_sends($node, $db, $provider, 'at random');
	expect_torture($node, $db, $opt{sends});
	my $figures = figures($node, $db);
	return sprintf('sends=%d seconds=%d+%d %s %s', $opt{sends}, $fed_after, time() - $began - $fed_after,
		join(' ', map { "$_=$kills{$_}" } sort keys %kills), $figures);
}

# ---------------------------------------------------------------- the proof

sub none
{
	my ($node, $db, $name, $sql) = @_;
	my $n = sql($node, "SELECT count(*) FROM ($sql) q", db => $db);
	Test::More::is($n, 0, $name)
	  or Test::More::diag(sql($node, "SELECT row_to_json(q) FROM ($sql) q LIMIT 5", db => $db));
}

sub expect_sends
{
	my ($node, $db, $provider, $what) = @_;
	$provider->load($node, db => $db);
	# what the provider has of each message, and was asked for
	sql($node, q{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS public.seen, public.asked;
		CREATE TABLE public.seen AS SELECT split_part(coalesce(key, idempotency_key), '.', 1)::uuid AS message_id,
			api, count(*) AS n, min(id) AS id FROM provider_accepted GROUP BY 1, 2;
		CREATE TABLE public.asked AS SELECT split_part(key, '.', 1)::uuid AS message_id, count(*) AS n
			FROM provider_requests WHERE method = 'POST' GROUP BY 1;
		ANALYZE public.seen, public.asked}, db => $db);
	my $m = 'outreach.outbound_messages m';
	my $d = 'outreach.message_deliveries d';
	my @rule = (
		[ 'no message was accepted twice', 'SELECT * FROM public.seen WHERE n <> 1' ],
		[ 'nothing was accepted that nobody asked for',
			"SELECT s.* FROM public.seen s LEFT JOIN $m USING (message_id) WHERE m.message_id IS NULL" ],
		[ 'what was accepted is known to be, or to be uncertain',
			"SELECT s.*, m.status, m.last_error FROM public.seen s JOIN $m USING (message_id)
			 WHERE m.status <> 'uncertain' AND m.sent_at IS NULL" ],
		[ 'what is known to be accepted was',
			"SELECT m.message_id, m.account, m.status, m.last_error FROM $m LEFT JOIN public.seen s USING (message_id)
			 WHERE s.message_id IS NULL AND (m.sent_at IS NOT NULL OR m.status IN ('sent', 'undelivered', 'delivered', 'read'))" ],
		[ "the provider's id is the message's",
			"SELECT m.message_id, m.status, m.provider_message_id, s.id FROM $m JOIN public.seen s USING (message_id)
			 WHERE m.provider_message_id IS DISTINCT FROM s.id AND m.sent_at IS NOT NULL" ],
		[ 'every message has come to an end, or to a person',
			"SELECT m.message_id, m.account, m.status, m.due_at, m.held_by, m.owner FROM $m
			 WHERE m.status IN ('pending', 'deferred', 'review', 'sending', 'unknown') OR m.due_at IS NOT NULL OR m.owner IS NOT NULL" ],
		[ 'what has ended is no longer ambiguous, and what is uncertain is',
			"SELECT m.message_id, m.status, m.ambiguous_since FROM $m
			 WHERE (m.status = 'uncertain') <> (m.ambiguous_since IS NOT NULL)" ],
		[ 'every request has its delivery', "SELECT a.*, d.n AS deliveries FROM public.asked a
			 LEFT JOIN (SELECT message_id, count(*) AS n FROM $d GROUP BY 1) d USING (message_id) WHERE a.n > coalesce(d.n, 0)" ],
		[ 'every delivery has an outcome', "SELECT * FROM $d WHERE outcome IS NULL OR finished_at IS NULL" ],
		[ 'what was accepted has a delivery that says so, or does not know',
			"SELECT s.* FROM public.seen s WHERE NOT EXISTS
			 (SELECT FROM $d WHERE d.message_id = s.message_id AND d.outcome IN ('sent', 'unknown'))" ],
		[ 'deliveries that say so are right', "SELECT d.* FROM $d LEFT JOIN public.seen s USING (message_id)
			 WHERE d.outcome = 'sent' AND s.message_id IS NULL" ],
		[ 'nothing was made that an idempotency key stood for otherwise', q(SELECT * FROM provider_requests WHERE answer = '422' AND fault IS NULL) ],
		[ 'attempts are counted and fences rise',
			"SELECT m.message_id, m.attempts, m.fence, d.* FROM $m LEFT JOIN (SELECT message_id, count(*) AS n, max(attempt) AS last,
			 max(fence) AS fence, bool_or(fence <= before) AS falls FROM (SELECT message_id, attempt, fence,
			 lag(fence) OVER (PARTITION BY message_id ORDER BY attempt) AS before FROM $d) d GROUP BY 1) d USING (message_id)
			 WHERE m.attempts <> coalesce(d.n, 0) OR m.attempts <> coalesce(d.last, 0) OR m.fence < coalesce(d.fence, 0) OR d.falls" ],
		[ 'no more tries than the profile has, but for dead workers',
			"SELECT m.message_id, m.account, m.failures, d.n FROM $m JOIN (SELECT message_id, count(*) AS n FROM $d
			 WHERE error IS DISTINCT FROM 'its worker ended' AND outcome NOT IN ('later', 'midnight_pacific') GROUP BY 1) d USING (message_id)
			 JOIN outreach.sending_accounts a USING (tenant_id, account) JOIN outreach.provider_profiles p USING (tenant_id, profile)
			 WHERE d.n > cardinality(p.retry_delays) + 1" ],
		[ 'each that was sent has one event of it',
			"SELECT m.message_id, m.status, e.n FROM $m FULL JOIN (SELECT (payload ->> 'message_id')::uuid AS message_id, count(*) AS n
			 FROM outreach.events WHERE event_type = 'message.outbound.sent' GROUP BY 1) e USING (message_id)
			 WHERE coalesce(e.n, 0) <> (m.sent_at IS NOT NULL)::int" ],
		[ 'no callback is lost', "SELECT c.*, m.status AS stands FROM provider_callbacks c
			 LEFT JOIN $m ON m.message_id = split_part(c.key, '.', 1)::uuid
			 WHERE c.outcome <> 'answered' OR c.status IN ('sent', 'delivered', 'failed') AND m.sent_at IS NULL
				OR c.status = 'delivered' AND m.status NOT IN ('delivered', 'read')" ],
		[ 'no callback waits for a message', 'SELECT * FROM outreach.provider_message_ids WHERE message_id IS NULL' ],
		[ 'state and log agree', 'SELECT * FROM outreach.verify()' ]);
	none($node, $db, "$what: $_->[0]", $_->[1]) for @rule;
	my $log = log_since($node, 0);
	Test::More::unlike($log, qr/PANIC:|TRAP:|signal 11|signal 6/, "$what: no panic, no failed assertion");
	Test::More::unlike($log, qr/deadlock detected/, "$what: no deadlock");
	Test::More::unlike($log, qr/"outreach worker" .* exited with exit code [1-9]/, "$what: no worker ended by an error");
}

# What only the random part has: people who interfere
sub expect_torture
{
	my ($node, $db, $sends) = @_;
	sql($node, q{
		CREATE TABLE public.act AS SELECT act, what, pg_xact_commit_timestamp(xid) AS at FROM public.acts;
		CREATE TABLE public.claim AS SELECT c.*, m.phone, pg_xact_commit_timestamp(c.xid) AS at
			FROM public.claims c JOIN outreach.outbound_messages m USING (message_id);
		CREATE INDEX ON public.claim (at);
		ANALYZE public.act, public.claim}, db => $db);
	Test::More::is(sql($node, q(SELECT count(*) FROM outreach.outbound_messages WHERE send_key LIKE 'torture %'), db => $db),
		BATCH * POSIX::ceil($sends / BATCH), 'every message is there, once');
	none($node, $db, 'claims have their deliveries', q{SELECT * FROM public.claims c FULL JOIN
		(SELECT d.* FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (message_id)
		  WHERE m.send_key LIKE 'torture %') d USING (message_id, attempt, fence) WHERE c.xid IS NULL OR d.message_id IS NULL});
	none($node, $db, 'nothing is claimed after an opt-out of its phone has committed',
		q{SELECT c.*, h.at AS opted_out FROM public.claim c JOIN (SELECT address AS phone, min(pg_xact_commit_timestamp(xmin)) AS at
		  FROM outreach.consent_history WHERE consent = 'opted_out' GROUP BY 1) h USING (phone) WHERE c.at > h.at});
	none($node, $db, 'nothing is claimed while it is stopped',
		q{SELECT c.*, s.what, s.at AS stopped, s.until FROM (SELECT what, act, at, lead(at) OVER (PARTITION BY what ORDER BY at) AS until
		  FROM public.act WHERE act IN ('stop', 'resume')) s JOIN public.claim c ON c.at > s.at AND c.at < s.until
		  WHERE s.act = 'stop' AND s.what IN ('all:*', 'account:' || c.account, 'number:' || coalesce(c.from_phone, ''))});
}

sub figures
{
	my ($node, $db) = @_;
	return sql($node, q{
		SELECT 'statuses: ' || (SELECT string_agg(account || ' ' || status || ' ' || n, ', ' ORDER BY account, status)
			FROM (SELECT account, status, count(*) AS n FROM outreach.outbound_messages GROUP BY 1, 2) s)
		|| '; outcomes: ' || (SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome)
			FROM (SELECT outcome, count(*) AS n FROM outreach.message_deliveries GROUP BY 1) d)
		|| '; dead workers'' deliveries ' || (SELECT count(*) FROM outreach.message_deliveries WHERE error = 'its worker ended')
		|| '; accepted ' || (SELECT count(*) FROM provider_accepted) || ', requests ' || (SELECT sum(n) FROM public.asked)
		|| ', look-ups ' || (SELECT count(*) FROM provider_requests WHERE method = 'GET')
		|| ', callbacks ' || (SELECT count(*) FROM provider_callbacks)
		|| '; opted out ' || (SELECT count(*) FROM outreach.phones WHERE consent = 'opted_out')
		|| ', stops and resumes ' || (SELECT count(*) FROM public.acts)
		|| '; faults: ' || (SELECT string_agg(fault || ' ' || n, ', ' ORDER BY fault)
			FROM (SELECT coalesce(fault, 'none') AS fault, count(*) AS n FROM provider_requests WHERE method = 'POST' GROUP BY 1) f)}, db => $db);
}

1;
