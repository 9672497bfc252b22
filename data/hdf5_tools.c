#include "data/hdf5_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/publish.h"
#include "hdf5_driver.h"

#define MAX_RANK 32

void data_h5_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

/* The cause found in HDF5's error stack. */
typedef struct h5_cause {
    char text[256]; /* innermost description */
    int error;      /* errno named in any of them, 0 if none */
} h5_cause;

static herr_t note_cause(unsigned n, const H5E_error2_t *e, void *data)
{
    h5_cause *cause = data;
    if (n == 0 && e->desc) snprintf(cause->text, sizeof cause->text, "%s", e->desc);
    const char *number = e->desc ? strstr(e->desc, "errno = ") : NULL;
    if (number && !cause->error) cause->error = atoi(number + strlen("errno = "));
    return 0;
}

static h5_cause find_cause(void)
{
    h5_cause cause = {.text = ""};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, &cause);
    if (cause.error) snprintf(cause.text, sizeof cause.text, "%s", strerror(cause.error));
    if (!cause.text[0]) snprintf(cause.text, sizeof cause.text, "the HDF5 library gives no cause");
    H5Eclear2(H5E_DEFAULT);
    return cause;
}

void data_h5_no_memory(void)
{
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_RESOURCE, H5E_NOSPACE, "errno = %d", ENOMEM);
}

ag_err data_h5_fail(ag_err err, const char *format, ...)
{
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const h5_cause cause = find_cause();
    if (cause.error == ENOSPC || cause.error == EDQUOT)
        return ag_fail(AG_ERR_IO, "%s: disk full; free some space, or write elsewhere", what);
    if (cause.error == ENOMEM) return ag_fail(AG_ERR_MEMORY, "%s: out of memory", what);
    return ag_fail(cause.error ? AG_ERR_IO : err, "%s: %s", what, cause.text);
}

/* Says why a file that carries the HDF5 signature does not open. */
static ag_err open_fail(const char *path, ag_err bad)
{
    const h5_cause cause = find_cause();
    unsigned long long size = 0, base = 0, wanted = 0;
    if (sscanf(cause.text, "truncated file: eof = %llu, sblock->base_addr = %llu, stored_eof = %llu", &size, &base,
               &wanted) == 3)
        return ag_fail(bad, "%s: truncated: %llu bytes of %llu are there; copy or download it again", path, size,
                       wanted);
    if (cause.error == EAGAIN || strstr(cause.text, "unable to lock")) /* not "superblock" */
        return ag_fail(AG_ERR_IO,
                       "%s: cannot lock it (%s); a program is writing it, or the file system has no locks: then "
                       "set HDF5_USE_FILE_LOCKING=FALSE",
                       path, cause.text);
    if (strstr(cause.text, "already open for write"))
        return ag_fail(bad, "%s: its writer did not close it; make it again, or try 'h5clear -s'", path);
    if (cause.error) return data_io_fail(path, "read it", cause.error);
    return ag_fail(bad, "%s: damaged HDF5 file: %s", path, cause.text);
}

/* Finds what HDF5's own messages do not tell apart: missing, a folder, empty. */
static ag_err check_file(const char *path, ag_err bad)
{
    const ag_err missing = bad == AG_ERR_CHECKPOINT ? AG_ERR_CHECKPOINT : AG_ERR_IO;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0 || fstat(fd, &st)) {
        const int error = errno;
        if (fd >= 0) close(fd);
        if (error == ENOENT) return ag_fail(missing, "%s: no such file; check the name", path);
        return ag_fail(missing, "%s: cannot open it: %s", path, strerror(error));
    }
    close(fd);
    if (S_ISDIR(st.st_mode)) return ag_fail(bad, "%s: is a folder, not an HDF5 file", path);
    if (!S_ISREG(st.st_mode)) return ag_fail(bad, "%s: is not a regular file", path);
    if (st.st_size == 0) return ag_fail(bad, "%s: is empty, not an HDF5 file", path);
    return AG_OK;
}

ag_err data_h5_open(hid_t *file, const char *path, ag_err bad)
{
    *file = -1;
    data_h5_quiet();
    ag_err err = check_file(path, bad);
    if (err) return err;
    const htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 == 0) return ag_fail(bad, "%s: not an HDF5 file", path);
    if (is_hdf5 < 0 || (*file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT)) < 0) {
        *file = -1;
        return open_fail(path, bad);
    }
    return AG_OK;
}

ag_err data_h5_create(hid_t *file, const char *temporary, const char *path)
{
    *file = -1;
    data_h5_quiet();
    const int fd = open(temporary, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return data_io_fail(path, "create it", errno);
    close(fd);
    const hid_t access = data__h5_access();
    if (access >= 0) *file = H5Fcreate(temporary, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    const ag_err err = *file < 0 ? data_h5_fail(AG_ERR_IO, "%s: cannot create it", path) : AG_OK;
    if (access >= 0) H5Pclose(access);
    return err;
}

ag_err data_h5_check(hid_t file, const char *path)
{
    const data_h5_status *status = data__h5_status(file);
    if (!status) return data_h5_fail(AG_ERR_FAILED, "%s: cannot write it", path);
    return status->error ? data_io_fail(path, "write it", status->error) : AG_OK;
}

ag_err data_h5_finish(hid_t file, const char *path)
{
    if (file < 0) return AG_OK;
    ag_err err = AG_OK;
    int failed = 0;
    data_h5_status *status = data__h5_status(file);
    if (status)
        status->report = &failed;
    else
        err = data_h5_fail(AG_ERR_FAILED, "%s: cannot write it", path);
    if (H5Fclose(file) < 0 && !err) err = data_h5_fail(AG_ERR_IO, "%s: cannot close it", path);
    return failed ? data_io_fail(path, "write it", failed) : err;
}

bool data_h5_has(hid_t where, const char *name) { return H5Lexists(where, name, H5P_DEFAULT) > 0; }

bool data_h5_has_attribute(hid_t object, const char *name) { return H5Aexists(object, name) > 0; }

/* Opens an attribute with its type and counts its elements. */
static ag_err attribute_open(hid_t object, const char *path, const char *name, hid_t *attribute, hid_t *type,
                             int64_t *count)
{
    hid_t space = -1;
    if ((*attribute = H5Aopen(object, name, H5P_DEFAULT)) < 0 || (*type = H5Aget_type(*attribute)) < 0 ||
        (space = H5Aget_space(*attribute)) < 0)
        return data_h5_fail(AG_ERR_DATA, "%s: attribute '%s'", path, name);
    *count = (int64_t)H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    return *count < 0 ? data_h5_fail(AG_ERR_DATA, "%s: attribute '%s'", path, name) : AG_OK;
}

static void attribute_close(hid_t attribute, hid_t type)
{
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
}

ag_err data_h5_get_int(hid_t object, const char *path, const char *name, int64_t *value)
{
    if (!data_h5_has_attribute(object, name)) return AG_OK;
    hid_t attribute = -1, type = -1;
    int64_t count = 0;
    ag_err err = attribute_open(object, path, name, &attribute, &type, &count);
    if (err) goto out;
    const H5T_class_t kind = H5Tget_class(type);
    if (count != 1 || (kind != H5T_INTEGER && kind != H5T_FLOAT))
        err = ag_fail(AG_ERR_DATA, "%s: attribute '%s' is not a number", path, name);
    else if (H5Aread(attribute, H5T_NATIVE_INT64, value) < 0)
        err = data_h5_fail(AG_ERR_DATA, "%s: attribute '%s'", path, name);
out:
    attribute_close(attribute, type);
    return err;
}

void data_h5_free_strings(int64_t n, char **values)
{
    for (int64_t i = 0; values && i < n; i++) free(values[i]);
    free(values);
}

/* count strings out of a buffer read with `size` bytes each, or of pointers if the length is variable. */
static char **copy_strings(int64_t count, const void *buffer, size_t size, bool variable)
{
    char **values = calloc((size_t)count + 1, sizeof *values);
    for (int64_t i = 0; values && i < count; i++) {
        const char *text = variable ? ((char *const *)buffer)[i] : (const char *)buffer + (size_t)i * size;
        values[i] = variable ? strdup(text ? text : "") : strndup(text, size);
        if (!values[i]) {
            data_h5_free_strings(count, values);
            values = NULL;
        }
    }
    return values;
}

ag_err data_h5_get_strings(hid_t object, const char *path, const char *name, int64_t *n, char ***values)
{
    *n = 0, *values = NULL;
    if (!data_h5_has_attribute(object, name)) return AG_OK;
    hid_t attribute = -1, type = -1, space = -1;
    int64_t count = 0;
    void *buffer = NULL;
    bool variable = false;
    ag_err err = attribute_open(object, path, name, &attribute, &type, &count);
    if (err) goto out;
    if (H5Tget_class(type) != H5T_STRING) {
        err = ag_fail(AG_ERR_DATA, "%s: attribute '%s' is not a text", path, name);
        goto out;
    }
    variable = H5Tis_variable_str(type) > 0;
    const size_t size = H5Tget_size(type);
    if (size == 0 || count > (int64_t)(((size_t)1 << 30) / size)) {
        err = ag_fail(AG_ERR_DATA, "%s: attribute '%s' is larger than 1 GiB", path, name);
        goto out;
    }
    if (!(buffer = calloc((size_t)count + 1, size)))
        err = ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    else if (count && H5Aread(attribute, type, buffer) < 0) {
        err = data_h5_fail(AG_ERR_DATA, "%s: attribute '%s'", path, name);
        variable = false; /* nothing to reclaim */
    } else if (!(*values = copy_strings(count, buffer, size, variable)))
        err = ag_fail(AG_ERR_MEMORY, "%s: out of memory", path);
    else
        *n = count;
out:
    if (variable && buffer && (space = H5Aget_space(attribute)) >= 0) {
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, buffer);
        H5Sclose(space);
    }
    free(buffer);
    attribute_close(attribute, type);
    return err;
}

ag_err data_h5_get_string(hid_t object, const char *path, const char *name, char **value)
{
    int64_t n;
    char **values;
    *value = NULL;
    ag_err err = data_h5_get_strings(object, path, name, &n, &values);
    if (err || !values) return err;
    if (n == 1)
        *value = values[0], values[0] = NULL;
    else
        err = ag_fail(AG_ERR_DATA, "%s: attribute '%s' holds %lld texts, not one", path, name, (long long)n);
    data_h5_free_strings(n, values);
    return err;
}

static ag_err set_attribute(hid_t object, const char *path, const char *name, hid_t type, hid_t space,
                            const void *value)
{
    ag_err err = AG_OK;
    hid_t attribute = -1;
    if (type < 0 || space < 0 || (data_h5_has_attribute(object, name) && H5Adelete(object, name) < 0) ||
        (attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, type, value) < 0)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot write attribute '%s'", path, name);
    if (attribute >= 0 && H5Aclose(attribute) < 0 && !err)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot write attribute '%s'", path, name);
    if (space >= 0) H5Sclose(space);
    return err;
}

ag_err data_h5_set_int(hid_t object, const char *path, const char *name, int64_t value)
{
    return set_attribute(object, path, name, H5T_NATIVE_INT64, H5Screate(H5S_SCALAR), &value);
}

/* Variable-length UTF-8; the caller closes it. -1 on failure. */
static hid_t string_type(void)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return -1;
    if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    H5Tclose(type);
    return -1;
}

ag_err data_h5_set_string(hid_t object, const char *path, const char *name, const char *value)
{
    const hid_t type = string_type();
    const ag_err err = set_attribute(object, path, name, type, H5Screate(H5S_SCALAR), &value);
    if (type >= 0) H5Tclose(type);
    return err;
}

ag_err data_h5_set_strings(hid_t object, const char *path, const char *name, int64_t n, const char *const *values)
{
    const hid_t type = string_type();
    const hsize_t size = (hsize_t)n;
    const ag_err err = set_attribute(object, path, name, type, H5Screate_simple(1, &size, NULL), values);
    if (type >= 0) H5Tclose(type);
    return err;
}

void data_h5_sizes_text(char *out, size_t room, int rank, const int64_t *dims)
{
    size_t used = (size_t)snprintf(out, room, "[");
    for (int i = 0; i < rank && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%lld", i ? "," : "", (long long)dims[i]);
    if (used < room) snprintf(out + used, room - used, "]");
}

ag_err data_h5_sizes(hid_t dataset, const char *path, const char *name, ag_err bad, int max_rank, int *rank,
                     int64_t *dims)
{
    hsize_t sizes[MAX_RANK] = {0};
    const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    const size_t element = type < 0 ? 0 : H5Tget_size(type);
    const int found = element == 0 || space < 0 ? -1 : H5Sget_simple_extent_dims(space, sizes, NULL);
    const ag_err err = found < 0 ? data_h5_fail(bad, "%s: dataset '%s'", path, name) : AG_OK;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (err) return err;
    if (found > max_rank)
        return ag_fail(bad, "%s: dataset '%s' has %d axes; at most %d fit", path, name, found, max_rank);
    int64_t bytes = (int64_t)element;
    for (int i = 0; i < max_rank; i++) dims[i] = i < found ? (int64_t)sizes[i] : 1;
    for (int i = 0; i < found; i++)
        if (sizes[i] > INT64_MAX || __builtin_mul_overflow(bytes, dims[i] ? dims[i] : 1, &bytes))
            return ag_fail(bad, "%s: dataset '%s' claims more than 2^63 bytes; the file is damaged", path, name);
    *rank = found;
    return AG_OK;
}

ag_err data_h5_make(hid_t *dataset, hid_t where, const char *path, const char *name, hid_t type, int rank,
                    const int64_t *dims)
{
    hsize_t sizes[MAX_RANK];
    for (int i = 0; i < rank; i++) sizes[i] = (hsize_t)dims[i];
    *dataset = -1;
    ag_err err = AG_OK;
    const hid_t space = rank ? H5Screate_simple(rank, sizes, NULL) : H5Screate(H5S_SCALAR);
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE), links = H5Pcreate(H5P_LINK_CREATE);
    if (space < 0 || how < 0 || links < 0 || H5Pset_obj_track_times(how, false) < 0 ||
        H5Pset_create_intermediate_group(links, 1) < 0 ||
        (*dataset = H5Dcreate2(where, name, type, space, links, how, H5P_DEFAULT)) < 0)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot create dataset '%s'", path, name);
    if (links >= 0) H5Pclose(links);
    if (how >= 0) H5Pclose(how);
    if (space >= 0) H5Sclose(space);
    return err;
}

ag_err data_h5_write(hid_t where, const char *path, const char *name, hid_t type, int rank, const int64_t *dims,
                     const void *values)
{
    hid_t dataset;
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= dims[i];
    ag_err err = data_h5_make(&dataset, where, path, name, type, rank, dims);
    if (!err && count && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot write dataset '%s'", path, name);
    if (dataset >= 0 && !err) {
        const hid_t file = H5Iget_file_id(dataset);
        err = data_h5_check(file, path);
        H5Fclose(file);
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0 && !err)
        err = data_h5_fail(AG_ERR_IO, "%s: cannot write dataset '%s'", path, name);
    return err;
}

ag_err data_h5_write_strings(hid_t where, const char *path, const char *name, int64_t n, const char *const *values)
{
    const hid_t type = string_type();
    const ag_err err = type < 0 ? data_h5_fail(AG_ERR_FAILED, "%s: dataset '%s'", path, name)
                                : data_h5_write(where, path, name, type, 1, &n, values);
    if (type >= 0) H5Tclose(type);
    return err;
}

ag_err data_h5_read(hid_t where, const char *path, const char *name, ag_err bad, hid_t type, int rank,
                    const int64_t *dims, void *values)
{
    int found;
    int64_t sizes[MAX_RANK], count = 1;
    char want[200], have[200];
    ag_err err = AG_OK;
    hid_t dataset = -1;
    if (!data_h5_has(where, name)) return ag_fail(bad, "%s: dataset '%s' is missing", path, name);
    if ((dataset = H5Dopen2(where, name, H5P_DEFAULT)) < 0) {
        err = data_h5_fail(bad, "%s: dataset '%s'", path, name);
        goto out;
    }
    if ((err = data_h5_sizes(dataset, path, name, bad, MAX_RANK, &found, sizes))) goto out;
    for (int i = 0; i < rank; i++) count *= dims[i];
    if (found != rank || memcmp(sizes, dims, (size_t)rank * sizeof *dims)) {
        data_h5_sizes_text(want, sizeof want, rank, dims), data_h5_sizes_text(have, sizeof have, found, sizes);
        err = ag_fail(bad, "%s: dataset '%s' is %s, expected %s", path, name, have, want);
    } else if (count && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        err = data_h5_fail(bad, "%s: cannot read dataset '%s'", path, name);
out:
    if (dataset >= 0) H5Dclose(dataset);
    return err;
}

/* The rows in the file and in memory, both to be closed; false if one of the two is -1. */
static bool row_spaces(hid_t dataset, int rank, const int64_t *dims, int64_t first, int64_t count, hid_t spaces[2])
{
    hsize_t start[8] = {(hsize_t)first}, size[8] = {(hsize_t)count};
    for (int i = 1; i < rank; i++) size[i] = (hsize_t)dims[i];
    spaces[1] = H5Screate_simple(rank, size, NULL);
    spaces[0] = H5Dget_space(dataset);
    return spaces[0] >= 0 && spaces[1] >= 0 &&
           H5Sselect_hyperslab(spaces[0], H5S_SELECT_SET, start, NULL, size, NULL) >= 0;
}

static void close_spaces(const hid_t spaces[2])
{
    for (int i = 0; i < 2; i++)
        if (spaces[i] >= 0) H5Sclose(spaces[i]);
}

ag_err data_h5_read_rows(hid_t dataset, const char *path, const char *name, ag_err bad, hid_t type, int rank,
                         const int64_t *dims, int64_t first, int64_t count, void *rows)
{
    hid_t spaces[2];
    ag_err err = AG_OK;
    if (!row_spaces(dataset, rank, dims, first, count, spaces) ||
        H5Dread(dataset, type, spaces[1], spaces[0], H5P_DEFAULT, rows) < 0)
        err = data_h5_fail(bad, "%s: rows %lld to %lld of dataset '%s' cannot be read", path, (long long)first,
                           (long long)(first + count - 1), name);
    close_spaces(spaces);
    return err;
}

ag_err data_h5_write_rows(hid_t dataset, const char *path, hid_t type, int rank, const int64_t *dims, int64_t first,
                          int64_t count, const void *rows)
{
    hid_t spaces[2];
    ag_err err = AG_OK;
    if (!row_spaces(dataset, rank, dims, first, count, spaces) ||
        H5Dwrite(dataset, type, spaces[1], spaces[0], H5P_DEFAULT, rows) < 0)
        err = data_h5_fail(AG_ERR_IO, "%s: rows %lld to %lld cannot be written", path, (long long)first,
                           (long long)(first + count - 1));
    close_spaces(spaces);
    return err;
}
