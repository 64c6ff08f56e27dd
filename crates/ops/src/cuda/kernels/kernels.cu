// All kernels as one translation unit, compiled to PTX by build.rs.
#include "common.cuh"
#include "gelu.cu"
#include "product.cu"
#include "shapes.cu"
#include "latent.cu"
#include "mixture.cu"
#include "optimizer.cu"
