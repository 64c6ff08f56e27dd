//! Products in tile registers.
//!
//! Eight registers of 16 rows by 64 bytes each: four hold the sums of 32 × 32 results, two the rows
//! and two the panel of a step. Rust has no stable names for the instructions, so they are written
//! out.

use super::product::Piece;

/// # Safety
/// As of [`Piece`]; [`vdvae_io::InstructionSet::Amx`] must be present.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn multiply(pieces: impl Iterator<Item = Piece>) {
    // SAFETY: the caller's promise.
    unsafe {
        let _configured = Configured::new();
        pieces.for_each(|piece| match piece.width > 16 {
            true => two_tiles(piece),
            false => one_tile(piece),
        });
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn multiply(_: impl Iterator<Item = Piece>) {
    unreachable!("other processors have no such instruction set");
}

#[cfg(target_arch = "x86_64")]
use x86::{Configured, one_tile, two_tiles};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    use crate::cpu::bfloat::product::Piece;

    const TILE_ROWS: u8 = 16;
    const TILE_BYTES: u8 = 64;

    /// What `ldtilecfg` reads and `sttilecfg` writes.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        /// Bytes in a row of each register.
        bytes: [u16; 16],
        rows: [u8; 16],
    }

    /// Tile registers in use by this thread. When dropped they are given back as they were, since
    /// other libraries in the process may count on their own configuration; what the registers
    /// held then is lost.
    pub(super) struct Configured {
        before: Configuration,
    }

    impl Configured {
        /// # Safety
        /// AMX must be present.
        #[inline]
        pub(super) unsafe fn new() -> Self {
            let none = || Configuration {
                palette: 0,
                start_row: 0,
                reserved: [0; 14],
                bytes: [0; 16],
                rows: [0; 16],
            };
            let (mut before, mut ours) = (none(), none());
            ours.palette = 1;
            ours.bytes[..8].fill(u16::from(TILE_BYTES));
            ours.rows[..8].fill(TILE_ROWS);
            // SAFETY: both are 64 bytes; palette 1 has eight registers of that size.
            unsafe {
                asm!(
                    "sttilecfg [{before}]",
                    "ldtilecfg [{ours}]",
                    before = in(reg) &raw mut before,
                    ours = in(reg) &raw const ours,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, preserves_flags),
                );
            }
            Self { before }
        }
    }

    impl Drop for Configured {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: the configuration is the processor's own.
            unsafe {
                if self.before.palette == 0 {
                    asm!("tilerelease", options(nostack, nomem, preserves_flags));
                } else {
                    asm!(
                        "ldtilecfg [{}]",
                        in(reg) &raw const self.before,
                        options(nostack, readonly, preserves_flags),
                    );
                }
            }
        }
    }

    /// Defines a function of 32 rows and one or two tiles of columns, by its instructions for each
    /// part. All registers of tiles are marked as used in both.
    macro_rules! tiles {
        (
            $(#[$attribute:meta])* $name:ident, bytes of a line: $line:literal,
            load sums: [$($load:literal),*], zero sums: [$($zero:literal),*],
            step: [$($step:literal),*], store sums: [$($store:literal),*]
        ) => {
            $(#[$attribute])*
            ///
            /// # Safety
            /// As of [`Piece`], with as many columns, between [`Configured::new`] and its end.
            #[inline]
            pub(super) unsafe fn $name(piece: Piece) {
                let Piece { ref a, a_stride, segments, steps, b, out, out_stride, add, .. } = piece;
                // SAFETY: the caller's promise; each step reads 64 bytes of 32 rows and 16 lines.
                unsafe {
                    asm!(
                        // The second sixteen rows of sums.
                        "mov {low}, {out_stride}",
                        "shl {low}, 4",
                        "add {low}, {out}",
                        "test {left}, {left}",
                        "jz 2f",
                        $($load,)*
                        "jmp 3f",
                        "2:",
                        $($zero,)*
                        "3:",
                        "mov {first}, [{a}]",
                        "mov {second}, [{a} + 8]",
                        "add {a}, 16",
                        "mov {left}, {steps}",
                        "4:",
                        $($step,)*
                        "add {first}, 64",
                        "add {second}, 64",
                        "dec {left}",
                        "jnz 4b",
                        "dec {segments}",
                        "jnz 3b",
                        $($store,)*
                        a = inout(reg) a.as_ptr() => _,
                        first = out(reg) _,
                        second = out(reg) _,
                        a_stride = in(reg) 2 * a_stride,
                        b = inout(reg) b => _,
                        line = in(reg) $line,
                        out = in(reg) out,
                        low = out(reg) _,
                        out_stride = in(reg) 4 * out_stride,
                        steps = in(reg) steps,
                        left = inout(reg) usize::from(add) => _,
                        segments = inout(reg) segments => _,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    tiles! {
        /// 32 × 32 results.
        two_tiles, bytes of a line: 128usize,
        load sums: [
            "tileloadd tmm0, [{out} + {out_stride}]",
            "tileloadd tmm1, [{out} + {out_stride} + 64]",
            "tileloadd tmm2, [{low} + {out_stride}]",
            "tileloadd tmm3, [{low} + {out_stride} + 64]"
        ],
        zero sums: ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
        step: [
            "tileloadd tmm6, [{b} + {line}]",
            "tileloadd tmm4, [{first} + {a_stride}]",
            "tileloadd tmm7, [{b} + {line} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{second} + {a_stride}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "add {b}, 2048",
            "tdpbf16ps tmm3, tmm5, tmm7"
        ],
        store sums: [
            "tilestored [{out} + {out_stride}], tmm0",
            "tilestored [{out} + {out_stride} + 64], tmm1",
            "tilestored [{low} + {out_stride}], tmm2",
            "tilestored [{low} + {out_stride} + 64], tmm3"
        ]
    }

    tiles! {
        /// 32 × 16 results.
        one_tile, bytes of a line: 64usize,
        load sums: [
            "tileloadd tmm0, [{out} + {out_stride}]",
            "tileloadd tmm2, [{low} + {out_stride}]"
        ],
        zero sums: ["tilezero tmm0", "tilezero tmm2"],
        step: [
            "tileloadd tmm6, [{b} + {line}]",
            "tileloadd tmm4, [{first} + {a_stride}]",
            "tileloadd tmm5, [{second} + {a_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "add {b}, 1024",
            "tdpbf16ps tmm2, tmm5, tmm6"
        ],
        store sums: [
            "tilestored [{out} + {out_stride}], tmm0",
            "tilestored [{low} + {out_stride}], tmm2"
        ]
    }
}
