# Accounts that cannot send are looked up again and again: that costs a session and
# a worker no memory, in one transaction or in many.  MEMORY_SECONDS lets the worker
# go on for so long.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use PostgreSQL::Test::Utils ();
use Sending;
use Test::More;
use TestProvider;
use Timers qw(worker);

plan skip_all => 'needs /proc' unless -r '/proc/self/status';

my $leads = 1000;
my $node = sending_cluster(conf => "outreach.max_sends = 1000\noutreach.max_sends_per_host = 1000\n");
my $provider = TestProvider->start;
sending_database($node, 'postgres', $provider, leads => $leads);
sql($node, qq{
	UPDATE outreach.secrets SET sealed = sealed || '\\x00' WHERE name = 'signalhouse';
	SELECT outreach.create_endpoint('team_a', '/w/door', 'generic', 'token', 'the-first-secret-there');
	UPDATE outreach.secrets SET sealed = sealed || '\\x00' WHERE name = '/w/door';
	SELECT outreach.set_proof_key('team_a', repeat('k', 32))});

# ---- a session ----------------------------------------------------------------

# 18 names the way to a context where others name its parent
my $contexts = $node->pg_version < '18devel' ? 'pg_backend_memory_contexts'
	: q{(WITH c AS MATERIALIZED (TABLE pg_backend_memory_contexts)
		SELECT c.name, p.name AS parent, c.total_bytes FROM c LEFT JOIN c AS p ON p.path = trim_array(c.path, 1)) AS c};

# What is kept beyond transactions, in bytes
my $kept = qq{SELECT sum(total_bytes) FROM $contexts WHERE name LIKE 'outreach%' OR parent LIKE 'outreach%'
	OR name IN ('TopMemoryContext', 'CacheMemoryContext', 'SPI Plan', 'TopTransactionContext')};
my $many = sub {
	my ($what, $times, $statement, $commit) = @_;
	my @bytes = split /\n/, sql($node, qq{
		DO \$\$ BEGIN FOR i IN 1 .. 500 LOOP $statement; $commit END LOOP; END \$\$;
		$kept;
		DO \$\$ BEGIN FOR i IN 1 .. $times LOOP $statement; $commit END LOOP; END \$\$;
		$kept});
	is(scalar @bytes, 2, "$what: $times times");
	cmp_ok($bytes[1], '<=', $bytes[0] + 65536, "$what: and nothing is kept of it") or diag("@bytes");
};
my $ask = q{PERFORM outreach.send_message('team_a', 'lead_1', 'The same', send_key => 'the same', from_phone => '+12125550101')};
$many->('asked for in transactions of their own', 20000, $ask, 'COMMIT;');
$many->('asked for in one transaction', 20000, $ask, '');
my $knock = q{PERFORM outreach.ingest_webhook('{"path": "/w/door", "query": "token=the-first-secret-there", "body": "{}"}')};
$many->('knocked in transactions of their own', 5000, $knock, 'COMMIT;');
$many->('knocked in one transaction', 5000, $knock, '');
$many->('a path that leads nowhere', 5000, q{PERFORM outreach.ingest_webhook(jsonb_build_object('path', '/w/nowhere/' || i, 'body', '{}'))}, 'COMMIT;');
$many->('wrong proofs', 5000, q{BEGIN PERFORM outreach.enter_tenant('team_a', 'v1.9999999999.' || repeat('0', 64)); EXCEPTION WHEN OTHERS THEN NULL; END}, '');

# ---- one transaction, as it grows ---------------------------------------------

my @peak = split /\n/, sql($node, qq{
	BEGIN;
	DO \$\$ BEGIN FOR i IN 1 .. 200 LOOP $ask; END LOOP; END \$\$;
	SELECT sum(total_bytes) FROM $contexts WHERE name LIKE 'outreach%' OR parent LIKE 'outreach%';
	DO \$\$ BEGIN FOR i IN 1 .. 5000 LOOP $ask; END LOOP; END \$\$;
	SELECT sum(total_bytes) FROM $contexts WHERE name LIKE 'outreach%' OR parent LIKE 'outreach%';
	COMMIT});
# Caches that ANALYZE or the like makes stale stay until the transaction ends: a few times that is
# less than 5,000 accounts take
cmp_ok($peak[1], '<=', $peak[0] + 524288, 'one transaction remembers an account that cannot send once') or diag("@peak");

# ---- one transaction, while what is remembered becomes stale again and again ---

@peak = split /\n/, sql($node, qq{
	SELECT outreach.create_account('team_a', 'toggled', 'generic_json', 'secret', base_url => 'https://127.0.0.1:1');
	BEGIN;
	CREATE FUNCTION pg_temp.toggle(n int) RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		FOR i IN 1 .. n LOOP
			UPDATE outreach.tenants SET yes_opts_in = NOT yes_opts_in;
			PERFORM outreach.rotate_account_secret('team_a', 'toggled', 'secret ' || i);
			$ask; $knock;
			PERFORM outreach.classify_message('team_a', 'hello');
		END LOOP;
	END \$\$;
	SELECT FROM pg_temp.toggle(20);
	SELECT sum(total_bytes) FROM $contexts WHERE name LIKE 'outreach%' OR parent LIKE 'outreach%';
	SELECT FROM pg_temp.toggle(500);
	SELECT sum(total_bytes) FROM $contexts WHERE name LIKE 'outreach%' OR parent LIKE 'outreach%';
	COMMIT});
@peak = grep { /^\d+\$/ } @peak;
cmp_ok($peak[1], '<=', $peak[0] + 524288, 'what is stale is let go within a transaction') or diag("@peak");

# ---- a worker -----------------------------------------------------------------

sub own_kb
{
	my $status = PostgreSQL::Test::Utils::slurp_file('/proc/' . worker($node, 'postgres') . '/status');
	return ($status =~ /^RssAnon:\s+(\d+) kB/m)[0];
}

# All of them are claimed, and put off because of their account
sub round
{
	sql($node, q{UPDATE outreach.outbound_messages SET due_at = now(), last_error = NULL WHERE status = 'deferred'});
	wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages
		WHERE status = 'deferred' AND due_at > now() AND last_error = 'a sealed secret was changed'}) >= $leads }, 'all to be put off');
}

sql($node, qq{SELECT count(*) FROM outreach.send_messages('team_a', ARRAY(SELECT 'lead_' || i FROM generate_series(1, $leads) i),
	'Text', send_keys => ARRAY(SELECT 'worker ' || i FROM generate_series(1, $leads) i), from_phone => '+12125550101')});
wait_until(sub { sql($node, q{SELECT count(*) FROM outreach.outbound_messages WHERE status = 'deferred'}) >= $leads }, 'all to be put off');
# its life is that of the test: there is always something due soon
sql($node, q{SELECT outreach.set_timer('team_a', 'lead_2', 'FOLLOW_UP', now() + '1 day', 'test', '{}')});
round() for 1 .. 5;
my $early = own_kb();
my $until = time() + ($ENV{MEMORY_SECONDS} // 0);
my $rounds = 0;
while ($rounds < 20 || time() < $until)
{
	round();
	note('kB of its own after ', $rounds * $leads, ' more: ', own_kb()) if ++$rounds % 100 == 0;
}
my $late = own_kb();
cmp_ok($late, '<', $early + 2048, "a worker's memory is what it was after many look-ups");
note("kB of its own: $early after 5,000, $late after ", $rounds * $leads, ' more');
is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries}), 0, 'nothing was sent');
done_testing();
