/*
 * no_weights.c
 *	  Stands in for the weights in the program that makes them.
 */
#include "postgres_fe.h"

#include "common/meaning.h"

const char	po_meaning_version[] = "none";
const unsigned char po_meaning_weights[PO_MEANING_SIZE + 1];
const unsigned char po_intent_weights[PO_INTENT_SIZE * PO_INTENT_STRIDE + 1];
