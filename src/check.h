/*
 * check.h
 *	  Guards for arguments, and the errors that are part of the contract.
 *
 * Each error has one SQLSTATE, names the ids in its message, and is listed in
 * the README.
 */
#ifndef CHATREL_CHECK_H
#define CHATREL_CHECK_H

#include "fmgr.h"

#include "compat.h"

/* Arguments: a null, an empty or an impossible one is 22023, a long one 22001. */
extern void check_not_null(FunctionCallInfo fcinfo, int argno, const char *name);
extern bool require_bool(FunctionCallInfo fcinfo, int argno, const char *name);
extern int64 require_int64(FunctionCallInfo fcinfo, int argno, const char *name);
extern int	require_limit(FunctionCallInfo fcinfo, int argno, const char *name);
extern text *require_text(FunctionCallInfo fcinfo, int argno, const char *name,
						  int max_length, const char *parameter);
extern void check_text(const char *data, int bytes, const char *name,
					   int max_length, const char *parameter);

pg_noreturn extern void error_no_user(void);
pg_noreturn extern void error_user_not_found(int64 user_id);
pg_noreturn extern void error_group_not_found(int64 group_id);
pg_noreturn extern void error_whiteboard_not_found(int64 whiteboard_id);
pg_noreturn extern void error_not_member(int64 user_id, int64 group_id);
pg_noreturn extern void error_restricted(void);

#endif							/* CHATREL_CHECK_H */
