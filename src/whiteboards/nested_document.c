/*
 * nested_document.c
 *	  What is answered: a parent with all of its children, or what is wrong.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/json.h"
#include "whiteboards/nested.h"

static void
push_child(JsonWriter *json, const NestedAssociation *association,
		   const NestedChild *child)
{
	json_begin_object(json, NULL);
	json_id(json, "id", child->id);
	for (int i = 0; i < association->nfields; i++)
		json_text(json, association->fields[i].name, child->values[i]);
	json_timestamp(json, "created_at", child->created_at);
	json_timestamp(json, "updated_at", child->updated_at);
	json_end_object(json);
}

static void
push_children(JsonWriter *json, const NestedAssociation *association,
			  const NestedChildren *children)
{
	json_begin_array(json, association->name);
	for (int i = 0; i < children->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		push_child(json, association, &children->rows[i]);
	}
	json_end_array(json);
}

/* The whole parent. */
Datum
nested_document(const NestedAssociation *association, const NestedParent *parent,
				const NestedChildren *children)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_id(&json, "id", parent->id);
	json_id(&json, association->shard_key, parent->shard);
	json_int64(&json, "version", parent->version);
	json_timestamp(&json, "created_at", parent->created_at);
	json_timestamp(&json, "updated_at", parent->updated_at);
	push_children(&json, association, children);
	json_end_object(&json);
	return json_end_jsonb(&json);
}

/* {"valid": false, "errors": {path: [problem, ...]}}; the faults of a path follow each other. */
Datum
nested_errors(const NestedParams *params)
{
	JsonWriter	json;
	const char *path = NULL;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_bool(&json, "valid", false);
	json_begin_object(&json, "errors");
	for (int i = 0; i < params->nfaults; i++)
	{
		if (path == NULL || strcmp(path, params->faults[i].path) != 0)
		{
			if (path != NULL)
				json_end_array(&json);
			path = params->faults[i].path;
			json_begin_array(&json, path);
		}
		json_string(&json, NULL, params->faults[i].problem);
	}
	json_end_array(&json);
	json_end_object(&json);
	json_end_object(&json);
	return json_end_jsonb(&json);
}
