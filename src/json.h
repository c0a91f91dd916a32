/*
 * json.h
 *	  The shapes of the JSON documents, as SQL texts for plans.
 *
 * User    {"id", "username"}
 * Group   {"id", "name", "members": [User]}
 * Message {"id", "datetime", "group_id", "sender_id", "message"}
 *
 * Each takes the alias of the row that it is made of.
 */
#ifndef CHATREL_JSON_H
#define CHATREL_JSON_H

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

#endif							/* CHATREL_JSON_H */
