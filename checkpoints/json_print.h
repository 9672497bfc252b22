/* Shared by what writes JSON. */
#ifndef CHECKPOINTS_JSON_PRINT_H
#define CHECKPOINTS_JSON_PRINT_H

#include "protobuf.h"

/* Adds text in quotation marks, with what JSON wants escaped (RFC 8259, 7): quotation mark, backslash, control characters. */
void ckpt__json_string(ckpt__bytes *b, const char *text);

#endif
