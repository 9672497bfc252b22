#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoints/checkpoint.h"
#include "checkpoints/json.h"
#include "model.h"

ag_err model_path(char **out, const char *run_or_file)
{
    struct stat st;
    if (stat(run_or_file, &st))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: no such run or checkpoint; give the folder that 'tessera train -o' made",
                       run_or_file);
    const bool folder = S_ISDIR(st.st_mode);
    if (asprintf(out, folder ? "%s/checkpoint.h5" : "%s", run_or_file) < 0)
        return ag_fail(AG_ERR_MEMORY, "%s: no memory for its name", run_or_file);
    if (folder && stat(*out, &st)) {
        free(*out);
        *out = NULL;
        return ag_fail(AG_ERR_CHECKPOINT,
                       "%s: no checkpoint.h5 in this folder; give a run that 'tessera train' has saved", run_or_file);
    }
    return AG_OK;
}

static ag_err bad_state(const model *m, const char *key)
{
    return ag_fail(AG_ERR_CHECKPOINT, "%s: its state has no usable '%s'; it was not saved by 'tessera train'", m->path,
                   key);
}

static bool number(const cJSON *object, const char *key, double low, double high, double *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= low) || !(item->valuedouble <= high)) return false;
    *out = item->valuedouble;
    return true;
}

static ag_err read_image(model *m)
{
    const cJSON *image = cJSON_GetObjectItemCaseSensitive(m->state, "image");
    double h, w, c, variance, step;
    if (!number(image, "height", 1, 65536, &h) || !number(image, "width", 1, 65536, &w) ||
        !number(image, "channels", 1, 64, &c))
        return bad_state(m, "image");
    if (!number(m->state, "variance", 1e-30, 1e30, &variance)) return bad_state(m, "variance");
    if (!number(m->state, "step", 0, 1e15, &step)) return bad_state(m, "step");
    m->image = (image_shape){.height = (int64_t)h, .width = (int64_t)w, .channels = (int64_t)c};
    m->variance = variance;
    m->step = (int64_t)step;
    return AG_OK;
}

static ag_err read_recipe(model *m)
{
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(m->state, "recipe");
    if (!cJSON_IsString(name)) return bad_state(m, "recipe");
    if (!(m->recipe = recipe_find(name->valuestring)))
        return ag_fail(AG_ERR_CHECKPOINT, "%s: of recipe '%.64s', which this program does not have", m->path,
                       name->valuestring);
    if (!(m->options = recipe_options_new(m->recipe))) return ag_fail(AG_ERR_MEMORY, "%s: no memory", m->path);
    if (option_from_json(m->recipe->options, m->options, cJSON_GetObjectItemCaseSensitive(m->state, "options"),
                         m->path))
        return ag_fail_context(AG_ERR_CHECKPOINT, "options in the checkpoint");
    return AG_OK;
}

ag_err model_open(model **out, const char *run_or_file)
{
    char *text = NULL;
    ag_err err;
    model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return ag_fail(AG_ERR_MEMORY, "%s: no memory", run_or_file);
    if ((err = model_path(&m->path, run_or_file))) goto out;
    if ((err = ckpt_read_state(m->path, &text))) goto out;
    if ((err = ckpt_json_parse(&m->state, text, strlen(text), m->path, AG_ERR_CHECKPOINT))) goto out;
    if ((err = read_recipe(m)) || (err = read_image(m))) goto out;
    if (!(m->params = nn_params_new(0))) err = ag_fail(AG_ERR_MEMORY, "%s: no memory for its parameters", m->path);
out:
    free(text);
    if (err)
        model_close(m);
    else
        *out = m;
    return err;
}

void model_close(model *m)
{
    if (!m) return;
    nn_params_free(m->params);
    cJSON_Delete(m->state);
    free(m->options);
    free(m->path);
    free(m);
}

static ag_err check_image(const model *m, const image_shape *image)
{
    if (image->channels != m->image.channels)
        return ag_fail(AG_ERR_DATA, "images have %lld channels, the model of %s takes %lld; pack with --channels %lld",
                       (long long)image->channels, m->path, (long long)m->image.channels, (long long)m->image.channels);
    const ag_err err = m->recipe->check(m->options, image);
    if (err || !m->recipe->takes || m->recipe->takes(m->options, &m->image, image)) return err;
    return ag_fail(AG_ERR_DATA,
                   "images of %lldx%lld: the model of %s was trained on %lldx%lld and takes no other size; pack with "
                   "--size %lldx%lld",
                   (long long)image->width, (long long)image->height, m->path, (long long)m->image.width,
                   (long long)m->image.height, (long long)m->image.width, (long long)m->image.height);
}

ag_err model_run(run **out, model *m, run_mode mode, const image_shape *image)
{
    const run_options build = {
        .mode = mode, .batch = images_batch(image), .image = *image, .variance = m->variance, .only = m->only};
    ag_err err = check_image(m, image);
    *out = NULL;
    if (err) return err;
    if (mode == RUN_DECODE && !m->recipe->decode)
        return ag_fail(AG_ERR_USAGE, "%s: recipe %s has no codes to decode", m->path, m->recipe->name);
    if ((err = run_new(out, m->recipe, m->options, m->params, &build))) return err;
    if (mode == RUN_ENCODE && !(*out)->quantizers[0].codes)
        err = ag_fail(AG_ERR_USAGE,
                      "%s: this model has no codebook (its latents are continuous), so there are no codes", m->path);
    if (!err && !(err = run_plan(*out, 0)))
        err = m->last_weights ? ckpt_load_params(m->path, m->params, CKPT_PART)
                              : ckpt_load_averages(m->path, m->params, &m->averages);
    if (err) {
        run_free(*out);
        *out = NULL;
    }
    return err;
}

ag_err model_view_open(model_view *v, const char *data, const char *split_name, run_mode mode)
{
    ag_err err = data_set_open(&v->set, data, NULL);
    if (!err) err = images_split(v->set, split_name, &v->split, &v->indices, &v->n);
    if (err) return err;
    const image_shape shape = images_shape(v->set);
    return model_run(&v->run, v->model, mode, &shape);
}

void model_view_close(model_view *v)
{
    run_free(v->run);
    data_set_close(v->set);
    model_close(v->model);
}
