# Consent, from the text of a message to the registry: which texts opt out, hold,
# opt in, ask for help or do nothing of it, and whom that reaches.

use strict;
use warnings;
use utf8;
use lib 'test/support';
use OutreachTest;
use OutreachRows;
use Encode qw(encode_utf8);
use JSON::PP;
use Test::More;

my $node = new_cluster();
create_extension($node);
$node->safe_psql('postgres', q{
	SELECT outreach.create_tenant(t, t) FROM unnest('{team_a,team_b,team_yes}'::text[]) t;
	SELECT outreach.create_endpoint('team_a', '/w/twilio', 'twilio', 'none');
	SELECT outreach.create_endpoint('team_a', '/w/texting', 'texting', 'none');
	SELECT outreach.create_endpoint('team_b', '/w/b', 'texting', 'none');
	SELECT outreach.create_endpoint('team_yes', '/w/yes', 'texting', 'none');
	UPDATE outreach.tenants SET yes_opts_in = true WHERE tenant_id = 'team_yes';
});

my $serial = 0;

sub new_phone { return sprintf '+1212555%04d', ++$serial; }

# A text from a phone; returns the row of the answer.
sub text
{
	my ($path, $phone, $body, %more) = @_;
	return ingest($node, signed('none', path => $path, type => 'application/json', body => encode_json({
		type => 'message.received',
		message => { id => 'm' . ++$serial, from => $phone, to => '+13055550142', body => $body }, %more })));
}

# what is known of a phone: consent, states of its leads, e-mails, rows of history
sub phone
{
	my ($phone, $tenant) = @_;
	$tenant //= 'team_a';
	return sql($node, <<"SQL");
SELECT concat_ws(' ', coalesce((SELECT consent::text FROM outreach.phones WHERE tenant_id = '$tenant' AND phone = '$phone'), 'no row'),
	   (SELECT string_agg(state::text || coalesce(' ' || email, ''), ',' ORDER BY lead_id) FROM outreach.leads
		 WHERE tenant_id = '$tenant' AND phone = '$phone'))
SQL
}

# ------------------------------------------------------------- texts

my %texts = (
	'opted_out suppressed' => [
		'STOP', 'stop', ' Stop. ', 'Stop!!!', '"STOP"', "stop\n", 'STOPALL', 'STOP ALL', 'stop  all', 'UNSUBSCRIBE', 'CANCEL', 'END', 'end.',
		'QUIT', 'OPTOUT', 'OPT OUT', 'OPT-OUT', 'opt‑out', 'REVOKE', 'REMOVE', 'ＳＴＯＰ', 'ｓｔｏｐ．', "\x{200B}STOP\x{FEFF}", "ST\x{AD}OP",
		'S.T.O.P', 'Please stop', 'Stop please', 'stop thanks', 'Stop. Thank you', 'STOP now', 'please stop texting me', 'Please stop texting me',
		'Stop texting me please', 'stop sms', 'STOP STOP STOP', 'unsubscribe please', '🛑 STOP', 'Stop 🙏',
		'Stooop', 'STOPPPPP', 'stoooooop please', 'QUIIIT', 'S T O P', 'STOP<br>', '<p>STOP</p>', 'STOP&nbsp;', 'Alto por favor', 'ARRÊT svp',
		"STOP\n- Marisol", "Unsubscribe\nRegards,\nDolores",
	],
	'held responded' => [
		'Stopp', 'Take me off your list', 'please remove me from your list', 'I want to opt out of this', 'lose my number',
		"don't text me", 'don’t text me again', 'do not contact me', 'leave me alone', 'I sold the house. Stop', "Who is this?\nSTOP",
		'how do I unsubscribe from this?', 'Do. Not. Text. Me.',
		# what begins like a reaction and ends with a quote
		'Removed me yet? "STOP"', 'Removed from your list? I said "STOP"', 'Reacted badly: "unsubscribe"', 'Questioned you twice, told you "stop"',
		'Liked that, did you? "Stop"', 'Loved your call at 6 am. "STOP" means stop',
		# a keyword with another word beside it
		'Yes stop', 'yes please stop', 'ok yes stop', 'Yes quit', 'yes cancel', 'no, unsubscribe pls yes', 'yeah stop it now bro',
		# other forms of a keyword
		'I opted out last week', 'already unsubscribed', 'I unsubscribed twice', 'unsubscribed last month already', 'already replied stop',
		# other languages
		'No me manden mas mensajes', 'no me manden mensajes', 'no quiero mensajes', 'pare de mandar mensajes', 'ya no me escriban por favor',
		'arrêtez de m’écrire svp', 'ne me textez plus',
		# escaped by a program on the way
		'Don&#39;t text me again', "don\\'t text me", 'Don&apos;t call or text this number', 'donâ€™t text me again',
		# one slip of the keyboard
		'STPO', 'Stip', 'unsubcribe', 'cancle pls',
	],
	# neither: an ordinary reply
	'unknown responded' => [
		'Have a great weekend', 'my friend has a house', 'nonstop flights',
		'not quite', 'who is this', 'Not interested', 'wrong number', 'yesterday was fine, the weekend too',
		'thirty days', 'the bus stop', 'can we cancel the inspection next Tuesday', 'Unstoppable!', 'endless', 'I quit smoking in March',
		# a question for help, the keyword for it
		'HELP', 'help?', 'INFO', ' Info. ', 'help me please', 'can you help me with the paperwork?',
		# reactions: our own notice is only quoted
		"\x{200A}\x{200B}👍\x{200B} to “\x{200A}Hi Pat, this is Team A. Reply STOP to opt out\x{200A}”", '👍 to “Hi Pat. Reply STOP to opt out”',
			'❤️ to “Hi Pat. Reply STOP to opt out”',
		'👎 to “ Reply STOP to unsubscribe ”', 'Le gustó “Hola Pat. Responda STOP para cancelar”', 'A aimé « Bonjour Pat. Répondez STOP pour vous désabonner »',
		'Laughed at “Hi Pat, this is Team A and we would like to make you an offer. Reply STO', 'Liked an image', 'Loved a movie', 'Laughed at an image',
		# a bad moment is no interest
		"I'm in a meeting", 'Im in the hospital', "I'm in class, text you later", "I'm in Chicago until Friday", "Can't talk now. Call me later?",
			'driving, talk later', 'Yeah right',
	],
	# and one that shows interest; another channel than this one is refused
	'unknown high_intent' => [ 'yes', 'Yes please', 'I am interested', 'send it to me with more info', 'info please', 'Hi info please',
		# what is quoted below is ours, the address too
		"Sí, me interesa\nEl vie, 20 nov 2026 a las 9:00, Team A <team\@example.com> escribió:\n> Hola",
		"Yes\nLe ven. 20 nov. 2026 à 09:00, Team A <team\@example.com> a écrit :\n> Hi",
		"Yes, call me\nFrom: Team A <team\@example.com>\nSent: Friday\nSubject: your house\n\nReply STOP to opt out",
		'Yes please. On Fri, Nov 20, 2026 at 9:00 AM Team A <team@example.com> wrote: > Reply STOP to opt out' ],
	'opted_in responded' => [ 'START', ' start ', 'Start.', 'UNSTOP', 'unstop please' ],
);
# not held, whatever else they mean: the person refuses another channel
my @not_held = ('I will remove the tree', "don't call me, text me", 'please do not email me, text me instead', 'dont call me text me yes',
	'take this number down, call me',
	"no calls please, texting works", 'no me llames, mándame texto',
	# and words of keywords in other senses
	'I\'ll cancel my other meeting', 'send it', 'send it over whenever', 'End of the week works', 'the end is near');
for my $wanted (sort keys %texts)
{
	for my $body (@{ $texts{$wanted} })
	{
		my $phone = new_phone();
		is(text('/w/texting', $phone, $body)->{outcome}, 'accepted', encode_utf8("taken: $body"));
		is(phone($phone), $wanted, encode_utf8("$wanted: $body"));
	}
}

for my $body (@not_held)
{
	my $phone = new_phone();
	text('/w/texting', $phone, $body);
	like(phone($phone), qr/^unknown /, encode_utf8("not held: $body"));
}

# ------------------------------------------------------------- whom it reaches

{
	my $phone = '+12125559001';
	$node->safe_psql('postgres', qq{
		SELECT outreach.create_lead('team_a', 'lead_1', '(212) 555-9001');
		SELECT outreach.create_lead('team_a', 'lead_2', '2125559001');
		SELECT outreach.create_lead('team_a', 'lead_3', '+1 212 555 9001');
		SELECT outreach.create_lead('team_a', 'lead_closed', '$phone');
		SELECT outreach.transition_lead('team_a', 'lead_closed', s) FROM unnest('{touched,responded,high_intent,closed}'::text[]) s;
		SELECT outreach.create_lead('team_a', 'lead_other', '+442125559001');
		SELECT outreach.create_lead('team_a', 'lead_none', NULL);
		SELECT outreach.create_lead('team_b', 'lead_1', '$phone');
		SELECT outreach.create_lead('team_b', 'lead_2', '$phone');
	});
	text('/w/texting', $phone, 'STOP');
	is(phone($phone), 'opted_out suppressed,suppressed,suppressed,suppressed', 'every lead of the phone is suppressed, the closed one too');
	is(phone($phone, 'team_b'), 'unknown new,new', 'none of another tenant');
	is(phone('+442125559001'), 'unknown new', 'none whose phone ends alike');
	is(sql($node, "SELECT string_agg(state::text, ' ') FROM outreach.leads WHERE lead_id = 'lead_none'"), 'new', 'none without a phone');
	is(sql($node, "SELECT address, consent, source, reason FROM outreach.opt_out_registry WHERE tenant_id = 'team_a' AND address = '$phone'"),
		"$phone|opted_out|texting|stop", 'the registry says why');
	is(sql($node, <<"SQL"), '4|4', 'each suppression has its event, of the same receipt as the opt-out');
SELECT count(*), count(*) FILTER (WHERE e.receipt_id = o.receipt_id)
  FROM outreach.event_log e, outreach.event_log o
 WHERE e.tenant_id = 'team_a' AND e.new_state = 'suppressed' AND e.lead_id IN ('lead_1', 'lead_2', 'lead_3', 'lead_closed')
   AND o.event_type = 'consent.opted_out' AND o.payload->>'phone' = '$phone'
SQL
	text('/w/texting', $phone, 'stop');
	is(sql($node, "SELECT count(*) FROM outreach.consent_history WHERE address = '$phone'"), 1, 'a second STOP changes nothing');
	text('/w/texting', $phone, 'take me off your list');
	is(phone($phone), 'opted_out suppressed,suppressed,suppressed,suppressed', 'a phrase does not weaken a STOP');

	# the way back is for the phone, not for its leads
	text('/w/texting', $phone, 'yes');
	is(phone($phone), 'opted_out suppressed,suppressed,suppressed,suppressed', 'a bare YES lifts nothing');
	text('/w/texting', $phone, 'START');
	is(phone($phone), 'opted_in suppressed,suppressed,suppressed,suppressed', 'START lifts the opt-out; suppressed leads stay so');
	is(sql($node, "SELECT string_agg(consent || ' ' || reason, ', ' ORDER BY changed_at) FROM outreach.consent_history WHERE address = '$phone'"),
		'opted_out stop, opted_in start', 'the history has both');
	text('/w/texting', $phone, 'unsubscribe');
	text('/w/texting', $phone, 'UNSTOP');
	is(phone($phone), 'opted_in suppressed,suppressed,suppressed,suppressed', 'and so does UNSTOP');
	$node->safe_psql('postgres', "SELECT outreach.create_lead('team_a', 'lead_4', '$phone')");
	text('/w/texting', $phone, 'I am interested');
	is(sql($node, "SELECT state FROM outreach.leads WHERE tenant_id = 'team_a' AND lead_id = 'lead_4'"), 'high_intent', 'coming back is a new lead');
}

# ------------------------------------------------------------- what the provider says

sub twilio
{
	my ($phone, $body, $type) = @_;
	my %form = (MessageSid => sprintf('SM%032x', ++$serial), SmsStatus => 'received', From => $phone, To => '+13055550142', Body => $body);
	$form{OptOutType} = $type if defined $type;
	return ingest($node, signed('none', path => '/w/twilio', body => join '&', map {
		my $v = $form{$_}; $v =~ s/([^A-Za-z0-9])/sprintf('%%%02X', ord $1)/ge; "$_=$v" } sort keys %form));
}
for my $case (
	[ 'a word of its own', 'Schluss', 'STOP', 'opted_out suppressed' ],
	[ 'STOP over a text that is none', 'interested', 'STOP', 'opted_out suppressed' ],
	[ 'HELP', 'HELP', 'HELP', 'unknown responded' ],
	[ 'START', 'YES', 'START', 'opted_in responded' ],
	[ 'nothing', 'STOP', undef, 'opted_out suppressed' ],
	[ 'an unknown type', 'STOP', 'OTHER', 'opted_out suppressed' ])
{
	my ($name, $body, $type, $wanted) = @$case;
	my $phone = new_phone();
	twilio($phone, $body, $type);
	is(phone($phone), $wanted, "OptOutType: $name");
}
{
	my $phone = new_phone();
	twilio($phone, 'STOP', 'STOP');
	twilio($phone, 'YES', 'START');
	is(phone($phone), 'opted_in suppressed', 'OptOutType START lifts an opt-out, whatever the text');

	$phone = new_phone();
	ingest($node, signed('none', path => '/w/texting', body => encode_json(
				{ type => 'optout.stop', data => { id => 'o' . ++$serial, from => $phone, body => 'hello' } })));
	is(phone($phone), 'opted_out suppressed', 'optout.stop opts out, whatever the text');
	$phone = new_phone();
	ingest($node, signed('none', path => '/w/texting', body => encode_json(
				{ type => 'optout.help', data => { id => 'o' . ++$serial, from => $phone, body => 'STOP' } })));
	is(phone($phone), 'unknown responded', 'optout.help asks for help');
}

# ------------------------------------------------------------- hold, yes_opts_in

{
	my $phone = new_phone();
	text('/w/texting', $phone, 'please take me off the list');
	is(sql($node, "SELECT consent FROM outreach.opt_out_registry WHERE address = '$phone'"), 'held', 'a held address is in the registry');
	text('/w/texting', $phone, 'thanks');
	is(phone($phone), 'held responded', 'and is not released by the next message');
	text('/w/texting', $phone, 'STOP');
	is(phone($phone), 'opted_out suppressed', 'but opted out by STOP');

	$phone = new_phone();
	text('/w/texting', $phone, 'please take me off the list');
	sql($node, "SELECT outreach.opt_in('team_a', '$phone', 'review', 'meant another list')");
	is(phone($phone), 'opted_in responded', 'a person may lift a hold');

	$phone = new_phone();
	text('/w/yes', $phone, 'STOP');
	text('/w/yes', $phone, 'yes please call me');
	is(phone($phone, 'team_yes'), 'opted_out suppressed', 'yes_opts_in: a longer text is no YES');
	text('/w/yes', $phone, ' Yes! ');
	is(phone($phone, 'team_yes'), 'opted_in suppressed', 'yes_opts_in: a bare YES lifts the opt-out');
	$phone = new_phone();
	text('/w/yes', $phone, 'yes');
	is(phone($phone, 'team_yes'), 'unknown high_intent', 'yes_opts_in: elsewhere a YES is a reply');
}

# ------------------------------------------------------------- labels

sub event_of
{
	my ($phone) = @_;
	return sql($node, "SELECT payload -> 'labels', payload ->> 'extracted_email', payload ->> 'extracted_phone' FROM outreach.event_log
		WHERE event_type = 'webhook.inbound.received' AND payload ->> 'from' = '$phone' ORDER BY event_id DESC LIMIT 1");
}

{
	my $phone = new_phone();
	text('/w/texting', $phone, "yes, call me at $phone or 415-555-2671, not 305-555-0142. pat\@example.com");
	like(event_of($phone), qr/"gold_label".*\|pat\@example.com\|\+14155552671$/, 'labels of all rules, and the phone that is neither theirs nor ours');
	is(phone($phone), 'unknown email_captured pat@example.com', 'which is not the lead\'s now');
	text('/w/texting', $phone, 'stop. pat@example.com 415-555-2671');
	is(event_of($phone), '["opted_out"]||', 'an opt-out has a label of its own, and nothing is extracted');
	text('/w/texting', $phone = new_phone(), 'never text me again, my lawyer is at 415-555-2671');
	is(event_of($phone), '||', 'nor from what is held');
}

is(sql($node, q{SELECT payload ->> 'body' FROM outreach.event_log e, outreach.classify_message(e.tenant_id, payload ->> 'body') c
	WHERE event_type = 'webhook.inbound.received' AND payload ->> 'kind' = 'message.received' AND source = 'texting' AND payload ->> 'opt_out_type' IS NULL
	AND (payload ->> 'rule', payload ->> 'word', payload ->> 'sounds', payload ->> 'extracted_email', coalesce(payload -> 'labels', '[]'))
		IS DISTINCT FROM (c.rule, c.word, c.sounds, c.email, to_jsonb(c.labels))}), '', 'classify_message() says of each text what happened');
cmp_ok(sql($node, q{SELECT count(*) FROM outreach.events WHERE event_type = 'webhook.inbound.received' AND payload ->> 'kind' = 'message.received'
	AND source = 'texting'}), '>', 100, 'of many');

# ------------------------------------------------------------- the functions

{
	$node->safe_psql('postgres', "SELECT outreach.create_lead('team_a', 'lead_f', '212-555-9100')");
	is(sql($node, "SELECT * FROM outreach.opt_out('team_a', '(212) 555 9100', 'agent', 'said so on the phone')"),
		'+12125559100|opted_out|t|1', 'opt_out() by another spelling');
	is(sql($node, "SELECT * FROM outreach.opt_out('team_a', '2125559100')"), '+12125559100|opted_out|f|0', 'again');
	is(sql($node, "SELECT * FROM outreach.opt_in('team_a', '1-212-555-9100', 'agent', 'asked for it')"),
		'+12125559100|opted_in|t|0', 'opt_in()');
	is(phone('+12125559100'), 'opted_in suppressed', 'the lead stays suppressed');
	is(sql_error($node, "SELECT outreach.opt_out('team_a', 'call me maybe')"), 'OR004', 'what is no phone is an error, not an opt-out of nobody');
}

is(sql($node, 'SELECT * FROM outreach.verify()'), '', 'states follow from events');
alive($node, 'at the end');

done_testing();
