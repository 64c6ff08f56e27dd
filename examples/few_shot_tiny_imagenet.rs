//! Do the latents tell classes of photographs apart that were never seen, from one picture of each?
//!
//! ```text
//! cargo run --release --example few_shot_tiny_imagenet -- --data-root DIR
//! cargo run --release --example few_shot_tiny_imagenet -- --data-root DIR --ways 5 --shots 5
//! ```
//!
//! DIR is `tiny-imagenet-200`, or an archive of it. The last fifth of the class folders in sorted
//! order (40 of 200) is for episodes; features are centred on the twenty before them, which the
//! library holds out for validation. Prints accuracies over the same episodes for every
//! resolution, beside the same network with random weights and the pixels.

mod few_shot;

use std::error::Error;

use clap::Parser;
use few_shot::Args;
use vdvae::datasets::{Split, TinyImageNet, TinyImageNetSplits};

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let root = args.data_root.clone().ok_or("--data-root: expected the folder of Tiny-ImageNet")?;
    let pictures = TinyImageNet::open(&root, TinyImageNetSplits::FewShot, 0)?;
    // Ten thousand pictures: the mean of all 70,000 for training would take most of the time.
    few_shot::run(&pictures, Split::Valid, args)
}
