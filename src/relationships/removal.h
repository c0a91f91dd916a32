/*
 * removal.h
 *	  Taking a deleted user out of what users have to do with each other.
 */
#ifndef CHATREL_REMOVAL_H
#define CHATREL_REMOVAL_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(), with the user locked. */
extern void remove_all_relationships(int64 user_id);

#endif							/* CHATREL_REMOVAL_H */
