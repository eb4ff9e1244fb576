//! The operator's load on the API server.

use anyhow::Result;
use http::Request;
use springtide_e2e::testbed::Testbed;

/// Calls of service accounts outside `kube-system` since the start of the API server. Here these are the operator's,
/// including those for its lease and for discovery.
pub(crate) async fn calls_so_far(testbed: &Testbed) -> Result<u64> {
    let request = Request::get("/metrics").body(Vec::new())?;
    let text = testbed.cluster.client().request_text(request).await?;
    let counts = text
        .lines()
        .filter(|line| line.starts_with("apiserver_flowcontrol_dispatched_requests_total{"))
        .filter(|line| line.contains("flow_schema=\"service-accounts\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum::<f64>() as u64)
}
