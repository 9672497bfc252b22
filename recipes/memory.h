/* How much memory the process has, as the kernel counts it (Linux: /proc). 0 where it cannot be read. */
#ifndef RECIPES_MEMORY_H
#define RECIPES_MEMORY_H

#include <stdint.h>

int64_t memory_resident(void);  /* bytes now */
int64_t memory_peak(void);      /* the most there were since the start or the last reset */
void memory_reset_peak(void);   /* nothing where the kernel does not allow it */
int64_t memory_available(void); /* bytes that the machine could give without swapping */

#endif
