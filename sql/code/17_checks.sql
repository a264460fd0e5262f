-- What rows that administrators write may say.  A row that could break a
-- transaction later, or would silently do nothing, is refused where it is written.
-- Rows of other tables are not asked: pg_restore --jobs does not keep an order.
-- The shipped rows are checked, too, when the extension is made.
--
-- A constraint calls its functions as whoever writes, by their oid: they need no
-- name, and what they call is in pg_catalog.

CREATE FUNCTION outreach_impl.names(of text) RETURNS text[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_names';
COMMENT ON FUNCTION outreach_impl.names(text) IS 'Names of a kind that the code knows, for CHECK constraints; null for no such kind.';

CREATE FUNCTION outreach_impl.are_terms(match text, VARIADIC terms text[]) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_are_terms';
COMMENT ON FUNCTION outreach_impl.are_terms(text, text[]) IS 'Whether each term of a word or rule can match anything.';

CREATE FUNCTION outreach_impl.check_action(payload jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_check_action';
COMMENT ON FUNCTION outreach_impl.check_action(jsonb) IS 'What is wrong with the action_payload of a timer type; null when nothing is.';

CREATE FUNCTION outreach_impl.check_templates(document jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_check_templates';
COMMENT ON FUNCTION outreach_impl.check_templates(jsonb) IS 'What is wrong with the templates in a document, or its depth; null when nothing is.';

CREATE FUNCTION outreach_impl.check_lists(body jsonb, elsewhere jsonb) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_check_lists';
COMMENT ON FUNCTION outreach_impl.check_lists(jsonb, jsonb) IS
	'What is wrong with where placeholders of lists stand in the body of a profile, or elsewhere; null when nothing is.';

-- No part of it is negative: months and days that cancel out compare as nothing
-- and lead beyond the calendar.
CREATE FUNCTION outreach_impl.is_span(span interval, most interval) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT span <= most AND extract(year FROM span) >= 0 AND extract(month FROM span) >= 0 AND extract(day FROM span) >= 0
		AND extract(hour FROM span) >= 0 AND extract(minute FROM span) >= 0 AND extract(second FROM span) >= 0
$$;
COMMENT ON FUNCTION outreach_impl.is_span(interval, interval) IS 'Whether an interval is not negative in any part, and not longer than that.';

CREATE FUNCTION outreach_impl.are_spans(spans interval[], most interval) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT bool_and(s IS NOT NULL AND s <= most AND extract(year FROM s) >= 0 AND extract(month FROM s) >= 0 AND extract(day FROM s) >= 0
		AND extract(hour FROM s) >= 0 AND extract(minute FROM s) >= 0 AND extract(second FROM s) >= 0) IS NOT FALSE FROM unnest(spans) s
$$;
COMMENT ON FUNCTION outreach_impl.are_spans(interval[], interval) IS 'The same of each.';

-- Whether every element, as a whole, is like the pattern.
CREATE FUNCTION outreach_impl.are_like(elements text[], pattern text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT bool_and(coalesce(e ~ ('^(' || pattern || ')$'), false)) IS NOT FALSE FROM unnest(elements) e
$$;
COMMENT ON FUNCTION outreach_impl.are_like(text[], text) IS 'Whether each element is like a pattern, and none is null.';

CREATE FUNCTION outreach_impl.are_conditions(conditions jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_typeof(conditions) = 'object'
		AND NOT jsonb_path_exists(conditions, 'strict $.* ? (@.type() != "array")')
		AND NOT jsonb_path_exists(conditions, 'strict $.* ? (@.type() == "array" && @.size() == 0)')
		AND NOT jsonb_path_exists(conditions, 'strict $.* ? (@.type() == "array")[*] ? (@.type() != "string")')
		AND NOT EXISTS (SELECT FROM jsonb_object_keys(CASE WHEN jsonb_typeof(conditions) = 'object' THEN conditions ELSE '{}' END) k
			WHERE k !~ '^[A-Za-z0-9_.-]+$')
$$;
COMMENT ON FUNCTION outreach_impl.are_conditions(jsonb) IS 'Whether a document is an object of fields, each with a list of values that are strings.';

CREATE FUNCTION outreach_impl.are_headers(headers jsonb) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_typeof(headers) = 'object'
		AND coalesce((SELECT bool_and(jsonb_typeof(h.value) = 'string' AND h.value #>> '{}' !~ '[[:cntrl:]]'
			AND h.key ~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$') AND count(*) <= 24
			FROM jsonb_each(CASE WHEN jsonb_typeof(headers) = 'object' THEN headers ELSE '{}' END) h), true)
$$;
COMMENT ON FUNCTION outreach_impl.are_headers(jsonb) IS 'Whether a document is an object of HTTP headers, 24 at most.';

ALTER TABLE outreach.tenants
	ADD CONSTRAINT client_is_there CHECK (client <> '');

ALTER TABLE outreach.event_types
	ADD CONSTRAINT event_type_is_a_name CHECK (event_type ~ '^[A-Za-z0-9_.:-]+$');

ALTER TABLE outreach.endpoints
	ADD CONSTRAINT scheme_is_known CHECK (scheme = ANY (outreach_impl.names('scheme')));

ALTER TABLE outreach.payload_maps
	ADD CONSTRAINT field_is_a_name CHECK (field ~ '^[A-Za-z0-9_.-]+$'),
	-- what the event says of a message beside its fields
	ADD CONSTRAINT field_is_not_ours CHECK (field <> ALL ('{certainty,cut,extracted_email,extracted_phone,flaw,from_own_number,kind,labels,model,overtaken,'
		'revoked_by,rule,sounds,unreachable_by,word}'));

ALTER TABLE outreach.webhook_kinds
	ADD CONSTRAINT event_type_is_a_name CHECK (event_type ~ '^[A-Za-z0-9_.:-]+$'),
	ADD CONSTRAINT effect_is_known CHECK (effect = ANY (outreach_impl.names('kind effect'))),
	ADD CONSTRAINT to_status_is_reported CHECK (to_status::text = ANY (outreach_impl.names('reported status'))),
	ADD CONSTRAINT conditions_are_lists_of_strings CHECK (outreach_impl.are_conditions(conditions)),
	ADD CONSTRAINT revoked_by_is_lists_of_strings CHECK (outreach_impl.are_conditions(revoked_by)),
	ADD CONSTRAINT email_revoked_by_is_lists_of_strings CHECK (outreach_impl.are_conditions(email_revoked_by)),
	ADD CONSTRAINT unreachable_by_is_lists_of_strings CHECK (outreach_impl.are_conditions(unreachable_by)),
	ADD CONSTRAINT keys_are_fields CHECK (outreach_impl.are_like(keys, '[A-Za-z0-9_.-]+\??(:[A-Za-z0-9_.-]+\??)*'));

ALTER TABLE outreach.answer_policies
	ADD CONSTRAINT event_type_is_a_name CHECK (event_type ~ '^([A-Za-z0-9_.:-]+|\*)$'),
	ADD CONSTRAINT outcome_is_known CHECK (outcome = '*' OR outcome = ANY (outreach_impl.names('webhook outcome'))),
	ADD CONSTRAINT content_type_is_a_header CHECK (content_type ~ '^[!-~]([ -~]*[!-~])?$'),
	ADD CONSTRAINT body_goes_with_status CHECK (http_status <> ALL ('{204,205,304}') OR body = '');

ALTER TABLE outreach.lead_transitions
	ADD CONSTRAINT through_is_between CHECK (through IS NULL OR allowed AND through <> from_state AND through <> to_state AND through <> 'suppressed');

ALTER TABLE outreach.opt_out_words
	ADD CONSTRAINT action_is_known CHECK (action = ANY (outreach_impl.names('consent action'))),
	ADD CONSTRAINT match_is_known CHECK (match = ANY (outreach_impl.names('word match'))),
	ADD CONSTRAINT word_can_match CHECK (outreach_impl.are_terms(match, word));

ALTER TABLE outreach.classification_rules
	ADD CONSTRAINT client_is_there CHECK (client <> ''),
	ADD CONSTRAINT rule_is_there CHECK (rule <> ''),
	ADD CONSTRAINT match_is_known CHECK (match = ANY (outreach_impl.names('rule match'))),
	ADD CONSTRAINT extract_is_known CHECK (extract = ANY (outreach_impl.names('extract'))),
	ADD CONSTRAINT effect_is_known CHECK (effect = ANY (outreach_impl.names('rule effect'))),
	ADD CONSTRAINT terms_can_match CHECK (outreach_impl.are_terms(match, VARIADIC terms) AND outreach_impl.are_terms('word', VARIADIC except_terms)),
	ADD CONSTRAINT terms_go_with_match CHECK ((match = ANY ('{any,contact,email,phone,question,short}')) = (cardinality(terms) = 0)),
	ADD CONSTRAINT labels_are_short CHECK (outreach_impl.are_like(labels, '.{1,64}'));

ALTER TABLE outreach.timer_types
	ADD CONSTRAINT timer_type_is_there CHECK (timer_type <> ''),
	ADD CONSTRAINT action_is_there CHECK (action <> ''),
	ADD CONSTRAINT delay_is_within_ten_years CHECK (outreach_impl.is_span(delay, '10 years')),
	ADD CONSTRAINT action_payload_can_be_done CHECK (outreach_impl.check_action(action_payload) IS NULL);

ALTER TABLE outreach.provider_profiles
	ADD CONSTRAINT profile_is_there CHECK (profile <> ''),
	ADD CONSTRAINT channel_is_known CHECK (outreach_impl.is_channel(channel)),
	ADD CONSTRAINT lookup_members_are_known CHECK (lookup IS NULL OR lookup - '{url,list,id,body,time,to,from,lag}'::text[] = '{}'),
	ADD CONSTRAINT url_can_be_read CHECK (url ~* '^https?://[^[:space:]]' AND url !~ '[[:cntrl:]]' AND outreach.check_template(url) IS NULL),
	ADD CONSTRAINT headers_can_be_sent CHECK (outreach_impl.are_headers(headers) AND outreach_impl.check_templates(headers) IS NULL),
	ADD CONSTRAINT header_names_can_be_sent CHECK (outreach_impl.are_like(array_remove(ARRAY[auth_header, id_header, idempotency_header], NULL),
		'[!#$%&''*+.^_`|~0-9A-Za-z-]+')),
	ADD CONSTRAINT required_are_names CHECK (outreach_impl.are_like(required, '[A-Za-z_][A-Za-z0-9_.]*')),
	ADD CONSTRAINT body_can_be_read CHECK (outreach_impl.check_templates(body) IS NULL),
	ADD CONSTRAINT lists_stand_alone_in_arrays_of_the_body CHECK (outreach_impl.check_lists(body, jsonb_build_array(url, headers, lookup -> 'url')) IS NULL),
	ADD CONSTRAINT lookup_can_be_read CHECK (lookup IS NULL OR (lookup ->> 'url' ~* '^https?://[^[:space:]]' AND lookup ->> 'url' !~ '[[:cntrl:]]'
		AND outreach.check_template(lookup ->> 'url') IS NULL)),
	ADD CONSTRAINT limits_are_sane CHECK (sick_failures BETWEEN 1 AND 1000000 AND sick_ratio BETWEEN 0 AND 1 AND max_segments BETWEEN 1 AND 100
		AND price_micros BETWEEN 0 AND 1000000000 AND breaker_failures <= 1000000),
	ADD CONSTRAINT spans_are_positive CHECK (outreach_impl.is_span(settle, '1 day') AND outreach_impl.is_span(breaker_pause, '1 day')
		AND outreach_impl.are_spans(retry_delays, '30 days') AND (idempotency_life IS NULL OR outreach_impl.is_span(idempotency_life, '10 years')));

ALTER TABLE outreach.provider_outcomes
	ADD CONSTRAINT profile_is_there CHECK (profile <> ''),
	ADD CONSTRAINT code_is_there CHECK (code <> ''),
	ADD CONSTRAINT outcome_is_known CHECK (outcome = ANY (outreach_impl.names('request outcome'))),
	ADD CONSTRAINT effect_is_known CHECK (effect = ANY (outreach_impl.names('outcome effect'))),
	ADD CONSTRAINT delay_is_positive CHECK (outreach_impl.is_span(delay, '30 days'));

-- Not only administrators write these: whoever asks for a message, too.
ALTER TABLE outreach.sending_accounts
	ADD CONSTRAINT channel_is_known CHECK (outreach_impl.is_channel(channel));
ALTER TABLE outreach.numbers
	ADD CONSTRAINT channel_is_of_phones CHECK (channel = ANY (outreach_impl.names('phone channel')));
ALTER TABLE outreach.templates
	ADD CONSTRAINT channel_is_known CHECK (outreach_impl.is_channel(channel));
ALTER TABLE outreach.outbound_messages
	ADD CONSTRAINT channel_is_known CHECK (outreach_impl.is_channel(channel)),
	ADD CONSTRAINT priority_is_known CHECK (outreach_impl.is_priority(priority));
