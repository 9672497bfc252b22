/* tessera demo: every step is a command that a person could type, and is shown as one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoints/run.h"
#include "command.h"
#include "terminal.h"

enum { MAX_WORDS = 16, WORD = 512 };

/* Runs one command: its words separated by blanks, %s for the folder. Returns its exit status. */
static int step(char *program, const char *folder, int n, const char *const *words)
{
    char text[MAX_WORDS][WORD], line[2048] = "";
    char *argv[MAX_WORDS + 2] = {program};
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        const char *in_folder = words[i][0] == '@' ? folder : "";
        snprintf(text[i], sizeof text[i], "%s%s", in_folder, words[i] + (*in_folder != 0));
        argv[i + 1] = text[i];
        used += (size_t)snprintf(line + used, sizeof line - used, " %s", text[i]);
    }
    terminal_title("\n$ tessera%s", line);
    for (const command *c = commands; c->name; c++)
        if (!strcmp(c->name, words[0])) return c->run(c, n + 1, argv);
    return command_end(ag_fail(AG_ERR_FAILED, "demo: no command '%s'", words[0]));
}

/* '@' stands for the folder. */
static const char *const steps[][MAX_WORDS] = {
    {"synth", "scenes", "-o", "@/scenes.h5"},
    {"train", "vqvae", "--preset", "demo", "--data", "@/scenes.h5", "-o", "@/run"},
    {"eval", "@/run", "--data", "@/scenes.h5", "--usage", "@/usage.png"},
    {"reconstruct", "@/run", "--data", "@/scenes.h5", "-o", "@/grid.png"},
    {"report", "@/run"},
};

static int words_of(const char *const *words)
{
    int n = 0;
    while (n < MAX_WORDS && words[n]) n++;
    return n;
}

static ag_err make_folder(const char *folder, const char *run)
{
    if (strlen(folder) > WORD / 2) return ag_fail(AG_ERR_USAGE, "-o: the name is too long");
    if (ckpt_run_exists(run))
        return ag_fail(AG_ERR_USAGE, "%s: holds a run already; remove %s, or choose another folder with -o", run,
                       folder);
    if (mkdir(folder, 0777) && errno != EEXIST)
        return ag_fail(AG_ERR_IO, "%s: cannot be made: %m; choose another folder with -o", folder);
    return AG_OK;
}

static void say_what_next(const char *program, const char *folder)
{
    terminal_title("\nDone.");
    printf("  %s/grid.png         originals, each row above its reconstructions\n", folder);
    printf("  %s/usage.png        how often each code is used\n", folder);
    printf("  %s/run/report.html  curves, codebook, samples: open it in a browser\n\n", folder);
    printf("Your own pictures:\n  %s pack FOLDER -o photos.h5 --size 64 --val-fraction 0.1\n", program);
    printf("  %s train vqvae --preset photos64 --data photos.h5 -o runs/photos\n", program);
    printf("All options: %s recipes vqvae\n", program);
}

int command_demo(const command *c, int argc, char **argv)
{
    const char *folder = "demo";
    const command_flag flags[] = {
        {"output", 'o', FLAG_TEXT, &folder, "FOLDER", "where everything goes (default: demo)", 0, 0},
        {0},
    };
    char **words, run[2 * WORD];
    int n, status = 0;
    bool done;
    ag_err err = command_parse(c, flags, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    snprintf(run, sizeof run, "%s/run", folder);
    if ((err = command_words(c, n, 0)) || (err = make_folder(folder, run))) return command_end(err);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !status; i++)
        status = step(argv[0], folder, words_of(steps[i]), steps[i]);
    if (!status) say_what_next(argv[0], folder);
    return status;
}
