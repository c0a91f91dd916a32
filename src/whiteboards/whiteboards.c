/*
 * whiteboards.c
 *	  Whiteboards: the links that a group keeps in view.
 *
 * A whiteboard belongs to a group and carries stickers.  It is read and changed
 * as a whole, by the group's members.  How stickers become those of a request is
 * nested.c's; here is who may do it, and who hears of it.
 *
 * Locks are taken in the order membership, channel, whiteboard.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/errors.h"
#include "delivery/events.h"
#include "groups/members.h"
#include "core/identity.h"
#include "whiteboards/nested.h"

/* In characters: what browsers take as an address, and a line to read. */
#define MAX_URL_LENGTH		2048
#define MAX_TITLE_LENGTH	256

static NestedAssociation whiteboard_stickers = {
	.name = "stickers",
	.parent = "whiteboards",
	.child = "stickers",
	.foreign_key = "whiteboard_id",
	.shard_key = "group_id",
	.cardinality = NESTED_HAS_MANY,
	.nfields = 2,
	.fields = {
		{"url", true, MAX_URL_LENGTH},
		{"title", true, MAX_TITLE_LENGTH}
	}
};

static SqlPlan whiteboard_create = {
	.sql = "INSERT INTO chatrel.whiteboards (group_id) VALUES ($1)"
	" RETURNING id, group_id, version, created_at, updated_at",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID)
};

static SqlPlan whiteboard_group = {
	.sql = "SELECT group_id FROM chatrel.whiteboards WHERE id" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

static SqlPlan whiteboard_of_member = {
	.sql = "SELECT w.id, w.group_id, w.version, w.created_at, w.updated_at"
	" FROM chatrel.whiteboards w"
	" WHERE w.id" EQ "$1 AND EXISTS"
	" (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "w.group_id AND m.user_id" EQ "$2)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_create_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_get_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_change_whiteboard);

static void
error_whiteboard_not_found(int64 whiteboard_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("whiteboard %lld does not exist", (long long) whiteboard_id),
			 err_table("whiteboards")));
}

static void
json_ids(JsonWriter *json, const char *key, const NestedIds *ids)
{
	json_begin_array(json, key);
	for (int i = 0; i < ids->n; i++)
		json_id(json, NULL, ids->ids[i]);
	json_end_array(json);
}

static void
change_event(JsonWriter *event, const NestedParent *whiteboard, const NestedChange *change,
			 bool with_ids)
{
	event_begin(event, "whiteboard_changed");
	json_id(event, "id", whiteboard->id);
	json_id(event, "group_id", whiteboard->shard);
	json_int64(event, "version", whiteboard->version);
	if (with_ids)
	{
		json_ids(event, "inserted", &change->inserted);
		json_ids(event, "updated", &change->updated);
		json_ids(event, "deleted", &change->removed);
	}
	else
		json_bool(event, "truncated", true);
}

/* A change is announced without its ids where they do not fit. */
static void
announce_change(const NestedParent *whiteboard, const NestedChange *change)
{
	JsonWriter	event;

	change_event(&event, whiteboard, change, true);
	if (!event_fits(&event))
		change_event(&event, whiteboard, change, false);
	announce(EVENT_GROUP, whiteboard->shard, true, &event);
}

static void
read_whiteboard(NestedParent *whiteboard, const PlanResult *found)
{
	whiteboard->id = result_int64(found, 0, 1);
	whiteboard->shard = result_int64(found, 0, 2);
	whiteboard->version = result_int64(found, 0, 3);
	whiteboard->created_at = result_int64(found, 0, 4);
	whiteboard->updated_at = result_int64(found, 0, 5);
}

/* A document as it outlives owner_end(). */
static Datum
return_document(Datum document)
{
	return SPI_datumTransfer(document, false, -1);
}

Datum
chatrel_create_whiteboard(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id)};
	NestedParent whiteboard;
	NestedChange nothing = {0};
	OwnerScope	scope;
	PlanResult	created;
	Datum		result;

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, MEMBER_WRITES);
	created = plan_run(&whiteboard_create, PLAN_WRITE, values, NULL);
	read_whiteboard(&whiteboard, &created);
	announce_change(&whiteboard, &nothing);
	result = return_document(nested_document(&whiteboard_stickers, &whiteboard,
											 &nothing.children));
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_get_whiteboard(PG_FUNCTION_ARGS)
{
	int64		whiteboard_id = require_int64(fcinfo, 0, "whiteboard_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(whiteboard_id), Int64GetDatum(user_id)};
	NestedParent whiteboard;
	NestedChildren stickers;
	OwnerScope	scope;
	PlanResult	found;
	Datum		result;

	owner_begin(&scope, fcinfo);
	found = plan_run(&whiteboard_of_member, PLAN_READ, values, NULL);
	if (found.nrows == 0)
		error_whiteboard_not_found(whiteboard_id);
	read_whiteboard(&whiteboard, &found);
	nested_read(&whiteboard_stickers, &whiteboard, PLAN_READ, &stickers);
	result = return_document(nested_document(&whiteboard_stickers, &whiteboard, &stickers));
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* Locks the whiteboard for a member of its group. */
static void
lock_whiteboard(NestedParent *whiteboard, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(whiteboard->id)};
	PlanResult	found = plan_run(&whiteboard_group, PLAN_WRITE, values, NULL);

	if (found.nrows == 0)
		error_whiteboard_not_found(whiteboard->id);
	whiteboard->shard = result_int64(&found, 0, 1);
	lock_membership(user_id, whiteboard->shard, MEMBER_WRITES);
	if (!nested_lock(&whiteboard_stickers, whiteboard))
		error_whiteboard_not_found(whiteboard->id);
}

/*
 * Not 40001: who gets that runs the same again, which would fail in the same
 * way for ever.  Here somebody has to look at what is there now.
 */
static void
check_version(const NestedParent *whiteboard, const NestedParams *params)
{
	if (params->has_version && params->version != whiteboard->version)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("whiteboard %lld has version %lld, not %lld",
						(long long) whiteboard->id, (long long) whiteboard->version,
						(long long) params->version),
				 errdetail("It was changed by another request."),
				 errhint("Read it again, with chatrel.get_whiteboard(%lld), and base the change on that.",
						 (long long) whiteboard->id),
				 err_table("whiteboards")));
}

Datum
chatrel_change_whiteboard(PG_FUNCTION_ARGS)
{
	NestedParent whiteboard = {.id = require_int64(fcinfo, 0, "whiteboard_id")};
	int64		user_id = acting_user(fcinfo);
	NestedParams *params;
	NestedChange change;
	OwnerScope	scope;
	int64		old_version;
	Datum		result;

	check_not_null(fcinfo, 1, "params");
	check_not_null(fcinfo, 2, "on_replace");
	params = nested_parse(&whiteboard_stickers, whiteboard.id, PG_GETARG_JSONB_P(1),
						  nested_on_replace(&whiteboard_stickers, PG_GETARG_TEXT_PP(2)));

	owner_begin(&scope, fcinfo);
	lock_whiteboard(&whiteboard, user_id);
	check_version(&whiteboard, params);
	old_version = whiteboard.version;
	if (!nested_change(&whiteboard_stickers, &whiteboard, params, &change))
		result = nested_errors(params);
	else
	{
		if (whiteboard.version != old_version)
			announce_change(&whiteboard, &change);
		result = nested_document(&whiteboard_stickers, &whiteboard, &change.children);
	}
	result = return_document(result);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
