/*
 * address_args.h
 *	  Phones and e-mail addresses as arguments of SQL functions.
 */
#ifndef PO_LEAD_ADDRESS_ARGS_H
#define PO_LEAD_ADDRESS_ARGS_H

#include "fmgr.h"

extern char *po_read_phone(const char *name, const char *text);
extern char *po_read_email(const char *name, const char *text);
extern char *po_arg_phone(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_email(FunctionCallInfo fcinfo, int n, const char *name);
extern char *po_arg_address(FunctionCallInfo fcinfo, int n, const char *name);

#endif
