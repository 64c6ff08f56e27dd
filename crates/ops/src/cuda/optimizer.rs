//! A step's second half on the GPU: norm, skip decision, AdamW and moving average, with no word
//! from the host between the gradient and the next step.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr};
use candle_core::{Device, Result, Shape, Tensor};

use super::gpu::{Gpu, SUM_THREADS, launch, slice_address};
use super::memory::{Buffer, Kind, Operand};
use crate::{OptimizerMemory, StepStats};

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
    /// Whether that decay is at most `(1 + n) / (10 + n)` at update `n`.
    pub ema_warmup: bool,
    /// The norm from which on updates are left out, where there is one.
    pub skip_norm: Option<f64>,
    /// Updates are left out whose norm is this many times the median of the remembered norms or more,
    /// where there is no `skip_norm`.
    pub skip_factor: Option<f64>,
    /// Norms before the factor says anything.
    pub skip_fewest: usize,
    /// Gradient norms that are remembered, finite ones.
    pub window: usize,
}

/// Numbers of a piece of a parameter tensor, which one block of the update's kernel works through.
const PIECE: usize = 1 << 14;
/// Steps whose results the GPU keeps until they are collected.
const LOG: usize = 256;
/// Numbers of a step's results: distortion, rate, norm, threshold, skipped.
const ENTRY: usize = 5;

/// As the kernel `decide` takes it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Rule {
    kind: i32,
    value: f64,
    window: i32,
    fewest: i32,
    clip: f64,
    beta1: f64,
    beta2: f64,
    ema_rate: f64,
    ema_warmup: i32,
}

// SAFETY: plain numbers, laid out as in the kernel.
unsafe impl DeviceRepr for Rule {}

impl Rule {
    fn new(adamw: &DeviceAdamW) -> Self {
        let (kind, value) = match (adamw.skip_norm, adamw.skip_factor) {
            (Some(norm), _) => (1, norm),
            (None, Some(factor)) => (2, factor),
            (None, None) => (0, 0.0),
        };
        Self {
            kind,
            value,
            window: adamw.window.max(1) as i32,
            fewest: adamw.skip_fewest.max(1) as i32,
            clip: adamw.grad_clip,
            beta1: adamw.beta1,
            beta2: adamw.beta2,
            ema_rate: adamw.ema_rate,
            ema_warmup: i32::from(adamw.ema_warmup),
        }
    }
}

/// Flat gradients, moments, averages and counters of one network on one GPU.
///
/// The flat buffers hold the parameter tensors one after another in their order, so that data
/// parallel training can reduce finished parts of the gradient while the rest is computed.
pub struct DeviceOptimizer {
    gpu: Arc<Gpu>,
    adamw: DeviceAdamW,
    rule: Rule,
    parameters: Vec<Tensor>,
    /// Offset and length of each parameter tensor in the flat buffers.
    places: Vec<(usize, usize)>,
    /// Which have a gradient for the next step.
    present: Vec<bool>,
    gradient: Buffer,
    ema: Buffer,
    first: Buffer,
    second: Buffer,
    /// The ring of norms.
    norms: CudaSlice<f64>,
    /// Updates made, norms seen.
    counters: CudaSlice<u64>,
    /// The decision that the update reads.
    update: CudaSlice<f32>,
    log: CudaSlice<f64>,
    /// Steps in the log, and those taken out of it to make room.
    logged: usize,
    waiting: Vec<StepStats>,
    /// Steps made or queued.
    steps: u64,
    /// Learning rate and number of pictures of the steps in the log.
    queued: VecDeque<(f64, usize)>,
    /// Pieces of the parameters that have a gradient, and which those are.
    pieces: Option<(Vec<bool>, CudaSlice<u64>, u32)>,
}

impl std::fmt::Debug for DeviceOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let len = self.gradient.view().len;
        f.debug_struct("DeviceOptimizer").field("adamw", &self.adamw).field("len", &len).finish()
    }
}

impl DeviceOptimizer {
    const NAME: &'static str = "optimizer";

    /// For parameters as they are, with zero moments and an average that starts at the weights.
    ///
    /// # Shapes
    /// - `parameters`: float32 on one GPU, contiguous; updated in place by [`Self::step`]
    ///
    /// # Errors
    /// Where the parameters are not as above, or the memory of the GPU does not suffice.
    pub fn new(parameters: &[Tensor], adamw: DeviceAdamW) -> Result<Self> {
        let Some(some) = parameters.first() else {
            candle_core::bail!("{}: expected parameters, found none", Self::NAME);
        };
        let gpu = Gpu::of_tensor(some, Self::NAME)?;
        for tensor in parameters {
            let view = Operand::new(tensor, Self::NAME)?;
            view.view().expect(Kind::F32, Self::NAME)?;
            if !tensor.is_contiguous() {
                candle_core::bail!("{}: expected contiguous parameters", Self::NAME);
            }
        }
        let lengths = parameters.iter().map(Tensor::elem_count);
        let places = lengths.scan(0, |end, len| {
            let offset = *end;
            *end += len;
            Some((offset, len))
        });
        let places: Vec<(usize, usize)> = places.collect();
        let len = places.iter().map(|(_, len)| len).sum();
        let zeros = || gpu.zeros(Kind::F32, len);
        let (rule, device) = (Rule::new(&adamw), &gpu.device);
        let new = Self {
            adamw,
            rule,
            parameters: parameters.to_vec(),
            places,
            present: vec![false; parameters.len()],
            gradient: zeros()?,
            ema: zeros()?,
            first: zeros()?,
            second: zeros()?,
            norms: device.alloc_zeros(rule.window as usize)?,
            counters: device.alloc_zeros(2)?,
            update: device.alloc_zeros(5)?,
            log: device.alloc_zeros(LOG * ENTRY)?,
            logged: 0,
            waiting: vec![],
            steps: 0,
            queued: VecDeque::new(),
            pieces: None,
            gpu: gpu.clone(),
        };
        for (i, parameter) in parameters.iter().enumerate() {
            new.place(&new.ema, i, parameter)?;
        }
        Ok(new)
    }

    /// Copies a tensor to the place of parameter tensor number `i` in a flat buffer.
    fn place(&self, to: &Buffer, i: usize, tensor: &Tensor) -> Result<()> {
        let Some(&(offset, len)) = self.places.get(i) else {
            candle_core::bail!("{}: expected one of {} tensors", Self::NAME, self.places.len());
        };
        if tensor.elem_count() != len {
            let found = tensor.elem_count();
            candle_core::bail!("{}: expected {len} numbers, found {found}", Self::NAME);
        }
        let from = Operand::new(tensor, Self::NAME)?;
        let from = from.view().expect(Kind::F32, Self::NAME)?;
        self.gpu.copy(from.address, to.view().from(offset).address, 4 * len)
    }

    /// Puts back what [`Self::memory`] gave.
    ///
    /// # Errors
    /// Where the lengths are not those of the parameters.
    pub fn restore(&mut self, memory: &OptimizerMemory) -> Result<()> {
        let device = Device::Cuda(self.gpu.device.clone());
        let sets = [
            (&self.ema, &memory.ema),
            (&self.first, &memory.first),
            (&self.second, &memory.second),
        ];
        for (buffer, vectors) in sets {
            if vectors.len() != self.parameters.len() {
                candle_core::bail!(
                    "{}: expected {} vectors, found {}",
                    Self::NAME,
                    self.parameters.len(),
                    vectors.len()
                );
            }
            for (i, vector) in vectors.iter().enumerate() {
                let tensor = Tensor::from_slice(vector, vector.len(), &device)?;
                self.place(buffer, i, &tensor)?;
            }
        }
        let window = self.rule.window as usize;
        self.steps = memory.steps;
        let newest = &memory.norms[memory.norms.len().saturating_sub(window)..];
        let mut norms = newest.to_vec();
        norms.resize(window, 0.0);
        self.gpu.device.memcpy_htod(&norms, &mut self.norms)?;
        let counters = [memory.updates, newest.len() as u64];
        self.gpu.device.memcpy_htod(&counters, &mut self.counters)
    }

    /// Everything remembered; waits for the GPU.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn memory(&self) -> Result<OptimizerMemory> {
        let device = &self.gpu.device;
        let counters = device.clone_dtoh(&self.counters)?;
        let (updates, seen) = (counters[0], counters[1] as usize);
        let mut norms = device.clone_dtoh(&self.norms)?;
        let window = norms.len();
        if seen > window {
            norms.rotate_left(seen % window);
        }
        norms.truncate(seen);
        let vectors = |buffer: &Buffer| {
            let tensors = self.split(buffer)?;
            tensors
                .iter()
                .map(|tensor| tensor.flatten_all()?.to_vec1::<f32>())
                .collect::<Result<Vec<_>>>()
        };
        Ok(OptimizerMemory {
            ema: vectors(&self.ema)?,
            first: vectors(&self.first)?,
            second: vectors(&self.second)?,
            steps: self.steps,
            updates,
            norms,
        })
    }

    /// The moving average of the weights as tensors on the GPU, copied there, in order and shape of
    /// the parameters.
    ///
    /// # Errors
    /// Where the memory of the GPU does not suffice.
    pub fn ema(&self) -> Result<Vec<Tensor>> {
        self.split(&self.ema)
    }

    fn split(&self, buffer: &Buffer) -> Result<Vec<Tensor>> {
        let parts = self.parameters.iter().zip(&self.places).map(|(parameter, &(offset, len))| {
            let copy = self.gpu.converted(buffer.view().part(offset, len), Kind::F32)?;
            Ok(copy.into_tensor(Shape::from(parameter.dims())))
        });
        parts.collect()
    }

    /// Takes the gradient of parameter tensor number `i` for the next step, into its place in the
    /// flat gradient.
    ///
    /// # Shapes
    /// - `gradient`: float32, as the parameter
    ///
    /// # Errors
    /// Where there is no such parameter, or its shape or type is another.
    pub fn put(&mut self, i: usize, gradient: &Tensor) -> Result<()> {
        self.place(&self.gradient, i, gradient)?;
        self.present[i] = true;
        Ok(())
    }

    /// Queues an update; nothing waits, but for the log to be emptied every few hundred steps.
    /// Parameters that were [put](Self::put) no gradient keep their value.
    ///
    /// # Shapes
    /// - `distortion`, `rate`: float32 (N), nats per dimension
    ///
    /// # Errors
    /// Where shapes or types do not fit.
    pub fn step(&mut self, distortion: &Tensor, rate: &Tensor, learning_rate: f64) -> Result<()> {
        if self.logged == LOG {
            self.drain()?;
        }
        let present = std::mem::replace(&mut self.present, vec![false; self.parameters.len()]);
        if self.pieces.as_ref().is_none_or(|(of, _, _)| *of != present) {
            self.cut(present)?;
        }
        let gpu = self.gpu.clone();
        let (distortion, rate) =
            (Operand::new(distortion, Self::NAME)?, Operand::new(rate, Self::NAME)?);
        let images = distortion.view().expect(Kind::F32, Self::NAME)?.len;
        if rate.view().expect(Kind::F32, Self::NAME)?.len != images {
            candle_core::bail!("{}: expected distortion and rate of one length", Self::NAME);
        }
        let n = self.gradient.view().len;
        let blocks = (n.div_ceil(SUM_THREADS as usize)).clamp(1, gpu.sum_blocks as usize) as u32;
        let partial = gpu.partial_sums(blocks as usize)?;
        let partial = slice_address(&gpu, &partial);
        launch!(gpu, "square_partial", (blocks, 1, 1), (SUM_THREADS, 1, 1), 0;
            self.gradient.view().address, partial, n as u64);
        let update = slice_address(&gpu, &self.update);
        let entry = slice_address(&gpu, &self.log) + (self.logged * ENTRY * 8) as u64;
        launch!(gpu, "decide", (1, 1, 1), (256, 1, 1), 0;
            partial, blocks as i32, distortion.view().address, rate.view().address,
            images as i32, slice_address(&gpu, &self.norms), slice_address(&gpu, &self.counters),
            update, entry, learning_rate, self.rule);
        if let Some((_, pieces, count)) = self.pieces.as_ref().filter(|(_, _, count)| *count > 0) {
            let adamw = &self.adamw;
            let shrink = 1.0 - learning_rate as f32 * adamw.weight_decay as f32;
            launch!(gpu, "adamw", (*count, 1, 1), (256, 1, 1), 0;
                slice_address(&gpu, pieces), self.gradient.view().address,
                self.ema.view().address, self.first.view().address, self.second.view().address,
                update, adamw.beta1 as f32, adamw.beta2 as f32, adamw.epsilon as f32, shrink);
        }
        self.logged += 1;
        self.steps += 1;
        self.queued.push_back((learning_rate, images));
        Ok(())
    }

    /// Cuts the parameters that have a gradient into pieces. Those without one have zeros in the
    /// flat gradient from now on, which add nothing to its norm.
    fn cut(&mut self, present: Vec<bool>) -> Result<()> {
        let mut table = vec![];
        let places = self.places.iter().zip(&present);
        for (parameter, (&(offset, len), &present)) in self.parameters.iter().zip(places) {
            let view = Operand::new(parameter, Self::NAME)?;
            if !present {
                let zeros = self.gpu.zeros(Kind::F32, len)?;
                let place = self.gradient.view().part(offset, len);
                self.gpu.copy(zeros.view().address, place.address, 4 * len)?;
            }
            for start in (0..len).step_by(PIECE).filter(|_| present) {
                let address = view.view().from(start).address;
                let length = PIECE.min(len - start);
                table.extend([address, (offset + start) as u64, length as u64]);
            }
        }
        let count = (table.len() / 3) as u32;
        if table.is_empty() {
            table.push(0);
        }
        self.pieces = Some((present, self.gpu.device.clone_htod(&table)?, count));
        Ok(())
    }

    /// Steps made or queued.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Waits for the GPU and takes what the steps since the last call did, in order.
    ///
    /// # Errors
    /// Those of the GPU, late ones of the steps themselves among them.
    pub fn collect(&mut self) -> Result<Vec<StepStats>> {
        self.drain()?;
        Ok(std::mem::take(&mut self.waiting))
    }

    fn drain(&mut self) -> Result<()> {
        if self.logged == 0 {
            return Ok(());
        }
        let log = self.gpu.device.clone_dtoh(&self.log)?;
        for entry in log.chunks_exact(ENTRY).take(self.logged) {
            let &[distortion, rate, grad_norm, skip_threshold, skipped] = entry else { continue };
            let step = self.steps + 1 - self.queued.len() as u64;
            let (learning_rate, images) = self.queued.pop_front().expect("one for each step");
            self.waiting.push(StepStats {
                step,
                images,
                nats_per_dim: distortion + rate,
                distortion,
                rate,
                grad_norm,
                skip_threshold,
                skipped: skipped != 0.0,
                learning_rate,
            });
        }
        self.logged = 0;
        Ok(())
    }
}
