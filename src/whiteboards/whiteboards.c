/*
 * whiteboards.c
 *	  Whiteboards: the links that a group keeps in view.
 *
 * A whiteboard belongs to a group and carries stickers.  It is read and changed
 * as a whole, by the group's members.  How stickers become those of a request is
 * told in stickers.c; here is which users may do it, and hear of it.
 *
 * Locks are taken in the order membership, whiteboard, stickers; channels are
 * locked at commit, after all of them.  Whoever writes a sticker that is on a
 * whiteboard has locked the whiteboard before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "delivery/events.h"
#include "groups/members.h"
#include "whiteboards/stickers.h"
#include "whiteboards/whiteboard_document.h"

static SqlPlan whiteboard_create = {
	.sql = "INSERT INTO chatrel.whiteboards (group_id) VALUES ($1)"
	" RETURNING id, group_id, version, created_at, updated_at",
	.expected = SPI_OK_INSERT_RETURNING,
	PLAN_ARGS(INT8OID)
};

/* None of a group that the user cannot know of */
static SqlPlan whiteboard_group = {
	.sql = "SELECT w.group_id"
	" FROM chatrel.whiteboards w JOIN chatrel.groups g ON g.id" EQ "w.group_id"
	" WHERE w.id" EQ "$1 AND (g.visibility" EQ "'public' OR EXISTS"
	" (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "g.id AND m.user_id" EQ "$2))",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan whiteboard_of_member = {
	.sql = "SELECT w.id, w.group_id, w.version, w.created_at, w.updated_at"
	" FROM chatrel.whiteboards w"
	" WHERE w.id" EQ "$1 AND EXISTS"
	" (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "w.group_id AND m.user_id" EQ "$2)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan whiteboard_lock = {
	.sql = "SELECT version, created_at, updated_at FROM chatrel.whiteboards"
	" WHERE group_id" EQ "$1 AND id" EQ "$2 FOR NO KEY UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan whiteboard_touch = {
	.sql = "UPDATE chatrel.whiteboards"
	" SET version = version OPERATOR(pg_catalog.+) 1, updated_at = pg_catalog.now()"
	" WHERE group_id" EQ "$1 AND id" EQ "$2 RETURNING version",
	.expected = SPI_OK_UPDATE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* Its stickers go with it, by the foreign key. */
static SqlPlan whiteboard_delete = {
	.sql = "DELETE FROM chatrel.whiteboards WHERE group_id" EQ "$1 AND id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* A sticker may be on no whiteboard; it does not get on one again. */
static SqlPlan whiteboard_lock_by_sticker = {
	.sql = "SELECT FROM chatrel.stickers s JOIN chatrel.whiteboards w"
	" ON w.group_id" EQ "s.group_id AND w.id" EQ "s.whiteboard_id"
	" WHERE s.group_id" EQ "$1 AND s.id" EQ "$2 FOR NO KEY UPDATE OF w",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan whiteboard_exists = {
	.sql = "SELECT FROM chatrel.whiteboards WHERE group_id" EQ "$1 AND id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan sticker_exists = {
	.sql = "SELECT FROM chatrel.stickers WHERE group_id" EQ "$1 AND id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan sticker_delete = {
	.sql = "DELETE FROM chatrel.stickers WHERE group_id" EQ "$1 AND id" EQ "$2"
	" RETURNING whiteboard_id",
	.expected = SPI_OK_DELETE_RETURNING,
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_create_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_get_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_change_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_delete_whiteboard);
PG_FUNCTION_INFO_V1(chatrel_delete_sticker);

static void
error_whiteboard_not_found(int64 whiteboard_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("whiteboard %lld does not exist", (long long) whiteboard_id),
			 err_table("whiteboards")));
}

static void
json_ids(JsonWriter *json, const char *key, const IdList *ids)
{
	json_begin_array(json, key);
	for (int i = 0; i < ids->n; i++)
		json_id(json, NULL, ids->ids[i]);
	json_end_array(json);
}

static void
change_event(JsonWriter *event, const Whiteboard *whiteboard, const StickerChange *change,
			 bool with_ids)
{
	event_begin(event, "whiteboard_changed");
	json_id(event, "id", whiteboard->id);
	json_id(event, "group_id", whiteboard->group_id);
	json_int64(event, "version", whiteboard->version);
	if (with_ids)
	{
		json_ids(event, "inserted", &change->inserted);
		json_ids(event, "updated", &change->updated);
		json_ids(event, "moved", &change->moved);
		json_ids(event, "deleted", &change->removed);
	}
	else
		json_bool(event, "truncated", true);
}

/* A change is announced without its ids where they do not fit. */
static void
announce_change(const Whiteboard *whiteboard, const StickerChange *change)
{
	JsonWriter	event;

	change_event(&event, whiteboard, change, true);
	if (!event_fits(&event))
		change_event(&event, whiteboard, change, false);
	announce(EVENT_GROUP, whiteboard->group_id, true, &event);
}

static void
announce_deletion(const Whiteboard *whiteboard)
{
	JsonWriter	event;

	event_begin(&event, "whiteboard_deleted");
	json_id(&event, "id", whiteboard->id);
	json_id(&event, "group_id", whiteboard->group_id);
	announce(EVENT_GROUP, whiteboard->group_id, true, &event);
}

static void
read_whiteboard(Whiteboard *whiteboard, const PlanResult *found)
{
	whiteboard->id = result_int64(found, 0, 1);
	whiteboard->group_id = result_int64(found, 0, 2);
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
	Whiteboard	whiteboard;
	StickerChange nothing = {0};
	Stickers	no_stickers = {0};
	OwnerScope	scope;
	PlanResult	created;
	Datum		result;

	owner_begin(&scope, fcinfo);
	keep_group(group_id);
	lock_membership(user_id, group_id, ACT_CHANGE);
	created = plan_run(&whiteboard_create, PLAN_WRITE, values, NULL);
	check_changed(created.nrows, 1, "whiteboards");
	read_whiteboard(&whiteboard, &created);
	announce_change(&whiteboard, &nothing);
	result = return_document(whiteboard_document(&whiteboard, &no_stickers));
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_get_whiteboard(PG_FUNCTION_ARGS)
{
	int64		whiteboard_id = require_int64(fcinfo, 0, "whiteboard_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(whiteboard_id), Int64GetDatum(user_id)};
	Whiteboard	whiteboard;
	Stickers	stickers;
	OwnerScope	scope;
	PlanResult	found;
	Datum		result;

	owner_begin(&scope, fcinfo);
	found = plan_run(&whiteboard_of_member, PLAN_READ, values, NULL);
	if (found.nrows == 0)
		error_whiteboard_not_found(whiteboard_id);
	read_whiteboard(&whiteboard, &found);
	read_stickers(&whiteboard, PLAN_READ, &stickers);
	result = return_document(whiteboard_document(&whiteboard, &stickers));
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* Finds the group of a whiteboard, and locks the membership in it; false if there is none. */
static bool
lock_member_of(Whiteboard *whiteboard, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(whiteboard->id), Int64GetDatum(user_id)};
	PlanResult	found = plan_run(&whiteboard_group, PLAN_WRITE, values, NULL);

	if (found.nrows == 0)
		return false;
	whiteboard->group_id = result_int64(&found, 0, 1);
	keep_group(whiteboard->group_id);
	lock_membership(user_id, whiteboard->group_id, ACT_CHANGE);
	return true;
}

/* Locks the whiteboard, of which the id is given, for a member of its group. */
static void
lock_whiteboard(Whiteboard *whiteboard, int64 user_id)
{
	Datum		values[2];
	PlanResult	locked;

	if (!lock_member_of(whiteboard, user_id))
		error_whiteboard_not_found(whiteboard->id);
	values[0] = Int64GetDatum(whiteboard->group_id);
	values[1] = Int64GetDatum(whiteboard->id);
	locked = plan_run(&whiteboard_lock, PLAN_WRITE, values, NULL);
	if (locked.nrows == 0)
		error_whiteboard_not_found(whiteboard->id);
	whiteboard->version = result_int64(&locked, 0, 1);
	whiteboard->created_at = result_int64(&locked, 0, 2);
	whiteboard->updated_at = result_int64(&locked, 0, 3);
}

/* Gives a locked whiteboard a new version, and tells its group why. */
static void
touch_whiteboard(Whiteboard *whiteboard, const StickerChange *change)
{
	Datum		values[] = {Int64GetDatum(whiteboard->group_id), Int64GetDatum(whiteboard->id)};
	PlanResult	touched = plan_run(&whiteboard_touch, PLAN_WRITE, values, NULL);

	check_changed(touched.nrows, 1, "whiteboards");

	whiteboard->version = result_int64(&touched, 0, 1);
	whiteboard->updated_at = GetCurrentTransactionStartTimestamp();
	announce_change(whiteboard, change);
}

/*
 * Not 40001: a client that gets it runs the same again, which would fail in the same
 * way for ever.  Here somebody has to look at what is there now.
 */
static void
check_version(const Whiteboard *whiteboard, const StickerParams *params)
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
	Whiteboard	whiteboard = {.id = require_int64(fcinfo, 0, "whiteboard_id")};
	int64		user_id = acting_user(fcinfo);
	StickerParams *params;
	StickerChange change;
	OwnerScope	scope;
	Datum		result;

	check_not_null(fcinfo, 1, "params");
	check_not_null(fcinfo, 2, "on_replace");
	params = parse_sticker_params(whiteboard.id, PG_GETARG_JSONB_P(1),
								  parse_on_replace(PG_GETARG_TEXT_PP(2)));

	owner_begin(&scope, fcinfo);
	lock_whiteboard(&whiteboard, user_id);
	check_version(&whiteboard, params);
	if (!change_stickers(&whiteboard, params, &change))
		result = faults_document(params);
	else
	{
		if (stickers_changed(&change))
			touch_whiteboard(&whiteboard, &change);
		result = whiteboard_document(&whiteboard, &params->stickers);
	}
	result = return_document(result);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* False if there is no such whiteboard, which may have been deleted before. */
Datum
chatrel_delete_whiteboard(PG_FUNCTION_ARGS)
{
	Whiteboard	whiteboard = {.id = require_int64(fcinfo, 0, "whiteboard_id")};
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		deleted = false;

	owner_begin(&scope, fcinfo);
	if (lock_member_of(&whiteboard, user_id))
	{
		Datum		values[] = {Int64GetDatum(whiteboard.group_id), Int64GetDatum(whiteboard.id)};

		deleted = plan_run(&whiteboard_delete, PLAN_WRITE, values, NULL).nrows > 0;
		if (!deleted && plan_run(&whiteboard_exists, PLAN_LATEST, values, NULL).nrows > 0)
			error_change_suppressed("whiteboards");
	}
	if (deleted)
		announce_deletion(&whiteboard);
	owner_end(&scope);

	PG_RETURN_BOOL(deleted);
}

/*
 * Deletes a sticker, which is on a whiteboard, or was taken off it.  Of the
 * latter nobody is told: it was announced as deleted when it was taken off.
 */
static bool
delete_sticker(int64 group_id, int64 sticker_id)
{
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(sticker_id)};
	Whiteboard	whiteboard = {.group_id = group_id};
	StickerChange change = {.removed.n = 1};
	PlanResult	deleted;

	change.removed.ids = &sticker_id;
	plan_run(&whiteboard_lock_by_sticker, PLAN_WRITE, values, NULL);
	deleted = plan_run(&sticker_delete, PLAN_WRITE, values, NULL);
	if (deleted.nrows == 0)
	{
		if (plan_run(&sticker_exists, PLAN_WRITE, values, NULL).nrows > 0)
			error_change_suppressed("stickers");
		return false;
	}
	if (!result_is_null(&deleted, 0, 1))
	{
		whiteboard.id = result_int64(&deleted, 0, 1);
		touch_whiteboard(&whiteboard, &change);
	}
	return true;
}

Datum
chatrel_delete_sticker(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		sticker_id = require_int64(fcinfo, 1, "sticker_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		deleted;

	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_CHANGE);
	deleted = delete_sticker(group_id, sticker_id);
	owner_end(&scope);

	PG_RETURN_BOOL(deleted);
}
