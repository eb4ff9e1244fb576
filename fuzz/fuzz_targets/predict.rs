//! The body of a request to /predict.

#![no_main]

use std::num::NonZeroUsize;

use libfuzzer_sys::fuzz_target;
use springtide_inference::DataView;
use springtide_server::predict::request::{PredictLimits, parse};

const LIMITS: PredictLimits = PredictLimits {
    features: NonZeroUsize::new(3).unwrap(),
    max_rows: NonZeroUsize::new(4).unwrap(),
};

fuzz_target!(|body: &[u8]| {
    let Ok(request) = parse(body, LIMITS) else {
        return;
    };
    let rows = request.rows;
    assert!(rows <= LIMITS.max_rows);
    let features = request.features.view();
    assert_eq!(features.shape(), [rows.get(), LIMITS.features.get()]);
    let DataView::F32(numbers) = features.data() else {
        panic!("features are float32");
    };
    assert!(numbers.iter().all(|number| number.is_finite()));
});
