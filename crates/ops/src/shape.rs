//! Shape checks shared by the operators.

use candle_core::{Result, Shape};

/// The dimensions of an NHWC tensor that holds something; `op` and `what` name it in the error.
pub(crate) fn nhwc(op: &'static str, what: &'static str, shape: &Shape) -> Result<[usize; 4]> {
    match *shape.dims() {
        [n, h, w, c] if n * h * w * c > 0 => Ok([n, h, w, c]),
        ref other => candle_core::bail!("{op}: expected {what} of (N, H, W, C), found {other:?}"),
    }
}

/// Fails unless `found` is `expected`.
pub(crate) fn same_shape(
    op: &'static str,
    what: &'static str,
    expected: &[usize],
    found: &Shape,
) -> Result<()> {
    if found.dims() == expected {
        return Ok(());
    }
    candle_core::bail!("{op}: expected {what} of {expected:?}, found {:?}", found.dims())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_expected_and_found() {
        assert_eq!(nhwc("op", "x", &Shape::from((2, 3, 4, 5))).unwrap(), [2, 3, 4, 5]);
        for bad in [Shape::from((2, 3, 4)), Shape::from((2, 0, 4, 5))] {
            let message = nhwc("op", "x", &bad).unwrap_err().to_string();
            assert!(message.contains("op: expected x of (N, H, W, C), found ["), "{message}");
        }
        let message = same_shape("op", "y", &[2, 3], &Shape::from(6)).unwrap_err().to_string();
        assert!(message.contains("op: expected y of [2, 3], found [6]"), "{message}");
    }
}
