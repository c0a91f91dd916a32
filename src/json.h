/*
 * json.h
 *	  The JSON documents: their shapes as SQL texts for plans, and the making of
 *	  those that are made value by value.
 *
 * User    {"id", "username"}
 * Group   {"id", "name", "members": [User]}
 * Message {"id", "datetime", "group_id", "sender_id", "message"}
 *
 * Each takes the alias of the row that it is made of.
 */
#ifndef CHATREL_JSON_H
#define CHATREL_JSON_H

#include "utils/timestamp.h"

#include "compat.h"
#include "plans.h"

#define JSON_USER(user) \
	"pg_catalog.jsonb_build_object('id', " user ".id, 'username', " user ".username)"

#define JSON_MESSAGE(message) \
	"pg_catalog.jsonb_build_object('id', " message ".id, 'datetime', " message ".datetime," \
	" 'group_id', " message ".group_id, 'sender_id', " message ".sender_id," \
	" 'message', " message ".message)"

/* more: further keys and values, beginning with a comma, or empty */
#define JSON_GROUP(group, more) \
	"pg_catalog.jsonb_build_object('id', " group ".id, 'name', " group ".name, 'members'," \
	" COALESCE((SELECT pg_catalog.jsonb_agg(" JSON_USER("member_user") " ORDER BY member.id)" \
	" FROM chatrel.groups_members member" \
	" JOIN chatrel.users member_user ON member_user.id" EQ "member.user_id" \
	" WHERE member.group_id" EQ group ".id), '[]'::pg_catalog.jsonb)" more ")"

extern void json_key(JsonbInState *state, const char *key);
extern void json_element(JsonbInState *state, const char *string);
extern void json_add_bool(JsonbInState *state, const char *key, bool boolean);
extern void json_add_int64(JsonbInState *state, const char *key, int64 number);
extern void json_add_string(JsonbInState *state, const char *key, const char *string);
extern void json_add_text(JsonbInState *state, const char *key, const text *string);
extern void json_add_timestamp(JsonbInState *state, const char *key, TimestampTz timestamp);

#endif							/* CHATREL_JSON_H */
