/*
 * identity.h
 *	  Who is calling, and the users there are.
 */
#ifndef CHATREL_IDENTITY_H
#define CHATREL_IDENTITY_H

#include "fmgr.h"

/* Before owner_begin(): it looks at the caller's rights. */
extern int64 acting_user(FunctionCallInfo fcinfo, int as_user_argno);

/* Between owner_begin() and owner_end(). */
extern void require_user(int64 user_id);
extern bool remove_user(int64 user_id);

#endif							/* CHATREL_IDENTITY_H */
