/*
 * pair.h
 *	  Two users, one of whom does something about the other.
 */
#ifndef CHATREL_PAIR_H
#define CHATREL_PAIR_H

#include "core/compat.h"

/*
 * Between owner_begin() and owner_end().  They fail where a user does not exist,
 * and keep it from being deleted until the transaction ends.  The names of both, in
 * the order given, go into names unless it is null.
 */
extern void lock_pair(int64 user_id, int64 other_id, char **names);
extern void lock_pair_alone(int64 user_id, int64 other_id);
extern void lock_user_alone(int64 user_id);

pg_noreturn extern void error_oneself(int64 user_id, const char *verb);

#endif							/* CHATREL_PAIR_H */
