package TestProvider;

# A messaging provider to test against: the program in test/support/provider,
# which speaks as SignalHouse, Twilio, SendGrid and a generic JSON receiver do,
# keeps what it accepted, and misbehaves on request.  It ends with the test.
#
#	use lib 'test/support';
#	use TestProvider;
#
#	my $provider = TestProvider->start(config => { twilio_token => '12345' });
#	… an account with base_url $provider->url …
#	$provider->config(faults => { lose_answer => 0.02, 'slow:300' => 0.1 });
#	… send …
#	is($provider->counter('doubled'), 0, 'nothing was accepted twice');
#	$provider->load($node);				# tables provider_accepted, …
#
# start(port => 0, config => {…}, seed => N, program => path)
#	port 0: a free one.  The same seed draws the same faults for the same
#	requests in the same order.
# port, pid, url, log				url: http://127.0.0.1:PORT
# stop, kill9					the log can still be read afterwards
# config(name => value, …)		changes settings (provider/config.c lists them) and
#	faults => { name => share }	of all requests to send
#	rules => [ {…} ]			fault, and the requests it is for: patterns (as of
#								file names) for api, account, to, from, body, key;
#								skip, times; each => \1: counted for each message
#								by itself; lookup => \1: for GET instead
#	callbacks => plan, or { plan => weight }, call_callbacks
#	Returns the state.  provider/fault.h names the faults, callback.h the plans.
# state							all counters, faults used, settings
# counter($name)				one counter
# forget						empties the ledger and its log, ends rules and shares
# accepted, requests, callbacks	the log as a list of hashes, see COLUMNS; bcc and
#	media_urls have one a line
# raw($number)					a request's bytes as they came
# callback(message => id, status => 'delivered', code => 30003)
# reply(message => id, body => 'STOP'), reply(api =>, from =>, to =>, body =>, url =>)
#	one webhook, {outcome, http_status} after all its tries
# quiesce						waits until no callback is under way
# load($node, db => , prefix => 'provider_')
#	copies the log into tables of these columns, anew each time

use strict;
use warnings;

use Carp;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp ();
use JSON::PP ();
use POSIX ();

use OutreachWebhook;

use constant COLUMNS => {
	accepted => [
		number => 'bigint', request => 'bigint', accepted_at => 'timestamptz', api => 'text',
		account => 'text', recipient => 'text', sender => 'text', body => 'text', id => 'text',
		key => 'text', idempotency_key => 'text', callback_url => 'text', fault => 'text',
		html => 'text', bcc => 'text', media_urls => 'text'
	],
	requests => [
		number => 'bigint', received_at => 'timestamptz', connection => 'bigint', nth => 'int',
		method => 'text', path => 'text', api => 'text', account => 'text', recipient => 'text',
		key => 'text', idempotency_key => 'text', fault => 'text', message => 'bigint',
		messages => 'int', answer => 'text'
	],
	callbacks => [
		message => 'bigint', ended_at => 'timestamptz', id => 'text', key => 'text',
		status => 'text', attempts => 'int', http_status => 'int', outcome => 'text'
	]
};

my $top = abs_path(dirname(__FILE__) . '/../..');
my $json = JSON::PP->new->canonical->utf8;
my $count = 0;
my @started;

sub _program
{
	for my $path ($ENV{PO_PROVIDER}, "$top/test/support/provider/build/provider")
	{
		return $path if defined $path && -x $path;
	}
	croak 'the provider is not built: make -C test/support/provider';
}

sub start
{
	my ($class, %opt) = @_;
	my $self = bless { dir => File::Temp->newdir() }, $class;
	my $base = ($ENV{TESTLOGDIR} // $self->{dir}) . '/' . basename($0, '.pl') . '_provider' . ++$count;
	my @command = (
		$opt{program} // _program(), '--port', $opt{port} // 0,
		'--port-file', "$self->{dir}/port", '--log', "$base.log");

	push @command, '--seed', $opt{seed} if defined $opt{seed};
	push @command, '--config', $json->encode($opt{config}) if $opt{config};
	$self->{log} = "$base.log";
	unlink glob("$base.log*");
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$base.err") or POSIX::_exit(127);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(127);
		exec(@command) or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	push @started, $self;
	wait_until(
		sub {
			croak 'the provider ended: ' . _slurp("$base.err") unless $self->alive;
			-e "$self->{dir}/port";
		},
		'the provider to listen');
	chomp($self->{port} = _slurp("$self->{dir}/port"));
	return $self;
}

sub _slurp
{
	my ($path) = @_;
	open(my $in, '<:raw', $path) or die "$path: $!";
	local $/;
	return scalar <$in>;
}

sub port { return $_[0]{port}; }
sub pid { return $_[0]{pid}; }
sub log { return $_[0]{log}; }
sub url { return "http://127.0.0.1:$_[0]{port}"; }

# reaps it when it has ended
sub alive
{
	my ($self) = @_;
	return 0 unless defined $self->{pid};
	return 1 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
	$self->{status} = $?;
	$self->{pid} = undef;
	return 0;
}

sub _end
{
	my ($self, $signal) = @_;
	kill $signal, $self->{pid} if $self->alive;
	wait_until(sub { !$self->alive }, 'the provider to end');
	return $self->{status};
}

sub stop { return $_[0]->_end('TERM'); }
sub kill9 { return $_[0]->_end('KILL'); }

# ---------------------------------------------------------------- control

sub _control
{
	my ($self, $method, $name, $body) = @_;
	my $answer = http($self, method => $method, path => "/control/$name",
		defined $body ? (body => $json->encode($body)) : ());
	croak "/control/$name: " . ($answer->{error} // "$answer->{status} $answer->{body}")
	  unless $answer->{status} == 200;
	return $answer->{body};
}

sub config { my ($self, %config) = @_; return $json->decode($self->_control(POST => 'config', \%config)); }
sub state { my ($self) = @_; return $json->decode($self->_control(GET => 'state')); }
sub forget { my ($self) = @_; return $json->decode($self->_control(POST => 'forget', {})); }
sub raw { my ($self, $number) = @_; return $self->_control(GET => "raw?request=$number"); }
sub callback { my ($self, %spec) = @_; return $json->decode($self->_control(POST => 'callback', \%spec)); }
sub reply { my ($self, %spec) = @_; return $json->decode($self->_control(POST => 'reply', \%spec)); }

sub counter
{
	my ($self, $name) = @_;
	return $self->state->{$name} // croak "no counter \"$name\"";
}

sub quiesce
{
	my ($self) = @_;
	wait_until(sub { $self->counter('callbacks_pending') == 0 }, 'the callbacks to come to an end');
}

# ---------------------------------------------------------------- the log

my %suffix = (accepted => '', requests => '.requests', callbacks => '.callbacks');

sub _rows
{
	my ($self, $what) = @_;
	my @columns = @{ COLUMNS->{$what} };
	my @names = @columns[ grep { $_ % 2 == 0 } 0 .. $#columns ];
	my %plain = (n => "\n", t => "\t", r => "\r", '\\' => '\\');
	my @rows;
	for my $line (split /\n/, _slurp("$self->{log}$suffix{$what}"))
	{
		my %row;
		@row{@names} = map { $_ eq '\N' ? undef : s/\\(.)/$plain{$1}/gr } split /\t/, $line, -1;
		push @rows, \%row;
	}
	return @rows;
}

sub accepted { my ($self) = @_; return $self->_rows('accepted'); }
sub requests { my ($self) = @_; return $self->_rows('requests'); }
sub callbacks { my ($self) = @_; return $self->_rows('callbacks'); }

sub load
{
	my ($self, $node, %opt) = @_;
	my $sql = '';
	for my $what (sort keys %suffix)
	{
		my $table = ($opt{prefix} // 'provider_') . $what;
		my @columns = @{ COLUMNS->{$what} };
		my @list;
		push @list, join(' ', splice(@columns, 0, 2)) while @columns;
		my $file = abs_path("$self->{log}$suffix{$what}");
		$sql .= "DROP TABLE IF EXISTS $table;\nCREATE TABLE $table (" . join(', ', @list)
		  . ");\nCOPY $table FROM '$file';\n";
	}
	$node->safe_psql($opt{db} // 'postgres', "SET client_min_messages = warning;\n$sql");
}

END
{
	my $status = $?;
	$_->kill9 for grep { $_->alive } @started;
	$? = $status;
}

1;
