/*
 * plans.h
 *	  chatrel's SQL: fixed texts, planned once, run with the owner's rights.
 */
#ifndef CHATREL_PLANS_H
#define CHATREL_PLANS_H

#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "utils/uuid.h"

#define PLAN_MAX_ARGS	8

/*
 * One SQL text.  Every name in it is qualified, and so is every operator (EQ
 * and its like): the text is analysed under the caller's search_path.
 */
typedef struct SqlPlan
{
	const char *sql;
	int			expected;		/* the SPI_OK_… code it must end with */
	int			nargs;			/* these two by PLAN_ARGS() */
	Oid			argtypes[PLAN_MAX_ARGS];
	bool		by_index;		/* it reads the few rows that an index gives;
								 * the planner, who does not know the limit,
								 * may think of all that there are */
	bool		by_bitmap;		/* and that index gives no rows in order, but
								 * a bitmap of them, as one of kind gin */
	SPIPlanPtr	handle;			/* made when first run, kept for the session */
} SqlPlan;

/* The types of a plan's arguments, $1 first */
#define PLAN_ARGS(...) \
	.nargs = lengthof(((const Oid[]) {__VA_ARGS__})), \
	.argtypes = {__VA_ARGS__}

#define EQ " OPERATOR(pg_catalog.=) "
#define NE " OPERATOR(pg_catalog.<>) "
#define LT " OPERATOR(pg_catalog.<) "
#define LE " OPERATOR(pg_catalog.<=) "
#define GT " OPERATOR(pg_catalog.>) "
#define GE " OPERATOR(pg_catalog.>=) "

/*
 * A time that may be null, to be compared: IS DISTINCT FROM, NULLIF, IN and their like
 * look their operator up by name (script/check-sql).
 */
#define TIME_OR(time, instead)	"COALESCE(" time ", '" instead "'::pg_catalog.timestamptz)"

/* What owner_begin() found and owner_end() puts back. */
typedef struct OwnerScope
{
	Oid			userid;
	int			sec_context;
} OwnerScope;

typedef enum PlanAccess
{
	PLAN_READ,					/* the caller's snapshot, and what its own
								 * statement has written; works on a standby */
	PLAN_WRITE,					/* a snapshot of its own; may lock and write */
	PLAN_LATEST,				/* PLAN_WRITE on what has committed by now,
								 * whatever the isolation level */
	PLAN_CASCADE,				/* the same, but it fails on what the
								 * transaction's snapshot does not see, as the
								 * cascades of foreign keys do */
	PLAN_TRIGGER				/* PLAN_WRITE by a trigger: what it fires, and
								 * constraints that are deferrable, waits
								 * until the statement that fired the trigger
								 * ends */
} PlanAccess;

/*
 * What a plan gave.  The rows are gone with owner_end(); a plan that returns
 * none, but writes some, has only their number.
 */
typedef struct PlanResult
{
	uint64		nrows;
	SPITupleTable *rows;
} PlanResult;

extern void owner_begin(OwnerScope *scope, FunctionCallInfo fcinfo);
extern void owner_begin_as(OwnerScope *scope, Oid owner);
extern void restrict_operation(void);
extern void owner_end(const OwnerScope *scope);

extern PlanResult plan_run(SqlPlan *plan, PlanAccess access, Datum *values, const char *nulls);
extern uint64 plan_fill(SqlPlan *plan, ReturnSetInfo *rsinfo, const Datum *values,
						const char *nulls);

/* Rows count from 0, columns from 1. */
extern bool result_is_null(const PlanResult *result, uint64 row, int column);
extern Datum result_datum(const PlanResult *result, uint64 row, int column);
extern int64 result_int64(const PlanResult *result, uint64 row, int column);
extern char *result_cstring(const PlanResult *result, uint64 row, int column);
extern pg_uuid_t result_uuid(const PlanResult *result, uint64 row, int column);
extern Datum result_as_row(const PlanResult *result, uint64 row, FunctionCallInfo fcinfo);

/* An array to run a plan with. */
extern Datum int64_array(const int64 *elements, int count);

extern void plans_init(void);

#endif							/* CHATREL_PLANS_H */
