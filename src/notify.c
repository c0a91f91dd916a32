/*
 * notify.c
 *	  Delivery of events by NOTIFY, in the transaction that owes them.
 *
 * Called when the transaction is about to commit.  The channels are locked now,
 * and only until it has committed, in one order for everybody.
 */
#include "postgres.h"

#include "commands/async.h"
#include "miscadmin.h"

#include "channels.h"
#include "notify.h"
#include "plans.h"

static int
compare_targets(const void *a, const void *b)
{
	const Event *x = *(Event *const *) a;
	const Event *y = *(Event *const *) b;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return 0;
}

/* Looks up the channel of each group and user, once. */
static void
find_channels(Event *events, int nevents)
{
	Event	  **sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												(Size) nevents * sizeof(Event *));

	for (int i = 0; i < nevents; i++)
		sorted[i] = &events[i];
	qsort(sorted, nevents, sizeof(Event *), compare_targets);

	for (int i = 0; i < nevents; i++)
	{
		Event	   *event = sorted[i];

		CHECK_FOR_INTERRUPTS();
		if (event->target == EVENT_CHANNEL)
			break;				/* these come last, and have theirs */
		if (i > 0 && compare_targets(&sorted[i - 1], &sorted[i]) == 0)
			event->channel = sorted[i - 1]->channel;
		else if (event->target == EVENT_GROUP)
			group_channel(event->id, &event->channel);
		else
			user_channel(event->id, &event->channel);
	}
	pfree(sorted);
}

static void
notify(const pg_uuid_t *channel, const char *payload)
{
	char		name[CHANNEL_NAME_SIZE];

	channel_name(channel, name);
	Async_Notify(name, payload);
}

void
notify_events(Event *events, int nevents, Oid owner)
{
	OwnerScope	scope;
	pg_uuid_t	all;
	bool		all_exists;

	owner_begin_as(&scope, owner);
	find_channels(events, nevents);
	all_exists = all_channel(&all);
	owner_end(&scope);

	for (int i = 0; i < nevents; i++)
	{
		notify(&events[i].channel, events[i].payload);
		if (events[i].to_all && all_exists)
			notify(&all, events[i].payload);
	}
}
