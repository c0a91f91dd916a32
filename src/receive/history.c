/*
 * history.c
 *	  Reading what was said in a group, page by page.
 *
 * The first page of a client comes with the cursor that sync() goes on from.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/group.h"
#include "groups/members.h"
#include "messages/message.h"
#include "receive/sync.h"

static SqlPlan messages_page = {
	.sql = "SELECT " MESSAGE_COLUMNS("t")
	" FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.id" LT "$2"
	" ORDER BY t.id DESC LIMIT $3",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

static SqlPlan group_rows = {
	.sql = GROUP_ROWS("chatrel.groups g", "g.id" EQ "$1", "$2", ""),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_group_messages);
PG_FUNCTION_INFO_V1(chatrel_get_group_with_chat_history);

/* The arguments of a page: what is older than before_id, at most message_limit. */
static void
page_arguments(FunctionCallInfo fcinfo, Datum *values)
{
	values[0] = Int64GetDatum(require_int64(fcinfo, 0, "group_id"));
	values[1] = Int64GetDatum(PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1));
	values[2] = Int64GetDatum(require_limit(fcinfo, 2, "message_limit"));
}

Datum
chatrel_group_messages(PG_FUNCTION_ARGS)
{
	Datum		values[3];
	int64		user_id;
	OwnerScope	scope;

	page_arguments(fcinfo, values);
	user_id = acting_user(fcinfo);
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	check_membership(user_id, DatumGetInt64(values[0]));
	plan_fill(&messages_page, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL);
	owner_end(&scope);

	return (Datum) 0;
}

/* The messages of a page, which is newest first, oldest first; "more" where not all of it fits. */
static void
json_messages(JsonWriter *json, const PlanResult *page)
{
	uint64		nmessages = messages_that_fit(page, page->nrows);

	if (nmessages < page->nrows)
		json_bool(json, "more", true);
	json_begin_array(json, "messages");
	for (uint64 row = nmessages; row-- > 0;)
	{
		Message		message;

		CHECK_FOR_INTERRUPTS();
		read_message(&message, page, row);
		json_begin_object(json, NULL);
		json_message(json, &message);
		json_end_object(json);
	}
	json_end_array(json);
}

Datum
chatrel_get_group_with_chat_history(PG_FUNCTION_ARGS)
{
	Datum		values[3];
	Datum		group_values[2];
	int64		group_id;
	int64		member_limit;
	int64		user_id;
	OwnerScope	scope;
	PlanResult	group;
	PlanResult	page;
	JsonWriter	json;
	Datum		result;

	page_arguments(fcinfo, values);
	values[2] = Int64GetDatum(Min(DatumGetInt64(values[2]), PAGE_MAX_MESSAGES + 1));
	group_id = DatumGetInt64(values[0]);
	member_limit = require_integer(fcinfo, 3, "member_limit", 0);
	group_values[0] = values[0];
	group_values[1] = Int64GetDatum(member_limit + 1);
	user_id = acting_user(fcinfo);

	owner_begin(&scope, fcinfo);
	check_membership(user_id, group_id);
	group = plan_run(&group_rows, PLAN_READ, group_values, NULL);
	if (group.nrows == 0)
		error_group_not_found(group_id);
	page = plan_run(&messages_page, PLAN_READ, values, NULL);

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_group(&json, &group, 0, member_limit);
	json_messages(&json, &page);
	json_string(&json, "cursor", cursor_text(cursor_of_now(user_id, group_id)));
	json_end_object(&json);
	result = SPI_datumTransfer(json_end_jsonb(&json), false, -1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
