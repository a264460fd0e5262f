/*
 * classify_case.h
 *	  What the tests of words and rules share.
 *
 * Each test is one program of one file, so all of it is here.
 */
#ifndef CLASSIFY_CASE_H
#define CLASSIFY_CASE_H

static int	ntests = 0;
static int	nfailed = 0;

static inline void
ok(bool passed, const char *what, const char *about)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s: ", passed ? "" : "not ", ntests, what);
	for (; *about != '\0'; about++)
		putchar(*about == '\n' ? '|' : *about == '#' ? '.' : *about);
	putchar('\n');
}

#endif							/* CLASSIFY_CASE_H */
