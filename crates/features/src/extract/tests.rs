use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use vdvae_datasets::{ToyFaces, load_batch};
use vdvae_model::{LatentMode, Preset, Weights};

use super::batch::runs;
use super::*;

const STATISTICS: [Statistic; 7] = [
    Statistic::Mean,
    Statistic::Z,
    Statistic::PriorMean,
    Statistic::LogStd,
    Statistic::PriorLogStd,
    Statistic::State,
    Statistic::Activation,
];

fn network() -> Vdvae {
    let config = Preset::Tiny.config();
    Vdvae::new(&config, &Weights::initialise(&config, 0), &Device::Cpu).unwrap()
}

fn table(source: FeatureSource<'_>, batch_size: usize) -> FeatureTable {
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let extraction = Extraction::new(&faces, Split::Valid, Preparation::new(16));
    Extraction { batch_size, ..extraction }.table(source).unwrap()
}

#[test]
fn a_batch_of_which_no_picture_could_be_read_adds_no_rows() {
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let prep = Preparation::new(16);
    let batch = load_batch(&faces, Split::Valid, &[], &prep, OnBadImage::Skip).unwrap();
    let (model, spec) = (network(), FeatureSpec::default());
    let latents = FeatureSource::Latents { model: &model, spec, layers: LayerSelection::All };
    for source in [latents, FeatureSource::Pixels, FeatureSource::Hog] {
        let mut data = Vec::new();
        source.append(&batch, 8, &mut data).unwrap();
        assert!(data.is_empty(), "{data:?}");
    }
}

/// Grids (N, r, r, C) of every layer, or of every resolution, straight from the network.
fn grids(model: &Vdvae, spec: &FeatureSpec) -> Vec<Vec<Vec<Vec<Vec<f32>>>>> {
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let indices: Vec<usize> = (0..20).collect();
    let prep = Preparation::new(16);
    let batch = load_batch(&faces, Split::Valid, &indices, &prep, OnBadImage::Fail).unwrap();
    let pixels = Tensor::from_vec(batch.pixels, (20, 16, 16, 3), &Device::Cpu).unwrap();
    let activations = model.encode(&pixels).unwrap();
    let nested = |tensor: &Tensor| -> Vec<Vec<Vec<Vec<f32>>>> {
        (0..20).map(|i| tensor.get(i).unwrap().to_vec3::<f32>().unwrap()).collect()
    };
    if spec.statistic == Statistic::Activation {
        return [1, 2, 4, 8, 16]
            .into_iter()
            .filter_map(|r| activations.get(&r))
            .map(nested)
            .collect();
    }
    let mode = match spec.statistic {
        Statistic::Z => LatentMode::PosteriorSample { seed: spec.seed, first: 0 },
        _ => LatentMode::PosteriorMean,
    };
    let mut grids = Vec::new();
    model
        .visit_latents(&activations, mode, |layer| {
            grids.push(nested(match spec.statistic {
                Statistic::Mean => &layer.mean,
                Statistic::Z => &layer.z,
                Statistic::PriorMean => &layer.prior_mean,
                Statistic::LogStd => &layer.log_std,
                Statistic::PriorLogStd => &layer.prior_log_std,
                _ => &layer.state,
            }));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    if spec.statistic == Statistic::State {
        // Of each resolution the last.
        let r = |grids: &[Vec<Vec<Vec<f32>>>]| grids[0].len();
        let sizes: Vec<usize> = grids.iter().map(|grids: &Vec<_>| r(grids)).collect();
        let is_end = |index: usize| sizes.get(index + 1) != Some(&sizes[index]);
        let mut index = 0..;
        grids.retain(|_| is_end(index.next().unwrap()));
    }
    grids
}

/// What pooling means, said once more: the mean of channel `c` over one cell.
fn cell_mean(grid: &[Vec<Vec<f32>>], c: usize, side: usize, cell: usize) -> f64 {
    let r = grid.len();
    let span = |i: usize| (i * r / side)..((i + 1) * r).div_ceil(side);
    let (rows, columns) = (span(cell / side), span(cell % side));
    let count = rows.len() * columns.len();
    let values = rows.flat_map(|y| columns.clone().map(move |x| f64::from(grid[y][x][c])));
    values.sum::<f64>() / count as f64
}

#[test]
fn every_statistic_at_every_pooling_is_what_the_network_says() {
    let model = network();
    for statistic in STATISTICS {
        let spec = FeatureSpec { statistic, seed: 3, ..FeatureSpec::default() };
        let grids = grids(&model, &spec);
        for pooling in [Pooling::None, Pooling::MEAN, Pooling::Grid(3), Pooling::Grid(4)] {
            let spec = FeatureSpec { pooling, ..spec };
            let source =
                FeatureSource::Latents { model: &model, spec, layers: LayerSelection::All };
            let table = table(source, 6);
            let mut column = 0;
            for grids in &grids {
                let (r, channels) = (grids[0].len(), grids[0][0][0].len());
                let side = pooling.side(r);
                for (c, cell) in (0..channels).flat_map(|c| (0..side * side).map(move |i| (c, i))) {
                    let named = &table.columns[column];
                    assert_eq!((named.resolution, named.channel), (Some(r), c));
                    assert_eq!(named.cell, cell);
                    assert_eq!(named.layer.is_none(), statistic == Statistic::Activation);
                    for (row, grid) in grids.iter().enumerate() {
                        let expected = cell_mean(grid, c, side, cell);
                        let found = f64::from(table.features[[row, column]]);
                        // Float32 sums of up to 256 numbers.
                        let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                        assert!(close, "{statistic} {pooling} {named:?}: {found} {expected}");
                    }
                    column += 1;
                }
            }
            assert_eq!(table.columns.len(), column, "{statistic} {pooling}");
        }
    }
}

#[test]
fn features_are_the_same_in_any_batch_on_any_number_of_threads() {
    let model = network();
    for statistic in STATISTICS {
        let samples = if statistic == Statistic::Z { 3 } else { 1 };
        let spec = FeatureSpec { statistic, samples, seed: 7, ..FeatureSpec::default() };
        let source = FeatureSource::Latents { model: &model, spec, layers: LayerSelection::All };
        let expected = table(source, 20).features;
        for (batch_size, threads) in [(1, 1), (3, 2), (7, 4), (64, 1)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| table(source, batch_size)).features;
            let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{statistic}, batches of {batch_size} on {threads} threads");
        }
    }
}

#[test]
fn several_samples_are_averaged() {
    let model = network();
    let spec = FeatureSpec { statistic: Statistic::Z, seed: 7, ..FeatureSpec::default() };
    let of = |seed, samples| {
        let spec = FeatureSpec { seed, samples, ..spec };
        let source =
            FeatureSource::Latents { model: &model, spec, layers: LayerSelection::First(4) };
        table(source, 8).features
    };
    let singles: Vec<_> = (0..4).map(|s| of(spec.sample_seed(s), 1)).collect();
    assert_eq!(singles[0], of(7, 1));
    assert_ne!(singles[0], singles[1]);
    let mean = (&singles[0] + &singles[1] + &singles[2] + &singles[3]) / 4.0;
    let found = of(7, 4);
    let furthest = (&mean - &found).iter().fold(0f32, |most, v| most.max(v.abs()));
    assert!(furthest < 1e-6, "{furthest}");
    // More samples come closer to the mean of many: the spread falls as one over the root.
    let many = of(99, 64);
    let spread = |a: &Array2<f32>| (a - &many).iter().map(|d| d * d).sum::<f32>().sqrt();
    let (one, four) = (spread(&singles[0]), spread(&found));
    assert!(four < 0.7 * one, "{four} of {one}");
}

#[test]
fn samples_of_what_is_not_sampled_are_refused() {
    let (model, pixels) = (network(), vec![0u8; 16 * 16 * 3]);
    let spec = FeatureSpec { samples: 2, ..FeatureSpec::default() };
    let outcome = extract_pictures(&model, &pixels, &[0], &spec, LayerSelection::All, 1);
    assert!(outcome.unwrap_err().to_string().starts_with("samples: expected 1 "));
}

/// A picture's noise is that of its number, whichever pictures are left out before it.
#[test]
fn pictures_need_not_follow_one_another() {
    let model = network();
    let spec = FeatureSpec { statistic: Statistic::Z, ..FeatureSpec::default() };
    let layers = LayerSelection::First(5);
    let pixels: Vec<u8> = (0..5 * 768u32).map(|i| (i * 7 % 251) as u8).collect();
    let whole = extract_pictures(&model, &pixels, &[3, 4, 5, 6, 7], &spec, layers, 2).unwrap();
    let kept: Vec<u8> = [0, 1, 3].iter().flat_map(|&i| pixels[i * 768..][..768].to_vec()).collect();
    let some = extract_pictures(&model, &kept, &[3, 4, 6], &spec, layers, 8).unwrap();
    for (whole, some) in whole.iter().zip(&some) {
        let rows = |part: &LayerFeatures, rows: &[usize]| -> Vec<f32> {
            rows.iter()
                .flat_map(|&i| part.values[i * part.columns..][..part.columns].to_vec())
                .collect()
        };
        assert_eq!(rows(whole, &[0, 1, 3]), rows(some, &[0, 1, 2]));
    }
    assert_eq!(runs(&[0, 1, 2, 4, 5, 9], 2), [0..2, 2..3, 3..5, 5..6]);
}

#[test]
fn batches_decoded_ahead_are_the_same() {
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let extraction = Extraction::new(&faces, Split::Valid, Preparation::new(8));
    let extraction = Extraction { batch_size: 3, ..extraction };
    let read = |on_gpu| {
        let (mut pixels, mut asked) = (Vec::new(), Vec::new());
        let note = |batch: Batch| {
            asked.push(batch.asked());
            pixels.extend(batch.pixels);
            Ok(())
        };
        extraction.each_batch(on_gpu, note).unwrap();
        (pixels, asked)
    };
    let ((one_way, _), (other, asked)) = (read(false), read(true));
    assert!(one_way == other);
    assert_eq!(asked, [3, 3, 3, 3, 3, 3, 2]);
    // A caller that stops is not waited for.
    let mut calls = 0;
    let stop = |_| {
        calls += 1;
        Err(Error::TableShape { part: "rows", expected: 0, found: 0 })
    };
    extraction.each_batch(true, stop).unwrap_err();
    assert_eq!(calls, 1);
}
