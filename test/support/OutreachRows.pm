package OutreachRows;

# What webhooks leave in the tables, and ways to send many of them.
#
# stage($node, $db, \@hooks)
#	puts the envelopes of the webhooks (or JSON texts, taken as envelopes) into the table public.hooks (n from 0, as
#	a caller with bound parameters would have them: no statement shows a payload)
# play($node, $db, $way, [ \@order, … ])
#	sends the staged webhooks of each order in a session of its own, all sessions
#	at once, through 'single' (one call and transaction each) or 'many' (a list
#	of 1 to 40 in a call); returns {n, outcome, http_status, content_type, body} for each.
#	Dies when a session was told of an error, or of anything else.
# in_parallel(\@jobs)		runs each code reference in a process of its own; dies
#	when one of them does
# rows($node, $db)			every row of receipts, payloads, leads, events, phones,
#	consent and messages as text, without ids and times that the engine makes, and without
#	the events of refused duplicates; leads with a made id are named by their phone
# same_rows($got, $wanted, $name)	tests that they are; else shows the first that only one has
# totals($node, $db)		{table => number of rows} of all tables of the schema
# contents($node, $db)		{table => its rows as text, sorted} of the same
# catalogue($node, $db)		what the catalogue says of the schema, a line an item: relations,
#	columns, constraints, indexes, triggers, policies, functions, types, owners and
#	rights, and what the extension has a dump carry
# writes_nothing($node, $hook, $db)
#	sends one webhook in a transaction and tells whether it is still without a
#	transaction id at its end: (row, true or false)
# counter($node, $outcome, $db)	how many webhooks had that outcome
# no_canary($node, $db, $canary, $name)
#	tests that the text is in no line of the server's log, and in no session's
#	activity, and in no failure that is kept
# alive($node, $name)		tests that the server has run without a crash since it started

use strict;
use warnings;

use Carp;
use Exporter 'import';
use IPC::Run ();
use JSON::PP ();
use OutreachTest;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More ();

our @EXPORT = qw(stage play in_parallel rows same_rows totals contents catalogue writes_nothing counter no_canary alive);

my $json = JSON::PP->new;

sub stage
{
	my ($node, $db, $hooks) = @_;
	my $n = 0;
	my $script = "DROP TABLE IF EXISTS public.hooks;\n"
	  . "CREATE TABLE public.hooks (n int PRIMARY KEY, envelope jsonb NOT NULL);\n"
	  . "GRANT SELECT ON public.hooks TO test_shim;\n"
	  . "COPY public.hooks FROM STDIN;\n";

	for my $hook (@$hooks)
	{
		my $line = ref $hook ? envelope($hook) : $hook;
		$line =~ s/\\/\\\\/g;
		$script .= $n++ . "\t$line\n";
	}
	sql($node, "$script\\.\nVACUUM ANALYZE public.hooks", db => $db);
}

my $row = "SELECT jsonb_build_object('n', %s, 'outcome', r.outcome, 'receipt_id', r.receipt_id,"
  . " 'http_status', r.http_status, 'content_type', r.content_type, 'body', r.body) FROM";

sub _statements
{
	my ($way, @order) = @_;
	return map {
		sprintf("$row outreach.ingest_webhook((SELECT envelope FROM public.hooks WHERE n = %d)) r;\n", $_, $_)
	} @order
	  if $way eq 'single';
	my @statements;
	while (@order)
	{
		my $list = join ',', splice(@order, 0, 1 + int(rand(40)));
		push @statements,
		  sprintf("$row unnest('{$list}'::int[]) WITH ORDINALITY u(n, item) JOIN outreach.ingest_webhooks(ARRAY("
			  . "SELECT h.envelope FROM unnest('{$list}'::int[]) WITH ORDINALITY u(n, item)"
			  . " JOIN public.hooks h USING (n) ORDER BY u.item)) r USING (item) ORDER BY item;\n", 'u.n');
	}
	return @statements;
}

sub play
{
	my ($node, $db, $way, $orders) = @_;
	my @sessions;

	for my $order (@$orders)
	{
		my $session = { in => join('', _statements($way, @$order)), out => '', err => '' };
		$session->{run} = IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-', '-d', connstr($node, $db, 'test_shim') ],
			'<' => \$session->{in}, '>' => \$session->{out}, '2>' => \$session->{err});
		push @sessions, $session;
	}
	for my $session (@sessions)
	{
		$session->{run}->finish;
		croak "a session failed: $session->{err}" if $? != 0 || $session->{err} ne '';
	}
	return map { $json->decode($_) } map { split /\n/, $_->{out} } @sessions;
}

sub in_parallel
{
	my ($jobs) = @_;
	my %running;
	for my $job (@$jobs)
	{
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			my $done = eval { $job->(); 1 };
			print STDERR $@ unless $done;
			# no END blocks: they are the parent's
			POSIX::_exit($done ? 0 : 1);
		}
		$running{$pid} = 1;
	}
	my $failed = 0;
	for my $pid (keys %running)
	{
		waitpid($pid, 0);
		$failed++ if $? != 0;
	}
	croak "$failed of the processes failed" if $failed;
}

sub rows
{
	my ($node, $db) = @_;
	return sql($node, <<'SQL', db => $db);
WITH key AS (
	SELECT tenant_id, receipt_id, provider || ' ' || idempotency_key AS key FROM outreach.inbound_payloads
), lead AS (
	SELECT *, CASE WHEN source = 'inbound' THEN phone ELSE lead_id END AS name FROM outreach.leads
), line AS (
	SELECT 'receipt', row_to_json(r)::jsonb - 'receipt_id' AS content
	  FROM outreach.webhook_receipts r
	UNION ALL
	SELECT 'payload', row_to_json(p)::jsonb - '{receipt_id,received_at,correlation_id,next_attempt_at}'::text[]
	  FROM outreach.inbound_payloads p
	UNION ALL
	SELECT 'lead', row_to_json(l)::jsonb
		   - '{lead_id,contact_id,last_inbound_at,last_activity_at,created_at,updated_at}'::text[]
		   || jsonb_build_object('replied', l.last_inbound_at IS NOT NULL)
	  FROM lead l
	UNION ALL
	SELECT 'event', row_to_json(e)::jsonb - '{event_id,occurred_at,receipt_id,correlation_id,lead_id}'::text[]
		   || jsonb_build_object('key', k.key, 'lead', l.name, 'payload',
				CASE WHEN e.event_type ~ '^(consent|address)\.' THEN e.payload - 'contact_id' ELSE e.payload END)
	  FROM outreach.event_log e LEFT JOIN key k USING (tenant_id, receipt_id)
	  LEFT JOIN lead l USING (tenant_id, lead_id)
	 WHERE e.event_type <> 'webhook.inbound.duplicate_rejected'
	UNION ALL
	SELECT 'address', row_to_json(a)::jsonb - '{consent_at,created_at,contact_id}'::text[]
		   || jsonb_build_object('opted_out', c.phones_opted_out_at IS NOT NULL, 'mail', c.emails_opted_out_at IS NOT NULL)
	  FROM outreach.addresses a JOIN outreach.contacts c USING (tenant_id, contact_id)
	UNION ALL
	SELECT 'consent', row_to_json(c)::jsonb - '{event_id,changed_at}'::text[] FROM outreach.consent_history c
	UNION ALL
	SELECT 'message', jsonb_build_object('tenant', tenant_id, 'key', send_key, 'status', status, 'error', error_code, 'id', provider_message_id)
	  FROM outreach.outbound_messages
)
SELECT line FROM line ORDER BY line::text COLLATE "C"
SQL
}

sub same_rows
{
	my ($got, $wanted, $name) = @_;
	Test::More::ok($got eq $wanted, $name) and return 1;
	for my $pair ([ 'only here', $got, $wanted ], [ 'missing', $wanted, $got ])
	{
		my %other = map { $_ => 1 } split /\n/, $pair->[2];
		my @lines = grep { !$other{$_} } split /\n/, $pair->[1];
		Test::More::diag(join "\n", "$pair->[0]: " . @lines, @lines[ 0 .. ($#lines > 4 ? 4 : $#lines) ]);
	}
	return 0;
}

sub totals
{
	my ($node, $db) = @_;
	return { map { split /\|/ } split /\n/, sql($node, <<'SQL', db => $db) };
SELECT c.relname, (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM ONLY outreach.%I', c.relname),
	false, true, '')))[1]
  FROM pg_class c
 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind = 'r'
SQL
}

sub contents
{
	my ($node, $db) = @_;
	return { map { $_ => sql($node, qq{SELECT t FROM ONLY outreach."$_" t ORDER BY t::text COLLATE "C"}, db => $db) }
		  keys %{ totals($node, $db) } };
}

sub catalogue
{
	my ($node, $db) = @_;
	return sql($node, <<'SQL', db => $db);
SET search_path = pg_catalog;
WITH relation AS (
	SELECT * FROM pg_class WHERE relnamespace = 'outreach'::regnamespace AND relkind <> ALL ('{i,I,t,c}')
), line(item) AS (
	SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relowner::regrole, relpersistence, relrowsecurity, relforcerowsecurity,
		   reloptions, pg_get_expr(relpartbound, oid), CASE relkind WHEN 'v' THEN md5(pg_get_viewdef(oid)) END)
	  FROM relation
	UNION ALL
	SELECT concat_ws(' ', 'right on', oid::regclass, grantee::regrole, privilege_type, is_grantable)
	  FROM relation, aclexplode(coalesce(relacl, acldefault('r', relowner)))
	UNION ALL
	SELECT concat_ws(' ', 'column', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation, attacl,
		   (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum))
	  FROM pg_attribute WHERE attrelid IN (SELECT oid FROM relation) AND attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
	  FROM pg_constraint WHERE connamespace = 'outreach'::regnamespace
	UNION ALL
	SELECT concat_ws(' ', 'index', indisvalid, pg_get_indexdef(indexrelid),
		   (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = indexrelid))
	  FROM pg_index WHERE indrelid IN (SELECT oid FROM relation)
	UNION ALL
	SELECT concat_ws(' ', 'trigger', tgenabled, pg_get_triggerdef(oid), (tgparentid <> 0))
	  FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relation) AND NOT tgisinternal
	UNION ALL
	SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, polpermissive,
		   (SELECT string_agg(r::regrole::text, ',' ORDER BY r::regrole::text) FROM unnest(polroles) r),
		   pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
	  FROM pg_policy WHERE polrelid IN (SELECT oid FROM relation)
	UNION ALL
	SELECT concat_ws(' ', 'function', oid::regprocedure, proowner::regrole, prosecdef, provolatile, proparallel, proleakproof, proisstrict,
		   proconfig, probin, md5(prosrc), pg_get_function_arguments(oid), pg_get_function_result(oid))
	  FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace
	UNION ALL
	SELECT concat_ws(' ', 'right on', p.oid::regprocedure, grantee::regrole, privilege_type, is_grantable)
	  FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE pronamespace = 'outreach'::regnamespace
	UNION ALL
	SELECT concat_ws(' ', 'type', t.oid::regtype, typowner::regrole, typtype, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum
		WHERE enumtypid = t.oid))
	  FROM pg_type t WHERE typnamespace = 'outreach'::regnamespace AND typtype <> ALL ('{c,b}')
	UNION ALL
	SELECT concat_ws(' ', 'right on schema', grantee::regrole, privilege_type, is_grantable)
	  FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'outreach'
	UNION ALL
	SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description)
	  FROM pg_description WHERE objoid IN (SELECT oid FROM relation UNION ALL SELECT oid FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace)
	UNION ALL
	SELECT concat_ws(' ', 'member', pg_describe_object(classid, objid, objsubid))
	  FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_outreach')
	UNION ALL
	SELECT concat_ws(' ', 'dumped', extversion, t::regclass, c)
	  FROM pg_extension, unnest(extconfig, extcondition) AS u(t, c) WHERE extname = 'pg_outreach'
)
SELECT replace(item, E'\n', ' ') FROM line ORDER BY item COLLATE "C"
SQL
}

sub writes_nothing
{
	my ($node, $hook, $db) = @_;
	my $text = envelope($hook);
	$text =~ s/'/''/g;
	$text =~ s/\\/\\\\/g;
	my ($row, $clean) = split /\n/, sql($node, <<"SQL", db => $db, user => 'test_shim');
BEGIN;
SELECT row_to_json(r) FROM outreach.ingest_webhook(E'$text'::jsonb) r;
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;
SQL
	return ($json->decode($row), $clean eq 't');
}

sub counter
{
	my ($node, $outcome, $db) = @_;
	return sql($node, "SELECT webhooks FROM outreach.ingest_counters() WHERE outcome = '$outcome'",
		db => $db, user => 'test_admin');
}

sub no_canary
{
	my ($node, $db, $canary, $name) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	my @lines = grep { index($_, $canary) >= 0 } split /\n/, $log;
	Test::More::is(scalar(@lines), 0, "$name: not in the server's log")
	  or Test::More::diag(join "\n", map { substr($_, 0, 200) } @lines[ 0 .. ($#lines > 4 ? 4 : $#lines) ]);
	Test::More::is(sql($node, <<"SQL", db => $db), '0|0|0', "$name: not in an activity or a failure that is kept");
SELECT (SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND strpos(query, '$canary') > 0),
	   (SELECT count(*) FROM outreach.inbound_payloads WHERE strpos(last_error, '$canary') > 0),
	   (SELECT count(*) FROM (TABLE outreach.events UNION ALL TABLE outreach.events_default) events
		 WHERE event_type IN ('webhook.inbound.failed', 'webhook.inbound.duplicate_rejected')
		   AND strpos(row_to_json(events)::text, '$canary') > 0)
SQL
}

sub alive
{
	my ($node, $name) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	Test::More::unlike($log, qr/was terminated by signal|PANIC:|TRAP:|server process .* exited with exit code/,
		"$name: no process of the server crashed");
}

1;
