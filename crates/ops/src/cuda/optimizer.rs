//! A step's second half on the GPU: norm, skip decision, AdamW and moving average, with no word
//! from the host between the gradient and the next step.

use candle_core::{Result, Tensor};

/// The values of a run's optimizer that do not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceAdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay.
    pub weight_decay: f64,
    /// Norm to which a larger gradient is scaled down.
    pub grad_clip: f64,
    /// Decay of the average of the weights.
    pub ema_rate: f64,
    /// Which updates are left out.
    pub skip: DeviceSkip,
}

/// Which updates are left out, beside those that are not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DeviceSkip {
    /// None.
    None,
    /// Those whose gradient norm is this or more.
    Fixed(f64),
    /// Those whose norm is `factor` times the median of the last `window` norms or more, once there
    /// are `fewest`.
    Adaptive {
        /// Times the median.
        factor: f64,
        /// Norms that are remembered.
        window: usize,
        /// Norms before the rule says anything.
        fewest: usize,
    },
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceStep {
    /// Mean negative log-likelihood, nats per dimension.
    pub distortion: f64,
    /// Mean KL, nats per dimension.
    pub rate: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The norm from which on updates were left out; infinite without a limit.
    pub skip_threshold: f64,
    /// Whether the update was left out.
    pub skipped: bool,
}

/// Everything the optimizer remembers, on the host: for checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceMemory {
    /// Moving average of the weights, one vector a parameter tensor.
    pub ema: Vec<Vec<f32>>,
    /// First moments.
    pub first: Vec<Vec<f32>>,
    /// Second moments.
    pub second: Vec<Vec<f32>>,
    /// Updates made so far.
    pub updates: u64,
    /// Finite gradient norms seen last, oldest first; at most the window of the skip rule.
    pub norms: Vec<f64>,
}

/// Flat gradients, moments, averages and counters of one network on one GPU.
#[derive(Debug)]
pub struct DeviceOptimizer {}

impl DeviceOptimizer {
    /// For parameters as they are, with zero moments and an average that starts at the weights.
    ///
    /// # Shapes
    /// - `parameters`: float32 on one GPU, contiguous; updated in place by [`Self::step`]
    pub fn new(_parameters: &[Tensor], _adamw: DeviceAdamW) -> Result<Self> {
        candle_core::bail!("not built yet")
    }

    /// Puts back what [`Self::memory`] gave.
    pub fn restore(&mut self, _memory: &DeviceMemory) -> Result<()> {
        candle_core::bail!("not built yet")
    }

    /// Everything remembered; waits for the GPU.
    pub fn memory(&self) -> Result<DeviceMemory> {
        candle_core::bail!("not built yet")
    }

    /// The moving average of the weights as tensors on the GPU, copied there, in order and shape of
    /// the parameters.
    pub fn ema(&self) -> Result<Vec<Tensor>> {
        candle_core::bail!("not built yet")
    }

    /// Queues an update; nothing waits. Parameters without a gradient keep their value.
    ///
    /// # Shapes
    /// - `gradients`: float32, as the parameters
    /// - `distortion`, `rate`: float32 (N), nats per dimension
    pub fn step(
        &mut self,
        _gradients: &[Option<Tensor>],
        _distortion: &Tensor,
        _rate: &Tensor,
        _learning_rate: f64,
    ) -> Result<()> {
        candle_core::bail!("not built yet")
    }

    /// Waits for the GPU and takes what the steps since the last call did.
    pub fn collect(&mut self) -> Result<Vec<DeviceStep>> {
        candle_core::bail!("not built yet")
    }
}
