-- What test/fuzz/sql runs on: tenant a, whose roles attack, and tenant b, which has
-- a row in every table.  Whatever of b an attacker has no way to know says CANARY,
-- or is a uuid.  What he is taken to know: b, lead_b, +12125550177, /w/b, account_b.
CREATE EXTENSION pg_outreach;

CREATE ROLE app_a LOGIN IN ROLE outreach_app;
CREATE ROLE tenant_admin_a LOGIN IN ROLE outreach_tenant_admin;
CREATE ROLE lender_a LOGIN IN ROLE outreach_app;
CREATE ROLE provisioner LOGIN IN ROLE outreach_provisioner;
CREATE ROLE scheduler LOGIN IN ROLE outreach_scheduler;
CREATE ROLE ingress LOGIN IN ROLE outreach_ingress;
CREATE ROLE admin_elsewhere LOGIN IN ROLE outreach_admin;
CREATE ROLE like_worker LOGIN IN ROLE outreach_worker;
CREATE ROLE app_nobody LOGIN IN ROLE outreach_app;
CREATE ROLE plain LOGIN;
CREATE ROLE app_b LOGIN IN ROLE outreach_app;
CREATE ROLE admin LOGIN IN ROLE outreach_admin, outreach_provisioner;

SELECT outreach.create_tenant('a', 'A'), outreach.create_tenant('b', 'CANARY');
SELECT outreach.grant_tenant('a', r) FROM unnest('{app_a,tenant_admin_a,lender_a}'::text[]) r;
SELECT outreach.grant_tenant('b', 'app_b'), outreach.grant_tenant('*', 'admin');
SELECT outreach.grant_administration('admin'), outreach.grant_administration('provisioner'),
	outreach.grant_administration('scheduler');

-- the same rows for both
DO $$
DECLARE
	t text;
	word text;
	phones text[];
	message uuid;
BEGIN
	FOREACH t IN ARRAY '{a,b}'::text[] LOOP
		word := CASE t WHEN 'b' THEN 'CANARY' ELSE 'own' END;
		phones := CASE t WHEN 'b' THEN '{+16465550137,+12125550177}' ELSE '{+12125550138,+12125550139}' END;
		PERFORM outreach.set_proof_key(t, repeat(word, 12));
		PERFORM outreach.create_endpoint(t, p, 'generic', 'token', 'token-' || word || '-of-this-tenant')
		   FROM unnest(ARRAY['/w/' || t, '/w/' || word]) p;
		PERFORM outreach.create_endpoint(t, '/w/deferred-' || word, 'twilio', 'twilio', 'token-' || word,
			'https://hooks.example.com/w/deferred-' || word, mode => 'deferred');
		PERFORM outreach.create_account(t, n, 'generic_json', 'secret-' || word, base_url => 'http://127.0.0.1:9',
			settings => jsonb_build_object('from', word)) FROM unnest(ARRAY['account_' || t, word]) n;
		PERFORM outreach.create_account(t, 'texts_' || word, 'twilio_sms', 'secret-' || word,
			username => word || '000', base_url => 'http://127.0.0.1:9');
		PERFORM outreach.add_number(t, replace(phones[1], '55501', '55502'), 'texts_' || word);
		PERFORM outreach.save_template(t, n, 'Hello ' || word || ' {{firstName}}', word) FROM unnest(ARRAY['hello_' || t, word]) n;
		PERFORM outreach.create_lead(t, 'lead_' || t, phones[2], word, word, word || '@b.example', word, word,
			jsonb_build_object('note', word));
		PERFORM outreach.create_lead(t, word || '-lead', phones[1], word, word, word || '@c.example', word, word,
			jsonb_build_object('note', word));
		FOR i IN 1 .. 5 LOOP
			PERFORM outreach.create_lead(t, 'lead_' || t || i, left(phones[1], 10) || '4' || i, word, email => word || i || '@b.example');
		END LOOP;
		PERFORM outreach.transition_lead(t, word || '-lead', 'touched', word);
		PERFORM outreach.set_timer(t, l, word, '2040-01-01', action_payload => jsonb_build_object('agent', word))
		   FROM unnest(ARRAY['lead_' || t, word || '-lead']) l;
		PERFORM outreach.record_event(t, word || '-lead', 'contact.updated', jsonb_build_object('note', word), word);
		PERFORM outreach.opt_out(t, left(phones[1], 10) || '45', word, word);
		SELECT m.message_id INTO message FROM outreach.send_message(t, 'lead_' || t, word, channel => 'webhook',
			send_at => '2040-01-01', send_key => 'known') m;
		PERFORM outreach.send_message(t, word || '-lead', word || ' text', channel => 'webhook', send_at => '2040-01-01',
			send_key => word);
		PERFORM outreach.stop_sending('account', word, word, t);

		INSERT INTO outreach.webhook_receipts (tenant_id, key, receipt_id, body_hash)
		VALUES (t, outreach_impl.ledger_key(t, 'webhook generic', word), gen_random_uuid(), 1);
		INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path, provider, form_encoded, body, received_at, correlation_id, last_error,
			idempotency_key, event_type)
		SELECT t, r.receipt_id, 'dead', '/w/' || word, 'generic', false, convert_to(format('{"text": "%s"}', word), 'UTF8'), now(), gen_random_uuid(), word,
			word, 'unknown'
		  FROM outreach.webhook_receipts r WHERE r.tenant_id = t;
		INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at, finished_at, outcome, answer)
		VALUES (t, message, 1, 1, word, now(), now(), 'failed', word);
		INSERT INTO outreach.provider_message_ids (tenant_id, key, provider, provider_message_id, error_code, parked_at)
		VALUES (t, outreach_impl.ledger_key(t, 'message id generic', word), 'generic', word, word, now());
		INSERT INTO outreach.sending_circuits (tenant_id, account, from_phone, failures, updated_at) VALUES (t, word, '', 1, now());
		INSERT INTO outreach.payload_maps VALUES (t, 'generic', 'text', 99, ARRAY[word]);
		INSERT INTO outreach.webhook_kinds (tenant_id, provider, position, event_type, conditions, keys)
		VALUES (t, 'generic', 99, 'contact.updated', jsonb_build_object('event', jsonb_build_array(word)), '{}');
		INSERT INTO outreach.answer_policies SELECT t, 'generic', '*', o, 200, 'text/plain', word
			FROM unnest('{accepted,duplicate,deferred}'::text[]) o;
		INSERT INTO outreach.lead_transitions (tenant_id, from_state, to_state, source) VALUES (t, 'new', 'closed', word);
		INSERT INTO outreach.opt_out_words VALUES (t, lower(word) || ' enough', 'opt_out', 'whole', word);
		INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms) VALUES (t, '*', word, 1, 'word', ARRAY[word]);
		INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action) VALUES (t, word, '1 day', word);
		INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, body, source)
		VALUES (t, word, 'generic', 'webhook', 'http://127.0.0.1:9/' || word, 'none', 'application/json', '{}', word);
		INSERT INTO outreach.provider_outcomes (tenant_id, profile, http_status, code, outcome, meaning)
		VALUES (t, word, '4xx', '*', 'failed', word);
		-- of a month that has no partition, so that it stays where it is
		INSERT INTO outreach.lead_states_as_of (tenant_id, lead_id, lead_version, state) VALUES (t, word, 1, 'new');
		INSERT INTO outreach.events_default (tenant_id, event_id, event_type, source, payload, occurred_at)
		VALUES (t, gen_random_uuid(), 'contact.updated', word, jsonb_build_object('note', word), '2001-01-01');
	END LOOP;
END $$;

-- Each role has a schema with the same tools.  run() is the caller's, lend() the
-- owner's; both execute a text and tell what came of it.  The tables have the text
-- executed by an index, by a definer's trigger, and at the end of a transaction.
DO $$
DECLARE
	r name;
BEGIN
	FOR r IN SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolname !~ '^outreach' LOOP
		EXECUTE format('CREATE SCHEMA %1$I AUTHORIZATION %1$I', r);
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', r);
		EXECUTE format('ALTER ROLE %I SET statement_timeout = ''20s''', r);
		EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', r);
		EXECUTE format('SET LOCAL ROLE %I', r);
		EXECUTE replace($tools$
			CREATE FUNCTION ROLE.run(statement text) RETURNS text LANGUAGE plpgsql AS $run$
			DECLARE
				result text;
				detail text;
				hint text;
				context text;
			BEGIN
				IF statement ~* '^(select|table|values)' THEN
					EXECUTE format('SELECT string_agg(t::text, '' '') FROM (%s) t', statement) INTO result;
				ELSE
					EXECUTE statement;
				END IF;
				RAISE NOTICE 'got %', result;
				RETURN result;
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
				RAISE NOTICE 'caught % % % % %', SQLSTATE, SQLERRM, detail, hint, context;
				RETURN SQLSTATE;
			END $run$;
			CREATE FUNCTION ROLE.lend(statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $lend$
			BEGIN
				RETURN ROLE.run(statement);
			END $lend$;
			CREATE FUNCTION ROLE.bait(statement text) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $bait$
			BEGIN
				PERFORM ROLE.run(statement);
				RETURN 1;
			END $bait$;
			CREATE FUNCTION ROLE.leak(shown text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $leak$
			BEGIN
				RAISE NOTICE 'leak %', shown;
				RETURN true;
			END $leak$;
			CREATE FUNCTION ROLE.trap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $trap$
			BEGIN
				PERFORM ROLE.run(NEW.statement);
				RETURN NEW;
			END $trap$;
			CREATE FUNCTION ROLE.later() RETURNS trigger LANGUAGE plpgsql AS $later$
			BEGIN
				PERFORM ROLE.run(NEW.statement);
				RETURN NULL;
			END $later$;
			CREATE FUNCTION ROLE.called(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $called$
			DECLARE
				statement text;
			BEGIN
				FOREACH statement IN ARRAY ARRAY['SELECT * FROM outreach.leads', 'SELECT outreach.enter_tenant(''b'')',
					'SELECT * FROM outreach.create_lead(''b'', ''made'')', 'SELECT * FROM outreach.verify()',
					'SELECT set_config(''role'', ''outreach_owner'', false)',
					'SELECT set_config(''outreach.tenant_id'', ''b'', false)', 'SELECT * FROM outreach.events',
					'SELECT ROLE.lend(''TABLE outreach.leads'')'] LOOP
					RAISE LOG 'called: %', ROLE.run(statement);
				END LOOP;
			END $called$;
			CREATE TABLE ROLE.own (id text, statement text);
			CREATE TABLE ROLE.baited (statement text);
			CREATE INDEX bait ON ROLE.baited (ROLE.bait(statement));
			CREATE TABLE ROLE.trapped (statement text);
			CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON ROLE.trapped FOR EACH ROW EXECUTE FUNCTION ROLE.trap();
			GRANT INSERT ON ROLE.trapped TO PUBLIC;
			CREATE TABLE ROLE.deferred (statement text);
			CREATE CONSTRAINT TRIGGER later AFTER INSERT ON ROLE.deferred INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ROLE.later();
		$tools$, 'ROLE', quote_ident(r));
		RESET ROLE;
	END LOOP;
END $$;
SELECT outreach.register_timer_function('called', 'app_a.called(text,text,jsonb)');
ALTER ROLE admin SET log_min_messages = fatal;
SELECT outreach.set_timer('a', 'lead_a' || i, 'OTHER', 'now', 'other', '{"call": "called"}') FROM generate_series(1, 4) i;
