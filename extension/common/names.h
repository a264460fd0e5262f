/*
 * names.h
 *	  The names of an enum's values, in an array by value.
 */
#ifndef PO_COMMON_NAMES_H
#define PO_COMMON_NAMES_H

/* The value that has the name, -1 for none. */
static inline int
po_find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

#endif
