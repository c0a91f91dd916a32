/*
 * epoch.h
 *	  The ids of messages: what a transaction does before it draws one, and how it
 *	  is known whether ids have been given again.
 */
#ifndef CHATREL_EPOCH_H
#define CHATREL_EPOCH_H

#include "utils/timestamp.h"

/* A run of a server in which ids were drawn: see epoch.c */
typedef struct Epoch
{
	int64		id;				/* 0: none yet */
	TimestampTz started_at;
	Oid			database;
} Epoch;

/* Between owner_begin() and owner_end(). */
extern void prepare_to_draw_ids(void);
extern void read_newest_epoch(Epoch *epoch);
extern bool epoch_continues(const Epoch *epoch, int64 high);

#endif							/* CHATREL_EPOCH_H */
