/*
 * keys.h
 *	  The foreign keys of messages, checked once for a send.
 */
#ifndef CHATREL_KEYS_H
#define CHATREL_KEYS_H

/* The rows that are inserted between these two have keys that a lock keeps valid. */
extern void keys_known_begin(int64 group_id, int64 sender_id);
extern void keys_known_end(void);

#endif							/* CHATREL_KEYS_H */
