/*
 * nested_document.c
 *	  What is answered: a parent with all of its children, or what is wrong.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "json.h"
#include "nested.h"

static void
push_child(JsonbInState *state, const NestedAssociation *association,
		   const NestedChild *child)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	json_add_int64(state, "id", child->id);
	for (int i = 0; i < association->nfields; i++)
		json_add_text(state, association->fields[i].name, child->values[i]);
	json_add_timestamp(state, "created_at", child->created_at);
	json_add_timestamp(state, "updated_at", child->updated_at);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_children(JsonbInState *state, const NestedAssociation *association,
			  const NestedChildren *children)
{
	if (association->cardinality == NESTED_HAS_ONE && children->n == 0)
	{
		json_add_text(state, association->name, NULL);
		return;
	}
	json_key(state, association->name);
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
	json_add_int64(&state, "id", parent->id);
	json_add_int64(&state, association->shard_key, parent->shard);
	json_add_int64(&state, "version", parent->version);
	json_add_timestamp(&state, "created_at", parent->created_at);
	json_add_timestamp(&state, "updated_at", parent->updated_at);
	push_children(&state, association, children);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}

/* {"valid": false, "errors": {path: [problem, ...]}}; the faults of a path follow each other. */
Datum
nested_errors(const NestedParams *params)
{
	JsonbInState state = {0};
	const char *path = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_add_bool(&state, "valid", false);
	json_key(&state, "errors");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < params->nfaults; i++)
	{
		if (path == NULL || strcmp(path, params->faults[i].path) != 0)
		{
			if (path != NULL)
				pushJsonbValue(&state, WJB_END_ARRAY, NULL);
			path = params->faults[i].path;
			json_key(&state, path);
			pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		}
		json_element(&state, params->faults[i].problem);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}
