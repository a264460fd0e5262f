/*
 * table.c
 *		Hash table from strings to pointers, see table.h: open addressing, at most
 *		half full.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"

static uint64_t
hash_of(const char *key)
{
	uint64_t	h = 14695981039346656037u;

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char) *key) * 1099511628211u;
	return h ^ (h >> 29);
}

static TableEntry *
place_of(const Table *table, const char *key, uint64_t hash)
{
	size_t		i = hash & (table->space - 1);

	while (table->entry[i].key != NULL &&
		   (table->entry[i].hash != hash || strcmp(table->entry[i].key, key) != 0))
		i = (i + 1) & (table->space - 1);
	return &table->entry[i];
}

static void
grow(Table *table)
{
	Table		larger = {.space = table->space > 0 ? table->space * 2 : 64, .used = table->used};

	larger.entry = allocate(larger.space * sizeof(TableEntry));
	for (size_t i = 0; i < table->space; i++)
	{
		if (table->entry[i].key != NULL)
			*place_of(&larger, table->entry[i].key, table->entry[i].hash) = table->entry[i];
	}
	free(table->entry);
	*table = larger;
}

/*
 * Where the value of this key stands; NULL stands there when the key is new, and
 * the key is then remembered by its pointer.  Valid until the next call.
 */
void **
table_slot(Table *table, const char *key)
{
	uint64_t	hash = hash_of(key);
	TableEntry *entry;

	if (table->used * 2 >= table->space)
		grow(table);
	entry = place_of(table, key, hash);
	if (entry->key == NULL)
	{
		entry->key = key;
		entry->hash = hash;
		table->used++;
	}
	return &entry->value;
}

/* The value of this key, or NULL. */
void *
table_find(const Table *table, const char *key)
{
	return table->space > 0 ? place_of(table, key, hash_of(key))->value : NULL;
}

/* Forgets everything; the values are the caller's. */
void
table_clear(Table *table)
{
	free(table->entry);
	*table = (Table) {0};
}
