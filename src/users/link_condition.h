/*
 * link_condition.h
 *	  Which rows of the linked table are users.
 */
#ifndef CHATREL_LINK_CONDITION_H
#define CHATREL_LINK_CONDITION_H

#include "utils/rel.h"

/* With the rights of the table's owner: to parse an expression may run code. */
extern Node *parse_condition(Relation rel, const char *condition);

#endif							/* CHATREL_LINK_CONDITION_H */
