/*
 * direct_pair.h
 *	  The two people of a direct conversation.
 */
#ifndef CHATREL_DIRECT_PAIR_H
#define CHATREL_DIRECT_PAIR_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(), before the membership is locked: the other one, or 0. */
extern int64 lock_direct_pair(int64 group_id, int64 user_id);

/* The same without a lock, for who only tells something that passes. */
extern int64 other_of_direct_pair(int64 group_id, int64 user_id);

extern void require_unblocked(int64 user_id, int64 other_id);

#endif							/* CHATREL_DIRECT_PAIR_H */
