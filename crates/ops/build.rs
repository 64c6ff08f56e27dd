//! Compiles the GPU kernels to PTX, which the driver translates for the GPU it finds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const KERNELS: &str = "src/cuda/kernels";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={KERNELS}");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        compile();
    }
}

fn compile() {
    let out =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kernels.ptx");
    let nvcc = nvcc();
    // The oldest architecture with bfloat16 tensor cores; the driver goes on from there.
    let arguments = ["-ptx", "-O3", "-std=c++17", "-arch=compute_80", "-o"];
    let kernels = Path::new(KERNELS).join("kernels.cu");
    let status = Command::new(&nvcc).args(arguments).arg(&out).arg(kernels).status();
    match status {
        Ok(status) if status.success() => {
            println!("cargo::rustc-env=VDVAE_PTX={}", out.display());
        }
        Ok(status) => println!("cargo::error={} failed on {KERNELS}: {status}", nvcc.display()),
        Err(error) => println!(
            "cargo::error=the feature cuda needs the CUDA toolkit: cannot run {}: {error}; set NVCC or \
             CUDA_HOME, or put nvcc on the PATH",
            nvcc.display()
        ),
    }
}

/// The compiler, as the toolkit's own tools look for it.
fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let roots = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
    let installed = roots.map(|root| Path::new(&root).join("bin/nvcc")).find(|path| path.exists());
    installed.unwrap_or_else(|| "nvcc".into())
}
