//! Verification: do two pictures show the same person?
//!
//! A [`Scorer`] is fitted on training identities, none of which may occur in the test pairs, and
//! gives every pair a score, larger where the two are more alike. [`verify`] turns scores into the
//! numbers of the protocol of Labeled Faces in the Wild, view 2 (Huang et al. 2007): for each fold
//! the threshold that is best on the other folds, the accuracy on the fold, their mean and its
//! standard error; and, pooled over the folds, the receiver operating characteristic.
//!
//! ```
//! use ndarray::Array2;
//! use vdvae_probes::{Projection, Scorer, Training, VerificationScore, sample_pairs, verify};
//!
//! // Forty people of four rows each; a person is an angle, the rows differ a little.
//! let people = |first: u64| -> Vec<u64> { (0..160).map(|row| first + row / 4).collect() };
//! let rows = |people: &[u64]| {
//!     Array2::from_shape_fn((160, 8), |(row, column)| {
//!         let person = ((people[row] * 37 + column as u64 * 11) as f32).sin();
//!         person + 0.1 * ((row * 29 + column * 17) as f32).sin()
//!     })
//! };
//! let (known, tested) = (people(0), people(1000));
//! let (train, test) = (rows(&known), rows(&tested));
//! let training = Training { features: train.view(), identities: &known };
//! let score = VerificationScore::Cosine;
//! let scorer = Scorer::fit(score, training, &tested, Projection::default())?;
//! let pairs = sample_pairs(&tested, 2, 60, 0)?;
//! let verification = verify(&scorer.score(test.view(), &pairs)?, &pairs)?;
//! assert!(verification.accuracy > 0.95);
//! # Ok::<(), vdvae_probes::Error>(())
//! ```

mod pairs;
mod projection;
mod protocol;
mod result;
mod scorer;
mod table;
#[cfg(test)]
mod tests;

pub use pairs::{Pair, sample_pairs};
pub use projection::Projection;
pub use protocol::{Verification, verify, verify_each};
pub use result::compare_verification;
pub use scorer::{Scorer, Training, VerificationScore};
pub use table::verify_table;
