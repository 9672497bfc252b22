/* No quantizer: a plain autoencoder, for comparison. */
#include "codebook.h"

static nn_quantized quantize(nn_scope s, ag_tensor *z, const nn_quantizer_opt *o, ag_tensor *step)
{
    (void)s, (void)o, (void)step;
    return (nn_quantized){.latents = z};
}

static int64_t codes(const nn_quantizer_opt *o)
{
    (void)o;
    return 0;
}

const nn__quantizer nn__quantizer_none = {.quantize = quantize, .codes = codes};
