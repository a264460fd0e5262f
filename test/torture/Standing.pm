package Standing;

# Transactions that stand still where a crash test kills them.
#
#	use lib 'test/support', 'test/torture';
#	standing_points($node, $db);
#	crash($node, $db, 'session', 'SELECT …', 'leads commit', '+12125550100');
#
# standing($node, $type, $event)	the process of that backend_type that waits there
# commit_and_stand($node, $db, $pid)
#		brings it from a stand in a COMMIT, by a trigger that waits while public.attached has
#		its row, to behind its record; returns a session to quit when it is killed
# standing_points($node, $db)	makes the table public.attached and the triggers: a transaction
#		stands still before it writes a row of a table ("leads"), or in its COMMIT ("leads
#		commit"), where the row, of a payload its body, has a mark; or fails ("fail leads")
# attach($node, $point, $mark), detach($node, $like)	the points that are like that, all when not given
# start_session($node, $db, $sql)	runs it in a psql of its own; finish() waits for that
# crash($node, $db, $victim, $sql, $point, $mark)
#		runs it in a session that stands at the point ("leads commit behind its record"
#		too) and kills that, or the victim postmaster; waits until the server is back

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use OutreachTest;
use Sends qw(kill_process);

our @EXPORT = qw(standing commit_and_stand standing_points attach detach start_session crash);

sub standing
{
	my ($node, $type, $event) = @_;
	return wait_until(sub { sql($node, "SELECT pid FROM pg_stat_activity
		WHERE backend_type = '$type' AND wait_event = '$event'") }, "the $type to wait for $event");
}

# It waits for a standby that is not there, as soon as those processes do that began to
# commit later.
sub commit_and_stand
{
	my ($node, $db, $pid) = @_;
	my $probe = $node->background_psql($db, on_error_stop => 0);
	my $waiting = q(SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND);

	sql($node, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$node->reload;
	$probe->query_until(qr/begins/, "\\echo begins\nDO \$\$ BEGIN LOOP
		INSERT INTO public.attached VALUES ('none', 'none'); COMMIT; PERFORM pg_sleep(0.01); END LOOP; END \$\$;\n");
	wait_until(sub { sql($node, "$waiting backend_type = 'client backend'") }, 'commits to wait');
	sql($node, 'SET synchronous_commit = local; DELETE FROM public.attached');
	wait_until(sub { sql($node, "$waiting pid = $pid") }, 'the one that stood to wait');
	sql($node, 'ALTER SYSTEM RESET synchronous_standby_names');
	return $probe;
}

sub standing_points
{
	my ($node, $db) = @_;
	sql($node, q{
		CREATE TABLE public.attached (point text, mark text);
		CREATE FUNCTION public.stand_still() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		DECLARE
			here CONSTANT text := TG_ARGV[0] || CASE TG_WHEN WHEN 'AFTER' THEN ' commit' ELSE '' END;
			seen text := to_jsonb(NEW);
		BEGIN
			IF here LIKE 'inbound_payloads%' THEN
				seen := convert_from(NEW.body, 'UTF8');
			ELSIF here LIKE 'webhook_receipts%' THEN
				-- there the mark is the text of a key
				seen := (SELECT a.mark FROM public.attached a WHERE a.point = here
					AND outreach_impl.ledger_key(NEW.tenant_id, 'webhook generic', a.mark) = NEW.key);
			END IF;
			WHILE EXISTS (SELECT FROM public.attached WHERE point = here AND position(mark IN seen) > 0) LOOP
				PERFORM pg_sleep(0.02);
			END LOOP;
			IF EXISTS (SELECT FROM public.attached WHERE point = 'fail ' || here AND position(mark IN seen) > 0) THEN
				RAISE 'no';
			END IF;
			RETURN NEW;
		END $$}, db => $db);
	sql($node, qq{
		CREATE TRIGGER stand_still BEFORE INSERT OR UPDATE ON outreach.$_ FOR EACH ROW EXECUTE FUNCTION public.stand_still('$_');
		CREATE CONSTRAINT TRIGGER stand_still_commit AFTER INSERT OR UPDATE ON outreach.$_
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.stand_still('$_')}, db => $db)
	  for qw(webhook_receipts inbound_payloads contacts addresses leads events event_details consent_history outbound_messages message_deliveries);
}

sub attach { my ($node, $point, $mark) = @_; sql($node, "INSERT INTO public.attached VALUES ('$point', '$mark')"); }
sub detach { my ($node, $like) = @_; sql($node, "DELETE FROM public.attached WHERE point LIKE '" . ($like // '%') . "'"); }

sub start_session
{
	my ($node, $db, $sql) = @_;
	my $ignored;
	return IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr($db), '-c', $sql ], '&>', \$ignored);
}

sub crash
{
	my ($node, $db, $victim, $sql, $point, $mark) = @_;
	my $behind = $point =~ s/ behind its record$//;
	attach($node, $point, $mark);
	my $session = start_session($node, $db, $sql);
	my $pid = standing($node, 'client backend', 'PgSleep');
	my @probe = $behind ? commit_and_stand($node, $db, $pid) : ();
	kill_process($node, $db, $victim eq 'postmaster' ? $victim : 'worker', $pid);
	$session->finish;
	eval { $_->quit } for @probe;
	$node->reload;
	detach($node, $point);
}

1;
