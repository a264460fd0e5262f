/*
 * status_api.c
 *	  The SQL functions about the state of the engine: whether it may work in this
 *	  database, what its workers do, and what came in.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/args.h"
#include "core/arming.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/identity.h"
#include "core/shared.h"
#include "core/spi_plan.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char *const state_name[] = {
	"unknown", "without extension", "served", "other version", "not armed", "held", "not entered"
};

PG_FUNCTION_INFO_V1(po_arming_problem_sql);
PG_FUNCTION_INFO_V1(po_is_armed);
PG_FUNCTION_INFO_V1(po_cluster_identity);
PG_FUNCTION_INFO_V1(po_worker_slots);
PG_FUNCTION_INFO_V1(po_ingest_counters);

static const char *
read_problem(void)
{
	const char *problem;

	po_spi_connect();
	problem = po_arming_problem();
	SPI_finish();
	return problem;
}

/*
 * arming_problem(): null when background workers may work here.
 */
Datum
po_arming_problem_sql(PG_FUNCTION_ARGS)
{
	return po_result_text(fcinfo, read_problem());
}

/*
 * is_armed(): the same as yes or no.
 */
Datum
po_is_armed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(read_problem() == NULL);
}

/*
 * cluster_identity(): that of the data directory, null while not preloaded.
 */
Datum
po_cluster_identity(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *identity = palloc(sizeof(pg_uuid_t));

	if (!po_identity(identity))
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(identity);
}

/*
 * worker_slots(): one row a database.
 */
Datum
po_worker_slots(PG_FUNCTION_ARGS)
{
	PoDatabaseSlot *slots = palloc(Max(po_shared_max_slots(), 1) * sizeof(PoDatabaseSlot));
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!po_shared_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no background workers"),
				 errdetail("The library is not in shared_preload_libraries."),
				 errhint("Add pg_outreach to shared_preload_libraries and restart; until then call "
						 "outreach.run_once().")));
	n = po_shared_slots(slots);
	for (int i = 0; i < n; i++)
	{
		PoDatabaseSlot *s = &slots[i];
		Datum		buckets[PO_LATENESS_BUCKETS];
		const PoWorkerSlot *main = &s->worker[PO_WORKER_MAIN];
		const PoWorkerSlot *functions = &s->worker[PO_WORKER_FUNCTIONS];

		/* Of the two, what failed last. */
		const PoWorkerSlot *failed = functions->last_failed > main->last_failed ? functions : main;
		TimestampTz next_due = Min(main->next_due, functions->next_due);
		Datum		values[14];
		bool		nulls[14] = {false};

		if (!OidIsValid(s->database))
			continue;
		for (int b = 0; b < PO_LATENESS_BUCKETS; b++)
			buckets[b] = Int64GetDatum((int64) s->lateness[b]);
		values[0] = ObjectIdGetDatum(s->database);
		values[1] = CStringGetTextDatum(state_name[s->state]);
		values[2] = CStringGetTextDatum(s->problem);
		nulls[2] = s->state != PO_DATABASE_DISARMED && s->state != PO_DATABASE_CLOSED;
		values[3] = Int32GetDatum(main->pid);
		nulls[3] = main->pid == 0;
		values[4] = Int32GetDatum(functions->pid);
		nulls[4] = functions->pid == 0;
		/* Not every client can read an infinite time. */
		values[5] = TimestampTzGetDatum(next_due == DT_NOBEGIN ? GetCurrentTimestamp() : next_due);
		nulls[5] = next_due == DT_NOEND;
		values[6] = TimestampTzGetDatum(main->last_started);
		nulls[6] = main->last_started == 0;
		values[7] = TimestampTzGetDatum(failed->last_failed);
		nulls[7] = failed->last_failed == 0;
		values[8] = CStringGetTextDatum(unpack_sql_state(failed->last_sqlstate));
		nulls[8] = failed->last_failed == 0;
		values[9] = Int32GetDatum(main->failures + functions->failures);
		values[10] = Int64GetDatum((int64) s->fired);
		values[11] = Int64GetDatum((int64) s->processed);
		values[12] = Int64GetDatum((int64) s->sent);
		values[13] = PointerGetDatum(construct_array(buckets, PO_LATENESS_BUCKETS, INT8OID, 8,
													 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		po_result_add(fcinfo, values, nulls);
	}
	return (Datum) 0;
}

/*
 * ingest_counters(): one row an outcome.
 */
Datum
po_ingest_counters(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < PO_INGEST_NOUTCOMES; i++)
		PO_ADD_ROW(CStringGetTextDatum(po_ingest_outcome_name[i]), Int64GetDatum((int64) po_counted(i)));
	return (Datum) 0;
}
