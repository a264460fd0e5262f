/*
 * spoil.h
 *		What a fault makes of an answer.
 */
#ifndef PROVIDER_SPOIL_H
#define PROVIDER_SPOIL_H

#include "job.h"

extern bool spoil_is_before(FaultKind kind);
extern void spoil_refuse(Job *job);
extern void spoil_answer(Job *job);

#endif
