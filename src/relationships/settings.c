/*
 * settings.c
 *	  What a user has set for itself.
 *
 * Whoever depends on a setting holds the user's row FOR SHARE, and whoever changes
 * one locks it against that: so a follow that comes after set_protected() sees it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/check.h"
#include "core/identity.h"
#include "core/json.h"
#include "delivery/record.h"
#include "relationships/pair.h"

/* One row, but none where there is no such user. */
static SqlPlan settings_read = {
	.sql = "SELECT COALESCE(s.protected, false), COALESCE(s.direct_messages, 'everybody')"
	" FROM chatrel.users u LEFT JOIN chatrel.user_settings s ON s.user_id" EQ "u.id"
	" WHERE u.id" EQ "$1 AND u.deleted_at IS NULL",
	.expected = SPI_OK_SELECT,
	PLAN_ARGS(INT8OID),
	.by_index = true
};

/* Its columns */
enum
{
	SETTING_PROTECTED = 1,
	SETTING_DIRECT_MESSAGES
};

static SqlPlan settings_write = {
	.sql = "INSERT INTO chatrel.user_settings AS s (user_id, protected, direct_messages)"
	" VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE"
	" SET protected = EXCLUDED.protected, direct_messages = EXCLUDED.direct_messages",
	.expected = SPI_OK_INSERT,
	PLAN_ARGS(INT8OID, BOOLOID, TEXTOID)
};

typedef struct Settings
{
	bool		protected;
	const char *direct_messages;
} Settings;

/* As the table's CHECK has them */
static const char *const audiences[] = {"everybody", "followed", "friends", "nobody"};

PG_FUNCTION_INFO_V1(chatrel_user_settings);
PG_FUNCTION_INFO_V1(chatrel_set_protected);
PG_FUNCTION_INFO_V1(chatrel_set_direct_messages);

static Settings
read_settings(int64 user_id, PlanAccess access)
{
	Datum		values[] = {Int64GetDatum(user_id)};
	PlanResult	found = plan_run(&settings_read, access, values, NULL);
	Settings	settings;

	if (found.nrows == 0)
		error_user_not_found(user_id);
	settings.protected = DatumGetBool(result_datum(&found, 0, SETTING_PROTECTED));
	settings.direct_messages = result_cstring(&found, 0, SETTING_DIRECT_MESSAGES);
	return settings;
}

/* {"protected", "direct_messages"} */
static Datum
settings_document(const Settings *settings)
{
	JsonWriter	json;

	json_begin_jsonb(&json);
	json_begin_object(&json, NULL);
	json_bool(&json, "protected", settings->protected);
	json_string(&json, "direct_messages", settings->direct_messages);
	json_end_object(&json);
	return json_end_jsonb(&json);
}

/* The settings as they are from now on; the user's own sessions hear of it. */
static void
write_settings(int64 user_id, const Settings *settings)
{
	Datum		values[] = {Int64GetDatum(user_id), BoolGetDatum(settings->protected),
	CStringGetTextDatum(settings->direct_messages)};
	RecordedEvent changed = {
		.kind = "user_changed",
		.recipient_id = user_id,
		.actor_id = user_id,
		.user_id = user_id
	};

	check_changed(plan_run(&settings_write, PLAN_CASCADE, values, NULL).nrows, 1, "user_settings");
	changed.detail = DatumGetJsonbP(settings_document(settings));
	record_event(&changed);
}

static const char *
require_audience(FunctionCallInfo fcinfo, int argno)
{
	char	   *audience;

	check_not_null(fcinfo, argno, "audience");
	audience = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	for (int i = 0; i < lengthof(audiences); i++)
		if (strcmp(audience, audiences[i]) == 0)
			return audiences[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid audience"),
			 errhint("It is one of everybody, followed, friends and nobody.")));
}

Datum
chatrel_user_settings(PG_FUNCTION_ARGS)
{
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	Settings	settings;
	Datum		result;

	owner_begin(&scope, fcinfo);
	settings = read_settings(user_id, PLAN_READ);
	result = SPI_datumTransfer(settings_document(&settings), false, -1);
	owner_end(&scope);

	PG_RETURN_DATUM(result);
}

Datum
chatrel_set_protected(PG_FUNCTION_ARGS)
{
	bool		protected = require_bool(fcinfo, 0, "protected");
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	Settings	settings;
	bool		changed;

	owner_begin(&scope, fcinfo);
	lock_user_alone(user_id);
	settings = read_settings(user_id, PLAN_LATEST);
	changed = settings.protected != protected;
	settings.protected = protected;
	if (changed)
		write_settings(user_id, &settings);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}

Datum
chatrel_set_direct_messages(PG_FUNCTION_ARGS)
{
	const char *audience = require_audience(fcinfo, 0);
	int64		user_id = acting_user(fcinfo);
	OwnerScope	scope;
	Settings	settings;
	bool		changed;

	owner_begin(&scope, fcinfo);
	lock_user_alone(user_id);
	settings = read_settings(user_id, PLAN_LATEST);
	changed = strcmp(settings.direct_messages, audience) != 0;
	settings.direct_messages = audience;
	if (changed)
		write_settings(user_id, &settings);
	owner_end(&scope);

	PG_RETURN_BOOL(changed);
}
