/*
 * guard.h
 *	  What keeps chatrel.users whole while several write it.
 */
#ifndef CHATREL_GUARD_H
#define CHATREL_GUARD_H

/* Around what writes users: its triggers fire in the replica role too. */
extern int	origin_begin(void);
extern void origin_end(int nest_level);

/* Between owner_begin() and owner_end(). */
extern void lock_users(void);
extern void lock_users_alone(void);
extern void defer_names(void);
extern void check_names(void);

#endif							/* CHATREL_GUARD_H */
