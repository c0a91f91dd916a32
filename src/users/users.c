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
#include "core/errors.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/joining.h"
#include "groups/removal.h"
#include "relationships/removal.h"
#include "users/guard.h"
#include "users/link_triggers.h"
#include "users/names.h"
#include "users/users.h"

#define CREATE_USER \
	"INSERT INTO chatrel.users (username, role_name) VALUES ($1, $2)"
#define CREATED_USER \
	" RETURNING id, username, role_name, created_at, deleted_at"

/* A user that brought its own id may have taken the next one: restored, imported, mirrored. */
static SqlPlan user_create = {
	.sql = CREATE_USER " ON CONFLICT (id) DO NOTHING" CREATED_USER,
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TEXTOID, NAMEOID)
};

/* Whatever is in the way is an error of PostgreSQL's. */
static SqlPlan user_create_or_fail = {
	.sql = CREATE_USER CREATED_USER,
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(TEXTOID, NAMEOID)
};

static SqlPlan user_taken = {
	.sql = "SELECT true FROM chatrel.users WHERE username" EQ "$1 AND former_id IS NULL"
	" UNION ALL SELECT false FROM chatrel.users WHERE role_name" EQ "$2 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TEXTOID, NAMEOID),
	.by_index = true
};

/* Only forwards: others may be drawing ids. */
static SqlPlan users_renumber = {
	.sql = "SELECT pg_catalog.setval('chatrel.users_id_seq', taken.id)"
	" FROM (SELECT pg_catalog.max(id) FROM chatrel.users) taken (id)"
	" WHERE taken.id" GT "(SELECT last_value FROM chatrel.users_id_seq)",
	.expected = SPI_OK_SELECT
};

/*
 * The lock of this update excludes the FOR SHARE of those who make the user a
 * member of something.  A send, which holds its membership, does not meet it, and
 * can go on; the removal of that membership waits.
 */
static SqlPlan user_mark_deleted = {
	.sql = "UPDATE chatrel.users SET deleted_at = pg_catalog.now()"
	" WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_is_alive = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_create_user);
PG_FUNCTION_INFO_V1(chatrel_delete_user);

/* How often the sequence is set beyond the ids there are, before their conflict is an error. */
#define RENUMBER_ATTEMPTS	3

/* ---------- creating ---------- */

static void
error_role_taken(const char *role_name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("a user of role \"%s\" already exists", role_name),
			 err_constraint("users", "users_role_name_key")));
}

static void
check_user_free(Datum *values, const char *nulls)
{
	PlanResult	taken = plan_run(&user_taken, PLAN_LATEST, values, nulls);

	if (taken.nrows == 0)
		return;
	if (DatumGetBool(result_datum(&taken, 0, 1)))
		error_user_exists(TextDatumGetCString(values[0]));
	error_role_taken(NameStr(*DatumGetName(values[1])));
}

/* One who comes first between the check and the INSERT makes it fail, as with any unique index. */
static PlanResult
create_user(Datum *values, const char *nulls)
{
	PlanResult	created;

	check_user_free(values, nulls);
	for (int i = 0; i < RENUMBER_ATTEMPTS; i++)
	{
		created = plan_run(&user_create, PLAN_WRITE, values, nulls);
		if (created.nrows > 0)
			return created;
		plan_run(&users_renumber, PLAN_LATEST, NULL, NULL);
	}
	created = plan_run(&user_create_or_fail, PLAN_WRITE, values, nulls);
	check_changed(created.nrows, 1, "users");
	return created;
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
	lock_users();
	check_not_linked();
	created = create_user(values, nulls);
	result = result_as_row(&created, 0, fcinfo);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* ---------- deleting ---------- */

/* Once more where the user was deleted, and is back before it is found to be there. */
static bool
mark_deleted(Datum *values)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(&user_mark_deleted, PLAN_WRITE, values, NULL).nrows > 0)
			return true;
		if (plan_run(&user_is_alive, PLAN_WRITE, values, NULL).nrows == 0)
			return false;
	}
	error_change_suppressed("users");
}

/*
 * Marks a user deleted and takes it out of everything but its messages; false
 * if there is no such user.
 */
bool
remove_user(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (!mark_deleted(values))
		return false;
	remove_all_relationships(user_id);
	remove_all_memberships(user_id);
	remove_all_admissions(user_id);
	return true;
}

Datum
chatrel_delete_user(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	OwnerScope	scope;

	owner_begin(&scope, fcinfo);
	lock_users();
	check_not_linked();
	if (!remove_user(user_id))
		error_user_not_found(user_id);
	owner_end(&scope);

	PG_RETURN_VOID();
}
