/* A file driver for HDF5 that survives a full disk.
 *
 * When a write fails while the library closes a file, the library (1.10) keeps the half-closed file and crashes when the
 * program ends. Therefore this driver tells it that every write succeeded, keeps the first error, and drops all writes after
 * it: the library closes in peace, and data_h5_finish reports the error. Otherwise as the usual POSIX driver. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hdf5_driver.h"

#include "data/hdf5_tools.h"

typedef struct driver_file {
    H5FD_t base; /* first: the library sees only this */
    int fd;
    data_h5_status status;
    haddr_t space, end; /* allocated by the library, and the size of the file (had no write failed) */
} driver_file;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)access, (void)limit;
    const int mode = (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY) | (flags & H5F_ACC_TRUNC ? O_TRUNC : 0) |
                     (flags & H5F_ACC_CREAT ? O_CREAT : 0) | (flags & H5F_ACC_EXCL ? O_EXCL : 0) | O_CLOEXEC;
    driver_file *f = calloc(1, sizeof *f);
    if (!f) {
        data_h5_no_memory();
        return NULL;
    }
    if ((f->fd = open(name, mode, 0666)) < 0) {
        free(f);
        return NULL;
    }
    const off_t end = lseek(f->fd, 0, SEEK_END);
    f->end = end > 0 ? (haddr_t)end : 0;
    return &f->base;
}

static herr_t driver_close(H5FD_t *base)
{
    driver_file *f = (driver_file *)base;
    if (close(f->fd) && !f->status.error) f->status.error = errno;
    if (f->status.report) *f->status.report = f->status.error;
    free(f);
    return 0;
}

static herr_t driver_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t driver_get_space(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)base)->space;
}

static herr_t driver_set_space(H5FD_t *base, H5FD_mem_t type, haddr_t space)
{
    (void)type;
    ((driver_file *)base)->space = space;
    return 0;
}

static haddr_t driver_get_end(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)base)->end;
}

static herr_t driver_get_handle(H5FD_t *base, hid_t access, void **handle)
{
    (void)access;
    *handle = &((driver_file *)base)->status;
    return 0;
}

static herr_t driver_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *out)
{
    (void)type, (void)transfer;
    driver_file *f = (driver_file *)base;
    for (size_t done = 0; done < size;) {
        const ssize_t n = pread(f->fd, (char *)out + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            if (!f->status.error) f->status.error = errno;
            return -1;
        }
        if (n == 0) {
            memset((char *)out + done, 0, size - done); /* past the end */
            return 0;
        }
        done += (size_t)n;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, const void *bytes)
{
    (void)type, (void)transfer;
    driver_file *f = (driver_file *)base;
    for (size_t done = 0; done < size && !f->status.error;) {
        const ssize_t n = pwrite(f->fd, (const char *)bytes + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            f->status.error = n ? errno : EIO;
        else
            done += (size_t)n;
    }
    if (at + size > f->end) f->end = at + size;
    return 0;
}

static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    driver_file *f = (driver_file *)base;
    if (f->space == f->end) return 0;
    if (!f->status.error && ftruncate(f->fd, (off_t)f->space)) f->status.error = errno;
    f->end = f->space;
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION /* from 1.14 on */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)512, /* the first that is free for private use */
#endif
    .name = "tessera",
    .maxaddr = ((haddr_t)1 << 63) - 1,
    .fc_degree = H5F_CLOSE_WEAK,
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_space,
    .set_eoa = driver_set_space,
    .get_eof = driver_get_end,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t data__h5_access(void)
{
    const hid_t id = H5FDregister(&driver), access = id < 0 ? -1 : H5Pcreate(H5P_FILE_ACCESS);
    const bool set =
        access >= 0 && H5Pset_driver(access, id, NULL) >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0;
    if (id >= 0) H5FDunregister(id); /* the property list holds it */
    if (set) return access;
    if (access >= 0) H5Pclose(access);
    return -1;
}

data_h5_status *data__h5_status(hid_t file)
{
    void *handle = NULL;
    const hid_t access = H5Fget_access_plist(file);
    if (access < 0 || H5Fget_vfd_handle(file, access, &handle) < 0) handle = NULL;
    if (access >= 0) H5Pclose(access);
    return handle;
}
