/*
 * identity.c
 *	  Who is calling.
 *
 * A function acts as, in this order: the user that its argument as_user names,
 * which only a role may pass that could set chatrel.user_id as well, and
 * everybody for the own id; the user that chatrel.user_id names; the user whose
 * role_name is the session's current role, as SET ROLE leaves it and SECURITY
 * DEFINER does not change it.
 *
 * Nobody is made to act by code that another has planted for maintenance to
 * run (an index expression, say): a security-restricted operation has no user.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"

static SqlPlan user_of_role = {
	.sql = "SELECT id FROM chatrel.users WHERE role_name" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(NAMEOID)
};

static SqlPlan user_alive = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_current_user_id);

/* ---------- errors ---------- */

static void
error_no_user(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("current role has no chatrel user"),
			 errhint("Set %s, pass as_user, or create a chatrel user whose role_name is the current role.",
					 USER_ID_PARAMETER)));
}

void
error_user_not_found(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("user %lld does not exist", (long long) user_id),
			 err_table("users")));
}

/* As PostgreSQL refuses LISTEN in, say, an index expression of somebody's table. */
void
error_restricted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot act as a chatrel user within security-restricted operation")));
}

/* ---------- who is calling ---------- */

/* The user of the current role, or 0. */
static int64
role_user(FunctionCallInfo fcinfo)
{
	char	   *role = GetUserNameFromId(GetOuterUserId(), true);
	NameData	role_name;
	Datum		values[] = {NameGetDatum(&role_name)};
	OwnerScope	scope;
	PlanResult	found;
	int64		user_id = 0;

	if (role == NULL)
		return 0;
	namestrcpy(&role_name, role);

	owner_begin(&scope, fcinfo);
	found = plan_run(&user_of_role, PLAN_READ, values, NULL);
	if (found.nrows > 0)
		user_id = result_int64(&found, 0, 1);
	owner_end(&scope);
	return user_id;
}

/* The user that the session acts as, or 0. */
static int64
session_user_id(FunctionCallInfo fcinfo)
{
	if (InSecurityRestrictedOperation())
		return 0;
	return guc_user_id != 0 ? guc_user_id : role_user(fcinfo);
}

/* Whose id is 0 is not the user of a session that has none. */
static bool
is_own_id(FunctionCallInfo fcinfo, int64 user_id)
{
	return user_id != 0 && user_id == session_user_id(fcinfo);
}

/* The user that a function acts as, whose last argument is as_user. */
int64
acting_user(FunctionCallInfo fcinfo)
{
	int			as_user_argno = PG_NARGS() - 1;
	int64		user_id;

	if (InSecurityRestrictedOperation())
		error_restricted();

	if (PG_ARGISNULL(as_user_argno))
	{
		user_id = session_user_id(fcinfo);
		if (user_id == 0)
			error_no_user();
		return user_id;
	}

	user_id = PG_GETARG_INT64(as_user_argno);
	if (pg_parameter_aclcheck(USER_ID_PARAMETER, GetUserId(), ACL_SET) != ACLCHECK_OK &&
		!is_own_id(fcinfo, user_id))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act as user %lld", (long long) user_id),
				 errhint("The role needs GRANT SET ON PARAMETER %s.", USER_ID_PARAMETER)));
	return user_id;
}

/* The same, or 0 where acting_user() would say that there is none. */
int64
acting_user_if_any(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(PG_NARGS() - 1) ? session_user_id(fcinfo) : acting_user(fcinfo);
}

Datum
chatrel_current_user_id(PG_FUNCTION_ARGS)
{
	int64		user_id = session_user_id(fcinfo);

	if (user_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(user_id);
}

/* ---------- is there such a user? ---------- */

void
require_user(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(&user_alive, PLAN_WRITE, values, NULL).nrows == 0)
		error_user_not_found(user_id);
}
