// The activations of hidden layers; the twin of ACTIVATIONS in gpu_logreg/mathematics/network.py.
//
//     ACTIVATION          0 identity    1 logistic        2 tanh       3 relu
//     f(z)                z             1 / (1 + exp(-z)) tanh(z)      max(z, 0), NaN stays
//     f'(z), of a = f(z)  1             a (1 - a)         1 - a a      a > 0
//
// Needs logistic.cuh before it.
HD REAL activated(REAL z) {
    if (ACTIVATION == 1) {
        // exp(-z) would be infinite for z far below zero; of the negative absolute value it is at most 1.
        const REAL e = exp(-fabs(z));
        return (z >= 0 ? 1 : e) / (1 + e);
    }
    if (ACTIVATION == 2) return tanh(z);
    if (ACTIVATION == 3) return z < 0 ? 0 : z;  // fmax(z, 0) would turn NaN into 0, and a damaged row would not show
    return z;
}

HD REAL derivative(REAL a) {
    if (ACTIVATION == 1) return a * (1 - a);
    if (ACTIVATION == 2) return 1 - a * a;
    if (ACTIVATION == 3) return a > 0 ? (REAL)1 : (REAL)0;
    return 1;
}
