/*
 * corpus.c
 *	  Labelled texts: label, kind, language, intent and text of a line.
 *
 * A line break within a text is written \n.  A line of four columns has no
 * intent.  A line that cannot be read ends the program.
 */
#include "postgres_fe.h"

#include "corpus.h"

#define LINE_SIZE 8192

const char *const label_names[N_LABELS] = {"opt_out", "revoke", "free", "opt_in", "help"};

/* Make line breaks of \n, in place; returns the length. */
static int
break_lines(char *text)
{
	char	   *out = text;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (p[0] == '\\' && p[1] == 'n')
		{
			*out++ = '\n';
			p++;
		}
		else
			*out++ = *p;
	}
	*out = '\0';
	return out - text;
}

static void
read_line(char *line, Sample *sample, const char *file, int number)
{
	char	   *column[5];
	int			n = 0;
	int			label = 0;

	line[strcspn(line, "\r\n")] = '\0';
	for (char *p = line; p != NULL && n < 5;)
	{
		char	   *tab = n < 4 ? strchr(p, '\t') : NULL;

		if (tab != NULL)
			*tab++ = '\0';
		column[n++] = p;
		p = tab;
	}
	while (label < N_LABELS && strcmp(column[0], label_names[label]) != 0)
		label++;
	if (n < 4 || label == N_LABELS)
	{
		fprintf(stderr, "%s:%d: not a labelled text\n", file, number);
		exit(1);
	}
	memset(sample, 0, sizeof(*sample));
	sample->label = label;
	sample->kind = column[1];
	sample->language = column[2];
	sample->has_intent =
		n == 5 && label == LABEL_FREE && po_intent_parse(column[3], &sample->intent);
	sample->text = column[n - 1];
	sample->len = break_lines(sample->text);
	sample->wanted = label == LABEL_OPT_OUT || label == LABEL_REVOKE;
}

/*
 * read_corpus adds the lines of the file to the corpus.
 */
void
read_corpus(const char *file, Corpus *corpus)
{
	FILE	   *in = fopen(file, "r");
	char		line[LINE_SIZE];

	if (in == NULL)
	{
		fprintf(stderr, "cannot open %s\n", file);
		exit(1);
	}
	for (int number = 1; fgets(line, sizeof(line), in) != NULL; number++)
	{
		if ((corpus->n & (corpus->n - 1)) == 0)
			corpus->sample = corpus->sample == NULL
				? palloc(sizeof(Sample))
				: repalloc(corpus->sample, 2 * corpus->n * sizeof(Sample));
		read_line(pstrdup(line), &corpus->sample[corpus->n++], file, number);
	}
	fclose(in);
}
