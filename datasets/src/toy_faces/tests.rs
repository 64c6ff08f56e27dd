use std::collections::HashSet;

use sha2::{Digest, Sha256};
use vdvae_io::hex;

use super::*;

const SIZE: usize = 32;

fn faces() -> ToyFaces {
    ToyFaces::new(0)
}

/// The bytes of these pictures are a promise: trained models and published numbers depend on them.
/// If drawing changes on purpose, raise `VERSION` and put the hash that the failure prints here.
#[test]
fn pictures_never_change() {
    let mut hash = Sha256::new();
    // Enough faces that every attribute is among them, present and absent.
    for index in (0..2000).step_by(47) {
        hash.update(faces().render(Split::Test, index, SIZE).unwrap().into_raw());
    }
    for (split, size) in [(Split::Train, 16), (Split::Valid, 64)] {
        hash.update(faces().render(split, 7, size).unwrap().into_raw());
    }
    let expected = "41b116da648afad83c7b8472b6044bfd7043b1a40fdd86b8fb64071513487c8c";
    assert_eq!(hex(hash.finalize()), expected);
}

#[test]
fn a_picture_depends_on_seed_and_index_only() {
    let picture = |seed, people, index| {
        ToyFaces::with_people(seed, people).render(Split::Valid, index, SIZE).unwrap()
    };
    assert_eq!(picture(0, [1, 3, 1], 25), picture(0, [9, 2, 5], 25));
    assert_ne!(picture(0, [1, 3, 1], 25), picture(1, [1, 3, 1], 25));
    assert_ne!(picture(0, [1, 3, 1], 25), picture(0, [1, 3, 1], 26));
}

#[test]
fn splits_are_disjoint_in_identity_and_complete() {
    let sizes = Split::ALL.map(|split| faces().len(split));
    assert_eq!(sizes, [4000, 1000, 2000]);
    let mut people = HashSet::new();
    for split in Split::ALL {
        let groups = faces().groups(split).unwrap();
        assert_eq!(groups.len(), faces().len(split));
        let own: HashSet<u64> = groups.iter().copied().collect();
        for person in &own {
            assert_eq!(groups.iter().filter(|group| *group == person).count(), 20);
        }
        assert!(own.iter().all(|&person| people.insert(person)), "{split} repeats a person");
    }
}

#[test]
fn a_person_keeps_their_own_attributes_and_shape() {
    for person in 0..20 {
        let first = faces().face(Split::Train, person * PICTURES);
        let last = faces().face(Split::Train, person * PICTURES + PICTURES - 1);
        for attribute in Attribute::ALL.into_iter().filter(|a| a.is_of_person()) {
            assert_eq!(first.traits.has(attribute), last.traits.has(attribute));
        }
        assert_eq!(first.person.skin, last.person.skin);
        assert_ne!(first.view.shift, last.view.shift);
    }
}

#[test]
fn base_rates_are_as_declared_and_in_range() {
    // Many people, few of their pictures matter: the deviation of a rate over 1500 people is 0.013.
    let wide = ToyFaces::with_people(0, [1500, 0, 0]);
    let rows: Vec<_> = (0..1500).map(|i| wide.face(Split::Train, i * PICTURES).traits).collect();
    for attribute in Attribute::ALL {
        let count = rows.iter().filter(|traits| traits.has(attribute)).count();
        let (rate, declared) = (count as f32 / 1500.0, attribute.base_rate());
        assert!((rate - declared).abs() < 0.05, "{}: {rate}", attribute.name());
        assert!((0.15..=0.6).contains(&declared), "{}: {declared}", attribute.name());
    }
    let both = |t: &attributes::Traits| t.has(Attribute::BlondHair) && t.has(Attribute::BlackHair);
    assert!(!rows.iter().any(both));
}

#[test]
fn labels_are_the_attributes_drawn() {
    let small = ToyFaces::with_people(3, [2, 0, 0]);
    let Labels::Binary { names, values } = small.labels(Split::Train) else { panic!() };
    assert_eq!(names.len(), Attribute::ALL.len());
    assert_eq!(values.len(), names.len() * 40);
    let column = names.iter().position(|name| name == "Hat").unwrap();
    for index in 0..40 {
        let hat = small.face(Split::Train, index).traits.has(Attribute::Hat);
        assert_eq!(values[index * names.len() + column], i8::from(hat));
    }
}

#[test]
fn the_studio_changes_pictures_only() {
    let (usual, studio) = (faces(), faces().in_studio());
    assert_eq!(studio.labels(Split::Valid), usual.labels(Split::Valid));
    assert_eq!(studio.groups(Split::Valid), usual.groups(Split::Valid));
    assert_ne!(studio.fingerprint(), usual.fingerprint());
    let picture = |faces: &ToyFaces| faces.render(Split::Valid, 3, SIZE).unwrap();
    assert_ne!(picture(&studio), picture(&usual));
    // Nothing is drawn anew: who and what is in a picture stays.
    let (face, plain) = (studio.face(Split::Valid, 3), usual.face(Split::Valid, 3));
    assert_eq!(face.view.smile, plain.view.smile);
    assert_eq!(face.person.mouth_width, plain.person.mouth_width);
}

/// Every attribute shows in the pixels at 32×32: in most faces it moves some value far, and global
/// attributes move many pixels while fine ones move few. Far is more than twice the strongest noise;
/// the darkest pictures keep less than half of the contrast of the scene.
#[test]
fn every_attribute_is_visible_at_32_pixels() {
    for attribute in Attribute::ALL {
        let (mut visible, mut changed) = (0, 0);
        const FACES: usize = 40;
        for index in 0..FACES {
            let mut face = faces().face(Split::Train, index * PICTURES + index % PICTURES);
            if attribute == Attribute::BlackHair {
                face.traits.set(Attribute::BlondHair, false);
            }
            let mut render = |value| {
                face.traits.set(attribute, value);
                render::render(&face, SIZE).into_raw()
            };
            let (with, without) = (render(true), render(false));
            let distance = |i: usize| with[i].abs_diff(without[i]);
            let far = (0..with.len()).filter(|&i| distance(i) >= 12).count();
            visible += usize::from(far >= 3);
            changed += far;
        }
        let mean = changed as f32 / FACES as f32;
        let name = attribute.name();
        assert!(visible * 10 >= FACES * 9, "{name}: visible in {visible} of {FACES} faces");
        let fine = (attribute as usize) >= Attribute::Earrings as usize;
        assert!(!fine || mean < 150.0, "{name} changes {mean} of 3072 values");
    }
}

#[test]
fn sizes_agree_with_each_other() {
    let large = faces().render(Split::Test, 9, 128).unwrap();
    let small = faces().render(Split::Test, 9, SIZE).unwrap();
    let shrunk = crate::Preparation::new(SIZE).apply(&large).unwrap();
    let pairs = small.as_raw().iter().zip(shrunk.as_raw());
    let mean = pairs.map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / 3072.0;
    // The same scene, differently antialiased.
    assert!(mean < 10.0, "mean difference {mean}");
    let tiny = faces().render(Split::Test, 9, 1).unwrap();
    assert_eq!(tiny.dimensions(), (1, 1));
}
