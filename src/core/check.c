/*
 * check.c
 *	  Guards for arguments.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "core/check.h"
#include "core/errors.h"

#define MAX_METADATA_BYTES	8192

void
check_not_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be null", name)));
}

bool
require_bool(FunctionCallInfo fcinfo, int argno, const char *name)
{
	check_not_null(fcinfo, argno, name);
	return PG_GETARG_BOOL(argno);
}

int64
require_int64(FunctionCallInfo fcinfo, int argno, const char *name)
{
	check_not_null(fcinfo, argno, name);
	return PG_GETARG_INT64(argno);
}

int
require_integer(FunctionCallInfo fcinfo, int argno, const char *name, int minimum)
{
	int			value;

	check_not_null(fcinfo, argno, name);
	value = PG_GETARG_INT32(argno);
	if (value < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d, not %d", name, minimum, value)));
	return value;
}

/* How many rows a page may have. */
int
require_limit(FunctionCallInfo fcinfo, int argno, const char *name)
{
	return require_integer(fcinfo, argno, name, 1);
}

/* A text that is not empty and has max_length characters at most. */
void
check_text(const char *data, int bytes, const char *name,
		   int max_length, const char *parameter)
{
	int			length;

	if (bytes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));

	/* Characters are counted only where there may be too many of them. */
	if (bytes <= max_length)
		return;
	length = pg_mbstrlen_with_len(data, bytes);
	if (length > max_length)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is too long", name),
				 errdetail("It has %d characters; %s is %d.",
						   length, parameter, max_length)));
}

text *
require_text(FunctionCallInfo fcinfo, int argno, const char *name,
			 int max_length, const char *parameter)
{
	text	   *value;

	check_not_null(fcinfo, argno, name);
	value = PG_GETARG_TEXT_PP(argno);
	check_text(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), name,
			   max_length, parameter);
	return value;
}

/* The first moment of a year, in UTC. */
static TimestampTz
beginning_of_year(int year)
{
	return (date2j(year, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/* A time that every client's calendar has. */
TimestampTz
require_datetime(FunctionCallInfo fcinfo, int argno, const char *name)
{
	TimestampTz value;

	check_not_null(fcinfo, argno, name);
	value = PG_GETARG_TIMESTAMPTZ(argno);
	if (value < beginning_of_year(1) || value >= beginning_of_year(10000))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a finite time of the years 1 to 9999", name)));
	return value;
}

/* By the clock: a transaction's own time may be long ago. */
void
check_to_come(TimestampTz value, const char *name)
{
	if (value <= GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a time to come", name)));
}

void
check_no_nulls(ArrayType *array, const char *name)
{
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not contain nulls", name)));
}

/* An array of ids, none of them null. */
ArrayType *
require_ids(FunctionCallInfo fcinfo, int argno, const char *name)
{
	ArrayType  *ids;

	check_not_null(fcinfo, argno, name);
	ids = PG_GETARG_ARRAYTYPE_P(argno);
	check_no_nulls(ids, name);
	return ids;
}

/* A change that was neither made nor is there already. */
void
error_change_suppressed(const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger has suppressed a change to table \"chatrel.%s\"", table),
			 errhint("A trigger of the table must return the row, or raise an error."),
			 err_table(table)));
}

/* Has a statement changed what it had to?  Only a trigger keeps it from that. */
void
check_changed(uint64 nrows, uint64 expected, const char *table)
{
	if (nrows < expected)
		error_change_suppressed(table);
}

void
check_bytes(Size bytes, Size most, const char *name)
{
	if (bytes > most)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is too long", name),
				 errdetail("It has %zu bytes; the limit is %zu.", bytes, most)));
}

/* What an application keeps with something: a JSON object. */
Jsonb *
require_metadata(FunctionCallInfo fcinfo, int argno)
{
	Jsonb	   *metadata = PG_GETARG_JSONB_P(argno);

	if (!JB_ROOT_IS_OBJECT(metadata))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metadata must be a JSON object")));
	check_bytes(VARSIZE(metadata) - VARHDRSZ, MAX_METADATA_BYTES, "metadata");
	return metadata;
}
