/*-------------------------------------------------------------------------
 * seal_test.c
 *	  Unit test of sealing and of the key file, and of the strict decoders.
 *
 * Prints TAP.  Writes into a temporary folder that it removes.
 *-------------------------------------------------------------------------
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/fe_memutils.h"

#include "common/base64.h"
#include "common/seal.h"

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *name)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, name);
}

/* ---- sealing ---- */

static void
test_seal(void)
{
	const uint8 key[PO_SEAL_KEY_LEN] = "0123456789abcdef0123456789abcde";
	const uint8 other[PO_SEAL_KEY_LEN] = "0123456789abcdef0123456789abcdf";
	const int	lengths[] = {0, 1, 16, 24, 1024};
	const char *aad = "tenant/purpose/1";
	uint8		secret[1024];
	uint8	   *sealed;
	uint8	   *again;
	uint8	   *plain;
	int			sealed_len;
	int			len;
	int			opened = 0;

	memset(secret, 's', sizeof(secret));
	for (int i = 0; i < (int) lengthof(lengths); i++)
	{
		ok(po_seal(key, aad, strlen(aad), secret, lengths[i], &sealed, &sealed_len) &&
		   sealed_len == lengths[i] + PO_SEAL_OVERHEAD && sealed[0] == 1, "seals");
		ok(po_unseal(key, aad, strlen(aad), sealed, sealed_len, &plain, &len) == PO_UNSEAL_OK &&
		   len == lengths[i] && memcmp(plain, secret, len) == 0 && plain[len] == '\0', "opens");
		pg_free(plain);
		pg_free(sealed);
	}

	po_seal(key, aad, strlen(aad), secret, 24, &sealed, &sealed_len);
	po_seal(key, aad, strlen(aad), secret, 24, &again, &sealed_len);
	ok(memcmp(sealed + 9, again + 9, 12) != 0, "a nonce is used once");
	ok(memcmp(sealed + 21, again + 21, 24) != 0, "the same text looks different");
	pg_free(again);

	ok(po_unseal(other, aad, strlen(aad), sealed, sealed_len, &plain, &len) ==
	   PO_UNSEAL_WRONG_KEY, "another key is told");
	ok(po_unseal(key, aad, strlen(aad) - 1, sealed, sealed_len, &plain, &len) ==
	   PO_UNSEAL_DAMAGED, "another place");
	ok(po_unseal(key, NULL, 0, sealed, sealed_len, &plain, &len) == PO_UNSEAL_DAMAGED,
	   "no place");
	for (int i = 0; i < sealed_len; i++)
		opened += po_unseal(key, aad, strlen(aad), sealed, i, &plain, &len) == PO_UNSEAL_OK;
	ok(opened == 0, "a value cut short");
	for (int bit = 0; bit < sealed_len * 8; bit++)
	{
		PoUnsealResult expected = bit >= 8 && bit < 72 ? PO_UNSEAL_WRONG_KEY : PO_UNSEAL_DAMAGED;

		sealed[bit / 8] ^= 1 << bit % 8;
		opened += po_unseal(key, aad, strlen(aad), sealed, sealed_len, &plain, &len) != expected;
		sealed[bit / 8] ^= 1 << bit % 8;
	}
	ok(opened == 0, "each bit counts");
	ok(po_unseal(key, aad, strlen(aad), sealed, sealed_len, &plain, &len) == PO_UNSEAL_OK,
	   "opens as it was");
	pg_free(plain);
	pg_free(sealed);

	ok(po_seal(key, NULL, 0, secret, 24, &sealed, &sealed_len) &&
	   po_unseal(key, NULL, 0, sealed, sealed_len, &plain, &len) == PO_UNSEAL_OK,
	   "without associated data");
	pg_free(plain);
	pg_free(sealed);
}

/* Opens a value by what seal.h says of its layout, without the code under test. */
static void
test_layout(void)
{
	const uint8 key[PO_SEAL_KEY_LEN] = "0123456789abcdef0123456789abcde";
	uint8	   *sealed;
	uint8		digest[EVP_MAX_MD_SIZE];
	uint8		plain[16];
	int			sealed_len;
	int			n;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	po_seal(key, "place", 5, (const uint8 *) "secret", 6, &sealed, &sealed_len);
	EVP_Digest(key, sizeof(key), digest, NULL, EVP_sha256(), NULL);
	ok(sealed[0] == 1 && memcmp(sealed + 1, digest, 8) == 0, "version and key id");
	EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, sealed + 9);
	EVP_DecryptUpdate(ctx, NULL, &n, sealed, 9);
	EVP_DecryptUpdate(ctx, NULL, &n, (const uint8 *) "place", 5);
	EVP_DecryptUpdate(ctx, plain, &n, sealed + 21, 6);
	EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, sealed + 27);
	ok(sealed_len == 43 && EVP_DecryptFinal_ex(ctx, plain + n, &n) == 1 &&
	   memcmp(plain, "secret", 6) == 0, "nonce, cipher text, tag; what is authenticated");
	EVP_CIPHER_CTX_free(ctx);
	pg_free(sealed);
}

/* ---- the key file ---- */

static void
write_file(const char *path, const char *bytes, int len, mode_t mode)
{
	FILE	   *file;

	(void) unlink(path);
	file = fopen(path, "wb");
	if (file == NULL || (int) fwrite(bytes, 1, len, file) != len ||
		fclose(file) != 0 || chmod(path, mode) != 0)
	{
		printf("Bail out! cannot write %s\n", path);
		exit(1);
	}
}

static bool
refuses(const char *path, const char *reason)
{
	uint8		key[PO_SEAL_KEY_LEN];
	const uint8 zeros[PO_SEAL_KEY_LEN] = {0};
	const char *problem;

	memset(key, 1, sizeof(key));
	problem = po_read_key_file(path, key);
	return problem != NULL && strstr(problem, reason) != NULL &&
		memcmp(key, zeros, sizeof(key)) == 0;
}

static bool
reads(const char *path, const char *expected)
{
	uint8		key[PO_SEAL_KEY_LEN];

	return po_read_key_file(path, key) == NULL && memcmp(key, expected, sizeof(key)) == 0;
}

static void
test_key_file(void)
{
	char		folder[] = "/tmp/seal_test_XXXXXX";
	char		path[64];
	char		link[64];
	const char *raw = "0123456789abcdef0123456789ABCDEF";
	const char *digits = "3031323334353637383961626364656630313233343536373839414243444546\n";

	if (mkdtemp(folder) == NULL)
	{
		printf("Bail out! no temporary folder\n");
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(link, sizeof(link), "%s/link", folder);

	ok(refuses(path, "missing"), "no file");
	ok(refuses(folder, "regular"), "a folder");
	(void) mkfifo(path, 0600);
	ok(refuses(path, "regular"), "a named pipe, without waiting");
	ok(refuses("/dev/zero", "regular"), "a device");

	write_file(path, raw, 32, 0600);
	ok(reads(path, raw), "32 bytes");
	ok(symlink(path, link) == 0, "a symbolic link can be made");
	ok(reads(link, raw), "through a symbolic link");
	(void) chmod(path, 0400);
	ok(reads(path, raw), "read-only");
	(void) chmod(path, 0604);
	ok(refuses(path, "by others"), "readable by all");
	(void) chmod(path, 0620);
	ok(refuses(path, "by others"), "writable by the group");
	(void) chmod(path, 0640);
	ok(geteuid() == 0 ? reads(path, raw) : refuses(path, "by others"),
	   "readable by the group, which only root's file may be");
	if (geteuid() == 0)
	{
		(void) chmod(path, 0600);
		ok(chown(path, 65534, 65534) == 0 && refuses(path, "by others"), "another's file");
	}

	write_file(path, digits, 65, 0600);
	ok(reads(path, raw), "64 digits and a newline");
	write_file(path, digits, 64, 0600);
	ok(reads(path, raw), "64 digits");
	write_file(path, "g031323334353637383961626364656630313233343536373839414243444546", 64, 0600);
	ok(refuses(path, "hexadecimal"), "64 bytes that are no digits");
	write_file(path, "3031323334353637383961626364656630313233343536373839414243444546\r", 65, 0600);
	ok(refuses(path, "length"), "something else after the digits");
	for (int len = 0; len < 64; len++)
	{
		write_file(path, digits, len, 0600);
		if (len != 32 && !refuses(path, "length"))
			ok(false, "another length");
	}
	write_file(path, "3031323334353637383961626364656630313233343536373839414243444546\n\n", 66, 0600);
	ok(refuses(path, "length"), "two newlines");

	(void) unlink(link);
	(void) unlink(path);
	(void) rmdir(folder);
}

/* ---- decoders ---- */

static void
test_decoders(void)
{
	static const struct
	{
		const char *text;
		int			expected;	/* bytes, or -1 */
	}			rows[] = {
		{"", 0}, {"AA==", 1}, {"AAA=", 2}, {"AAAA", 3}, {"AAAAAA==", 4}, {"+/+/", 3},
		{"A", -1}, {"AA", -1}, {"AAA", -1}, {"A===", -1}, {"====", -1}, {"AA=A", -1},
		{"AB==", -1}, {"AAB=", -1}, {"AA==AA==", -1}, {"AA A", -1}, {"AAA\n", -1},
		{"AAA-", -1}, {"AA=\xC0", -1}, {"AAAAAAAA", -1}, {"=AAA", -1},
	};
	uint8		bytes[4];

	for (int i = 0; i < (int) lengthof(rows); i++)
		ok(po_base64_decode(rows[i].text, strlen(rows[i].text), bytes, sizeof(bytes)) ==
		   rows[i].expected, "base64");
	ok(po_base64_decode("AAECAw==", 8, bytes, 4) == 4 && memcmp(bytes, "\0\1\2\3", 4) == 0,
	   "base64: the bytes");
	ok(po_hex_decode("00fFA9", 6, bytes, 3) && memcmp(bytes, "\x00\xFF\xA9", 3) == 0, "hex");
	ok(!po_hex_decode("00fFA", 5, bytes, 3) && !po_hex_decode("00fFA9", 6, bytes, 2) &&
	   !po_hex_decode("0g", 2, bytes, 1) && !po_hex_decode(" 0", 2, bytes, 1), "hex: malformed");
}

int
main(void)
{
	test_seal();
	test_layout();
	test_key_file();
	test_decoders();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
