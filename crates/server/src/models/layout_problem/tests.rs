use super::*;

/// What is in a folder: folders end with a stroke, dead links with an exclamation mark, what can't
/// be read with a question mark. The folders of files are there as well.
fn names(paths: &[&str]) -> Names {
    let mut names = Names::new();
    for path in paths {
        for (stroke, _) in path.match_indices('/') {
            names.insert(path[..stroke].to_owned(), Kind::Folder);
        }
        let (path, kind) = match path.as_bytes().last() {
            Some(b'/') => continue,
            Some(b'!') => (&path[..path.len() - 1], Kind::DeadLink),
            Some(b'?') => (&path[..path.len() - 1], Kind::Unreadable),
            _ => (*path, Kind::File),
        };
        names.insert(path.to_owned(), kind);
    }
    names
}

/// Versions and what to do, of the model `m`.
fn problems(paths: &[&str]) -> Vec<(String, String)> {
    let problems = of_model("m", &names(paths)).into_iter();
    problems
        .map(|problem| {
            assert_eq!(problem.model, "m");
            (problem.version, problem.advice)
        })
        .collect()
}

#[test]
fn what_is_right_needs_no_hint() {
    for right in [
        &["1/model.onnx"][..],
        &["1/model.onnx", "2/model.onnx", "2/weights/w.bin"],
        &["1/model.onnx", "README.md", "tokenizer/vocabulary.json"],
        &["1/model.onnx", ".2.partial/model.onnx", ".cache/x.onnx"],
        &["1?"],
    ] {
        assert_eq!(problems(right), [], "{right:?}");
    }
}

#[test]
fn what_is_nearly_right_is_told_how_to_become_so() {
    for (paths, version, advice) in [
        (&["001/model.onnx"][..], "001", "rename the folder 001 to 1"),
        (&["v1/model.onnx"], "v1", "rename the folder v1 to 1"),
        (
            &["Version_20/model.onnx"],
            "Version_20",
            "rename the folder Version_20 to 20",
        ),
        (&["0/model.onnx"], "0", "rename the folder 0 to 1"),
        (&["1.0/model.onnx"], "1.0", "rename the folder 1.0 to 1"),
        (
            &["latest/model.onnx"],
            "latest",
            "rename the folder latest to 1",
        ),
        (
            &["7/model.onnx", "latest/model.onnx"],
            "latest",
            "rename the folder latest to 8",
        ),
        (
            &["1/model.onnx", "v1/model.onnx"],
            "v1",
            "rename the folder v1 to 2",
        ),
        (
            &["v1/iris.onnx"],
            "v1",
            "rename the folder v1 to 1, and iris.onnx in it to model.onnx",
        ),
        (&["1/iris.onnx"], "1", "rename 1/iris.onnx to model.onnx"),
        (&["1/Model.ONNX"], "1", "rename 1/Model.ONNX to model.onnx"),
        (
            &["1/encoder.onnx", "1/decoder.onnx"],
            "1",
            "move one of its .onnx files, 1/decoder.onnx perhaps, to 1/model.onnx",
        ),
        (
            &["1/onnx/quantized.onnx"],
            "1",
            "move 1/onnx/quantized.onnx to 1/model.onnx",
        ),
        (
            &["1/model.onnx/model.onnx"],
            "1",
            "move 1/model.onnx/model.onnx to 1/model.onnx",
        ),
        (
            &["1/model.ort"],
            "1",
            "1/model.ort is in the .ort format, which isn't served: put the .onnx file that it was \
             made of there as 1/model.onnx",
        ),
        (&["1/"], "1", "put the model there as 1/model.onnx"),
        (&["1/model.pt"], "1", "put the model there as 1/model.onnx"),
        (
            &["1/model.onnx!"],
            "1",
            "1/model.onnx is a link that leads nowhere: put the model there",
        ),
        (
            &["1!"],
            "1",
            "1 is a link that leads nowhere: put the folder there",
        ),
        (
            &["1"],
            "1",
            "1 is a file: make it a folder with the model in it as model.onnx",
        ),
        (
            &["snapshots/0a1b/onnx/model.onnx"],
            "snapshots",
            "move snapshots/0a1b/onnx/model.onnx to 1/model.onnx",
        ),
        (
            &["model.onnx", "model.onnx_data"],
            "",
            "move model.onnx, and what belongs to it, into a folder 1",
        ),
        (
            &["1/model.onnx", "model.onnx"],
            "",
            "move model.onnx, and what belongs to it, into a folder 2",
        ),
        (&["iris.onnx"], "", "move iris.onnx to 1/model.onnx"),
        (&[], "", "put the model into the folder m as 1/model.onnx"),
        (
            &["saved_model.pb"],
            "",
            "put the model into the folder m as 1/model.onnx",
        ),
    ] {
        let expected = (version.to_owned(), advice.to_owned());
        assert_eq!(problems(paths), [expected], "{paths:?}");
    }
}

#[test]
fn each_is_told_a_number_of_its_own() {
    let found = problems(&["01/model.onnx", "v1/model.onnx", "model.onnx"]);
    let advice: Vec<&str> = found.iter().map(|(_, advice)| &**advice).collect();
    let expected = [
        "rename the folder 01 to 1",
        "rename the folder v1 to 2",
        "move model.onnx, and what belongs to it, into a folder 3",
    ];
    assert_eq!(advice, expected);
}

#[test]
fn a_version_in_place_of_a_model_is_noticed() {
    let [problem] = &*of_model("3", &names(&["model.onnx"])) else {
        panic!("not one");
    };
    let expected = "if 3 is a version and not a model, set --model-dir to the folder above; else \
                    move model.onnx, and what belongs to it, into a folder 1";
    assert_eq!(problem.advice, expected);
}

#[test]
fn a_name_that_is_none_is_told_where_there_are_models() {
    let [problem] = &*of_model("my model", &names(&["1/model.onnx"])) else {
        panic!("not one");
    };
    assert_eq!((&*problem.model, &*problem.version), ("my model", ""));
    assert!(
        problem.advice.starts_with("rename the folder my model: "),
        "{problem:?}"
    );
    assert_eq!(of_model("lost+found", &names(&["x/y"])), []);
}

#[test]
fn a_file_beside_the_folders_is_told_where_to_go() {
    let advice = |file| of_file(file).map(|problem| (problem.model, problem.advice));
    let told = |model: &str, advice: &str| Some((model.to_owned(), advice.to_owned()));
    let expected = told("iris", "move iris.onnx to iris/1/model.onnx");
    assert_eq!(advice("iris.onnx"), expected);
    let expected = "move model.onnx, and what belongs to it, into a folder <name>/1";
    assert_eq!(advice("model.onnx"), told("model", expected));
    let expected = "move my model.onnx to <name>/1/model.onnx";
    assert_eq!(advice("my model.onnx"), told("my model", expected));
    for other in ["README.md", ".hidden.onnx", "onnx"] {
        assert_eq!(advice(other), None, "{other}");
    }
}

#[test]
fn hints_are_bounded_and_of_one_line() {
    let long = format!("{}\n/model.onnx", "x".repeat(1_000));
    let many: Vec<String> = (0..100)
        .map(|number| format!("v{number}/{number}.onnx"))
        .collect();
    let mut paths: Vec<&str> = many.iter().map(String::as_str).collect();
    paths.push(&long);
    let found = of_model("m", &names(&paths));
    assert_eq!(found.len(), MAX_PROBLEMS);
    let [problem] = &*of_model("m", &names(&[&long])) else {
        panic!("not one");
    };
    assert!(problem.advice.len() < 200, "{problem:?}");
    let [problem] = &*of_model("a\nb", &names(&["1/model.onnx"])) else {
        panic!("not one");
    };
    assert!(!format!("{}{}", problem.model, problem.advice).contains('\n'));
    let [problem] = &*of_model("a\u{202e}b\u{9b}\u{2028}c", &names(&["1/model.onnx"])) else {
        panic!("not one");
    };
    assert_eq!(problem.model, "a\u{fffd}b\u{fffd} c");
    assert!(problem.advice.contains(&problem.model), "{problem:?}");
}
