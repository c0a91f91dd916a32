/*
 * typing.c
 *	  That somebody is typing: heard, and gone.
 *
 * Nothing is written for it, not even a lock on a row: who may send at the moment of
 * the call may be heard typing.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "groups/direct_pair.h"
#include "groups/members.h"
#include "receive/presence.h"
#include "receive/presence_table.h"

PG_FUNCTION_INFO_V1(chatrel_typing);

static void
require_may_type(int64 user_id, int64 group_id)
{
	int64		other_id;

	check_right(user_id, group_id, ACT_SEND);
	other_id = other_of_direct_pair(group_id, user_id);
	if (other_id != 0)
		require_unblocked(user_id, other_id);
}

static void
announce_typing(int64 group_id, int64 user_id)
{
	JsonWriter	event;

	event_begin(&event, "typing");
	json_id(&event, "group_id", group_id);
	json_id(&event, "user_id", user_id);
	announce(EVENT_GROUP, group_id, true, &event);
}

Datum
chatrel_typing(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		is_turn;

	require_presence("chatrel.typing()");
	PreventCommandIfReadOnly("chatrel.typing()");

	owner_begin(&scope, fcinfo);
	require_may_type(user_id, group_id);
	is_turn = presence_take_typing_turn(group_id, user_id);
	if (is_turn)
		announce_typing(group_id, user_id);
	owner_end(&scope);

	PG_RETURN_BOOL(is_turn);
}
