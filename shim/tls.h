/*
 * tls.h
 *	  The TLS side of a listener.
 */
#ifndef PO_SHIM_TLS_H
#define PO_SHIM_TLS_H

#include <openssl/ssl.h>

extern SSL_CTX *po_tls_load(const char *certificate, const char *key);

#endif							/* PO_SHIM_TLS_H */
