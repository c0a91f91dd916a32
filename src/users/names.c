/*
 * names.c
 *	  What users are called: finding a user by the name, and renaming one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/record.h"
#include "users/guard.h"
#include "users/link_triggers.h"
#include "users/names.h"

/* As a chatrel.chat_user */
static SqlPlan user_by_name = {
	.sql = "SELECT id, username, role_name, created_at, deleted_at FROM chatrel.users"
	" WHERE username" EQ "$1 AND former_id IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TEXTOID)
};

/* Locked first, so that nobody else renames this user while the new name is looked for. */
static SqlPlan user_lock = {
	.sql = "SELECT username" EQ "$2 FROM chatrel.users"
	" WHERE id" EQ "$1 AND deleted_at IS NULL FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, TEXTOID)
};

static SqlPlan user_rename = {
	.sql = "UPDATE chatrel.users SET username = $2 WHERE id" EQ "$1 AND deleted_at IS NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, TEXTOID)
};

static SqlPlan groups_of_user = {
	.sql = "SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1 ORDER BY group_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_find_user);
PG_FUNCTION_INFO_V1(chatrel_rename_user);

void
error_user_exists(const char *username)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("user \"%s\" already exists", username),
			 err_constraint("users", "users_username_key")));
}

/* ---------- finding ---------- */

Datum
chatrel_find_user(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	OwnerScope	scope;
	PlanResult	found;
	Datum		result = (Datum) 0;

	check_not_null(fcinfo, 0, "username");
	values[0] = PG_GETARG_DATUM(0);

	owner_begin(&scope, fcinfo);
	found = plan_run(&user_by_name, PLAN_READ, values, NULL);
	if (found.nrows > 0)
		result = result_as_row(&found, 0, fcinfo);
	owner_end(&scope);

	if (result == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* ---------- renaming ---------- */

void
record_rename_in_groups(int64 user_id, const char *username)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	groups = plan_run(&groups_of_user, PLAN_LATEST, values, NULL);
	Jsonb	   *detail = event_detail("username", username);

	for (uint64 row = 0; row < groups.nrows; row++)
	{
		RecordedEvent to_group = {
			.kind = "user_changed",
			.group_id = result_int64(&groups, row, 1),
			.user_id = user_id,
			.detail = detail
		};

		CHECK_FOR_INTERRUPTS();
		record_event(&to_group);
	}
}

/* The groups of the user hear of it, and so do the user's own sessions. */
void
record_rename(int64 user_id, const char *username)
{
	RecordedEvent to_user = {
		.kind = "user_changed",
		.recipient_id = user_id,
		.user_id = user_id,
		.detail = event_detail("username", username)
	};

	record_rename_in_groups(user_id, username);
	record_event(&to_user);
}

/* False if the user is called so already. */
static bool
rename_user(int64 user_id, text *username)
{
	Datum		values[] = {Int64GetDatum(user_id), PointerGetDatum(username)};
	Datum		name[] = {PointerGetDatum(username)};
	PlanResult	user = plan_run(&user_lock, PLAN_WRITE, values, NULL);

	if (user.nrows == 0)
		error_user_not_found(user_id);
	if (DatumGetBool(result_datum(&user, 0, 1)))
		return false;
	if (plan_run(&user_by_name, PLAN_LATEST, name, NULL).nrows > 0)
		error_user_exists(text_to_cstring(username));
	check_changed(plan_run(&user_rename, PLAN_WRITE, values, NULL).nrows, 1, "users");
	record_rename(user_id, text_to_cstring(username));
	return true;
}

Datum
chatrel_rename_user(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	text	   *username = require_text(fcinfo, 1, "username", guc_max_name_length,
										"chatrel.max_name_length");
	OwnerScope	scope;
	bool		changed;

	owner_begin(&scope, fcinfo);
	lock_users();
	check_not_linked();
	changed = rename_user(user_id, username);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}
