/* The commands of the program: a row in main.c, a file each, and what their command lines share. */
#ifndef RECIPES_COMMAND_H
#define RECIPES_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "autograd/error.h"

typedef struct command {
    const char *name;
    const char *usage;   /* "RECIPE --data DATA.h5 -o RUN" */
    const char *summary; /* one line */
    /* argv[0] is the program, argv[1] the command. Returns the exit status. */
    int (*run)(const struct command *c, int argc, char **argv);
    const char *more; /* further help, NULL = none */
} command;

typedef struct command_list {
    char **items; /* borrowed from argv */
    int n;
} command_list;

typedef enum command_flag_kind {
    FLAG_TEXT, /* const char *  */
    FLAG_INT,  /* int64_t, from low to high */
    FLAG_ON,   /* bool          */
    FLAG_LIST, /* command_list; may be given more than once */
} command_flag_kind;

typedef struct command_flag {
    const char *name;
    char letter; /* 0 = none */
    command_flag_kind kind;
    void *value;
    const char *argument; /* "FILE", NULL for FLAG_ON */
    const char *help;
    int64_t low, high;
} command_flag;

/* Reads the options of a command (a table that ends with a NULL name), in any order among the words; --help, --version, --threads, --color
 * and --quiet are understood by every command. *words: what is left, *n of them, in order. *done: help or version was printed
 * and there is nothing to do. Errors: AG_ERR_USAGE, with the nearest option. */
ag_err command_parse(const command *c, const command_flag *flags, int argc, char **argv, char ***words, int *n,
                     bool *done);
/* Prints the message of a failure; returns its exit status. AG_OK: 0. */
int command_fail(ag_err err);
/* The same for a command that a signal ends: 128 + its number. */
int command_end(ag_err err);
/* "eval: RUN missing; usage: tessera eval RUN --data DATA.h5" if there are not `want` words. */
ag_err command_words(const command *c, int n, int want);
/* The same for an option that must be there. */
ag_err command_need(const command *c, const char *value, const char *flag);
/* "512M", "2G", "1.5GiB", plain bytes. */
ag_err command_size(const char *text, const char *flag, int64_t *bytes);
/* What was printed so far arrives on standard output. Errors: AG_ERR_IO. */
ag_err command_flush(void);
/* A result of --json on standard output; NULL: no memory for it. Errors: AG_ERR_MEMORY, AG_ERR_IO. */
ag_err command_print_json(const cJSON *result);
/* --size: "64" is 64x64, "96x64" is 96 wide and 64 high; 1 to 16384. */
ag_err command_image_size(const char *text, int *height, int *width);

int command_train(const command *c, int argc, char **argv);
int command_eval(const command *c, int argc, char **argv);
int command_encode(const command *c, int argc, char **argv);
int command_decode(const command *c, int argc, char **argv);
int command_reconstruct(const command *c, int argc, char **argv);
int command_info(const command *c, int argc, char **argv);
int command_recipes(const command *c, int argc, char **argv);
int command_pack(const command *c, int argc, char **argv);
int command_synth(const command *c, int argc, char **argv);
int command_sweep(const command *c, int argc, char **argv);
int command_report(const command *c, int argc, char **argv);
int command_bench(const command *c, int argc, char **argv);
int command_demo(const command *c, int argc, char **argv);

/* The commands, ended by a NULL name. */
extern const command commands[];

#endif
