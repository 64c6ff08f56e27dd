//! Numbers copied, from one type to another.

use candle_core::Result;

use super::gpu::{Gpu, launch};
use super::memory::{Buffer, Kind, View};

impl Gpu {
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
    use crate::cuda::gpu::device;
    use crate::cuda::memory::Operand;

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
