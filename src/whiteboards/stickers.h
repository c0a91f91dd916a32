/*
 * stickers.h
 *	  The stored stickers of a whiteboard.
 */
#ifndef CHATREL_STICKERS_H
#define CHATREL_STICKERS_H

#include "core/plans.h"
#include "whiteboards/sticker_params.h"
#include "whiteboards/whiteboard.h"

typedef struct IdList
{
	int			n;
	int64	   *ids;
} IdList;

/* What was done. */
typedef struct StickerChange
{
	IdList		inserted;
	IdList		updated;
	IdList		moved;
	IdList		removed;		/* deleted, or taken off */
} StickerChange;

/* Between owner_begin() and owner_end(). */
extern void read_stickers(const Whiteboard *whiteboard, PlanAccess access, Stickers *stickers);
extern bool change_stickers(const Whiteboard *whiteboard, StickerParams *params,
							StickerChange *change);
extern bool stickers_changed(const StickerChange *change);

#endif							/* CHATREL_STICKERS_H */
