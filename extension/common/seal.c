/*-------------------------------------------------------------------------
 * seal.c
 *	  Sealing of secrets with a key that the database does not hold.
 *
 * No locks; the only state is the cipher, fetched once a process.  Results are
 * palloc'd in the current memory context.  Nothing here raises, except palloc
 * when memory is out, and no OpenSSL object is held while it may.  Keys stay
 * the caller's: it wipes them, and the plain text it is given.
 *
 * Nonces are random, so one key may seal some 2^32 values.
 *-------------------------------------------------------------------------
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#include "common/fe_memutils.h"
#endif

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "common/base64.h"
#include "common/seal.h"

#define VERSION			1
#define KEY_ID_LEN		8
#define NONCE_LEN		12
#define TAG_LEN			16

/* The parts in front of the cipher text. */
#define HEADER_LEN		(1 + KEY_ID_LEN)
#define PREFIX_LEN		(HEADER_LEN + NONCE_LEN)

StaticAssertDecl(PREFIX_LEN + TAG_LEN == PO_SEAL_OVERHEAD, "the parts make up the overhead");

/* A key file holds the key's bytes, or its hexadecimal digits and a newline. */
#define KEY_DIGITS		(2 * PO_SEAL_KEY_LEN)

static EVP_CIPHER *cipher = NULL;

/* Writes the version and the key id that values under this key begin with. */
static bool
make_header(const uint8 *key, uint8 header[HEADER_LEN])
{
	uint8		digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(key, PO_SEAL_KEY_LEN, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	header[0] = VERSION;
	memcpy(header + 1, digest, KEY_ID_LEN);
	OPENSSL_cleanse(digest, sizeof(digest));
	return true;
}

/*
 * Runs the cipher in one direction over `len` bytes.  The tag is written when
 * encrypting and checked when decrypting; without a right tag the output is
 * not to be used.
 */
static bool
run_cipher(bool encrypt, const uint8 *key, const uint8 *prefix, const char *aad, int aad_len,
		   const uint8 *input, int len, uint8 *output, uint8 *tag)
{
	EVP_CIPHER_CTX *ctx;
	int			n;
	bool		done;

	ERR_set_mark();
	if (cipher == NULL)
		cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ctx = cipher != NULL ? EVP_CIPHER_CTX_new() : NULL;

	done = ctx != NULL &&
		EVP_CipherInit_ex2(ctx, cipher, key, prefix + HEADER_LEN, encrypt, NULL) == 1 &&
		EVP_CipherUpdate(ctx, NULL, &n, prefix, HEADER_LEN) == 1 &&
		(aad_len == 0 ||
		 EVP_CipherUpdate(ctx, NULL, &n, (const uint8 *) aad, aad_len) == 1) &&
		(len == 0 || EVP_CipherUpdate(ctx, output, &n, input, len) == 1) &&
		(encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1) &&
		EVP_CipherFinal_ex(ctx, output + len, &n) == 1 &&
		(!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1);

	EVP_CIPHER_CTX_free(ctx);
	ERR_pop_to_mark();
	return done;
}

/*
 * Seals `plain` under `key`, bound to `aad`.  On success *sealed is palloc'd,
 * the caller frees it.  Returns false, with nothing allocated, if there are no
 * random bytes or no cipher to be had.
 */
bool
po_seal(const uint8 key[PO_SEAL_KEY_LEN], const char *aad, int aad_len,
		const uint8 *plain, int plain_len, uint8 **sealed, int *sealed_len)
{
	uint8	   *bytes = palloc((Size) plain_len + PO_SEAL_OVERHEAD);

	if (!make_header(key, bytes) ||
		RAND_bytes(bytes + HEADER_LEN, NONCE_LEN) != 1 ||
		!run_cipher(true, key, bytes, aad, aad_len, plain, plain_len,
					bytes + PREFIX_LEN, bytes + PREFIX_LEN + plain_len))
	{
		pfree(bytes);
		return false;
	}
	*sealed = bytes;
	*sealed_len = plain_len + PO_SEAL_OVERHEAD;
	return true;
}

/*
 * Opens what po_seal() made with the same key and `aad`.  On PO_UNSEAL_OK
 * *plain is palloc'd, with a NUL after it that *plain_len does not count; the
 * caller wipes and frees it.  Otherwise nothing is left behind.
 */
PoUnsealResult
po_unseal(const uint8 key[PO_SEAL_KEY_LEN], const char *aad, int aad_len,
		  const uint8 *sealed, int sealed_len, uint8 **plain, int *plain_len)
{
	uint8		header[HEADER_LEN];
	uint8		tag[TAG_LEN];
	uint8	   *bytes;
	int			len = sealed_len - PO_SEAL_OVERHEAD;

	if (len < 0 || sealed[0] != VERSION || !make_header(key, header))
		return PO_UNSEAL_DAMAGED;
	if (memcmp(sealed, header, HEADER_LEN) != 0)
		return PO_UNSEAL_WRONG_KEY;

	bytes = palloc((Size) len + 1);
	memcpy(tag, sealed + PREFIX_LEN + len, TAG_LEN);
	if (!run_cipher(false, key, sealed, aad, aad_len, sealed + PREFIX_LEN, len, bytes, tag))
	{
		OPENSSL_cleanse(bytes, len + 1);
		pfree(bytes);
		return PO_UNSEAL_DAMAGED;
	}
	bytes[len] = '\0';
	*plain = bytes;
	*plain_len = len;
	return PO_UNSEAL_OK;
}

/*
 * Whether nobody but us and root can read the file: the server's own rule for
 * private keys, which lets a service manager hand it out as root's, mode 0440.
 */
static bool
is_private(const struct stat *status)
{
	if (status->st_uid == 0)
		return (status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) == 0;
	return status->st_uid == geteuid() && (status->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/* Reads up to `size` bytes; returns how many, -1 on an error. */
static int
read_bytes(int fd, uint8 *bytes, int size)
{
	int			used = 0;

	while (used < size)
	{
		ssize_t		n = read(fd, bytes + used, size - used);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			used += n;
	}
	return used;
}

/*
 * Reads the sealing key from a file of 32 bytes, or of 64 hexadecimal digits
 * with or without a newline.  Returns NULL, or a fixed phrase that says why the
 * file cannot be used; `key` is then all zeros.  The path may be a symbolic
 * link, as service managers make them: it is the file behind it that counts.
 */
const char *
po_read_key_file(const char *path, uint8 key[PO_SEAL_KEY_LEN])
{
	const char *problem = NULL;
	struct stat status;
	uint8		bytes[KEY_DIGITS + 2];
	int			len;
	int			fd;

	memset(key, 0, PO_SEAL_KEY_LEN);

	/* O_NONBLOCK: a named pipe must not hold the server up */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? "the key file is missing"
			: "the key file cannot be opened";

	if (fstat(fd, &status) != 0)
		problem = "the key file cannot be read";
	else if (!S_ISREG(status.st_mode))
		problem = "the key file is not a regular file";
	else if (!is_private(&status))
		problem = "the key file can be read by others";
	else if ((len = read_bytes(fd, bytes, sizeof(bytes))) < 0)
		problem = "the key file cannot be read";
	else if (len == PO_SEAL_KEY_LEN)
		memcpy(key, bytes, PO_SEAL_KEY_LEN);
	else if (len != KEY_DIGITS && (len != KEY_DIGITS + 1 || bytes[KEY_DIGITS] != '\n'))
		problem = "the key file has the wrong length";
	else if (!po_hex_decode((const char *) bytes, KEY_DIGITS, key, PO_SEAL_KEY_LEN))
		problem = "the key file is neither 32 bytes nor 64 hexadecimal digits";

	OPENSSL_cleanse(bytes, sizeof(bytes));
	if (problem != NULL)
		OPENSSL_cleanse(key, PO_SEAL_KEY_LEN);
	(void) close(fd);
	return problem;
}
