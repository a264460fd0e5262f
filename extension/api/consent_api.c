/*
 * consent_api.c
 *	  The SQL functions about addresses: their consent, and whether they can be reached.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/api.h"
#include "core/args.h"
#include "core/clock.h"
#include "core/compat.h"
#include "fmgr.h"
#include "lead/address_args.h"
#include "lead/change.h"
#include "lead/channel.h"
#include "lead/opt_out.h"
#include "lead/reach.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(po_api_opt_out);
PG_FUNCTION_INFO_V1(po_api_opt_in);
PG_FUNCTION_INFO_V1(po_api_release_address);
PG_FUNCTION_INFO_V1(po_api_mark_reachable);

static PoPlan select_before_hold = {
	.name = "lead_api.before_hold",
	.expect = SPI_OK_SELECT,
	.sql = "SELECT consent::text FROM outreach.consent_history"
	" WHERE tenant_id = $1 AND address = $2 AND consent <> 'held'"
	" ORDER BY changed_at DESC, event_id DESC LIMIT 1",
	PO_ARGS(TEXTOID, TEXTOID)
};

/* opt_out and opt_in: (tenant_id, address, source, reason) */
static Datum
set_consent(FunctionCallInfo fcinfo, bool opts_out)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *address = po_arg_address(fcinfo, 1, "address");
	PoCause		cause = {
		.source = po_arg_required(fcinfo, 2, "source"),
		.reason = po_arg_text(fcinfo, 3, "reason"),
		.actor = GetUserNameFromId(po_caller(), false)
	};
	PoOptOut	opt_out = {.tenant_id = tenant_id, .address = address, .cause = &cause, .waits = true};
	PoUnit		unit = {0};
	PoAddress  *locked;

	po_spi_connect();
	locked = po_require_address(&unit, tenant_id, address);
	if (opts_out)
	{
		int			sqlstate = po_record_opt_out(&opt_out);

		if (sqlstate != 0)
			ereport(ERROR,
					(errcode(sqlstate),
					 errmsg("the opt-out cannot be recorded"),
					 errdetail("The row of the address could not be written."),
					 errhint("Look for checks and triggers on outreach.addresses that are not the extension's.")));
	}
	else
	{
		opt_out.changed = po_change_consent(&unit, locked, PO_CONSENT_OPTED_IN, &cause);
		po_unit_write(&unit);
	}
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(address),
				  CStringGetTextDatum(po_consent_name(opts_out ? PO_CONSENT_OPTED_OUT : PO_CONSENT_OPTED_IN)),
				  BoolGetDatum(opt_out.changed), Int32GetDatum(opt_out.suppressed));
}

/*
 * opt_out(tenant_id, address, source, reason)
 */
Datum
po_api_opt_out(PG_FUNCTION_ARGS)
{
	return set_consent(fcinfo, true);
}

/*
 * opt_in(tenant_id, address, source, reason)
 */
Datum
po_api_opt_in(PG_FUNCTION_ARGS)
{
	return set_consent(fcinfo, false);
}

static PoConsent
consent_before_hold(const char *tenant_id, const char *address)
{
	Datum		args[2] = {CStringGetTextDatum(tenant_id), CStringGetTextDatum(address)};

	if (po_exec(&select_before_hold, args, NULL) == 0)
		return PO_CONSENT_UNKNOWN;
	return po_consent_from_name(po_column_text(0, 1));
}

/*
 * release_address(tenant_id, address, by, reason)
 */
Datum
po_api_release_address(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *address = po_arg_address(fcinfo, 1, "address");
	PoCause		cause = {
		.source = "release",
		.actor = po_arg_required(fcinfo, 2, "by"),
		.reason = po_arg_required(fcinfo, 3, "reason")
	};
	PoUnit		unit = {0};
	PoAddress  *locked;
	const char *consent;
	bool		changed;

	po_spi_connect();
	locked = po_require_address(&unit, tenant_id, address);
	changed = po_release_address(&unit, locked, consent_before_hold(tenant_id, address), &cause);
	po_unit_write(&unit);
	consent = po_consent_name(locked->consent);
	SPI_finish();

	PO_RETURN_ROW(CStringGetTextDatum(address), CStringGetTextDatum(consent), BoolGetDatum(changed));
}

/*
 * mark_reachable(tenant_id, address, by, reason, channel): a person knows better.
 */
Datum
po_api_mark_reachable(PG_FUNCTION_ARGS)
{
	char	   *tenant_id = po_arg_id(fcinfo, 0, "tenant_id");
	char	   *address = po_arg_address(fcinfo, 1, "address");
	PoCause		cause = {
		.source = "sql",
		.actor = po_arg_required(fcinfo, 2, "by"),
		.reason = po_arg_required(fcinfo, 3, "reason")
	};
	char	   *channel = po_arg_text(fcinfo, 4, "channel");
	PoUnit		unit = {0};
	bool		changed;

	if (channel != NULL)
		po_address_channel_require("channel", channel);
	po_spi_connect();
	changed = po_mark_reachable(&unit, po_require_address(&unit, tenant_id, address), channel, NULL, po_now(), &cause);
	po_unit_write(&unit);
	SPI_finish();
	PO_RETURN_ROW(CStringGetTextDatum(address), BoolGetDatum(changed));
}
