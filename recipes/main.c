/* tessera: train image tokenizers. The commands are in command_NAME.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/cpu.h"
#include "command.h"
#include "options.h"
#include "signals.h"

#define COMMANDS (sizeof commands / sizeof *commands)

const command commands[] = {
    {"demo", "[-o FOLDER]", "the whole path on built-in pictures, in about two minutes", command_demo, NULL},
    {"pack", "SOURCE... -o DATA.h5 [--size N|WxH] [--channels 1|3]",
     "make a data set from folders or tar files of pictures", command_pack, NULL},
    {"synth", "[KIND -o DATA.h5]", "make a data set of built-in pictures; without arguments: list the kinds",
     command_synth, NULL},
    {"train", "RECIPE --data DATA.h5 -o RUN [--preset P] [--set key=value]... [--resume]", "train a model",
     command_train,
     "Options of the recipe are set, in this order, by its defaults, --preset, --config, --set, --steps and --seed;\n"
     "'tessera recipes NAME' lists them. Ctrl-C saves a checkpoint and prints the command that goes on.\n"},
    {"sweep", "RECIPE --data DATA.h5 -o SWEEP --grid key=a,b,c... [--case 'key=a key=b']...",
     "train with several settings, and a table", command_sweep,
     "Runs one after another, in every combination; a run that is done is not done again. SWEEP/table.md and "
     "table.json hold the\n"
     "figures; runs that differ in their seed alone are one row. 'tessera report SWEEP' measures again.\n"},
    {"eval", "RUN --data DATA.h5 [--json]", "measure a trained model", command_eval, NULL},
    {"encode", "RUN --data DATA.h5 -o CODES.h5", "images to codes", command_encode, NULL},
    {"decode", "RUN CODES.h5 -o FOLDER|DATA.h5", "codes to images", command_decode, NULL},
    {"reconstruct", "RUN --data DATA.h5 -o GRID.png|DATA.h5", "images beside their reconstructions",
     command_reconstruct, NULL},
    {"report", "RUN|SWEEP [--data DATA.h5]", "write RUN/report.html: figures, curves, codebook use, samples",
     command_report, NULL},
    {"info", "FILE|RUN [--json]", "what a file or run holds", command_info, NULL},
    {"recipes", "[NAME]", "models that can be trained, and their options", command_recipes, NULL},
    {"bench", "[RECIPE [--preset P] [--set key=value]...] [--json]",
     "speed of this machine, and of a recipe on it beside its limits", command_bench,
     "Without RECIPE: every recipe, a line each. Without --preset: cifar10, else photos64, else the recipe's first.\n"
     "What would take more memory than is free runs as with 'train --memory', or is refused with the figure.\n"
     "'of peak' counts the operations of plain convolutions and products, so minimal filtering can exceed it; "
     "'threads':\n"
     "all threads against one; 'encode/s': '-' where there are no codes; 'hours': the steps of the options at this "
     "speed.\n"},
    {0},
};

static void print_help(FILE *to)
{
    fprintf(to, "tessera %s: train image tokenizers on the cores you have\n\nusage: tessera COMMAND ...\n\n",
            TESSERA_VERSION);
    for (const command *c = commands; c->name; c++) fprintf(to, "  %-12s %s\n", c->name, c->summary);
    fprintf(to, "\n'tessera COMMAND --help' tells more; 'tessera demo' shows the whole path.\n");
}

static int unknown_command(const char *name)
{
    const char *best = NULL;
    for (const command *c = commands; c->name; c++) option_nearer(name, c->name, &best);
    if (best) return command_end(ag_fail(AG_ERR_USAGE, "%.64s: no such command; did you mean '%s'?", name, best));
    return command_end(ag_fail(AG_ERR_USAGE, "%.64s: no such command; 'tessera --help' lists them", name));
}

static int run_command(int argc, char **argv)
{
    for (const command *c = commands; c->name; c++)
        if (!strcmp(c->name, argv[1])) return c->run(c, argc, argv);
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    ag_cpu_start(argv);
    if (!getenv("OMP_NUM_THREADS")) ag_cpu_set_threads(0); /* what the user set stays */
    signals_install();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) return printf("tessera %s\n", TESSERA_VERSION) < 0;
    if (!strcmp(argv[1], "help") && argc > 2) {
        char *words[] = {argv[0], argv[2], "--help", NULL};
        return run_command(3, words);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return 0;
    }
    return run_command(argc, argv);
}
