/*
 * sticker_order.h
 *	  The places of stickers on a whiteboard.
 */
#ifndef CHATREL_STICKER_ORDER_H
#define CHATREL_STICKER_ORDER_H

#include "whiteboards/whiteboard.h"

extern void order_stickers(Stickers *stickers);

#endif							/* CHATREL_STICKER_ORDER_H */
