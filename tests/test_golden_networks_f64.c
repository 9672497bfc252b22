/* Golden rows of whole networks: hash weights, synthetic images 0 and 1, values from independent implementations. And the published
 * parameter counts, from graphs that are built but not planned. */
#include "golden_rows.h"

/* Parameters whose names begin with `prefix`. */
static int64_t count(nn_params *p, const char *prefix)
{
    int64_t sum = 0;
    for (int i = 0; i < nn_params_count(p); i++)
        if (nn_params_at(p, i)->kind == NN_PARAMETER && !strncmp(nn_params_at(p, i)->name, prefix, strlen(prefix)))
            sum += nn_params_at(p, i)->numel;
    return sum;
}

static void counted(const char *name, nn_params *p, int64_t encoder, int64_t decoder)
{
    if (count(p, "encoder.") != encoder || count(p, "decoder.") != decoder)
        fail_msg("%s: %lld and %lld parameters, not %lld and %lld", name, (long long)count(p, "encoder."),
                 (long long)count(p, "decoder."), (long long)encoder, (long long)decoder);
}

/* ---- VQGAN ------------------------------------------------------------------------------------------------------------- */

static void vqgan_rows(void **state)
{
    (void)state;
    const row encoder = {-.025474, .581252, {.156218, -.082095, -.258563}, .380873};
    const row decoder = {-.161335, .571057, {-.114808, -.229491, -.386654}, -.121828};
    const nn_vqgan_opt o = {.ch = 32,
                            .levels = 3,
                            .ch_mult = {1, 2, 2},
                            .blocks = 1,
                            .encoder_attention = {[2] = true},
                            .decoder_attention = {[2] = true},
                            .z_channels = 32,
                            .channels = 3};
    bench b = begin(false);
    ag_tensor *z = ag_keep(nn_vqgan_encoder(nn_in(b.root, "encoder"), b.x, &o));
    ag_tensor *y = ag_keep(nn_vqgan_decoder(nn_in(b.root, "decoder"), z, &o));
    run(&b, 2, -1);
    counted("6.4 tiny", b.params, 397888, 636867);
    check_row("encoder", z, &encoder);
    check_row("decoder", y, &decoder);
    end(&b);
}

typedef struct vqgan_count {
    const char *name;
    nn_vqgan_opt o;
    int64_t size, D, encoder, decoder, total;
} vqgan_count;

#define MULT(...) (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), .ch_mult = {__VA_ARGS__}
#define ATTEND(i) .encoder_attention = {[i] = true}, .decoder_attention = {[i] = true}

static const vqgan_count vqgans[] = {
    {"taming f16", {128, MULT(1, 1, 2, 2, 4), 2, ATTEND(4), .z_channels = 256}, 16, 256, 29298176, 42449795, 71879555},
    {"VQ-f8", {128, MULT(1, 2, 2, 4), 2, ATTEND(3), .z_channels = 4}, 8, 4, 27397764, 40253955, 0},
    {"KL-f4", {128, MULT(1, 2, 4), 2, .z_channels = 3, .double_z = true}, 4, 3, 0, 0, 55312063},
    {"KL-f8", {128, MULT(1, 2, 4, 4), 2, .z_channels = 4, .double_z = true}, 8, 4, 34163592, 49490179, 83653863},
    {"KL-f16",
     {128, MULT(1, 1, 2, 2, 4), 2, ATTEND(4), .z_channels = 16, .double_z = true},
     16,
     16,
     28265760,
     41343875,
     69610963},
    {"MAR",
     {128, MULT(1, 1, 2, 2, 4), 2, .encoder_attention = {[4] = true}, .z_channels = 16, .double_z = true},
     16,
     16,
     28265760,
     38188931,
     66456019},
    {"RQ-VAE", {128, MULT(1, 1, 2, 2, 4, 4), 2, ATTEND(5), .z_channels = 256}, 32, 256, 41101312, 58974595, 100207491},
    {"HQ-VAE",
     {128, MULT(1, 2, 4, 4), 2, .decoder_attention = {[3] = true}, .z_channels = 256, .initial_halving = true},
     16,
     0,
     35309312,
     53953923,
     0},
    {"VAR", {160, MULT(1, 1, 2, 2, 4), 2, ATTEND(4), .z_channels = 32}, 16, 0, 44107872, 64653923, 0},
    {"6.1 tiny", {32, MULT(1, 2, 2), 1, ATTEND(2), .z_channels = 4, .double_z = true}, 4, 4, 0, 0, 1004871},
    {"6.4 tiny", {32, MULT(1, 2, 2), 1, ATTEND(2), .z_channels = 32}, 4, 16, 397888, 636867, 1037875 - 16 * 128},
    {"6.4 tiny 64", {32, MULT(1, 1, 2, 2), 1, ATTEND(3), .z_channels = 64}, 8, 32, 0, 0, 1158403 - 32 * 256},
    {"6.9 tiny", {32, MULT(1, 2, 2, 2), 1, ATTEND(3), .z_channels = 32}, 8, 16, 0, 0, 1334067 - 16 * 128},
};

/* With the two 1x1 convolutions around the quantizer where the total is stated. */
static void count_vqgan(const vqgan_count *c)
{
    nn_vqgan_opt o = c->o;
    o.channels = 3;
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, c->size, 2 * c->size, 3});
    ag_tensor *h = nn_vqgan_encoder(nn_in(root, "encoder"), x, &o), *z = h;
    const int64_t D = c->D, moments = o.double_z ? 2 * D : D;
    if (D) h = nn_conv2d(nn_in(root, "quant_conv"), h, &(nn_conv2d_opt){.out = moments, .kernel = 1});
    z = D ? ag_slice_axis(h, 3, 0, D) : h;
    if (D) z = nn_conv2d(nn_in(root, "post_quant_conv"), z, &(nn_conv2d_opt){.out = o.z_channels, .kernel = 1});
    ag_tensor *y = nn_vqgan_decoder(nn_in(root, "decoder"), z, &o);
    if (!y) fail_msg("%s: %s", c->name, ag_graph_plan(g, NULL) ? ag_error_message() : "");
    assert_int_equal(ag_dim(h, 1), 1);
    assert_int_equal(ag_dim(y, 2), 2 * c->size);
    if (c->encoder) counted(c->name, p, c->encoder, c->decoder);
    if (c->total && nn_params_numel(p, NN_PARAMETER) != c->total)
        fail_msg("%s: %lld parameters, not %lld", c->name, (long long)nn_params_numel(p, NN_PARAMETER),
                 (long long)c->total);
    ag_graph_free(g);
    nn_params_free(p);
}

static void vqgan_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vqgans / sizeof *vqgans; i++) count_vqgan(&vqgans[i]);
}

/* ---- VQ-VAE-2 ---------------------------------------------------------------------------------------------------------- */

static void vqvae2_rows(void **state)
{
    (void)state;
    const row bottom = {.081223, .104506, {.143446, .120575, .111161}, .140032};
    const row top = {.069902, .102022, {.140276, .123452, .103041}, .025850};
    const row image = {-.063391, .189359, {-.028223, -.023626, -.088066}, -.083496};
    const int32_t first[8] = {52, 10, 52, 10, 52, 10, 52, 52};
    const nn_quantizer_opt q = {.K = 64, .D = 16, .beta = 0.25};
    const nn_vqvae2_opt o = {
        .levels = 2, .hidden = 32, .residual = 16, .blocks = 1, .channels = 3, .quantizer = {q, q}};
    bench b = begin(false);
    nn_vqvae2_encoded e = nn_vqvae2_encode(b.root, b.x, &o, NULL);
    ag_tensor *y = ag_keep(nn_vqvae2_decode(b.root, (ag_tensor *[]){e.q[0].latents, e.q[1].latents}, &o));
    ag_tensor *terms[2];
    for (int i = 0; i < 2; i++) {
        ag_keep(e.features[i]), ag_keep(e.q[i].codes);
        terms[i] = ag_keep(nn_quantized_term_of(&e.q[i], "commitment"));
    }
    fill(&b, 2, -1);
    assert_int_equal(nn_params_numel(b.params, NN_PARAMETER), 88275);
    golden_parameter(nn_params_find(b.params, "quantize_t.embedding"));
    golden_parameter(nn_params_find(b.params, "quantize_b.embedding"));
    assert_int_equal(ag_graph_run(b.g, 1), AG_OK);
    check_row("top", e.features[0], &top);
    check_row("bottom", e.features[1], &bottom);
    check_row("image", y, &image);
    near("diff", ag_value(terms[0]) + ag_value(terms[1]), .391342);
    for (int i = 0; i < 16; i++) assert_int_equal(((int32_t *)ag_data(e.q[0].codes))[i], 52);
    assert_memory_equal(ag_data(e.q[1].codes), first, sizeof first);
    end(&b);
}

static void vqvae2_counts(void **state)
{
    (void)state;
    const nn_quantizer_opt q = {.K = 512, .D = 64, .beta = 0.25};
    const nn_vqvae2_opt o = {
        .levels = 2, .hidden = 128, .residual = 32, .blocks = 2, .channels = 3, .quantizer = {q, q}};
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    nn_vqvae2_encoded e = nn_vqvae2_encode(root, ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 64, 32, 3}), &o, NULL);
    ag_tensor *y = nn_vqvae2_decode(root, (ag_tensor *[]){e.q[0].latents, e.q[1].latents}, &o);
    assert_int_equal(ag_dim(y, 1), 64);
    assert_int_equal(ag_dim(y, 2), 32);
    assert_int_equal(nn_params_numel(p, NN_PARAMETER), 1388867);
    assert_int_equal(count(p, "enc_b."), 364160);
    assert_int_equal(count(p, "enc_t."), 287232);
    assert_int_equal(count(p, "dec_t."), 287232);
    assert_int_equal(count(p, "dec."), 364035);
    assert_int_equal(count(p, "upsample_t."), 65600);
    ag_graph_free(g);
    nn_params_free(p);
}

/* ---- ViT-VQGAN --------------------------------------------------------------------------------------------------------- */

static void vit_rows(void **state)
{
    (void)state;
    const row tokens = {.010300, 1.009319, {.070372, -.278785, .083343}, 1.681691};
    const row image = {.068458, 1.054268, {.244845, -.659675, 2.561061}, 1.341694};
    const double sines[4] = {.841471, .533168, .310984, .176892};
    const nn_vit_opt o = {
        .patch = 4, .width = 64, .blocks = 2, .heads = 4, .hidden = 128, .activation = NN_MLP_TANH, .channels = 3};
    bench b = begin(false);
    ag_tensor *z = nn_vit_encoder(nn_in(b.root, "encoder"), b.x, &o);
    ag_tensor *y = ag_keep(nn_vit_decoder(nn_in(b.root, "decoder"), z, &o));
    z = ag_keep(ag_reshape(z, 3, (int64_t[]){2, 64, 64}));
    run(&b, 1, 0);
    counted("6.7 tiny", b.params, 69824, 69763);
    check_row("tokens", z, &tokens);
    check_row("image", y, &image);
    const double *position = nn_params_find(b.params, "encoder.en_pos_embedding")->data;
    for (int i = 0; i < 4; i++) {
        near("column", position[64 + i], sines[i]);
        near("column", position[64 + 32 + i], 0);
        near("row", position[8 * 64 + 32 + i], sines[i]);
    }
    end(&b);
}

static void vit_counts(void **state)
{
    (void)state;
    const nn_vit_opt o = {
        .patch = 8, .width = 512, .blocks = 8, .heads = 8, .hidden = 2048, .activation = NN_MLP_TANH, .channels = 3};
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 32, 16, 3});
    ag_tensor *y = nn_vit_decoder(nn_in(root, "decoder"), nn_vit_encoder(nn_in(root, "encoder"), x, &o), &o);
    assert_int_equal(ag_dim(y, 1), 32);
    assert_int_equal(ag_dim(y, 2), 16);
    counted("6.7 small", p, 25306624, 25306115);
    ag_graph_free(g);
    nn_params_free(p);
}

/* ---- dVAE ---------------------------------------------------------------------------------------------------------------- */

static void dvae_rows(void **state)
{
    (void)state;
    const row logits = {.025966, .462762, {-.233008, -.170894, -.133291}, .610550};
    const row image = {-.027389, .347088, {.138742, .137876, .134309}, .113108};
    const nn_dvae_opt o = {.width = 16, .blocks = 1, .codes = 64, .initial = 32, .out = 6};
    bench b = begin(false);
    ag_tensor *l = ag_keep(nn_dvae_encoder(nn_in(b.root, "encoder"), b.x, &o)), *codes = ag_keep(ag_argmax(l));
    ag_tensor *y = ag_keep(nn_dvae_decoder(nn_in(b.root, "decoder"), ag_one_hot(codes, 64), &o));
    run(&b, .8, .1);
    counted("6.8 tiny", b.params, 76708, 94842);
    check_row("logits", l, &logits);
    check_row("image", y, &image);
    for (int i = 0; i < 16; i++) assert_int_equal(((int32_t *)ag_data(codes))[i], 53);
    end(&b);
}

static void dvae_counts(void **state)
{
    (void)state;
    const nn_dvae_opt o = {.width = 256, .blocks = 2, .codes = 8192, .out = 6};
    nn_params *p = nn_params_outline();
    ag_graph *g = ag_graph_new(1);
    const nn_scope root = nn_root(p, g, false);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 16, 8, 3});
    nn_dvae_decoder(nn_in(root, "decoder"), nn_dvae_encoder(nn_in(root, "encoder"), x, &o), &o);
    counted("6.8", p, 53786240, 43829766);
    ag_graph_free(g);
    nn_params_free(p);
}

/* ---- MaskGIT and Open-MAGVIT2 -------------------------------------------------------------------------------------------- */

static void maskgit_rows(void **state)
{
    (void)state;
    const row encoder = {-.019380, .610755, {-.099454, -.580116, -.982120}, .092102};
    const row decoder = {-.159456, .583306, {-.035832, -.131290, .074062}, .039240};
    const nn_maskgit_opt o = {
        .ch = 32, .levels = 3, .ch_mult = {1, 2, 2}, .blocks = 1, .z_channels = 16, .channels = 3};
    bench b = begin(false);
    ag_tensor *z = ag_keep(nn_maskgit_encoder(nn_in(b.root, "encoder"), b.x, &o));
    ag_tensor *y = ag_keep(nn_maskgit_decoder(nn_in(b.root, "decoder"), z, &o));
    run(&b, 1, 0);
    counted("6.5 tiny", b.params, 226096, 335907);
    check_row("encoder", z, &encoder);
    check_row("decoder", y, &decoder);
    end(&b);
}

/* Codes of the signs: bit i is set where channel i is above zero. */
static void magvit2_rows(void **state)
{
    (void)state;
    const row encoder = {-.055513, .607862, {.518409, .302233, .292836}, .852131};
    const row decoder = {-.165062, .595308, {-.064121, .059854, .069347}, -.187514};
    const int codes[8] = {243, 113, 53, 49, 49, 83, 21, 87};
    const nn_magvit2_opt o = {.ch = 32, .levels = 3, .ch_mult = {1, 2, 2}, .blocks = 1, .z_channels = 8, .channels = 3};
    bench b = begin(false);
    ag_tensor *z = ag_keep(nn_magvit2_encoder(nn_in(b.root, "encoder"), b.x, &o));
    ag_tensor *y = ag_keep(nn_magvit2_decoder(nn_in(b.root, "decoder"), ag_binarize(z), &o));
    run(&b, 2, -1);
    counted("6.12 tiny", b.params, 271752, 556323);
    check_row("encoder", z, &encoder);
    check_row("decoder", y, &decoder);
    for (int i = 0; i < 8; i++) {
        int code = 0;
        for (int bit = 0; bit < 8; bit++) code |= (at(z, 8 * i + bit) > 0) << bit;
        assert_int_equal(code, codes[i]);
    }
    end(&b);
}

static void maskgit_and_magvit2_counts(void **state)
{
    (void)state;
    const nn_maskgit_opt m = {
        .ch = 128, .levels = 5, .ch_mult = {1, 1, 2, 2, 4}, .blocks = 2, .z_channels = 256, .channels = 3};
    const nn_magvit2_opt large = {
        .ch = 128, .levels = 5, .ch_mult = {1, 1, 2, 2, 4}, .blocks = 4, .z_channels = 18, .channels = 3};
    const nn_magvit2_opt small = {
        .ch = 128, .levels = 4, .ch_mult = {1, 2, 2, 4}, .blocks = 4, .z_channels = 18, .channels = 3};
    for (int i = 0; i < 3; i++) {
        const nn_magvit2_opt *o = i == 1 ? &large : &small;
        nn_params *p = nn_params_outline();
        ag_graph *g = ag_graph_new(1);
        const nn_scope e = nn_in(nn_root(p, g, false), "encoder"), d = nn_in(nn_root(p, g, false), "decoder");
        ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 32, 16, 3}), *y;
        if (i)
            y = nn_magvit2_decoder(d, nn_magvit2_encoder(e, ag_concat(2, (ag_tensor *[]){x, x}, 1), o), o);
        else
            y = nn_maskgit_decoder(d, nn_maskgit_encoder(e, x, &m), &m);
        assert_int_equal(ag_dim(y, 2), 16);
        if (i == 0) counted("MaskGIT", p, 23611264, 30560259);
        if (i == 1) counted("Open-MAGVIT2 256", p, 49751442, 65376387);
        if (i == 2) counted("Open-MAGVIT2 128", p, 48422162, 63599491);
        ag_graph_free(g);
        nn_params_free(p);
    }
}

/* A size that cannot be halved is one mistake, named. */
static void vqgan_refuses_odd_sizes(void **state)
{
    (void)state;
    const nn_vqgan_opt o = {.ch = 32, .levels = 3, .ch_mult = {1, 1, 1}, .blocks = 1, .z_channels = 4, .channels = 3};
    nn_params *p = nn_params_new(1);
    ag_graph *g = ag_graph_new(1);
    ag_tensor *x = ag_input(g, "x", AG_REAL, 4, (int64_t[]){1, 30, 32, 3});
    assert_null(nn_vqgan_encoder(nn_in(nn_root(p, g, false), "encoder"), x, &o));
    assert_int_equal(ag_graph_plan(g, NULL), AG_ERR_SHAPE);
    assert_non_null(strstr(ag_error_message(), "encoder: an image of 30 x 32; both must be multiples of 4"));
    ag_graph_free(g);
    nn_params_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vqgan_rows),   cmocka_unit_test(vqgan_counts),  cmocka_unit_test(vqgan_refuses_odd_sizes),
        cmocka_unit_test(vqvae2_rows),  cmocka_unit_test(vqvae2_counts), cmocka_unit_test(vit_rows),
        cmocka_unit_test(vit_counts),   cmocka_unit_test(dvae_rows),     cmocka_unit_test(dvae_counts),
        cmocka_unit_test(maskgit_rows), cmocka_unit_test(magvit2_rows),  cmocka_unit_test(maskgit_and_magvit2_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
