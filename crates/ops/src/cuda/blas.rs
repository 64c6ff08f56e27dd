//! Matrix products through cuBLASLt, with bias and addition in the epilogue.

use std::collections::HashMap;

use candle_core::cuda_backend::cudarc::cublaslt::result::CublasError;
use candle_core::cuda_backend::cudarc::cublaslt::{result, sys};
use candle_core::{Error, Result};

use super::gpu::{Gpu, Kind, View};
use super::tf32;

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
    /// Largest power of two, up to 256, that divides each address, in bytes.
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

/// A handle of cuBLASLt and the plans made with it.
pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    plans: HashMap<Key, Plan>,
}

// SAFETY: handle and descriptions are plain memory of the library, used under the GPU's lock.
unsafe impl Send for Blas {}

impl Blas {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { handle: result::create_handle().map_err(Error::wrap)?, plans: HashMap::new() })
    }
}

impl Gpu {
    /// Queues a product.
    pub(crate) fn product(&self, product: &Product<'_>) -> Result<()> {
        let key = product.key();
        let mut libraries = self.libraries();
        if !libraries.blas.plans.contains_key(&key) {
            let plan = libraries.blas.plan(&key).map_err(|error| {
                let Key { rows, columns, inner, .. } = key;
                Error::Msg(format!(
                    "cuBLASLt has no product of {rows}×{inner} and {inner}×{columns} in {:?}: {error}",
                    key.kinds
                ))
            })?;
            libraries.blas.plans.insert(key, plan);
        }
        let bytes = libraries.blas.plans[&key].workspace;
        let workspace = libraries.workspace(self, bytes)?;
        let (blas, plan) = (&libraries.blas, &libraries.blas.plans[&key]);
        let (one, zero) = (1.0f32, 0.0f32);
        let added = product.add.unwrap_or(product.out);
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
                blas.handle,
                plan.operation,
                (&raw const one).cast(),
                (if product.add.is_some() { &raw const one } else { &raw const zero }).cast(),
                product.b.view.address as *const _,
                plan.a,
                product.a.view.address as *const _,
                plan.b,
                added.view.address as *const _,
                plan.c,
                product.out.view.address as *mut _,
                plan.d,
                &plan.algorithm,
                workspace as *mut _,
                bytes,
                self.stream.cu_stream().cast(),
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
        Key {
            rows: self.rows,
            columns: self.columns,
            inner: self.inner,
            strides: matrices.map(|matrix| matrix.stride),
            transposed: [self.a.transposed, self.b.transposed],
            kinds: [self.a.view.kind, self.out.view.kind],
            add: self.add.is_some(),
            bias: self.bias.is_some(),
            tf32: tf32(),
            alignments: matrices.map(|matrix| alignment(matrix.view.address)),
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
    fn plan(&self, key: &Key) -> std::result::Result<Plan, CublasError> {
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
        let plan = (
            layout(input, key.transposed[1], inner, columns, stride_b)?,
            layout(input, key.transposed[0], rows, inner, stride_a)?,
            layout(output, false, rows, columns, stride_c)?,
            layout(output, false, rows, columns, stride_d)?,
        );
        let preference = result::create_matmul_pref()?;
        // SAFETY: values have the types that cublasLt.h documents: 32-bit enumerations and
        // alignments, a 64-bit size.
        let chosen = unsafe {
            let flag = |transposed| i32::from(transposed);
            describe(operation, Describe::CUBLASLT_MATMUL_DESC_TRANSA, &flag(key.transposed[1]))?;
            describe(operation, Describe::CUBLASLT_MATMUL_DESC_TRANSB, &flag(key.transposed[0]))?;
            if key.bias {
                let bias = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
                describe(operation, Describe::CUBLASLT_MATMUL_DESC_EPILOGUE, &bias)?;
            }
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
            let [of_a, of_b, of_c, of_d] = key.alignments;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &of_b)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &of_a)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &of_c)?;
            prefer(preference, Prefer::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &of_d)?;
            let chosen = result::get_matmul_algo_heuristic(
                self.handle,
                operation,
                plan.0,
                plan.1,
                plan.2,
                plan.3,
                preference,
            )?;
            result::destroy_matmul_pref(preference)?;
            chosen
        };
        Ok(Plan {
            operation,
            a: plan.0,
            b: plan.1,
            c: plan.2,
            d: plan.3,
            algorithm: chosen.algo,
            workspace: chosen.workspaceSize,
        })
    }
}
