/*
 * whiteboard_document.h
 *	  What is answered: a whiteboard with all of its stickers, or what is wrong.
 */
#ifndef CHATREL_WHITEBOARD_DOCUMENT_H
#define CHATREL_WHITEBOARD_DOCUMENT_H

#include "whiteboards/sticker_params.h"
#include "whiteboards/whiteboard.h"

extern Datum whiteboard_document(const Whiteboard *whiteboard, const Stickers *stickers);
extern Datum faults_document(const StickerParams *params);

#endif							/* CHATREL_WHITEBOARD_DOCUMENT_H */
