/*
 * cursor_text.h
 *	  What a cursor is made of, and the text that a client keeps it as.
 */
#ifndef CHATREL_CURSOR_TEXT_H
#define CHATREL_CURSOR_TEXT_H

#include "access/xlogdefs.h"

#include "core/epoch.h"

/* Transactions lo to hi - 1: unseen is what they have with an id above seen. */
typedef struct CursorRange
{
	uint64		lo;
	uint64		hi;
	int64		seen;
} CursorRange;

/* Where and when a cursor was taken. */
typedef struct CursorOrigin
{
	uint64		system;			/* identifier of the server */
	TimeLineID	timeline;
	XLogRecPtr	position;		/* of the WAL */
	Oid			schema;			/* chatrel's: another one for each CREATE
								 * EXTENSION */
	Epoch		epoch;			/* the newest that was visible */
} CursorOrigin;

/* The last event that was seen of a transaction that had committed; id 0: none */
typedef struct CursorAnchor
{
	int64		id;
	uint64		xid;
} CursorAnchor;

/* Unseen is what has an id above high, and what a range says. */
typedef struct Cursor
{
	int64		user_id;
	int64		group_id;		/* or 0: all of the user's groups */
	int64		high;
	CursorOrigin origin;
	CursorAnchor anchor;
	int			nranges;
	CursorRange *ranges;		/* in the order of lo, disjoint */
} Cursor;

extern void error_cursor(void);
extern Cursor *cursor_text_parse(const char *text);
extern char *cursor_text_print(const Cursor *cursor);

#endif							/* CHATREL_CURSOR_TEXT_H */
