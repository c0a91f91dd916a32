/*
 * json.c
 *	  JSON that is made value by value.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "core/guc.h"
#include "core/json.h"

void
json_begin_text(JsonWriter *json)
{
	json->as_text = true;
	json->utc = true;
	json->ids = guc_json_ids;
	initStringInfo(&json->text);
}

void
json_begin_jsonb(JsonWriter *json)
{
	memset(json, 0, sizeof(*json));
	json->ids = guc_json_ids;
}

const char *
json_end_text(JsonWriter *json)
{
	return json->text.data;
}

Datum
json_end_jsonb(JsonWriter *json)
{
	return JsonbPGetDatum(JsonbValueToJsonb(json->state.result));
}

/* ---------- as jsonb ---------- */

static void
push_string(JsonWriter *json, JsonbIteratorToken token, const char *data, int length)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, data);
	value.val.string.len = length;
	pushJsonbValue(&json->state, token, &value);
}

static void
push_key(JsonWriter *json, const char *key)
{
	if (key != NULL)
		push_string(json, WJB_KEY, key, strlen(key));
}

static void
push_scalar(JsonWriter *json, const char *key, JsonbValue *value)
{
	push_key(json, key);
	pushJsonbValue(&json->state, key != NULL ? WJB_VALUE : WJB_ELEM, value);
}

/* ---------- as text ---------- */

static void
append_key(JsonWriter *json, const char *key)
{
	StringInfo	out = &json->text;

	if (out->len > 0 && out->data[out->len - 1] != '{' && out->data[out->len - 1] != '[')
		appendStringInfoString(out, ", ");
	if (key != NULL)
	{
		escape_json(out, key);
		appendStringInfoString(out, ": ");
	}
}

static void
append_value(JsonWriter *json, const char *key, const char *value)
{
	append_key(json, key);
	appendStringInfoString(&json->text, value);
}

/* ---------- as either ---------- */

static void
begin_container(JsonWriter *json, const char *key, const char *bracket,
				JsonbIteratorToken token)
{
	if (json->as_text)
		append_value(json, key, bracket);
	else
	{
		push_key(json, key);
		pushJsonbValue(&json->state, token, NULL);
	}
}

static void
end_container(JsonWriter *json, char bracket, JsonbIteratorToken token)
{
	if (json->as_text)
		appendStringInfoChar(&json->text, bracket);
	else
		pushJsonbValue(&json->state, token, NULL);
}

void
json_begin_object(JsonWriter *json, const char *key)
{
	begin_container(json, key, "{", WJB_BEGIN_OBJECT);
}

void
json_end_object(JsonWriter *json)
{
	end_container(json, '}', WJB_END_OBJECT);
}

void
json_begin_array(JsonWriter *json, const char *key)
{
	begin_container(json, key, "[", WJB_BEGIN_ARRAY);
}

void
json_end_array(JsonWriter *json)
{
	end_container(json, ']', WJB_END_ARRAY);
}

void
json_bool(JsonWriter *json, const char *key, bool value)
{
	JsonbValue	boolean;

	if (json->as_text)
	{
		append_value(json, key, value ? "true" : "false");
		return;
	}
	boolean.type = jbvBool;
	boolean.val.boolean = value;
	push_scalar(json, key, &boolean);
}

void
json_int64(JsonWriter *json, const char *key, int64 value)
{
	JsonbValue	number;
	char		digits[MAXINT8LEN + 1];

	if (json->as_text)
	{
		pg_lltoa(value, digits);
		append_value(json, key, digits);
		return;
	}
	number.type = jbvNumeric;
	number.val.numeric = int64_to_numeric(value);
	push_scalar(json, key, &number);
}

void
json_string(JsonWriter *json, const char *key, const char *value)
{
	if (json->as_text)
	{
		append_key(json, key);
		escape_json(&json->text, value);
		return;
	}
	push_key(json, key);
	push_string(json, key != NULL ? WJB_VALUE : WJB_ELEM, pstrdup(value), strlen(value));
}

/* What identifies a row: every id goes through here, versions and counts do not. */
void
json_id(JsonWriter *json, const char *key, int64 id)
{
	char		digits[MAXINT8LEN + 1];

	if (json->ids == JSON_IDS_NUMBER)
	{
		json_int64(json, key, id);
		return;
	}
	pg_lltoa(id, digits);
	json_string(json, key, digits);
}

/* A text, or null */
void
json_text(JsonWriter *json, const char *key, const text *value)
{
	JsonbValue	null = {.type = jbvNull};

	if (value == NULL && json->as_text)
		append_value(json, key, "null");
	else if (value == NULL)
		push_scalar(json, key, &null);
	else if (json->as_text)
		json_string(json, key, text_to_cstring(value));
	else
	{
		push_key(json, key);
		push_string(json, key != NULL ? WJB_VALUE : WJB_ELEM,
					VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
}

void
json_timestamp(JsonWriter *json, const char *key, TimestampTz value)
{
	char		string[MAXDATELEN + 1];
	int			utc = 0;

	JsonEncodeDateTime(string, TimestampTzGetDatum(value), TIMESTAMPTZOID,
					   json->utc ? &utc : NULL);
	json_string(json, key, string);
}

/* A value of another document */
static void
json_value(JsonWriter *json, const char *key, JsonbValue *value)
{
	if (!json->as_text)
		push_scalar(json, key, value);
	else if (value->type == jbvBinary)
		append_value(json, key, JsonbToCString(NULL, value->val.binary.data,
											   value->val.binary.len));
	else if (value->type == jbvString)
		json_string(json, key, pnstrdup(value->val.string.val, value->val.string.len));
	else if (value->type == jbvNumeric)
		append_value(json, key,
					 DatumGetCString(DirectFunctionCall1(numeric_out,
														 NumericGetDatum(value->val.numeric))));
	else if (value->type == jbvBool)
		json_bool(json, key, value->val.boolean);
	else
		json_text(json, key, NULL);
}

void
json_merge(JsonWriter *json, Jsonb *object)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			json_value(json, key, &value);
	}
}

void
json_jsonb(JsonWriter *json, const char *key, Jsonb *value)
{
	JsonbValue	whole;

	JsonbToJsonbValue(value, &whole);
	if (JB_ROOT_IS_SCALAR(value))
		(void) JsonbExtractScalar(&value->root, &whole);
	json_value(json, key, &whole);
}
