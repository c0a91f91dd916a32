/*
 * guard.h
 *	  What keeps chatrel.users whole while several write it.
 */
#ifndef CHATREL_GUARD_H
#define CHATREL_GUARD_H

/* Between owner_begin() and owner_end(). */
extern void lock_users(void);
extern void lock_users_alone(void);
extern void defer_names(void);
extern void check_names(void);

#endif							/* CHATREL_GUARD_H */
