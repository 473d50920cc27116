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

// e / (1 + e), for e in [0, 1]. In float32 by a reciprocal and a step of Newton's method with a fused remainder:
// without the branches that a division has for denominators far from [1, 2]. The denominator is in [1, 2] because e is
// at most 1: the approximate reciprocal never gets a denormal or infinite number, which it would flush. NaN stays NaN.
HD double odds_over_one_plus(double e) { return e / (1 + e); }
HD float odds_over_one_plus(float e) {
    const float denominator = 1 + e;
#ifdef __CUDACC__
    float reciprocal;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(denominator));
#else
    // The hardware's reciprocal is off in its last bits. The exact one is made as wrong here: with it the tests would
    // pass without the step of Newton's method, which corrects the error.
    const float reciprocal = 1 / denominator * 1.0000005f;
#endif
    const float q = e * reciprocal;
    return fmaf(fmaf(-q, denominator, e), reciprocal, q);
}

// log1p(e), where e and q = e / (1 + e) are given. In float32 it is -log1p(-q) = q + q^2 r(q), with r of degree 8
// through Chebyshev's nodes on [0, 1/2]: within 3.4e-8 of the value, without branches. Beyond q = 1/2, that is e > 1,
// the polynomial is wrong. Its first term is q itself, so that a tiny loss keeps its digits.
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

// To float64 and back, by instructions that keep denormal numbers of float32. A cast would flush them, since CuPy
// compiles with -ftz=true, and takes two more instructions in either direction.
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

// In both branches of dz the small probability q is subtracted from what is exact, or the other way round. p - y with
// p = 1 - q would round q away where p is near y, and a fit could not come closer to its minimum than that rounding.
HD LossAndDz loss_and_dz(REAL z, REAL y) {
    const REAL e = exp(-fabs(z));
    const REAL q = odds_over_one_plus(e);
    return {(z > 0 ? z : 0) - y * z + log1p_of_odds(e, q), z >= 0 ? (1 - y) - q : q - y};
}
