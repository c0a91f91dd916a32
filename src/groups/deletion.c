/*
 * deletion.c
 *	  Deleting a group, with everything in it.
 *
 * The group is locked first, against those who join, and then all memberships, in the
 * order of the users: so whatever members are doing ends before.  The last that each
 * of them hears of the group is that it is gone; it is an event of theirs, since
 * those of the group go with it.
 *
 * What others may hold who are no members is deleted before the group, in the order of
 * locks (src/README): the cascades of a DELETE of the group go by the names of triggers.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/identity.h"
#include "delivery/record.h"
#include "groups/members.h"

static SqlPlan group_lock = {
	.sql = "SELECT FROM chatrel.groups WHERE id" EQ "$1 FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan members_lock = {
	.sql = "SELECT user_id FROM chatrel.groups_members"
	" WHERE group_id" EQ "$1 ORDER BY user_id FOR UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* A DELETE locks in the order in which it comes upon the rows: they are locked before it. */
#define EMPTY_WHERE(table, key, condition) { \
	.sql = "WITH gone AS MATERIALIZED (SELECT t." key " FROM chatrel." table " t" \
	" WHERE t.group_id" EQ "$1" condition " ORDER BY t." key " FOR UPDATE)" \
	" DELETE FROM chatrel." table " t USING gone" \
	" WHERE t.group_id" EQ "$1 AND t." key EQ "gone." key condition, \
	.expected = SPI_OK_DELETE, \
	PLAN_ARGS(INT8OID), \
	.by_index = true \
}
#define EMPTY(table, key) EMPTY_WHERE(table, key, "")

/* Reactions and pins go with the messages, and stickers with their whiteboards. */
static SqlPlan contents_delete[] = {
	EMPTY("groups_bans", "user_id"),
	EMPTY("groups_join_requests", "user_id"),
	EMPTY("groups_invitations", "user_id"),
	EMPTY("groups_links", "id"),
	EMPTY("groups_messages", "id"),
	EMPTY_WHERE("events", "id", " AND t.recipient_id IS NULL"),
	EMPTY("whiteboards", "id"),
	EMPTY("stickers", "id")
};

static SqlPlan group_delete = {
	.sql = "DELETE FROM chatrel.groups WHERE id" EQ "$1 RETURNING name",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_delete_group);

static void
record_deletion(int64 group_id, int64 actor_id, const char *name, const PlanResult *members)
{
	Jsonb	   *detail = event_detail("name", name);

	for (uint64 row = 0; row < members->nrows; row++)
	{
		RecordedEvent deleted = {
			.kind = "group_deleted",
			.group_id = group_id,
			.recipient_id = result_int64(members, row, 1),
			.actor_id = actor_id,
			.detail = detail
		};

		CHECK_FOR_INTERRUPTS();
		record_event(&deleted);
	}
}

static void
delete_group(int64 group_id, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(group_id)};
	PlanResult	members;
	PlanResult	deleted;

	plan_run(&group_lock, PLAN_WRITE, values, NULL);
	members = plan_run(&members_lock, PLAN_WRITE, values, NULL);
	lock_membership(user_id, group_id, ACT_DISPOSE);
	for (int i = 0; i < lengthof(contents_delete); i++)
		plan_run(&contents_delete[i], PLAN_CASCADE, values, NULL);
	deleted = plan_run(&group_delete, PLAN_WRITE, values, NULL);
	check_changed(deleted.nrows, 1, "groups");
	record_deletion(group_id, user_id, result_cstring(&deleted, 0, 1), &members);
}

Datum
chatrel_delete_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;

	PreventCommandIfReadOnly("chatrel.delete_group()");
	owner_begin(&scope, fcinfo);
	delete_group(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_VOID();
}
