# Every payload of test/payloads in every way in which one is read, with a message of ours behind
# each status callback: the rows are the same, but for the traces of failing.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachPayloads;
use OutreachRows;
use Test::More;

my $node = new_cluster(conf => "outreach.clock = '" . PAYLOADS_CLOCK . "'\noutreach.lock_wait = '50ms'\n");
my @table = payload_table();
my @hooks = map { payload_hook($_->[0], "/w/$_->[0]") } @table;
my @all = (0 .. $#table);
my $wanted;
my $later = "SET outreach.clock = '2024-08-30 12:00:00+00'";

sub database
{
	my ($db, %more) = @_;
	payload_database($node, $db, messages => 1, %more);
	stage($node, $db, \@hooks);
	# what somebody's trigger may do
	$node->safe_psql($db, q{
		CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.event_type <> 'webhook.inbound.failed' AND EXISTS (SELECT FROM public.failing) THEN
				RAISE EXCEPTION 'no';
			END IF;
			RETURN NEW;
		END $$;
		CREATE TABLE public.failing (n int);
		GRANT SELECT ON public.failing TO PUBLIC;
		CREATE TRIGGER fail BEFORE INSERT ON outreach.events FOR EACH ROW EXECUTE FUNCTION public.fail();
		CREATE TRIGGER fail BEFORE INSERT ON outreach.events_default FOR EACH ROW EXECUTE FUNCTION public.fail()});
}

# The rows, without what failing alone leaves. Leads that an opt-out could not
# suppress at once are suppressed for the phone's sake, not for the webhook's.
sub effects
{
	my ($db) = @_;
	my @rows = grep { !/webhook\.inbound\.(failed|replayed)/ } split /\n/, rows($node, $db);
	s/""(attempts|opted_out|event_owed)"": (\d+|true|false|null)(, )?//g, s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/uuid/g for @rows;
	s/""key"": [^,]*, (.*""new_state"": ""suppressed"")/$1/ for @rows;
	return join "\n", sort @rows;
}

sub outcomes
{
	my %n;
	$n{ $_->{outcome} }++ for @_;
	return join ' ', map { "$_ $n{$_}" } sort keys %n;
}

# process_payloads(), until nothing is left
sub process
{
	my ($db) = @_;
	for (1 .. 100)
	{
		return if sql($node, "$later;\nSELECT outreach.process_payloads(7)", db => $db) == 0;
	}
	die 'there is always something left';
}

# ---- the first of them, and what it must have done -------------------------------

database('single');
is(outcomes(play($node, 'single', 'single', [ \@all ])), 'accepted ' . @table, 'single: taken');
$wanted = effects('single');
is(sql($node, "SELECT status, count(*) FROM outreach.outbound_messages GROUP BY 1 ORDER BY 1", db => 'single'), "sent|2\nundelivered|1\nfailed|6\ndelivered|4",
	'messages of ours have moved');
is(sql($node, "SELECT count(*) FROM outreach.addresses WHERE consent = 'opted_out'", db => 'single'), 8,
	'and addresses have opted out, two phones by the code of a callback, one by the word of a CRM, e-mail addresses by that of SendGrid');
is(sql($node, "SELECT count(*) FROM outreach.addresses_unreachable WHERE channel = 'email'", db => 'single'), 1, 'one cannot be reached');
is(sql($node, 'SELECT * FROM outreach.verify()', db => 'single'), '', 'states follow from events');

# ---- the others ---------------------------------------------------------------------

my %way = (
	many => sub { is(outcomes(play($node, $_[0], 'many', [ \@all ])), 'accepted ' . @table, 'many: taken') },
	deferred => sub {
		my ($db) = @_;
		is(outcomes(play($node, $db, 'many', [ \@all ])), 'deferred ' . @table, 'deferred: kept');
		process($db);
	},
	retried => sub {
		my ($db) = @_;
		sql($node, 'INSERT INTO public.failing VALUES (1)', db => $db);
		is(outcomes(play($node, $db, 'single', [ \@all ])), 'error ' . @table, 'retried: all fail at first');
		sql($node, 'TRUNCATE public.failing', db => $db);
		process($db);
	},
	retried_together => sub {
		my ($db) = @_;
		sql($node, 'INSERT INTO public.failing VALUES (1)', db => $db);
		is(outcomes(play($node, $db, 'many', [ \@all ])), 'error ' . @table, 'in batches too');
		sql($node, 'TRUNCATE public.failing', db => $db);
		process($db);
	},
	replayed => sub {
		my ($db) = @_;
		sql($node, 'INSERT INTO public.failing VALUES (1)', db => $db);
		play($node, $db, 'single', [ \@all ]);
		sql($node, "TRUNCATE public.failing; UPDATE outreach.inbound_payloads SET status = 'dead', next_attempt_at = NULL, attempts = 10", db => $db);
		my $statuses = sql($node, "$later;\nSELECT r.status, count(*) FROM outreach.inbound_payloads p, outreach.replay_webhook(p.tenant_id, p.receipt_id,
			'kim') r GROUP BY 1 ORDER BY 1", db => $db);
		is($statuses, "done|" . (@table - 1) . "\nunresolved|1", 'replayed: given up, and taken up by a person');
		process($db);
	},
	held => sub {
		my ($db) = @_;
		my $holder = $node->background_psql($db, on_error_stop => 1);
		$holder->query_safe('BEGIN; SELECT FROM outreach.leads FOR UPDATE; SELECT FROM outreach.outbound_messages FOR UPDATE;');
		like(outcomes(play($node, $db, 'single', [ \@all ])), qr/^accepted \d+ deferred 13$/, 'held: those of leads that somebody has locked wait');
		$holder->query_safe('COMMIT;');
		$holder->quit;
		process($db);
	});
for my $way (sort keys %way)
{
	database($way, $way eq 'deferred' ? (mode => 'deferred') : ());
	$way{$way}->($way);
	my $got = effects($way);
	same_rows($got, $wanted, "$way: the rows are the same");
	is(sql($node, 'SELECT * FROM outreach.verify()', db => $way), '', "$way: states follow from events");
}
{
	database('http');
	my $shim = start_shim($node, db => 'http');
	is(join(' ', map { my $answer = http($shim, path => $_->{path}, headers => $_->{headers}, body => $_->{body}); $answer->{status} } @hooks),
		join(' ', map { 200 } @hooks), 'http: taken');
	$shim->stop;
	my $got = effects('http');
	same_rows($got, $wanted, 'http: the rows are the same');
}
alive($node, 'at the end');
done_testing();
