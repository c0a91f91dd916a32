/*
 * follow_counters.h
 *	  How many follow whom.
 */
#ifndef CHATREL_FOLLOW_COUNTERS_H
#define CHATREL_FOLLOW_COUNTERS_H

/* Between owner_begin() and owner_end(). */
extern int64 count_followers(int64 user_id);

/* Between owner_begin() and owner_end(), when the user has no relationships. */
extern void follow_counters_forget(int64 user_id);

extern void follow_counters_init(void);

#endif							/* CHATREL_FOLLOW_COUNTERS_H */
