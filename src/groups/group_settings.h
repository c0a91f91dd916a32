/*
 * group_settings.h
 *	  What a group may be given, when it is created and later.
 */
#ifndef CHATREL_GROUP_SETTINGS_H
#define CHATREL_GROUP_SETTINGS_H

#include "fmgr.h"

/* What some settings may be, up to a null */
extern const char *const visibilities[];
extern const char *const join_policies[];

/* The argument must be one of the choices. */
extern const char *require_choice(FunctionCallInfo fcinfo, int argno, const char *name,
								  const char *const *choices);
extern text *require_description(FunctionCallInfo fcinfo, int argno);

/* Between owner_begin() and owner_end(); fails where another public group has that name. */
extern void check_name_free(text *name, int64 group_id);

#endif							/* CHATREL_GROUP_SETTINGS_H */
