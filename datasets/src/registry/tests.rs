use super::*;
use crate::Split;

fn message(spec: &str, options: &OpenOptions) -> String {
    open(spec, options).err().unwrap().to_string()
}

#[test]
fn unknown_names_list_the_valid_ones() {
    let options = OpenOptions::default();
    for spec in ["celebb", "", ":"] {
        let text = message(spec, &options);
        assert!(text.contains("toy-faces[:PEOPLE], celeba[:PATH]"), "{text}");
        assert!(text.contains(&format!("`{spec}`")), "{text}");
    }
    for spec in ["toy-faces:x", "toy-faces:0"] {
        let text = message(spec, &options);
        assert!(text.contains("of 1 to 1000000 people") && text.contains(spec), "{text}");
    }
}

#[test]
fn a_missing_path_names_every_way_to_give_one() {
    let text = message("celeba:", &OpenOptions::default());
    assert!(text.contains("celeba:PATH"), "{text}");
    assert!(text.contains("VDVAE_DATA") && text.contains("hub"), "{text}");
    assert!(text.contains("toy-faces") && !text.contains('\n'), "{text}");
    assert!(message("cifar10", &OpenOptions::default()).contains("cifar10:PATH"));
}

#[test]
fn paths_are_taken_from_the_name_then_the_root_then_the_collection() {
    let directory = tempfile::tempdir().unwrap();
    for folder in ["cifar10", "a", "b"] {
        std::fs::create_dir(directory.path().join(folder)).unwrap();
    }
    let at = |name: &str| directory.path().join(name);
    let mut options =
        OpenOptions { collection: Some(directory.path().into()), ..OpenOptions::default() };
    let in_folder = |name: &str, text: String| {
        let expected = format!("in {}:", at(name).display());
        assert!(text.contains(&expected), "{text}");
    };
    in_folder("cifar10", message("cifar10", &options));
    options.data_root = Some(at("a"));
    in_folder("a", message("cifar10", &options));
    in_folder("b", message(&format!("cifar10:{}", at("b").display()), &options));
}

#[test]
fn a_tilde_is_the_home_folder() {
    let home = std::env::home_dir().unwrap();
    assert_eq!(parse("folder:~/a/b").1, Some(home.join("a/b")));
    assert_eq!(parse("csv:~").1, Some(home));
    assert_eq!(parse("folder:~a/b").1, Some("~a/b".into()));
    assert_eq!(parse("folder:a/~").1, Some("a/~".into()));
}

#[test]
fn published_names_are_found_in_the_collection() {
    let directory = tempfile::tempdir().unwrap();
    let collection = Some(directory.path().to_owned());
    let options = OpenOptions { collection, ..OpenOptions::default() };
    for (name, file) in [
        ("lfw", "lfw-funneled.tgz"),
        ("omniglot", "omniglot"),
        ("tiny-imagenet", "tiny-imagenet-200.zip"),
        ("tiny-imagenet-fewshot", "tiny-imagenet-200.zip"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100-fine", "cifar-100-python"),
        ("mnist", "MNIST"),
        ("emnist-letters", "EMNIST"),
        ("celeba", "img_align_celeba.zip"),
    ] {
        std::fs::write(directory.path().join(file), b"").unwrap();
        assert_eq!(locate(name, &options).unwrap(), directory.path().join(file));
        // Found there, and refused by its reader.
        assert!(message(name, &options).contains(file), "{name}");
    }
    // The data set's own name comes first.
    std::fs::write(directory.path().join("lfw.tgz"), b"").unwrap();
    assert_eq!(locate("lfw", &options).unwrap(), directory.path().join("lfw.tgz"));
}

#[test]
fn entries_agree_with_each_other() {
    for entry in &DATASETS {
        assert!(entry.form.starts_with(entry.name) && !entry.description.is_empty());
        assert!(std::ptr::eq(DatasetEntry::of(entry.name).unwrap(), entry), "{}", entry.name);
        let episodes = entry.tasks.episodes.and_then(DatasetEntry::of);
        assert_eq!(episodes.is_some(), entry.tasks.episodes.is_some(), "{}", entry.name);
        let targets = entry.tasks.targets;
        assert!(targets.is_empty() || !entry.needs_path() || targets == [entry.form]);
    }
    assert_eq!(DatasetEntry::of("csv:a/b.csv").unwrap().name, "csv");
    assert!(DatasetEntry::of("celebb").is_none());
}

#[test]
fn the_only_split_of_emnist_needs_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    };
    let spec = format!("emnist:{}", directory.path().display());
    assert!(message(&spec, &OpenOptions::default()).contains("emnist-letters, found none"));
    write(
        "emnist-letters-test-images-idx3-ubyte",
        b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x07",
    );
    write("emnist-letters-test-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x03");
    let letters = open(&spec, &OpenOptions::default()).unwrap();
    assert_eq!((letters.name(), letters.len(Split::Test)), ("emnist-letters", 1));
    write("emnist-digits-test-images-idx3-ubyte", b"");
    let text = message(&spec, &OpenOptions::default());
    assert!(text.ends_with("found emnist-letters, emnist-digits"), "{text}");
}

#[test]
fn targets_reach_the_csv_reader() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.png"), crate::fixture::png()).unwrap();
    std::fs::write(directory.path().join("b.png"), crate::fixture::png()).unwrap();
    let path = directory.path().join("x.csv");
    std::fs::write(&path, "path,split,a,b\na.png,test,1,2\nb.png,test,0,3\n").unwrap();
    let options = OpenOptions { targets: vec!["b".parse().unwrap()], ..Default::default() };
    let dataset = open(&format!("csv:{}", path.display()), &options).unwrap();
    let crate::Labels::Classes { names, .. } = dataset.labels(Split::Test) else { panic!() };
    assert_eq!(names, ["2", "3"]);
    assert!(message("csv", &options).contains("csv:PATH"));
}

#[test]
fn the_seed_reaches_the_renderer() {
    let open_seed = |seed| open("toy-faces", &OpenOptions { seed, ..Default::default() });
    let picture = |seed| open_seed(seed).unwrap().image(Split::Train, 0).unwrap();
    assert_ne!(picture(0), picture(1));
}
