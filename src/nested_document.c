/*
 * nested_document.c
 *	  What is answered: a parent with all of its children, or what is wrong.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "compat.h"
#include "nested.h"

static void
push_string(JsonbInState *state, JsonbIteratorToken token, const char *string)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, token, &value);
}

static void
push_int64(JsonbInState *state, const char *key, int64 number)
{
	JsonbValue	value;

	push_string(state, WJB_KEY, key);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_text(JsonbInState *state, const char *key, const text *string)
{
	JsonbValue	value;

	push_string(state, WJB_KEY, key);
	value.type = jbvNull;
	if (string != NULL)
	{
		value.type = jbvString;
		value.val.string.val = VARDATA_ANY(string);
		value.val.string.len = VARSIZE_ANY_EXHDR(string);
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_timestamp(JsonbInState *state, const char *key, TimestampTz timestamp)
{
	char		string[MAXDATELEN + 1];

	JsonEncodeDateTime(string, TimestampTzGetDatum(timestamp), TIMESTAMPTZOID, NULL);
	push_string(state, WJB_KEY, key);
	push_string(state, WJB_VALUE, pstrdup(string));
}

static void
push_child(JsonbInState *state, const NestedAssociation *association,
		   const NestedChild *child)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_int64(state, "id", child->id);
	for (int i = 0; i < association->nfields; i++)
		push_text(state, association->fields[i].name, child->values[i]);
	push_timestamp(state, "created_at", child->created_at);
	push_timestamp(state, "updated_at", child->updated_at);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_children(JsonbInState *state, const NestedAssociation *association,
			  const NestedChildren *children)
{
	if (association->cardinality == NESTED_HAS_ONE && children->n == 0)
	{
		push_text(state, association->name, NULL);
		return;
	}
	push_string(state, WJB_KEY, association->name);
	if (association->cardinality == NESTED_HAS_ONE)
	{
		push_child(state, association, &children->rows[0]);
		return;
	}
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < children->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		push_child(state, association, &children->rows[i]);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The whole parent. */
Datum
nested_document(const NestedAssociation *association, const NestedParent *parent,
				const NestedChildren *children)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_int64(&state, "id", parent->id);
	push_int64(&state, association->shard_key, parent->shard);
	push_int64(&state, "version", parent->version);
	push_timestamp(&state, "created_at", parent->created_at);
	push_timestamp(&state, "updated_at", parent->updated_at);
	push_children(&state, association, children);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}

/* {"valid": false, "errors": {path: [problem, ...]}}; the faults of a path follow each other. */
Datum
nested_errors(const NestedParams *params)
{
	JsonbInState state = {0};
	JsonbValue	valid = {.type = jbvBool, .val.boolean = false};
	const char *path = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, WJB_KEY, "valid");
	pushJsonbValue(&state, WJB_VALUE, &valid);
	push_string(&state, WJB_KEY, "errors");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < params->nfaults; i++)
	{
		if (path == NULL || strcmp(path, params->faults[i].path) != 0)
		{
			if (path != NULL)
				pushJsonbValue(&state, WJB_END_ARRAY, NULL);
			path = params->faults[i].path;
			push_string(&state, WJB_KEY, path);
			pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		}
		push_string(&state, WJB_ELEM, params->faults[i].problem);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}
