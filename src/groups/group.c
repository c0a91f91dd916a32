/*
 * group.c
 *	  The shape of a group.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "groups/group.h"

/* The columns of GROUP_ROWS() */
enum
{
	GROUP_ID = 1,
	GROUP_NAME,
	GROUP_MEMBER				/* id and username; null where there is none */
};

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
	int64		members = 0;

	json_id(json, "id", id);
	json_text(json, "name", DatumGetTextPP(result_datum(groups, row, GROUP_NAME)));
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
	return row;
}
