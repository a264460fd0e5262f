/*
 * table.h
 *		Hash table from strings to pointers.
 *
 * A Table of zeroes is empty.  It keeps the key's pointer, not a copy: the key
 * lives as long as its entry, usually inside the value.  Nothing is ever taken
 * out singly.
 */
#ifndef PROVIDER_TABLE_H
#define PROVIDER_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct TableEntry
{
	const char *key;
	uint64_t	hash;
	void	   *value;
} TableEntry;

typedef struct Table
{
	TableEntry *entry;
	size_t		space;			/* a power of two */
	size_t		used;
} Table;

extern void **table_slot(Table *table, const char *key);
extern void *table_find(const Table *table, const char *key);
extern void table_clear(Table *table);

#endif
