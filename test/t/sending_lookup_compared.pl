# A look-up compares time, numbers and text: what never left is not taken for sent
# because another message says the same.

use strict;
use warnings;
use lib 'test/support', 'test/torture';
use HTTP::Tiny;
use MIME::Base64 qw(encode_base64);
use OutreachTest;
use Sending;
use Test::More;
use TestProvider;

my $node = sending_cluster();
my $provider = TestProvider->start(config => { twilio_token => 'token' });
my $sid = 'AC00000000000000000000000000000001';
my $n = 0;

sending_database($node, 'postgres', $provider, leads => 40);
quick_profiles($node);

# Somebody else sends through the same account, by hand.
sub by_hand
{
	my ($to, $body, $from) = @_;
	my $answer = HTTP::Tiny->new->post_form($provider->url . "/2010-04-01/Accounts/$sid/Messages.json",
		{ To => $to, From => $from // '+12125550102', Body => $body }, { headers => { Authorization => 'Basic ' . encode_base64("$sid:token", '') } });
	is($answer->{status}, 201, 'sent by hand');
}

sub becomes
{
	my ($fault, $body) = @_;
	my $id = send_message($node, lead_id => "lead_$n", body => $body, from_phone => '+12125550102')->{message_id};

	quiet($node);
	my $message = message($node, $id);
	return "$message->{status} after $message->{attempts}";
}

sub accepted { return scalar grep { $_->{recipient} eq phone($n) } $provider->accepted }

# ---- the same text, an hour ago -------------------------------------------------

my $body = 'Still selling?';
$n++;
by_hand(phone($n), $body);
$provider->config(listed_age_ms => 3_600_000, rules => [ { to => phone($n), fault => 'close_before,ok' } ]);
is(becomes('', $body), 'sent after 2', 'an old message with the same text is another: ours is sent');
is(accepted(), 2, 'once');

# ---- shortly before: it may be ours ----------------------------------------------

$n++;
by_hand(phone($n), $body);
$provider->config(listed_age_ms => 30_000, rules => [ { to => phone($n), fault => 'close_before,ok' } ]);
is(becomes('', $body), 'uncertain after 1', 'one of half a minute ago is for a person');
is(accepted(), 1, 'and not sent again');

# ---- from and to other numbers ---------------------------------------------------

sql($node, q{UPDATE outreach.provider_profiles SET lookup = lookup ||
	'{"url": "https://api.twilio.com/2010-04-01/Accounts/{{username}}/Messages.json?PageSize=10"}' WHERE tenant_id = 'team_a' AND profile = 'twilio_sms'});
$n++;
by_hand('+14155569999', $body);
by_hand(phone($n), $body, '+12125550109');
$provider->config(listed_age_ms => 0, rules => [ { to => phone($n), from => '+12125550102', fault => 'close_before,ok' } ]);
is(becomes('', $body), 'sent after 2', 'one to another phone, one from another number: ours is sent');

# ---- the answer was lost -----------------------------------------------------------

$n++;
$provider->config(rules => [ { to => phone($n), fault => 'lose_answer' } ]);
is(becomes('', $body), 'sent after 1', 'ours, now: found');
is(accepted(), 1, 'sent once');

# ---- two that are alike -------------------------------------------------------------

$n++;
$provider->config(rules => [ { to => phone($n), fault => 'lose_answer' } ]);
my $id = send_message($node, lead_id => "lead_$n", body => "$body Twice", from_phone => '+12125550102')->{message_id};
wait_until(sub { accepted() == 1 }, 'ours');
$provider->config(rules => []);
by_hand(phone($n), "$body Twice");
quiet($node);
is(message($node, $id)->{status}, 'uncertain', 'of two that are alike a person tells');

# ---- a profile that cannot compare ---------------------------------------------------

sql($node, q{UPDATE outreach.provider_profiles SET lookup = lookup - 'time' WHERE tenant_id = 'team_a' AND profile = 'twilio_sms'});
$n++;
$provider->config(rules => [ { to => phone($n), fault => 'lose_answer' } ]);
is(becomes('', $body), 'uncertain after 1', 'without a time nothing is sure');
is(accepted(), 1, 'and nothing is sent twice');
is($provider->counter('doubled'), 0, 'none twice');
done_testing();
