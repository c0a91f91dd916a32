/*
 * pins.h
 *	  Messages that are pinned to their group.
 */
#ifndef CHATREL_PINS_H
#define CHATREL_PINS_H

/* Between owner_begin() and owner_end(). */
extern void forget_pin(int64 group_id, int64 message_id);

#endif							/* CHATREL_PINS_H */
