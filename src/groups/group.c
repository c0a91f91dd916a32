/*
 * group.c
 *	  The shape of a group.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "groups/group.h"

/* The settings, from the first on */
enum
{
	VISIBILITY,
	JOIN_POLICY,
	POSTING,
	SLOW_MODE,
	DESCRIPTION,
	METADATA,
	ARCHIVED_AT,
	NSETTINGS
};

/* In GROUP_ROWS(): id and username; null where there is none */
#define GROUP_MEMBER	(GROUP_FIRST_SETTING + NSETTINGS)

/* A text that is not the usual one */
static void
json_setting(JsonWriter *json, const char *key, const PlanResult *result, uint64 row, int column,
			 const char *usual)
{
	const char *value = result_cstring(result, row, column);

	if (strcmp(value, usual) != 0)
		json_string(json, key, value);
}

static int64
interval_seconds(Datum interval)
{
	Datum		epoch = DirectFunctionCall2(interval_part, CStringGetTextDatum("epoch"), interval);

	return (int64) DatumGetFloat8(epoch);
}

void
json_group_settings(JsonWriter *json, const PlanResult *result, uint64 row, int column)
{
	json_setting(json, "visibility", result, row, column + VISIBILITY, "public");
	json_setting(json, "join_policy", result, row, column + JOIN_POLICY, "open");
	json_setting(json, "posting", result, row, column + POSTING, "everybody");
	if (!result_is_null(result, row, column + SLOW_MODE))
		json_int64(json, "slow_mode",
				   interval_seconds(result_datum(result, row, column + SLOW_MODE)));
	if (!result_is_null(result, row, column + DESCRIPTION))
		json_text(json, "description",
				  DatumGetTextPP(result_datum(result, row, column + DESCRIPTION)));
	if (!result_is_null(result, row, column + METADATA))
		json_jsonb(json, "metadata",
				   DatumGetJsonbP(result_datum(result, row, column + METADATA)));
	if (!result_is_null(result, row, column + ARCHIVED_AT))
		json_timestamp(json, "archived_at",
					   DatumGetTimestampTz(result_datum(result, row, column + ARCHIVED_AT)));
}

void
json_user(JsonWriter *json, const PlanResult *result, uint64 row, int column)
{
	json_begin_object(json, NULL);
	json_id(json, "id", result_int64(result, row, column));
	json_text(json, "username", DatumGetTextPP(result_datum(result, row, column + 1)));
	json_end_object(json);
}

uint64
json_group(JsonWriter *json, const PlanResult *groups, uint64 row, int64 member_limit)
{
	int64		id = result_int64(groups, row, GROUP_ID);
	uint64		first = row;
	int64		members = 0;

	json_id(json, "id", id);
	json_text(json, "name", result_is_null(groups, row, GROUP_NAME) ? NULL
			  : DatumGetTextPP(result_datum(groups, row, GROUP_NAME)));
	json_begin_array(json, "members");
	for (; row < groups->nrows && result_int64(groups, row, GROUP_ID) == id; row++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!result_is_null(groups, row, GROUP_MEMBER) && ++members <= member_limit)
			json_user(json, groups, row, GROUP_MEMBER);
	}
	json_end_array(json);
	if (members > member_limit)
		json_bool(json, "more_members", true);
	json_group_settings(json, groups, first, GROUP_FIRST_SETTING);
	return row;
}
