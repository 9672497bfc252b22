#include <string.h>

#include "option_readers.h"

#define CODEBOOKS "vq residual multiscale"

static const option_reader rows[] = {
    {"quantizer", CODEBOOKS " gumbel lookup_free finite_scalar", "codes"},
    {"quantizer", CODEBOOKS " lookup_free", "beta"},
    {"quantizer", CODEBOOKS " gumbel", "start"},
    {"quantizer", CODEBOOKS, "codebook decay epsilon debias initial_count restart cosine rotation simvq legacy_beta"},
    {"quantizer", "vq residual", "shared"},
    {"quantizer", "vq", "heads assignment assignment_temperature orthogonal orthogonal_codes"},
    {"quantizer", "vq lookup_free", "entropy entropy_gamma entropy_temperature"},
    {"quantizer", "lookup_free", "entropy_groups spherical"},
    {"quantizer", "residual", "depth update_once depth_scale quantizer_dropout"},
    {"quantizer", "multiscale", "scales phi phi_ratio"},
    {"quantizer", "finite_scalar", "levels"},
    {"quantizer", "gumbel gaussian", "kl kl_steps"},
    {"quantizer", "gaussian", "kl_sum"},
    {"quantizer", "gumbel", "hard table tau tau_end tau_steps tau_curve"},
    {"discriminator", "patchgan stylegan",
     "disc_width gan gan_weight disc_loss_weight disc_rate adaptive adaptive_limit disc_start gan_start gan_ramp r1 "
     "lecam backoff"},
    {"discriminator", "patchgan", "disc_layers disc_norm"},
    {"perceptual", "lpips ssim features", "perceptual_factor"},
    {"perceptual", "lpips features", "perceptual_weights perceptual_sha256"},
};

const option_reader *option_reader_at(int i)
{
    return i >= 0 && i < (int)(sizeof rows / sizeof *rows) ? &rows[i] : NULL;
}

/* Is `word` one of the words of `list`? */
static bool has(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = list; *p; p += strspn(p, " ")) {
        const size_t length = strcspn(p, " ");
        if (length == n && !memcmp(p, word, n)) return true;
        p += length;
    }
    return false;
}

const option *option_unread_by(const option_table *t, const void *values, const char *name)
{
    const option_reader *row;
    char word[64];
    for (int i = 0; (row = option_reader_at(i)); i++) {
        const option *choice = has(row->names, name) ? option_find(t, row->choice) : NULL;
        if (!choice) continue;
        option_value_text(choice, values, word, sizeof word);
        if (!has(row->words, word)) return choice;
    }
    return NULL;
}
