/* Fuzz target: any bytes as a tar archive, through the whole of packing. Build and run as fuzz_picture. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pack_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "/tmp/tessera-fuzz-tar-XXXXXX";
    static FILE *file;
    if (!file) {
        const int fd = mkstemp(name);
        if (fd < 0 || !(file = fdopen(fd, "wb"))) abort();
        unlink(name);
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd); /* the file goes with the process, however it ends */
    }
    rewind(file);
    if (ftruncate(fileno(file), 0) || fwrite(data, 1, size, file) != size || fflush(file)) abort();
    const char *const source = name;
    const data_pack_options o = {.sources = &source, .source_count = 1, .output = "/nonexistent/out.h5"};
    data__pack_list list;
    data__pack_form form;
    uint8_t pixels[8 * 8 * 3];
    ag_err err = data__pack_scan(&list, &o);
    if (!err) err = data__pack_classify(&list);
    if (!err) err = data__pack_decide(&form, &list);
    for (int64_t i = 0; !err && i < list.count && i < 8; i++) {
        data__pack_result r;
        form = (data__pack_form){.height = 8, .width = 8, .channels = 3};
        data__pack_decode(&r, &list, i, &form, pixels);
        free(r.reason);
    }
    data__pack_list_free(&list);
    return 0;
}
