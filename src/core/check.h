/*
 * check.h
 *	  Guards for arguments.  A null, an empty or an impossible one is 22023, a
 *	  text that is too long 22001.
 */
#ifndef CHATREL_CHECK_H
#define CHATREL_CHECK_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/compat.h"

extern void check_not_null(FunctionCallInfo fcinfo, int argno, const char *name);
extern bool require_bool(FunctionCallInfo fcinfo, int argno, const char *name);
extern int64 require_int64(FunctionCallInfo fcinfo, int argno, const char *name);
extern int	require_integer(FunctionCallInfo fcinfo, int argno, const char *name,
							int minimum);
extern int	require_limit(FunctionCallInfo fcinfo, int argno, const char *name);
extern text *require_text(FunctionCallInfo fcinfo, int argno, const char *name,
						  int max_length, const char *parameter);
extern void check_text(const char *data, int bytes, const char *name,
					   int max_length, const char *parameter);
extern void check_bytes(Size bytes, Size most, const char *name);
extern Jsonb *require_metadata(FunctionCallInfo fcinfo, int argno);
extern TimestampTz require_datetime(FunctionCallInfo fcinfo, int argno, const char *name);
extern void check_to_come(TimestampTz value, const char *name);
extern void check_no_nulls(ArrayType *array, const char *name);
extern ArrayType *require_ids(FunctionCallInfo fcinfo, int argno, const char *name);

/*
 * So often is tried again what others may have undone since it was found done;
 * then it must be a trigger that keeps it from being done at all.
 */
#define MAX_TRIES	10

pg_noreturn extern void error_change_suppressed(const char *table);
extern void check_changed(uint64 nrows, uint64 expected, const char *table);

#endif							/* CHATREL_CHECK_H */
