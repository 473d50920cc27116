// The mathematics of one row; the twin of gpu_logreg/logistic.py.
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

HD LossAndDz loss_and_dz(REAL z, REAL y) {
    const REAL e = exp(-fabs(z));
    const REAL q = e / (1 + e);
    return {(z > 0 ? z : 0) - y * z + log1p(e), z >= 0 ? (1 - y) - q : q - y};
}
