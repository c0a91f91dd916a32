/*
 * erase.h
 *	  Taking what a user has written out of the history.
 */
#ifndef CHATREL_ERASE_H
#define CHATREL_ERASE_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(), when the user is deleted and called so. */
extern void erase_messages(int64 user_id, const char *username);

#endif							/* CHATREL_ERASE_H */
