# Defects of the systems this one replaces that it must not have: opting out.
# One block a number; which texts opt out, and whom, is spread out in opt_out.pl.
# N34, N36, N42, N43 and N44 are about sends: defects_sending.pl.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_tenant('team_b', 'B');
	SELECT outreach.create_endpoint('team_a', '/w/a', 'texting', 'none');
	SELECT outreach.create_endpoint('team_b', '/w/b', 'texting', 'none');
});

my $serial = 0;

sub value { return sql($node, $_[0]); }

sub text
{
	my ($phone, $body, $path) = @_;
	return ingest($node, signed('none', path => $path // '/w/a', type => 'application/json', body => encode_json({
		type => 'message.received', message => { id => 'm' . ++$serial, from => $phone, body => $body } })))->{outcome};
}

# consent, states and e-mails of a phone in team_a
sub phone
{
	my ($phone) = @_;
	return value("SELECT concat_ws(' ', p.consent, string_agg(concat_ws(' ', l.state, l.email), ',' ORDER BY lead_id))"
			. " FROM outreach.phones p LEFT JOIN outreach.leads l USING (tenant_id, phone)"
			. " WHERE tenant_id = 'team_a' AND phone = '$phone' GROUP BY p.consent");
}

sub rule
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return value("SELECT coalesce(consent, '-') || ' ' || coalesce(rule, '-') FROM outreach.classify_message('team_a', '$text')");
}

# N30: words inside words, and keywords inside sentences
unlike(rule($_), qr/^(?:opt_out|hold)/, "N30: $_")
  for 'Have a great weekend', 'send it', 'my friend', 'nonstop', 'I\'ll cancel my other meeting', 'WEEKEND', 'SENDER', 'FRIEND';

# N31: the same of other words
unlike(rule('yesterday'), qr/interested/, 'N31: yesterday is no YES');
unlike(rule('thirty'), qr/thank/, 'N31: thirty is no TY');
unlike(rule('now'), qr/not-interested/, 'N31: now is no NO');
is(rule($_), '- other', "N31: $_") for 'yesterday', 'thirty', 'class';

# N32: one reading of an objection, everywhere
is(rule('Not interested'), '- not-interested', 'N32: an objection');
is(rule('who is this'), '- question', 'N32: a question without its mark');
is(rule('who is this?'), '- question', 'N32: a question');
{
	text('+12125550032', 'Not interested');
	is(phone('+12125550032'), 'unknown responded', 'N32: does what it was classified as');
}

{
	# N33: nothing is derived from a message before its STOP is seen
	text('+12125550033', 'touch');
	text('+12125550033', 'STOP');
	is(value("SELECT string_agg(event_type || coalesce(' ' || new_state, ''), ', ' ORDER BY lead_version) FROM outreach.events WHERE lead_id = "
			. "(SELECT lead_id FROM outreach.leads WHERE phone = '+12125550033') AND lead_version > 3"),
		'webhook.inbound.received, lead.state.changed suppressed', 'N33: received and suppressed, nothing between');
	is(value("SELECT payload ? 'rule' FROM outreach.lead_history WHERE payload->>'body' = 'STOP' AND lead_version > 3
		AND event_type = 'webhook.inbound.received'"),
		'f', 'N33: and not classified');
}

{
	# N35: state, registry, history and log in one step; N46: no job that can fail
	my $hook = signed('none', path => '/w/a', type => 'application/json',
		body => encode_json({ type => 'message.received', message => { id => 'n35', from => '+12125550035', body => 'STOP' } }));
	value("SELECT outreach.create_lead('team_a', 'lead_35', '+12125550035')");
	ingest($node, $hook);
	is(phone('+12125550035'), 'opted_out suppressed', 'N35, N46: lead and registry');
	is(value("SELECT count(DISTINCT x) FROM (SELECT xmin::text FROM outreach.leads WHERE lead_id = 'lead_35'"
			. " UNION ALL SELECT xmin::text FROM outreach.addresses WHERE address = '+12125550035'"
			. " UNION ALL SELECT xmin::text FROM outreach.consent_history WHERE address = '+12125550035'"
			. " UNION ALL SELECT xmin::text FROM outreach.events WHERE lead_id = 'lead_35' AND lead_version > 1) t(x)"),
		1, 'N35, N46: by one transaction');
}

{
	# N37, N38, N39, N41
	value("SELECT outreach.create_lead(t, l, p) FROM (VALUES ('team_a', 'lead_37', '+12125550037'), ('team_a', 'lead_37b', '2125550037'),"
		. " ('team_b', 'lead_37', '+12125550037'), ('team_a', 'lead_38', '+442125550037')) v(t, l, p)");
	value("SELECT outreach.create_lead('team_a', 'lead_41', '+12125550037')");
	value("SELECT outreach.transition_lead('team_a', 'lead_41', s) FROM unnest('{touched,responded,in_call_queue,closed}'::text[]) s");
	text('+12125550037', 'stop');
	is(phone('+12125550037'), 'opted_out suppressed,suppressed,suppressed', 'N37, N41: every lead of the phone, the closed one too');
	is(value("SELECT string_agg(tenant_id || ' ' || state, ', ') FROM outreach.leads WHERE lead_id = 'lead_38' OR tenant_id = 'team_b'"),
		'team_b new, team_a new', 'N38: no other tenant\'s, and none whose last ten digits are the same');
	text('+12125550037', 'start');
	is(phone('+12125550037'), 'opted_in suppressed,suppressed,suppressed', 'N39: lifting it makes nobody active');
	is(value("SELECT count(*) FROM outreach.phones WHERE tenant_id = 'team_b' OR phone = '+442125550037' AND consent <> 'unknown'"),
		value("SELECT count(*) FROM outreach.phones WHERE tenant_id = 'team_b' AND consent = 'unknown'"), 'N38: and START neither');
}

{
	# N40
	is(rule('START'), 'opt_in -', 'N40: START');
	is(rule('UNSTOP'), 'opt_in -', 'N40: UNSTOP');
	is(rule('HELP'), 'help -', 'N40: HELP');
	text('+12125550040', 'HELP');
	is(phone('+12125550040'), 'unknown responded', 'N40: HELP is a reply, and no positive one');
}

{
	# N45: the opt-out before the e-mail address
	for my $body ('stop, a@b.co', 'stop a@b.co', 'a@b.co unsubscribe me', 'STOP. Write to pat@example.com instead')
	{
		my $phone = sprintf '+12125551%03d', ++$serial;
		text($phone, $body);
		like(phone($phone), qr/^(?:opted_out suppressed|held responded)$/, "N45: $body");
	}
}

{
	# N47: one list, the same in every process and after a restart
	text('+12125550047', 'stop');
	$node->restart;
	is(phone('+12125550047'), 'opted_out suppressed', 'N47: still opted out');
	value("SELECT outreach.opt_in('team_a', '+12125550047')");
	$node->restart;
	is(phone('+12125550047'), 'opted_in suppressed', 'N47: and what was lifted stays lifted');
}

is(value('SELECT * FROM outreach.verify()'), '', 'states follow from events');
alive($node, 'at the end');

done_testing();
