/*
 * notify.c
 *	  Delivery of events by NOTIFY.
 *
 * A transaction that is about to commit, and NOTIFYs its own events, locks their
 * channels now, and until it has committed, in one order for everybody: what it
 * sends must not reach a member whose removal commits first.
 *
 * Events of transactions that have committed need no such lock: whichever
 * channel is found in use, they were sent before it was replaced.
 *
 * Either way a transaction in which a member has left replaces the channel now.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

#include "core/plans.h"
#include "delivery/channels.h"
#include "delivery/notify.h"

/* This transaction has used NOTIFY; one that had was aborted since there was room. */
static bool notified = false;
static bool make_room = false;

static SqlPlan channels_of_groups = {
	.sql = "SELECT group_id, channel FROM chatrel.groups_channels"
	" WHERE group_id" EQ "ANY ($1) ORDER BY group_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID)
};

static SqlPlan channels_of_users = {
	.sql = "SELECT user_id, channel FROM chatrel.users_channels"
	" WHERE user_id" EQ "ANY ($1) ORDER BY user_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8ARRAYOID)
};

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

static Event **
sort_by_target(Event *events, int nevents)
{
	Event	  **sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												(Size) nevents * sizeof(Event *));

	for (int i = 0; i < nevents; i++)
		sorted[i] = &events[i];
	qsort(sorted, nevents, sizeof(Event *), compare_targets);
	return sorted;
}

static void
set_channel(Event *event, const pg_uuid_t *channel)
{
	event->channel = *channel;
	event->has_channel = true;
}

static bool
announces_to_old_channels(const Event *events, int nevents)
{
	for (int i = 0; i < nevents; i++)
		if (events[i].target == EVENT_OLD_CHANNEL)
			return true;
	return false;
}

/*
 * Gives new channels to the groups that a member has left, and the old ones to
 * the events that say so.  A group that is gone has no listeners; nor has one
 * without a channel, but it may get one before the events are delivered.
 */
void
replace_channels(Event *events, int nevents, Oid owner)
{
	Event	  **sorted;
	OwnerScope	scope;
	pg_uuid_t	channel;
	bool		found = false;
	const Event *previous = NULL;
	int			ngroups = 0;	/* events to groups whose channels are locked */

	if (!announces_to_old_channels(events, nevents))
		return;
	owner_begin_as(&scope, owner);
	sorted = sort_by_target(events, nevents);
	if (!group_channels_exist())
		nevents = 0;
	for (int i = 0; i < nevents; i++)
	{
		Event	   *event = sorted[i];

		CHECK_FOR_INTERRUPTS();
		if (event->target != EVENT_OLD_CHANNEL)
			continue;
		if (previous == NULL || previous->id != event->id)
		{
			/*
			 * In the order of lock_channels(): else who leaves one and sends
			 * to another may come to a deadlock.
			 */
			for (; sorted[ngroups]->target == EVENT_GROUP && sorted[ngroups]->id < event->id; ngroups++)
				(void) group_channel(sorted[ngroups]->id, &channel);
			found = group_channel_replace(event->id, &channel);
		}
		previous = event;
		event->target = found ? EVENT_CHANNEL : EVENT_GROUP;
		if (found)
			set_channel(event, &channel);
	}
	owner_end(&scope);
}

/* Locks the channel of each group and user, making those that do not exist. */
void
lock_channels(Event *events, int nevents)
{
	Event	  **sorted = sort_by_target(events, nevents);
	pg_uuid_t	channel;
	bool		found = false;

	/* Events that were given their channel come last. */
	for (int i = 0; i < nevents && sorted[i]->target < EVENT_OLD_CHANNEL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || compare_targets(&sorted[i - 1], &sorted[i]) != 0)
		{
			if (sorted[i]->target == EVENT_GROUP)
				found = group_channel(sorted[i]->id, &channel);
			else
				found = user_channel(sorted[i]->id, &channel);
		}
		if (found)
			set_channel(sorted[i], &channel);
	}
	pfree(sorted);
}

/* Looks up the channels of events that have one target and are sorted by id. */
static void
look_up_channels(SqlPlan *plan, Event **sorted, int nevents)
{
	int64	   *ids = palloc_array(int64, Max(nevents, 1));
	int			nids = 0;
	Datum		values[1];
	PlanResult	found;
	uint64		row = 0;

	for (int i = 0; i < nevents; i++)
		if (i == 0 || sorted[i]->id != sorted[i - 1]->id)
			ids[nids++] = sorted[i]->id;
	if (nids == 0)
		return;

	values[0] = int64_array(ids, nids);
	found = plan_run(plan, PLAN_LATEST, values, NULL);
	for (int i = 0; i < nevents; i++)
	{
		while (row < found.nrows && result_int64(&found, row, 1) < sorted[i]->id)
			row++;
		if (row < found.nrows && result_int64(&found, row, 1) == sorted[i]->id)
		{
			pg_uuid_t	channel = result_uuid(&found, row, 2);

			set_channel(sorted[i], &channel);
		}
	}
}

/* Between owner_begin() and owner_end(). */
void
find_committed_channels(Event *events, int nevents)
{
	Event	  **sorted = sort_by_target(events, nevents);
	int			ngroups = 0;
	int			nusers = 0;

	while (ngroups < nevents && sorted[ngroups]->target == EVENT_GROUP)
		ngroups++;
	while (ngroups + nusers < nevents && sorted[ngroups + nusers]->target == EVENT_USER)
		nusers++;
	look_up_channels(&channels_of_groups, sorted, ngroups);
	look_up_channels(&channels_of_users, sorted + ngroups, nusers);
}

static void
notify(const pg_uuid_t *channel, const char *payload)
{
	char		name[CHANNEL_NAME_SIZE];

	channel_name(channel, name);
	Async_Notify(name, payload);
}

/*
 * Transactions whose NOTIFY succeeds move the tail of its queue.  When the queue
 * is full none succeeds, and it stays full after all have read it; but to ask
 * how full it is moves the tail too.
 */
static void
drop_what_all_have_read(void)
{
	(void) OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE);
	make_room = false;
}

/*
 * From here on the session's client is told nothing but errors.  With parameters
 * that anybody may set (debug_print_plan, trace_notify, client_min_messages …) it
 * would be told which groups and users the events of others go to, and the names
 * of channels, not all of which are for that client to know.
 */
int
silence_begin(void)
{
	static const char *const settings[][2] = {
		{"client_min_messages", "error"},
		{"trace_notify", "off"}
	};
	int			nest_level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
silence_end(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}

/* NOTIFYs events whose channels are known; between owner_begin() and owner_end(). */
void
notify_events(const Event *events, int nevents)
{
	pg_uuid_t	all;
	bool		all_exists = all_channel(&all);
	int			nest_level = silence_begin();

	if (make_room)
		drop_what_all_have_read();
	notified = true;
	for (int i = 0; i < nevents; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (events[i].has_channel)
			notify(&events[i].channel, events[i].payload);
		if (events[i].to_all && all_exists)
			notify(&all, events[i].payload);
	}
	silence_end(nest_level);
}

/* If it was aborted, then perhaps because the queue was full. */
void
notify_end_of_transaction(bool committed)
{
	if (notified && !committed)
		make_room = true;
	notified = false;
}
