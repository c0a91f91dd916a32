/*
 * in_progress.h
 *	  The transactions that are in progress in a snapshot.
 */
#ifndef CHATREL_IN_PROGRESS_H
#define CHATREL_IN_PROGRESS_H

#include "utils/snapshot.h"

/* Transactions lo to hi - 1 */
typedef struct XidRange
{
	uint64		lo;
	uint64		hi;
} XidRange;

/* In the order of lo, disjoint, and as few as there can be. */
extern XidRange *xids_in_progress(Snapshot snapshot, int *nranges);

#endif							/* CHATREL_IN_PROGRESS_H */
