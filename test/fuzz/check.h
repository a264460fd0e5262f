/*
 * check.h
 *	  What a fuzz target asks of an answer: else it ends, and the input is kept.
 */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#define CHECK(condition)                                                    \
	do                                                                      \
	{                                                                       \
		if (!(condition))                                                   \
		{                                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                   \
	} while (0)

#endif
