/*
 * callback.c
 *		Status callbacks and replies, see callback.h.
 */
#define _GNU_SOURCE
#include "callback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "config.h"
#include "fault.h"
#include "table.h"

typedef struct Step
{
	char	   *status;			/* or the text of a reply */
	bool		reply;
	bool		early;
	bool		each_segment;
	int			code;
	int			times;
	int			ms;
} Step;

typedef struct Plan
{
	Step	   *step;
	int			steps;
} Plan;

/* A webhook on its way, through all its tries */
typedef struct Delivery
{
	const Api  *api;
	Message    *message;		/* NULL: a reply by the control interface */
	const char *status;
	int			code;
	int			nth;
	bool		reply;
	Webhook		webhook;
	int			attempt;
	CallbackDone done;			/* NULL: nobody waits */
	void	   *arg;
} Delivery;

typedef struct Choice
{
	const Plan *plan;
	double		weight;
} Choice;

CallbackCounters callback_counters;

static Table plans;				/* by text; they live as long as the program */
static struct
{
	Choice		choice[16];
	int			choices;
	double		weight;
}			chosen[2];			/* for messages, for calls */

static void attempt(void *arg);

/* ---- plans --------------------------------------------------------------- */

static bool
read_step(char *text, Step *step)
{
	static const char *const known[] = {
		"queued",    "accepted",    "sending", "sent",
		"delivered", "undelivered", "failed",  "read",
		"canceled",  "initiated",   "ringing", "in-progress",
		"answered",  "completed",   "busy",    "no-answer"
	};
	char	   *at = strrchr(text, '@');
	char	   *mark;

	step->times = 1;
	if (at != NULL)
	{
		*at++ = '\0';
		step->early = strcmp(at, "early") == 0;
		step->ms = atoi(at);
	}
	step->reply = strncmp(text, "reply:", 6) == 0;
	if (step->reply)
	{
		step->status = copy_string(text + 6);
		return true;
	}
	if ((mark = strchr(text, '*')) != NULL)
	{
		step->times = atoi(mark + 1);
		*mark = '\0';
	}
	if ((mark = strchr(text, '/')) != NULL)
	{
		step->each_segment = strcmp(mark, "/segment") == 0;
		*mark = '\0';
	}
	if ((mark = strchr(text, ':')) != NULL)
	{
		step->code = atoi(mark + 1);
		*mark = '\0';
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		if (strcmp(known[i], text) == 0)
		{
			step->status = copy_string(text);
			return true;
		}
	}
	return false;
}

/* The plan of this text; NULL when it is none. */
static const Plan *
find_plan(const char *text)
{
	Plan	   *plan = table_find(&plans, text);
	char	   *copy;
	char	   *rest;
	char	   *item;
	bool		good = true;

	if (plan != NULL)
		return plan;
	plan = allocate(sizeof(Plan));
	copy = rest = copy_string(text);
	while (good && text[0] != '\0' && (item = strsep(&rest, ",")) != NULL)
	{
		plan->step = realloc(plan->step, (size_t) (plan->steps + 1) * sizeof(Step));
		if (plan->step == NULL)
			abort();
		plan->step[plan->steps] = (Step) {0};
		good = read_step(item, &plan->step[plan->steps++]);
	}
	free(copy);
	if (!good)
	{
		free(plan->step);
		free(plan);
		return NULL;
	}
	*table_slot(&plans, copy_string(text)) = plan;
	return plan;
}

/* A plan, or {plan: weight, …}; returns NULL, or what is wrong. */
const char *
callback_set_plans(const Json *json, bool calls)
{
	chosen[calls].choices = 0;
	chosen[calls].weight = 0;
	if (json->type == JSON_STRING)
	{
		chosen[calls].choice[0].plan = find_plan(json->text);
		chosen[calls].choice[0].weight = chosen[calls].weight = 1;
		if (chosen[calls].choice[0].plan == NULL)
			return "no such plan";
		chosen[calls].choices = 1;
		return NULL;
	}
	if (json->type != JSON_OBJECT)
		return "a plan is a string, several are an object with their weights";
	for (const Json *m = json->first; m != NULL; m = m->next)
	{
		Choice	   *choice = &chosen[calls].choice[chosen[calls].choices];

		if (chosen[calls].choices == 16)
			return "too many plans";
		choice->plan = find_plan(m->name);
		choice->weight = m->text != NULL ? strtod(m->text, NULL) : -1;
		if (choice->plan == NULL || choice->weight < 0)
			return "no such plan, or no weight";
		chosen[calls].weight += choice->weight;
		chosen[calls].choices++;
	}
	return NULL;
}

static const Plan *
plan_for(const Api *api, const Message *m)
{
	bool		calls = api == &twilio_call_api;
	char	   *text = marker_in(m->body, "callbacks");
	const Plan *plan = NULL;
	double		at;

	if (text != NULL)
	{
		plan = find_plan(text);
		if (plan == NULL)
			fprintf(stderr, "provider: no such plan: \"%s\"\n", text);
		free(text);
		return plan;
	}
	at = random_fraction() * chosen[calls].weight;
	for (int i = 0; i < chosen[calls].choices; i++)
	{
		plan = chosen[calls].choice[i].plan;
		at -= chosen[calls].choice[i].weight;
		if (at < 0)
			break;
	}
	return plan;
}

/* ---- deliveries ---------------------------------------------------------- */

static void
finish(Delivery *d, int http_status, const char *outcome)
{
	ledger_callback(d->message, d->reply ? "reply" : d->status, d->attempt, http_status, outcome);
	callback_counters.pending--;
	if (d->done != NULL)
		d->done(d->arg, http_status, outcome);
	webhook_free(&d->webhook);
	free(d);
}

static void
on_answer(void *arg, int http_status)
{
	Delivery   *d = arg;
	int			tries = config.callback_attempts > 0 ? config.callback_attempts : d->webhook.attempts;
	int			pause = d->attempt <= 4 ? d->webhook.retry_ms[d->attempt - 1] : d->webhook.retry_ms[3];

	if (config.callback_retry_ms >= 0)
		pause = config.callback_retry_ms;
	if (http_status < 0)
	{
		callback_counters.impossible++;
		finish(d, 0, "impossible");
	}
	else if (http_status >= 200 && http_status < 300)
	{
		callback_counters.answered++;
		finish(d, http_status, "answered");
	}
	else if (http_status >= 300 && http_status < 500 && http_status != 429)
	{
		callback_counters.refused++;
		finish(d, http_status, "refused");
	}
	else if (d->attempt >= tries)
	{
		callback_counters.given_up++;
		finish(d, http_status, "given_up");
	}
	else
		run_after(pause, attempt, d);
}

static void
attempt(void *arg)
{
	Delivery   *d = arg;

	d->attempt++;
	callback_counters.posts++;
	client_post(&d->webhook, on_answer, d);
}

/* Makes the webhook, for it tells the time, and tries it for the first time. */
static void
begin(void *arg)
{
	Delivery   *d = arg;
	Message    *m = d->message;

	if (d->reply && m != NULL)
	{
		Reply		reply = {
			.account = m->account,
			.from = m->to,
			.to = m->from,
			.body = d->status,
			.secret = m->secret
		};

		d->webhook.url = copy_string(config.reply_url != NULL ? config.reply_url : "");
		d->api->reply(&reply, &d->webhook);
	}
	else if (m != NULL)
	{
		m->status = d->status;
		m->error = d->code;
		d->api->status(m, d->status, d->code, d->nth, &d->webhook);
	}
	attempt(d);
}

static Delivery *
new_delivery(const Api *api, Message *m, const char *status, int code, CallbackDone done, void *arg)
{
	Delivery   *d = allocate(sizeof(Delivery));

	d->api = api;
	d->message = m;
	d->status = status;
	d->code = code;
	d->done = done;
	d->arg = arg;
	callback_counters.planned++;
	callback_counters.pending++;
	return d;
}

/*
 * Begins what follows a message that was just accepted; returns how many
 * callbacks its answer has to wait for, and calls early_done for each of them.
 */
int
callback_plan(const Api *api, Message *m, CallbackDone early_done, void *arg)
{
	const Plan *plan = plan_for(api, m);
	int			early = 0;
	int			nth = 0;

	for (int i = 0; plan != NULL && i < plan->steps; i++)
	{
		const Step *step = &plan->step[i];
		int			times = step->times * (step->each_segment ? m->segments : 1);

		if (step->reply ? api->reply == NULL : api->status == NULL || m->callback == NULL)
			continue;
		for (int n = 0; n < times; n++)
		{
			Delivery   *d = new_delivery(api, m, step->status, step->code, NULL, NULL);

			d->reply = step->reply;
			d->nth = nth++;
			if (step->early && early_done != NULL)
			{
				early++;
				d->done = early_done;
				d->arg = arg;
			}
			/* never from within, so that the caller knows how many there are */
			run_after(step->early ? 0 : step->ms, begin, d);
		}
	}
	return early;
}

/* One callback at once; status must live on. */
void
callback_now(const Api *api, Message *m, const char *status, int code, CallbackDone done, void *arg)
{
	run_after(0, begin, new_delivery(api, m, status, code, done, arg));
}

/* A message from a phone to this URL. */
void
callback_reply(const Api *api, const Reply *reply, const char *url, CallbackDone done, void *arg)
{
	Delivery   *d = new_delivery(api, NULL, "reply", 0, done, arg);

	d->reply = true;
	d->webhook.url = copy_string(url);
	api->reply(reply, &d->webhook);
	run_after(0, begin, d);
}
