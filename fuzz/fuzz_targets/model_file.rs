//! A model file, before ONNX Runtime sees it.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use springtide_inference::onnx::ModelFile;

fuzz_target!(|content: &[u8]| {
    let _ = ModelFile::parse(Cursor::new(content), content.len() as u64);
});
