# The documents against the product: docs/reference.md has every function, setting,
# error code and configuration key as the catalogue and the shim have them, its SQL
# examples run from top to bottom, those of the other documents too, README's stand-in
# for a provider takes a message, every file of the tree that a document names is
# there, and every source file and statement of the inbound path that
# docs/ARCHITECTURE.md should name.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Digest::SHA qw(hmac_sha256_hex);
use Test::More;

my %text = map { $_ => slurp($_) } 'README.md', glob('docs/*.md');
my $reference = $text{'docs/reference.md'};

# nothing is to leave: the examples name real providers
my $node = new_cluster(conf => "outreach.max_sends = 0\n");
my $stand_in;
END
{
	my $status = $?;
	$stand_in->kill_kill if defined $stand_in;
	$? = $status;
}
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(reference readme);

check_examples('docs/reference.md', 'reference');
check_examples('README.md', 'readme');
check_stand_in();
check_node_example();
check_proof();
check_functions();
check_rights();
check_relations();
check_settings();
check_errors();
check_kinds();
check_sending();
check_shim();
check_monitoring();
check_code_map();
check_names($_) for sort keys %text;
done_testing();

sub slurp
{
	my ($file) = @_;
	open(my $in, '<', $file) or die "$file: $!";
	local $/;
	return scalar <$in>;
}

sub rows
{
	my ($sql) = @_;
	return map { [ split /\|/, $_, -1 ] } split /\n/, sql($node, $sql, db => 'reference');
}

# the cells after the first of the table row that begins with `name`, in the whole
# reference or below one of its headings
sub table_row
{
	my ($name, $heading) = @_;
	my $part = $reference;
	($part) = $reference =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms if defined $heading;
	my ($line) = $part =~ /^\| `\Q$name\E` \|(.*)\|$/m;
	return unless defined $line;
	return map { s/^\s+|\s+$//gr } split /\|/, $line, -1;
}

# Runs each block as the role its first line names, and compares the errors with
# those it announces, in their order.
sub check_examples
{
	my ($file, $db) = @_;
	my $n = 0;
	check_block($node, $db, "$file, SQL block " . ++$n, $1) while $text{$file} =~ /^```sql\n(.*?)^```$/msg;
	cmp_ok($n, '>', 0, "$file has examples");
}

sub check_block
{
	my ($on, $db, $name, $block) = @_;
	if ($block !~ /\A-- as (.+)\n/)
	{
		fail("$name says who runs it");
		return;
	}
	my $user = $1 =~ /superuser/ ? undef : $1;
	my @announced = $block =~ /^-- ERROR ([0-9A-Z]{5})$/mg;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-f', '-', '-d', connstr($on, $db, $user) ],
		'<' => \$block, '>' => \$out, '2>' => \$err);
	my @raised = $err =~ /(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):/g;
	is_deeply(\@raised, \@announced, $name) or diag("$block\n$err");
	unlike($err, qr/\Apsql: error/, "$name reached the server");
}

# README's installation, its stand-in for a provider, and a message that leaves for it
sub check_stand_in
{
	my $port = free_port();
	my ($install, $see) = $text{'README.md'} =~ /^## Install\n(.*?)^## .*^## See it working\n(.*?)^## /ms;
	$see =~ s/127\.0\.0\.1:9000/127.0.0.1:$port/g;
	my ($program) = $see =~ /^    (perl .*?\}')$/ms;
	my $other = new_cluster(name => 'stand_in');
	my $seen = '';
	$stand_in = IPC::Run::start([ 'sh', '-c', "exec $program" ], '2>', \$seen);

	$other->safe_psql('postgres', 'CREATE DATABASE crm');
	check_block($other, 'crm', 'README.md, installing', $_) for $install =~ /^```sql\n(.*?)^```$/msg;
	check_block($other, 'crm', 'README.md, the stand-in', $_) for $see =~ /^```sql\n(.*?)^```$/msg;
	wait_until(sub { sql($other, "SELECT outreach.lead_history('team_a', 'lead_try')", db => 'crm', user => 'crm') =~ /message\.outbound\.sent/ },
		'the message to leave');
	wait_until(sub { $stand_in->pump_nb; $seen =~ /\n/ }, 'the stand-in to print it');
	like($seen, qr/"to":"lead_try".*"body":"Hello Pat!"/, 'the stand-in prints what it was sent');
	$other->stop;
}

# The statements of README's example for node-postgres, as untyped parameters
# reach the server
sub check_node_example
{
	my $n = 0;
	while ($text{'README.md'} =~ /^```js\n(.*?)^```$/msg)
	{
		my $block = $1;
		while ($block =~ /query\(\s*(['`])(.*?)\1/sg)
		{
			my $sql = $2;
			next if $sql =~ /^(?:BEGIN|COMMIT|ROLLBACK)$/;
			is(sql_error($node, 'PREPARE s' . ++$n . " AS $sql", db => 'readme', user => 'crm'),
				'', "README.md, statement $n of the example for node-postgres");
		}
	}
	cmp_ok($n, '>', 2, 'README.md has an example for node-postgres');
}

# as docs/reference.md says that one is made, with the key of its example
sub check_proof
{
	my ($key) = $reference =~ /set_proof_key\('team_a', '([^']+)'\)/;
	my $text = 'v1.' . (time() + 60);
	my $proof = "$text." . hmac_sha256_hex("$text.team_a", $key);
	my $old = 'v1.' . (time() - 60);

	sql($node, 'CREATE ROLE unbound LOGIN IN ROLE outreach_app', db => 'reference');
	is(sql($node, "BEGIN; SELECT outreach.enter_tenant('team_a', '$proof'); SELECT tenant_id FROM outreach.tenants; COMMIT",
			db => 'reference', user => 'unbound'),
		"team_a\nteam_a", 'a proof as described is good');
	is(sql_error($node, "SELECT outreach.enter_tenant('team_a', '$old." . hmac_sha256_hex("$old.team_a", $key) . "')",
			db => 'reference', user => 'unbound'),
		'OR103', 'an expired one is not');
}

sub check_functions
{
	my %documented;
	while ($reference =~ /^### `(\w+)\(([^)]*)\)`\n(.*?)(?=^##)/msg)
	{
		$documented{$1} = { arguments => $2, section => $3 };
	}
	for my $row (rows(q{
		SELECT p.proname,
			(SELECT string_agg(a.name, ', ' ORDER BY a.n) FROM unnest(p.proargnames) WITH ORDINALITY a(name, n)
			  WHERE a.n <= p.pronargs),
			(SELECT string_agg(a.name, ' ' ORDER BY a.n) FROM unnest(p.proargnames) WITH ORDINALITY a(name, n)
			  WHERE a.n > p.pronargs),
			(SELECT string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text COLLATE "C")
			   FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner),
			p.pronargdefaults, p.pronargs
		  FROM pg_proc p WHERE p.pronamespace = 'outreach'::regnamespace ORDER BY p.proname}))
	{
		my ($name, $in, $out, $callers, $defaults, $n) = @$row;
		my $entry = delete $documented{$name};
		if ($callers eq '')
		{
			is($entry, undef, "$name is nobody's to call and not in the reference");
			next;
		}
		is($entry->{arguments}, $in, "arguments of $name");
		my $section = $entry->{section} // '';
		my ($who) = $section =~ /^Callers: (.*)\.$/m;
		is($who, $callers, "callers of $name");
		my @names = split /, /, $in;
		# what may be left out is in italics, what may not is not
		for my $i (0 .. $#names)
		{
			my $optional = $i >= $n - $defaults;
			my $pattern = $optional ? qr/\*`$names[$i]`\*/ : qr/(?<!\*)`$names[$i]`(?!\*)/;
			like($section, $pattern, "$name describes $names[$i]");
		}
		like($section, qr/`$_`/, "$name describes its result $_") for split / /, $out;
		like($section, qr/^```sql$/m, "$name has an example");
	}
	is_deeply([ sort keys %documented ], [], 'the reference has no function that is not there');
}

# Every right in one table: of functions, tables, columns, and what administrators get
sub check_rights
{
	my @lines = map { '| ' . join(' | ', @$_) . ' |' } rows(q{
		WITH given AS (
			SELECT a.grantee::regrole::text AS role, 'call' AS may, p.proname::text AS what
			  FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = 'outreach'::regnamespace AND a.grantee <> p.proowner
			UNION ALL
			SELECT a.grantee::regrole::text, a.privilege_type, c.relname
			  FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'outreach'::regnamespace
			   AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND a.grantee::regrole::text LIKE 'outreach\_%' AND a.grantee <> c.relowner
			UNION ALL
			SELECT a.grantee::regrole::text, a.privilege_type, c.relname || '.' || t.attname
			  FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a WHERE c.relnamespace = 'outreach'::regnamespace
			   AND a.grantee::regrole::text LIKE 'outreach\_%'
			UNION ALL
			SELECT 'by grant_administration()', c.privileges, substr(c.of_table::text, 10) FROM outreach_impl.configuration() c
		), grouped AS (
			SELECT may, what, string_agg(role, ', ' ORDER BY role COLLATE "C") AS roles FROM given GROUP BY may, what
		)
		SELECT may, string_agg('`' || what || '`', ', ' ORDER BY what COLLATE "C"), roles
		  FROM grouped GROUP BY may, roles ORDER BY may <> 'call', may COLLATE "C", roles COLLATE "C"});
	my ($section) = $reference =~ /^## Rights\n.*?^\|---\|---\|---\|\n(.*?)\n\n/ms;
	is($section, join("\n", @lines), 'the table of rights');
}

sub check_relations
{
	for my $row (rows(q{
		SELECT c.relname FROM pg_class c
		 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		   AND has_table_privilege('outreach_app', c.oid, 'SELECT') ORDER BY 1}))
	{
		ok(table_row($row->[0], 'Tables and views'), "relation $row->[0]");
	}
	for my $row (rows('SELECT event_type FROM outreach.event_types WHERE shipped'))
	{
		like($reference, qr/`\Q$row->[0]\E`/, "event type $row->[0]");
	}
	for my $row (rows('SELECT unnest(enum_range(NULL::outreach.payload_status))'))
	{
		ok(table_row($row->[0], 'Payload status'), "payload status $row->[0]");
	}
	for my $row (rows('SELECT outcome FROM outreach.ingest_counters()'))
	{
		ok(table_row($row->[0], 'Outcomes'), "outcome $row->[0]");
	}
}

sub check_settings
{
	my @names = map { $_->[0] } rows("SELECT name FROM pg_settings WHERE name LIKE 'outreach.%' ORDER BY 1");
	cmp_ok(scalar(@names), '>', 0, 'there are settings');
	ok(table_row($_), "setting $_") for @names;
	my %there = map { $_ => 1 } @names;
	is_deeply([ grep { !$there{$_} } $reference =~ /^\| `(outreach\.\w+)` \|/mg ],
		[], 'the reference has no setting that is not there');
}

sub check_errors
{
	my %codes = map { $_->[0] => $_->[1] } rows('SELECT sqlstate, name FROM outreach.error_codes()');
	for my $code (sort keys %codes)
	{
		is((table_row($code))[0], "`$codes{$code}`", "error $code");
	}
	for my $file (sort keys %text)
	{
		is_deeply([ grep { !$codes{$_} } $text{$file} =~ /\b(OR\d{3})\b/g ],
			[], "$file names no error code that is not there");
	}
}

# provider, kinds that act, kinds that are logged
sub check_kinds
{
	for my $row (rows(q{
		SELECT provider, string_agg(DISTINCT '`' || event_type || '`', ' ') FILTER (WHERE effect <> 'log'),
			string_agg(DISTINCT '`' || event_type || '`', ' ') FILTER (WHERE effect = 'log')
		  FROM outreach.webhook_kinds WHERE tenant_id = '*' GROUP BY provider ORDER BY provider}))
	{
		is_deeply([ table_row($row->[0], 'Providers and kinds') ], [ @$row[ 1, 2 ] ], "kinds of $row->[0]");
	}
}

# statuses, guards, profiles and their columns, outcomes and effects
sub check_sending
{
	for my $row (rows('SELECT unnest(enum_range(NULL::outreach.message_status))'))
	{
		ok(table_row($row->[0], 'Message statuses'), "message status $row->[0]");
	}
	for my $row (rows(q{
		SELECT guard, CASE WHEN at_request AND at_claim THEN 'both' WHEN at_request THEN 'at request' ELSE 'at claim' END
		  FROM outreach.guards()}))
	{
		is((table_row($row->[0], 'Guards'))[0], $row->[1], "guard $row->[0]");
	}
	for my $row (rows(q{
		SELECT profile, provider, channel, authentication FROM outreach.provider_profiles WHERE tenant_id = '*'}))
	{
		my @cells = table_row($row->[0], 'Providers to send through');
		is_deeply([ @cells[ 0 .. 2 ] ], [ map { "`$_`" } @$row[ 1 .. 3 ] ], "profile $row->[0]");
	}
	my ($section) = $reference =~ /^### Provider profiles\n(.*?)(?=^##)/ms;
	for my $row (rows(q{
		SELECT attname FROM pg_attribute
		 WHERE attrelid = 'outreach.provider_profiles'::regclass AND attnum > 0 AND NOT attisdropped}))
	{
		like($section, qr/^\|[^|]*`$row->[0]`/m, "column $row->[0] of a profile");
	}
	($section) = $reference =~ /^### Requests and answers\n(.*?)(?=^##)/ms;
	for my $row (rows(q{
		SELECT unnest(outreach_impl.names('request outcome') || outreach_impl.names('outcome effect'))}))
	{
		like($section, qr/^\|[^|]*`$row->[0]`/m, "outcome or effect $row->[0]");
	}
	# what a text may name, and the filters, as the engine reads them
	for my $filter (qw(digits first lower upper money xml))
	{
		is(sql($node, "SELECT outreach.check_template('{{ a | $filter }}') IS NULL", db => 'reference'),
			't', "filter $filter");
	}
}

sub check_shim
{
	my $program = $ENV{PO_SHIM} // 'shim/outreach-shim';
	my $shown = `'$program' --show-config`;
	my %documented = map { $_ => 1 } $reference =~ /^## outreach-shim\n(.*)/ms ? $1 =~ /^\| `(\w+)` \| [^|]* \| (?:yes )?\| /mg : ();
	my $n = 0;
	while ($shown =~ /^# (.*) \(default (.*?)(; reloadable)?\)\n(\w+) =/mg)
	{
		my ($doc, $default, $reloadable, $name) = ($1, $2, $3, $4);
		is_deeply(
			[ table_row($name) ],
			[ $default eq 'empty' ? '' : "`$default`", $reloadable ? 'yes' : '', $doc ],
			"shim setting $name");
		delete $documented{$name};
		$n++;
	}
	cmp_ok($n, '>', 10, 'the shim shows its settings');
	is_deeply([ sort keys %documented ], [], 'the reference has no shim setting that is not there');
}

# the queries of the table in docs/operations.md
sub check_monitoring
{
	my $n = 0;
	while ($text{'docs/operations.md'} =~ /^\|.*\| `(SELECT .*?)` \|/mg)
	{
		is(sql_error($node, $1, db => 'reference'), '', "docs/operations.md: $1");
		$n++;
	}
	cmp_ok($n, '>', 3, 'docs/operations.md has queries to watch');
}

sub check_code_map
{
	my $map = $text{'docs/ARCHITECTURE.md'};
	my @missing = grep { my ($name) = m{([^/]+)$}; $map !~ /`\Q$name\E`/ }
	  glob('extension/*/*.c'), glob('shim/*.c');
	is_deeply(\@missing, [], 'the code map has every source file');

	my %statement;
	for my $file (glob('extension/*/*.c'))
	{
		$statement{$_} = 1 for slurp($file) =~ /\.name = "([\w.]+)"/g;
	}
	my @named = map { /`(\w+\.\w+)`/g } $map =~ /^\| \d \| (`\w+\.\w+`.*?) \|/mg;
	cmp_ok(scalar(@named), '>', 5, 'the statements are named');
	is_deeply([ grep { !$statement{$_} } @named ], [], 'and are there');
}

# files of the tree, links and headings
sub check_names
{
	my ($file) = @_;
	my ($folder) = $file =~ m{^(.*/)?};
	my @missing;
	while ($text{$file} =~ m{`((?:extension|shim|sql|test|expected|docs)/[\w./-]*)`}g)
	{
		push @missing, $1 unless -e $1 || $1 =~ m{/build/};
	}
	is_deeply(\@missing, [], "$file names only files that are there");

	@missing = ();
	while ($text{$file} =~ m{\]\(([^)#\s]*)(?:#([^)\s]*))?\)}g)
	{
		my ($target, $anchor) = ($1, $2);
		my $path = $target eq '' ? $file : ($folder // '') . $target;
		next if $target =~ m{^https?:};
		if (!-e $path)
		{
			push @missing, $target;
		}
		elsif (defined $anchor && !grep { $_ eq $anchor } map { anchor($_) } slurp($path) =~ /^#+ (.*)$/mg)
		{
			push @missing, "$target#$anchor";
		}
	}
	is_deeply(\@missing, [], "links of $file lead somewhere");
}

# as renderers make them of headings
sub anchor
{
	my ($heading) = @_;
	$heading = lc $heading;
	$heading =~ s/[^\w\s-]//g;
	$heading =~ s/\s/-/g;
	return $heading;
}
