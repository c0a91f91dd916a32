/*
 * events.c
 *	  What a transaction owes to listeners.
 *
 * An event is a JSON object with one key, which names its kind, and the channel
 * it goes to.  While a transaction runs its events are only collected: those of
 * a subtransaction go with it when it is rolled back.  When the transaction is
 * about to commit they are handed over for delivery, in the order in which they
 * arose, in one place: events_hand_over().  Nothing is locked, looked up or sent
 * for an event before that.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "events.h"
#include "notify.h"
#include "queue.h"
#include "relay.h"

/*
 * Where the events of a running subtransaction begin.  Events arise in order,
 * so those of the innermost one are always the last of the array.  A
 * transaction level that owes nothing of its own has no mark.
 */
typedef struct Mark
{
	int			nest_level;
	int			first_event;
} Mark;

/* All of it lives in "chatrel events", below TopTransactionContext. */
static MemoryContext events_context = NULL;
static Event *events = NULL;
static int	nevents = 0;
static int	max_events = 0;
static Mark *marks = NULL;
static int	nmarks = 0;
static int	max_marks = 0;

/* Does the transaction hold what must not outlive the session? */
static bool unpreparable = false;

/* The owner of the functions that owe, whose rights delivery needs. */
static Oid	events_owner = InvalidOid;

/* ---------- building ---------- */

void
event_open(StringInfo event, const char *kind)
{
	initStringInfo(event);
	appendStringInfo(event, "{\"%s\": {", kind);
}

static void
event_key(StringInfo event, const char *key)
{
	if (event->data[event->len - 1] != '{')
		appendStringInfoString(event, ", ");
	appendStringInfo(event, "\"%s\": ", key);
}

void
event_int64(StringInfo event, const char *key, int64 value)
{
	char		digits[MAXINT8LEN + 1];

	event_key(event, key);
	appendBinaryStringInfo(event, digits, pg_lltoa(value, digits));
}

void
event_int64s(StringInfo event, const char *key, const int64 *values, int n)
{
	char		digits[MAXINT8LEN + 1];

	event_key(event, key);
	appendStringInfoChar(event, '[');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoString(event, ", ");
		appendBinaryStringInfo(event, digits, pg_lltoa(values[i], digits));
	}
	appendStringInfoChar(event, ']');
}

void
event_true(StringInfo event, const char *key)
{
	event_key(event, key);
	appendStringInfoString(event, "true");
}

void
event_string(StringInfo event, const char *key, const char *value)
{
	event_key(event, key);
	escape_json(event, value);
}

/* In UTC: sender and listener may have set different time zones. */
void
event_timestamp(StringInfo event, const char *key, TimestampTz value)
{
	char		text[MAXDATELEN + 1];
	int			utc = 0;

	JsonEncodeDateTime(text, TimestampTzGetDatum(value), TIMESTAMPTZOID, &utc);
	event_string(event, key, text);
}

void
event_close(StringInfo event)
{
	appendStringInfoString(event, "}}");
}

/* ---------- collecting ---------- */

static void
events_allocate(void)
{
	events_context = AllocSetContextCreate(TopTransactionContext, "chatrel events",
										   ALLOCSET_DEFAULT_SIZES);
	max_events = 8;
	events = MemoryContextAlloc(events_context, max_events * sizeof(Event));
	max_marks = 4;
	marks = MemoryContextAlloc(events_context, max_marks * sizeof(Mark));
}

/* The context goes with the transaction; forget what was in it. */
static void
events_forget(void)
{
	events_context = NULL;
	events = NULL;
	marks = NULL;
	nevents = max_events = nmarks = max_marks = 0;
	unpreparable = false;
}

/* Makes sure that the current transaction level has its mark. */
static void
mark_level(void)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (nmarks > 0 && marks[nmarks - 1].nest_level == nest_level)
		return;
	if (nmarks == max_marks)
	{
		marks = repalloc_huge(marks, 2 * (Size) max_marks * sizeof(Mark));
		max_marks *= 2;
	}
	marks[nmarks].nest_level = nest_level;
	marks[nmarks].first_event = nevents;
	nmarks++;
}

/* Owes an event to whoever may hear a group, or to a user. */
void
event_owe(EventTarget target, int64 id, bool to_all, StringInfo event)
{
	Event	   *owed;

	if (events_context == NULL)
		events_allocate();
	mark_level();
	if (nevents == max_events)
	{
		events = repalloc_huge(events, 2 * (Size) max_events * sizeof(Event));
		max_events *= 2;
	}

	owed = &events[nevents];
	memset(owed, 0, sizeof(Event));
	owed->target = target;
	owed->id = id;
	owed->to_all = to_all;
	owed->payload = MemoryContextStrdup(events_context, event->data);
	nevents++;
	events_owner = GetUserId();
}

/* From now on the transaction cannot be prepared for a two-phase commit. */
void
events_forbid_prepare(void)
{
	unpreparable = true;
}

/* ---------- ends of transactions ---------- */

/* The relay takes the events, or they go out with this very transaction. */
static void
events_hand_over(void)
{
	if (nevents == 0)
		return;
	replace_channels(events, nevents, events_owner);
	if (!relay_accept(events, nevents))
		notify_own_events(events, nevents, events_owner);
}

static void
events_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			events_hand_over();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (unpreparable)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed follow counters of the session's own")));
			if (nevents > 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has chatrel events to deliver")));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			relay_end_of_transaction(event == XACT_EVENT_COMMIT);
			notify_end_of_transaction(event == XACT_EVENT_COMMIT);
			if (nevents > 0 && event == XACT_EVENT_COMMIT)
				queue_wake_waiters();
			events_forget();
			break;
		default:
			break;
	}
}

/* The events of a subtransaction become its parent's. */
static void
events_subcommit(int nest_level)
{
	Mark	   *mark = &marks[nmarks - 1];

	if (nmarks >= 2 && mark[-1].nest_level == nest_level - 1)
		nmarks--;
	else
		mark->nest_level = nest_level - 1;
}

static void
events_subabort(void)
{
	Mark	   *mark = &marks[--nmarks];

	while (nevents > mark->first_event)
		pfree(events[--nevents].payload);
}

static void
events_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						SubTransactionId parentSubid, void *arg)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (nmarks == 0 || marks[nmarks - 1].nest_level != nest_level)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		events_subcommit(nest_level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		events_subabort();
}

void
events_init(void)
{
	RegisterXactCallback(events_xact_callback, NULL);
	RegisterSubXactCallback(events_subxact_callback, NULL);
}
