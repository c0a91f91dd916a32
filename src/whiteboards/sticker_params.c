/*
 * sticker_params.c
 *	  Reads what a request wants the stickers of a whiteboard to be.
 *
 * What is wrong with params is a fault, and a fault has a path: "stickers",
 * "stickers[2]", "stickers[2].url"; positions count from 0.  The first fault is
 * raised as an error, but under mark_as_invalid faults are kept for the answer.
 *
 * A document may be sent back as it was read: what only the database fills in
 * (the timestamps, say) is allowed in params, and does nothing.
 */
#include "postgres.h"

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "whiteboards/sticker_params.h"

/* In characters: what browsers take as an address, and a line to read. */
#define MAX_URL_LENGTH		2048
#define MAX_TITLE_LENGTH	256

/* How much of a text that is not known is shown, in bytes. */
#define MAX_SHOWN_KEY	64

#define OUT_OF_RANGE	"is out of range for type bigint"
#define NO_DIGITS		"must consist of digits, where it is a string"

/* ---------- faults ---------- */

bool
faults_full(const StickerParams *params)
{
	return params->nfaults == MAX_FAULTS;
}

/* position is that of a sticker, or WHOLE_REQUEST; field may be NULL. */
static char *
path_of(int position, const char *field)
{
	if (position == WHOLE_REQUEST)
		return pstrdup(field);
	if (field == NULL)
		return psprintf("stickers[%d]", position);
	return psprintf("stickers[%d].%s", position, field);
}

void
add_fault(StickerParams *params, int sqlstate, int position, const char *field,
		  const char *problem, const char *hint)
{
	char	   *path = path_of(position, field);
	Fault	   *fault;

	if (params->on_replace != ON_REPLACE_MARK_AS_INVALID)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("%s %s", path, problem),
				 hint != NULL ? errhint("%s", hint) : 0));
	if (faults_full(params))
		return;
	fault = &params->faults[params->nfaults++];
	fault->path = path;
	fault->problem = pstrdup(problem);
}

static void
bad_value(StickerParams *params, int position, const char *field, const char *problem)
{
	add_fault(params, ERRCODE_INVALID_PARAMETER_VALUE, position, field, problem, NULL);
}

static void
bad_type(StickerParams *params, int position, const char *field, const char *expected,
		 JsonbValue *value)
{
	bad_value(params, position, field,
			  psprintf("must be of type %s, not %s", expected, JsonbTypeName(value)));
}

/* ---------- values ---------- */

static bool
is_container(const JsonbValue *value, uint32 kind)
{
	return value->type == jbvBinary && (value->val.binary.data->header & kind) != 0 &&
		!JsonContainerIsScalar(value->val.binary.data);
}

static JsonbValue *
get_key(const JsonbValue *object, const char *key, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(object->val.binary.data, key, strlen(key), buffer);
}

/* What is a whole number is an integer, however it is written. */
static bool
get_number(StickerParams *params, int position, const char *field, JsonbValue *value,
		   int64 *result)
{
	Datum		number = NumericGetDatum(value->val.numeric);

	if (DatumGetBool(DirectFunctionCall2(numeric_lt, number,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, number,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
	{
		bad_value(params, position, field, OUT_OF_RANGE);
		return false;
	}
	*result = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
	if (DatumGetBool(DirectFunctionCall2(numeric_ne, number,
										 NumericGetDatum(int64_to_numeric(*result)))))
	{
		bad_value(params, position, field, "must be an integer");
		return false;
	}
	return true;
}

/* Drivers of languages whose numbers are doubles have bigints as strings. */
static bool
get_digits(StickerParams *params, int position, const char *field, JsonbValue *value,
		   int64 *result)
{
	const char *digits = value->val.string.val;
	int			ndigits = value->val.string.len;
	bool		overflow = false;

	*result = 0;
	for (int i = 0; i < ndigits; i++)
	{
		if (digits[i] < '0' || digits[i] > '9')
		{
			bad_value(params, position, field, NO_DIGITS);
			return false;
		}
		overflow = overflow || pg_mul_s64_overflow(*result, 10, result) ||
			pg_add_s64_overflow(*result, digits[i] - '0', result);
	}
	if (ndigits == 0 || overflow)
	{
		bad_value(params, position, field, ndigits == 0 ? NO_DIGITS : OUT_OF_RANGE);
		return false;
	}
	return true;
}

static bool
get_integer(StickerParams *params, int position, const char *field, JsonbValue *value,
			int64 *result)
{
	if (value->type == jbvNumeric)
		return get_number(params, position, field, value, result);
	if (value->type == jbvString)
		return get_digits(params, position, field, value, result);
	bad_type(params, position, field, "number", value);
	return false;
}

/* A required text; NULL where it has a fault. */
static text *
get_text(StickerParams *params, int position, const char *field, int max_length,
		 JsonbValue *value)
{
	int			length;

	if (value == NULL)
	{
		bad_value(params, position, field, "is missing");
		return NULL;
	}
	if (value->type != jbvString)
	{
		bad_type(params, position, field, "string", value);
		return NULL;
	}
	if (value->val.string.len == 0)
	{
		bad_value(params, position, field, "must not be empty");
		return NULL;
	}
	length = pg_mbstrlen_with_len(value->val.string.val, value->val.string.len);
	if (length > max_length)
	{
		add_fault(params, ERRCODE_STRING_DATA_RIGHT_TRUNCATION, position, field,
				  psprintf("is too long: it has %d characters, at most %d are allowed",
						   length, max_length), NULL);
		return NULL;
	}
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

/* ---------- params ---------- */

static bool
key_is(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* The keys of a whiteboard, or of a sticker, as they are read. */
static bool
is_known(int position, const JsonbValue *key)
{
	bool		known = key_is(key, "id") || key_is(key, "created_at") ||
		key_is(key, "updated_at");

	if (position == WHOLE_REQUEST)
		return known || key_is(key, "group_id") || key_is(key, "version") ||
			key_is(key, "stickers");
	return known || key_is(key, "url") || key_is(key, "title");
}

/* A key, which anybody may have made, as far as it is shown. */
static char *
shown_key(const JsonbValue *key)
{
	return pnstrdup(key->val.string.val,
					pg_mbcliplen(key->val.string.val, key->val.string.len, MAX_SHOWN_KEY));
}

static void
check_keys(StickerParams *params, int position, const JsonbValue *object)
{
	JsonbIterator *it = JsonbIteratorInit(object->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	key;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY || is_known(position, &key))
			continue;
		bad_value(params, position, shown_key(&key), "is not a known field");
		if (faults_full(params))
			break;
	}
}

/* No id and null are the same: a new sticker. */
static void
parse_sticker_id(StickerParams *params, Sticker *sticker, int position, JsonbValue *value)
{
	if (value == NULL || value->type == jbvNull)
		return;
	sticker->has_id = true;
	if (!get_integer(params, position, "id", value, &sticker->id))
		params->ids_known = false;
}

static void
parse_sticker(StickerParams *params, int position, JsonbValue *value)
{
	Sticker    *sticker = &params->stickers.rows[position];
	JsonbValue	buffer;

	if (!is_container(value, JB_FOBJECT))
	{
		bad_type(params, position, NULL, "object", value);
		params->ids_known = false;
		return;
	}
	parse_sticker_id(params, sticker, position, get_key(value, "id", &buffer));
	sticker->url = get_text(params, position, "url", MAX_URL_LENGTH,
							get_key(value, "url", &buffer));
	sticker->title = get_text(params, position, "title", MAX_TITLE_LENGTH,
							  get_key(value, "title", &buffer));
	check_keys(params, position, value);
}

static void
parse_array(StickerParams *params, JsonbValue *value)
{
	JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	element;

	params->stickers.rows = palloc0_array(Sticker, JsonContainerSize(value->val.binary.data));
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		parse_sticker(params, params->stickers.n++, &element);
		if (faults_full(params))
		{
			params->ids_known = false;
			break;
		}
	}
}

static void
parse_stickers(StickerParams *params, JsonbValue *value)
{
	params->ids_known = value != NULL && is_container(value, JB_FARRAY);
	if (params->ids_known)
		parse_array(params, value);
	else if (value == NULL)
		bad_value(params, WHOLE_REQUEST, "stickers", "is missing");
	else
		bad_type(params, WHOLE_REQUEST, "stickers", "array", value);
}

/* By id; those that have the same one in the order of params. */
static int
compare_named(const void *a, const void *b)
{
	const Sticker *left = *(Sticker *const *) a;
	const Sticker *right = *(Sticker *const *) b;

	if (left->id != right->id)
		return left->id < right->id ? -1 : 1;
	return (left > right) - (left < right);
}

static void
sort_named(StickerParams *params)
{
	Sticker    *rows = params->stickers.rows;

	params->named = palloc_array(Sticker *, params->stickers.n);
	for (int i = 0; i < params->stickers.n; i++)
		if (rows[i].has_id)
			params->named[params->nnamed++] = &rows[i];
	qsort(params->named, params->nnamed, sizeof(Sticker *), compare_named);

	for (int i = 1; i < params->nnamed && !faults_full(params); i++)
	{
		Sticker    *first = params->named[i - 1];
		Sticker    *second = params->named[i];

		if (first->id == second->id)
			bad_value(params, second - rows, "id",
					  psprintf("is that of %s too", path_of(first - rows, NULL)));
	}
}

/* A document that says whose it is must not get into another's hands. */
static void
parse_whiteboard_id(StickerParams *params, int64 whiteboard_id, JsonbValue *value)
{
	int64		id;

	if (value == NULL || !get_integer(params, WHOLE_REQUEST, "id", value, &id))
		return;
	if (id != whiteboard_id)
		bad_value(params, WHOLE_REQUEST, "id",
				  psprintf("must be %lld, if it is given", (long long) whiteboard_id));
}

StickerParams *
parse_sticker_params(int64 whiteboard_id, Jsonb *document, OnReplace on_replace)
{
	StickerParams *params = palloc0_object(StickerParams);
	JsonbValue	value;
	JsonbValue	buffer;
	JsonbValue *version;

	params->on_replace = on_replace;
	JsonbToJsonbValue(document, &value);
	if (!is_container(&value, JB_FOBJECT))
	{
		bad_type(params, WHOLE_REQUEST, "params", "object", &value);
		return params;
	}
	parse_whiteboard_id(params, whiteboard_id, get_key(&value, "id", &buffer));
	version = get_key(&value, "version", &buffer);
	params->has_version = version != NULL &&
		get_integer(params, WHOLE_REQUEST, "version", version, &params->version);
	parse_stickers(params, get_key(&value, "stickers", &buffer));
	check_keys(params, WHOLE_REQUEST, &value);
	if (params->ids_known)
		sort_named(params);
	return params;
}

/* ---------- on_replace ---------- */

static const struct
{
	const char *name;
	OnReplace	value;
}			on_replace_names[] = {
	{"raise", ON_REPLACE_RAISE},
	{"mark_as_invalid", ON_REPLACE_MARK_AS_INVALID},
	{"nilify", ON_REPLACE_NILIFY},
	{"delete", ON_REPLACE_DELETE}
};

/* Frameworks have "update" too, for a parent that has one child; a whiteboard has many. */
OnReplace
parse_on_replace(text *name)
{
	char	   *string = text_to_cstring(name);

	for (int i = 0; i < lengthof(on_replace_names); i++)
		if (strcmp(string, on_replace_names[i].name) == 0)
			return on_replace_names[i].value;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("on_replace must be raise, mark_as_invalid, nilify or delete, not \"%s\"",
					pnstrdup(string, pg_mbcliplen(string, strlen(string), MAX_SHOWN_KEY)))));
}
