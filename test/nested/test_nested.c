/*
 * test_nested.c
 *	  The engine for nested resources with an association that chatrel does not
 *	  have: one child, a field that may be null, and names that need quoting.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "whiteboards/nested.h"

PG_MODULE_MAGIC;

static NestedAssociation person_passport = {
	.name = "passport",
	.parent = "Person",
	.child = "passport",
	.foreign_key = "holder",
	.shard_key = "group",
	.cardinality = NESTED_HAS_ONE,
	.nfields = 2,
	.fields = {
		{"number", true, 10},
		{"order", false, 10}
	}
};

PG_FUNCTION_INFO_V1(test_nested_change);
PG_FUNCTION_INFO_V1(test_nested_get);

static NestedParent
find_person(FunctionCallInfo fcinfo)
{
	NestedParent person = {
		.shard = PG_GETARG_INT64(0),
		.id = PG_GETARG_INT64(1)
	};

	if (!nested_lock(&person_passport, &person))
		elog(ERROR, "no such person");
	return person;
}

/* (shard, id, params, on_replace) */
Datum
test_nested_change(PG_FUNCTION_ARGS)
{
	NestedParams *params = nested_parse(&person_passport, PG_GETARG_INT64(1),
										PG_GETARG_JSONB_P(2),
										nested_on_replace(&person_passport, PG_GETARG_TEXT_PP(3)));
	NestedChange change;
	NestedParent person;
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	person = find_person(fcinfo);
	if (nested_change(&person_passport, &person, params, &change))
		result = nested_document(&person_passport, &person, &change.children);
	else
		result = nested_errors(params);
	result = SPI_datumTransfer(result, false, -1);
	owner_end(&scope);
	PG_RETURN_DATUM(result);
}

/* (shard, id) */
Datum
test_nested_get(PG_FUNCTION_ARGS)
{
	NestedChildren children;
	NestedParent person;
	OwnerScope	scope;
	Datum		result;

	owner_begin(&scope, fcinfo);
	person = find_person(fcinfo);
	nested_read(&person_passport, &person, PLAN_WRITE, &children);
	result = SPI_datumTransfer(nested_document(&person_passport, &person, &children), false, -1);
	owner_end(&scope);
	PG_RETURN_DATUM(result);
}
