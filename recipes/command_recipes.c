/* tessera recipes [NAME] */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "recipe.h"

static void list_recipes(void)
{
    const recipe *r;
    for (int i = 0; (r = recipe_at(i)); i++) printf("%-14s %s\n%-14s %s\n", r->name, r->title, "", r->paper);
    printf("\n'tessera recipes NAME' shows the options and presets of one.\n");
}

/* Text in lines of at most 76 characters after `indent` blanks; the first line is already indented. */
static void print_wrapped(const char *text, int indent)
{
    int column = 0;
    for (const char *p = text; *p;) {
        const int word = (int)strcspn(p, " ");
        if (column && column + 1 + word > 76) {
            printf("\n%*s", indent, "");
            column = 0;
        }
        column += printf("%s%.*s", column ? " " : "", word, p);
        p += word + (p[word] == ' ');
    }
    putchar('\n');
}

static void print_option(const option *o, const void *values)
{
    char value[64], range[512];
    option_value_text(o, values, value, sizeof value);
    option_range_text(o, range, sizeof range);
    printf("  %-18s %-10s ", o->name, value);
    print_wrapped(o->help, 32);
    printf("%32s%s; default: %s\n", "", range, o->source);
}

static ag_err print_recipe(const recipe *r)
{
    const option *o;
    printf("%s: %s\n%s\n\noptions (value: default; change with --set NAME=VALUE)\n\n", r->name, r->title, r->paper);
    for (int i = 0; (o = option_at(r->options, i)); i++) print_option(o, r->defaults);
    printf("\npresets (--preset NAME)\n\n");
    for (const recipe_preset *p = r->presets; p->name; p++) {
        printf("  %-12s ", p->name);
        print_wrapped(p->help, 15);
        printf("%15s", "");
        print_wrapped(p->settings, 15);
    }
    return AG_OK;
}

int command_recipes(const command *c, int argc, char **argv)
{
    const recipe *r;
    char **words;
    int n;
    bool done;
    ag_err err = command_parse(c, NULL, argc, argv, &words, &n, &done);
    if (err || done) return command_end(err);
    if (n == 0) {
        list_recipes();
        return 0;
    }
    if ((err = command_words(c, n, 1)) || (err = recipe_get(&r, words[0]))) return command_end(err);
    return command_end(print_recipe(r));
}
