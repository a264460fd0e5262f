# Two messages with the same text to the same phone, of which one was accepted and
# neither was answered: a look-up cannot tell which, so neither is sent again.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token', signalhouse_signing => 'whsec' });
sending_database($node, 'postgres', $provider);
quick_profiles($node);
# the references in the callbacks' URLs name the messages to the provider
my $shim = start_shim($node);
sending_callbacks($node, $shim);

my $n = 0;
for my $faults ('lose_answer,close_before,ok', 'close_before,lose_answer,ok')
{
	$n++;
	$provider->config(rules => [ { to => phone($n), fault => $faults } ]);
	my @id = split /\n/, sql($node, 'BEGIN;' . join('', map { "SELECT message_id FROM outreach.send_message('team_a', 'lead_$n',
		'The same text', send_key => '$n $_', from_phone => '+12125550102');" } 1 .. 2) . 'COMMIT');
	quiet($node);
	my %accepted;
	$accepted{ $_->{key} =~ s/\..*//r }++ for grep { $_->{recipient} eq phone($n) } $provider->accepted;
	is(scalar(grep { $_ > 1 } values %accepted), 0, "$faults: none is accepted twice");
	is(scalar(grep { message($node, $_)->{status} eq 'sent' && !$accepted{$_} } @id), 0, 'what is said to be sent was accepted');
}
is($provider->counter('doubled'), 0, 'none twice');
done_testing();
