/* SIGINT and SIGTERM: the first asks the loop to finish its step, the second ends the program at once. */
#ifndef RECIPES_SIGNALS_H
#define RECIPES_SIGNALS_H

void signals_install(void);
/* Number of the signal that came, 0 if none. */
int signals_received(void);

#endif
