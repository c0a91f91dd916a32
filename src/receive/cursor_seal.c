/*
 * cursor_seal.c
 *	  A cursor that this server has not made is not taken.
 *
 * A client keeps its cursor, and an application hands on what its clients send.
 * A forged one shows nobody what is not theirs, as memberships are asked for in
 * any case; but with a range of all transactions that there ever were it makes
 * sync() read every message of the database, for each call.
 *
 * So the text of a cursor ends with a seal, a keyed hash of what is before it.
 * The key is the secret that initdb draws for authentication and keeps in
 * pg_control: it is the same on a standby, and nothing shows it.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"

#include "receive/cursor_seal.h"

#define SEAL_MARK	'~'
#define SEAL_BYTES	8

/* In hexadecimal digits. */
static void
make_seal(const char *text, Size length, char *seal)
{
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);

	if (context == NULL ||
		pg_hmac_init(context, (const uint8 *) GetMockAuthenticationNonce(),
					 MOCK_AUTH_NONCE_LEN) < 0 ||
		pg_hmac_update(context, (const uint8 *) "chatrel cursor ", 15) < 0 ||
		pg_hmac_update(context, (const uint8 *) text, length) < 0 ||
		pg_hmac_final(context, hash, sizeof(hash)) < 0)
		elog(ERROR, "could not seal a cursor: %s", pg_hmac_error(context));
	pg_hmac_free(context);
	for (int i = 0; i < SEAL_BYTES; i++)
		snprintf(seal + 2 * i, 3, "%02x", hash[i]);
}

char *
cursor_seal(const char *text)
{
	char		seal[2 * SEAL_BYTES + 1];

	make_seal(text, strlen(text), seal);
	return psprintf("%s%c%s", text, SEAL_MARK, seal);
}

/* The text without its seal, whether or not that is right. */
char *
cursor_unseal(const char *sealed)
{
	const char *mark = strchr(sealed, SEAL_MARK);

	return mark == NULL ? pstrdup(sealed) : pnstrdup(sealed, mark - sealed);
}

/* In a time that does not tell how much of it is right. */
bool
cursor_seal_is_right(const char *sealed)
{
	const char *mark = strchr(sealed, SEAL_MARK);
	char		seal[2 * SEAL_BYTES + 1];
	int			differs = 0;

	if (mark == NULL || strlen(mark + 1) != 2 * SEAL_BYTES)
		return false;
	make_seal(sealed, mark - sealed, seal);
	for (int i = 0; i < 2 * SEAL_BYTES; i++)
		differs |= seal[i] ^ mark[1 + i];
	return differs == 0;
}
