#include "hdf5_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include "data/hdf5_tools.h"
#include "data/publish.h"

ag_err ckpt__image_new(ckpt__image *image, size_t capacity)
{
    void *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *image = (ckpt__image){0};
    if (bytes == MAP_FAILED)
        return ag_fail(AG_ERR_MEMORY, "no room to lay out a checkpoint of %zu bytes: %s", capacity, strerror(errno));
    *image = (ckpt__image){bytes, capacity, 0};
    return AG_OK;
}

void ckpt__image_free(ckpt__image *image)
{
    if (image->bytes) munmap(image->bytes, image->capacity);
    *image = (ckpt__image){0};
}

/* ---- the driver ------------------------------------------------------------------------------------------------------- */

typedef struct image_file {
    H5FD_t base; /* HDF5's part, must be first */
    ckpt__image *image;
    haddr_t allocated, written; /* end of what HDF5 has given out, and of what it has written */
} image_file;

static H5FD_t *image_open(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    (void)name, (void)flags, (void)max;
    ckpt__image *const *info = H5Pget_driver_info(access);
    image_file *f = info ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        data_h5_no_memory();
        return NULL;
    }
    f->image = *info;
    return &f->base;
}

static herr_t image_close(H5FD_t *file)
{
    image_file *f = (image_file *)file;
    f->image->size = (size_t)f->allocated;
    free(f);
    return 0;
}

static herr_t image_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = 0; /* no aggregation: nothing is gained by it in memory, and it leaves gaps */
    return 0;
}

static haddr_t image_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const image_file *)file)->allocated;
}

static herr_t image_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    image_file *f = (image_file *)file;
    (void)type;
    if (end > f->image->capacity) return -1;
    f->allocated = end;
    return 0;
}

static haddr_t image_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const image_file *)file)->written;
}

static bool outside(const image_file *f, haddr_t at, size_t size)
{
    return at > f->image->capacity || size > f->image->capacity - at;
}

static herr_t image_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *out)
{
    (void)type, (void)transfer;
    if (outside((image_file *)file, at, size)) return -1;
    memcpy(out, ((image_file *)file)->image->bytes + at, size);
    return 0;
}

static herr_t image_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, const void *in)
{
    image_file *f = (image_file *)file;
    (void)type, (void)transfer;
    if (outside(f, at, size)) return -1;
    memcpy(f->image->bytes + at, in, size);
    if (at + size > f->written) f->written = at + size;
    return 0;
}

static herr_t image_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    ((image_file *)file)->written = ((image_file *)file)->allocated;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)512, /* from the range for tests and private drivers: 512 and above */
#endif
    .name = "tessera_image",
    .maxaddr = (haddr_t)1 << 62,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(ckpt__image *),
    .open = image_open,
    .close = image_close,
    .query = image_query,
    .get_eoa = image_get_eoa,
    .set_eoa = image_set_eoa,
    .get_eof = image_get_eof,
    .read = image_read,
    .write = image_write,
    .truncate = image_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t ckpt__image_access(ckpt__image *image)
{
    const hid_t id = H5FDregister(&driver), access = H5Pcreate(H5P_FILE_ACCESS);
    const bool ok = id >= 0 && access >= 0 && H5Pset_driver(access, id, &image) >= 0;
    if (id >= 0) H5FDunregister(id); /* the access list and open files keep it */
    if (ok) return access;
    if (access >= 0) H5Pclose(access);
    return -1;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return true;
}

ag_err ckpt__image_write(const ckpt__image *image, int n, const ckpt__piece *pieces, const char *to, const char *path)
{
    size_t at = 0;
    const int fd = open(to, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return data_io_fail(path, "write beside it", errno);
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        ok = write_all(fd, image->bytes + at, pieces[i].offset - at) && write_all(fd, pieces[i].data, pieces[i].bytes);
        at = pieces[i].offset + pieces[i].bytes;
    }
    ok = ok && write_all(fd, image->bytes + at, image->size - at);
    const int error = ok ? 0 : errno;
    if (close(fd) && ok) return data_io_fail(path, "finish the new file", errno);
    return ok ? AG_OK : data_io_fail(path, "write the new file", error);
}
