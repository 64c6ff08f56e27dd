//! What a run tells its caller as it goes.

use std::path::PathBuf;

use crate::Metrics;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first step is about to be made.
    Started {
        /// Steps that were made before, by the run that is resumed.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Training pictures.
        images: usize,
        /// Numbers in the network.
        parameters: usize,
    },
    /// A checkpoint could not be resumed from; the one before it is tried.
    DamagedCheckpoint {
        /// What is wrong with it, with its name.
        reason: String,
    },
    /// A step was made.
    Step(Metrics),
    /// Hardly any update is made.
    Stuck {
        /// Updates that were skipped …
        skipped: u64,
        /// … of this many last steps.
        of: u64,
        /// Gradient norm of the last one.
        grad_norm: f64,
        /// The norm from which on updates are skipped.
        threshold: f64,
    },
    /// A picture could not be read and was left out.
    BadPicture {
        /// Its name in the data set.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file was written.
    Wrote(PathBuf),
}

impl Event {
    /// The event as a line for the user's eyes, where it is a warning.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::DamagedCheckpoint { reason } => {
                Some(format!("cannot resume from a damaged checkpoint: {reason}"))
            }
            Self::BadPicture { key, reason } => Some(format!("left out {key}: {reason}")),
            Self::Stuck { skipped, of, grad_norm, threshold } => {
                let advice = if grad_norm < threshold || !grad_norm.is_finite() {
                    "loss or gradient is not finite: a lower learning rate may help"
                } else {
                    "the adaptive rule takes the threshold from the norms seen"
                };
                Some(format!(
                    "{skipped} of the last {of} updates were skipped (last gradient norm \
                     {grad_norm:.3}, threshold {threshold:.3}): {advice}"
                ))
            }
            Self::Started { .. } | Self::Step(_) | Self::Wrote(_) => None,
        }
    }
}
