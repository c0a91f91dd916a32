/*
 * json.c
 *	  JSON documents that are made value by value.
 *
 * For documents with many rows, where a function call in SQL for each value
 * would cost more than the reading.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "json.h"

static void
push_string(JsonbInState *state, JsonbIteratorToken token, const char *string, int length)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = length;
	pushJsonbValue(state, token, &value);
}

/* A key, whose value is to follow; it must live as long as the state. */
void
json_key(JsonbInState *state, const char *key)
{
	push_string(state, WJB_KEY, key, strlen(key));
}

/* An element of an array */
void
json_element(JsonbInState *state, const char *string)
{
	push_string(state, WJB_ELEM, string, strlen(string));
}

void
json_add_bool(JsonbInState *state, const char *key, bool boolean)
{
	JsonbValue	value = {.type = jbvBool, .val.boolean = boolean};

	json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
json_add_int64(JsonbInState *state, const char *key, int64 number)
{
	JsonbValue	value = {.type = jbvNumeric, .val.numeric = int64_to_numeric(number)};

	json_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

void
json_add_string(JsonbInState *state, const char *key, const char *string)
{
	json_key(state, key);
	push_string(state, WJB_VALUE, string, strlen(string));
}

/* A text, or null */
void
json_add_text(JsonbInState *state, const char *key, const text *string)
{
	JsonbValue	null = {.type = jbvNull};

	json_key(state, key);
	if (string == NULL)
		pushJsonbValue(state, WJB_VALUE, &null);
	else
		push_string(state, WJB_VALUE, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
}

void
json_add_timestamp(JsonbInState *state, const char *key, TimestampTz timestamp)
{
	char		string[MAXDATELEN + 1];

	JsonEncodeDateTime(string, TimestampTzGetDatum(timestamp), TIMESTAMPTZOID, NULL);
	json_add_string(state, key, pstrdup(string));
}
