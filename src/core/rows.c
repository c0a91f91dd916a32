/*
 * rows.c
 *	  Single rows that are found, locked and added without a statement.
 *
 * PostgreSQL plans a statement once, but sets it up anew for each run: for a few rows
 * that takes several times as long as what is then done with them.  What is called so
 * often that it matters, as a send, does without.  Rows are locked as by SELECT ... FOR,
 * and added as by INSERT: with triggers, constraints, indexes and defaults, much as a
 * subscriber of logical replication applies what it receives.
 *
 * A row that somebody has changed since it was found is not looked at again: whoever
 * meets one does it by a statement.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/rows.h"

#define MAX_KEYS	2

void
rows_begin(PlanAccess access)
{
	CommandCounterIncrement();
	PushActiveSnapshot(access == PLAN_LATEST ? GetLatestSnapshot() : GetTransactionSnapshot());
}

void
rows_end(void)
{
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* ---------- tables ---------- */

static Oid
relation_of_chatrel(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("chatrel", false));

	if (!OidIsValid(relid))
		elog(ERROR, "there is no relation chatrel.%s", name);
	return relid;
}

Relation
rows_open(const char *table, LOCKMODE lockmode, AclMode rights)
{
	Relation	rel;
	AclResult	result;

	if (lockmode != AccessShareLock)
		PreventCommandIfReadOnly(lockmode == RowShareLock ? "SELECT FOR SHARE" : "INSERT");
	rel = table_open(relation_of_chatrel(table), lockmode);
	result = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), rights);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, table);
	return rel;
}

void
rows_close(Relation table)
{
	table_close(table, NoLock);
}

int64
next_number(const char *sequence)
{
	return nextval_internal(relation_of_chatrel(sequence), false);
}

/* ---------- finding and locking ---------- */

TupleTableSlot *
row_find(Relation table, const int64 *key, int nkeys)
{
	Relation	index = index_open(RelationGetPrimaryKeyIndex(table, false), AccessShareLock);
	TupleTableSlot *row = table_slot_create(table, NULL);
	IndexScanDesc scan = index_beginscan(table, index, GetActiveSnapshot(), NULL, nkeys, 0, 0);
	ScanKeyData keys[MAX_KEYS];
	bool		found;

	Assert(nkeys <= MAX_KEYS);
	for (int i = 0; i < nkeys; i++)
	{
		bool		is_int4 = TupleDescAttr(RelationGetDescr(index), i)->atttypid == INT4OID;

		ScanKeyInit(&keys[i], i + 1, BTEqualStrategyNumber, is_int4 ? F_INT4EQ : F_INT8EQ,
					is_int4 ? Int32GetDatum((int32) key[i]) : Int64GetDatum(key[i]));
	}
	index_rescan(scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, row);
	index_endscan(scan);
	index_close(index, NoLock);
	if (found)
		return row;
	row_drop(row);
	return NULL;
}

bool
row_exists(const char *table, const int64 *key, int nkeys)
{
	Relation	rel = rows_open(table, AccessShareLock, ACL_SELECT);
	TupleTableSlot *row = row_find(rel, key, nkeys);

	if (row != NULL)
		row_drop(row);
	rows_close(rel);
	return row != NULL;
}

bool
row_lock(Relation table, TupleTableSlot *row, LockTupleMode mode)
{
	ItemPointerData tid = row->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(table, &tid, GetActiveSnapshot(), row,
										  GetCurrentCommandId(true), mode, LockWaitBlock,
										  TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure);

	if (result == TM_Ok)
		return true;
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent %s",
						result == TM_Updated ? "update" : "delete")));
	return false;
}

/* ---------- adding ---------- */

TupleTableSlot *
row_new(Relation table)
{
	TupleTableSlot *row = table_slot_create(table, NULL);

	memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
	return row;
}

/*
 * The checks of foreign keys are triggers of the row, too: in this list, which is a copy,
 * they are switched off.
 */
static void
leave_out_checks_of_keys(TriggerDesc *triggers)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgisinternal &&
			RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == RI_TRIGGER_FK)
			triggers->triggers[i].tgenabled = TRIGGER_DISABLED;
}

/* A transaction that has one snapshot may not go by a row that this does not see. */
static void
require_visible(Relation table, ItemPointer tid, Snapshot snapshot)
{
	TupleTableSlot *there;

	if (!IsolationUsesXactSnapshot())
		return;
	there = table_slot_create(table, NULL);
	if (!table_tuple_fetch_row_version(table, tid, snapshot, there))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	ExecDropSingleTupleTableSlot(there);
}

/*
 * As INSERT ... ON CONFLICT DO NOTHING.  Once more where another adds a row of the same
 * key at the same time: it is waited for.
 */
static bool
insert_unless_there(ResultRelInfo *result, EState *estate, TupleTableSlot *row, Oid arbiter,
					List **recheck)
{
	Relation	table = result->ri_RelationDesc;
	List	   *arbiters = list_make1_oid(arbiter);
	bool		conflict = true;

	while (conflict)
	{
		ItemPointerData tid;
		uint32		token;

		ItemPointerSetInvalid(&tid);
		ItemPointerSetInvalid(&row->tts_tid);
		if (!ExecCheckIndexConstraints(result, row, estate, &tid, &row->tts_tid, arbiters))
		{
			require_visible(table, &tid, estate->es_snapshot);
			return false;
		}
		conflict = false;
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(table, row, estate->es_output_cid, 0, NULL, token);
		*recheck = ExecInsertIndexTuples(result, estate, EIIT_NO_DUPE_ERROR, row, arbiters,
										 &conflict);
		table_tuple_complete_speculative(table, row, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	}
	return true;
}

/* Whether a trigger has put other ids into the row than the caller, who has locked those */
static bool
has_other_ids(TupleTableSlot *row, const Datum *values)
{
	slot_getallattrs(row);
	for (int i = 0; i < row->tts_tupleDescriptor->natts; i++)
		if (TupleDescAttr(row->tts_tupleDescriptor, i)->atttypid == INT8OID &&
			row->tts_values[i] != values[i])
			return true;
	return false;
}

/* False if a trigger keeps the row out. */
static bool
fire_before_triggers(ResultRelInfo *result, EState *estate, TupleTableSlot *row)
{
	TriggerDesc *triggers = result->ri_TrigDesc;
	Size		size = row->tts_tupleDescriptor->natts * sizeof(Datum);
	Datum	   *values = memcpy(palloc(size), row->tts_values, size);

	if (triggers != NULL && triggers->trig_insert_before_row &&
		!ExecBRInsertTriggers(estate, result, row))
		return false;
	if (!has_other_ids(row, values))
		leave_out_checks_of_keys(triggers);
	return true;
}

/*
 * As ExecInsert() does, for a table that is neither a partition nor has generated columns;
 * arbiter is the unique index in which no row of the same key may be, if there is one.
 */
static bool
insert_row(ResultRelInfo *result, EState *estate, TupleTableSlot *row, Oid arbiter, List **recheck)
{
	if (!fire_before_triggers(result, estate, row))
		return false;
	ExecConstraints(result, row, estate);
	if (OidIsValid(arbiter))
		return insert_unless_there(result, estate, row, arbiter, recheck);
	table_tuple_insert(result->ri_RelationDesc, row, estate->es_output_cid, 0, NULL);
	*recheck = ExecInsertIndexTuples(result, estate, 0, row, NIL, NULL);
	return true;
}

/* Columns that were not set have their defaults. */
static void
set_defaults(Relation table, TupleTableSlot *row, EState *estate)
{
	TupleDesc	tupdesc = RelationGetDescr(table);

	for (int i = 0; i < tupdesc->natts; i++)
		if (row->tts_isnull[i] && TupleDescAttr(tupdesc, i)->atthasdef)
		{
			Expr	   *expr = (Expr *) build_column_default(table, i + 1);

			row->tts_values[i] = ExecEvalExpr(ExecPrepareExpr(expr, estate),
											  GetPerTupleExprContext(estate), &row->tts_isnull[i]);
		}
}

/* What the executor has while it writes to one table, in memory that goes when it ends */
typedef struct Writing
{
	EState	   *estate;
	ResultRelInfo *result;
	MemoryContext caller;
} Writing;

static void
begin_writing(Writing *writing, Relation table, bool speculative)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result;

	writing->caller = MemoryContextSwitchTo(estate->es_query_cxt);
	result = makeNode(ResultRelInfo);
	InitResultRelInfo(result, table, 0, NULL, 0);
	ExecOpenIndices(result, speculative);
	estate->es_opened_result_relations = list_make1(result);
	estate->es_output_cid = GetCurrentCommandId(true);
	estate->es_snapshot = GetActiveSnapshot();
	AfterTriggerBeginQuery();
	writing->estate = estate;
	writing->result = result;
}

static void
end_writing(const Writing *writing)
{
	AfterTriggerEndQuery(writing->estate);
	ExecCloseResultRelations(writing->estate);
	ExecResetTupleTable(writing->estate->es_tupleTable, false);
	MemoryContextSwitchTo(writing->caller);
	FreeExecutorState(writing->estate);
}

static bool
add(Relation table, TupleTableSlot *row, Oid arbiter)
{
	Writing		writing;
	TransitionCaptureState *capture;
	List	   *recheck = NIL;
	bool		added;

	begin_writing(&writing, table, OidIsValid(arbiter));
	capture = MakeTransitionCaptureState(writing.result->ri_TrigDesc, RelationGetRelid(table),
										 CMD_INSERT);
	set_defaults(table, row, writing.estate);
	ExecStoreVirtualTuple(row);
	ExecBSInsertTriggers(writing.estate, writing.result);
	added = insert_row(writing.result, writing.estate, row, arbiter, &recheck);
	if (added)
		ExecARInsertTriggers(writing.estate, writing.result, row, recheck, capture);
	ExecASInsertTriggers(writing.estate, writing.result, capture);
	end_writing(&writing);
	return added;
}

bool
row_add(Relation table, TupleTableSlot *row)
{
	return add(table, row, InvalidOid);
}

bool
row_add_unless_there(Relation table, TupleTableSlot *row, const char *index)
{
	return add(table, row, relation_of_chatrel(index));
}

void
row_replace(Relation table, TupleTableSlot *found, TupleTableSlot *row)
{
	Writing		writing;
	EPQState	others;

	begin_writing(&writing, table, false);
	leave_out_checks_of_keys(writing.result->ri_TrigDesc);
	EvalPlanQualInit(&others, writing.estate, NULL, NIL, -1, NIL);
	ExecSimpleRelationUpdate(writing.result, writing.estate, &others, found,
							 ExecStoreVirtualTuple(row));
	EvalPlanQualEnd(&others);
	end_writing(&writing);
}

/* ---------- columns ---------- */

static int
column_index(const TupleTableSlot *row, const char *column)
{
	TupleDesc	tupdesc = row->tts_tupleDescriptor;

	for (int i = 0; i < tupdesc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(tupdesc, i)->attname), column) == 0)
			return i;
	elog(ERROR, "there is no column \"%s\"", column);
}

void
row_set(TupleTableSlot *row, const char *column, Datum value)
{
	int			i = column_index(row, column);

	row->tts_values[i] = value;
	row->tts_isnull[i] = false;
}

Datum
row_get(TupleTableSlot *row, const char *column, bool *isnull)
{
	return slot_getattr(row, column_index(row, column) + 1, isnull);
}

bool
row_is_null(TupleTableSlot *row, const char *column)
{
	return slot_attisnull(row, column_index(row, column) + 1);
}

bool
row_has_text(TupleTableSlot *row, const char *column, const char *value)
{
	bool		isnull;
	Datum		datum = row_get(row, column, &isnull);
	Size		length = strlen(value);

	return !isnull && VARSIZE_ANY_EXHDR(DatumGetPointer(datum)) == length &&
		memcmp(VARDATA_ANY(DatumGetPointer(datum)), value, length) == 0;
}

HeapTuple
row_as(TupleTableSlot *row, TupleDesc tupdesc)
{
	Datum	   *values = palloc_array(Datum, tupdesc->natts);
	bool	   *nulls = palloc_array(bool, tupdesc->natts);
	int			column = 0;

	slot_getallattrs(row);
	for (int i = 0; i < tupdesc->natts; i++, column++)
	{
		const char *name = NameStr(TupleDescAttr(tupdesc, i)->attname);

		while (column < row->tts_tupleDescriptor->natts &&
			   strcmp(NameStr(TupleDescAttr(row->tts_tupleDescriptor, column)->attname), name) != 0)
			column++;
		if (column == row->tts_tupleDescriptor->natts)
			elog(ERROR, "there is no column \"%s\" in its place", name);
		values[i] = row->tts_values[column];
		nulls[i] = row->tts_isnull[column];
	}
	return heap_form_tuple(tupdesc, values, nulls);
}

void
row_drop(TupleTableSlot *row)
{
	ExecDropSingleTupleTableSlot(row);
}
