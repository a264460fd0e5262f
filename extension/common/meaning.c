/*
 * meaning.c
 *	  How much a message sounds like a revocation.
 *
 * A linear model: each feature of the message has a weight, and the sum says
 * how much it sounds like one.  Features are words, rows of words, groups of
 * letters and word classes, hashed to numbers.  The weights are data
 * (meaning_weights.c), made by test/consent/train from labelled texts.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <math.h>

#include "common/meaning.h"
#include "common/names.h"
#include "common/word_class.h"

#define WORDS_MOST 120			/* that are heard together */
#define WORDS_AGAIN 20			/* of those, how many are heard with the next */
#define TOKENS_MOST (2 * WORDS_MOST + 2)	/* words, and the ends of their clauses */
#define DOTTED_LEAST 3			/* clauses of one word that are one clause */
#define SHOWN_WORDS 5			/* of those that decided */
#define SHOWN_BYTES 200
#define SHOWN_WORD_COST 12		/* what a word more must add in sound */
#define LANE_MOST 256			/* bytes that 16 bits can add up */
#define LANES UINT64CONST(0x00FF00FF00FF00FF)
#define GROUP_LETTERS_MOST 24
#define KEPT_WORDS 1024
#define KEPT_LETTERS 16

/* What a number was made of; keeps equal words of different kinds apart. */
enum
{
	F_WORD = 1,
	F_PAIR,
	F_TRIPLE,
	F_SPLIT,
	F_LETTERS,
	F_CLASS,
	F_CLASS_PAIR,
	F_CLASS_TRIPLE,
	F_CLASS_SPLIT,
	F_CLASS_SPLIT2,
	F_CLASS_WORD,
	F_WORD_CLASS,
	F_TOGETHER,
	F_CLAUSE,
	F_LENGTH,
	F_CLAUSES,
	F_QUESTION,
	F_PICTURE,
	F_EMAIL,
	F_FIRST_CLASS,
	F_LAST_CLASS
};

/*
 * What features weigh together.  The intents are counted in lanes of 16 bits, the
 * even and the odd ones apart, so that a feature's weights are read at once: it is
 * the waiting for memory that costs.
 */
typedef struct Weight
{
	int			n;				/* features, at most LANE_MOST */
	int			sound;
	uint64		even;
	uint64		odd;
} Weight;

/* The features of a message: a list of them, or without one what they weigh. */
typedef struct Features
{
	uint32	   *feature;		/* NULL: they are weighed */
	int			n;
	int			sound;
	int			intent[PO_N_INTENTS];
	Weight		weight;			/* of those that are not in the sums yet */
} Features;

/* A word, and what its own features weigh. */
typedef struct Token
{
	PoWordReading reading;
	Weight		weight;
} Token;

/*
 * Words that were read, by their hash: messages are made of the same few hundred,
 * and most of a message's features are those of its words.
 */
static struct
{
	char		letters[KEPT_LETTERS];
	int			len;			/* 0: free */
	Token		token;			/* without a word of its reading: as it is written */
}			kept[KEPT_WORDS];

static inline uint32
mix(uint32 a, uint32 b)
{
	a = (a ^ b) * 0x85EBCA6Bu;
	return a ^ a >> 13;
}

/* Bring the weights that wait in their lanes to the sums. */
static void
add_lanes(Features *features)
{
	const Weight *weight = &features->weight;

	for (int k = 0; k < PO_N_INTENTS; k++)
	{
#ifdef WORDS_BIGENDIAN
		int			byte = PO_INTENT_STRIDE - 1 - k;
#else
		int			byte = k;
#endif

		features->intent[k] +=
			(byte % 2 == 0 ? weight->even >> 8 * byte : weight->odd >> 8 * (byte - 1)) & 0xFFFF;
	}
	features->n += weight->n;
	features->sound += weight->sound;
	features->weight = (Weight) {0};
}

/* Add what so many features weigh. */
static inline void
add_weight(Features *features, int n, int sound, uint64 even, uint64 odd)
{
	Weight	   *weight = &features->weight;

	if (weight->n + n > LANE_MOST)
		add_lanes(features);
	weight->n += n;
	weight->sound += sound;
	weight->even += even;
	weight->odd += odd;
}

static inline void
add(Features *features, int kind, uint32 a, uint32 b, uint32 c)
{
	uint32		feature = mix(mix(mix(kind * 0x9E3779B1u, a), b), c) >> (32 - PO_MEANING_BITS);
	uint64		intents;

	if (features->feature != NULL)
	{
		if (features->n < PO_MEANING_MOST)
			features->feature[features->n++] = feature;
		return;
	}
	memcpy(&intents, &po_intent_weights[PO_INTENT_FEATURE(feature) * PO_INTENT_STRIDE],
		   PO_INTENT_STRIDE);
	add_weight(features, 1, po_meaning_weights[feature] - PO_WEIGHT_ZERO, intents & LANES,
			   intents >> 8 & LANES);
}

static void
add_letters(Features *features, const PoWordReading *reading)
{
	char		padded[GROUP_LETTERS_MOST + 2];
	int			len = Min(reading->len, GROUP_LETTERS_MOST);

	padded[0] = '<';
	memcpy(padded + 1, reading->word, len);
	padded[len + 1] = '>';
	for (int i = 0; i + 3 <= len + 2; i++)
	{
		uint32		three = po_word_hash(padded + i, 3);

		add(features, F_LETTERS, three, 3, 0);
		if (i + 4 <= len + 2)
			add(features, F_LETTERS, three, 4, padded[i + 3]);
	}
}

/* The features that a word has wherever it stands. */
static void
add_word(Features *features, const PoWordReading *reading)
{
	add(features, F_WORD, reading->hash, 0, 0);
	add_letters(features, reading);
	if (reading->class != PO_CLASS_NONE)
		add(features, F_CLASS, reading->class, 0, 0);
}

/* Read a word, or recall it. */
static void
read_word(Token *token, const char *word, int len)
{
	int			at = po_word_hash(word, len) % KEPT_WORDS;
	Features	own = {.feature = NULL};

	if (kept[at].len != len || memcmp(kept[at].letters, word, Min(len, KEPT_LETTERS)) != 0)
	{
		token->reading = po_word_read(word, len);
		add_word(&own, &token->reading);
		token->weight = own.weight;
		if (len > KEPT_LETTERS)
			return;
		kept[at].len = len;
		memcpy(kept[at].letters, word, len);
		kept[at].token = *token;
		if (token->reading.word == word)
			kept[at].token.reading.word = NULL;
		return;
	}
	*token = kept[at].token;
	if (token->reading.word == NULL)
		token->reading.word = word;
}

/* How many clauses in a row have one word: "do. not. text. me." */
static int
single_words(const char *p, const char *end)
{
	int			n = 0;

	for (; p < end; p++)
	{
		while (p < end && (unsigned char) *p > ' ')
			p++;
		n++;
		if (p < end && *p == ' ')
			return n - 1;
	}
	return n;
}

/*
 * The words of a part, with the ends of clauses between them and around them.  *rest
 * is where the words begin that are too many.
 */
static int
read_tokens(const PoText *text, Token *token, const char **rest)
{
	static const Token end_of_clause = {.reading = {"", 0, 0, PO_CLASS_NONE}};
	const char *p = text->folded;
	const char *end = p + text->len;
	int			n = 0;
	int			joined = 0;		/* words to come that are clauses, read as one clause */

	token[n++] = end_of_clause;
	for (int words = 0; p < end && words < WORDS_MOST; words++)
	{
		const char *word = p;
		const char *compound;

		if (token[n - 1].reading.len == 0 && (joined = single_words(p, end)) < DOTTED_LEAST)
			joined = 0;
		while (p < end && (unsigned char) *p > ' ')
			p++;
		read_word(&token[n], word, p - word);
		compound = po_word_join(&token[n - 1].reading, &token[n].reading);
		if (compound != NULL)
			read_word(&token[n - 1], compound, strlen(compound));
		else
			n++;
		joined -= joined > 0;
		if (p == end || (*p != ' ' && joined == 0))
			token[n++] = end_of_clause;
		p++;
	}
	if (token[n - 1].reading.len > 0)
		token[n++] = end_of_clause;
	*rest = Min(p, end);
	return n;
}

/* The classes that stand in one clause, by pairs. */
static void
add_together(Features *features, uint32 classes)
{
	for (int a = 1; a < PO_N_CLASSES; a++)
	{
		if ((classes & 1U << a) == 0)
			continue;
		for (int b = a + 1; b < PO_N_CLASSES; b++)
		{
			if ((classes & 1U << b) != 0)
				add(features, F_TOGETHER, a, b, 0);
		}
	}
}

static int
length_step(int n)
{
	return n < 6 ? n : n < 9 ? 6 : n < 13 ? 7 : n < 20 ? 8 : n < 35 ? 9 : 10;
}

/*
 * Add the features of a message; one that is there twice counts twice.  Returns where
 * the words begin that are too many to be heard together.
 */
static const char *
add_text(Features *features, const PoText *text)
{
	Token		token[TOKENS_MOST];
	const char *rest;
	int			n = read_tokens(text, token, &rest);
	uint32		classes = 0;
	uint32		clause = 0;
	int			clause_words = 0;
	int			clauses = 0;
	int			words = 0;

	for (int i = 1; i < n; i++)
	{
		const PoWordReading *t = &token[i].reading;
		const PoWordReading *before = &token[i - 1].reading;
		const PoWordReading *second = i > 1 ? &token[i - 2].reading : NULL;
		const Weight *own = &token[i].weight;

		add(features, F_PAIR, before->hash, t->hash, 0);
		if (second != NULL)
			add(features, F_TRIPLE, second->hash, before->hash, t->hash);
		if (before->class != PO_CLASS_NONE || t->class != PO_CLASS_NONE)
			add(features, F_CLASS_PAIR, before->class + 1, t->class + 1, 0);
		if (t->len == 0)
		{
			add_together(features, classes);
			if (clause_words > 0 && clause_words <= 4)
				add(features, F_CLAUSE, clause, 0, 0);
			if (before->class != PO_CLASS_NONE)
				add(features, F_LAST_CLASS, before->class, 0, 0);
			clauses += clause_words > 0;
			classes = clause = clause_words = 0;
			continue;
		}
		words++;
		clause_words++;
		clause = mix(clause, t->hash);
		classes |= 1U << t->class;
		if (features->feature != NULL)
			add_word(features, t);
		else
			add_weight(features, own->n, own->sound, own->even, own->odd);
		if (t->class != PO_CLASS_NONE)
		{
			add(features, F_WORD_CLASS, before->hash, t->class, 0);
			if (before->len == 0)
				add(features, F_FIRST_CLASS, t->class, 0, 0);
		}
		if (before->class != PO_CLASS_NONE)
			add(features, F_CLASS_WORD, before->class, t->hash, 0);
		if (second == NULL || before->len == 0)
			continue;
		add(features, F_SPLIT, second->hash, t->hash, 0);
		if (t->class != PO_CLASS_NONE && second->class != PO_CLASS_NONE)
		{
			add(features, F_CLASS_SPLIT, second->class, t->class, 0);
			if (before->class != PO_CLASS_NONE)
				add(features, F_CLASS_TRIPLE, second->class, before->class, t->class);
		}
		if (i > 2 && second->len > 0 && token[i - 3].reading.class != PO_CLASS_NONE &&
			t->class != PO_CLASS_NONE)
			add(features, F_CLASS_SPLIT2, token[i - 3].reading.class, t->class, 0);
	}
	add(features, F_LENGTH, length_step(words), 0, 0);
	add(features, F_CLAUSES, Min(clauses, 4), words > 0, 0);
	if (text->has_question)
		add(features, F_QUESTION, 0, 0, 0);
	if (text->email != NULL)
		add(features, F_EMAIL, 0, 0, 0);
	for (int bit = 1; bit <= PO_PICTURE_OTHER; bit <<= 1)
	{
		if ((text->pictures & bit) != 0)
			add(features, F_PICTURE, bit, words == 0, 0);
	}
	return rest;
}

/*
 * po_meaning_features writes the numbers of the message's features, at most
 * PO_MEANING_MOST, and returns how many.
 */
int
po_meaning_features(const PoText *text, uint32 *feature)
{
	Features	features = {.feature = feature};

	(void) add_text(&features, text);
	return features.n;
}

/* What the features of a message weigh; returns as add_text does. */
static const char *
weigh(const PoText *text, Features *features)
{
	const char *rest;

	*features = (Features) {.feature = NULL};
	rest = add_text(features, text);
	add_lanes(features);
	return rest;
}

/*
 * The sum of the weights, over the root of how many there are: a long message
 * is not surer of everything.
 */
static int
sound_of(const Features *features)
{
	return (int) rint(features->sound * PO_MEANING_SCALE / sqrt(features->n));
}

/*
 * The intent that a message of these features most likely has, and how likely.
 */
static PoIntent
intent_of(const Features *features, double *certainty)
{
	const int  *sum = features->intent;
	double		all = 0;
	int			best = 0;

	for (int k = 1; k < PO_N_INTENTS; k++)
	{
		if (sum[k] > sum[best])
			best = k;
	}
	for (int k = 0; k < PO_N_INTENTS; k++)
		all += exp((sum[k] - sum[best]) * PO_MEANING_SCALE / sqrt(features->n) / PO_SOUND_UNIT);
	*certainty = 1 / all;
	return best;
}

/* Behind the n-th word from p on. */
static const char *
skip_words(const char *p, const char *end, int n)
{
	for (; p < end && n > 0; p++)
		n -= (unsigned char) *p <= ' ';
	return p;
}

/*
 * po_hear reads what the models make of the message.  Of a long one the part
 * counts that sounds most like a revocation, and the first one's intent.
 */
void
po_hear(const PoText *text, PoHeard *heard)
{
	const char *end = text->folded + text->len;
	PoText		part = *text;
	const char *rest;
	Features	features;

	heard->sound = PG_INT32_MIN;
	for (;;)
	{
		rest = weigh(&part, &features);
		if (part.folded == text->folded)
			heard->intent = intent_of(&features, &heard->certainty);
		heard->sound = Max(heard->sound, sound_of(&features));
		if (rest == end)
			break;
		part.folded = unconstify(char *, skip_words(part.folded, rest, WORDS_MOST - WORDS_AGAIN));
		part.len = end - part.folded;
	}
}

/*
 * po_revocation_probability returns the share of messages of that sound that
 * are revocations.
 */
double
po_revocation_probability(int sound)
{
	return 1 / (1 + exp(-(double) sound / PO_SOUND_UNIT));
}

/*
 * po_revocation_words returns the few words in a row that sound most like a
 * revocation, palloc'd; NULL when the message has none.
 */
char *
po_revocation_words(const PoText *text)
{
	PoText		part = {.folded = NULL};
	Features	features;
	int			best_len = 0;
	const char *best = NULL;
	int			most = 0;
	const char *end = text->folded + text->len;
	char	   *words;

	for (const char *start = text->folded; start < end; start++)
	{
		const char *p = start;

		if (start > text->folded && (unsigned char) start[-1] > ' ')
			continue;
		for (int n = 0; n < SHOWN_WORDS && p < end; n++, p++)
		{
			int			sound;

			while (p < end && (unsigned char) *p > ' ')
				p++;
			part.folded = unconstify(char *, start);
			part.len = p - start;
			(void) weigh(&part, &features);
			sound = sound_of(&features) - n * SHOWN_WORD_COST;
			if (best == NULL || sound > most)
			{
				best = start;
				best_len = part.len;
				most = sound;
			}
		}
	}
	if (best == NULL)
		return NULL;
	if (best_len > SHOWN_BYTES)
	{
		for (best_len = SHOWN_BYTES; (best[best_len] & 0xC0) == 0x80;)
			best_len--;
	}
	words = pnstrdup(best, best_len);
	for (char *p = words; *p != '\0'; p++)
	{
		if (*p == PO_CLAUSE || *p == PO_LINE)
			*p = ' ';
	}
	return words;
}

static const char *const intents[PO_N_INTENTS] = {
	[PO_INTENT_OTHER] = "other",
	[PO_INTENT_INTERESTED] = "interested",
	[PO_INTENT_NOT_INTERESTED] = "not_interested",
	[PO_INTENT_QUESTION] = "question",
	[PO_INTENT_WRONG_NUMBER] = "wrong_number",
	[PO_INTENT_EMAIL] = "email",
	[PO_INTENT_BUSY] = "busy",
};

/*
 * po_intent_name returns the name of an intent, NULL behind the last.
 */
const char *
po_intent_name(int intent)
{
	return intent < PO_N_INTENTS ? intents[intent] : NULL;
}

/*
 * po_intent_parse returns false for a name that is no intent.
 */
bool
po_intent_parse(const char *name, PoIntent *intent)
{
	int			found = po_find_name(intents, PO_N_INTENTS, name);

	if (found >= 0)
		*intent = found;
	return found >= 0;
}
