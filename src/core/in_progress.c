/*
 * in_progress.c
 *	  The transactions that are in progress in a snapshot.
 *
 * These are the ones that the snapshot lists, and those from its xmax on, as that is
 * only one more than the last that has ended; of these, the ones below the next xid
 * at a time after the snapshot was taken.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"

#include "core/in_progress.h"

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* Appends a range to others, or to the last of them if it only goes on. */
static void
add_range(XidRange *ranges, int *n, uint64 lo, uint64 hi)
{
	if (lo >= hi)
		return;
	if (*n > 0 && ranges[*n - 1].hi == lo)
		ranges[*n - 1].hi = hi;
	else
	{
		ranges[*n].lo = lo;
		ranges[*n].hi = hi;
		(*n)++;
	}
}

/* But for this transaction: it sees what is its own. */
XidRange *
xids_in_progress(Snapshot snapshot, int *nranges)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	/* In recovery all are where subtransactions otherwise are. */
	TransactionId *xip = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;
	int			xcnt = snapshot->takenDuringRecovery ? snapshot->subxcnt : (int) snapshot->xcnt;
	XidRange   *ranges = palloc_array(XidRange, xcnt + 2);
	uint64	   *xids = palloc_array(uint64, Max(xcnt, 1));
	uint64		xmax = next - (TransactionId) ((TransactionId) next - snapshot->xmax);

	for (int i = 0; i < xcnt; i++)
		xids[i] = next - (TransactionId) ((TransactionId) next - xip[i]);
	qsort(xids, xcnt, sizeof(uint64), compare_xids);

	*nranges = 0;
	for (int i = 0; i < xcnt; i++)
		if (xids[i] != own)
			add_range(ranges, nranges, xids[i], xids[i] + 1);
	if (own >= xmax && own < next)
	{
		add_range(ranges, nranges, xmax, own);
		add_range(ranges, nranges, own + 1, next);
	}
	else
		add_range(ranges, nranges, xmax, next);
	pfree(xids);
	return ranges;
}
