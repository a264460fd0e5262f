package Provider;

# A provider as the crash tests need one: processes that send webhooks, no two
# alike, and send each again until it is answered 2xx, as providers do after a
# reset, a timeout or a 5xx; and the comparison of what was acknowledged with
# what is in the database afterwards.
#
#	use lib 'test/support', 'test/torture';
#	my $shim = start_shim($node, port => quiet_port());
#	my $load = Provider->start(port => $shim->port);
#	… kill what is to be killed …
#	my $figures = $load->finish($node);		# adds its assertions
#
# start(port =>, workers => 8, path => '/w/open', prefix => 'load')
#	Every tenth webhook that was acknowledged is sent once more.
# busy($n)		waits until n more webhooks were acknowledged
# finish($node)	lets each worker bring the webhook it is at to its end, and
#				asserts that nothing is lost, doubled or unexpected
# quiet_port()	a free port that the kernel gives to nobody: a client that
#				tries a port of the ephemeral range while nothing listens there
#				can end up connected to itself
# expect_effects($node, $what, @keys)	asserts the same for single webhooks
# make_endpoint($node)	extension, tenant and the endpoint '/w/open'

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use IO::Handle;
use IO::Socket::INET;
use OutreachTest;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(quiet_port make_endpoint expect_effects message);

my $count = 0;

sub quiet_port
{
	for (1 .. 1000)
	{
		my $port = 20000 + int(rand(10000));
		my $sock = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port);
		return $port if $sock;
	}
	die 'no free port';
}

sub make_endpoint
{
	my ($node) = @_;
	create_extension($node);
	$node->safe_psql('postgres', q{
		SELECT outreach.create_tenant('team_a', 'A');
		SELECT outreach.create_endpoint('team_a', '/w/open', 'generic', 'none');
	});
}

# the body of a message, and the idempotency key that it will have
sub message
{
	my ($id, $phone, $text) = @_;
	return (qq({"event":"message.received","id":"$id","from":"$phone","body":"$text"}),
		"/w/open:$id:message.received");
}

sub _webhook
{
	my ($id, $n) = @_;
	# few phones, so that webhooks meet at the same leads
	return message($id, sprintf('+1212555%04d', 100 + $n % 20), $n % 50 ? 'who is this' : 'STOP')
	  if $n % 4;
	return (qq({"event":"skiptrace.completed","id":"$id","status":"done"}),
		"/w/open:$id:skiptrace.completed");
}

sub start
{
	my ($class, %opt) = @_;
	my $self = bless {
		workers => 8, path => '/w/open', prefix => 'load' . ++$count, pids => [], %opt
	}, $class;
	$self->{files} = abs_path(PostgreSQL::Test::Utils::tempdir());
	for my $worker (1 .. $self->{workers})
	{
		for my $name (qw(sent acked refused))
		{
			open($self->{out}{$name}, '>', "$self->{files}/$name.$worker") or die $!;
			$self->{out}{$name}->autoflush(1);
		}
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			eval { $self->_work($worker); 1 } or warn $@;
			POSIX::_exit($@ ? 1 : 0);
		}
		push @{ $self->{pids} }, $pid;
	}
	return $self;
}

sub _work
{
	my ($self, $worker) = @_;
	my ($running, $n, $again) = (1, 0, 0);
	my %file = %{ $self->{out} };
	local $SIG{TERM} = sub { $running = 0 };
	srand($$);
	while ($running)
	{
		my ($body, $key) = _webhook("$self->{prefix}.$worker." . ++$n, $worker * 1000 + $n);
		my $given_up = time() + 120;

		print { $file{sent} } "$key\n";
		for my $time (1 .. ($n % 10 ? 1 : 2))
		{
			while (time() < $given_up)
			{
				my $status = http({ port => $self->{port} }, path => $self->{path}, body => $body,
					headers => { 'content-type' => 'application/json' }, timeout => 5)->{status};
				if ($status >= 200 && $status < 300)
				{
					print { $file{acked} } "$key\n" if $time == 1;
					last;
				}
				print { $file{refused} } "$status $key\n" if $status >= 400 && $status < 500;
				sleep(0.01 + rand(0.05));
			}
		}
	}
}

sub _lines
{
	my ($self, $name) = @_;
	return map { split /\n/, PostgreSQL::Test::Utils::slurp_file("$self->{files}/$name.$_") }
	  1 .. $self->{workers};
}

sub _acked { my ($self) = @_; return scalar($self->_lines('acked')); }

sub busy
{
	my ($self, $n) = @_;
	my $until = $self->_acked + $n;
	wait_until(sub { $self->_acked >= $until }, "$n more webhooks");
}

# what became of the webhooks with these keys, against what was acknowledged
sub _compare
{
	my ($node, $sent, $acked, $ours) = @_;
	my $dir = abs_path(PostgreSQL::Test::Utils::tempdir());
	my %list = (sent => $sent, acked => $acked);
	for my $name (keys %list)
	{
		PostgreSQL::Test::Utils::append_to_file("$dir/$name", join('', map { "$_\n" } @{ $list{$name} }));
		chmod(0644, "$dir/$name");
	}
	chmod(0755, $dir);
	my $row = $node->safe_psql('postgres', <<"SQL");
		CREATE TEMP TABLE sent (key text COLLATE "C" PRIMARY KEY);
		CREATE TEMP TABLE acked (key text COLLATE "C" PRIMARY KEY);
		COPY sent FROM '$dir/sent';
		COPY acked FROM '$dir/acked';
		WITH seen AS (
			SELECT r.key, (SELECT count(*) FROM outreach.inbound_payloads p WHERE p.receipt_id = r.receipt_id AND p.status = 'done') AS payloads,
				   (SELECT count(*) FROM outreach.events e WHERE e.receipt_id = r.receipt_id
					AND e.event_type = 'webhook.inbound.received') AS effects
			  FROM (SELECT w.receipt_id, (SELECT min(p.idempotency_key) FROM outreach.inbound_payloads p
					WHERE p.tenant_id = w.tenant_id AND p.receipt_id = w.receipt_id) AS key FROM outreach.webhook_receipts w) r
			 WHERE $ours
		)
		SELECT (SELECT count(*) FROM acked LEFT JOIN seen USING (key)
				 WHERE seen.key IS NULL OR effects = 0 OR payloads = 0),
			   (SELECT count(*) FROM seen WHERE effects > 1 OR payloads > 1),
			   (SELECT count(*) FROM seen WHERE effects <> payloads),
			   (SELECT count(*) FROM seen LEFT JOIN sent USING (key) WHERE sent.key IS NULL),
			   (SELECT count(*) FROM outreach.inbound_payloads WHERE status <> 'done'),
			   (SELECT count(*) FROM outreach.verify());
SQL
	my %figure;
	@figure{qw(lost doubled torn unexpected unfinished broken)} = split /\|/, $row;
	return \%figure;
}

sub _assert
{
	my ($what, $figure) = @_;
	my $wrong = join ' ', map { "$_=$figure->{$_}" } grep { $figure->{$_} } sort keys %$figure;
	Test::More::is($wrong, '', "$what: none lost, doubled, torn or unexpected; the log agrees with the leads");
}

sub finish
{
	my ($self, $node, $what) = @_;
	my $bad = 0;
	kill 'TERM', @{ $self->{pids} };
	for my $pid (@{ $self->{pids} })
	{
		waitpid($pid, 0);
		$bad++ if $?;
	}
	$self->{pids} = [];
	my @sent = $self->_lines('sent');
	my @acked = $self->_lines('acked');
	my @refused = $self->_lines('refused');
	my $figure = _compare($node, \@sent, \@acked,
		"r.key LIKE '/w/open:$self->{prefix}.%'");

	Test::More::is($bad, 0, "$what: all senders ended well");
	Test::More::is(scalar(@acked), scalar(@sent), "$what: each webhook was accepted in the end");
	Test::More::is(join(',', @refused), '', "$what: none was answered 4xx");
	_assert($what, $figure);
	return { webhooks => scalar(@acked), %$figure };
}

sub expect_effects
{
	my ($node, $what, @keys) = @_;
	_assert($what, _compare($node, \@keys, \@keys, 'r.key IN (SELECT key FROM sent)'));
}

# senders must not outlive a test that died
sub DESTROY
{
	my ($self) = @_;
	kill 'KILL', @{ $self->{pids} } if @{ $self->{pids} };
}

1;
