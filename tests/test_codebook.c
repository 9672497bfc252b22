/* Vector quantization against plain PyTorch (tests/fixtures/make_codebook.py): latents, terms, gradients, and the codebook after two
 * updates, by gradient and by moving averages, with restarts. */
#include "nn/quantizer.h"
#include "parity.h"

/* Largest difference of a tensor, relative to its largest number. */
#ifdef AG_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 5e-6
#endif

static void quantized(parity *c, ag_tensor *z, nn_quantizer_opt o)
{
    o.D = 3;
    o.beta = 0.25;
    const nn_quantized q = nn_quantize(c->s, z, &o, NULL);
    ag_tensor *codebook = nn_quantized_term_of(&q, "codebook"), *restarts = nn_quantized_counter_of(&q, "restarts");
    RESULT(q.latents);
    RESULT(nn_quantized_term_of(&q, "commitment"));
    if (codebook) RESULT(codebook);
    if (!codebook || !restarts) RESULT(ag_reshape(q.counts, 1, &o.K));
    if (restarts) RESULT(restarts);
}

/* Ten rows of which 2i and 2i+1 are equal: of five codes, the restart of code i draws one of these two. */
static ag_tensor *equal_rows(parity *c)
{
    ag_tensor *x = IN(5, 3);
    return ag_stack(2, (ag_tensor *[]){x, x}, 1);
}

static void vq_gradient(parity *c)
{
    quantized(c, IN(2, 5, 3), (nn_quantizer_opt){.K = 7, .rule = NN_CODEBOOK_GRADIENT});
}
static void vq_gradient_restart(parity *c)
{
    const nn_quantizer_opt o = {
        .K = 5, .rule = NN_CODEBOOK_GRADIENT, .decay = 0.9, .initial_count = 1, .restart = 0.95};
    quantized(c, equal_rows(c), o);
}
static void vq_ema(parity *c) { quantized(c, IN(2, 5, 3), (nn_quantizer_opt){.K = 5}); }
static void vq_ema_counts(parity *c)
{
    quantized(c, IN(2, 5, 3), (nn_quantizer_opt){.K = 5, .decay = 0.8, .epsilon = 1e-3, .initial_count = 1});
}
static void vq_ema_debias(parity *c)
{
    quantized(c, IN(2, 5, 3), (nn_quantizer_opt){.K = 5, .decay = 0.9, .debias = true});
}
static void vq_ema_restart(parity *c)
{
    quantized(c, equal_rows(c), (nn_quantizer_opt){.K = 5, .decay = 0.9, .initial_count = 1, .restart = 0.95});
}
static void vq_lookup(parity *c)
{
    const nn_quantizer_opt o = {.K = 7, .D = 3, .rule = NN_CODEBOOK_GRADIENT};
    RESULT(nn_quantizer_lookup(c->s, IDS(0, 7, 4), &o));
}

/* The codes, and the sums that the layer starts from them (unless it counts from zero). */
static void start_codes(parity *c, double spread, double factor)
{
    nn_param *e = nn_params_find(c->params, "embedding"), *sum = nn_params_find(c->params, "embedding_sum");
    parity_fill(e->data, e->numel, 0, spread);
    parity_fill(sum->data, sum->numel, 0, spread * factor);
}

static void codes(parity *c) { start_codes(c, 2, 1); }
static void codes_alone(parity *c) { start_codes(c, 2, 0); }
static void codes_apart(parity *c) { start_codes(c, 9, 1); }

static const parity_case cases[] = {
    CASE(vq_gradient),
    CASE(vq_gradient_restart, .runs = 2),
    CASE(vq_ema, .runs = 2, .prepare = codes),
    CASE(vq_ema_counts, .runs = 2, .prepare = codes),
    CASE(vq_ema_debias, .runs = 2, .prepare = codes_alone),
    CASE(vq_ema_restart, .runs = 2, .prepare = codes_apart),
    CASE(vq_lookup),
};
enum { CASES = sizeof cases / sizeof *cases };

static void quantizers_equal_pytorch(void **state)
{
    (void)state;
    parity_check_all(TEST_FILES "/fixtures/codebook.h5", CASES, cases, TOLERANCE);
}

static void thread_count_changes_no_bit(void **state)
{
    (void)state;
    parity_check_threads(CASES, cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantizers_equal_pytorch),
        cmocka_unit_test(thread_count_changes_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
