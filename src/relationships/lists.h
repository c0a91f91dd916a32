/*
 * lists.h
 *	  Functions that return the rows of one plan.
 */
#ifndef CHATREL_LISTS_H
#define CHATREL_LISTS_H

#include "core/plans.h"

/* For the user whose list it is; before owner_begin(). */
extern Datum return_list(FunctionCallInfo fcinfo, SqlPlan *plan, Datum *values,
						 const char *nulls, int64 user_id);

/* after, row_limit, as_user: what the acting user has, by a plan of $1 user, $2 after, $3 limit */
extern Datum return_own_page(FunctionCallInfo fcinfo, SqlPlan *plan);

#endif							/* CHATREL_LISTS_H */
