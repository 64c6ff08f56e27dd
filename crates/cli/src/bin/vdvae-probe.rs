//! `vdvae-probe`: what do the latents of each resolution know?

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    vdvae_cli::set_up_process();
    vdvae_cli::probe_main()
}
