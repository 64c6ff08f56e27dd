//! What does the built-in model say about a picture, layer by layer?
//!
//! ```text
//! cargo run --release --example extract_latents                  # a rendered face
//! cargo run --release --example extract_latents -- A.png B.jpg   # your own
//! ```
//!
//! Prints one line a layer, from 1×1 to 32×32: the shape (N, r, r, Z) of its posterior means and
//! its KL from posterior to prior, the mean over the pictures in nats. A layer of KL near 0 says
//! nothing about the picture.

use std::error::Error;

use image::RgbImage;
use vdvae::datasets::{Dataset, Split, ToyFaces};
use vdvae::{Device, Vdvae};

fn main() -> Result<(), Box<dyn Error>> {
    let pictures = pictures()?;
    let model = Vdvae::builtin(&Device::Cpu)?;
    let latents = model.extract_latents(&pictures)?;

    println!("layer  posterior mean    KL (nats)");
    let mut total = 0.0;
    for layer in latents.layers() {
        let kl = layer.kl.sum_all()?.to_scalar::<f32>()? / pictures.len() as f32;
        total += kl;
        println!("{:5}  {:16}  {kl:9.3}", layer.index, format!("{:?}", layer.mean.dims()));
    }
    println!("all {} layers: {total:.3} nats", latents.layers().len());
    Ok(())
}

/// The pictures named on the command line, or one toy face.
fn pictures() -> Result<Vec<RgbImage>, Box<dyn Error>> {
    let mut pictures = Vec::new();
    for path in std::env::args().skip(1) {
        let picture = image::open(&path).map_err(|error| format!("{path}: {error}"))?;
        pictures.push(picture.to_rgb8());
    }
    if pictures.is_empty() {
        pictures.push(ToyFaces::new(0).image(Split::Test, 0)?);
    }
    Ok(pictures)
}
