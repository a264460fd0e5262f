/*
 * account.c
 *	  Whether an account has what its profile needs to make a request: asked when it is
 *	  made, and when a message is asked for.
 */
#include "postgres.h"

#include "common/address.h"
#include "common/template.h"
#include "core/args.h"
#include "core/compat.h"
#include "core/shape.h"
#include "lead/channel.h"
#include "outbound/account.h"
#include "outbound/options.h"

/* Of each message, by itself: the other names are of its account. */
static const char *const of_message[] = {
	"bcc", "body", "html", "media_urls", "subject", "to", "to_digits", "message_id", "reference", "sent_date",
	"sent_date_next"
};

static bool
is_of_message(const PoProfile *profile, const char *name)
{
	for (int i = 0; i < lengthof(of_message); i++)
		if (strcmp(name, of_message[i]) == 0)
			return true;
	/* Where there are numbers, the sender is one of them. */
	return po_goes_to_phone(profile->channel) &&
		(strcmp(name, "from") == 0 || strcmp(name, "from_digits") == 0);
}

/* How a caller names what gives a placeholder its value. */
static const char *
path_of(const char *name)
{
	if (strcmp(name, "username") == 0 || strcmp(name, "base_url") == 0)
		return name;
	if (strcmp(name, "callback_url") == 0)
		return "callback_path";
	return psprintf("settings.%s", strcmp(name, "from_digits") == 0 ? "from" : name);
}

static bool
is_there(const char *value)
{
	return value != NULL && !po_template_is_blank(value, strlen(value));
}

static bool
has(const PoAccount *account, const char *name)
{
	if (strcmp(name, "username") == 0)
		return is_there(account->username);
	if (strcmp(name, "base_url") == 0)
		return is_there(account->base_url);
	if (strcmp(name, "callback_url") == 0)
		return account->callback_url != NULL;
	if (strcmp(name, "from_digits") == 0)
		name = "from";
	return is_there(po_jsonb_text(account->settings, name, strlen(name)));
}

/*
 * po_account_lacks returns the path of what the account's profile needs and the
 * account has not, or NULL.
 */
const char *
po_account_lacks(const PoAccount *account)
{
	const PoNeeds *needs = account->profile->needs;

	for (int i = 0; i < needs->n; i++)
		if (needs->need[i].needed && !is_of_message(account->profile, needs->need[i].name) &&
			!has(account, needs->need[i].name))
			return path_of(needs->need[i].name);
	return NULL;
}

/* As it is sent, so without white space around it. */
static bool
is_mail_address(const char *text)
{
	char		folded[PO_ADDRESS_SIZE];

	return strpbrk(text, " \t\r\n") == NULL && po_email_fold(text, strlen(text), folded);
}

/* Why a name is none of a setting, or NULL. */
static const char *
name_problem(const PoProfile *profile, const JsonbValue *name)
{
	const char *key = po_json_key(name);
	const PoNeed *need = po_find_need(profile->needs, name->val.string.val, name->val.string.len);

	if (strcmp(key, "from") == 0)
		return !po_goes_to_phone(profile->channel) ? NULL
			: "settings.from means nothing here: name the number with outreach.add_number()";
	if (strcmp(key, "bcc") == 0 && po_channel_has(profile->channel, key) && po_has_place(profile->needs, key))
		return NULL;
	if (need == NULL || is_of_message(profile, need->name) || strncmp(path_of(need->name), "settings.", 9) != 0)
		return psprintf("settings.%s is not known: profile \"%s\" has no placeholder of that name",
						key, profile->profile);
	return NULL;
}

/* The same of its value; raises an error for a bcc that is no address. */
static const char *
value_problem(const PoProfile *profile, const char *key, const JsonbValue *value)
{
	const char **address;

	if (strcmp(key, "bcc") == 0)
	{
		if (value->type != jbvNull)
			(void) po_read_addresses("settings.bcc", value, &address);
		return NULL;
	}
	if (value->type == jbvBinary || value->type == jbvArray)
		return psprintf("settings.%s must be a string, number or boolean", key);
	if (strcmp(key, "from") == 0 && po_goes_to_email(profile->channel) && value->type != jbvNull)
	{
		char	   *from = value->type == jbvString
			? pnstrdup(value->val.string.val, value->val.string.len) : "";

		if (value->type != jbvString || (is_there(from) && !is_mail_address(from)))
			return "settings.from is not an e-mail address";
	}
	return NULL;
}

/* A setting that the profile has no place for, or cannot take, does nothing. */
static const char *
settings_problem(const PoAccount *account)
{
	JsonbIterator *iterator = JsonbIteratorInit(&account->settings->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;
	const char *problem = NULL;

	while (problem == NULL && (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = po_json_key(&value);
			problem = name_problem(account->profile, &value);
		}
		else if (token == WJB_VALUE)
			problem = value_problem(account->profile, key, &value);
	}
	return problem;
}

/*
 * po_account_flaw returns why an account, whose profile is there, could not send,
 * palloc'd; NULL when it could.  Raises an error for a bcc that is no address.
 */
const char *
po_account_flaw(const PoAccount *account)
{
	const char *problem = settings_problem(account);
	const char *lacks = problem == NULL ? po_account_lacks(account) : NULL;

	if (lacks != NULL)
		problem = psprintf("%s is missing: profile \"%s\" needs it", lacks, account->profile->profile);
	return problem;
}
