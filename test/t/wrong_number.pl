# A phone whose holder says that they are somebody else: it is taken from the leads
# that had it by then, and from no other, in whichever way the messages come.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/now', 'generic', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/later', 'generic', 'none', mode => 'deferred');
});

my $serial = 0;

sub said
{
	my ($path, $phone, $body) = @_;
	return { path => $path, body => encode_json({ event => 'message.received', id => 'm' . ++$serial, from => $phone, body => $body }) };
}

# Leads of the story, oldest first: the phone they have, their state
sub leads
{
	my ($since) = @_;
	return sql($node, "SELECT string_agg(coalesce(phone, '-') || ' ' || state, ', ' ORDER BY created_at, lead_id) FROM outreach.leads
		WHERE created_at >= '$since'");
}

sub story
{
	my ($batch, $known, @texts) = @_;
	my $phone = sprintf '+1212555%04d', ++$serial;
	my $since = sql($node, 'SELECT clock_timestamp()');
	sql($node, "SELECT outreach.create_lead('team_a', 'l$serial', '$phone')") if $known;
	my @said = map { said('/w/now', $phone, $_) } @texts;
	for my $part ($batch ? [@said] : map { [$_] } @said)
	{
		my $json = encode_json($part);
		sql($node, "SELECT count(*) FROM outreach.ingest_webhooks(ARRAY(SELECT jsonb_array_elements(\$j\$$json\$j\$)))");
	}
	return leads($since) =~ s/\Q$phone\E/phone/gr;
}

for ([ 'wrong number' => '- responded' ],
	[ 'wrong number', 'yes I am interested, tell me more' => '- responded, phone high_intent' ],
	[ 'wrong number', 'STOP' => '- responded, phone suppressed' ],
	[ 'hello', 'Sorry, wrong number' => '- responded' ],
	[ 'wrong number', 'wrong number' => '- responded, phone responded' ])
{
	my @texts = @$_;
	my $expected = pop @texts;
	is(story(0, 1, @texts), $expected, "one by one: @texts");
	is(story(1, 1, @texts), $expected, "together: @texts");
}
is(story($_, 0, 'hello', 'wrong number'), '- responded', 'who was a stranger') for 0, 1;
is(story($_, 0, 'wrong number'), 'phone responded', 'a stranger is no lead of ours that was missed') for 0, 1;

# What was kept is of the leads that there were
sql($node, "SELECT outreach.create_lead('team_a', 'before', '+12125559001')");
ingest($node, said('/w/later', '+12125559001', 'wrong number'));
sql($node, "SELECT outreach.create_lead('team_a', 'after', '+12125559001')");
sql($node, 'SELECT outreach.process_payloads(10)');
is(sql($node, "SELECT string_agg(lead_id || ' ' || coalesce(phone, '-'), ', ' ORDER BY lead_id) FROM outreach.leads WHERE lead_id IN ('before', 'after')"),
	'after +12125559001, before -', 'a lead that was made meanwhile keeps it');
is(sql($node, "SELECT payload - 'version' FROM outreach.event_log WHERE lead_id = 'before' AND event_type = 'lead.address_removed'"),
	'{"kind": "phone", "phone": "+12125559001", "reason": "wrong-number"}', 'the event keeps it with the reason');

is(sql($node, 'SELECT * FROM outreach.verify()'), '', 'states follow from events');
done_testing();
