/*
 * removal.c
 *	  Taking a user that is deleted out of its groups.
 *
 * A group whose last owner is deleted gets another: the first of its moderators, or
 * else of its members.  As it cannot be waited for out of the order of locks, whoever
 * may come next is locked with the memberships of the user, before any of them is
 * removed: so are the other owners, who may be about to go as well.  The groups are
 * locked before, against those who join.
 *
 * Nearly always it is one of those who were locked.  Otherwise others come next, as far
 * as nobody else has locked them; if all are locked, the deletion has to be tried again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/plans.h"
#include "groups/member_changes.h"
#include "groups/removal.h"

/* Of most users nothing is locked: they own no group. */
static SqlPlan owned_groups_lock = {
	.sql = "SELECT FROM chatrel.groups g WHERE g.id" EQ "ANY (ARRAY("
	"SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1 AND role" EQ "'owner'))"
	" ORDER BY g.id FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

/* With the user's own memberships: who is above the members, and the first of these */
static SqlPlan successors_lock = {
	.sql = "WITH mine AS MATERIALIZED ("
	"SELECT group_id, role FROM chatrel.groups_members WHERE user_id" EQ "$1),"
	" wanted AS MATERIALIZED (SELECT group_id, $1 AS user_id FROM mine"
	" UNION SELECT a.group_id, a.user_id FROM mine JOIN chatrel.groups_members a"
	" ON a.group_id" EQ "mine.group_id AND a.role" NE "'member' WHERE mine.role" EQ "'owner'"
	" UNION SELECT mine.group_id, f.user_id FROM mine CROSS JOIN LATERAL ("
	"SELECT c.user_id FROM chatrel.groups_members c"
	" WHERE c.group_id" EQ "mine.group_id AND c.role" EQ "'member' ORDER BY c.id LIMIT 1) f"
	" WHERE mine.role" EQ "'owner')"
	" SELECT FROM wanted w JOIN chatrel.groups_members m"
	" ON m.group_id" EQ "w.group_id AND m.user_id" EQ "w.user_id"
	" ORDER BY m.group_id, m.user_id FOR UPDATE OF m",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

/* A DELETE locks in the order in which it comes upon the rows: they are locked before it. */
static SqlPlan memberships_remove = {
	.sql = "WITH mine AS MATERIALIZED ("
	"SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1"
	" ORDER BY group_id FOR UPDATE), gone AS ("
	"DELETE FROM chatrel.groups_members m USING mine, chatrel.users u"
	" WHERE m.group_id" EQ "mine.group_id AND m.user_id" EQ "$1 AND u.id" EQ "m.user_id"
	" RETURNING m.group_id, m.role" EQ "'owner' AS owned, u.username)"
	" SELECT group_id, username, owned FROM gone ORDER BY group_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

#define SUCCEED(role) { \
	.sql = "UPDATE chatrel.groups_members m SET role = 'owner' FROM" \
	" (SELECT c.user_id FROM chatrel.groups_members c" \
	" WHERE c.group_id" EQ "$1 AND c.role" EQ "'" role "'" \
	" AND NOT EXISTS (SELECT FROM chatrel.groups_members o" \
	" WHERE o.group_id" EQ "$1 AND o.role" EQ "'owner')" \
	" ORDER BY c.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) next" \
	" WHERE m.group_id" EQ "$1 AND m.user_id" EQ "next.user_id RETURNING m.user_id", \
	.expected = SPI_OK_UPDATE_RETURNING, \
	PLAN_ARGS(INT8OID), \
	.by_index = true \
}

static SqlPlan moderator_succeed = SUCCEED("moderator");
static SqlPlan member_succeed = SUCCEED("member");

static SqlPlan is_ownerless = {
	.sql = "SELECT FROM chatrel.groups_members m WHERE m.group_id" EQ "$1"
	" AND NOT EXISTS (SELECT FROM chatrel.groups_members o"
	" WHERE o.group_id" EQ "$1 AND o.role" EQ "'owner') LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

static SqlPlan any_membership = {
	.sql = "SELECT FROM chatrel.groups_members WHERE user_id" EQ "$1 LIMIT 1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static void
error_no_successor(int64 group_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not find another owner of group %lld", (long long) group_id),
			 errdetail("All of its members are being changed by other transactions."),
			 errhint("Try the transaction again.")));
}

/* A group that has lost its last owner gets another, if there is anybody. */
static void
find_successor(int64 group_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	next = plan_run(&moderator_succeed, PLAN_LATEST, values, NULL);

	if (next.nrows == 0)
		next = plan_run(&member_succeed, PLAN_LATEST, values, NULL);
	if (next.nrows > 0)
		record_role(group_id, result_int64(&next, 0, 1), 0, ROLE_OWNER);
	else if (plan_run(&is_ownerless, PLAN_LATEST, values, NULL).nrows > 0)
		error_no_successor(group_id);
}

/* The administration does it: there is no actor. */
void
remove_all_memberships(int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	removed;

	if (plan_run(&owned_groups_lock, PLAN_LATEST, values, NULL).nrows > 0)
		plan_run(&successors_lock, PLAN_LATEST, values, NULL);
	removed = plan_run(&memberships_remove, PLAN_CASCADE, values, NULL);
	if (plan_run(&any_membership, PLAN_LATEST, values, NULL).nrows > 0)
		error_change_suppressed("groups_members");
	for (uint64 i = 0; i < removed.nrows; i++)
	{
		int64		group_id = result_int64(&removed, i, 1);

		CHECK_FOR_INTERRUPTS();
		announce_removal(group_id, user_id, 0, result_cstring(&removed, i, 2), LEFT_BY_DELETION);
		if (DatumGetBool(result_datum(&removed, i, 3)))
			find_successor(group_id);
	}
}
