/*
 * segments.h
 *	  How many parts an SMS is sent, and billed, as.
 */
#ifndef PO_SEGMENTS_H
#define PO_SEGMENTS_H

extern int	po_segments(const char *text, int len, bool *ucs2);

#endif							/* PO_SEGMENTS_H */
