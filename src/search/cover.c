/*
 * cover.c
 *	  What the index is to be asked for a query.
 *
 * The index knows which messages of a group have a word, and can be asked for those
 * that have all words of a list, or one of them.  A query may be more than that:
 * words that follow each other, or that must not be there.  Its cover is what every
 * message that matches has, and as few others as such a list can say; whether they
 * match is then seen by their text.
 *
 * What only excludes has no cover.  It would find nearly every message there is, and
 * finds none by itself: of "a or -b" the cover is that of "a".
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "search/cover.h"

static const Cover no_cover = {0};

static bool
is_empty(const Cover *cover)
{
	return cover->all == NIL && cover->any == NIL;
}

static Cover
cover_of_word(const QueryOperand *operand, const char *words)
{
	Cover		result = {.exact = true};

	result.all = list_make1(cstring_to_text_with_len(words + operand->distance,
													 operand->length));
	return result;
}

/* One list of alternatives is as good as the other. */
static Cover
cover_of_both(Cover left, Cover right)
{
	Cover		result = {
		.all = list_concat(left.all, right.all),
		.any = left.any != NIL ? left.any : right.any,
		.exact = left.exact && right.exact && left.any == NIL && right.any == NIL
	};

	return result;
}

/* Of words that a message must all have, one will do; but then it is no longer exact. */
static List *
alternatives(Cover *cover)
{
	if (cover->all == NIL)
		return cover->any;
	if (cover->any != NIL || list_length(cover->all) > 1)
		cover->exact = false;
	return list_make1(linitial(cover->all));
}

static Cover
cover_of_either(Cover left, Cover right)
{
	Cover		result = no_cover;

	if (is_empty(&left))
		result = right;
	else if (is_empty(&right))
		result = left;
	if (!is_empty(&result))
	{
		result.exact = false;
		return result;
	}
	result.any = list_concat(alternatives(&left), alternatives(&right));
	result.exact = left.exact && right.exact;
	return result;
}

/* The left operand is as many items on as its operator says, and the right one follows it. */
static Cover
cover_of_item(const QueryItem *item, const char *words)
{
	Cover		left;
	Cover		right;

	check_stack_depth();
	if (item->type == QI_VAL)
		return cover_of_word(&item->qoperand, words);
	if (item->qoperator.oper == OP_NOT)
		return no_cover;
	left = cover_of_item(item + item->qoperator.left, words);
	right = cover_of_item(item + 1, words);
	if (item->qoperator.oper == OP_OR)
		return cover_of_either(left, right);
	left.exact &= item->qoperator.oper != OP_PHRASE;
	return cover_of_both(left, right);
}

/* Empty for a query that has no words, or only such that must not be there. */
Cover
cover_of(TSQuery query)
{
	return query->size == 0 ? no_cover : cover_of_item(GETQUERY(query), GETOPERAND(query));
}
