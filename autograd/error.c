#include "autograd/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];
static _Thread_local ag_err code;

ag_err ag_fail(ag_err err, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    return code = err;
}

ag_err ag_fail_context(ag_err err, const char *format, ...)
{
    char old[sizeof message];
    va_list ap;
    memcpy(old, message, sizeof old);
    va_start(ap, format);
    int n = vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    if (old[0] && n >= 0 && (size_t)n < sizeof message - 3)
        snprintf(message + n, sizeof message - (size_t)n, ": %s", old);
    return code = err;
}

const char *ag_error_message(void) { return message; }

ag_err ag_error_code(void) { return code; }

void ag_error_clear(void)
{
    message[0] = 0;
    code = AG_OK;
}

int ag_error_exit_status(ag_err err)
{
    switch (err) {
    case AG_OK: return 0;
    case AG_ERR_USAGE:
    case AG_ERR_SHAPE: return 2;
    case AG_ERR_DATA: return 3;
    case AG_ERR_DIVERGED: return 4;
    case AG_ERR_CHECKPOINT: return 5;
    case AG_ERR_FAILED:
    case AG_ERR_IO:
    case AG_ERR_MEMORY: break;
    }
    return 1;
}
