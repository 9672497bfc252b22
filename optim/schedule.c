#include "optim/optim.h"

#include <math.h>

#define PI 3.14159265358979323846

double opt_between(opt_shape shape, double from, double to, double t)
{
    t = fmin(fmax(t, 0), 1);
    switch (shape) {
    case OPT_COSINE: return to + (from - to) * 0.5 * (1 + cos(PI * t));
    case OPT_QUARTER_COSINE: return from + (to - from) * (1 - cos(PI / 2 * t));
    case OPT_LINEAR: return from + (to - from) * t;
    case OPT_EXPONENTIAL: return from * pow(to / from, t);
    case OPT_CONSTANT:
    case OPT_STEP: break;
    }
    return from;
}

double opt_rate(const opt_schedule *s, int64_t step)
{
    if (step < s->warmup) return s->rate * (double)step / (double)s->warmup;
    const double since = (double)(step - s->warmup), span = (double)(s->steps - s->warmup);
    if (s->shape == OPT_STEP && s->every > 0) return s->rate * pow(s->factor, floor(since / (double)s->every));
    return s->rate * opt_between(s->shape, 1, s->last, span > 0 ? since / span : 1);
}
