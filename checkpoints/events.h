/* TensorBoard event files: scalars, PNG pictures and text.
 *
 * A file is a row of records: u64 length, u32 masked CRC-32C of these eight bytes, that many bytes (one `Event` message),
 * u32 masked CRC-32C of them; little-endian. The first record holds file_version, the second SESSION_LOG START with the
 * first step of the session: readers then drop what an abandoned session wrote at that step and later. A file
 * is never appended to by a second session, since a torn record would end it for good: every session writes its own, whose
 * name sorts after those already there. Each record is one write(2). */
#ifndef CHECKPOINTS_EVENTS_H
#define CHECKPOINTS_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "autograd/error.h"
#include "protobuf.h"

typedef struct ckpt__events ckpt__events;

/* Creates `events.out.tfevents.SECONDS.HOST.PID.N` in the folder and writes the two opening records; `step` is the first of the
 * session, 0 for a new run. */
ag_err ckpt__events_open(ckpt__events **out, const char *folder, int64_t step);
void ckpt__events_close(ckpt__events *e); /* NULL is fine */

/* n scalars of one step in one record. NaN and infinities are written as they are. */
ag_err ckpt__events_scalars(ckpt__events *e, int64_t step, int n, const char *const *tags, const double *values);
/* A picture: the bytes of a whole PNG file. */
ag_err ckpt__events_image(ckpt__events *e, const char *tag, int64_t step, const void *png, size_t size);
ag_err ckpt__events_text(ckpt__events *e, const char *tag, int64_t step, const char *text);
ag_err ckpt__events_sync(ckpt__events *e); /* fsync */

/* ---- the bytes of records, one added to b: for the functions above and for their tests -------------------------------- */

void ckpt__event_version(ckpt__bytes *b, double time);
void ckpt__event_scalars(ckpt__bytes *b, double time, int64_t step, int n, const char *const *tags,
                         const double *values);
/* AG_ERR_DATA if the bytes are no PNG; `tag` names them in the message. */
ag_err ckpt__event_image(ckpt__bytes *b, double time, int64_t step, const char *tag, const void *png, size_t size);
uint32_t ckpt__event_mask(uint32_t crc);

#endif
