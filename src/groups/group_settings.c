/*
 * group_settings.c
 *	  What a group is like, and who may find and enter it: changing that.
 *
 * The group is locked first, and then the membership of who changes it.  A name is
 * no key of the table's (sql/parts/groups.sql), so that a change does not conflict
 * with those who refer to the group: they join, invite and send meanwhile.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/identity.h"
#include "delivery/record.h"
#include "groups/group.h"
#include "groups/group_settings.h"
#include "groups/members.h"

#define MAX_DESCRIPTION_BYTES	4096

const char *const visibilities[] = {"public", "private", NULL};
const char *const join_policies[] = {"open", "request", NULL};
static const char *const postings[] = {"everybody", "moderators", NULL};

/* The arguments of update_group() */
enum
{
	ARG_GROUP_ID,
	ARG_NAME,
	ARG_DESCRIPTION,
	ARG_METADATA,
	ARG_VISIBILITY,
	ARG_JOIN_POLICY,
	ARG_POSTING,
	ARG_SLOW_MODE,
	NARGS_UPDATED
};

static SqlPlan name_taken = {
	.sql = "SELECT FROM chatrel.groups"
	" WHERE name" EQ "$1 AND visibility" EQ "'public' AND id" NE "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(TEXTOID, INT8OID)
};

static SqlPlan group_lock = {
	.sql = "SELECT " GROUP_COLUMNS("g") " FROM chatrel.groups g"
	" WHERE g.id" EQ "$1 FOR NO KEY UPDATE",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

/* Null leaves as it is, and what is empty takes away. */
#define CHANGED(parameter, column, empty) \
	column " = CASE WHEN " parameter " IS NULL THEN g." column \
	" WHEN " parameter EQ empty " THEN NULL ELSE " parameter " END"

static SqlPlan group_update = {
	.sql = "UPDATE chatrel.groups g SET name = COALESCE($2, g.name),"
	" " CHANGED("$3", "description", "''") ", " CHANGED("$4", "metadata", "'{}'") ","
	" visibility = COALESCE($5, g.visibility), join_policy = COALESCE($6, g.join_policy),"
	" posting = COALESCE($7, g.posting), " CHANGED("$8", "slow_mode", "'0'")
	" WHERE g.id" EQ "$1 RETURNING " GROUP_COLUMNS("g"),
	.expected = SPI_OK_UPDATE_RETURNING,
	PLAN_ARGS(INT8OID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID, TEXTOID, INTERVALOID)
};

static SqlPlan group_archive = {
	.sql = "UPDATE chatrel.groups g SET archived_at = CASE WHEN $2 THEN pg_catalog.now() END"
	" WHERE g.id" EQ "$1 AND (g.archived_at IS NOT NULL)" NE "$2"
	" RETURNING " GROUP_COLUMNS("g"),
	.expected = SPI_OK_UPDATE_RETURNING,
	PLAN_ARGS(INT8OID, BOOLOID)
};

PG_FUNCTION_INFO_V1(chatrel_update_group);
PG_FUNCTION_INFO_V1(chatrel_archive_group);

/* ---------- arguments ---------- */

const char *
require_choice(FunctionCallInfo fcinfo, int argno, const char *name, const char *const *choices)
{
	char	   *value;

	check_not_null(fcinfo, argno, name);
	value = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	for (const char *const *choice = choices; *choice != NULL; choice++)
		if (strcmp(value, *choice) == 0)
			return *choice;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be %s or %s, not \"%s\"", name, choices[0], choices[1], value)));
}

/* May be empty: there is none then. */
text *
require_description(FunctionCallInfo fcinfo, int argno)
{
	text	   *description = PG_GETARG_TEXT_PP(argno);

	check_bytes(VARSIZE_ANY_EXHDR(description), MAX_DESCRIPTION_BYTES, "description");
	return description;
}

static Interval *
require_slow_mode(FunctionCallInfo fcinfo)
{
	Interval   *slow_mode = PG_GETARG_INTERVAL_P(ARG_SLOW_MODE);
	int64		days = slow_mode->day + (int64) slow_mode->month * DAYS_PER_MONTH;

	if (slow_mode->time < 0 || slow_mode->month < 0 || slow_mode->day < 0 ||
		days > 1 || days * USECS_PER_DAY + slow_mode->time > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slow_mode must be from 0 to 1 day")));
	return slow_mode;
}

void
check_name_free(text *name, int64 group_id)
{
	Datum		values[] = {PointerGetDatum(name), Int64GetDatum(group_id)};

	if (plan_run(&name_taken, PLAN_LATEST, values, NULL).nrows > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("group \"%s\" already exists", text_to_cstring(name)),
				 err_constraint("groups", "groups_name_key")));
}

/* ---------- changing ---------- */

/* Then its name is looked for: that of a private group may be anybody's. */
static bool
will_be_public(const PlanResult *group, const Datum *values, const char *nulls)
{
	bool		is_public = strcmp(result_cstring(group, 0, GROUP_FIRST_SETTING), "public") == 0;

	if (nulls[ARG_VISIBILITY] == ' ')
		is_public = strcmp(TextDatumGetCString(values[ARG_VISIBILITY]), "public") == 0;
	return is_public;
}

/* What is passed as values of the plan; those that are null stay so. */
static void
read_changes(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	if (!PG_ARGISNULL(ARG_NAME))
		values[ARG_NAME] = PointerGetDatum(require_text(fcinfo, ARG_NAME, "name",
														guc_max_name_length,
														"chatrel.max_name_length"));
	if (!PG_ARGISNULL(ARG_DESCRIPTION))
		values[ARG_DESCRIPTION] = PointerGetDatum(require_description(fcinfo, ARG_DESCRIPTION));
	if (!PG_ARGISNULL(ARG_METADATA))
		values[ARG_METADATA] = PointerGetDatum(require_metadata(fcinfo, ARG_METADATA));
	if (!PG_ARGISNULL(ARG_VISIBILITY))
		values[ARG_VISIBILITY] = CStringGetTextDatum(require_choice(fcinfo, ARG_VISIBILITY,
																	"visibility", visibilities));
	if (!PG_ARGISNULL(ARG_JOIN_POLICY))
		values[ARG_JOIN_POLICY] = CStringGetTextDatum(require_choice(fcinfo, ARG_JOIN_POLICY,
																	 "join_policy", join_policies));
	if (!PG_ARGISNULL(ARG_POSTING))
		values[ARG_POSTING] = CStringGetTextDatum(require_choice(fcinfo, ARG_POSTING,
																 "posting", postings));
	if (!PG_ARGISNULL(ARG_SLOW_MODE))
		values[ARG_SLOW_MODE] = IntervalPGetDatum(require_slow_mode(fcinfo));
	for (int i = 0; i < NARGS_UPDATED; i++)
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
}

/* The whole state of the group: a reader who has missed the one before lacks nothing. */
static void
record_change(const PlanResult *group, int64 actor_id)
{
	JsonWriter	detail;
	RecordedEvent changed = {
		.kind = "group_changed",
		.group_id = result_int64(group, 0, GROUP_ID),
		.actor_id = actor_id
	};

	json_begin_jsonb(&detail);
	detail.utc = true;
	json_begin_object(&detail, NULL);
	json_text(&detail, "name", DatumGetTextPP(result_datum(group, 0, GROUP_NAME)));
	json_group_settings(&detail, group, 0, GROUP_FIRST_SETTING);
	json_end_object(&detail);
	changed.detail = DatumGetJsonbP(json_end_jsonb(&detail));
	record_event(&changed);
}

static bool
same_rows(const PlanResult *a, const PlanResult *b)
{
	for (int column = GROUP_ID; column <= a->rows->tupdesc->natts; column++)
	{
		FormData_pg_attribute *attr = TupleDescAttr(a->rows->tupdesc, column - 1);

		if (result_is_null(a, 0, column) != result_is_null(b, 0, column))
			return false;
		if (!result_is_null(a, 0, column) &&
			!datum_image_eq(result_datum(a, 0, column), result_datum(b, 0, column),
							attr->attbyval, attr->attlen))
			return false;
	}
	return true;
}

/* Of two groups that take one name at the same time the second fails by the index. */
static PlanResult
update_group(Datum *values, const char *nulls, int64 user_id)
{
	int64		group_id = DatumGetInt64(values[ARG_GROUP_ID]);
	PlanResult	group = plan_run(&group_lock, PLAN_WRITE, values, NULL);
	Membership	member;
	PlanResult	updated;

	hold_membership(&member, user_id, group_id, ACT_DESCRIBE);
	require_act(&member, ACT_DESCRIBE);
	if (nulls[ARG_VISIBILITY] == ' ' || nulls[ARG_JOIN_POLICY] == ' ')
		require_act(&member, ACT_OPEN);
	if (will_be_public(&group, values, nulls))
		check_name_free(nulls[ARG_NAME] == ' ' ? DatumGetTextPP(values[ARG_NAME])
						: DatumGetTextPP(result_datum(&group, 0, GROUP_NAME)), group_id);
	updated = plan_run(&group_update, PLAN_WRITE, values, nulls);
	if (updated.nrows == 0)
		error_change_suppressed("groups");
	if (!same_rows(&group, &updated))
		record_change(&updated, user_id);
	return updated;
}

Datum
chatrel_update_group(PG_FUNCTION_ARGS)
{
	Datum		values[NARGS_UPDATED] = {0};
	char		nulls[NARGS_UPDATED + 1] = "";
	int64		user_id;
	OwnerScope	scope;
	PlanResult	updated;
	Datum		result;

	values[ARG_GROUP_ID] = Int64GetDatum(require_int64(fcinfo, ARG_GROUP_ID, "group_id"));
	read_changes(fcinfo, values, nulls);
	user_id = acting_user(fcinfo);

	PreventCommandIfReadOnly("chatrel.update_group()");
	owner_begin(&scope, fcinfo);
	updated = update_group(values, nulls, user_id);
	result = result_as_row(&updated, 0, fcinfo);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

/* ---------- archiving ---------- */

Datum
chatrel_archive_group(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	bool		archived = require_bool(fcinfo, 1, "archived");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), BoolGetDatum(archived)};
	OwnerScope	scope;
	PlanResult	changed;

	PreventCommandIfReadOnly("chatrel.archive_group()");
	owner_begin(&scope, fcinfo);
	plan_run(&group_lock, PLAN_WRITE, values, NULL);
	lock_membership(user_id, group_id, ACT_DISPOSE);
	changed = plan_run(&group_archive, PLAN_WRITE, values, NULL);
	if (changed.nrows > 0)
		record_change(&changed, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(changed.nrows > 0);
}
