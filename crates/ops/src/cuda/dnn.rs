//! 3×3 convolutions through cuDNN, with the algorithm and its scratch remembered per shape.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cudnn::result::CudnnError;
use candle_core::cuda_backend::cudarc::cudnn::{result, sys};
use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::{Error, Result};

use super::memory::Kind;
use super::shapes::{Conv3, Pass};

/// Scratch that an algorithm may use.
const WORKSPACE: usize = 256 << 20;
/// Algorithms that are looked at; cuDNN has at most eight.
const ALGORITHMS: usize = 8;

/// What an algorithm is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) conv: Conv3,
    pub(crate) pass: Pass,
    pub(crate) kind: Kind,
}

/// Descriptions and algorithms, kept for the life of the process.
struct Plan {
    descriptions: Descriptions,
    /// What is left to try, best last; the last is used.
    candidates: Vec<Candidate>,
    /// Whether the last has run: cuDNN's word that an algorithm is usable is not always true.
    proven: bool,
}

#[derive(Clone, Copy)]
struct Descriptions {
    x: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

#[derive(Clone, Copy)]
struct Candidate {
    algorithm: Algorithm,
    deterministic: bool,
    math: sys::cudnnMathType_t,
    workspace: usize,
}

/// A handle of cuDNN and the plans made with it.
pub(crate) struct Dnn {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Key, Plan>,
}

// SAFETY: handle and descriptions are used under the GPU's lock, one call at a time.
unsafe impl Send for Dnn {}

impl Dnn {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle = result::create_handle().map_err(Error::wrap)?;
        // SAFETY: the stream outlives the handle, as neither is ever dropped.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }.map_err(Error::wrap)?;
        Ok(Self { handle, plans: HashMap::new() })
    }
}

impl Dnn {
    /// Bytes of scratch that the next algorithm to try takes; `None` where there is none left. Looked
    /// for once.
    pub(crate) fn scratch(&mut self, key: &Key) -> Result<Option<usize>> {
        if !self.plans.contains_key(key) {
            let plan = self.plan(key).map_err(Error::wrap)?;
            self.plans.insert(*key, plan);
        }
        Ok(self.plans[key].candidates.last().map(|candidate| candidate.workspace))
    }

    /// Queues the convolution with that algorithm and as much scratch. Addresses as in [`Pass`].
    pub(crate) fn run(&self, key: &Key, scratch: u64, addresses: [u64; 3]) -> Result<()> {
        let plan = &self.plans[key];
        let candidate = *plan.candidates.last().expect("its scratch was asked for");
        self.queue(&plan.descriptions, candidate, scratch, addresses).map_err(Error::wrap)
    }

    /// Whether an algorithm ran. One that did not is not tried again, and an error where it once did.
    pub(crate) fn proves(&mut self, key: &Key, done: Result<()>) -> Result<bool> {
        let plan = self.plans.get_mut(key).expect("its scratch was asked for");
        match done {
            Ok(()) => plan.proven = true,
            Err(error) if plan.proven => return Err(error),
            Err(_) => drop(plan.candidates.pop()),
        }
        Ok(plan.proven)
    }

    fn queue(
        &self,
        of: &Descriptions,
        candidate: Candidate,
        scratch: u64,
        [x, w, y]: [u64; 3],
    ) -> std::result::Result<(), CudnnError> {
        let (one, zero) = (1.0f32, 0.0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let (scratch, bytes) = (scratch as *mut _, candidate.workspace);
        macro_rules! run {
            ($convolution:ident, ($a:ident, $b:ident) to $c:ident, $algorithm:expr) => {
                result::$convolution(
                    self.handle,
                    one,
                    of.$a,
                    $a as *const _,
                    of.$b,
                    $b as *const _,
                    of.conv,
                    $algorithm,
                    scratch,
                    bytes,
                    zero,
                    of.$c,
                    $c as *mut _,
                )
            };
        }
        // SAFETY: the descriptions were made for these sizes, callers pass addresses of as many
        // numbers, and scratch is as large as the algorithm said.
        unsafe {
            result::set_convolution_math_type(of.conv, candidate.math)?;
            match candidate.algorithm {
                Algorithm::Forward(by) => run!(convolution_forward, (x, w) to y, by),
                Algorithm::Data(by) => run!(convolution_backward_data, (w, y) to x, by),
                Algorithm::Filter(by) => run!(convolution_backward_filter, (x, y) to w, by),
            }
        }
    }

    fn plan(&self, key: &Key) -> std::result::Result<Plan, CudnnError> {
        use sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let Conv3 { n, height, width, input, output, .. } = key.conv;
        let kind = match key.kind {
            Kind::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            Kind::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        let (x, y) = (result::create_tensor_descriptor()?, result::create_tensor_descriptor()?);
        let w = result::create_filter_descriptor()?;
        let conv = result::create_convolution_descriptor()?;
        let descriptions = Descriptions { x, w, y, conv };
        let none = Plan { descriptions, candidates: vec![], proven: false };
        // Its indices are 32 bits wide.
        if n * height * width * input.max(output) > i32::MAX as usize {
            return Ok(none);
        }
        // Dimensions are given in the order N, C, H, W (K, C, R, S) whatever the layout.
        let image = |channels: usize| [n, channels, height, width].map(|d| d as i32);
        let filter = [output, input, 3, 3].map(|d| d as i32);
        // SAFETY: the descriptors were made above.
        unsafe {
            result::set_tensor4d_descriptor(x, CUDNN_TENSOR_NHWC, kind, image(input))?;
            result::set_tensor4d_descriptor(y, CUDNN_TENSOR_NHWC, kind, image(output))?;
            result::set_filter4d_descriptor(w, kind, CUDNN_TENSOR_NHWC, filter)?;
            let (mode, sums) = (
                sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            );
            // Padding, stride and dilation of one.
            result::set_convolution2d_descriptor(conv, 1, 1, 1, 1, 1, 1, mode, sums)?;
            result::set_convolution_math_type(conv, math_type(key))?;
        }
        let mut candidates = match self.candidates(key, &descriptions) {
            Ok(candidates) => candidates,
            Err(error) if unsupported(&error) => return Ok(none),
            Err(error) => return Err(error),
        };
        candidates.retain(|candidate| candidate.workspace <= WORKSPACE);
        // Stable: what is fast stays in front. The best is last, to be popped where it fails.
        candidates.sort_by_key(|candidate| !candidate.deterministic);
        candidates.reverse();
        Ok(Plan { candidates, ..none })
    }

    /// Algorithms for a pass, by cuDNN's estimate of their speed.
    fn candidates(
        &self,
        key: &Key,
        of: &Descriptions,
    ) -> std::result::Result<Vec<Candidate>, CudnnError> {
        let mut count = 0;
        macro_rules! ask {
            ($get:ident, $size:ident, ($($description:expr),+), $algorithm:path) => {{
                // SAFETY: plain numbers, of which the library fills `count`.
                let mut found = unsafe { [std::mem::zeroed(); ALGORITHMS] };
                // SAFETY: the descriptions live as long as the process.
                unsafe {
                    result::$get(
                        self.handle, $($description),+, ALGORITHMS as i32, &mut count,
                        found.as_mut_ptr(),
                    )?;
                }
                let usable = found.iter().take(count as usize).filter(|of| {
                    of.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                });
                let mut candidates = vec![];
                for answer in usable {
                    // For exact float32 whatever kind of arithmetic the answer names: the
                    // description asks for FMA, and scratch is asked for with that.
                    let exact = key.kind == Kind::F32 && !key.conv.tf32;
                    let math = if exact { math_type(key) } else { answer.mathType };
                    // SAFETY: as above.
                    let workspace = unsafe {
                        result::set_convolution_math_type(of.conv, math)?;
                        result::$size(self.handle, $($description),+, answer.algo)
                    };
                    let Ok(workspace) = workspace else { continue };
                    candidates.push(Candidate {
                        algorithm: $algorithm(answer.algo),
                        deterministic: answer.determinism
                            == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                        math,
                        workspace,
                    });
                }
                Ok(candidates)
            }};
        }
        let Descriptions { x, w, y, conv } = *of;
        match key.pass {
            Pass::Forward => ask!(
                get_convolution_forward_algorithm,
                get_convolution_forward_workspace_size,
                (x, w, conv, y),
                Algorithm::Forward
            ),
            Pass::Data => ask!(
                get_convolution_backward_data_algorithm,
                get_convolution_backward_data_workspace_size,
                (w, y, conv, x),
                Algorithm::Data
            ),
            Pass::Filter => ask!(
                get_convolution_backward_filter_algorithm,
                get_convolution_backward_filter_workspace_size,
                (x, y, conv, w),
                Algorithm::Filter
            ),
        }
    }
}

/// cuDNN rounds float32 to TensorFloat-32 unless it is told not to.
fn math_type(key: &Key) -> sys::cudnnMathType_t {
    match key.kind == Kind::Bf16 || key.conv.tf32 {
        true => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        false => sys::cudnnMathType_t::CUDNN_FMA_MATH,
    }
}

/// Whether cuDNN has no such convolution, rather than failed.
fn unsupported(error: &CudnnError) -> bool {
    let text = format!("{error:?}");
    text.contains("NOT_SUPPORTED") || text.contains("BAD_PARAM")
}
