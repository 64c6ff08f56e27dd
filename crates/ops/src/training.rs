//! What an optimizer reports of a step and remembers between steps, on the CPU and on a GPU alike.

/// What one step of training did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepStats {
    /// Steps made, this one included.
    pub step: u64,
    /// Pictures in the batch.
    pub images: usize,
    /// Mean over the batch of distortion + rate.
    pub nats_per_dim: f64,
    /// Mean negative log-likelihood given the latents, nats per dimension.
    pub distortion: f64,
    /// Mean KL from posterior to prior, nats per dimension.
    pub rate: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The norm from which on updates were skipped; infinite where there was no limit.
    pub skip_threshold: f64,
    /// Whether the update was left out.
    pub skipped: bool,
    /// Step size of AdamW.
    pub learning_rate: f64,
}

/// Everything that an optimizer remembers between steps, on the host: for checkpoints. A vector a
/// variable.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerMemory {
    /// Moving average of the weights: what is evaluated and shared.
    pub ema: Vec<Vec<f32>>,
    /// Moving average of the gradient.
    pub first: Vec<Vec<f32>>,
    /// Moving average of the squared gradient.
    pub second: Vec<Vec<f32>>,
    /// Steps made, skipped ones included.
    pub steps: u64,
    /// Updates made.
    pub updates: u64,
    /// Finite gradient norms seen last, oldest first; no more than the skip rule looks at.
    pub norms: Vec<f64>,
}

impl OptimizerMemory {
    /// Before the first step: zero moments, and an average that starts at the weights.
    pub fn new(weights: Vec<Vec<f32>>) -> Self {
        let zeros: Vec<_> = weights.iter().map(|vector| vec![0.0; vector.len()]).collect();
        Self {
            first: zeros.clone(),
            second: zeros,
            ema: weights,
            steps: 0,
            updates: 0,
            norms: Vec::new(),
        }
    }
}
