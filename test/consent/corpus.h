/*
 * corpus.h
 *	  Labelled texts: label, kind, language, intent and text of a line.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "common/meaning.h"

typedef enum Label
{
	LABEL_OPT_OUT,
	LABEL_REVOKE,
	LABEL_FREE,
	LABEL_OPT_IN,
	LABEL_HELP,
	N_LABELS
} Label;

typedef struct Sample
{
	Label		label;
	const char *kind;
	const char *language;
	bool		has_intent;		/* the file has one, and the text says nothing of consent */
	PoIntent	intent;
	char	   *text;
	int			len;
	/* what the program that reads it keeps with it */
	uint32	   *feature;
	int			nfeatures;
	bool		wanted;
} Sample;

typedef struct Corpus
{
	Sample	   *sample;
	int			n;
} Corpus;

extern const char *const label_names[N_LABELS];
extern void read_corpus(const char *file, Corpus *corpus);

#endif
