# The worker and the postmaster are killed with SIGKILL at each step of a send, and
# at random while a provider misbehaves in every way it can: each message is
# accepted at most once, and ends where its profile says.  SENDS makes the random
# part longer.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use JSON::PP ();
use OutreachTest;
use Provider qw(quiet_port);
use Sending;
use Sends;
use Standing qw(standing commit_and_stand);
use Test::More;
use Timers qw(worker);

my $db = 'postgres';
my $worker = 'outreach worker';
# commits can be made to wait for a standby only where there could be one
my $node = sending_cluster(conf => sends_conf() . "wal_level = replica\nmax_wal_senders = 2\n");
my $provider = sends_provider();
sending_database($node, $db, $provider, leads => 1000);
my $shim = start_shim($node, port => quiet_port());
sending_callbacks($node, $shim);
# time-outs longer than it takes to kill a process
sends_profiles($node, $db, timeout_ms => 10000);

# ---- at each step -------------------------------------------------------------

# Where a send can be made to stand still: a trigger there waits for as long as it
# is armed for the message, also when the server was started again.
sql($node, q{
	CREATE TABLE public.attached (point text, send_keys text);
	CREATE FUNCTION public.stand_still() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		WHILE EXISTS (SELECT FROM public.attached a JOIN outreach.outbound_messages m ON m.send_key LIKE a.send_keys
					   WHERE a.point = TG_ARGV[0] AND m.message_id = coalesce(NEW.message_id, OLD.message_id)) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
		RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
	END $$;
	CREATE TRIGGER claim BEFORE UPDATE ON outreach.outbound_queue
		FOR EACH ROW WHEN (OLD.status <> 'sending' AND NEW.status = 'sending') EXECUTE FUNCTION public.stand_still('claim');
	CREATE CONSTRAINT TRIGGER claim_commit AFTER UPDATE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.status <> 'sending' AND NEW.status = 'sending') EXECUTE FUNCTION public.stand_still('claim_commit');
	-- a message that has left leaves the queue
	CREATE TRIGGER record BEFORE UPDATE ON outreach.outbound_queue
		FOR EACH ROW WHEN (OLD.status = 'sending' AND NEW.status <> 'sending') EXECUTE FUNCTION public.stand_still('record');
	CREATE TRIGGER record_left BEFORE DELETE ON outreach.outbound_queue
		FOR EACH ROW WHEN (OLD.status = 'sending') EXECUTE FUNCTION public.stand_still('record');
	CREATE CONSTRAINT TRIGGER record_commit AFTER UPDATE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.status = 'sending' AND NEW.status <> 'sending') EXECUTE FUNCTION public.stand_still('record_commit');
	CREATE CONSTRAINT TRIGGER record_left_commit AFTER DELETE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.status = 'sending') EXECUTE FUNCTION public.stand_still('record_commit');
	CREATE TRIGGER settle BEFORE UPDATE ON outreach.outbound_queue
		FOR EACH ROW WHEN (OLD.status = 'unknown') EXECUTE FUNCTION public.stand_still('settle');
	CREATE TRIGGER settle_left BEFORE DELETE ON outreach.outbound_queue
		FOR EACH ROW WHEN (OLD.status = 'unknown') EXECUTE FUNCTION public.stand_still('settle')});

my @all = qw(signalhouse twilio generic);
my %sender = (
	signalhouse => q(from_phone => '+12125550101'),
	twilio => q(from_phone => '+12125550102'),
	generic => q(channel => 'webhook', options => '{"account": "generic"}'));
my $step = 0;
my $lead = 0;

# Asks for a message by each account, in one transaction; returns their ids.
sub ask
{
	my ($marks, @accounts) = @_;
	my $sql = join '', map { $lead++; "SELECT message_id FROM outreach.send_message('team_a', 'lead_$lead',
		'Step $step $marks', send_key => 'step $step $_', $sender{$_});\n" } @accounts;
	my %id;
	@id{@accounts} = split /\n/, sql($node, "BEGIN;\n$sql COMMIT");
	return \%id;
}

sub attach { my ($point) = @_; sql($node, "INSERT INTO public.attached VALUES ('$point', 'step $step %')"); }
sub detach { sql($node, 'DELETE FROM public.attached'); }

# Messages that stand still at a point
sub stand
{
	my ($point, @accounts) = @_;
	attach($point);
	my $id = ask('', @accounts);
	return ($id, standing($node, $worker, 'PgSleep'));
}

# Messages of which the provider has seen as much as it counts
sub at_provider
{
	my ($counter, $marks, @accounts) = @_;
	my $before = $provider->counter($counter);
	my $id = ask($marks, @accounts);
	wait_until(sub { $provider->counter($counter) >= $before + @accounts }, "the provider's $counter");
	return $id;
}

my %once = (signalhouse => 'sent 1', twilio => 'sent 1', generic => 'sent 1');
# without a look-up or an idempotency key nobody but a person can tell
my %accepted = (%once, signalhouse => 'uncertain 1');
my %not_accepted = (%once, signalhouse => 'uncertain 0');
my @sessions;

# What is known of it when the worker is killed, how it is brought there (returns the
# messages, and the worker unless it is any), and where they end: the status, and how
# often the provider accepted them.
my @points = (
	[ 'before its claim is written', \%once, sub { stand('claim', @all) } ],
	[ 'in the COMMIT of its claim, before its record', \%once, sub { stand('claim_commit', @all) } ],
	# where the postmaster died it may go on until it learns of that
	[ 'in the COMMIT of its claim, after its record', { %not_accepted, signalhouse => '(?:uncertain [01]|sent 1)' }, sub {
			my ($id, $pid) = stand('claim_commit', @all);
			@sessions = commit_and_stand($node, $db, $pid);
			return ($id, $pid);
		} ],
	[ 'on the wire, not accepted', \%not_accepted, sub { at_provider(requests => '[[fault:hang_before,ok]]', @all) } ],
	[ 'on the wire, accepted after that', \%accepted, sub { at_provider(requests => '[[fault:slow_accept:500,ok]]', @all) } ],
	[ 'accepted, not answered', \%accepted, sub { at_provider(accepted => '[[fault:hang,ok]]', @all) } ],
	[ 'accepted, a callback came before the answer', { map { $_ => 'delivered 1' } qw(signalhouse twilio) }, sub {
			my $id = at_provider(accepted => '[[fault:hang,ok]] [[callbacks:delivered]]', qw(signalhouse twilio));
			for my $account (sort keys %$id)
			{
				wait_until(sub { message($node, $id->{$account})->{status} eq 'delivered' }, 'the callback');
			}
			return $id;
		} ],
	[ 'before its answer is written', \%accepted, sub { stand('record', @all) } ],
	[ 'in the COMMIT of its answer, before its record', \%accepted, sub { stand('record_commit', @all) } ],
	[ 'in the COMMIT of its answer, after its record', \%once, sub {
			my ($id, $pid) = stand('record_commit', 'signalhouse');
			@sessions = commit_and_stand($node, $db, $pid);
			return ($id, $pid);
		} ],
	[ 'when a dead worker is taken over from', \%accepted, sub {
			my $id = at_provider(accepted => '[[fault:hang,ok]]', @all);
			attach('record');
			kill_process($node, $db, 'worker');
			return ($id, standing($node, $worker, 'PgSleep'));
		} ],
	[ 'when its look-up is on its way', { twilio => 'sent 1' }, sub {
			my $id = at_provider(accepted => '[[fault:lose_answer,ok]]', 'twilio');
			my $before = $provider->counter('lookups');
			$provider->config(rules => [ { lookup => JSON::PP::true, times => 1, fault => 'hang' } ]);
			wait_until(sub { $provider->counter('lookups') > $before }, 'the look-up');
			return $id;
		} ],
	[ 'when it is settled', \%accepted, sub {
			my $id = at_provider(accepted => '[[fault:lose_answer,ok]]', @all);
			attach('settle');
			return ($id, standing($node, $worker, 'PgSleep'));
		} ]);
my @expected;

for my $point (@points)
{
	my ($what, $ends, $bring) = @$point;

	for my $victim (qw(worker postmaster))
	{
		$step++;
		@sessions = ();
		my ($id, $pid) = $bring->();
		kill_process($node, $db, $victim, $pid);
		eval { $_->quit } for @sessions;
		$node->reload;
		detach();
		# the next step kills too: what nobody could tell of has to be off the wire
		wait_until(sub { message($node, $id->{signalhouse})->{status} !~ /^(?:pending|sending)$/ }, 'the request to end')
		  if exists $id->{signalhouse};
		# what is accepted after a while may have been answered before a busy machine killed
		redo if $what =~ /after that/ && message($node, $id->{signalhouse})->{status} eq 'sent';
		push @expected, map { [ "$victim killed $what: $_", $id->{$_}, $ends->{$_} ] } sort keys %$id;
	}
}

# ---- a worker that is told to end -----------------------------------------------

# It waits for answers, but not for ever; what it leaves is taken over from it.
{
	$step++;
	my $id = at_provider(accepted => '[[fault:hang,ok]]', @all);
	my $pid = worker($node, $db);
	kill 'TERM', $pid;
	wait_until(sub { !kill(0, $pid) }, 'the worker to end');
	is(sql($node, "SELECT count(*) FROM pg_locks WHERE pid = $pid"), 0, 'a worker that has ended has left no lock');
	push @expected, map { [ "worker ended when accepted, not answered: $_", $id->{$_}, $accepted{$_} ] } sort keys %$id;
}

# ---- with many under way --------------------------------------------------------

# The next worker takes all of them over at once, and not when an answer would be late.
sends_profiles($node, $db, timeout_ms => 60000, max_in_flight => 500);
# less than a tenant may have
my $many = 440;
my $before = $provider->counter('accepted');
sql($node, "SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || (500 + i) FROM generate_series(1, $many) i),
	'Many [[fault:hang,ok]]', send_keys => ARRAY(SELECT 'many ' || i FROM generate_series(1, $many) i), $sender{generic})");
wait_until(sub { $provider->counter('accepted') == $before + $many }, 'all to be under way');
kill_process($node, $db, 'worker');
my $of_many = q(FROM outreach.outbound_messages m JOIN outreach.message_deliveries d USING (tenant_id, message_id)
	WHERE m.send_key LIKE 'many %');
wait_until(sub { sql($node, q(SELECT count(*) FROM outreach.outbound_messages WHERE send_key LIKE 'many %' AND status = 'sending' AND attempts = 1)) == 0 },
	'all to be taken over');
is(sql($node, "SELECT count(*), count(*) FILTER (WHERE d.finished_at < d.started_at + '60 s') $of_many
	AND d.error = 'its worker ended'"), "$many|$many", 'all are taken over when their worker is dead');

# ---- on a connection that the provider resets -----------------------------------

# libcurl would repeat a request whose kept-alive connection died under it
my $reset = wait_until(
	sub {
		$step++;
		wait_at_rest($node, ask('', 'signalhouse')->{signalhouse});
		$step++;
		my $id = at_provider(accepted => '[[fault:reset_reused]]', 'signalhouse')->{signalhouse};
		my ($request) = grep { ($_->{key} // '') =~ /^\Q$id\E/ } $provider->requests;
		$request->{nth} > 1 && $id;
	},
	'a connection to be used again');
push @expected, [ 'reset on a used connection', $reset, 'uncertain 1' ];

quiet($node, $db);
is(sql($node, "SELECT count(DISTINCT message_id) $of_many AND m.status = 'sent'"), $many, 'and repeated under their keys');
my %accepted_of;
$accepted_of{ ($_->{key} // $_->{idempotency_key}) =~ s/\..*//r }++ for $provider->accepted;
for my $case (@expected)
{
	my ($what, $id, $ends) = @$case;
	like(message($node, $id)->{status} . ' ' . ($accepted_of{$id} // 0), qr/^$ends$/, $what);
}
is(scalar(grep { ($_->{key} // '') =~ /^\Q$reset\E/ && $_->{method} eq 'POST' } $provider->requests), 1,
	'what was reset was written once');

# ---- at random ----------------------------------------------------------------

sql($node, q{DROP TABLE public.attached; DROP FUNCTION public.stand_still() CASCADE});
sends_profiles($node, $db);
note('figures ', torture($node, $db, $provider, sends => $ENV{SENDS} || 1200));
done_testing();
