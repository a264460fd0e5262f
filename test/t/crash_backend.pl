# Backends are killed with SIGKILL, before, during and after COMMIT and at random
# under load, and the whole database is stopped as if the power had failed: what
# was answered 2xx is there, once.  TORTURE_SECONDS makes the random part longer.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use IO::Select;
use IPC::Run ();
use OutreachTest;
use Provider;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{TORTURE_SECONDS} || 10;
# commits can be made to wait for a standby only where there could be one
my $node = new_cluster(conf => "wal_level = replica\nmax_wal_senders = 2\n");
make_endpoint($node);
my $shim = start_shim($node, port => quiet_port(),
	conf => { database_call_timeout => '120s', database_retry_max => '200ms' });

sub post
{
	my ($body) = @_;
	my $sock = http_open($shim) or die "connect: $!";
	$sock->syswrite(request_bytes(path => '/w/open', body => $body,
			headers => { 'content-type' => 'application/json' }));
	return $sock;
}

sub status_of
{
	my ($sock) = @_;
	my $bytes = '';
	my $select = IO::Select->new($sock);
	1 while $select->can_read(60) && sysread($sock, $bytes, 4096, length $bytes);
	return $bytes =~ m{^HTTP/1\.1 (\d{3})} ? $1 : 0;
}

sub wait_for_server
{
	wait_until(sub { ($node->psql('postgres', 'SELECT 1', timeout => 10))[0] == 0 }, 'the server to be back');
}

sub retry
{
	my ($body) = @_;
	my $status = 0;
	wait_until(
		sub {
			$status = http($shim, path => '/w/open', body => $body,
				headers => { 'content-type' => 'application/json' })->{status};
			$status != 503;
		},
		'an answer other than 503');
	return $status;
}

sub count_of
{
	my ($key) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM outreach.inbound_payloads WHERE idempotency_key = '$key'");
}

# Kills the backend that stands in the given wait with this webhook; returns the
# answer that its sender got.
sub kill_in_wait
{
	my ($body, $where) = @_;
	my $sock = post($body);
	my $pid = wait_until(sub { (backend_pids($node, "usename = 'test_shim' AND $where"))[0] },
		'the call to stand still');
	kill9($pid);
	my $status = status_of($sock);
	wait_for_server();
	return $status;
}

# before COMMIT, in the midst of the statement
{
	my ($body, $key) = message('before_commit', '+12125550101', 'hello');
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe('BEGIN; LOCK TABLE outreach.events IN SHARE MODE;');
	is(kill_in_wait($body, "wait_event_type = 'Lock'"), 503, 'killed before COMMIT: 503');
	eval { $holder->quit };
	is(count_of($key), 0, 'and nothing is left');
	is(retry($body), 200, 'it comes again');
	expect_effects($node, 'before COMMIT', $key);
}

# in COMMIT, before its record is written: a deferred trigger waits there
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(42);
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER wait_here AFTER INSERT ON outreach.webhook_receipts
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait_here();
});
{
	my ($body, $key) = message('in_commit', '+12125550102', 'hello');
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe('SELECT pg_advisory_lock(42)');
	is(kill_in_wait($body, "wait_event_type = 'Lock' AND wait_event = 'advisory'"), 503,
		'killed in COMMIT, before its record: 503');
	eval { $holder->quit };
	is(count_of($key), 0, 'and nothing is left');
	is(retry($body), 200, 'it comes again');
	expect_effects($node, 'in COMMIT, before its record', $key);
}
$node->safe_psql('postgres', 'DROP FUNCTION public.wait_here() CASCADE');

# in COMMIT, after its record is on disk: it waits for a standby that is not there
{
	my ($body, $key) = message('committed', '+12125550103', 'hello');
	$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	# backends begin to wait a moment after the setting is seen
	my $waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
	my ($probe, $ignored);
	wait_until(
		sub {
			$probe = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'),
					'-c', q{SELECT pg_logical_emit_message(true, 'test', '')} ], '&>', \$ignored)
			  unless $probe && $probe->pumpable;
			$node->safe_psql('postgres', "SELECT count(*) $waiting") > 0;
		},
		'commits to wait');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $waiting");
	$probe->finish;
	is(kill_in_wait($body, "wait_event = 'SyncRep'"), 503, 'killed in COMMIT, after its record: 503');
	is(count_of($key), 1, 'and all of it is there');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	is(retry($body), 200, 'it comes again');
	expect_effects($node, 'in COMMIT, after its record', $key);
	is($node->safe_psql('postgres', q{SELECT count(*) FROM outreach.events
			WHERE event_type = 'webhook.inbound.duplicate_rejected'}), 1, 'and was a duplicate');
}

# after COMMIT
{
	my ($body, $key) = message('after_commit', '+12125550104', 'hello');
	is(retry($body), 200, 'accepted');
	kill9((backend_pids($node, "usename = 'test_shim'"))[0]);
	wait_for_server();
	is(count_of($key), 1, 'killed after COMMIT: all of it is there');
	is(retry($body), 200, 'the repetition is answered the same');
	expect_effects($node, 'after COMMIT', $key);
}

# at random, under load: backends, and now and then the whole server
{
	my $load = Provider->start(port => $shim->port);
	my $end = time() + $seconds;
	my ($kills, $restarts) = (0, 0);
	$load->busy(50);
	while (time() < $end || $restarts == 0)
	{
		sleep(0.2 + rand(0.8));
		if ($kills % 5 == 3 && $kills / 5 > $restarts)
		{
			$node->stop('immediate');
			sleep(rand(0.3));
			$node->start;
			$restarts++;
		}
		else
		{
			my ($rc, $pid) = $node->psql('postgres', q{SELECT pid FROM pg_stat_activity
				WHERE usename = 'test_shim' ORDER BY state = 'active' DESC, random() LIMIT 1});
			next unless defined $rc && $rc == 0 && $pid =~ /^\d+$/;
			kill 'KILL', $pid;
			$kills++;
		}
		wait_for_server();
		$load->busy(20);
	}
	my $figures = $load->finish($node, 'at random');
	cmp_ok($kills, '>=', 3, 'backends were killed');
	cmp_ok($restarts, '>=', 1, 'the database was stopped at once');
	note("figures kills=$kills restarts=$restarts ", join ' ', map { "$_=$figures->{$_}" } sort keys %$figures);
}

unlike($node->log_content, qr/PANIC|TRAP:/, 'no panic, no failed assertion') if $node->can('log_content');
is($shim->stop, 0, 'the shim outlived all of it');
done_testing();
