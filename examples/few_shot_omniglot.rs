//! Do the latents tell characters of unknown alphabets apart, from one drawing of each?
//!
//! ```text
//! cargo run --release --example few_shot_omniglot -- --data-root DIR
//! cargo run --release --example few_shot_omniglot -- --data-root DIR --ways 20 --shots 5
//! ```
//!
//! DIR holds `images_background.zip` and `images_evaluation.zip` as published, or the folders they
//! unpack to. Features are centred on the background alphabets; episodes are of the evaluation
//! alphabets. Prints accuracies over the same episodes for every resolution, beside the
//! same network with random weights and the pixels.

mod few_shot;

use std::error::Error;

use clap::Parser;
use few_shot::Args;
use vdvae::datasets::{Omniglot, Split};

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let root = args.data_root.clone().ok_or("--data-root: expected the folder of Omniglot")?;
    let characters = Omniglot::open(&root)?;
    few_shot::run(&characters, Split::Train, args)
}
