//! `vdvae-probe`: what do the latents of each resolution know?

// See the note in `vdvae`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    vdvae_cli::probe_main()
}
