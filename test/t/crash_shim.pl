# The shim is killed with SIGKILL, at points that are held still and at random
# under load: what was answered 2xx is there, once, and what was not comes again.
# TORTURE_SECONDS makes the random part longer.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use IO::Select;
use OutreachTest;
use Provider;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{TORTURE_SECONDS} || 8;
my $node = new_cluster();
make_endpoint($node);
# a call that a lock holds up is not to be given up meanwhile
my %patient = map { $_ => '120s' } qw(database_call_timeout queue_timeout request_timeout);
my $shim = start_shim($node, port => quiet_port(),
	conf => { %patient, database_connections => 1 });
my $serial = 0;

# a request whose answer is awaited later
sub post
{
	my ($body) = @_;
	my $sock = http_open($shim) or die "connect: $!";
	$sock->syswrite(request_bytes(path => '/w/open', body => $body,
			headers => { 'content-type' => 'application/json' }));
	return $sock;
}

# the status that came on the connection, 0 when it ended without
sub status_of
{
	my ($sock) = @_;
	my $bytes = '';
	my $select = IO::Select->new($sock);
	1 while $select->can_read(60) && sysread($sock, $bytes, 4096, length $bytes);
	return $bytes =~ m{^HTTP/1\.1 (\d{3})} ? $1 : 0;
}

sub retry
{
	my ($body) = @_;
	return http($shim, path => '/w/open', body => $body,
		headers => { 'content-type' => 'application/json' });
}

sub count_of
{
	my ($key) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM outreach.inbound_payloads WHERE idempotency_key = '$key'");
}

# a session that holds every webhook up before its first write
my $holder = $node->background_psql('postgres', on_error_stop => 1);

sub hold { $holder->query_safe('BEGIN; LOCK TABLE outreach.webhook_receipts IN SHARE MODE;'); }
sub release { $holder->query_safe('COMMIT;'); }

sub wait_for_call
{
	wait_until(sub { backend_pids($node, "usename = 'test_shim' AND wait_event_type = 'Lock'") },
		'a call to wait for the lock');
}

sub wait_for_no_call
{
	wait_until(sub { !backend_pids($node, "usename = 'test_shim' AND state <> 'idle'") },
		'the call to end');
}

# 1: read, but before BEGIN: the only connection is busy with another one
{
	my ($first, $first_key) = message('point_first', '+12125550101', 'hello');
	my ($second, $second_key) = message('point_queued', '+12125550101', 'hello again');
	hold();
	my $a = post($first);
	wait_for_call();
	my $b = post($second);
	# the shim has read it when it has answered a later request
	is(http($shim, method => 'GET', path => '/healthz')->{status}, 200, 'alive while a call waits');
	$shim->kill9;
	is(status_of($b), 0, 'killed before BEGIN: no answer');
	is(status_of($a), 0, 'killed during the call: no answer');
	release();
	wait_for_no_call();
	is(count_of($second_key), 0, 'what was only read left nothing');
	is(count_of($first_key), 1, 'the call that had begun was completed by its backend');
	$shim->start;
	is(retry($second)->{status}, 200, 'the first comes again');
	is(retry($first)->{status}, 200, 'so does the second');
	expect_effects($node, 'before and during the call', $first_key, $second_key);
}

# 2: after COMMIT, before the answer: the shim is stopped while its call waits,
# so the answer of the database is the last thing that happens
{
	my ($body, $key) = message('after_commit', '+12125550102', 'hello');
	hold();
	my $sock = post($body);
	wait_for_call();
	kill 'STOP', $shim->pid;
	release();
	wait_until(sub { count_of($key) == 1 }, 'the commit');
	$shim->kill9;
	is(status_of($sock), 0, 'killed after COMMIT: no answer');
	$shim->start;
	is(retry($body)->{status}, 200, 'the repetition is answered as the first would have been');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM outreach.events
			WHERE event_type = 'webhook.inbound.duplicate_rejected'}), 2, 'and known to be one');
	expect_effects($node, 'after COMMIT', $key);
}

# 3: a full queue: 503 at once, and what was answered 503 left nothing
$shim->{conf}{queue_limit} = 5;
$shim->restart;
{
	my %body;
	hold();
	for my $n (1 .. 40)
	{
		my ($body, $key) = message("overflow_$n", sprintf('+121255502%02d', $n), 'hello');
		$body{$key} = { body => $body, sock => post($body) };
		# the first alone is in the call, so that the rest queues up
		wait_for_call() if $n == 1;
	}
	my @refused;
	my $select = IO::Select->new(map { $_->{sock} } values %body);
	wait_until(sub { scalar($select->can_read(0)) >= 34 }, 'the refusals');
	my %readable = map { $_ => 1 } $select->can_read(0);
	@refused = grep { $readable{ $body{$_}{sock} } } keys %body;
	is(scalar(@refused), 34, 'one in the call, five in the queue, the others refused');
	my $text = '';
	sysread($body{ $refused[0] }{sock}, $text, 4096);
	like($text, qr{^HTTP/1\.1 503 .*^retry-after: [1-9]\d*\r$}msi, 'with 503 and Retry-After');
	release();
	for my $key (grep { !$readable{ $body{$_}{sock} } } keys %body)
	{
		is(status_of($body{$key}{sock}), 200, 'what waited is accepted');
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM outreach.inbound_payloads
			WHERE idempotency_key LIKE '/w/open:overflow%'}), 6, 'what was refused left nothing');
	is(join(',', grep { $_ != 200 } map { retry($body{$_}{body})->{status} } @refused), '',
		'and is accepted when it comes again');
	expect_effects($node, 'queue overflow', keys %body);
}
$holder->quit;

# 4: at random, under load
delete $shim->{conf}{$_} for keys %patient, qw(database_connections queue_limit);
$shim->restart;
{
	my $load = Provider->start(port => $shim->port);
	my $end = time() + $seconds;
	my $kills = 0;
	$load->busy(50);
	while (time() < $end)
	{
		sleep(rand(0.6));
		$shim->kill9;
		$kills++;
		$shim->start;
	}
	my $figures = $load->finish($node, 'at random');
	cmp_ok($kills, '>=', 3, 'the shim was killed');
	note("figures kills=$kills ", join ' ', map { "$_=$figures->{$_}" } sort keys %$figures);
}

is($shim->stop, 0, 'the last shim ends well');
done_testing();
