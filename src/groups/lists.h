/*
 * lists.h
 *	  Functions that return a page of what a group has.
 */
#ifndef CHATREL_GROUPS_LISTS_H
#define CHATREL_GROUPS_LISTS_H

#include "core/plans.h"
#include "groups/rights.h"

/*
 * group_id, after, row_limit, as_user: what the group has, for a member who may do
 * the act, by a plan of $1 group, $2 after, $3 limit
 */
extern Datum return_group_page(FunctionCallInfo fcinfo, SqlPlan *plan, GroupAct act);

#endif							/* CHATREL_GROUPS_LISTS_H */
