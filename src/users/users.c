/*
 * users.c
 *	  The users there are: creating and deleting them.
 *
 * A user that is deleted is marked so and stays as a row, for the history.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/members.h"
#include "relationships/relationships.h"
#include "users/link.h"
#include "users/users.h"

static SqlPlan user_create = {
	.sql = "INSERT INTO chatrel.users (username, role_name) VALUES ($1, $2)"
	" ON CONFLICT DO NOTHING"
	" RETURNING id, username, role_name, created_at, deleted_at",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TEXTOID, NAMEOID)
};

static SqlPlan user_taken = {
	.sql = "SELECT FROM chatrel.users WHERE deleted_at IS NULL"
	" AND (username" EQ "$1 OR role_name" EQ "$2)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TEXTOID, NAMEOID)
};

/* After users with ids of their own: restored, imported or once mirrored. */
static SqlPlan users_renumber = {
	.sql = "SELECT pg_catalog.setval('chatrel.users_id_seq', GREATEST(pg_catalog.max(u.id),"
	" (SELECT s.last_value FROM chatrel.users_id_seq s))) FROM chatrel.users u",
	.expected = SPI_OK_SELECT
};

/*
 * The lock of this update excludes the FOR SHARE of those who make the user a
 * member of something, but not the FOR KEY SHARE of a foreign key: a send that
 * holds its membership can go on, and the removal of that membership waits.
 */
static SqlPlan user_mark_deleted = {
	.sql = "UPDATE chatrel.users SET deleted_at = pg_catalog.now()"
	" WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_create_user);
PG_FUNCTION_INFO_V1(chatrel_delete_user);

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
	PlanResult	created;
	Datum		result;

	if (role_name != NULL)
		(void) get_role_oid(NameStr(*role_name), false);

	owner_begin(&scope, fcinfo);
	check_not_linked();
	while ((created = plan_run(&user_create, PLAN_WRITE, values, nulls)).nrows == 0)
	{
		if (plan_run(&user_taken, PLAN_LATEST, values, nulls).nrows > 0)
			error_user_exists(username, role_name ? NameStr(*role_name) : NULL);
		plan_run(&users_renumber, PLAN_LATEST, NULL, NULL);
	}
	result = result_as_row(&created, 0, fcinfo);
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

	if (plan_run(&user_mark_deleted, PLAN_WRITE, values, NULL).nrows == 0)
		return false;
	remove_all_memberships(user_id);
	remove_all_relationships(user_id);
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
