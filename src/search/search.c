/*
 * search.c
 *	  Searching the messages of the user's groups.
 *
 * The index is asked for each group by itself (index_keys.c says why).  It gives
 * what may match, of which the newest that does is returned first: in a chat that
 * is what people look for, and pages of it stay where they are while others write.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/members.h"
#include "messages/message.h"
#include "search/cover.h"
#include "search/language.h"
#include "search/search.h"

#define MAX_QUERY_LENGTH	1024
#define MAX_MINUSES			16

/* The arguments of search_messages() */
enum
{
	ARG_QUERY,
	ARG_GROUP_ID,
	ARG_BEFORE_ID,
	ARG_MESSAGE_LIMIT
};

/*
 * $1 the groups, $2 the words, $3 before_id, $4 whether their words will do, $5 the language.
 * The index gives all there are, which are put in order by their ids alone; of what
 * they say only so much is read, and looked at, as the page takes.  A session may keep
 * the plan that was made while the table was small, when any way seems as good.  Hence
 * the subtraction of 0, so that no other index fits, and OFFSET 0 at the end, so that
 * the messages are looked up one by one.
 */
#define MESSAGES_THAT_HAVE(words) \
	"SELECT " MESSAGE_COLUMNS("t") " FROM (" \
	"SELECT i.group_id, i.id" \
	" FROM pg_catalog.unnest($1) g (group_id), chatrel.groups_messages i" \
	" WHERE chatrel.message_keys(i.group_id, i.message)" \
	" OPERATOR(pg_catalog." words ") chatrel.query_keys(g.group_id, $2)" \
	" AND i.message IS NOT NULL AND i.id OPERATOR(pg_catalog.-) 0" LT "$3" \
	" ORDER BY i.id DESC OFFSET 0" \
	") f CROSS JOIN LATERAL (SELECT * FROM chatrel.groups_messages m" \
	" WHERE m.group_id" EQ "f.group_id AND m.id" EQ "f.id OFFSET 0) t" \
	" WHERE $4 OR pg_catalog.to_tsvector($5, pg_catalog.substr(t.message, 1, " \
	CppAsString2(SEARCHED_CHARACTERS) ")) OPERATOR(pg_catalog.@@) $6" \
	" ORDER BY f.id DESC LIMIT $7"

static SqlPlan messages_with_all = {
	.sql = MESSAGES_THAT_HAVE("@>"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID, INT8OID, BOOLOID, REGCONFIGOID, TSQUERYOID, INT8OID),
	.by_index = true,
	.by_bitmap = true
};

static SqlPlan messages_with_any = {
	.sql = MESSAGES_THAT_HAVE("&&"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID, TEXTARRAYOID, INT8OID, BOOLOID, REGCONFIGOID, TSQUERYOID, INT8OID),
	.by_index = true,
	.by_bitmap = true
};

static SqlPlan groups_of_user = {
	.sql = "SELECT ARRAY(SELECT group_id FROM chatrel.groups_members WHERE user_id" EQ "$1)",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_search_messages);

/*
 * The query, but for minus signs of which there are so many without a word between
 * them that PostgreSQL would raise an internal error: blanks take their place.
 */
static text *
without_rows_of_minuses(const text *query)
{
	text	   *result = cstring_to_text_with_len(VARDATA_ANY(query), VARSIZE_ANY_EXHDR(query));
	char	   *data = VARDATA(result);
	int			minuses = 0;

	for (int i = 0; i < VARSIZE(result) - VARHDRSZ; i++)
	{
		if (data[i] == '-' && ++minuses > MAX_MINUSES)
			data[i] = ' ';
		else if (isalnum((unsigned char) data[i]) && !IS_HIGHBIT_SET(data[i]))
			minuses = 0;
	}
	return result;
}

/* An empty one finds nothing, as one of stop words does: people clear the field. */
static text *
require_query(FunctionCallInfo fcinfo)
{
	text	   *query;

	check_not_null(fcinfo, ARG_QUERY, "query");
	query = PG_GETARG_TEXT_PP(ARG_QUERY);
	if (VARSIZE_ANY_EXHDR(query) > 0)
		check_text(VARDATA_ANY(query), VARSIZE_ANY_EXHDR(query), "query",
				   MAX_QUERY_LENGTH, "the limit");
	return without_rows_of_minuses(query);
}

static Datum
array_of_words(const List *words)
{
	Datum	   *elements = palloc_array(Datum, list_length(words));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, words)
		elements[count++] = PointerGetDatum(lfirst(cell));
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The group that is asked for, of which the user must be a member, or all that are the user's. */
static Datum
groups_to_search(FunctionCallInfo fcinfo, int64 user_id)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	found;
	ArrayType  *groups;
	int64		group_id;

	if (!PG_ARGISNULL(ARG_GROUP_ID))
	{
		group_id = PG_GETARG_INT64(ARG_GROUP_ID);
		check_membership(user_id, group_id);
		return int64_array(&group_id, 1);
	}
	found = plan_run(&groups_of_user, PLAN_READ, values, NULL);
	groups = DatumGetArrayTypeP(result_datum(&found, 0, 1));
	if (ArrayGetNItems(ARR_NDIM(groups), ARR_DIMS(groups)) == 0)
		require_user(user_id);
	return PointerGetDatum(groups);
}

/* What the user's groups have of it, into the set that the caller returns. */
static void
fill_page(FunctionCallInfo fcinfo, int64 user_id, Datum language, TSQuery query, int64 limit)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Cover		cover = cover_of(query);
	bool		by_all = cover.all != NIL;
	Datum		groups = groups_to_search(fcinfo, user_id);
	Datum		values[] = {
		groups,
		array_of_words(by_all ? cover.all : cover.any),
		PG_ARGISNULL(ARG_BEFORE_ID) ? Int64GetDatum(PG_INT64_MAX) : PG_GETARG_DATUM(ARG_BEFORE_ID),
		BoolGetDatum(cover.exact),
		language,
		TSQueryGetDatum(query),
		Int64GetDatum(limit)
	};

	if (by_all || cover.any != NIL)
		plan_fill(by_all ? &messages_with_all : &messages_with_any, rsinfo, values, NULL);
}

Datum
chatrel_search_messages(PG_FUNCTION_ARGS)
{
	text	   *query = require_query(fcinfo);
	int64		limit = require_limit(fcinfo, ARG_MESSAGE_LIMIT, "message_limit");
	int64		user_id = acting_user(fcinfo);
	Datum		language = ObjectIdGetDatum(lock_search_language());
	int			nest_level = hush_notices();
	Datum		parsed = DirectFunctionCall2(websearch_to_tsquery_byid, language,
											 PointerGetDatum(query));
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);
	owner_begin(&scope, fcinfo);
	fill_page(fcinfo, user_id, language, DatumGetTSQuery(parsed), limit);
	owner_end(&scope);
	AtEOXact_GUC(true, nest_level);

	return (Datum) 0;
}
