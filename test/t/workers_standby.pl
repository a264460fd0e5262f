# A hot standby runs no worker; when it is promoted, what came due fires, once.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Test::More;
use Timers;

my $db = 'postgres';
my $primary = new_cluster(name => 'primary', init => { allows_streaming => 1 });
timer_database($primary, $db, 100);
set_timer($primary, $db, 1, 'FOLLOW_UP', 'now()');
wait_fired($primary, $db, 1, 'FOLLOW_UP');

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

# due on the standby, on which nothing is to fire, while the primary is held
my $holder = $primary->background_psql($db, on_error_stop => 0);
$holder->query_safe("BEGIN; SELECT FROM outreach.leads WHERE lead_id > '1' ORDER BY lead_id FOR NO KEY UPDATE");
sql($primary, "INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action,
		action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
	SELECT 'team_a', gen_random_uuid(), i::text, 'FOLLOW_UP', now() + '1 s', now() + '1 s', 'test', '{}', true, 3, now(), now()
	  FROM generate_series(2, 100) i", db => $db);
$primary->wait_for_catchup($standby);
wait_until(sub { sql($standby, 'SELECT now() > max(due_at) FROM outreach.lead_timers') eq 't' }, 'them to be due');

is(sql($standby, 'SELECT pg_is_in_recovery()'), 't', 'the standby is one');
is(launcher($standby), '', 'it runs no launcher');
is(sql($standby, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'outreach%'"), 0, 'and no worker');
is(sql($standby, 'SELECT count(*) FROM outreach.worker_status WHERE worker_pid IS NOT NULL'), 0, 'as worker_status says');
is(sql_error($standby, 'SELECT outreach.run_once()', user => 'test_scheduler'), '25006', 'run_once is refused there');

$primary->stop('immediate');
eval { $holder->quit };
$standby->promote;
ok(wait_until(sub { launcher($standby) }, 'the launcher'), 'promoted, it runs a launcher');
wait_until(sub { sql($standby, 'SELECT count(*) FROM outreach.lead_timers WHERE due_at IS NOT NULL') == 0 }, 'all to fire');
expect_once($standby, $db, 'after promotion', 100);
set_timer($standby, $db, 1, 'CALLBACK', "now() + '100 ms'");
is(wait_fired($standby, $db, 1, 'CALLBACK'), 1, 'and new ones fire');
unlike(log_since($_, 0), qr/PANIC:|TRAP:|terminated by signal/, $_->name . ': no process crashed')
  for $primary, $standby;
done_testing();
