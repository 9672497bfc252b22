/* Errors.
 *
 * A function that can fail returns an `ag_err`: 0 is success. The one that finds the fault calls
 *
 *     return ag_fail(AG_ERR_DATA, "%s: not an HDF5 file; make one with 'tessera pack'", path);
 *
 * which keeps the sentence ("what: why; what to do") for the calling thread and returns the code. Callers pass the
 * code on unchanged; the program prints `ag_error_message()` once. Libraries never print and never exit. */
#ifndef AUTOGRAD_ERROR_H
#define AUTOGRAD_ERROR_H

typedef enum ag_err {
    AG_OK = 0,
    AG_ERR_FAILED,     /* anything that has no better name                              exit 1 */
    AG_ERR_IO,         /* the system refused: no such file, no permission, disk full    exit 1 */
    AG_ERR_MEMORY,     /* out of memory, or a plan over its bound                       exit 1 */
    AG_ERR_USAGE,      /* wrong option, value or configuration                          exit 2 */
    AG_ERR_SHAPE,      /* tensors that do not fit together                              exit 2 */
    AG_ERR_DATA,       /* a data file that is damaged, empty or not of its kind         exit 3 */
    AG_ERR_DIVERGED,   /* a value that is not finite                                    exit 4 */
    AG_ERR_CHECKPOINT, /* checkpoint missing, damaged or of another model               exit 5 */
} ag_err;

/* Keeps the formatted message for this thread and returns `err`. Messages longer than 1023 bytes are cut. */
ag_err ag_fail(ag_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with the previous message put after the new one: "new: old". For callers that know more. */
ag_err ag_fail_context(ag_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The last message of this thread, "" if there is none; valid until the next failure on this thread. */
const char *ag_error_message(void);

/* The code that belongs to `ag_error_message()`. */
ag_err ag_error_code(void);

/* Forgets the message. */
void ag_error_clear(void);

/* The process exit status for an error code: the right-hand column above. */
int ag_error_exit_status(ag_err err);

#endif
