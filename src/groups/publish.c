/*
 * publish.c
 *	  An application's own events, for the members of a group.
 *
 * They are heard and not kept.  An application could NOTIFY by itself, but its
 * notifications would overtake those that chatrel's relay delivers; these come in
 * the order in which the transaction and the session made them, among chatrel's
 * own.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "delivery/events.h"
#include "groups/members.h"

/* In bytes: what PostgreSQL allows of a name */
#define MAX_KIND_LENGTH	63

/* What chatrel says itself, and nobody else, today or in a version to come */
static const char *const own_kinds[] = {
	"added_to_group", "follow_accepted", "follow_requested", "followed", "group_changed",
	"group_deleted", "group_message", "invited", "join_requested", "member_changed",
	"member_joined", "member_left", "mentioned", "message_deleted", "message_edited",
	"message_pinned", "message_unpinned", "presence", "reaction_added", "reaction_removed",
	"read", "relisten", "removed_from_group", "typing", "unfollowed", "user_changed",
	"whiteboard_changed", "whiteboard_deleted"
};

PG_FUNCTION_INFO_V1(chatrel_publish);

static void
check_kind(const char *kind)
{
	if (strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(kind) ||
		kind[0] < 'a' || kind[0] > 'z' || strlen(kind) > MAX_KIND_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid kind of event"),
				 errdetail("A kind is a lower-case letter, and up to %d more letters, digits and"
						   " underscores.", MAX_KIND_LENGTH - 1)));
	for (int i = 0; i < lengthof(own_kinds); i++)
		if (strcmp(kind, own_kinds[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is a kind of event of chatrel's own", kind),
					 errhint("Give the event a name of the application's.")));
}

Datum
chatrel_publish(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	char	   *kind;
	int64		user_id;
	OwnerScope	scope;
	JsonWriter	event;

	check_not_null(fcinfo, 1, "kind");
	check_not_null(fcinfo, 2, "payload");
	kind = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_kind(kind);
	user_id = acting_user(fcinfo);

	event_begin(&event, kind);
	json_id(&event, "group_id", group_id);
	json_id(&event, "user_id", user_id);
	json_jsonb(&event, "payload", PG_GETARG_JSONB_P(2));
	if (!event_fits(&event))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload is too large for an event"),
				 errdetail("The event has %d bytes; a notification takes %d.",
						   event.text.len + 2, EVENT_MAX_LENGTH)));

	PreventCommandIfReadOnly("chatrel.publish()");
	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_CHANGE);
	announce(EVENT_GROUP, group_id, true, &event);
	owner_end(&scope);

	PG_RETURN_VOID();
}
