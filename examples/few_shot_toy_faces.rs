//! Do the latents tell people apart who were never seen, from one picture of each?
//!
//! ```text
//! cargo run --release --example few_shot_toy_faces
//! cargo run --release --example few_shot_toy_faces -- --ways 10 --shots 5
//! ```
//!
//! A class is a rendered person; pictures differ in pose, light, expression and background. Needs no
//! data. Prints accuracies over the same episodes for every resolution, beside the same
//! network with random weights and the pixels.

mod few_shot;

use std::error::Error;

use clap::Parser;
use few_shot::Args;
use vdvae::datasets::{Split, ToyFaces};

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // Twenty pictures of each person: 400 to centre on, 800 of people to tell apart.
    let faces = ToyFaces::with_people(0, [20, 1, 40]);
    few_shot::run(&faces, Split::Train, args)
}
