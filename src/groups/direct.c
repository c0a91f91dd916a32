/*
 * direct.c
 *	  Direct conversations: groups of certain people, one for each set of them.
 *
 * groups.direct_key is that set, the ids in order, and a unique index keeps it one:
 * of two who begin the same conversation the second waits in the index for the first,
 * and finds it.  The key stays when one of its people is deleted.  Who comes back,
 * as a user of a linked table may, is in it again as soon as somebody calls for it,
 * as if it had just begun.
 *
 * Whether it may be begun is asked then alone: a conversation that there is, is found
 * whatever people have set since, and who has blocked whom (direct_pair.c says what
 * that ends).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/check.h"
#include "core/identity.h"
#include "groups/groups.h"
#include "groups/member_changes.h"
#include "groups/user_list.h"
#include "relationships/contact.h"

/* With whoever calls */
#define MAX_PEOPLE	50

/* Only with all of its people */
static SqlPlan whole_conversation = {
	.sql = "SELECT g.id FROM chatrel.groups g WHERE g.direct_key" EQ "$1"
	" AND (SELECT pg_catalog.count(*) FROM chatrel.groups_members m WHERE m.group_id" EQ "g.id)"
	EQ "pg_catalog.cardinality($1)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID),
	.by_index = true
};

static SqlPlan conversation = {
	.sql = "SELECT id FROM chatrel.groups WHERE direct_key" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID),
	.by_index = true
};

static SqlPlan conversation_create = {
	.sql = "INSERT INTO chatrel.groups (direct_key, creator_id, visibility)"
	" VALUES ($1, $2, 'direct')"
	" ON CONFLICT (direct_key) WHERE direct_key IS NOT NULL DO NOTHING RETURNING id",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8ARRAYOID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_direct_group);

static int64
create_or_find(Datum *values)
{
	for (int i = 0; i < MAX_TRIES; i++)
	{
		PlanResult	group = plan_run(&conversation_create, PLAN_WRITE, values, NULL);

		if (group.nrows == 0)
			group = plan_run(&conversation, PLAN_WRITE, values, NULL);
		if (group.nrows > 0)
			return result_int64(&group, 0, 1);
	}
	error_change_suppressed("groups");
}

/* Those who are in it already stay as they are. */
static int64
begin_conversation(const UserList *people, int64 user_id, Datum *values)
{
	PlanResult	users;
	int64		group_id;

	PreventCommandIfReadOnly("chatrel.direct_group()");
	users = lock_user_list(people);
	require_listed_users(people, &users);
	require_contact(user_id, values[0]);
	group_id = create_or_find(values);
	for (uint64 row = 0; row < users.nrows; row++)
		(void) add_member(group_id, result_int64(&users, row, 1), user_id,
						  result_cstring(&users, row, 2));
	return group_id;
}

Datum
chatrel_direct_group(PG_FUNCTION_ARGS)
{
	int64		user_id;
	UserList	people;
	OwnerScope	scope;
	Datum		values[2];
	PlanResult	found;
	int64		group_id;
	Datum		result;

	check_not_null(fcinfo, 0, "user_ids");
	user_id = acting_user(fcinfo);
	require_user_list(&people, fcinfo, 0, user_id, MAX_PEOPLE - 1);
	if (people.count < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user_ids must have another user than %lld", (long long) user_id)));

	owner_begin(&scope, fcinfo);
	values[0] = int64_array(people.ids, people.count);
	values[1] = Int64GetDatum(user_id);
	found = plan_run(&whole_conversation, PLAN_WRITE, values, NULL);
	group_id = found.nrows > 0 ? result_int64(&found, 0, 1)
		: begin_conversation(&people, user_id, values);
	result = group_document(group_id, user_id, MAX_PEOPLE, PLAN_WRITE);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
