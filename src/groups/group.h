/*
 * group.h
 *	  The shape of a group: {"id", "name", "members": [{"id", "username"}]}, and
 *	  where they say something "visibility", "join_policy", "posting",
 *	  "slow_mode" in seconds, "description", "metadata" and "archived_at".
 *
 * It has so many members at most as the reader has asked for, those who joined
 * first; where there are others, "more_members" says so.
 */
#ifndef CHATREL_GROUP_H
#define CHATREL_GROUP_H

#include "core/json.h"
#include "core/plans.h"

/* What a plan gives to read a group's settings, or to return it as a chatrel.chat_group */
#define GROUP_SETTINGS(alias) \
	alias ".visibility, " alias ".join_policy, " alias ".posting, " alias ".slow_mode," \
	" " alias ".description, " alias ".metadata, " alias ".archived_at"
#define GROUP_COLUMNS(alias) \
	alias ".id, " alias ".name, " alias ".creator_id, " alias ".created_at, " GROUP_SETTINGS(alias)

/* The columns of GROUP_COLUMNS() */
enum
{
	GROUP_ID = 1,
	GROUP_NAME,
	GROUP_CREATOR_ID,
	GROUP_CREATED_AT,
	GROUP_FIRST_SETTING
};

/*
 * A row for each member, in the order of joining, or one for a group that has
 * none; g is the group.  The limit is one above the number of members that are
 * to be shown.
 */
#define GROUP_ROWS(source, filter, limit, order) \
	"SELECT " GROUP_COLUMNS("g") ", member.user_id, member.username" \
	" FROM " source \
	" LEFT JOIN LATERAL (SELECT m.id, m.user_id, u.username" \
	" FROM (SELECT gm.id, gm.user_id FROM chatrel.groups_members gm" \
	" WHERE gm.group_id" EQ "g.id ORDER BY gm.id LIMIT " limit ") m" \
	" JOIN chatrel.users u ON u.id" EQ "m.user_id) member ON true" \
	" WHERE " filter \
	" ORDER BY " order "member.id"

/* Writes the keys of a group's settings, which begin at a column, but for the ordinary ones. */
extern void json_group_settings(JsonWriter *json, const PlanResult *result, uint64 row, int column);

/* Writes a user: {"id", "username"} */
extern void json_user(JsonWriter *json, const PlanResult *result, uint64 row, int column);

/*
 * Writes the fields of the group whose rows begin at row, with so many members;
 * returns where the next one's begin.
 */
extern uint64 json_group(JsonWriter *json, const PlanResult *groups, uint64 row,
						 int64 member_limit);

#endif							/* CHATREL_GROUP_H */
