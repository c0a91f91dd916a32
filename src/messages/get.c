/*
 * get.c
 *	  Reading one message.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/plans.h"
#include "groups/members.h"
#include "messages/message.h"
#include "messages/reactions.h"

static SqlPlan message_of_group = {
	.sql = "SELECT " MESSAGE_COLUMNS("t") " FROM chatrel.groups_messages t"
	" WHERE t.group_id" EQ "$1 AND t.id" EQ "$2",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_get_message);

Datum
chatrel_get_message(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		message_id = require_int64(fcinfo, 1, "message_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id), Int64GetDatum(message_id)};
	OwnerScope	scope;
	PlanResult	found;
	Message		message;
	Reactions	reactions;
	JsonWriter	json;
	Datum		result;

	owner_begin(&scope, fcinfo);
	check_membership(user_id, group_id);
	found = plan_run(&message_of_group, PLAN_READ, values, NULL);
	if (found.nrows == 0)
		error_message_not_found(group_id, message_id);
	read_message(&message, &found, 0);
	read_reactions(&reactions, user_id, group_id, &message_id, 1);
	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_message(&json, &message);
	json_reactions(&json, &reactions, message.id);
	json_end_object(&json);
	result = SPI_datumTransfer(json_end_jsonb(&json), false, -1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}
