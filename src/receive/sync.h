/*
 * sync.h
 *	  Catching up with what a cursor has not seen.
 */
#ifndef CHATREL_SYNC_H
#define CHATREL_SYNC_H

#include "receive/cursor.h"

extern Cursor *cursor_of_now(int64 user_id, int64 group_id);

#endif							/* CHATREL_SYNC_H */
