/*
 * shipped_rows.h
 *	  The shipped words and rules, read from the data files of the install script.
 */
#ifndef SHIPPED_ROWS_H
#define SHIPPED_ROWS_H

#include "common/classify.h"

extern PoWord shipped_words[];
extern PoWordSet shipped_word_set;
extern PoRuleSet shipped_rule_set;

extern void sign_shipped_words(void);
extern bool read_shipped_words(void);
extern bool read_shipped_rules(void);

#endif
