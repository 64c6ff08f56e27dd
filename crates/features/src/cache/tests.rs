use std::cell::Cell;
use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use candle_core::Device;
use vdvae_datasets::{Dataset, Folder, Preparation, Split, ToyFaces};
use vdvae_model::{Preset, Vdvae, Weights};

use super::*;
use crate::{FeatureSpec, LayerSelection, Pooling, Statistic};

fn network(seed: u64) -> Vdvae {
    let config = Preset::Tiny.config();
    Vdvae::new(&config, &Weights::initialise(&config, seed), &Device::Cpu).unwrap()
}

fn faces() -> ToyFaces {
    ToyFaces::with_people(0, [1, 1, 1])
}

fn extraction(dataset: &dyn Dataset) -> Extraction<'_> {
    Extraction {
        dataset,
        split: Split::Train,
        preparation: Preparation::new(16),
        on_bad_image: OnBadImage::Fail,
        batch_size: 7,
    }
}

fn latents(model: &Vdvae, layers: LayerSelection) -> FeatureSource<'_> {
    FeatureSource::Latents { model, spec: FeatureSpec::default(), layers }
}

/// Reads the sources through the cache: the tables, and how many came from it. No warnings.
fn read(
    cache: &FeatureCache,
    sources: &[FeatureSource<'_>],
    at: &Extraction<'_>,
) -> (Extracted, usize) {
    let (extracted, used) = read_with_warnings(cache, sources, at);
    assert_eq!(used.warnings, [""; 0]);
    (extracted, used.reused)
}

fn read_with_warnings(
    cache: &FeatureCache,
    sources: &[FeatureSource<'_>],
    at: &Extraction<'_>,
) -> (Extracted, CacheUse) {
    let named: Vec<_> = sources.iter().map(|source| ("a model", *source)).collect();
    cache.sources(&named).unwrap().get_or_extract(at, |_| ()).unwrap()
}

fn assert_same(a: &FeatureTable, b: &FeatureTable) {
    assert_eq!(a.features, b.features);
    assert_eq!(a.columns, b.columns);
    assert_eq!(a.keys, b.keys);
    assert_eq!(a.groups, b.groups);
    assert_eq!(a.targets, b.targets);
}

fn entries(cache: &FeatureCache) -> Vec<PathBuf> {
    folder::entries(cache.folder()).unwrap()
}

fn cache() -> (tempfile::TempDir, FeatureCache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(&folder.path().join("some/where")).unwrap();
    (folder, cache)
}

#[test]
fn what_is_read_back_is_what_was_extracted() {
    let (_folder, cache) = cache();
    let (model, random, faces) = (network(0), network(1), faces());
    let sources = [
        latents(&model, LayerSelection::All),
        latents(&random, LayerSelection::All),
        FeatureSource::Pixels,
    ];
    let extraction = extraction(&faces);
    let direct = extraction.run(&sources, |_| ()).unwrap();
    let (written, reused) = read(&cache, &sources, &extraction);
    assert_eq!(reused, 0);
    assert_eq!(entries(&cache).len(), 3);
    let counted = Cell::new(0);
    let named: Vec<_> = sources.iter().map(|source| ("a model", *source)).collect();
    let keyed = cache.sources(&named).unwrap();
    let (again, used) =
        keyed.get_or_extract(&extraction, |n| counted.set(counted.get() + n)).unwrap();
    assert_eq!((used.reused, counted.get()), (3, 20));
    for i in 0..3 {
        assert_same(&direct.tables[i], &written.tables[i]);
        assert_same(&direct.tables[i], &again.tables[i]);
    }
    assert_eq!(direct.indices, again.indices);
    assert_eq!((&direct.contents, direct.contents.len()), (&again.contents, 20));
    assert_ne!(again.tables[0].features, again.tables[1].features);
    // One source more: only it is computed.
    let state = FeatureSpec { statistic: Statistic::State, ..FeatureSpec::default() };
    let state = FeatureSource::Latents { model: &model, spec: state, layers: LayerSelection::All };
    let (more, reused) = read(&cache, &[sources[2], state, sources[0]], &extraction);
    assert_eq!(reused, 2);
    assert_same(&more.tables[0], &direct.tables[2]);
    assert_same(&more.tables[1], &extraction.run(&[state], |_| ()).unwrap().tables[0]);
    assert_same(&more.tables[2], &direct.tables[0]);
}

#[test]
fn an_entry_without_hashes_of_the_pictures_is_computed_again() {
    let (_folder, cache) = cache();
    let faces = faces();
    let extraction = extraction(&faces);
    read(&cache, &[FeatureSource::Pixels], &extraction);
    let path = entries(&cache).remove(0);
    // As an older version wrote it: under another name is as good as not at all.
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|text| text == b"\"contents\"").unwrap();
    fs::write(&path, [&bytes[..at], b"\"CONTENTS\"", &bytes[at + 10..]].concat()).unwrap();
    let (extracted, reused) = read(&cache, &[FeatureSource::Pixels], &extraction);
    assert_eq!((reused, extracted.contents.len()), (0, 20));
    assert_eq!(read(&cache, &[FeatureSource::Pixels], &extraction).1, 1);
}

#[test]
fn an_entry_of_all_layers_serves_some_of_them() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let extraction = extraction(&faces);
    let select = |selection| [latents(&model, selection)];
    let resolution = select(LayerSelection::Resolution(8));
    assert_eq!(read(&cache, &resolution, &extraction).1, 0);
    assert_eq!(read(&cache, &select(LayerSelection::Layer(0)), &extraction).1, 0);
    assert_eq!(entries(&cache).len(), 2);
    // The whole replaces its parts.
    assert_eq!(read(&cache, &select(LayerSelection::All), &extraction).1, 0);
    assert_eq!(entries(&cache).len(), 1);
    for selection in [
        LayerSelection::Resolution(8),
        LayerSelection::Layer(3),
        LayerSelection::First(5),
        LayerSelection::All,
    ] {
        let (extracted, reused) = read(&cache, &select(selection), &extraction);
        assert_eq!(reused, 1, "{selection}");
        let direct = extraction.run(&select(selection), |_| ()).unwrap();
        assert_same(&extracted.tables[0], &direct.tables[0]);
    }
    // Activations have no layers, but resolutions.
    let spec = FeatureSpec { statistic: Statistic::Activation, ..FeatureSpec::default() };
    let activations = |layers| [FeatureSource::Latents { model: &model, spec, layers }];
    assert_eq!(read(&cache, &activations(LayerSelection::All), &extraction).1, 0);
    assert_eq!(read(&cache, &activations(LayerSelection::Resolution(4)), &extraction).1, 1);
}

/// Everything that changes a feature, one by one, misses what is there.
#[test]
fn every_part_of_the_key_counts() {
    let (_folder, cache) = cache();
    let (model, other_weights, faces) = (network(0), network(1), faces());
    let base = extraction(&faces);
    let spec = FeatureSpec { statistic: Statistic::Z, ..FeatureSpec::default() };
    let source =
        |model, spec| FeatureSource::Latents { model, spec, layers: LayerSelection::Layer(1) };
    let mut seen = HashSet::new();
    let mut check = |what: &str, source: FeatureSource<'_>, at: &Extraction<'_>| {
        let keyed = KeyedSource::new("a", source).unwrap();
        assert!(seen.insert(key::stem(&keyed.identity(at))), "{what}");
    };
    check("base", source(&model, spec), &base);
    check("weights", source(&other_weights, spec), &base);
    let mut config = model.config().clone();
    config.shift += 0.25;
    let shifted = Vdvae::new(&config, &Weights::initialise(&config, 0), &Device::Cpu).unwrap();
    check("config", source(&shifted, spec), &base);
    let exact = model.clone().with_exact(true);
    check("exact", source(&exact, spec), &base);
    check("seed", source(&model, FeatureSpec { seed: 1, ..spec }), &base);
    check("samples", source(&model, FeatureSpec { samples: 2, ..spec }), &base);
    let pooling = Pooling::MEAN;
    check("pooling", source(&model, FeatureSpec { pooling, ..spec }), &base);
    let statistic = Statistic::Mean;
    check("statistic", source(&model, FeatureSpec { statistic, ..spec }), &base);
    check("pixels", FeatureSource::Pixels, &base);
    let other_data = ToyFaces::with_people(1, [1, 1, 1]);
    check("data", source(&model, spec), &extraction(&other_data));
    check("split", source(&model, spec), &Extraction { split: Split::Test, ..extraction(&faces) });
    let crop = Preparation { crop: vdvae_datasets::Crop::None, ..base.preparation };
    let resize = Preparation { resize: vdvae_datasets::Resize::Bicubic, ..base.preparation };
    let exif = Preparation { exif: vdvae_datasets::Exif::Ignore, ..base.preparation };
    for (what, preparation) in [("crop", crop), ("resize", resize), ("exif", exif)] {
        check(what, source(&model, spec), &Extraction { preparation, ..extraction(&faces) });
    }
    let size = Preparation::new(8);
    check("size", FeatureSource::Pixels, &Extraction { preparation: size, ..extraction(&faces) });

    // What changes nothing finds what is there.
    let mean = FeatureSpec::default();
    read(&cache, &[source(&model, mean)], &base);
    let seeded = source(&model, FeatureSpec { seed: 5, ..mean });
    let larger =
        Extraction { batch_size: 64, on_bad_image: OnBadImage::Skip, ..extraction(&faces) };
    assert_eq!(read(&cache, &[seeded], &larger).1, 1);
    // The same parameters again are the same network.
    assert_eq!(read(&cache, &[source(&network(0), mean)], &base).1, 1);
}

#[test]
fn a_damaged_entry_is_told_and_computed_again() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let (sources, extraction) = ([latents(&model, LayerSelection::First(3))], extraction(&faces));
    let whole = read(&cache, &sources, &extraction).0;
    let path = entries(&cache).remove(0);
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let text = std::str::from_utf8(&bytes[8..header]).unwrap();
    let version = 8 + text.find("\\\"version\\\":1").unwrap();
    let mut cases: Vec<Vec<u8>> =
        [0, 3, 8, 20, version + 12, header, header + 20 * 8 + 3].into_iter().map(flipped).collect();
    cases.extend([header + 1000, bytes.len() - 1].map(flipped));
    cases.extend([0, 4, 100, header, bytes.len() - 1].map(|length| bytes[..length].to_vec()));
    cases.push([&bytes[..], b"more"].concat());
    cases.push(b"not a safetensors file at all".to_vec());
    cases.push([&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat());
    for (i, case) in cases.into_iter().enumerate() {
        assert_ne!(case, bytes);
        fs::write(&path, case).unwrap();
        let (again, used) = read_with_warnings(&cache, &sources, &extraction);
        assert_same(&again.tables[0], &whole.tables[0]);
        assert_eq!(used.reused, 0, "case {i}");
        let [warning] = &used.warnings[..] else { panic!("case {i}: {:?}", used.warnings) };
        assert!(warning.starts_with(&path.display().to_string()), "{warning}");
        assert!(warning.ends_with("; computed again") && !warning.contains('\n'), "{warning}");
        // And it was written again as it was.
        assert_eq!(fs::read(&path).unwrap(), bytes, "case {i}");
    }
}

/// An entry whose name is right and whose contents are of something else.
#[test]
fn an_entry_under_another_name_is_not_believed() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let (sources, train) = ([latents(&model, LayerSelection::All)], extraction(&faces));
    let test = Extraction { split: Split::Test, ..extraction(&faces) };
    read(&cache, &sources, &train);
    let of_train = entries(&cache).remove(0);
    let direct = read(&cache, &sources, &test).0;
    let of_test = entries(&cache).into_iter().find(|path| *path != of_train).unwrap();
    fs::copy(of_train, of_test).unwrap();
    let (again, used) = read_with_warnings(&cache, &sources, &test);
    assert!(used.warnings[0].contains("features of something else"), "{:?}", used.warnings);
    assert_same(&again.tables[0], &direct.tables[0]);
}

#[test]
fn threads_that_share_a_folder_do_not_disturb_each_other() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let whole = extraction(&faces).run(&[latents(&model, LayerSelection::All)], |_| ()).unwrap();
    let selections = [LayerSelection::All, LayerSelection::First(4), LayerSelection::Resolution(8)];
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (cache, faces, model, whole) = (cache.clone(), &faces, &model, &whole);
            scope.spawn(move || {
                for round in 0..4 {
                    let selection = selections[(thread + round) % 3];
                    let sources = [latents(model, selection), FeatureSource::Pixels];
                    let tables = read(&cache, &sources, &extraction(faces)).0.tables;
                    let layers = selection.layers(model.config()).unwrap();
                    let kept = whole.tables[0].select_columns(|column| {
                        layers.iter().any(|layer| Some(layer.index) == column.layer)
                    });
                    assert_same(&tables[0], &kept);
                    if thread == 5 {
                        cache.clear().unwrap();
                    }
                }
            });
        }
    });
    let left: Vec<_> = fs::read_dir(cache.folder()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left.len(), entries(&cache).len(), "{left:?}");
}

#[test]
fn what_a_killed_run_left_is_removed_and_what_runs_is_not() {
    let (_folder, cache) = cache();
    let partial = |name: &str, age: u64| {
        let path = cache.folder().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"half of an entry").unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
        (path, file)
    };
    let (killed, file) = partial(".1-2-3.partial", 3600);
    drop(file);
    let (young, file) = partial(".1-2-4.partial", 0);
    drop(file);
    let (running, file) = partial(".1-2-5.partial", 3600);
    file.lock().unwrap();
    let (foreign, _) = partial("notes.txt", 3600);
    FeatureCache::open(cache.folder()).unwrap();
    let exist = [&killed, &young, &running, &foreign].map(|path| path.exists());
    assert_eq!(exist, [false, true, true, true]);
    drop(file);
    assert_eq!(cache.clear().unwrap(), (0, 0));
    assert_eq!([&running, &foreign].map(|path| path.exists()), [false, true]);
}

#[test]
fn a_cache_that_cannot_be_written_costs_a_warning() {
    let (folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let (sources, extraction) = ([latents(&model, LayerSelection::Layer(0))], extraction(&faces));
    fs::remove_dir_all(folder.path().join("some")).unwrap();
    let (extracted, used) = read_with_warnings(&cache, &sources, &extraction);
    assert_eq!(extracted.tables[0].rows(), 20);
    assert_eq!(used.warnings.len(), 2);
    assert!(used.warnings[0].contains("cannot read: "), "{:?}", used.warnings);
    assert!(used.warnings[1].contains("cannot write: "), "{:?}", used.warnings);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let message = FeatureCache::open(&file.join("in")).unwrap_err().to_string();
    assert!(message.contains("cannot create"), "{message}");
}

#[test]
fn pictures_that_were_left_out_are_told_again_and_never_served_where_they_must_not_be() {
    let (_folder, cache) = cache();
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train");
    fs::create_dir(&train).unwrap();
    for i in 0..4 {
        let picture = faces().render(Split::Train, i, 16).unwrap();
        picture.save(train.join(format!("{i}.png"))).unwrap();
    }
    let whole = fs::read(train.join("1.png")).unwrap();
    fs::write(train.join("1.png"), &whole[..whole.len() / 2]).unwrap();
    for split in ["valid", "test"] {
        fs::create_dir(folder.path().join(split)).unwrap();
        fs::copy(train.join("0.png"), folder.path().join(split).join("0.png")).unwrap();
    }
    let open = || Folder::open(folder.path(), 0).unwrap();
    let (data, model) = (open(), network(0));
    let spec = FeatureSpec { statistic: Statistic::Z, ..FeatureSpec::default() };
    let sources = [
        FeatureSource::Latents { model: &model, spec, layers: LayerSelection::All },
        FeatureSource::Pixels,
    ];
    let skip = Extraction { on_bad_image: OnBadImage::Skip, ..extraction(&data) };
    let first = read(&cache, &sources, &skip).0;
    assert_eq!(first.skipped[0].0, "train/1.png");
    let (again, reused) = read(&cache, &sources, &skip);
    assert_eq!((reused, again.tables[0].rows()), (2, 3));
    assert_eq!((&first.skipped, &first.indices), (&again.skipped, &again.indices));
    assert_same(&first.tables[0], &again.tables[0]);
    let named = sources.map(|source| ("a", source));
    let keyed = cache.sources(&named).unwrap();
    let error = keyed.get_or_extract(&extraction(&data), |_| ()).unwrap_err().to_string();
    assert!(error.contains("picture train/1.png"), "{error}");
    // Repaired, it is other data.
    fs::write(train.join("1.png"), &whole).unwrap();
    let data = open();
    assert_eq!(read(&cache, &sources, &extraction(&data)).1, 0);
}

#[test]
fn entries_are_listed_and_cleared() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let (sources, extraction) =
        ([latents(&model, LayerSelection::First(2)), FeatureSource::Pixels], extraction(&faces));
    read(&cache, &sources, &extraction);
    fs::write(cache.folder().join("mine.safetensors"), "").unwrap();
    let listed = cache.entries().unwrap();
    assert_eq!(listed.len(), 2);
    let contents: Vec<_> = listed.iter().map(|entry| entry.contents.clone().unwrap()).collect();
    let latents = contents.iter().find(|c| c.identity["model"] != Value::Null).unwrap();
    assert_eq!((&latents.model[..], &latents.data[..], latents.rows), ("a model", "toy-faces", 20));
    assert_eq!(latents.identity["features"]["pooling"], "grid:4");
    assert_eq!(latents.arrays, [("layer.000".to_owned(), 4), ("layer.001".to_owned(), 64)]);
    let pixels = contents.iter().find(|c| c.identity["model"] == Value::Null).unwrap();
    assert_eq!(pixels.arrays, [("pixels".to_owned(), 768)]);
    let bytes: u64 = listed.iter().map(|entry| entry.bytes).sum();
    // One that is damaged is listed as such, and goes with the others.
    let damaged = cache.folder().join(format!("{}-{}.safetensors", "a".repeat(64), "b".repeat(16)));
    fs::write(&damaged, "12345678").unwrap();
    assert!(cache.entries().unwrap().iter().any(|entry| entry.contents.is_err()));
    assert_eq!(cache.clear().unwrap(), (3, bytes + 8));
    assert_eq!(cache.entries().unwrap().len(), 0);
    assert!(cache.folder().join("mine.safetensors").exists());
}

#[test]
fn an_entry_is_a_safetensors_file_like_any_other() {
    let (_folder, cache) = cache();
    let (model, faces) = (network(0), faces());
    let (sources, extraction) = ([latents(&model, LayerSelection::First(2))], extraction(&faces));
    let table = read(&cache, &sources, &extraction).0.tables.remove(0);
    let bytes = fs::read(entries(&cache).remove(0)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let layer = file.tensor("layer.001").unwrap();
    assert_eq!(layer.shape(), [20, 64]);
    assert_eq!(layer.data()[..4], table.features[[0, 4]].to_le_bytes());
    let keys: Vec<String> = serde_json::from_slice(file.tensor("keys").unwrap().data()).unwrap();
    assert_eq!(keys, table.keys);
}
