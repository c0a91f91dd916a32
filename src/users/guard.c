/*
 * guard.c
 *	  What keeps chatrel.users whole while several write it: its locks, and the
 *	  constraint on the names, which can wait.
 *
 * The order of locks is that of a session that writes to a linked table: first that
 * table, then chatrel.users.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "utils/guc.h"

#include "core/plans.h"
#include "users/guard.h"

static SqlPlan users_lock = {
	.sql = "LOCK TABLE chatrel.users IN ROW EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

static SqlPlan users_lock_alone = {
	.sql = "LOCK TABLE chatrel.users IN SHARE ROW EXCLUSIVE MODE",
	.expected = SPI_OK_UTILITY
};

static SqlPlan names_defer = {
	.sql = "SET CONSTRAINTS chatrel.users_username_key DEFERRED",
	.expected = SPI_OK_UTILITY
};

static SqlPlan names_check = {
	.sql = "SET CONSTRAINTS chatrel.users_username_key IMMEDIATE",
	.expected = SPI_OK_UTILITY
};

/* Until the transaction ends nobody may link a table. */
void
lock_users(void)
{
	plan_run(&users_lock, PLAN_WRITE, NULL, NULL);
}

/* Nobody else may create, delete, rename or mirror a user either. */
void
lock_users_alone(void)
{
	plan_run(&users_lock_alone, PLAN_WRITE, NULL, NULL);
}

/* Until check_names(), or until the transaction ends, two users may have the same name. */
void
defer_names(void)
{
	plan_run(&names_defer, PLAN_WRITE, NULL, NULL);
}

void
check_names(void)
{
	plan_run(&names_check, PLAN_WRITE, NULL, NULL);
}

/*
 * In the replica role users are written by a trigger that always fires, or to repair:
 * what depends on them, such as the counting of follows, must be done there too.
 */
int
origin_begin(void)
{
	int			nest_level = NewGUCNestLevel();

	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		(void) set_config_option("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
origin_end(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}
