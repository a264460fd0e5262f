# A claim that fails at any of its steps: nothing of it is sent, the worker goes on
# with the requests that are under way, and sends later, once.  The same for a
# look-up, and for an answer whose recording fails.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;
use Timers qw(worker);

# commits can be made to wait for a standby only where there could be one
my $node = sending_cluster(conf => "wal_level = replica\nmax_wal_senders = 2\n");
my $provider = TestProvider->start(config => { twilio_token => 'token' });
sending_database($node, 'postgres', $provider, leads => 40);
quick_profiles($node);
my $n = 0;

# While it is armed, a statement of the engine fails there.
sql($node, q{
	CREATE TABLE public.attached (point text);
	CREATE SEQUENCE public.failures;
	CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.attached WHERE point = TG_ARGV[0]) THEN
			PERFORM nextval('public.failures');
			RAISE 'refused for a test' USING ERRCODE = TG_ARGV[1];
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER at_claim AFTER UPDATE ON outreach.outbound_queue
		FOR EACH ROW WHEN (NEW.status = 'sending') EXECUTE FUNCTION public.fail('claim', 'check_violation');
	CREATE TRIGGER at_message AFTER UPDATE ON outreach.outbound_queue
		FOR EACH ROW WHEN (NEW.status = 'sending') EXECUTE FUNCTION public.fail('message', 'lock_not_available');
	CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.status = 'sending') EXECUTE FUNCTION public.fail('commit', 'serialization_failure');
	CREATE CONSTRAINT TRIGGER at_look_up AFTER UPDATE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.status = 'unknown' AND NEW.status = 'unknown') EXECUTE FUNCTION public.fail('look-up', 'check_violation');
	CREATE CONSTRAINT TRIGGER at_record AFTER DELETE ON outreach.outbound_queue DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (OLD.status = 'sending') EXECUTE FUNCTION public.fail('record', 'check_violation')});

sub ask
{
	my (%args) = @_;
	$n++;
	return send_message($node, lead_id => "lead_$n", body => "Hello $n", from_phone => '+12125550101', %args)->{message_id};
}

sub accepted
{
	my ($id) = @_;
	my $body = message($node, $id)->{body};
	return scalar grep { $_->{body} eq $body } $provider->accepted;
}

sub failures { return sql($node, 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.failures'); }

# Has the engine fail at a point three times or more: one worker lives through them
sub while_failing
{
	my ($point, $meanwhile) = @_;
	my $before = failures();
	sql($node, "INSERT INTO public.attached VALUES ('$point')");
	my $made = $meanwhile->();
	wait_until(sub { failures() > $before }, "a failure ($point)");
	my $pid = worker($node, 'postgres');
	wait_until(sub { failures() >= $before + 3 }, "two more ($point)");
	is(worker($node, 'postgres'), $pid, "$point: the worker lives");
	return $made;
}

is(wait_at_rest($node, ask()), 'sent', 'a message is sent');

for my $point (qw(claim message commit))
{
	# a request that is under way all the time
	$provider->config(rules => [ { fault => 'slow:1000', body => 'under way', times => 1 } ]);
	my $under_way = ask(body => 'under way');
	wait_until(sub { message($node, $under_way)->{status} eq 'sending' }, 'a request to be under way');
	my @ids = @{ while_failing($point, sub { [ map { ask() } 1 .. 3 ] }) };
	is(message($node, $_)->{status}, 'pending', "$point: the claim failed") for @ids;
	is(sql($node, "SELECT count(*) FROM outreach.message_deliveries WHERE message_id = '$ids[0]'"), 0, 'nothing of it is left');
	is(accepted($_), 0, 'and nothing was sent') for @ids;
	# the next claim is of another message alone, whose departure would take them along
	sql($node, q{UPDATE outreach.outbound_messages SET due_at = now() + '1 hour' WHERE status = 'pending';
		TRUNCATE public.attached});
	is(wait_at_rest($node, ask()), 'sent', 'another message is claimed and sent');
	is(accepted($_), 0, 'the failed ones are not') for @ids;
	sql($node, q{UPDATE outreach.outbound_messages SET due_at = now() WHERE status = 'pending'; SELECT outreach.wake_workers()});
	is(wait_at_rest($node, $_), 'sent', 'claimed at last, it is sent') for @ids;
	is(accepted($_), 1, 'once') for @ids;
	is(message($node, $_)->{attempts}, 1, 'in one attempt') for @ids;
	is(wait_at_rest($node, $under_way), 'sent', 'what was under way was answered');
	is(sql($node, "SELECT outcome FROM outreach.message_deliveries WHERE message_id = '$under_way'"), 'sent', 'and that was recorded');
}

{
	$provider->config(rules => [ { fault => 'lose_answer', body => 'asked for', times => 1 } ]);
	my $asked = grep { $_->{method} eq 'GET' } $provider->requests;
	my $id = while_failing('look-up', sub { ask(body => 'asked for', from_phone => '+12125550102') });
	is(message($node, $id)->{status}, 'unknown', 'settling fails');
	is(scalar(grep { $_->{method} eq 'GET' } $provider->requests), $asked, 'no look-up has left');
	sql($node, 'TRUNCATE public.attached');
	quiet($node);
	is(message($node, $id)->{status}, 'sent', 'it is looked up and found');
	is(accepted($id), 1, 'accepted once');
}

{
	my $id = while_failing('record', sub { ask() });
	is(message($node, $id)->{status}, 'sending', 'the commit of an answer fails: it stays landed');
	sql($node, 'TRUNCATE public.attached');
	is(wait_at_rest($node, $id), 'sent', 'and is recorded');
	is(accepted($id), 1, 'accepted once');
}

# ---- a claim whose wait for a synchronous standby is cancelled

sub waits_for_standby
{
	my ($activity) = @_;
	return wait_until(sub { sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'outreach worker'
		AND wait_event = 'SyncRep' AND query = '$activity'") }, "the worker to wait for a standby, $activity");
}

{
	# the sessions of the test do not wait
	sql($node, 'ALTER DATABASE postgres SET synchronous_commit = local');
	sql($node, q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
	$node->reload;
	my $probe = $node->background_psql('postgres', on_error_stop => 0);
	$probe->query_until(qr/begins/, "\\echo begins\nSET synchronous_commit = on;\nDO \$\$ BEGIN LOOP
		INSERT INTO public.attached VALUES ('none'); COMMIT; PERFORM pg_sleep(0.01); END LOOP; END \$\$;\n");
	wait_until(sub { sql($node, q(SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'SyncRep')) },
		'commits to wait');
	my $id = ask();
	my $waits = waits_for_standby('claiming messages');
	sql($node, "SELECT pg_cancel_backend($waits)");
	waits_for_standby('recording deliveries');
	is(accepted($id), 0, 'a claim that no standby has is not sent, although the wait for that was cancelled');
	sql($node, 'ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %LOOP%' AND pid <> pg_backend_pid()));
	is(wait_at_rest($node, $id), 'sent', 'it is sent when none is needed');
	is(accepted($id), 1, 'once');
}

is($provider->counter('doubled'), 0, 'nothing was accepted twice');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
