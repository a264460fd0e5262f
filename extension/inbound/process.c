/*
 * process.c
 *	  Webhooks whose origin is proven: receipts, effects, and what is kept of
 *	  those that cannot have them now.
 *
 * All steps are done together.  What fails is done again with less: one by one;
 * then, of one that opts out, the opt-out alone; what is left is kept with its bytes
 * and its next try (keep.c).  Each of these is a subtransaction, so that what fails
 * leaves nothing.
 *
 * Nobody waits long for a lock: a call waits for outreach.lock_wait in all, then
 * takes the rest without those that are held, which are kept as pending.  Stored
 * webhooks are processed so from the start.  A receipt that another transaction is
 * writing decides whether this one is the first, so that there is nothing to keep:
 * such a webhook is busy, and its sender has to send it again.
 *
 * Failures that are the server's rather than the webhook's (no memory, no disk, a
 * deadlock, a cancel, a shutdown) are raised: the caller has not received the
 * webhook, and the provider will send it again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/batch.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/lock_wait.h"
#include "core/settings.h"
#include "core/subtransaction.h"
#include "inbound/kinds.h"
#include "utils/timestamp.h"

/* For keys that another session is just inserting, which cannot be left out. */
#define SHORT_WAIT_MS 5

/* After a wait in vain the next ones are a tenth as long, for so long. */
#define IMPATIENT_FOR (2 * USECS_PER_SEC)

static TimestampTz waited_in_vain;

/* Webhooks of one call. */
typedef struct Call
{
	PoWebhook **webhook;
	int			n;
	bool	   *opts_out;		/* one of them does */
	bool		waited;			/* in vain, for what others hold */
} Call;

/* A call may wait so long for all its locks. */
static int
lock_wait(void)
{
	bool		impatient = waited_in_vain != 0 &&
		GetCurrentTimestamp() - waited_in_vain < IMPATIENT_FOR;

	return Max(impatient ? po_setting_lock_wait / 10 : po_setting_lock_wait, 1);
}

/* Again where more is known: messages are heard, the messages of callbacks found. */
static void
note_opt_outs(Call *call)
{
	const char *address;

	for (int i = 0; i < call->n; i++)
		*call->opts_out |= po_opts_out(call->webhook[i], &address) != NULL;
}

/*
 * What somebody's trigger raises does not keep an opt-out from the next, smaller try,
 * whatever it looks like; a conflict that only a new transaction can end does.
 */
static const bool *
foreign(Call *call)
{
	note_opt_outs(call);
	return IsolationUsesXactSnapshot() ? NULL : call->opts_out;
}

static const char *
tenant_of(const PoBatch *batch, int member)
{
	return ((Call *) batch->arg)->webhook[member]->endpoint->tenant_id;
}

/* The members of a try. */
static PoWebhook **
members(const PoBatch *batch, const int *member, int n)
{
	PoWebhook **webhook = palloc(n * sizeof(PoWebhook *));

	for (int i = 0; i < n; i++)
		webhook[i] = ((Call *) batch->arg)->webhook[member[i]];
	return webhook;
}

/* ---- effects ---- */

/* Webhooks whose receipts are written, in one try. */
typedef struct Try
{
	PoWebhook **webhook;
	int			n;
	bool		waits;
	PoMemberState *state;
	PoSubjects	subjects;
} Try;

static void
lock_subjects(void *arg)
{
	Try		   *try = arg;

	po_lock_subjects(&try->subjects.unit, try->webhook, try->n, try->waits, try->state);
}

/* Writes what was decided. */
static void
write_effects(void *arg)
{
	Try		   *try = arg;
	PoWebhook **ours = palloc(try->n * sizeof(PoWebhook *));
	int			nours = 0;

	for (int i = 0; i < try->n; i++)
		if (try->state[i] == PO_MEMBER_DONE)
			ours[nours++] = try->webhook[i];
	po_write_payloads(ours, nours);
	po_write_health(&try->subjects.health, &try->subjects.unit);
	po_unit_write(&try->subjects.unit);
}

/* The steps that may fail, on webhooks whose receipts are written. */
static void
process_now(Call *call, PoWebhook **webhook, int n, bool waits, PoMemberState *state)
{
	Try			try = {.webhook = webhook, .n = n, .waits = waits, .state = state};

	for (int i = 0; i < n; i++)
		po_begin_try(webhook[i]);
	if (try.waits)
		po_wait_at_most(lock_subjects, &try, lock_wait());
	else
		po_wait_each_at_most(lock_subjects, &try, SHORT_WAIT_MS);
	note_opt_outs(call);
	for (int i = 0; i < n; i++)
	{
		po_join_with(&try.subjects.unit, i);
		if (state[i] == PO_MEMBER_DONE)
			po_decide(&try.subjects, try.webhook[i]);
	}
	po_join_with(&try.subjects.unit, -1);
	po_wait_each_at_most(write_effects, &try, try.waits ? lock_wait() : SHORT_WAIT_MS);
}

static void
process(PoBatch *batch, const int *member, int n)
{
	PoMemberState *state = palloc(n * sizeof(PoMemberState));

	process_now(batch->arg, members(batch, member, n), n, batch->waits, state);
	for (int i = 0; i < n; i++)
		batch->state[member[i]] = state[i];
}

/* What cannot be processed now is kept, and what fails with its error. */
static void
keep_for_later(PoBatch *batch, int member, int sqlstate)
{
	PoWebhook  *webhook = ((Call *) batch->arg)->webhook[member];

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		po_keep_held(webhook);
	else
		po_give_up(webhook, sqlstate);
	((Call *) batch->arg)->waited |= sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* Webhooks whose receipts are written, together or else one by one. */
static void
process_fresh(PoWebhook **webhook, int n, bool waits, bool *opts_out)
{
	Call		call = {.webhook = webhook, .n = n, .opts_out = opts_out};
	PoBatch		batch = {
		.arg = &call, .n = n, .of_many = n > 1, .waits = waits, .work = process,
		.failed = keep_for_later, .tenant_of = tenant_of
	};

	if (n == 0)
		return;
	batch.foreign = foreign(&call);
	po_run_batch(&batch);
	if (waits && call.waited)
		waited_in_vain = GetCurrentTimestamp();
	/* Slow, and not because of locks: the next ones need not be hurried. */
	else if (batch.together == 0 && !webhook[0]->request.stored)
		waited_in_vain = 0;
}

/* ---- receipts ---- */

/* Webhooks whose receipts are to be written, and what these have told. */
typedef struct Receipts
{
	Call		call;
	int			wait_ms;		/* for what others are writing */
	PoEventList duplicates;		/* the events of those that are */
} Receipts;

/* Receipts in one try. */
typedef struct Writing
{
	PoWebhook **webhook;
	int			n;
	PoEventList duplicates;
} Writing;

static void
write_receipts(void *arg)
{
	Writing    *writing = arg;

	po_write_receipts(writing->webhook, writing->n, &writing->duplicates);
}

static void
receive(PoBatch *batch, const int *member, int n)
{
	Receipts   *receipts = batch->arg;
	Writing		writing = {.webhook = members(batch, member, n), .n = n};
	MemoryContext own = MemoryContextSwitchTo(batch->context);

	for (int i = 0; i < n; i++)
		po_begin_try(writing.webhook[i]);
	po_wait_each_at_most(write_receipts, &writing, batch->together == 0 ? receipts->wait_ms : SHORT_WAIT_MS);
	for (int i = 0; i < writing.duplicates.n; i++)
	{
		const PoEvent *from = &writing.duplicates.event[i];

		*po_event_list_add(&receipts->duplicates, from->tenant_id, from->event_type, from->source) = *from;
	}
	MemoryContextSwitchTo(own);
}

/* Another transaction is writing its receipt: it has to be sent again. */
static void
receipt_held(PoBatch *batch, int member, int sqlstate)
{
	if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("the receipts of webhooks could not be written")));
	waited_in_vain = GetCurrentTimestamp();
	po_refuse(((Call *) batch->arg)->webhook[member], PO_INGEST_BUSY, 0, NULL);
}

/* Whether its opt-out is heeded though its key is taken. */
static bool
is_heeded(const PoWebhook *webhook)
{
	const char *address;

	return webhook->result.status == PO_PAYLOAD_CONFLICT && po_opts_out(webhook, &address) != NULL;
}

/*
 * Keeps what is not processed now; of what cannot be, *duplicates loses the event.  Who
 * holds one of the addresses may hold all: only the first is waited for.
 */
static void
keep(PoWebhook **webhook, int n, int *wait_ms, PoEventList *duplicates)
{
	PoWebhook **kept = palloc(Max(n, 1) * sizeof(PoWebhook *));
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		PoWebhook  *w = webhook[i];
		int			nevents = 0;

		if (!is_heeded(w) || po_heed_conflict(w, *wait_ms))
		{
			kept[nkept++] = w;
			continue;
		}
		waited_in_vain = GetCurrentTimestamp();
		*wait_ms = 0;
		po_refuse(w, PO_INGEST_BUSY, 0, NULL);
		for (int e = 0; e < duplicates->n; e++)
			if (duplicates->event[e].receipt_id != &w->result.receipt_id)
				duplicates->event[nevents++] = duplicates->event[e];
		duplicates->n = nevents;
	}
	po_write_payloads(kept, nkept);
}

/*
 * What is to be processed, and what is only kept.  Here messages are heard: those that
 * are to be processed, or come under a key that is taken.  Duplicates never are.
 */
static int
divide(Call *call, PoWebhook **fresh, PoWebhook **kept, int *nkept)
{
	int			nfresh = 0;

	*nkept = 0;
	for (int i = 0; i < call->n; i++)
	{
		PoWebhook  *w = call->webhook[i];
		bool		pending = w->result.status == PO_PAYLOAD_PENDING;

		if (w->result.outcome == PO_INGEST_BUSY || !(w->result.fresh || w->result.status == PO_PAYLOAD_CONFLICT))
			continue;
		if (!pending)
			po_hear_webhook(w);
		if (w->result.fresh && !pending)
			fresh[nfresh++] = w;
		else
			kept[(*nkept)++] = w;
	}
	note_opt_outs(call);
	return nfresh;
}

/* One webhook with all its steps at once, as nearly all of them go. */
static void
receive_at_once(PoBatch *batch, const int *member, int n)
{
	Call	   *call = batch->arg;
	Writing		writing = {.webhook = call->webhook, .n = 1};
	PoWebhook  *fresh;
	PoWebhook  *kept;
	int			nkept;
	int			wait_ms = lock_wait();
	PoMemberState state;

	po_begin_try(call->webhook[0]);
	po_wait_each_at_most(write_receipts, &writing, wait_ms);
	if (divide(call, &fresh, &kept, &nkept) == 0)
	{
		keep(&kept, nkept, &wait_ms, &writing.duplicates);
		po_events_append(writing.duplicates.event, writing.duplicates.n);
		return;
	}
	process_now(call, &fresh, 1, true, &state);
	batch->state[member[0]] = state;
}

/* Together what is new, then what is only kept; or in their order, one by one. */
static void
finish(Receipts *receipts, bool in_order, bool waits, PoWebhook **fresh, int nfresh, PoWebhook **kept, int nkept)
{
	int			wait_ms = waits ? lock_wait() : SHORT_WAIT_MS;

	if (!in_order)
	{
		process_fresh(fresh, nfresh, waits, receipts->call.opts_out);
		keep(kept, nkept, &wait_ms, &receipts->duplicates);
		return;
	}
	for (int i = 0, f = 0, k = 0; i < receipts->call.n; i++)
	{
		if (f < nfresh && fresh[f] == receipts->call.webhook[i])
			process_fresh(&fresh[f++], 1, waits, receipts->call.opts_out);
		else if (k < nkept && kept[k] == receipts->call.webhook[i])
			keep(&kept[k++], 1, &wait_ms, &receipts->duplicates);
	}
}

/*
 * Receipts, then the rest.  What is said under a key that is taken counts in its turn: an
 * opt-out leaves the same from a batch as one by one.
 */
static void
receive_in_steps(PoWebhook **webhook, int n, bool waits, int wait_ms, bool *opts_out)
{
	Receipts	receipts = {.call = {.webhook = webhook, .n = n, .opts_out = opts_out}, .wait_ms = wait_ms};
	PoBatch		batch = {
		.arg = &receipts, .n = n, .work = receive, .failed = receipt_held, .tenant_of = tenant_of
	};
	PoWebhook **fresh = palloc(n * sizeof(PoWebhook *));
	PoWebhook **kept = palloc(n * sizeof(PoWebhook *));
	int			nfresh;
	int			nkept;
	bool		in_order = false;

	po_run_batch(&batch);
	nfresh = divide(&receipts.call, fresh, kept, &nkept);
	for (int i = 0; i < nkept; i++)
		in_order |= nfresh > 0 && is_heeded(kept[i]);
	finish(&receipts, in_order, waits, fresh, nfresh, kept, nkept);
	po_events_append(receipts.duplicates.event, receipts.duplicates.n);
}

/* Together each step waits; what is done again by itself does not. */
static void
receive_together(PoBatch *batch, const int *member, int n)
{
	bool		first = batch->together == 0;

	receive_in_steps(members(batch, member, n), n, first, first ? lock_wait() : SHORT_WAIT_MS,
					 ((Call *) batch->arg)->opts_out);
}

/* One that cannot even be kept is not received, and leaves nothing. */
static void
not_received(PoBatch *batch, int member, int sqlstate)
{
	PoWebhook  *webhook = ((Call *) batch->arg)->webhook[member];

	po_log_failure(webhook, sqlstate, "keeping");
	po_refuse(webhook, PO_INGEST_BUSY, 0, NULL);
}

/* One that came alone and has waited, or failed at once, is received in steps. */
static void
receive_slowly(PoBatch *batch, int member, int sqlstate)
{
	bool		has_waited = sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;

	if (has_waited)
		waited_in_vain = GetCurrentTimestamp();
	receive_in_steps(((Call *) batch->arg)->webhook, 1, false, has_waited ? SHORT_WAIT_MS : lock_wait(),
					 ((Call *) batch->arg)->opts_out);
}

/*
 * po_receive_webhooks writes the receipts of webhooks just received, for duplicates
 * end there, and processes the others, unless they are deferred.  Needs SPI and the
 * engine's owner as user.  Locks: receipts, providers' ids, contacts, leads, messages,
 * and so on, in that order.
 *
 * One of a batch that cannot even be kept is not received, and leaves nothing: busy,
 * so that it is sent again.  One that comes alone raises the error.
 */
void
po_receive_webhooks(PoWebhook **webhook, int n)
{
	bool		opts_out = false;
	Call		call = {.webhook = webhook, .n = n, .opts_out = &opts_out};
	PoBatch		batch = {
		.arg = &call, .n = n, .of_many = n > 1, .tenant_of = tenant_of,
		.work = n == 1 ? receive_at_once : receive_together,
		.failed = n == 1 ? receive_slowly : not_received
	};

	if (n == 0)
		return;
	batch.foreign = foreign(&call);
	po_run_batch(&batch);
}

/*
 * po_process_stored processes webhooks that were received before, and whose rows
 * are locked.  Those that somebody holds what they are about are left for later; no
 * attempt is counted then.
 */
void
po_process_stored(PoWebhook **webhook, int n)
{
	bool		opts_out = false;

	for (int i = 0; i < n; i++)
		po_hear_webhook(webhook[i]);
	process_fresh(webhook, n, false, &opts_out);
}
