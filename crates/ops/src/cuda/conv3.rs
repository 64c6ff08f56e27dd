//! 3×3 convolutions with a pixel of zero padding: cuDNN's, or products of patches.

use candle_core::Result;

use super::blas::{Matrix, Product};
use super::gpu::{Buffer, Gpu, Kind, View, kernel, launch};

/// Bytes that patches may take; more are made and used one part after another.
const PATCHES: usize = 256 << 20;

/// Sizes of a convolution from (n, height, width, input) to (n, height, width, output).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conv3 {
    pub(crate) n: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

/// What is computed from what: x of the input's shape, w (output, 3, 3, input), y of the output's.
#[cfg_attr(not(feature = "cudnn"), expect(dead_code, reason = "only cuDNN asks by pass"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// y from x and w.
    Forward,
    /// x, a gradient, from w and y.
    Data,
    /// w, a gradient, from x and y.
    Filter,
}

impl Conv3 {
    fn pixels(&self) -> usize {
        self.n * self.height * self.width
    }

    fn weights(&self) -> usize {
        9 * self.input * self.output
    }
}

impl Gpu {
    /// `y = x * w`, without a bias.
    pub(crate) fn conv3(&self, conv: Conv3, x: View<'_>, w: View<'_>, y: View<'_>) -> Result<()> {
        #[cfg(feature = "cudnn")]
        if self.cudnn((conv, Pass::Forward, x.kind), [x, w, y].map(|view| view.address))? {
            return Ok(());
        }
        self.patch_product(conv, x, w, y)
    }

    /// The gradient of `x`.
    pub(crate) fn conv3_data(
        &self,
        conv: Conv3,
        w: View<'_>,
        dy: View<'_>,
        dx: View<'_>,
    ) -> Result<()> {
        #[cfg(feature = "cudnn")]
        if self.cudnn((conv, Pass::Data, dy.kind), [dx, w, dy].map(|view| view.address))? {
            return Ok(());
        }
        let Conv3 { input, output, .. } = conv;
        let flipped = self.stale(w.kind, conv.weights())?;
        launch!(self, kernel!(w.kind, "flip_weights"), (self.blocks(conv.weights()), 1, 1),
            (256, 1, 1), 0; w.address, flipped.view().address, output as i32, input as i32);
        let back = Conv3 { input: output, output: input, ..conv };
        self.patch_product(back, dy, flipped.view(), dx)
    }

    /// The gradient of the weights, in float32.
    pub(crate) fn conv3_filter(
        &self,
        conv: Conv3,
        x: View<'_>,
        dy: View<'_>,
        dw: View<'_>,
    ) -> Result<()> {
        #[cfg(feature = "cudnn")]
        {
            // In the number type of the activations, at an address fit for vectors. From bfloat16
            // the sums are float32 and their result is rounded once.
            let placed = dw.kind == x.kind && dw.address.is_multiple_of(16);
            let own = (!placed).then(|| self.stale(x.kind, conv.weights())).transpose()?;
            let to = own.as_ref().map_or(dw, Buffer::view);
            let of = (conv, Pass::Filter, x.kind);
            if self.cudnn(of, [x.address, to.address, dy.address])? {
                return own.map_or(Ok(()), |own| self.cast(own.view(), dw));
            }
        }
        let Conv3 { input, output, .. } = conv;
        let row = 9 * input;
        self.each_part(conv, x, |first, count, patches| {
            let out = Matrix::new(dw, row);
            self.product(&Product {
                rows: output,
                columns: row,
                inner: count,
                a: Matrix::new(dy.from(first * output), output).transposed(),
                b: Matrix::new(patches, row),
                add: (first > 0).then_some(out),
                bias: None,
                out,
            })
        })
    }

    fn patch_product(&self, conv: Conv3, x: View<'_>, w: View<'_>, y: View<'_>) -> Result<()> {
        let Conv3 { input, output, .. } = conv;
        let row = 9 * input;
        self.each_part(conv, x, |first, count, patches| {
            self.product(&Product {
                rows: count,
                columns: output,
                inner: row,
                a: Matrix::new(patches, row),
                b: Matrix::new(w, row).transposed(),
                add: None,
                bias: None,
                out: Matrix::new(y.from(first * output), output),
            })
        })
    }

    /// Calls `f(first pixel, pixels, their patches)` for one part of the pixels after another.
    fn each_part(
        &self,
        conv: Conv3,
        x: View<'_>,
        f: impl Fn(usize, usize, View<'_>) -> Result<()>,
    ) -> Result<()> {
        let row = 9 * conv.input;
        let most = (PATCHES / (row * x.kind.bytes())).clamp(1, conv.pixels());
        let patches = self.stale(x.kind, most * row)?;
        for first in (0..conv.pixels()).step_by(most) {
            let count = most.min(conv.pixels() - first);
            launch!(self, kernel!(x.kind, "patches"), (self.blocks(count * row), 1, 1),
                (256, 1, 1), 0; x.address, patches.view().address, first as u64, count as u64,
                conv.height as i32, conv.width as i32, conv.input as i32);
            f(first, count, patches.view())?;
        }
        Ok(())
    }

    /// Copies numbers, from one type to another where they differ.
    pub(crate) fn cast(&self, from: View<'_>, to: View<'_>) -> Result<()> {
        let n = from.len;
        debug_assert!(to.len >= n);
        let name = match (from.kind, to.kind) {
            (Kind::F32, Kind::Bf16) => "cast_f32_bf16",
            (Kind::Bf16, Kind::F32) => "cast_bf16_f32",
            _ => return self.copy(from.address, to.address, n * from.kind.bytes()),
        };
        launch!(self, name, (self.blocks(n), 1, 1), (256, 1, 1), 0;
            from.address, to.address, n as u64);
        Ok(())
    }

    /// Numbers as another type, copied.
    pub(crate) fn converted(&self, from: View<'_>, kind: Kind) -> Result<Buffer> {
        let buffer = self.stale(kind, from.len)?;
        self.cast(from, buffer.view())?;
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};
    use half::bf16;

    use super::*;
    use crate::cuda::gpu::{Operand, device};

    /// Also where two numbers are equally near, at the ends, and for what is no number.
    #[test]
    fn gpu_casts_round_to_the_nearest_even() {
        let device = device(0).expect("this test needs a GPU");
        let gpu = Gpu::of(device.as_cuda_device().unwrap()).unwrap();
        let mut numbers = vec![0.0, f32::MAX, f32::MIN_POSITIVE, 1e-40, f32::INFINITY];
        // Halfway between two neighbours, and on either side of it.
        let middles = (0..64u32).map(|i| 0x3f80_8000 + (i << 16));
        numbers.extend(middles.flat_map(|bits| [bits - 1, bits, bits + 1]).map(f32::from_bits));
        numbers.extend(numbers.clone().iter().map(|x| -x));
        let through = |numbers: &[f32]| {
            let x = Operand::new(&Tensor::new(numbers, &device).unwrap(), "test").unwrap();
            let narrow = gpu.converted(x.view(), Kind::Bf16).unwrap();
            let back = gpu.converted(narrow.view(), Kind::F32).unwrap();
            let back = back.into_tensor(numbers.len());
            assert_eq!(back.dtype(), DType::F32);
            back.to_vec1::<f32>().unwrap()
        };
        let expected: Vec<f32> = numbers.iter().map(|&x| bf16::from_f32(x).to_f32()).collect();
        assert_eq!(through(&numbers), expected);
        assert!(through(&[f32::NAN])[0].is_nan());
    }
}
