/*
 * blocking.c
 *	  Keeping a user away, and no longer.
 *
 * A block ends what there is between two users, and prevents more of it, on both
 * sides.  Whoever begins something that a block prevents holds the rows of both
 * users FOR SHARE, and then asks is_blocked() or the like; whoever blocks locks
 * its own row against that first.  So the one of them that comes second finds what
 * the first has done.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "core/check.h"
#include "core/identity.h"
#include "relationships/blocks.h"
#include "relationships/lists.h"
#include "relationships/pair.h"
#include "relationships/relationships.h"
#include "relationships/requests.h"

static SqlPlan block_add = {
	.sql = "INSERT INTO chatrel.blocks (blocker_id, blocked_id) VALUES ($1, $2)"
	" ON CONFLICT (blocker_id, blocked_id) DO NOTHING",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan block_remove = {
	.sql = "DELETE FROM chatrel.blocks WHERE blocker_id" EQ "$1 AND blocked_id" EQ "$2",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID, INT8OID)
};

static SqlPlan block_exists = {
	.sql = "SELECT WHERE " MADE_BLOCK("$1", "$2"),
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID)
};

/* The page is cut out of the primary key before the users are joined to it. */
static SqlPlan blocked_page = {
	.sql = "SELECT u.id, u.username, b.created_at"
	" FROM (SELECT * FROM chatrel.blocks WHERE blocker_id" EQ "$1 AND blocked_id" GT "$2"
	" ORDER BY blocked_id LIMIT $3) b"
	" JOIN chatrel.users u ON u.id" EQ "b.blocked_id"
	" ORDER BY b.blocked_id",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID, INT8OID, INT8OID),
	.by_index = true
};

PG_FUNCTION_INFO_V1(chatrel_block);
PG_FUNCTION_INFO_V1(chatrel_unblock);
PG_FUNCTION_INFO_V1(chatrel_blocked);

/* Makes a block, or takes it away; false if there was nothing to do. */
static bool
change_block(bool add, int64 blocker_id, int64 blocked_id)
{
	Datum		values[] = {Int64GetDatum(blocker_id), Int64GetDatum(blocked_id)};

	for (int i = 0; i < MAX_TRIES; i++)
	{
		if (plan_run(add ? &block_add : &block_remove, PLAN_CASCADE, values, NULL).nrows > 0)
			return true;
		if ((plan_run(&block_exists, PLAN_LATEST, values, NULL).nrows > 0) == add)
			return false;
	}
	error_change_suppressed("blocks");
}

/* Nobody is told: whoever hears that a follow has ended here would know by whom and why. */
static bool
block(int64 blocker_id, int64 blocked_id)
{
	lock_pair_alone(blocker_id, blocked_id);
	(void) request_remove(blocker_id, blocked_id);
	(void) request_remove(blocked_id, blocker_id);
	(void) remove_follow(blocker_id, blocked_id);
	(void) remove_follow(blocked_id, blocker_id);
	return change_block(true, blocker_id, blocked_id);
}

Datum
chatrel_block(PG_FUNCTION_ARGS)
{
	int64		blocked_id = require_int64(fcinfo, 0, "user_id");
	int64		blocker_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed;

	if (blocker_id == blocked_id)
		error_oneself(blocker_id, "block");

	owner_begin(&scope, fcinfo);
	changed = block(blocker_id, blocked_id);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_unblock(PG_FUNCTION_ARGS)
{
	int64		blocked_id = require_int64(fcinfo, 0, "user_id");
	int64		blocker_id = acting_user(fcinfo);
	OwnerScope	scope;
	bool		changed = false;

	owner_begin(&scope, fcinfo);
	if (blocker_id == blocked_id)
		require_user(blocker_id);
	else
	{
		lock_pair(blocker_id, blocked_id, NULL);
		changed = change_block(false, blocker_id, blocked_id);
	}
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_blocked(PG_FUNCTION_ARGS)
{
	return return_own_page(fcinfo, &blocked_page);
}
