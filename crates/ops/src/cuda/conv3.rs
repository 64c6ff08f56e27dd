//! 3×3 convolutions with a pixel of zero padding: cuDNN's, or products of patches.

use candle_core::Result;

use super::blas::{Matrix, Product};
#[cfg(feature = "cudnn")]
use super::dnn::Key;
use super::gpu::{Gpu, launch};
#[cfg(feature = "cudnn")]
use super::memory::{Buffer, Kind};
use super::memory::{View, kernel};
use super::shapes::Conv3;
#[cfg(feature = "cudnn")]
use super::shapes::Pass;

/// Bytes that patches may take; more are made and used one part after another.
const PATCHES: usize = 256 << 20;

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
            let (dy, out) = (Matrix::new(dy.from(first * output), output), Matrix::new(dw, row));
            let of = [dy.transposed(), Matrix::new(patches, row)];
            self.product(&Product {
                add: (first > 0).then_some(out),
                ..Product::new([output, count, row], of, out, conv.tf32)
            })
        })
    }

    fn patch_product(&self, conv: Conv3, x: View<'_>, w: View<'_>, y: View<'_>) -> Result<()> {
        let Conv3 { input, output, .. } = conv;
        let row = 9 * input;
        self.each_part(conv, x, |first, count, patches| {
            let of = [Matrix::new(patches, row), Matrix::new(w, row).transposed()];
            let out = Matrix::new(y.from(first * output), output);
            self.product(&Product::new([count, row, output], of, out, conv.tf32))
        })
    }

    /// Queues a convolution, or says that cuDNN has none for it. Addresses as in [`Pass`].
    ///
    /// Algorithms are tried by cuDNN's estimate of their speed, deterministic ones first, until one
    /// runs; that one stays.
    #[cfg(feature = "cudnn")]
    fn cudnn(&self, (conv, pass, kind): (Conv3, Pass, Kind), addresses: [u64; 3]) -> Result<bool> {
        let key = Key { conv, pass, kind };
        let mut libraries = self.libraries();
        while let Some(bytes) = libraries.dnn.scratch(&key)? {
            let scratch = libraries.workspace(self, bytes);
            let done = scratch.and_then(|scratch| libraries.dnn.run(&key, scratch, addresses));
            if libraries.dnn.proves(&key, done)? {
                return Ok(true);
            }
        }
        Ok(false)
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
}
