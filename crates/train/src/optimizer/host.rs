//! AdamW and the moving average of the weights, in one pass over each flat variable.
//!
//! Loshchilov and Hutter, arXiv 1711.05101, as `torch.optim.AdamW` computes it; clipping is that
//! of `torch.nn.utils.clip_grad_norm_`.

use std::cell::RefCell;

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Storage, Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::{AdamW, AdamWState, OptimizerMemory, sum_of_squares};

use super::{EPSILON, Optimizer};
use crate::skip::{push_norm, threshold};
use crate::{Result, StepStats, TrainConfig};

/// Added to the norm when clipping, as PyTorch does.
const CLIP_EPSILON: f64 = 1e-6;

/// The optimizer of a network on the CPU: every step is over when it returns.
#[derive(Debug)]
pub(super) struct HostOptimizer {
    config: TrainConfig,
    variables: Vec<Var>,
    memory: OptimizerMemory,
    /// Of the next step.
    gradients: Vec<Option<Tensor>>,
    made: Vec<StepStats>,
}

impl HostOptimizer {
    pub(super) fn new(config: &TrainConfig, variables: &[Var]) -> Result<Self> {
        let weights = variables.iter().map(|variable| variable.flatten_all()?.to_vec1());
        Ok(Self {
            config: config.clone(),
            variables: variables.to_vec(),
            memory: OptimizerMemory::new(weights.collect::<candle_core::Result<_>>()?),
            gradients: vec![None; variables.len()],
            made: Vec::new(),
        })
    }
}

impl Optimizer for HostOptimizer {
    fn restore(&mut self, memory: OptimizerMemory) -> Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn memory(&self) -> Result<OptimizerMemory> {
        Ok(self.memory.clone())
    }

    fn ema(&self) -> Result<Vec<Tensor>> {
        let tensor = |(ema, variable): (&Vec<f32>, &Var)| {
            Ok(Tensor::from_slice(ema, variable.shape(), &Device::Cpu)?)
        };
        self.memory.ema.iter().zip(&self.variables).map(tensor).collect()
    }

    fn put(&mut self, i: usize, gradient: Tensor) -> candle_core::Result<()> {
        self.gradients[i] = Some(gradient);
        Ok(())
    }

    fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()> {
        let none = vec![None; self.variables.len()];
        let gradients = std::mem::replace(&mut self.gradients, none);
        let images = terms.iter().map(|terms| terms.rate.elem_count()).sum::<usize>();
        let distortion = sum(terms.iter().map(|terms| &terms.distortion))? / images as f64;
        let rate = sum(terms.iter().map(|terms| &terms.rate))? / images as f64;
        let nats_per_dim = distortion + rate;
        let grad_norm = gradient_norm(&gradients)?;
        let memory = &mut self.memory;
        let skip_threshold = threshold(self.config.skip, &memory.norms);
        let finite = nats_per_dim.is_finite() && grad_norm.is_finite();
        let skipped = !(finite && grad_norm < skip_threshold);
        if !skipped {
            memory.updates += 1;
            let clip = clip_factor(grad_norm, self.config.grad_clip);
            let numbers = numbers(&self.config, learning_rate, clip, memory.updates);
            for (i, (variable, gradient)) in self.variables.iter().zip(&gradients).enumerate() {
                // A variable that the loss does not reach keeps its value, as in PyTorch.
                if let Some(gradient) = gradient {
                    update(numbers, variable, gradient, i, memory)?;
                }
            }
        }
        push_norm(&mut memory.norms, grad_norm);
        memory.steps += 1;
        self.made.push(StepStats {
            step: memory.steps,
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

    fn collect(&mut self) -> Result<Vec<StepStats>> {
        Ok(std::mem::take(&mut self.made))
    }

    fn steps(&self) -> u64 {
        self.memory.steps
    }

    fn updates(&self) -> u64 {
        self.memory.updates
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

/// The factor that brings a gradient of this norm down to `limit`; 1 where it is below.
pub(crate) fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + CLIP_EPSILON)).min(1.0)
}

/// Update number `number`, counted from 1, of a gradient that is multiplied by `clip`.
pub(crate) fn numbers(config: &TrainConfig, learning_rate: f64, clip: f64, number: u64) -> AdamW {
    AdamW {
        learning_rate: learning_rate as f32,
        beta1: config.adam_beta1 as f32,
        beta2: config.adam_beta2 as f32,
        epsilon: EPSILON as f32,
        weight_decay: config.weight_decay as f32,
        step: number,
        gradient_scale: clip as f32,
        ema_rate: config.ema_rate_at(number) as f32,
    }
}

/// Updates variable number `i` in place, and what is remembered about it.
///
/// # Shapes
/// - `variable`, `gradient`: (parameters of the unit), float32
pub(crate) fn update(
    numbers: AdamW,
    variable: &Var,
    gradient: &Tensor,
    i: usize,
    memory: &mut OptimizerMemory,
) -> Result<()> {
    let op = UpdateInPlace { numbers, i, memory: RefCell::new(memory) };
    Ok(variable.inplace_op2(&gradient.contiguous()?, &op)?)
}

/// [`AdamW`] on the storage of a variable; candle lends operators immutably, hence the cell.
struct UpdateInPlace<'a> {
    numbers: AdamW,
    i: usize,
    memory: RefCell<&'a mut OptimizerMemory>,
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
        let OptimizerMemory { ema, first, second, .. } = &mut **memory;
        let [ema, first, second] = [ema, first, second].map(|vectors| &mut vectors[self.i][..]);
        let state = AdamWState { parameters: &mut weights[start..end], ema, first, second };
        self.numbers.apply(state, &gradient[from..to]);
        Ok(())
    }
}

/// The norm of a whole gradient; parameters that the loss does not reach have none.
fn gradient_norm(gradients: &[Option<Tensor>]) -> candle_core::Result<f64> {
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
