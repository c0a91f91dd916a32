/*
 * cursor.h
 *	  What a client has seen of its groups' messages.
 */
#ifndef CHATREL_CURSOR_H
#define CHATREL_CURSOR_H

#include "utils/snapshot.h"

#include "receive/cursor_text.h"

/* Between owner_begin() and owner_end(), with the snapshot that is read with. */
extern Cursor *cursor_parse(const char *sealed, int64 user_id, int64 group_id);
extern char *cursor_text(const Cursor *cursor);

extern bool cursor_is_ahead(const Cursor *cursor);
extern Cursor *cursor_start(int64 user_id, int64 group_id);
extern void cursor_keep_ranges(Cursor *cursor, CursorRange *old, MemoryContext context);
extern void cursor_advance(Cursor *cursor, Snapshot snapshot, int64 high);
extern void cursor_advance_within(Cursor *cursor, Snapshot snapshot, int64 last);

#endif							/* CHATREL_CURSOR_H */
