//! AdamW and the moving average of the weights, in one pass over each flat variable.
//!
//! Loshchilov and Hutter, arXiv 1711.05101, as `torch.optim.AdamW` computes it; clipping is that
//! of `torch.nn.utils.clip_grad_norm_`.

use std::cell::RefCell;

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Storage, Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::{AdamW, AdamWState, OptimizerMemory, sum_of_squares};

use super::EPSILON;
use crate::skip::Norms;
use crate::{Result, StepStats, TrainConfig};

/// Added to the norm when clipping, as PyTorch does.
const CLIP_EPSILON: f64 = 1e-6;

/// What the optimizer remembers about one variable, element by element.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// Moving average of the weights: what is evaluated and shared.
    pub(crate) ema: Vec<f32>,
    /// Moving average of the gradient.
    pub(crate) first_moment: Vec<f32>,
    /// Moving average of the squared gradient.
    pub(crate) second_moment: Vec<f32>,
}

impl Moments {
    /// Zero moments, and an average that starts at the weights.
    pub(crate) fn new(weights: Vec<f32>) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { first_moment: zeros.clone(), second_moment: zeros, ema: weights }
    }
}

/// The optimizer of a network on the CPU: every step is over when it returns.
#[derive(Debug)]
pub(crate) struct HostOptimizer {
    config: TrainConfig,
    pub(crate) variables: Vec<Var>,
    pub(crate) moments: Vec<Moments>,
    /// Of the next step.
    gradients: Vec<Option<Tensor>>,
    pub(crate) steps: u64,
    pub(crate) updates: u64,
    norms: Norms,
    made: Vec<StepStats>,
}

impl HostOptimizer {
    pub(crate) fn new(config: &TrainConfig, variables: &[Var]) -> Result<Self> {
        let moments =
            variables.iter().map(|variable| Ok(Moments::new(variable.flatten_all()?.to_vec1()?)));
        Ok(Self {
            config: config.clone(),
            variables: variables.to_vec(),
            gradients: vec![None; variables.len()],
            moments: moments.collect::<Result<_>>()?,
            steps: 0,
            updates: 0,
            norms: Norms::default(),
            made: Vec::new(),
        })
    }

    pub(crate) fn restore(&mut self, memory: OptimizerMemory) {
        let vectors = memory.ema.into_iter().zip(memory.first).zip(memory.second);
        self.moments = vectors
            .map(|((ema, first_moment), second_moment)| Moments {
                ema,
                first_moment,
                second_moment,
            })
            .collect();
        (self.steps, self.updates) = (memory.steps, memory.updates);
        self.norms = Norms::from(memory.norms);
    }

    pub(crate) fn memory(&self) -> OptimizerMemory {
        let all = |vector: fn(&Moments) -> &Vec<f32>| {
            self.moments.iter().map(|moments| vector(moments).clone()).collect()
        };
        OptimizerMemory {
            ema: all(|moments| &moments.ema),
            first: all(|moments| &moments.first_moment),
            second: all(|moments| &moments.second_moment),
            steps: self.steps,
            updates: self.updates,
            norms: self.norms.clone().into(),
        }
    }

    pub(crate) fn ema(&self) -> Result<Vec<Tensor>> {
        let tensor = |(moments, variable): (&Moments, &Var)| {
            Ok(Tensor::from_slice(&moments.ema, variable.shape(), &Device::Cpu)?)
        };
        self.moments.iter().zip(&self.variables).map(tensor).collect()
    }

    pub(crate) fn put(&mut self, i: usize, gradient: Tensor) -> candle_core::Result<()> {
        self.gradients[i] = Some(gradient);
        Ok(())
    }

    pub(crate) fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()> {
        let none = vec![None; self.variables.len()];
        let gradients = std::mem::replace(&mut self.gradients, none);
        let images = terms.iter().map(|terms| terms.rate.elem_count()).sum::<usize>();
        let distortion = sum(terms.iter().map(|terms| &terms.distortion))? / images as f64;
        let rate = sum(terms.iter().map(|terms| &terms.rate))? / images as f64;
        let nats_per_dim = distortion + rate;
        let grad_norm = gradient_norm(&gradients)?;
        let skip_threshold = self.norms.threshold(self.config.skip);
        let finite = nats_per_dim.is_finite() && grad_norm.is_finite();
        let skipped = !(finite && grad_norm < skip_threshold);
        if !skipped {
            self.updates += 1;
            let clip = clip_factor(grad_norm, self.config.grad_clip);
            let update = Update { learning_rate, clip, number: self.updates };
            for ((variable, gradient), moments) in
                self.variables.iter().zip(&gradients).zip(&mut self.moments)
            {
                // A variable that the loss does not reach keeps its value, as in PyTorch.
                if let Some(gradient) = gradient {
                    apply(&self.config, update, variable, gradient, moments)?;
                }
            }
        }
        self.norms.push(grad_norm);
        self.steps += 1;
        self.made.push(StepStats {
            step: self.steps,
            images,
            nats_per_dim,
            distortion,
            rate,
            grad_norm,
            skip_threshold,
            skipped,
            learning_rate,
        });
        Ok(())
    }

    pub(crate) fn collect(&mut self) -> Vec<StepStats> {
        std::mem::take(&mut self.made)
    }
}

/// The sum over all pictures of the parts of a batch.
fn sum<'a>(parts: impl Iterator<Item = &'a Tensor>) -> Result<f64> {
    let mut total = 0.0;
    for part in parts {
        total += part.to_vec1::<f32>()?.iter().map(|&value| f64::from(value)).sum::<f64>();
    }
    Ok(total)
}

/// The numbers of one update, the same for every variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) learning_rate: f64,
    /// Factor of the gradient.
    pub(crate) clip: f64,
    /// Updates made so far, this one included.
    pub(crate) number: u64,
}

/// The factor that brings a gradient of this norm down to `limit`; 1 where it is below.
pub(crate) fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + CLIP_EPSILON)).min(1.0)
}

/// Updates a variable in place, and what is remembered about it.
///
/// # Shapes
/// - `variable`, `gradient`: (parameters of the unit), float32
pub(crate) fn apply(
    config: &TrainConfig,
    update: Update,
    variable: &Var,
    gradient: &Tensor,
    memory: &mut Moments,
) -> Result<()> {
    let numbers = AdamW {
        learning_rate: update.learning_rate as f32,
        beta1: config.adam_beta1 as f32,
        beta2: config.adam_beta2 as f32,
        epsilon: EPSILON as f32,
        weight_decay: config.weight_decay as f32,
        step: update.number,
        gradient_scale: update.clip as f32,
        ema_rate: config.ema_rate as f32,
    };
    let op = UpdateInPlace { numbers, memory: RefCell::new(memory) };
    Ok(variable.inplace_op2(&gradient.contiguous()?, &op)?)
}

/// [`AdamW`] on the storage of a variable; candle lends operators immutably, hence the cell.
struct UpdateInPlace<'a> {
    numbers: AdamW,
    memory: RefCell<&'a mut Moments>,
}

impl InplaceOp2 for UpdateInPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (weights, gradient) else {
            candle_core::bail!("adamw: expected float32 weights and gradient");
        };
        let ranges = (weights_layout.contiguous_offsets(), gradient_layout.contiguous_offsets());
        let (Some((start, end)), Some((from, to))) = ranges else {
            candle_core::bail!("adamw: expected contiguous weights and gradient");
        };
        let mut memory = self.memory.borrow_mut();
        let Moments { ema, first_moment: first, second_moment: second } = &mut **memory;
        let state = AdamWState { parameters: &mut weights[start..end], ema, first, second };
        self.numbers.apply(state, &gradient[from..to]);
        Ok(())
    }
}

/// The norm of a whole gradient; parameters that the loss does not reach have none.
pub(crate) fn gradient_norm(gradients: &[Option<Tensor>]) -> candle_core::Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients.iter().flatten() {
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
            candle_core::bail!("gradient: expected float32 on the CPU");
        };
        let (start, end) = layout.contiguous_offsets().expect("made contiguous above");
        sum += sum_of_squares(&values[start..end]);
    }
    Ok(f64::sqrt(sum))
}
