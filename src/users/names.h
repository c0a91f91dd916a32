/*
 * names.h
 *	  What users are called.
 */
#ifndef CHATREL_NAMES_H
#define CHATREL_NAMES_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(), after the user was given the name. */
extern void record_rename_in_groups(int64 user_id, const char *username);
extern void record_rename(int64 user_id, const char *username);

pg_noreturn extern void error_user_exists(const char *username);

#endif							/* CHATREL_NAMES_H */
