/*
 * meaning.h
 *	  How much a message sounds like a revocation.
 */
#ifndef PO_MEANING_H
#define PO_MEANING_H

#include "common/text.h"

/*
 * A message is looked at as a set of features; each is one of so many numbers.
 * What looks at another set is another version.
 */
#define PO_MEANING_BITS 18
#define PO_MEANING_SIZE (1 << PO_MEANING_BITS)
#define PO_MEANING_MOST 8192	/* features of what is heard together */

/* What a sound is counted in: 32 are one in the logarithm of the odds. */
#define PO_SOUND_UNIT 32

/* What a reply means that is no revocation. */
typedef enum PoIntent
{
	PO_INTENT_OTHER,
	PO_INTENT_INTERESTED,
	PO_INTENT_NOT_INTERESTED,
	PO_INTENT_QUESTION,
	PO_INTENT_WRONG_NUMBER,
	PO_INTENT_EMAIL,
	PO_INTENT_BUSY,
	PO_N_INTENTS
} PoIntent;

/* Intents tell fewer features apart. */
#define PO_INTENT_BITS 15
#define PO_INTENT_SIZE (1 << PO_INTENT_BITS)
#define PO_INTENT_STRIDE 8		/* weights of a feature, the last of them for nothing */
#define PO_INTENT_FEATURE(f) ((f) >> (PO_MEANING_BITS - PO_INTENT_BITS))

/*
 * The weights and what they were made of; meaning_weights.c.  A weight is a byte,
 * in units of sound from PO_WEIGHT_ZERO on; those of intents stand feature by
 * feature.  They are string literals: tools that read C take lists of half a
 * million numbers badly.
 */
#define PO_WEIGHT_ZERO 80
extern const char po_meaning_version[];
extern const unsigned char po_meaning_weights[PO_MEANING_SIZE + 1];
extern const unsigned char po_intent_weights[PO_INTENT_SIZE * PO_INTENT_STRIDE + 1];

/* The sum of n weights counts as so much over the root of n. */
#define PO_MEANING_SCALE 8.0

/* What the models hear in a message. */
typedef struct PoHeard
{
	int			sound;			/* how much it sounds like a revocation, in units of PO_SOUND_UNIT */
	PoIntent	intent;
	double		certainty;		/* of the intent */
} PoHeard;

extern void po_hear(const PoText *text, PoHeard *heard);
extern double po_revocation_probability(int sound);
extern char *po_revocation_words(const PoText *text);
extern const char *po_intent_name(int intent);
extern bool po_intent_parse(const char *name, PoIntent *intent);
extern int	po_meaning_features(const PoText *text, uint32 *feature);

#endif
