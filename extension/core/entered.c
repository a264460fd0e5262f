/*
 * entered.c
 *	  Which tenants roles have entered in the transaction.
 *
 * The setting outreach.tenant_id holds pairs of a role and the tenant that it has
 * entered; only enter_tenant() and superusers can write it.  A pair counts for
 * code that runs as that role: who calls a function of another role does not
 * lend it his tenant, nor the other way round.  As a setting it is local to the
 * transaction, undone with a subtransaction, and known to parallel workers.
 *
 * Policies read it through current_tenant(), a function of this library, and not
 * with current_setting(): in a session that has not loaded the library anybody
 * could make a placeholder of that name.
 */
#include "postgres.h"

#include <limits.h>

#include "core/compat.h"
#include "core/entered.h"
#include "core/limits.h"
#include "lib/stringinfo.h"

/* One pair of the setting, whose text is ROLE/BYTES/TENANT for each. */
typedef struct Entered
{
	Oid			role;
	int			len;			/* of the tenant's id */
	int			at;				/* where that begins in the text */
} Entered;

/* The setting, read; one piece of memory that belongs to it. */
typedef struct EnteredList
{
	int			n;
	Entered		entry[FLEXIBLE_ARRAY_MEMBER];
} EnteredList;

/* outreach.tenant_id, and what was read of it. */
char	   *po_entered_setting = NULL;
static const EnteredList *entered = NULL;

/* Reads one pair and returns how many bytes it has, 0 when it cannot be read. */
static int
read_pair(const char *text, int at, Entered *pair)
{
	const char *here = text + at;
	char	   *end;
	unsigned long number;

	if (*here < '1' || *here > '9')
		return 0;
	number = strtoul(here, &end, 10);
	if (*end != '/' || end - here > 10 || number > OID_MAX || end[1] < '1' || end[1] > '9')
		return 0;
	pair->role = number;
	here = end + 1;
	number = strtoul(here, &end, 10);
	if (*end != '/' || end - here > 3 || number > PO_MAX_ID_BYTES)
		return 0;
	pair->len = number;
	pair->at = end + 1 - text;
	if (strnlen(end + 1, number) < number)
		return 0;
	return pair->at + pair->len - at;
}

/*
 * po_entered_check reads the text of the setting: the check hook.
 */
bool
po_entered_check(char **value, void **extra, GucSource source)
{
	EnteredList *list;
	Entered		pair;
	int			len;
	int			n = 0;

	for (int at = 0; (*value)[at] != '\0'; at += len, n++)
		if ((len = read_pair(*value, at, &pair)) == 0)
			return false;
	if (n == 0)
		return true;
	list = guc_malloc(LOG, offsetof(EnteredList, entry) + n * sizeof(Entered));
	if (list == NULL)
		return false;
	list->n = n;
	for (int i = 0, at = 0; i < n; i++)
		at += read_pair(*value, at, &list->entry[i]);
	*extra = list;
	return true;
}

/*
 * po_entered_assign takes over what was read: the assign hook.
 */
void
po_entered_assign(const char *value, void *extra)
{
	entered = extra;
}

/*
 * po_entered_tenant returns the tenant that a role has entered, palloc'd; NULL
 * when none.
 */
const char *
po_entered_tenant(Oid role)
{
	for (int i = 0; entered != NULL && i < entered->n; i++)
		if (entered->entry[i].role == role)
			return pnstrdup(po_entered_setting + entered->entry[i].at, entered->entry[i].len);
	return NULL;
}

/*
 * po_enter_tenant_as notes that a role acts for a tenant, instead of the one that
 * it may have entered; undone with the transaction, or as the action says.
 */
void
po_enter_tenant_as(Oid role, const char *tenant_id, GucAction action)
{
	StringInfoData value;

	initStringInfo(&value);
	for (int i = 0; entered != NULL && i < entered->n; i++)
		if (entered->entry[i].role != role)
			appendStringInfo(&value, "%u/%d/%.*s", entered->entry[i].role, entered->entry[i].len,
							 entered->entry[i].len, po_entered_setting + entered->entry[i].at);
	appendStringInfo(&value, "%u/%d/%s", role, (int) strlen(tenant_id), tenant_id);
	(void) set_config_option("outreach.tenant_id", value.data, PGC_SUSET, PGC_S_SESSION, action, true, 0,
							 false);
	pfree(value.data);
}
