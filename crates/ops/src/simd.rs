//! One body, compiled for each instruction set and chosen at run time.
//!
//! The elementwise kernels are plain loops that the compiler vectorises; what they need is to be
//! compiled with wider registers than the portable baseline has. [`multiversion!`] does that.

/// Compiles a function once for every [`vdvae_io::InstructionSet`] and calls the one this machine has.
macro_rules! multiversion {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $vis fn $name($($arg: $ty),*) {
            // `FMA` says whether a fused multiply-add is one instruction, see `mul_add`.
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) {
                body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            match vdvae_io::instruction_set() {
                // SAFETY: the set was detected on this machine before it is returned.
                vdvae_io::InstructionSet::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                vdvae_io::InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                vdvae_io::InstructionSet::Baseline => body::<false>($($arg),*),
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// `a * b + c`, in one instruction where there is one; elsewhere fusing would be a library call.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
