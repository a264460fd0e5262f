/*
 * template_filter.h
 *	  The filters of templates; what each does stands in template.h.
 */
#ifndef PO_TEMPLATE_FILTER_H
#define PO_TEMPLATE_FILTER_H

#include "lib/stringinfo.h"

typedef struct PoTemplateFilter
{
	const char *name;
	/*
	 * Changes the bytes of out from start on, of which there is at least one, and
	 * leaves none when they are no value for it.  NULL for default, the one that
	 * takes an argument and is for a value that is not there.
	 */
	void		(*apply) (StringInfo out, int start);
} PoTemplateFilter;

extern const PoTemplateFilter *po_template_filter(const char *name, int len);
extern void po_template_escape_html(StringInfo out, int start);

#endif							/* PO_TEMPLATE_FILTER_H */
