//! The Service: the address of the model.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use springtide_contract::defaults;

use super::container::{GRPC_PORT_NAME, HTTP_PORT_NAME};
use crate::{labels, spec::ValidatedModelService};

/// TCP port of the Service for HTTP.
const HTTP_PORT: u16 = 80;

/// Its application protocol (<https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol>).
const HTTP_PROTOCOL: &str = "http";

/// The application protocol of gRPC: HTTP/2 with prior knowledge and without TLS.
const GRPC_PROTOCOL: &str = "kubernetes.io/h2c";

pub(super) fn build(model_service: &ValidatedModelService) -> Service {
    Service {
        metadata: model_service.child_metadata(),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selector_labels(model_service.name())),
            ports: Some(vec![
                port(HTTP_PORT_NAME, HTTP_PORT, HTTP_PROTOCOL),
                port(GRPC_PORT_NAME, defaults::GRPC_PORT, GRPC_PROTOCOL),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// A port that targets the container's port of the same name.
fn port(name: &str, port: u16, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(protocol.to_owned()),
        port: port.into(),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
