//! Labels and splits that could be read in two ways.

use super::*;

/// Twenty pictures with a column `label`, of words or of floating-point numbers.
fn with_label(folder: &Path, kind: &str, labels: Column) -> Vec<u8> {
    let path = folder.join("label.parquet");
    let data = [Column::Bytes(numbered(20)), Column::Text(vec!["x"; 20]), labels];
    write(&path, &format!("{PICTURE} {kind}"), &data, &Layout::default());
    fs::read(path).unwrap()
}

fn words(folder: &Path, words: [&'static str; 2]) -> Vec<u8> {
    let labels = Column::Text((0..20).map(|i| words[i % 2]).collect());
    with_label(folder, "optional binary label (STRING);", labels)
}

#[test]
fn words_and_numbers_are_not_the_same_classes() {
    let folder = tempfile::tempdir().unwrap();
    let test = labelled(folder.path(), &[label([0, 1])], &[]);
    let none = labelled(folder.path(), &[("label", vec![None; 2])], &[]);
    let train = words(folder.path(), ["cat", "dog"]);
    for (test, expected) in [(test, Err(())), (none, Ok([16, 2, 2]))] {
        let files = vec![("train.parquet".into(), train.clone()), ("test.parquet".into(), test)];
        let server = Server::start(site("datasets/a/b", files));
        let other = tempfile::tempdir().unwrap();
        let found = open_with("hf:a/b", &options(&server, other.path()), &[]);
        match expected {
            Ok(expected) => assert_eq!(sizes(&*found.unwrap()), expected),
            Err(()) => {
                let text = error(found);
                let expected = "expected words in label of every file, found numbers in one";
                assert!(text.ends_with(expected), "{text}");
            }
        }
    }
}

#[test]
fn classes_of_one_split_may_have_other_numbers_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![
        ("train.parquet".into(), words(folder.path(), ["cat", "dog"])),
        ("test.parquet".into(), words(folder.path(), ["dog", "eel"])),
    ];
    let server = Server::start(site("datasets/a/b", files));
    let hub = options(&server, folder.path());
    let all = open_with("hf:a/b", &hub, &[]).unwrap();
    assert_eq!((classes(&*all, Split::Test).1[0], all.remarks()), (1, vec![]));
    let alone = open_with("hf:a/b", &hub, &[Split::Test]).unwrap();
    assert_eq!(classes(&*alone, Split::Test).1[0], 0);
    assert_eq!(alone.remarks(), ["classes are numbered among the splits that are read"]);
}

#[test]
fn a_label_of_whole_real_numbers_has_to_be_decided() {
    let folder = tempfile::tempdir().unwrap();
    let open = |value: fn(usize) -> f32, targets: &[&str]| {
        let labels = Column::Float((0..20).map(value).collect());
        let file = with_label(folder.path(), "required float label;", labels);
        let server = Server::start(site("datasets/a/b", vec![("train.parquet".into(), file)]));
        let other = tempfile::tempdir().unwrap();
        let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
        let hub = options(&server, other.path());
        crate::open("hf:a/b", &OpenOptions { hub, targets, ..OpenOptions::default() })
    };
    let whole = |i| (i % 3) as f32;
    let text = error(open(whole, &[]));
    assert!(text.contains("whole numbers in label are (label:class or label:real)"), "{text}");
    let classes_of = classes(&*open(whole, &["label:class"]).unwrap(), Split::Train).0;
    assert_eq!(classes_of, ["0", "1", "2"]);
    for (value, targets) in
        [(whole as fn(usize) -> f32, &["label:real"][..]), (|i| i as f32 / 2.0, &[])]
    {
        let Labels::Real { names, .. } = open(value, targets).unwrap().labels(Split::Train) else {
            panic!()
        };
        assert_eq!(names, ["label"]);
    }
}

#[test]
fn two_classes_of_one_name_stay_two() {
    let folder = tempfile::tempdir().unwrap();
    let names: &[(&str, &[&str])] = &[("label", &["crane", "eel", "crane"])];
    let file = labelled(folder.path(), &[label((0..30).map(|i| i % 3))], names);
    let server = Server::start(site("datasets/a/b", vec![("train.parquet".into(), file)]));
    let dataset = open_with("hf:a/b", &options(&server, folder.path()), &[]).unwrap();
    assert_eq!(classes(&*dataset, Split::Train).0, ["crane", "eel", "crane (2)"]);
}

#[test]
fn a_test_split_without_a_column_of_labels_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = |values: Vec<i64>, column: &str| {
        let values = values.into_iter().map(Some).collect();
        labelled(folder.path(), &[(column, values)], &[])
    };
    let files = vec![
        ("train.parquet".into(), file((0..40).map(|i| i % 2).collect(), "label")),
        ("validation.parquet".into(), file(vec![0, 1, 1], "label")),
        ("test.parquet".into(), file(vec![7; 5], "id")),
    ];
    let server = Server::start(site("datasets/a/b", files));
    let dataset = open_with("hf:a/b", &options(&server, folder.path()), &[]).unwrap();
    assert_eq!(sizes(&*dataset), [36, 4, 3]);
    let said = "the published test split (5 pictures) has no labels and is left out";
    assert_eq!(dataset.remarks()[0], said);
}

#[test]
fn a_split_of_the_card_without_files_is_not_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let card = |test: &str| {
        let text = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: \
                    a/*.parquet\n  - split: test\n    path: ";
        (CARD.to_owned(), format!("{text}{test}\n---\n").into_bytes())
    };
    let file = || ("a/x.parquet".to_owned(), parquet(folder.path(), 0..20));
    let mut all = site("datasets/a/b", vec![card("b/*.jsonl"), file()]);
    let other = vec![card("b/*.jsonl"), ("d/x.parquet".to_owned(), parquet(folder.path(), 0..20))];
    all.repositories.insert(("datasets/a/c".into(), "main".into()), other);
    let server = Server::start(all);
    let hub = options(&server, folder.path());
    let text = error(open_with("hf:a/b", &hub, &[Split::Train]));
    let expected = "expected Parquet files, found none of the split `test`, which the card lists";
    assert!(text.ends_with(expected), "{text}");
    let text = error(open_with("hf:a/c", &hub, &[]));
    assert!(text.ends_with("found none that its card lists among its 2 files"), "{text}");
}

#[test]
fn branches_may_have_slashes() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = site("datasets/a/b", vec![("x.txt".into(), vec![1])]);
    let files = vec![("train.parquet".into(), parquet(folder.path(), 0..20))];
    all.repositories.insert(("datasets/a/b".into(), "my/branch".into()), files);
    let server = Server::start(all);
    let hub = options(&server, folder.path());
    let dataset = open_with("hf:a/b@my%2Fbranch", &hub, &[]).unwrap();
    assert_eq!(dataset.name(), "hf:a/b@my%2Fbranch");
    let text = error(open_with("hf:a/b@my/branch", &hub, &[]));
    assert!(text.ends_with("or revision `my` (404); a slash in its name is written %2F"), "{text}");
    let text = error(open_with("hf:a/b", &hub, &[]));
    assert!(
        text.ends_with("expected Parquet files, found no Parquet file among its 1 files"),
        "{text}"
    );
}

#[test]
fn a_cache_that_another_program_filled_may_lack_splits() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows| (name.to_owned(), parquet(folder.path(), rows));
    let files = vec![file("train.parquet", 0..20), file("test.parquet", 20..25)];
    let server = Server::start(site("datasets/a/b", files));
    let hub = options(&server, folder.path());
    open_with("hf:a/b", &hub, &[Split::Train]).unwrap();
    let offline = HubOptions { offline: true, ..hub };
    assert_eq!(open_with("hf:a/b", &offline, &[Split::Train]).unwrap().remarks().len(), 1);
    // Only this program keeps the names of all files.
    fs::remove_dir_all(offline.cache.clone().unwrap().join("datasets--a--b/vdvae")).unwrap();
    let remarks = open_with("hf:a/b", &offline, &[]).unwrap().remarks();
    assert_eq!(remarks[1], "the cache does not say whether more splits are published");
    assert_eq!(remarks[2], "valid and test are drawn from train");
}
