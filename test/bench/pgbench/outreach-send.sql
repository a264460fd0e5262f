\set at :client_id * :share + :n % :share
\set n :n + 1
SELECT * FROM outreach.send_message('bench', 'lead_' || :at, 'Hello {{firstName}}, this is a message of the usual length about the house that you asked for.',
	send_key => :client_id || ':' || :n, from_phone => '+12125550101');
