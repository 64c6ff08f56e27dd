//! The floating-point types that checkpoints hold, and their conversion from and to float32.

use half::{bf16, f16};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl Dtype {
    /// As safetensors files name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Little-endian elements, rounded to the nearest that the type has.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        let values = values.iter();
        match self {
            Self::F64 => values.flat_map(|&value| f64::from(value).to_le_bytes()).collect(),
            Self::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => values.flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Self::Bf16 => values.flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
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
        for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16] {
            assert_eq!(decode(dtype, &dtype.encode(&[1.5, -2.0])), [1.5, -2.0]);
        }
        // 1 + 2⁻¹¹ is halfway between two neighbours; the even one is taken.
        assert_eq!(decode(Dtype::F16, &Dtype::F16.encode(&[1.0 + 2f32.powi(-11)])), [1.0]);
    }
}
