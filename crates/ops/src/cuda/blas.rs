//! Matrix products through cuBLASLt, with bias and addition in the epilogue.

use std::collections::HashMap;

use candle_core::cuda_backend::cudarc::cublaslt::result::CublasError;
use candle_core::cuda_backend::cudarc::cublaslt::{result, sys};
use candle_core::cuda_backend::cudarc::driver::sys::CUstream;
use candle_core::{Error, Result};

use super::memory::{Kind, View};

/// Scratch that an algorithm may use: what NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;

/// Rows of numbers, `stride` apart; `transposed` where the product reads columns as rows.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) view: View<'a>,
    pub(crate) stride: usize,
    pub(crate) transposed: bool,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(view: View<'a>, stride: usize) -> Self {
        Self { view, stride, transposed: false }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Elements from one row to the next, and from one column to the next.
    pub(super) fn steps(self) -> [u64; 2] {
        let steps = [self.stride as u64, 1];
        if self.transposed { [steps[1], steps[0]] } else { steps }
    }
}

/// `out = a · b [+ add] [+ bias]`, (rows × inner) times (inner × columns).
pub(crate) struct Product<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Matrix<'a>,
    /// Rows of the result's number type that are added; may be `out` itself.
    pub(crate) add: Option<Matrix<'a>>,
    /// A number a column, of the result's type.
    pub(crate) bias: Option<View<'a>>,
    pub(crate) out: Matrix<'a>,
    /// Whether operands of float32 are rounded to TensorFloat-32.
    pub(crate) tf32: bool,
}

impl<'a> Product<'a> {
    /// `out = a · b`, (rows × inner) times (inner × columns).
    pub(crate) fn new(
        [rows, inner, columns]: [usize; 3],
        [a, b]: [Matrix<'a>; 2],
        out: Matrix<'a>,
        tf32: bool,
    ) -> Self {
        Self { rows, columns, inner, a, b, add: None, bias: None, out, tf32 }
    }
}

/// What an algorithm is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rows: usize,
    columns: usize,
    inner: usize,
    /// Of a, b, what is added, and the result.
    strides: [usize; 4],
    transposed: [bool; 2],
    kinds: [Kind; 2],
    add: bool,
    bias: bool,
    tf32: bool,
    /// Largest power of two, up to 256, that divides each address, in bytes; of the result, or of the
    /// bias where that is less.
    alignments: [u32; 4],
}

/// A description and an algorithm, kept for the life of the process.
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    c: sys::cublasLtMatrixLayout_t,
    d: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
}

/// A handle of cuBLASLt and the plans made with it; `None` for what it has no algorithm for.
pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    plans: HashMap<Key, Option<Plan>>,
}

// SAFETY: handle and descriptions are plain memory of the library, used under the GPU's lock.
unsafe impl Send for Blas {}

impl Blas {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { handle: result::create_handle().map_err(Error::wrap)?, plans: HashMap::new() })
    }

    /// Bytes of scratch that a product takes; `None` where cuBLASLt has no algorithm for it. Looked
    /// for once.
    pub(crate) fn scratch(&mut self, product: &Product<'_>) -> Result<Option<usize>> {
        let key = product.key();
        if !self.plans.contains_key(&key) {
            let plan = self.plan(&key, product.bias)?;
            self.plans.insert(key, plan);
        }
        Ok(self.plans[&key].as_ref().map(|plan| plan.workspace))
    }

    /// Queues a product for which [`Self::scratch`] found an algorithm, with that scratch.
    pub(crate) fn run(&self, product: &Product<'_>, scratch: u64, stream: CUstream) -> Result<()> {
        let plan = self.plans[&product.key()].as_ref().expect("an algorithm was found");
        let (one, zero) = (1.0f32, 0.0f32);
        let added = product.add.unwrap_or(product.out);
        // In place, the library asks for one description of both.
        let in_place = added.view.address == product.out.view.address;
        let added_layout = if in_place { plan.d } else { plan.c };
        // SAFETY: the plan was made for these sizes, strides and alignments, and every view covers
        // its matrix. alpha and beta are read before the call returns.
        unsafe {
            if let Some(bias) = product.bias {
                use sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
                describe(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.address)
                    .map_err(Error::wrap)?;
            }
            // Column-major, the transposed product: b comes first.
            result::matmul(
                self.handle,
                plan.operation,
                (&raw const one).cast(),
                (if product.add.is_some() { &raw const one } else { &raw const zero }).cast(),
                product.b.view.address as *const _,
                plan.a,
                product.a.view.address as *const _,
                plan.b,
                added.view.address as *const _,
                added_layout,
                product.out.view.address as *mut _,
                plan.d,
                &plan.algorithm,
                scratch as *mut _,
                plan.workspace,
                stream.cast(),
            )
            .map_err(Error::wrap)
        }
    }
}

impl Product<'_> {
    fn key(&self) -> Key {
        let added = self.add.unwrap_or(self.out);
        debug_assert_eq!(self.a.view.kind, self.b.view.kind);
        debug_assert_eq!(added.view.kind, self.out.view.kind);
        debug_assert!(self.bias.is_none_or(|bias| bias.kind == self.out.view.kind));
        let matrices = [self.a, self.b, added, self.out];
        let mut alignments = matrices.map(|matrix| alignment(matrix.view.address));
        if let Some(bias) = self.bias {
            alignments[3] = alignments[3].min(alignment(bias.address));
        }
        Key {
            rows: self.rows,
            columns: self.columns,
            inner: self.inner,
            strides: matrices.map(|matrix| matrix.stride),
            transposed: [self.a.transposed, self.b.transposed],
            kinds: [self.a.view.kind, self.out.view.kind],
            add: self.add.is_some(),
            bias: self.bias.is_some(),
            tf32: self.tf32,
            alignments,
        }
    }
}

/// Largest power of two, up to 256, that divides an address.
fn alignment(address: u64) -> u32 {
    1 << address.trailing_zeros().min(8)
}

fn data_type(kind: Kind) -> sys::cudaDataType {
    match kind {
        Kind::F32 => sys::cudaDataType_t::CUDA_R_32F,
        Kind::Bf16 => sys::cudaDataType_t::CUDA_R_16BF,
    }
}

/// Sets an attribute of a product's description.
///
/// # Safety
/// `value` must be of the type documented for the attribute.
unsafe fn describe<T>(
    operation: sys::cublasLtMatmulDesc_t,
    attribute: sys::cublasLtMatmulDescAttributes_t,
    value: &T,
) -> std::result::Result<(), CublasError> {
    let value: *const T = value;
    // SAFETY: as of this function.
    unsafe { result::set_matmul_desc_attribute(operation, attribute, value.cast(), size_of::<T>()) }
}

/// Sets a preference.
///
/// # Safety
/// `value` must be of the type documented for the attribute.
unsafe fn prefer<T>(
    preference: sys::cublasLtMatmulPreference_t,
    attribute: sys::cublasLtMatmulPreferenceAttributes_t,
    value: &T,
) -> std::result::Result<(), CublasError> {
    let value: *const T = value;
    // SAFETY: as of this function.
    unsafe {
        result::set_matmul_pref_attribute(preference, attribute, value.cast(), size_of::<T>())
    }
}

impl Blas {
    /// The plan for a product, with a bias such as will be passed.
    fn plan(&self, key: &Key, bias: Option<View<'_>>) -> Result<Option<Plan>> {
        match self.search(key, bias) {
            Ok(plan) => Ok(Some(plan)),
            Err(CublasError(
                sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED
                | sys::cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE,
            )) => Ok(None),
            Err(error) => Err(Error::wrap(error)),
        }
    }

    fn search(&self, key: &Key, bias: Option<View<'_>>) -> std::result::Result<Plan, CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Describe;
        use sys::cublasLtMatmulPreferenceAttributes_t as Prefer;
        let [input, output] = key.kinds.map(data_type);
        let compute = match key.tf32 && key.kinds[0] == Kind::F32 {
            true => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            false => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let layout = |kind, transposed, rows, columns, stride| {
            // Rows of ours are columns of cuBLAS.
            let (length, count) = if transposed { (rows, columns) } else { (columns, rows) };
            result::create_matrix_layout(kind, length as u64, count as u64, stride as i64)
        };
        let [stride_a, stride_b, stride_c, stride_d] = key.strides;
        let (rows, columns, inner) = (key.rows, key.columns, key.inner);
        let operation = result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)?;
        let a = layout(input, key.transposed[1], inner, columns, stride_b)?;
        let b = layout(input, key.transposed[0], rows, inner, stride_a)?;
        let c = layout(output, false, rows, columns, stride_c)?;
        let d = layout(output, false, rows, columns, stride_d)?;
        let preference = result::create_matmul_pref()?;
        // SAFETY: values have the types that cublasLt.h documents: 32-bit enumerations, masks and
        // alignments, a 64-bit size, an address.
        let chosen = unsafe {
            let flag = |transposed| i32::from(transposed);
            describe(operation, Describe::CUBLASLT_MATMUL_DESC_TRANSA, &flag(key.transposed[1]))?;
            describe(operation, Describe::CUBLASLT_MATMUL_DESC_TRANSB, &flag(key.transposed[0]))?;
            if let Some(bias) = bias {
                let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
                describe(operation, Describe::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
                // The search goes by its alignment.
                let pointer = Describe::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
                describe(operation, pointer, &bias.address)?;
            }
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
            let [of_a, of_b, of_c, of_d] = key.alignments;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &of_b)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &of_a)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &of_c)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &of_d)?;
            // Sums split over blocks meet in float32, not in the result's type.
            let reduction = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
            let mask = Prefer::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
            prefer(preference, mask, &(reduction as u32))?;
            let chosen =
                result::get_matmul_algo_heuristic(self.handle, operation, a, b, c, d, preference);
            result::destroy_matmul_pref(preference)?;
            chosen?
        };
        let (algorithm, workspace) = (chosen.algo, chosen.workspaceSize);
        Ok(Plan { operation, a, b, c, d, algorithm, workspace })
    }
}
