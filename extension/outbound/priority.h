/*
 * priority.h
 *	  Which messages go first where more is due than can be sent.
 */
#ifndef PO_OUTBOUND_PRIORITY_H
#define PO_OUTBOUND_PRIORITY_H

/*
 * One list makes the numbers, the order in which a claim goes through them, and
 * outreach.priorities().  The lowest number goes first.  Between the numbers, which
 * are stored, is room for others.
 */
#define PO_PRIORITIES(X) \
	X(REPLY, 100, "reply", "Answers that somebody waits for.") \
	X(NORMAL, 200, "normal", "What is asked for without a priority.") \
	X(CAMPAIGN, 300, "campaign", "What goes to many, and may wait.")

typedef enum PoPriority
{
#define X(name, number, label, description) PO_PRIORITY_##name = number,
	PO_PRIORITIES(X)
#undef X
} PoPriority;

/* The place of each in that order. */
enum
{
#define X(name, number, label, description) PO_PLACE_OF_##name,
	PO_PRIORITIES(X)
#undef X
	PO_NPRIORITIES
};

extern PoPriority po_priority(int place);
extern PoPriority po_priority_require(const char *path, const char *name);

#endif
