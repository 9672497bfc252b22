/* What our readers and writers of HDF5 share: opening with a cause when it fails, attributes, small datasets, and the
 * error of the library as part of ours. Every function takes the path of the file for its messages.
 *
 *     hid_t file;
 *     char *source = NULL;
 *     if ((err = data_h5_open(&file, path, AG_ERR_DATA))) return err;
 *     err = data_h5_get_string(file, path, "source", &source);      // NULL if there is none
 *
 * `bad` is the code for a damaged file: AG_ERR_DATA, or AG_ERR_CHECKPOINT for checkpoints. */
#ifndef DATA_HDF5_TOOLS_H
#define DATA_HDF5_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hdf5.h>

#include "autograd/error.h"

/* Keeps the library from printing its errors. Holds for one thread (thread-safe builds keep it per thread): call it
 * first in each thread that uses HDF5. data_h5_open and data_h5_create call it. */
void data_h5_quiet(void);

/* Keeps "FORMAT: CAUSE", where the cause is the innermost error of the last failed HDF5 call of this thread. A system
 * error among them (disk full) makes the code AG_ERR_IO, whatever `err` is; memory that ran out, AG_ERR_MEMORY. */
ag_err data_h5_fail(ag_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For our file drivers, which HDF5 calls: notes among its errors that memory ran out. */
void data_h5_no_memory(void);

/* Opens read-only. Missing, not readable: AG_ERR_IO (AG_ERR_CHECKPOINT if that is `bad`). A folder, empty, not HDF5,
 * truncated, left open by a killed writer: `bad`, and the message says which. *file is -1 on failure. */
ag_err data_h5_open(hid_t *file, const char *path, ag_err bad);

/* Creates or empties the file `temporary` (of data_publish), in the oldest format that holds the content; messages say
 * `path`. data_h5_finish closes it and all that is open in it; file < 0 is fine.
 * To the library all writes succeed, also on a full disk (or it would crash at exit); the first error is kept, and comes
 * out of data_h5_finish, of data_h5_write, and of data_h5_check, which long writers call now and then. */
ag_err data_h5_create(hid_t *file, const char *temporary, const char *path);
ag_err data_h5_check(hid_t file, const char *path);
ag_err data_h5_finish(hid_t file, const char *path);

/* Is there a link (dataset, group) or an attribute of that name? */
bool data_h5_has(hid_t where, const char *name);
bool data_h5_has_attribute(hid_t object, const char *name);

/* Attributes. A missing one leaves *value as it is (strings: NULL) and is no error; a wrong type is. String: fixed or variable
 * length, one element, malloc'ed. Numbers: any integer or float type, one element. Setting replaces. */
ag_err data_h5_get_string(hid_t object, const char *path, const char *name, char **value);
ag_err data_h5_get_int(hid_t object, const char *path, const char *name, int64_t *value);
ag_err data_h5_set_string(hid_t object, const char *path, const char *name, const char *value);
ag_err data_h5_set_int(hid_t object, const char *path, const char *name, int64_t value);
/* Array of n strings (class names); malloc'ed array of malloc'ed strings. */
ag_err data_h5_get_strings(hid_t object, const char *path, const char *name, int64_t *n, char ***values);
ag_err data_h5_set_strings(hid_t object, const char *path, const char *name, int64_t n, const char *const *values);
void data_h5_free_strings(int64_t n, char **values);

/* The sizes of a dataset, rank at most max_rank; none negative, and their product times the element size fits int64_t.
 * Fewer than max_rank: the rest of dims is 1. Errors: `bad`, with rank and sizes. */
ag_err data_h5_sizes(hid_t dataset, const char *path, const char *name, ag_err bad, int max_rank, int *rank,
                     int64_t *dims);

/* "[4096,32,32,3]" for messages. */
void data_h5_sizes_text(char *out, size_t room, int rank, const int64_t *dims);

/* A whole dataset, contiguous, unfiltered, without time stamps (the same content gives the same bytes). `type` is the type in
 * memory and, for the native types, in the file. Strings: variable-length UTF-8, rank 1. */
ag_err data_h5_write(hid_t where, const char *path, const char *name, hid_t type, int rank, const int64_t *dims,
                     const void *values);
ag_err data_h5_write_strings(hid_t where, const char *path, const char *name, int64_t n, const char *const *values);
/* Reads a dataset of exactly these sizes, converting to `type`. Errors: `bad`: missing, other sizes, cannot be read. */
ag_err data_h5_read(hid_t where, const char *path, const char *name, ag_err bad, hid_t type, int rank,
                    const int64_t *dims, void *values);

/* An empty contiguous dataset to be filled by data_h5_write_rows; *dataset is -1 on failure. */
ag_err data_h5_make(hid_t *dataset, hid_t where, const char *path, const char *name, hid_t type, int rank,
                    const int64_t *dims);
/* Rows (elements of the first axis) first .. first + count of a dataset of rank 1..8, whose other axes are dims[1 .. rank - 1], from
 * and to memory of `type`. Errors: reading `bad`, writing AG_ERR_IO, both with the rows. */
ag_err data_h5_read_rows(hid_t dataset, const char *path, const char *name, ag_err bad, hid_t type, int rank,
                         const int64_t *dims, int64_t first, int64_t count, void *rows);
ag_err data_h5_write_rows(hid_t dataset, const char *path, hid_t type, int rank, const int64_t *dims, int64_t first,
                          int64_t count, const void *rows);

#endif
