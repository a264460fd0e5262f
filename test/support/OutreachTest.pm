package OutreachTest;

# Helpers for the TAP tests in test/t.
#
# A test runs under "make check SUITES=tap" (one file: TESTS=test/t/010_x.pl),
# which builds with assertions, stages an installation and sets the environment
# that this module needs: PO_STAGE (the staged installation), PG_REGRESS,
# TESTDATADIR, TESTLOGDIR, and PATH with the staged server first.  Clusters
# live in a scratch directory and listen on a Unix socket alone; the shim
# listens on a free loopback port.  Everything started here ends with the test.
#
#	use strict;
#	use warnings;
#	use lib 'test/support';
#	use OutreachTest;
#	use Test::More;
#
#	my $node = new_cluster();
#	create_extension($node);
#	$node->safe_psql('postgres', q{
#		SELECT outreach.create_tenant('team_a', 'A');
#		SELECT outreach.create_endpoint('team_a', 'ep_1', 'twilio', 'twilio',
#			'12345', 'https://hooks.example.com/w/ep_1');
#	});
#	my $shim = start_shim($node);
#	my $hook = signed('twilio', path => '/w/ep_1', secret => '12345',
#		url => 'https://hooks.example.com/w/ep_1',
#		body => payload('twilio-sms_inbound.form'));
#	my $answer = http($shim, %$hook);				# over HTTP
#	is($answer->{status}, 200, 'accepted');
#	my $row = ingest($node, $hook);					# the same, through SQL
#	is($row->{outcome}, 'duplicate', 'second time');
#	done_testing();
#
# Cluster
#	new_cluster(name => 'main', preload => 1, conf => "work_mem = 1MB\n", start => 1)
#		returns a started PostgreSQL::Test::Cluster: safe_psql, psql,
#		background_psql, poll_query_until, wait_for_log, stop, start, restart,
#		kill9, append_conf, connstr … (perldoc PostgreSQL::Test::Cluster).
#		Statements are not logged, a crashed backend restarts the server, and
#		outreach.secret_key_file names a fresh key.
#	create_extension($node, $db = 'postgres')
#		makes the extension and the login roles test_shim (outreach_ingress),
#		test_app (outreach_app), test_admin (outreach_admin), test_scheduler
#		(outreach_scheduler); roles that exist are left.
#	connstr($node, $db, $user)
#	sql($node, $sql, db => , user => , tenant => )
#		output of psql -AtX, fields parted by '|'; dies with the server's message
#		when a statement fails.  tenant: one transaction that has entered it.
#	sql_error($node, $sql, db => , user => , tenant => )
#		the SQLSTATE of the statement that failed, '' when none did.
#	backend_pids($node, $where)	pids from pg_stat_activity, a WHERE clause
#
# Webhooks (this part, HTTP and waiting are OutreachWebhook.pm, which needs no more
# than Perl and the openssl program)
#	payload($file)				bytes of a file of test/payloads
#	signed($scheme, %spec)		a webhook {method, path, query, headers, body}
#		spec: path, query, body, secret, url (twilio), timestamp (signalhouse:
#		milliseconds; standard_webhooks: seconds; default now), id
#		(standard_webhooks), family (standard_webhooks: what its headers begin
#		with, default webhook), header (hmac_sha256, secret_header: its name),
#		type (content type; found from the body when not given), headers (more)
#		schemes: none, token, secret_header, basic (secret: user, colon and
#		password), hmac_sha256, twilio, signalhouse,
#		ghl (secret: 32 seed bytes of the Ed25519 key; default the test key, whose
#		public half is GHL_TEST_PUBLIC_KEY), standard_webhooks
#	sign_twilio($token, $url, $body, $is_form), sign_signalhouse($secret, $ms,
#		$body), sign_hmac($secret, $body), sign_ghl($body, $seed),
#		sign_standard($secret, $id, $seconds, $body)	the bare signature
#	envelope($webhook)			the JSON that the shim would send for it
#	ingest($node, $webhook, db =>, user => )
#		ingest_webhook: {outcome, receipt_id, http_status, content_type, body}
#	ingest_many($node, [$webhook, …], …)		ingest_webhooks: list of the same
#
# Shim
#	start_shim($node, db =>, conf => {name => value}, env => {}, ready => 1)
#		object with port, pid, log (path), conf_file and the methods
#		stop (SIGTERM; returns the exit status), kill9, hup, term, alive,
#		log_text, restart; waits until it answers /healthz and, with ready,
#		/readyz.
#	http($shim, method =>, path =>, query =>, headers =>, body =>, timeout =>)
#		one request on a connection of its own: {status, reason, headers, body},
#		header names in lower case; status 0 and {error} when no answer came.
#		headers: hash (value may be an array) or array of pairs.
#	http_raw($shim, $bytes, timeout =>, shut => 0)
#		the bytes as they are; returns what came back until close or timeout.
#	http_open($shim)			a connected socket, for tests that dawdle
#	request_bytes(%request)		the request that http() would write
#
# Waiting
#	wait_until(sub { … }, $what)
#		calls it until true and returns its value; dies after a bound that no
#		healthy run comes near (PG_TEST_TIMEOUT_DEFAULT, 180 s).
#	within_a_second(sub { … }, $what)
#		asserts that what it does, and returns the seconds of by the server's clock,
#		takes less than one.  It has five tries: a busy machine is late now and then,
#		what waits for a lock each time.
#	kill9($pid)					SIGKILL, and waits until the process is gone
#	free_port()					a loopback port that is free now

use strict;
use warnings;

use Carp;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname basename);
use JSON::PP ();
use POSIX ();

use OutreachWebhook;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More ();

our @EXPORT = (
	qw(new_cluster create_extension connstr sql sql_error backend_pids
	  ingest ingest_many start_shim within_a_second kill9),
	@OutreachWebhook::EXPORT);

my $top = abs_path(dirname(__FILE__) . '/../..');
my @shims;

# A psql that cannot connect ends without reading what it is given. That is a
# connection that failed (2), as where it was quicker, and not the end of the test.
{
	no warnings 'redefine';
	my $psql = \&PostgreSQL::Test::Cluster::psql;
	*PostgreSQL::Test::Cluster::psql = sub {
		my ($node, $db, $sql, %opt) = @_;
		my $list = wantarray;
		my @result;
		local $SIG{PIPE} = 'IGNORE';
		eval { @result = $list ? $psql->(@_) : scalar $psql->(@_); 1 } or do
		{
			die $@ if $@ !~ /Broken pipe/ || $opt{on_error_die};
			@result = (2, '', 'psql: error: it did not read its input');
		};
		return $list ? @result : $result[0];
	};
}

# ---------------------------------------------------------------- clusters

sub new_cluster
{
	my (%opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($opt{name} // 'main');
	my $key = abs_path($node->basedir) . '/secret.key';

	_write_key($key);
	$node->init(extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ],
		%{ $opt{init} // {} });
	$node->append_conf('postgresql.conf', <<"CONF");
log_line_prefix = '%m [%p] %q%a '
log_statement = none
restart_after_crash = on
autovacuum_naptime = 10s
outreach.lock_wait = '30s'
outreach.secret_key_file = '$key'
CONF
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_outreach'\n")
	  if $opt{preload} // 1;
	$node->append_conf('postgresql.conf', $opt{conf}) if defined $opt{conf};
	$node->start if $opt{start} // 1;
	return $node;
}

sub _write_key
{
	my ($path) = @_;
	open(my $in, '<:raw', '/dev/urandom') or die "/dev/urandom: $!";
	read($in, my $bytes, 32) == 32 or die "short read of /dev/urandom";
	my $mask = umask(0077);
	open(my $out, '>:raw', $path) or die "$path: $!";
	print $out $bytes;
	close($out) or die "$path: $!";
	umask($mask);
}

sub create_extension
{
	my ($node, $db) = @_;
	$db //= 'postgres';
	$node->safe_psql($db, 'CREATE EXTENSION pg_outreach');
	for my $pair (
		[ test_shim => 'outreach_ingress' ],
		[ test_app => 'outreach_app' ],
		[ test_admin => 'outreach_admin' ],
		[ test_scheduler => 'outreach_scheduler' ])
	{
		my ($login, $group) = @$pair;
		next
		  if $node->safe_psql($db,
			"SELECT 1 FROM pg_roles WHERE rolname = '$login'") eq '1';
		$node->safe_psql($db, "CREATE ROLE $login LOGIN IN ROLE $group");
	}
	$node->safe_psql($db, q{SELECT outreach.grant_administration('test_admin'), outreach.grant_administration('test_scheduler')});
}

sub connstr
{
	my ($node, $db, $user) = @_;
	return $node->connstr($db // 'postgres')
	  . (defined $user ? " user=$user" : '');
}

# psql on one script; returns (exit status, stdout, stderr)
sub _psql
{
	my ($node, $sql, %opt) = @_;
	my ($out, $err) = ('', '');

	$sql = "BEGIN;\nSELECT outreach.enter_tenant("
	  . _literal($opt{tenant})
	  . ") \\g /dev/null\n$sql;\nCOMMIT;\n"
	  if defined $opt{tenant};
	local $SIG{PIPE} = 'IGNORE';
	my $rc = eval {
		IPC::Run::run(
			[
				'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose',
				'-f', '-', '-d', connstr($node, $opt{db}, $opt{user})
			],
			'<' => \$sql, '>' => \$out, '2>' => \$err);
		$?;
	};
	if (!defined $rc)
	{
		die $@ if $@ !~ /Broken pipe/;
		($rc, $err) = (2 << 8, 'psql: error: it did not read its input');
	}
	chomp $out;
	return ($rc, $out, $err);
}

sub sql
{
	my ($node, $sql, %opt) = @_;
	my ($rc, $out, $err) = _psql($node, $sql, %opt);
	croak "statement failed: $err\n$sql" if $rc != 0;
	return $out;
}

sub sql_error
{
	my ($node, $sql, %opt) = @_;
	my ($rc, $out, $err) = _psql($node, $sql, %opt);
	return '' if $rc == 0;
	return $err =~ /(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):/ ? $1 : "? $err";
}

sub backend_pids
{
	my ($node, $where) = @_;
	return split /\n/,
	  $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND ($where) ORDER BY 1");
}

# a string constant whatever the string holds; the psql variable quoting is not
# used because a payload may hold a colon
sub _literal
{
	my ($s) = @_;
	$s =~ s/'/''/g;
	return $s =~ s/\\/\\\\/g ? " E'$s'" : "'$s'";
}

# ---------------------------------------------------------------- webhooks

sub _rows
{
	my ($node, $sql, %opt) = @_;
	my $out = sql($node, "SELECT row_to_json(r) FROM ($sql) r",
		user => 'test_shim', %opt);
	return map { JSON::PP->new->decode($_) } split /\n/, $out;
}

sub ingest
{
	my ($node, $hook, %opt) = @_;
	my ($row) = _rows($node,
		'SELECT * FROM outreach.ingest_webhook('
		  . _literal(envelope($hook))
		  . '::jsonb)',
		%opt);
	return $row;
}

sub ingest_many
{
	my ($node, $hooks, %opt) = @_;
	return _rows($node,
		'SELECT * FROM outreach.ingest_webhooks(ARRAY['
		  . join(', ', map { _literal(envelope($_)) . '::jsonb' } @$hooks)
		  . ']::jsonb[])',
		%opt);
}

# ---------------------------------------------------------------- shim

# the program as staged, else as built in the tree
sub _shim_program
{
	for my $path ($ENV{PO_SHIM}, "$top/shim/outreach-shim")
	{
		return $path if defined $path && -x $path;
	}
	croak 'outreach-shim is neither staged nor built';
}

my $shim_count = 0;

sub start_shim
{
	my ($node, %opt) = @_;
	my $base = $PostgreSQL::Test::Utils::log_path . '/'
	  . basename($0, '.pl') . '_shim' . ++$shim_count;
	my $self = bless {
		node => $node,
		port => $opt{port} // free_port(),
		log => "$base.log",
		conf_file => "$base.conf",
		conf => {
			database => connstr($node, $opt{db}, $opt{user} // 'test_shim'),
			%{ $opt{conf} // {} }
		},
		env => $opt{env} // {},
		ready => $opt{ready} // 1
	  },
	  'OutreachTest::Shim';
	$self->{conf}{listen} //= "127.0.0.1:$self->{port}";
	push @shims, $self;
	$self->start;
	return $self;
}

package OutreachTest::Shim;

use Time::HiRes qw(sleep);

sub start
{
	my ($self) = @_;
	$self->write_conf;
	my $program = OutreachTest::_shim_program();
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		$ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} };
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $self->{log}) or POSIX::_exit(127);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(127);
		exec($program, '--config', $self->{conf_file}) or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	OutreachTest::wait_until(
		sub {
			die "outreach-shim ended: " . $self->log_text unless $self->alive;
			OutreachTest::http($self, method => 'GET', path => '/healthz')->{status} == 200;
		},
		'the shim to answer /healthz');
	OutreachTest::wait_until(
		sub {
			OutreachTest::http($self, method => 'GET', path => '/readyz')->{status} == 200;
		},
		'the shim to answer /readyz')
	  if $self->{ready};
}

# also for a test that changes $shim->{conf} and calls hup
sub write_conf
{
	my ($self) = @_;
	open(my $out, '>', $self->{conf_file}) or die "$self->{conf_file}: $!";
	print $out "$_ = $self->{conf}{$_}\n" for sort keys %{ $self->{conf} };
	close($out) or die "$self->{conf_file}: $!";
}

sub pid { return $_[0]{pid}; }
sub port { return $_[0]{port}; }
sub log { return $_[0]{log}; }

sub log_text
{
	my ($self) = @_;
	return PostgreSQL::Test::Utils::slurp_file($self->{log});
}

# reaps it when it has ended, so that its exit status is kept
sub alive
{
	my ($self) = @_;
	return 0 unless defined $self->{pid};
	# -1: reaped already, by kill9 for one
	if ((my $got = waitpid($self->{pid}, POSIX::WNOHANG())) != 0)
	{
		$self->{status} = $got > 0 ? $? : undef;
		$self->{pid} = undef;
		return 0;
	}
	return 1;
}

sub term { my ($self) = @_; kill 'TERM', $self->{pid} if $self->alive; }
sub hup { my ($self) = @_; kill 'HUP', $self->{pid} if $self->alive; }

sub wait_end
{
	my ($self) = @_;
	OutreachTest::wait_until(sub { !$self->alive }, 'the shim to end');
	return $self->{status};
}

sub stop
{
	my ($self) = @_;
	return $self->{status} unless $self->alive;
	$self->term;
	return $self->wait_end;
}

sub kill9
{
	my ($self) = @_;
	return unless $self->alive;
	kill 'KILL', $self->{pid};
	$self->wait_end;
}

sub restart
{
	my ($self) = @_;
	$self->stop;
	$self->start;
}

package OutreachTest;

# ---------------------------------------------------------------- waiting

sub within_a_second
{
	my ($code, $what) = @_;
	my @took;

	do { push @took, $code->() } until $took[-1] < 1 || @took == 5;
	return Test::More::ok($took[-1] < 1, "$what, within a second") || Test::More::diag("seconds: @took");
}

sub kill9
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	wait_until(sub { waitpid($pid, POSIX::WNOHANG()); !kill(0, $pid) },
		"process $pid to go");
}

END
{
	my $status = $?;
	$_->kill9 for @shims;
	$? = $status;
}

1;
