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
#include "messages/reactions.h"
#include "receive/sync.h"

#define MESSAGES_AFTER \
	"SELECT " MESSAGE_COLUMNS("t") " FROM chatrel.groups_messages t" \
	" WHERE t.group_id" EQ "$1 AND t.id" GT "$2 ORDER BY t.id LIMIT $3"

/* The last of those before $2 come first */
static SqlPlan messages_before = {
	.sql = "SELECT " MESSAGE_COLUMNS("t")
	" FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.id" LT "$2"
	" ORDER BY t.id DESC LIMIT $3",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

/* The first of those after $2 come first, for a document */
static SqlPlan messages_after = {
	.sql = MESSAGES_AFTER,
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

/* The same, newest first, for a set */
static SqlPlan messages_after_newest_first = {
	.sql = "SELECT t.* FROM (" MESSAGES_AFTER ") t ORDER BY t.id DESC",
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

/* What a page is to have on either side of a place between two ids. */
typedef struct MessagePage
{
	int64		group_id;
	int64		before;			/* what is older has a lower id than that */
	int64		older;			/* how many of these; 0 for none */
	int64		after;			/* and what is newer a higher than that */
	int64		newer;
} MessagePage;

/* One side of it, as a plan takes it */
#define PAGE_VALUES(page, place, count) \
	{Int64GetDatum((page)->group_id), Int64GetDatum(place), Int64GetDatum(count)}

/* Where a page is to be: the argument that says so, and at most one does. */
static int
place_argument(FunctionCallInfo fcinfo)
{
	static const int places[] = {1, 3, 4};
	int			found = 0;

	for (int i = 0; i < lengthof(places); i++)
	{
		if (PG_ARGISNULL(places[i]))
			continue;
		if (found != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("only one of before_id, after_id and around_id may be given")));
		found = places[i];
	}
	return found;
}

/* The arguments of a page: the last messages, or those before, after or around an id. */
static void
page_arguments(FunctionCallInfo fcinfo, MessagePage *page)
{
	int			argument = place_argument(fcinfo);
	int64		place = argument == 0 ? PG_INT64_MAX : PG_GETARG_INT64(argument);
	int64		limit = require_limit(fcinfo, 2, "message_limit");

	page->group_id = require_int64(fcinfo, 0, "group_id");
	page->before = place;
	page->after = place;
	page->newer = 0;
	if (argument == 3)
		page->newer = limit;
	else if (argument == 4)
	{
		page->newer = limit / 2;
		page->before = place == PG_INT64_MAX ? place : place + 1;
	}
	page->older = limit - page->newer;
}

/* Newest first, whatever the page */
Datum
chatrel_group_messages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MessagePage page;
	int64		user_id;
	OwnerScope	scope;

	page_arguments(fcinfo, &page);
	user_id = acting_user(fcinfo);
	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	check_membership(user_id, page.group_id);
	if (page.newer > 0)
	{
		Datum		newer[] = PAGE_VALUES(&page, page.after, page.newer);

		plan_fill(&messages_after_newest_first, rsinfo, newer, NULL);
	}
	if (page.older > 0)
	{
		Datum		older[] = PAGE_VALUES(&page, page.before, page.older);

		plan_fill(&messages_before, rsinfo, older, NULL);
	}
	owner_end(&scope);

	return (Datum) 0;
}

/* One side of a page, from its place outwards, as far as a document takes it */
static PlanResult
page_side(SqlPlan *plan, const MessagePage *page, int64 place, int64 count, bool *more)
{
	Datum		values[] = PAGE_VALUES(page, place, Min(count, PAGE_MAX_MESSAGES + 1));
	PlanResult	side = {0};
	uint64		nrows;

	if (count == 0)
		return side;
	side = plan_run(plan, PLAN_READ, values, NULL);
	nrows = side.nrows;
	side.nrows = messages_that_fit(&side, nrows);
	*more |= side.nrows < nrows;
	return side;
}

/* Of the messages on both sides */
static void
read_reactions_of_page(Reactions *reactions, int64 user_id, const MessagePage *page,
					   const PlanResult *older, const PlanResult *newer)
{
	int64	   *ids = palloc_array(int64, older->nrows + newer->nrows + 1);
	int			n = 0;

	for (uint64 row = 0; row < older->nrows; row++)
		ids[n++] = result_int64(older, row, MESSAGE_ID);
	for (uint64 row = 0; row < newer->nrows; row++)
		ids[n++] = result_int64(newer, row, MESSAGE_ID);
	read_reactions(reactions, user_id, page->group_id, ids, n);
	pfree(ids);
}

static void
json_message_of_page(JsonWriter *json, const PlanResult *side, uint64 row,
					 const Reactions *reactions)
{
	Message		message;

	CHECK_FOR_INTERRUPTS();
	read_message(&message, side, row);
	json_begin_object(json, NULL);
	json_message(json, &message);
	json_reactions(json, reactions, message.id);
	json_end_object(json);
}

/* The messages of a page, oldest first; "more" where not all of it fits. */
static void
json_messages(JsonWriter *json, const MessagePage *page, int64 user_id)
{
	bool		more = false;
	PlanResult	older = page_side(&messages_before, page, page->before, page->older, &more);
	PlanResult	newer = page_side(&messages_after, page, page->after, page->newer, &more);
	Reactions	reactions;

	read_reactions_of_page(&reactions, user_id, page, &older, &newer);
	if (more)
		json_bool(json, "more", true);
	json_begin_array(json, "messages");
	for (uint64 row = older.nrows; row-- > 0;)
		json_message_of_page(json, &older, row, &reactions);
	for (uint64 row = 0; row < newer.nrows; row++)
		json_message_of_page(json, &newer, row, &reactions);
	json_end_array(json);
}

Datum
chatrel_get_group_with_chat_history(PG_FUNCTION_ARGS)
{
	Datum		group_values[2];
	MessagePage page;
	int64		member_limit;
	int64		user_id;
	OwnerScope	scope;
	PlanResult	group;
	JsonWriter	json;
	Datum		result;

	page_arguments(fcinfo, &page);
	member_limit = require_integer(fcinfo, 5, "member_limit", 0);
	group_values[0] = Int64GetDatum(page.group_id);
	group_values[1] = Int64GetDatum(member_limit + 1);
	user_id = acting_user(fcinfo);

	owner_begin(&scope, fcinfo);
	check_membership(user_id, page.group_id);
	group = plan_run(&group_rows, PLAN_READ, group_values, NULL);
	if (group.nrows == 0)
		error_group_not_found(page.group_id);

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_group(&json, &group, 0, member_limit);
	json_messages(&json, &page, user_id);
	json_string(&json, "cursor", cursor_text(cursor_of_now(user_id, page.group_id)));
	json_end_object(&json);
	result = SPI_datumTransfer(json_end_jsonb(&json), false, -1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
