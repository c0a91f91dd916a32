/*
 * erase.c
 *	  Making a person forgotten: the name and the texts go, and the conversations
 *	  keep their shape.
 *
 * What remains is a deleted user called "deleted user N", whose messages have no
 * texts.  It can be done again, and to a user who was deleted long ago.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "messages/erase.h"
#include "users/guard.h"
#include "users/link_triggers.h"
#include "users/users.h"

/* Locked, since it may come back by the row of a linked table. */
static SqlPlan user_lock = {
	.sql = "SELECT deleted_at IS NULL FROM chatrel.users WHERE id" EQ "$1 FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* The name of a deleted user need not be unique. */
static SqlPlan user_forget = {
	.sql = "UPDATE chatrel.users SET username = $2, role_name = NULL"
	" WHERE id" EQ "$1 AND deleted_at IS NOT NULL",
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID, TEXTOID)
};

PG_FUNCTION_INFO_V1(chatrel_erase_user);

/* A user who is still there is deleted; a linked one has to be deleted in its table before. */
static void
delete_first(Datum *values)
{
	PlanResult	user = plan_run(&user_lock, PLAN_WRITE, values, NULL);

	if (user.nrows == 0)
		error_user_not_found(DatumGetInt64(values[0]));
	if (!DatumGetBool(result_datum(&user, 0, 1)))
		return;
	check_not_linked();
	(void) remove_user(DatumGetInt64(values[0]));
}

Datum
chatrel_erase_user(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	char	   *username = psprintf("deleted user %lld", (long long) user_id);
	Datum		values[] = {Int64GetDatum(user_id), CStringGetTextDatum(username)};
	OwnerScope	scope;

	PreventCommandIfReadOnly("chatrel.erase_user()");
	owner_begin(&scope, fcinfo);
	lock_users();
	delete_first(values);
	check_changed(plan_run(&user_forget, PLAN_WRITE, values, NULL).nrows, 1, "users");
	erase_messages(user_id, username);
	owner_end(&scope);

	PG_RETURN_VOID();
}
