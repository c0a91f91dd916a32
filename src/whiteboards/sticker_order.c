/*
 * sticker_order.c
 *	  Gives stickers positions in the order of a request, with few changes.
 *
 * A position says only which of two stickers comes first; those that are equal,
 * as the owner may have made them, go by their ids.  Positions are far apart, so
 * that a sticker that is new or moved gets one between its neighbours' and
 * nobody else's changes.  A gap of 2^32 can be halved 32 times; where one is used
 * up, all stickers of the whiteboard get new positions.
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"

#include "whiteboards/sticker_order.h"

#define POSITION_STEP	(INT64CONST(1) << 32)

static bool
is_new(const Sticker *sticker)
{
	return sticker->match == NULL;
}

/* Does a come before b as they are stored? */
static bool
stored_before(const Sticker *a, const Sticker *b)
{
	return a->position != b->position ? a->position < b->position : a->id < b->id;
}

/* How many of the runs, which are in the order of their lengths, the sticker can follow. */
static int
count_followed(const Sticker *rows, const int *last, int nruns, const Sticker *sticker)
{
	int			low = 0;
	int			high = nruns;

	/* Where the order is as it was, the sticker follows all of them. */
	if (nruns > 0 && stored_before(&rows[last[nruns - 1]], sticker))
		return nruns;
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (stored_before(&rows[last[middle]], sticker))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Marks the fewest stickers that must move: all but a longest run of stickers
 * that are in the stored order already.  last[k] ends the best run of k + 1 found
 * so far, the one that leaves most to follow it; before[] leads back through it.
 */
static void
mark_moved(Stickers *stickers)
{
	int		   *last = palloc_array(int, stickers->n);
	int		   *before = palloc_array(int, stickers->n);
	int			nruns = 0;

	for (int i = 0; i < stickers->n; i++)
	{
		int			length;

		CHECK_FOR_INTERRUPTS();
		stickers->rows[i].moved = !is_new(&stickers->rows[i]);
		if (is_new(&stickers->rows[i]))
			continue;
		length = count_followed(stickers->rows, last, nruns, &stickers->rows[i]);
		before[i] = length > 0 ? last[length - 1] : -1;
		last[length] = i;
		nruns = Max(nruns, length + 1);
	}
	for (int i = nruns > 0 ? last[nruns - 1] : -1; i >= 0; i = before[i])
		stickers->rows[i].moved = false;
	pfree(last);
	pfree(before);
}

/* Places n stickers between two that stay, either of which may be NULL; false without room. */
static bool
place_run(Sticker *run, int n, const Sticker *left, const Sticker *right)
{
	int64		start = left != NULL ? left->position : 0;
	uint64		step = POSITION_STEP;
	int64		end;

	if (left != NULL && right != NULL)
		step = ((uint64) right->position - (uint64) start) / (n + 1);
	else if (right != NULL)
	{
		if (pg_sub_s64_overflow(right->position, POSITION_STEP * (n + 1), &start))
			return false;
	}
	else if (pg_add_s64_overflow(start, POSITION_STEP * n, &end))
		return false;
	if (step == 0)
		return false;

	for (int i = 0; i < n; i++)
		run[i].position = (int64) ((uint64) start + step * (i + 1));
	return true;
}

static bool
place_between_others(Stickers *stickers)
{
	Sticker    *left = NULL;
	int			begin = 0;

	while (begin < stickers->n)
	{
		Sticker    *right = NULL;
		int			end = begin;

		while (end < stickers->n &&
			   (is_new(&stickers->rows[end]) || stickers->rows[end].moved))
			end++;
		if (end < stickers->n)
			right = &stickers->rows[end];
		if (end > begin && !place_run(&stickers->rows[begin], end - begin, left, right))
			return false;
		left = right;
		begin = end + 1;
	}
	return true;
}

/* Stickers, which have their stored positions or are new, get those of their order. */
void
order_stickers(Stickers *stickers)
{
	mark_moved(stickers);
	if (!place_between_others(stickers))
		for (int i = 0; i < stickers->n; i++)
			stickers->rows[i].position = POSITION_STEP * (i + 1);
}
