# Who a message goes to: the lead, at the address that it has when the message leaves.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my $url = $provider->url;
sending_database($node, 'postgres', $provider, leads => 0);
sql($node, "SELECT outreach.create_account('team_a', 'mail', 'sendgrid_mail', 'key', settings => '{\"from\": \"us\@example.com\"}', base_url => '$url')");
quick_profiles($node);

my $serial = 0;

sub new_phone { return sprintf '+1415557%04d', ++$serial }

# A lead with a phone
sub new_lead
{
	my $phone = new_phone();
	my $lead = "addressee_$serial";
	sql($node, "SELECT outreach.create_lead('team_a', '$lead', '$phone', 'Pat', email => '$lead\@example.com')");
	return ($lead, $phone);
}

sub update
{
	my ($lead, $changes) = @_;
	return sql($node, "SELECT changed FROM outreach.update_lead('team_a', '$lead', '$changes')");
}

# The recipients of what the provider has accepted of a lead's messages
sub recipients
{
	my ($text) = @_;
	return join ' ', sort map { $_->{recipient} =~ s/^(?=1)/+/r } grep { index($_->{body}, $text) >= 0 } $provider->accepted;
}

# What became of a message that waited while something happened
sub story
{
	my ($lead, $happens, %args) = @_;
	my $text = "text $lead";
	sql($node, "SELECT outreach.stop_sending('tenant', 'team_a', 'a test')");
	my $id = send_message($node, lead_id => $lead, body => $text, send_key => "key $lead", %args)->{message_id};
	ok(wait_until(sub { message($node, $id)->{held_by} eq 'tenant:team_a' }, 'the message to be held'), 'it waits');
	$happens->();
	sql($node, "SELECT outreach.resume_sending('tenant', 'team_a')");
	my $status = wait_at_rest($node, $id);
	my $row = message($node, $id);
	my $guard = sql($node, "SELECT coalesce(verdicts -> 0 ->> 'guard', '-') FROM outreach.outbound_messages WHERE message_id = '$id'");
	return ($id, "$status $guard", recipients($text), $row->{held_by});
}

for my $way ('update_lead', 'create_lead', 'UPDATE')
{
	my ($lead, $old) = new_lead();
	my $new = new_phone();
	my ($id, $end, $to) = story($lead, sub {
		update($lead, qq({"phone": "$new"})) if $way eq 'update_lead';
		sql($node, "SELECT outreach.create_lead('team_a', '$lead', '$new')") if $way eq 'create_lead';
		sql($node, "UPDATE outreach.leads SET phone = '$new' WHERE lead_id = '$lead'") if $way eq 'UPDATE';
	});
	is($end, 'sent -', "corrected by $way: it leaves");
	is($to, $new, 'for the new phone');
	is(message($node, $id)->{phone}, $new, 'which is noted');
}

# ---- removed, and given again --------------------------------------------------

my ($lead, $old) = new_lead();
my ($id, $end, $to, $held) = story($lead, sub { update($lead, '{"phone": null}') });
is("$end $held", 'deferred destination address', 'removed: it waits for an address');
is($to, '', 'and does not leave');
my $new = new_phone();
update($lead, qq({"phone": "$new"}));
is(wait_at_rest($node, $id), 'sent', 'the lead has another: it leaves');
is(recipients("text $lead"), $new, 'for that one');

# ---- given to another lead -------------------------------------------------------

($lead, $old) = new_lead();
my ($heir) = new_lead();
($id, $end, $to, $held) = story($lead, sub { update($lead, '{"phone": null}'); update($heir, qq({"phone": "$old"})) });
is("$end $held", 'deferred destination address', 'given to another lead: it waits');
my $theirs = send_message($node, lead_id => $heir, body => "for the heir", send_key => 'heir')->{message_id};
is(wait_at_rest($node, $theirs), 'sent', 'what is for the other leaves');
is(recipients('for the heir'), $old, 'for the phone that is theirs now');
is(recipients("text $lead"), '', 'and nothing else does');

# ---- consent is that of the address it goes to -------------------------------------

($lead, $old) = new_lead();
$new = new_phone();
sql($node, "SELECT outreach.opt_out('team_a', '$new', 'web')");
($id, $end, $to) = story($lead, sub { update($lead, qq({"phone": "$new"})) });
is($end, 'blocked consent', 'the new phone has opted out: it is blocked');
is($to, '', 'and does not leave');

($lead, $old) = new_lead();
$new = new_phone();
($id, $end, $to) = story($lead, sub { update($lead, qq({"phone": "$new"})); sql($node, "SELECT outreach.opt_out('team_a', '$old', 'web')") });
is("$end $to", "sent - $new", 'the phone that it had has opted out: it goes to the new one');

($lead, $old) = new_lead();
($id, $end, $to) = story($lead, sub { sql($node, "SELECT outreach.opt_out('team_a', '$old', 'web')") });
like($end, qr/^blocked (consent|suppression)$/, 'opted out meanwhile: blocked');
is($to, '', 'and does not leave');

# ---- mail ----------------------------------------------------------------------------

my %mail = (channel => 'email', options => '{"subject": "Hello", "bcc": ["new@example.com", "log@example.com"]}');
($lead) = new_lead();
($id, $end, $to) = story($lead, sub { update($lead, '{"email": "New@Example.com"}') }, %mail);
is("$end $to", 'sent - new@example.com', 'mail goes to the new address, folded');
my ($mail) = grep { index($_->{body}, "text $lead") >= 0 } $provider->accepted;
is($mail->{bcc}, 'log@example.com', 'which gets no copy beside it');
($lead) = new_lead();
($id, $end, $to, $held) = story($lead, sub { update($lead, '{"email": null}') }, %mail);
is("$end $held", 'deferred destination address', 'without an address it waits');
update($lead, '{"email": "found@example.com"}');
is(wait_at_rest($node, $id) . ' ' . recipients("text $lead"), 'sent found@example.com', 'and leaves when there is one');

# ---- what may have left is repeated to nobody else ------------------------------------

($lead, $old) = new_lead();
# long enough for its lead to have the other phone before it may be repeated
sql($node, "UPDATE outreach.provider_profiles SET idempotency_header = 'Idempotency-Key', idempotency_life = '1 hour', settle = '10 s'
	WHERE tenant_id = 'team_a' AND profile = 'signalhouse_sms'");
my $hook = send_message($node, lead_id => $lead, body => 'once [[fault:lose_answer]]', from_phone => '+12125550101', send_key => 'may have left')->{message_id};
is(wait_at_rest($node, $hook), 'unknown', 'its answer is lost');
$new = new_phone();
update($lead, qq({"phone": "$new"}));
is(wait_until(sub { my $status = message($node, $hook)->{status}; $status =~ /^(?:unknown|pending|deferred)$/ ? '' : $status }, 'the message to be settled'),
	'uncertain', 'a person decides');
is(recipients('once'), $old, 'it has not gone to the new phone');

# ---- while they leave -------------------------------------------------------------------

sql($node, q{
	CREATE TABLE moved (lead_id text, new text, moved_at timestamptz);
	SELECT count(outreach.create_lead('team_a', 'moving_' || i, '+1415558' || lpad(i::text, 4, '0'))) FROM generate_series(1, 40) i;
	SELECT count(m.status) FROM generate_series(1, 10) k, LATERAL outreach.send_messages('team_a', ARRAY(SELECT 'moving_' || i FROM generate_series(1, 40) i),
		'moving ' || k, send_keys => ARRAY(SELECT format('moving:%s:%s', i, k) FROM generate_series(1, 40) i)) m});
for my $i (1 .. 40)
{
	my $phone = sprintf '+1415559%04d', $i;
	sql($node, "SELECT outreach.update_lead('team_a', 'moving_$i', '{\"phone\": \"$phone\"}')");
	sql($node, "INSERT INTO moved VALUES ('moving_$i', '$phone', clock_timestamp())");
}
quiet($node);
$provider->load($node);
is(sql($node, q{SELECT count(*) FROM outreach.message_deliveries d JOIN outreach.outbound_messages m USING (tenant_id, message_id) JOIN moved v USING (lead_id)
	WHERE d.started_at > v.moved_at AND m.phone <> v.new}), 0, 'what is claimed after the change goes to the new phone');
is(sql($node, q{SELECT count(*) || ' ' || count(*) FILTER (WHERE ltrim(p.recipient, '+') <> ltrim(m.phone, '+')) FROM outreach.outbound_messages m
	LEFT JOIN provider_accepted p ON p.id = m.provider_message_id WHERE m.lead_id LIKE 'moving_%'}), '400 0', 'and where it went is noted');
is(sql($node, 'SELECT count(*) FROM outreach.verify()'), 0, 'verified');
done_testing();
