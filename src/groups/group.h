/*
 * group.h
 *	  The shape of a group: {"id", "name", "members": [{"id", "username"}]}.
 */
#ifndef CHATREL_GROUP_H
#define CHATREL_GROUP_H

#include "core/json.h"
#include "core/plans.h"

/* A row for each member, in the order of joining, or one for a group that has none; g is the group. */
#define GROUP_ROWS(source, filter, order) \
	"SELECT g.id, g.name, member.user_id, member.username" \
	" FROM " source \
	" LEFT JOIN LATERAL (SELECT m.id, m.user_id, u.username" \
	" FROM chatrel.groups_members m" \
	" JOIN chatrel.users u ON u.id" EQ "m.user_id" \
	" WHERE m.group_id" EQ "g.id) member ON true" \
	" WHERE " filter \
	" ORDER BY " order "member.id"

/* Writes a user: {"id", "username"} */
extern void json_user(JsonWriter *json, const PlanResult *result, uint64 row, int column);

/* Writes the fields of the group whose rows begin at row; returns where the next one's begin. */
extern uint64 json_group(JsonWriter *json, const PlanResult *groups, uint64 row);

#endif							/* CHATREL_GROUP_H */
