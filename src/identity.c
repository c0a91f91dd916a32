/*
 * identity.c
 *	  Who is calling, and the users there are.
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
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "check.h"
#include "groups.h"
#include "guc.h"
#include "identity.h"
#include "link.h"
#include "plans.h"
#include "relationships.h"

static SqlPlan user_of_role = {
	"SELECT id FROM chatrel.users WHERE role_name" EQ "$1 AND deleted_at IS NULL",
	SPI_OK_SELECT, 1, {NAMEOID}
};

static SqlPlan user_alive = {
	"SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan user_create = {
	"INSERT INTO chatrel.users (username, role_name) VALUES ($1, $2)"
	" ON CONFLICT DO NOTHING"
	" RETURNING id, username, role_name, created_at, deleted_at",
	SPI_OK_INSERT_RETURNING, 2, {TEXTOID, NAMEOID}
};

static SqlPlan user_taken = {
	"SELECT FROM chatrel.users WHERE deleted_at IS NULL"
	" AND (username" EQ "$1 OR role_name" EQ "$2)",
	SPI_OK_SELECT, 2, {TEXTOID, NAMEOID}
};

/* After users with ids of their own: restored, imported or once mirrored. */
static SqlPlan users_renumber = {
	"SELECT pg_catalog.setval('chatrel.users_id_seq', GREATEST(pg_catalog.max(u.id),"
	" (SELECT s.last_value FROM chatrel.users_id_seq s))) FROM chatrel.users u",
	SPI_OK_SELECT, 0
};

/*
 * The lock of this update excludes the FOR SHARE of those who make the user a
 * member of something, but not the FOR KEY SHARE of a foreign key: a send that
 * holds its membership can go on, and the removal of that membership waits.
 */
static SqlPlan user_mark_deleted = {
	"UPDATE chatrel.users SET deleted_at = pg_catalog.now()"
	" WHERE id" EQ "$1 AND deleted_at IS NULL",
	SPI_OK_UPDATE, 1, {INT8OID}
};

static SqlPlan user_channel_drop = {
	"DELETE FROM chatrel.users_channels WHERE user_id" EQ "$1",
	SPI_OK_DELETE, 1, {INT8OID}
};

PG_FUNCTION_INFO_V1(chatrel_current_user_id);
PG_FUNCTION_INFO_V1(chatrel_create_user);
PG_FUNCTION_INFO_V1(chatrel_delete_user);

/* ---------- who is calling ---------- */

/* The user of the current role, or 0. */
static int64
role_user(FunctionCallInfo fcinfo)
{
	char	   *role = GetUserNameFromId(GetOuterUserId(), true);
	NameData	role_name;
	Datum		values[] = {NameGetDatum(&role_name)};
	OwnerScope	scope;
	int64		user_id = 0;

	if (role == NULL)
		return 0;
	namestrcpy(&role_name, role);

	owner_begin(&scope, fcinfo);
	if (plan_run(&user_of_role, PLAN_READ, values, NULL) > 0)
		user_id = plan_int64(0, 1);
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
acting_user(FunctionCallInfo fcinfo, int as_user_argno)
{
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

Datum
chatrel_current_user_id(PG_FUNCTION_ARGS)
{
	int64		user_id = session_user_id(fcinfo);

	if (user_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(user_id);
}

/* ---------- the users there are ---------- */

void
require_user(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(&user_alive, PLAN_WRITE, values, NULL) == 0)
		error_user_not_found(user_id);
}

static void
error_user_exists(text *username, const char *role_name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 role_name == NULL
			 ? errmsg("user \"%s\" already exists", text_to_cstring(username))
			 : errmsg("user \"%s\" or a user of role \"%s\" already exists",
					  text_to_cstring(username), role_name)));
}

Datum
chatrel_create_user(PG_FUNCTION_ARGS)
{
	text	   *username = require_text(fcinfo, 0, "username", guc_max_name_length,
										"chatrel.max_name_length");
	Name		role_name = PG_ARGISNULL(1) ? NULL : PG_GETARG_NAME(1);
	Datum		values[] = {PointerGetDatum(username),
	role_name == NULL ? (Datum) 0 : NameGetDatum(role_name)};
	char		nulls[] = {' ', role_name == NULL ? 'n' : ' ', '\0'};
	OwnerScope	scope;
	Datum		result;

	if (role_name != NULL)
		(void) get_role_oid(NameStr(*role_name), false);

	owner_begin(&scope, fcinfo);
	check_not_linked();
	while (plan_run(&user_create, PLAN_WRITE, values, nulls) == 0)
	{
		if (plan_run(&user_taken, PLAN_LATEST, values, nulls) > 0)
			error_user_exists(username, role_name ? NameStr(*role_name) : NULL);
		plan_run(&users_renumber, PLAN_LATEST, NULL, NULL);
	}
	result = plan_return_row(fcinfo, 0);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/*
 * Marks a user deleted and takes it out of everything but its messages; false
 * if there is no such user.
 */
bool
remove_user(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(&user_mark_deleted, PLAN_WRITE, values, NULL) == 0)
		return false;
	leave_all_groups(user_id);
	remove_all_relationships(user_id);
	plan_run(&user_channel_drop, PLAN_WRITE, values, NULL);
	return true;
}

Datum
chatrel_delete_user(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	check_not_linked();
	if (!remove_user(user_id))
		error_user_not_found(user_id);
	owner_end(&scope);

	PG_RETURN_VOID();
}
