/*
 * users.h
 *	  The users there are.
 */
#ifndef CHATREL_USERS_H
#define CHATREL_USERS_H

/* Between owner_begin() and owner_end(). */
extern bool remove_user(int64 user_id);

#endif							/* CHATREL_USERS_H */
