//! 3×3 convolutions through cuDNN, with the algorithm and its scratch remembered per shape.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cudnn::result::CudnnError;
use candle_core::cuda_backend::cudarc::cudnn::{result, sys};
use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::{Error, Result};

use super::conv3::{Conv3, Pass};
use super::gpu::{Gpu, Kind};
use super::tf32;

/// Scratch that an algorithm may use.
const WORKSPACE: usize = 1 << 30;
/// Algorithms that are looked at; cuDNN has at most eight.
const ALGORITHMS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    conv: Conv3,
    pass: Pass,
    kind: Kind,
    tf32: bool,
}

/// Descriptions and an algorithm, kept for the life of the process.
struct Plan {
    x: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    algorithm: Algorithm,
    workspace: usize,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// What cuDNN says about one algorithm.
struct Candidate {
    algorithm: Algorithm,
    usable: bool,
    deterministic: bool,
    math: sys::cudnnMathType_t,
    workspace: usize,
}

/// A handle of cuDNN and the plans made with it; `None` for what cuDNN cannot do.
pub(crate) struct Dnn {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Key, Option<Plan>>,
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

impl Gpu {
    /// Queues a convolution, or says that cuDNN has none for it. Addresses as in [`Pass`].
    pub(crate) fn cudnn(
        &self,
        (conv, pass, kind): (Conv3, Pass, Kind),
        [x, w, y]: [u64; 3],
    ) -> Result<bool> {
        let key = Key { conv, pass, kind, tf32: tf32() };
        let mut libraries = self.libraries();
        if !libraries.dnn.plans.contains_key(&key) {
            let plan = libraries.dnn.plan(&key).map_err(Error::wrap)?;
            libraries.dnn.plans.insert(key, plan);
        }
        let Some(bytes) = libraries.dnn.plans[&key].as_ref().map(|plan| plan.workspace) else {
            return Ok(false);
        };
        let scratch = libraries.workspace(self, bytes)? as *mut _;
        let dnn = &libraries.dnn;
        let plan = dnn.plans[&key].as_ref().expect("looked at above");
        let (one, zero) = (1.0f32, 0.0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        // SAFETY: the plan was made for these sizes, and callers pass addresses of as many numbers.
        unsafe {
            match plan.algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    dnn.handle,
                    one,
                    plan.x,
                    x as *const _,
                    plan.w,
                    w as *const _,
                    plan.conv,
                    algorithm,
                    scratch,
                    bytes,
                    zero,
                    plan.y,
                    y as *mut _,
                ),
                Algorithm::Data(algorithm) => result::convolution_backward_data(
                    dnn.handle,
                    one,
                    plan.w,
                    w as *const _,
                    plan.y,
                    y as *const _,
                    plan.conv,
                    algorithm,
                    scratch,
                    bytes,
                    zero,
                    plan.x,
                    x as *mut _,
                ),
                Algorithm::Filter(algorithm) => result::convolution_backward_filter(
                    dnn.handle,
                    one,
                    plan.x,
                    x as *const _,
                    plan.y,
                    y as *const _,
                    plan.conv,
                    algorithm,
                    scratch,
                    bytes,
                    zero,
                    plan.w,
                    w as *mut _,
                ),
            }
        }
        .map_err(Error::wrap)?;
        Ok(true)
    }
}

impl Dnn {
    fn plan(&self, key: &Key) -> std::result::Result<Option<Plan>, CudnnError> {
        use sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let Conv3 { n, height, width, input, output } = key.conv;
        let kind = match key.kind {
            Kind::F32 => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            Kind::Bf16 => sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        };
        // Dimensions are given in the order N, C, H, W (K, C, R, S) whatever the layout.
        let image = |channels: usize| [n, channels, height, width].map(|d| d as i32);
        let filter = [output, input, 3, 3].map(|d| d as i32);
        let (x, y) = (result::create_tensor_descriptor()?, result::create_tensor_descriptor()?);
        let w = result::create_filter_descriptor()?;
        let conv = result::create_convolution_descriptor()?;
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
        let mut plan = Plan { x, w, y, conv, algorithm: Algorithm::Forward(FORWARD), workspace: 0 };
        let candidates = match self.candidates(key.pass, &plan) {
            Ok(candidates) => candidates,
            Err(error) if unsupported(&error) => vec![],
            Err(error) => return Err(error),
        };
        // The fastest that gives the same bits every time, else the fastest.
        let usable = |candidate: &&Candidate| {
            candidate.usable
                && candidate.workspace <= WORKSPACE
                && (key.tf32 || key.kind == Kind::Bf16 || is_exact(candidate.math))
        };
        let steady = candidates.iter().filter(usable).find(|candidate| candidate.deterministic);
        let Some(chosen) = steady.or_else(|| candidates.iter().find(usable)) else {
            return Ok(None);
        };
        // SAFETY: as above.
        unsafe { result::set_convolution_math_type(conv, chosen.math)? };
        plan.algorithm = chosen.algorithm;
        plan.workspace = chosen.workspace;
        Ok(Some(plan))
    }

    /// Algorithms for a pass, by cuDNN's estimate of their speed.
    fn candidates(
        &self,
        pass: Pass,
        plan: &Plan,
    ) -> std::result::Result<Vec<Candidate>, CudnnError> {
        let mut count = 0;
        macro_rules! ask {
            ($function:ident($($description:expr),+) as $algorithm:path) => {{
                // SAFETY: an array of plain numbers, of which the library fills `count`.
                let mut found = unsafe { [std::mem::zeroed(); ALGORITHMS] };
                // SAFETY: the descriptions live as long as the plan.
                unsafe {
                    result::$function(
                        self.handle, $($description),+, ALGORITHMS as i32, &mut count,
                        found.as_mut_ptr(),
                    )?;
                }
                let found = found.iter().take(count as usize).map(|of| Candidate {
                    algorithm: $algorithm(of.algo),
                    usable: of.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS,
                    deterministic: of.determinism
                        == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                    math: of.mathType,
                    workspace: of.memory,
                });
                Ok(found.collect())
            }};
        }
        let Plan { x, w, y, conv, .. } = *plan;
        match pass {
            Pass::Forward => {
                ask!(get_convolution_forward_algorithm(x, w, conv, y) as Algorithm::Forward)
            }
            Pass::Data => {
                ask!(get_convolution_backward_data_algorithm(w, y, conv, x) as Algorithm::Data)
            }
            Pass::Filter => {
                ask!(get_convolution_backward_filter_algorithm(x, y, conv, w) as Algorithm::Filter)
            }
        }
    }
}

/// Stands in until an algorithm is chosen.
const FORWARD: sys::cudnnConvolutionFwdAlgo_t =
    sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;

/// cuDNN rounds float32 to TensorFloat-32 unless it is told not to.
fn math_type(key: &Key) -> sys::cudnnMathType_t {
    match key.kind == Kind::Bf16 || key.tf32 {
        true => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
        false => sys::cudnnMathType_t::CUDNN_FMA_MATH,
    }
}

fn is_exact(math: sys::cudnnMathType_t) -> bool {
    math == sys::cudnnMathType_t::CUDNN_FMA_MATH
}

/// Whether cuDNN has no such convolution, rather than failed.
fn unsupported(error: &CudnnError) -> bool {
    format!("{error:?}").contains("NOT_SUPPORTED")
}
