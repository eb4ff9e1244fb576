use proptest::prelude::*;

use super::*;
use crate::models::testing::fingerprint;

fn version(number: u64) -> Version {
    number.to_string().parse().unwrap()
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn folder(versions: &[(u64, u64)]) -> ModelFolder {
    let fingerprinted =
        |&(number, content): &(u64, u64)| (version(number), Some(fingerprint(content)));
    ModelFolder::Versions(versions.iter().map(fingerprinted).collect())
}

/// The model `m` with these versions and contents.
fn holds(versions: &[(u64, u64)]) -> Listing {
    Listing::from([(name("m"), folder(versions))])
}

/// Versions of `m` with the contents that serve and that failed.
fn knows(versions: &[(u64, Option<u64>, Option<u64>)]) -> KnownModels {
    let known = |&(number, serving, failed): &(u64, Option<u64>, Option<u64>)| {
        let known = KnownVersion {
            serving: serving.map(fingerprint),
            failed: failed.map(fingerprint),
        };
        (version(number), known)
    };
    KnownModels::from([(name("m"), versions.iter().map(known).collect())])
}

fn load(number: u64, content: u64) -> Option<Action> {
    Some(Action::Load {
        name: name("m"),
        version: version(number),
        fingerprint: fingerprint(content),
    })
}

fn unload_of(number: u64) -> Option<Action> {
    Some(unload(&name("m"), version(number)))
}

/// The next action where nothing has changed since the listing before.
fn settled(now: &Listing, known: &KnownModels, keep: usize) -> Option<Action> {
    next_action(now, Some(now), known, NonZeroUsize::new(keep).unwrap())
}

/// Another model, of which nothing is left to do.
fn other() -> Listing {
    Listing::from([(name("unreadable"), ModelFolder::Unreadable)])
}

/// The model `m` with version 1, and another version that can't be read.
fn unreadable_version(number: u64) -> Listing {
    let versions = BTreeMap::from([(version(1), Some(fingerprint(1))), (version(number), None)]);
    Listing::from([(name("m"), ModelFolder::Versions(versions))])
}

const SERVES: Option<u64> = Some(1);
const FAILED: Option<u64> = Some(1);

#[test]
fn at_the_start_versions_are_tried_from_the_highest_down_until_one_serves() {
    let now = holds(&[(1, 1), (2, 1), (10, 1)]);
    let start = |known: &KnownModels| next_action(&now, None, known, NonZeroUsize::MIN);
    assert_eq!(start(&KnownModels::new()), load(10, 1));
    assert_eq!(start(&knows(&[(10, None, FAILED)])), load(2, 1));
    let served = knows(&[(2, SERVES, None), (10, None, FAILED)]);
    assert_eq!(start(&served), None);
}

#[test]
fn what_is_done_in_each_situation() {
    let one = knows(&[(1, SERVES, None)]);
    for (what, now, known, keep, action) in [
        ("nothing to do", holds(&[(1, 1)]), one.clone(), 1, None),
        (
            "a new version",
            holds(&[(1, 1), (2, 1)]),
            one.clone(),
            1,
            load(2, 1),
        ),
        (
            "the new version serves",
            holds(&[(1, 1), (2, 1)]),
            knows(&[(1, SERVES, None), (2, SERVES, None)]),
            1,
            unload_of(1),
        ),
        (
            "both are to serve",
            holds(&[(1, 1), (2, 1)]),
            knows(&[(1, SERVES, None), (2, SERVES, None)]),
            2,
            None,
        ),
        (
            "the new version is bad",
            holds(&[(1, 1), (2, 1)]),
            knows(&[(1, SERVES, None), (2, None, FAILED)]),
            1,
            None,
        ),
        (
            "the bad version was mended",
            holds(&[(1, 1), (2, 2)]),
            knows(&[(1, SERVES, None), (2, None, FAILED)]),
            1,
            load(2, 2),
        ),
        (
            "an older version than the one that serves",
            holds(&[(1, 1), (2, 1)]),
            knows(&[(2, SERVES, None)]),
            1,
            None,
        ),
        (
            "the version that serves has new content",
            holds(&[(1, 2)]),
            one.clone(),
            1,
            load(1, 2),
        ),
        (
            "its new content is bad: the old one serves on",
            holds(&[(1, 2)]),
            knows(&[(1, SERVES, Some(2))]),
            1,
            None,
        ),
        (
            "the newest version was taken back: the one before comes first",
            holds(&[(1, 1)]),
            knows(&[(2, SERVES, None)]),
            1,
            load(1, 1),
        ),
        (
            "the one before serves again",
            holds(&[(1, 1)]),
            knows(&[(1, SERVES, None), (2, SERVES, None)]),
            1,
            unload_of(2),
        ),
        (
            "the one before is bad: what serves stays",
            holds(&[(1, 1)]),
            knows(&[(1, None, FAILED), (2, SERVES, None)]),
            1,
            None,
        ),
        (
            "a bad version was removed",
            holds(&[(1, 1)]),
            knows(&[(1, SERVES, None), (2, None, FAILED)]),
            1,
            unload_of(2),
        ),
        (
            "the model was removed",
            other(),
            one.clone(),
            1,
            unload_of(1),
        ),
        (
            "all versions were removed",
            [other(), holds(&[])].into_iter().flatten().collect(),
            one.clone(),
            1,
            unload_of(1),
        ),
        (
            "the directory is empty",
            Listing::new(),
            one.clone(),
            1,
            None,
        ),
        ("all folders are empty", holds(&[]), one.clone(), 1, None),
        (
            "a new version can't be read",
            unreadable_version(2),
            one.clone(),
            1,
            None,
        ),
        (
            "the version that serves can't be read",
            unreadable_version(1),
            one.clone(),
            1,
            None,
        ),
        (
            "the newest version can't be read and none serves",
            unreadable_version(2),
            KnownModels::new(),
            1,
            load(1, 1),
        ),
        (
            "the folder can't be read",
            Listing::from([(name("m"), ModelFolder::Unreadable)]),
            one,
            1,
            None,
        ),
    ] {
        assert_eq!(settled(&now, &known, keep), action, "{what}");
    }
}

#[test]
fn what_may_still_be_written_is_not_loaded() {
    let (before, now) = (holds(&[(1, 1), (2, 1)]), holds(&[(1, 1), (2, 2)]));
    let known = knows(&[(1, SERVES, None)]);
    assert_eq!(
        next_action(&now, Some(&before), &known, NonZeroUsize::MIN),
        None
    );
    assert_eq!(settled(&now, &known, 1), load(2, 2));
    let appeared = next_action(&now, Some(&holds(&[(1, 1)])), &known, NonZeroUsize::MIN);
    assert_eq!(appeared, None);
    let unreadable = Listing::from([(name("m"), ModelFolder::Unreadable)]);
    assert_eq!(
        next_action(&now, Some(&unreadable), &known, NonZeroUsize::MIN),
        None
    );
}

#[test]
fn a_version_that_serves_must_be_gone_twice() {
    let known = knows(&[(2, SERVES, None)]);
    let before = holds(&[(1, 1), (2, 1)]);
    let removed: Listing = other();
    for (what, now, then) in [
        ("the version", holds(&[(1, 1)]), load(1, 1)),
        ("the model", removed, unload_of(2)),
    ] {
        let action = next_action(&now, Some(&before), &known, NonZeroUsize::MIN);
        assert_eq!(action, None, "{what}");
        assert_eq!(settled(&now, &known, 1), then, "{what}");
        let unreadable = Listing::from([(name("m"), ModelFolder::Unreadable)]);
        let action = next_action(&now, Some(&unreadable), &known, NonZeroUsize::MIN);
        assert_eq!(action, None, "{what}, after a look that saw nothing");
    }
}

#[test]
fn changed_content_that_is_not_settled_leaves_the_old_one_serving() {
    let (before, now) = (holds(&[(2, 1)]), holds(&[(2, 2)]));
    let known = knows(&[(1, SERVES, None), (2, SERVES, None)]);
    let action = next_action(&now, Some(&before), &known, NonZeroUsize::MIN);
    assert_eq!(
        action,
        unload_of(1),
        "version 2 serves, with its old content"
    );
}

#[test]
fn one_model_does_not_hold_up_another() {
    let now = Listing::from([
        (name("a"), ModelFolder::Unreadable),
        (name("b"), folder(&[(1, 1)])),
    ]);
    let action = settled(&now, &KnownModels::new(), 1);
    let expected = Action::Load {
        name: name("b"),
        version: version(1),
        fingerprint: fingerprint(1),
    };
    assert_eq!(action, Some(expected));
}

/// Does a action; content with an odd number can't be loaded.
fn apply_action(known: &mut KnownModels, action: Action) {
    match action {
        Action::Load {
            name,
            version,
            fingerprint: content,
        } => {
            let entry = known.entry(name).or_default().entry(version).or_default();
            let bad = (0..10).any(|odd| content == fingerprint(2 * odd + 1));
            if bad {
                entry.failed = Some(content);
            } else {
                *entry = KnownVersion {
                    serving: Some(content),
                    failed: None,
                };
            }
        }
        Action::Unload { name, version } => {
            let versions = known.get_mut(&name).unwrap();
            versions.remove(&version).unwrap();
            if versions.is_empty() {
                known.remove(&name);
            }
        }
    }
}

fn serving(known: &KnownModels) -> Vec<Version> {
    let of_model = known.get("m").into_iter().flatten();
    of_model
        .filter(|(_, known)| known.serving.is_some())
        .map(|(&version, _)| version)
        .collect()
}

proptest! {
    /// Whatever a directory holds one poll after the other: the actions come to an end, a model that
    /// has versions is never without one that serves once it had one, and in the end the newest
    /// loadable ones serve.
    #[test]
    fn steps_end_with_the_newest_loadable_versions_and_never_leave_a_gap(
        polls in prop::collection::vec(
            prop::collection::btree_map(1..6_u64, 0..6_u64, 1..5),
            1..6,
        ),
        keep in 1..3_usize,
    ) {
        let mut known = KnownModels::new();
        let mut before: Option<Listing> = None;
        for versions in &polls {
            let now = holds(&versions.iter().map(|(&v, &c)| (v, c)).collect::<Vec<_>>());
            // The second time nothing has changed.
            for _poll in 0..2 {
                let mut actions = 0;
                while let Some(action) = next_action(&now, before.as_ref(), &known, NonZeroUsize::new(keep).unwrap()) {
                    let served_before = !serving(&known).is_empty();
                    apply_action(&mut known, action);
                    prop_assert!(!served_before || !serving(&known).is_empty(), "a gap");
                    actions += 1;
                    prop_assert!(actions < 50, "no end");
                }
                before = Some(now.clone());
            }
            let loadable: Vec<Version> = versions
                .iter()
                .rev()
                .filter(|(_, content)| *content % 2 == 0)
                .map(|(&number, _)| version(number))
                .take(keep)
                .collect();
            // A higher one may serve on with content that has been overwritten since.
            prop_assert!(serving(&known).last() >= loadable.first());
            prop_assert!(serving(&known).len() <= keep.max(1));
        }
    }
}
