# A claim against everything else that wants its message at that moment: an
# opt-out, a kill switch, a cancellation, a lead that goes.  Whoever commits
# first is obeyed.  Locks of other sessions make the order certain: claims can be
# kept from taking anything, and be stopped when one has written its delivery; what
# another session has locked they pass by.

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
sending_database($node, 'postgres', $provider, leads => 80);
quick_profiles($node);
my $n = 0;

# A session that has executed a statement and holds what it has locked
sub holder
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe('BEGIN');
	$session->query_safe($statement);
	return $session;
}

# A session whose statement waits for a lock
sub waiter
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_until(qr/begins/, "\\echo begins\n$statement;\n");
	wait_until(sub { sql($node, "SELECT 1 FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'") },
		"\"$statement\" to wait");
	return $session;
}

# What it has answered, once it has
sub ended
{
	my ($session) = @_;
	my $answer = $session->query("\\echo ended");

	$session->quit;
	return $answer =~ s/\s*ended\s*//r;
}

sub release
{
	my ($session, $how) = @_;
	$session->query_safe($how // 'COMMIT');
	$session->quit;
}

sub worker_waits
{
	my ($for) = @_;
	wait_until(sub { sql($node, "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'outreach worker' AND wait_event = '$for'") },
		"the worker to wait ($for)");
}

# A message to a lead that has had none
sub ask
{
	my (%args) = @_;
	$n++;
	return send_message($node, lead_id => "lead_$n", body => "Hello $n", from_phone => '+12125550101', %args)->{message_id};
}

sub at_rest
{
	my ($id) = @_;
	wait_until(sub { sql($node, "SELECT due_at IS NULL FROM outreach.outbound_messages WHERE message_id = '$id'") eq 't' },
		"message $id to settle");
	return message($node, $id)->{status};
}

sub is_accepted
{
	my ($id, $times, $what) = @_;
	my $body = message($node, $id)->{body};
	is(scalar(grep { $_->{body} eq $body } $provider->accepted), $times, $what);
}

sub lead_phone { return sql($node, "SELECT phone FROM outreach.leads WHERE lead_id = 'lead_$_[0]'") }

# Keeps claims from taking anything, as a stop under way does
sub no_claims { return holder('SELECT FROM outreach.arming FOR UPDATE'); }

# Nothing is claimed while everything of the tenant is held
sub is_left
{
	my ($id, $what) = @_;
	sleep(0.5);
	is(message($node, $id)->{status}, 'pending', "$what: nothing is claimed, and nothing waits");
	is(sql($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outreach worker' AND wait_event_type = 'Lock'}), 0,
		'the worker waits for nobody');
}

# Claims have looked at the message and left it where it is: one that was asked
# for later has gone past it.
sub is_passed_by
{
	my ($id, $what) = @_;
	is(at_rest(ask()), 'sent', "$what: another message is sent");
	is(message($node, $id)->{status}, 'pending', 'this one is passed by');
}

# A claim that has locked its phone, lead and message, written that it leaves, and
# not committed.  It outlasts the time that a worker gives each statement.
sql($node, q{
	CREATE FUNCTION public.stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_advisory_xact_lock_shared(42);
				RETURN NEW;
			EXCEPTION WHEN lock_not_available OR query_canceled THEN
				NULL;
			END;
		END LOOP;
	END $$;
	CREATE TRIGGER stand_still AFTER UPDATE ON outreach.outbound_queue FOR EACH ROW
		WHEN (NEW.status = 'sending' AND OLD.status <> 'sending') EXECUTE FUNCTION public.stand_still()});

sub in_progress
{
	my $gate = holder('SELECT pg_advisory_xact_lock(42)');
	my $id = ask(@_);

	worker_waits('advisory');
	return ($gate, $id);
}

# ---- an opt-out ---------------------------------------------------------------

for my $way ('opt_out', 'STOP')
{
	my $next = $n + 1;
	my $phone = lead_phone($next);
	my $statement = $way eq 'opt_out' ? "SELECT outreach.opt_out('team_a', '$phone')"
	  : "SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/replies', 'body',
			'{\"event\": \"message.received\", \"id\": \"m$next\", \"from\": \"$phone\", \"body\": \"STOP\"}'))";

	sql($node, q{SELECT outreach.create_endpoint('team_a', '/w/replies', 'generic', 'none')}) if $way eq 'STOP';
	my $stop = holder($statement);
	my $id = ask();
	is_passed_by($id, "$way is under way");
	release($stop);
	is(at_rest($id), 'blocked', 'it commits: blocked');
	is_accepted($id, 0, 'and never sent');
	is(sql($node, "SELECT verdicts -> 0 ->> 'guard' FROM outreach.outbound_messages WHERE message_id = '$id'"), 'consent', 'for consent');
	is(sql($node, "SELECT count(*) FROM outreach.message_deliveries WHERE message_id = '$id'"), 0, 'without a delivery');

	$next = $n + 1;
	$phone = lead_phone($next);
	$statement =~ s/\+141555\d{5}/$phone/;
	$statement =~ s/"m\d+"/"m$next"/;
	$stop = holder($statement);
	$id = ask();
	is_passed_by($id, "$way is under way");
	release($stop, 'ROLLBACK');
	is(at_rest($id), 'sent', 'it is rolled back: sent');
	is_accepted($id, 1, 'once');
}

# an e-mail address that unsubscribes, by hand or by what SendGrid tells
sql($node, "SELECT outreach.create_account('team_a', 'mail', 'sendgrid_mail', 'key', base_url => '" . $provider->url
	. "', settings => '{\"from\": \"us\@example.com\"}'),
	outreach.create_endpoint('team_a', '/w/mail', 'sendgrid', 'none')");
for my $way ('opt_out', 'unsubscribe')
{
	for my $end ('COMMIT', 'ROLLBACK')
	{
		my $address = 'lead.' . ($n + 1) . '@example.com';
		sql($node, "SELECT outreach.create_lead('team_a', 'lead_" . ($n + 1)
			. "', email => '\u$address'), outreach.release_address('team_a', '$address', 'kim', 'its row is there')");
		my $stop = holder($way eq 'opt_out' ? "SELECT outreach.opt_out('team_a', '$address')"
			: "SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/mail', 'body',
				'[{\"event\": \"unsubscribe\", \"sg_event_id\": \"u$n\", \"email\": \"$address\"}]'))");
		my $id = ask(channel => 'email', options => '{"subject": "Hi"}', from_phone => undef);
		is_passed_by($id, "e-mail, $way is under way");
		release($stop, $end);
		is(at_rest($id), $end eq 'COMMIT' ? 'blocked' : 'sent', "e-mail, $way: $end");
		is_accepted($id, $end eq 'COMMIT' ? 0 : 1, 'as it is said to be');
	}
}

{
	# before any claim can look at it
	my $table = no_claims();
	my $id = ask();
	sql($node, "SELECT outreach.opt_out('team_a', '" . lead_phone($n) . "')");
	release($table);
	is(at_rest($id), 'blocked', 'an opt-out before the claim: blocked');
	is_accepted($id, 0, 'and never sent');
}

{
	my ($gate, $id) = in_progress();
	my $opt_out = waiter("SELECT consent FROM outreach.opt_out('team_a', '" . lead_phone($n) . "')");
	release($gate);
	is(at_rest($id), 'sent', 'an opt-out after the claim waits for it: sent');
	is(ended($opt_out), 'opted_out', 'then the phone has opted out');
	is(sql($node, "SELECT count(*) FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (tenant_id, message_id)
		JOIN outreach.phones p USING (tenant_id, phone) WHERE p.consent = 'opted_out' AND d.started_at > p.consent_at"), 0,
		'no delivery began after an opt-out');
}

# ---- a reply ------------------------------------------------------------------

sub reply
{
	my ($of) = @_;
	my $phone = lead_phone($of);
	return "SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/replies', 'body',
		'{\"event\": \"message.received\", \"id\": \"r' || gen_random_uuid() || '\", \"from\": \"$phone\", \"body\": \"who is this\"}'))";
}

sub why { return sql($node, "SELECT last_error FROM outreach.outbound_messages WHERE message_id = '$_[0]'") }

{
	# before any claim can look at it
	my $table = no_claims();
	my $id = ask(priority => 'campaign');
	my $reply = holder(reply($n));
	release($table);
	is_passed_by($id, 'a reply is under way');
	release($reply);
	is(at_rest($id), 'cancelled', 'it commits: cancelled');
	is_accepted($id, 0, 'and never sent');
	is(why($id), 'the lead replied', 'by the reply');

	$table = no_claims();
	$id = ask(priority => 'campaign');
	$reply = holder(reply($n));
	release($table);
	is_passed_by($id, 'a reply is under way');
	release($reply, 'ROLLBACK');
	is(at_rest($id), 'sent', 'it is rolled back: sent');
	is_accepted($id, 1, 'once');
}

{
	my ($gate, $id) = in_progress(priority => 'campaign');
	my $reply = waiter(reply($n));
	release($gate);
	is(at_rest($id), 'sent', 'a reply after the claim waits for it: sent');
	is(ended($reply), 'accepted', 'then the reply is taken in');
	is_accepted($id, 1, 'and nothing is sent twice');
}

for my $twin ('', ' of another lead with the phone')
{
	# asked for before the reply, and committed after it
	my $next = $n + 1;
	my $phone = lead_phone($next);
	my $asking = holder("SELECT outreach.send_message('team_a', 'lead_$next', 'Hello $next', send_key => 'late$next', priority => 'campaign')");

	$n++;
	sql($node, "SELECT outreach.create_lead('team_a', 'twin_$next', '$phone')") if $twin;
	sql($node, "UPDATE outreach.leads SET last_activity_at = now() + interval '1 hour' WHERE lead_id = 'twin_$next'") if $twin;
	is(sql($node, reply($next)), 'accepted', "a reply$twin that does not see the message");
	release($asking);
	my $id = sql($node, "SELECT message_id FROM outreach.outbound_messages WHERE send_key = 'late$next'");
	is(at_rest($id), 'cancelled', 'the claim takes it back');
	is_accepted($id, 0, 'and it is never sent');
	is(why($id), 'a reply came before it left', 'for the reply');
	is(sql($node, "SELECT count(*) FROM outreach.events WHERE event_type = 'message.outbound.cancelled' AND payload ->> 'message_id' = '$id'"), 1,
		'with its event');
}

# ---- kill switches ------------------------------------------------------------

my %stop = (
	all => [ "outreach.stop_sending('all', reason => 'a test')", "outreach.resume_sending('all')", 'all:*' ],
	tenant => [ "outreach.stop_sending('tenant', 'team_a', 'a test')", "outreach.resume_sending('tenant', 'team_a')", 'tenant:team_a' ],
	account => [ "outreach.stop_sending('account', 'signalhouse', 'a test')", "outreach.resume_sending('account', 'signalhouse')", 'account:signalhouse' ],
	number => [ "outreach.stop_sending('number', '+12125550101', 'a test')", "outreach.resume_sending('number', '+12125550101')", 'number:+12125550101' ]);

for my $scope (sort keys %stop)
{
	my ($stop, $resume, $held_by) = @{ $stop{$scope} };
	my ($gate, $first) = in_progress();
	my $stopping = waiter("SELECT $stop");
	my $second = ask();

	release($gate);
	is(ended($stopping), 1, "$scope: the stop waits for the claim in progress");
	is(at_rest($first), 'sent', 'which is sent');
	is(at_rest($second), 'deferred', 'what is claimed after it is held');
	is(message($node, $second)->{held_by}, $held_by, 'by the stop');
	is_accepted($second, 0, 'and not sent');
	is(sql($node, "SELECT $resume"), 1, 'resumed');
	is(at_rest($second), 'sent', 'it is sent');
	is_accepted($second, 1, 'once');

	my $session = holder("SELECT $stop");
	my $id = ask();
	is_left($id, "$scope: a stop is under way");
	release($session);
	is(at_rest($id), 'deferred', 'it commits, and holds the message');
	$session = holder("SELECT $resume");
	is(message($node, $id)->{status}, 'deferred', 'until the resumption commits');
	# what is asked for meanwhile is not held by what is going
	my $meanwhile = ask();
	is_left($meanwhile, "$scope: a resumption is under way");
	release($session);
	is(at_rest($_), 'sent', 'and is sent then') for $id, $meanwhile;
	is_accepted($_, 1, 'once') for $id, $meanwhile;

	$session = holder("SELECT $stop");
	$id = ask();
	is_left($id, "$scope: a stop is under way");
	release($session, 'ROLLBACK');
	is(at_rest($id), 'sent', 'it is rolled back, and holds nothing');
}

{
	# A claim that holds a message under a stop, and has not committed: the resumption
	# waits for it, also where what was stopped is gone.
	sql($node, q{SELECT outreach.stop_sending('number', '+12125550101', 'a test', 'team_a');
		CREATE TRIGGER stand_still_held BEFORE UPDATE ON outreach.outbound_messages FOR EACH ROW
			WHEN (NEW.held_by IS NOT NULL AND OLD.held_by IS NULL) EXECUTE FUNCTION public.stand_still()});
	my ($gate, $id) = in_progress();
	sql($node, q{SET session_replication_role = replica; DELETE FROM outreach.numbers WHERE phone = '+12125550101'});
	my $resuming = waiter("SELECT outreach.resume_sending('number', '+12125550101', 'team_a')");
	release($gate);
	is(ended($resuming), 1, 'a resumption waits for a claim that holds a message under its stop, and releases that');
	is(at_rest($id), 'sent', 'which is sent');
	sql($node, q{DROP TRIGGER stand_still_held ON outreach.outbound_messages;
		SELECT outreach.add_number('team_a', '+12125550101', 'signalhouse')});
}

{
	my ($gate, $first) = in_progress();
	my $disarming = waiter("SELECT outreach.disarm('a test')");
	my $second = ask();

	release($gate);
	ended($disarming);
	is(at_rest($first), 'sent', 'disarm() waits for the claim in progress');
	is(message($node, $second)->{status}, 'pending', 'nothing is claimed after it');
	sql($node, 'SELECT outreach.arm()');
	is(at_rest($second), 'sent', 'until the database is armed again');
}

# ---- a cancellation, a lead that goes -----------------------------------------

{
	my ($gate, $id) = in_progress();
	my $cancelling = waiter("SELECT cancelled FROM outreach.cancel_message('team_a', '$id')");
	release($gate);
	is(ended($cancelling), 'f', 'a cancellation waits for the claim, and is too late');
	is(at_rest($id), 'sent', 'sent');
	is_accepted($id, 1, 'once');

	for my $end ([ 'COMMIT', 'cancelled', 0 ], [ 'ROLLBACK', 'sent', 1 ])
	{
		my ($how, $status, $times) = @$end;
		my $table = no_claims();
		my $claimed = ask();
		my $cancel = holder("SELECT outreach.cancel_message('team_a', '$claimed')");
		release($table);
		is_passed_by($claimed, 'a cancellation is under way');
		release($cancel, $how);
		is(at_rest($claimed), $status, "$how: $status");
		is_accepted($claimed, $times, "accepted $times times");
	}
}

{
	my ($gate, $id) = in_progress();
	my $deleting = waiter("DELETE FROM outreach.leads WHERE lead_id = 'lead_$n'");
	release($gate);
	ended($deleting);
	is(at_rest($id), 'sent', 'a lead that is deleted during the claim: the message is sent');
	is_accepted($id, 1, 'once');

	my $table = no_claims();
	$id = ask();
	my $delete = holder("DELETE FROM outreach.leads WHERE lead_id = 'lead_$n'");
	release($table);
	is_passed_by($id, 'its lead is being deleted');
	release($delete);
	is(at_rest($id), 'cancelled', 'deleted before the claim: cancelled');
	is_accepted($id, 0, 'and never sent');
}
sql($node, 'DROP TRIGGER stand_still ON outreach.outbound_queue');

# ---- a callback before the answer is recorded ---------------------------------

# Of an account without references: the provider's id is all there is.  The
# recording is stopped before it notes that id.
sql($node, q{
	SELECT outreach.create_endpoint('team_a', '/w/early', 'twilio', 'none');
	CREATE TRIGGER stand_still BEFORE INSERT ON outreach.provider_message_ids FOR EACH ROW
		WHEN (NEW.message_id IS NOT NULL) EXECUTE FUNCTION public.stand_still()});
for my $early ([ 'delivered', '', 'delivered' ], [ 'failed', '&ErrorCode=21610', 'failed' ])
{
	my ($status, $code, $becomes) = @$early;
	my $lead = 'lead_' . ($n + 1);
	my ($gate, $id) = in_progress(from_phone => '+12125550102');
	my ($accepted) = grep { $_->{body} eq "Hello $n" } $provider->accepted;

	is(sql($node, qq{SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/early',
		'body', 'MessageSid=$accepted->{id}&MessageStatus=$status$code'))}), 'accepted', "$status comes before the answer is recorded");
	is(sql($node, "SELECT to_status FROM outreach.callbacks_unmatched WHERE provider_message_id = '$accepted->{id}'"), $status, 'it is parked');
	release($gate);
	is(at_rest($id), $becomes, 'and applied when the answer is recorded');
	is(sql($node, 'SELECT count(*) FROM outreach.callbacks_unmatched'), 0, 'nothing is parked any more');
	is(sql($node, "SELECT p.consent FROM outreach.phones p JOIN outreach.leads l USING (tenant_id, phone) WHERE l.lead_id = '$lead'"),
		$code ? 'opted_out' : 'unknown', 'with what its code says of the phone');
}
is(sql($node, "SELECT delivered || ' ' || failed FROM outreach.numbers WHERE phone = '+12125550102'"), '1 1', 'and of the number');

sql($node, 'DROP TRIGGER stand_still ON outreach.provider_message_ids');

# ---- an id that a reference told ----------------------------------------------

{
	my $shim = start_shim($node);
	sending_callbacks($node, $shim);
	$n++;
	my %same = (lead_id => "lead_$n", from_phone => '+12125550102', body => 'The same text twice');

	# the answer is lost, its callback names the message
	$provider->config(rules => [ { fault => 'lose_answer', body => 'The same text twice', times => 1 } ]);
	$provider->config(callbacks => 'sent');
	my $first = send_message($node, %same, send_key => 'twice 1')->{message_id};
	is(at_rest($first), 'sent', 'a callback tells that a message was accepted');
	# the other was not accepted: the list shows the first alone
	$provider->config(rules => [ { fault => 'reset_before', body => 'The same text twice', times => 1 } ]);
	my $second = send_message($node, %same, send_key => 'twice 2')->{message_id};
	is(at_rest($second), 'sent', 'another of the same text is looked up');
	is_accepted($second, 2, 'and tried again, for the one that is listed is the first');
	isnt(message($node, $second)->{provider_message_id}, message($node, $first)->{provider_message_id}, 'each has an id of its own');
	$provider->quiesce;
}

is(sql($node, "SELECT count(*) FROM outreach.outbound_messages m WHERE status = 'sent'
	AND NOT EXISTS (SELECT FROM outreach.message_deliveries d WHERE d.message_id = m.message_id)"), 0, 'what was sent has a delivery');
is($provider->counter('doubled'), 0, 'nothing was accepted twice');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
