/*
 * tls.c
 *	  Server-side TLS context: TLS 1.2 or later, no renegotiation, no
 *	  compression, no session tickets or cache, hence no early data either.
 *
 * A context is immutable once made; a reload makes a new one, and connections
 * keep the one they began with.
 */
#include "postgres_fe.h"

#include <openssl/err.h>

#include "log.h"
#include "tls.h"

static const unsigned char alpn_http11[] = "\x08http/1.1";

/* Only HTTP/1.1 is spoken; a client that offers other protocols alone is not served. */
static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen,
				const unsigned char *in, unsigned int inlen, void *arg)
{
	unsigned char *chosen;

	(void) ssl;
	(void) arg;
	if (SSL_select_next_proto(&chosen, outlen, alpn_http11, sizeof(alpn_http11) - 1, in, inlen) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase is an error, not a question on the terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void) buf;
	(void) size;
	(void) writing;
	(void) arg;
	return 0;
}

static SSL_CTX *
fail(SSL_CTX *context, const char *what, const char *file)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	po_log(PO_LOG_ERROR, "tls", "%s \"%s\": %s", what, file, reason ? reason : "unknown error");
	ERR_clear_error();
	SSL_CTX_free(context);
	return NULL;
}

/*
 * Make a context from PEM files.  Logs and returns NULL when they cannot be
 * used; the caller frees the context with SSL_CTX_free().
 */
SSL_CTX *
po_tls_load(const char *certificate, const char *key)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL)
		return fail(NULL, "cannot make a TLS context for", certificate);
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
						SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
						SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);

	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return fail(context, "cannot use certificate", certificate);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(context) != 1)
		return fail(context, "cannot use private key", key);
	return context;
}
