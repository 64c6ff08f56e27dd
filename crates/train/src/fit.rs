//! The loop over steps.

use candle_core::Tensor;
use vdvae_model::Vdvae;

use crate::{Network, Result, StepStats, Trainer};

/// Looks on while a network is trained: a run that writes down every step, or a closure that is told
/// of each.
///
/// ```
/// use vdvae_train::{Observer, StepStats};
///
/// let mut best = f64::INFINITY;
/// let mut note = |stats: &StepStats| best = best.min(stats.nats_per_dim);
/// let observer: &mut dyn Observer = &mut note;
/// # let _ = observer;
/// ```
pub trait Observer<N: Network = Vdvae> {
    /// Whether to be told of the steps up to this one before another is made. On a GPU that means to
    /// wait for it; steps on the CPU are told one by one in any case.
    fn is_due(&self, step: u64) -> bool;

    /// Is told of steps, in order, and of the trainer as it is after the last of them.
    ///
    /// # Errors
    /// What is to end the training.
    fn steps(&mut self, trainer: &Trainer<N>, steps: &[StepStats]) -> Result<()>;
}

impl<N: Network, F: FnMut(&StepStats)> Observer<N> for F {
    fn is_due(&self, _step: u64) -> bool {
        false
    }

    fn steps(&mut self, _trainer: &Trainer<N>, steps: &[StepStats]) -> Result<()> {
        steps.iter().for_each(self);
        Ok(())
    }
}

/// Steps that a GPU is given at most before it is asked what they did.
const MOST_QUEUED: u64 = 50;

impl<N: Network> Trainer<N> {
    /// Makes a step with each batch, u8 (N, H, W, 3), and tells `observer` what it did. On a GPU the
    /// next batch is made and uploaded while the step before it is computed.
    ///
    /// # Errors
    /// The first error of `batches`, of a step, or of `observer`. The steps before it are made.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vdvae_model::Preset;
    /// use vdvae_train::{StepStats, TrainConfig, Trainer};
    ///
    /// let config = TrainConfig::preset(Preset::Tiny);
    /// let mut trainer = Trainer::new(&Preset::Tiny.config(), &config, &Device::Cpu)?;
    /// let batch = Tensor::zeros((2, 16, 16, 3), DType::U8, &Device::Cpu)?;
    /// let mut nats = Vec::new();
    /// let mut observer = |stats: &StepStats| nats.push(stats.nats_per_dim);
    /// trainer.fit((0..3).map(|_| Ok(batch.clone())), &mut observer)?;
    /// assert_eq!((trainer.steps(), nats.len()), (3, 3));
    /// # Ok::<(), vdvae_train::Error>(())
    /// ```
    pub fn fit(
        &mut self,
        batches: impl IntoIterator<Item = Result<Tensor>>,
        observer: &mut dyn Observer<N>,
    ) -> Result<()> {
        let mut batches = batches.into_iter();
        let mut next = batches.next();
        let mut told = self.steps();
        while let Some(images) = next {
            self.enqueue(&images?)?;
            next = batches.next();
            let step = self.steps();
            let full = step - told >= MOST_QUEUED || self.model().device().is_cpu();
            if full || next.is_none() || observer.is_due(step) {
                let made = self.collect()?;
                observer.steps(self, &made)?;
                told = step;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use vdvae_model::Preset;

    use super::*;
    use crate::{Error, TrainConfig};

    #[test]
    fn steps_before_an_error_are_made_and_told() {
        let config = TrainConfig::preset(Preset::Tiny);
        let mut trainer = Trainer::new(&Preset::Tiny.config(), &config, &Device::Cpu).unwrap();
        let batch = Tensor::zeros((1, 16, 16, 3), DType::U8, &Device::Cpu).unwrap();
        let bad = Error::NoPictures { step: 3, asked: 1 };
        let batches = [Ok(batch.clone()), Ok(batch.clone()), Err(bad), Ok(batch)];
        let mut told = Vec::new();
        let mut observer = |stats: &StepStats| told.push((stats.step, stats.images));
        let error = trainer.fit(batches, &mut observer).unwrap_err();
        assert!(matches!(error, Error::NoPictures { .. }), "{error}");
        assert_eq!((trainer.steps(), told), (2, vec![(1, 1), (2, 1)]));
    }
}
