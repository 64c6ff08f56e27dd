//! One body, compiled for each instruction set and chosen at run time.
//!
//! The elementwise kernels are plain loops that the compiler vectorises; what they need is to be
//! compiled with wider registers than the portable baseline has. [`multiversion!`] does that.

/// Compiles a function, which may be generic over one type, once for every [`vdvae_io::InstructionSet`]
/// and calls the one this machine has.
macro_rules! multiversion {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident $(<$T:ident: $bound:path>)? (
        $($arg:ident: $ty:ty),* $(,)?
    ) $body:block) => {
        $(#[$attribute])*
        $vis fn $name $(<$T: $bound>)? ($($arg: $ty),*) {
            // `FMA` says whether a fused multiply-add is one instruction, see `mul_add`.
            #[inline(always)]
            fn body<$($T: $bound,)? const FMA: bool>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512 $(<$T: $bound>)? ($($arg: $ty),*) {
                body::<$($T,)? true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$T: $bound>)? ($($arg: $ty),*) {
                body::<$($T,)? true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            match vdvae_io::instruction_set() {
                vdvae_io::InstructionSet::Amx
                | vdvae_io::InstructionSet::Avx512Bf16
                | vdvae_io::InstructionSet::Avx512 => {
                    // SAFETY: the set was detected on this machine before it is returned.
                    unsafe { avx512($($arg),*) }
                }
                // SAFETY: as above.
                vdvae_io::InstructionSet::Avx2 => unsafe { avx2($($arg),*) },
                vdvae_io::InstructionSet::Baseline => body::<$($T,)? false>($($arg),*),
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<$($T,)? false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

/// `a * b + c`, in one instruction where there is one; elsewhere fusing would be a library call.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool, T: num_traits::Float>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
