/*
 * whiteboard.h
 *	  A whiteboard and its stickers, as they are in memory.
 */
#ifndef CHATREL_WHITEBOARD_H
#define CHATREL_WHITEBOARD_H

#include "utils/timestamp.h"

typedef struct Whiteboard
{
	int64		id;
	int64		group_id;
	int64		version;
	TimestampTz created_at;
	TimestampTz updated_at;
} Whiteboard;

/* A sticker that is stored, or one that a request wants. */
typedef struct Sticker
{
	bool		has_id;			/* false: the request wants a new one */
	int64		id;
	text	   *url;
	text	   *title;
	int64		position;
	TimestampTz created_at;
	TimestampTz updated_at;
	struct Sticker *match;		/* the same sticker on the other side */
	bool		moved;			/* to another place among those that stay */
} Sticker;

typedef struct Stickers
{
	int			n;
	Sticker    *rows;
} Stickers;

#endif							/* CHATREL_WHITEBOARD_H */
