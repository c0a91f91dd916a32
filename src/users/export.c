/*
 * export.c
 *	  What chatrel keeps of a person, for that person.
 *
 * It is a set of rows and not one document, which could be larger than a jsonb may
 * be: an application makes a file of it as they come.  It has what the user has
 * done, and what concerns it and it may see: not who has blocked or muted it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "core/check.h"
#include "core/guc.h"
#include "core/identity.h"
#include "core/plans.h"

/* An id, or an array of them, as chatrel.json_ids has it; $2: as strings? */
#define JSON_ID(value)	"CASE WHEN $2 THEN pg_catalog.to_jsonb(" value "::pg_catalog.text)" \
	" ELSE pg_catalog.to_jsonb(" value ") END"
#define JSON_IDS(value)	"CASE WHEN $2 THEN pg_catalog.to_jsonb(" value "::pg_catalog.text[])" \
	" ELSE pg_catalog.to_jsonb(" value ") END"

#define PART(kind, document, rows) \
	"(SELECT '" kind "', pg_catalog.jsonb_build_object(" document ") FROM chatrel." rows ")"

/* Those whom the user follows, or who follow it: of the others only the ids */
#define FOLLOWS(kind, other, side) \
	PART(kind, "'user_id', " JSON_ID(other) ", 'follow_type', f.follow_type," \
		 " 'created_at', f.created_at, 'updated_at', f.updated_at", \
		 "relationships f WHERE " side EQ "$1 ORDER BY f.id")

#define REQUESTS(kind, other, side) \
	PART(kind, "'user_id', " JSON_ID(other) ", 'follow_type', q.follow_type," \
		 " 'created_at', q.created_at", \
		 "follow_requests q WHERE " side EQ "$1 ORDER BY q.id")

static SqlPlan person = {
	.sql = PART("user", "'id', " JSON_ID("u.id") ", 'username', u.username,"
				" 'role_name', u.role_name, 'created_at', u.created_at, 'deleted_at', u.deleted_at",
				"users u WHERE u.id" EQ "$1")
	" UNION ALL "
	PART("settings", "'protected', s.protected, 'direct_messages', s.direct_messages",
		 "user_settings s WHERE s.user_id" EQ "$1")
	" UNION ALL "
	FOLLOWS("following", "f.followed_id", "f.follower_id")
	" UNION ALL "
	FOLLOWS("follower", "f.follower_id", "f.followed_id")
	" UNION ALL "
	REQUESTS("request_made", "q.followed_id", "q.follower_id")
	" UNION ALL "
	REQUESTS("request_received", "q.follower_id", "q.followed_id")
	" UNION ALL "
	PART("block", "'user_id', " JSON_ID("b.blocked_id") ", 'created_at', b.created_at",
		 "blocks b WHERE b.blocker_id" EQ "$1 ORDER BY b.blocked_id")
	" UNION ALL "
	PART("mute", "'user_id', " JSON_ID("m.muted_id") ", 'until', m.until,"
		 " 'created_at', m.created_at",
		 "user_mutes m WHERE m.user_id" EQ "$1 ORDER BY m.muted_id")
	" UNION ALL "
	PART("membership", "'group_id', " JSON_ID("m.group_id") ", 'joined_at', m.joined_at",
		 "groups_members m WHERE m.user_id" EQ "$1 ORDER BY m.id")
	" UNION ALL "
	PART("read_mark", "'group_id', " JSON_ID("k.group_id") ","
		 " 'message_id', " JSON_ID("k.message_id") ", 'marked_at', k.marked_at",
		 "read_marks k WHERE k.user_id" EQ "$1 ORDER BY k.group_id")
	" UNION ALL "
	PART("message", "'id', " JSON_ID("t.id") ", 'datetime', t.datetime,"
		 " 'group_id', " JSON_ID("t.group_id") ", 'message', t.message,"
		 " 'reply_to_id', " JSON_ID("t.reply_to_id") ", 'mentions', " JSON_IDS("t.mentions") ","
		 " 'metadata', t.metadata, 'client_key', t.client_key,"
		 " 'edited_at', t.edited_at, 'deleted_at', t.deleted_at",
		 "groups_messages t WHERE t.sender_id" EQ "$1 ORDER BY t.id")
	" UNION ALL "
	PART("edit", "'group_id', " JSON_ID("e.group_id") ","
		 " 'message_id', " JSON_ID("e.message_id") ","
		 " 'message', e.detail OPERATOR(pg_catalog.->) 'message', 'created_at', e.created_at",
		 "events e WHERE e.actor_id" EQ "$1 AND e.kind" EQ "'message_edited' ORDER BY e.id")
	" UNION ALL "
	PART("reaction", "'group_id', " JSON_ID("r.group_id") ","
		 " 'message_id', " JSON_ID("r.message_id") ","
		 " 'reaction', r.reaction, 'created_at', r.created_at",
		 "message_reactions r WHERE r.user_id" EQ "$1 ORDER BY r.message_id, r.reaction")
	" UNION ALL "
	PART("mention", "'group_id', " JSON_ID("e.group_id") ","
		 " 'message_id', " JSON_ID("e.message_id") ","
		 " 'sender_id', " JSON_ID("e.actor_id") ", 'created_at', e.created_at",
		 "events e WHERE e.recipient_id" EQ "$1 AND e.kind" EQ "'mentioned' ORDER BY e.id"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, BOOLOID)
};

PG_FUNCTION_INFO_V1(chatrel_export_user);

Datum
chatrel_export_user(PG_FUNCTION_ARGS)
{
	int64		user_id = require_int64(fcinfo, 0, "user_id");
	Datum		values[] = {Int64GetDatum(user_id),
	BoolGetDatum(guc_json_ids == JSON_IDS_STRING)};
	OwnerScope	scope;

	InitMaterializedSRF(fcinfo, 0);

	owner_begin(&scope, fcinfo);
	if (plan_fill(&person, (ReturnSetInfo *) fcinfo->resultinfo, values, NULL) == 0)
		error_user_not_found(user_id);
	owner_end(&scope);

	return (Datum) 0;
}
