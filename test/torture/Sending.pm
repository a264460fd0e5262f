package Sending;

# What the tests of sending share: a database with accounts at the test
# provider, messages, and the proof that none was sent twice.
#
#	use lib 'test/support', 'test/torture';
#	my $node = sending_cluster(conf => '…');
#	my $provider = TestProvider->start(…);
#	sending_database($node, 'postgres', $provider, leads => 20);
#		tenant team_a, leads lead_1 … with phones, first name Pat; accounts
#		signalhouse, twilio, generic; numbers +12125550101 (signalhouse) and
#		+12125550102 (twilio)
# sending_callbacks($node, $shim, $db)	endpoints /w/signalhouse and /w/twilio of the
#		shim, and the accounts anew, with status callbacks to them
# quick_profiles($node, $db)		shipped profiles as the tenant's own, with times short
#		enough for a test: settle 300 ms, time-outs 1.5 s, tries after 200, 400, 600 ms
# phone($n)							of lead_$n
# send_message($node, name => value, …)	outreach.send_message() of team_a, its row as a hash
# message($node, $id)				its row as a hash
# wait_at_rest($node, $id)			waits until it is neither pending nor sending, nor deferred until a time, and returns its status
# quiet($node)						waits until no message of the database is due, sending or unknown

use strict;
use warnings;

use Exporter 'import';
use OutreachTest;

our @EXPORT = qw(sending_cluster sending_database sending_callbacks quick_profiles phone send_message message wait_at_rest quiet);

sub sending_cluster
{
	my (%args) = @_;
	return new_cluster(%args, conf => "outreach.allow_private_addresses = on\n" . ($args{conf} // ''));
}

sub phone { return sprintf '+1415556%04d', $_[0] }

sub sending_database
{
	my ($node, $db, $provider, %args) = @_;
	my $leads = $args{leads} // 10;
	my $url = $provider->url;

	create_extension($node, $db);
	sql($node, qq{
		SELECT outreach.create_tenant('team_a', 'A');
		SELECT outreach.create_account('team_a', 'signalhouse', 'signalhouse_sms', 'jwt', base_url => '$url');
		SELECT outreach.create_account('team_a', 'twilio', 'twilio_sms', 'token', username => 'AC00000000000000000000000000000001', base_url => '$url');
		SELECT outreach.create_account('team_a', 'generic', 'generic_json', 'secret', base_url => '$url');
		SELECT outreach.add_number('team_a', '+12125550101', 'signalhouse');
		SELECT outreach.add_number('team_a', '+12125550102', 'twilio');
		SELECT count(*) FROM generate_series(1, $leads) i, LATERAL outreach.create_lead('team_a', 'lead_' || i,
			'+1415556' || lpad(i::text, 4, '0'), first_name => 'Pat') l}, db => $db);
}

sub sending_callbacks
{
	my ($node, $shim, $db) = @_;
	my $url = "http://127.0.0.1:" . $shim->port;

	sql($node, qq{
		SELECT outreach.create_endpoint('team_a', '/w/signalhouse', 'signalhouse', 'signalhouse', 'whsec', '$url/w/signalhouse');
		SELECT outreach.create_endpoint('team_a', '/w/twilio', 'twilio', 'twilio', 'token', '$url/w/twilio');
		SELECT count(outreach.set_callback_path('team_a', account, '/w/' || account)) FROM outreach.sending_accounts
		 WHERE account IN ('signalhouse', 'twilio')}, db => $db // 'postgres');
}

sub quick_profiles
{
	my ($node, $db) = @_;

	sql($node, q{
		CREATE TEMP TABLE own AS SELECT * FROM outreach.provider_profiles WHERE tenant_id = '*';
		UPDATE own SET tenant_id = 'team_a', settle = '300 ms', connect_timeout_ms = 1000, timeout_ms = 1500,
			retry_delays = '{200 ms,400 ms,600 ms}', breaker_pause = '500 ms',
			lookup = lookup || '{"lag": "500 ms"}';
		INSERT INTO outreach.provider_profiles SELECT * FROM own}, db => $db // 'postgres');
}

sub row
{
	my ($node, $sql, $db) = @_;
	my $line = sql($node, "SELECT jsonb_object_agg(key, coalesce(value, '')) FROM (SELECT r.key, r.value
		FROM ($sql) q, LATERAL jsonb_each_text(to_jsonb(q)) r) x", db => $db // 'postgres');
	require JSON::PP;
	return JSON::PP->new->decode($line);
}

sub send_message
{
	my ($node, %args) = @_;
	my $db = delete $args{db};
	my $call = join ', ', "'team_a'", map { (my $v = $args{$_}) =~ s/'/''/g; "$_ => '$v'" } grep { defined $args{$_} } sort keys %args;
	my $row = row($node, "SELECT * FROM outreach.send_message($call)", $db);
	$row->{duplicate} = $row->{duplicate} eq 'true' ? 't' : 'f';
	return $row;
}

sub message
{
	my ($node, $id, $db) = @_;
	return row($node, "SELECT * FROM outreach.outbound_messages WHERE message_id = '$id'", $db);
}

sub wait_at_rest
{
	my ($node, $id, $db) = @_;
	return wait_until(sub {
		sql($node, "SELECT status FROM outreach.outbound_messages WHERE message_id = '$id'
			AND status NOT IN ('pending', 'sending') AND NOT (status = 'deferred' AND due_at IS NOT NULL)", db => $db // 'postgres') },
				"message $id to settle");
}

sub quiet
{
	my ($node, $db) = @_;
	return wait_until(sub {
		sql($node, "SELECT NOT EXISTS (SELECT FROM outreach.outbound_messages WHERE due_at IS NOT NULL)",
			db => $db // 'postgres') eq 't' }, 'all messages to settle');
}

1;
