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

#include "check.h"
#include "events.h"
#include "groups.h"
#include "identity.h"
#include "nested.h"

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
	"INSERT INTO chatrel.whiteboards (group_id) VALUES ($1)"
	" RETURNING id, group_id, version, created_at, updated_at",
	SPI_OK_INSERT_RETURNING, 1, {INT8OID}
};

static SqlPlan whiteboard_group = {
	"SELECT group_id FROM chatrel.whiteboards WHERE id" EQ "$1",
	SPI_OK_SELECT, 1, {INT8OID}
};

static SqlPlan whiteboard_of_member = {
	"SELECT w.id, w.group_id, w.version, w.created_at, w.updated_at"
	" FROM chatrel.whiteboards w"
	" WHERE w.id" EQ "$1 AND EXISTS"
	" (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "w.group_id AND m.user_id" EQ "$2)",
	SPI_OK_SELECT, 2, {INT8OID, INT8OID}
};

PG_FUNCTION_INFO_V1(chatrel_create_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_get_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_change_whiteboard);

/* A change is announced without its ids where they do not fit. */
static void
change_event(StringInfo event, const NestedParent *whiteboard, const NestedChange *change,
			 bool with_ids)
{
	event_open(event, "whiteboard_changed");
	event_int64(event, "id", whiteboard->id);
	event_int64(event, "group_id", whiteboard->shard);
	event_int64(event, "version", whiteboard->version);
	if (with_ids)
	{
		event_int64s(event, "inserted", change->inserted.ids, change->inserted.n);
		event_int64s(event, "updated", change->updated.ids, change->updated.n);
		event_int64s(event, "deleted", change->removed.ids, change->removed.n);
	}
	else
		event_true(event, "truncated");
	event_close(event);
}

static void
owe_change(const NestedParent *whiteboard, const NestedChange *change)
{
	StringInfoData event;

	change_event(&event, whiteboard, change, true);
	if (event.len > EVENT_MAX_LENGTH)
		change_event(&event, whiteboard, change, false);
	event_owe(EVENT_GROUP, whiteboard->shard, true, &event);
}

/* The whiteboard that the last plan gave. */
static void
whiteboard_result(NestedParent *whiteboard)
{
	whiteboard->id = plan_int64(0, 1);
	whiteboard->shard = plan_int64(0, 2);
	whiteboard->version = plan_int64(0, 3);
	whiteboard->created_at = plan_int64(0, 4);
	whiteboard->updated_at = plan_int64(0, 5);
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
	int64		user_id = acting_user(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(group_id)};
	NestedParent whiteboard;
	NestedChange nothing = {0};
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	require_member(user_id, group_id, MEMBER_WRITES);
	plan_run(&whiteboard_create, PLAN_WRITE, values, NULL);
	whiteboard_result(&whiteboard);
	owe_change(&whiteboard, &nothing);
	result = return_document(nested_document(&whiteboard_stickers, &whiteboard,
											 &nothing.children));
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_get_whiteboard(PG_FUNCTION_ARGS)
{
	int64		whiteboard_id = require_int64(fcinfo, 0, "whiteboard_id");
	int64		user_id = acting_user(fcinfo, 1);
	Datum		values[] = {Int64GetDatum(whiteboard_id), Int64GetDatum(user_id)};
	NestedParent whiteboard;
	NestedChildren stickers;
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	if (plan_run(&whiteboard_of_member, PLAN_READ, values, NULL) == 0)
		error_whiteboard_not_found(whiteboard_id);
	whiteboard_result(&whiteboard);
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

	if (plan_run(&whiteboard_group, PLAN_WRITE, values, NULL) == 0)
		error_whiteboard_not_found(whiteboard->id);
	whiteboard->shard = plan_int64(0, 1);
	require_member(user_id, whiteboard->shard, MEMBER_WRITES);
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
						 (long long) whiteboard->id)));
}

Datum
chatrel_change_whiteboard(PG_FUNCTION_ARGS)
{
	NestedParent whiteboard = {.id = require_int64(fcinfo, 0, "whiteboard_id")};
	int64		user_id = acting_user(fcinfo, 3);
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
			owe_change(&whiteboard, &change);
		result = nested_document(&whiteboard_stickers, &whiteboard, &change.children);
	}
	result = return_document(result);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
