//! Matrix products: cuBLASLt's, or a kernel of ours where it has none.

use candle_core::Result;

use super::blas::Product;
use super::gpu::{Gpu, launch};
use super::memory::{Kind, address_of};

impl Gpu {
    /// Queues a product.
    pub(crate) fn product(&self, product: &Product<'_>) -> Result<()> {
        // Kernels of cuBLASLt may read a bias 16 bytes at a time.
        let placed;
        let bias = match product.bias {
            Some(bias) if !bias.address.is_multiple_of(16) => {
                placed = self.converted(bias.part(0, product.columns), bias.kind)?;
                Some(placed.view())
            }
            bias => bias,
        };
        let product = &Product { bias, ..*product };
        let mut libraries = self.libraries();
        let Some(bytes) = libraries.blas.scratch(product)? else {
            drop(libraries);
            return self.plain_product(product);
        };
        let scratch = libraries.workspace(self, bytes)?;
        libraries.blas.run(product, scratch, self.stream.cu_stream())
    }

    /// A product by a kernel of ours, slowly: for what cuBLASLt has no algorithm for.
    fn plain_product(&self, product: &Product<'_>) -> Result<()> {
        let Product { rows, columns, inner, a, b, add, bias, out, .. } = *product;
        let name = match (a.view.kind, out.view.kind) {
            (Kind::F32, Kind::F32) => "plain_product_f32_f32",
            (Kind::Bf16, Kind::Bf16) => "plain_product_bf16_bf16",
            (Kind::Bf16, Kind::F32) => "plain_product_bf16_f32",
            (a, out) => {
                candle_core::bail!("product: no kernel for {:?} to {:?}", a.dtype(), out.dtype())
            }
        };
        let ([a_row, a_column], [b_row, b_column]) = (a.steps(), b.steps());
        launch!(self, name, (self.blocks(rows * columns), 1, 1), (256, 1, 1), 0;
            a.view.address, b.view.address, address_of(add.map(|add| add.view)), address_of(bias),
            out.view.address, rows as i32, columns as i32, inner as i32, a_row, a_column, b_row,
            b_column, add.map_or(0, |add| add.stride as u64), out.stride as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::cuda::blas::Matrix;
    use crate::cuda::gpu::device;
    use crate::cuda::memory::Operand;

    /// The kernel that stands in for cuBLASLt, beside it, with everything a product can have.
    #[test]
    fn gpu_plain_products_agree_with_the_library() {
        let device = device(0).expect("this test needs a GPU");
        let gpu = Gpu::of(device.as_cuda_device().unwrap()).unwrap();
        let (rows, columns, inner) = (5, 8, 16);
        let random = |n| Tensor::randn(0f32, 1.0, n, &Device::Cpu).unwrap();
        for kind in [Kind::F32, Kind::Bf16] {
            let on_gpu = |tensor: &Tensor, kind: Kind| {
                let tensor = tensor.to_dtype(kind.dtype()).unwrap().to_device(&device).unwrap();
                Operand::new(&tensor, "test").unwrap()
            };
            let [a, b] = [rows * inner, columns * inner].map(|n| on_gpu(&random(n), kind));
            let [add, bias] = [rows * columns, columns].map(|n| on_gpu(&random(n), kind));
            let run = |plain: bool, transposed: bool| {
                let out = gpu.stale(kind, rows * columns).unwrap();
                let matrix = |view, [straight, turned]: [usize; 2]| match transposed {
                    false => Matrix::new(view, straight),
                    true => Matrix::new(view, turned).transposed(),
                };
                let product = Product {
                    rows,
                    columns,
                    inner,
                    a: matrix(a.view(), [inner, rows]),
                    b: matrix(b.view(), [columns, inner]),
                    add: Some(Matrix::new(add.view(), columns)),
                    bias: Some(bias.view()),
                    out: Matrix::new(out.view(), columns),
                    tf32: false,
                };
                let done = if plain { gpu.plain_product(&product) } else { gpu.product(&product) };
                done.unwrap();
                let out = out.into_tensor(rows * columns).to_dtype(candle_core::DType::F32);
                out.unwrap().to_vec1::<f32>().unwrap()
            };
            for transposed in [false, true] {
                for (plain, library) in run(true, transposed).iter().zip(run(false, transposed)) {
                    let tolerance = if kind == Kind::F32 { 1e-5 } else { 0.1 };
                    assert!((plain - library).abs() < tolerance, "{plain} and {library}");
                }
            }
        }
    }
}
