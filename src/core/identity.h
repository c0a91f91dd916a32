/*
 * identity.h
 *	  Who is calling.
 */
#ifndef CHATREL_IDENTITY_H
#define CHATREL_IDENTITY_H

#include "fmgr.h"

#include "core/compat.h"

/* Before owner_begin(): they look at the caller's rights. */
extern int64 acting_user(FunctionCallInfo fcinfo);
extern int64 acting_user_if_any(FunctionCallInfo fcinfo);

/* Between owner_begin() and owner_end(). */
extern void require_user(int64 user_id);

pg_noreturn extern void error_user_not_found(int64 user_id);
pg_noreturn extern void error_restricted(void);

#endif							/* CHATREL_IDENTITY_H */
