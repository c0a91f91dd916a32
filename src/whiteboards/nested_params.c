/*
 * nested_params.c
 *	  Reads what a caller wants the children of a parent to be.
 *
 * What is wrong with params is a fault, and a fault has a path: "stickers",
 * "stickers[2]", "stickers[2].url"; positions count from 0.  The first fault is
 * raised as an error, but under mark_as_invalid faults are kept for the answer.
 *
 * A document may be sent back as it was read: what only the database fills in
 * (the timestamps, say) is allowed in params, and does nothing.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "whiteboards/nested.h"

/* How much of a key that is not known is shown, in bytes. */
#define MAX_SHOWN_KEY	64

/* ---------- faults ---------- */

bool
nested_faults_full(const NestedParams *params)
{
	return params->nfaults == NESTED_MAX_FAULTS;
}

/* position is that of a child, or NESTED_PARENT; field may be NULL. */
static char *
path_of(const NestedParams *params, int position, const char *field)
{
	const NestedAssociation *association = params->association;
	char	   *path;

	if (position == NESTED_PARENT)
		return pstrdup(field);
	if (association->cardinality == NESTED_HAS_ONE)
		path = pstrdup(association->name);
	else
		path = psprintf("%s[%d]", association->name, position);
	return field == NULL ? path : psprintf("%s.%s", path, field);
}

void
nested_fault(NestedParams *params, int sqlstate, int position, const char *field,
			 const char *problem, const char *hint)
{
	char	   *path = path_of(params, position, field);
	NestedFault *fault;

	if (params->on_replace != ON_REPLACE_MARK_AS_INVALID)
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("%s %s", path, problem),
				 hint != NULL ? errhint("%s", hint) : 0));
	if (nested_faults_full(params))
		return;
	fault = &params->faults[params->nfaults++];
	fault->path = path;
	fault->problem = pstrdup(problem);
}

static void
bad_value(NestedParams *params, int position, const char *field, const char *problem)
{
	nested_fault(params, ERRCODE_INVALID_PARAMETER_VALUE, position, field, problem, NULL);
}

static void
bad_type(NestedParams *params, int position, const char *field, const char *expected,
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
get_integer(NestedParams *params, int position, const char *field, JsonbValue *value,
			int64 *result)
{
	Datum		number;

	if (value->type != jbvNumeric)
	{
		bad_type(params, position, field, "number", value);
		return false;
	}
	number = NumericGetDatum(value->val.numeric);
	if (DatumGetBool(DirectFunctionCall2(numeric_lt, number,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, number,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
	{
		bad_value(params, position, field, "is out of range for type bigint");
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

/* The texts that a field may have; NULL if it has none or a fault. */
static text *
get_text(NestedParams *params, int position, const NestedField *field, JsonbValue *value)
{
	int			length;

	if (value == NULL && field->required)
		bad_value(params, position, field->name, "is missing");
	if (value == NULL || (value->type == jbvNull && !field->required))
		return NULL;
	if (value->type != jbvString)
	{
		bad_type(params, position, field->name, "string", value);
		return NULL;
	}
	if (value->val.string.len == 0)
	{
		bad_value(params, position, field->name, "must not be empty");
		return NULL;
	}
	length = pg_mbstrlen_with_len(value->val.string.val, value->val.string.len);
	if (length > field->max_length)
	{
		nested_fault(params, ERRCODE_STRING_DATA_RIGHT_TRUNCATION, position, field->name,
					 psprintf("is too long: it has %d characters, at most %d are allowed",
							  length, field->max_length), NULL);
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

static bool
is_known_to_parent(const NestedAssociation *association, const JsonbValue *key)
{
	return key_is(key, association->name) || key_is(key, "version") || key_is(key, "id") ||
		key_is(key, association->shard_key) || key_is(key, "created_at") ||
		key_is(key, "updated_at");
}

static bool
is_known_to_child(const NestedAssociation *association, const JsonbValue *key)
{
	for (int i = 0; i < association->nfields; i++)
		if (key_is(key, association->fields[i].name))
			return true;
	return key_is(key, "id") || key_is(key, "created_at") || key_is(key, "updated_at");
}

/* A key, which anybody may have made, as far as it is shown. */
static char *
shown_key(const JsonbValue *key)
{
	return pnstrdup(key->val.string.val,
					pg_mbcliplen(key->val.string.val, key->val.string.len, MAX_SHOWN_KEY));
}

static void
check_keys(NestedParams *params, int position, const JsonbValue *object)
{
	JsonbIterator *it = JsonbIteratorInit(object->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	key;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY ||
			(position == NESTED_PARENT ? is_known_to_parent(params->association, &key)
			 : is_known_to_child(params->association, &key)))
			continue;
		bad_value(params, position, shown_key(&key), "is not a known field");
		if (nested_faults_full(params))
			break;
	}
}

/* No id and null are the same: a new child. */
static void
parse_child_id(NestedParams *params, NestedChild *child, int position, JsonbValue *value)
{
	if (value == NULL || value->type == jbvNull)
		return;
	child->has_id = true;
	if (!get_integer(params, position, "id", value, &child->id))
		params->ids_known = false;
}

static void
parse_child(NestedParams *params, int position, JsonbValue *value)
{
	const NestedAssociation *association = params->association;
	NestedChild *child = &params->children.rows[position];
	JsonbValue	buffer;

	if (!is_container(value, JB_FOBJECT))
	{
		bad_type(params, position, NULL, "object", value);
		params->ids_known = false;
		return;
	}
	parse_child_id(params, child, position, get_key(value, "id", &buffer));
	for (int i = 0; i < association->nfields; i++)
		child->values[i] = get_text(params, position, &association->fields[i],
									get_key(value, association->fields[i].name, &buffer));
	check_keys(params, position, value);
}

static void
parse_array(NestedParams *params, JsonbValue *value)
{
	JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	element;

	params->children.rows = palloc0_array(NestedChild,
										  JsonContainerSize(value->val.binary.data));
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		parse_child(params, params->children.n++, &element);
		if (nested_faults_full(params))
		{
			params->ids_known = false;
			break;
		}
	}
}

/* A has_one is an object, or null where there is none. */
static void
parse_one(NestedParams *params, JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	params->children.n = 1;
	params->children.rows = palloc0_array(NestedChild, 1);
	parse_child(params, 0, value);
}

static void
parse_children(NestedParams *params, JsonbValue *value)
{
	const NestedAssociation *association = params->association;

	params->ids_known = false;
	if (value == NULL)
		bad_value(params, NESTED_PARENT, association->name, "is missing");
	else if (association->cardinality == NESTED_HAS_MANY && !is_container(value, JB_FARRAY))
		bad_type(params, NESTED_PARENT, association->name, "array", value);
	else
	{
		params->ids_known = true;
		if (association->cardinality == NESTED_HAS_MANY)
			parse_array(params, value);
		else
			parse_one(params, value);
	}
}

/* By id; those that have the same one in the order of params. */
static int
compare_named(const void *a, const void *b)
{
	const NestedChild *left = *(NestedChild *const *) a;
	const NestedChild *right = *(NestedChild *const *) b;

	if (left->id != right->id)
		return left->id < right->id ? -1 : 1;
	return (left > right) - (left < right);
}

static void
sort_named(NestedParams *params)
{
	NestedChild *rows = params->children.rows;

	params->named = palloc_array(NestedChild *, params->children.n);
	for (int i = 0; i < params->children.n; i++)
		if (rows[i].has_id)
			params->named[params->nnamed++] = &rows[i];
	qsort(params->named, params->nnamed, sizeof(NestedChild *), compare_named);

	for (int i = 1; i < params->nnamed && !nested_faults_full(params); i++)
	{
		NestedChild *first = params->named[i - 1];
		NestedChild *second = params->named[i];

		if (first->id == second->id)
			bad_value(params, second - rows, "id",
					  psprintf("is that of %s too", path_of(params, first - rows, NULL)));
	}
}

/* A document that says whose it is must not get into another's hands. */
static void
parse_parent_id(NestedParams *params, int64 parent_id, JsonbValue *value)
{
	int64		id;

	if (value == NULL || !get_integer(params, NESTED_PARENT, "id", value, &id))
		return;
	if (id != parent_id)
		bad_value(params, NESTED_PARENT, "id",
				  psprintf("must be %lld, if it is given", (long long) parent_id));
}

/* Reads what a caller wants the children to be. */
NestedParams *
nested_parse(const NestedAssociation *association, int64 parent_id, Jsonb *document,
			 OnReplace on_replace)
{
	NestedParams *params = palloc0_object(NestedParams);
	JsonbValue	value;
	JsonbValue	buffer;
	JsonbValue *version;

	params->association = association;
	params->on_replace = on_replace;
	JsonbToJsonbValue(document, &value);
	if (!is_container(&value, JB_FOBJECT))
	{
		bad_type(params, NESTED_PARENT, "params", "object", &value);
		return params;
	}
	parse_parent_id(params, parent_id, get_key(&value, "id", &buffer));
	version = get_key(&value, "version", &buffer);
	params->has_version = version != NULL &&
		get_integer(params, NESTED_PARENT, "version", version, &params->version);
	parse_children(params, get_key(&value, association->name, &buffer));
	check_keys(params, NESTED_PARENT, &value);
	if (params->ids_known)
		sort_named(params);
	return params;
}

static const struct
{
	const char *name;
	OnReplace	value;
}			on_replace_names[] = {
	{"raise", ON_REPLACE_RAISE},
	{"mark_as_invalid", ON_REPLACE_MARK_AS_INVALID},
	{"nilify", ON_REPLACE_NILIFY},
	{"delete", ON_REPLACE_DELETE},
	{"update", ON_REPLACE_UPDATE}
};

OnReplace
nested_on_replace(const NestedAssociation *association, text *name)
{
	char	   *string = text_to_cstring(name);

	for (int i = 0; i < lengthof(on_replace_names); i++)
	{
		if (strcmp(string, on_replace_names[i].name) != 0)
			continue;
		if (on_replace_names[i].value == ON_REPLACE_UPDATE &&
			association->cardinality != NESTED_HAS_ONE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("on_replace must not be update for %s", association->name),
					 errdetail("It is for a parent that has one child; this one has many."),
					 errhint("Use raise, mark_as_invalid, nilify or delete.")));
		return on_replace_names[i].value;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("on_replace must be raise, mark_as_invalid, nilify, delete or update, not \"%s\"",
					pnstrdup(string, pg_mbcliplen(string, strlen(string), MAX_SHOWN_KEY)))));
}
