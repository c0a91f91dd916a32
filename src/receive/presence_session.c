/*
 * presence_session.c
 *	  The users whom this session listens for: they are online.
 *
 * LISTEN takes effect when its transaction commits, and so does this.  Until then
 * what was asked for is kept, with the transaction level that asked, since a
 * savepoint may take it back.  A session that ends, however it does, is taken out of
 * the table; where it is killed the server starts again, and the table is empty.
 *
 * UNLISTEN * and DISCARD ALL, which poolers send between their clients, end it too.
 * UNLISTEN of one channel does not: the session may hear the user's others.
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "receive/presence_session.h"
#include "receive/presence_table.h"

/* What a transaction has asked for: to listen for a user, or for nobody any more. */
typedef struct Request
{
	int			nest_level;
	PresenceKey key;			/* without a user: for nobody */
} Request;

/* In TopTransactionContext */
static Request *requests = NULL;
static int	nrequests = 0;
static int	max_requests = 0;

/* The users whom the session is counted for. */
static PresenceKey *listening = NULL;
static int	nlistening = 0;
static int	max_listening = 0;

static ProcessUtility_hook_type prev_process_utility_hook = NULL;

/* ---------- the session ---------- */

static void
stop_listening(void)
{
	while (nlistening > 0)
		presence_session_ends(&listening[--nlistening]);
}

static void
session_exit(int code, Datum arg)
{
	stop_listening();
}

/* There is room: see make_room_to_listen(). */
static void
start_listening(const PresenceKey *key)
{
	for (int i = 0; i < nlistening; i++)
		if (memcmp(&listening[i], key, sizeof(*key)) == 0)
			return;
	if (presence_session_begins(key))
		listening[nlistening++] = *key;
}

/* Before the commit, in which nothing may fail. */
static void
make_room_to_listen(void)
{
	int			wanted = nlistening + nrequests;

	if (listening == NULL)
	{
		listening = MemoryContextAlloc(TopMemoryContext, 4 * sizeof(PresenceKey));
		max_listening = 4;
		before_shmem_exit(session_exit, (Datum) 0);
	}
	if (wanted > max_listening)
	{
		listening = repalloc_huge(listening, (Size) wanted * 2 * sizeof(PresenceKey));
		max_listening = wanted * 2;
	}
}

/* ---------- what a transaction asks for ---------- */

static void
add_request(int64 user_id)
{
	if (requests == NULL)
	{
		requests = MemoryContextAlloc(TopTransactionContext, 4 * sizeof(Request));
		max_requests = 4;
	}
	else if (nrequests == max_requests)
	{
		requests = repalloc_huge(requests, (Size) max_requests * 2 * sizeof(Request));
		max_requests *= 2;
	}
	requests[nrequests].nest_level = GetCurrentTransactionNestLevel();
	requests[nrequests].key = presence_key(user_id);
	nrequests++;
	make_room_to_listen();
}

void
presence_listens(int64 user_id)
{
	if (presence_exists())
		add_request(user_id);
}

void
presence_unlistens(void)
{
	if (nlistening + nrequests > 0)
		add_request(0);
}

static void
session_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		for (int i = 0; i < nrequests; i++)
		{
			if (requests[i].key.user_id == 0)
				stop_listening();
			else
				start_listening(&requests[i].key);
		}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		requests = NULL;
		nrequests = 0;
	}
}

static void
session_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						 SubTransactionId parentSubid, void *arg)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nrequests > 0 && requests[nrequests - 1].nest_level >= nest_level)
			nrequests--;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nrequests - 1; i >= 0 && requests[i].nest_level >= nest_level; i--)
			requests[i].nest_level = nest_level - 1;
}

/* ---------- UNLISTEN * and DISCARD ALL ---------- */

static bool
ends_all_listening(const Node *statement)
{
	if (IsA(statement, UnlistenStmt))
		return ((const UnlistenStmt *) statement)->conditionname == NULL;
	if (IsA(statement, DiscardStmt))
		return ((const DiscardStmt *) statement)->target == DISCARD_ALL;
	return false;
}

static void
session_process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
						ProcessUtilityContext context, ParamListInfo params,
						QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type next = prev_process_utility_hook
		? prev_process_utility_hook : standard_ProcessUtility;
	bool		ends = ends_all_listening(pstmt->utilityStmt);

	next(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	if (ends)
		presence_unlistens();
}

void
presence_session_init(void)
{
	RegisterXactCallback(session_xact_callback, NULL);
	RegisterSubXactCallback(session_subxact_callback, NULL);
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = session_process_utility;
}
