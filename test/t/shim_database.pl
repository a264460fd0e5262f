# What the shim answers when the database is slow, wrong, down or gone: 2xx only
# for what has been committed, 503 with Retry-After for everything it cannot know.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

require './test/support/shim-client.pl';

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none');
	CREATE SEQUENCE public.faults;
	GRANT USAGE ON SEQUENCE public.faults TO PUBLIC;
});

my %patient = map { $_ => '120s' }
  qw(header_timeout request_timeout idle_timeout reply_timeout queue_timeout database_call_timeout);
my $serial = 0;

sub fresh
{
	return sprintf('{"event":"test","id":"%d","note":"%s"}', ++$serial, $_[0] // '');
}

sub receipts
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM outreach.webhook_receipts');
}

# Fails the transaction when it commits, after its rows have been returned.
sub fail_at_commit
{
	my ($body) = @_;
	$node->safe_psql('postgres', qq{
		ALTER SEQUENCE public.faults RESTART;
		CREATE FUNCTION public.fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
		SET search_path = pg_catalog, pg_temp AS \$\$ BEGIN $body RETURN NULL; END \$\$;
		CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON outreach.webhook_receipts
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fault();
	});
}

sub no_fault
{
	$node->safe_psql('postgres', q{
		DROP TRIGGER fault ON outreach.webhook_receipts; DROP FUNCTION public.fault();
	});
}

# Holds every webhook up until it is told to commit.
sub hold
{
	my $session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe('BEGIN; LOCK TABLE outreach.webhook_receipts IN ACCESS EXCLUSIVE MODE;');
	return $session;
}

sub release
{
	my ($session) = @_;
	$session->query_safe('COMMIT');
	$session->quit;
}

sub wait_for_blocked
{
	my ($count) = @_;
	$node->poll_query_until('postgres',
		"SELECT count(*) = $count FROM pg_stat_activity WHERE usename = 'test_shim' AND wait_event_type = 'Lock'")
	  or die 'nobody waits';
}

sub is_retry_later
{
	my ($r, $reason, $name) = @_;
	is($r->{status}, 503, $name);
	is($r->{body}, qq({"error":"$reason"}), "$name: the reason");
	like($r->{headers}{'retry-after'} // '', qr/^[2-4]$/, "$name: when to come again");
	ok(!exists $r->{headers}{connection}, "$name: the connection is kept");
}

# ------------------------------------------------------------- commit

my $shim = start_shim($node, conf => { %patient, database_connections => 1, batch_threshold => 3 });

{
	my $before = receipts();
	fail_at_commit(q{RAISE EXCEPTION 'canary %', NEW USING ERRCODE = '53100';});
	is_retry_later(shim_answer(shim_send($shim, shim_post(fresh('canary-body')))), 'database_error',
		'a commit that fails is not answered 2xx');
	is(receipts(), $before, 'and left nothing');
	no_fault();

	fail_at_commit(q{IF nextval('public.faults') = 1 THEN RAISE EXCEPTION 'canary' USING ERRCODE = '40001'; END IF;});
	is(shim_answer(shim_send($shim, shim_post(fresh())))->{status}, 200, 'a serialisation failure is tried again');
	is(receipts(), $before + 1, 'with one effect');
	no_fault();

	fail_at_commit(q{PERFORM nextval('public.faults'); RAISE EXCEPTION 'canary' USING ERRCODE = '40P01';});
	is_retry_later(shim_answer(shim_send($shim, shim_post(fresh()))), 'database_error', 'but once only');
	is($node->safe_psql('postgres', 'SELECT last_value FROM public.faults'), 2, 'two attempts in all');
	no_fault();
	fail_at_commit(q{IF nextval('public.faults') = 1 THEN EXECUTE 'DEALLOCATE ALL'; END IF;});
	is(shim_answer(shim_send($shim, shim_post(fresh())))->{status}, 200, 'served while a pooler takes the prepared statements away')
	  for 1 .. 3;
	like($shim->log_text, qr/going without/, 'after that it does without them');
	no_fault();

	unlike($shim->log_text, qr/canary/, 'nothing of a statement or its error text is in the log');
	like($shim->log_text, qr/SQLSTATE 53100/, 'its SQLSTATE is');
}

# ------------------------------------------------------------- batches

{
	my $before = receipts();
	my $lock = hold();
	my $first = shim_send($shim, shim_post(fresh()));
	wait_for_blocked(1);
	my @targets = map { $_ % 3 ? '/w/open' : '/w/nobody' } 1 .. 30;
	my @socks = map { shim_send($shim, shim_post(fresh(), $_)) } @targets;
	wait_until(sub { http($shim, method => 'GET', path => '/healthz')->{status} == 200 }, 'all to be read');
	release($lock);
	is(shim_answer($first)->{status}, 200, 'the one that waited for the lock');
	my @answers = map { shim_answer($_) } @socks;
	is_deeply([ map { $_->{status} == 200 ? 1 : 0 } @answers ], [ map { $_ eq '/w/open' ? 1 : 0 } @targets ],
		'of thirty in a call or two each gets its own answer');
	is(receipts(), $before + 21, 'and each has its effect');
	# where the call before has taken long, its lane goes among itself
	wait_until(sub {
			my %batch = map { ($_->{batch} // 0) => 1 } shim_log($shim);
			return $batch{30} || ($batch{20} && $batch{10});
		}, 'the log');
	pass('they shared a call or two');

	$lock = hold();
	$first = shim_send($shim, shim_post(fresh()));
	wait_for_blocked(1);
	@socks = map { shim_send($shim, shim_post($_ == 4 ? '{"event":"poison"}' : fresh())) } 1 .. 8;
	http($shim, method => 'GET', path => '/healthz');
	# the fault comes with the commit that releases the lock
	$lock->query_safe(q{
		CREATE FUNCTION public.fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
		SET search_path = pg_catalog, pg_temp AS $$ BEGIN
		IF nextval('public.faults') IN (6, 11) THEN RAISE EXCEPTION 'canary' USING ERRCODE = '23514'; END IF;
		RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON outreach.webhook_receipts
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fault();
		ALTER SEQUENCE public.faults RESTART;
	});
	release($lock);
	@answers = map { shim_answer($_) } $first, @socks;
	my $failed = grep { $_->{status} == 503 } @answers;
	my $done = grep { $_->{status} == 200 } @answers;
	is("$failed $done", '1 8', 'one bad webhook fails alone, not the whole call');
	no_fault();
}

# ------------------------------------------------------------- loss

{
	my $lock = hold();
	my $sock = shim_send($shim, shim_post(fresh()));
	wait_for_blocked(1);
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'test_shim'});
	is_retry_later(shim_answer($sock), 'database_lost', 'the backend is gone');
	release($lock);
	# the same connection goes on, and so does the shim with a new backend
	syswrite($sock, shim_post(fresh()));
	is(shim_answer($sock)->{status}, 200, 'the next webhook is served');

	$node->stop('fast');
	wait_until(sub { http($shim, method => 'GET', path => '/readyz')->{status} == 503 }, 'the shim to notice');
	is(http($shim, method => 'GET', path => '/healthz')->{status}, 200, 'alive without a database');
	wait_until(sub { http($shim, path => '/w/open', body => fresh())->{body} =~ /database_down/ }, 'the queue to close');
	my $begun = time();
	$sock = shim_send($shim, shim_post(fresh()) x 2);
	is_retry_later(shim_answer($sock), 'database_down', 'database down');
	is_retry_later(shim_answer($sock), 'database_down', 'database down, the next on the same connection');
	cmp_ok(time() - $begun, '<', 30, 'at once, not after a timeout of the queue');
	$node->start;
	wait_until(sub { http($shim, method => 'GET', path => '/readyz')->{status} == 200 }, 'the shim to come back');
	is(http($shim, path => '/w/open', body => fresh())->{status}, 200, 'and it serves again');
}
$shim->stop;

# ------------------------------------------------------------- time and room

{
	my $tight = start_shim($node, conf => {
		%patient, database_connections => 1, max_batch => 1, batch_threshold => 1, queue_limit => 3 });
	my $lock = hold();
	my $first = shim_send($tight, shim_post(fresh()));
	wait_for_blocked(1);
	my @socks = map { shim_send($tight, shim_post(fresh())) } 1 .. 3;
	http($tight, method => 'GET', path => '/healthz');
	is_retry_later(shim_answer(shim_send($tight, shim_post(fresh()))), 'queue_full', 'queue over its limit');

	# a client that gives up makes room
	my $gone = pop @socks;
	$gone->setsockopt(1, 13, pack('ii', 1, 0));	# SO_LINGER: reset
	close($gone);
	wait_until(sub { $tight->log_text =~ /client_reset/ }, 'the reset to be seen');
	release($lock);
	is(shim_answer($_)->{status}, 200, 'the others are served') for $first, @socks;

	$tight->{conf}{queue_timeout} = '200ms';
	$tight->{conf}{queue_limit} = 1000;
	$tight->write_conf;
	$tight->hup;
	wait_until(sub { $tight->log_text =~ /"reloaded"/ }, 'the reload');
	$lock = hold();
	$first = shim_send($tight, shim_post(fresh()));
	wait_for_blocked(1);
	is_retry_later(shim_answer(shim_send($tight, shim_post(fresh()))), 'queue_timeout', 'too long in the queue');
	release($lock);
	is(shim_answer($first)->{status}, 200, 'a call in progress is not touched by that');

	$tight->{conf}{database_call_timeout} = '300ms';
	$tight->write_conf;
	$tight->hup;
	wait_until(sub { $tight->log_text =~ /database_call_timeout changed/ }, 'the reload');
	my $before = receipts();
	$lock = hold();
	is_retry_later(shim_answer(shim_send($tight, shim_post(fresh()))), 'database_timeout', 'a call that takes too long');
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'test_shim' AND state = 'active'})
	  or die 'still running';
	pass('its statement is cancelled');
	release($lock);
	is(receipts(), $before, 'and had no effect');
	wait_until(sub { http($tight, method => 'GET', path => '/readyz')->{status} == 200 }, 'a new connection');
	is(http($tight, path => '/w/open', body => fresh())->{status}, 200, 'then it serves again');
	$tight->stop;
}

# ------------------------------------------------------------- a stop in the middle

{
	my $s = start_shim($node, conf => { %patient, drain_timeout => '120s' });
	my $lock = hold();
	my $busy = shim_send($s, shim_post(fresh()));
	my $idle = http_open($s);
	my $half = shim_send($s, substr(shim_post(fresh()), 0, 40));
	wait_for_blocked(1);
	$s->term;
	wait_until(sub { !http_open($s) }, 'the listener to close');
	is(sysread($idle, my $nothing, 1), 0, 'an idle connection is closed');
	release($lock);
	my $r = shim_answer($busy);
	is($r->{status}, 200, 'what was read is answered');
	is($r->{headers}{connection}, 'close', 'and the connection closed');
	syswrite($half, 'x');
	close($half);
	is($s->wait_end, 0, 'then the shim ends in order');

	$s = start_shim($node, conf => { %patient, drain_timeout => '300ms' });
	$lock = hold();
	$busy = shim_send($s, shim_post(fresh()));
	wait_for_blocked(1);
	$s->term;
	is($s->wait_end, 0, 'drain_timeout bounds the stop');
	is(shim_answer($busy)->{status}, 0, 'what was not done is not answered');

	$s = start_shim($node, conf => { %patient, drain_timeout => '120s' });
	$busy = shim_send($s, shim_post(fresh()));
	$node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'test_shim' AND wait_event_type = 'Lock'});
	$s->term;
	wait_until(sub { $s->log_text =~ /stopping on signal/ }, 'the first signal');
	$s->term;
	is($s->wait_end >> 8, 1, 'the second signal ends it at once');
	release($lock);
}

# ------------------------------------------------------------- fit for a call

{
	$node->safe_psql('postgres', 'CREATE DATABASE bare');
	my $s = start_shim($node, db => 'bare', ready => 0, conf => { database_check_interval => '50ms' });
	wait_until(sub { http($s, method => 'GET', path => '/readyz')->{body} =~ /functions_missing/ }, 'the check');
	is(http($s, path => '/w/open', body => '{}')->{status}, 503, 'no extension: 503');
	$node->safe_psql('bare', 'CREATE EXTENSION pg_outreach');
	wait_until(sub { http($s, method => 'GET', path => '/readyz')->{status} == 200 }, 'the extension to be seen');
	is(http($s, method => 'GET', path => '/readyz')->{body}, '{"status":"ready","armed":false}', 'ready, though nobody has armed it yet');
	cmp_ok(http($s, path => '/w/open', body => '{}')->{status}, '<', 500, 'with it the database answers');
	$node->safe_psql('bare', 'DROP EXTENSION pg_outreach CASCADE');
	wait_until(sub { http($s, method => 'GET', path => '/readyz')->{status} == 503 }, 'its absence to be seen');
	$s->stop;

	$node->safe_psql('postgres', 'ALTER ROLE test_shim SET default_transaction_read_only = on');
	$s = start_shim($node, ready => 0);
	wait_until(sub { $s->log_text =~ /read-only/ }, 'the check');
	is(http($s, method => 'GET', path => '/readyz')->{status}, 503, 'a read-only server is not ready');
	$s->stop;
	$node->safe_psql('postgres', 'ALTER ROLE test_shim RESET default_transaction_read_only');

	$node->safe_psql('postgres', q{
		CREATE TABLE public.seen (setting text);
		ALTER ROLE test_shim SET synchronous_commit = off});
	fail_at_commit(q{INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));});
	for my $prepare (qw(on off))
	{
		$s = start_shim($node, conf => { database_prepare => $prepare });
		is(http($s, path => '/w/open', body => fresh())->{status}, 200, "accepted, prepared statements $prepare");
		$s->stop;
	}
	is($node->safe_psql('postgres', 'SELECT DISTINCT setting FROM public.seen'), 'on',
		'the commit waits for the disk, whatever the role says');
	no_fault();
}

done_testing();
