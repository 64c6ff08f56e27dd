//! The hub, end to end, against a server on this machine.

#[path = "../../../crates/hub/tests/support/client.rs"]
mod client;
mod labels;
#[path = "../../../crates/hub/tests/support/server.rs"]
mod server;
#[path = "../../../crates/hub/tests/support/tables.rs"]
mod tables;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vdvae_hub::{DownloadProgress, Progress};

use super::*;
use crate::{Labels, OnBadImage, Preparation, Split, load_batch};
use client::{Heard, options};
use server::{Answer, COMMIT, Server, Site};
use tables::{Column, Layout, PICTURE, Packing, numbered, write};

fn parquet(folder: &Path, rows: std::ops::Range<usize>) -> Vec<u8> {
    let path = folder.join("x.parquet");
    let pictures = numbered(rows.end)[rows.clone()].to_vec();
    let count = pictures.len();
    let data = [
        Column::Bytes(pictures),
        Column::Text(vec!["x"; count]),
        Column::Long(rows.clone().map(|row| Some(row as i64 / 2)).collect()),
        Column::Bool(rows.map(|row| Some(row % 3 == 0)).collect()),
    ];
    let schema = format!("{PICTURE} optional int64 celeb_id; optional boolean Smiling;");
    let layout = Layout { group: 5, compression: Packing::Snappy, ..Layout::default() };
    write(&path, &schema, &data, &layout);
    fs::read(path).unwrap()
}

const CONFIG: &str = "img_align+identity+attr";

/// CelebA as it lies on the hub, but with 24, 6 and 6 pictures.
fn celeba(folder: &Path) -> Site {
    let files = [
        ("test-00000-of-00001", 30..36),
        ("train-00000-of-00002", 0..12),
        ("train-00001-of-00002", 12..24),
        ("valid-00000-of-00001", 24..30),
    ];
    let mut files: Vec<(String, Vec<u8>)> = files
        .map(|(name, rows)| (format!("{CONFIG}/{name}.parquet"), parquet(folder, rows)))
        .into();
    files.push(("README.md".into(), b"# CelebA".to_vec()));
    site("datasets/flwrlabs/celeba", files)
}

fn site(repository: &str, files: Vec<(String, Vec<u8>)>) -> Site {
    let mut site = Site::default();
    site.repositories.insert((repository.into(), "main".into()), files);
    site
}

fn open_with(spec: &str, hub: &HubOptions, splits: &[Split]) -> Result<Box<dyn Dataset>> {
    let options =
        OpenOptions { hub: hub.clone(), splits: splits.to_vec(), ..OpenOptions::default() };
    crate::open(spec, &options)
}

fn error(result: Result<Box<dyn Dataset>>) -> String {
    let text = result.err().unwrap().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

/// The number that a picture of [`numbered`] is of.
fn number(dataset: &dyn Dataset, split: Split, index: usize) -> u8 {
    dataset.image(split, index).unwrap().get_pixel(0, 0).0[0]
}

#[test]
fn celeba_comes_from_the_hub_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(celeba(folder.path()));
    let heard = Arc::new(Heard::default());
    let hub =
        HubOptions { progress: Progress::new(heard.clone()), ..options(&server, folder.path()) };
    let faces = open_with("celeba", &hub, &[]).unwrap();
    assert_eq!(faces.name(), "celeba");
    assert_eq!(Split::ALL.map(|split| faces.len(split)), [24, 6, 6]);
    for (split, first) in Split::ALL.into_iter().zip([0, 24, 30]) {
        for index in (0..faces.len(split)).rev() {
            assert_eq!(usize::from(number(&*faces, split, index)), first + index);
        }
        let groups = faces.groups(split).unwrap();
        assert_eq!(groups[..3], [first as u64 / 2, first as u64 / 2, first as u64 / 2 + 1]);
        let Labels::Binary { names, values } = faces.labels(split) else { panic!() };
        assert_eq!((names, &values[..4]), (vec!["Smiling".to_owned()], &[1, 0, 0, 1][..]));
    }
    assert_eq!(faces.key(Split::Train, 13), "train/000013");
    assert_eq!(faces.key(Split::Test, 0), "test/000000");
    let batch = load_batch(&*faces, Split::Train, &[23, 2], &Preparation::new(4), OnBadImage::Fail)
        .unwrap();
    assert_eq!((batch.pixels[0], batch.pixels[4 * 4 * 3]), (23, 2));
    // Terms once, before the first of the card and four files; each announced with its size.
    let said = heard.all();
    assert!(said[0].starts_with("notice CelebA is available for non-commercial research"));
    assert_eq!(said.iter().filter(|text| text.starts_with("notice")).count(), 1, "{said:?}");
    let starts: Vec<_> = said.iter().filter(|text| text.starts_with("start")).collect();
    assert!(starts.len() == 5 && starts.iter().all(|text| text.contains("0 Some(")), "{said:?}");
    assert_eq!(said.iter().filter(|text| *text == "finish").count(), 5);
    assert_eq!(server.downloads("/storage/"), 5);

    // Again: from the cache, with the same fingerprint.
    let again = open_with("celeba", &hub, &[]).unwrap();
    assert_eq!(again.fingerprint(), faces.fingerprint());
    assert_eq!(again.stamp(), faces.stamp());
    assert_eq!(server.downloads("/storage/"), 5);
    assert_eq!(heard.all().len(), said.len());

    // Offline: the same, without a request.
    let before = server.requests().len();
    let offline = HubOptions { offline: true, ..hub };
    let cached = open_with("hf:flwrlabs/celeba", &offline, &[]).unwrap();
    assert_eq!(cached.fingerprint(), faces.fingerprint());
    assert_eq!(number(&*cached, Split::Valid, 5), 29);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn only_the_splits_asked_for_are_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(celeba(folder.path()));
    let hub = options(&server, folder.path());
    let faces = open_with("celeba", &hub, &[Split::Test]).unwrap();
    assert_eq!(Split::ALL.map(|split| faces.len(split)), [0, 0, 6]);
    // And the card.
    assert_eq!(server.downloads("/storage/"), 2);
    // Without the hub, what is there can be read, and what is not is named.
    let offline = HubOptions { offline: true, ..hub.clone() };
    assert_eq!(open_with("celeba", &offline, &[Split::Test]).unwrap().len(Split::Test), 6);
    let text = error(open_with("celeba", &offline, &[Split::Valid]));
    assert!(text.contains("the cache lacks"), "{text}");
    assert!(text.contains("celeba: no pictures") && text.contains("celeba:PATH"), "{text}");
    // A split of which a part is there is not taken for whole.
    open_with("celeba", &hub, &[Split::Train]).unwrap();
    let snapshot = folder.path().join("hub/datasets--flwrlabs--celeba/snapshots").join(COMMIT);
    fs::remove_file(snapshot.join(CONFIG).join("train-00000-of-00002.parquet")).unwrap();
    let text = error(open_with("hf:flwrlabs/celeba", &offline, &[Split::Train]));
    assert!(text.contains("the cache lacks") && text.contains("train-00000-of-00002"), "{text}");
    // Nor where another program has filled the cache, which does not note what there is.
    fs::remove_dir_all(folder.path().join("hub/datasets--flwrlabs--celeba/vdvae")).unwrap();
    let text = error(open_with("hf:flwrlabs/celeba", &offline, &[Split::Train]));
    assert!(text.contains("train-00000-of-00002.parquet is not in the cache"), "{text}");
}

#[test]
fn without_a_connection_one_line_names_every_way() {
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on: the listener goes before the request comes.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = HubOptions {
        endpoint: format!("http://{port}"),
        cache: Some(folder.path().join("hub")),
        offline: false,
        retry_delay: Duration::ZERO,
        ..HubOptions::default()
    };
    let offline = HubOptions { offline: true, ..unreachable.clone() };
    let cases = [(&unreachable, "cannot reach http://127.0.0.1"), (&offline, "HF_HUB_OFFLINE")];
    for (hub, why) in cases {
        let text = error(open_with("celeba", hub, &[]));
        let ways = ["celeba:PATH", "VDVAE_DATA", "flwrlabs/celeba", "toy-faces", why];
        for way in ways {
            assert!(text.contains(way), "{way}: {text}");
        }
        let text = error(open_with("hf:a/b", hub, &[]));
        assert!(text.starts_with("hf:a/b: ") && text.contains(why), "{text}");
    }
}

#[test]
fn a_hub_that_has_gone_leaves_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(celeba(folder.path()));
    let hub = options(&server, folder.path());
    open_with("celeba", &hub, &[]).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let heard = Arc::new(Heard::default());
    let gone = HubOptions {
        endpoint: format!("http://{port}"),
        progress: Progress::new(heard.clone()),
        ..hub
    };
    assert_eq!(open_with("celeba", &gone, &[]).unwrap().len(Split::Train), 24);
    assert!(heard.all()[0].contains("reading the cache"));
}

#[test]
fn refusals_are_one_line_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(celeba(folder.path()));
    let hub = options(&server, folder.path());
    let text = error(open_with("hf:no/body", &hub, &[]));
    assert_eq!(text, "hf:no/body: no such repository (404)");
    let text = error(open_with("hf:flwrlabs/celeba@v9", &hub, &[]));
    assert!(text.contains("revision `v9` (404)"), "{text}");
    let text = error(open_with("hf:flwrlabs/celeba/other", &hub, &[]));
    assert!(text.contains(&format!("the configurations {CONFIG}")), "{text}");
    for spec in ["hf:", "hf:a", "hf:../b", "hf:a/b/../../c"] {
        assert!(error(open_with(spec, &hub, &[])).contains("OWNER/REPO"), "{spec}");
    }
    server.site.lock().unwrap().token = Some("secret".into());
    let text = error(open_with("celeba", &hub, &[]));
    assert!(text.contains("HF_TOKEN") && text.contains("401"), "{text}");
    let with_token = HubOptions { token: Some("secret".into()), ..hub.clone() };
    assert!(!format!("{with_token:?}").contains("secret"));
    open_with("celeba", &with_token, &[Split::Valid]).unwrap();
    server.site.lock().unwrap().gated = true;
    let text = error(open_with("celeba", &with_token, &[]));
    let page = format!("accept its terms at {}/datasets/flwrlabs/celeba", server.url);
    assert!(text.contains("403") && text.contains(&page), "{text}");
}

#[test]
fn a_busy_hub_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = celeba(folder.path());
    // Listing, description and body of a file: each is refused at first.
    site.script = vec![
        ("/api/", Answer::Busy(0)),
        ("/api/", Answer::Status(503)),
        ("/datasets/", Answer::Busy(0)),
        ("/storage/", Answer::Status(502)),
    ];
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    assert_eq!(open_with("celeba", &hub, &[Split::Test]).unwrap().len(Split::Test), 6);
    // For ever: a bounded number of requests, and no waiting for a day.
    server.site.lock().unwrap().script = vec![("/api/", Answer::Busy(86_400)); 100];
    let before = server.requests().len();
    let text = error(open_with("celeba", &hub, &[]));
    assert!(text.contains("429") && text.contains("wait 86400 seconds"), "{text}");
    assert!(server.requests().len() - before <= 10);
}

#[test]
fn a_body_that_breaks_off_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = celeba(folder.path());
    site.repositories.values_mut().for_each(|files| files.retain(|(name, _)| name != CARD));
    site.script = vec![("/storage/", Answer::Cut(100)), ("/storage/", Answer::Cut(0))];
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    let faces = open_with("celeba", &hub, &[Split::Test]).unwrap();
    assert_eq!(number(&*faces, Split::Test, 5), 35);
    let ranges: Vec<String> = server.requests();
    let ranges: Vec<&String> = ranges.iter().filter(|line| line.contains("GET /storage")).collect();
    assert!(ranges.len() == 3 && ranges[2].ends_with(" bytes=100-"), "{ranges:?}");
    server.site.lock().unwrap().script = vec![("/storage/", Answer::Cut(0)); 100];
    let text = error(open_with("celeba", &hub, &[Split::Valid]));
    assert!(text.contains("valid-00000-of-00001.parquet: the download broke off after 0 of"));
    assert!(text.contains("4 times in a row"), "{text}");
    // Nothing of it is taken for the file.
    server.site.lock().unwrap().script.clear();
    assert_eq!(open_with("celeba", &hub, &[Split::Valid]).unwrap().len(Split::Valid), 6);
}

#[test]
fn a_body_that_is_not_the_file_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(celeba(folder.path()));
    let hub = options(&server, folder.path());
    let cases = [
        // As storage answers when a signature has expired.
        (Answer::Status(403), "access denied (403)"),
        (Answer::Status(404), "no such file: "),
        (Answer::Claim(10), "bytes, found 10"),
        (Answer::Claim(1 << 50), "bytes, found 1125899906842624"),
    ];
    for (answer, expected) in cases {
        server.site.lock().unwrap().script = vec![("/storage/", answer)];
        let text = error(open_with("celeba", &hub, &[Split::Valid]));
        assert!(text.starts_with("hf:flwrlabs/celeba: ") && text.contains(expected), "{text}");
    }
    assert_eq!(open_with("celeba", &hub, &[Split::Valid]).unwrap().len(Split::Valid), 6);
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![("../../../train.parquet".to_owned(), vec![0])];
    let server = Server::start(site("datasets/a/b", files));
    let text = error(open_with("hf:a/b", &options(&server, folder.path()), &[]));
    assert!(text.contains("to list files, found the file"), "{text}");
}

#[test]
fn a_corrupt_file_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![("train.parquet".to_owned(), b"PAR1, but no more".to_vec())];
    let server = Server::start(site("datasets/a/b", files));
    let text = error(open_with("hf:a/b", &options(&server, folder.path()), &[]));
    assert!(text.contains("train.parquet: expected a whole Parquet file, found"), "{text}");
}

#[test]
fn what_is_not_published_is_drawn_from_train() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows| (name.to_owned(), parquet(folder.path(), rows));
    let server = Server::start(site("datasets/a/all", vec![file("train.parquet", 0..60)]));
    let two = vec![file("train.parquet", 0..40), file("test.parquet", 40..50)];
    let labelled = vec![file("train.parquet", 0..40), file("validation.parquet", 40..50)];
    {
        let mut site = server.site.lock().unwrap();
        site.repositories.insert(("datasets/a/two".into(), "main".into()), two);
        site.repositories.insert(("datasets/a/dev".into(), "main".into()), labelled);
    }
    let hub = options(&server, folder.path());
    for (name, published, test) in [("hf:a/all", 60, 6), ("hf:a/two", 40, 10), ("hf:a/dev", 40, 10)]
    {
        let faces = open_with(name, &hub, &[]).unwrap();
        let counts = Split::ALL.map(|split| faces.len(split));
        assert_eq!(counts[2], test, "{name}");
        assert_eq!(counts.iter().sum::<usize>(), published + if test == 6 { 0 } else { 10 });
        assert!(counts[1] >= 4 && counts[1] <= 6, "{name}: {counts:?}");
        // Nobody is in two splits, and no picture either.
        let groups = |split| faces.groups(split).unwrap();
        let train = groups(Split::Train);
        for split in [Split::Valid, Split::Test] {
            assert!(groups(split).iter().all(|group| !train.contains(group)), "{name}");
        }
        // Alone, a split is what it is beside the others.
        for split in Split::ALL {
            let alone = open_with(name, &hub, &[split]).unwrap();
            let keys = |from: &dyn Dataset| -> Vec<String> {
                (0..from.len(split)).map(|index| from.key(split, index)).collect()
            };
            assert_eq!(keys(&*alone), keys(&*faces), "{name} {split}");
        }
    }
}

#[test]
fn repositories_without_parquet_are_read_from_their_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = site("datasets/a/b", vec![("cats/1.jpg".to_owned(), vec![1])]);
    let revision = "refs/convert/parquet";
    let files = vec![("default/train/0000.parquet".to_owned(), parquet(folder.path(), 0..20))];
    site.repositories.insert(("datasets/a/b".into(), revision.into()), files);
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    assert_eq!(open_with("hf:a/b", &hub, &[]).unwrap().len(Split::Train), 16);
}

#[test]
fn models_and_data_sets_are_fetched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![("model.safetensors".to_owned(), vec![7; 300]), ("x.th".into(), vec![8; 3])];
    let mut site = site("a/m", files);
    let faces = vec![("train.parquet".to_owned(), parquet(folder.path(), 0..20))];
    site.repositories.insert(("datasets/a/d".into(), "main".into()), faces);
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    assert!(matches!(fetch("hf:a/d", &hub).unwrap(), Fetched::Dataset(_)));
    assert!(matches!(fetch("hf:a/m", &hub).unwrap(), Fetched::Weights(_)));
    assert!(matches!(fetch("hf:a/m/x.th", &hub).unwrap(), Fetched::Weights(_)));
    let text = |name: &str| fetch(name, &hub).err().unwrap().to_string();
    assert!(text("hf:a/none").contains("no such repository"));
    assert!(text("imagenet65").contains("celeba, hf:OWNER/REPO"));
}

/// Ten pictures of one number each with a column of 64-bit integers, and what the library `datasets`
/// notes about it.
fn labelled(
    folder: &Path,
    columns: &[(&str, Vec<Option<i64>>)],
    names: &[(&str, &[&str])],
) -> Vec<u8> {
    let path = folder.join("labelled.parquet");
    let count = columns[0].1.len();
    let mut data = vec![Column::Bytes(numbered(count)), Column::Text(vec!["x"; count])];
    data.extend(columns.iter().map(|(_, values)| Column::Long(values.clone())));
    let fields: String =
        columns.iter().map(|(name, _)| format!("optional int64 {name};")).collect();
    let features = names.iter().map(|(column, names)| {
        ((*column).to_owned(), serde_json::json!({"_type": "ClassLabel", "names": names}))
    });
    let features: serde_json::Map<String, serde_json::Value> = features.collect();
    let json = serde_json::json!({"info": {"features": features}}).to_string();
    let metadata = (!names.is_empty()).then_some(json);
    write(&path, &format!("{PICTURE} {fields}"), &data, &Layout { metadata, ..Layout::default() });
    fs::read(path).unwrap()
}

fn label(values: impl IntoIterator<Item = i64>) -> (&'static str, Vec<Option<i64>>) {
    ("label", values.into_iter().map(Some).collect())
}

fn classes(dataset: &dyn Dataset, split: Split) -> (Vec<String>, Vec<u32>) {
    let Labels::Classes { names, labels } = dataset.labels(split) else { panic!() };
    (names, labels)
}

fn sizes(dataset: &dyn Dataset) -> [usize; 3] {
    Split::ALL.map(|split| dataset.len(split))
}

const CARD_TEXT: &str = "---
license: mit
configs:
- config_name: small
  data_files: few/train.parquet
- config_name: whole
  default: true
  data_files:
  - split: train
    path: data/part-*
  - split: train_extra
    path: more/*.parquet
  - split: test
    path: ['held/**/*.parquet']
---
# Pictures
";

#[test]
fn the_card_says_which_files_are_which_split() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows| (name.to_owned(), parquet(folder.path(), rows));
    let files = vec![
        ("README.md".to_owned(), CARD_TEXT.as_bytes().to_vec()),
        file("data/part-b.parquet", 30..40),
        file("data/part-a.parquet", 0..30),
        file("more/x.parquet", 60..64),
        file("held/out/0.parquet", 40..50),
        file("few/train.parquet", 50..58),
    ];
    let server = Server::start(site("datasets/a/b", files));
    let hub = options(&server, folder.path());
    let whole = open_with("hf:a/b", &hub, &[]).unwrap();
    assert_eq!(whole.len(Split::Test), 10);
    assert_eq!(sizes(&*whole).iter().sum::<usize>(), 50);
    assert_eq!(number(&*whole, Split::Test, 0), 40);
    assert_eq!(number(&*whole, Split::Train, 0), 0);
    let group = "rows of one `celeb_id` are a group";
    assert_eq!(whole.remarks(), ["left out, of no known split: train_extra", group]);
    let small = open_with("hf:a/b/small", &hub, &[]).unwrap();
    assert_eq!(sizes(&*small).iter().sum::<usize>(), 8);
    assert_eq!(small.remarks(), [group, "valid and test are drawn from train"]);
    let text = error(open_with("hf:a/b/other", &hub, &[]));
    assert!(text.contains("the configurations ") && text.contains("small, whole"), "{text}");
    // Offline, from the cache.
    let offline = HubOptions { offline: true, ..hub.clone() };
    assert_eq!(open_with("hf:a/b", &offline, &[]).unwrap().fingerprint(), whole.fingerprint());
    // Without a usual one, and where it cannot be read.
    let unusual = CARD_TEXT.replace("  default: true\n", "");
    for (card, expected) in [
        (
            unusual.as_str(),
            "expected Parquet files, found the configurations small, whole; add one",
        ),
        ("---\nconfigs: 3\n---\n", "README.md: expected a card that says in YAML which files"),
    ] {
        let files = vec![(CARD.to_owned(), card.as_bytes().to_vec()), file("x.parquet", 0..3)];
        let server = Server::start(site("datasets/a/c", files));
        let other = tempfile::tempdir().unwrap();
        let text = error(open_with("hf:a/c", &options(&server, other.path()), &[]));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn one_file_and_other_revisions_are_named_in_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows| (name.to_owned(), parquet(folder.path(), rows));
    let mut site = site("datasets/a/b", vec![file("data/train-00000-of-00002.parquet", 0..20)]);
    for (revision, rows) in [("refs/convert/parquet", 0..30), ("refs/pr/1", 0..40)] {
        let files = vec![file(&format!("default/train/{}.parquet", rows.end), rows)];
        site.repositories.insert(("datasets/a/b".into(), revision.into()), files);
    }
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    for (spec, pictures) in [
        ("hf:a/b/data/train-00000-of-00002.parquet", 20),
        ("hf:a/b@refs/convert/parquet", 30),
        ("hf:a/b@refs/pr/1/default", 40),
    ] {
        let dataset = open_with(spec, &hub, &[]).unwrap();
        assert_eq!(sizes(&*dataset).iter().sum::<usize>(), pictures, "{spec}");
        assert_eq!(dataset.name(), spec);
    }
    let text = error(open_with("hf:a/b", &hub, &[]));
    assert!(text.contains("data/train-00001-of-00002.parquet is not in the repository"), "{text}");
    let text = error(open_with("hf:a/b/none.parquet", &hub, &[]));
    assert!(text.contains("none.parquet"), "{text}");
}

#[test]
fn classes_are_the_same_by_name_in_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let train = labelled(folder.path(), &[label([0, 1, 0, 1])], &[("label", &["cat", "dog"])]);
    let test = labelled(folder.path(), &[label([0, 1, 2])], &[("label", &["dog", "cat", "eel"])]);
    let files = vec![("train.parquet".into(), train), ("test.parquet".into(), test)];
    let server = Server::start(site("datasets/a/b", files));
    let dataset = open_with("hf:a/b", &options(&server, folder.path()), &[]).unwrap();
    let (names, labels) = classes(&*dataset, Split::Test);
    let named: Vec<&str> = labels.iter().map(|&label| names[label as usize].as_str()).collect();
    assert_eq!(named, ["dog", "cat", "eel"]);
    assert_eq!(names, ["cat", "dog", "eel"]);
}

#[test]
fn the_card_may_name_the_classes() {
    let folder = tempfile::tempdir().unwrap();
    let card = "---\ndataset_info:\n  features:\n  - name: kind\n    dtype:\n      class_label:\n        \
                names:\n          '0': cat\n          '1': dog\n---\n";
    let columns = [("kind", (0..20).map(|i| Some(i % 2)).collect())];
    let files = vec![
        (CARD.to_owned(), card.as_bytes().to_vec()),
        ("train.parquet".to_owned(), labelled(folder.path(), &columns, &[])),
    ];
    let server = Server::start(site("datasets/a/b", files));
    let dataset = open_with("hf:a/b", &options(&server, folder.path()), &[]).unwrap();
    assert_eq!(classes(&*dataset, Split::Train).0, ["cat", "dog"]);
}

#[test]
fn a_test_split_without_labels_is_left_out_and_valid_serves() {
    let folder = tempfile::tempdir().unwrap();
    let names: &[(&str, &[&str])] = &[("label", &["cat", "dog"])];
    let train = labelled(folder.path(), &[label((0..40).map(|i| i % 2))], names);
    let valid = labelled(folder.path(), &[label([0, 1, -1, 1])], names);
    let missing = [label([-1; 5]), ("label", vec![None; 5])];
    for (repository, missing) in ["a/minus", "a/null"].into_iter().zip(missing) {
        let test = labelled(folder.path(), &[missing], names);
        let files = vec![
            ("train.parquet".to_owned(), train.clone()),
            ("validation.parquet".to_owned(), valid.clone()),
            ("test.parquet".to_owned(), test),
        ];
        let server = Server::start(site(&format!("datasets/{repository}"), files));
        let hub = options(&server, folder.path());
        let dataset = open_with(&format!("hf:{repository}"), &hub, &[]).unwrap();
        assert_eq!(sizes(&*dataset), [36, 4, 3]);
        assert_eq!(classes(&*dataset, Split::Test).1, [0, 1, 1]);
        assert_eq!(dataset.key(Split::Test, 2), "valid/000003");
        let remarks = [
            "the published test split (5 pictures) has no labels and is left out",
            "the published valid split serves as test; valid is drawn from train",
            "1 of 4 pictures of the published valid split have no label and are left out",
        ];
        assert_eq!(dataset.remarks(), remarks);
        // Alone, a split is what it is beside the others.
        let alone = open_with(&format!("hf:{repository}"), &hub, &[Split::Train]).unwrap();
        assert_eq!(sizes(&*alone), [36, 0, 0]);
    }
}

#[test]
fn targets_of_the_hub_may_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let columns = [
        ("fine_label", (0..20).map(|i| Some(i % 4)).collect()),
        ("coarse_label", (0..20).map(|i| Some(i % 4 / 2)).collect()),
        ("sign", (0..20).map(|i| Some(i % 2 * 2 - 1)).collect()),
    ];
    let names: &[(&str, &[&str])] =
        &[("fine_label", &["a", "b", "c", "d"]), ("coarse_label", &["ab", "cd"])];
    let files = vec![("train.parquet".into(), labelled(folder.path(), &columns, names))];
    let server = Server::start(site("datasets/a/b", files));
    let hub = options(&server, folder.path());
    let open = |targets: &[&str]| {
        let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        crate::open("hf:a/b", &OpenOptions { hub: hub.clone(), targets, ..OpenOptions::default() })
    };
    let text = error(open(&[]));
    assert!(text.ends_with("one column of classes, found fine_label, coarse_label"), "{text}");
    // Nothing has to be chosen to download it.
    let Fetched::Dataset(all) = fetch("hf:a/b", &hub).unwrap() else { panic!() };
    assert_eq!((sizes(&*all), all.labels(Split::Train)), ([16, 2, 2], Labels::None));
    let [fine, coarse] = ["fine_label", "coarse_label"].map(|name| open(&[name]).unwrap());
    assert_eq!(classes(&*fine, Split::Test).0, ["a", "b", "c", "d"]);
    assert_eq!(classes(&*coarse, Split::Test).0, ["ab", "cd"]);
    assert_ne!(fine.fingerprint(), coarse.fingerprint());
    let (names, labels) = classes(&*open(&["sign:class"]).unwrap(), Split::Train);
    assert_eq!((names, &labels[..]), (vec!["-1".to_owned(), "1".into()], &labels[..]));
    assert!(labels.contains(&0) && labels.contains(&1));
    let sign = open(&["sign:binary"]).unwrap();
    let Labels::Binary { values, .. } = sign.labels(Split::Train) else { panic!() };
    assert!(values.iter().all(|value| [0, 1].contains(value)));
}

#[test]
fn labels_of_plus_and_minus_one_are_two_classes() {
    let folder = tempfile::tempdir().unwrap();
    let train = labelled(folder.path(), &[label((0..20).map(|i| i % 2 * 2 - 1))], &[]);
    let test = labelled(folder.path(), &[label([1, -1, -1])], &[]);
    let files = vec![("train.parquet".into(), train), ("test.parquet".into(), test)];
    let server = Server::start(site("datasets/a/b", files));
    let dataset = open_with("hf:a/b", &options(&server, folder.path()), &[]).unwrap();
    let expected = (vec!["-1".to_owned(), "1".into()], vec![1, 0, 0]);
    assert_eq!(classes(&*dataset, Split::Test), expected);
    assert_eq!(dataset.len(Split::Train), 18);
}
