# pg_outreach: the extension by PGXS, the shim by its own Makefile.
#
#   make                      build both
#   make install              into the server that pg_config names, outreach-shim below prefix= (DESTDIR works)
#   make demo                 a private instance, real webhooks, what became of them
#   make check                all tests in a private instance (SUITES=, TESTS=)
#   make check-versions       the same with other servers, each in a Debian of its own (RELEASES=)
#   make lint                 structure and layout of the tree, both compilers
#   make bench                figures, beside the ways it is done today
#   make fuzz                 the parsers on random bytes, SQL by hostile roles (SECONDS=, TARGETS=)
#   make consent              how well revocations are recognised, by label, kind and language
#   make torture              the kill -9 tests N times (N=); long runs: TESTS=test/torture/sends.pl or stops.pl, N=1
#   make indent               lays out the C files, as make lint wants them
#
# PG_CONFIG= chooses the server, CC=clang the compiler, ASSERT=1 turns on Assert().

EXTENSION = extension/pg_outreach
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big = pg_outreach

# Each folder is a floor: it uses those above it in this list, never those below.
OBJS_common = address.o authenticate.o base64.o char_fold.o classify.o document.o document_digest.o \
	echo.o escape.o form.o header.o json.o meaning.o meaning_weights.o origin.o phone.o \
	quote.o reaction.o seal.o segments.o signature.o signature_sendgrid.o signature_twilio.o \
	signature_webhooks.o template.o template_filter.o term.o text.o unicode.o url.o \
	word_class.o
OBJS_core = api.o args.o arming.o batch.o budget.o cache.o calm.o clock.o counters.o entered.o errors.o \
	identity.o ids.o key_probe.o ledger.o limits.o lock_wait.o owner.o planning.o rights.o secrets.o \
	settings.o shape.o shared.o shared_workers.o spi_plan.o statement.o subtransaction.o tenant.o trigger.o \
	turns.o wakeup.o
OBJS_unit = event_log.o lead_rows.o message_rows.o message_states.o people.o people_rows.o states.o \
	timer_rows.o unit.o
OBJS_lead = address_args.o change.o channel.o consent.o opt_out.o person.o reach.o retention.o \
	rules.o timer.o
OBJS_outbound = account.o addressee.o draft.o guards.o message.o needs.o options.o outbox.o per_lead.o priority.o \
	profile.o reject.o replied.o
OBJS_engine = timer_call.o timer_cycle.o timer_fire.o
OBJS_sender = answer.o claim.o claim_find.o health.o http.o http_address.o http_answer.o http_call.o http_socket.o \
	http_transfer.o load.o record.o record_ids.o request.o request_body.o request_values.o \
	sender.o settle.o
OBJS_inbound = decide.o envelope.o ingest.o keep.o kind_contact.o kind_message.o \
	kind_status.o kinds.o normalize.o outcome.o process.o provider_map.o query.o \
	receipt.o split.o stored.o subjects.o
OBJS_api = cancel.o catalog_api.o consent_api.o engine_api.o ingest_api.o lead_api.o lead_trigger.o \
	lead_update.o next_due.o outbound_api.o person_api.o removal_api.o rights_api.o row_checks.o states_api.o \
	status_api.o timer_api.o triggers.o worker_api.o
OBJS_worker = activity.o alarm.o functions.o holding.o init.o launcher.o session.o worker.o
FLOORS = common core unit lead outbound engine sender inbound api worker
OBJS = $(foreach floor,$(FLOORS),$(addprefix extension/$(floor)/,$(OBJS_$(floor))))

# The install script is these files, in this order.
SQL_SCHEMA = 10_types 20_tenants 30_endpoints 40_events 50_leads 60_timers 70_outbound
SQL_DATA = answer_policies classification_rules event_types lead_transitions \
	opt_out_words providers provider_profiles provider_outcomes timer_types
SQL_CODE = 05_triggers 10_functions 11_partitions 12_tenants 13_verify 14_leads 15_outbound 17_checks 18_api 20_views 90_security
SQL_MODULES = sql/00_header.sql $(SQL_SCHEMA:%=sql/schema/%.sql) \
	$(SQL_DATA:%=sql/data/%.sql) $(SQL_CODE:%=sql/code/%.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

PG_CPPFLAGS = -Iextension -MMD -MP -DPO_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
ifneq (,$(findstring clang,$(CC)))
# pg_config hands on the options, and its headers the attributes, of the gcc that
# built the server
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes
endif
ifdef ASSERT
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING
endif
SHLIB_LINK = -lssl -lcrypto -lcurl
EXTRA_CLEAN = $(OBJS:.o=.d) extension/pg_outreach--*.sql results regression.diffs \
	regression.out output_iso tmp_check

# No bitcode: nothing here gains from being inlined into a query by the JIT.
override with_llvm := no

# PGXS has a rule of its own for "check", so it is read only when none of these
# is asked for; other goals of such a call get a make of their own.
SCRIPTED = check check-versions lint demo bench consent fuzz torture indent help

ifneq (,$(filter $(SCRIPTED),$(MAKECMDGOALS)))

.NOTPARALLEL:
.PHONY: $(MAKECMDGOALS)
$(filter-out $(SCRIPTED),$(MAKECMDGOALS)):
	$(MAKE) $@

check:
	test/support/install-packages test
	ASSERT=1 test/support/private test/support/run-suites

# test/versions/run says what else there is to name
check-versions:
	test/versions/run $(or $(RELEASES),testing experimental bookworm+cassert)

lint:
	test/support/install-packages test
	test/lint/run

demo:
	test/support/install-packages run
	test/support/private test/demo/run

# kill -9 at every point of a webhook's way, and of a timer's, N times over
torture:
	test/support/install-packages test
	ASSERT=1 SUITES=tap REPEAT=$(or $(N),10) \
		TESTS="$(or $(TESTS),$(wildcard test/t/crash_*.pl))" \
		test/support/private test/support/run-suites

bench:
	test/bench/run

consent:
	test/support/install-packages test
	$(MAKE) -C test/consent report

# every parser of foreign bytes, and the functions of SQL, SECONDS each; what breaks a
# parser lands in tmp_check/
fuzz:
	test/support/install-packages fuzz
	ASSERT=1 test/support/private test/support/run-fuzz $(or $(SECONDS),60)

indent:
	test/support/install-packages test
	test/lint/indent

help:
	@sed -n 's/^#   make/make/p' Makefile

else

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

all: shim
install: shim-install
uninstall: shim-uninstall
clean: shim-clean

# for test/lint
print-script:
	@echo $(DATA_built)
print-sources:
	@echo $(OBJS:.o=.c) $(SQL_MODULES)
print-flags:
	@echo $(filter-out -MMD -MP, $(PG_CPPFLAGS)) $(PG_CFLAGS)
.PHONY: print-script print-sources print-flags shim shim-install shim-uninstall shim-clean

shim:
	$(MAKE) -C shim

shim-install shim-uninstall shim-clean: shim-%:
	$(MAKE) -C shim $*

$(DATA_built): $(SQL_MODULES) $(EXTENSION).control Makefile
	for module in $(SQL_MODULES); do cat $$module && echo || exit 1; done >$@.tmp
	mv $@.tmp $@

$(OBJS): Makefile
-include $(OBJS:.o=.d)

endif
