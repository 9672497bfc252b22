/* The file driver of data_h5_create: see hdf5_driver.c. */
#ifndef DATA_HDF5_DRIVER_H
#define DATA_HDF5_DRIVER_H

#include <hdf5.h>

typedef struct data_h5_status {
    int error;   /* errno of the first write that failed, 0 so far */
    int *report; /* if set, gets `error` when the file is closed */
} data_h5_status;

/* A file access list that selects the driver; closing the file closes all that is open in it. The caller closes the
 * list. -1 on failure. */
hid_t data__h5_access(void);
/* The status of a file made by data_h5_create. */
data_h5_status *data__h5_status(hid_t file);

#endif
