//! The Very Deep VAE: network, likelihood, latents and checkpoints
