//! The parameters of convolutions, as products and cuDNN want them: in the activations' number
//! type and at addresses fit for vectors.

use candle_core::Result;

use super::gpu::Gpu;
use super::memory::{Buffer, Kind, View};
use crate::shape::ConvShape;

/// One convolution's weights and bias; the bias as stored, and in the activations' type.
#[derive(Clone, Copy)]
pub(crate) struct Convolution<'a> {
    pub(crate) shape: ConvShape,
    pub(crate) weights: View<'a>,
    pub(crate) bias: View<'a>,
    pub(crate) cast_bias: View<'a>,
    /// Whether operands of float32 are rounded to TensorFloat-32.
    pub(crate) tf32: bool,
}

/// Convolutions whose parameters follow one another in a flat float32 tensor.
pub(crate) struct Weights<'a, const N: usize> {
    flat: View<'a>,
    shapes: [ConvShape; N],
    tf32: bool,
    /// Copies: one of everything where every convolution begins at a multiple of 16 bytes in it,
    /// else one a convolution; none for float32 that is well placed.
    copies: Vec<Buffer>,
}

impl<'a, const N: usize> Weights<'a, N> {
    pub(crate) fn new(
        gpu: &Gpu,
        flat: View<'a>,
        kind: Kind,
        shapes: [ConvShape; N],
        tf32: bool,
    ) -> Result<Self> {
        let mut offset = 0;
        let offsets = shapes.map(|shape| {
            let start = offset;
            offset += shape.parameters();
            start
        });
        let placed = offsets.iter().all(|offset| (offset * kind.bytes()).is_multiple_of(16));
        let copies = match (kind, placed) {
            (Kind::F32, true) if flat.address.is_multiple_of(16) => vec![],
            (_, true) => vec![gpu.converted(flat, kind)?],
            (_, false) => shapes
                .iter()
                .zip(offsets)
                .map(|(shape, offset)| gpu.converted(flat.part(offset, shape.parameters()), kind))
                .collect::<Result<_>>()?,
        };
        Ok(Self { flat, shapes, tf32, copies })
    }

    pub(crate) fn convolutions(&self) -> [Convolution<'_>; N] {
        let (mut offset, mut index) = (0, 0);
        self.shapes.map(|shape| {
            let stored = self.flat.from(offset);
            let cast = match self.copies.len() {
                0 => stored,
                1 => self.copies[0].view().from(offset),
                _ => self.copies[index].view(),
            };
            offset += shape.parameters();
            index += 1;
            Convolution {
                shape,
                weights: cast,
                bias: stored.from(shape.weights()),
                cast_bias: cast.from(shape.weights()),
                tf32: self.tf32,
            }
        })
    }
}
