/*
 * guc.c
 *	  chatrel's configuration parameters.
 *
 * chatrel.user_id is a bigint, for which PostgreSQL has no kind of parameter:
 * it is a string that is checked and parsed when it is set, never when it is
 * read.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "core/compat.h"
#include "core/guc.h"

/*
 * A name is a key in a btree index, whose entries are limited to a third of a
 * page: 640 characters of 4 bytes fit.
 */
#define MAX_NAME_LENGTH_LIMIT		640

/* Keeps a message and its JSON form, 6 bytes for a byte, far from 1 GB. */
#define MAX_MESSAGE_LENGTH_LIMIT	(10 * 1024 * 1024)

int64		guc_user_id = 0;
int			guc_max_name_length = 256;
int			guc_max_message_length = 512;
int			guc_unread_cap = 99;
int			guc_edit_window = 0;
int			guc_json_ids = JSON_IDS_NUMBER;
bool		guc_relay = true;
int			guc_relay_queue_size = 4096;
int			guc_relay_databases = 8;
int			guc_relay_idle_timeout = 1000;
int			guc_presence_users = 10000;
int			guc_presence_max_members = 200;
int			guc_proxy_shard_timeout = 5000;

static char *user_id_string = NULL;
static int	proxy_shard = -1;

static const struct config_enum_entry json_ids_options[] = {
	{"number", JSON_IDS_NUMBER, false},
	{"string", JSON_IDS_STRING, false},
	{NULL, 0, false}
};

static bool
check_user_id(char **newval, void **extra, GucSource source)
{
	const char *string = *newval;
	int64		value = 0;
	int64	   *parsed;

	if (string != NULL && *string != '\0')
	{
		char	   *end;

		errno = 0;
		value = strtoi64(string, &end, 10);
		if (errno != 0 || *end != '\0' || value <= 0)
		{
			GUC_check_errdetail("A user id is an integer from 1 to %lld, or empty for none.",
								(long long) PG_INT64_MAX);
			return false;
		}
	}

	parsed = (int64 *) guc_malloc(LOG, sizeof(int64));
	if (parsed == NULL)
		return false;
	*parsed = value;
	*extra = parsed;
	return true;
}

static void
assign_user_id(const char *newval, void *extra)
{
	guc_user_id = *(int64 *) extra;
}

/*
 * An event is written by the sender's session and read by others, who catch up
 * with the same event in a document that their own session writes.  Both must
 * be alike: so it is the database that has this setting, and no session or role.
 */
static bool
check_json_ids(int *newval, void **extra, GucSource source)
{
	if (source <= PGC_S_DATABASE || source == PGC_S_OVERRIDE || source == PGC_S_TEST)
		return true;
	GUC_check_errdetail("It is the same for all who read what a database writes.");
	GUC_check_errhint("Use ALTER DATABASE, ALTER SYSTEM or postgresql.conf.");
	return false;
}

static void
guc_init_relay(void)
{
	GucContext	context;

	DefineCustomBoolVariable("chatrel.relay",
							 "Delivers events by a background worker after the commit.",
							 "Needs chatrel in shared_preload_libraries.",
							 &guc_relay,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.relay_idle_timeout",
							"How long the relay's worker waits for an event before it leaves.",
							"DROP DATABASE waits 5 seconds for it.",
							&guc_relay_idle_timeout,
							1000, 100, 4000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	/*
	 * What shared memory is made of is known only where it can be asked for.
	 * Where the library is not preloaded, what the configuration says is of
	 * no effect, but nothing to warn each session of.
	 */
	context = process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;
	DefineCustomIntVariable("chatrel.relay_queue_size",
							"The memory for events that wait for the relay, for each database.",
							"Needs chatrel in shared_preload_libraries.",
							&guc_relay_queue_size,
							4096, 64, 1024 * 1024,
							context,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.relay_databases",
							"How many databases can have a relay at the same time.",
							"Needs chatrel in shared_preload_libraries.",
							&guc_relay_databases,
							8, 1, 1024,
							context,
							0,
							NULL, NULL, NULL);
}

static void
guc_init_presence(void)
{
	DefineCustomIntVariable("chatrel.presence_users",
							"How many users can be online at the same time, in all databases.",
							"Needs chatrel in shared_preload_libraries. 0 switches presence and typing off.",
							&guc_presence_users,
							10000, 0, 1000 * 1000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.presence_max_members",
							"The most members of a group that hears who of them comes and goes.",
							NULL,
							&guc_presence_max_members,
							200, 0, INT_MAX,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);
}

static void
guc_init_proxy(void)
{
	/* What is in SQL reads it. */
	DefineCustomIntVariable("chatrel_proxy.shard",
							"The shard of the groups that are created through a proxy.",
							"-1 lets the proxy choose.",
							&proxy_shard,
							-1, -1, MAX_SHARD,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel_proxy.shard_timeout",
							"How long a call through a proxy waits for a shard.",
							"0 means for ever.",
							&guc_proxy_shard_timeout,
							5000, 0, INT_MAX,
							PGC_USERSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	MarkGUCPrefixReserved("chatrel_proxy");
}

void
guc_init(void)
{
	DefineCustomStringVariable(USER_ID_PARAMETER,
							   "The chatrel user that the session acts as.",
							   "Empty means the user of the current role, if there is one. "
							   "Roles that are granted SET on it may act as any user.",
							   &user_id_string,
							   "",
							   PGC_SUSET,
							   0,
							   check_user_id,
							   assign_user_id,
							   NULL);

	DefineCustomIntVariable("chatrel.max_name_length",
							"The longest name of a user or group, in characters.",
							NULL,
							&guc_max_name_length,
							256, 1, MAX_NAME_LENGTH_LIMIT,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.max_message_length",
							"The longest message, in characters.",
							NULL,
							&guc_max_message_length,
							512, 1, MAX_MESSAGE_LENGTH_LIMIT,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.edit_window",
							"How long after it was sent a message may be edited.",
							"0 means for ever.",
							&guc_edit_window,
							0, 0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("chatrel.unread_cap",
							"How far the unread messages of a group are counted.",
							"Where there are more, the number is one more than this.",
							&guc_unread_cap,
							99, 1, 10000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomEnumVariable("chatrel.json_ids",
							 "How ids are written in JSON: as numbers or as strings.",
							 "Clients whose numbers are doubles need strings for ids above 2^53. "
							 "It is a setting of the server or of a database.",
							 &guc_json_ids,
							 JSON_IDS_NUMBER,
							 json_ids_options,
							 PGC_SUSET,
							 0,
							 check_json_ids,
							 NULL, NULL);

	guc_init_relay();
	guc_init_presence();
	guc_init_proxy();

	MarkGUCPrefixReserved("chatrel");
}
