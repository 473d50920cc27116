// The mathematics of one row; the twin of gpu_logreg/mathematics/logistic.py.
//
//     e        = exp(-|z|)                          in [0, 1]
//     row_loss = max(z, 0) - y z + log1p(e)         cross-entropy, in nats
//     q        = e / (1 + e)                        the smaller of the two probabilities
//     dz       = z >= 0 ? (1 - y) - q : q - y       d row_loss / d z = p - y, without the cancellation where p is near y
//
// One exponential serves loss and derivative; both are finite for every finite z. No clip, no epsilon in a logarithm.
// Macro REAL: the floating type of the arithmetic. Compiles under NVRTC with no header, and under a host compiler.
#ifdef __CUDACC__
#define HD __host__ __device__ __forceinline__
#else
#include <math.h>  // exp, log1p and fabs, built into NVRTC
#define HD inline
#endif

// Kernels are specialised by the names NumPy gives its dtypes: -DREAL=float32 -DLABEL=uint8.
typedef unsigned char uint8;
typedef float float32;
typedef double float64;

struct LossAndDz {
    REAL row_loss;
    REAL dz;
};

// e / (1 + e). In float32 by a reciprocal and a step of Newton's method with a fused remainder: without the branches that
// a division has for denominators far from [1, 2].
HD double odds_over_one_plus(double e) { return e / (1 + e); }
HD float odds_over_one_plus(float e) {
    const float denominator = 1 + e;
#ifdef __CUDACC__
    float reciprocal;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(denominator));
#else
    const float reciprocal = 1 / denominator * 1.0000005f;  // so that tests see what makes good for the hardware's error
#endif
    const float q = e * reciprocal;
    return fmaf(fmaf(-q, denominator, e), reciprocal, q);
}

// log1p(e) of q = e / (1 + e), at most 1/2. In float32 -log1p(-q) = q + q^2 r(q), r of degree 8 by Chebyshev's nodes: within
// 3.4e-8 of the value, without branches.
HD double log1p_of_odds(double e, double) { return log1p(e); }
HD float log1p_of_odds(float, float q) {
    float r = 1.2989286184310913f;
    r = fmaf(r, q, -1.5146328210830688f);
    r = fmaf(r, q, 1.1097159385681152f);
    r = fmaf(r, q, -0.18017174303531647f);
    r = fmaf(r, q, 0.22656340897083282f);
    r = fmaf(r, q, 0.19390882551670074f);
    r = fmaf(r, q, 0.25030508637428284f);
    r = fmaf(r, q, 0.3333275318145752f);
    r = fmaf(r, q, 0.5f);
    return fmaf(q * q, r, q);
}

// To float64 and back. Denormal numbers of float32 are kept here: a compiler that is to flush them takes two more
// instructions for either.
HD double widened(double x) { return x; }
HD double widened(float x) {
#ifdef __CUDACC__
    double wide;
    asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(x));
    return wide;
#else
    return (double)x;
#endif
}
HD REAL narrowed(double x) {
#ifdef __CUDACC__
    if (sizeof(REAL) == 4) {
        float narrow;
        asm("cvt.rn.f32.f64 %0, %1;" : "=f"(narrow) : "d"(x));
        return (REAL)narrow;
    }
#endif
    return (REAL)x;
}

HD LossAndDz loss_and_dz(REAL z, REAL y) {
    const REAL e = exp(-fabs(z));
    const REAL q = odds_over_one_plus(e);
    return {(z > 0 ? z : 0) - y * z + log1p_of_odds(e, q), z >= 0 ? (1 - y) - q : q - y};
}
