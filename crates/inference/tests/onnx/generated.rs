//! What is proven of generated graphs, against ONNX Runtime: where the analysis says that rows are
//! independent, a row gives in each mixed batch what it gives alone.

mod arithmetic;
mod builder;
mod graphs;
mod layers;
mod layout;
mod proto;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use springtide_rows::Verdict;

use crate::generated::builder::Value;
use crate::generated::graphs::{Generated, encode, generate, text};
use crate::generated::rows::{Mixed, mixed};
use crate::support::{ONE, RUNTIME};
use springtide_inference::onnx::{Links, OnnxModel, Selected};

/// Graphs of a usual run; SPRINGTIDE_GENERATED_GRAPHS asks for more.
const GRAPHS: u64 = 400;

/// How a graph was judged, and what its rows did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judged {
    /// ONNX Runtime doesn't take it, or no row alone.
    Nothing,
    Independent,
    /// Though a batch gave something else.
    WronglyIndependent,
    /// And a batch gave something else.
    DependentAndDiffers,
    DependentButEqual,
    UnknownAndDiffers,
    UnknownButEqual,
}

/// One of the values as what the model gives, and what came of it.
fn judge(generated: &Generated, output: &Value, seed: u64, file: &Path) -> (Judged, String) {
    let model = generated.model(&[output]);
    let written = text(&model);
    fs::write(file, encode(&model)).unwrap();
    let nothing = |why: String| (Judged::Nothing, why);
    let links = Links::BesideTheModel;
    let opened = OnnxModel::open(&RUNTIME, file, &links, Selected::Cpu, ONE);
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return nothing(format!("{error}")),
    };
    let mut session = match opened.session(ONE) {
        Ok(session) => session,
        Err(error) => return nothing(format!("{error}")),
    };
    let verdict = &opened.knowledge().analysis.verdict;
    let mut random = Rng::with_seed(seed ^ 0x5eed);
    let mut differs = None;
    let mut ran = false;
    for longer in [0, 1] {
        let mut first = mixed(&mut session, generated, longer, &mut random);
        // An element that jumps may jump by rounding: once, not again and again.
        if *verdict == Verdict::Independent && generated.jumps && matches!(first, Mixed::Differs(_))
        {
            let again = (0..12).filter(|_| {
                let again = mixed(&mut session, generated, longer, &mut random);
                matches!(again, Mixed::Differs(_))
            });
            if again.count() == 0 {
                first = Mixed::Equal;
            }
        }
        ran |= !matches!(first, Mixed::Impossible(_));
        match first {
            Mixed::Differs(how) => differs = differs.or(Some(how)),
            Mixed::Impossible(why) if longer == 0 => return nothing(why),
            _ => {}
        }
    }
    assert!(ran);
    let judged = match (verdict, &differs) {
        (Verdict::Independent, None) => Judged::Independent,
        (Verdict::Independent, Some(_)) => Judged::WronglyIndependent,
        (Verdict::Dependent(_), Some(_)) => Judged::DependentAndDiffers,
        (Verdict::Dependent(_), None) => Judged::DependentButEqual,
        (Verdict::Unknown(_), Some(_)) => Judged::UnknownAndDiffers,
        (Verdict::Unknown(_), None) => Judged::UnknownButEqual,
    };
    let how = differs.unwrap_or_default();
    let why = match verdict {
        Verdict::Independent => String::new(),
        Verdict::Dependent(finding) | Verdict::Unknown(finding) => finding.to_string(),
    };
    (judged, format!("seed {seed}: {how} {why}\n{written}"))
}

/// The first of a graph's values that is judged wrongly, for a small example.
fn smallest(generated: &Generated, seed: u64, file: &Path) -> Option<String> {
    let judged = generated
        .values
        .iter()
        .map(|value| judge(generated, value, seed, file));
    let mut wrong: Vec<String> = judged
        .filter(|(judged, _)| *judged == Judged::WronglyIndependent)
        .map(|(_, text)| text)
        .collect();
    wrong.sort_by_key(|text| text.lines().count());
    wrong.into_iter().next()
}

#[test]
fn a_row_of_an_independent_graph_gives_in_a_mixed_batch_what_it_gives_alone() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let graphs = number("SPRINGTIDE_GENERATED_GRAPHS").unwrap_or(GRAPHS);
    let first = number("SPRINGTIDE_GENERATED_FIRST").unwrap_or(0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let mut counts: BTreeMap<Judged, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    let show = std::env::var("SPRINGTIDE_GENERATED_SHOW").ok();
    for seed in first..first + graphs {
        let generated = generate(seed);
        let Some(output) = generated.output() else {
            continue;
        };
        let (judged, text) = judge(&generated, output, seed, &file);
        if show
            .as_deref()
            .is_some_and(|show| format!("{judged:?}") == show)
        {
            println!("{judged:?} {text}");
        }
        if judged == Judged::WronglyIndependent {
            let small = smallest(&generated, seed, &file).unwrap_or(text);
            println!("WRONG {small}");
            wrong.push(small);
        }
        *counts.entry(judged).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
