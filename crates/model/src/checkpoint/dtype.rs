//! The floating-point types that checkpoints hold, and their conversion to float32.

use half::{bf16, f16};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Appends little-endian elements; an incomplete last one is left out.
    pub(super) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F64 => {
                let elements = bytes.as_chunks().0.iter();
                out.extend(elements.map(|element| f64::from_le_bytes(*element) as f32));
            }
            Self::F32 => {
                let elements = bytes.as_chunks().0.iter();
                out.extend(elements.map(|element| f32::from_le_bytes(*element)));
            }
            Self::F16 => {
                let elements = bytes.as_chunks().0.iter();
                out.extend(elements.map(|element| f16::from_le_bytes(*element).to_f32()));
            }
            Self::Bf16 => {
                let elements = bytes.as_chunks().0.iter();
                out.extend(elements.map(|element| bf16::from_le_bytes(*element).to_f32()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_becomes_float32() {
        let decode = |dtype: Dtype, bytes: &[u8]| {
            let mut out = Vec::new();
            dtype.decode(bytes, &mut out);
            assert_eq!(bytes.len() / dtype.size(), out.len());
            out
        };
        assert_eq!(decode(Dtype::F64, &(-1.5f64).to_le_bytes()), [-1.5]);
        assert_eq!(decode(Dtype::F32, &0.1f32.to_le_bytes()), [0.1]);
        assert_eq!(decode(Dtype::F16, &[0x00, 0x3e, 0x01, 0x00]), [1.5, 2f32.powi(-24)]);
        assert_eq!(decode(Dtype::Bf16, &[0xc0, 0x3f, 0x80, 0xff]), [1.5, f32::NEG_INFINITY]);
        assert_eq!(decode(Dtype::F32, &[0; 7]), [0.0]);
    }
}
