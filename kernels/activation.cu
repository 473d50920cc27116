// bias_activation and times_derivative: what a hidden layer does between its matrix products, forward and backward.
//
//     bias_activation     a  = f(a + b)          a holds x @ W before, one launch for intercepts and activation
//     times_derivative    dz = dz * f'(z)        f' from the activation a = f(z)
//
// Shapes     a, dz: (n, columns), C order, size = n columns. b: (columns,).
// Types      REAL: float32 or float64. ACTIVATION: see activation.cuh.
// Launch     1-D grid of any size, BLOCK threads, no dynamic shared memory. Thread t of block k takes element
//            k BLOCK + t, then every gridDim.x BLOCK-th after it.
// Bytes      bias_activation reads and writes size REAL, times_derivative reads twice as much.
// Never      stored: z. The derivative needs the activation alone.
// Order      Elements are independent; the bits do not depend on the launch.
// Limits     size < 2^32 - gridDim.x BLOCK. Elements are counted in 32 bits, because i % columns in 64 bits takes many
//            more instructions; with more elements i + step would wrap around to the first ones, and the loop would not
//            end. gpu_logreg.passes.cuda.steps_cublas refuses larger batches.
//
// Needs logistic.cuh and activation.cuh before it.
extern "C" __global__ void __launch_bounds__(BLOCK)
bias_activation(REAL* a, const REAL* b, unsigned columns, unsigned size) {
    const unsigned step = gridDim.x * BLOCK;
    for (unsigned i = blockIdx.x * BLOCK + threadIdx.x; i < size; i += step) a[i] = activated(a[i] + b[i % columns]);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
times_derivative(REAL* dz, const REAL* a, unsigned size) {
    const unsigned step = gridDim.x * BLOCK;
    for (unsigned i = blockIdx.x * BLOCK + threadIdx.x; i < size; i += step) dz[i] *= derivative(a[i]);
}
