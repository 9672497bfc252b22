/* Losses; formulas and sources in nn/losses.h. */
#include "nn/losses.h"

ag_tensor *nn_mse(ag_tensor *y, ag_tensor *x) { return ag_mse(y, x); }

ag_tensor *nn_l1(ag_tensor *y, ag_tensor *x) { return ag_mean(ag_abs(ag_sub(y, x))); }

/* With c = min(|d|, delta) both branches are c (|d| - c / 2). */
ag_tensor *nn_huber(ag_tensor *y, ag_tensor *x, double delta)
{
    ag_tensor *d = ag_abs(ag_sub(y, x)), *c = ag_clamp(d, 0, delta);
    return ag_mean(ag_mul(c, ag_sub(d, ag_scale(c, 0.5))));
}

ag_tensor *nn_logit_laplace(ag_tensor *mean, ag_tensor *log_scale, ag_tensor *x)
{
    const double ln2 = 0.69314718055994530942;
    ag_tensor *ln_x = ag_log(x), *ln_rest = ag_log(ag_shift(ag_neg(x), 1));
    ag_tensor *distance = ag_abs(ag_sub(ag_sub(ln_x, ln_rest), mean));
    ag_tensor *each = ag_add(ag_mul(distance, ag_exp(ag_neg(log_scale))), log_scale);
    return ag_mean(ag_shift(ag_add(each, ag_add(ln_x, ln_rest)), ln2));
}

ag_tensor *nn_logit_laplace_map(ag_tensor *x, double epsilon)
{
    return ag_shift(ag_scale(x, 1 - 2 * epsilon), epsilon);
}

ag_tensor *nn_logit_laplace_image(ag_tensor *mean, double epsilon)
{
    return ag_clamp(ag_scale(ag_shift(ag_sigmoid(mean), -epsilon), 1 / (1 - 2 * epsilon)), 0, 1);
}

/* ---- adversarial -------------------------------------------------------------------------------------------------------- */

/* mean relu(sign x + term) */
static ag_tensor *hinge(ag_tensor *x, double sign, double term)
{
    return ag_mean(ag_relu(ag_shift(ag_scale(x, sign), term)));
}

ag_tensor *nn_gan_discriminator(nn_gan_kind kind, ag_tensor *r, ag_tensor *f)
{
    if (kind == NN_GAN_HINGE) return ag_scale(ag_add(hinge(r, -1, 1), hinge(f, 1, 1)), 0.5);
    if (kind == NN_GAN_LEAST_SQUARES)
        return ag_scale(ag_add(ag_mean(ag_square(ag_shift(r, -1))), ag_mean(ag_square(f))), 0.5);
    ag_tensor *sum = ag_add(ag_mean(ag_softplus(ag_neg(r))), ag_mean(ag_softplus(f)));
    return kind == NN_GAN_VANILLA ? ag_scale(sum, 0.5) : sum;
}

ag_tensor *nn_gan_generator(nn_gan_kind kind, ag_tensor *f)
{
    switch (kind) {
    case NN_GAN_NON_SATURATING: return ag_mean(ag_softplus(ag_neg(f)));
    case NN_GAN_LEAST_SQUARES: return ag_scale(ag_mean(ag_square(ag_shift(f, -1))), 0.5);
    case NN_GAN_HINGE:
    case NN_GAN_VANILLA: break;
    }
    return ag_neg(ag_mean(f));
}

ag_tensor *nn_r1(ag_tensor *logits, ag_tensor *x)
{
    ag_tensor *dx = NULL;
    if (!logits || !x) return NULL;
    ag_gradient(ag_sum(logits), 1, &x, &dx);
    return ag_scale(ag_sum(ag_square(dx)), 1.0 / (double)ag_dim(x, 0));
}

/* The average after this step; in training also an effect. */
static ag_tensor *follow(nn_scope s, ag_tensor *average, ag_tensor *logits, double decay)
{
    ag_tensor *now = ag_stop_gradient(ag_mean(logits));
    ag_tensor *next = ag_add(ag_scale(average, decay), ag_scale(now, 1 - decay));
    if (s.training) ag_assign(average, next);
    return next;
}

ag_tensor *nn_lecam(nn_scope s, ag_tensor *r, ag_tensor *f, double decay, bool update_first)
{
    if (!r || !f) return NULL;
    const nn_init zero = {.rule = NN_ZERO};
    const double d = decay > 0 ? decay : 0.999;
    const char *outer = ag_graph_scope(s.graph, s.name);
    ag_tensor *ema_real = nn_tensor(s, "ema_real", NN_BUFFER, NN_PLAIN, 0, NULL, zero);
    ag_tensor *ema_fake = nn_tensor(s, "ema_fake", NN_BUFFER, NN_PLAIN, 0, NULL, zero);
    ag_tensor *next_real = follow(s, ema_real, r, d), *next_fake = follow(s, ema_fake, f, d);
    if (update_first && s.training) ema_real = next_real, ema_fake = next_fake;
    ag_tensor *a = ag_mean(ag_square(ag_relu(ag_sub(r, ema_fake))));
    ag_tensor *b = ag_mean(ag_square(ag_relu(ag_sub(ema_real, f))));
    ag_graph_scope(s.graph, outer);
    return ag_add(a, b);
}

static ag_tensor *length(ag_tensor *d) { return ag_sqrt(ag_sum(ag_square(d))); }

ag_tensor *nn_adaptive_weight(ag_tensor *d_reconstruction, ag_tensor *d_adversarial, double limit, ag_tensor **raw)
{
    ag_tensor *ratio = ag_div(length(d_reconstruction), ag_shift(length(d_adversarial), 1e-4));
    if (raw) *raw = ag_stop_gradient(ratio);
    return ag_stop_gradient(ag_clamp(ratio, 0, limit > 0 ? limit : 1e4));
}
