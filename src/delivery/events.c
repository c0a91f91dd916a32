/*
 * events.c
 *	  What a transaction announces to listeners.
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
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/plans.h"
#include "delivery/channels.h"
#include "delivery/events.h"
#include "delivery/notify.h"
#include "delivery/queue.h"
#include "delivery/relay.h"

/*
 * Where the events of a running subtransaction begin.  Events arise in order,
 * so those of the innermost one are always the last of the array.  A
 * transaction level that announces nothing of its own has no mark.
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

/* The owner of the functions that announce, whose rights delivery needs. */
static Oid	events_owner = InvalidOid;

/* ---------- building ---------- */

void
event_begin(JsonWriter *event, const char *kind)
{
	json_begin_text(event);
	json_begin_object(event, NULL);
	json_begin_object(event, kind);
}

/* Would NOTIFY take it, with the two brackets that announce() adds? */
bool
event_fits(const JsonWriter *event)
{
	return event->text.len + 2 <= EVENT_MAX_LENGTH;
}

/* Ends an event; its text goes with the memory context. */
char *
event_end(JsonWriter *event)
{
	json_end_object(event);
	json_end_object(event);
	return unconstify(char *, json_end_text(event));
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

/* Announces a complete event to those who may hear a group, or to a user. */
void
announce(EventTarget target, int64 id, bool to_all, JsonWriter *event)
{
	Event	   *announced;

	if (events_context == NULL)
		events_allocate();
	mark_level();
	if (nevents == max_events)
	{
		events = repalloc_huge(events, 2 * (Size) max_events * sizeof(Event));
		max_events *= 2;
	}

	announced = &events[nevents];
	memset(announced, 0, sizeof(Event));
	announced->target = target;
	announced->id = id;
	announced->to_all = to_all;
	announced->payload = MemoryContextStrdup(events_context, event_end(event));
	nevents++;
	events_owner = GetUserId();
}

/* ---------- ends of transactions ---------- */

/*
 * NOTIFYs the events with this transaction, after what its session may have in
 * the relay's queue.
 */
static void
notify_own_events(void)
{
	OwnerScope	scope;

	/* The current user at commit may know nothing of chatrel. */
	owner_begin_as(&scope, events_owner);
	if (channels_exist())
	{
		lock_channels(events, nevents);
		relay_deliver_queued();
		notify_events(events, nevents);
	}
	owner_end(&scope);
}

/* The relay takes the events, or they go out with this very transaction. */
static void
events_hand_over(void)
{
	if (nevents == 0)
		return;
	replace_channels(events, nevents, events_owner);
	if (!relay_accept(events, nevents))
		notify_own_events();
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
