//! `vdvae`: train, evaluate, read, sample and convert Very Deep VAEs.

// The network allocates and frees the same large buffers at every step; the system allocator
// returns them to the kernel each time, at twice the cost of a step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    vdvae_cli::vdvae_main()
}
