/*
 * json.h
 *	  The making of JSON, value by value, for documents and events.
 *
 * A JsonWriter writes the same calls as a text, which NOTIFY takes, or as a
 * jsonb, which functions return; so an event that is heard and the same event
 * in a document have one description.  Times in a text are in UTC, since its
 * reader may have set another time zone; in a jsonb in the session's, unless the
 * writer is told otherwise.
 *
 * An id is a number or a string, as chatrel.json_ids says: a client whose numbers
 * are doubles takes ids above 2^53 for others.
 */
#ifndef CHATREL_JSON_H
#define CHATREL_JSON_H

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "core/compat.h"

typedef struct JsonWriter
{
	bool		as_text;
	bool		utc;			/* times, whatever the session's time zone */
	int			ids;			/* JsonIds: the session's, unless it is told
								 * otherwise */
	StringInfoData text;
	JsonbInState state;
} JsonWriter;

extern void json_begin_text(JsonWriter *json);
extern void json_begin_jsonb(JsonWriter *json);
extern const char *json_end_text(JsonWriter *json);
extern Datum json_end_jsonb(JsonWriter *json);

/* The key must live as long as the writer; null for the whole and in an array. */
extern void json_begin_object(JsonWriter *json, const char *key);
extern void json_end_object(JsonWriter *json);
extern void json_begin_array(JsonWriter *json, const char *key);
extern void json_end_array(JsonWriter *json);
extern void json_bool(JsonWriter *json, const char *key, bool value);
extern void json_id(JsonWriter *json, const char *key, int64 id);
extern void json_int64(JsonWriter *json, const char *key, int64 value);
extern void json_string(JsonWriter *json, const char *key, const char *value);
extern void json_text(JsonWriter *json, const char *key, const text *value);

/* A document as a value; it is written as it is. */
extern void json_jsonb(JsonWriter *json, const char *key, Jsonb *value);

/* The keys of an object become keys of the one that is written. */
extern void json_merge(JsonWriter *json, Jsonb *object);
extern void json_timestamp(JsonWriter *json, const char *key, TimestampTz value);

#endif							/* CHATREL_JSON_H */
