/*
 * presence_announce.c
 *	  Telling who comes and goes to those who share a group.
 *
 * The worker of the relay does it, since who goes may have no session any more.  A
 * group of more members than chatrel.presence_max_members is not told.  Where a member
 * of the group and the user have blocked one another, the group's channel would tell
 * that one too: there each of the others is told on its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "core/guc.h"
#include "core/plans.h"
#include "delivery/channels.h"
#include "delivery/events.h"
#include "delivery/relay.h"
#include "receive/presence_announce.h"
#include "receive/presence_table.h"

/* So many users at most in one transaction */
#define MAX_CHANGES 500

/* What the worker is telling, until it is told. */
static PresenceChange changes[MAX_CHANGES];
static int	nchanges = 0;

/* $1 a user, $2 the most members: a row for each channel; a group's own, or a member's. */
static SqlPlan who_is_told = {
	.sql = "WITH apart AS MATERIALIZED ("
	"SELECT blocked_id AS id FROM chatrel.blocks WHERE blocker_id" EQ "$1"
	" UNION SELECT blocker_id FROM chatrel.blocks WHERE blocked_id" EQ "$1),"
	" shared AS MATERIALIZED ("
	"SELECT m.group_id, EXISTS (SELECT FROM apart a JOIN chatrel.groups_members o"
	" ON o.group_id" EQ "m.group_id AND o.user_id" EQ "a.id) AS divided"
	" FROM chatrel.groups_members m WHERE m.user_id" EQ "$1"
	" AND (SELECT pg_catalog.sum(c.members) FROM chatrel.groups_counters c"
	" WHERE c.group_id" EQ "m.group_id)" LE "$2)"
	" SELECT s.group_id, NULL::pg_catalog.int8 FROM shared s WHERE NOT s.divided"
	" UNION ALL"
	" SELECT s.group_id, o.user_id FROM shared s"
	" JOIN chatrel.groups_members o ON o.group_id" EQ "s.group_id"
	" WHERE s.divided AND NOT EXISTS (SELECT FROM apart a WHERE a.id" EQ "o.user_id)"
	" ORDER BY 1, 2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT4OID),
	.by_index = true
};

/* What it reads, besides the channels */
static const char *const tables[] = {"groups_members", "groups_counters", "blocks"};

typedef struct Announcements
{
	Event	   *events;
	int			count;
	int			room;
} Announcements;

static char *
presence_payload(const PresenceChange *change, int64 group_id, int64 recipient_id)
{
	JsonWriter	event;

	event_begin(&event, "presence");
	event.ids = change->json_ids;
	json_id(&event, "group_id", group_id);
	if (recipient_id != 0)
		json_id(&event, "recipient_id", recipient_id);
	json_id(&event, "user_id", change->key.user_id);
	json_bool(&event, "online", change->online);
	return event_end(&event);
}

static Event *
add_event(Announcements *list)
{
	Event	   *event;

	if (list->count == list->room)
	{
		list->room *= 2;
		list->events = repalloc_huge(list->events, (Size) list->room * sizeof(Event));
	}
	event = &list->events[list->count++];
	memset(event, 0, sizeof(*event));
	event->to_all = true;
	return event;
}

static void
announce_change(Announcements *list, const PresenceChange *change)
{
	Datum		values[] = {Int64GetDatum(change->key.user_id), Int32GetDatum(guc_presence_max_members)};
	PlanResult	told = plan_run(&who_is_told, PLAN_LATEST, values, NULL);

	for (uint64 row = 0; row < told.nrows; row++)
	{
		int64		group_id = result_int64(&told, row, 1);
		bool		alone = !result_is_null(&told, row, 2);
		int64		recipient_id = alone ? result_int64(&told, row, 2) : 0;
		Event	   *event = add_event(list);

		event->target = alone ? EVENT_USER : EVENT_GROUP;
		event->id = alone ? recipient_id : group_id;
		event->payload = presence_payload(change, group_id, recipient_id);
	}
}

static Event *
make_presence_events(int *nevents)
{
	Announcements list = {palloc_array(Event, 64), 0, 64};

	/* The watcher asks again where one of them is locked. */
	nchanges = lock_free_tables(tables, lengthof(tables)) ? presence_changes(changes, MAX_CHANGES) : 0;
	for (int i = 0; i < nchanges; i++)
	{
		CHECK_FOR_INTERRUPTS();
		announce_change(&list, &changes[i]);
	}
	*nevents = list.count;
	return list.events;
}

static void
presence_events_made(void)
{
	presence_told(changes, nchanges, nchanges == MAX_CHANGES);
	nchanges = 0;
}

void
presence_announce_init(void)
{
	relay_set_announcer(make_presence_events, presence_events_made);
}
