//! Do the latents tell characters of unknown alphabets apart, from one drawing of each?
//!
//! ```text
//! cargo run --release --example few_shot_omniglot -- --data-root DIR
//! cargo run --release --example few_shot_omniglot -- --data-root DIR --ways 20 --shots 5
//! ```
//!
//! DIR holds `images_background.zip` and `images_evaluation.zip` as published, or the folders they
//! unpack to. Features are centred on the background alphabets; episodes are of the evaluation
//! alphabets. Prints accuracies in percent over the same episodes for every resolution, beside the
//! same network with random weights and the pixels.

mod few_shot;

use std::error::Error;

use clap::Parser;
use vdvae::datasets::{Omniglot, Split};

fn main() -> Result<(), Box<dyn Error>> {
    let args = few_shot::Args::parse();
    let root = args.data_root.as_deref().ok_or("--data-root: expected the folder of Omniglot")?;
    few_shot::run(&Omniglot::open(root)?, Split::Train, &args)
}
