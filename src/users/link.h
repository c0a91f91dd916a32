/*
 * link.h
 *	  Users that are mirrored from the application's own table.
 */
#ifndef CHATREL_LINK_H
#define CHATREL_LINK_H

/* Between owner_begin() and owner_end(). */
extern void check_not_linked(void);

#endif							/* CHATREL_LINK_H */
