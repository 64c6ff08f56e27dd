//! The reader that has the name of this program, under libFuzzer.
#![no_main]

use std::sync::Once;

static HOOK: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // libFuzzer's hook ends the process at panics that a reader catches, too, as that of Parquet
    // does; those that reach this function still end it.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
    let _ = (vdvae_fuzz::reader(env!("CARGO_BIN_NAME")).read)(bytes);
});
