/*
 * pair.c
 *	  Locks two users, one of whom does something about the other.
 *
 * Whoever writes that one user follows another, asks to, or does not want to hear
 * of it holds the rows of both FOR SHARE, which conflicts with the lock of a
 * deletion; so nobody begins something with a user that is gone.  Whoever decides
 * what the others may begin, by a block or by being protected, locks its own row
 * FOR NO KEY UPDATE, which conflicts with FOR SHARE; so it waits for what has
 * begun, and what comes later sees it.  Neither conflicts with the check of a
 * foreign key, nor with a send.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/identity.h"
#include "core/plans.h"
#include "relationships/pair.h"

static SqlPlan users_lock = {
	.sql = "SELECT id, username FROM chatrel.users"
	" WHERE id" EQ "ANY (ARRAY[$1, $2]) AND deleted_at IS NULL"
	" ORDER BY id FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan user_lock = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR SHARE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan user_lock_alone = {
	.sql = "SELECT FROM chatrel.users WHERE id" EQ "$1 AND deleted_at IS NULL FOR NO KEY UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

void
error_oneself(int64 user_id, const char *verb)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("user %lld cannot %s itself", (long long) user_id, verb)));
}

/* In the order of their ids */
void
lock_pair(int64 user_id, int64 other_id, char **names)
{
	Datum		values[] = {Int64GetDatum(user_id), Int64GetDatum(other_id)};
	PlanResult	users = plan_run(&users_lock, PLAN_WRITE, values, NULL);

	if (users.nrows < 2)
	{
		bool		has_user = users.nrows > 0 && result_int64(&users, 0, 1) == user_id;

		error_user_not_found(has_user ? other_id : user_id);
	}
	if (names == NULL)
		return;
	names[0] = result_cstring(&users, user_id < other_id ? 0 : 1, 2);
	names[1] = result_cstring(&users, user_id < other_id ? 1 : 0, 2);
}

static void
lock_one(SqlPlan *plan, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};

	if (plan_run(plan, PLAN_WRITE, values, NULL).nrows == 0)
		error_user_not_found(user_id);
}

void
lock_user_alone(int64 user_id)
{
	lock_one(&user_lock_alone, user_id);
}

/* The first alone, the other FOR SHARE; in the order of their ids, too. */
void
lock_pair_alone(int64 user_id, int64 other_id)
{
	if (user_id < other_id)
		lock_one(&user_lock_alone, user_id);
	lock_one(&user_lock, other_id);
	if (user_id > other_id)
		lock_one(&user_lock_alone, user_id);
}
