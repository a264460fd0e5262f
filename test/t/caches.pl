# A cache that leads into another goes with that, also when a change comes while they are
# loaded: with freed memory overwritten, nothing of it is to be seen.

use strict;
use warnings;
BEGIN { $ENV{MALLOC_PERTURB_} = 85; $ENV{GLIBC_TUNABLES} = 'glibc.malloc.perturb=85'; }
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster(conf => "outreach.max_workers = 0\n");
my $provider = TestProvider->start;
sending_database($node, 'postgres', $provider, leads => 20);

# A session loads what it needs for a statement, and waits in the middle for the table
# of somebody who changes the rest and commits then
sub loads_meanwhile
{
	my ($table, $change, $statement) = @_;
	my $victim = $node->background_psql('postgres', on_error_stop => 0);
	my $other = $node->background_psql('postgres', on_error_stop => 0);
	$other->query_safe("BEGIN; LOCK TABLE outreach.$table IN ACCESS EXCLUSIVE MODE; $change");
	$victim->query_until(qr/begins/, "\\echo begins\n$statement;\n");
	wait_until(sub { sql($node, q{SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' LIMIT 1}) }, 'it to wait');
	$other->query_safe('COMMIT');
	$other->quit;
	return $victim;
}

{
	my $session = loads_meanwhile('classification_rules', q{DELETE FROM outreach.opt_out_words WHERE tenant_id = 'nobody'},
		q{SELECT FROM outreach.classify_message('team_a', 'STOP')});
	for my $i (1 .. 4)
	{
		like($session->query_safe(q{SELECT consent FROM outreach.classify_message('team_a', 'STOP')}), qr/opt_out/,
			"words change while they are loaded: STOP is an opt-out ($i)");
	}
	$session->quit;
}

{
	my $ask = sub { "SELECT FROM outreach.send_message('team_a', 'lead_$_[0]', 'Text $_[0]', from_phone => '+12125550101',
		send_at => now() + interval '1 day')" };
	my $session = loads_meanwhile('provider_outcomes', q{CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*'
		AND profile = 'signalhouse_sms';
		UPDATE own SET tenant_id = 'team_a', price_micros = 777777; INSERT INTO outreach.provider_profiles SELECT * FROM own}, $ask->(1));
	$session->query_safe($ask->($_)) for 2 .. 5;
	$session->quit;
	is(sql($node, q{SELECT DISTINCT price_micros FROM outreach.outbound_messages WHERE body <> 'Text 1'}), 777777,
		'profiles change while they are loaded: what is asked for then has its price');
}

is(sql($node, q{SELECT c.status FROM outreach.outbound_messages m, LATERAL outreach.cancel_message('team_a', m.message_id, 'a test') c
	WHERE m.body = 'Text 4'}), 'cancelled', 'what a function returns is not freed');
done_testing();
