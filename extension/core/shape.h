/*
 * shape.h
 *	  JSON that comes from outside and has to be an object.
 */
#ifndef PO_SHAPE_H
#define PO_SHAPE_H

#include "utils/jsonb.h"

#include "core/compat.h"

extern const char *po_json_type(const JsonbValue *value);
po_noreturn extern void po_not_an_object(const char *path, const JsonbValue *value);
extern void po_require_object(const char *path, JsonbContainer *container);

#endif
