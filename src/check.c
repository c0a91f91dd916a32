/*
 * check.c
 *	  Guards for arguments, and the errors that are part of the contract.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "check.h"
#include "guc.h"

void
check_not_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be null", name)));
}

bool
require_bool(FunctionCallInfo fcinfo, int argno, const char *name)
{
	check_not_null(fcinfo, argno, name);
	return PG_GETARG_BOOL(argno);
}

int64
require_int64(FunctionCallInfo fcinfo, int argno, const char *name)
{
	check_not_null(fcinfo, argno, name);
	return PG_GETARG_INT64(argno);
}

/* How many rows a page may have. */
int
require_limit(FunctionCallInfo fcinfo, int argno, const char *name)
{
	int			limit;

	check_not_null(fcinfo, argno, name);
	limit = PG_GETARG_INT32(argno);
	if (limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least 1, not %d", name, limit)));
	return limit;
}

/* A text that is not empty and has max_length characters at most. */
void
check_text(const char *data, int bytes, const char *name,
		   int max_length, const char *parameter)
{
	int			length;

	if (bytes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));

	/* Characters are counted only where there may be too many of them. */
	if (bytes <= max_length)
		return;
	length = pg_mbstrlen_with_len(data, bytes);
	if (length > max_length)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is too long", name),
				 errdetail("It has %d characters; %s is %d.",
						   length, parameter, max_length)));
}

text *
require_text(FunctionCallInfo fcinfo, int argno, const char *name,
			 int max_length, const char *parameter)
{
	text	   *value;

	check_not_null(fcinfo, argno, name);
	value = PG_GETARG_TEXT_PP(argno);
	check_text(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), name,
			   max_length, parameter);
	return value;
}

void
error_no_user(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("no chatrel user"),
			 errhint("Set %s, pass as_user, or give a chatrel user the current role's name as its role_name.",
					 USER_ID_PARAMETER)));
}

void
error_user_not_found(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("user %lld does not exist", (long long) user_id)));
}

void
error_group_not_found(int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("group %lld does not exist", (long long) group_id)));
}

void
error_whiteboard_not_found(int64 whiteboard_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("whiteboard %lld does not exist", (long long) whiteboard_id)));
}

void
error_not_member(int64 user_id, int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("user %lld is not a member of group %lld",
					(long long) user_id, (long long) group_id),
			 errhint("Join it first, with chatrel.join_group(%lld).",
					 (long long) group_id)));
}

/* As PostgreSQL refuses LISTEN in, say, an index expression of somebody's table. */
void
error_restricted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot act as a chatrel user within security-restricted operation")));
}
