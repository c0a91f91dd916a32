/*
 * proxy.c
 *	  The functions of a proxy: a database that has chatrel's functions, and no groups.
 *
 * In the schema chatrel of a proxy each function has this C code.  In the schema
 * chatrel_proxy there is another one with the same arguments, in PL/Proxy or SQL,
 * which goes to the shards and says there for whom.  Nobody but the owner may call
 * that: whose call it is, is decided here, as it is in a database with groups, and
 * then the other function is called with the owner's rights.
 *
 * Words: the outer function is the one that was called, the inner one that which
 * goes to the shards.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/identity.h"
#include "core/version.h"
#include "shards/shard_clock.h"

/* The inner function, as found for an outer one */
typedef struct Inner
{
	FmgrInfo	flinfo;
	Oid			owner;
} Inner;

/* Who acts, as a call says by its last argument */
typedef enum Actor
{
	ACTOR_NONE,					/* it has no such argument */
	ACTOR_REQUIRED,
	ACTOR_IF_ANY				/* 0, which is no user's id, if there is none */
} Actor;

PG_FUNCTION_INFO_V1(chatrel_proxy_call);
PG_FUNCTION_INFO_V1(chatrel_proxy_call_as);
PG_FUNCTION_INFO_V1(chatrel_proxy_call_as_any);
PG_FUNCTION_INFO_V1(chatrel_proxy_write);
PG_FUNCTION_INFO_V1(chatrel_proxy_write_as);

/* The owner's rights, until the user is set back. */
static void
become_owner(Oid owner, Oid *userid, int *sec_context)
{
	GetUserIdAndSecContext(userid, sec_context);
	SetUserIdAndSecContext(owner, *sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

/* The caller has no rights on the schema in which it is. */
static Oid
lookup_inner(Form_pg_proc proc)
{
	List	   *name = list_make2(makeString("chatrel_proxy"),
								  makeString(pstrdup(NameStr(proc->proname))));
	Oid			userid;
	int			sec_context;
	Oid			inner_oid;

	become_owner(proc->proowner, &userid, &sec_context);
	inner_oid = LookupFuncName(name, proc->pronargs, proc->proargtypes.values, false);
	SetUserIdAndSecContext(userid, sec_context);
	return inner_oid;
}

static Inner *
find_inner(FmgrInfo *outer)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(outer->fn_oid));
	Inner	   *inner = MemoryContextAllocZero(outer->fn_mcxt, sizeof(Inner));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", outer->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	inner->owner = proc->proowner;
	fmgr_info_cxt(lookup_inner(proc), &inner->flinfo, outer->fn_mcxt);
	fmgr_info_set_expr(outer->fn_expr, &inner->flinfo);
	ReleaseSysCache(tuple);
	outer->fn_extra = inner;
	return inner;
}

/*
 * Of an error of a shard PL/Proxy says "function(3): [database] REMOTE ERROR: message".
 * Applications get the message as in a database with groups, and the rest as context.
 */
static void
restore_message(ErrorData *error)
{
	char	   *place = error->message ? strstr(error->message, "] REMOTE ") : NULL;
	char	   *message = place ? strstr(place, ": ") : NULL;

	if (message == NULL || strncmp(error->message, "chatrel_proxy.", 14) != 0)
		return;
	place[1] = '\0';
	error->context = error->context ? psprintf("%s\n%s", error->message, error->context)
		: pstrdup(error->message);
	error->message = pstrdup(message + 2);
}

/*
 * What the inner function returns is returned, also where it returns a set row by
 * row, or as a whole: it is told what the caller expects, and answers in its place.
 * After an error the transaction's end sets the user back.
 */
static Datum
call_inner(FunctionCallInfo fcinfo, const Inner *inner)
{
	MemoryContext caller_context = CurrentMemoryContext;
	ErrorContextCallback callback;
	Oid			userid;
	int			sec_context;
	volatile Datum result = (Datum) 0;

	check_version();
	become_owner(inner->owner, &userid, &sec_context);
	shard_clock_begin(&callback);
	PG_TRY();
	{
		result = FunctionCallInvoke(fcinfo);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		shard_clock_end(&callback);
		MemoryContextSwitchTo(caller_context);
		error = CopyErrorData();
		FlushErrorState();
		restore_message(error);
		ReThrowError(error);
	}
	PG_END_TRY();
	shard_clock_end(&callback);
	SetUserIdAndSecContext(userid, sec_context);
	return result;
}

static Datum
proxy_call(FunctionCallInfo fcinfo, Actor actor)
{
	Inner	   *inner = fcinfo->flinfo->fn_extra;
	int			nargs = PG_NARGS();
	Datum		result;

	LOCAL_FCINFO(inner_fcinfo, FUNC_MAX_ARGS);

	if (inner == NULL)
		inner = find_inner(fcinfo->flinfo);
	InitFunctionCallInfoData(*inner_fcinfo, &inner->flinfo, nargs, fcinfo->fncollation,
							 fcinfo->context, fcinfo->resultinfo);
	memcpy(inner_fcinfo->args, fcinfo->args, nargs * sizeof(NullableDatum));
	if (actor != ACTOR_NONE)
	{
		int64		user_id = actor == ACTOR_REQUIRED ? acting_user(fcinfo)
			: acting_user_if_any(fcinfo);

		inner_fcinfo->args[nargs - 1].value = Int64GetDatum(user_id);
		inner_fcinfo->args[nargs - 1].isnull = false;
	}
	result = call_inner(inner_fcinfo, inner);
	fcinfo->isnull = inner_fcinfo->isnull;
	return result;
}

/* The shard's transaction is another one, and may write. */
static void
prevent_if_read_only(FunctionCallInfo fcinfo)
{
	if (XactReadOnly)
		PreventCommandIfReadOnly(psprintf("chatrel.%s()",
										  get_func_name(fcinfo->flinfo->fn_oid)));
}

/* Of a function that acts for nobody */
Datum
chatrel_proxy_call(PG_FUNCTION_ARGS)
{
	return proxy_call(fcinfo, ACTOR_NONE);
}

/* Of one whose last argument is as_user */
Datum
chatrel_proxy_call_as(PG_FUNCTION_ARGS)
{
	return proxy_call(fcinfo, ACTOR_REQUIRED);
}

/* The same, and there may be nobody who acts. */
Datum
chatrel_proxy_call_as_any(PG_FUNCTION_ARGS)
{
	return proxy_call(fcinfo, ACTOR_IF_ANY);
}

/* Of one that acts for nobody, and writes */
Datum
chatrel_proxy_write(PG_FUNCTION_ARGS)
{
	prevent_if_read_only(fcinfo);
	return proxy_call(fcinfo, ACTOR_NONE);
}

/* Of one whose last argument is as_user, and which writes */
Datum
chatrel_proxy_write_as(PG_FUNCTION_ARGS)
{
	prevent_if_read_only(fcinfo);
	return proxy_call(fcinfo, ACTOR_REQUIRED);
}
