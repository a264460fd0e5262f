package Stops;

# People with several phones and leads who say STOP, from any of them, while what was
# asked for is sent as fast as it can be, and while their addresses and leads become
# other people's; and the proof that nothing of a person was claimed once they had.
#
#	use lib 'test/support', 'test/torture';
#	my $node = sending_cluster(conf => stops_conf());
#	… sending_database() …
#	note('figures ', stop_people($node, 'postgres', $provider, stops => 1000));
#
# stops_conf()			settings of the server that the proof needs
# stop_people($node, $db, $provider, stops => )
#		so many STOPs of half as many people; adds assertions, returns figures
#
# What was when is known by the times of commits.  Triggers note the transaction of each
# claim, of each change of whose an address or a lead is, and of each contact that has
# opted out.  A claim shares locks with all of these, so their commits have an order; a
# claim whose commit is behind that of an opt-out has not seen it.

use strict;
use warnings;

use Exporter 'import';
use IPC::Open2 qw(open2);
use OutreachTest;
use POSIX ();
use Sending;
use Sends qw(sends_profiles);
use Test::More ();
use Time::HiRes qw(sleep time);
use Timers qw(log_since);

our @EXPORT = qw(stops_conf stop_people);

# People are made, written to, and stopped, so many at a time by each of the sessions
use constant { GROUP => 20, STOPS_OF_GROUP => 40, STOPPERS => 6, MOVERS => 3, BACKLOG => 600 };

# Five kinds of people: how many phones they have, and the phones of their leads
my @phones = (2, 2, 3, 2, 3);
my @leads = ([ 1, 2 ], [1], [ 1, 2 ], [ 1, 1 ], [ 1, 2, 3 ]);

# Beside those of the suite: a STOP that waits for long is deferred.
sub stops_conf { return "track_commit_timestamp = on\nmax_worker_processes = 16\noutreach.lock_wait = '300ms'\nlog_min_error_statement = panic\n"; }

sub phone_of { my ($person, $n) = @_; return sprintf '+1%d%07d', (415, 212, 312, 646)[ $n - 1 ], 2000000 + $person; }
sub phones_of { my ($person) = @_; return map { phone_of($person, $_) } 1 .. $phones[ $person % 5 ]; }
sub leads_of { my ($person) = @_; return map { "p$person" . (qw(a b c))[$_] } 0 .. $#{ $leads[ $person % 5 ] }; }
sub any { return $_[ rand @_ ]; }

# ---------------------------------------------------------------- sessions

# A psql that stays; answers are rows, and the SQLSTATE of an error
sub connect_to
{
	my ($node, $db) = @_;
	my $self = {};
	$self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c', 'exec "$@" 2>&1', 'sh',
		'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', connstr($node, $db));
	$self->{in}->autoflush(1);
	$self->{errors} = {};
	return $self;
}

sub ask
{
	my ($session, $what, $sql) = @_;
	my (@rows, $error);

	print { $session->{in} } "$sql;\n\\echo end of answer\n";
	while (defined(my $line = readline $session->{out}))
	{
		chomp $line;
		if ($line eq 'end of answer')
		{
			$session->{errors}{"$what $error"}++ if defined $error;
			return { rows => \@rows, error => $error };
		}
		if ($line =~ /(?:ERROR|FATAL|PANIC):\s+(\w{5})$/) { $error = $1 }
		else { push @rows, $line }
	}
	die "the session has ended: @rows";
}

# What has to be done, whoever holds or changes it for a while
sub insist
{
	my ($session, $what, $sql) = @_;
	my $until = time() + 180;
	my $answer;

	for (;;)
	{
		$answer = ask($session, $what, $sql);
		return $answer->{rows} unless defined $answer->{error};
		die "$what: $answer->{error}" if $answer->{error} !~ /^(?:55P03|40001)$/ || time() > $until;
		sleep(rand(0.02));
	}
}

# The errors are kept, for they are part of the figures.
sub leave
{
	my ($session) = @_;
	my %errors = %{ $session->{errors} };

	insist($session, 'note', 'INSERT INTO public.errors VALUES '
		. join(', ', map { "('" . s/ (\w+)$/', '$1/r . "', $errors{$_})" } sort keys %errors)) if %errors;
	close($session->{in});
	waitpid($session->{pid}, 0);
}

# A process with a session: does its work again and again, until that returns false or it
# is told to end
sub in_background
{
	my ($node, $db, $work) = @_;
	my $parent = $$;
	my $pid = fork() // die "fork: $!";
	my $running = 1;

	return $pid if $pid;
	local $SIG{TERM} = sub { $running = 0 };
	eval {
		my $session = connect_to($node, $db);
		srand;
		1 while $running && getppid() == $parent && $work->($session);
		leave($session);
		1;
	} or do { print STDERR "# $@"; POSIX::_exit(1) };
	POSIX::_exit(0);
}

# ---------------------------------------------------------------- what goes on

sub make_people
{
	my ($session, $first, $last) = @_;
	my $people = "generate_series($first, $last) p";
	my $phone = sub { my ($n) = @_; return phone_of(0, $n) =~ s/^(\+1\d{3})(\d+)$/'$1' || ($2 + p)/r };
	my $lead = sub { my ($name, $n) = @_; return "outreach.create_lead('team_a', 'p' || p || '$name', ${\$phone->($n)}, first_name => 'p' || p || '$name')" };

	insist($session, 'make', $_) for
	  "SELECT count(*) FROM $people, LATERAL ${\$lead->('a', 1)} l",
	  "SELECT count(*) FROM $people, LATERAL outreach.add_address('team_a', 'p' || p || 'a', ${\$phone->(2)}) a",
	  "SELECT count(*) FROM $people, LATERAL outreach.add_address('team_a', 'p' || p || 'a', ${\$phone->(3)}) a WHERE p % 5 IN (2, 4)",
	  "SELECT count(*) FROM $people, LATERAL ${\$lead->('b', 2)} l WHERE p % 5 IN (0, 2, 4)",
	  "SELECT count(*) FROM $people, LATERAL ${\$lead->('b', 1)} l WHERE p % 5 = 3",
	  "SELECT count(*) FROM $people, LATERAL ${\$lead->('c', 3)} l WHERE p % 5 = 4";
}

# To leads or phones of people, to be sent at once
sub write_to
{
	my ($session, $text, @people) = @_;
	my $to = rand() < 0.5 ? sprintf(q('{%s}'), join ',', map { leads_of($_) } @people)
	  : sprintf(q(NULL, addresses => '{%s}'), join ',', map { phones_of($_) } @people);
	insist($session, 'write', qq(SELECT count(*) FROM outreach.send_messages('team_a', lead_ids => $to, body => '$text',
		from_phone => '+12125550101', priority => 'normal')));
}

sub webhook
{
	my ($id, $phone) = @_;
	my $said = any('STOP', 'stop', 'Unsubscribe');
	my $body = qq({"event": "message.received", "id": "$id", "from": "$phone", "body": "$said"}) =~ s/"/\\"/gr;
	return qq('{"path": "/w/people", "body": "$body"}'::jsonb);
}

# Says STOP from these phones, in one of the ways there are
sub say_stop
{
	my ($session, $id, @phones) = @_;
	my @ids = map { "$id.$_" } 0 .. $#phones;
	my $way = @phones > 1 ? 'batch' : any('webhook', 'webhook', 'opt_out');
	my $times = $way ne 'opt_out' && rand() < 0.1 ? 2 : 1;
	my $sql;

	$sql = "SELECT '$phones[0]', 'opt_out', '$id', consent, pg_current_xact_id()::xid FROM outreach.opt_out('team_a', '$phones[0]', 'a test')"
	  if $way eq 'opt_out';
	$sql = "SELECT '$phones[0]', 'webhook', '$ids[0]', outcome, pg_current_xact_id()::xid FROM outreach.ingest_webhook(" . webhook($ids[0], $phones[0]) . ')'
	  if $way eq 'webhook';
	$sql = "SELECT ('{" . join(',', @phones) . "}'::text[])[item], 'batch', ('{" . join(',', @ids)
	  . "}'::text[])[item], outcome, pg_current_xact_id()::xid FROM outreach.ingest_webhooks(ARRAY["
	  . join(', ', map { webhook($ids[$_], $phones[$_]) } 0 .. $#phones) . '])'
	  if $way eq 'batch';
	# what a provider sends again, the engine knows
	insist($session, $way, "INSERT INTO public.said $sql") for 1 .. $times;
}

# People are made, are written to, and say STOP, group by group
sub stop_groups
{
	my ($session, $stops) = @_;
	my ($group) = @{ insist($session, 'group', q{SELECT nextval('public.groups')}) };
	my $left = $stops - ($group - 1) * STOPS_OF_GROUP;
	my $first = ($group - 1) * GROUP + 1;
	my $n = 0;

	return 0 if $left <= 0;
	$left = STOPS_OF_GROUP if $left > STOPS_OF_GROUP;
	make_people($session, $first, $first + GROUP - 1);
	sleep(0.02) until insist($session, 'backlog', "SELECT count(*) FROM (SELECT FROM outreach.outbound_messages
		WHERE due_at <= now() LIMIT ${\BACKLOG}) m")->[0] < BACKLOG;
	insist($session, 'open', "INSERT INTO public.open VALUES ($group)");
	write_to($session, "Text $group", $first .. $first + GROUP - 1);
	while ($left > 0)
	{
		my $size = rand() < 0.1 ? 2 + int(rand(6)) : 1;
		$size = $left if $size > $left;
		$left -= $size;
		my @people = map { $first + int(rand(GROUP)) } 1 .. $size;
		# what is due now is claimed while they say it
		write_to($session, "Text $group.$n", @people, $first + int(rand(GROUP)));
		sleep(rand(0.03));
		say_stop($session, "$group.$n", map { any(phones_of($_)) } @people);
		$n++;
	}
	return 1;
}

# Addresses and leads of the newest groups become those of others
sub move
{
	my ($session) = @_;
	my ($group) = @{ insist($session, 'look', 'SELECT n FROM (SELECT n FROM public.open ORDER BY n DESC LIMIT 5) o ORDER BY random() LIMIT 1') };
	my $first = (($group // 0) - 1) * GROUP + 1;

	if (!defined $group)
	{
		sleep(0.01);
		return 1;
	}
	my ($one, $other) = map { $first + int(rand(GROUP)) } 1 .. 2;
	my $lead = any(leads_of($one));
	my $phone = any(phones_of($one), phones_of($other), phone_of($one, 4));
	my ($what, $call) = @{ any(
		[ 'move_address', "'$lead', '$phone', 'kim'" ],
		[ 'move_address', "'$lead', '${\any(phones_of($one))}', 'kim'" ],
		[ 'add_address', "'$lead', '$phone'" ],
		[ 'remove_address', "'$phone', 'kim'" ],
		[ 'update_lead', qq('$lead', '{"phone": "$phone"}') ],
		[ 'create_lead', "'$lead', '$phone'" ],
		[ 'create_lead', "'${lead}_twin', '$phone'" ]) };
	ask($session, $what, "SELECT FROM outreach.$what('team_a', $call)");
	sleep(rand(0.02));
	return 1;
}

# ---------------------------------------------------------------- the run

sub prepare
{
	my ($node, $db) = @_;
	sends_profiles($node, $db, timeout_ms => 60000, connect_timeout_ms => 60000, settle => "'30 seconds'");
	sql($node, q{
		SELECT outreach.create_endpoint('team_a', '/w/people', 'generic', 'none');
		CREATE SEQUENCE public.groups;
		CREATE TABLE public.open (n int PRIMARY KEY);
		CREATE TABLE public.errors (what text, sqlstate text, n int);
		CREATE TABLE public.said (phone text, way text, id text, outcome text, xid xid);
		-- what was claimed, to whose phone, and by which transaction
		CREATE TABLE public.claims (message_id uuid, attempt int, lead_id text, phone text, xid xid);
		-- whose an address or a lead is from then on, and who opts out
		CREATE TABLE public.moves (n bigint GENERATED ALWAYS AS IDENTITY, what text, id text, contact_id uuid, xid xid);
		CREATE TABLE public.refusals (contact_id uuid, xid xid);
		CREATE FUNCTION public.note_claims() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			INSERT INTO public.claims SELECT c.message_id, c.attempts, l.lead_id, l.phone, pg_current_xact_id()::xid
			  FROM claimed c JOIN before b USING (tenant_id, message_id) JOIN outreach.leads l ON l.tenant_id = c.tenant_id AND l.lead_id = c.lead_id
			 WHERE c.status = 'sending' AND b.status <> 'sending';
			RETURN NULL;
		END $$;
		CREATE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			INSERT INTO public.moves (what, id, contact_id, xid)
			VALUES (TG_TABLE_NAME, to_jsonb(NEW) ->> TG_ARGV[0], NEW.contact_id, pg_current_xact_id()::xid);
			RETURN NULL;
		END $$;
		CREATE FUNCTION public.note_refusal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			INSERT INTO public.refusals VALUES (NEW.contact_id, pg_current_xact_id()::xid);
			RETURN NULL;
		END $$;
		CREATE TRIGGER note AFTER UPDATE ON outreach.outbound_queue REFERENCING OLD TABLE AS before NEW TABLE AS claimed
			FOR EACH STATEMENT EXECUTE FUNCTION public.note_claims();
		CREATE TRIGGER note_new AFTER INSERT ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.note_move('lead_id');
		CREATE TRIGGER note AFTER UPDATE ON outreach.leads FOR EACH ROW WHEN (OLD.contact_id <> NEW.contact_id)
			EXECUTE FUNCTION public.note_move('lead_id');
		CREATE TRIGGER note_new AFTER INSERT ON outreach.addresses FOR EACH ROW EXECUTE FUNCTION public.note_move('address');
		CREATE TRIGGER note AFTER UPDATE ON outreach.addresses FOR EACH ROW WHEN (OLD.contact_id <> NEW.contact_id)
			EXECUTE FUNCTION public.note_move('address');
		CREATE TRIGGER note_new AFTER INSERT ON outreach.contacts FOR EACH ROW WHEN (NEW.phones_opted_out_at IS NOT NULL)
			EXECUTE FUNCTION public.note_refusal();
		CREATE TRIGGER note AFTER UPDATE ON outreach.contacts FOR EACH ROW
			WHEN (OLD.phones_opted_out_at IS NULL AND NEW.phones_opted_out_at IS NOT NULL)
			EXECUTE FUNCTION public.note_refusal()}, db => $db);
}

sub stop_people
{
	my ($node, $db, $provider, %opt) = @_;
	my $began = time();

	prepare($node, $db);
	my @stoppers = map { in_background($node, $db, sub { stop_groups($_[0], $opt{stops}) }) } 1 .. STOPPERS;
	my @movers = map { in_background($node, $db, \&move) } 1 .. MOVERS;
	my $bad = 0;
	for my $pid (@stoppers)
	{
		waitpid($pid, 0);
		$bad++ if $?;
	}
	my $stopped_after = time() - $began;
	kill 'TERM', @movers;
	for my $pid (@movers)
	{
		waitpid($pid, 0);
		$bad++ if $?;
	}
	Test::More::is($bad, 0, 'all sessions ended well');
	quiet($node, $db);
	wait_until(sub {
		sql($node, q(SELECT NOT EXISTS (SELECT FROM outreach.inbound_payloads WHERE status NOT IN ('done', 'dead', 'conflict'))
			AND NOT EXISTS (SELECT FROM outreach.contacts WHERE suppress_at IS NOT NULL)), db => $db) eq 't' },
		'all that was kept to be processed');
	sql($node, q{DROP TRIGGER note ON outreach.outbound_queue;
		DROP TRIGGER note_new ON outreach.leads; DROP TRIGGER note ON outreach.leads;
		DROP TRIGGER note_new ON outreach.addresses; DROP TRIGGER note ON outreach.addresses;
		DROP TRIGGER note_new ON outreach.contacts; DROP TRIGGER note ON outreach.contacts}, db => $db);
	my $quiet_after = time() - $began;
	expect_stopped($node, $db, $provider);
	expect_kept($node, $db, $provider, $opt{stops});
	return sprintf('stops=%d seconds=%d+%d+%d %s', $opt{stops}, $stopped_after, $quiet_after - $stopped_after,
		time() - $began - $quiet_after, figures($node, $db, $quiet_after));
}

# ---------------------------------------------------------------- the proof

sub none
{
	my ($node, $db, $name, $sql) = @_;
	my $n = sql($node, "SELECT count(*) FROM ($sql) q", db => $db);
	Test::More::is($n, 0, $name)
	  or Test::More::diag(sql($node, "SELECT row_to_json(q) FROM ($sql) q LIMIT 5", db => $db));
}

# What has happened, by the times of the commits.  Of one transaction's changes of a row
# the last counts.
sub bring_in_order
{
	my ($node, $db) = @_;
	sql($node, q{
		CREATE TABLE public.claim AS SELECT c.*, pg_xact_commit_timestamp(c.xid) AS at FROM public.claims c;
		CREATE TABLE public.opted_out AS SELECT address, min(pg_xact_commit_timestamp(xmin)) AS at
		  FROM outreach.consent_history WHERE act = 'opt_out' GROUP BY 1;
		CREATE TABLE public.refusal AS SELECT contact_id, min(pg_xact_commit_timestamp(xid)) AS at FROM public.refusals GROUP BY 1;
		CREATE TABLE public.stay AS SELECT what, id, contact_id, at,
			coalesce(lead(at) OVER (PARTITION BY what, id ORDER BY at, n), 'infinity') AS until
		  FROM (SELECT DISTINCT ON (what, id, xid::text) *, pg_xact_commit_timestamp(xid) AS at FROM public.moves ORDER BY what, id, xid::text, n DESC) m;
		CREATE UNIQUE INDEX ON public.opted_out (address);
		CREATE UNIQUE INDEX ON public.refusal (contact_id);
		CREATE INDEX ON public.stay (what, id, at);
		CREATE INDEX ON public.stay (contact_id);
		ANALYZE public.claim, public.opted_out, public.refusal, public.stay, public.said;
		-- the person of each claim's lead, and of its address
		CREATE TABLE public.claim_of AS
			SELECT c.*, s.what, s.contact_id FROM public.claim c JOIN public.stay s ON s.what = 'leads' AND s.id = c.lead_id AND c.at > s.at AND c.at <= s.until
			UNION ALL
			SELECT c.*, s.what, s.contact_id FROM public.claim c JOIN public.stay s ON s.what = 'addresses' AND s.id = c.phone AND c.at > s.at
				AND c.at <= s.until;
		ANALYZE public.claim_of}, db => $db);
}

sub expect_stopped
{
	my ($node, $db) = @_;
	my $shared = sql($node, 'SELECT count(*) FROM outreach.addresses WHERE shared', db => $db);
	my @rule = (
		[ 'nothing is claimed to an address after its opt-out has committed',
			'SELECT c.*, o.at AS opted_out FROM public.claim c JOIN public.opted_out o ON o.address = c.phone WHERE c.at > o.at' ],
		[ 'nothing is claimed of a lead after the opt-out of its person has committed',
			q{SELECT c.*, r.at AS opted_out FROM public.claim_of c JOIN public.refusal r USING (contact_id) WHERE c.what = 'leads' AND c.at > r.at} ],
		[ 'nor to an address after the opt-out of the person whose it is',
			q{SELECT c.*, r.at AS opted_out FROM public.claim_of c JOIN public.refusal r USING (contact_id) WHERE c.what = 'addresses' AND c.at > r.at} ],
		[ 'whose a claimed lead and its address were is known, once',
			q{SELECT message_id, attempt, count(o.what) FROM public.claim c LEFT JOIN public.claim_of o USING (message_id, attempt)
				GROUP BY 1, 2 HAVING count(o.what) <> 2} ],
		[ 'who opts out does so with every phone that is theirs then',
			q{SELECT s.*, r.at AS opted_out FROM public.refusal r JOIN public.stay s USING (contact_id) LEFT JOIN public.opted_out o ON o.address = s.id
			  WHERE s.what = 'addresses' AND s.at <= r.at AND s.until > r.at AND (o.at > r.at) IS NOT FALSE} ],
		[ 'and with every one that becomes theirs later',
			q{SELECT s.*, r.at AS opted_out FROM public.refusal r JOIN public.stay s USING (contact_id) LEFT JOIN public.opted_out o ON o.address = s.id
			  WHERE s.what = 'addresses' AND s.at > r.at AND (o.at > s.at) IS NOT FALSE} ],
		[ 'no opt-out is lost', q{SELECT a.address, a.consent FROM public.opted_out o LEFT JOIN outreach.addresses a ON a.tenant_id = 'team_a'
			AND a.address = o.address
			  WHERE a.consent IS DISTINCT FROM 'opted_out'} ],
		[ 'no person is left who has opted out with some phones alone',
			q{SELECT contact_id FROM outreach.contacts JOIN public.refusal USING (contact_id) WHERE phones_opted_out_at IS NULL UNION ALL
			  SELECT a.contact_id FROM outreach.addresses a JOIN public.refusal USING (contact_id) WHERE a.consent <> 'opted_out'} ],
		[ 'leads that were theirs then, and are, are suppressed', q{SELECT s.*, l.state FROM public.refusal r JOIN public.stay s USING (contact_id)
			  JOIN outreach.leads l ON l.lead_id = s.id WHERE s.what = 'leads' AND s.at <= r.at AND s.until = 'infinity' AND l.state <> 'suppressed'} ],
		[ 'every STOP was taken', q{SELECT * FROM public.said WHERE outcome NOT IN ('accepted', 'duplicate', 'deferred', 'opted_out') OR outcome IS NULL} ],
		[ 'and has opted out its phone: at once, or where it was deferred in the end',
			q{SELECT s.*, o.at FROM public.said s LEFT JOIN public.opted_out o ON o.address = s.phone
			  WHERE o.at IS NULL OR s.outcome IN ('accepted', 'opted_out') AND o.at > pg_xact_commit_timestamp(s.xid)} ],
		[ 'with its person', q{SELECT s.* FROM public.said s JOIN public.opted_out o ON o.address = s.phone
			  LEFT JOIN public.stay t ON t.what = 'addresses' AND t.id = s.phone AND t.at <= o.at AND t.until > o.at
			  LEFT JOIN public.refusal r USING (contact_id) WHERE (r.at > o.at) IS NOT FALSE} ]);

	bring_in_order($node, $db);
	Test::More::is($shared, 0, 'no address has so many leads that it is nobody\'s');
	none($node, $db, @$_) for @rule;
}

# Nothing is lost: of what was said, and of what was to be sent
sub expect_kept
{
	my ($node, $db, $provider, $stops) = @_;
	my $log = log_since($node, 0);

	$provider->load($node, db => $db);
	Test::More::is(sql($node, q{SELECT count(*) FROM (SELECT DISTINCT id FROM public.said) s}, db => $db), $stops, 'every STOP was said');
	none($node, $db, 'each has one receipt', q{SELECT * FROM (SELECT DISTINCT id FROM public.said WHERE way <> 'opt_out') s
		FULL JOIN (SELECT split_part(idempotency_key, ':', 2) AS id, count(*) AS n FROM outreach.inbound_payloads GROUP BY 1) r USING (id)
		WHERE s.id IS NULL OR n IS DISTINCT FROM 1});
	none($node, $db, 'and is processed', q{SELECT * FROM outreach.inbound_payloads WHERE status <> 'done'});
	none($node, $db, 'every message has come to an end, or waits for an address',
		q{SELECT message_id, status, held_by, last_error FROM outreach.outbound_messages
		  WHERE status NOT IN ('sent', 'blocked', 'cancelled') AND (status <> 'deferred' OR held_by IS DISTINCT FROM 'address')});
	none($node, $db, 'claims have their deliveries', q{SELECT * FROM public.claims c FULL JOIN outreach.message_deliveries d USING (message_id, attempt)
		WHERE c.xid IS NULL OR d.message_id IS NULL});
	none($node, $db, 'each that was sent is with the provider, once, for the phone that was claimed',
		q{SELECT m.*, a.*, c.phone AS claimed FROM (SELECT message_id, provider_message_id AS id, phone FROM outreach.outbound_messages
			WHERE sent_at IS NOT NULL) m
		  FULL JOIN (SELECT id, '+' || recipient AS recipient FROM provider_accepted) a USING (id) LEFT JOIN public.claims c USING (message_id)
		  WHERE m.phone IS DISTINCT FROM a.recipient OR c.phone IS DISTINCT FROM a.recipient});
	Test::More::is($provider->counter('doubled'), 0, 'and none is there twice');
	none($node, $db, 'state and log agree', 'SELECT * FROM outreach.verify()');
	none($node, $db, 'what was said has a time of the run', q{SELECT address FROM outreach.addresses
		WHERE consent_at NOT BETWEEN (SELECT created_at FROM outreach.tenants WHERE tenant_id = 'team_a') AND now()});
	Test::More::unlike($log, qr/deadlock detected/, 'no deadlock');
	Test::More::unlike($log, qr/PANIC:|TRAP:|signal 11|signal 6/, 'no panic, no failed assertion');
	none($node, $db, 'no call failed but where it may', q{SELECT * FROM public.errors WHERE sqlstate NOT IN ('55P03', '40001')
		AND (what, sqlstate) <> ('add_address', 'OR007')});
	Test::More::is(sql($node, q{SELECT count(*) > 0 FROM public.claim}, db => $db)
		. sql($node, q{SELECT count(*) > 0 FROM outreach.outbound_messages WHERE status = 'blocked' AND verdicts -> 0 ->> 'guard' = 'consent'}, db => $db),
		'tt', 'some were sent before, and some not any more');
}

sub figures
{
	my ($node, $db, $seconds) = @_;
	return sql($node, qq{
		SELECT 'people=' || (SELECT count(*) * ${\GROUP} FROM public.open)
		|| ' contacts that opted out=' || (SELECT count(*) FROM public.refusal)
		|| '; STOPs ' || (SELECT string_agg(way || ' ' || outcome || ' ' || n, ', ' ORDER BY way, outcome)
			FROM (SELECT way, outcome, count(*) AS n FROM public.said GROUP BY 1, 2) s)
		|| '; moves of addresses ' || (SELECT count(*) FROM public.stay s WHERE what = 'addresses' AND EXISTS
			(SELECT FROM public.stay e WHERE e.what = s.what AND e.id = s.id AND e.at < s.at))
		|| ', of leads ' || (SELECT count(*) FROM public.stay s WHERE what = 'leads' AND EXISTS
			(SELECT FROM public.stay e WHERE e.what = s.what AND e.id = s.id AND e.at < s.at))
		|| '; claims ' || (SELECT count(*) FROM public.claim)
		|| ', of people who have opted out ' || (SELECT count(*) || ' before, ' || count(*) FILTER (WHERE at > opted_out) || ' after; within 20 ms '
			|| count(*) FILTER (WHERE at > opted_out - interval '20 ms') || ' before'
			FROM (SELECT message_id, attempt, c.at, min(r.at) AS opted_out FROM public.claim_of c JOIN public.refusal r USING (contact_id) GROUP BY 1, 2, 3) c)
		|| '; statuses: ' || (SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
			FROM (SELECT status, count(*) AS n FROM outreach.outbound_messages GROUP BY 1) s)
		|| '; errors: ' || coalesce((SELECT string_agg(what || ' ' || sqlstate || ' ' || n, ', ' ORDER BY what, sqlstate)
			FROM (SELECT what, sqlstate, sum(n) AS n FROM public.errors GROUP BY 1, 2) e), 'none')
		|| format('; per second: %s STOPs, %s claims', (SELECT round(count(*) / $seconds) FROM public.said), (SELECT round(count(*) / $seconds)
			FROM public.claim))}, db => $db);
}

1;
