#include "optim/optim.h"

#include <math.h>

#define PI 3.14159265358979323846

double opt_rate(const opt_schedule *s, int64_t step)
{
    if (step <= s->warmup) return s->rate * (double)step / (double)s->warmup;
    const double span = (double)(s->steps - s->warmup);
    const double t = span > 0 ? fmin((double)(step - s->warmup) / span, 1) : 1;
    switch (s->shape) {
    case OPT_COSINE: return s->rate * (s->last + (1 - s->last) * 0.5 * (1 + cos(PI * t)));
    case OPT_LINEAR: return s->rate * (1 - (1 - s->last) * t);
    case OPT_CONSTANT: break;
    }
    return s->rate;
}
