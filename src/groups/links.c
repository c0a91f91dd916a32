/*
 * links.c
 *	  Invite links: whoever has the token of one comes in.
 *
 * A token is a secret of 128 random bits.  What is stored is its SHA-256, by which it
 * is looked up; so who reads the table, a dump or the statistics cannot come in, and
 * how long a look-up takes tells nothing of a token.  No error and no event has it.
 *
 * Who comes in is made a member first, and then uses the link up: of two who take its
 * last use at the same time the second waits for the first, and fails with all that
 * it has done.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/identity.h"
#include "groups/joining.h"
#include "groups/members.h"

#define TOKEN_BYTES		16
#define TOKEN_LENGTH	(2 * TOKEN_BYTES)	/* in hexadecimal digits */

static SqlPlan link_add = {
	.sql = "INSERT INTO chatrel.groups_links"
	" (group_id, token_hash, created_by, expires_at, max_uses) VALUES ($1, $2, $3, $4, $5)",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, BYTEAOID, INT8OID, TIMESTAMPTZOID, INT4OID)
};

#define IS_VALID \
	"((l.expires_at IS NULL OR l.expires_at" GT "pg_catalog.clock_timestamp())" \
	" AND (l.max_uses IS NULL OR l.uses" LT "l.max_uses))"

/* $2: for this user */
static SqlPlan link_by_hash = {
	.sql = "SELECT l.id, l.group_id, " IS_VALID ", EXISTS (SELECT FROM chatrel.groups_members m"
	" WHERE m.group_id" EQ "l.group_id AND m.user_id" EQ "$2)"
	" FROM chatrel.groups_links l WHERE l.token_hash" EQ "$1",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(BYTEAOID, INT8OID),
	.by_index = true
};

/* Its columns */
enum
{
	LINK_ID = 1,
	LINK_GROUP_ID,
	LINK_VALID,
	LINK_OF_MEMBER
};

static SqlPlan link_use = {
	.sql = "UPDATE chatrel.groups_links l SET uses = l.uses OPERATOR(pg_catalog.+) 1"
	" WHERE l.id" EQ "$1 AND " IS_VALID,
	.expected = SPI_OK_UPDATE,
	PLAN_ARGS(INT8OID)
};

static SqlPlan links_revoke = {
	.sql = "WITH locked AS MATERIALIZED ("
	"SELECT id FROM chatrel.groups_links WHERE group_id" EQ "$1 ORDER BY id FOR UPDATE)"
	" DELETE FROM chatrel.groups_links l USING locked WHERE l.id" EQ "locked.id",
	.expected = SPI_OK_DELETE,
	PLAN_ARGS(INT8OID)
};

PG_FUNCTION_INFO_V1(chatrel_create_invite_link);
PG_FUNCTION_INFO_V1(chatrel_join_by_link);
PG_FUNCTION_INFO_V1(chatrel_revoke_invite_links);

/* ---------- tokens ---------- */

static text *
make_token(void)
{
	char		random[TOKEN_BYTES];
	char		token[TOKEN_LENGTH];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	hex_encode(random, sizeof(random), token);
	return cstring_to_text_with_len(token, sizeof(token));
}

static Datum
hash_token(const text *token)
{
	return DirectFunctionCall1(sha256_bytea, PointerGetDatum(token));
}

/* One and the same for a link that never was, is revoked, has expired or is used up. */
static void
error_no_link(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("invite link does not exist"),
			 err_table("groups_links")));
}

/* ---------- making ---------- */

static TimestampTz
require_expiry(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz expires = PG_GETARG_TIMESTAMPTZ(argno);

	check_to_come(expires, "expires");
	return expires;
}

Datum
chatrel_create_invite_link(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	TimestampTz expires = PG_ARGISNULL(1) ? 0 : require_expiry(fcinfo, 1);
	int			max_uses = PG_ARGISNULL(2) ? 0 : require_integer(fcinfo, 2, "max_uses", 1);
	int64		user_id = acting_user(fcinfo);
	text	   *token = make_token();
	Datum		values[] = {Int64GetDatum(group_id), hash_token(token),
	Int64GetDatum(user_id), TimestampTzGetDatum(expires), Int32GetDatum(max_uses)};
	char		nulls[] = {' ', ' ', ' ', PG_ARGISNULL(1) ? 'n' : ' ',
	PG_ARGISNULL(2) ? 'n' : ' ', '\0'};
	OwnerScope	scope;

	PreventCommandIfReadOnly("chatrel.create_invite_link()");
	owner_begin(&scope, fcinfo);
	keep_group(group_id);
	lock_membership(user_id, group_id, ACT_ADMIT);
	check_changed(plan_run(&link_add, PLAN_WRITE, values, nulls).nrows, 1, "groups_links");
	owner_end(&scope);

	PG_RETURN_TEXT_P(token);
}

/* ---------- using ---------- */

/* A member needs no link, and so may come by one that is not valid any more. */
static int64
join_by_link(const text *token, int64 user_id)
{
	Datum		values[] = {hash_token(token), Int64GetDatum(user_id)};
	PlanResult	link;
	int64		group_id;

	require_user(user_id);
	link = plan_run(&link_by_hash, PLAN_WRITE, values, NULL);
	if (link.nrows == 0)
		error_no_link();
	group_id = result_int64(&link, 0, LINK_GROUP_ID);
	if (DatumGetBool(result_datum(&link, 0, LINK_OF_MEMBER)))
		return group_id;
	if (!DatumGetBool(result_datum(&link, 0, LINK_VALID)))
		error_no_link();
	if (join(group_id, user_id, user_id, JOIN_BY_LINK))
	{
		Datum		used[] = {Int64GetDatum(result_int64(&link, 0, LINK_ID))};

		if (plan_run(&link_use, PLAN_WRITE, used, NULL).nrows == 0)
			error_no_link();
	}
	return group_id;
}

Datum
chatrel_join_by_link(PG_FUNCTION_ARGS)
{
	int64		user_id;
	OwnerScope	scope;
	int64		group_id;

	check_not_null(fcinfo, 0, "token");
	user_id = acting_user(fcinfo);

	PreventCommandIfReadOnly("chatrel.join_by_link()");
	owner_begin(&scope, fcinfo);
	group_id = join_by_link(PG_GETARG_TEXT_PP(0), user_id);
	owner_end(&scope);

	PG_RETURN_INT64(group_id);
}

Datum
chatrel_revoke_invite_links(PG_FUNCTION_ARGS)
{
	int64		group_id = require_int64(fcinfo, 0, "group_id");
	int64		user_id = acting_user(fcinfo);
	Datum		values[] = {Int64GetDatum(group_id)};
	OwnerScope	scope;
	uint64		revoked;

	PreventCommandIfReadOnly("chatrel.revoke_invite_links()");
	owner_begin(&scope, fcinfo);
	lock_membership(user_id, group_id, ACT_ADMIT);
	revoked = plan_run(&links_revoke, PLAN_WRITE, values, NULL).nrows;
	owner_end(&scope);

	PG_RETURN_INT64((int64) revoked);
}
