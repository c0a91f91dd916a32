/*
 * whiteboard_document.c
 *	  What is answered: a whiteboard with all of its stickers, or what is wrong.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/json.h"
#include "whiteboards/whiteboard_document.h"

static void
json_sticker(JsonWriter *json, const Sticker *sticker)
{
	json_begin_object(json, NULL);
	json_id(json, "id", sticker->id);
	json_text(json, "url", sticker->url);
	json_text(json, "title", sticker->title);
	json_timestamp(json, "created_at", sticker->created_at);
	json_timestamp(json, "updated_at", sticker->updated_at);
	json_end_object(json);
}

static void
json_stickers(JsonWriter *json, const Stickers *stickers)
{
	json_begin_array(json, "stickers");
	for (int i = 0; i < stickers->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		json_sticker(json, &stickers->rows[i]);
	}
	json_end_array(json);
}

Datum
whiteboard_document(const Whiteboard *whiteboard, const Stickers *stickers)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_id(&json, "id", whiteboard->id);
	json_id(&json, "group_id", whiteboard->group_id);
	json_int64(&json, "version", whiteboard->version);
	json_timestamp(&json, "created_at", whiteboard->created_at);
	json_timestamp(&json, "updated_at", whiteboard->updated_at);
	json_stickers(&json, stickers);
	json_end_object(&json);
	return json_end_jsonb(&json);
}

/* {"valid": false, "errors": {path: [problem, ...]}}; the faults of a path follow each other. */
Datum
faults_document(const StickerParams *params)
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
