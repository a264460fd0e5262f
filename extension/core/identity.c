/*
 * identity.c
 *	  Whether this data directory is the one it was, or a copy of it.
 *
 * A copy of a cluster's files has its system identifier, its oids and its rows.
 * What it has not is the file itself: pg_outreach.identity in the data directory
 * holds an identity, and what that file was when it was written: its inode and
 * birth, the machine, and where the directory is.  The postmaster compares them
 * when it starts:
 *
 *		no file							the original, of all zeros
 *		the file is what it says		the identity that it holds
 *		another file, of a standby		the same: it is of the same cluster
 *		another file					a copy: a new identity, at random
 *		a backup or an archive to		a new identity, even in the old place:
 *		recover from, and no standby	it goes back in time
 *
 * A standby that is promoted goes on with what it has: it wrote its own file when
 * it started.  That a cluster without the file has a fixed identity lets standbys
 * agree with their primary that were made before the library was preloaded.
 *
 * Of device and path one may change: the first does when the machine starts, the
 * second when the directory is moved; both, in a snapshot that is mounted beside.
 *
 * Known once, before there are other processes, which inherit it.  Nothing here
 * raises: a server has to start.  What cannot be known or kept is a copy.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "common/pg_prng.h"
#include "core/compat.h"
#include "core/identity.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#define FILE_NAME	"pg_outreach.identity"
#define TEMPORARY	FILE_NAME ".tmp"
#define ID_BYTES	16
#define ID_LEN		(2 * ID_BYTES)
#define FORMAT		"identity %s\nfile %s\nmachine %s\ndevice %s\npath %s\n"
#define SCAN_FORMAT	"identity %32[0-9a-f] file %63s machine %32s device %31s path %32s"

typedef struct Witness
{
	char		file[64];		/* inode, and birth where the file system tells */
	char		machine[ID_LEN + 1];
	char		device[32];
	char		path[ID_LEN + 1];
} Witness;

typedef enum Found
{
	FOUND_NONE,
	FOUND_DAMAGED,
	FOUND_OTHER,				/* another file than the one that was written */
	FOUND_SAME
} Found;

/* Hexadecimal; empty while not preloaded. */
static char identity[ID_LEN + 1] = "";

static void
to_hex(const uint8 *bytes, char *text)
{
	for (int i = 0; i < ID_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* A name for something that is nobody's business; "-" where there is none. */
static void
digest(const char *data, ssize_t len, char *text)
{
	uint8		bytes[EVP_MAX_MD_SIZE];

	if (len > 0 && EVP_Digest(data, len, bytes, NULL, EVP_sha256(), NULL) == 1)
		to_hex(bytes, text);
	else
		strcpy(text, "-");
}

static void
new_identity(void)
{
	uint8		bytes[ID_BYTES];

	/* It need not be secret, only new. */
	if (!pg_strong_random(bytes, sizeof(bytes)))
	{
		uint64		words[2] = {
			pg_prng_uint64(&pg_global_prng_state),
			pg_prng_uint64(&pg_global_prng_state)
		};

		memcpy(bytes, words, sizeof(bytes));
	}
	to_hex(bytes, identity);
}

static ssize_t
read_whole(int fd, char *data, size_t size)
{
	ssize_t		len = read(fd, data, size - 1);

	data[Max(len, 0)] = '\0';
	return len;
}

/* What an open file of the data directory, which is the working directory, is. */
static bool
look_at(int fd, Witness *w)
{
	struct stat st;
	long long	born_s = 0;
	unsigned	born_ns = 0;
	char		data[MAXPGPATH];
	int			machine;

	if (fstat(fd, &st) != 0)
		return false;
#ifdef STATX_BTIME
	{
		struct statx stx;

		if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 && (stx.stx_mask & STATX_BTIME))
		{
			born_s = stx.stx_btime.tv_sec;
			born_ns = stx.stx_btime.tv_nsec;
		}
	}
#endif
	snprintf(w->file, sizeof(w->file), "%llu-%lld.%09u", (unsigned long long) st.st_ino,
			 born_s, born_ns);
	snprintf(w->device, sizeof(w->device), "%llu", (unsigned long long) st.st_dev);
	digest(data, getcwd(data, sizeof(data)) != NULL ? strlen(data) : 0, w->path);
	strcpy(w->machine, "-");
	machine = BasicOpenFile("/etc/machine-id", O_RDONLY | PG_BINARY);
	if (machine >= 0)
	{
		digest(data, read_whole(machine, data, sizeof(data)), w->machine);
		close(machine);
	}
	return true;
}

/* Reads the file; sets identity where it has one. */
static Found
read_file(void)
{
	int			fd = BasicOpenFile(FILE_NAME, O_RDONLY | PG_BINARY);
	char		data[1024];
	Witness		then;
	Witness		now;
	Found		found = FOUND_DAMAGED;

	if (fd < 0 && errno == ENOENT)
		return FOUND_NONE;
	if (fd >= 0 && read_whole(fd, data, sizeof(data)) > 0 && look_at(fd, &now) &&
		sscanf(data, SCAN_FORMAT, identity, then.file, then.machine, then.device, then.path) == 5 &&
		strlen(identity) == ID_LEN)
		found = strcmp(then.file, now.file) == 0 && strcmp(then.machine, now.machine) == 0 &&
			(strcmp(then.device, now.device) == 0 || strcmp(then.path, now.path) == 0)
			? FOUND_SAME : FOUND_OTHER;
	if (fd >= 0)
		close(fd);
	return found;
}

/* Writes identity into a new file, which says of itself what it is. */
static bool
write_file(void)
{
	int			fd = BasicOpenFile(TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY);
	char		data[1024];
	Witness		now;
	bool		written = false;

	if (fd >= 0 && look_at(fd, &now))
	{
		int			len = snprintf(data, sizeof(data), FORMAT, identity, now.file, now.machine,
								   now.device, now.path);

		errno = ENOSPC;			/* a write that is short does not say so */
		written = write(fd, data, len) == len && pg_fsync(fd) == 0;
	}
	if (!written)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", TEMPORARY)));
	if (fd >= 0)
		close(fd);
	return written && durable_rename(TEMPORARY, FILE_NAME, WARNING) == 0;
}

static bool
exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/*
 * po_identity_init finds out, and writes the file for the next start; called once,
 * while preloaded.
 */
void
po_identity_init(void)
{
	bool		standby = exists(STANDBY_SIGNAL_FILE);
	bool		back_in_time = standby ? recoveryTarget != RECOVERY_TARGET_UNSET :
		exists(RECOVERY_SIGNAL_FILE) || exists(BACKUP_LABEL_FILE);
	bool		keep = false;
	Found		found;

	if (IsUnderPostmaster)
		return;
	found = read_file();
	if (!back_in_time)
	{
		keep = found == FOUND_SAME || (found == FOUND_OTHER && standby);
		if (found == FOUND_NONE)
			memset(identity, '0', ID_LEN);
	}
	if (!keep && (back_in_time || found != FOUND_NONE))
	{
		new_identity();
		ereport(LOG,
				(errmsg("this data directory is a copy, or restored: nothing is done in the background until "
						"outreach.arm()"),
				 errdetail("%s", back_in_time ? "It is recovered from a backup, and is no standby."
						   : found == FOUND_DAMAGED ? "File \"" FILE_NAME "\" cannot be read."
						   : "File \"" FILE_NAME "\" was written elsewhere.")));
	}
	if (!write_file() && found != FOUND_SAME)
		new_identity();
}

/*
 * po_identity fills in the data directory's identity; false while that is not known
 * because the library is not preloaded.
 */
bool
po_identity(pg_uuid_t *uuid)
{
	if (identity[0] == '\0')
		return false;
	*uuid = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(identity)));
	return true;
}

/*
 * po_is_identity tells whether it is this one; it is, while that is not known.
 */
bool
po_is_identity(const pg_uuid_t *uuid)
{
	pg_uuid_t	mine;

	return !po_identity(&mine) || memcmp(&mine, uuid, UUID_LEN) == 0;
}
