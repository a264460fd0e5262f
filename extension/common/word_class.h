/*
 * word_class.h
 *	  Words that say the same, in English, Spanish and French.
 */
#ifndef PO_WORD_CLASS_H
#define PO_WORD_CLASS_H

typedef enum PoWordClass
{
	PO_CLASS_NONE,
	PO_CLASS_NEGATION,
	PO_CLASS_STOP,
	PO_CLASS_KEYWORD,
	PO_CLASS_SLIP,				/* one slip of the keyboard away from a keyword */
	PO_CLASS_REMOVE,
	PO_CLASS_CONTACT,
	PO_CLASS_MESSAGES,
	PO_CLASS_BOTHER,
	PO_CLASS_LEAVE,
	PO_CLASS_NUMBER,
	PO_CLASS_LIST,
	PO_CLASS_ME,
	PO_CLASS_YOU,
	PO_CLASS_AGAIN,
	PO_CLASS_LAW,
	PO_CLASS_RUDE,
	PO_CLASS_PERMISSION,
	PO_CLASS_BLOCK,
	PO_CLASS_DEAL,
	PO_CLASS_WHEN,
	PO_CLASS_COURTESY,
	PO_CLASS_WANT,
	PO_CLASS_ASK,
	PO_CLASS_YES,
	PO_CLASS_DIGITS,
	PO_N_CLASSES
} PoWordClass;

/* What a word is read as: short and misspelt forms as what they stand for. */
typedef struct PoWordReading
{
	const char *word;
	int			len;			/* 0: the end of a clause */
	uint32		hash;
	PoWordClass class;
} PoWordReading;

extern uint32 po_word_hash(const char *word, int len);
extern PoWordReading po_word_read(const char *word, int len);
extern const char *po_word_join(const PoWordReading *first, const PoWordReading *second);

#endif
