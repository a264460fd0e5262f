/*
 * process.c
 *	  Webhooks whose origin is proven: receipts, effects, and what is kept of
 *	  those that cannot have them now.
 *
 * All steps are done together.  What fails is done again with less: one by one;
 * then, of one that opts out, the opt-out alone (heed.c); what is left is
 * kept with its bytes and its next try (keep.c).  Each of these is a subtransaction, so that
 * what fails leaves nothing.
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
#include "core/budget.h"
#include "core/clock.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/lock_wait.h"
#include "core/settings.h"
#include "inbound/webhook.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define ALONE_BUDGET_MS 1000	/* for a worker's webhooks that are done alone */

/* How often a batch begins anew because of what it has found out under locks. */
#define MAX_ROUNDS 3

/* For keys that another session is just inserting, which cannot be left out. */
#define SHORT_WAIT_MS 5

/* After a wait in vain the next ones are a tenth as long, for so long. */
#define IMPATIENT_FOR (2 * USECS_PER_SEC)

static TimestampTz waited_in_vain;

typedef struct Batch
{
	PoWebhook **webhook;
	int			n;
	bool		of_many;		/* others are in the same call */
	bool		waits;			/* for locks of others */
	int			wait_ms;		/* for receipts that others are writing */
	bool		opts_out;		/* one of them does */
	bool		again;			/* something was discovered too late to be locked */
	PoSubjects	subjects;
	bool		complete;
	PoEventList duplicates;
} Batch;

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
note_opt_outs(Batch *batch)
{
	for (int i = 0; i < batch->n; i++)
		batch->opts_out |= po_opts_out(batch->webhook[i]);
}

static void
lock_subjects(void *arg)
{
	Batch	   *batch = arg;

	batch->complete = po_lock_subjects(&batch->subjects, batch->webhook, batch->n, batch->waits);
}

/* Writes what was decided of those that are not held. */
static void
write_effects(void *arg)
{
	Batch	   *batch = arg;
	PoSubjects *subjects = &batch->subjects;
	PoWebhook **ours = palloc(batch->n * sizeof(PoWebhook *));
	int			nours = 0;

	for (int i = 0; i < batch->n; i++)
		if (!batch->webhook[i]->held)
			ours[nours++] = batch->webhook[i];
	po_write_payloads(ours, nours);
	po_write_messages(subjects->message, subjects->nmessages);
	/* Before the rows of numbers are locked, as where answers are recorded. */
	batch->again = !po_park_statuses(ours, nours);
	if (batch->again)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a message of a status callback has become known")));
	po_write_health(&subjects->health, &subjects->set);
	po_write_changes(&subjects->set);
}

/* The steps that may fail, on webhooks whose receipts are written. */
static void
process(void *arg)
{
	Batch	   *batch = arg;

	memset(&batch->subjects, 0, sizeof(PoSubjects));
	if (batch->waits)
		po_wait_at_most(lock_subjects, batch, lock_wait());
	else
		po_wait_each_at_most(lock_subjects, batch, SHORT_WAIT_MS);
	note_opt_outs(batch);
	batch->again = !batch->complete;
	if (batch->again)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("leads are locked before the phones of strangers")));
	for (int i = 0; i < batch->n; i++)
		if (!batch->webhook[i]->held)
			po_decide(&batch->subjects, batch->webhook[i]);
	po_wait_each_at_most(write_effects, batch, batch->waits ? lock_wait() : SHORT_WAIT_MS);
}

/*
 * Runs work over the batch in a subtransaction, again where it has discovered
 * something.  Returns 0, or the SQLSTATE it failed with and left nothing of.  What
 * somebody's trigger raises does not keep an opt-out from the next, smaller try,
 * whatever it looks like; a conflict that only a new transaction can end does.
 */
static int
try_rounds(PoWork work, Batch *batch)
{
	int			sqlstate = 0;

	note_opt_outs(batch);
	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		batch->again = false;
		/* Want of memory may be that of all of them together. */
		sqlstate = (batch->of_many ? po_try_alone : po_try)
			(work, batch, IsolationUsesXactSnapshot() ? NULL : &batch->opts_out);
		if (!batch->again)
			break;
	}
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE && batch->waits)
		waited_in_vain = GetCurrentTimestamp();
	return sqlstate;
}

static int
try_process(PoWebhook **webhook, int n, bool of_many, bool waits)
{
	Batch		batch = {.webhook = webhook, .n = n, .of_many = of_many, .waits = waits};

	return try_rounds(process, &batch);
}

/* Whether one of its tenant has used up the time of a worker before. */
static bool
is_of_slow_tenant(PoWebhook **webhook, int i)
{
	for (int j = 0; j < i; j++)
		if (webhook[j]->slow &&
			strcmp(webhook[j]->endpoint->tenant_id, webhook[i]->endpoint->tenant_id) == 0)
			return true;
	return false;
}

/* Webhooks whose receipts are written, together or else one by one. */
static void
process_fresh(PoWebhook **webhook, int n, bool waits)
{
	int			together = ERRCODE_LOCK_NOT_AVAILABLE;

	if (n == 0)
		return;
	if (waits)
		together = try_process(webhook, n, n > 1, true);
	if (together == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		together = try_process(webhook, n, n > 1, false);
		/* Slow, and not because of locks: the next ones need not be hurried. */
		if (together == 0 && po_keep_held(webhook, n) == 0 && !webhook[0]->stored)
			waited_in_vain = 0;
	}
	/* What the batch has used up is not the members' fault. */
	if (together != 0 && po_waits_for_nobody())
		po_budget_begin(ALONE_BUDGET_MS);
	for (int i = 0; i < n && together != 0; i++)
	{
		/* One alone need not be tried twice, and leaves its memory behind. */
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "outreach webhook",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);
		int			sqlstate = n == 1 ? together
			: is_of_slow_tenant(webhook, i) ? ERRCODE_LOCK_NOT_AVAILABLE
			: try_process(&webhook[i], 1, true, false);

		if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
			webhook[i]->held = true;
		else if (sqlstate != 0)
			po_give_up(webhook[i], sqlstate);
		/* The others have a time of their own, and its tenant the next turn. */
		if (po_waits_for_nobody() && po_budget_ran_out())
		{
			webhook[i]->slow = true;
			po_budget_begin(ALONE_BUDGET_MS);
		}
		if (webhook[i]->held)
			(void) po_keep_held(&webhook[i], 1);
		webhook[i]->held = false;
		webhook[i]->message_lead = NULL;
		webhook[i]->message_phone = NULL;
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		/* Sockets have their turn between the members. */
		po_between_members();
	}
}

/*
 * po_set_outcome says what a webhook that has not been tried comes to when nothing
 * fails.
 */
void
po_set_outcome(PoWebhook *webhook)
{
	bool		deferred = webhook->endpoint->deferred && !webhook->stored;

	if (!webhook->stored)
	{
		/* What was done of it before has been undone. */
		webhook->attempts = 0;
		webhook->opted_out = webhook->owes_event = false;
	}
	webhook->fresh = false;
	webhook->held = false;
	webhook->last_error = webhook->problem != NULL ? webhook->problem : webhook->flaw;
	if (webhook->problem != NULL)
	{
		/* What was tried and could not be read will not become readable. */
		webhook->outcome = PO_OUTCOME_ERROR;
		webhook->status = PO_PAYLOAD_DEAD;
	}
	else if (deferred)
	{
		webhook->outcome = PO_OUTCOME_DEFERRED;
		webhook->status = PO_PAYLOAD_PENDING;
	}
	else
	{
		webhook->outcome = PO_OUTCOME_ACCEPTED;
		webhook->status = webhook->unresolved ? PO_PAYLOAD_UNRESOLVED : PO_PAYLOAD_DONE;
	}
}

static void
write_receipts(void *arg)
{
	Batch	   *batch = arg;

	po_write_receipts(batch->webhook, batch->n, &batch->duplicates);
}

static void
write_receipts_in_time(void *arg)
{
	po_wait_each_at_most(write_receipts, arg, ((Batch *) arg)->wait_ms);
}

/* The receipts; of those that another transaction is writing the webhooks are busy. */
static void
receive(PoWebhook **webhook, int n, int wait_ms, PoEventList *duplicates)
{
	Batch		batch = {.webhook = webhook, .n = n, .wait_ms = wait_ms};
	int			sqlstate = po_try(write_receipts_in_time, &batch, NULL);

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE && n > 1)
	{
		waited_in_vain = GetCurrentTimestamp();
		for (int i = 0; i < n; i++)
		{
			po_set_outcome(webhook[i]);
			receive(&webhook[i], 1, SHORT_WAIT_MS, duplicates);
		}
		return;
	}
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		waited_in_vain = GetCurrentTimestamp();
		webhook[0]->outcome = PO_OUTCOME_BUSY;
		return;
	}
	if (sqlstate != 0)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("the receipts of webhooks could not be written")));
	for (int i = 0; i < batch.duplicates.n; i++)
	{
		const PoEvent *from = &batch.duplicates.event[i];

		*po_event_list_add(duplicates, from->tenant_id, from->event_type, from->source) = *from;
	}
}

/* Whether its opt-out is heeded though its key is taken. */
static bool
is_heeded(const PoWebhook *webhook)
{
	return webhook->status == PO_PAYLOAD_CONFLICT && po_opts_out(webhook);
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
		w->outcome = PO_OUTCOME_BUSY;
		for (int e = 0; e < duplicates->n; e++)
			if (duplicates->event[e].receipt_id != &w->receipt_id)
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
divide(Batch *batch, PoWebhook **fresh, PoWebhook **kept, int *nkept)
{
	int			nfresh = 0;

	*nkept = 0;
	for (int i = 0; i < batch->n; i++)
	{
		PoWebhook  *w = batch->webhook[i];
		bool		pending = w->status == PO_PAYLOAD_PENDING;

		if (w->outcome == PO_OUTCOME_BUSY || !(w->fresh || w->status == PO_PAYLOAD_CONFLICT))
			continue;
		if (!pending)
			po_hear_message(w);
		if (w->fresh && !pending)
			fresh[nfresh++] = w;
		else
			kept[(*nkept)++] = w;
	}
	note_opt_outs(batch);
	return nfresh;
}

/* One webhook with all its steps at once, as nearly all of them go. */
static void
receive_at_once(void *arg)
{
	Batch	   *batch = arg;
	PoWebhook  *webhook = batch->webhook[0];
	PoWebhook  *kept;
	int			nkept;
	int			wait_ms = lock_wait();

	po_set_outcome(webhook);
	memset(&batch->duplicates, 0, sizeof(PoEventList));
	write_receipts_in_time(batch);
	if (divide(batch, &webhook, &kept, &nkept) > 0)
		process(batch);
	else
	{
		keep(&kept, nkept, &wait_ms, &batch->duplicates);
		po_events_append(batch->duplicates.event, batch->duplicates.n);
	}
}

/* Together what is new, then what is only kept; or in their order, one by one. */
static void
finish(Batch *batch, bool in_order, PoWebhook **fresh, int nfresh, PoWebhook **kept, int nkept,
	   PoEventList *duplicates)
{
	int			wait_ms = batch->waits ? lock_wait() : SHORT_WAIT_MS;

	if (!in_order)
	{
		process_fresh(fresh, nfresh, batch->waits);
		keep(kept, nkept, &wait_ms, duplicates);
		return;
	}
	for (int i = 0, f = 0, k = 0; i < batch->n; i++)
	{
		if (f < nfresh && fresh[f] == batch->webhook[i])
			process_fresh(&fresh[f++], 1, batch->waits);
		else if (k < nkept && kept[k] == batch->webhook[i])
			keep(&kept[k++], 1, &wait_ms, duplicates);
	}
}

/*
 * Receipts, then the rest.  What is said under a key that is taken counts in its turn: an
 * opt-out leaves the same from a batch as one by one.
 */
static void
receive_carefully(void *arg)
{
	Batch	   *batch = arg;
	PoWebhook **fresh = palloc(batch->n * sizeof(PoWebhook *));
	PoWebhook **kept = palloc(batch->n * sizeof(PoWebhook *));
	PoEventList duplicates = {0};
	int			nfresh;
	int			nkept;
	bool		in_order = false;

	for (int i = 0; i < batch->n; i++)
		po_set_outcome(batch->webhook[i]);
	receive(batch->webhook, batch->n, batch->wait_ms, &duplicates);
	nfresh = divide(batch, fresh, kept, &nkept);
	for (int i = 0; i < nkept; i++)
		in_order |= nfresh > 0 && is_heeded(kept[i]);
	finish(batch, in_order, fresh, nfresh, kept, nkept, &duplicates);
	po_events_append(duplicates.event, duplicates.n);
}

static void
receive_one(PoWebhook **webhook)
{
	Batch		batch = {.webhook = webhook, .n = 1, .waits = true, .wait_ms = lock_wait()};
	int			sqlstate = try_rounds(receive_at_once, &batch);

	if (sqlstate == 0)
		return;
	/* It has waited, or failed alone. */
	batch.waits = false;
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		batch.wait_ms = SHORT_WAIT_MS;
	receive_carefully(&batch);
}

/*
 * po_receive_webhooks writes the receipts of webhooks just received, for duplicates
 * end there, and processes the others, unless they are deferred.  Needs SPI and the
 * engine's owner as user.  Locks: receipts, phones, leads, messages, and so on, in
 * that order.
 *
 * One of a batch that cannot even be kept is not received, and leaves nothing: busy,
 * so that it is sent again.  One that comes alone raises the error.
 */
void
po_receive_webhooks(PoWebhook **webhook, int n)
{
	Batch		batch = {.webhook = webhook, .n = n, .waits = true, .wait_ms = lock_wait()};
	int			together;

	if (n == 1)
		receive_one(webhook);
	if (n <= 1)
		return;
	together = try_rounds(receive_carefully, &batch);
	for (int i = 0; i < n && together != 0; i++)
	{
		Batch		one = {.webhook = &webhook[i], .n = 1, .wait_ms = SHORT_WAIT_MS, .opts_out = batch.opts_out};
		int			sqlstate = try_rounds(receive_carefully, &one);

		if (sqlstate == 0)
			continue;
		po_log_failure(webhook[i], sqlstate, "keeping");
		webhook[i]->outcome = PO_OUTCOME_BUSY;
	}
}

/*
 * po_process_stored processes webhooks that were received before, and whose rows
 * are locked.  Those that somebody holds what they are about are left for later; no
 * attempt is counted then.
 */
void
po_process_stored(PoWebhook **webhook, int n)
{
	for (int i = 0; i < n; i++)
	{
		po_hear_message(webhook[i]);
		po_set_outcome(webhook[i]);
	}
	process_fresh(webhook, n, false);
}
