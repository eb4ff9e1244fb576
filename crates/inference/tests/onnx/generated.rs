//! What is proven of generated graphs, against ONNX Runtime: where the analysis says that rows are
//! independent, each row gives in mixed batches what it gives alone.
//!
//! A seed makes a graph, whose axes and attributes are drawn at random: some graphs mix their rows.
//! `SPRINGTIDE_GENERATED_GRAPHS` asks for more graphs than usual, `SPRINGTIDE_GENERATED_FIRST` for
//! other seeds. On a failure the shortest part of the graph that still fails is printed.

mod arithmetic;
mod builder;
mod graphs;
mod layers;
mod layout;
mod places;
mod proto;
mod rows;
mod subgraphs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use springtide_inference::onnx::{HazardPolicy, LinkPolicy, OnnxModel, Provider};
use springtide_rows::{Analysis, Verdict};

use self::builder::Value;
use self::graphs::{Generated, encode, generate, text};
use self::rows::{Mixed, mixed};
use crate::support::{ONE, RUNTIME};

/// Graphs of a usual run.
const GRAPHS: u64 = 400;

/// How often rows are mixed anew where rounding may make an element jump: it jumps once, while rows
/// that depend on each other differ again and again.
const AGAIN: usize = 12;

/// How near a float is to what it is alone, where nothing amplifies rounding.
const CLOSE: f64 = 1e-5;

/// How a graph was judged, and what its rows did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judged {
    /// ONNX Runtime doesn't take the model, or no row alone, or could end the process.
    Nothing,
    Independent,
    /// Though a batch gave something else.
    WronglyIndependent,
    DependentAndDiffers,
    /// The rows that were tried didn't show it.
    DependentButEqual,
    UnknownAndDiffers,
    UnknownButEqual,
}

struct Judgement {
    judged: Judged,
    /// The farthest that a float of an independent graph was from what it is alone, relatively.
    farthest: f64,
    /// Why, and the model.
    text: String,
}

/// The model that gives some of a graph's values, and what came of it.
fn judge(generated: &Generated, outputs: &[&Value], seed: u64, file: &Path) -> Judgement {
    let model = generated.model(outputs);
    fs::write(file, encode(&model)).unwrap();
    let told = |judged, farthest, why: String| Judgement {
        judged,
        farthest,
        text: format!("seed {seed}: {why}\n{}", text(&model)),
    };
    let links = LinkPolicy::BesideTheModel;
    let opened = OnnxModel::open(
        &RUNTIME,
        file,
        &links,
        Provider::Cpu,
        ONE,
        HazardPolicy::Allow,
    );
    let model_file = match opened {
        Ok(opened) => opened,
        Err(error) => return told(Judged::Nothing, 0.0, error.to_string()),
    };
    let Analysis { verdict, hazards } = &model_file.analysis().graph;
    if let Some(hazard) = hazards.first() {
        return told(Judged::Nothing, 0.0, hazard.to_string());
    }
    let mut session = match model_file.session(ONE) {
        Ok(session) => session,
        Err(error) => return told(Judged::Nothing, 0.0, error.to_string()),
    };
    let is_independent = *verdict == Verdict::Independent;
    let mut random = Rng::with_seed(seed);
    let mut farthest = 0.0_f64;
    let mut differs = None;
    for longer in [false, true] {
        let mut found = mixed(&mut session, generated, longer, &mut random);
        if is_independent && generated.jumps && matches!(found, Mixed::Differs(_)) {
            let again = (0..AGAIN).map(|_| mixed(&mut session, generated, longer, &mut random));
            let confirmed = again
                .into_iter()
                .find(|again| matches!(again, Mixed::Differs(_)));
            found = confirmed.unwrap_or(Mixed::Equal(0.0));
        }
        match found {
            Mixed::Equal(distance) if is_independent => farthest = farthest.max(distance),
            Mixed::Equal(_) => {}
            Mixed::Differs(how) => differs = differs.or(Some(how)),
            Mixed::Impossible(_) if longer => {}
            Mixed::Impossible(why) => return told(Judged::Nothing, 0.0, why),
        }
    }
    let judged = match (verdict, &differs) {
        (Verdict::Independent, None) => Judged::Independent,
        (Verdict::Independent, Some(_)) => Judged::WronglyIndependent,
        (Verdict::Dependent(_), Some(_)) => Judged::DependentAndDiffers,
        (Verdict::Dependent(_), None) => Judged::DependentButEqual,
        (Verdict::Unknown(_), Some(_)) => Judged::UnknownAndDiffers,
        (Verdict::Unknown(_), None) => Judged::UnknownButEqual,
    };
    let why = match verdict {
        Verdict::Independent => "said to be independent".to_owned(),
        Verdict::Dependent(finding) | Verdict::Unknown(finding) => finding.to_string(),
    };
    let how = differs.unwrap_or_default();
    told(judged, farthest, format!("{why}; {how}"))
}

/// The shortest part of a graph that is judged wrongly.
fn smallest(generated: &Generated, seed: u64, file: &Path) -> Option<String> {
    let each = generated.values.iter();
    let judged = each.map(|value| judge(generated, &[value], seed, file));
    judged
        .filter(|judgement| judgement.judged == Judged::WronglyIndependent)
        .map(|judgement| judgement.text)
        .min_by_key(|text| text.lines().count())
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn rows_of_independent_graphs_give_in_mixed_batches_what_they_give_alone() {
    let graphs = number("SPRINGTIDE_GENERATED_GRAPHS", GRAPHS);
    let first = number("SPRINGTIDE_GENERATED_FIRST", 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let mut counts: BTreeMap<Judged, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut inexact = 0_u64;
    for seed in first..first + graphs {
        let generated = generate(seed);
        let outputs = generated.outputs();
        let judgement = judge(&generated, &outputs, seed, &file);
        if judgement.judged == Judged::WronglyIndependent {
            wrong.push(smallest(&generated, seed, &file).unwrap_or(judgement.text));
        }
        inexact += u64::from(judgement.farthest > CLOSE);
        *counts.entry(judgement.judged).or_default() += 1;
    }
    println!("{counts:?}, {inexact} with floats that are less close");
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    assert!(
        inexact * 100 <= graphs,
        "{inexact} are less close than {CLOSE}: {counts:?}"
    );
    let count = |judged| counts.get(&judged).copied().unwrap_or(0);
    let differing = count(Judged::DependentAndDiffers);
    assert!(
        count(Judged::Nothing) * 20 < graphs,
        "models that nobody could have: {counts:?}"
    );
    assert!(
        count(Judged::Independent) * 3 > graphs,
        "too few are proven: {counts:?}"
    );
    assert!(
        differing * 10 > graphs,
        "too few mix their rows: {counts:?}"
    );
    assert!(
        differing > 3 * count(Judged::DependentButEqual),
        "too many are called dependent: {counts:?}"
    );
}
