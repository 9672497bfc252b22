/* The option tables: parsing, ranges, suggestions, JSON, presets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "option_readers.h"
#include "recipe.h"

struct sample {
    int64_t hidden;
    double beta;
    bool flip;
    int start;
    int64_t seed;
    option_list levels;
};

static const option more_rows[] = {OPTION_INT(struct sample, seed, 0, 9007199254740991.0, "", "")};
static const option_table more = {more_rows, 1, NULL};
static const option rows[] = {
    OPTION_INT(struct sample, hidden, 1, 100, "", ""),
    OPTION_REAL(struct sample, beta, 0, 4, "", ""),
    OPTION_FLAG(struct sample, flip, "", ""),
    OPTION_CHOICE(struct sample, start, "normal|uniform|kmeans", "", ""),
    OPTION_LIST(struct sample, levels, 2, 99, "", ""),
};
static const option_table table = {rows, 5, &more};

static bool message_has(const char *part) { return strstr(ag_error_message(), part) != NULL; }

static void values_of_every_type_are_set(void **state)
{
    (void)state;
    struct sample s = {0};
    assert_int_equal(
        option_assign_all(&table, &s,
                          " hidden=64 beta=0.25  flip=yes start=kmeans seed=9007199254740991 levels=8,5,99 ", "test"),
        AG_OK);
    assert_int_equal(s.hidden, 64);
    assert_true(s.beta == 0.25);
    assert_true(s.flip);
    assert_int_equal(s.start, 2);
    assert_int_equal(s.levels.n, 3);
    assert_true(s.levels.values[0] == 8 && s.levels.values[1] == 5 && s.levels.values[2] == 99);
    assert_int_equal(s.seed, INT64_C(9007199254740991));
}

static void bad_values_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"hidden=0",
                                      "hidden=101",
                                      "hidden=-3",
                                      "hidden=1.5",
                                      "hidden=",
                                      "hidden=12x",
                                      "hidden=99999999999999999999",
                                      "beta=nan",
                                      "beta=inf",
                                      "beta=-1",
                                      "beta=abc",
                                      "flip=maybe",
                                      "start=kmean",
                                      "start=",
                                      "start=kmeans|normal",
                                      "levels=",
                                      "levels=8,",
                                      "levels=8,1",
                                      "levels=8 5",
                                      "levels=8,5x",
                                      "levels=2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2",
                                      "hidden",
                                      "=3"};
    struct sample s = {.hidden = 7, .beta = 1, .start = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(option_assign(&table, &s, bad[i], "--set"), AG_ERR_USAGE);
        assert_true(message_has("--set"));
    }
    assert_int_equal(s.hidden, 7);
    assert_true(s.beta == 1 && !s.flip && s.start == 1 && s.levels.n == 0);
}

static void a_refusal_says_what_is_accepted(void **state)
{
    (void)state;
    struct sample s = {0};
    option_assign(&table, &s, "hidden=0", "--set");
    assert_true(message_has("hidden=0") && message_has("from 1 to 100"));
    option_assign(&table, &s, "start=x", "--set");
    assert_true(message_has("normal|uniform|kmeans"));
}

static void unknown_keys_suggest_the_nearest(void **state)
{
    (void)state;
    struct sample s = {0};
    assert_int_equal(option_assign(&table, &s, "hiden=3", "--set"), AG_ERR_USAGE);
    assert_true(message_has("did you mean 'hidden'"));
    assert_int_equal(option_assign(&table, &s, "sede=3", "--set"), AG_ERR_USAGE);
    assert_true(message_has("did you mean 'seed'"));
    assert_int_equal(option_assign(&table, &s, "zzzzzzzzz=3", "--set"), AG_ERR_USAGE);
    assert_false(message_has("did you mean"));
}

static void distance_counts_changes(void **state)
{
    (void)state;
    assert_int_equal(option_distance("kitten", "sitting"), 3);
    assert_int_equal(option_distance("", "abc"), 3);
    assert_int_equal(option_distance("abc", ""), 3);
    assert_int_equal(option_distance("same", "same"), 0);
}

static void json_gives_the_values_back(void **state)
{
    (void)state;
    const struct sample a = {
        .hidden = 33, .beta = 0.1, .flip = true, .start = 1, .seed = INT64_C(9007199254740991), .levels = {2, {7, 9}}};
    struct sample b = {0};
    cJSON *json = option_to_json(&table, &a);
    char *text = cJSON_Print(json);
    cJSON *again = cJSON_Parse(text);
    assert_non_null(again);
    assert_int_equal(option_from_json(&table, &b, again, "a.json"), AG_OK);
    assert_memory_equal(&a.hidden, &b.hidden, sizeof a.hidden);
    assert_true(a.beta == b.beta && a.flip == b.flip && a.start == b.start && a.seed == b.seed);
    assert_memory_equal(&a.levels, &b.levels, sizeof a.levels);
    cJSON_Delete(again);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void json_of_a_wrong_form_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"hidden\":[1]}",
                                      "{\"hidden\":null}",
                                      "{\"hiden\":1}",
                                      "{\"hidden\":1e30}",
                                      "{\"flip\":\"perhaps\"}",
                                      "[]",
                                      "3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sample s = {.hidden = 5};
        cJSON *json = cJSON_Parse(bad[i]);
        assert_non_null(json);
        assert_int_equal(option_from_json(&table, &s, json, "a.json"), AG_ERR_USAGE);
        assert_true(message_has("a.json"));
        assert_int_equal(s.hidden, 5);
        cJSON_Delete(json);
    }
}

static void every_preset_of_every_recipe_applies(void **state)
{
    (void)state;
    const recipe *r;
    for (int i = 0; (r = recipe_at(i)); i++)
        for (const recipe_preset *p = r->presets; p->name; p++) {
            void *options = recipe_options_new(r);
            assert_int_equal(recipe_preset_apply(r, options, p->name), AG_OK);
            free(options);
        }
}

static void every_default_is_in_its_range(void **state)
{
    (void)state;
    const recipe *r;
    const option *o;
    char text[64];
    for (int i = 0; (r = recipe_at(i)); i++)
        for (int k = 0; (o = option_at(r->options, k)); k++) {
            void *options = recipe_options_new(r);
            option_value_text(o, r->defaults, text, sizeof text);
            assert_int_equal(option_set(r->options, options, o->name, text, o->name), AG_OK);
            assert_memory_equal(options, r->defaults, r->options_size);
            free(options);
        }
}

static void no_option_has_two_rows(void **state)
{
    (void)state;
    const recipe *r;
    const option *o;
    for (int i = 0; (r = recipe_at(i)); i++)
        for (int k = 0; (o = option_at(r->options, k)); k++) assert_ptr_equal(option_find(r->options, o->name), o);
}

/* Each word of `list` is an option of r. */
static void assert_options(const recipe *r, const char *list)
{
    char name[64];
    for (const char *p = list; *p; p += strspn(p, " ")) {
        const int n = (int)strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", n, p);
        if (!option_find(r->options, name)) fail_msg("%s has no option %s", r->name, name);
        p += n;
    }
}

/* Each word of `list` is a value of the choice. */
static void assert_words(const recipe *r, const char *choice, const char *list)
{
    char word[64];
    void *options = recipe_options_new(r);
    for (const char *p = list; *p; p += strspn(p, " ")) {
        const int n = (int)strcspn(p, " ");
        snprintf(word, sizeof word, "%.*s", n, p);
        if (option_set(r->options, options, choice, word, "test")) fail_msg("%s", ag_error_message());
        p += n;
    }
    free(options);
}

static void options_have_the_readers_that_the_table_names(void **state)
{
    (void)state;
    const recipe *r = recipe_find("vqgan");
    const option_reader *row;
    for (int i = 0; (row = option_reader_at(i)); i++) {
        assert_options(r, row->names);
        assert_words(r, row->choice, row->words);
    }
}

static void unread(const char *name, const char *settings, const char *which, const char *by)
{
    const recipe *r = recipe_find(name);
    void *options = recipe_options_new(r);
    assert_int_equal(option_assign_all(r->options, options, settings, "test"), AG_OK);
    const option *o = option_unread_by(r->options, options, which);
    if (by ? !o || strcmp(o->name, by) : !!o)
        fail_msg("%s %s: %s is unread by %s", name, settings, which, o ? o->name : "none");
    free(options);
}

static void options_of_what_is_not_chosen_are_unread(void **state)
{
    (void)state;
    unread("vqvae", "quantizer=finite_scalar", "cosine", "quantizer");
    unread("vqvae", "quantizer=finite_scalar", "rotation", "quantizer");
    unread("vqvae", "quantizer=finite_scalar", "restart", "quantizer");
    unread("vqvae", "quantizer=finite_scalar", "levels", NULL);
    unread("vqvae", "quantizer=finite_scalar", "hidden", NULL);
    unread("vqvae", "quantizer=finite_scalar", "dim", NULL);
    unread("vqvae", "quantizer=lookup_free", "simvq", "quantizer");
    unread("vqvae", "quantizer=lookup_free", "beta", NULL);
    unread("vqvae", "quantizer=vq", "kl", "quantizer");
    unread("vqvae", "quantizer=vq", "depth", "quantizer");
    unread("vqvae", "quantizer=vq", "cosine", NULL);
    unread("vqvae", "quantizer=residual", "depth", NULL);
    unread("vqgan", "discriminator=none", "r1", "discriminator");
    unread("vqgan", "discriminator=stylegan", "r1", NULL);
    unread("vqgan", "discriminator=stylegan", "disc_norm", "discriminator");
    unread("vqgan", "perceptual=ssim", "perceptual_weights", "perceptual");
    unread("features", "", "lr", NULL);
}

static void unknown_recipes_and_presets_suggest_the_nearest(void **state)
{
    (void)state;
    const recipe *r;
    assert_int_equal(recipe_get(&r, "vqvea"), AG_ERR_USAGE);
    assert_true(message_has("did you mean 'vqvae'"));
    assert_int_equal(recipe_get(&r, "vqvae"), AG_OK);
    void *options = recipe_options_new(r);
    assert_int_equal(recipe_preset_apply(r, options, "cifar"), AG_ERR_USAGE);
    assert_true(message_has("did you mean 'cifar10'"));
    free(options);
}

static void sizes_that_do_not_divide_name_the_nearest(void **state)
{
    (void)state;
    const recipe *r = recipe_find("vqvae");
    const image_shape good = {.height = 32, .width = 48, .channels = 3},
                      bad = {.height = 30, .width = 48, .channels = 3};
    assert_int_equal(r->check(r->defaults, &good), AG_OK);
    assert_int_equal(r->check(r->defaults, &bad), AG_ERR_USAGE);
    assert_true(message_has("48x28") && message_has("48x32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_are_set),
        cmocka_unit_test(bad_values_are_refused_and_change_nothing),
        cmocka_unit_test(a_refusal_says_what_is_accepted),
        cmocka_unit_test(unknown_keys_suggest_the_nearest),
        cmocka_unit_test(distance_counts_changes),
        cmocka_unit_test(json_gives_the_values_back),
        cmocka_unit_test(json_of_a_wrong_form_is_refused),
        cmocka_unit_test(every_preset_of_every_recipe_applies),
        cmocka_unit_test(every_default_is_in_its_range),
        cmocka_unit_test(no_option_has_two_rows),
        cmocka_unit_test(options_have_the_readers_that_the_table_names),
        cmocka_unit_test(options_of_what_is_not_chosen_are_unread),
        cmocka_unit_test(unknown_recipes_and_presets_suggest_the_nearest),
        cmocka_unit_test(sizes_that_do_not_divide_name_the_nearest),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
