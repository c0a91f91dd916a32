/*
 * link_condition.c
 *	  Which rows of the linked table are users: an SQL expression about the
 *	  columns, under the rules of CHECK constraints, and immutable, as nothing
 *	  would tell when what it says changes without the row.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"

#include "users/link_condition.h"

/* A position is one in the condition, and not in the statement that it came by. */
static void
condition_context(void *condition)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(condition);
	}
	errcontext("condition of chatrel.link_users()");
}

static void
error_no_expression(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("the condition must be one SQL expression")));
}

/* As in SELECT *, which is no expression; t.* is one. */
static bool
is_star(Node *target)
{
	return IsA(target, ColumnRef) && IsA(linitial(((ColumnRef *) target)->fields), A_Star);
}

/* The parser takes more than an expression: what may follow SELECT. */
static Node *
parse_expression(const char *condition)
{
	List	   *statements = raw_parser(condition, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	ResTarget  *target;
	SelectStmt *plain;

	if (list_length(select->targetList) != 1)
		error_no_expression();
	target = linitial_node(ResTarget, select->targetList);
	plain = makeNode(SelectStmt);
	plain->targetList = select->targetList;
	if (target->name != NULL || is_star(target->val) || !equal(select, plain))
		error_no_expression();
	return target->val;
}

/* What neither a partition's triggers nor the text of the condition could say. */
static void
check_columns(Node *expression)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	pull_varattnos(expression, 1, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
		if (column + FirstLowInvalidHeapAttributeNumber <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the condition must not refer to system columns or to the whole row")));
}

static Node *
analyse(ParseState *pstate, Relation rel, Node *expression)
{
	ParseNamespaceItem *table = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
															  NULL, false, true);

	addNSItemToQuery(pstate, table, true, true, true);
	expression = transformExpr(pstate, expression, EXPR_KIND_CHECK_CONSTRAINT);
	expression = coerce_to_boolean(pstate, expression, "condition");
	assign_expr_collations(pstate, expression);
	return expression;
}

/* The columns are those of variable 1, as PostgreSQL has them of OLD in a trigger. */
Node *
parse_condition(Relation rel, const char *condition)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = condition_context,
		.arg = unconstify(char *, condition)
	};
	ParseState *pstate = make_parsestate(NULL);
	Node	   *expression;

	error_context_stack = &callback;
	pstate->p_sourcetext = condition;
	expression = analyse(pstate, rel, parse_expression(condition));
	check_columns(expression);
	if (contain_mutable_functions((Node *) expression_planner((Expr *) copyObject(expression))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in the condition must be marked IMMUTABLE"),
				 errhint("What depends on the time, or on other rows, needs a column that says it.")));
	error_context_stack = callback.previous;
	free_parsestate(pstate);
	return expression;
}
