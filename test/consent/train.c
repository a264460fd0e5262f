/*
 * train.c
 *	  Makes the weights of the models of revocations and intents from labelled
 *	  texts.
 *
 *	  train FILE … > meaning_weights.c
 *
 * Logistic regression, of revocations on all texts and of intents on those that
 * say nothing of consent, by stochastic gradient descent with AdaGrad steps.
 * The mean over a few orders of the texts is taken, the same in each run: equal
 * texts make equal weights.
 */
#include "postgres_fe.h"

#include <math.h>

#include "common/meaning.h"
#include "corpus.h"

#define ROUNDS 8
#define RATE 0.12
#define ORDERS 4				/* of the texts, whose weights are averaged */

static float *weight;			/* of revocations, then of intents */
static float *squares;			/* of the gradients, for the steps */

static uint32 random_state = 12345;

static uint32
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static void
read_features(Corpus *corpus)
{
	uint32	   *feature = palloc(PO_MEANING_MOST * sizeof(uint32));

	for (int i = 0; i < corpus->n; i++)
	{
		Sample	   *sample = &corpus->sample[i];
		PoText		text;

		po_text_read(&text, sample->text, sample->len);
		sample->nfeatures = po_meaning_features(&text, feature);
		sample->feature = palloc(Max(sample->nfeatures, 1) * sizeof(uint32));
		memcpy(sample->feature, feature, sample->nfeatures * sizeof(uint32));
		po_text_free(&text);
	}
}

/* ---- weights ---- */

static inline int
intent_slot(uint32 feature, int intent)
{
	return PO_MEANING_SIZE + PO_INTENT_FEATURE(feature) * PO_INTENT_STRIDE + intent;
}

static double
scale(const Sample *sample)
{
	return PO_MEANING_SCALE / sqrt(Max(sample->nfeatures, 1));
}

static double
score(const Sample *sample)
{
	double		sum = 0;

	for (int i = 0; i < sample->nfeatures; i++)
		sum += weight[sample->feature[i]];
	return sum * scale(sample);
}

static void
read_intent(const Sample *sample, double probability[PO_N_INTENTS])
{
	double		all = 0;

	for (int k = 0; k < PO_N_INTENTS; k++)
	{
		double		sum = 0;

		for (int i = 0; i < sample->nfeatures; i++)
			sum += weight[intent_slot(sample->feature[i], k)];
		probability[k] = exp(sum * scale(sample));
		all += probability[k];
	}
	for (int k = 0; k < PO_N_INTENTS; k++)
		probability[k] /= all;
}

static inline void
step(int slot, double gradient)
{
	squares[slot] += gradient * gradient;
	weight[slot] -= RATE * gradient / sqrt(squares[slot] + 1e-6);
}

static void
learn(const Sample *sample)
{
	double		gradient = (1 / (1 + exp(-score(sample))) - sample->wanted) * scale(sample);
	double		probability[PO_N_INTENTS];

	for (int i = 0; i < sample->nfeatures; i++)
		step(sample->feature[i], gradient);
	if (!sample->has_intent)
		return;
	read_intent(sample, probability);
	for (int k = 0; k < PO_N_INTENTS; k++)
	{
		gradient = (probability[k] - (k == (int) sample->intent)) * scale(sample);
		for (int i = 0; i < sample->nfeatures; i++)
			step(intent_slot(sample->feature[i], k), gradient);
	}
}

static void
learn_all(const Corpus *corpus)
{
	int		   *order = palloc(corpus->n * sizeof(int));

	for (int i = 0; i < corpus->n; i++)
		order[i] = i;
	for (int round = 0; round < ROUNDS; round++)
	{
		for (int i = corpus->n - 1; i > 0; i--)
		{
			int			k = next_random() % (i + 1);
			int			swap = order[i];

			order[i] = order[k];
			order[k] = swap;
		}
		for (int i = 0; i < corpus->n; i++)
			learn(&corpus->sample[order[i]]);
	}
	pfree(order);
}

/* ---- as C ---- */

/* A weight as a byte: in the model's units, from PO_WEIGHT_ZERO. */
static int
as_byte(float w)
{
	double		byte = rint(w * PO_SOUND_UNIT) + PO_WEIGHT_ZERO;

	return byte < 1 ? 1 : byte > 255 ? 255 : (int) byte;
}

/* A string literal with a byte for each weight. */
static void
print_weights(int from, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			byte = as_byte(weight[from + i]);

		if (i % 128 == 0)
			printf("%s\n\t\"", i > 0 ? "\"" : "");
		if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\' || byte == '?')
			printf("\\%03o", byte);
		else
			putchar(byte);
	}
	printf("\";\n");
}

static void
write_weights(int ntexts, int nweights)
{
	uint32		digest = 0;

	for (int i = 0; i < nweights; i++)
		digest = (digest ^ (uint32) as_byte(weight[i])) * 0x01000193u;
	printf("/*\n * meaning_weights.c\n *\t  Weights of the models of meaning.c: made by "
		   "test/consent/train.\n"
		   " */\n#ifndef FRONTEND\n#include \"postgres.h\"\n#else\n#include "
		   "\"postgres_fe.h\"\n#endif\n\n"
		   "#include \"common/meaning.h\"\n\n"
		   "/* the number of texts, and a digest of the weights */\n"
		   "const char po_meaning_version[] = \"%d-%08x\";\n\n"
		   "const unsigned char po_meaning_weights[PO_MEANING_SIZE + 1] =",
		   ntexts, digest);
	print_weights(0, PO_MEANING_SIZE);
	printf("\nconst unsigned char po_intent_weights[PO_INTENT_SIZE * PO_INTENT_STRIDE + 1] =");
	print_weights(PO_MEANING_SIZE, nweights - PO_MEANING_SIZE);
}

int
main(int argc, char **argv)
{
	int			nweights = PO_MEANING_SIZE + PO_INTENT_SIZE * PO_INTENT_STRIDE;
	Corpus		corpus = {0};
	float	   *mean;

	for (int i = 1; i < argc; i++)
		read_corpus(argv[i], &corpus);
	read_features(&corpus);
	mean = palloc0(nweights * sizeof(float));
	for (int order = 0; order < ORDERS; order++)
	{
		weight = palloc0(nweights * sizeof(float));
		squares = palloc0(nweights * sizeof(float));
		learn_all(&corpus);
		for (int i = 0; i < nweights; i++)
			mean[i] += weight[i] / ORDERS;
		pfree(weight);
		pfree(squares);
	}
	weight = mean;
	write_weights(corpus.n, nweights);
	return 0;
}
