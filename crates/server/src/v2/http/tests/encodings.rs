//! Content encodings of requests and responses.

use std::io::Read;

use super::*;

fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut compressed = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzEncoder::new(bytes, level).read_to_end(&mut compressed),
        _ => flate2::read::ZlibEncoder::new(bytes, level).read_to_end(&mut compressed),
    }
    .unwrap();
    compressed
}

#[tokio::test]
async fn requests_and_responses_may_be_compressed() {
    let app = ready_app_without_bounds();
    for encoding in ["gzip", "deflate"] {
        let (length, body) = binary_request(2);
        let request = Request::post(INFER)
            .header(JSON_LENGTH_HEADER, length)
            .header(CONTENT_ENCODING, encoding)
            .header(ACCEPT_ENCODING, encoding);
        let request = request.body(compressed(encoding, &body).into()).unwrap();
        let (status, headers, body) = send_raw(&app, request).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            !headers.contains_key(CONTENT_ENCODING),
            "a short answer stays plain"
        );
        check_binary(&headers, &body, 2);
    }
    let long_id = "x".repeat(200);
    let mut request = features(&json!([[1, 0]]));
    request["id"] = json!(long_id);
    request["outputs"] = json!([{"name": "label"}]);
    assert_eq!(infer(&app, &request).await.json()["id"], json!(long_id));
}

#[tokio::test]
async fn long_responses_are_compressed_if_the_client_accepts_it() {
    let backend = FakeBackend::with_signature(crate::models::testing::classifier_signature());
    let app = serving_rows(backend, 200);
    let rows = vec![json!([1, 0]); 200];
    let request = features(&Value::Array(rows)).to_string();
    let request = Request::post(INFER)
        .header(ACCEPT_ENCODING, "gzip")
        .body(request.into())
        .unwrap();
    let (status, headers, body) = send_raw(&app, request).await;
    assert_eq!(
        (status, &headers[CONTENT_ENCODING]),
        (StatusCode::OK, &HeaderValue::from_static("gzip"))
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["outputs"][0]["data"].as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn a_body_that_is_small_only_while_compressed_is_rejected() {
    let app = ready_app(AT_ONCE, 8);
    let bomb = compressed("gzip", &vec![b' '; 10 * REQUEST_MEMORY]);
    assert!(bomb.len() < REQUEST_MEMORY / 10);
    let request = Request::post(INFER).header(CONTENT_ENCODING, "gzip");
    let answer = send(&app, request.body(bomb.into()).unwrap()).await;
    assert_eq!(error(&answer).0, 413);
}

#[tokio::test]
async fn bodies_that_cannot_be_decoded_have_a_reason() {
    let app = ready_app(AT_ONCE, 8);
    let encoded = |encoding: &str, body: &str| {
        let request = Request::post(INFER).header(CONTENT_ENCODING, encoding);
        request.body(body.to_owned().into()).unwrap()
    };
    for (request, status) in [(encoded("br", "x"), 415), (encoded("gzip", "no gzip"), 400)] {
        let answer = send(&app, request).await;
        assert_eq!(error(&answer).0, status);
    }
    let request = Request::post(INFER).header(JSON_LENGTH_HEADER, "x");
    let answer = send(&app, request.body(Body::empty()).unwrap()).await;
    let expected = "the header inference-header-content-length must be a number of bytes";
    assert_eq!(error(&answer), (400, expected.to_owned()));
}

#[tokio::test]
async fn encodings_are_known_by_all_their_names() {
    let app = ready_app_without_bounds();
    for (name, encoding) in [
        ("GZIP", "gzip"),
        ("Gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("X-GZip", "gzip"),
        (" gzip ", "gzip"),
        ("Deflate", "deflate"),
        ("Identity", "identity"),
    ] {
        let body = features(&json!([[1, 0]])).to_string();
        let body = match encoding {
            "identity" => body.into_bytes(),
            _ => compressed(encoding, body.as_bytes()),
        };
        let request = Request::post(INFER).header(CONTENT_ENCODING, name);
        let answer = send(&app, request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
    for name in ["br", "gzip, gzip", "x-br", ""] {
        let request = Request::post(INFER).header(CONTENT_ENCODING, name);
        let answer = send(&app, request.body("x".into()).unwrap()).await;
        assert_eq!(error(&answer).0, 415, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_can_not_be_decoded_says_so() {
    let app = ready_app_without_bounds();
    for encoding in ["gzip", "deflate"] {
        let whole = compressed(encoding, features(&json!([[1, 0]])).to_string().as_bytes());
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        let cut = whole[..whole.len() / 2].to_vec();
        for (what, body) in [("flipped", flipped), ("cut", cut)] {
            let request = Request::post(INFER).header(CONTENT_ENCODING, encoding);
            let answer = send(&app, request.body(body.into()).unwrap()).await;
            let (status, message) = error(&answer);
            assert_eq!(status, 400, "{encoding}, {what}: {message}");
            let expected = "the body doesn't match its content encoding";
            assert!(
                message.starts_with(expected),
                "{encoding}, {what}: {message}"
            );
        }
    }
}
