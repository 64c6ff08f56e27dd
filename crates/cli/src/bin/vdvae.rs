//! `vdvae`: train, evaluate, read, sample and convert Very Deep VAEs.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    vdvae_cli::set_up_process();
    vdvae_cli::vdvae_main()
}
