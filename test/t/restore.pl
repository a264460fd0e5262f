# A dump of a database that has been at work, restored into a new one, is the same
# database: rows, owners, rights, policies and triggers by the catalogue, and what
# it does with the next webhook.  Restored are an archive in the same cluster, a
# plain dump in another cluster as docs/operations.md has it, and the data alone
# into an extension that has just been made.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Cwd qw(abs_path);
use Digest::SHA qw(hmac_sha256_hex);
use File::Copy qw(copy);
use IPC::Run ();
use JSON::PP;
use Test::More;

my $node = new_cluster(conf => "outreach.max_workers = 0\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', 'CREATE DATABASE crm');
create_extension($node, 'crm');

sub value { my ($sql, %opt) = @_; return sql($node, $sql, db => 'crm', %opt); }

# ------------------------------------------------------------- a database at work

# texts that a dump has to quote
my $odd = "Pat \"O'N\\eil\"\t\\N\r\n\\.";

value(<<"SQL");
CREATE ROLE reporting LOGIN;
SELECT outreach.create_tenant('team_a', 'Team A'), outreach.create_tenant('team_b', \$\$$odd\$\$);
SELECT outreach.grant_tenant('team_a', 'test_app'), outreach.grant_tenant('*', 'test_scheduler'),
	   outreach.set_proof_key('team_b', repeat('k', 32));
UPDATE outreach.tenants SET time_zone = 'America/Chicago', client = 'homes', yes_opts_in = true WHERE tenant_id = 'team_b';
INSERT INTO outreach.event_types VALUES ('note.left', 'A note that somebody left.');
INSERT INTO outreach.lead_transitions VALUES ('team_b', 'new', 'touched', NULL, false, 'own'), ('team_b', 'closed', 'new', NULL, true, 'own');
INSERT INTO outreach.opt_out_words VALUES ('team_b', 'basta', 'opt_out', 'whole', 'own');
INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms, to_state)
	VALUES ('team_b', 'homes', 'wants-pool', 210, 'word', '{pool,"a \\"big\\" pool"}', 'high_intent');
INSERT INTO outreach.payload_maps VALUES ('team_b', 'generic', 'shade', 1, '{colour}');
SELECT outreach.create_tenant('team_gone', 'Gone');
SELECT count(*) FROM outreach.drop_tenant('team_gone');
INSERT INTO outreach.webhook_kinds VALUES ('team_b', 'generic', 1, 'note.left', '{"shade": ["bl*"]}', '{message_id}', 'log');
INSERT INTO outreach.answer_policies VALUES ('team_b', 'generic', 'note.left', '*', 202, 'text/plain', 'noted');
SELECT FROM outreach.create_lead('team_b', 'lead_1', '+12125550100', \$\$$odd\$\$, attributes => '{"a": ["\\\\\\\\N", null]}');
-- a lead in each state
DO \$\$
DECLARE
	way text[] := '{new,touched,retargeting,responded,soft_interest,email_captured,content_nurture,appointment_booked,in_call_queue,closed,suppressed}';
BEGIN
	FOR i IN 1 .. cardinality(way) LOOP
		PERFORM outreach.create_lead('team_a', 'lead_' || way[i], '+12125550' || 100 + i);
		PERFORM outreach.transition_lead('team_a', 'lead_' || way[i], s) FROM unnest(way[2:i]) s;
	END LOOP;
	PERFORM outreach.create_lead('team_a', 'lead_high_intent', '+12125550199');
	PERFORM outreach.transition_lead('team_a', 'lead_high_intent', s) FROM unnest('{responded,high_intent}'::text[]) s;
END \$\$;
SELECT outreach.opt_out('team_a', '+12125550120', 'agent', \$\$$odd\$\$), outreach.opt_out('team_a', '+12125550121'), outreach.opt_in('team_a', '+12125550121');
SELECT outreach.record_event('team_a', 'lead_new', 'contact.updated', '{"a": 1}', 'a-key');
-- a timer that is due, and calls a function
INSERT INTO outreach.timer_types VALUES ('team_b', 'RING', '0', 'ring', '{"call": "ring"}');
CREATE FUNCTION public.ring(text, text, jsonb) RETURNS void LANGUAGE sql AS '';
SELECT outreach.register_timer_function('ring', 'public.ring(text,text,jsonb)'), outreach.set_timer('team_b', 'lead_1', 'RING');
-- messages: one that waits, and what others have left
SELECT outreach.create_account('team_b', 'sms', 'twilio_sms', 'a-token', username => 'AC1'),
	outreach.save_template('team_b', 'hi', 'Hi {{firstName | default: "you"}}');
SELECT outreach.add_number('team_b', '+12125550199', 'sms');
SELECT outreach.stop_sending('number', '+12125550199', 'a test', 'team_b'),
	outreach.send_message('team_b', 'lead_1', template => 'hi', send_at => '2100-01-01', send_key => 'waits');
SELECT m.status FROM outreach.send_message('team_b', 'lead_1', 'Bye', send_at => '2100-01-01', send_key => 'taken back') m, outreach.cancel_message('team_b',
	m.message_id);
-- one of a month that has no partition
INSERT INTO outreach.outbound_messages SELECT (jsonb_populate_record(m, jsonb_build_object('message_id', outreach_impl.first_id('2090-01-01'),
	'send_key', 'old', 'status', 'sent', 'due_at', NULL, 'held_by', NULL))).* FROM outreach.outbound_messages m WHERE send_key = 'waits';
INSERT INTO outreach.send_keys SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'send', send_key), message_id, gen_random_uuid()
	FROM outreach.outbound_messages WHERE send_key = 'old';
INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at, outcome)
	SELECT tenant_id, message_id, 1, 1, account, now(), 'retry' FROM outreach.outbound_messages;
INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, action, action_payload, cancel_on_reply, max_attempts, executed_at,
	created_at, updated_at)
	SELECT 'team_b', id, 'lead_1', 'PAST', now(), 'test', '{}', false, 3, now(), now(), now()
	  FROM unnest(ARRAY[outreach_impl.first_id(now()), outreach_impl.first_id('2090-01-01')]) id;
INSERT INTO outreach.provider_message_ids (tenant_id, key, provider, provider_message_id, to_status, parked_at)
	VALUES ('team_b', outreach_impl.ledger_key('team_b', 'message id twilio', 'SM1'), 'twilio', 'SM1', 'delivered', now());
INSERT INTO outreach.sending_circuits VALUES ('team_b', 'sms', '', 1, NULL, now());
-- rights beyond those that ship
GRANT USAGE ON SCHEMA outreach TO reporting;
GRANT SELECT ON outreach.lead_history, outreach.leads TO reporting;
GRANT EXECUTE ON FUNCTION outreach.current_tenant() TO reporting;
SQL

# An endpoint of every scheme; the webhooks that they were sent, by name.
my %secret = (none => undef, token => 'a-token-that-nobody-guesses', secret_header => 'a-secret-that-nobody-guesses',
	basic => 'aloware:a password of some length', hmac_sha256 => 'a-secret',
	twilio => '12345', signalhouse => 'another-secret', ghl => GHL_TEST_PUBLIC_KEY, standard_webhooks => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
my %file = (none => 'generic-enrichment_completed.json', token => 'signalhouse-legacy_message_received.json', secret_header => 'texting-message_failed.json',
	basic => 'aloware-inbound_sms_completed.json',
	hmac_sha256 => 'texting-message_received.json', twilio => 'twilio-sms_inbound.form', signalhouse => 'signalhouse-message_received.json',
	ghl => 'ghl-contact_create.json', standard_webhooks => 'generic-enrichment_completed.json');
my $url = 'https://hooks.example.com/w/twilio';
my (%hook, %answer);
for my $scheme (sort keys %file)
{
	my ($provider) = $file{$scheme} =~ /^(\w+?)-/;
	value(sprintf("SELECT outreach.create_endpoint('team_a', '/w/$scheme', '$provider', '$scheme', %s, %s)",
			map { defined $_ ? "'$_'" : 'NULL' } $secret{$scheme}, $scheme eq 'twilio' ? $url : undef));
	$hook{$scheme} = sign($scheme, $secret{$scheme});
}
value("SELECT outreach.rotate_secret('team_a', '/w/hmac_sha256', 'the-next-secret'),"
	. " outreach.create_endpoint('team_a', '/w/text', 'texting', 'none'), outreach.create_endpoint('team_b', '/w/b', 'generic', 'none'),"
	. " outreach.create_endpoint('team_a', '/w/later', 'texting', 'none', mode => 'deferred')");

sub sign
{
	my ($scheme, $secret) = @_;
	# of the two that have a file in common one has the other's id
	my $body = $scheme eq 'none' ? '{"event":"custom","id":"c1"}' : payload($file{$scheme});
	return signed($scheme, path => "/w/$scheme", url => $url, body => $body,
		secret => $scheme eq 'ghl' && $secret eq GHL_TEST_PUBLIC_KEY ? undef : $secret);
}

sub text
{
	my ($path, $id, $phone, $body) = @_;
	return signed('none', path => $path, body => encode_json({ type => 'message.received', message => { id => $id, from => $phone, body => $body } }));
}

sub send_it
{
	my ($name, $hook) = @_;
	my $row = ingest($node, $hook, db => 'crm');
	$hook{$name} = $hook;
	$answer{$name} = join ' ', @$row{qw(http_status content_type body)};
	return $row->{outcome};
}

# before there was a partition for the time, and in several there are
for my $months (-2, 0, 1, 3)
{
	value("ALTER ROLE test_shim SET outreach.clock = '" . value("SELECT now() + '$months months'") . "'");
	is(send_it("month $months", text('/w/text', "month$months", '+12125550130', 'hello')), 'accepted', "a webhook $months months from now");
}
value('ALTER ROLE test_shim RESET outreach.clock');

is(send_it($_, $hook{$_}), 'accepted', "a webhook: $_") for sort keys %file;
is(send_it('stop', text('/w/text', 'stop', '+12125550140', 'STOP')), 'accepted', 'a webhook: STOP');
is(send_it('held', text('/w/text', 'held', '+12125550141', 'take me off your list')), 'accepted', 'a webhook: a phrase that holds');
is(send_it('unresolved', text('/w/text', 'unresolved', 'anonymous', 'hello')), 'accepted', 'a webhook: of nobody');
is(send_it('dead', { path => '/w/text', headers => {}, body => "not json\0\xFF" }), 'error', 'a webhook: unreadable');
is(send_it('deferred', text('/w/later', 'later', '+12125550142', 'stop')), 'deferred', 'a webhook: for later');
is(send_it('own', { path => '/w/b', headers => {}, body => '{"event":"message.received","id":"own","from":"+12125550199","body":"hello"}' }), 'own_number',
	'a webhook: of a number of the tenant\'s own');
is(send_it('note', { path => '/w/b', headers => {}, body => '{"id":"note","colour":"blue"}' }), 'accepted', 'a webhook: of a kind of the tenant\'s own');
value(q{CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
	CREATE TRIGGER fail BEFORE INSERT ON outreach.addresses FOR EACH ROW EXECUTE FUNCTION public.fail()});
is(send_it('failed', text('/w/text', 'failed', '+12125550143', 'yes')), 'error', 'a webhook: that fails');
value('DROP TRIGGER fail ON outreach.addresses; DROP FUNCTION public.fail()');
is(ingest($node, text('/w/text', 'stop', '+12125550140', 'START'), db => 'crm')->{outcome}, 'duplicate', 'a webhook: with a used id and another text');
is(ingest($node, $hook{stop}, db => 'crm')->{outcome}, 'duplicate', 'a webhook: repeated');

value("SET outreach.clock = '2003-03-03'; SELECT FROM outreach.create_lead('team_a', 'lead_ancient')");
is(value("SELECT * FROM outreach.drop_partitions('2003-04-01')"), 'events_default|1', 'a lead whose events have gone');
value(q{SET outreach.clock = '2003-05-05'; SELECT FROM outreach.record_event('team_a', 'lead_ancient', 'contact.updated', '{"a": 1}')});

# nothing is left out of what follows
is(value("SELECT string_agg(DISTINCT status::text, ' ' ORDER BY status::text) FROM outreach.inbound_payloads"),
	'conflict dead done error own_number pending unresolved', 'there is a payload in every status');
is(value("SELECT (SELECT count(DISTINCT state) FROM outreach.leads) || ' ' || (SELECT count(DISTINCT consent) FROM outreach.addresses)"), '12 4',
	'a lead in every state, a phone with every consent');
cmp_ok(value("SELECT count(DISTINCT t) FROM (SELECT tableoid FROM outreach.events UNION ALL SELECT tableoid FROM outreach.events_default) e(t)"), '>=', 4,
	'events in four partitions');
my $before = contents($node, 'crm');
is_deeply([ sort grep { $before->{$_} eq '' && !/_\d+$/ } keys %$before ], [], 'every table has rows');
for my $of (qw(send_keys webhook_receipts provider_message_ids outbound_history message_deliveries inbound_history timer_history))
{
	isnt(join('', map { $before->{$_} } grep { /^${of}_\d/ } keys %$before), '', "there are rows in numbered partitions of $of");
}
is(value("SELECT * FROM outreach.verify()"), '', 'states follow from events');
my $catalogue = catalogue($node, 'crm');
cmp_ok(scalar(split /\n/, $catalogue), '>', 800, 'the catalogue says much of the schema');

# ------------------------------------------------------------- restored

# Runs a program; returns what it wrote to the standard error, and its status if not 0.
sub run_program
{
	my (@command) = @_;
	my ($out, $err);
	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err) or $err .= "status " . ($? >> 8) . "\n";
	chomp $err;
	return $err;
}

sub same
{
	my ($target, $db, $name) = @_;
	my $after = contents($target, $db);
	is_deeply([ sort keys %$after ], [ sort keys %$before ], "$name: the same tables");
	is($after->{$_}, $before->{$_}, "$name: the same rows of $_") for sort keys %$before;
	is(catalogue($target, $db), $catalogue, "$name: the same relations, policies, triggers, functions, owners and rights");
}

# What the database does from now on.
sub works
{
	my ($target, $db, $name) = @_;
	my $get = sub { my ($sql, %opt) = @_; return sql($target, $sql, db => $db, %opt); };
	my $app = sub { return $get->($_[0], user => 'test_app', tenant => $_[1]); };
	my $counts = totals($target, $db);

	is($get->('SELECT * FROM outreach.verify()'), '', "$name: states follow from events");
	my $shim = start_shim($target, db => $db);
	for my $which (sort keys %answer)
	{
		# A provider signs what it sends again with the time of now.
		my $r = http($shim, %{ exists $file{$which} ? sign($which, $secret{$which}) : $hook{$which} });
		is("$r->{status} $r->{headers}{'content-type'} $r->{body}", $answer{$which}, "$name: answered as before: $which");
	}
	my $now = totals($target, $db);
	my %grown = map { $_ => $now->{$_} - $counts->{$_} } grep { $now->{$_} != $counts->{$_} } keys %$now;
	is(join(' ', sort map { s/_\d{4}_\d\d$//r . " $grown{$_}" } keys %grown), 'events ' . keys %answer, "$name: and each a duplicate");
	is($get->("SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.duplicate_rejected'"), keys(%answer) + 2, "$name: told as one");
	is(http($shim, %{ sign($_, $_ eq 'ghl' ? 'x' x 32 : $_ eq 'standard_webhooks' ? 'whsec_' . 'A' x 32 : 'a-wrong-one') })->{status}, 401,
		"$name: a wrong secret of $_") for grep { $_ ne 'none' } sort keys %file;
	is(http($shim, %{ sign('hmac_sha256', 'the-next-secret') })->{status}, 200, "$name: the secret after the rotation");

	is(http($shim, %{ text('/w/text', "$name 1", '+12125550140', 'yes please') })->{status}, 200, "$name: the phone that said STOP writes again");
	is($app->("SELECT state, consent FROM outreach.leads JOIN outreach.phones USING (tenant_id, phone) WHERE phone = '+12125550140'", 'team_a'),
		'suppressed|opted_out', "$name: and is still opted out");
	is($app->('SELECT count(*) FROM outreach.opt_out_registry', 'team_a'), 3, "$name: the registry");
	http($shim, %{ text('/w/text', "$name 2", '+12125550107', 'thanks') });
	is($get->("SELECT state, version FROM outreach.leads WHERE lead_id = 'lead_content_nurture'"), 'content_nurture|8',
		"$name: a lead's events are counted on");
	is($get->(q{SET outreach.clock = '2099-01-01'; SELECT outreach.process_payloads() \g /dev/null
SELECT string_agg(concat_ws(' ', phone, consent, state), ', ' ORDER BY phone) FROM outreach.leads JOIN outreach.phones USING (tenant_id, phone)
 WHERE phone IN ('+12125550142', '+12125550143')}), '+12125550142 opted_out suppressed, +12125550143 unknown high_intent',
 	"$name: what waited and what had failed is processed");
	is($get->("SELECT duplicate FROM outreach.record_event('team_a', 'lead_new', 'contact.updated', NULL, 'a-key')"), 't', "$name: a dedupe key is used");

	is($get->(q{SELECT string_agg(s.duplicate || ' ' || s.status, ', ' ORDER BY k) FROM (VALUES ('waits'), ('taken back')) v(k), outreach.send_message('team_b',
		'lead_1',
		CASE k WHEN 'taken back' THEN 'Bye' END, template => CASE k WHEN 'waits' THEN 'hi' END, send_at => '2100-01-01', send_key => k) s}),
		'true cancelled, true pending', "$name: so are send_keys");
	is($get->("SELECT count(*) FROM outreach.outbound_queue WHERE status IN ('pending', 'deferred')"), 1, "$name: and what waits has not left");

	# rules
	is($get->("SELECT rule FROM outreach.classify_message('team_b', 'a pool')"), 'wants-pool', "$name: a rule of the tenant's");
	is($get->("SELECT consent FROM outreach.classify_message('team_b', 'Basta!')"), 'opt_out', "$name: a word of the tenant's");
	is(sql_error($target, "SELECT outreach.transition_lead('team_b', 'lead_1', 'touched')", db => $db), 'OR001',
		"$name: a transition that the tenant took away");
	is($get->('SELECT outreach.make_partitions()'), 0, "$name: no partition is missing");

	# what is refused
	is(sql_error($target, "$_ outreach.events" . (/UPDATE/ ? ' SET lead_id = lead_id' : ''), db => $db), 'OR301', "$name: $_ of events")
	  for 'UPDATE', 'DELETE FROM', 'TRUNCATE';
	is(sql_error($target, "UPDATE outreach.leads SET state = 'closed' WHERE lead_id = 'lead_new'", db => $db), 'OR001',
		"$name: a direct illegal change of state");
	is(sql_error($target, "DELETE FROM outreach.opt_out_words", db => $db), 'OR302', "$name: shipped rows");
	is(sql_error($target, 'SELECT count(*) FROM outreach.leads', db => $db, user => 'test_app'), 'OR104', "$name: no tenant, no rows");
	cmp_ok($app->('SELECT count(*) FROM outreach.leads', 'team_a'), '>', 12, "$name: the rows of the tenant entered");
	is($app->("SELECT count(*) FROM outreach.leads WHERE tenant_id <> 'team_a'", 'team_a'), 0, "$name: and of no other");
	is(sql_error($target, "SELECT outreach.enter_tenant('team_b')", db => $db, user => 'test_app'), 'OR101', "$name: a tenant that the role is not bound to");
	my $proof = 'v1.' . (time() + 60);
	$proof .= '.' . hmac_sha256_hex("$proof.team_b", 'k' x 32);
	is(sql($target, "SELECT outreach.enter_tenant('team_b', '$proof')", db => $db, user => 'test_app'), 'team_b', "$name: but has a proof for");
	is(sql_error($target, "SELECT count(*) FROM outreach.$_", db => $db, user => 'test_app'), '42501',
		"$name: $_ is readable by nobody") for qw(secrets tenant_roles);
	$shim->stop;
	is($get->('SELECT cardinality(outreach.fire_timers())'), 1, "$name: the due timer fires");
	is($get->("SELECT timer_type || attempts FROM outreach.lead_timers WHERE executed_at IS NOT NULL AND timer_type <> 'PAST'"), 'RING1',
		"$name: by its function");
}

# Everything that ships, against its golden output; settings are the library's, and
# rights are compared above, with those of partitions.
symlink(abs_path('expected'), "$dir/expected") or die "$dir/expected: $!";
my ($group) = PostgreSQL::Test::Utils::slurp_file('test/schedule') =~ /^# What ships.*?\n(.*?)\n\n/ms;
my @golden = grep { !/^(?:test:|settings|rights)$/ } split ' ', $group;

sub golden
{
	my ($target, $db, $name) = @_;
	sql($target, 'DROP OWNED BY reporting', db => $db);
	my $out;
	IPC::Run::run([ $ENV{PG_REGRESS}, '--inputdir=test', "--outputdir=$dir", '--use-existing', "--dbname=$db", '--host=' . $target->host,
			'--port=' . $target->port, '--user=' . sql($target, 'SELECT current_user'), '--dlpath=.', @golden ], '&>', \$out);
	is("$? " . (() = $out =~ /\bok\b/g), '0 ' . @golden, "$name: golden: @golden")
	  or diag $out, -e "$dir/regression.diffs" ? PostgreSQL::Test::Utils::slurp_file("$dir/regression.diffs") : '';
}

is(run_program('pg_dump', '-Fc', '-f', "$dir/crm.dump", '-d', $node->connstr('crm')), '', 'pg_dump -Fc');
is(run_program('pg_dump', '-f', "$dir/crm.sql", '-d', $node->connstr('crm')), '', 'pg_dump');
is(run_program('pg_dump', '-Fc', '-a', '-f', "$dir/data.dump", '-d', $node->connstr('crm')), '', 'pg_dump --data-only');
unlike(PostgreSQL::Test::Utils::slurp_file("$dir/crm.sql"), qr/\Q$_\E/, 'the dump does not have the secret ' . substr($_, 0, 12))
  for grep { defined && length > 5 && $_ ne GHL_TEST_PUBLIC_KEY } values %secret, 'k' x 32;

{
	my @db = ('-E', 'UTF8', '-T', 'template0');
	is(run_program('createdb', '-h', $node->host, '-p', $node->port, @db, 'archive'), '', 'archive: a new database');
	is(run_program('pg_restore', '-1', '-e', '-d', $node->connstr('archive'), "$dir/crm.dump"), '', 'archive: pg_restore');
	same($node, 'archive', 'archive');
	works($node, 'archive', 'archive');
	golden($node, 'archive', 'archive');

	is(run_program('createdb', '-h', $node->host, '-p', $node->port, @db, 'parallel'), '', 'parallel: a new database');
	is(run_program('pg_dump', '-Fd', '-j', '2', '-f', "$dir/crm.d", '-d', $node->connstr('crm')), '', 'parallel: pg_dump --jobs');
	is(run_program('pg_restore', '-e', '-j', '2', '-d', $node->connstr('parallel'), "$dir/crm.d"), '', 'parallel: pg_restore --jobs');
	same($node, 'parallel', 'parallel');
	is(sql($node, 'SELECT outreach.is_armed()', db => 'parallel'), 'f', 'parallel: workers leave it alone until it is armed');
	works($node, 'parallel', 'parallel');

	# rows alone: the partitions have to be there
	is(run_program('createdb', '-h', $node->host, '-p', $node->port, @db, 'data'), '', 'data: a new database');
	sql($node, 'CREATE EXTENSION pg_outreach; SELECT outreach.make_partitions();'
		. " CREATE FUNCTION public.ring(text, text, jsonb) RETURNS void LANGUAGE sql AS '';"
		. ' GRANT USAGE ON SCHEMA outreach TO reporting; GRANT SELECT ON outreach.lead_history, outreach.leads TO reporting;'
		. ' GRANT EXECUTE ON FUNCTION outreach.current_tenant() TO reporting', db => 'data');
	is(run_program('pg_restore', '-a', '-d', $node->connstr('data'), "$dir/data.dump"), '', 'data: pg_restore --data-only');
	same($node, 'data', 'data');
	works($node, 'data', 'data');
}

{
	# another cluster, with the roles and the key of the first, its library not preloaded
	my $other = new_cluster(name => 'other', preload => 0, start => 0);
	copy($node->basedir . '/secret.key', $other->basedir . '/secret.key') or die "secret.key: $!";
	$other->start;
	is(run_program('pg_dumpall', '--globals-only', '-f', "$dir/globals.sql", '-d', $node->connstr('postgres')), '', 'plain: pg_dumpall --globals-only');
	my $err = run_program('psql', '-Xq', '-f', "$dir/globals.sql", '-d', $other->connstr('postgres'));
	like($err, qr/\A(?:[^\n]*role "[^"]*" already exists)?\z/, 'plain: its roles');
	is(run_program('createdb', '-h', $other->host, '-p', $other->port, '-E', 'UTF8', '-T', 'template0', 'crm'), '', 'plain: a new database in another cluster');
	is(run_program('psql', '-Xq', '-o', '/dev/null', '-f', "$dir/crm.sql", '-d', $other->connstr('crm')), '', 'plain: psql');
	same($other, 'crm', 'plain');
	works($other, 'crm', 'plain');
	golden($other, 'crm', 'plain');
	alive($other, 'the other cluster, at the end');
}

is_deeply(contents($node, 'crm'), $before, 'the dumped database is as it was');
alive($node, 'at the end');

done_testing();
