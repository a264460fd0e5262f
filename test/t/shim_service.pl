# The shim as a service: configuration, listeners, TLS, limits on connections and
# memory, reload.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Open3;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

require './test/support/shim-client.pl';

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none');
});

my %patient = map { $_ => '120s' }
  qw(header_timeout request_timeout idle_timeout reply_timeout queue_timeout database_call_timeout handshake_timeout);
my $program = OutreachTest::_shim_program();
my $dir = PostgreSQL::Test::Utils::tempdir();
my $health = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
my $serial = 0;

sub fresh
{
	return sprintf('{"event":"service","id":"%d"}', ++$serial);
}

sub write_file
{
	my ($name, $text) = @_;
	open(my $out, '>', "$dir/$name") or die "$dir/$name: $!";
	print $out $text;
	close($out);
	return "$dir/$name";
}

# Runs the program with arguments: (exit status, standard output, standard error)
sub run_shim
{
	my ($env, @args) = @_;
	local %ENV = (%ENV, %$env);
	my ($out, $err);
	IPC::Run::run([ $program, @args ], '<', \undef, '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# ------------------------------------------------------------- configuration

{
	my $file = write_file('good.conf', <<'CONF');
# a comment
database = host=/nowhere user=u password=hunter2 dbname=d
queue_timeout=3 s
body_limit = 100kB
listen = 127.0.0.1:0
CONF
	my ($status, $out, $err) = run_shim({ OUTREACH_MAX_BATCH => '7' }, '--config', $file, '--show-config');
	is($status, 0, 'configuration shown');
	my @names = $out =~ /^(\w+) = /mg;
	cmp_ok(scalar @names, '>', 25, 'all settings');
	is_deeply(\@names, [ sort @names ], 'in alphabetical order');
	like($out, qr/^queue_timeout = 3s$/m, 'value from the file');
	like($out, qr/^max_batch = 7$/m, 'value from the environment');
	like($out, qr/^idle_timeout = 15s$/m, 'default value');
	like($out, qr/^database = .*password=\*{8}/m, 'password hidden');
	unlike($out . $err, qr/hunter2/, 'and nowhere else');
	my ($again, $out2) = run_shim({}, '--config', write_file('shown.conf', $out), '--show-config');
	is($out2, $out, 'what is shown can be read again');
	open(my $in, '<', 'shim/shim.conf.sample') or die "shim.conf.sample: $!";
	my $sample = do { local $/; <$in> };
	$sample =~ s/^#(\w+ =)/$1/mg;
	my (undef, $defaults) = run_shim({}, '--show-config');
	my (undef, $sampled) = run_shim({}, '--config', write_file('sample.conf', $sample), '--show-config');
	is($sampled, $defaults, 'the sample holds the defaults');
	is_deeply([ $sample =~ /^(\w+) =/mg ], \@names, 'of every setting');
	is_deeply([ $sample =~ /^# (.*\(default .*)/mg ], [ $defaults =~ /^# (.*)/mg ], 'and says the same about them');

	my %bad = (
		'nonsense = 1' => qr/no such setting/,
		'max_batch' => qr/name = value/,
		'max_batch = 0' => qr/max_batch must be a number from 1 to 1000/,
		'max_batch = many' => qr/max_batch must be/,
		'max_batch = 99999999999' => qr/max_batch must be/,
		'body_limit = 2MB' => qr/body_limit must be/,
		'idle_timeout = 5 fortnights' => qr/idle_timeout must be/,
		'database_prepare = maybe' => qr/must be on or off/,
		'database = password=hunter2 host' => qr/not a valid connection string/,
		'database =' => qr/database is not set/,
		'listen = nowhere' => qr/listen must be/,
		'listen = unix:relative' => qr/listen must be/,
		'listen =' => qr/both empty/,
		'tls_listen = 127.0.0.1:0' => qr/needs tls_certificate/,
		'trusted_proxies = 10.0.0.0\/40' => qr/trusted_proxies must be/,
		'log_level = loud' => qr/log_level must be/,
		'unix_socket_mode = 0999' => qr/unix_socket_mode must be/,
	);
	for my $line (sort keys %bad)
	{
		my ($s, $o, $e) = run_shim({}, '--config', write_file('bad.conf', "$line\n"), '--check');
		is($s, 1, "refused: $line");
		like($e, $bad{$line}, "with the reason: $line");
		unlike($e, qr/hunter2/, "without the value: $line");
	}
	is((run_shim({}, '--config', "$dir/absent.conf", '--check'))[0], 1, 'a missing file is an error');
	is((run_shim({}, '--nonsense'))[0], 1, 'so is an unknown option');
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0);
	my ($s, $o, $e) = run_shim({ OUTREACH_DATABASE => 'host=/nowhere', OUTREACH_LISTEN => '127.0.0.1:' . $taken->sockport });
	is($s, 1, 'so is an address that is taken');
	like($e, qr/cannot listen on .*in use/, 'with the reason');
	like((run_shim({ OUTREACH_QUEUE_LIMIT => 'x' }, '--check'))[2], qr/queue_limit must be/, 'and a bad environment');
}

# ------------------------------------------------------------- unix socket

{
	my $path = PostgreSQL::Test::Utils::tempdir_short() . '/http.sock';
	my $stale = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!";
	close($stale);
	my $port = free_port();
	my $s = start_shim($node, port => $port, conf => {
		%patient, listen => "127.0.0.1:$port, unix:$path", unix_socket_mode => '0600', trusted_proxies => 'unix' });
	is((stat $path)[2] & 0777, 0600, 'the socket has its mode, and a stale one was replaced');
	my $sock = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!";
	syswrite($sock, $health);
	is(shim_answer($sock)->{status}, 200, 'served on a unix socket');
	syswrite($sock, shim_post(fresh(), '/w/open', 'X-Forwarded-For: 198.51.100.1, 203.0.113.9'));
	is(shim_answer($sock)->{status}, 200, 'a webhook too');
	syswrite($sock, shim_post(fresh(), '/w/open', 'X-Forwarded-For: nonsense'));
	shim_answer($sock);
	http($s, path => '/w/open', headers => [ [ 'X-Forwarded-For', '203.0.113.10' ] ], body => fresh());
	my @remote;
	wait_until(sub {
		@remote = map { $_->{remote} // 'none' } grep { ($_->{method} // '') eq 'POST' } shim_log($s);
		@remote >= 3 }, 'three lines in the log');
	is_deeply(\@remote, [ '203.0.113.9', 'none', '127.0.0.1' ], 'X-Forwarded-For of a trusted proxy alone, its last entry');
	$s->stop;
	ok(!-e $path, 'the socket file is removed at the stop');
}

# ------------------------------------------------------------- port 0

{
	my $s = bless { conf => {}, log => "$dir/port0.log" }, 'OutreachTest::Shim';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>', $s->{log});
		$ENV{OUTREACH_LISTEN} = '127.0.0.1:0';
		$ENV{OUTREACH_DATABASE} = 'host=/nowhere';
		exec($program) or POSIX::_exit(127);
	}
	my ($port) = wait_until(sub { -e $s->{log} && $s->log_text =~ /listening on 127\.0\.0\.1:(\d+)/ ? $1 : undef }, 'the port');
	is(http($port, method => 'GET', path => '/healthz')->{status}, 200, 'the port that was chosen is in the log');
	is(http($port, method => 'GET', path => '/readyz')->{status}, 503, 'up without a database');
	kill 'INT', $pid;
	waitpid($pid, 0);
	is($?, 0, 'SIGINT stops it in order');
}

# ------------------------------------------------------------- TLS

sub certificate
{
	my ($name) = @_;
	IPC::Run::run([ qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj),
		"/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.crt" ], '<', \undef, '>', '/dev/null', '2>', '/dev/null')
	  or die 'openssl req failed';
	return ("$dir/$name.crt", "$dir/$name.key");
}

# Talks to a TLS port with the openssl program; returns all it printed.
sub tls
{
	my ($port, $input, @args) = @_;
	my $pid = open3(my $in, my $out, undef, 'openssl', 's_client', '-connect', "127.0.0.1:$port", '-ign_eof', @args);
	local $SIG{PIPE} = 'IGNORE';
	print $in $input;
	$in->flush;
	my $text = do { local $/; <$out> };
	waitpid($pid, 0);
	return $text;
}

{
	my ($crt, $key) = certificate('first');
	my ($crt2, $key2) = certificate('second');
	my $port = free_port();
	my $s = start_shim($node, conf => { %patient,
		tls_listen => "127.0.0.1:$port", tls_certificate => $crt, tls_key => $key });
	my $closing = $health =~ s/Host: h/Host: h\r\nConnection: close/r;

	my $text = tls($port, shim_post(fresh(), '/w/open', 'Connection: close'));
	like($text, qr{HTTP/1\.1 200 OK}, 'a webhook over TLS');
	like($text, qr/CN ?= ?first/, 'with the certificate');
	like(tls($port, $closing, '-tls1_2'), qr{HTTP/1\.1 200 OK}, 'TLS 1.2');
	unlike(tls($port, $closing, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), qr{HTTP/1\.1}, 'not TLS 1.1');
	unlike(tls($port, $closing, '-tls1_2'), qr/TLS session ticket:/, 'no session tickets');
	unlike(tls($port, $closing), qr/New Session Ticket/i, 'nor in TLS 1.3');
	like(tls($port, $closing, '-alpn', 'h2,http/1.1'), qr/ALPN protocol: http\/1\.1/, 'HTTP/1.1 by ALPN');
	unlike(tls($port, $closing, '-alpn', 'h2'), qr{HTTP/1\.1}, 'nothing for a client that speaks h2 alone');
	unlike(http_raw($port, $health), qr{HTTP/1\.1}, 'plain text on the TLS port is not answered');
	like(tls($port, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n"), qr{HTTP/1\.1 400}, 'a refusal arrives');
	like(tls($port, shim_post('x' x 200_000, '/w/open', 'Connection: close')), qr{HTTP/1\.1 \d+}, 'a large body');

	@{ $s->{conf} }{qw(tls_certificate tls_key)} = ($crt2, $key2);
	$s->write_conf;
	$s->hup;
	wait_until(sub { $s->log_text =~ /"reloaded"/ }, 'the reload');
	like(tls($port, $closing), qr/CN ?= ?second/, 'a reload brings the new certificate');
	open(my $out, '>', $crt2);
	print $out "no certificate\n";
	close($out);
	$s->hup;
	wait_until(sub { $s->log_text =~ /going on with the certificate in use/ }, 'the second reload');
	like(tls($port, $closing), qr/CN ?= ?second/, 'a broken one is not taken');
	like((run_shim({ OUTREACH_DATABASE => 'host=/nowhere', OUTREACH_TLS_LISTEN => '127.0.0.1:0', OUTREACH_TLS_CERTIFICATE => $crt2, OUTREACH_TLS_KEY => $key2 },
		'--check'))[2], qr/^error: cannot use certificate/, '--check finds it');

	$s->{conf}{handshake_timeout} = '300ms';
	$s->write_conf;
	$s->hup;
	wait_until(sub { $s->log_text =~ /handshake_timeout changed/ }, 'the third reload');
	my $begun = time();
	is(http_raw($port, ''), '', 'a handshake that does not come');
	cmp_ok(time() - $begun, '>=', 0.29, 'is waited for until its deadline');
	$s->stop;
}

# ------------------------------------------------------------- reload

{
	my $s = start_shim($node, conf => { %patient, log_level => 'warning' });
	http($s, path => '/w/open', body => fresh());
	unlike($s->log_text, qr/"method":"POST"/, 'requests are not logged at level warning');
	$s->{conf}{log_level} = 'info';
	$s->{conf}{database_connections} = 3;
	$s->write_conf;
	$s->hup;
	wait_until(sub { $s->log_text =~ /"reloaded"/ }, 'the reload');
	like($s->log_text, qr/database_connections cannot be changed without a restart/, 'what needs a restart is named');
	http($s, path => '/w/open', body => fresh());
	wait_until(sub { $s->log_text =~ /correlation_id/ }, 'the request in the log');
	pass('the level has changed');
	$s->{conf}{max_batch} = 'none';
	$s->{conf}{log_level} = 'error';
	$s->write_conf;
	$s->hup;
	wait_until(sub { $s->log_text =~ /configuration not reloaded/ }, 'the reload');
	my $lines = () = $s->log_text =~ /correlation_id/g;
	http($s, path => '/w/open', body => fresh());
	wait_until(sub { (() = $s->log_text =~ /correlation_id/g) > $lines }, 'another request in the log');
	pass('an error in the file changes nothing');
	$s->stop;
}

# ------------------------------------------------------------- limits

sub cpu_seconds
{
	my ($pid) = @_;
	open(my $in, '<', "/proc/$pid/stat") or die;
	my @f = split / /, <$in> =~ s/^.*\) //r;
	return ($f[11] + $f[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

{
	my $s = start_shim($node, conf => { %patient, connection_limit => 4 });
	my @open = map { shim_send($s, $health) } 1 .. 4;
	is(shim_answer($_)->{status}, 200, 'within connection_limit') for @open;
	my $waiting = shim_send($s, $health);
	ok(!IO::Select->new($waiting)->can_read(0.5), 'the fifth waits to be accepted');
	like($s->log_text, qr/connection_limit reached/, 'which is logged');
	close(shift @open);
	is(shim_answer($waiting)->{status}, 200, 'and is served when one has gone');
	$s->stop;

	$s = start_shim($node, conf => { %patient, connections_per_address => 3 });
	@open = map { shim_send($s, $health) } 1 .. 3;
	is(shim_answer($_)->{status}, 200, 'within connections_per_address') for @open;
	is(http_raw($s, ''), '', 'one more of the same address is closed');
	my $other = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port, LocalAddr => '127.0.0.2');
	syswrite($other, $health);
	is(shim_answer($other)->{status}, 200, 'another address is served');
	close(shift @open);
	wait_until(sub { http($s, method => 'GET', path => '/healthz')->{status} == 200 }, 'room again');
	$s->{conf}{trusted_proxies} = '127.0.0.0/8';
	$s->write_conf;
	$s->hup;
	wait_until(sub { $s->log_text =~ /"reloaded"/ }, 'the reload');
	my @many = map { shim_send($s, $health) } 1 .. 10;
	is(scalar(grep { shim_answer($_)->{status} == 200 } @many), 10, 'a trusted proxy may have more');
	$s->stop;
}

{
	my $s = start_shim($node, conf => { %patient, memory_limit => '1MB' });
	my $part = substr(shim_post('x' x 250_000), 0, 240_000);
	my @open = map { shim_send($s, $part) } 1 .. 6;
	my @ready = wait_until(sub { my @r = IO::Select->new(@open)->can_read(0); @r ? \@r : undef }, 'the budget to run out');
	is(shim_answer($ready[0][0])->{body}, '{"error":"memory_limit"}', 'a body over the budget of all is refused');
	close($_) for @open;
	wait_until(sub { http($s, path => '/w/open', body => '{"x":"' . 'x' x 200_000 . '"}')->{status} == 200 }, 'room again');
	pass('and room comes back');
	$s->stop;
}

{
	# Out of descriptors: the program must neither spin nor stop.
	my $port = free_port();
	my $s = bless { port => $port, log => "$dir/emfile.log", env => {} }, 'OutreachTest::Shim';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>', $s->{log});
		$ENV{OUTREACH_LISTEN} = "127.0.0.1:$port";
		$ENV{OUTREACH_DATABASE} = connstr($node, 'postgres', 'test_shim');
		exec('/bin/sh', '-c', "ulimit -n 32; exec $program") or POSIX::_exit(127);
	}
	$s->{pid} = $pid;
	wait_until(sub { http($port, method => 'GET', path => '/readyz')->{status} == 200 }, 'the shim');
	my @open = grep { defined } map { http_open($port) } 1 .. 60;
	wait_until(sub { $s->log_text =~ /cannot accept, pausing/ }, 'the descriptors to run out');
	my $before = cpu_seconds($pid);
	sleep(1);
	cmp_ok(cpu_seconds($pid) - $before, '<', 0.3, 'out of descriptors it does not spin');
	close($_) for @open;
	wait_until(sub { http($port, method => 'GET', path => '/readyz', timeout => 5)->{status} == 200 }, 'it to recover');
	pass('and serves when there are some again');
	$s->stop;
}

done_testing();
