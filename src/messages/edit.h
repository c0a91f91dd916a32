/*
 * edit.h
 *	  Changing and deleting messages.
 */
#ifndef CHATREL_EDIT_H
#define CHATREL_EDIT_H

#include "messages/message.h"

/*
 * Between owner_begin() and owner_end(), with the message locked FOR UPDATE and not
 * deleted yet.  Of it the ids and edited_at are looked at; the actor may be 0, for
 * the administration.
 */
extern void delete_message(const Message *message, int64 actor_id);

#endif							/* CHATREL_EDIT_H */
